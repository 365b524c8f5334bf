"""A DSPy chain of thought over a task: compiled by DSPy itself, saved, and asked, with what it sent written down."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError

from flopwise.backends.engines._base import Engine

from ..tasks import Rows, Task
from ._base import Row
from .chat import billed, chat_ids
from .dspy_lm import EngineLM
from .dspy_methods import examples, signature_of

_THREADS = 50  # as many are under way in flopwise, so that both have like batches
Correct = Callable[[Any, Any], bool]


class WatchedLM(EngineLM):
    """EngineLM that tells what it was asked and what it said, in the thread that asked."""

    def __init__(self, engine: Engine, folder: Path, max_tokens: int) -> None:
        super().__init__(engine, folder, 0.0, max_tokens)
        self.seen = threading.local()

    def forward(self, prompt: str | None = None, messages: Any = None, **settings: Any) -> Any:
        """The completions of a chat; its ids and the first completion are added to `seen.asked`."""
        reply = super().forward(prompt, messages, **settings)
        if hasattr(self.seen, "asked"):
            ids = chat_ids(messages, self.chat.engine.tokenizer)
            self.seen.asked.append((ids, reply.choices[0].message.content))
        return reply


def compiled_state(task: Task, lm: WatchedLM, train: Rows, correct: Correct, path: Path) -> Path:
    """The state of the program that BootstrapFewShot makes of it, saved by DSPy; made once.

    Its demonstrations are runs of its own, with reasoning: shown labelled examples, which have none, this size of model
    leaves it out, too.
    """
    if not path.exists():
        trainset = examples(task, train)

        def metric(example: Any, prediction: Any, trace: Any = None) -> bool:
            return correct(example.answer, prediction.answer)

        optimizer = dspy.BootstrapFewShot(
            metric=metric, max_bootstrapped_demos=3, max_labeled_demos=0, max_errors=len(trainset)
        )
        with dspy.context(lm=lm):
            compiled = optimizer.compile(dspy.ChainOfThought(signature_of(task)), trainset=trainset)
        compiled.set_lm(lm)  # so that the state says how much it may write
        part = path.with_name("part.json")
        compiled.save(part)
        part.replace(path)
    return path


def answered(task: Task, lm: WatchedLM, state: Path, test: Rows) -> list[Row]:
    """One row a question: the answer (None where nothing parsed), what it cost, and each prompt's ids and reply."""
    program = dspy.ChainOfThought(signature_of(task))
    saved = json.loads(state.read_text("utf-8"))
    # The state names this class of models, which DSPy imports for nobody; the model is put back as it was.
    program.load_state({"predict": {**saved["predict"], "lm": None}})
    program.set_lm(lm)

    def one(row: Any) -> Row:
        lm.seen.asked = []
        with billed() as bill:
            try:
                answer = program(question=row["question"]).answer
            except AdapterParseError:
                answer = None
        lm.chat.check()
        return {
            "answer": answer, "flops": bill.flops, "requests": bill.requests, "prompt": bill.prompt,
            "cached": bill.cached, "completion": bill.completion,
            "asked": [(list(ids), text) for ids, text in lm.seen.asked],
        }  # fmt: skip

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(one, test))
