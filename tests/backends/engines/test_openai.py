"""What the OpenAI engine makes of replies and errors, over a scripted server: what a real one says rarely, or never."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flopwise.backends.engines.openai_dialects import DIALECTS, dialect_of
from flopwise.backends.engines.openai_engine import OpenAiEngine
from flopwise.backends.engines.openai_settings import OpenAiSettings, split_spec
from flopwise.errors import EngineError, EngineUnavailable
from flopwise.ir.flops import FlatCost
from flopwise.ir.request import Decoding, GenerateRequest, Grammar, ScoreRequest

WORDS = ["<|end|>", "red", "blue", "item", "stop", "sea", "?"]
END = WORDS.index("<|end|>")
RED = (WORDS.index("red"),)
CONFIG = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 16,
    "intermediate_size": 128, "vocab_size": len(WORDS), "max_position_embeddings": 100,
}  # fmt: skip


class Server(ThreadingHTTPServer):
    """Answers as told, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, Any], str]] = []
        self.models: Any = {"data": [{"id": "m", "object": "model", "owned_by": "sglang", "max_model_len": 50}]}
        self.answer: Callable[[dict[str, Any]], tuple[int, Any]] = lambda body: (200, reply("red"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._say(*((200, self.server.models) if self.server.models else (404, {"message": "no such path"})))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body, self.headers["Authorization"]))
        self._say(*self.server.answer(body))

    def _say(self, status: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


def reply(*texts: str, finish: str = "stop", completion: int | None = None, **more: Any) -> dict[str, Any]:
    choices = [{"index": i, "text": t, "finish_reason": finish, "logprobs": None} for i, t in enumerate(texts)]
    tokens = len(texts) * 2 if completion is None else completion
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": 1 + tokens}
    return {
        "id": "1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": choices,
        "usage": usage,
    } | more


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    vocab = {word: i for i, word in enumerate(WORDS)}
    special = {"id": END, "content": "<|end|>", "special": True, "single_word": False, "lstrip": False,
               "rstrip": False, "normalized": False}  # fmt: skip
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [special], "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None,
        "decoder": {"type": "Fuse"}, "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "?"},
    }  # fmt: skip
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    (path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|end|>"}))
    (path / "config.json").write_text(json.dumps(CONFIG | {"eos_token_id": END}))
    return path


Connect = Callable[..., OpenAiEngine]


@pytest.fixture
def connect(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    made: list[OpenAiEngine] = []

    def connector(model: str = "m", **settings: Any) -> OpenAiEngine:
        made.append(OpenAiEngine(model, OpenAiSettings(**{"tokenizer": folder, "base_url": server.url, **settings})))
        return made[-1]

    yield connector
    for engine in made:
        engine.close()


def generate(engine: OpenAiEngine, n: int = 1, grammar: Grammar | None = None, **decoding: Any) -> Any:
    request = GenerateRequest(RED, Decoding(**{"max_tokens": 9, **decoding}), grammar, n)
    return asyncio.run(asyncio.wait_for(engine.generate(request), 30))


def test_what_it_is_asked_is_spelled_as_each_dialect_wants(server: Server, connect: Connect) -> None:
    grammars = [Grammar("regex", "r"), Grammar("ebnf", "e"), Grammar("json_schema", "{}")]
    for dialect, fields in (
        ("sglang", [{"regex": "r"}, {"ebnf": "e"}, {"json_schema": "{}"}]),
        ("vllm", [{"structured_outputs": {k: v}} for k, v in (("regex", "r"), ("grammar", "e"), ("json", "{}"))]),
    ):
        engine = connect(dialect=dialect)
        for grammar, expected in zip(grammars, fields, strict=True):
            generate(engine, grammar=grammar, temperature=0.5, top_p=0.9, top_k=7, stop=("x", "y"))
            path, body, _ = server.asked[-1]
            assert path == "/v1/completions" and expected.items() <= body.items()
            assert body["prompt"] == list(RED) and body["stop"] == ["x", "y"]
            assert (body["max_tokens"], body["temperature"], body["top_p"], body["top_k"]) == (9, 0.5, 0.9, 7)
        generate(engine)
        assert server.asked[-1][1]["top_k"] == DIALECTS[dialect].top_k


def test_the_plain_protocol_gets_no_word_beyond_it(server: Server, connect: Connect) -> None:
    engine = connect(dialect="none")
    generate(engine)
    assert set(server.asked[-1][1]) == {"model", "prompt", "max_tokens", "temperature", "top_p"}
    for more in ({"top_k": 3}, {"grammar": Grammar("regex", "r")}):
        with pytest.raises(EngineError, match="dialect="):
            generate(engine, **more)
    assert len(server.asked) == 1


def test_the_server_says_what_it_is(server: Server, connect: Connect) -> None:
    assert connect().dialect.name == "sglang" and connect().model.context == 50
    server.models["data"][0]["owned_by"] = "organization-owner"
    assert connect().dialect.name == "none"
    server.models = None  # it says nothing
    assert (connect().dialect.name, connect().model.context, connect(context=7).model.context) == ("none", 100, 7)
    with pytest.raises(EngineError, match="auto, sglang, vllm, none"):
        dialect_of("sgl", "")


def test_ids_of_the_server_make_the_sample(server: Server, connect: Connect) -> None:
    answer = reply("never looked at", usage={"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5})
    answer["choices"][0]["token_ids"] = [1, 4, 2, END]
    server.answer = lambda body: (200, answer)
    (sample,) = generate(connect(), stop=("stop",)).samples
    assert (sample.ids, sample.text, sample.finish, sample.tokens) == ((1,), "red", "stop", 4)


def test_without_ids_they_are_those_of_the_text(server: Server, connect: Connect) -> None:
    server.answer = lambda body: (200, reply("red", "sea", finish="length", completion=7))
    answer = generate(connect(dialect="none"), n=2, temperature=1.0)
    assert server.asked[-1][1]["n"] == 2
    assert [(s.ids, s.finish) for s in answer.samples] == [((1,), "length"), ((5,), "length")]
    assert [s.tokens for s in answer.samples] == [6, 1] and answer.usage.completion == 7
    server.answer = lambda body: (200, reply("green"))
    with pytest.raises(EngineError, match=r"tokenizer=FOLDER, the model's own"):
        generate(connect(dialect="none"))


@pytest.mark.parametrize(
    ("more", "cached"),
    [
        ({}, 0),
        ({"sglext": {"cached_tokens_details": {"device": 3, "host": 2}}}, 5),
        ({"usage": {"prompt_tokens": 8, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 4}}}, 4),
    ],
)
def test_cached_tokens_are_read_wherever_they_stand(
    server: Server, connect: Connect, more: dict[str, Any], cached: int
) -> None:
    server.answer = lambda body: (200, reply("red", **more))
    assert asyncio.run(connect().prefill(RED * 8)).cached == cached
    if not more:
        assert asyncio.run(connect(dialect="vllm").prefill(RED)).cached is None


def test_samples_of_sglang_are_asked_apart_after_the_first(server: Server, connect: Connect) -> None:
    server.answer = lambda body: (
        200,
        reply("red", sglext={"cached_tokens_details": {"device": len(server.asked) - 1}}),
    )
    answer = generate(connect(), n=3, temperature=1.0)
    assert ["n" in body for _, body, _ in server.asked] == [False] * 3
    assert len(answer.samples) == 3 and answer.usage.cached == 0


def test_scores_of_vllm_are_single_tokens(server: Server, connect: Connect) -> None:
    logs = {1: -0.1, 2: -2.4}

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        told = reply("x", completion=1)
        told["choices"][0]["logprobs"] = {"token_logprobs": [logs[body["allowed_token_ids"][0]]], "tokens": ["x"]}
        return 200, told

    server.answer = answer
    scores = asyncio.run(connect(dialect="vllm").score(ScoreRequest(RED, (2, 1, 2))))
    assert scores.probabilities == pytest.approx((0.0834, 0.8332, 0.0834), abs=1e-3)
    assert len(server.asked) == 2 and scores.usage.completion == 2


def test_scores_of_the_plain_protocol_are_of_the_likeliest(server: Server, connect: Connect) -> None:
    told = reply("red", completion=1)
    told["choices"][0]["logprobs"] = {"top_logprobs": [{"red": -0.5, "sea": -1.5, "item": -3.5}]}
    server.answer = lambda body: (200, told)
    engine = connect(dialect="none")
    scores = asyncio.run(engine.score(ScoreRequest(RED, (1, 2))))
    assert scores.probabilities == pytest.approx((0.9526, 0.0474), abs=1e-3)  # "blue" as likely as "item" at most
    with pytest.raises(EngineError, match=r"blue.*dialect="):
        asyncio.run(engine.score(ScoreRequest(RED, (2, 4))))


@pytest.mark.parametrize(
    ("status", "passing", "step"),
    [
        (400, False, "change what is asked for"),
        (401, False, "OPENAI_API_KEY"),
        (404, False, "ends in /v1"),
        (429, True, "later"),
        (500, False, "log"),
        (503, True, "later"),
    ],
)
def test_a_refusal_names_request_cause_and_next_step(
    server: Server, connect: Connect, status: int, passing: bool, step: str
) -> None:
    server.answer = lambda body: (status, {"object": "error", "message": "grammar is\nbad", "code": status})
    with pytest.raises(
        EngineError, match=rf"1 samples of 9 tokens after 1 prompt.*{status}.*grammar is bad.*{step}"
    ) as e:
        generate(connect())
    assert (type(e.value) is EngineUnavailable) == passing
    assert len(server.asked) == 1  # tries again are the scheduler's to make


def test_a_used_up_quota_is_no_passing_fault(server: Server, connect: Connect) -> None:
    server.answer = lambda body: (429, {"error": {"message": "quota", "code": "insufficient_quota"}})
    with pytest.raises(EngineError) as raised:
        generate(connect())
    assert type(raised.value) is EngineError


@pytest.mark.parametrize("models", [b"<html>hello</html>", {"detail": "no"}, b"{"])
def test_what_is_no_list_of_models_is_said_to_be_none(server: Server, connect: Connect, models: Any) -> None:
    server.models = models
    with pytest.raises(EngineError, match="another protocol"):
        connect()


@pytest.mark.parametrize("answer", [b"<html>hello</html>", b'{"id": ', {"hello": 1}, [1], {"choices": [{"text": "x"}]}])
def test_what_is_no_completion_is_said_to_be_none(server: Server, connect: Connect, answer: Any) -> None:
    server.answer = lambda body: (200, answer)
    with pytest.raises(EngineError, match=r"cannot be read|another protocol") as raised:
        generate(connect())
    assert type(raised.value) is EngineError


@pytest.mark.parametrize(("finish", "passing"), [("abort", True), ("content_filter", False)])
def test_an_output_broken_off_is_no_sample(server: Server, connect: Connect, finish: str, passing: bool) -> None:
    server.answer = lambda body: (200, reply("red", finish=finish))
    with pytest.raises(EngineError) as raised:
        generate(connect())
    assert (type(raised.value) is EngineUnavailable) == passing


def test_a_late_answer_and_a_lost_server_are_passing_faults(server: Server, connect: Connect) -> None:
    free = threading.Event()
    server.answer = lambda body: (200, reply("red")) if free.wait(20) else (500, {})
    late, lost = connect(deadline_s=0.2), connect()
    with pytest.raises(EngineUnavailable, match=r"within 0.2 s; raise deadline_s"):
        generate(late)
    free.set()
    lost.close()
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        connect(base_url="http://127.0.0.1:9/v1")


def test_closed_in_the_middle_it_tells_who_waits(server: Server, connect: Connect) -> None:
    free, engine = threading.Event(), connect()
    server.answer = lambda body: (200, reply("red")) if engine.close() or free.wait(20) else (500, {})  # type: ignore[func-returns-value]
    with pytest.raises(EngineError, match="closed"):
        generate(engine)
    free.set()


def test_a_prompt_or_choice_beyond_the_vocabulary_is_not_sent(server: Server, connect: Connect) -> None:
    engine = connect()
    for work in (engine.prefill((1, 99)), engine.score(ScoreRequest(RED, (99,)))):
        with pytest.raises(EngineError, match="is 99"):
            asyncio.run(work)
    assert server.asked == []


def test_what_a_user_gives_wrong_is_refused_in_words(server: Server, connect: Connect, folder: Path) -> None:
    with pytest.raises(EngineError, match="serves no model 'mm' but 'm'; did you mean 'm'"):
        connect("mm")
    with pytest.raises(EngineError, match="tokenizer= is needed"):
        connect(tokenizer=None)
    with pytest.raises(EngineError, match="in_flight"):
        connect(in_flight=0)
    with pytest.raises(EngineError, match="OPENAI_BASE_URL"):
        connect(base_url=None)


def test_the_key_is_sent_and_the_cost_declared(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of the environment")
    for given, sent in ((None, "of the environment"), ("given", "given")):
        engine = connect(api_key=given, flops_per_token="2 GFLOP")
        generate(engine)
        assert server.asked[-1][2] == f"Bearer {sent}"
    assert engine.model.cost == FlatCost(2e9) and "given" not in repr(engine.settings)


@pytest.mark.parametrize(
    ("spec", "model", "url"),
    [
        ("m@http://host:1/v1", "m", "http://host:1/v1"),
        ("org/m@2@https://host/v1", "org/m@2", "https://host/v1"),
        ("org/m", "org/m", None),
    ],
)
def test_a_spec_is_model_and_address(spec: str, model: str, url: str | None) -> None:
    assert split_spec(spec) == (model, url)
