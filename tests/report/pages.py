"""Reads a report as a browser would, and refuses what is no sound HTML."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "input", "link"}
EMPTY_SVG = {"rect", "path", "line", "circle"}


class Page(HTMLParser):
    """A page: its elements as (tag, attributes), and the text in each element that has an id.

    Attributes:
        tags: Every element, in order.
        texts: The whole text inside the elements with an id, by id; under "" all of it.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {"": ""}
        self._open: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(ids) == len(set(ids)), "an id stands twice"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self._open.append((tag, attributes.get("id", "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in EMPTY_SVG, f"<{tag}/> closes itself in SVG alone"
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1][0] == tag, f"</{tag}> closes {self._open[-1:]}"
        self.handle_data(" ")
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for name in {"", *(id for _, id in self._open)}:
            self.texts[name] = self.texts.get(name, "") + data

    def text(self, id: str = "") -> str:
        """The text of an element, spaces as one."""
        return " ".join(self.texts.get(id, "").split())

    def links(self) -> set[str]:
        """Whatever any attribute points to."""
        return {v for _, a in self.tags for k, v in a.items() if k in ("href", "src", "srcset", "xlink:href", "action")}
