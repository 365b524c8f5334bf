"""Two real servers behind a real router: most of the hits of one server, and one of them may go away."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import flopwise as fw
from flopwise.backends.engines.sglang.engine import SGLangEngine
from flopwise.backends.engines.sglang.launch import Server
from flopwise.backends.engines.testing import CHAT, ask, prompt, run
from flopwise.ir.request import Decoding, GenerateRequest, Grammar, Reply
from tests.sglang.conftest import flush, start
from tests.sglang.router import router
from tests.sglang.test_engine import aborts

TOPICS = ("apples", "miles", "coins", "minutes", "sheep", "pages")
COUNTS = [(a, b) for a in (3, 8, 14) for b in (5, 11)]


class Total(fw.Signature):
    """Say how many there are in all."""

    question: str = fw.Input()
    answer: int = fw.Output()


class Counting(SGLangEngine):
    """Adds up what its server has found in its cache; acts once after a number of answers."""

    def __init__(self, url: str, after: int = 0, act: Callable[[], object] | None = None) -> None:
        self.cached, self.prompt, self.answers = 0, 0, 0
        self._after, self._act = after, act
        super().__init__(url)

    async def generate(self, request: GenerateRequest) -> Reply:
        reply = await super().generate(request)
        self.cached += reply.usage.cached or 0
        self.prompt += reply.usage.prompt
        self.answers += 1
        if self.answers >= self._after and self._act is not None:
            act, self._act = self._act, None
            await asyncio.to_thread(act)
        return reply


def question(a: int, b: int, topic: str) -> str:
    return f"{a} {topic} and {b} {topic} more, how many {topic} is that?"


def work(engine: SGLangEngine) -> list[Any]:
    """All topics at once; each one's questions share its worked examples, a prefix of some hundred tokens."""

    def one(topic: str) -> list[Any]:
        demos = [{"question": question(i, i + 1, topic), "answer": 2 * i + 1} for i in range(10)]
        pipeline = fw.lower(fw.Predict(Total, demos=demos), engine=engine, caps={"question": 40})
        return pipeline.batch([{"question": question(a, b, topic)} for a, b in COUNTS], progress=False, concurrency=2)

    with ThreadPoolExecutor(len(TOPICS)) as threads:
        return [record.answer for records in threads.map(one, TOPICS) for record in records]


def served(server: Server) -> float:
    """Requests that a server has answered, by its metrics."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as reply:
        found = re.findall(r"^sglang:num_requests_total\{.*\} ([0-9.e+]+)$", reply.read().decode(), re.M)
    return sum(map(float, found))


@pytest.fixture(scope="module")
def pair(server: Server) -> Iterator[tuple[Server, Server]]:
    """The server of all tests, and another one like it."""
    with start() as other:
        yield server, other


@pytest.fixture(scope="module")
def url(pair: Sequence[Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The router's."""
    with router([server.url for server in pair], tmp_path_factory.mktemp("router") / "log") as made:
        yield made


@pytest.fixture
def connect() -> Iterator[Callable[..., Counting]]:
    made: list[Counting] = []

    def engine(*args: Any) -> Counting:
        made.append(Counting(*args))
        return made[-1]

    yield engine
    for one in made:
        one.close()


def test_the_router_is_an_engine_like_each_server(pair: Sequence[Server], url: str, connect: Any) -> None:
    alone, both = connect(pair[0].url), connect(url)
    assert both.model == alone.model
    assert both.capabilities.cache_tokens == 2 * alone.capabilities.cache_tokens
    assert ask(both, "Yes?", grammar=Grammar("regex", "(yes|no)")).samples[0].text in ("yes", "no")


def test_two_servers_hit_more_than_half_of_what_one_does(pair: Sequence[Server], url: str, connect: Any) -> None:
    flush(pair[0])
    alone = connect(pair[0].url)
    answers = work(alone)
    for server in pair:
        flush(server)
    before = [served(server) for server in pair]
    both = connect(url)
    assert [type(answer) for answer in work(both)] == [type(answer) for answer in answers] == [int] * len(answers)
    assert both.prompt == alone.prompt and alone.cached > 0.5 * alone.prompt  # there is something to hit
    assert both.cached > 0.5 * alone.cached, f"{both.cached} of {alone.cached}"
    assert all(served(server) > then for server, then in zip(pair, before, strict=True))  # both took part


def test_cancelling_reaches_the_server(pair: Sequence[Server], url: str, connect: Any) -> None:
    engine = connect(url)
    before = sum(map(aborts, pair))
    doomed = GenerateRequest(prompt(engine, CHAT), Decoding(1.0, max_tokens=4000), Grammar("regex", "(sea ){3000}"))

    async def cancelled() -> None:
        tasks = [asyncio.create_task(engine.generate(doomed)) for _ in range(3)]
        for _ in range(2):  # the second one is served by a server that has met the doomed ones
            await engine.generate(GenerateRequest(prompt(engine, CHAT), Decoding(max_tokens=2)))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(cancelled())
    for server in pair:
        flush(server)  # waits until it is idle: decoding those to their ends would take minutes
    assert sum(map(aborts, pair)) == before + 3


def test_a_server_that_dies_is_done_without(pair: Sequence[Server], url: str, connect: Any) -> None:
    engine = connect(url, 5, pair[1].kill)
    answers = work(engine)
    assert pair[1].returncode is not None
    assert [type(answer) for answer in answers] == [int] * len(TOPICS) * len(COUNTS)
    assert engine.answers == len(answers) and engine.restarts == 0
