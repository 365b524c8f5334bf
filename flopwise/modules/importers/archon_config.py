"""What an Archon config says: its layers of components."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ...errors import TraceError
from ..settings import is_number

TYPES = ("generator", "critic", "ranker", "fuser", "verifier", "unit_test_generator", "unit_test_evaluator")


@dataclass(frozen=True)
class Component:
    """One component of a layer.

    Attributes:
        type: One of TYPES.
        label: The model's name, as a part of a dotted name; numbered where a layer has it again.
        samples: How often it is drawn.
        temperature: What it is drawn at; None where not said.
        max_tokens: Most tokens of a reply; None where not said.
        said: All that the config says of it.
    """

    type: str
    label: str
    samples: int
    temperature: float | None
    max_tokens: int | None
    said: Mapping[str, Any]

    @property
    def decoding(self) -> dict[str, Any]:
        """The settings that every module has, where they are said."""
        own = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {k: v for k, v in own.items() if v is not None}

    def number(self, where: str, key: str) -> int | None:
        """A whole number that it may say."""
        value = self.said.get(key)
        return None if value is None else _whole(where, key, value)


@dataclass(frozen=True)
class Layer:
    """Components that stand side by side; `place` is counted from 1."""

    place: int
    parts: tuple[Component, ...]

    @property
    def type(self) -> str:
        """What its components are."""
        return self.parts[0].type

    def __str__(self) -> str:
        return f"layer {self.place} ({self.type})"


def layers_of(source: str | Path | Mapping[str, Any]) -> tuple[Layer, ...]:
    """The layers of a config, or of the JSON file that it is in.

    Raises:
        TraceError: It is no config; names the layer and what is wrong.
    """
    config = source if isinstance(source, Mapping) else _read(Path(source))
    rows = config.get("layers")
    if not isinstance(rows, list) or not rows:
        raise TraceError(f"from_archon: `layers` must be a list of layers, but got {rows!r:.100}")
    return tuple(_layer(i, row) for i, row in enumerate(rows, 1))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TraceError(f"from_archon: {path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise TraceError(f"from_archon: {path}: is no JSON: {error}") from None
    if not isinstance(config, Mapping):
        raise TraceError(f"from_archon: {path}: a config is an object with `layers`, but got {config!r:.100}")
    return config


def _layer(place: int, row: Any) -> Layer:
    """A layer: a list of components, or a single one, or the older form with `models` and `branches`."""
    branches = 1
    if isinstance(row, Mapping) and "models" in row:
        branches = _whole(f"layer {place}", "branches", row.get("branches", 1))
        row = row["models"]
    rows = [row] if isinstance(row, Mapping) else row
    if not isinstance(rows, list) or not rows or not all(isinstance(r, Mapping) for r in rows):
        raise TraceError(f"from_archon: layer {place}: must be a list of components, but got {row!r:.100}")
    parts: list[Component] = []
    for i, said in enumerate(rows, 1):
        parts.append(_component(f"layer {place}, component {i}", said, branches, {p.label for p in parts}))
    return Layer(place, tuple(parts))


def _component(where: str, said: Mapping[str, Any], branches: int, taken: set[str]) -> Component:
    kind = said.get("type")
    if kind not in TYPES:
        raise TraceError(f"from_archon: {where}: `type` must be one of {', '.join(TYPES)}, but got {kind!r}")
    model, temperature = said.get("model"), said.get("temperature")
    if not isinstance(model, str) or not model:
        raise TraceError(f"from_archon: {where} ({kind}): `model` must be a name, but got {model!r}")
    if temperature is not None and not (is_number(temperature) and 0 <= temperature < math.inf):
        raise TraceError(f"from_archon: {where} ({kind}): `temperature >= 0` must hold, but got {temperature!r}")
    most = said.get("max_tokens")
    return Component(
        kind,
        _label(model, taken),
        _whole(where, "samples", said.get("samples", 1)) * branches,
        temperature,
        None if most is None else _whole(where, "max_tokens", most),
        said,
    )


def _whole(where: str, key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TraceError(f"from_archon: {where}: a whole number `{key} >= 1` is needed, but got {value!r}")
    return value


def _label(model: str, taken: set[str]) -> str:
    """The model's name without who made it; a dot would divide a dotted name."""
    own = re.sub(r"[^A-Za-z0-9-]+", "_", model.rsplit("/", 1)[-1]).strip("_") or "model"
    numbered = (f"{own}_{i}" for i in count(2))
    return own if own not in taken else next(n for n in numbered if n not in taken)
