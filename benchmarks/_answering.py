"""Typed questions in flopwise and in DSPy, each on an engine whose replies are ready before they are asked for."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import Any

SIGNATURE = "question -> answer: int"
ANSWERS = range(10, 1010)  # taken in turn, so that nothing which remembers an output can pass for speed

Batch = Callable[[list[str]], Awaitable[None]]  # answers each question


def instant_engine() -> Any:
    """A flopwise engine whose replies were made beforehand: all it does for a request is to hand out the next one."""
    from flopwise import ScriptedEngine
    from flopwise.ir.request import Reply, Sample, Usage

    class Instant(ScriptedEngine):
        def __init__(self) -> None:
            super().__init__()
            texts = [str(answer) for answer in ANSWERS]
            made = [Sample(self.tokenizer.encode(text), text, "stop", len(text) + 1) for text in texts]
            self.replies = cycle([Reply((sample,), Usage(0, sample.tokens)) for sample in made])

        async def generate(self, request: Any) -> Any:
            return next(self.replies)

    return Instant()


def flopwise_batch(bank: Any = None, at_once: bool = False) -> tuple[Batch, Callable[[], None]]:
    """A batch through a flopwise pipeline in the running event loop, and what closes it.

    Args:
        bank: A SampleBank to keep the samples in; None for none.
        at_once: All calls of a batch side by side; else one after another.
    """
    import flopwise as fw

    engine = instant_engine()
    pipeline = fw.lower(fw.Predict(SIGNATURE), engine=engine, bank=bank)
    due = cycle(ANSWERS)

    async def one_by_one(questions: list[str]) -> None:
        for question in questions:
            record = await pipeline.acall(question=question)
            assert record.answer == next(due)

    async def side_by_side(questions: list[str]) -> None:
        records = await asyncio.gather(*[pipeline.acall(question=question) for question in questions])
        assert sorted(record.answer for record in records) == sorted(next(due) for _ in questions)

    def close() -> None:
        pipeline.close()
        engine.close()

    return (side_by_side if at_once else one_by_one), close


def engine_batch() -> Batch:
    """The engine alone: its own part of each call."""
    engine = instant_engine()

    async def batch(questions: list[str]) -> None:
        for question in questions:
            await engine.generate(question)

    return batch


def dspy_batch(engine: bool) -> Batch:
    """A batch through `dspy.Predict`, called as ordinary code calls it, cache off.

    Args:
        engine: Answer through `dspy.LM(engine=...)`, the interface that DSPy recommends; else through a subclass of
            `dspy.BaseLM`.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it asks the network for prices at import
    import dspy

    warnings.filterwarnings("ignore", module="dspy")
    lm = dspy.LM("instant", engine=_instant_engine(), cache=False) if engine else _instant_lm()
    predict = dspy.Predict(SIGNATURE)
    due = cycle(ANSWERS)

    async def batch(questions: list[str]) -> None:
        with dspy.context(lm=lm):
            for question in questions:
                assert predict(question=question).answer == next(due)

    return batch


_SAID = "[[ ## answer ## ]]\n{}\n\n[[ ## completed ## ]]"


def _instant_engine() -> Any:
    from dspy import lm15

    usage = lm15.Usage(input_tokens=1, output_tokens=1)

    def response(answer: int) -> Any:
        message = lm15.Message(role="assistant", parts=(lm15.TextPart(text=_SAID.format(answer)),))
        return lm15.Response(id="1", model="instant", message=message, finish_reason="stop", usage=usage)

    responses = cycle([response(answer) for answer in ANSWERS])

    class Instant:
        def complete(self, request: Any) -> Any:
            return next(responses)

        def stream(self, request: Any) -> Any:
            raise NotImplementedError("nothing streams here")

        def close(self) -> None:
            """Nothing to close."""

    return Instant()


def _instant_lm() -> Any:
    import dspy
    from litellm import ModelResponse

    def response(answer: int) -> Any:
        message = {"role": "assistant", "content": _SAID.format(answer)}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return ModelResponse(model="instant", choices=[{"message": message, "finish_reason": "stop"}], usage=usage)

    responses = cycle([response(answer) for answer in ANSWERS])

    class Instant(dspy.BaseLM):  # type: ignore[misc]  # DSPy has no types
        def forward(self, prompt: Any = None, messages: Any = None, **settings: Any) -> Any:
            return next(responses)

    return Instant("instant", cache=False)
