"""The OpenAI engine on the `/v1` of the same real server: what every engine must do, and what that server says back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from flopwise.backends.engines.openai_engine import OpenAiEngine
from flopwise.backends.engines.registry import engine as make
from flopwise.backends.engines.sglang.launch import Server
from flopwise.backends.engines.testing import CHAT, EngineConformance, ask, prompt, run
from flopwise.errors import EngineError, EngineUnavailable
from flopwise.ir.flops import ModelShape
from flopwise.ir.request import Decoding, GenerateRequest, Grammar, ScoreRequest
from tests.sglang.conftest import MakeServer, flush


def connect(server: Server, **settings: object) -> OpenAiEngine:
    engine = make(f"openai:{server.model}@{server.url}/v1", tokenizer=server.model, **settings)
    assert isinstance(engine, OpenAiEngine)
    return engine


class TestConformance(EngineConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, server: Server) -> Iterator[OpenAiEngine]:
        engine = connect(server)
        yield engine
        engine.close()


@pytest.fixture
def engine(server: Server) -> Iterator[OpenAiEngine]:
    made = connect(server)
    yield made
    made.close()


def test_the_server_is_known_for_what_it_is(engine: OpenAiEngine) -> None:
    assert engine.dialect.name == "sglang" and engine.capabilities.reports_cached
    assert engine.model.context == 8192 and isinstance(engine.model.cost, ModelShape)


def test_cached_tokens_are_counted_from_none(server: Server, engine: OpenAiEngine) -> None:
    flush(server)
    first, second = ask(engine, CHAT, max_tokens=2), ask(engine, CHAT, max_tokens=2)
    assert first.usage.cached == 0 and second.usage.cached == second.usage.prompt - 1


def test_a_second_turn_finds_the_first_and_its_output(server: Server, engine: OpenAiEngine) -> None:
    flush(server)
    ids = prompt(engine, CHAT * 5)
    first = run(engine.generate(GenerateRequest(ids, Decoding(max_tokens=30))))
    longer = ids + first.samples[0].ids + engine.tokenizer.encode("\nAnd then?")
    again = run(engine.generate(GenerateRequest(longer, Decoding(max_tokens=2))))
    assert again.usage.cached >= 0.98 * (len(ids) + len(first.samples[0].ids))


def test_samples_of_a_cold_prompt_pay_for_it_once(server: Server, engine: OpenAiEngine) -> None:
    flush(server)
    reply = ask(engine, CHAT, n=3, temperature=1.0)
    assert reply.usage.cached == 0 and len({s.text for s in reply.samples}) > 1
    assert ask(engine, CHAT, n=3, temperature=1.0).usage.cached == reply.usage.prompt - 1


def test_scores_follow_the_tokens_that_are_drawn(engine: OpenAiEngine) -> None:
    ids = prompt(engine, "Is the sea wet? Answer Yes or No.")
    choices = tuple(engine.tokenizer.encode(c)[0] for c in ("Yes", "No"))
    likely = run(engine.score(ScoreRequest(ids, choices))).probabilities[0]
    drawn = ask(
        engine, "Is the sea wet? Answer Yes or No.", 64, Grammar("regex", "(Yes|No)"), temperature=1.0, max_tokens=4
    )
    share = sum(s.text == "Yes" for s in drawn.samples) / 64
    assert abs(share - likely) < 0.25  # four standard errors at worst


def test_the_plain_protocol_works_there_too(server: Server) -> None:
    engine = connect(server, dialect="none")
    try:
        reply = ask(engine, CHAT, n=3, temperature=1.0, max_tokens=8)
        assert len(reply.samples) == 3 and reply.usage.completion == sum(s.tokens for s in reply.samples) == 24
        likely = ask(engine, CHAT, max_tokens=1).samples[0].ids[0]
        scores = run(engine.score(ScoreRequest(prompt(engine, CHAT), (likely, engine.tokenizer.encode("~")[0]))))
        assert scores.probabilities[0] > 0.5
    finally:
        engine.close()


def test_a_model_it_does_not_serve_and_a_path_it_does_not_have(server: Server) -> None:
    with pytest.raises(EngineError, match="serves no model 'nothing'"):
        make(f"openai:nothing@{server.url}/v1", tokenizer=server.model)
    engine = make(f"openai:nothing@{server.url}/v2", tokenizer=server.model)  # it does not say what it serves there
    try:
        with pytest.raises(EngineError, match=r"404.*base_url ends in /v1") as raised:
            ask(engine, CHAT)
        assert type(raised.value) is EngineError
    finally:
        engine.close()


def test_a_server_that_dies_in_the_middle_is_a_passing_fault(make_server: MakeServer) -> None:
    async def killed() -> None:
        asked = GenerateRequest(prompt(engine, CHAT), Decoding(temperature=1.0, max_tokens=4000))
        task = asyncio.create_task(engine.generate(asked))
        await engine.generate(GenerateRequest(prompt(engine, CHAT), Decoding(max_tokens=1)))
        server.stop()
        await task

    server = make_server()
    engine = connect(server)
    try:
        with pytest.raises(EngineUnavailable, match="check that the server runs"):
            run(killed())
        with pytest.raises(EngineUnavailable, match="one token after"):
            run(engine.prefill(prompt(engine, CHAT)))
    finally:
        engine.close()
