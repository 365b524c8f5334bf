"""The front's files: plain text by number, without the artifact's own point, and without what could not be run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.compiler.artifact_front import StoredFront, front_files
from flopwise.compiler.artifact_json import as_text
from flopwise.compiler.frozen import Frozen, plan_facts


@fw.op
def doubled(value: int) -> int:
    return value * 2


def frozen(pipeline: fw.Pipeline[..., Any]) -> Frozen:
    plan = pipeline.plan
    return Frozen(plan.graph, plan.caps, plan_facts(plan), dict(pipeline.config), [])


def program(function: Any, engine: Any) -> fw.Pipeline[..., Any]:
    @fw.program
    def after(question: str) -> int:
        return function(fw.Predict("question -> answer: int", name="solve")(question=question).answer)  # type: ignore[no-any-return]

    return fw.lower(after, engine=engine)


def test_a_point_comes_back_as_it_was() -> None:
    engine = fw.ScriptedEngine(default="7")
    own, other = fw.lower(fw.Predict("q -> a: int"), engine=engine), program(doubled, engine)
    files = front_files({3: frozen(own), 5: frozen(other)}, 3)
    assert set(files) == {"front/5.json"} and files["front/5.json"].endswith(b"}\n")
    stored = StoredFront(Path("here"), {**files, "front/x.json": b"?", "other/7.json": b"?"}, frozen(own), 3)
    assert sorted(stored) == [3, 5] and len(stored) == 2 and 7 not in stored
    assert stored[3].graph is own.plan.graph
    back = stored[5]
    assert back.graph.hash == other.plan.graph.hash and back.lower(engine, 1e15).hash == other.plan.hash
    assert stored[5] is back


def test_a_point_that_comes_out_otherwise_is_refused() -> None:
    engine = fw.ScriptedEngine(default="7")
    own = frozen(fw.lower(fw.Predict("q -> a: int"), engine=engine))
    text = front_files({5: own}, None)["front/5.json"]
    changed = json.loads(text) | {"plan": {**own.plan, "hash": "another"}}
    stored = StoredFront(Path("here"), {"front/5.json": as_text(changed)}, own, None)
    with pytest.raises(fw.ArtifactError, match=r"artifact 'here', front/5\.json: lowered for .*saved with another"):
        stored[5].lower(engine, None)


def test_what_no_other_process_could_run_is_left_out_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    @fw.op
    def local(value: int) -> int:
        return value + 1

    engine = fw.ScriptedEngine(default="7")
    points = {1: frozen(program(local, engine)), 2: frozen(program(doubled, engine))}
    assert set(front_files(points, None)) == {"front/2.json"}
    (record,) = caplog.records
    assert "point #1 of the front is left out of the artifact" in record.getMessage()


def test_lists_of_numbers_stand_on_one_line_and_texts_are_left_alone() -> None:
    value = {"scores": [1, 0, 0.5, -1e-07], "deep": [[1, 2], [], ["a"]], "text": "[\n  1,\n  2\n]", "mixed": [1, "1"]}
    text = as_text(value).decode()
    assert json.loads(text) == value
    assert '"scores": [1, 0, 0.5, -1e-07]' in text and "    [1, 2],\n" in text
    assert '"mixed": [\n    1,\n    "1"\n  ]' in text
