"""Retrieval at run time: the query is embedded, the nearest items come back, the nearest last."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ...ir.index import Index, Item, Vector, key_text
from ...ir.nodes import Retrieve
from ...ir.record import Failure, Generation, Retrieved
from ..embedders._base import Embedder
from .meter import Meter
from .query import Query


async def retrieve(
    query: Query, node: str, attrs: Retrieve, values: Sequence[Any], held: float, meter: Meter
) -> list[dict[str, str]] | Failure:
    """The texts of the nearest items by part; what embedding the query takes is charged to it and to the meter.

    Args:
        query: The query that it is part of.
        node: Full dotted name of the node.
        attrs: What to retrieve.
        values: What the query's text is made of.
        held: FLOPs that the query holds for it, given back.
        meter: Counts the embedding.

    Raises:
        EngineError: The embedder is unknown, or is another than the index was made with.
        WeightsError: Its weights are not on this machine.
        BudgetError: The search's budget does not cover the embedding.
    """
    index = attrs.index
    embedder = _embedder(index)
    try:
        key = key_text(v.text if isinstance(v, Generation) else v for v in values)
    except ValueError as error:  # what JSON cannot say
        query.fuel.settle(held)
        return query.fail(node, f"the query cannot be written as text: {error}")
    vector = await embedded(embedder, key, meter)
    found = index.nearest(vector, key, attrs.k)[::-1]
    flops = embedder.flops(key) if query.targets.main.model.cost is not None else 0.0
    query.fuel.settle(held, flops)
    query.trace.flops += flops
    query.trace.retrieved.append(Retrieved(node, tuple(item.id for item in found), flops))
    return [_texts(index, item) for item in found]


def _texts(index: Index, item: Item) -> dict[str, str]:
    return dict(zip(index.parts, item.texts, strict=True))


def _embedder(index: Index) -> Embedder:
    from ..embedders.registry import embedder_of

    return embedder_of(index.embedder, index.fingerprint)


async def embedded(embedder: Embedder, text: str, meter: Meter) -> Vector:
    """The vector of a text, its FLOPs held before and charged after; what is still remembered costs nothing.

    Raises:
        BudgetError: The meter's cap does not cover it.
    """
    if not embedder.most_flops:
        return embedder.embed(text)
    if (known := _recent(embedder.fingerprint).get(text)) is not None:
        return known
    flops = embedder.flops(text)
    meter.hold(flops)
    try:
        # A model takes some hundredths of a second, in which the loop has other work.
        vector = await asyncio.to_thread(embedder.embed, text)
    except BaseException:
        meter.release(flops)
        raise
    meter.release(flops)
    meter.charge(flops)
    return _remember(embedder.fingerprint, text, vector)


_MOST_REMEMBERED = 1024


@lru_cache(maxsize=4)
def _recent(fingerprint: str) -> dict[str, Vector]:
    """Vectors of the texts that were embedded last: the configs of a search meet the same examples."""
    return {}


def _remember(fingerprint: str, text: str, vector: Vector) -> Vector:
    recent = _recent(fingerprint)
    if len(recent) >= _MOST_REMEMBERED:
        recent.pop(next(iter(recent)))
    recent[text] = vector
    return vector
