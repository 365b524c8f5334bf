"""Archon's rules of composition: which layers may follow which (Saad-Falcon et al., 2024, arXiv:2409.15254)."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import TraceError
from .archon_config import Layer

SEVERAL = ("generator", "fuser")  # what may stand beside others of its kind
Layers = tuple[Layer, ...]


def check_rules(layers: Layers) -> None:
    """Raise TraceError where a layer breaks a rule; names both."""
    for layer in layers:
        for rule in RULES:
            fault = rule(layers, layer)
            if fault:
                raise TraceError(f"from_archon: {layer}: {fault}")


def one_kind_a_layer(layers: Layers, layer: Layer) -> str | None:
    """Generators stand beside generators and fusers beside fusers; every other component stands alone."""
    types = list(dict.fromkeys(p.type for p in layer.parts))
    if len(types) > 1:
        return f"one kind of component a layer: it mixes {' and '.join(types)}; give each kind a layer of its own"
    if len(layer.parts) > 1 and layer.type not in SEVERAL:
        return f"one {layer.type} a layer: it has {len(layer.parts)}; only generators and fusers may be several"
    return None


def generators_first(layers: Layers, layer: Layer) -> str | None:
    """Generators come before all but the tests that they are shown; everything else needs candidates."""
    before = {other.type for other in layers[: layer.place - 1]}
    if layer.type == "generator" and before - {"generator", "unit_test_generator"}:
        return "generators first: they do not read the candidates of the layers before; move them to the front"
    if layer.type not in ("generator", "unit_test_generator") and "generator" not in before:
        return f"generators first: no layer before it gives the candidates that a {layer.type} needs"
    return None


def critic_before_ranker_or_fuser(layers: Layers, layer: Layer) -> str | None:
    """What a critic says is read by a ranker or a fuser; verifiers in between pass it on."""
    if layer.type != "critic":
        return None
    after = [other.type for other in layers[layer.place :] if other.type != "verifier"]
    if not after or after[0] not in ("ranker", "fuser"):
        return "a critic before a ranker or a fuser: none comes after it, and nothing else reads critiques"
    return None


def tests_before_their_evaluator(layers: Layers, layer: Layer) -> str | None:
    """Tests are written right before they are evaluated, or first of all, where the generators are shown them."""
    after = layers[layer.place].type if layer.place < len(layers) else ""
    if layer.type == "unit_test_generator" and after != "unit_test_evaluator" and (layer.place > 1 or not after):
        return "a unit_test_generator right before its unit_test_evaluator, or first of all: move it there"
    if layer.type == "unit_test_evaluator" and _tests_for(layers, layer) is None:
        return "a unit_test_evaluator needs tests: put a unit_test_generator right before it, or first of all"
    return None


def _tests_for(layers: Layers, evaluator: Layer) -> Layer | None:
    found = (layers[evaluator.place - 2], layers[0])
    return next((layer for layer in found if layer.type == "unit_test_generator"), None)


def ranker_says_how_many(layers: Layers, layer: Layer) -> str | None:
    """A ranker keeps its `top_k` best."""
    if layer.type == "ranker" and layer.parts[0].said.get("top_k") is None:
        return "a ranker says how many it keeps: `top_k` is missing"
    return None


RULES: tuple[Callable[[Layers, Layer], str | None], ...] = (
    one_kind_a_layer, generators_first, critic_before_ranker_or_fuser, tests_before_their_evaluator,
    ranker_says_how_many,
)  # fmt: skip
