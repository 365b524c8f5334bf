"""The typed endpoint: what goes in and out, what is refused, and the choice of a point of the front."""

from __future__ import annotations

import datetime
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel

import flopwise as fw
from tests.serve.serving import Running, adder, running


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Box(BaseModel):
    name: str
    weight: float = 1.0


class Pack(fw.Signature):
    """Pack it."""

    count: int = fw.Input(ge=1)
    day: datetime.date = fw.Input()
    colour: Colour = fw.Input()
    boxes: list[Box] = fw.Input()
    note: str | None = fw.Input(None)
    fragile: bool = fw.Input()
    label: str = fw.Output()
    price: float = fw.Output(desc="in euros")


GOOD: dict[str, Any] = {
    "count": 3, "day": "2026-11-22", "colour": "red", "boxes": [{"name": "a"}], "fragile": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def packer() -> Any:
    said = adder('{"label": "ok", "price": 2.5}', Pack)
    with running(said) as server:
        yield server


def test_an_answer_has_outputs_tokens_and_flops(plain: Running) -> None:
    reply = plain.run(question="What is 3 plus 4?")
    assert reply.status == 200 and reply.headers["content-type"] == "application/json"
    answer = reply.json
    assert answer["outputs"] == {"answer": 7} and answer["id"] == reply.headers["x-request-id"]
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] == 2  # of one byte each: the digit and the end of the turn
    computed = usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]
    assert answer["flops"] == 1e6 * (computed + 1) <= answer["bound"]


def test_it_says_what_calling_the_pipeline_says(plain: Running) -> None:
    own = adder()
    record = own(question="What is 3 plus 4?")
    answer = plain.run(question="What is 3 plus 4?").json
    assert answer["outputs"]["answer"] == record.answer and answer["flops"] == record.trace.flops


def test_types_are_read_and_written_as_json_has_them(packer: Running) -> None:
    for inputs in (GOOD, {**GOOD, "count": "3"}, {**GOOD, "note": None}, {**GOOD, "note": "x"}):
        reply = packer.run(**inputs)
        assert reply.status == 200, reply.text
        assert reply.json["outputs"] == {"label": "ok", "price": 2.5}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"count": "many"}, "inputs.count"),
        ({"count": 0}, "inputs.count"),
        ({"count": 1.5}, "inputs.count"),
        ({"day": "yesterday"}, "inputs.day"),
        ({"colour": "green"}, "inputs.colour"),
        ({"boxes": [{"name": "a"}, {"weight": 2}]}, "inputs.boxes.1.name"),
        ({"boxes": [{"name": "a", "weight": "heavy"}]}, "inputs.boxes.0.weight"),
        ({"extra": 1}, "inputs.extra"),
        ({"note": 5}, "inputs.note"),
    ],
)
def test_what_a_type_does_not_take_is_refused_by_name(packer: Running, change: dict[str, Any], field: str) -> None:
    reply = packer.run(**{**GOOD, **change})
    assert reply.status == 422 and reply.code == "invalid_input"
    assert reply.json["error"]["param"] == field
    assert any(d["field"] == field for d in reply.json["error"]["details"])


def test_every_wrong_field_is_listed(packer: Running) -> None:
    error = packer.ask("POST", "/v1/run", {"inputs": {"count": 0}, "extra": 1}).json["error"]
    fields = {d["field"] for d in error["details"]}
    assert fields == {"inputs.count", "inputs.day", "inputs.colour", "inputs.boxes", "inputs.fragile", "extra"}


def test_a_text_longer_than_its_cap_is_refused(plain: Running) -> None:
    reply = plain.run(question="x" * 5000)
    assert reply.status == 422 and reply.code == "invalid_input"
    assert "takes 5000 tokens" in reply.json["error"]["message"] and reply.json["flops"] == 0


def test_a_stream_has_a_step_for_each_request_and_the_answer_of_one_piece(plain: Running) -> None:
    whole, reply = plain.run(question="What?").json, plain.run(stream=True, question="What?")
    assert reply.headers["content-type"].startswith("text/event-stream")
    (step, told), (result, answer) = reply.events
    assert (step, result) == ("step", "result")
    assert told["node"] == "Predict.answer" and told["flops"] == whole["flops"]
    assert {**answer, "id": ""} == {**whole, "id": ""} and answer["id"] == reply.headers["x-request-id"]


def test_what_fails_before_the_first_event_has_a_status_and_later_it_is_an_event() -> None:
    def reply(prompt: str, index: int) -> str:
        if "step by step" in prompt and not prompt.endswith("Answer:"):
            return "I add them."
        raise fw.EngineError("it died at the secret host")

    engine = fw.ScriptedEngine(reply)
    with running(fw.lower(fw.Predict("question -> answer: int"), engine=engine)) as server:
        early = server.run(stream=True, question="What?")
        assert early.status == 502 and early.code == "engine_failed" and "secret" not in early.text
    with running(fw.lower(fw.ChainOfThought("question -> answer: int"), engine=engine)) as server:
        late = server.run(stream=True, question="What?")
        assert late.status == 200 and [name for name, _ in late.events] == ["step", "error"]
        told = late.events[1][1]
        assert told["error"]["code"] == "engine_failed" and told["flops"] == late.events[0][1]["flops"] > 0
        assert server.metrics()['flopwise_queries_total{end="engine_failed",point=""}'] == 1


def test_a_request_chooses_its_point_of_the_front(front: Running, found: Any) -> None:
    listed = front.ask("GET", "/v1/pipeline").json
    assert listed["point"] == found.report["chosen"]
    assert [p["number"] for p in listed["front"]] == [p.number for p in found.front]
    question = {"question": "What is 20 plus 30?"}
    assert front.run(**question).json["point"] == found.report["chosen"]
    for point in found.front:
        answer = front.run({"point": point.number}, **question).json
        expected = found.at(point)(**question)
        assert answer["point"] == point.number and answer["outputs"] == {"answer": expected.answer}
        assert answer["flops"] == expected.trace.flops
    cheap = min(p.bound for p in found.front)
    for cap in (cheap, f"{cheap:.0f} FLOP"):
        answer = front.run({"per_query": cap}, **question).json
        assert answer["flops"] <= answer["bound"] <= cheap
    assert front.run({"score": 0.0}, **question).json["point"] == found.front[0].number


@pytest.mark.parametrize(
    ("at", "code"),
    [
        ({"point": 999}, "no_such_point"),
        ({"per_query": "1 FLOP"}, "no_such_point"),
        ({"per_query": "2 apples"}, "no_such_point"),
        ({"point": 1, "score": 0.5}, "no_such_point"),
        ({"mean": 1}, "no_such_point"),
        ({"score": 2}, "no_such_point"),
        ({"speed": 2}, "invalid_input"),
        ({"point": "first"}, "invalid_input"),
    ],
)
def test_a_point_that_is_not_there_is_refused(front: Running, at: dict[str, Any], code: str) -> None:
    reply = front.run(at, question="What is 20 plus 30?")
    assert reply.status == 422 and reply.code == code and "flops" not in reply.json


def test_points_share_one_scheduler(front: Running, found: Any) -> None:
    before = front.metrics()['flopwise_engine_requests_total{engine="main"}']
    answers = [front.run({"point": p.number}, question="What is 21 plus 31?").json for p in found.front]
    asked = front.metrics()['flopwise_engine_requests_total{engine="main"}'] - before
    assert asked > 0 and len({a["point"] for a in answers}) == len(found.front) > 1


def test_without_a_search_there_is_nothing_to_choose(plain: Running) -> None:
    reply = plain.run({"point": 1}, question="What?")
    assert reply.status == 422 and reply.code == "no_such_point"


def test_many_choices_are_prepared_and_not_all_kept(front: Running, found: Any) -> None:
    least = max(p.bound for p in found.front)
    for more in range(20):
        assert front.run({"per_query": least + more}, question="What is 20 plus 30?").status == 200
    assert len(front.application._points._kept) == 16
