"""What an artifact retrieves from: plain files, checked to the byte, that need nothing of the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import flopwise as fw
from flopwise.backends.embedders.registry import embedder
from flopwise.compiler.lower import lower
from flopwise.compiler.stages import complete, optimise
from flopwise.modules.program import result_class, trace
from tests.compiler.test_retrieve import ROWS
from tests.programs import Solve
from tests.retrieval import pool_of
from tests.test_artifact import sum_again

ROOT = Path(__file__).parent.parent
SCRIPT = """
import sys
import flopwise as fw
found = fw.load(sys.argv[1], fw.ScriptedEngine(default="7"))
record = found(question="How many legs have five cats?")
assert not any(name.startswith("tests") for name in sys.modules)
print(found.plan.hash)
print(record.trace.prompts()[0][1])
"""


class Voter(fw.Program):
    draft = fw.Predict(Solve)

    def forward(self, question: str) -> Solve:
        return fw.vote(fw.sample(self.draft, n=2, temperature=0.5)(question=question), field="answer")


def pipeline() -> fw.Pipeline:
    graph, using = trace(Voter()), fw.ScriptedEngine(default="7")
    config = complete(graph, {"draft.demos": "knn:2"})
    plan = lower(optimise(graph, config, pool_of("draft.demos", ROWS)).result, using)
    return fw.Pipeline(plan, using, result_class(Voter(), graph.schema), {"config": config})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return pipeline().save(tmp_path / "voter.fw")


def index_of(folder: Path) -> Path:
    (file,) = (folder / "index").iterdir()
    return file


def test_an_index_is_a_file_of_lines_that_people_can_read(saved: Path) -> None:
    assert index_of(saved).name == "draft.sample-draft.demos.jsonl"
    lines = [json.loads(line) for line in index_of(saved).read_text().splitlines()]
    assert [line["key"] for line in lines] == [row["question"] for row in ROWS]
    assert lines[0]["texts"] == ["Question: How many legs have two cats?", "8"]
    assert "How many legs" not in (saved / "pipeline.json").read_text()
    run = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=saved, capture_output=True, text=True)
    assert run.returncode == 0


@pytest.mark.parametrize("name", ["voter.fw", "voter.fw.zip"])
def test_a_fresh_process_retrieves_the_same(tmp_path: Path, name: str) -> None:
    here = pipeline()
    path = here.save(tmp_path / name)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    digest, _, prompt = run.stdout.partition("\n")
    assert digest == here.plan.hash
    assert prompt.strip() == here(question="How many legs have five cats?").trace.prompts()[0][1].strip()
    assert prompt.index("three birds") < prompt.index("two cats") < prompt.index("five cats")
    assert here.config["draft.demos"] == fw.load(path, here.engine).config["draft.demos"] == "knn:2"


def test_a_changed_byte_is_refused_by_name(saved: Path) -> None:
    file = index_of(saved)
    file.write_bytes(file.read_bytes().replace(b"cats", b"dogs", 1))
    with pytest.raises(fw.ArtifactError, match=r"file 'index/draft.sample-draft.demos.jsonl' has changed"):
        fw.load(saved, fw.ScriptedEngine(default="7"))


def test_an_index_that_was_exchanged_makes_another_plan(saved: Path) -> None:
    file = index_of(saved)
    file.write_bytes(file.read_bytes().replace(b"cats", b"dogs", 1))
    sum_again(saved)
    with pytest.raises(fw.ArtifactError, match="its plan has hash"):
        fw.load(saved, fw.ScriptedEngine(default="7"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text.splitlines()[0], "retrieves 2 of 1 items"),
        (lambda text: text.replace('"key"', '"kez"'), "'key'"),
        (lambda text: text[:-9], "not of format"),
        (lambda text: text.replace("0.0,", '"x",', 1), "not of format"),
    ],
)
def test_what_is_no_index_is_refused(saved: Path, spoil: object, said: str) -> None:
    file = index_of(saved)
    file.write_text(spoil(file.read_text()))  # type: ignore[operator]  # a function of each case
    sum_again(saved)
    with pytest.raises(fw.ArtifactError, match=said):
        fw.load(saved, fw.ScriptedEngine(default="7"))


def test_an_index_that_is_missing_is_refused(saved: Path) -> None:
    index_of(saved).unlink()
    sum_again(saved)
    with pytest.raises(fw.ArtifactError, match=r"index/draft\.sample-draft\.demos\.jsonl"):
        fw.load(saved, fw.ScriptedEngine(default="7"))


def test_another_embedder_is_refused_at_loading(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flopwise.backends.embedders.lexical.LexicalEmbedder.fingerprint", "lexical/2/512")
    with pytest.raises(fw.EngineError, match=r"node 'draft.sample/draft.demos': .*made with lexical/1/512"):
        fw.load(saved, fw.ScriptedEngine(default="7"))
    monkeypatch.setenv("FLOPWISE_HOME", str(tmp_path))
    embedder.cache_clear()
    data = (saved / "pipeline.json").read_text()
    (saved / "pipeline.json").write_text(data.replace('"embedder": "lexical"', '"embedder": "all-minilm-l6-v2"'))
    sum_again(saved)
    with pytest.raises(fw.WeightsError, match=r"'draft.sample/draft.demos': .*run `flopwise models pull all-minilm"):
        fw.load(saved, fw.ScriptedEngine(default="7"))
