from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest

from flopwise.backends.engines.registry import engine
from flopwise.backends.engines.scripted import ScriptedEngine, ScriptedSettings
from flopwise.errors import EngineError, EngineUnavailable, WeightsError
from flopwise.ir.request import Decoding, GenerateRequest, Grammar, Reply, ScoreRequest

SCHEMA = Grammar("json_schema", '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}')


def ask(scripted: ScriptedEngine, text: str, **request: Any) -> Reply:
    decoding = request.pop("decoding", Decoding(temperature=1.0))
    return asyncio.run(scripted.generate(GenerateRequest(tuple(text.encode()), decoding, **request)))


def said(reply: Reply) -> list[str]:
    return [s.text for s in reply.samples]


def test_rules_functions_and_lists_speak_in_order() -> None:
    rules = [("two", ["a", "b"]), (re.compile(r"\d+"), lambda prompt, i: f"{prompt}/{i}"), ("one", "single")]
    scripted = ScriptedEngine(rules, default="none")
    assert said(ask(scripted, "two 2", n=3)) == ["a", "b", "a"]
    assert said(ask(scripted, "7", n=2, first_index=4)) == ["7/4", "7/5"]
    assert said(ask(scripted, "one")) == ["single"] and said(ask(scripted, "zero")) == ["none"]
    assert scripted.requests == 4


def test_greedy_has_one_sample_paid_once() -> None:
    scripted = ScriptedEngine(lambda prompt, i: f"{i}")
    reply = ask(scripted, "x", n=3, first_index=5, decoding=Decoding())
    assert said(reply) == ["0", "0", "0"] and reply.usage.completion == 2


@pytest.mark.parametrize(
    ("limit", "stop", "text", "finish", "tokens"),
    [
        (100, (), "the answer is 7", "stop", 16),
        (15, (), "the answer is 7", "length", 15),
        (3, (), "the", "length", 3),
        (100, (" is", "zzz"), "the answer", "stop", 13),
        (12, (" is",), "the answer i", "length", 12),
    ],
)
def test_limits_and_stops_cut(limit: int, stop: tuple[str, ...], text: str, finish: str, tokens: int) -> None:
    scripted = ScriptedEngine(default="the answer is 7")
    (sample,) = ask(scripted, "x", decoding=Decoding(max_tokens=limit, stop=stop)).samples
    assert (sample.text, sample.finish, sample.tokens) == (text, finish, tokens)


@pytest.mark.parametrize(
    ("reply", "grammar", "wrong"),
    [
        ("42", Grammar("regex", r"\d+"), ""),
        ("42!", Grammar("regex", r"\d+"), "does not match"),
        ('{"n": 1}', SCHEMA, ""),
        ('{"n": true}', SCHEMA, r"\$\.n must be of type integer"),
        ("{}", SCHEMA, r"\$ lacks n"),
        ("{", SCHEMA, "not JSON"),
        ("x", Grammar("regex", "("), "not a regular expression"),
    ],
)
def test_replies_that_break_the_grammar_are_refused(reply: str, grammar: Grammar, wrong: str) -> None:
    scripted = ScriptedEngine(default=reply)
    if not wrong:
        assert said(ask(scripted, "x", grammar=grammar)) == [reply]
        return
    with pytest.raises(EngineError, match=wrong):
        ask(scripted, "x", grammar=grammar)


def test_scores_come_from_the_script_and_sum_to_one() -> None:
    scripted = ScriptedEngine(
        scores={"good": [3, 1], "bad": lambda prompt, texts: [0 if t == "y" else 1 for t in texts]}
    )
    score = {
        word: asyncio.run(scripted.score(ScoreRequest(tuple(word.encode()), (ord("y"), ord("n"))))).probabilities
        for word in ("good", "bad", "other")
    }
    assert score == {"good": (0.75, 0.25), "bad": (0.0, 1.0), "other": (0.5, 0.5)}


def test_faults_and_silence_are_raised() -> None:
    errors: list[Exception | None] = [EngineUnavailable("busy"), None]
    scripted = ScriptedEngine(default="ok", settings=ScriptedSettings(fail=lambda _: errors.pop(0)))
    with pytest.raises(EngineUnavailable, match="busy"):
        ask(scripted, "x")
    assert said(ask(scripted, "x")) == ["ok"] and scripted.requests == 2
    with pytest.raises(EngineError, match="no reply to the prompt ending in 'x'"):
        ask(ScriptedEngine(), "x")


def test_cached_tokens_are_whole_blocks_of_earlier_prompts() -> None:
    scripted = ScriptedEngine(default="ok", settings=ScriptedSettings(reports_cached=True, block=4))
    cached = [ask(scripted, text).usage.cached for text in ("abcdefghij", "abcdefgxyz", "abcdefghij", "q", "abcdefgh")]
    assert cached == [0, 4, 8, 0, 4]


def test_closing_ends_what_waits() -> None:
    async def forever(_: object) -> None:
        await asyncio.Event().wait()

    async def work() -> list[Any]:
        scripted = ScriptedEngine(default="ok", settings=ScriptedSettings(latency=forever))
        request = GenerateRequest((1,), Decoding())
        waits, cancelled = (asyncio.create_task(scripted.generate(request)) for _ in range(2))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        scripted.close()
        return await asyncio.gather(waits, cancelled, scripted.prefill((1,)), return_exceptions=True)

    kinds = [type(r) for r in asyncio.run(work())]
    assert kinds == [EngineError, asyncio.CancelledError, EngineError]


def test_a_request_costs_next_to_nothing() -> None:
    scripted = ScriptedEngine(default="ok")
    request = GenerateRequest(tuple(b"a short prompt"), Decoding())

    async def many() -> float:
        start = time.perf_counter()
        for _ in range(2000):
            await scripted.generate(request)
        return (time.perf_counter() - start) / 2000

    assert min(asyncio.run(many()) for _ in range(5)) < 50e-6


@pytest.mark.parametrize(
    ("spec", "options", "error", "message"),
    [
        ("openvin:x", {}, EngineError, "did you mean 'openvino'"),
        ("openvino", {}, EngineError, "a model must follow"),
        ("openvino:smollm2-135m-instruc", {}, WeightsError, "did you mean 'smollm2-135m-instruct'"),
        ("openvino:smollm2-135m-instruct", {"cache": 1}, EngineError, "did you mean 'cache_gb'"),
        (7, {}, EngineError, "but got int"),
        (ScriptedEngine(), {"cache_gb": 1}, EngineError, "made already"),
    ],
)
def test_engines_that_cannot_be_made_say_why(spec: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        engine(spec, **options)


def test_an_engine_is_handed_back() -> None:
    scripted = ScriptedEngine()
    assert engine(scripted) is scripted


def test_missing_weights_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("FLOPWISE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="flopwise models pull smollm2-135m-instruct"):
        engine("openvino:smollm2-135m-instruct")


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openvino_genai", None)
    with pytest.raises(EngineError, match=r"flopwise\[openvino\]"):
        engine("openvino:smollm2-135m-instruct")


def _broken_reply(prompt: str, index: int) -> str:
    raise KeyError("nothing")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (_broken_reply, r"'_broken_reply' \(.*test_scripted.py:\d+\) raised KeyError: 'nothing'"),
        (lambda prompt, index: 7, "must reply with a text, but gave 7"),
        ([("", [])], r"the script \[\] must reply with a text, but gave None"),
        ([("", (7,))], r"the script \(7,\) must reply with a text, but gave 7"),
    ],
)
def test_a_script_that_fails_is_named(script: Any, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        ask(ScriptedEngine(script), "x")


@pytest.mark.parametrize("weights", [lambda prompt, texts: 1 / 0, lambda prompt, texts: None, ["a", "b"]])
def test_scores_that_fail_are_named(weights: Any) -> None:
    scripted = ScriptedEngine(scores={"": weights})
    with pytest.raises(EngineError, match="the script"):
        asyncio.run(scripted.score(ScoreRequest((1,), (ord("y"), ord("n")))))


def test_a_script_may_act_out_a_fault() -> None:
    def busy(prompt: str, index: int) -> str:
        raise EngineUnavailable("busy")

    with pytest.raises(EngineUnavailable, match="busy"):
        ask(ScriptedEngine(busy), "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys\nsys.exit(3)\n", "raised SystemExit: 3"),
        ("reply = object()\n", "no script or engine named 'reply'"),
    ],
)
def test_a_script_file_without_a_script_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "script.py").write_text(text)
    with pytest.raises(EngineError, match=said):
        engine(f"scripted:{tmp_path}/script.py:reply")
