"""The embedded inputs of demonstrations: once for a search, kept in its study, charged to its budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..backends.embedders._base import Embedder
from ..backends.runtime.retrieve import embedded
from ..errors import BudgetError
from ..ir.flops import format_flops
from ..ir.index import Vector, key_text, weighted
from ..modules.worked import Demo, Neighbourhood
from .evaluate import Evaluator


@dataclass(frozen=True)
class Embedded:
    """Vectors of demonstrations.

    Attributes:
        vectors: One for each, its dimensions weighted; () where there are none.
        weights: What each dimension counts.
        flops: FLOPs that they take.
        why: Why there are none.
    """

    vectors: tuple[Vector, ...] = ()
    weights: Vector = ()
    flops: float = 0.0
    why: str = ""


async def embed_inputs(
    evaluator: Evaluator, embedder: Embedder, choice: str, demos: Sequence[Demo], inputs: Sequence[str], left: float
) -> Embedded:
    """The vectors of the demonstrations' inputs; those of a study that goes on are read from it.

    Args:
        evaluator: Whose store keeps them and whose meter is charged.
        embedder: Makes them.
        choice: Name of the demo choice.
        demos: The demonstrations.
        inputs: Names of the fields that they are compared by.
        left: FLOPs that may be used.
    """
    if len(demos) < 2:
        return Embedded(why="fewer than two demonstrations")
    texts = [key_text(d.fields.get(name) for name in inputs) for d in demos]
    flops = sum(embedder.flops(text) for text in texts)
    if flops > left:
        return Embedded(why=f"embedding takes {format_flops(flops)}, more than is left for demonstrations")
    name = f"vectors/{embedder.fingerprint}/{choice}"
    known = evaluator.store.fact(name)
    if known is None or known["ids"] != [d.id for d in demos]:
        try:
            raw = [await embedded(embedder, text, evaluator.schedulers.main.meter) for text in texts]
        except BudgetError as error:
            known = {"ids": [d.id for d in demos], "vectors": [], "why": str(error)}
        else:
            known = {"ids": [d.id for d in demos], "vectors": raw, "why": ""}
        evaluator.store.set_fact(name, known)
    if known["why"]:
        return Embedded(why=known["why"])
    raw = [tuple(vector) for vector in known["vectors"]]
    weights = embedder.weights(raw)
    return Embedded(tuple(weighted(v, weights) for v in raw), weights, flops)


def neighbourhood(embedder: Embedder, demos: Sequence[Demo], made: Embedded) -> Neighbourhood | None:
    """What a module retrieves its demonstrations from; None where nothing embedded them."""
    if not made.vectors:
        return None
    name, fingerprint, most = embedder.name, embedder.fingerprint, embedder.most_flops
    return Neighbourhood(name, fingerprint, most, tuple(demos), made.vectors, made.weights)
