"""The SGLang engine on a real server: the conformance suite, its prefix cache, aborts, and what it refuses."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import Iterator

import pytest

from flopwise.backends.engines.sglang.engine import SGLangEngine
from flopwise.backends.engines.sglang.launch import Server
from flopwise.backends.engines.testing import CHAT, EngineConformance, ask, prompt, run
from flopwise.errors import EngineError, EngineUnavailable
from flopwise.ir.request import Decoding, GenerateRequest, Grammar, TokenIds
from tests.sglang.conftest import flush

LONG = "The lighthouse keeper wrote down what the sea was like on that day, hour by hour. "


class TestConformance(EngineConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, server: Server) -> Iterator[SGLangEngine]:
        engine = SGLangEngine(server.url)
        yield engine
        engine.close()


@pytest.fixture
def engine(server: Server) -> Iterator[SGLangEngine]:
    made = SGLangEngine(server.url)
    yield made
    made.close()


def greedy(ids: TokenIds, max_tokens: int) -> GenerateRequest:
    return GenerateRequest(ids, Decoding(max_tokens=max_tokens))


def aborts(server: Server) -> float:
    """Requests that the server has been told to drop, by its metrics."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as reply:
        found = re.findall(r"^sglang:num_aborted_requests_total\{.*\} ([0-9.e+]+)$", reply.read().decode(), re.M)
    return sum(map(float, found))


def test_a_second_turn_finds_the_first_one_cached(engine: SGLangEngine, server: Server) -> None:
    flush(server)
    first = prompt(engine, LONG * 8)
    reply = run(engine.generate(greedy(first, 48)))
    (said,) = reply.samples
    assert reply.usage.cached == 0 and len(said.ids) == 48
    second = (*first, *said.ids, *engine.tokenizer.encode_template("<|im_end|>\n<|im_start|>user\nGo on.<|im_end|>\n"))
    cached = run(engine.generate(greedy(second, 2))).usage.cached
    assert cached >= 0.98 * (len(first) + len(said.ids))


def test_a_prefix_is_computed_once(engine: SGLangEngine, server: Server) -> None:
    flush(server)
    ids = prompt(engine, LONG * 8)
    assert run(engine.prefill(ids)).cached == 0
    later = run(engine.generate(greedy((*ids, 5), 2)))
    assert later.usage.cached == len(ids)
    flush(server)
    assert run(engine.generate(greedy((*ids, 5), 2))).usage.cached == 0


def test_samples_of_one_request_share_its_prompt(engine: SGLangEngine, server: Server) -> None:
    flush(server)
    ids = prompt(engine, LONG * 8)
    reply = run(engine.generate(GenerateRequest(ids, Decoding(1.0, max_tokens=4), n=4)))
    assert len(reply.samples) == 4 and reply.usage.cached == 0
    assert run(engine.prefill(ids)).cached == len(ids) - 1


def test_cancelling_makes_the_server_stop(engine: SGLangEngine, server: Server) -> None:
    before = aborts(server)
    doomed = GenerateRequest(prompt(engine, CHAT), Decoding(1.0, max_tokens=4000), Grammar("regex", "(sea ){3000}"))

    async def work() -> None:
        tasks = [asyncio.create_task(engine.generate(doomed)) for _ in range(3)]
        for _ in range(2):  # the second one is served by a server that has met the doomed ones
            await engine.generate(greedy(prompt(engine, CHAT), 2))
        for task in tasks:
            task.cancel()
        assert [type(e) for e in await asyncio.gather(*tasks, return_exceptions=True)] == [asyncio.CancelledError] * 3

    run(work())
    flush(server)  # waits until it is idle: decoding those to their ends would take minutes
    assert aborts(server) == before + 3


@pytest.mark.parametrize(
    ("decoding", "grammar", "said"),
    [
        (Decoding(), Grammar("regex", "(red"), "parenthesis is not closed"),
        (Decoding(), Grammar("ebnf", "root := red"), "EBNF lexer error"),
        (Decoding(), Grammar("json_schema", '{"enum": ['), "Failed to compile json"),
        (Decoding(top_p=2.0), None, "top_p must be in"),
    ],
)
def test_what_it_refuses_is_told_with_the_request(
    engine: SGLangEngine, decoding: Decoding, grammar: Grammar | None, said: str
) -> None:
    ids = prompt(engine, CHAT)
    with pytest.raises(
        EngineError, match=rf"(?s)request \w+-\d+ \({len(ids)} prompt tokens.*400.*{said}.*change"
    ) as raised:
        run(engine.generate(GenerateRequest(ids, decoding, grammar)))
    assert not isinstance(raised.value, EngineUnavailable)
    if grammar is not None:
        assert grammar.text in str(raised.value)
    assert ask(engine, CHAT, max_tokens=2).samples[0].tokens == 2


def test_a_grammar_that_runs_out_of_tokens_is_cut_off(engine: SGLangEngine) -> None:
    (sample,) = ask(engine, CHAT, max_tokens=6, grammar=Grammar("regex", "(sea ){50}")).samples
    assert (sample.finish, sample.tokens) == ("length", 6) and "sea sea ".startswith(sample.text[:8])
