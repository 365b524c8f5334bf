"""The space of configs, the ladder of presets, and the trials that fill it in."""

from __future__ import annotations

import optuna
import pytest

import flopwise as fw
from flopwise.ir.choices import config_key
from flopwise.modules.program import trace
from flopwise.optimizers.demos import sites
from flopwise.optimizers.ladder import fill, first_rungs, upper_rungs
from flopwise.optimizers.selection import Selection
from flopwise.optimizers.space import Space
from flopwise.optimizers.trials import Trials

from .additions import Add


class Wide(fw.Program):
    draft = fw.choice(fw.Predict(Add), fw.ChainOfThought(Add))
    n = fw.integer(1, 16, log=True)
    warmth = fw.real(0.2, 0.8)
    judge = fw.optional(fw.Verifier(Add))

    def forward(self, question: str) -> Add:
        drafts = fw.sample(self.draft, n=self.n, temperature=self.warmth)(question=question)
        return fw.vote(self.judge(drafts), field="answer")


ORDERS = {"diverse": ("x", "y", "z"), "short": ("z", "x", "y")}
DEMOS = {"draft.ChainOfThought.demos": Selection(2, ORDERS, nearest=2)}


def space() -> Space:
    return Space(trace(Wide()), DEMOS)


def test_only_live_choices_are_suggested() -> None:
    study = optuna.create_study()
    for _ in range(40):
        config = space().suggest(study.ask())
        assert ("draft.Predict.demos" in config) == (config["draft"] == "Predict")
        assert ("draft.ChainOfThought.demos" in config) == (config["draft"] == "ChainOfThought")
        # One sample is drawn greedily, so its temperature decides nothing.
        assert ("warmth" in config) == (config["n"] > 1)
        assert not space().live(config)


def test_first_rungs_are_each_structure_without_options_then_with_its_short_demos() -> None:
    rungs = list(first_rungs(space()))
    assert [r["draft"] for r in rungs] == ["Predict", "ChainOfThought", "ChainOfThought"]
    assert {r["judge"] for r in rungs} == {"off"}
    assert {r["n"] for r in rungs} == {1}
    assert rungs[2]["draft.ChainOfThought.demos"] == ("z", "x")


def test_upper_rungs_raise_counts_and_then_add_options() -> None:
    rungs = list(upper_rungs(space(), [fill(space(), {"draft": "Predict"}, demos=False)]))
    assert [(r["n"], r["judge"]) for r in rungs] == [(4, "off"), (4, "Verifier"), (16, "off")]


def test_upper_rungs_end_with_other_demos_for_the_first_leader() -> None:
    leader = fill(space(), {"draft": "ChainOfThought", "draft.ChainOfThought.demos": ("z", "x")}, demos=False)
    plain = fill(space(), {"draft": "Predict"}, demos=False)
    shown = [r.get("draft.ChainOfThought.demos") for r in upper_rungs(space(), [leader, plain])]
    assert shown[-4:] == ["knn:2", ("x", "y"), ("z", "y"), ("z",)]
    assert shown[:-4].count(("z", "x")) == 3  # with more samples and with a judge


def test_trials_never_repeat_a_config_and_are_the_same_for_the_same_seed() -> None:
    runs = []
    for _ in range(2):
        trials, keys = Trials(space(), seed=3, storage=None), []
        for i in range(25):
            asked = trials.ask()
            assert asked is not None
            trials.tell(asked[0], [i % 3 / 2] * 4, 1e9, dropped=bool(i % 2))
            keys.append(asked[0])
        runs.append(keys)
        assert len(set(keys)) == 25
    assert runs[0] == runs[1]


def test_trials_know_when_the_space_is_used_up() -> None:
    trials = Trials(
        Space(trace(fw.choice(fw.Predict(Add, demos=()), fw.ChainOfThought(Add, demos=()), name="c"))), 0, None
    )
    asked = [trials.ask() for _ in range(3)]
    assert {config_key(a[1]) for a in asked[:2] if a} == {'{"c":"Predict"}', '{"c":"ChainOfThought"}'}
    assert asked[2] is None


def test_more_samples_come_in_waves_as_small_as_before() -> None:
    class Waving(fw.Program):
        draft = fw.Predict(Add)
        n = fw.integer(1, 16, log=True)
        wave = fw.integer(2, 16)

        def forward(self, question: str) -> Add:
            return fw.vote(fw.sample(self.draft, n=self.n, wave=self.wave)(question=question))

    waving = Space(trace(Waving()))
    rungs = list(upper_rungs(waving, [fill(waving, {"n": 2}, demos=False)]))
    assert [(r["n"], r["wave"]) for r in rungs] == [(4, 2), (16, 2)]


def test_a_preset_is_asked_for_as_it_is() -> None:
    trials = Trials(space(), 0, None)
    for demos in ((), ("z", "x"), ("z", "y"), "knn:1"):
        preset = fill(space(), {"draft": "ChainOfThought", "draft.ChainOfThought.demos": demos}, demos=False)
        asked = trials.ask(preset)
        assert asked is not None and asked[1] == preset


def test_sites_are_the_modules_with_open_demos() -> None:
    found = {s.choice: s.labelled for s in sites(trace(Wide()))}
    assert found == {"draft.Predict.demos": True, "draft.ChainOfThought.demos": False}


class Worded(fw.Program):
    draft = fw.choice(
        fw.Predict(Add, instruction=fw.instruction("Sum.", proposals=2), demos=()),
        fw.ChainOfThought(Add, instruction=fw.instruction("One.", "Two."), demos=()),
    )
    n = fw.integer(1, 4)

    def forward(self, question: str) -> Add:
        return fw.vote(fw.sample(self.draft, n=self.n)(question=question), field="answer")


OPEN, CLOSED = "draft.Predict.instruction", "draft.ChainOfThought.instruction"


def test_instructions_are_no_structures_and_the_leader_meets_the_others_first() -> None:
    proposed: dict[str, dict[str, str]] = {}
    worded = Space(trace(Worded()), None, proposed)
    assert [r["draft"] for r in first_rungs(worded)] == ["Predict", "ChainOfThought"]
    proposed[OPEN] = {"proposed-1": "Add them."}  # while the race runs
    leader = fill(worded, {"draft": "Predict"}, demos=False)
    assert leader[OPEN] == "Add the numbers."
    rungs = [(r[OPEN], r["n"]) for r in upper_rungs(worded, [leader, leader])]
    seeds = [f"Add the numbers. {hint}" for hint in ("Read the whole", "Be exact")]
    assert rungs[0] == ("Add them.", 1) and rungs[3] == ("Sum.", 1)
    assert all(text.startswith(seed) for (text, _), seed in zip(rungs[1:3], seeds, strict=True))
    assert {n for _, n in rungs[4:]} == {2, 4}
    other = fill(worded, {"draft": "ChainOfThought"}, demos=False)
    assert next(r[CLOSED] for r in upper_rungs(worded, [other])) == "Two."


def test_optuna_sees_labels_that_never_change_and_an_empty_slot_is_the_default() -> None:
    proposed: dict[str, dict[str, str]] = {}
    worded = Space(trace(Worded()), None, proposed)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    seen = set()
    for i in range(60):
        if i == 30:
            proposed[OPEN] = {"proposed-1": "Add them."}
        trial = study.ask()
        config = worded.suggest(trial)
        study.tell(trial, 0.0)
        if config["draft"] == "Predict":
            seen.add((i < 30, trial.params[OPEN], config[OPEN]))
    assert (True, "proposed-1", "Add the numbers.") in seen and (False, "proposed-1", "Add them.") in seen
    assert (False, "proposed-2", "Add the numbers.") in seen
    config = fill(worded, {"draft": "Predict", OPEN: "Add them."}, demos=False)
    assert worded.params(config)[OPEN] == "proposed-1"


@pytest.mark.parametrize("name", ["judge", "n"])
def test_space_text_names_every_choice(name: str) -> None:
    assert f"{name}:" in space().as_text()
