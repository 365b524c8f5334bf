"""route: the model says which of some labels fits an input, and only that label's branch is computed.

Adaptive-RAG (Jeong et al., 2024, arXiv:2403.14403) chooses a strategy so, by a closed question about complexity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from string import ascii_uppercase
from typing import Any, Self

from ...errors import TraceError
from ...ir.builder import Builder
from ...ir.choices import Var
from ...ir.nodes import Call, Op, Type
from ...ir.prompt import Ref
from ...ir.request import Decoding
from ...ir.schemas import Field, Schema, canonical
from ..base import Module, S
from ..computed import computation, compute
from ..open import Open
from ..symbols import Symbol, as_ref, place, shape, tracer
from ..template import Writer
from .gate import check_threshold
from .rungs import check_rungs, labels_of_rungs, named_rungs, one_record, result_of, sampled_rungs, signature_of

LETTER_TOKENS = 4  # a space, a letter, the end of the turn, and one to spare


@computation
def first_or_second(probability: float, threshold: float) -> int:
    """The place of the first of two labels where it is likely enough, else that of the second."""
    return 0 if probability >= threshold else 1


@computation
def lettered(records: list[Any], count: int) -> int:
    """The place of the label whose letter was written; of the last where none was."""
    return ascii_uppercase.index(records[0].letter) if records else count - 1


@computation
def is_place(place: int, wanted: int) -> bool:
    """Whether a place is the wanted one."""
    return place == wanted


@dataclass(frozen=True)
class Router(Module[S]):
    """The place of the label that fits an input: by one Score of two labels, by one letter of more.

    Cost: S(p) for two labels, C(p, 4) for more.
    """

    labels: tuple[str, ...] = field(default=(), kw_only=True)
    ask: str = field(default="", kw_only=True)
    threshold: Any = field(default=0.5, kw_only=True)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """One closed question, its answer as a place."""
        letters = ascii_uppercase[: len(self.labels)]
        options = "\n".join(f"{letter}. {label}" for letter, label in zip(letters, self.labels, strict=True))
        technique = f"Do not do the task yet. {self.ask}\n{options}\nReply with one letter and nothing else."
        prompt = Writer(self.signature, own=self.template).prompt(b, inputs, (), technique=technique)
        if len(letters) == 2:
            first = b.score("letter", prompt, tuple(letters))
            return compute(b, "place", first_or_second, first, b.const("threshold", self.threshold))
        schema = Schema("Letter", "", (), (Field("letter", canonical({"type": "string", "enum": list(letters)})),))
        said = b.generate("letter", prompt, Decoding(max_tokens=LETTER_TOKENS))
        # A list passes on without what failed.
        read = b.gather("read", schema, (b.parse("record", said, schema, "scalar"),))
        return compute(b, "place", lettered, read, b.const("count", len(letters)))


@dataclass(frozen=True)
class Routed(Module[S]):
    r"""What `route(...)` makes: branches by label; a closed question about the input picks one.

    Attributes:
        labels: What may fit an input, in the order in which they are shown.
        branches: Of each label a module, `fw.sample(...)`, or a function of the inputs.
        ask: The question.
        threshold: With two labels, the least probability (0 to 1) of the first that picks it.
        by: The output that samples are voted on.

    Use it where the model can tell hard inputs from easy ones, or kinds of input apart, before it works on them;
    `cascade` asks after the cheap try. Small models tell difficulty badly: compare with `cascade`.

    Cost: 1 call and those of one branch; S(p) + C(branch) for two labels, C(p, 4) + C(branch) for more. The static
    bound is the sum of all branches. Limits: 26 labels. A letter that cannot be read means the last label, so the safest
    branch comes last.

    Expands to::

        graph route(question):
          %route.pick.letter: number = score() A/B from %question
          %route.pick.threshold: value = const() 0.5
          %route.pick.place: value = host(%route.pick.letter, %route.pick.threshold) flopwise.modules.spending.route:first_or_second
          %route.Predict.answer: text = generate() n=1 T=0 max=32 from %question
          %route.Predict.record: Answer = parse(%route.Predict.answer, %question) scalar -> question, answer
          %route.ChainOfThought.reason: text = generate() n=1 T=0 max=512 stop=['\n\nAnswer:'] from %question
          %route.ChainOfThought.answer: text = generate() n=1 T=0 max=32 from %route.ChainOfThought.reason
          %route.ChainOfThought.record: Answer = parse(%route.ChainOfThought.answer, %question, %route.ChainOfThought.reason.text) scalar -> question, reasoning, answer
          %route.place: value = const() 0
          %route.is: value = host(%route.pick.place, %route.place) flopwise.modules.spending.route:is_place
          %route: Answer = select(%route.is, %route.Predict.record, %route.ChainOfThought.record)
          return %route
    """  # noqa: E501

    labels: tuple[str, ...] = field(default=(), kw_only=True)
    branches: tuple[Any, ...] = field(default=(), kw_only=True)
    ask: str = field(default="", kw_only=True)
    threshold: Any = field(default=0.5, kw_only=True)
    by: str = field(default="", kw_only=True)

    @property
    def kind(self) -> str:
        """The technique's name, which labels it in choices."""
        return "route"

    def named(self, path: str) -> Self:
        """Itself with branches and threshold named under a dotted path."""
        path = self.name or path
        threshold = self.threshold.named(f"{path}.threshold") if isinstance(self.threshold, Open) else self.threshold
        return replace(self, branches=named_rungs(self.branches, path), threshold=threshold, name=path)

    def sampled(self, temperature: Any) -> Self:
        """Itself with its modules drawn at a temperature where the user set none."""
        return replace(self, branches=sampled_rungs(self.branches, temperature), drawn_at=temperature)

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Ask, trace every branch; only the picked one is computed."""
        current = tracer(self.kind)
        named = self.named(self.name or self.kind)
        at = named._place(inputs)
        made = []
        for branch, label in zip(named.branches, labels_of_rungs(named.branches), strict=True):
            result = result_of(branch, records, inputs)
            made.append(one_record(result, self.by, f"{named.name}.{label}.vote"))
        if len({shape(m._type) for m in made}) > 1:
            raise TraceError(f"{place()}: the branches of route {named.name!r} give different things: {made}")
        return named._picked(at, made, current)

    def _place(self, inputs: dict[str, Any]) -> Ref:
        current = tracer(self.kind)
        router: Router[Any] = Router(
            self.of, labels=self.labels, ask=self.ask, threshold=self.threshold, demos=(), name=f"{self.name}.pick"
        )
        for var in router.open():
            current.claim(f"?{var.name}", var)
        known = {n: v for n, v in inputs.items() if router.signature.field(n)}  # a function may take more
        refs = {name: as_ref(value, name) for name, value in router.inputs_of(known).items()}
        call = Call(router, tuple(refs))
        return current.builder.add(Op.CALL, current.unique(router.name), call, tuple(refs.values()), Type("value"))

    def _picked(self, at: Ref, made: list[Symbol], current: Any) -> Symbol:
        b, kind, ref = current.builder, made[-1]._type, current.ref(made[-1])
        names = [current.unique(self.name) for _ in made[:-1]]
        for i, name in reversed(list(enumerate(names))):
            wanted = b.const(current.unique(f"{self.name}.place"), i)
            test = compute(b, current.unique(f"{self.name}.is"), is_place, at, wanted)
            ref = b.select(name, test, current.ref(made[i]), ref, kind)
        return Symbol(ref, kind, current)


def route(
    branches: Mapping[str, Any], *, ask: str = "How hard is it?", threshold: Any = 0.5, of: Any = None, field: str = "",
    name: str = "",
) -> Routed[Any]:  # fmt: skip
    """The model says which label fits an input; only that label's branch is computed.

    Args:
        branches: By label, such as "easy" or "hard: it takes several steps", a module, `fw.sample(...)` whose samples
            vote, or a function that takes the inputs by name, such as `self.other_program.forward`.
        ask: The question that the labels answer.
        threshold: With two labels, the least probability of the first one that picks it, or a choice such as
            `fw.real(0.1, 0.9)` for a search to tune.
        of: The signature whose inputs are asked about; that of the first branch that has one where not given.
        field: The output that samples are voted on; the only one where not given.
        name: Name in a function program.

    Raises:
        TraceError: Fewer than two branches or more than 26, one is none, only functions without `of`, or a threshold
            that is none or stands with more than two labels.
    """
    labels, takes = tuple(branches), tuple(branches.values())
    check_rungs("route", takes)
    if len(takes) > len(ascii_uppercase) or not all(isinstance(label, str) and label.strip() for label in labels):
        raise TraceError(f"{place()}: route: 2 to 26 labels that say something are needed, but got {labels!r:.200}")
    if not isinstance(ask, str) or not ask.strip():
        raise TraceError(f"{place()}: route: ask: a question that the labels answer is needed, but got {ask!r:.100}")
    if of is None and all(not hasattr(b, "of") and not hasattr(b, "module") for b in takes):
        raise TraceError(f"{place()}: route: functions have no signature; say of which inputs to ask, by of=Solve")
    check_threshold("route", threshold)
    if len(labels) > 2 and (isinstance(threshold, (Open, Var)) or threshold != 0.5):
        raise TraceError(f"{place()}: route: a threshold is between two labels, but there are {len(labels)}; leave it")
    return Routed(
        of or signature_of(takes), labels=labels, branches=takes, ask=ask, threshold=threshold, by=field, name=name,
        demos=(),
    )  # fmt: skip
