"""SGLang and Transformers believe the same of the same weights.

Both compute in float32 here. In bfloat16 rounding alone moves a probability further than these two may be apart: by up
to 0.08 in each of them, against the same model in float32.
"""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any

from flopwise.backends.engines.registry import engine as make
from flopwise.backends.engines.testing import prompt
from flopwise.ir.request import ScoreRequest
from tests.sglang.conftest import MakeServer

MOST = 0.02
THINGS = (
    *("the sea", "a stone", "the number seven", "Paris", "a whale", "fire", "the moon", "an honest man", "snow"),
    *("a bicycle", "gold", "the year 1066", "silence", "a novel", "rain", "a triangle", "the Nile", "sleep", "iron"),
    "an apple",
)
QUESTIONS = (
    "Is {} larger than a house?",
    "Someone says that {} is alive. Is that true?",
    "Can one hold {} in one hand?",
    "Here is a fact. People have written about {} for a very long time, in many languages and for many reasons, "
    "and they do not agree. Would a child of six know what {} is?",
    "1. {}\n2. {}\n3. something else\nAre the first two the same?",
)


def yes(engine: Any, question: str) -> ScoreRequest:
    ids = prompt(engine, f"{question} Answer with Yes or No only.")
    return ScoreRequest(ids, tuple(engine.tokenizer.encode(c)[0] for c in ("Yes", "No")))


def asked(engine: Any, questions: list[str]) -> list[float]:
    async def all_of_them() -> list[float]:
        scores = await asyncio.gather(*(engine.score(yes(engine, q)) for q in questions))
        return [s.probabilities[0] for s in scores]

    try:
        return asyncio.run(all_of_them())
    finally:
        engine.close()


def test_a_hundred_prompts_get_the_same_probability_of_yes(make_server: MakeServer, capsys: Any) -> None:
    questions = [question.format(thing, thing) for thing, question in product(THINGS, QUESTIONS)]
    assert len(set(questions)) == 100
    server = make_server("--dtype", "float32")
    served = asked(make(f"sglang:{server.url}"), questions)
    reference = asked(make(f"transformers:{server.model}", device="cpu", dtype="float32"), questions)
    apart = [abs(a - b) for a, b in zip(served, reference, strict=True)]
    with capsys.disabled():
        print(
            f"\nP(yes) of 100 prompts, {min(reference):.3f} to {max(reference):.3f}: "
            f"largest difference {max(apart):.1e}, mean {sum(apart) / 100:.1e}"
        )
    assert max(apart) <= MOST
    assert max(reference) - min(reference) > 0.2  # they are no constant
