"""Tracing: `forward` runs once on symbols, and what it does with them becomes the graph.

The scheme is that of torch.fx and JAX: a symbol stands for a value, field access makes an edge, and ordinary
control flow over a symbol is refused with the name of the combinator to use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NoReturn

from ..errors import TraceError
from ..ir.builder import Builder
from ..ir.choices import writing
from ..ir.lines import place as place
from ..ir.nodes import Type
from ..ir.prompt import Ref
from ..ir.schemas import STRING
from .worked import STEPS


class Tracer:
    """One graph being written; an inner one writes a region and takes outer symbols in as parameters."""

    def __init__(self, builder: Builder, outer: Tracer | None = None) -> None:
        self.builder = builder
        self.outer = outer
        self.captured: dict[tuple[Tracer, str], tuple[str, Symbol]] = {}
        # Names of the whole trace, regions included: how often each is used, and what it stands for.
        self.calls: dict[str, int] = outer.calls if outer else {}
        self.claims: dict[str, Any] = outer.claims if outer else {}

    def unique(self, name: str) -> str:
        """The node name of another use of a module: `solve`, then `solve#2`."""
        self.calls[name] = self.calls.get(name, 0) + 1
        return name if self.calls[name] == 1 else f"{name}#{self.calls[name]}"

    def claim(self, name: str, what: Any) -> None:
        """Say what a name stands for; raise TraceError where it stands for something else already."""
        have = self.claims.setdefault(name, what)
        if not _alike(have, what):
            first, second = _apart(have, what)
            raise TraceError(
                f"{place()}: two different things are named {name!r}: {first} and {second}; give one another name="
            )

    def ref(self, symbol: Symbol) -> Ref:
        """The ref of a symbol here; one from outside becomes a parameter of this region."""
        if symbol._tracer is self:
            return symbol._ref
        if self.outer is None:
            raise TraceError(f"{place()}: {symbol!r} is used outside the region that made it; return it from there")
        made = symbol._tracer.builder.nodes[symbol._ref.node]
        root = Symbol(Ref(made.name), made.type, symbol._tracer)
        self.outer.ref(root)
        key = (symbol._tracer, made.name)
        if key not in self.captured:
            name = self.unique(f"outer.{made.name}")
            self.builder.input(name, made.type)
            self.captured[key] = (name, root)
        return Ref(self.captured[key][0], symbol._ref.path)

    def bindings(self, outer: Tracer) -> dict[str, Ref]:
        """What the region's captured parameters are bound to outside."""
        return {name: outer.ref(symbol) for name, symbol in self.captured.values()}


def _apart(one: Any, other: Any) -> tuple[str, str]:
    """Both as text; where that is the same, with the settings in which they differ."""
    if str(one) != str(other) or not hasattr(one, "differences"):
        return str(one), str(other)
    return f"{one} with {one.differences(other)}", f"{other} with {other.differences(one)}"


def _alike(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except TraceError:  # a choice in one of them is a plain value in the other
        return False


_current: ContextVar[Tracer | None] = ContextVar("flopwise_tracer", default=None)


@contextmanager
def tracing(tracer: Tracer) -> Iterator[Tracer]:
    """Make a tracer the one that calls write to."""
    token, inside = _current.set(tracer), writing.set(True)
    try:
        yield tracer
    finally:
        writing.reset(inside)
        _current.reset(token)


def tracer(what: str) -> Tracer:
    """The tracer in force; raise TraceError where nothing is being traced."""
    current = _current.get()
    if current is None:
        raise TraceError(
            f"{what} was called outside a program: modules only run inside one. "
            "Wrap it: fw.lower(module, engine=...) or a fw.Program with forward()"
        )
    return current


@dataclass(frozen=True, eq=False)
class Symbol:
    """A value that will exist when the pipeline runs. Fields of it are symbols too."""

    _ref: Ref
    _type: Type
    _tracer: Tracer

    def __getattr__(self, name: str) -> Symbol:
        if name.startswith("__"):
            raise AttributeError(name)
        return field_of(self, name)

    def __str__(self) -> str:
        refuse(self, "str() or an f-string", "write a function and wrap it with fw.op")

    def __format__(self, spec: str) -> str:
        refuse(self, "str() or an f-string", "write a function and wrap it with fw.op")

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        refuse(self, "a call", "write a function and wrap it with fw.op")

    def __getitem__(self, key: object) -> NoReturn:
        refuse(self, "indexing", "use fw.vote, fw.best or fw.map on a list of records, or wrap a function with fw.op")

    def __repr__(self) -> str:
        return f"<symbol {self._ref}: {self._type}>"

    def __bool__(self) -> NoReturn:
        refuse(self, "`if`, `and`, `or`, `not` or `while`", "use fw.when(condition, then, otherwise) or fw.loop")

    def __iter__(self) -> NoReturn:
        refuse(self, "`for` or unpacking", "use fw.map(fn, items, cap=...)")

    def __index__(self) -> NoReturn:
        refuse(self, "`range` or indexing", "use fw.loop(step, state, max_rounds=...)")

    def __len__(self) -> NoReturn:
        refuse(self, "len()", "write a function and wrap it with fw.op")

    def _compare(self, other: object) -> NoReturn:
        refuse(self, "a comparison", "write a function that compares and wrap it with fw.op, then use fw.when")

    def _compute(self, other: object = None, *more: object) -> NoReturn:
        refuse(self, "arithmetic", "write a function that computes and wrap it with fw.op")

    def _hashed(self) -> NoReturn:
        refuse(self, "`in` or a lookup in a set or dict", "write a function that looks it up and wrap it with fw.op")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _compare
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _compute
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __matmul__ = __and__ = __or__ = _compute
    __rmatmul__ = __rand__ = __ror__ = __xor__ = __rxor__ = __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = (
        _compute
    )
    __divmod__ = __rdivmod__ = __trunc__ = __floor__ = __ceil__ = __complex__ = _compute
    __int__ = __float__ = __neg__ = __pos__ = __abs__ = __invert__ = __round__ = __contains__ = _compute
    __hash__ = _hashed


def field_of(symbol: Symbol, name: str) -> Symbol:
    """The symbol of a record's field, checked against its schema."""
    if symbol._type.many:
        raise TraceError(
            f"{place()}: {symbol!r} is a list of records; reduce it first (fw.vote, fw.best) or use fw.map for .{name}"
        )
    schema = symbol._type.schema
    if schema is None:
        raise TraceError(f"{place()}: {symbol!r} has no fields, so .{name} finds nothing")
    found = schema.field(name)
    if found is None and name not in STEPS:
        known = ", ".join(f.name for f in schema.inputs + schema.outputs)
        raise TraceError(f"{place()}: {schema.name} has no field {name!r}; it has {known}")
    # What techniques add to their records is text.
    return Symbol(symbol._ref.at(name), Type("value", json=found.type_json if found else STRING), symbol._tracer)


def shape(type: Type) -> tuple[Any, ...]:
    """What must be alike where one of several values is taken: kind, list or not, outputs with their types."""
    outputs = type.schema.outputs if type.schema else ()
    return type.kind, type.many, tuple((f.name, f.type_json) for f in outputs)


def refuse(symbol: Symbol, what: str, instead: str) -> NoReturn:
    """Raise the TraceError for ordinary Python over a symbol."""
    raise TraceError(
        f"{place()}: {what} needs a value, but {symbol._ref} is only known when the pipeline runs; {instead}"
    )


def as_ref(value: Any, name: str) -> Ref:
    """The ref of a symbol, or of a constant node that holds a plain value."""
    current = tracer(name)
    if isinstance(value, Symbol):
        return current.ref(value)
    if not is_plain(value):
        raise TraceError(f"{place()}: {name} must be a symbol or a JSON-like constant, but got {value!r}")
    return current.builder.const(current.unique(f"const.{name}"), value)


def is_plain(value: Any) -> bool:
    """True for values that a JSON file can hold; a symbol inside a list is none."""
    if isinstance(value, (list, tuple)):
        return all(is_plain(v) for v in value)
    if isinstance(value, dict):
        return all(isinstance(k, str) and is_plain(v) for k, v in value.items())
    return value is None or type(value) in (str, int, float, bool)
