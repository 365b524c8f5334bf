"""Objectives of the user's own: measured per cell, stored, reported, part of a study's identity."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings
from flopwise.optimizers.cells import CellStore
from flopwise.optimizers.contenders import Limits
from flopwise.optimizers.objectives import checked, means, measured, prefers

from . import additions

FEW = Limits(configs=3)
DEV = additions.rows(48)
SCHEMA = fw.trace(additions.Adder()).schema


def digits(example: Any, prediction: Any) -> int:
    return len(str(prediction.answer))


async def off_by(example: Any, prediction: Any) -> float:
    await asyncio.sleep(0)
    return abs(float(prediction.answer - example["answer"]))


def test_they_are_measured_per_cell_and_shown(tmp_path: Path) -> None:
    given = {"digits": fw.Objective(digits, better="lower"), "off": fw.Objective(off_by, better="lower")}
    found = additions.search(tmp_path / "study", additions.engine(), objectives=given, limits=FEW, dev=DEV)
    report = found.report
    assert report["objectives"] == {"digits": "lower", "off": "lower"}
    row = report["tried"][0]
    store = CellStore(tmp_path / "study" / "cells.db")
    cells = list(store.details("dev", fw_key(row["config"])).values())
    store.close()
    values = [c["objectives"]["off"] for c in cells]
    assert set(values) == {0.0, 1.0}  # the engine errs by one
    assert row["objectives"]["off"] == pytest.approx(1 - row["score"]["mean"])
    assert 1 < row["objectives"]["digits"] <= 3
    assert found.front.better == report["objectives"]
    assert all(set(p.objectives) == {"digits", "off"} for p in found.front)


def fw_key(config: dict[str, Any]) -> str:
    from flopwise.ir.choices import config_key

    return config_key({k: tuple(v) if isinstance(v, list) else v for k, v in config.items()})


def test_a_study_belongs_to_its_objectives(tmp_path: Path) -> None:
    def search(**objectives: fw.Objective) -> Any:
        return additions.search(tmp_path / "s", additions.engine(), objectives=objectives, limits=Limits(configs=1))

    search(digits=fw.Objective(digits, better="lower"))
    search(digits=fw.Objective(digits, better="lower"))
    for other in ({}, {"digits": fw.Objective(digits, better="higher")}, {"digits": fw.Objective(off_by, "lower")}):
        with pytest.raises(fw.StudyError, match=r"objectives\S*: was"):
            search(**other)


def raising(example: Any, prediction: Any) -> float:
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        (raising, "raised ZeroDivisionError: oh"),
        (lambda e, p: math.nan, "must return a bool or a finite number, but got nan"),
        (lambda e, p: math.inf, "but got inf"),
        (lambda e, p: None, "but got None"),
        (lambda e, p: "12", "but got '12'"),
        (lambda e, p: 10**400, "must return a bool or a finite number"),
        (lambda e, p: np.array([1.0]), "must return"),
    ],
)
def test_a_bad_value_is_named_with_its_example(measure: Any, said: str) -> None:
    with pytest.raises(fw.MetricError, match=rf"objective 'words', metric .* on example .*What is.*{said}"):
        additions.search(None, additions.engine(), objectives={"words": fw.Objective(measure, better="lower")})


@pytest.mark.parametrize(("value", "number"), [(True, 1.0), (np.float32(2.5), 2.5), (np.int64(-3), -3.0), (-7, -7.0)])
def test_numbers_of_any_kind_are_values(value: Any, number: float) -> None:
    given = checked({"x": fw.Objective(lambda e, p: value, "higher")}, SCHEMA)
    assert asyncio.run(measured(given, fw.Example.of({}), None)) == {"x": number}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([digits], "objectives: .*fw.Objective"),
        ({"words": digits}, "objective 'words': fw.Objective"),
        (
            {"per_query": fw.Objective(digits, "lower")},
            "none of self, point, per_query, mean, score, but got 'per_query'",
        ),
        ({"my words": fw.Objective(digits, "lower")}, "a name is an identifier"),
        ({7: fw.Objective(digits, "lower")}, "a name is an identifier"),
        ({"unit": fw.Objective(fw.exact_match("unit"), "higher")}, "must be one of the outputs"),
    ],
)
def test_what_is_no_objective_is_refused_before_anything_is_asked(given: Any, said: str) -> None:
    using = additions.engine()
    with pytest.raises(fw.MetricError, match=said):
        additions.search(None, using, objectives=given)
    assert using.requests == 0


def test_an_objective_says_which_way_is_better() -> None:
    with pytest.raises(fw.MetricError, match='better="lower" or better="higher" is needed, but got \'less\''):
        fw.Objective(digits, better="less")  # type: ignore[arg-type]
    with pytest.raises(fw.MetricError, match="a function of"):
        fw.Objective("digits", better="lower")  # type: ignore[arg-type]


def test_failures_have_no_value() -> None:
    def say(prompt: str, index: int) -> str:
        return "7" * 99 if "7?" in prompt.rsplit("Question:", 1)[-1] else "5"  # more than a number may take

    dev = [{"question": f"What is {i}?", "answer": 5} for i in range(10, 58)]
    found = fw.compile(
        fw.Predict("question -> answer: int", demos=()), dev=dev, metric="exact:answer",
        engine=fw.ScriptedEngine(say, settings=ScriptedSettings()), budget=fw.Budget(), progress=False,
        objectives={"value": fw.Objective(lambda e, p: p.answer, better="higher")},
    )  # fmt: skip
    row = found.report["tried"][0]
    assert 0 < row["failed"] < row["examples"] and row["objectives"] == {"value": 5.0}


def test_means_are_over_cells_that_have_a_value() -> None:
    cells: list[dict[str, Any]] = [{"objectives": {"a": 1.0}}, {"failed": "yes"}, {"objectives": {"a": 2.0}}]
    assert means(cells, ("a", "b")) == {"a": 1.5, "b": None}


def test_what_is_clearly_better_by_an_objective_stays_in_the_race() -> None:
    given = {"words": fw.Objective(digits, "lower"), "hits": fw.Objective(digits, "higher")}
    assert prefers(given, {"words": 9.0, "hits": 1.0}, {"words": 10.0, "hits": 1.0})
    assert not prefers(given, {"words": 9.9, "hits": 1.0}, {"words": 10.0, "hits": 1.0})  # hardly better
    assert prefers(given, {"words": 10.0, "hits": 2.0}, {"words": 10.0, "hits": 1.0})
    assert not prefers(given, {"words": None, "hits": 1.0}, {"words": 10.0, "hits": 1.0})
    assert prefers(given, {"words": 10.0, "hits": 1.0}, {"words": None, "hits": 1.0})


def test_a_config_that_is_beaten_by_score_and_price_is_kept_for_an_objective() -> None:
    def say(prompt: str, index: int) -> str:
        if prompt.rstrip().endswith("Answer:"):
            return "77"
        return "Let me think." if "step by step" in prompt.rsplit("Question:", 1)[0] else "5"

    kinds = fw.Predict("question -> answer: int", demos=()), fw.ChainOfThought("question -> answer: int", demos=())

    def search(objectives: Any) -> Any:
        return fw.compile(
            fw.choice(*kinds, name="draft"), dev=[{"question": f"What is {i}?", "answer": 5} for i in range(96)],
            metric="exact:answer", engine=fw.ScriptedEngine(say), budget=fw.Budget(), objectives=objectives,
            progress=False,
        )  # fmt: skip

    plain, measured = search(None), search({"value": fw.Objective(lambda e, p: p.answer, better="higher")})
    assert [p.config["draft"] for p in plain.front] == ["Predict"]
    assert next(r["status"] for r in plain.report["tried"]) == "won"
    assert [p.config["draft"] for p in measured.front] == ["Predict", "ChainOfThought"]
    assert measured.config["draft"] == "Predict" and measured.at(value=70).config["draft"] == "ChainOfThought"
