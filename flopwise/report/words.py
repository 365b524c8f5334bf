"""Scores, FLOPs and configs in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.flops import format_flops

MOST_VALUE = 60  # characters of a choice's value


def score_text(score: Mapping[str, float] | None) -> str:
    """A score with its interval."""
    return f"{score['mean']:.1%} [{score['low']:.1%}, {score['high']:.1%}]" if score else "-"


def gain_text(gain: Mapping[str, Any]) -> str:
    """A paired difference in points, with its interval and its p-value."""
    mean, low, high = (100 * gain["difference"][k] for k in ("mean", "low", "high"))
    return f"{mean:+.1f} points [{low:+.1f}, {high:+.1f}], p {p_text(gain['p'])}"


def models_text(noted: Mapping[str, Any]) -> str:
    """The main engine's model, then those of the others by the engines' names; "" where none was noted."""
    others = [f"{name} on {known['model']}" for name, known in noted.get("engines", {}).items()]
    return ", ".join([noted["model"], *others]) if noted.get("model") else ""


def p_text(p: float) -> str:
    """A p-value with its relation sign: below a thousandth the order of magnitude is what counts."""
    return f"= {p:.3f}" if p >= 0.001 else f"= {p:.0e}"


def flops_text(flops: float) -> str:
    """FLOPs for people, "-" where there were none."""
    return format_flops(flops) if flops else "-"


def config_text(config: Mapping[str, Any]) -> str:
    """A config on one line: choices of the branch taken go by their last names, demo sets are counted.

    Of a long text, such as an instruction, the beginning is shown.
    """
    parts = []
    for name, value in sorted(config.items(), key=lambda item: item[0].count(".")):
        short = _short_name(name, config)
        parts.append(f"{short}={_value_text(value)}")
    return " ".join(parts)


def _value_text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return str(len(value))
    if isinstance(value, float):
        return f"{value:g}"
    line = " ".join(str(value).split())
    shown = line if len(line) <= MOST_VALUE else f"{line[: MOST_VALUE - 3]}..."
    return f"{shown!r}" if " " in shown else shown


def _short_name(name: str, config: Mapping[str, Any]) -> str:
    """`draft.Predict.demos` as `demos` where draft is Predict and no other choice is called so."""
    last = name.rsplit(".", 1)[-1]
    return name if sum(other.rsplit(".", 1)[-1] == last for other in config) > 1 else last
