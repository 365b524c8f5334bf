"""Host functions: a user's plain Python in the graph."""

from __future__ import annotations

import inspect
from typing import Any

from ...errors import FlopwiseError, ToolError
from ...ir.nodes import Host
from ...ir.record import Failure, Generation, Values
from .query import Query


async def call_host(query: Query, node: str, attrs: Host, values: list[Any], allow_impure: bool) -> Any:
    """Call a user's function on plain values; what it raises is a failure of this example, with its cause, or a text.

    Raises:
        FlopwiseError: The function is impure and the user has not allowed that here, or it is not loaded.
        ToolError: It is a tool of a server that is not there: no failure of this example.
    """
    if not attrs.pure and not allow_impure:
        raise FlopwiseError(
            f"node {node!r} calls {attrs.target}, which has effects; say allow_impure=True to run it in a search"
        )
    if attrs.fn is None:
        raise FlopwiseError(f"node {node!r}: the function {attrs.target} is not loaded")
    try:
        result = attrs.fn(*(_plain(v) for v in values))
        return await result if inspect.isawaitable(result) else result
    except ToolError:
        raise
    except Exception as error:  # a user's function may raise anything; the batch goes on
        # Half an emoji, which JSON may spell, could be written to no file.
        what = f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode()
        return what if attrs.catch else query.fail(node, f"{attrs.target} raised {what}")


def _plain(value: Any) -> Any:
    """What a user's function sees: records as namespaces of fields, texts as str, lists of those."""
    if isinstance(value, Values):
        from types import SimpleNamespace

        return SimpleNamespace(**value.fields)
    if isinstance(value, Generation):
        return value.text
    if isinstance(value, list):
        return [_plain(v) for v in value if not isinstance(v, Failure)]
    return value
