"""Modules' docstrings show what they expand to: what they say is what happens."""

from __future__ import annotations

import inspect
import re
from textwrap import dedent
from typing import Any

from flopwise.compiler.passes.expand_modules import expand_modules
from flopwise.compiler.passes.specialise import specialise
from flopwise.compiler.spec import verify
from flopwise.compiler.stages import complete
from flopwise.ir.text import graph_text
from flopwise.modules.program import trace

_EXAMPLE = re.compile(r"^Expands to::\n\n((?: {4}.*\n|\n)+)", re.MULTILINE)


def expanded(module: Any, **config: Any) -> str:
    """The ops of a module or a program, choices at their defaults but for `config`, before any other pass."""
    graph = trace(module)
    ops = expand_modules(specialise(graph, complete(graph, config)))
    verify(ops)
    return graph_text(ops)


def check_expansion(module: Any, **config: Any) -> None:
    """That the docstring of what made the module has the section "Expands to::" with exactly this module's graph."""
    found = _EXAMPLE.search(inspect.cleandoc(type(module).__doc__ or "") + "\n")
    assert found, f"{type(module).__name__} has no section `Expands to::`; its graph is\n{expanded(module, **config)}"
    assert dedent(found[1]).strip() == expanded(module, **config)
