"""The search as a whole, on the scripted engine."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import core_schema

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings
from flopwise.cli.report_text import failure_text
from flopwise.ir.flops import FlatCost
from flopwise.optimizers.cells import CellStore
from flopwise.optimizers.contenders import Limits

from . import additions
from .killing import finish, kill

ADDITIONS = "tests.optimizers.additions"


def test_finds_the_better_technique_and_says_by_how_much() -> None:
    found = additions.search(None, additions.engine())
    report = found.report
    assert found.config["draft"] == "ProgramOfThought"
    assert report["holdout"]["gain"]["difference"]["low"] > 0
    assert report["holdout"]["score"]["mean"] > report["holdout"]["baseline"]["mean"]
    assert found(question="What is 20 plus 30?").answer == 50


def test_no_cap_is_ever_exceeded(tmp_path: Path) -> None:
    found = additions.search(tmp_path / "study", additions.engine())
    assert found.report["spent"]["spent"] <= additions.BUDGET.search
    store = CellStore(tmp_path / "study" / "cells.db")
    cells = [c for row in found.report["tried"] for c in store.details("dev", _key(row["config"])).values()]
    assert len(cells) > 100
    assert all(c["flops"] <= c["bound"] <= additions.BUDGET.per_query for c in cells)
    store.close()


def _key(config: dict[str, Any]) -> str:
    from flopwise.ir.choices import config_key

    return config_key({k: tuple(v) if isinstance(v, list) else v for k, v in config.items()})


def test_a_small_search_budget_still_gives_a_result_inside_it() -> None:
    found = additions.search(None, additions.engine(), budget=fw.Budget("4 GFLOP", "8 GFLOP"))
    assert found.report["spent"]["spent"] <= 8e9
    assert found(question="What is 20 plus 30?").answer in (50, 51)


def test_demos_come_from_train_only(tmp_path: Path) -> None:
    train, dev, holdout = additions.rows(40, 1), additions.rows(90, 2)[40:], additions.rows(140, 3)[90:]
    seen = {r["question"] for r in train}
    dev, holdout = ([r for r in s if r["question"] not in seen] for s in (dev, holdout))
    dev = [r for r in dev if r["question"] not in {h["question"] for h in holdout}]
    using = additions.engine()
    additions.search(None, using, train=train, dev=dev, holdout=holdout)
    shown = [q for a in using.asked for q in using.tokenizer.decode(a.ids).split("Question: ")[1:-1]]
    assert shown
    assert {q.split("?")[0] + "?" for q in shown} <= seen


def test_a_killed_search_ends_as_an_undisturbed_one_and_asks_nothing_committed_twice(tmp_path: Path) -> None:
    calm = _finish(tmp_path / "calm", tmp_path / "calm.log")
    chance = random.Random(7)
    for _ in range(4):
        _kill(tmp_path / "hurt", tmp_path / "hurt.log", after=chance.uniform(2.0, 4.0))
    hurt = _finish(tmp_path / "hurt", tmp_path / "hurt.log")
    assert {k: hurt[k] for k in calm if k != "spent"} == {k: calm[k] for k in calm if k != "spent"}
    asked = Counter((tmp_path / "hurt.log").read_text().splitlines())
    once = Counter((tmp_path / "calm.log").read_text().splitlines())
    assert set(asked) >= set(once)
    # What was in flight at a kill is asked again and charged; at most a batch of it each time.
    again = sum(n - once[k] for k, n in asked.items() if n > max(once[k], 1))
    assert again <= 4 * ScriptedSettings().in_flight
    assert hurt["spent"] >= calm["spent"]


def _finish(study: Path, log: Path) -> dict[str, Any]:
    return finish(ADDITIONS, study, log, 300)


def _kill(study: Path, log: Path, after: float) -> None:
    """Kill -9 a search once it has run for a while and has asked something."""
    before = log.stat().st_size if log.exists() else 0
    began = time.monotonic()

    def due() -> bool:
        return log.exists() and log.stat().st_size > before and time.monotonic() - began > after

    kill(ADDITIONS, study, log, due)


def test_an_engine_that_dies_loses_nothing(tmp_path: Path) -> None:
    asked = 0

    def die(_: Any) -> Exception | None:
        nonlocal asked
        asked += 1
        return fw.EngineError("the engine died") if asked > 300 else None

    with pytest.raises(fw.EngineError, match="died"):
        additions.search(tmp_path / "study", additions.engine(fail=die))
    again = additions.engine()
    found = additions.search(tmp_path / "study", again)
    calm = additions.engine()
    reference = additions.search(None, calm)
    assert dict(found.config) == dict(reference.config)
    assert again.requests < calm.requests


def test_a_study_of_something_else_is_refused(tmp_path: Path) -> None:
    small = Limits(configs=2)
    additions.search(tmp_path / "study", additions.engine(), limits=small)
    with pytest.raises(fw.StudyError, match="data"):
        additions.search(tmp_path / "study", additions.engine(), dev=additions.rows(60), limits=small)


def test_optuna_reads_the_trials(tmp_path: Path) -> None:
    import optuna

    found = additions.search(tmp_path / "study", additions.engine())
    study = optuna.load_study(study_name="flopwise", storage=f"sqlite:///{tmp_path / 'study' / 'optuna.db'}")
    assert len(study.trials) == len(found.report["tried"]) + len(found.report["refused"])
    assert study.best_value == pytest.approx(max(r["score"]["mean"] for r in found.report["tried"]), abs=0.02)


def test_weights_of_an_ensemble_are_fitted_on_dev() -> None:
    class Mixed(fw.Program):
        team = fw.Ensemble(
            fw.Predict(additions.Add, demos=()),
            fw.ProgramOfThought(additions.Add, demos=()),
            fw.ChainOfThought(additions.Add, demos=()),
            weights="fit",
        )

        def forward(self, question: str) -> additions.Add:
            return self.team(question=question)

    found = fw.compile(
        Mixed(), dev=additions.rows(80), metric=fw.exact_match("answer"), engine=additions.engine(),
        budget=additions.BUDGET, progress=False,
    )  # fmt: skip
    weights = next(n.attrs.weights for n in found.plan.graph.nodes if n.op == "gather")
    assert weights[1] == max(weights)
    assert [row["status"] for row in found.report["tried"]].count("won") == 1


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"dev": []}, fw.DataError, "dev"),
        ({"dev": [{"question": "What is 1 plus 1?"}]}, fw.DataError, "answer"),
        ({"dev": [{"question": "What is 1 plus 1?", "answer": "two"}]}, fw.DataError, "answer"),
        ({"holdout": additions.rows(80)[:10]}, fw.DataError, "holdout"),
        ({"budget": fw.Budget("1 FLOP", "1 TFLOP")}, fw.BudgetError, "per-query budget"),
        ({"budget": fw.Budget(None, "1 MFLOP")}, fw.BudgetError, "search"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(changes: dict[str, Any], error: Any, says: str) -> None:
    using = additions.engine()
    with pytest.raises(error, match=says):
        additions.search(None, using, **changes)
    assert using.requests == 0


def test_a_metric_that_raises_is_named_with_its_example() -> None:
    def broken(example: Any, prediction: Any) -> bool:
        raise ZeroDivisionError("oh")

    with pytest.raises(fw.MetricError, match=r"broken.*oh"):
        additions.search(None, additions.engine(), metric=broken)


def test_an_engine_without_known_flops_is_refused_a_budget() -> None:
    using = fw.ScriptedEngine(additions.say, settings=ScriptedSettings(cost=None))
    with pytest.raises(fw.BudgetError, match="FLOPs per token"):
        additions.search(None, using)


def test_a_study_is_refused_to_another_metric_under_the_same_name(tmp_path: Path) -> None:
    small = Limits(configs=1)
    additions.search(tmp_path / "study", additions.engine(), metric=fw.numeric_match("answer", 1e-6), limits=small)
    with pytest.raises(fw.StudyError, match="metric"):
        additions.search(tmp_path / "study", additions.engine(), metric=fw.numeric_match("answer", 0.5), limits=small)


def test_one_study_serves_one_process_at_a_time(tmp_path: Path) -> None:
    asked: list[Exception] = []

    def meddle(_: Any) -> Exception | None:
        if not asked:
            with pytest.raises(fw.StudyError, match="in use by another process") as refused:
                additions.search(tmp_path / "study", additions.engine())
            asked.append(refused.value)
        return None

    additions.search(tmp_path / "study", additions.engine(fail=meddle), limits=Limits(configs=1))
    assert asked


def test_outputs_that_the_class_refuses_are_wrong_answers_not_the_end_of_the_search() -> None:
    class Small(int):
        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return core_schema.no_info_after_validator_function(cls.checked, core_schema.int_schema())

        @staticmethod
        def checked(value: int) -> int:
            if value > 60:
                raise ValueError("too large")
            return value

    class Picky(fw.Signature):
        question: str = fw.Input()
        answer: Small = fw.Output()

    found = fw.compile(
        fw.Predict(Picky, demos=()), dev=additions.rows(60), metric=fw.exact_match("answer"),
        engine=additions.engine(), budget=additions.BUDGET, progress=False,
    )  # fmt: skip
    assert 0 < found.report["holdout"]["score"]["mean"] < 0.4
    row = found.report["tried"][0]
    assert 0 < row["failed"] < row["examples"]
    assert "node 'record': Picky refuses the outputs: answer: " in row["failure"] and "too large" in row["failure"]
    assert f"failed on {row['failed']} examples, most often: node 'record'" in failure_text(row)


def test_a_config_that_exceeds_the_context_is_refused_and_the_search_goes_on() -> None:
    using = fw.ScriptedEngine(additions.say, settings=ScriptedSettings(context=900))
    program = fw.choice(fw.Predict(additions.Add), fw.ChainOfThought(additions.Add, max_tokens=5000), name="draft")
    found = additions.compiled(program, using)
    assert found.config["draft"] == "Predict"
    assert any("context" in row["why"] for row in found.report["refused"])


def test_a_budget_for_a_part_of_the_holdout_gives_a_verdict_on_that_part() -> None:
    given = {"dev": additions.rows(200), "budget": fw.Budget(None, "9 GFLOP")}
    report = additions.search(None, additions.engine(), **given).report
    assert report["spent"]["spent"] <= 9e9
    assert 0 < report["holdout"]["n"] <= 50
    assert report["holdout"]["n"] == 50 or "of 50 holdout examples" in report["holdout"]["note"]


def test_something_is_tried_even_where_a_block_might_not_fit() -> None:
    program = fw.ChainOfThought(additions.Add, demos=())
    found = additions.compiled(program, additions.engine(), dev=additions.rows(300), budget=fw.Budget(None, "5 GFLOP"))
    assert found.report["tried"][0]["examples"] > 0
    assert found.report["spent"]["spent"] <= 5e9


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"budget": "60 TFLOP"}, fw.BudgetError, r"fw.Budget\(per_query=..., search=...\) is needed, .* '60 TFLOP'"),
        ({"budget": None}, fw.BudgetError, "but got None"),
        ({"engine": None}, fw.EngineError, "but got NoneType"),
        ({"engine": fw.ScriptedEngine}, fw.EngineError, r"ScriptedEngine is a class; make one: ScriptedEngine\("),
        ({"seed": "7"}, fw.InputError, "seed: a whole number is needed, but got '7'"),
        ({"seed": True}, fw.InputError, "seed: a whole number"),
        ({"limits": 8}, fw.BudgetError, "limits: fw.Limits"),
        ({"limits": Limits(configs=0)}, fw.BudgetError, "`configs >= 1` must hold, but got 0"),
        ({"caps": {"quest": 8}}, fw.InputError, "no input 'quest'; it takes question"),
        ({"caps": {"question": "8"}}, fw.InputError, "`question >= 1` tokens must hold, but got '8'"),
        ({"caps": 8}, fw.InputError, "caps: tokens by input"),
        ({"metric": "exakt:answer"}, fw.MetricError, "a metric is one of"),
        ({"metric": "exact:anser"}, fw.MetricError, "must be one of the outputs"),
        ({"metric": 1.0}, fw.MetricError, "a function of"),
        ({"study": 7}, fw.StudyError, "study: the path of a folder"),
        ({"progress": "no"}, fw.InputError, "progress: True, False"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_asked(
    wrong: dict[str, Any], error: type[Exception], said: str
) -> None:
    using = additions.engine()
    given = {"metric": "exact:answer", "engine": using, "budget": additions.BUDGET, "progress": False, **wrong}
    with pytest.raises(error, match=said):
        fw.compile(fw.Predict("question -> answer: int"), dev=additions.rows(40, 1), **given)
    assert using.requests == 0


def test_a_metric_may_be_named_by_a_text() -> None:
    dev = [{"question": f"q{i}", "answer": 7} for i in range(24)]
    found = fw.compile(
        fw.Predict("question -> answer: int"), dev=dev, metric="exact:answer", engine=fw.ScriptedEngine(default="7"),
        budget=fw.Budget(), limits=fw.Limits(configs=1), progress=False,
    )  # fmt: skip
    assert found.report["holdout"]["score"]["mean"] == 1.0


def untyped(answer):  # type: ignore[no-untyped-def]
    return answer + 1


def test_what_a_function_without_hints_gives_is_scored_as_it_is() -> None:
    more = fw.op(untyped)

    @fw.program
    def successor(question: str) -> Any:
        return more(fw.Predict("question -> answer: int", name="draft", demos=())(question=question).answer)

    dev = [{"question": f"q{i}", "result": 8} for i in range(24)]
    seen: list[str] = []

    def right(example: Any, prediction: Any) -> bool:
        seen.append(prediction.question)
        return bool(example["result"] == prediction.result)

    found = fw.compile(
        successor, dev=dev, metric=right, engine=fw.ScriptedEngine(default="7"), budget=fw.Budget(), progress=False,
    )  # fmt: skip
    assert found.report["holdout"]["score"]["mean"] == 1.0 and set(seen) <= {r["question"] for r in dev}
    assert found.report["tried"][0]["failed"] == 0 and failure_text(found.report["tried"][0]) == ""


def test_the_commonest_reason_of_failures_stands_in_the_report_and_its_table() -> None:
    import io

    from rich.console import Console

    from flopwise.cli.report_text import table_of_tried

    def say(prompt: str, index: int) -> str:
        return "[/b] is a number " * 9 + prompt.rpartition("say ")[2].split("<")[0]  # more than a number may take

    found = fw.compile(
        fw.Predict("question -> answer: int", demos=()), dev=[{"question": f"say {i}", "answer": 7} for i in range(24)],
        metric="exact:answer", engine=fw.ScriptedEngine(say), budget=fw.Budget(), progress=False,
    )  # fmt: skip
    row = found.report["tried"][0]
    assert row["failed"] == row["examples"] and row["failure"].startswith("node 'Predict.record': the output ran out")
    assert "[/b]" in row["failure"]  # which is no mark-up of the table
    out = io.StringIO()
    Console(file=out, width=400).print(table_of_tried(found.report))
    assert f"failed on {row['failed']} examples, most often: {' '.join(row['failure'].split())[:100]}" in out.getvalue()


def test_trials_that_are_no_trials_are_told(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "optuna.db").write_bytes(b"not a database, " * 64)
    with pytest.raises(fw.StudyError, match=r"optuna.db cannot be opened: .*remove them"):
        additions.search(tmp_path / "study", additions.engine())


def test_a_search_without_a_folder_asks_for_no_sample_twice() -> None:
    using = additions.engine()
    additions.search(None, using)
    asked = Counter(
        (r.ids, r.decoding, r.grammar, r.stream, r.first_index + i) for r in using.asked for i in range(r.n)
    )
    assert max(asked.values()) == 1


@pytest.mark.parametrize("configs", [1, 4])
@pytest.mark.parametrize("cost", [FlatCost(1e6), None])
def test_no_more_configs_are_paid_for_than_the_limit_says(configs: int, cost: FlatCost | None) -> None:
    class Warm(fw.Program):
        warmth = fw.real(0.1, 1.0)
        draft = fw.Predict(additions.Add, demos=())

        def forward(self, question: str) -> additions.Add:
            return fw.vote(fw.sample(self.draft, n=2, temperature=self.warmth)(question=question), field="answer")

    using = fw.ScriptedEngine(additions.say, settings=ScriptedSettings(cost=cost))
    found = additions.compiled(Warm(), using, limits=Limits(configs=configs), budget=fw.Budget())
    assert 1 <= len(found.report["tried"]) <= configs


def test_a_rung_that_is_too_dear_does_not_end_the_race() -> None:
    class Many(fw.Program):
        draft = fw.Predict(additions.Add, demos=())
        n = fw.integer(1, 2000, log=True)

        def forward(self, question: str) -> additions.Add:
            return fw.vote(fw.sample(self.draft, n=self.n)(question=question), field="answer")

    report = additions.compiled(Many(), additions.engine(), budget=fw.Budget(search="8 GFLOP")).report
    assert max(row["examples"] for row in report["tried"]) > 8
    assert len([row for row in report["tried"] if row["examples"]]) > 3
