"""cascade: a cheap pipeline first, a dear one only where the cheap one is not sure.

LLM cascades of FrugalGPT (Chen et al., 2023, arXiv:2305.05176). That samples agree as the sign that they are right:
Yue et al., 2023 (arXiv:2310.03094). That the model thinks so itself: AutoMix (Madaan et al., 2023, arXiv:2310.12963).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

from ...errors import TraceError
from ...ir.nodes import Call, Op, Type
from ...ir.prompt import Ref
from ...ir.schemas import Schema
from ..base import Module, S
from ..judging.judges import Judge
from ..judging.verifier import Verifier
from ..open import Open
from ..symbols import Symbol, place, shape, tracer
from .gate import Gate, check_threshold
from .rungs import check_rungs, labels_of_rungs, named_rungs, one_record, result_of, sampled_rungs, signature_of


@dataclass(frozen=True)
class Cascade(Module[S]):
    r"""What `cascade(...)` makes: rungs from the cheapest to the dearest; the first one that is sure enough answers.

    Attributes:
        rungs: Modules, `fw.sample(...)`, or functions of the inputs, of one signature.
        thresholds: Of every rung but the last, the least confidence (0 to 1) that is enough.
        confidence: Of every rung but the last, what its confidence is.
        by: The output that samples are voted on and agree on.

    Use it where most inputs are easy: the mean cost falls towards the first rung's, the quality stays near the last's.

    Cost: the first rung's calls and what its confidence takes, then those of each next rung only where none before it
    was sure; C(first) + S(judge) + P(not sure) x C(second) + ..., with S = 0 for agreement. The static bound is the sum
    of all. Limits: samples that failed have no say in agreement; one sample always agrees with itself; where agreement
    looks at samples, they are drawn all at once, not in waves. A last rung that fails is a failure.

    Expands to::

        graph cascade(question):
          %cascade.Predict.sample: list[Answer] = loop(%question) repeat at most 3 trips (1 required) with outer.question
            graph cascade.Predict.sample(outer.question):
              %cascade.Predict.answer: text = generate() n=1 T=0.7 max=32 from %outer.question
              %cascade.Predict.record: Answer = parse(%cascade.Predict.answer, %outer.question) scalar -> question, answer
              return %cascade.Predict.record
          %cascade.Predict.vote: Answer = reduce(%cascade.Predict.sample) majority by answer
          %cascade.sure.field: value = const() 'answer'
          %cascade.sure.confidence: value = host(%cascade.Predict.sample, %cascade.sure.field) flopwise.modules.computed:agreement
          %cascade.sure.threshold: value = const() 0.8
          %cascade.sure.enough: value = host(%cascade.sure.confidence, %cascade.sure.threshold) flopwise.modules.computed:at_least
          %cascade.ChainOfThought.reason: text = generate() n=1 T=0 max=512 stop=['\n\nAnswer:'] from %question
          %cascade.ChainOfThought.answer: text = generate() n=1 T=0 max=32 from %cascade.ChainOfThought.reason
          %cascade.ChainOfThought.record: Answer = parse(%cascade.ChainOfThought.answer, %question, %cascade.ChainOfThought.reason.text) scalar -> question, reasoning, answer
          %cascade: Answer = select(%cascade.sure.enough, %cascade.Predict.vote, %cascade.ChainOfThought.record)
          return %cascade
    """  # noqa: E501

    rungs: tuple[Any, ...] = field(default=(), kw_only=True)
    thresholds: tuple[Any, ...] = field(default=(), kw_only=True)
    confidence: tuple[Any, ...] = field(default=(), kw_only=True)
    by: str = field(default="", kw_only=True)

    @property
    def kind(self) -> str:
        """The technique's name, which labels it in choices."""
        return "cascade"

    def named(self, path: str) -> Self:
        """Itself with rungs, judges and thresholds named under a dotted path."""
        path = self.name or path
        judges = tuple(
            c.named(f"{path}.{_numbered('judge', i)}") if isinstance(c, Module) else c
            for i, c in enumerate(self.confidence)
        )
        thresholds = tuple(
            t.named(f"{path}.{_numbered('threshold', i)}") if isinstance(t, Open) else t
            for i, t in enumerate(self.thresholds)
        )
        rungs = named_rungs(self.rungs, path)
        return replace(self, rungs=rungs, thresholds=thresholds, confidence=judges, name=path)

    def sampled(self, temperature: Any) -> Self:
        """Itself with its modules drawn at a temperature where the user set none."""
        return replace(self, rungs=sampled_rungs(self.rungs, temperature), drawn_at=temperature)

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Trace every rung; a rung is computed only where none before it was sure."""
        current = tracer(self.kind)
        named = self.named(self.name or self.kind)
        labels = labels_of_rungs(named.rungs)
        made: list[tuple[Ref | None, Symbol]] = []
        for i, (rung, label) in enumerate(zip(named.rungs, labels, strict=True)):
            result = result_of(rung, records, inputs)
            record = one_record(result, self.by, f"{named.name}.{label}.vote")
            sure = named._sure(i, result, record) if i < len(self.rungs) - 1 else None
            made.append((sure, record))
        return _first_sure(made, named.name, current)

    def _sure(self, i: int, result: Symbol, record: Symbol) -> Ref:
        """Whether a rung is sure of its record."""
        current, how = tracer(self.kind), self.confidence[i]
        if how == "agreement":
            if not result._type.many:
                raise TraceError(
                    f"{place()}: cascade {self.name!r}: agreement is of several samples, but rung {i + 1} gives one "
                    'record; write fw.sample(module, n=5), or confidence="verifier"'
                )
            only = cast(Schema, record._type.schema).outputs[0].name  # with several the vote has asked for one
            by, takes = self.by or only, {"records": current.ref(result)}
        else:
            by, takes = "", {"confidence": _asked(how, record)}
        gate: Gate[Any] = Gate(self.of, threshold=self.thresholds[i], by=by, demos=(), name=f"{self.name}.sure")
        for var in gate.open():
            current.claim(f"?{var.name}", var)
        name = current.unique(gate.name)
        return current.builder.add(Op.CALL, name, Call(gate, tuple(takes)), tuple(takes.values()), Type("value"))


def _asked(how: Any, record: Symbol) -> Ref:
    """The confidence in a record: the weight that a judge gives it, or what a function makes of it."""
    said = how.trace(record) if isinstance(how, Module) else how(record)
    if not isinstance(said, Symbol):
        raise TraceError(
            f"{place()}: cascade: confidence must give a symbol, such as a record's field, but got {said!r}"
        )
    ref = tracer("cascade").ref(said)
    return ref.at("") if isinstance(how, Module) else ref


def _first_sure(made: list[tuple[Ref | None, Symbol]], name: str, current: Any) -> Symbol:
    records = [record for _, record in made]
    if len({shape(r._type) for r in records}) > 1:
        raise TraceError(f"{place()}: the rungs of cascade {name!r} give different things: {records}")
    kind, ref = records[-1]._type, current.ref(records[-1])
    names = [current.unique(name) for _ in made[:-1]]
    for (sure, record), one in reversed(list(zip(made, names, strict=False))):
        ref = current.builder.select(one, sure, current.ref(record), ref, kind)
    return Symbol(ref, kind, current)


def _numbered(word: str, i: int) -> str:
    return f"{word}_{i + 1}" if i else word


Confidence = str | Judge[Any] | Callable[[Any], Any]


def cascade(
    *rungs: Any, threshold: Any, confidence: Confidence | tuple[Confidence, ...] = "agreement", field: str = "",
    name: str = "",
) -> Cascade[Any]:  # fmt: skip
    """A cheap pipeline first, a dearer one only where the confidence in the cheap one is under a threshold.

    Args:
        rungs: Two or more, from the cheapest to the dearest: modules, `fw.sample(...)` whose samples vote, or functions
            that take the inputs by name and return a record, such as `self.other_program.forward`.
        threshold: The least confidence that is enough, or a choice such as `fw.real(0.5, 1.0)` for a search to tune;
            a tuple has one for each rung but the last.
        confidence: "agreement", the share of samples that have the answer of the vote; "verifier", the P(Yes) of
            `fw.Verifier`; a judge of your own that weighs records; or a function of the record that gives a number,
            such as `lambda r: r.confidence`; a tuple as with threshold.
        field: The output that samples are voted on and agree on; the only one where not given.
        name: Name in a function program.

    Raises:
        TraceError: Fewer than two rungs, or a rung, a threshold or a confidence that is none.
    """
    check_rungs("cascade", rungs)
    of = signature_of(rungs)
    thresholds = _each("threshold", threshold, len(rungs) - 1)
    judges = tuple(_judge(c, of) for c in _each("confidence", confidence, len(rungs) - 1))
    for how, least in zip(judges, thresholds, strict=True):
        check_threshold("cascade", least, closed=not callable(how) or isinstance(how, Module))
    return Cascade(of, rungs=rungs, thresholds=thresholds, confidence=judges, by=field, name=name, demos=())


def _each(what: str, given: Any, count: int) -> tuple[Any, ...]:
    values = given if isinstance(given, tuple) else (given,) * count
    if len(values) != count:
        raise TraceError(
            f"{place()}: cascade: one {what} for each rung but the last is needed, {count} here, but got {given!r:.100}"
        )
    return values


def _judge(how: Any, of: Any) -> Any:
    if how == "verifier":
        return Verifier(of)
    if how == "agreement" or isinstance(how, Judge) or (callable(how) and not isinstance(how, Module)):
        return how
    raise TraceError(
        f'{place()}: cascade: confidence must be "agreement", "verifier", a judge or a function of the record, '
        f"but got {how!r:.100}"
    )
