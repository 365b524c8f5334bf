"""Tools: functions of `fw.op` as a model sees and calls them."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...errors import SignatureError
from ...ir.nodes import Host
from ...ir.schemas import Field, canonical, type_name
from ...ir.types import object_schema, type_json
from ..control import host_of
from ..hints import hints_of

FINISH = "finish"
REMOTE = "mcp:"  # what stands before the server and the name of a tool that is no function here


@dataclass(frozen=True)
class Tool:
    """A function that a model may call.

    Attributes:
        name: The function's.
        doc: What it does: the first paragraph of its docstring, on one line.
        arguments: Its parameters, typed; a call gives all of them.
        host: How a graph calls it; what it raises is its result, for the model to read.
    """

    name: str
    doc: str
    arguments: tuple[Field, ...]
    host: Host

    @property
    def node(self) -> str:
        """Its name as that of a node, whose parts are told apart by dots."""
        return re.sub(r"[^\w-]", "_", self.name)

    def as_text(self) -> str:
        """What the model is told of it."""
        takes = ", ".join(f"{f.name}: {type_name(f.type)}" for f in self.arguments)
        return f"{self.name}({takes}): {self.doc}"

    def call_schema(self) -> dict[str, Any]:
        """The JSON Schema of a call of it."""
        name = Field("name", canonical({"type": "string", "const": self.name}))
        return object_schema((name, Field("arguments", canonical(object_schema(self.arguments)))))


def tools_of(what: str, functions: Any) -> tuple[Tool, ...]:
    """Functions as tools.

    Args:
        what: The module that takes them, for errors.
        functions: Functions wrapped by `fw.op`, with typed parameters and a docstring, and tools of `fw.mcp_tools`.

    Raises:
        SignatureError: There is none, one is no such function, or two have one name; says what to write.
    """
    if not isinstance(functions, (tuple, list)) or not functions:
        raise SignatureError(
            f"{what}: tools: at least one function is needed, as in tools=(search,), got {functions!r}"
        )
    found = tuple(_tool(what, fn) for fn in functions)
    names = [t.name for t in found]
    twice = sorted({n for n in names if names.count(n) > 1 or n == FINISH})
    if twice:
        raise SignatureError(f"{what}: tools: the name {twice[0]!r} is taken; rename one of the functions")
    return found


def _tool(what: str, fn: Any) -> Tool:
    if isinstance(fn, Tool):
        return fn
    if not hasattr(fn, "__flopwise_host__"):
        raise SignatureError(
            f"{what}: tools: a function for pipelines is needed, but got {fn!r:.100}; write @fw.op above its def"
        )
    doc = " ".join((inspect.getdoc(fn) or "").split("\n\n")[0].split())
    if not doc:
        raise SignatureError(f"{what}: tools: the model reads what {fn.__name__} does; give it a docstring")
    return Tool(fn.__name__, doc, _arguments(what, fn), host_of(fn, catch=True))


def _arguments(what: str, fn: Callable[..., Any]) -> tuple[Field, ...]:
    hints, fields = hints_of(fn), []
    for parameter in inspect.signature(fn).parameters.values():
        hint = hints.get(parameter.name)
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise SignatureError(f"{what}: tools: plain parameters are needed, but {fn.__name__} has {parameter}")
        if hint is None or isinstance(hint, str):
            raise SignatureError(
                f"{what}: tools: {fn.__name__}({parameter}) needs a type that can be found, as in {parameter.name}: int"
            )
        fields.append(Field(parameter.name, type_json(hint, f"{fn.__name__}({parameter.name})")))
    return tuple(fields)


def action_json(tools: tuple[Tool, ...], most: int) -> str:
    """The type of an action: one to `most` calls, or the word that ends the rounds."""
    calls = [t.call_schema() for t in tools]
    items = calls[0] if len(calls) == 1 else {"anyOf": calls}
    listed = {"type": "array", "items": items, "minItems": 1, "maxItems": most}
    return canonical({"anyOf": [listed, {"type": "string", "const": FINISH}]})


def example_call(tool: Tool) -> str:
    """A call of a tool as it is written, with dots where the arguments' values stand."""
    arguments = ", ".join(f"{json.dumps(f.name)}: ..." for f in tool.arguments)
    return f'{{"name": "{tool.name}", "arguments": {{{arguments}}}}}'
