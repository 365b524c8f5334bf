"""The page of results: made from raw files, says what was lost, and always the same from the same files."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import results
from benchmarks._compared import difference, pooled, read, verdict
from tests.benchmarks.peers.raws import land


def made(tmp_path: Path) -> tuple[results.Report, str]:
    options = Namespace(raw=tmp_path / "raw", page=tmp_path / "RESULTS.md")
    report = results.measure(options)
    return report, options.page.read_text()


def two_tasks(raw: Path) -> None:
    land(raw, "gsm8k", "flopwise", range(70), search=4e14, flops=2e12)
    land(raw, "gsm8k", "dspy.MIPROv2", range(40), search=1e15)
    land(raw, "coin_flip", "flopwise", range(30), search=6e14, failed=[99])
    land(raw, "coin_flip", "dspy.MIPROv2", range(60), search=1e15)


def test_what_was_lost_is_said_before_what_was_won(tmp_path: Path) -> None:
    two_tasks(tmp_path / "raw")
    report, text = made(tmp_path)
    lost, won = text.split("## Lost, and behind")[1].split("## Won, ahead or even")
    assert "| coin_flip | dspy.MIPROv2 | LOST | -30.0 [" in lost
    assert "| gsm8k | dspy.MIPROv2 | won | +30.0 [" in won
    assert "coin_flip" not in won.split("## gsm8k")[0]
    found = report.figures
    assert (found["worse_than_mipro"], found["share_better_by_5"], found["with_room"]) == (1, 0.5, 2)
    assert (found["pooled_gain"], found["most_search_share"], found["parse_failures"]) == (0.0, 0.6, 1.0)
    assert {t.figure for t in report.missed} == {
        "worse_than_mipro", "share_better_by_5", "pooled_low", "most_search_share", "parse_failures"
    }  # fmt: skip


def test_a_method_that_was_not_run_is_named_and_not_passed_over(tmp_path: Path) -> None:
    two_tasks(tmp_path / "raw")
    report, text = made(tmp_path)
    missing = "dspy.Predict, dspy.ChainOfThought, few-shot CoT, self-consistency"
    assert f"- gsm8k: {missing}\n- coin_flip: {missing}" in text
    assert "worse_than_self_consistency" not in report.figures


def test_every_figure_links_its_raw_file_and_its_picture(tmp_path: Path) -> None:
    two_tasks(tmp_path / "raw")
    _, text = made(tmp_path)
    for link in ("raw/gsm8k/flopwise-0.json", "raw/gsm8k/dspy.MIPROv2-0.json", "raw/gsm8k.svg"):
        assert f"({link})" in text
        assert (tmp_path / link).exists()


def test_the_same_files_make_the_same_page_and_pictures(tmp_path: Path) -> None:
    two_tasks(tmp_path / "raw")
    _, first = made(tmp_path)
    picture = (tmp_path / "raw/gsm8k.svg").read_bytes()
    _, second = made(tmp_path)
    assert first == second
    assert picture == (tmp_path / "raw/gsm8k.svg").read_bytes()


def test_tasks_without_room_do_not_count_against_five_points(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    land(raw, "gsm8k", "flopwise", range(96), search=4e14)
    land(raw, "gsm8k", "dspy.MIPROv2", range(95), search=1e15)
    report, text = made(tmp_path)
    assert report.figures["with_room"] == 0
    assert "There is no task where neither is above 90%." in text


def test_seeds_are_averaged_question_by_question(tmp_path: Path) -> None:
    land(tmp_path, "gsm8k", "flopwise", [0, 1], total=4, seed=0)
    land(tmp_path, "gsm8k", "flopwise", [0], total=4, seed=1)
    found = read(tmp_path)["gsm8k", "flopwise"]
    assert found.scores == {"q0": 1.0, "q1": 0.5, "q2": 0.0, "q3": 0.0}
    assert found.score.n == 4


def test_pooling_counts_every_question_of_both(tmp_path: Path) -> None:
    two_tasks(tmp_path)
    land(tmp_path, "multiarith", "flopwise", range(10))
    results_ = read(tmp_path)
    both = pooled(results_, "flopwise", "dspy.MIPROv2")
    assert both is not None
    assert (both.difference.n, both.wins, both.losses) == (200, 30, 30)
    assert pooled(results_, "flopwise", "dspy.GEPA") is None
    assert verdict(difference(results_["gsm8k", "flopwise"], results_["gsm8k", "dspy.MIPROv2"])) == "won"


def test_runs_of_other_questions_are_refused(tmp_path: Path) -> None:
    land(tmp_path, "gsm8k", "flopwise", range(10))
    land(tmp_path, "gsm8k", "dspy.Predict", range(10), first=1)
    with pytest.raises(ValueError, match="not asked the same questions"):
        read(tmp_path)


def test_an_ablation_is_compared_with_flopwise_alone(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    land(raw, "gsm8k", "flopwise", range(70), search=4e14)
    land(raw, "gsm8k", "flopwise-without-bank", range(60), search=4e14)
    land(raw, "gsm8k", "flopwise@0.25", range(50), search=2e14)
    _, text = made(tmp_path)
    assert "| gsm8k | bank | +10.0 [" in text.split("## What each part is worth")[1]
    won = text.split("## Lost, and behind")[1].split("## gsm8k")[0]
    assert "without-bank" not in won  # nor is flopwise with less to spend a peer that it wins against
    assert "flopwise@" not in won
