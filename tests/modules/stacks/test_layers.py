"""Layers in order over candidates, and the reducer that ends them."""

from __future__ import annotations

from typing import Any

import pytest

import flopwise as fw
from flopwise.compiler.passes.specialise import open_values
from flopwise.errors import InputError, SignatureError
from flopwise.ir.choices import Categorical
from flopwise.modules.program import trace
from flopwise.modules.stacks.layers import Layers
from tests.modules.expansion import check_expansion, expanded
from tests.programs import Solve, ready

Q = {"question": "2+2?"}


def layered(**layers: Any) -> fw.Program:
    class Layered(fw.Program):
        draft = fw.Predict(layers.pop("of", Solve), max_tokens=32)

        def __init__(self) -> None:
            self.layers = Layers(self.draft.of, **layers)

        def forward(self, question: str) -> Any:
            return self.layers(fw.sample(self.draft, n=3)(question=question))

    return Layered()


def test_the_docstring_shows_the_graph() -> None:
    text = "question -> answer: int"

    class Layered(fw.Program):
        draft = fw.Predict(text)
        layers = Layers(text, steps=(fw.Verifier(text),), reduce="best")

        def forward(self, question: str) -> Any:
            return self.layers(fw.sample(self.draft, n=3)(question=question))

    shown = expanded(Layered())
    assert all(line.strip() in (Layers.__doc__ or "") for line in shown.splitlines())
    with pytest.raises(AssertionError):
        check_expansion(Layered())  # the example is of the class, not of the program


@pytest.mark.parametrize(
    ("reduce", "answer"),
    [("vote", 5), ("best", 7), ("first", 5), ("mbr", 5)],
)
def test_the_reducer_that_is_named_ends_them(reduce: str, answer: int) -> None:
    # The judge is surest of the one 7; two of three say 5.
    def weigh(prompt: str, choices: tuple[str, ...]) -> list[float]:
        return [0.5, 0.5] if "7" in prompt else [0.3, 0.7]

    program = layered(steps=(fw.Verifier(Solve),), reduce=reduce)
    run = ready(program, lambda prompt, index: "575"[index], scores=weigh).run(**Q)
    assert run.result.fields["answer"] == answer


def test_each_step_takes_what_the_one_before_gave() -> None:
    steps = (fw.Critique(Solve, max_tokens=16), fw.Ranker(Solve, top=2), fw.Fuser(Solve, max_tokens=16))
    pipeline = ready(layered(steps=steps), lambda prompt, index: '{"best": [1]}' if "Rank" in prompt else "7")
    ops = [node.name for node in pipeline.plan.graph.nodes]
    places = [next(i for i, name in enumerate(ops) if word in name) for word in ("Critique", "Ranker", "Fuser")]
    assert places == sorted(places)
    run = pipeline.run(**Q)
    assert run.result.fields["answer"] == 7 and run.trace.flops <= pipeline.plan.bound


def test_what_gives_a_record_ends_them_without_a_reducer() -> None:
    graph = expanded(layered(steps=(fw.Fuser(Solve),)))
    assert "majority" not in graph


def test_a_step_that_takes_no_records_is_refused() -> None:
    with pytest.raises(InputError, match="Predict takes its inputs by name"):
        expanded(layered(steps=(fw.Fuser(Solve), fw.Predict(Solve))))


def test_a_reducer_is_one_of_those_there_are() -> None:
    with pytest.raises(SignatureError, match=r"reduce must be one of .*'vote', 'best', 'mbr', 'first'.*'most'"):
        Layers(Solve, reduce="most")


def test_an_open_layer_is_called_like_its_module_and_a_choice_among_several_choice() -> None:
    ordered = fw.choice(fw.Ranker(Solve, top=2), fw.Ranker(Solve, top=2, style="pairs", name="pairs"))
    steps = (fw.optional(fw.Critique(Solve)), fw.optional(fw.Critique(Solve, name="again")), fw.optional(ordered))
    chosen = {v.name: v.domain for v in open_values(trace(layered(steps=steps)))}
    assert chosen["layers.Critique"] == Categorical(("off", "Critique"))
    assert chosen["layers.again"] == Categorical(("off", "again"))
    assert chosen["layers.choice"] == Categorical(("off", "choice"))
    assert chosen["layers.choice.choice"] == Categorical(("Ranker", "pairs"))
