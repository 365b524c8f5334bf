"""Every row of the table of errors is met by a real request, and says its cause and what to do."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SandboxError
from flopwise.serve.problems import PROBLEMS, Refused
from tests.serve.serving import Held, Reply, Running, adder, running

TOKEN = "a-token-of-enough-characters"


def failing(error: Exception) -> Reply:
    def reply(prompt: str, index: int) -> str:
        raise error

    with running(adder(reply)) as server:
        return server.run(question="What?")


def unusable(plain: Running) -> Reply:
    def reply(prompt: str, index: int) -> str:
        return "I add them." if "step by step" in prompt and not prompt.endswith("Answer:") else "x"

    class Free(fw.Signature):
        """Say it."""

        question: str = fw.Input()
        answer: list[int] = fw.Output()

    engine = fw.ScriptedEngine({"": "[" * 300}, settings=None)
    with running(fw.lower(fw.Predict(Free, max_tokens=20), engine=engine)) as server:
        return server.run(question="What?")


def unavailable(plain: Running) -> Reply:
    from flopwise.backends.runtime import dispatch

    before, dispatch.Policy.__init__.__defaults__ = dispatch.Policy.__init__.__defaults__, (64, 1024, ())
    try:
        return failing(fw.EngineUnavailable("no route to the secret host"))
    finally:
        dispatch.Policy.__init__.__defaults__ = before


def guarded(plain: Running) -> Reply:
    with running(adder(), tokens=(TOKEN,)) as server:
        return server.ask("GET", "/v1/models", authorization="Bearer wrong")


def slow_body(plain: Running) -> Reply:
    with running(adder(), timeout=0.1) as server, socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(b"POST /v1/run HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n")
        slow.sendall(b"content-length: 9\r\n\r\n{")
        head, _, body = slow.makefile("rb").read().partition(b"\r\n\r\n")
        return Reply(int(head.split()[1]), {}, body.decode())


def busy(stop: bool, **settings: Any) -> Reply:
    held = Held()
    with running(adder(latency=held), **settings) as server:
        thread, _ = server.asking(question="What?")
        held.wait()
        if stop:
            server.stop()
        refused = server.run(question="Another?")
        held.let_go()
        thread.join()
        return refused


CAUSES: dict[str, Callable[[Running], Reply]] = {
    "unauthorized": guarded,
    "not_found": lambda plain: plain.ask("GET", "/nothing"),
    "method_not_allowed": lambda plain: plain.ask("DELETE", "/v1/run"),
    "body_timeout": slow_body,
    "body_too_large": lambda plain: plain.ask("POST", "/v1/run", b" " * (1 << 20) + b"{}"),
    "unsupported_media_type": lambda plain: plain.ask("POST", "/v1/run", b"{}", content_type="text/plain"),
    "invalid_json": lambda plain: plain.ask("POST", "/v1/run", b"{"),
    "invalid_input": lambda plain: plain.run(qestion="What?"),
    "no_such_point": lambda plain: plain.run({"point": 4}, question="What?"),
    "invalid_messages": lambda plain: plain.chat(5),
    "unsupported_parameter": lambda plain: plain.chat(n=3),
    "model_not_found": lambda plain: plain.chat(model="gpt"),
    "overloaded": lambda plain: busy(False, max_queries=1),
    "timed_out": lambda plain: busy(False, timeout=0.1),
    "pipeline_failed": unusable,
    "engine_failed": lambda plain: failing(fw.EngineError("it died at the secret host")),
    "engine_unavailable": unavailable,
    "draining": lambda plain: busy(True),
    "internal_error": lambda plain: failing(SandboxError("no bubblewrap in /secret")),
}


def test_no_row_is_left_out() -> None:
    assert set(CAUSES) == set(PROBLEMS)


@pytest.mark.parametrize("code", CAUSES)
def test_the_error_is_met(plain: Running, code: str, caplog: pytest.LogCaptureFixture) -> None:
    reply = CAUSES[code](plain)
    problem, error = PROBLEMS[code], reply.json["error"]
    assert (error["code"], reply.status, error["type"]) == (code, problem.status, problem.type)
    assert error["message"].endswith(problem.next_step) and "secret" not in reply.text
    assert set(error) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize("code", PROBLEMS)
def test_what_may_succeed_later_says_when_and_the_rest_of_the_servers_does_not(code: str) -> None:
    headers = Refused(code, wait=7.2).headers()
    assert (headers.get("retry-after") == "7") == PROBLEMS[code].again
    assert ("x-should-retry" in headers) == (PROBLEMS[code].status >= 500 and not PROBLEMS[code].again)


def test_an_error_of_the_servers_own_is_logged_under_its_id(caplog: pytest.LogCaptureFixture) -> None:
    with running(adder()) as server:
        server.application._points.pipeline.record = None  # type: ignore[assignment,method-assign]
        reply = server.run(question="What?")
        assert reply.status == 500 and reply.code == "internal_error"
        assert server.run(question=5).status == 422  # and the server goes on
    logged = next(r for r in caplog.records if r.name == "flopwise.serve")
    assert reply.headers["x-request-id"] in logged.getMessage() and logged.exc_info


def test_why_an_engine_failed_is_for_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def reply(prompt: str, index: int) -> str:
        raise fw.EngineError("it died at the secret host")

    with running(adder(reply)) as server:
        reply_ = server.run(question="What?")
        server.chat("Whatever?")
    first, second = (r.getMessage() for r in caplog.records if r.name == "flopwise.serve")
    assert first == f"request {reply_.headers['x-request-id']}: engine_failed: it died at the secret host"
    assert "secret" in second and "What" not in first + second and "secret" not in reply_.text


def test_an_engine_that_fails_again_and_again_makes_the_server_unready() -> None:
    with running(adder(lambda prompt, index: json.loads("{"))) as server:
        assert server.ask("GET", "/health/ready").json == {"status": "ready"}
        for _ in range(3):
            assert server.run(question="What?").code == "engine_failed"
        assert server.ask("GET", "/health").json == {"status": "engine failing"}
        assert server.ask("GET", "/health/live").status == 200
