"""Embedders by name."""

from __future__ import annotations

from functools import lru_cache

from ...errors import EngineError, WeightsError
from ...ir.graph import Graph
from ...ir.nodes import Retrieve
from ..engines.weights import embedder_path
from ._base import Embedder
from .lexical import LexicalEmbedder
from .minilm import MiniLmEmbedder

NAMES = (LexicalEmbedder.name, MiniLmEmbedder.name)


@lru_cache(maxsize=8)
def embedder(name: str) -> Embedder:
    """The embedder of that name, made once.

    Raises:
        EngineError: There is no such embedder.
        WeightsError: Its weights are not on this machine; says how to get them.
    """
    if name == LexicalEmbedder.name:
        return LexicalEmbedder()
    if name == MiniLmEmbedder.name:
        return MiniLmEmbedder(embedder_path(name))
    raise EngineError(f"embedder: one of {', '.join(NAMES)} is needed, but got {name!r}")


def embedder_of(name: str, fingerprint: str) -> Embedder:
    """The embedder that an index was made with.

    Raises:
        EngineError: There is no such embedder, or the one of that name is another than it was then.
        WeightsError: Its weights are not on this machine; says how to get them.
    """
    found = embedder(name)
    if found.fingerprint != fingerprint:
        raise EngineError(
            f"embedder {name!r} has fingerprint {found.fingerprint} here, but the index was made with {fingerprint}: "
            "vectors of the two do not compare; restore that one or compile again"
        )
    return found


def check_embedders(graph: Graph) -> None:
    """Refuse, before any query, a graph whose indexes were embedded by what is not here.

    Raises:
        EngineError: An embedder is unknown, or another than the one of its name was.
        WeightsError: Its weights are not on this machine.
    """
    for name, node in graph.walk():
        if isinstance(node.attrs, Retrieve):
            try:
                embedder_of(node.attrs.index.embedder, node.attrs.index.fingerprint)
            except (EngineError, WeightsError) as error:
                raise type(error)(f"node {name!r}: {error}") from error
