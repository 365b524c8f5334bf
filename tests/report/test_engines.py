"""Reports of a program whose modules ask two engines, each with a tokenizer and a cost of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.cli.report_text import verdict
from flopwise.ir.flops import format_flops
from flopwise.report.engines import ELSEWHERE, spent_by_engine
from flopwise.report.found import Found
from flopwise.reporting import report_at, report_of
from tests.engines import large, small
from tests.test_engines import ROWS, Add, poor

from .pages import Page


class Panel(fw.Program):
    draft = fw.Predict(Add, demos=())
    n = fw.integer(1, 3)
    judge = fw.Verifier(Add, engine="judge")

    def forward(self, question: str) -> Add:
        return fw.best(self.judge(fw.sample(self.draft, n=self.n)(question=question)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def found(folder: Path) -> Any:
    pipeline = fw.compile(
        Panel(), dev=ROWS, metric="exact:answer", engine=small(poor), engines={"judge": large(default="7")},
        budget=fw.Budget(search="1 GFLOP"), limits=fw.Limits(configs=3), study=folder / "study", progress=False,
    )  # fmt: skip
    pipeline.save(folder / "panel.fw")
    return pipeline


@pytest.fixture(scope="module")
def seen(found: Any, folder: Path) -> Page:
    return Page(report_at(folder / "panel.fw"))


def test_what_each_engine_took_in_the_search_is_told(found: Any, seen: Page) -> None:
    spent = found.report["spent"]
    assert set(spent["engines"]) == {"main", "judge"}
    for name, model in (("main", "small"), ("judge", "large")):
        flops = spent["engines"][name]
        assert f"{name} {model} {format_flops(flops)} {flops / spent['spent']:.1%}" in seen.text("engines")
        assert f"{name} {format_flops(flops)}" in verdict(found.report)
    assert ELSEWHERE not in seen.text("engines")
    assert "flopwise report on small, judge on large" in seen.text()


def test_what_each_engine_takes_of_a_query_is_told(found: Any, seen: Page) -> None:
    nodes = found.report["nodes"]
    for name in ("main", "judge"):
        asked = [path for path, node in found.plan.graph.walk() if node.prompt and (node.engine or "main") == name]
        mean = sum(nodes[path]["flops"] for path in asked)
        assert mean and f"Mean of a query on {name} {format_flops(mean)}" in seen.text("pipeline")


def test_each_prompt_is_as_its_own_engine_gets_it(found: Any, seen: Page) -> None:
    prompts = found.prompts()
    assert {text.startswith("[turn]") for text in prompts.values()} == {True, False}
    assert all(text in seen.texts["prompts"] for text in prompts.values())
    assert "Engine main, on small" in seen.text("prompts") and "Engine judge, on large" in seen.text("prompts")


def test_provenance_names_both_models(seen: Page) -> None:
    assert "engines judge model large, fingerprint scripted:large, engine PairEngine" in seen.text("provenance")


def test_pipeline_artifact_and_study_give_the_same_page(found: Any, folder: Path) -> None:
    assert report_at(folder / "panel.fw") == report_of(found) == (folder / "study" / "report.html").read_text()
    assert Page(report_at(folder / "study")).text("engines") == Page(report_of(found)).text("engines")


def test_what_no_engine_accounts_for_has_a_row_of_its_own() -> None:
    spent = {"spent": 10.0, "engines": {"judge": 6.0, "main": 3.0}}
    rows = spent_by_engine(Found("Panel", report={"spent": spent}, provenance={"model": "a", "engines": {}}))
    assert [(row["name"], row["share"]) for row in rows] == [("judge", 0.6), ("main", 0.3), (ELSEWHERE, 0.1)]


def test_one_engine_needs_no_table() -> None:
    page = Page(report_of(fw.lower(Panel.draft, engine=small(poor))))
    assert "engines" not in page.texts and "Engine main" not in page.text("prompts")
