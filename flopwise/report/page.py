"""The report as one HTML file that needs nothing beside itself: no script, style, font or picture from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from ..ir.flops import format_flops
from . import charts, sections, words
from .costs import costs_of, node_views
from .engines import query_by_engine, spent_by_engine
from .found import DONE, Found
from .picture import picture

if TYPE_CHECKING:
    from jinja2 import Environment

# Control characters are no text in HTML; they are shown by their pictures.
_CONTROL = {i: chr(0x2400 + i) for i in range(32) if chr(i) not in "\t\n\r"} | {127: "\u2421"}
_CONTROL |= {i: f"\\x{i:02x}" for i in range(128, 160)} | {i: f"\\u{i:04x}" for i in (0xFFFE, 0xFFFF)}


def page(found: Found) -> str:
    """The whole page.

    Everything that a model or a user wrote is escaped, and a policy in the page lets no script run but its own.
    """
    report = sections.whole(found.report) if found.report else {}
    views = node_views(found)
    return _environment().get_template("page.html").render(
        found=found, report=report, done=found.stage == DONE, searched=bool(report), nodes=views,
        anchors={view.name: view.anchor for view in views},
        drawn=picture(found.graph, costs_of(found)) if found.graph is not None else None,
        measured=bool(report.get("nodes")), **(_search(report) if report else {}),
        models=words.models_text(found.provenance), by_engine=spent_by_engine(found), each=query_by_engine(found),
        config=sections.config(found.config), provenance=sections.provenance(found.provenance),
        demos=sections.cut(list(found.demos), sections.MOST_TEXTS), most_prompt=sections.MOST_PROMPT,
        style=_text("style.css"), script=_text("page.js"), policy=_policy(),
    )  # fmt: skip


def _search(report: Mapping[str, Any]) -> dict[str, Any]:
    """What only a search has."""
    rows = {row["number"]: row for row in report["tried"]}
    return {
        "front": report["front"], "front_chart": charts.front_chart(report), "race_chart": charts.race_chart(report),
        "tried": sections.tried(report), "events": sections.events(report), "spending": sections.spending(report),
        "refused": sections.cut(report["refused"], sections.MOST_TEXTS), "chosen": rows.get(report["chosen"]),
        "plain": rows.get(1), "answers": sections.answers(report), "proposed": sections.proposed(report),
    }  # fmt: skip


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import DictLoader, Environment, StrictUndefined

    names = ("page.html", "pipeline.html", "search.html", "answers.html", "sources.html", "charts.html")
    made = Environment(
        loader=DictLoader({name: _text(name) for name in names}), autoescape=True, undefined=StrictUndefined,
        finalize=_visible, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "flops": words.flops_text, "score": words.score_text, "gain": words.gain_text, "config": words.config_text,
        "percent": lambda share: f"{share:.1%}", "exact_flops": format_flops,
    }  # fmt: skip
    return made


def _visible(value: Any) -> Any:
    """What is written, without what HTML or UTF-8 cannot hold; markup of our own passes as it is."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return value.translate(_CONTROL).encode("utf-8", "backslashreplace").decode()


@lru_cache(maxsize=16)
def _text(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text("utf-8")


@lru_cache(maxsize=1)
def _policy() -> str:
    """What a browser may do with the page: apply its style and run its script, known by their hashes, nothing else."""
    return (
        f"default-src 'none'; style-src '{_hash('style.css')}'; script-src '{_hash('page.js')}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(name: str) -> str:
    digest = hashlib.sha256(_text(name).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
