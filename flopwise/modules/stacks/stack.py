"""stack: the default search space over whole pipelines, of layers that fit together.

The layers and the rules by which they follow each other are Archon's (Saad-Falcon et al., 2024, arXiv:2409.15254):
generators first, a critic before a ranker or a fuser, one of ranker, critic, verifier and tests at a time. Votes, code,
minimum Bayes risk and drafting that ends early are added to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from math import prod
from typing import Any, ClassVar, cast

from ...errors import SignatureError
from ...ir.grammars import output_form
from ..base import Module, S
from ..branches import Branches, choice, optional
from ..judging.critic import Critic
from ..judging.critique import Critique
from ..judging.fuser import Fuser
from ..judging.ranker import Ranker
from ..judging.unit_tester import UnitTester
from ..judging.verifier import Verifier
from ..limits import check_whole
from ..open import integer
from ..prompting.chain_of_thought import ChainOfThought
from ..prompting.plan_and_solve import PlanAndSolve
from ..prompting.predict import Predict
from ..prompting.re_read import ReRead
from ..sampling import sample
from ..selection.consistent import Consistent
from ..signature import Signature, schema_of
from ..symbols import Symbol, tracer
from ..tools.program_of_thought import ProgramOfThought
from .layers import Layers

TOP = (2, 5)  # candidates that a ranker leaves to a fuser
WAVE = 4  # drafts at a time, where a vote may end the drafting


@dataclass(frozen=True)
class Stack(Module[S]):
    """Candidates of a technique, layers that make one record of them, and perhaps a critic: each an open choice.

    Attributes:
        draft: A choice of techniques.
        n: Most candidates, or a choice of that.
        stop: When a vote ends the drafting; see `fw.sample`.
        layers: A choice of what makes one record of the candidates.
        mend: A module over the record, or none.

    `str()` of it says how many legal stacks it stands for. Cost: that of the parts that a config leaves.
    """

    answers: ClassVar[bool] = False
    draft: Any = field(default=None, kw_only=True)
    n: Any = field(default=1, kw_only=True)
    stop: Any = field(default="decided", kw_only=True)
    layers: Any = field(default=None, kw_only=True)
    mend: Any = field(default=None, kw_only=True)
    demos: Any = field(default=(), kw_only=True)

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Trace the drafting, the layers and the critic, with all that is open in them."""
        tracer("Stack")
        named = self.named(self.name or "stack")
        drafts = sample(named.draft, named.n, wave=WAVE, stop=named.stop)(*records, **inputs)
        return cast(Symbol, named.mend.trace(named.layers.trace(drafts)))

    @property
    def structures(self) -> int:
        """How many legal stacks of modules there are, whatever the counts, texts and worked examples in them."""
        return _structures(self)

    def __str__(self) -> str:
        return f"Stack({self.signature.name}): {self.structures} legal stacks of up to {_most(self.n)} candidates"


def _structures(module: Module[Any] | None) -> int:
    if module is None:
        return 1
    if isinstance(module, Branches):
        return sum(_structures(option) for option in module.options)
    return prod(_structures(inner) for inner in _inner(module))


def _inner(module: Module[Any]) -> Iterator[Module[Any]]:
    for f in fields(module):
        value = getattr(module, f.name)
        yield from (v for v in (value if isinstance(value, tuple) else (value,)) if isinstance(v, Module))


def _most(n: Any) -> Any:
    return n if isinstance(n, int) else n.domain.high


def stack(
    signature: type[S] | str, *, generators: Sequence[Module[S]] = (), most: int = 16, by: str = "", name: str = ""
) -> Stack[S]:
    """A search space over whole pipelines, for any signature: `fw.compile(fw.stack(Solve), ...)`.

    Its first config, the preset, is one greedy draft of the first technique. Votes, likeness, judges, tests, rankers
    and fusers over up to `most` drafts, and a critic that rewrites, are choices beside it; on models of 7B and smaller
    fusion and critique often hurt (Archon), so nothing but the search brings them in. Every stack is legal.

    Args:
        signature: What goes in and comes out.
        generators: Techniques to choose from, of that signature; those of one or two calls where none are given,
            with programs where the outputs are typed. One of `RetrieveThenRead`, `ReAct` or a `cascade` may be there.
        most: Most candidates; 2 or more.
        by: The output that votes are about; the only one where it is not given, and the first of several.
        name: Name in a function program.

    Raises:
        SignatureError: `most` is below 2, or a generator is of another signature.
    """
    check_whole("stack", "most", most, 2)
    techniques = tuple(generators) or _techniques(signature)
    for module in techniques:
        if module.signature != schema_of(cast("type[Signature] | str", signature)):
            raise SignatureError(
                f"stack: {module} is of another signature than {signature}; give generators of that one"
            )
    outputs = schema_of(cast("type[Signature] | str", signature)).output_names
    return Stack(
        signature, draft=techniques[0] if len(techniques) == 1 else choice(*techniques),
        n=integer(1, most, log=True), stop=choice("decided", "beta"), layers=_layers(signature, by or outputs[0]),
        mend=optional(Critic(signature)), name=name,
    )  # fmt: skip


def _techniques(of: Any) -> tuple[Module[Any], ...]:
    plain = (Predict(of), ChainOfThought(of), PlanAndSolve(of), ReRead(of))
    typed = output_form(schema_of(of)) != "text"
    return (*plain, ProgramOfThought(of)) if typed else plain


def _layers(of: Any, by: str) -> Module[Any]:
    """What makes one record of candidates, by Archon's rules; what counts comes first where answers can be counted."""
    counted = Layers(of, reduce="vote", by=by, name="vote")
    alike = Layers(of, reduce="mbr", by=by, name="mbr")
    first = (counted, alike) if output_form(schema_of(of)) != "text" else (alike, counted)
    options = choice(
        *first,
        Layers(of, steps=(Verifier(of),), reduce="vote", by=by, name="weighted"),
        Layers(of, steps=(Verifier(of),), reduce="best", name="verified"),
        Layers(of, steps=(UnitTester(of),), reduce="best", name="tested"),
        Consistent(of, name="consistent"),
        Layers(of, steps=(optional(Critique(of)), Ranker(of)), name="ranked"),
        Layers(of, steps=(optional(Critique(of)), Fuser(of)), name="fused"),
        Layers(of, steps=(optional(Critique(of)), Ranker(of, top=integer(*TOP)), Fuser(of)), name="ranked_fused"),
    )
    return options
