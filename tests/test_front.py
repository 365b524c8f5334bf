"""Another point of a search's front as a pipeline: in the process that searched, and out of an artifact elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings
from flopwise.cli.report_text import front_text, verdict
from flopwise.compiler.artifact_write import write_files
from flopwise.optimizers.contenders import Limits

from .optimizers import additions

ROOT = Path(__file__).parent.parent
OBJECTIVES = {"digits": fw.Objective(lambda e, p: len(str(p.answer)), better="lower")}


@pytest.fixture(scope="module")
def found() -> Any:
    return additions.search(
        None, additions.engine(), dev=additions.rows(64), limits=Limits(configs=8), objectives=OBJECTIVES
    )


@pytest.fixture
def saved(found: Any, tmp_path: Path) -> Path:
    return Path(found.save(tmp_path / "adder.fw"))


def other_points(found: Any) -> list[fw.Point]:
    """Neither the winner nor the plain prompt, which meet the holdout."""
    others = [p for p in found.front if p.number not in (found.front.winner, 1)]
    assert others
    return others


def test_the_winner_is_on_the_front_and_nothing_beats_a_point(found: Any) -> None:
    front = found.front
    assert front.winner == found.report["chosen"] in {p.number for p in front}
    winner = next(p for p in front if p.number == front.winner)
    assert winner.config == found.config and winner.merit == max(p.merit for p in front)
    assert [p.flops for p in front] == sorted(p.flops for p in front)
    assert winner.score.mean == found.report["dev"]["score"]["mean"]


def test_a_cap_gives_the_best_point_under_it_and_holds(found: Any) -> None:
    cheap = found.front[0]
    cap = min(p.bound for p in found.front)
    chosen = found.at(per_query=cap)
    assert chosen.plan.cap == cap and chosen.plan.bound <= cap
    point = next(p for p in found.front if p.number == chosen.report["chosen"])
    assert chosen.config == point.config and point.merit >= cheap.merit
    assert chosen.report["flops_per_query"] == point.flops <= cap
    record = chosen(question="What is 20 plus 30?")
    assert isinstance(record, additions.Add) and record.answer in (50, 51)
    assert record.trace.flops <= cap
    assert chosen.plan.graph.hash != found.plan.graph.hash


def test_a_point_is_the_graph_that_was_scored(found: Any) -> None:
    for point in found.front:
        chosen = found.at(point)
        assert chosen.config == point.config
        assert chosen.plan.hash == found.points[point.number].plan["hash"]
        assert chosen.plan.cap == found.plan.cap and chosen.plan.bound == point.bound
    assert found.at().config == found.config


def test_limits_choose_by_mean_by_score_and_by_objective(found: Any) -> None:
    cheap, best = found.front[0], next(p for p in found.front if p.number == found.front.winner)
    assert found.at(mean=cheap.flops).config == cheap.config
    assert found.at(score=0.0).config == cheap.config
    good = found.front.ranked(score=best.score.mean)
    assert best in good and found.at(score=best.score.mean).config == min(good, key=lambda p: p.flops).config
    briefest = min(p.objectives["digits"] for p in found.front)
    assert found.at(digits=briefest).report["chosen"] in {
        p.number for p in found.front if p.objectives["digits"] == briefest
    }


def test_what_never_met_the_holdout_says_so_and_the_winner_comes_back_with_its_verdict(found: Any) -> None:
    point = other_points(found)[0]
    chosen = found.at(point)
    held = chosen.report["holdout"]
    assert held["score"] is None and held["gain"] is None and held["n"] == 0
    assert f"#{point.number} is another point of the front than the winner, #{found.front.winner}" in held["note"]
    assert "never met the holdout" in held["note"]
    assert chosen.report["dev"]["score"]["mean"] == point.score.mean
    assert chosen.report["tried"] == found.report["tried"] and chosen.front == found.front
    back = chosen.at()
    assert back.report["holdout"] == found.report["holdout"] and back.plan.hash == found.plan.hash


def test_the_plain_prompt_met_the_holdout_as_the_baseline(found: Any) -> None:
    plain = next(p for p in found.front if p.number == 1)
    report = found.at(plain).report
    assert report["holdout"]["score"] == found.report["holdout"]["baseline"]
    assert report["holdout"]["gain"] is None and "#1 is the plain prompt" in report["holdout"]["note"]
    assert "plain prompt, which the winner" in verdict(report) and "gain" not in verdict(report)
    assert f"of these #1 and #{found.front.winner} met the holdout" in front_text(report)
    assert "\n *#1 " in front_text(report)
    assert verdict(found.at(other_points(found)[0]).report).startswith("No verdict: config #")


def test_a_tighter_cap_than_was_measured_is_told() -> None:
    class Waves(fw.Program):
        draft = fw.ChainOfThought(additions.Add, demos=())
        n = fw.integer(4, 8)

        def forward(self, question: str) -> additions.Add:
            return fw.vote(fw.sample(self.draft, n=self.n, wave=1, temperature=0.9)(question=question), field="answer")

    found = additions.compiled(Waves(), additions.engine(), dev=additions.rows(40), limits=Limits(configs=1))
    plan = found.plan
    cap = (max(plan.least, found.front[0].flops) + plan.bound) / 2
    tight = found.at(per_query=cap)
    assert plan.least <= cap < plan.bound and tight.plan.bound <= cap
    assert "it was measured where queries took at most" in tight.report["holdout"]["note"]
    assert tight.report["holdout"]["score"] == found.report["holdout"]["score"]
    assert tight(question="What is 20 plus 30?").trace.flops <= cap
    assert tight.at(per_query=plan.cap).report["holdout"] == found.report["holdout"]


def test_where_no_point_fits_the_cheapest_is_named(found: Any) -> None:
    cheap = found.front[0]
    with pytest.raises(fw.BudgetError, match=rf"fits a cap of 1 KFLOP a query; the cheapest, #{cheap.number}, needs"):
        found.at(per_query="1 KFLOP")
    with pytest.raises(fw.BudgetError, match=r"no point of the front is within these limits; its points are\n#"):
        found.at(mean="1 KFLOP")
    needed = max(found.at(cheap).plan.least, cheap.flops)
    assert found.at(per_query=needed).plan.bound <= needed
    with pytest.raises(fw.BudgetError, match="no point"):
        found.at(per_query=needed * 0.99)


@pytest.mark.parametrize(
    ("limits", "error", "said"),
    [
        ({"per_query": "2 apples"}, fw.BudgetError, "per_query: a quantity such as"),
        ({"per_query": -1}, fw.BudgetError, "must be positive"),
        ({"mean": "much"}, fw.BudgetError, "mean: a quantity"),
        ({"score": "0.5"}, fw.ConfigError, r"at\(score=...\): a finite number is needed, but got '0.5'"),
        ({"digits": float("nan")}, fw.ConfigError, r"at\(digits=...\)"),
        ({"words": 7}, fw.ConfigError, "no objective 'words'; it had digits"),
        ({"point": 3}, fw.ConfigError, "3 is no point of this front; its points are #"),
    ],
)
def test_limits_that_are_none_are_refused(found: Any, limits: dict[str, Any], error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        found.at(**limits)


def test_without_a_search_there_is_nothing_to_choose_from(tmp_path: Path) -> None:
    pipeline = fw.lower(additions.Adder(), engine=additions.engine())
    again = fw.load(pipeline.save(tmp_path / "a.fw"), additions.engine())
    for one in (pipeline, again):
        assert not one.front
        with pytest.raises(fw.ConfigError, match="it comes from no search"):
            one.at(per_query="1 PFLOP")
    assert not (tmp_path / "a.fw" / "front").exists()


# out of an artifact ---------------------------------------------------------------------------------------------

ELSEWHERE = """
import json, sys
import flopwise as fw
loaded = fw.load(sys.argv[1], fw.ScriptedEngine(default="7"))
chosen = loaded.at(per_query=float(sys.argv[2]))
print(json.dumps({"config": dict(chosen.config), "hash": chosen.plan.hash, "cap": chosen.plan.cap,
                  "front": str(loaded.front), "note": chosen.report["holdout"]["note"],
                  "answer": chosen(question="What is 1 plus 1?").answer,
                  "modules": [m for m in sys.modules if "additions" in m or m == "optuna"]}))
"""


@pytest.mark.parametrize("name", ["adder.fw", "adder.zip"])
def test_another_process_without_the_program_gets_the_same_point(found: Any, tmp_path: Path, name: str) -> None:
    path, cap = found.save(tmp_path / name), min(p.bound for p in found.front)
    here = found.at(per_query=cap)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ELSEWHERE, str(path), str(cap)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    assert there["config"] == json.loads(json.dumps(dict(here.config)))
    assert (there["hash"], there["cap"], there["answer"]) == (here.plan.hash, cap, 7)
    assert there["front"] == str(found.front) and there["note"] == here.report["holdout"]["note"]
    assert there["modules"] == []


def test_every_point_but_the_own_has_a_file_under_the_sums(found: Any, saved: Path) -> None:
    numbers = {p.number for p in found.front} - {found.report["chosen"]}
    assert {p.name for p in (saved / "front").iterdir()} == {f"{n}.json" for n in numbers}
    sums = (saved / "SHA256SUMS").read_text()
    assert all(f"  front/{n}.json\n" in sums for n in numbers)
    report = (saved / "report.json").read_text()
    assert '"scores": [' in report and not any(line.strip() in ("0,", "1,") for line in report.splitlines())


def test_a_changed_byte_of_a_point_is_refused_by_name(saved: Path) -> None:
    file = min((saved / "front").iterdir())
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(fw.ArtifactError, match=rf"file 'front/{file.name}' has changed"):
        fw.load(saved, additions.engine())


@pytest.mark.parametrize("text", ["[]", "{}", "not JSON", '{"graph": 7, "plan": {}, "config": {}, "demos": []}'])
def test_a_point_is_read_when_it_is_asked_for(found: Any, saved: Path, text: str) -> None:
    point = other_points(found)[0]
    files = {p.relative_to(saved).as_posix(): p.read_bytes() for p in saved.rglob("*") if p.is_file()}
    files[f"front/{point.number}.json"] = text.encode()
    del files["SHA256SUMS"]
    write_files(files, saved)
    loaded = fw.load(saved, additions.engine())
    assert loaded.at().plan.hash == found.plan.hash
    with pytest.raises(fw.ArtifactError, match=rf"front/{point.number}\.json"):
        loaded.at(point)


def test_another_point_saved_and_loaded_is_that_point_and_leads_back(found: Any, tmp_path: Path) -> None:
    point = other_points(found)[0]
    loaded = fw.load(found.at(point).save(tmp_path / "cheap.fw"), additions.engine())
    assert loaded.config == point.config and loaded.report["holdout"]["score"] is None
    assert not (tmp_path / "cheap.fw" / "front" / f"{point.number}.json").exists()
    back = loaded.at()
    assert back.plan.hash == found.plan.hash and back.report["holdout"] == found.report["holdout"]
    again = fw.load(back.save(tmp_path / "again.fw"), additions.engine())
    assert again.front == found.front and again.at(point).plan.hash == loaded.plan.hash


def test_on_another_model_a_point_is_lowered_for_that_model(saved: Path, found: Any) -> None:
    other = fw.ScriptedEngine(default="7", settings=ScriptedSettings(name="other"))
    point = other_points(found)[0]
    chosen = fw.load(saved, other).at(point)
    assert chosen.plan.model == "other" and chosen(question="What is 1 plus 1?").answer == 7
