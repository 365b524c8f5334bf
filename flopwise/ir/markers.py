"""Replies whose fields stand after markers: `[[ ## name ## ]]` at the beginning of a line.

The format is that of DSPy's ChatAdapter (Khattab et al., 2023, arXiv:2310.03714).
"""

from __future__ import annotations

import re

END = "[[ ## completed ## ]]"
_MARKER = re.compile(r"\[\[ ## (\w+) ## \]\]")


def marked_fields(text: str) -> dict[str, str]:
    """The text after each marker up to the next, without white space around it, by the marker's name, in order.

    Of two markers of one name the first counts; what stands before all of them is passed over.
    """
    sections: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        found = _MARKER.match(line.strip())
        if found:
            sections.append((found[1], [line.strip()[found.end() :]]))
        else:
            sections[-1][1].append(line)
    fields: dict[str, str] = {}
    for name, lines in sections[1:]:
        fields.setdefault(name, "\n".join(lines).strip())
    return fields
