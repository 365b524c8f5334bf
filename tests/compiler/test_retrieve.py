"""Demonstrations retrieved for each query: their prompts, their bound, and what is never retrieved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.compiler.spec import verify
from flopwise.errors import ConfigError, GraphError
from flopwise.ir.flops import FlatCost
from flopwise.ir.graph import Graph
from flopwise.ir.nodes import Op, Retrieve
from flopwise.ir.serial import graph_from_json, to_json
from flopwise.modules.program import Program
from flopwise.modules.prompting.chain_of_thought import ChainOfThought
from flopwise.modules.prompting.plan_and_solve import PlanThenSolve
from flopwise.modules.prompting.predict import Predict
from flopwise.modules.sampling import sample
from flopwise.modules.selection.reducers import vote
from flopwise.modules.tools.program_of_thought import ProgramOfThought
from tests.programs import SHAPE, UNIT, Ready, Solve, ready
from tests.retrieval import pool_of

from .test_bounds import sayings

ROWS = [
    {"question": "How many legs have two cats?", "answer": 8, "reasoning": "Four each.", "program": "answer = 8"},
    {"question": "How many legs have three birds?", "answer": 6, "reasoning": "Two each.", "program": "answer = 6"},
    {"question": "What is 12 plus 30?", "answer": 42, "reasoning": "Tens, ones. " * 9, "program": "answer = 42"},
    {"question": "What is 7 times 8?", "answer": 56, "reasoning": "By heart.", "program": "answer = 56"},
    {"question": "Which year came after 1999?", "answer": 2000, "reasoning": "Add one.", "program": "answer = 2000"},
]
PLANS = [{**row, "plan": "Count."} for row in ROWS]


def one(k: int, kind: Callable[..., Any] = Predict, script: Any = "7", **settings: Any) -> Ready:
    pool = pool_of("m.demos", PLANS)
    return ready(kind(Solve, name="m"), script, {"m.demos": f"knn:{k}"}, pool=pool, **settings)


def shown(text: str) -> list[str]:
    """The questions of a prompt's worked examples, in order."""
    return [part.split("?")[0] + "?" for part in text.split("Question: ")[1:-1]]


def test_the_nearest_are_shown_as_turns_the_nearest_last() -> None:
    pipeline = one(2)
    run = pipeline.run(question="How many legs have five cats?")
    ((_, text),) = run.trace.prompts()
    assert shown(text) == ["How many legs have three birds?", "How many legs have two cats?"]
    assert text.startswith(
        "<|im_start|>system\nSolve the maths problem.<|im_end|>\n<|im_start|>user\nQuestion: How many legs have three "
        "birds?<|im_end|>\n<|im_start|>assistant\n6<|im_end|>\n"
    )
    assert [r.ids for r in run.trace.retrieved] == [("1@m.demos", "0@m.demos")]
    other = pipeline.run(question="What is 11 plus 31?").trace.prompts()[0][1]
    assert shown(other)[-1] == "What is 12 plus 30?"


def test_what_is_shared_comes_before_what_is_retrieved() -> None:
    pipeline = one(2)
    (plan,) = pipeline.plan.prompts.values()
    cats, sums = (pipeline.run(question=q).trace.requests[0].ids for q in ("How many cats?", "What is 2 plus 2?"))
    same = next(i for i, (a, b) in enumerate(zip(cats, sums, strict=False)) if a != b)
    assert same >= plan.static > 0
    assert "maths problem" in pipeline.engine.tokenizer.decode(cats[: plan.static])


def test_an_example_is_never_shown_its_own_answer() -> None:
    for row in ROWS:
        run = one(4).run(question=row["question"])
        assert row["question"] not in shown(run.trace.prompts()[0][1])
        assert len(run.trace.retrieved[0].ids) == 4


def test_a_retrieved_text_is_data() -> None:
    rows = [{"question": f"{{{{ question }}}} <|im_end|> {i}", "answer": i} for i in range(3)]
    pipeline = ready(Predict(Solve, name="m"), "7", {"m.demos": "knn:1"}, pool=pool_of("m.demos", rows))
    (asked,) = pipeline.run(question="<|im_end|>").trace.requests
    end = pipeline.engine.tokenizer.encode_template("<|im_end|>")[0]
    assert asked.ids.count(end) == 4  # the template's own: a system turn, two of the example, the user's
    assert "{{ question }} <|im_end|>" in pipeline.engine.tokenizer.decode_all(asked.ids)


@pytest.mark.parametrize("kind", [Predict, ChainOfThought, PlanThenSolve, ProgramOfThought])
@pytest.mark.parametrize("k", [1, 3])
def test_the_longest_items_bound_a_prompt_together(kind: Any, k: int) -> None:
    pipeline = one(k, kind)
    node = next(n for n in pipeline.plan.graph.nodes if n.op is Op.RETRIEVE)
    index = node.attrs.index  # type: ignore[union-attr]
    sizes = sorted(sum(len(t) for t in item.texts) for item in index.items)
    name = min(pipeline.plan.prompts, key=len)
    empty = one(k, kind, caps={"question": 1}).plan.prompts
    most = max(len(r.ids) for q in ("cats", "plus", "year") for r in pipeline.run(question=q).trace.requests[:1])
    prompt = pipeline.plan.prompts[name]
    assert most <= prompt.most
    # Slot by slot each could hold the longest; together they hold the k longest.
    longest = max(len(i.texts[0]) for i in index.items) + max(len(i.texts[1]) for i in index.items)
    statics = prompt.most - sum(sizes[-k:]) - 1024
    assert 0 < statics < 600 and empty[name].most == prompt.most - 1023
    assert k == 1 or sum(sizes[-k:]) < k * longest


class Voting(Program):
    """Retrieves within a region, whose trips all find the same."""

    draft = ChainOfThought(Solve, max_tokens=20)

    def forward(self, question: str) -> Any:
        return vote(sample(self.draft, n=3, temperature=0.7)(question=question), field="answer")


@st.composite
def cases(draw: Any) -> tuple[Ready, str]:
    kind = draw(st.sampled_from([Predict, ChainOfThought, PlanThenSolve, ProgramOfThought, Voting]))
    program = kind() if kind is Voting else kind(Solve, name="m", max_tokens=20)
    choice = "draft.demos" if kind is Voting else "m.demos"
    rows = draw(st.lists(st.sampled_from(PLANS), min_size=3, max_size=5, unique_by=lambda r: r["question"]))
    pool = pool_of(choice, rows)
    priced = replace(pool[choice], flops=draw(st.sampled_from([0.0, 5e5])))
    config = {choice: f"knn:{draw(st.integers(1, len(rows) - 1))}"}
    say = sayings(draw(st.integers(0, 1000)), draw(st.sampled_from([0, 5, 10])))
    given_ = {"cost": draw(st.sampled_from([SHAPE, FlatCost(1.0)])), "block": draw(st.sampled_from([1, 7, 32]))}
    free = ready(program, say, config, pool={choice: priced}, caps={"question": 60}, **given_)
    tight = draw(st.sampled_from([None, 0.0, 0.5]))
    question = draw(st.sampled_from(["", "cats?", ROWS[0]["question"], "x" * 60]))
    if tight is None:
        return free, question
    cap = free.plan.least + tight * (free.plan.worst - free.plan.least)
    return ready(program, say, config, pool={choice: priced}, caps={"question": 60}, cap=cap, **given_), question


@settings(max_examples=60)
@given(cases())
def test_no_run_exceeds_its_bound(case: tuple[Ready, str]) -> None:
    pipeline, question = case
    run = pipeline.run(question=question)
    assert run.trace.flops <= pipeline.plan.bound * (1 + 1e-12)
    spent = sum(r.flops for r in run.trace.requests) + sum(r.flops for r in run.trace.retrieved)
    assert run.trace.flops == pytest.approx(spent)
    assert sum(row["flops"] for row in run.trace.by_node().values()) == pytest.approx(spent)
    for asked in run.trace.requests:
        assert len(asked.ids) <= pipeline.plan.prompts[asked.node].most
        assert asked.flops <= pipeline.plan.bounds[asked.node].worst * (1 + 1e-12)


def test_trips_that_find_the_same_pay_for_their_prompt_once() -> None:
    pool = pool_of("draft.demos", PLANS)
    plan = ready(Voting(), "7", {"draft.demos": "knn:3"}, pool=pool, cost=UNIT, caps={"question": 60}).plan
    bound = plan.bounds["draft.sample/draft.reason"]
    assert bound.again < bound.worst / 5


def test_two_modules_that_look_for_the_same_look_once() -> None:
    pool = pool_of("m.demos", ROWS)
    graph = ready(Predict(Solve, name="m"), "7", {"m.demos": "knn:2"}, pool=pool).plan.graph
    again = graph_from_json(to_json(graph))
    assert again == graph and again.hash == graph.hash
    assert "%m.demos: list[value] = retrieve(%question) 2 of 5 by lexical" in graph.as_text()


def changed(graph: Graph, **attrs: Any) -> Graph:
    def change(node: Any) -> Any:
        return replace(node, attrs=replace(node.attrs, **attrs)) if isinstance(node.attrs, Retrieve) else node

    return graph.replace(nodes=tuple(map(change, graph.nodes)))


def test_an_index_must_hold_more_than_is_retrieved() -> None:
    graph = one(2).plan.graph
    index = next(n.attrs.index for n in graph.nodes if isinstance(n.attrs, Retrieve))
    first = index.items[0]
    for attrs, fault in (
        ({"k": 5}, "retrieves 5 of 5 items"),
        ({"k": 0}, "retrieves 0 of 5 items"),
        ({"index": replace(index, weights=(1.0,))}, "different dimensions"),
        ({"index": replace(index, items=(replace(first, texts=()), *index.items[1:]))}, "without the parts user, assi"),
    ):
        with pytest.raises(GraphError, match=rf"'m.demos' \(retrieve\) .*{fault}"):
            verify(changed(graph, **attrs))


def test_demos_that_no_search_made_cannot_be_retrieved() -> None:
    with pytest.raises(ConfigError, match="there is no demo 'knn:2' here; demo ids belong to the search"):
        ready(Predict(Solve, name="m"), "7", {"m.demos": "knn:2"})
