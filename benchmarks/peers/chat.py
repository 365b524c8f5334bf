"""A metered chat: any number of threads ask an engine, and every token is counted once, also over interruptions.

A peer asks as it would ask a server: messages in, texts out. Behind it stand the scheduler, the meter and the sample
bank that flopwise's own runs have, so tokens, prefix reuse and FLOPs are counted by the same code.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flopwise.backends.engines._base import Engine
from flopwise.backends.runtime.bank import SampleBank
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.scheduler import Outcome, Scheduler
from flopwise.compiler.chat import prompt_pieces
from flopwise.errors import EngineError
from flopwise.ir.plan import Static
from flopwise.ir.prompt import Message, Prompt, Role, Text
from flopwise.ir.request import Decoding, GenerateRequest, Grammar, TokenIds
from flopwise.ir.target import Tokenizer

_SAVED_EVERY_S = 2.0
_ROLES: Mapping[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


@dataclass
class Bill:
    """What one question asked for, whether it was drawn for it or is known from before.

    Attributes:
        flops: FLOPs of its samples, warm-ups that several prompts share left out.
        prompt: Prompt tokens.
        cached: Those of them that the engine held already when the sample was drawn.
        completion: Tokens generated.
        requests: Times it asked.
    """

    flops: float = 0.0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    requests: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one answer."""
        self.flops += outcome.flops
        self.prompt += outcome.usage.prompt
        self.cached += outcome.usage.cached or 0
        self.completion += outcome.usage.completion
        self.requests += 1


_bill: ContextVar[Bill | None] = ContextVar("bill", default=None)


@contextmanager
def billed() -> Iterator[Bill]:
    """Count what this thread asks for inside the block."""
    bill = Bill()
    token = _bill.set(bill)
    try:
        yield bill
    finally:
        _bill.reset(token)


class MeteredChat:
    """An engine as a chat that may be asked from any thread; all of them share batches and prefixes.

    What was asked before is answered from the bank and costs nothing, as it would from a client's own cache: the
    same messages, settings and `rollout` are one draw.

    Args:
        engine: The engine; it stays open.
        folder: Where samples and totals are kept. A chat over the same folder goes on from there.

    Attributes:
        meter: What was spent so far, earlier runs of the folder among it.
        repeats: Asks of this process that the bank answered.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.engine, self.meter, self.repeats = engine, Meter(), 0
        self._totals = folder / "totals.json"
        self._bank = SampleBank(folder / "samples.db")
        self._began, self._saved = time.monotonic(), 0.0
        self._before = self._restore()
        self._scheduler = Scheduler(engine, self.meter, self._bank)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="metered-chat", daemon=True)
        self._thread.start()
        self._fault: EngineError | None = None

    @property
    def seconds(self) -> float:
        """Wall time with this chat open, earlier runs of its folder among it."""
        return self._before + time.monotonic() - self._began

    def ask(self, messages: Sequence[Mapping[str, Any]], decoding: Decoding, n: int = 1, rollout: Any = None,
            grammar: Grammar | None = None) -> Outcome:  # fmt: skip
        """Samples of the model's next turn.

        Args:
            messages: Turns with `role` and `content`, in order.
            decoding: How tokens are chosen.
            n: Samples; at temperature 0 all are one.
            rollout: Another one draws anew; None is one of its own.
            grammar: What the text must match.

        Raises:
            EngineError: The engine failed, or does not take the request. `check` raises it again.
        """
        stream = "" if rollout is None else f"rollout {rollout}"
        request = GenerateRequest(chat_ids(messages, self.engine.tokenizer), decoding, grammar, n, stream)
        future = asyncio.run_coroutine_threadsafe(self._generate(request), self._loop)
        try:
            outcome = future.result()
        except EngineError as error:
            self._fault = self._fault or error
            raise
        bill = _bill.get()
        if bill is not None:
            bill.add(outcome)
        return outcome

    def check(self) -> None:
        """Raise the first fault of the engine again, where a peer took it for a wrong answer and went on."""
        if self._fault is not None:
            raise self._fault

    def totals(self) -> dict[str, float]:
        """FLOPs (`spent`, of which `cold` on shared prefixes), tokens, requests and seconds so far."""
        return {**self.meter.snapshot(), "seconds": self.seconds}

    def close(self) -> None:
        """Write everything down and let the folder go; the engine stays open. May be called twice."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._scheduler.drain(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._save()
        self._bank.close()

    def __enter__(self) -> MeteredChat:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def _generate(self, request: GenerateRequest) -> Outcome:
        outcome = await self._scheduler.generate(request)
        self.repeats += outcome.from_bank == request.n
        if time.monotonic() - self._saved > _SAVED_EVERY_S:
            self._save()
        return outcome

    def _restore(self) -> float:
        """Go on from the totals, and charge what was drawn after they were last written.

        What was under way is asked again, and paid then: being broken off is not the method's fault.
        """
        known = json.loads(self._totals.read_text("utf-8")) if self._totals.exists() else {"spent": 0.0, "seconds": 0.0}
        self.meter.restore(known)
        drawn = self._bank.drawn()
        self.meter.charge(max(drawn - known["spent"] + known.get("cold", 0.0), 0.0))
        self._bank.charge_orphans()  # they leave the bank
        return float(known["seconds"])

    def _save(self) -> None:
        self._saved = time.monotonic()
        part = self._totals.with_suffix(".part")
        part.write_text(json.dumps(self.totals()) + "\n", "utf-8")
        os.replace(part, self._totals)


def chat_ids(messages: Sequence[Mapping[str, Any]], tokenizer: Tokenizer) -> TokenIds:
    """The ids of a chat, the model's turn opened by its own template. Contents never produce special tokens.

    Raises:
        EngineError: A role or a content that no text model takes.
    """
    turns = tuple(Message(_role(m), (Text(_text(m["content"])),)) for m in messages)

    def no_slots(slot: object) -> Any:
        raise AssertionError(f"a chat has no slots, but got {slot}")

    pieces = prompt_pieces(Prompt(turns), tokenizer, no_slots)
    return tuple(i for piece in pieces if isinstance(piece, Static) for i in piece.ids)


def _role(message: Mapping[str, Any]) -> Role:
    role = _ROLES.get(message["role"])
    if role is None:
        raise EngineError(f"a turn's role must be one of {', '.join(_ROLES)}, but got {message['role']!r}")
    return role


def _text(content: Any) -> str:
    """A content: a text, or a list of texts and of parts with a text."""
    if isinstance(content, str):
        return content
    parts = [part if isinstance(part, str) else part.get("text") for part in content or ()]
    if any(part is None for part in parts):
        raise EngineError(f"a turn's content must be text, but got {content!r:.200}")
    return "".join(parts)
