"""Demonstrations that are retrieved: a neighbourhood of worked examples, embedded by their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flopwise.backends.embedders.registry import embedder
from flopwise.ir.index import key_text, weighted
from flopwise.modules.worked import Demo, Neighbourhood


def neighbourhood(demos: Sequence[Demo], by: str = "lexical", field: str = "question") -> Neighbourhood:
    using = embedder(by)
    raw = [using.embed(key_text([d.fields[field]])) for d in demos]
    weights = using.weights(raw)
    vectors = tuple(weighted(v, weights) for v in raw)
    return Neighbourhood(using.name, using.fingerprint, using.most_flops, tuple(demos), vectors, weights)


def pool_of(choice: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a config's demo values stand for: each row by its number, and all of them as what is retrieved from."""
    demos = [Demo(f"{i}@{choice}", dict(row)) for i, row in enumerate(rows)]
    return {choice: neighbourhood(demos), **{d.id: d for d in demos}}
