"""The benchmark of methods: its cases are legal, it goes on where it was stopped, its page is what the rows make."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from benchmarks import methods
from benchmarks.methods import _results, _run
from benchmarks.methods._cases import chosen, every_case
from benchmarks.methods._facts import passages
from benchmarks.methods._method import Case, Given
from benchmarks.methods._page import page
from benchmarks.methods._tasks import KINDS, TASKS
from benchmarks.methods._verdict import figures, front, ratio, rival, verdict
from benchmarks.tasks import Splits, Task

from ..programs import SHAPE

ANSWERS: Mapping[str, Any] = {
    "gsm8k": 7, "multiarith": 7, "object_counting": 7, "coin_flip": "yes", "date_understanding": "B",
    "web_of_lies": "no", "humaneval": "```python\nx = 1\n```",
}  # fmt: skip


def scripted(reply: str = "7") -> fw.ScriptedEngine:
    return fw.ScriptedEngine(default=reply, settings=fw.ScriptedSettings(cost=SHAPE))


def questions(task: Task) -> Splits:
    """A task's rows, or three made-up ones of its kind where they would come from a data folder."""
    if task.name not in ANSWERS:
        return task.rows()
    rows = [
        {"question": f"{i} and {i}?", "answer": ANSWERS[task.name], "tests": "", "entry_point": "x"} for i in range(30)
    ]
    return rows[:24], rows[24:27], rows[27:]


def given_for(name: str) -> Given:
    given = Given(TASKS[name], scripted(str(ANSWERS.get(name, 7))), fw.SampleBank(None))
    rows = questions(given.task)
    demos = tuple({**row, "reasoning": "So it is."} for row in rows[0][:2])
    given.__dict__.update(rows=rows, demos=demos)  # what would be read from disk and asked of the model
    return given


@pytest.mark.parametrize("case", every_case(), ids=lambda case: case.name)
def test_every_case_lowers(case: Case) -> None:
    given = given_for(case.task)
    pipeline = given.lowered(case.method.make(given))
    assert 0 < pipeline.plan.least <= pipeline.plan.bound
    assert case.task in KINDS


def test_cases_are_each_named_once_and_the_headline_comes_first() -> None:
    cases = every_case()
    assert len({case.name for case in cases}) == len(cases)
    assert [case.method.headline for case in cases] == sorted((c.method.headline for c in cases), reverse=True)
    others = [case.tokens for case in cases if not case.method.headline]
    assert others == sorted(others)


def test_every_method_has_its_baseline_on_the_same_task() -> None:
    """Retrieval is compared with reading a given context, programs of rules with reasoning about them."""
    of = {task: {c.method.name for c in every_case() if c.task == task} for task in KINDS}
    assert all({"Predict", "ChainOfThought"} <= names for names in of.values() if names)


def test_no_module_of_the_library_is_left_out() -> None:
    """Every public technique stands in some case's graph; what is no way to answer is named here."""
    library = {n for n in fw.__all__ if isinstance(o := getattr(fw, n), type) and issubclass(o, fw.Module)}
    within = {"Module", "Retrieve", "Layers", "Verifier", "Critique", "Program"}
    source = "".join(p.read_text() for p in Path(methods.__file__).parent.glob("_*.py"))
    assert {name for name in library - within if f"fw.{name}" not in source} == set()


def test_patterns_choose() -> None:
    assert {c.task for c in chosen(["Predict/*"])} >= {"gsm8k", "humaneval"}
    assert {c.task for c in chosen(["gsm8k"])} == {"gsm8k"}
    with pytest.raises(ValueError, match="is no METHOD"):
        chosen(["Predikt"])


# running --------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., argparse.Namespace]:
    """Options of a run on a scripted engine, over questions that need no data folder."""
    task = TASKS["gsm8k"]
    rows = [{"question": f"{i} and {i}?", "answer": 7 if i % 2 else 8} for i in range(80)]
    made = replace(task, rows=lambda: (rows[:20], rows[20:30], rows[30:]))
    monkeypatch.setattr(_run, "TASKS", {"gsm8k": made})
    monkeypatch.setattr(fw, "engine", lambda spec: scripted())

    def options(*only: str, **other: Any) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        methods.arguments(parser)
        found = parser.parse_args([])
        settings = {
            "only": only,
            "work": tmp_path / "work",
            "results": tmp_path / "methods.json",
            "questions": 4,
            **other,
        }
        return argparse.Namespace(**{**vars(found), **settings})

    return options


def test_a_row_says_what_a_query_takes(small: Any) -> None:
    methods.measure(small("Predict/gsm8k", "vote of 5/gsm8k"))
    plain, voted = _results.read(small().results)
    assert plain["score"] == 0.5 and plain["low"] < 0.5 < plain["high"]
    assert (plain["calls"], voted["calls"]) == (1, 10) and voted["flops"] > plain["flops"]
    assert len(plain["each"]) == 4 and all(len(each) == len(_results.EACH) for each in plain["each"])
    assert sum(_results.column(plain, "flops")) / 4 == pytest.approx(plain["flops"])
    assert plain["unparsed"] == plain["failed"] == 0
    assert plain["commit"] is not None and plain["machine"]["cores"] >= 1


def test_flops_are_a_methods_own_though_its_drafts_are_shared(small: Any) -> None:
    methods.measure(small("vote of 5/gsm8k", "weighted vote of 5/gsm8k"))
    voted, weighed = _results.read(small().results)
    judging = 4 * (weighed["flops"] - voted["flops"])
    assert 0 < weighed["drawn_flops"] <= judging  # the drafts were there already


def test_ended_cases_are_not_run_again(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    methods.measure(small("Predict/gsm8k"))
    ran: list[str] = []
    whole = _run.run
    monkeypatch.setattr(_run, "run", lambda case, *rest: ran.append(case.name) or whole(case, *rest))  # type: ignore[func-returns-value]
    report = methods.measure(small("Predict/gsm8k", "ChainOfThought/gsm8k"))
    assert ran == ["ChainOfThought/gsm8k"] and report.figures["left"] == 0
    methods.measure(small("Predict/gsm8k", questions=6))
    assert ran[-1] == "Predict/gsm8k"  # of more questions than there were
    assert [row["questions"] for row in _results.read(small().results)] == [6, 4]


def test_it_stops_when_the_minutes_are_up(small: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert methods.measure(small("gsm8k", minutes=0.0)).figures["left"] == len(chosen(["gsm8k"]))

    def late(*_: Any) -> Any:
        raise TimeoutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_run, "run", late)
        methods.measure(small("Predict/gsm8k"))
    assert "goes on" in capsys.readouterr().out and not small().results.exists()


def test_answering_ends_with_its_time() -> None:
    given = given_for("gsm8k")
    given.until = 0.0  # long past
    with pytest.raises(TimeoutError):
        given.scored(fw.Predict(given.of, demos=()), given.rows[2])


def test_a_case_that_cannot_be_leaves_the_others(small: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fw, "engine", lambda spec: scripted("9"))  # no train question is answered right
        report = methods.measure(small("few-shot*/gsm8k", "ReRead/gsm8k"))
    assert report.figures["left"] == 1 and [r["method"] for r in _results.read(small().results)] == ["ReRead"]
    assert "left out: gsm8k: none of 20 train questions" in capsys.readouterr().out


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "methods.json"
    _results.keep(path, [{"method": "one"}])

    def full(self: Path, text: str, **_: Any) -> None:
        with self.open("w") as file:
            file.write(text[:20])
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="no space"):
            _results.keep(path, [{"method": "one"}, {"method": "two"}])
    assert _results.read(path) == [{"method": "one"}] and list(tmp_path.iterdir()) == [path]


# tasks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in TASKS if name not in ANSWERS])
def test_made_up_tasks_keep_to_their_splits(name: str) -> None:
    asked = [[json.dumps([v for k, v in row.items() if k != "answer"]) for row in part] for part in TASKS[name].rows()]
    train, dev, test = map(set, asked)
    assert len(test) >= 25 and not test & (train | dev) and TASKS[name].rows() == TASKS[name].rows()


def test_a_context_holds_the_answer() -> None:
    for name in ("facts_one_hop", "facts_two_hops"):
        assert all(row["answer"] in row["context"] for part in TASKS[name].rows() for row in part)
    assert len(set(passages().values())) == len(passages())


# the page -------------------------------------------------------------------------------------------------


def row(method: str, scores: Sequence[int], flops: float, task: str = "gsm8k") -> dict[str, Any]:
    each = [[s, flops, 1, 10, 5, 20, 0] for s in scores]
    mean = sum(scores) / len(scores)
    return {
        "method": method, "kind": "choosing", "task": task, "questions": len(each), "settings": "", "score": mean,
        "low": mean, "high": mean, "flops": flops, "calls": 1.0, "prefilled": 10.0, "reused": 5.0, "completion": 20.0,
        "unparsed": 0.0, "seconds": 1.0, "engine": "m", "machine": {"cpu": "c", "cores": 2}, "versions": {},
        "each": each,
    }  # fmt: skip


COT = row("ChainOfThought", [1] * 10 + [0] * 10, 100.0)


@pytest.mark.parametrize(
    ("scores", "flops", "word"),
    [
        ([1] * 20, 500.0, "helps"),
        ([1] * 20, 50.0, "helps"),
        ([0] * 20, 500.0, "hurts"),
        ([0] * 20, 20.0, "trades"),
        ([1] * 9 + [0] * 11, 20.0, "saves"),
        ([1] * 9 + [0] * 11, 200.0, "no gain"),
        ([1] * 9 + [0] * 11, 150.0, "open"),
        ([1] * 11 + [0] * 9, 500.0, "open"),
    ],
)
def test_the_rule_of_the_verdicts(scores: Sequence[int], flops: float, word: str) -> None:
    assert verdict(row("other", scores, flops), COT).word == word


def test_rows_are_compared_on_the_questions_that_both_have_met() -> None:
    short = row("short", [1] * 5, 200.0)
    found = verdict(short, COT)
    assert (found.difference.n, found.difference.mean, found.ratio) == (5, 0.0, 2.0) and ratio(COT, short) == 0.5


def test_the_front_and_the_rival() -> None:
    cheap, dear = row("a", [1] * 4 + [0] * 16, 10.0), row("b", [1] * 15 + [0] * 5, 300.0)
    worse = row("c", [1] * 9 + [0] * 11, 200.0)
    assert [r["method"] for r in front([dear, worse, COT, cheap])] == ["a", "ChainOfThought", "b"]
    assert rival(dear, [dear, worse, COT, cheap]) is COT and rival(cheap, [dear, cheap]) is None


def test_figures_say_what_stopping_saves_and_whether_a_cascade_wins() -> None:
    rows = [COT, row("vote of 16", [1] * 20, 900.0), row("adaptive vote up to 16", [1] * 19 + [0], 300.0)]
    assert figures(rows) == {"stop_share_gsm8k": pytest.approx(1 / 3), "stop_within_gsm8k": 0.0}
    rows[1].update(low=0.8, high=1.0)
    assert figures(rows)["stop_within_gsm8k"] == 1.0
    assert figures([COT, row("tuned cascade", [1] * 11 + [0] * 9, 100.0)])["cascade_wins"] == 1
    assert figures([COT, row("tuned cascade", [1] * 10 + [0] * 10, 100.0)])["cascade_wins"] == 0


def test_the_page_says_what_the_rows_say() -> None:
    rows = [
        COT,
        row("Predict", [0] * 20, 10.0),
        row("vote of 16", [1] * 20, 900.0),
        row("adaptive vote up to 16", [1] * 20, 300.0),
    ]
    text = page(rows)
    assert "4 of " in text and "Not yet run" in text and "`Refine/gsm8k`" in text
    assert "adaptive vote up to 16 on gsm8k: 33% of the FLOPs of the vote of 16, score +0.00" in text
    assert "- vote of 16 on gsm8k: +0.50" in text.split("**Helps**")[1].split("**Hurts**")[0]
    table = [line for line in text.splitlines() if line.startswith(("| Predict", "| ChainOfThought", "| vote"))]
    assert [line.split(" |")[0] for line in table] == ["| Predict", "| ChainOfThought", "| vote of 16"]
    assert page(rows) == text


def test_the_page_is_what_the_landed_rows_make() -> None:
    rows = _results.read(methods.RESULTS)
    written = methods.PAGE.read_text(encoding="utf-8") if methods.PAGE.exists() else None
    assert written == (page(rows) if rows else None), (
        "docs/methods.md differs from its rows; run `python -m benchmarks methods --page`"
    )
