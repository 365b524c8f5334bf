"""Reports of real searches on the scripted engine: sound HTML, the numbers of report.json, and nothing that runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.ir.flops import format_flops
from flopwise.optimizers.cells import CellStore
from flopwise.report.found import Found
from flopwise.report.page import page
from flopwise.reporting import report_at, report_of, write_report
from tests.optimizers import additions
from tests.programs import Judged, Solver

from .pages import Page

LIMITS = fw.Limits(configs=6, patience=6)
SECTIONS = ("pipeline", "front", "race", "spending", "answers", "prompts", "config", "provenance")
EVIL = '</script><script>boom()</script><img src=x onerror="boom()"> {{ 7 * 7 }} \x00\x1b[31m \u202e'


class Adder(fw.Program):
    """As `additions.Adder`, without programs: nothing to start a sandbox for."""

    draft = fw.choice(fw.Predict(additions.Add), fw.ChainOfThought(additions.Add))
    n = fw.integer(1, 8, log=True)

    def forward(self, question: str) -> additions.Add:
        return fw.vote(fw.sample(self.draft, n=self.n)(question=question), field="answer")


def search(study: Path | None, using: Any, **changes: Any) -> Any:
    return additions.compiled(Adder(), using, study=study, **{"limits": LIMITS, **changes})


class Say(fw.Signature):
    """Say yes. </style><script>boom()</script>"""

    question: str = fw.Input()
    answer: str = fw.Output()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def found(folder: Path) -> Any:
    pipeline = search(folder / "study", additions.engine(), limits=fw.Limits(configs=10))
    pipeline.save(folder / "adder.fw")
    return pipeline


@pytest.fixture(scope="module")
def report(found: Any, folder: Path) -> Any:
    return json.loads((folder / "adder.fw" / "report.json").read_text())


@pytest.fixture(scope="module")
def whole(found: Any, folder: Path) -> Page:
    return Page(report_at(folder / "adder.fw"))


def test_every_section_is_there_and_reachable(whole: Page) -> None:
    ids = {attributes.get("id") for _, attributes in whole.tags}
    assert set(SECTIONS) <= ids
    assert whole.links() and all(link[0] == "#" and link[1:] in ids for link in whole.links())
    landmarks = [tag for tag, _ in whole.tags if tag in ("header", "nav", "main", "footer", "h1")]
    assert landmarks == ["header", "h1", "nav", "main", "footer"]


def test_it_needs_nothing_from_elsewhere(found: Any, folder: Path) -> None:
    html = report_at(folder / "adder.fw")
    assert not re.search(r"https?:|//[a-z]|url\(|@import|\bimport\b", html.partition("<main")[0])
    tags = {tag for tag, _ in Page(html).tags}
    assert not tags & {"link", "img", "iframe", "object", "embed", "base", "form"}
    assert str(folder) not in html


def test_it_says_what_the_report_says(whole: Page, report: Any) -> None:
    held, text = report["holdout"], whole.text()
    for score in (held["score"], held["baseline"]):
        assert f"{score['mean']:.1%} 95% from {score['low']:.1%} to {score['high']:.1%}" in text
    assert f"{100 * held['gain']['difference']['mean']:+.1f} points" in text
    front = whole.text("front")
    for point in report["front"]:
        low, high = point["score"]["low"], point["score"]["high"]
        assert f"{point['score']['mean']:.1%} {low:.1%} to {high:.1%} {point['score']['n']}" in front
    assert f"#{report['chosen']} chosen" in front
    race = whole.text("race")
    assert f"{len(report['tried'])} configs" in race
    for row in report["tried"]:
        assert f"#{row['number']}" in race and row["why"] in race
    answers = report["answers"]
    assert f"is better on {answers['won']} and worse on {answers['lost']}" in whole.text("answers")
    assert f"{report['reused']:.1%}" in whole.text("spending")
    for value in (report["split"], "exact:answer"):
        assert value in whole.text("provenance")


def test_what_was_won_and_lost_stands_there_with_both_answers(whole: Page, report: Any) -> None:
    answers, gain, text = report["answers"], report["holdout"]["gain"], whole.text("answers")
    assert (answers["won"], answers["lost"]) == (gain["wins"], gain["losses"]) and answers["won"] > 0
    for row in answers["rows"]:
        ours, plain = row["ours"], row["plain"]
        assert (ours["answer"]["answer"] == row["label"]["answer"]) == (ours["score"] == 1)
        mine, other = (f"scores {s['score']:.3g} answer {s['answer']['answer']}" for s in (ours, plain))
        said = f"{mine} Plain prompt {other}"
        assert row["inputs"]["question"] in text and said in text


def test_every_prompt_is_there_as_it_is_sent(found: Any, whole: Page) -> None:
    shown = whole.texts["prompts"]
    for name, text in found.prompts().items():
        assert text in shown and name in shown
    links = [a["href"] for tag, a in whole.tags if tag == "a"]
    prompts = [a["id"] for tag, a in whole.tags if tag == "details" and a.get("id")]
    assert {f"#{id}" for id in prompts} <= set(links)  # each node of the list is one of the picture


def test_spending_and_nodes_add_up(report: Any, found: Any) -> None:
    assert sum(report["spending"].values()) == pytest.approx(report["spent"]["spent"])
    assert {"demos", "race", "holdout"} <= set(report["spending"])
    chosen = next(r for r in report["tried"] if r["number"] == report["chosen"])
    dev, held = chosen["examples"], report["holdout"]["n"]
    mean = (dev * chosen["flops_per_query"] + held * report["flops_per_query"]) / (dev + held)
    assert sum(row["flops"] for row in report["nodes"].values()) == pytest.approx(mean)


def test_the_race_tells_who_led_and_who_fell(report: Any) -> None:
    rows = {row["number"]: row for row in report["tried"]}
    fell = [e for e in report["events"] if e["what"] == "dropped"]
    for number in (r["number"] for r in rows.values() if r["status"] == "dropped"):
        event = [e for e in fell if e["config"] == number][-1]
        assert rows[number]["why"] == f"beaten by #{event['by']}"
        scores, other = (rows[n]["scores"][: event["examples"]] for n in (number, event["by"]))
        assert event["score"] == pytest.approx(sum(scores) / len(scores))
        assert event["against"] == pytest.approx(sum(other) / len(other)) and event["against"] > event["score"]
    leads = [e["config"] for e in report["events"] if e["what"] == "leads"]
    assert leads[-1] == report["chosen"] and "by" not in report["events"][0]
    spent = [e["spent"] for e in report["events"] if e["spent"] is not None]
    assert spent == sorted(spent) and spent[-1] <= report["spent"]["spent"]


def test_study_and_artifact_give_the_same_page(found: Any, folder: Path) -> None:
    inside = (folder / "adder.fw" / "report.html").read_text()
    assert inside == report_at(folder / "adder.fw") == report_of(found)
    Page(kept := report_at(folder / "study"))
    assert Page(kept).text("race") == Page(inside).text("race")
    assert (folder / "study" / "report.html").read_text() == inside


def test_a_page_may_be_left_out_and_the_examples_with_it(found: Any, folder: Path, tmp_path: Path) -> None:
    point = next(p for p in found.front if p.number != found.report["chosen"])
    again = fw.load(folder / "adder.fw", engine=additions.engine())
    rows = found.report["answers"]["rows"]
    for name, pipeline in (("own", found), ("other", found.at(point)), ("loaded", again)):
        pipeline.save(tmp_path / f"{name}.fw", report=False)
        assert not (tmp_path / f"{name}.fw" / "report.html").exists()
        text = (tmp_path / f"{name}.fw" / "report.json").read_text()
        assert rows and not any(row["id"] in text or row["inputs"]["question"] in text for row in rows)
    kept = json.loads((tmp_path / "own.fw" / "report.json").read_text())
    assert kept == {**found.report, "answers": {**found.report["answers"], "rows": []}}
    shown = Page(report_at(tmp_path / "own.fw")).text("answers")
    assert f"is better on {kept['answers']['won']} " in shown and "The examples themselves were left out" in shown


def test_a_study_may_go_without_a_page(tmp_path: Path) -> None:
    search(tmp_path / "study", additions.engine(), limits=fw.Limits(configs=1), report=False)
    assert not (tmp_path / "study" / "report.html").exists()


def test_another_point_says_that_it_never_met_the_holdout(found: Any) -> None:
    point = next(p for p in found.front if p.number not in (1, found.report["chosen"]))
    text = Page(report_of(found.at(point))).text()
    assert "it never met the holdout" in text and f"config #{point.number}" in text
    assert "There are no answers to compare" in text and "nothing was measured" in text


# what a model or a user wrote -----------------------------------------------------------------------------------


def test_hostile_text_is_text(tmp_path: Path) -> None:
    def say(prompt: str, index: int) -> str:
        if prompt.rstrip().endswith("Answer:"):
            return "yes"
        return f"so {EVIL}" if "step by step" in prompt else EVIL

    class Talker(fw.Program):
        draft = fw.choice(fw.Predict(Say), fw.ChainOfThought(Say))

        def forward(self, question: str) -> Say:
            return self.draft(question=question)

    rows = [{"question": f"{EVIL} {i}", "answer": "yes"} for i in range(30)]
    found = fw.compile(
        Talker(), dev=rows, metric=fw.exact_match("answer"), engine=fw.ScriptedEngine(say), progress=False,
        budget=fw.Budget("8 GFLOP", "1 TFLOP"), limits=fw.Limits(configs=4),
    )  # fmt: skip
    html = report_of(found)
    seen = Page(html)
    assert [tag for tag, _ in seen.tags].count("script") == 1
    assert not any(tag == "img" or any(name.startswith("on") for name in a) for tag, a in seen.tags)
    assert "{{ 7 * 7 }}" in seen.text("answers") and '<img src=x onerror="boom()">' in seen.text("answers")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", html)
    html.encode()


def test_only_the_script_of_the_page_may_run(whole: Page) -> None:
    (policy,) = [a["content"] for tag, a in whole.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy
    assert not any("style" in a for _, a in whole.tags)


def test_halves_of_surrogate_pairs_do_not_stop_it() -> None:
    assert "\\udc80" in Page(page(Found("a\udc80"))).text()


# searches that are not over, or came to nothing --------------------------------------------------------------------


def test_a_search_that_was_broken_off_shows_what_it_knew_and_goes_on(tmp_path: Path) -> None:
    asked = 0

    def die(_: Any) -> Exception | None:
        nonlocal asked
        asked += 1
        return fw.EngineError("the engine died") if asked > 150 else None

    with pytest.raises(fw.EngineError, match="died"):
        search(tmp_path / "study", additions.engine(fail=die))
    text = Page(report_at(tmp_path / "study")).text()
    assert "Not finished." in text and "“race”" in text and "Leading on dev" in text
    found = search(tmp_path / "study", additions.engine())
    assert sum(found.report["spending"].values()) == pytest.approx(found.report["spent"]["spent"])
    assert "Not finished." not in Page(report_at(tmp_path / "study")).text()


def test_a_search_that_still_runs_can_be_looked_at(tmp_path: Path) -> None:
    seen: list[str] = []

    def look(progress: fw.Progress) -> None:
        if progress.stage in ("race", "holdout") and len(seen) < 3:
            seen.append(Page(report_at(tmp_path / "study")).text())

    search(tmp_path / "study", additions.engine(), progress=look)
    assert len(seen) == 3 and all("Not finished." in text for text in seen)
    assert "No config has a score yet" in seen[0]


def test_a_search_without_a_winner_says_so(tmp_path: Path) -> None:
    with pytest.raises(fw.EngineError):
        search(tmp_path / "study", additions.engine(fail=lambda _: fw.EngineError("dead")))
    seen = Page(report_at(tmp_path / "study"))
    assert "No config has a score yet" in seen.text() and "There is no front yet" in seen.text("front")
    assert "Nothing has raced yet" in seen.text("race")


def test_a_pipeline_without_a_search_has_no_empty_sections() -> None:
    seen = Page(report_of(fw.lower(Judged(), engine=fw.ScriptedEngine(default="7"))))
    ids = {a.get("id") for _, a in seen.tags}
    assert "comes from no search" in seen.text() and "front" not in ids and "answers" not in ids
    assert {"pipeline", "prompts", "provenance"} <= ids


def test_what_an_earlier_version_noted_is_enough(found: Any) -> None:
    old = ("holdout", "dev", "flops_per_query", "bound", "cold", "refused", "spent", "reused", "seconds", "split")
    report: Mapping[str, Any] = {name: found.report[name] for name in old}
    tried = [{k: v for k, v in row.items() if k not in ("scores", "objectives")} for row in found.report["tried"]]
    seen = Page(page(Found("Adder", report={**report, "tried": tried, "front": ["a", "b"]})))
    assert format_flops(report["spent"]["spent"]) in seen.text("spending")


def test_thousands_of_cells_make_no_huge_page(found: Any) -> None:
    report = dict(found.report)
    row = next(r for r in report["tried"] if r["number"] == report["chosen"])
    many = [{**row, "number": i, "scores": [i % 2] * 400, "examples": 400, "status": "dropped"} for i in range(2, 3000)]
    event = {"what": "dropped", "config": 3, "by": 2, "examples": 9, "score": 0.1, "against": 0.5, "spent": 1e9}
    big = Found("Adder", report={**report, "tried": [*report["tried"], *many], "events": [event] * 5000})
    html = page(big)
    assert len(html) < 1_500_000
    race = Page(html).text("race")
    assert "200 of 5000 events" in race and f"200 of {len(many) + len(report['tried'])} configs" in race


# reading and writing -----------------------------------------------------------------------------------------------


def test_what_cannot_be_reported_is_told(tmp_path: Path) -> None:
    with pytest.raises(fw.ArtifactError, match="neither an artifact nor a study"):
        report_at(tmp_path / "nothing")
    with pytest.raises(fw.ArtifactError, match="no file 'SHA256SUMS'"):
        report_at(tmp_path)
    CellStore(tmp_path / "cells.db").close()
    with pytest.raises(fw.StudyError, match=r"nothing to report yet.*run the same compile command"):
        report_at(tmp_path)
    (tmp_path / "cells.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(fw.StudyError, match="cannot be opened"):
        report_at(tmp_path)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(fw.InputError, match=r"cannot be written.*name another file"):
        write_report("<p>", tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_changed_policy_would_be_noticed(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import base64
    import hashlib

    html = report_of(found)
    script = html.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in html


def test_the_default_program_of_tests_is_drawn_whole() -> None:
    pipeline = fw.lower(Solver(), engine=fw.ScriptedEngine(default="7"))
    seen = Page(report_of(pipeline))
    nodes = [a for tag, a in seen.tags if tag == "g" and a.get("class", "").startswith("node ")]
    assert len(nodes) == sum(1 for _ in pipeline.plan.graph.walk()) + 1  # and the end
