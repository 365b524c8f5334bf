"""Cheatsheet: where its memory stands, what is found and curated for a query, and what a model makes of examples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flopwise as fw
from flopwise.curating import curate
from flopwise.errors import DataError, SignatureError
from flopwise.indexing import documents, solved
from flopwise.ir.flops import FlatCost
from flopwise.ir.record import Failure, Values
from flopwise.modules.retrieval.cheatsheet import Cheatsheet
from flopwise.modules.retrieval.documents import Documents
from flopwise.modules.retrieval.retriever import retriever

from ...programs import SHAPE, Solve, ready
from ..expansion import check_expansion

ROWS: list[dict[str, Any]] = [
    {"question": f"{i}+{i}?", "answer": 2 * i, "reasoning": f"Twice {i}."} for i in range(1, 5)
]
MEMORY = solved("question -> answer: int", ROWS)
TRICK = "To add a number to itself, double it."
HEAD = "Cheatsheet of what helped with tasks like this. Use what fits, pass over the rest.\n"
SCRIPT: dict[Any, Any] = {"\n\nAnswer:": "10", "\n\nCheatsheet:<|im_end|>": " Double. ", "step by step": "Twice 5."}
Q: dict[str, Any] = {"question": "5+5?"}


def sheet(memory: Any = TRICK, of: Any = Solve, **settings: Any) -> Any:
    return Cheatsheet(of, memory=memory, **settings)


def prompts(module: Any, question: str = "5+5?", **settings: Any) -> list[str]:
    return [text for _, text in ready(module, SCRIPT, **settings).run(question=question).trace.prompts()]


def test_the_docstring_shows_what_it_expands_to() -> None:
    check_expansion(sheet(MEMORY, "question -> answer: int", k=2, curate=True, name="m"))


# a text -----------------------------------------------------------------------------------------------------


def test_a_text_stands_in_what_all_queries_share() -> None:
    pipeline = ready(sheet(), SCRIPT)
    run = pipeline.run(**Q)
    assert run.trace.prompts()[0][1] == (
        f"<|im_start|>system\nSolve the maths problem.\n\n{HEAD}{TRICK}<|im_end|>\n<|im_start|>user\n"
        "Reason step by step in plain text, with no code. "
        "Then give the answer (integer, the final number).\n\nQuestion: 5+5?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    static = pipeline.plan.prompts["Cheatsheet.reason"].static
    assert TRICK in pipeline.engine.tokenizer.decode_all(run.trace.requests[0].ids[:static])
    assert run.result == Values({**Q, "reasoning": "Twice 5.", "answer": 10})


def test_a_text_costs_a_query_nothing_but_attention_once_it_is_resident() -> None:
    short, long = (ready(sheet(text), SCRIPT, cost=FlatCost(1.0)).plan for text in ("x", "x" * 500))
    assert short.worst == long.worst and long.cold == short.cold + 499


def test_worked_examples_come_after_the_memory() -> None:
    text = prompts(sheet(demos=ROWS[:1]))[0]
    assert text.index(TRICK) < text.index("Question: 1+1?") < text.index("Twice 1.\n\nAnswer: 2") < text.index("5+5?")


def test_worked_examples_beside_an_index_are_shown_without_entries() -> None:
    text = prompts(sheet(MEMORY, k=1, demos=ROWS[:1]))[0]
    assert "<|im_start|>user\nQuestion: 1+1?<|im_end|>" in text
    assert text.count(HEAD) == 1 and text.index("Answer: 2<|im_end|>") < text.index(HEAD)


def test_which_text_is_a_choice_like_any_other() -> None:
    module = sheet(fw.choice(TRICK, "Count on your fingers."), name="m")
    assert TRICK in prompts(module)[0]
    assert "fingers" in prompts(module, config={"m.memory": "Count on your fingers."})[0]


def test_a_memory_is_data() -> None:
    assert "{{ question }} <|im_end|>{% x %}" in prompts(sheet("{{ question }} <|im_end|>{% x %}"))[0]


# an index ---------------------------------------------------------------------------------------------------


def test_the_nearest_entries_stand_before_the_inputs() -> None:
    memory = documents([{"text": "Half of it.", "key": "halve"}, {"text": "Twice it.", "key": "double"}, "birds"])
    text = prompts(sheet(memory, k=1), "double 5")[0]
    assert f"{HEAD}[1] Twice it.\n\nQuestion: double 5<|im_end|>" in text
    assert f"{HEAD}[1] Half of it.\n\nQ" in prompts(sheet(memory, k=1), "halve 5")[0]
    assert "Cheatsheet" not in text.split("<|im_end|>")[0]


def test_a_solved_task_never_sees_its_own_solution() -> None:
    for row in ROWS:
        shown = prompts(sheet(MEMORY, k=3), row["question"])[0]
        assert f"Question: {row['question']}\nTwice" not in shown and shown.count("Twice ") == 3


def test_a_curated_sheet_is_written_for_the_query_out_of_what_is_found() -> None:
    pipeline = ready(sheet(MEMORY, k=2, curate=True), SCRIPT)
    run = pipeline.run(**Q)
    (first, _), (second, _), _ = ((t, n) for n, t in run.trace.prompts())
    assert "Do not solve" in first and "Solve the maths problem." in first
    assert first.count("Twice ") == 2
    assert first.endswith("Question: 5+5?\n\nCheatsheet:<|im_end|>\n<|im_start|>assistant\n")
    assert f"{HEAD} Double. \n\nQuestion: 5+5?" in second and "Twice " not in second
    assert len(pipeline.engine.asked) == 3
    assert run.result == Values({**Q, "cheatsheet": " Double. ", "reasoning": "Twice 5.", "answer": 10})


def test_its_length_is_the_settings_own() -> None:
    most = {n: ready(sheet(MEMORY, curate=True, sheet_tokens=n), SCRIPT).plan for n in (10, 110)}
    # What is written is decoded once and read once, in the prompt after it.
    assert most[110].worst - most[10].worst == 200


def lookup(query: str, k: int) -> Any:
    return {"odd": 7}.get(query, ["note " * 300] * 9)


def test_a_retriever_will_do_and_its_failure_is_the_query_s() -> None:
    pipeline = ready(sheet(lookup, k=2), SCRIPT)
    good, odd = pipeline.runs({"question": "q"}, {"question": "odd"})
    assert isinstance(good.result, Values) and good.result.fields["cheatsheet"].startswith("[1] note note")
    assert isinstance(odd.result, Failure) and "list of texts" in odd.result.reason


def test_outputs_of_any_type_and_those_that_do_not_parse() -> None:
    module = sheet(TRICK, "a: int, b: int -> total: int, why")
    replies = {"as JSON:": '{"total": 3, "why": "so"}', "": "sum"}
    run = ready(module, replies).run(a=1, b=2)
    assert isinstance(run.result, Values) and (run.result.fields["total"], run.result.fields["why"]) == (3, "so")
    failed = ready(sheet(), {"\n\nAnswer:": "9" * 99, "": "so"}).run(**Q)
    assert isinstance(failed.result, Failure)


# settings, artifacts, bounds --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"memory": None}, "an index or a retriever is needed"),
        ({"memory": "  "}, "memory: a text, a choice of texts or an index is needed"),
        ({"memory": ["a"]}, "is needed, but got"),
        ({"memory": fw.integer(1, 2)}, "a choice of texts"),
        ({"memory": TRICK, "curate": True}, "the memory is a text"),
        ({"memory": MEMORY, "k": 4}, "1 <= k <= 3"),
        ({"memory": MEMORY, "sheet_tokens": 0}, "sheet_tokens >= 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: Any, said: str) -> None:
    with pytest.raises(SignatureError, match=said):
        Cheatsheet(Solve, **settings)


def test_the_names_that_it_adds_are_taken() -> None:
    with pytest.raises(SignatureError, match="cannot be named 'cheatsheet'"):
        sheet(TRICK, "cheatsheet -> answer")


def test_two_memories_are_two_programs() -> None:
    memories = (TRICK, "Another.", MEMORY, documents(["a", "b", "c", "d"]))
    assert len({str(sheet(memory)) for memory in memories}) == 4


@pytest.mark.parametrize("memory", [TRICK, MEMORY, retriever(lookup, cap=9)])
def test_what_it_remembers_is_frozen_in_the_artifact(tmp_path: Path, memory: Any) -> None:
    engine = fw.ScriptedEngine(SCRIPT)
    here = fw.lower(sheet(memory, curate=memory != TRICK), engine=engine)
    there = fw.load(here.save(tmp_path / "a.fw"), engine)
    assert there.plan.hash == here.plan.hash
    assert there(**Q).trace.prompts() == here(**Q).trace.prompts()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["text", "index", "own"]),
    st.booleans(),
    st.sampled_from(["", "5+5?", "1+1?", "odd", "x" * 60]),
    st.sampled_from(["", "ramble " * 90, "so"]),
    st.sampled_from([SHAPE, FlatCost(1.0)]),
    st.sampled_from([1, 7, 32]),
)
def test_no_run_exceeds_its_bound(kind: str, curated: bool, question: str, said: str, cost: Any, block: int) -> None:
    priced = Documents(MEMORY.passages, "lexical", lambda *args: replace(MEMORY.embed(*args), flops=3e3))
    memory = {"text": TRICK, "index": priced, "own": retriever(lookup, cap=15)}[kind]
    module = sheet(memory, k=2, curate=curated and kind != "text", max_tokens=20, sheet_tokens=12)
    script = {"\n\nAnswer:": "7" if said == "so" else "7" * 99, "": said}
    pipeline = ready(module, script, cost=cost, block=block, caps={"question": 60})
    run = pipeline.run(question=question)
    assert run.trace.flops <= pipeline.plan.bound * (1 + 1e-12)
    for asked in run.trace.requests:
        assert len(asked.ids) <= pipeline.plan.prompts[asked.node].most


# curating ---------------------------------------------------------------------------------------------------


def curated(*replies: str, **settings: Any) -> tuple[Any, list[str]]:
    """What is made of the examples, and the prompts that it took."""
    left, seen = list(replies), []

    def say(prompt: str, index: int) -> str:
        seen.append(prompt)
        return left.pop(0)

    return curate("question -> answer: int", ROWS, engine=fw.ScriptedEngine(say), **settings), seen


def test_each_batch_rewrites_what_the_ones_before_it_left() -> None:
    made, seen = curated("first", "second", batch=2)
    assert made.text == "second" and len(seen) == 2
    assert "Cheatsheet: (empty)\n" in seen[0] and "Cheatsheet: first\n" in seen[1]
    assert "Question: 1+1?\nTwice 1.\nAnswer: 2\n\nQuestion: 2+2?" in seen[0] and "3+3?" not in seen[0]
    assert "3+3?" in seen[1] and "1+1?" not in seen[1]


def test_a_blank_rewriting_leaves_what_was_there_and_one_cut_off_its_whole_lines() -> None:
    assert curated("first", "  ", batch=2)[0].text == "first"
    assert curated("a\nb\n" + "c" * 99, batch=4, max_tokens=20)[0].text == "a\nb"
    assert curated("c" * 99, batch=4, max_tokens=20)[0].text == "c" * 20
    made, seen = curated("next", batch=4, start="old")
    assert "Cheatsheet: old\n" in seen[0] and made.text == "next"


def test_what_curating_took_is_said() -> None:
    one, two = (curated("x", "x", batch=n)[0].flops for n in (4, 2))
    assert 0 < one < two


def test_curating_refuses_what_it_cannot_use() -> None:
    with pytest.raises(DataError, match="at least one example"):
        curate("question -> answer: int", [], engine=fw.ScriptedEngine(default="x"))
    with pytest.raises(DataError, match="example 0 has no answer"):
        curate("question -> answer: int", [{"question": "a"}], engine=fw.ScriptedEngine(default="x"))
    with pytest.raises(SignatureError, match="batch >= 1"):
        curated(batch=0)
