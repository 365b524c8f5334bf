"""Modules that take records: each by itself, as verifiers and critics do, or a whole list, as rankers and fusers do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, overload

from ...errors import TraceError
from ...ir.builder import Builder
from ...ir.prompt import Ref
from ..base import Module, S, snake
from ..lists import joined, map_records
from ..symbols import Symbol, place, tracer

MOST_RECORDS = 4096  # the list's own bound is what counts; this one is out of its way


@dataclass(frozen=True)
class Judge(Module[S]):
    """A module over records of its signature. A list of records is judged one by one, side by side."""

    adds: ClassVar[tuple[str, ...]] = ("record",)
    answers: ClassVar[bool] = False
    demos: Any = field(default=(), kw_only=True)

    @overload
    def __call__(self, records: list[S], /) -> list[S]: ...
    @overload
    def __call__(self, records: S, /) -> S: ...
    def __call__(self, *records: Any, **inputs: Any) -> Any:
        """Apply the module to a record or to each of a list."""
        return self.trace(*records, **inputs)

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Add the call; over a list, a region with one trip for each record."""
        if len(records) != 1 or inputs or not isinstance(records[0], Symbol):
            raise TraceError(f"{place()}: {self.kind} takes one record or one list of records, without a name")
        symbol = records[0]
        if symbol._type.kind != "record":
            raise TraceError(f"{place()}: {self.kind} takes records, but {symbol!r} is not one")
        return self._each(symbol) if symbol._type.many else self._one(symbol)

    def _one(self, symbol: Symbol) -> Symbol:
        ref = tracer(self.kind).ref(symbol)
        names = _check_fields(self, symbol)
        return self.add_call({"record": ref, **{n: ref.at(n) for n in names}})

    def _each(self, symbol: Symbol) -> Symbol:
        return map_records(lambda item: self._one(item), symbol, self.name or snake(self.kind), MOST_RECORDS)


@dataclass(frozen=True)
class ListJudge(Module[S]):
    """A module over a whole list of candidates: records of its signature that answer the same input."""

    adds: ClassVar[tuple[str, ...]] = ("records",)
    answers: ClassVar[bool] = False
    demos: Any = field(default=(), kw_only=True)

    def __call__(self, *records: Any, **inputs: Any) -> Any:
        """Apply the module to a list of records; whether it gives one or a list is for each to say."""
        return self.trace(*records, **inputs)

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Add the call over a list of records, or over several lists and records as one list."""
        if not records or inputs:
            raise TraceError(f"{place()}: {self.kind} takes lists of records, without names; such as from fw.sample")
        name = self.name or snake(self.kind)
        known = len(records) == 1 and isinstance(records[0], Symbol) and records[0]._type.many
        symbol = records[0] if known else joined(list(records), name)
        if symbol._type.kind != "record":
            raise TraceError(f"{place()}: {self.kind} takes records, but {symbol!r} holds none")
        _check_fields(self, symbol)
        return self.add_call({"records": tracer(self.kind).ref(symbol)})

    def asked(self, b: Builder, records: Ref) -> dict[str, Ref]:
        """The input that the candidates answer: that of the first one that did not fail."""
        schema = self.signature
        first = b.reduce("first", records, schema, "first")
        return {f.name: first.at(f.name) for f in schema.inputs}


def _check_fields(judge: Module[Any], symbol: Symbol) -> list[str]:
    """Names of the fields that a judge reads; raise TraceError where the records lack one."""
    schema, have = judge.signature, symbol._type.schema
    names = [f.name for f in schema.inputs] + list(schema.output_names)
    lacking = [n for n in names if have is not None and have.field(n) is None]
    if lacking:
        raise TraceError(f"{place()}: {judge.kind} reads {', '.join(lacking)}, which {symbol!r} does not have")
    return names
