"""What comes into view of a race: the sampler's configs, neighbours of leaders, and chance; each once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flopwise as fw
from flopwise.ir.choices import ChoiceValue, config_key
from flopwise.modules.program import trace
from flopwise.optimizers.evaluate import Entrant
from flopwise.optimizers.prospects import CHANCE, PROSPECTS, Prospects
from flopwise.optimizers.space import Space
from flopwise.optimizers.trials import Trials

from .additions import Adder


def entrant(config: Mapping[str, ChoiceValue]) -> Entrant:
    if config["n"] == 8:
        raise fw.BudgetError("eight are too many")
    plan: Any = None
    return Entrant(config_key(config), dict(config), plan, None)  # type: ignore[arg-type]


def prospects() -> Prospects:
    space = Space(trace(Adder()))
    return Prospects(space, Trials(space, 0, None), entrant)


def test_the_sampler_is_asked_once_until_its_config_is_let_in() -> None:
    view = prospects()
    view.look_around((), "a", propose=True)
    asked = list(view.trials.open)
    view.look_around((), "b", propose=True)
    assert list(view.trials.open) == asked and len(asked) == 1
    first = next(e for e in view.in_view if e.key == asked[0])
    assert view.let_in(first) and first not in view.in_view
    view.look_around((), "c", propose=True)
    assert asked[0] not in {e.key for e in view.in_view}


def test_a_leaders_neighbours_differ_in_one_decision_and_are_looked_at_once() -> None:
    view = prospects()
    leader = entrant({"draft": "Predict", "n": 4, "draft.Predict.demos": ()})
    view.look_around([leader], "a", propose=False)
    near = [e.config for e in view.in_view if e.config["draft"] == "Predict" and e.config["n"] != 4]
    assert {config["n"] for config in near} >= {1, 2, 3, 6}
    before = len(view.in_view)
    view.look_around([leader], "b", propose=False)
    assert len(view.in_view) <= before + CHANCE


def test_what_cannot_run_is_no_prospect_and_is_told_where_it_was_asked_for() -> None:
    view = prospects()
    assert view.rung({"draft": "Predict", "n": 8, "draft.Predict.demos": ()}) is None
    assert list(view.refused.values()) == ["eight are too many"] and not view.trials.open
    view.look_around([entrant({"draft": "Predict", "n": 4, "draft.Predict.demos": ()})], "a", propose=False)
    assert view.in_view and all(e.config["n"] != 8 for e in view.in_view)
    assert len(view.refused) == 1, "what was only looked at is not told as refused"


def test_the_view_is_bounded_and_keeps_what_the_sampler_proposed() -> None:
    view = prospects()
    view.look_around((), "first", propose=True)
    asked = next(iter(view.trials.open))
    for i in range(PROSPECTS):
        view.look_around((), f"{i}", propose=False)
    assert len(view.in_view) <= PROSPECTS and asked in {e.key for e in view.in_view}
