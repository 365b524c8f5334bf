"""Faults of a real server in the midst of batches and searches: nothing committed is asked twice, every error helps."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

import flopwise as fw
from flopwise.backends.engines.sglang import link
from flopwise.backends.engines.sglang.engine import SGLangEngine
from flopwise.backends.engines.sglang.launch import Server
from flopwise.backends.engines.sglang.settings import SGLangSettings
from flopwise.errors import EngineError, EngineUnavailable
from flopwise.ir.request import GenerateRequest, Reply
from tests.sglang.conftest import flush, paused, post
from tests.sglang.proxy import Proxy

REQUEST = r"request \w+-\d+ \(\d+ prompt tokens"
MINUTE = 60.0
SUMS = [{"question": f"What is {a} plus {b}?", "answer": a + b} for a in (3, 8, 14) for b in (5, 11, 17, 20)]


class Solve(fw.Signature):
    """Add the two numbers."""

    question: str = fw.Input()
    answer: int = fw.Output(desc="the sum")


class Adder(fw.Program):
    draft = fw.choice(fw.Predict(Solve), fw.ChainOfThought(Solve, max_tokens=24))
    n = fw.integer(1, 3)

    def forward(self, question: str) -> Solve:
        return fw.vote(fw.sample(self.draft, n=self.n)(question=question), field="answer")


class Watched(SGLangEngine):
    """Notes every sample that was asked for and every one that was answered; acts after a number of answers.

    Args:
        url: Of the server.
        after: How many answers to wait for.
        act: What to do then, once.
    """

    def __init__(self, url: str, after: int = 0, act: Callable[[], object] | None = None, **settings: Any) -> None:
        self.sent: Counter[object] = Counter()
        self.answered: Counter[object] = Counter()
        self._after, self._act = after, act
        super().__init__(url, SGLangSettings(**settings))

    async def generate(self, request: GenerateRequest) -> Reply:
        self.sent.update(keys(request))
        reply = await super().generate(request)
        self.answered.update(keys(request))
        if self._act is not None and self.answered.total() >= self._after:
            act, self._act = self._act, None
            act()
        return reply


def keys(request: GenerateRequest) -> list[object]:
    """What the bank keeps apart: a sample each."""
    greedy = request.decoding.temperature == 0
    indices = [0] if greedy else range(request.first_index, request.first_index + request.n)
    return [(request.ids, request.decoding, request.grammar, request.stream, i) for i in indices]


def search(engine: SGLangEngine, study: Path) -> Any:
    return fw.compile(
        Adder(), dev=SUMS, metric="exact:answer", engine=engine, study=study, progress=False,
        budget=fw.Budget(per_query="400 GFLOP", search="40 TFLOP"), limits=fw.Limits(configs=4), caps={"question": 24},
    )  # fmt: skip


def solver(engine: SGLangEngine) -> Any:
    return fw.lower(fw.ChainOfThought(Solve, max_tokens=24), engine=engine, caps={"question": 24})


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def closing() -> Iterator[Callable[[SGLangEngine], Any]]:
    """Takes engines, hands them back, and closes them after the test."""
    made: list[SGLangEngine] = []

    def keep(engine: Any) -> Any:
        made.append(engine)
        return engine

    yield keep
    for engine in made:
        engine.close()


def test_a_batch_waits_for_a_server_that_stands_still_for_a_minute(server: Server, closing: Any) -> None:
    stopped: list[float] = []

    def stand_still() -> None:
        with paused(server):
            began = time.monotonic()
            threading.Event().wait(MINUTE)
            stopped.append(time.monotonic() - began)

    engine = closing(Watched(server.url, 4, lambda: in_background(stand_still)))
    records = solver(engine).batch(SUMS, progress=False, concurrency=4)
    assert [type(r.answer) for r in records] == [int] * len(SUMS)
    assert stopped and stopped[0] >= MINUTE  # it was over before the batch was
    assert engine.sent == engine.answered and set(engine.sent.values()) == {1}


def test_a_deadline_that_passes_ends_a_batch_and_tells_of_the_request(
    server: Server, closing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_SILENCE_S", 600.0)  # on a busy machine it takes a while to come to the first request
    engine = closing(SGLangEngine(server.url, SGLangSettings(deadline_s=1.0)))
    pipeline = solver(engine)
    with paused(server), pytest.raises(EngineError) as late:
        pipeline.batch(SUMS[:3], progress=False)
    told(late.value, cause=r"has not answered within deadline_s=1 seconds", step="raise deadline_s")
    assert late.value.partial == (None, None, None)


def test_a_gateway_that_is_busy_for_a_while_costs_nothing_but_time(server: Server, closing: Any) -> None:
    with Proxy(server.url, refuse=3) as proxy:
        engine = closing(SGLangEngine(proxy.url))
        records = solver(engine).batch(SUMS[:5], progress=False)
        assert [type(r.answer) for r in records] == [int] * 5 and proxy.refused == 3


def test_a_gateway_that_stays_busy_ends_a_batch_and_tells_of_the_request(server: Server, closing: Any) -> None:
    with Proxy(server.url, refuse=1000) as proxy:
        engine = closing(SGLangEngine(proxy.url))
        with pytest.raises(EngineUnavailable) as busy:
            solver(engine).batch(SUMS[:1], progress=False)
        told(busy.value, cause=r"not ready \(503: the queue is full\)", step="ask again later")


def test_a_cache_that_is_flushed_in_the_midst_of_a_batch_is_noticed(server: Server, closing: Any) -> None:
    engine = closing(SGLangEngine(server.url))
    demos = [{"question": f"What is {i} plus {i}?", "answer": 2 * i} for i in range(12)]
    pipeline = fw.lower(fw.Predict(Solve, demos=demos), engine=engine, caps={"question": 24})
    flush(server)
    cached: list[int] = []
    generate = engine.generate

    async def noting(request: GenerateRequest) -> Reply:
        reply = await generate(request)
        cached.append(reply.usage.cached)
        if len(cached) == 6:  # one at a time: the server is idle between two of them
            await asyncio.to_thread(post, server, "/flush_cache?timeout=240")
        return reply

    engine.generate = noting
    records = pipeline.batch(SUMS, progress=False, concurrency=1)
    shared = min(cached[1:6])
    assert shared > 200  # the worked examples
    assert cached[6] < shared and min(cached[7:]) >= shared, cached  # gone once, computed once, found again
    assert [type(r.answer) for r in records] == [int] * len(SUMS)


def test_a_grammar_that_cannot_be_compiled_is_told_with_its_request(server: Server, closing: Any) -> None:
    class Word(fw.Signature):
        text: str = fw.Input()
        word: Annotated[str, Field(pattern=r"^\bword\b$")] = fw.Output()

    engine = closing(SGLangEngine(server.url))
    pipeline = fw.lower(fw.Predict(Word), engine=engine, caps={"text": 24})
    with pytest.raises(EngineError) as refused:
        pipeline.batch([{"text": "a word"}], progress=False)
    told(refused.value, cause=r"json_schema .*400: .*Word boundary is not supported", step="change the request")
    assert solver(engine)(question="What is 1 plus 1?").answer is not None  # and harms nobody else


@pytest.fixture
def mortal(server: Server) -> Iterator[Server]:
    """The server, for a test that kills it: it runs again afterwards."""
    yield server
    if server.returncode is not None:
        server.restart()


def test_a_search_goes_on_where_its_server_is_killed_and_started_again(
    mortal: Server, tmp_path: Path, closing: Any
) -> None:
    engine = closing(Watched(mortal.url, 25, lambda: in_background(mortal.restart), reconnect_s=1800))
    pipeline = search(engine, tmp_path / "study")
    assert isinstance(pipeline(question="What is 2 plus 2?").answer, int)
    assert set(engine.answered.values()) == {1}  # nothing that was answered was asked for again
    assert engine.sent.total() > engine.answered.total() > 25  # but what was under way when the server went was
    assert engine.restarts == 1


def test_a_search_whose_server_stays_away_says_so_and_goes_on_later(
    mortal: Server, tmp_path: Path, closing: Any
) -> None:
    engine = closing(Watched(mortal.url, 25, mortal.kill, reconnect_s=2))
    with pytest.raises(EngineError, match=r"has not come back within reconnect_s=2 seconds; start it again") as gone:
        search(engine, tmp_path / "study")
    told(gone.value, cause=re.escape(f"{mortal.url} went away"), step="sample bank")
    assert not isinstance(gone.value, EngineUnavailable)
    mortal.restart()
    later = closing(Watched(mortal.url))
    search(later, tmp_path / "study")
    answered = engine.answered + later.answered
    assert set(answered.values()) == {1} and later.answered.total() > 0
    assert not engine.answered.keys() & later.sent.keys()


def told(error: EngineError, cause: str, step: str) -> None:
    """The error names the request, the cause and the next step."""
    said = str(error)
    assert re.search(REQUEST, said) and re.search(cause, said, re.DOTALL) and step in said, said
