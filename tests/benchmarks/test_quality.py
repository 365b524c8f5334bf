"""Quality beside peers: what is run, in which order, what lands, and that it goes on."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import quality
from benchmarks.peers import ablations, fixed, ours
from benchmarks.peers._base import Unready
from benchmarks.peers.methods import GROUPS, ORDER, chosen, slug
from benchmarks.tasks import TASKS
from flopwise.optimizers.search import Search
from tests.benchmarks.peers import sums

PLAIN = ("few-shot CoT", "Archon layers")  # need neither DSPy nor a search


def options(folder: Path, *said: str) -> Namespace:
    parser = ArgumentParser()
    quality.arguments(parser)
    return parser.parse_args(["--tasks", "sums", "--work", str(folder / "work"), "--out", str(folder / "raw"), *said])


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The engines that were made; the task of sums is the only one."""
    engines: list[Any] = []

    def engine(spec: str) -> Any:
        engines.append(sums.engine())
        return engines[-1]

    monkeypatch.setattr("flopwise.engine", engine)
    monkeypatch.setattr(quality, "task_named", lambda name: sums.TASK)
    return engines


def test_a_raw_file_lands_for_each_method_and_is_not_run_again(made: list[Any], tmp_path: Path) -> None:
    wanted = options(tmp_path, "--peers", ",".join(PLAIN))
    first = quality.measure(wanted)
    assert made[0].requests > 0
    again = quality.measure(wanted)
    assert made[1].requests == 0
    assert first.rows == again.rows
    assert [row["method"] for row in again.rows] == list(PLAIN)


def test_a_raw_file_says_how_it_was_made_and_keeps_every_question(made: list[Any], tmp_path: Path) -> None:
    quality.measure(options(tmp_path, "--peers", "few-shot CoT", "--seeds", "3"))
    raw = json.loads((tmp_path / "raw/sums/few-shot-CoT-3.json").read_text())
    assert raw["command"].startswith(
        "python -m benchmarks quality --tasks sums --peers 'few-shot CoT' --seeds 3 --engine"
    )
    assert (raw["seed"], raw["splits"], len(set(raw["questions"]))) == (3, [8, 8, 6], 6)
    assert raw["machine"]["cores"] and raw["versions"]["flopwise"] and raw["model_fingerprint"]
    assert [row["score"] for row in raw["rows"]] == [1, 1, 1, 0, 1, 1]
    found = quality.summary(raw)
    assert found["test_score"] == pytest.approx(5 / 6)
    assert found["search_flops"] > 0
    assert found["test_prefill"] == sum(row["prompt"] - row["cached"] for row in raw["rows"]) > 0


def test_what_another_run_must_say_first_is_named_with_its_command(made: list[Any], tmp_path: Path) -> None:
    with pytest.raises(
        SystemExit, match=r"the search budget comes from the run of dspy\.MIPROv2.*--peers dspy\.MIPROv2"
    ):
        quality.measure(options(tmp_path, "--peers", "flopwise"))


def test_methods_run_in_the_order_in_which_they_need_each_other() -> None:
    assert chosen("fixed,flopwise,dspy") == [*GROUPS["dspy"], "flopwise", "few-shot CoT", "self-consistency"]
    assert chosen("self-consistency,few-shot CoT") == ["few-shot CoT", "self-consistency"]
    assert ORDER.index("dspy.MIPROv2") < ORDER.index("flopwise") < ORDER.index("self-consistency")
    with pytest.raises(ValueError, match=r"groups .* and methods"):
        chosen("dspy,magic")


def test_files_of_methods_differ() -> None:
    assert len({slug(name) for name in ORDER}) == len(ORDER)
    assert set(GROUPS["ablations"]) | set(GROUPS["curve"]) | {"flopwise"} == set(ours.METHODS)


def test_flopwise_spends_at_most_its_share_of_what_mipro_spent(tmp_path: Path) -> None:
    mipro = {"search": {"spent": 4e9}}
    run = sums.run(tmp_path, "flopwise", search=None, per_query="1 GFLOP", landed={"dspy.MIPROv2": mipro}.get)
    found = ours.METHODS["flopwise"](run)
    assert found.about["budget"] == 2e9
    assert 0 < found.search["spent"] <= 2e9
    assert len(found.rows) == 6
    with pytest.raises(Unready, match=r"dspy\.MIPROv2, which has not landed"):
        ours.search_budget(sums.run(tmp_path, "other", search=None))


def test_a_search_that_ended_is_tested_without_a_new_one(tmp_path: Path) -> None:
    given: dict[str, Any] = {"search": "2 GFLOP", "per_query": "1 GFLOP"}
    first = ours.METHODS["flopwise"](sums.run(tmp_path, "flopwise", **given))
    silent = sums.engine(lambda prompt, i: pytest.fail("was asked before"))
    again = ours.METHODS["flopwise"](sums.run(tmp_path, "flopwise", silent, **given))
    assert [row["score"] for row in again.rows] == [row["score"] for row in first.rows]
    assert again.search["spent"] == first.search["spent"]


@pytest.mark.parametrize("name", [n for n in ablations.ABLATIONS if n != "nothing"])
def test_an_ablation_leaves_out_what_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[Search] = []
    race = Search._race
    stops: list[int] = []

    def noted(self: Search, contenders: Any) -> Any:
        searches.append(self)
        return race(self, contenders)

    monkeypatch.setattr(Search, "_race", noted)
    method = ours.METHODS[f"flopwise-without-{name}"]
    found = method(sums.run(tmp_path, name, search="2 GFLOP", per_query="1 GFLOP"))
    (search,) = searches
    config, whole = found.about["config"], len(search.dev)
    match name:
        case "prefix-lowering":
            assert found.about["statistics"]["warmups"] == 0
            assert not search.engines.main.capabilities.forks
        case "racing":
            assert search.contenders is not None
            stops = [search.contenders.standing.next_stop(done) for done in range(whole)]
            assert set(stops) == {whole}
        case "bank":
            assert search.schedulers.main.bank is None is search.evaluator.schedulers.main.bank
        case "structure-search":
            assert "draft" not in config and "n" not in config
        case "demo-search":
            assert not any("demos" in choice for choice in config)


def test_self_consistency_draws_as_much_as_flopwise_spends(tmp_path: Path) -> None:
    few = fixed.METHODS["few-shot CoT"](sums.run(tmp_path, "few-shot CoT"))
    one = sum(row["flops"] for row in few.rows) / len(few.rows)
    known = {"flopwise": {"rows": [{"flops": 4 * one}]}, "few-shot CoT": {"rows": few.rows, "search": few.search}}
    found = fixed.METHODS["self-consistency"](sums.run(tmp_path, "self-consistency", landed=known.get))
    assert found.about["draws"] >= 4
    spent = [row["flops"] for row in found.rows]
    assert sum(spent) / len(spent) >= 4 * one * 0.99
    assert found.search == few.search  # its worked examples are the same ones


def test_every_task_makes_its_programs() -> None:
    from flopwise.modules.program import trace

    for task in TASKS:
        whole = trace(task.program())
        fixed_structure, no_demos = trace(task.program(structure=False)), trace(task.program(demos=False))
        assert len({whole.hash, fixed_structure.hash, no_demos.hash}) == 3
        assert [f.name for f in task.schema.inputs] == ["question"]


@pytest.mark.parametrize("name", ["gsm_symbolic", "leg_counting"])
def test_tasks_that_anyone_has_are_the_same_at_every_run(name: str) -> None:
    task = next(t for t in TASKS if t.name == name)
    train, dev, test = task.rows()
    assert (train, dev, test) == task.rows()
    asked = [{row["question"] for row in part} for part in (train, dev, test)]
    assert not (asked[0] & asked[1] or asked[0] & asked[2] or asked[1] & asked[2])
    assert (len(dev), len(test)) == (100, 200)
    assert all(isinstance(row["answer"], int) for row in test)
