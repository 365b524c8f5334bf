"""Requests and replies of SGLang's native API, and what a server says of itself, as a real one has sent them."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.backends.engines.sglang import replies
from flopwise.backends.engines.sglang.client import HttpTransport, message_of
from flopwise.backends.engines.sglang.probe import read_info
from flopwise.backends.engines.sglang.settings import SGLangSettings
from flopwise.errors import EngineError
from flopwise.ir.request import Decoding, GenerateRequest, Grammar, Sample, Usage

WORDS = {5: "red", 6: "blue", 7: " sea", 8: "END", 2: ""}


def decode(ids: Any) -> str:
    return "".join(WORDS[i] for i in ids)


def reply(ids: list[int], finish: str = "stop", cached: int = 5) -> dict[str, Any]:
    return {"output_ids": ids, "meta_info": {"finish_reason": {"type": finish}, "cached_tokens": cached}}


def test_every_setting_is_spelled_out() -> None:
    asked = GenerateRequest((1, 2), Decoding(0.7, 0.9, 40, 99, ("\n",)), Grammar("regex", "a+"))
    body = replies.generate_body(asked, "rid-1", 50, (2, 0), 7)
    assert (body["rid"], body["input_ids"]) == ("rid-1", [1, 2])
    assert body["sampling_params"] == {
        **{"max_new_tokens": 50, "temperature": 0.7, "top_p": 0.9, "top_k": 40, "min_p": 0.0, "min_new_tokens": 0},
        **{"frequency_penalty": 0.0, "presence_penalty": 0.0, "repetition_penalty": 1.0, "stop_token_ids": [2, 0]},
        **{"stop": ["\n"], "regex": "a+", "sampling_seed": 7},
    }
    plain = replies.generate_body(GenerateRequest((1,), Decoding()), "r", 5, (2,), None)["sampling_params"]
    assert plain["top_k"] == -1 and not {"stop", "regex", "sampling_seed"} & set(plain)


def test_scores_ask_for_each_choice_once_and_for_nothing_of_the_prompt() -> None:
    body = replies.score_body((1, 2), (5, 6, 5), "r")
    assert body["token_ids_logprob"] == [5, 6] and body["logprob_start_len"] == -1
    assert body["sampling_params"]["max_new_tokens"] == 0


@pytest.mark.parametrize(
    ("ids", "finish", "stop", "sample"),
    [
        ([5, 7, 2], "stop", (), Sample((5, 7), "red sea", "stop", 3)),
        ([5, 7], "length", (), Sample((5, 7), "red sea", "length", 2)),
        ([5, 2], "length", (), Sample((5,), "red", "stop", 2)),
        ([5, 7, 8], "stop", ("END",), Sample((5, 7), "red sea", "stop", 3)),
        ([5, 7, 6], "stop", ("sea",), Sample((5, 7), "red ", "stop", 3)),
        ([2], "stop", (), Sample((), "", "stop", 1)),
    ],
)
def test_a_sample_has_no_end_and_no_stop_text(ids: list[int], finish: str, stop: Any, sample: Sample) -> None:
    assert replies.read_sample(reply(ids, finish), Decoding(stop=stop), {2, 0}, decode) == sample


def test_probabilities_are_over_the_choices_in_their_order() -> None:
    sent = reply([])
    sent["meta_info"]["output_token_ids_logprobs"] = [[[-0.5, 6, None], [-1.5, 5, None]]]
    there = replies.read_scores(sent, (5, 6, 5), Usage(3, 0, 2))
    assert there.probabilities == pytest.approx((0.2119, 0.5761, 0.2119), abs=1e-3)
    assert there.usage == Usage(3, 0, 2)


def test_cached_tokens_are_the_servers_count() -> None:
    assert replies.read_usage(reply([], cached=5), 6, 1) == Usage(6, 1, 5)


def test_an_abort_is_told_from_an_answer() -> None:
    assert replies.aborted(reply([5])) is None
    gone = {"meta_info": {"finish_reason": {"type": "abort", "message": "Abort in waiting queue"}}}
    assert replies.aborted(gone) == "Abort in waiting queue"


def test_a_request_is_described_by_id_size_and_grammar() -> None:
    asked = GenerateRequest((1, 2, 3), Decoding(0.5), Grammar("ebnf", "root ::= " + "x" * 200))
    text = replies.describe(replies.generate_body(asked, "rid-9", 20, (2,), None))
    assert text.startswith("request rid-9 (3 prompt tokens, at most 20 more, temperature 0.5, ebnf 'root ::= xxx")
    assert text.endswith("xxx...')") and len(text) < 260
    assert "scores of 2 tokens" in replies.describe(replies.score_body((1,), (5, 6), "r"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":{"message":"Failed to compile regex"}}', "Failed to compile regex"),
        (b'{"error":"unknown field `foo`"}', "unknown field `foo`"),
        (b'{"detail":"queue is full"}', "queue is full"),
        (b'{"object":"error","message":"no worker"}', "no worker"),
        (b"<html>bad gateway</html>", "<html>bad gateway</html>"),
        (b"", "no reason given"),
        (b'[{"loc": 1}]', '[{"loc": 1}]'),
    ],
)
def test_the_reason_is_found_in_every_form_of_error(body: bytes, said: str) -> None:
    assert message_of(body) == said


@pytest.mark.parametrize("url", ["host:30000", "ftp://host", "http://", ""])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(EngineError, match="http://host:30000"):
        HttpTransport(url)


@pytest.mark.parametrize("setting", [{"in_flight": 0}, {"deadline_s": -1.0}, {"reconnect_s": float("nan")}])
def test_settings_are_checked_by_name(setting: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match=next(iter(setting))):
        SGLangSettings(**setting)


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(SGLangSettings(token="secret"))


SERVER: dict[str, Any] = {
    **{"version": "0.5.23", "max_total_num_tokens": 20000, "max_req_input_len": 8186, "page_size": 1},
    **{"grammar_backend": "xgrammar", "dtype": "bfloat16", "internal_states": [{}], "max_running_requests": None},
}
MODEL: dict[str, Any] = {"model_path": "/models/m", "tokenizer_path": "/models/t", "weight_version": "default"}


def info(running: int = 32, **changes: Any) -> Any:
    state = {"effective_max_running_requests_per_dp": running}
    server = {**SERVER, "internal_states": [state], **{k: v for k, v in changes.items() if k != "model"}}
    return read_info(server, {**MODEL, **changes.get("model", {})}, "the server")


def test_a_servers_limits() -> None:
    said = info()
    assert (said.name, said.folder, said.block, said.running) == ("m", "/models/t", 1, 32)
    assert (said.longest_prompt, said.longest, said.cache_tokens) == (8185, 8190, 20000)
    assert said.grammars == {"json_schema", "regex", "ebnf"} and said.caches and not said.seeded
    assert "SGLang 0.5.23" in said.identity and "bfloat16" in said.identity


def test_more_is_under_way_than_runs_but_not_more_than_the_cache_has_room_for() -> None:
    assert (info(32).in_flight, info(2048).in_flight, info(4, max_total_num_tokens=100).in_flight) == (44, 78, 8)


def test_replicas_add_up() -> None:
    two = info(internal_states=[{"effective_max_running_requests_per_dp": 16}] * 2)
    assert (two.running, two.cache_tokens) == (32, 40000)


@pytest.mark.parametrize(
    ("backend", "grammars"), [("none", set()), ("outlines", {"json_schema", "regex"}), ("llguidance", {"ebnf"})]
)
def test_grammars_are_what_the_backend_enforces(backend: str, grammars: set[str]) -> None:
    assert info(grammar_backend=backend).grammars >= grammars
    assert bool(info(grammar_backend=backend).grammars) == bool(grammars)


@pytest.mark.parametrize(
    "change",
    [
        {"version": "0.5.24"},
        {"dtype": "float16"},
        {"quantization": "fp8"},
        {"kv_cache_dtype": "fp8_e5m2"},
        {"model": {"model_path": "/models/n"}},
        {"model": {"weight_version": "2"}},
    ],
)
def test_the_fingerprint_changes_with_what_samples_depend_on(change: dict[str, Any]) -> None:
    assert info(**change).fingerprint != info().fingerprint
    assert info(16, max_total_num_tokens=9).fingerprint == info().fingerprint


def test_a_server_of_another_kind_is_refused() -> None:
    with pytest.raises(EngineError, match=r"'version'.*0\.5\.23.*not given"):
        read_info({}, MODEL, "the server")
    with pytest.raises(EngineError, match="generates no text"):
        info(model={"is_generation": False})
