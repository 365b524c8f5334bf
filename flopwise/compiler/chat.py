"""Prompts to pieces: the model's chat template around segments, tokenised, slots left open."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from ..errors import EngineError, GraphError
from ..ir.plan import SEAM, Carry, Fill, Piece, Static
from ..ir.prompt import Message, Prompt, Segment, Slot, Text
from ..ir.request import TokenIds
from ..ir.target import Tokenizer

_MARK = re.compile("\ue000([0-9]+)\ue001")
CapOf = Callable[[Slot], Fill]


def prompt_pieces(prompt: Prompt, tokenizer: Tokenizer, fill: CapOf) -> tuple[Piece, ...]:
    """A prompt as static ids, slots and a carried generation.

    Args:
        prompt: The prompt.
        tokenizer: The model's; its template's text may hold special tokens, a prompt's text never does.
        fill: Makes the plan's slot of a prompt's slot, its cap found.
    """
    parts: list[Piece | Segment | str] = [Carry(prompt.continues)] if prompt.continues else []
    parts += _turns(prompt, tokenizer)
    parts += prompt.prefill
    return _tokenise(_joined(parts), tokenizer, fill)


def _turns(prompt: Prompt, tokenizer: Tokenizer) -> list[Piece | Segment | str]:
    """Template text (as str) and the segments of the messages, in order."""
    if prompt.continues is None:
        return _render(prompt.messages, tokenizer)
    if not prompt.messages:
        return []
    # The turn that goes on must be closed as the template closes it: render it in place and keep what follows.
    before = (Message("user", (Text("u"),)), Message("assistant", (Text("a"),)))
    return _render(before + prompt.messages, tokenizer, skip=2)


def _render(messages: tuple[Message, ...], tokenizer: Tokenizer, skip: int = 0) -> list[Piece | Segment | str]:
    marked = [(m.role, f"\ue000{i}\ue001") for i, m in enumerate(messages)]
    try:
        text = tokenizer.render_chat(marked, generate=True)
        refused = sorted(_MARK.findall(text), key=int) != [str(i) for i in range(len(messages))]
    except EngineError:
        refused = True
    if refused:
        merged = _without_system(messages)
        if merged == messages:
            roles = ", ".join(m.role for m in messages)
            raise GraphError(f"the model's chat template refuses or leaves out a turn of: {roles}")
        return _render(merged, tokenizer, skip)
    split = _MARK.split(text)
    first = 2 * skip
    out: list[Piece | Segment | str] = []
    for i, part in enumerate(split[first:], first):
        out += messages[int(part)].segments if i % 2 else [part]
    return out


def _without_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """For templates that know no system role: its text begins the first user turn."""
    if not messages or messages[0].role != "system" or len(messages) < 2:
        return messages
    system, first, *rest = messages
    return (replace(first, segments=(*system.segments, Text("\n\n"), *first.segments)), *rest)


def _joined(parts: list[Piece | Segment | str]) -> list[Piece | Segment | str]:
    """Neighbouring texts as one: tokens run across them."""
    out: list[Piece | Segment | str] = []
    for part in parts:
        last = out[-1] if out else None
        if isinstance(part, Text) and isinstance(last, Text):
            out[-1] = Text(last.text + part.text)
        elif not isinstance(part, (Text, str)) or (part.text if isinstance(part, Text) else part):
            out.append(part)
    return out


def _tokenise(parts: list[Piece | Segment | str], tokenizer: Tokenizer, fill: CapOf) -> tuple[Piece, ...]:
    """Ids for what is static. A space before a slot goes with the slot's text, as the tokenizer wants it.

    So does all the text after a glued slot.
    """
    pieces: list[Piece] = []
    ids: list[int] = []
    for i, part in enumerate(parts):
        if isinstance(part, Text):
            lead = _lead(parts, i)
            ids += () if _tail(parts, i) else tokenizer.encode(part.text[: len(part.text) - len(lead)])
        elif isinstance(part, str):
            ids += tokenizer.encode_template(part) if part else ()
        else:
            _flush(pieces, ids)
            ids = []
            pieces.append(_filled(parts, i, fill(part), tokenizer) if isinstance(part, Slot) else part)
    _flush(pieces, ids)
    return tuple(pieces)


def _filled(parts: list[Piece | Segment | str], i: int, made: Fill, tokenizer: Tokenizer) -> Fill:
    """A slot with the texts around that are tokenised with its own, and room for them."""
    lead, tail = _lead(parts, i - 1) if i else "", _tail(parts, i + 1)
    around = len(tokenizer.encode(lead)) + (len(tokenizer.encode(tail)) + SEAM if tail else 0)
    return replace(made, lead=lead, tail=tail, cap=made.cap + around)


def _lead(parts: list[Piece | Segment | str], i: int) -> str:
    """The last space of a text before a slot."""
    part = parts[i]
    follows = i + 1 < len(parts) and isinstance(parts[i + 1], Slot)
    return " " if follows and isinstance(part, Text) and part.text.endswith(" ") else ""


def _tail(parts: list[Piece | Segment | str], i: int) -> str:
    """The text after a glued slot, less what is the next slot's lead."""
    before, part = parts[i - 1] if i else None, parts[i] if i < len(parts) else None
    if not (isinstance(before, Slot) and before.glued and isinstance(part, Text)):
        return ""
    return part.text[: len(part.text) - len(_lead(parts, i))]


def _flush(pieces: list[Piece], ids: list[int]) -> None:
    if ids:
        pieces.append(Static(tuple(ids)))


def leading_static(pieces: tuple[Piece, ...]) -> TokenIds:
    """The ids before the first slot or carried generation."""
    return pieces[0].ids if pieces and isinstance(pieces[0], Static) else ()
