"""stack: every stack it stands for is legal, is bounded, follows the rules, and is counted."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings
from flopwise.compiler.stages import complete
from flopwise.errors import SignatureError
from flopwise.modules.program import trace
from flopwise.modules.stacks.stack import stack
from flopwise.optimizers.space import Space
from tests.programs import SHAPE, UNIT, Solve, Tell, ready

Q = {"question": "2+2?"}
SIGNATURES = (Solve, Tell, "question -> answer: int, why")


def small(of: Any) -> Any:
    """The default stack with few candidates."""
    return stack(of, most=3)


def structures(module: Any) -> list[dict[str, Any]]:
    return list(Space(trace(module)).structures())


@pytest.mark.parametrize("of", SIGNATURES, ids=str)
def test_as_many_legal_stacks_as_it_says(of: Any) -> None:
    made = small(of)
    assert len(structures(made)) == made.structures >= 90
    assert f"{made.structures} legal stacks of up to 3 candidates" in str(made)


LONG = {True: '{"answer": 7, "why": "' + "so " * 3000, False: "9" * 9000}
SHORT = {True: '{"answer": 7, "why": "so"}', False: "7"}


def saying(structured: bool) -> Any:
    """A script that holds to what is asked for, and in a third of all cases runs on until it is cut."""

    def say(prompt: str, index: int) -> str:
        if "Rank them by how good" in prompt:
            return '{"best": [1]}' if "2 best" in prompt else "1"
        if "most consistent" in prompt:
            return "1"
        long = zlib.crc32(f"{index}{prompt}".encode()) % 3 == 0
        return (LONG if long else SHORT)[structured]

    return say


@pytest.mark.parametrize("of", SIGNATURES, ids=str)
def test_every_stack_passes_the_spec_and_keeps_its_bound(of: Any) -> None:
    made = small(of)
    graph = trace(made)
    for structure in structures(made):
        config = complete(graph, {**structure, "Stack.n": 3})
        pipeline = ready(made, saying(isinstance(of, str)), config, cost=SHAPE, block=16)
        run = pipeline.run(**Q)
        assert 0 < run.trace.flops <= pipeline.plan.bound * (1 + 1e-12), structure


def test_the_preset_is_one_greedy_draft() -> None:
    pipeline = ready(stack(Solve), "7")
    assert len(pipeline.engine.asked) == 0
    run = pipeline.run(**Q)
    assert run.result.fields["answer"] == 7 and len(run.trace.requests) == 1


def test_a_vote_may_end_the_drafting_and_a_judge_needs_all_of_it() -> None:
    def drawn(layers: str) -> int:
        pipeline = ready(stack(Solve), "7", {"Stack.n": 16, "Stack.layers": layers})
        pipeline.run(**Q)
        return sum(r.n for r in pipeline.engine.asked if hasattr(r, "n"))

    assert drawn("vote") == 8 and drawn("mbr") == 16


def test_a_critique_stands_before_a_ranker_or_a_fuser_and_nowhere_else() -> None:
    domains = {name: var.domain for name, var in Space(trace(stack(Solve))).variables.items()}
    critics = {name for name, domain in domains.items() if getattr(domain, "labels", ()) == ("off", "Critique")}
    assert {name.split(".")[2] for name in critics} == {"ranked", "fused", "ranked_fused"}


def test_free_texts_are_compared_by_likeness_first() -> None:
    assert structures(stack(Tell))[0]["Stack.layers"] == "mbr"
    assert structures(stack(Solve))[0]["Stack.layers"] == "vote"
    assert not any("ProgramOfThought" in s["Stack.draft"] for s in structures(stack(Tell)))


def test_generators_of_the_users_own() -> None:
    made = stack(Solve, generators=[fw.cascade(fw.Predict(Solve), fw.ChainOfThought(Solve), threshold=0.5,
                                               confidence="verifier")])  # fmt: skip
    run = ready(made, "7", scores=lambda p, c: [0.9, 0.1]).run(**Q)
    assert run.result.fields["answer"] == 7
    with pytest.raises(SignatureError, match="is of another signature"):
        stack(Solve, generators=[fw.Predict(Tell)])
    with pytest.raises(SignatureError, match="`most >= 2`"):
        stack(Solve, most=1)


def test_a_search_over_it_ends_with_a_pipeline() -> None:
    rows = [{"question": f"{i}+0?", "answer": i} for i in range(12)]
    engine = fw.ScriptedEngine(default="7", settings=ScriptedSettings(cost=UNIT))
    found = fw.compile(
        stack(Solve, most=4), dev=rows, metric="exact:answer", engine=engine, budget=fw.Budget(search=1e6),
        limits=fw.Limits(configs=4), progress=False,
    )  # fmt: skip
    assert found(question="7+0?").answer == 7
