"""What a program's engines have each of their own: a value for the main one, and one for each that modules name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")

MAIN = "main"  # what modules call the engine that asks wherever none is named
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class ByEngine(Generic[T_co]):
    """A value for each engine: the engine itself, its scheduler, what is known of its model.

    Attributes:
        main: Of the engine that asks wherever a module names none.
        named: Of the others, by the names that modules use.
    """

    main: T_co
    named: Mapping[str, T_co] = field(default_factory=dict)

    def of(self, name: str | None) -> T_co:
        """The value of the engine that a node names; None is the main one."""
        return self.main if name is None else self.named[name]

    def items(self) -> Iterator[tuple[str, T_co]]:
        """Names and values, the main one first."""
        yield MAIN, self.main
        yield from self.named.items()

    def map(self, make: Callable[[T_co], U]) -> ByEngine[U]:
        """What a function makes of each."""
        return ByEngine(make(self.main), {name: make(value) for name, value in self.named.items()})

    def distinct(self) -> list[T_co]:
        """Each value once, in order: two names may stand for one engine."""
        found: list[T_co] = []
        for value in (self.main, *self.named.values()):
            if all(value is not other for other in found):
                found.append(value)
        return found


def by_engine(value: T | ByEngine[T]) -> ByEngine[T]:
    """One value as that of a main engine alone; what is by engine already as it is."""
    return cast("ByEngine[T]", value) if isinstance(value, ByEngine) else ByEngine(value)


def in_graph(name: str | None) -> str | None:
    """An engine's name as graphs have it, where the main one has none."""
    return None if name == MAIN else name


def is_engine_name(text: object) -> bool:
    """True for what an engine may be called: letters, digits, `_` and `-`, beginning with a letter."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None
