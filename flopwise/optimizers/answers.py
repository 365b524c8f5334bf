"""The examples on which a config and the plain prompt differ, with the answers of both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..ir.schemas import Schema
from .cells import CellStore
from .data import Example

MOST_EACH = 50  # examples kept of those won, and of those lost
MOST_TEXT = 2_000  # characters kept of a value


def answers(
    store: CellStore, schema: Schema, split: str, examples: Sequence[Example], ours: str, plain: str
) -> dict[str, Any]:
    """What two configs said on examples that both have met, where one scored higher; the rest is counted.

    Args:
        store: Holds the cells.
        schema: The program's inputs and outputs.
        split: The set that the examples are of, such as "holdout".
        examples: The examples.
        ours: Key of the config whose examples are won and lost.
        plain: Key of the config that it is compared with.

    Returns:
        `split`, `n` examples compared, how many were `won` and `lost`, and `rows`: at most 50 of each kind, with `id`,
        `inputs`, `label`, and of `ours` and `plain` each `score`, `answer` and why it `failed`. Values are texts.
    """
    first, second = store.details(split, ours), store.details(split, plain)
    both = [e for e in examples if e.id in first and e.id in second]
    won = [e for e in both if first[e.id]["score"] > second[e.id]["score"]]
    lost = [e for e in both if first[e.id]["score"] < second[e.id]["score"]]
    shown = [*won[:MOST_EACH], *lost[:MOST_EACH]]
    rows = [_row(e, schema, first[e.id], second[e.id]) for e in shown]
    return {"split": split, "n": len(both), "won": len(won), "lost": len(lost), "rows": rows}


def without_examples(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report without the examples themselves: how many were won and lost stays, their texts and answers go."""
    kept = dict(report)
    if kept.get("answers"):
        kept["answers"] = {**kept["answers"], "rows": []}
    if kept.get("winner"):  # at another point of the front a report keeps what it said of the winner
        kept["winner"] = without_examples(kept["winner"])
    return kept


def _row(example: Example, schema: Schema, ours: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": example.id,
        "inputs": _texts(example.inputs(schema).items()),
        "label": _texts(example.outputs(schema).items()),
        "ours": _said(ours, schema),
        "plain": _said(plain, schema),
    }


def _said(cell: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    said = {} if cell["failed"] else cell["prediction"]
    answer = _texts((name, said[name]) for name in schema.output_names if name in said)
    return {"score": cell["score"], "answer": answer, "failed": _cut(cell["failed"])}


def _texts(values: Iterable[tuple[str, Any]]) -> dict[str, str]:
    return {name: _cut(value if isinstance(value, str) else _as_json(value)) for name, value in values}


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} ... ({len(text) - MOST_TEXT:,} characters more)"
