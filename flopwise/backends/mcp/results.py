"""What a tool gave, as text."""

from __future__ import annotations

from typing import Any

from ...ir.types import json_text, jsonable

MOST_CHARACTERS = 32_768  # far more than any prompt takes of it; a text is tokenized as a whole


def result_text(result: Any) -> str:
    """The texts of a tool's result, one after another; of what is no text its kind.

    Args:
        result: A `CallToolResult` of the protocol.
    """
    text = "\n".join(_block(block) for block in result.content)
    if not result.content and result.structured_content is not None:
        text = json_text(jsonable(result.structured_content))
    text = text.encode("utf-8", "replace").decode()  # no tokenizer reads a lone surrogate
    left = len(text) - MOST_CHARACTERS
    return f"{text[:MOST_CHARACTERS]}\n[{left} characters left out]" if left > 0 else text


def _block(block: Any) -> str:
    if block.type == "text":
        return str(block.text)
    resource = getattr(block, "resource", block)
    if isinstance(text := getattr(resource, "text", None), str):
        return text
    return f"[{block.type} {getattr(resource, 'mime_type', None) or ''}".rstrip() + "]"
