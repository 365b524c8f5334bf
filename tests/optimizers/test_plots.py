"""Plots of a search from its report, and its study in Optuna's own plots: every figure is made and looked into."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna import visualization
from optuna.trial import TrialState

import flopwise as fw
from flopwise.optimizers.contenders import Limits
from flopwise.optimizers.front import met_holdout
from flopwise.optimizers.mirror import Told

from . import additions

OBJECTIVES = {"digits": fw.Objective(lambda e, p: len(str(p.answer)), better="lower")}
# Reasoning exceeds the cap: it is refused.
TIGHT = fw.Budget(per_query="500 MFLOP", search="1 TFLOP")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plots") / "study"


@pytest.fixture(scope="module")
def found(study: Path) -> Any:
    return additions.search(
        study, additions.engine(), dev=additions.rows(64), limits=Limits(configs=12), objectives=OBJECTIVES,
        budget=TIGHT,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trials(found: Any, study: Path) -> optuna.Study:
    return optuna.load_study(study_name="flopwise", storage=f"sqlite:///{study / 'optuna.db'}")


@pytest.fixture(scope="module")
def front(found: Any, study: Path) -> optuna.Study:
    return optuna.load_study(study_name="flopwise-front", storage=f"sqlite:///{study / 'optuna.db'}")


# plots of ours --------------------------------------------------------------------------------------------------


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_the_front_is_drawn_with_its_intervals_among_all_that_was_tried(found: Any) -> None:
    drawn = traces(fw.plot_front(found))
    line = drawn["front, dev score [95%]"]
    assert list(line.x) == [p.flops for p in found.front] and list(line.y) == [p.score.mean for p in found.front]
    assert list(line.error_y.array) == [p.score.high - p.score.mean for p in found.front]
    assert list(line.error_y.arrayminus) == [p.score.mean - p.score.low for p in found.front]
    stars = [text for text, symbol in zip(line.text, line.marker.symbol, strict=True) if symbol == "star"]
    assert stars == [f"#{found.report['chosen']}"]
    held = drawn[f"#{found.report['chosen']} on the holdout"]
    assert list(held.y) == [found.report["holdout"]["score"]["mean"]]
    others = sum(len(drawn[name].x) for name in ("saw all of dev", "left the race early") if name in drawn)
    assert others + len(found.front) == len([r for r in found.report["tried"] if r["score"]])


def test_another_point_in_use_has_no_holdout_score_to_draw(found: Any) -> None:
    point = next(p for p in found.front if p.number not in met_holdout(found.report))
    drawn = traces(fw.plot_front(found.at(point)))
    assert not any("holdout" in name for name in drawn)
    line = drawn["front, dev score [95%]"]
    assert line.marker.symbol[list(line.text).index(f"#{point.number}")] == "star"


def test_the_front_may_be_drawn_against_an_objective(found: Any) -> None:
    drawn = traces(fw.plot_front(found, against="digits"))
    assert list(drawn["front, dev score [95%]"].x) == [p.objectives["digits"] for p in found.front]
    with pytest.raises(fw.ConfigError, match="no objective 'words'; it had digits"):
        fw.plot_front(found, against="words")


def test_each_line_of_the_race_is_a_running_mean_that_ends_where_its_config_left(found: Any) -> None:
    drawn = {name.split()[0]: trace for name, trace in traces(fw.plot_race(found)).items()}
    assert set(drawn) == {f"#{r['number']}" for r in found.report["tried"] if r["examples"]}
    for row in found.report["tried"]:
        line = drawn[f"#{row['number']}"]
        assert list(line.x) == list(range(1, row["examples"] + 1))
        assert line.y[-1] == pytest.approx(row["score"]["mean"])
        assert line.y[1] == pytest.approx(sum(row["scores"][:2]) / 2)
        ends = {"won": "star", "dropped": "x", "done": "circle", "unfinished": "circle-open"}
        assert line.marker.symbol == ends[row["status"]]


def test_plots_need_the_report_alone(found: Any, tmp_path: Path) -> None:
    loaded = fw.load(found.save(tmp_path / "adder.fw"), fw.ScriptedEngine(default="7"))
    on_disk = json.loads((tmp_path / "adder.fw" / "report.json").read_text())
    for plot in (fw.plot_front, fw.plot_race):
        assert plot(loaded).to_json() == plot(found).to_json() == plot(on_disk).to_json()


def test_texts_of_configs_are_no_markup(found: Any) -> None:
    report = json.loads(json.dumps(dict(found.report)))
    report["front"][0]["config"]["instruction"] = "<b>be brief</b>"
    assert "&lt;b&gt;be brief" in "".join(traces(fw.plot_front(report))["front, dev score [95%]"].hovertext)


def test_what_cannot_be_plotted_is_told(monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    pipeline = fw.lower(additions.Adder(), engine=additions.engine())
    for plot in (fw.plot_front, fw.plot_race):
        with pytest.raises(fw.ConfigError, match="comes from no search"):
            plot(pipeline)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(fw.ConfigError, match=r"plots need plotly; install it with pip install .flopwise\[report\]"):
        fw.plot_race(found)


# Optuna's ---------------------------------------------------------------------------------------------------------


def stands(found: Any, row: Any) -> bool:
    """Whether a config was not beaten and met at least half as many examples as the winner."""
    won = next(r for r in found.report["tried"] if r["status"] == "won")
    return row["status"] != "dropped" and row["examples"] >= won["examples"] / 2


def test_a_trial_tells_what_became_of_its_config(found: Any, trials: optuna.Study) -> None:
    rows = {f"#{r['number']}": r for r in found.report["tried"]}
    raced = [t for t in trials.trials if t.state != TrialState.FAIL]
    assert {t.user_attrs["name"] for t in raced} == set(rows)
    for trial in raced:
        row = rows[trial.user_attrs["name"]]
        done = stands(found, row)
        assert trial.state == (TrialState.COMPLETE if done else TrialState.PRUNED)
        assert trial.user_attrs["status"] in (("done", "unfinished") if row["status"] == "won" else (row["status"],))
        told = trial.user_attrs["examples"]
        assert trial.user_attrs["why"] == row["why"] and (told == row["examples"] or not done)
        assert 0 < told <= row["examples"]  # a block that was under way when a config was dropped comes in later
        assert trial.user_attrs["flops_per_query"] == pytest.approx(row["flops_per_query"], rel=0.1)
        assert trial.intermediate_values[told] == pytest.approx(sum(row["scores"][:told]) / told)
        assert trial.intermediate_values[4] == pytest.approx(sum(row["scores"][:4]) / 4)
        assert trial.params["draft"] == row["config"]["draft"]
        assert trial.duration is not None and 0 <= trial.duration.total_seconds() <= found.report["seconds"] + 1


def test_what_was_refused_has_failed_and_says_why(found: Any, trials: optuna.Study) -> None:
    refused = [t for t in trials.trials if t.state == TrialState.FAIL]
    assert [(t.user_attrs["config"], t.user_attrs["why"]) for t in refused] == [
        (r["config"], r["why"]) for r in found.report["refused"]
    ]
    assert refused and all("per-query budget" in t.user_attrs["why"] for t in refused)


def test_the_front_has_both_objectives(found: Any, front: optuna.Study) -> None:
    done = [r for r in found.report["tried"] if stands(found, r)]
    assert sorted(t.values for t in front.trials) == sorted([r["score"]["mean"], r["flops_per_query"]] for r in done)
    assert {p.number for p in found.front} <= {1, *(r["number"] for r in done)}
    assert front.metric_names == ["score", "FLOPs per query"]


@pytest.mark.parametrize(
    "plot",
    [
        visualization.plot_optimization_history,
        visualization.plot_parallel_coordinate,
        visualization.plot_slice,
        visualization.plot_intermediate_values,
        visualization.plot_timeline,
    ],
)
def test_optunas_own_plots_have_something_to_show(trials: optuna.Study, plot: Any) -> None:
    figure = plot(trials)
    assert figure.data and any(len(t.to_plotly_json()) > 2 for t in figure.data)


def test_optunas_intermediate_values_are_one_line_a_config(found: Any, trials: optuna.Study) -> None:
    assert len(visualization.plot_intermediate_values(trials).data) == len(found.report["tried"])


@pytest.mark.filterwarnings("ignore:Some regimes")  # so small a search has choices that few of its trials had
def test_optuna_says_which_choice_matters(trials: optuna.Study) -> None:
    found = optuna.importance.get_param_importances(
        trials, evaluator=optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.5)
    )
    assert {"draft", "n"} <= set(found)


def test_optuna_draws_the_same_front(found: Any, front: optuna.Study) -> None:
    drawn = visualization.plot_pareto_front(front).data
    assert sum(len(trace.x) for trace in drawn) == len(front.trials)


def test_running_means_are_at_the_same_steps_for_every_trial() -> None:
    told = Told("#1", "{}", "dropped", "", [1.0, 0.0, 0.0, 1.0, 1.0], 1e9)
    assert told.running_means() == {1: 1.0, 2: 0.5, 4: 0.5, 5: 0.6}
    assert Told("", "{}", "refused", "too dear", [], 0.0).running_means() == {}
