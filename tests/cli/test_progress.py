"""What a person sees of a search while it runs."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest

from flopwise.optimizers.live import LiveView
from flopwise.optimizers.progress import Progress, shown
from flopwise.optimizers.stats import Interval

RACING = Progress("race", 3, "#3 on [1-16]", Interval(0.625, 0.5, 0.75, 16), 5e12, 20e12, 0.87, 95.0)


def test_the_live_view_shows_the_latest_state() -> None:
    stream = io.StringIO()
    with LiveView(stream) as view:
        view(replace(RACING, configs=2, running="#1 on 1-16"))
        view(RACING)
    drawn = stream.getvalue()
    for said in (
        "racing configs, 3 configs", "62.5% [50.0%, 75.0%] on the 16 dev examples", "5 TFLOP of 20 TFLOP, 1m35s left",
        "87% of prompt tokens", "#3 on [1-16]",
    ):  # fmt: skip
        assert said in drawn
    assert "#1 on" not in drawn


def test_the_live_view_of_an_unbounded_search_that_has_scored_nothing() -> None:
    stream = io.StringIO()
    with LiveView(stream) as view:
        view(Progress("demos", 0, "", None, 0.0, None, 0.0, None))
    assert "no score yet" in stream.getvalue()
    assert "of 0" not in stream.getvalue()


def test_elsewhere_a_stage_gives_a_line_and_a_repetition_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not sys.stderr.isatty()
    with shown(True) as show:
        show(RACING)
        show(replace(RACING, configs=4))
        show(replace(RACING, stage="holdout"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["[race]", "[holdout]"]
    assert "5 TFLOP of 20 TFLOP spent" in lines[0] and "1m35s left at most" in lines[0]


def test_a_function_of_the_users_own_is_called_and_false_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Progress] = []
    with shown(seen.append) as show:
        show(RACING)
    with shown(False) as show:
        show(RACING)
    assert seen == [RACING]
    assert capsys.readouterr() == ("", "")
