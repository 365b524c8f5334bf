"""Modules name their engines; what stands inside follows what stands around it."""

from __future__ import annotations

from typing import Any

import pytest

import flopwise as fw
from flopwise.compiler.engines import engines_in
from flopwise.compiler.passes.specialise import open_values
from flopwise.compiler.stages import complete, optimise
from flopwise.errors import ConfigError, SignatureError
from flopwise.ir.graph import Graph
from tests.programs import Solve


def asked(program: Any, config: dict[str, Any] | None = None) -> dict[str, set[str | None]]:
    """The engines that each module's requests ask."""
    graph = fw.trace(program)
    found: dict[str, set[str | None]] = {}
    for name, node in optimise(graph, complete(graph, config or {})).result.walk():
        if node.prompt is not None:
            found.setdefault(name.split("/")[-1].rsplit(".", 1)[0], set()).add(node.engine)
    return found


def engines(program: Any, config: dict[str, Any] | None = None) -> set[str | None]:
    return set[str | None]().union(*asked(program, config).values())


class Judged(fw.Program):
    draft = fw.ChainOfThought(Solve)
    judge = fw.Verifier(Solve, engine="judge")

    def forward(self, question: str) -> Solve:
        return fw.best(self.judge(fw.sample(self.draft, n=3)(question=question)))


def test_every_request_of_a_module_asks_its_engine() -> None:
    assert asked(Judged()) == {"draft": {None}, "judge": {"judge"}}


def test_regions_inside_a_module_ask_its_engine() -> None:
    assert engines(fw.TreeOfThought(Solve, engine="large")) == {"large"}


def test_the_graph_says_which_engine_is_asked() -> None:
    assert "Verifier(Solve, engine=judge)" in fw.trace(Judged()).as_text()
    graph = fw.trace(Judged())
    assert "score() Yes/No on judge from" in optimise(graph, complete(graph, {})).result.as_text()


def test_main_is_the_engine_that_has_no_name() -> None:
    assert engines(fw.Predict(Solve, engine="main")) == {None}
    assert engines_in(fw.trace(fw.Predict(Solve, engine="main"))) == {}


def test_modules_inside_one_follow_it_where_they_name_none() -> None:
    own = fw.ChainOfThought(Solve, engine="own", name="own")
    plain = fw.Predict(Solve, name="plain")
    panel = fw.Ensemble(plain, own).on("large")
    found = asked(panel)
    assert {name.split(".")[-1]: which for name, which in found.items()} == {"plain": {"large"}, "own": {"own"}}
    assert plain.engine is None  # `on` gives another module


@pytest.mark.parametrize(
    "whole",
    [
        fw.MetaReasoning(
            Solve, methods=(fw.Predict(Solve), fw.ChainOfThought(Solve)), descriptions=("at once", "by steps"),
            engine="large",
        ),
        fw.cascade(fw.sample(fw.Predict(Solve), n=3), fw.ChainOfThought(Solve), threshold=0.6).on("large"),
        fw.cascade(fw.Predict(Solve), fw.ChainOfThought(Solve), threshold=0.6, confidence="verifier").on("large"),
        fw.choice(fw.Predict(Solve), fw.ChainOfThought(Solve), name="which").on("large"),
        fw.stack(Solve).on("large"),
    ],
    ids=lambda m: m.kind,
)  # fmt: skip
def test_a_whole_made_of_modules_is_on_its_engine(whole: Any) -> None:
    graph = fw.trace(whole)
    assert set(engines_in(graph)) == {"large"}
    assert engines(whole) == {"large"}


def test_members_of_an_ensemble_differ_in_engine() -> None:
    members = [fw.Predict(Solve, engine=name, name=name) for name in ("small", "large")]
    assert engines(fw.Ensemble(*members)) == {"small", "large"}


class Open(fw.Program):
    draft = fw.Predict(Solve, engine=fw.choice("main", "large"))

    def forward(self, question: str) -> Solve:
        return self.draft(question=question)


def test_an_engine_may_be_a_choice() -> None:
    graph: Graph = fw.trace(Open())
    assert [v.name for v in open_values(graph)] == ["draft.demos", "draft.engine"]
    assert engines_in(graph) == {"large": "draft"}
    assert engines(Open()) == {None} and engines(Open(), {"draft.engine": "large"}) == {"large"}
    with pytest.raises(ConfigError, match=r"draft.engine.*'main', 'large'.*'other'"):
        engines(Open(), {"draft.engine": "other"})


def test_a_choice_with_a_name_is_one_for_all_modules_inside() -> None:
    panel = fw.Ensemble(fw.Predict(Solve), fw.ChainOfThought(Solve)).on(fw.choice("main", "large", name="where"))
    assert [v.name for v in open_values(fw.trace(panel)) if "demos" not in v.name] == ["where"]
    assert engines(panel, {"where": "large"}) == {"large"}


@pytest.mark.parametrize("engine", ["", "7b", "a judge", 7, fw.integer(1, 2), fw.choice("a", "b c")])
def test_what_is_no_name_is_refused(engine: Any) -> None:
    with pytest.raises(SignatureError, match=r'Predict: engine: a name .* write engine="judge", and engines='):
        fw.Predict(Solve, engine=engine)


def test_a_live_engine_is_no_name() -> None:
    with pytest.raises(SignatureError, match="a name of letters"):
        fw.Predict(Solve, engine=fw.ScriptedEngine(default="7"))
