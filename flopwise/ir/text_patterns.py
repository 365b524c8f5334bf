"""Regular expressions of texts as JSON strings: of any length, of some length, or of a user's pattern."""

from __future__ import annotations

import re
from typing import Any

# One character of a JSON string. Of the numeric escapes only those that JSON cannot do without: of all of them, half a
# pair could come out.
CHARACTER = r'([^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u00[0-9a-fA-F]{2})'
# The same where characters are counted, less what nobody writes: each alternative makes every count larger.
COUNTED = r'([^"\\\x00-\x1f]|\\["\\/bfnrt])'
COUNTED_BYTES = 4  # longest of them
_DOZEN = 12
TEXT_BOUNDS = frozenset(("minLength", "maxLength", "pattern"))
# A user's pattern of a text, part by part: what is read here means the same to pydantic and to grammar engines.
_PART = re.compile(
    r"""(?P<class>\[\^?(?:[^\]\[\\"^]|\\[dw.\-+*/])+\])|(?P<escape>\\[dw.\-+*?|(){}\[\]/^$])|(?P<count>\{[0-9]+(?:,[0-9]*)?\})
    |(?P<group>\(\?:)|(?P<bracket>\((?!\?))|(?P<operator>[)|]|[?*+](?![?+]))|(?P<dot>\.)
    |(?P<plain>[^\\\[\]{}()|?*+.^$"\x00-\x1f])""",
    re.VERBOSE,
)
_RANGE = re.compile(r"(\\?[^\\])-(\\?[^\\])", re.DOTALL)
_CLASSES = {r"\d": "0-9", r"\w": "a-zA-Z0-9_"}


def text_pattern(schema: dict[str, Any]) -> str | None:
    """The regular expression of a text as a JSON string; None for a pattern that cannot be taken over."""
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if "pattern" in schema:
        inner = None if least or most is not None else _inside_json(schema["pattern"])
        return None if inner is None else f'"({inner})"'
    if most is None:
        return f'"{CHARACTER}{{{least},}}"' if least else f'"{CHARACTER}*"'
    return f'"{_characters(least, most)}"' if least <= most and most else '""'


def _characters(least: int, most: int) -> str:
    """From `least` to `most` characters; many of them by the dozen, since engines lay out every single one."""
    if most <= 2 * _DOZEN:
        return f"{COUNTED}{{{least},{most}}}"
    first = _exactly(least) if least else ""
    dozens, rest = divmod(most - least, _DOZEN)
    if not dozens:
        return first + (f"{COUNTED}{{0,{rest}}}" if rest else "")
    fewer = f"({COUNTED}{{{_DOZEN}}}){{0,{dozens - 1}}}{COUNTED}{{0,{_DOZEN - 1}}}"
    return f"{first}({fewer}|{_exactly(dozens * _DOZEN)}{f'{COUNTED}{{0,{rest}}}' if rest else ''})"


def _exactly(count: int) -> str:
    dozens, rest = divmod(count, _DOZEN)
    parts = [f"({COUNTED}{{{_DOZEN}}}){{{dozens}}}"] if dozens else []
    return "".join([*parts, f"{COUNTED}{{{rest}}}"] if rest else parts)


def _inside_json(pattern: str) -> str | None:
    """A pattern for whole texts, such that they need no escapes in JSON: allows no text that the given one does not."""
    body = pattern[pattern.startswith("^") :]
    body = body[:-1] if re.search(r"(?<!\\)\$$", body) else body
    out, at = [], 0
    while at < len(body):
        part = _PART.match(body, at)
        if part is None:
            return None
        out.append(_written(part))
        at = part.end()
    return "".join(out)


def _written(part: re.Match[str]) -> str:
    text = part.group()
    match part.lastgroup:
        case "dot":
            return r'[^"\\\x00-\x1f]'
        case "group":
            return "("
        case "escape":
            return f"[{_CLASSES[text]}]" if text in _CLASSES else text.replace(r"\-", "-").replace(r"\/", "/")
        case "class":
            inner = re.sub(r"\\[dw]", lambda m: _CLASSES[m.group()], text[1:-1])
            if not inner.startswith("^"):
                return f"[{re.sub(_RANGE, _unquoted, inner)}]"
            if re.search(r"\\[dw]", text):  # to pydantic these mean more than ASCII: only ASCII is let through
                out = re.compile(f'[{inner[1:]}]|["\\\\]')
                return f"[{''.join(_end(c) for c in range(0x20, 0x7F) if not out.match(chr(c)))}]"
            inner = re.sub(r"(?<!\\)-$", r"\-", inner)  # or it would make a range with what follows
            return rf'[{inner}"\\\x00-\x1f]'
    return text


def _unquoted(span: re.Match[str]) -> str:
    """A range of characters less the quote and the backslash, which JSON writes with escapes."""
    first, last = (ord(end[-1]) for end in span.groups())
    parts: list[tuple[int, int]] = []
    for barred in (ord('"'), ord("\\")):
        if first <= barred <= last:
            parts, first = [*parts, (first, barred - 1)], barred + 1
    parts = [(a, b) for a, b in [*parts, (first, last)] if a <= b]
    return "".join(_end(a) if a == b else f"{_end(a)}-{_end(b)}" for a, b in parts)


def _end(code: int) -> str:
    return re.sub(r"([\[\]\\^.*+/-])", r"\\\1", chr(code))
