"""A further turn of a conversation: what most techniques of several calls say after a generation."""

from __future__ import annotations

from ...ir.prompt import Message, Prompt, Ref, Segment, Text


def further(after: Ref, *said: str | Segment) -> Prompt:
    """The user's next turn after a generation, whose KV is there already; texts are static."""
    parts = tuple(Text(part) if isinstance(part, str) else part for part in said)
    return Prompt((Message("user", parts),), (), continues=after)
