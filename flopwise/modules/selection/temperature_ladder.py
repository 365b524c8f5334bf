"""temperature_ladder: one greedy draft and draws at several temperatures (Khairi et al., 2025, arXiv:2506.20544).

They found for many languages that no one temperature is right, and that the greedy answer among the samples hedges
against bad draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

from ...errors import TraceError
from ...ir.choices import Real, Var
from ...ir.nodes import Gather, Op, Type
from ..base import Module, S, check_module
from ..limits import check_whole, ends_of
from ..open import Open
from ..sampling import Sampled, own_name, var_named
from ..settings import is_number
from ..symbols import Symbol, place, shape, tracer


@dataclass(frozen=True)
class Ladder(Sampled[S]):
    """What `temperature_ladder(...)` makes: its call gives the list of records, the greedy one first.

    Expands to::

        graph Program(question):
          %draft.answer: text = generate() n=1 T=0 max=512 from %question
          %draft.record: Answer = parse(%draft.answer, %question) text -> question, story
          %draft#2.answer: text = generate() n=1 T=0.3 max=512 from %question
          %draft#2.record: Answer = parse(%draft#2.answer, %question) text -> question, story
          %draft#3.answer: text = generate() n=1 T=1 max=512 from %question
          %draft#3.record: Answer = parse(%draft#3.answer, %question) text -> question, story
          %draft.ladder: list[Answer] = gather(%draft.record, %draft#2.record, %draft#3.record)
          %best: Answer = reduce(%draft.ladder) best
          return %best
    """

    rungs: tuple[Any, ...] = field(default=())

    def named(self, path: str) -> Ladder[S]:
        """Itself, an attribute of a program, with its module and its choices named under the attribute."""
        module = self.module.named(path)
        base = self.name or f"{module.name}.ladder"
        return replace(self, module=module, n=var_named(self.n, f"{base}.n"), rungs=self._rungs(base))

    def _rungs(self, base: str) -> tuple[Any, ...]:
        return tuple(var_named(t, f"{base}.{i}") for i, t in enumerate(self.rungs, 1))

    def __call__(self, *records: Any, **inputs: Any) -> list[S]:
        """Trace the module once greedily and once for each temperature, and gather the records."""
        current = tracer("temperature_ladder")
        module = self.module.named(own_name(self.module, self.name.removesuffix(".ladder")))
        base = self.name or f"{module.name}.ladder"
        n = var_named(self.n, f"{base}.n")
        drafts = [module.sampled(None).trace(*records, **inputs)]
        for i, temperature in enumerate(self._rungs(base), 1):
            if not isinstance(n, Var) and n == 1:  # a region of one trip would be drawn greedily
                drafts.append(module.sampled(temperature).trace(*records, **inputs))
            else:
                drawn: Any = Sampled(module, n, temperature, f"{base}.{i}")(*records, **inputs)
                drafts.append(drawn)
        first = drafts[0]._type
        if first.many or first.schema is None or len({shape(replace(d._type, many=False)) for d in drafts}) > 1:
            raise TraceError(f"{place()}: temperature_ladder takes a module that gives one record, not {drafts[0]!r}")
        kind = Type("record", first.schema, many=True)
        refs = tuple(current.ref(d) for d in drafts)
        return cast(
            "list[S]", Symbol(current.builder.add(Op.GATHER, current.unique(base), Gather(), refs, kind), kind, current)
        )


def temperature_ladder(
    module: Module[S], temperatures: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9), n: int = 1, *, name: str = ""
) -> Ladder[S]:
    """Draw a list of records of a module: one greedily, and n at each of several temperatures.

    It takes the place of `fw.sample` before a vote, a verifier or `mbr` where it is not known which temperature serves:
    tasks and languages that a model knows less well bear less of it. The greedy draft comes first, so of equal votes
    it wins. The temperatures are this library's; the paper adds the greedy answer to a few draws.

    Args:
        module: What is drawn from; it sets no temperature of its own.
        temperatures: One or more above 0, each a number or an `fw.real(...)` choice.
        n: Records at each; an `fw.integer(...)` choice from 2 up.
        name: Name in a function program.

    Cost: (1 + n t) times the module's calls for t temperatures; (1 + n t) x M, where M is the module's. Its prompt is
    the same for all, so a query pays once for it, though the static bound counts it for each temperature.

    Raises:
        TraceError: module is none or has a temperature of its own, there is no temperature or one is not above 0, or n
            is a number below 1 or a choice that goes below 2.
    """
    check_module("temperature_ladder", module)
    if module.temperature is not None:
        raise TraceError(
            f"{place()}: temperature_ladder sets the temperature, but {module.kind} has temperature="
            f"{module.temperature!r} of its own; leave it out there"
        )
    given = tuple(temperatures) if isinstance(temperatures, (tuple, list)) else ()
    if not given or not all(map(_is_warm, given)):
        raise TraceError(
            f"{place()}: temperature_ladder: temperatures are numbers above 0 and up to 10, such as (0.3, 0.7), but "
            f"got {temperatures!r}; the greedy draft is there without 0"
        )
    least = 2 if isinstance(n, (Open, Var)) else 1
    check_whole(f"{place()}: temperature_ladder", "n", n, least, error=TraceError)
    return Ladder(module, n, None, name, rungs=given)


def _is_warm(value: Any) -> bool:
    return all(is_number(end) and 0 < end <= 10 for end in ends_of(value, Real))
