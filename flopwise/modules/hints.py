"""Type hints of a user's function, those written as text included."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any


def hints_of(fn: Callable[..., Any], known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A function's hints by parameter; one that cannot be resolved stays a text.

    Under `from __future__ import annotations` a hint may name a class of an enclosing function. It is found where
    the function's body uses it too, or among the names in `known`.
    """
    plain = inspect.unwrap(fn)
    plain = getattr(plain, "__func__", plain)
    names = {**(known or {}), **_enclosed(plain)}
    return {name: _resolved(hint, plain, names) for name, hint in getattr(plain, "__annotations__", {}).items()}


def _enclosed(fn: Any) -> dict[str, Any]:
    cells = zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True) if hasattr(fn, "__code__") else ()
    found = {}
    for name, cell in cells:
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _resolved(hint: Any, fn: Any, names: Mapping[str, Any]) -> Any:
    def one() -> None: ...

    one.__annotations__ = {"it": hint}
    try:
        return typing.get_type_hints(one, getattr(fn, "__globals__", {}), dict(names), include_extras=True)["it"]
    except NameError:
        return hint
