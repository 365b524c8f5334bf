"""Limits: of size, number and time; what a client that goes away leaves behind; and that nothing is mixed up."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import socket
from typing import Any

import pytest

import flopwise as fw
from benchmarks._serving_engine import Echo
from benchmarks._serving_load import put
from flopwise.backends.engines.scripted import ScriptedSettings
from flopwise.serve import access_log, queries
from tests.serve.serving import Held, Running, adder, running

QUESTION = {"question": "What is 3 plus 4?"}


def test_hundreds_of_clients_each_get_their_own_answer() -> None:
    engine = Echo()
    with running(fw.lower(fw.Predict("question -> answer: int"), engine=engine)) as server:
        found = asyncio.run(put(server.port, 100, 800, 60.0))
        assert (found["answered"], found["lost"], found["mixed_up"]) == (800, 0, 0), found["wrong"]
        metrics = server.metrics()
    assert metrics['flopwise_http_requests_total{route="/v1/run",status="200"}'] == 800
    assert metrics['flopwise_queries_total{end="ok",point=""}'] == 800


def test_a_client_that_looks_for_its_answer_sees_another_ones() -> None:
    engine = fw.ScriptedEngine(default="5")
    with running(fw.lower(fw.Predict("question -> answer: int"), engine=engine)) as server:
        found = asyncio.run(put(server.port, 2, 9, 60.0))
        assert (found["answered"], found["mixed_up"]) == (9, 8)  # all but number 5


def test_requests_of_many_clients_meet_in_one_scheduler() -> None:
    held = Held()
    with running(adder(latency=held, in_flight=4)) as server:
        asked = [server.asking(question=f"What is {n} plus 4?") for n in range(8)]
        for _ in range(4):
            held.wait()
        engine = server.application._points.pipeline.engine
        assert len(engine.asked) == 4  # the others wait for the engine's limit
        while server.metrics()["flopwise_queries_in_flight"] < 8:  # until the last client has asked
            pass
        for _ in range(4):
            held.let_go()
            held.wait()
        held.let_go()
        for thread, replies in asked:
            thread.join()
            assert replies[0].status == 200


def test_metrics_add_up() -> None:
    with running(adder()) as server:
        replies = [server.run(question=f"What is {n} plus 4?").json for n in range(5)]
        replies += [server.chat().json, server.run(stream=True, **QUESTION).events[-1][1]]
        assert server.run(question=3).status == 422
        assert server.ask("GET", "/nothing/here").status == 404
        metrics = server.metrics()
    for kind, name in (("prompt", "prompt_tokens"), ("completion", "completion_tokens")):
        total = sum(r["usage"][name] for r in replies)
        assert metrics[f'flopwise_query_tokens_total{{kind="{kind}"}}'] == total > 0
    flops = sum(r["flops"] if "flops" in r else r["flopwise"]["flops"] for r in replies)
    assert metrics["flopwise_query_flops_total"] == flops > 0
    assert (
        metrics['flopwise_queries_total{end="ok",point=""}']
        == metrics['flopwise_engine_requests_total{engine="main"}']
        == 7
    )
    assert metrics['flopwise_http_requests_total{route="/v1/run",status="422"}'] == 1
    assert metrics['flopwise_http_requests_total{route="",status="404"}'] == 1
    assert metrics["flopwise_queries_in_flight"] == 0
    assert metrics['flopwise_http_request_seconds_count{route="/v1/run"}'] == 7


def test_more_queries_than_the_limit_are_refused_with_a_time_to_come_back() -> None:
    held = Held()
    with running(adder(latency=held), max_queries=2) as server:
        asked = [server.asking(**QUESTION, **{}) for _ in range(1)] + [server.asking(question="Another?")]
        held.wait()
        held.wait()
        refused = server.run(**QUESTION)
        assert refused.status == 429 and refused.code == "overloaded"
        assert int(refused.headers["retry-after"]) >= 1
        assert server.run(stream=True, **QUESTION).status == 429
        assert server.ask("GET", "/health/ready").status == 200
        held.let_go()
        for thread, replies in asked:
            thread.join()
            assert replies[0].status == 200
        thread, replies = server.asking(**QUESTION)
        held.wait()
        held.let_go()
        thread.join()
        assert replies[0].status == 200  # the places are free again
        assert server.metrics()['flopwise_queries_total{end="overloaded",point=""}'] == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_disconnects_frees_its_place(stream: bool) -> None:
    held = Held()
    with running(adder(latency=held), max_queries=1) as server:
        body = json.dumps({"inputs": QUESTION, "stream": stream}).encode()
        with socket.create_connection(("127.0.0.1", server.port)) as gone:
            gone.sendall(b"POST /v1/run HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n")
            gone.sendall(b"content-length: %d\r\n\r\n%s" % (len(body), body))
            held.wait()
            assert server.run(question="Another?").status == 429
        while server.metrics()["flopwise_queries_in_flight"]:
            pass  # it is noticed within a tick or two
        thread, replies = server.asking(question="Another?")
        held.wait()
        held.let_go()
        thread.join()
        assert replies[0].status == 200
        assert server.metrics()['flopwise_http_requests_total{route="/v1/run",status="499"}'] == 1


@pytest.mark.parametrize("path", ["/v1/run", "/v1/chat/completions"])
def test_a_stream_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(queries, "KEEP_ALIVE_S", 0.02)
    held = Held()
    with running(adder(latency=held)) as server:
        chat = {"model": "adder", "messages": [{"role": "user", "content": "What?"}]}
        body = {"inputs": QUESTION} if path == "/v1/run" else chat
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        head = {"content-type": "application/json"}
        connection.request("POST", path, json.dumps({**body, "stream": True}), head)
        response = connection.getresponse()  # its head comes with the first of them
        assert response.readline() == b": still running\n"
        held.let_go()
        text = response.read().decode()
        connection.close()
        assert text.endswith("data: [DONE]\n\n" if "chat" in path else "}\n\n") and "7" in text


def test_a_query_that_takes_too_long_is_ended_and_tells_its_cost() -> None:
    async def slow_then_stuck(request: Any) -> None:
        if request.ids[-len("Answer:") :] == tuple(b"Answer:"):
            await asyncio.get_running_loop().create_future()

    engine = fw.ScriptedEngine(default="I add them.", settings=ScriptedSettings(latency=slow_then_stuck))
    with running(fw.lower(fw.ChainOfThought("question -> answer: int"), engine=engine), timeout=0.2) as server:
        late = server.run(**QUESTION)
        assert late.status == 504 and late.code == "timed_out"
        assert late.headers["x-should-retry"] == "false"
        assert late.json["usage"]["completion_tokens"] == 12 and late.json["flops"] > 0
        assert server.metrics()["flopwise_queries_in_flight"] == 0


def test_a_body_that_is_far_too_large_is_refused_before_it_is_read(plain: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", plain.port, timeout=60)
    connection.putrequest("POST", "/v1/run")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(1 << 40))
    connection.endheaders()  # and no byte of it
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_in_pieces_is_counted() -> None:
    with running(adder(), max_body=1000) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        pieces = (b" " * 400 for _ in range(3))
        connection.request("POST", "/v1/run", pieces, {"content-type": "application/json"}, encode_chunked=True)
        assert connection.getresponse().status == 413
        connection.close()
        assert server.run(**QUESTION).status == 200


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    with running(adder(), timeout=0.2) as server, socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(
            b"POST /v1/run HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
        )
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 408 ")


def test_the_log_has_a_line_a_request_and_no_text(caplog: pytest.LogCaptureFixture) -> None:
    with running(adder()) as server, caplog.at_level(logging.INFO, access_log.access.name):
        server.ask("POST", "/v1/run", {"inputs": {"question": "a secret"}}, x_request_id="mine-1")
        server.ask("POST", "/v1/run", {"inputs": {"question": 5}}, x_request_id="no good id")
        server.ask("GET", "/secret" * 100)
    good, bad, none = (json.loads(r.getMessage()) for r in caplog.records if r.name == access_log.access.name)
    assert (good["id"], good["status"], good["path"], good["completion_tokens"]) == ("mine-1", 200, "/v1/run", 2)
    assert (bad["status"], bad["code"]) == (422, "invalid_input") and "tokens" not in str(bad)
    assert "good" not in bad["id"] and len(none["path"]) == 200
    assert "a secret" not in caplog.text


def test_lines_are_written_together(capsys: pytest.CaptureFixture[str]) -> None:
    handler = access_log.BatchedHandler()
    record = logging.LogRecord("x", logging.INFO, "", 0, "one", None, None)

    async def several() -> None:
        handler.emit(record)
        handler.emit(record)
        assert capsys.readouterr().err == ""
        handler.flush()

    asyncio.run(several())
    assert capsys.readouterr().err == "one\none\n"
    handler.emit(record)  # without a loop there is nothing to wait for
    assert capsys.readouterr().err == "one\n"
