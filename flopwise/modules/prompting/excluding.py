"""What Exclusion does with options: a Score of each, which of them are left, and which of those the answer is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...ir.builder import Builder
from ...ir.nodes import Type
from ...ir.prompt import Ref, Slot, Text
from ...ir.schemas import ANYTHING, STRING, Field, Schema
from ...ir.types import render_value
from ..computed import computation
from ..template import Writer

VERDICTS = ("Contradiction", "Neutral", "Entailment")
_JUDGED = Schema("Judged", "", (), (Field("option", STRING), Field("contradiction", ANYTHING)))


def judge(b: Builder, schema: Schema, inputs: dict[str, Ref], options: Ref, most: int, answer: str) -> Ref:
    """A record for each option, side by side: its text, and the probability that it is contradicted.

    Args:
        b: Gets the region.
        schema: The signature.
        inputs: Its inputs; they come before the option, so that all options share them.
        options: A list of texts.
        most: Most options.
        answer: What the options are for, in words.
    """
    technique = (
        f"Compare the suggested {answer} at the end with what is given and what is known. Say Contradiction if it "
        "cannot be right, Entailment if it follows, and Neutral if it may be right or not. Say that one word only."
    )

    def body(inner: Builder) -> tuple[Ref, ...]:
        option = inner.input("option", Type("value"))
        given = {name: inner.input(f"given.{name}", Type("value")) for name in inputs}
        prompt = Writer(schema).prompt(inner, given, technique=technique)
        *before, last = prompt.messages
        said = (*last.segments, Text(f"\nSuggested {answer}: "), Slot(option))
        prompt = replace(prompt, messages=(*before, replace(last, segments=said)))
        score = inner.score("contradiction", prompt, VERDICTS)
        return (inner.pack("judged", _JUDGED, {"option": option, "contradiction": score}),)

    bind = {"option": options, **{f"given.{name}": ref for name, ref in inputs.items()}}
    kind = Type("record", _JUDGED, many=True)
    return b.loop("judge", "map", b.region("judge", body, _JUDGED), bind, most, kind, required=most)


@computation
def each_text(values: list[Any]) -> list[str]:
    """Values as they stand in prompts."""
    return [render_value(v) for v in values]


@computation
def left_of(judged: list[Any], threshold: float) -> dict[str, Any]:
    """The options that are less likely contradicted than the threshold, or all where none is; the likeliest of them."""
    kept = [r for r in judged if r.contradiction < threshold] or judged
    options = [r.option for r in kept]
    likeliest = min(kept, key=lambda r: r.contradiction).option if kept else ""
    text = "".join(f"\n- {o}" for o in options) or "(any)"
    return {"options": options, "text": text, "likeliest": likeliest, "one": len(options) == 1}


@computation
def held_to(answer: Any, left: dict[str, Any], values: list[Any]) -> Any:
    """The answer where it is left, else the likeliest option that is."""
    text = render_value(answer)
    wanted = text if text in left["options"] else left["likeliest"]
    return next(v for v in values if render_value(v) == wanted)


@computation
def value_of(left: dict[str, Any], values: list[Any]) -> Any:
    """The value of the likeliest option."""
    return next(v for v in values if render_value(v) == left["likeliest"])
