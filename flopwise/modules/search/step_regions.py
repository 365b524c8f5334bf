"""Regions of searches inside one answer, and what they take from around them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ...ir.builder import Builder
from ...ir.nodes import Gather, Op, Type
from ...ir.prompt import Ref
from ...ir.schemas import Schema

# No field can have these names: the inputs, which regions take under their own, never meet them.
STATE, ITEM = "search.state", "each.item"
VALUE, LIST = Type("value"), Type("value", many=True)


def param(ref: Ref) -> str:
    """The name under which regions take a value from around them."""
    return str(ref)[1:]


def inside(ref: Ref) -> Ref:
    """A value from around a region, as it is known in it."""
    return Ref(param(ref))


def enter(b: Builder, names: Iterable[str]) -> None:
    """Give a region's body its parameters."""
    for name in names:
        b.input(name, VALUE)


def each(
    b: Builder,
    name: str,
    items: tuple[Ref, ...],
    passed: Mapping[str, Ref],
    write: Callable[[Builder], Ref],
    schema: Schema,
    kind: Type = LIST,
) -> Ref:
    """A region with one trip for each item, its parameter `ITEM`; what is passed it takes by name.

    The items are gathered first: a list has as many as were gathered, of a computation's result nobody knows.
    """
    listed = b.add(Op.GATHER, f"{name}.all", Gather(), items, LIST)

    def body(inner: Builder) -> tuple[Ref, ...]:
        enter(inner, (ITEM, *passed))
        with inner.within("each"):
            return (write(inner),)

    region = b.region(name, body, schema)
    return b.loop(name, "map", region, {ITEM: listed, **passed}, len(items), kind, required=len(items))


def unless(
    b: Builder, name: str, value: str, given: Ref, passed: Mapping[str, Ref], write: Callable[[Builder], Ref],
    schema: Schema,
) -> Ref:  # fmt: skip
    """A region that runs once, or not at all where the value has `ended`: then nothing is spent and it stays as it is.

    In the body the value is the parameter of that name. One that could not be made anew stays as it is, too.
    """

    def body(inner: Builder) -> tuple[Ref, ...]:
        enter(inner, (value, *passed))
        with inner.within("once"):
            return (write(inner),)

    region = b.region(name, body, schema)
    bind, until = {value: given, **passed}, Ref(value, ("ended",))
    return b.loop(name, "while", region, bind, 1, Type("tuple"), until=until).at(0)
