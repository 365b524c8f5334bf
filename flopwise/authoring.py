"""What modules of your own are written with; `docs/modules.md` has a worked example.

Every name here is used by the library's own modules. Import them from here: files inside `flopwise.modules` may move.
"""

from __future__ import annotations

from .ir.builder import Builder
from .ir.grammars import output_form
from .ir.nodes import Op, Type
from .ir.prompt import Message, Prompt, Ref, Slot, Text
from .ir.request import Decoding
from .ir.schemas import Field, Schema
from .modules.computed import computation, compute
from .modules.extract import answer_tokens, lead, marker, reason_then_extract
from .modules.prompting.predict import reasoned, wanted
from .modules.template import Writer

__all__ = [
    "Builder",
    "Decoding",
    "Field",
    "Message",
    "Op",
    "Prompt",
    "Ref",
    "Schema",
    "Slot",
    "Text",
    "Type",
    "Writer",
    "answer_tokens",
    "computation",
    "compute",
    "lead",
    "marker",
    "output_form",
    "reason_then_extract",
    "reasoned",
    "wanted",
]
