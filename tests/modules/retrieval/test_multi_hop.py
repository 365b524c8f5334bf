"""MultiHop: what each hop asks, finds and says, when the hops end, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flopwise as fw
from flopwise.backends.runtime.executor import Run
from flopwise.errors import SignatureError
from flopwise.indexing import documents
from flopwise.ir.flops import FlatCost
from flopwise.ir.record import Failure, Values
from flopwise.ir.request import GenerateRequest
from flopwise.modules.retrieval.documents import Documents
from flopwise.modules.retrieval.multi_hop import MultiHop
from flopwise.modules.retrieval.retriever import retriever

from ...programs import SHAPE, Ready, Solve, ready
from ...retrieval import pool_of
from ..expansion import check_expansion

TEXTS = ["Ada has two cats.", "Bob is the father of Ada.", "Cleo keeps three birds."]
DOCS = documents(TEXTS)
Q: dict[str, Any] = {"question": "How many cats has the daughter of Bob?"}
HOP = ("false", " Who is Bob the father of?", " Of Ada.")


def hopping(of: Any = Solve, source: Any = DOCS, k: Any = 1, rounds: Any = 2, **settings: Any) -> Any:
    return MultiHop(of, documents=source, k=k, rounds=rounds, **settings)


def saying(*replies: str) -> Callable[[str, int], str]:
    """One reply after the other."""
    left: Iterable[str] = iter(replies)
    return lambda prompt, index: next(left)  # type: ignore[call-overload]


def ran(*replies: str, **settings: Any) -> tuple[Ready, Run]:
    pipeline = ready(hopping(**settings), saying(*replies))
    return pipeline, pipeline.run(**Q)


def turn(run: Run) -> str:
    """The model's turn before the outputs, passages included."""
    return run.trace.prompts()[-1][1].rsplit("<|im_start|>assistant\n", 1)[1]


def test_the_docstring_shows_what_it_expands_to() -> None:
    check_expansion(hopping("question -> answer: int", k=2, name="m"))


# the algorithm ----------------------------------------------------------------------------------------------


def test_each_hop_asks_finds_by_what_it_asked_and_answers_until_the_model_has_enough() -> None:
    _, run = ran(*HOP, "false", " How many cats has Ada?", " Two.", "true", "2")
    assert isinstance(run.result, Values)
    assert turn(run) == (
        "Enough:false\nFollow up: Who is Bob the father of?\n"
        "Passages:\n[1] Bob is the father of Ada.\nIntermediate answer: Of Ada.\n"
        "Enough:false\nFollow up: How many cats has Ada?\n"
        "Passages:\n[1] Ada has two cats.\nIntermediate answer: Two.\nEnough:true\nAnswer:"
    )
    assert [r.ids for r in run.trace.retrieved][1:] == [("1",), ("0",)]
    assert run.result.fields == {
        **Q,
        "passages": f"[1] {TEXTS[int(run.trace.retrieved[0].ids[0])]}",
        "reasoning": "Enough: false\nFollow up: Who is Bob the father of?\nIntermediate answer: Of Ada.\n"
        "Enough: false\nFollow up: How many cats has Ada?\nIntermediate answer: Two.\n",
        "answer": 2,
    }


def test_the_first_prompt_has_the_rules_the_passages_and_the_question_in_this_order() -> None:
    _, run = ran("true", "2")
    first = run.trace.prompts()[0][1]
    places = [
        first.index(part)
        for part in ("maths problem", "Follow up:", "Answer: the answer", "Passages:\n[1]", Q["question"])
    ]
    assert places == sorted(places) and first.endswith("<|im_start|>assistant\nEnough:")


@pytest.mark.parametrize(
    ("replies", "calls"),
    [(("true", "2"), 2), ((*HOP, "true", "2"), 5), ((*HOP, *HOP, "false", "2"), 8)],
)
def test_the_calls_are_counted_and_the_rounds_are_bounded(replies: tuple[str, ...], calls: int) -> None:
    pipeline, run = ran(*replies)
    assert len(pipeline.engine.asked) == calls == len(run.trace.requests)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 2
    assert len(run.trace.retrieved) == 1 + (calls - 2) // 3


def test_all_of_it_is_one_conversation_read_from_the_cache() -> None:
    pipeline, run = ran(*HOP, "true", "2")
    ids = [r.ids for r in pipeline.engine.asked]
    assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(ids))
    assert all(r.cached >= len(earlier) for r, earlier in zip(run.trace.requests[1:], ids, strict=False))


def test_a_decision_is_held_to_its_type_and_greedy() -> None:
    pipeline = ready(hopping(temperature=0.7), saying(*HOP, "true", "2"))
    pipeline.run(**Q)
    asked = [r for r in pipeline.engine.asked if isinstance(r, GenerateRequest)]
    decided = [r for r in asked if r.grammar is not None and "true" in r.grammar.text]
    assert len(decided) == 2 and {r.decoding.temperature for r in decided} == {0.0}
    assert {r.decoding.temperature for r in asked if r not in decided} == {0.7}


@pytest.mark.parametrize(("replies", "hops"), [(("no idea " * 9, "2"), 0), ((*HOP, "no idea " * 9, "2"), 1)])
def test_a_decision_that_cannot_be_read_ends_the_rounds(replies: tuple[str, ...], hops: int) -> None:
    _, run = ran(*replies, rounds=3)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 2
    assert run.result.fields["reasoning"].count("Follow up:") == hops == turn(run).count("Follow up:")
    assert [f.node.rsplit(".", 1)[-1].rsplit("/", 1)[-1] for f in run.trace.failures] == ["said"]


def test_outputs_that_do_not_parse_are_a_failure() -> None:
    _, run = ran("true", "9" * 99)
    assert isinstance(run.result, Failure)


def test_outputs_of_any_type() -> None:
    _, run = ran("true", '{"answer": 3, "why": "so"}', of="question -> answer: int, why")
    assert isinstance(run.result, Values) and (run.result.fields["answer"], run.result.fields["why"]) == (3, "so")
    assert turn(run).endswith("Enough:true\nAnswer as JSON:\n")
    _, run = ran("true", " Two cats. ", of="question -> reply")
    assert isinstance(run.result, Values) and run.result.fields["reply"] == "Two cats."


def test_several_inputs_are_one_query_and_all_are_shown() -> None:
    pipeline = ready(hopping("who, what -> n: int"), saying("true", "2"))
    run = pipeline.run(who="Cleo keeps", what="birds")
    assert run.trace.retrieved[0].ids == ("2",)
    assert "Who: Cleo keeps\nWhat: birds<|im_end|>" in run.trace.prompts()[0][1]


# passages, examples, rounds ---------------------------------------------------------------------------------


def test_without_rounds_it_is_drag_one_call_after_one_search() -> None:
    pipeline, run = ran("2", rounds=0, k=2)
    assert len(pipeline.engine.asked) == len(run.trace.retrieved) == 1
    text = run.trace.prompts()[0][1]
    assert "Follow up" not in text and "Enough" not in text and text.endswith("<|im_start|>assistant\nAnswer:")
    assert text.count("\n[1] ") == text.count("\n[2] ") == 1


def test_rounds_passages_and_examples_are_choices() -> None:
    module = hopping(k=fw.integer(1, 2), rounds=fw.integer(0, 3), demos=fw.demos(2), name="m")
    names = {v.name for v in module.named("m").open()}
    assert names == {"m.k", "m.rounds", "m.demos"}
    for rounds in (0, 3):
        pipeline = ready(module, saying(*["true"][:rounds], "2"), {"m.rounds": rounds, "m.k": 2})
        run = pipeline.run(**Q)
        assert len(run.trace.requests) == (2 if rounds else 1) and len(run.trace.retrieved[0].ids) == 2


SHOWN = {
    "question": "Has Cleo birds?", "answer": 1, "passages": "[1] Cleo keeps three birds.",
    "reasoning": "Enough: false\nFollow up: Who is Cleo?\nIntermediate answer: A keeper.\n",
}  # fmt: skip


@pytest.mark.parametrize(("rounds", "said"), [(2, f"{SHOWN['reasoning']}Enough: true\nAnswer: 1"), (0, "Answer: 1")])
def test_an_example_shows_its_passages_and_its_chain(rounds: int, said: str) -> None:
    pipeline = ready(hopping(rounds=rounds, demos=[SHOWN]), saying(*["true"][:rounds], "2"))
    text = pipeline.run(**Q).trace.prompts()[0][1]
    asked = f"Passages:\n{SHOWN['passages']}\n\nQuestion: Has Cleo birds?"
    assert f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n{said}<|im_end|>" in text


def test_an_example_may_lack_passages_but_not_its_chain() -> None:
    bare = {name: value for name, value in SHOWN.items() if name != "passages"}
    text = ready(hopping(demos=[bare]), saying("true", "2")).run(**Q).trace.prompts()[0][1]
    assert "<|im_start|>user\nQuestion: Has Cleo birds?<|im_end|>" in text
    with pytest.raises(SignatureError, match="'reasoning' is missing"):
        hopping(demos=[{"question": "a", "answer": 1}])


def test_a_record_it_made_is_an_example_of_how_it_goes() -> None:
    _, run = ran(*HOP, "true", "2")
    assert isinstance(run.result, Values)
    text = ready(hopping(demos=[run.result.fields]), saying("true", "2")).run(**Q).trace.prompts()[0][1]
    shown = text.split("<|im_start|>assistant\n")[1].split("<|im_end|>")[0]
    assert shown == f"{run.result.fields['reasoning']}Enough: true\nAnswer: 2"


def test_examples_that_are_retrieved_are_looked_for_by_the_inputs_alone() -> None:
    rows = [{**SHOWN, "question": f"{name} birds?"} for name in ("Ada", "Bob", "Cleo")]
    pool = pool_of("m.demos", rows)
    pipeline = ready(hopping(name="m"), saying("true", "2"), {"m.demos": "knn:1"}, pool=pool)
    run = pipeline.run(question="Bob birds?")  # its own example, which is passed over where the query is the input
    assert next(r.ids for r in run.trace.retrieved if r.node == "m.demos") != ("1@m.demos",)
    assert "Question: Bob birds?" not in run.trace.prompts()[0][1].split("<|im_start|>assistant")[0]


@pytest.mark.parametrize("value", [-1, "2", True, None, 1.5])
def test_rounds_that_are_none_are_refused(value: Any) -> None:
    with pytest.raises(SignatureError, match="MultiHop: a whole number `rounds >= 0` is needed"):
        hopping(rounds=value)


def test_the_names_that_it_adds_are_taken() -> None:
    with pytest.raises(SignatureError, match="cannot be named 'passages'"):
        hopping("passages -> answer")


# a retriever of the user's own, artifacts, bounds -----------------------------------------------------------


def lookup(query: str, k: int) -> Any:
    return {"Fail?": 7, "Long?": ["word " * 400] * 9}.get(query, [f"{query} yes"])


def test_a_user_s_retriever_is_asked_each_follow_up() -> None:
    _, run = ran(*HOP, "true", "2", source=lookup)
    assert "Passages:\n[1] Who is Bob the father of? yes\n" in turn(run)


def test_a_hop_whose_search_fails_leaves_what_was_known_before() -> None:
    _, run = ran("false", "Fail?", "2", source=lookup, rounds=3)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 2
    assert turn(run) == "Enough:false\nAnswer:" and run.result.fields["reasoning"] == ""


@pytest.mark.parametrize("source", [DOCS, retriever(lookup, cap=9)])
def test_an_artifact_goes_on_the_same(tmp_path: Path, source: Any) -> None:
    def engine() -> fw.ScriptedEngine:
        return fw.ScriptedEngine(saying(*HOP, "true", "2"))

    here = fw.lower(hopping(source=source), engine=engine())
    there = fw.load(here.save(tmp_path / "a.fw"), engine())
    assert there.plan.hash == here.plan.hash
    assert here(**Q).trace.prompts() == there(**Q).trace.prompts()


SAID = ("true", "false", "", "ramble " * 90, "Fail?", "Long?", " 7", "\n")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["true", "false", "", "ramble " * 90, "Fail?", "Long?", " 7", "\n"]), min_size=1, max_size=9
    ),
    st.sampled_from(["docs", "priced", "own"]),
    st.integers(0, 3),
    st.sampled_from([SHAPE, FlatCost(1.0)]),
    st.sampled_from([1, 7, 32]),
    st.sampled_from([None, 0.0, 0.5]),
)
def test_no_run_exceeds_its_bound(
    said: list[str], kind: str, rounds: int, cost: Any, block: int, tight: float | None
) -> None:
    priced = Documents(DOCS.passages, "lexical", lambda *args: replace(DOCS.embed(*args), flops=2e3))
    source = {"docs": DOCS, "priced": priced, "own": retriever(lookup, cap=12)}[kind]
    turns = iter(said * 99)

    def say(prompt: str, index: int) -> str:
        word = next(turns)
        if prompt.endswith("Enough:"):
            return word if word in ("true", "false") else "ramble " * 9
        return "7" if prompt.endswith("Answer:") else word

    module = hopping(source=source, k=2, rounds=rounds, max_tokens=12)
    given_: dict[str, Any] = {"cost": cost, "block": block, "caps": {"question": 60}}
    free = ready(module, say, **given_)
    if tight is not None:
        cap = free.plan.least + tight * (free.plan.worst - free.plan.least)
        free = ready(module, say, cap=cap, **given_)
    run = free.run(**Q)
    assert run.trace.flops <= free.plan.bound * (1 + 1e-12)
    for asked in run.trace.requests:
        assert len(asked.ids) <= free.plan.prompts[asked.node].most
