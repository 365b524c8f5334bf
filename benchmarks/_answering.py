"""One typed question in flopwise and in DSPy, each on an engine that answers at once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

SIGNATURE = "question -> answer: int"
ANSWER = 42

Batch = Callable[[list[str]], Awaitable[None]]  # answers each question, one after another


def flopwise_batch(bank: Any = None) -> tuple[Batch, Callable[[], None]]:
    """A batch through a flopwise pipeline in the running event loop, and what closes it.

    Args:
        bank: A SampleBank to keep the samples in; None for none.
    """
    import flopwise as fw

    engine = fw.ScriptedEngine(default=str(ANSWER))
    pipeline = fw.lower(fw.Predict(SIGNATURE), engine=engine, bank=bank)

    async def batch(questions: list[str]) -> None:
        for question in questions:
            record = await pipeline.acall(question=question)
            assert record.answer == ANSWER
        engine.asked.clear()

    def close() -> None:
        pipeline.close()
        engine.close()

    return batch, close


def engine_batch() -> Batch:
    """The scripted engine alone, asked for what flopwise asks it: its own part of each call."""
    import flopwise as fw
    from flopwise.ir.request import GenerateRequest

    engine = fw.ScriptedEngine(default=str(ANSWER))
    pipeline = fw.lower(fw.Predict(SIGNATURE), engine=engine)

    async def batch(questions: list[str]) -> None:
        for _ in questions:
            await engine.generate(request)
        engine.asked.clear()

    pipeline(question="What is 1 plus 2?")
    request = engine.asked[0]
    assert isinstance(request, GenerateRequest)
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

    async def batch(questions: list[str]) -> None:
        with dspy.context(lm=lm):
            for question in questions:
                assert predict(question=question).answer == ANSWER

    return batch


_SAID = f"[[ ## answer ## ]]\n{ANSWER}\n\n[[ ## completed ## ]]"


def _instant_engine() -> Any:
    from dspy import lm15

    message = lm15.Message(role="assistant", parts=(lm15.TextPart(text=_SAID),))
    usage = lm15.Usage(input_tokens=1, output_tokens=1)
    response = lm15.Response(id="1", model="instant", message=message, finish_reason="stop", usage=usage)

    class Instant:
        def complete(self, request: Any) -> Any:
            return response

        def stream(self, request: Any) -> Any:
            raise NotImplementedError("nothing streams here")

        def close(self) -> None:
            """Nothing to close."""

    return Instant()


def _instant_lm() -> Any:
    import dspy
    from litellm import ModelResponse

    response = ModelResponse(
        model="instant",
        choices=[{"message": {"role": "assistant", "content": _SAID}, "finish_reason": "stop"}],
        usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    )

    class Instant(dspy.BaseLM):  # type: ignore[misc]
        def forward(self, prompt: Any = None, messages: Any = None, **settings: Any) -> Any:
            return response

    return Instant("instant", cache=False)
