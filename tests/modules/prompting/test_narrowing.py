"""EvidenceToGenerate and Organize: the second call sees what the first one wrote, and not what that stands for."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.prompting.evidence_to_generate import EvidenceToGenerate
from flopwise.modules.prompting.narrowing import Narrowing
from flopwise.modules.prompting.organize import Organize
from tests.modules.expansion import check_expansion
from tests.modules.hostile import check_bounds, ends_with_marker
from tests.programs import Solve, ready

BOTH: list[Any] = [EvidenceToGenerate, Organize]
OF = "context, question -> answer: int"
INPUTS = {"context": "Ann has 7 hens. Bo has a cat.", "question": "How many hens?"}
SAID = {
    re.compile("\n\nAnswer:$"): "7",
    re.compile("Do not answer yet"): "Ann has 7 hens.",
    "": "She has seven.",
}


def turns(text: str) -> list[str]:
    return re.findall(r"<\|im_start\|>user\n(.*?)<\|im_end\|>", text, re.DOTALL)


@pytest.mark.parametrize("kind", BOTH)
def test_what_it_expands_to(kind: type[Narrowing[Any]]) -> None:
    check_expansion(kind("context, question -> answer: int"))


def test_evidence_is_quoted_from_the_context_and_the_answer_comes_from_it_alone() -> None:
    run = ready(EvidenceToGenerate(OF), SAID).run(**INPUTS)
    (_, quote), (_, reason), (_, answer) = run.trace.prompts()
    assert turns(quote) == [
        "Quote from the context, word for word, all evidence that is needed to find the answer. One quote a line. "
        "Do not answer yet.\n\nContext: Ann has 7 hens. Bo has a cat.\nQuestion: How many hens?"
    ]
    assert turns(reason) == [
        "Use the evidence alone, and nothing that it does not say. Reason step by step in plain text, with no code. "
        "Then give the answer "
        "(integer).\n\nQuestion: How many hens?\nEvidence: Ann has 7 hens."
    ]
    assert "Bo has a cat" not in reason and answer == reason + "She has seven.\n\nAnswer:"
    added = {"evidence": "Ann has 7 hens.", "reasoning": "She has seven.", "answer": 7}
    assert run.result == Values({**INPUTS, **added})


def test_the_input_is_pruned_and_ordered_before_it_is_reasoned_over() -> None:
    run = ready(Organize(OF), SAID).run(**INPUTS)
    (_, organize), (_, reason), _ = run.trace.prompts()
    (told,) = turns(organize)
    keep, order = told.index("Keep only what matters"), told.index("in the order in which it will be needed")
    assert keep < order < told.index("Context: Ann")
    assert turns(reason) == [
        "Reason step by step over what is organized here, in its order, then give the answer (integer).\n\n"
        "Question: How many hens?\nOrganized: Ann has 7 hens."
    ]
    assert isinstance(run.result, Values) and run.result.fields["organized"] == "Ann has 7 hens."


@pytest.mark.parametrize("kind", BOTH)
def test_with_no_context_all_is_narrowed_and_what_is_asked_with_it(kind: type[Narrowing[Any]]) -> None:
    run = ready(kind(Solve), SAID).run(question="Ann has 7 hens and a cat. How many hens?")
    (_, first), (_, second), _ = run.trace.prompts()
    assert "Do not answer yet. Begin with what is asked" in first
    assert "and a cat" not in second and "Ann has 7 hens." in second


@pytest.mark.parametrize("kind", BOTH)
def test_which_inputs_are_narrowed_can_be_said(kind: type[Narrowing[Any]]) -> None:
    module = kind("rules, facts, context -> answer: int", context=("rules", "facts"))
    run = ready(module, SAID).run(rules="R1", facts="F1", context="C1")
    (_, first), (_, second), _ = run.trace.prompts()
    assert "the rules and facts" in first and "Begin with what is asked" not in first
    assert "Context: C1" in second and "R1" not in second and "F1" not in second


@pytest.mark.parametrize("context", ["context", ("story",), ["context"], None])
def test_a_context_that_is_no_input_is_refused(context: Any) -> None:
    with pytest.raises(SignatureError, match=r"must be a tuple of names of inputs, which are context, question"):
        Organize(OF, context=context)


@pytest.mark.parametrize("kind", BOTH)
def test_worked_examples_show_the_first_call(kind: type[Narrowing[Any]]) -> None:
    demo = {"context": "A. B.", "question": "A?", kind.narrowed: "A."}
    (_, first), (_, second), _ = ready(kind(OF, demos=[demo]), SAID).run(**INPUTS).trace.prompts()
    assert "Context: A. B.\nQuestion: A?<|im_end|>\n<|im_start|>assistant\nA.<|im_end|>" in first
    assert "A. B." not in second
    with pytest.raises(SignatureError, match=f"field '{kind.narrowed}' is missing"):
        kind(OF, demos=[{"context": "A. B.", "question": "A?"}])


def test_several_outputs_and_an_answer_that_is_cut_off() -> None:
    of = "context, question -> count: int, why: str"
    said = {**SAID, re.compile("as JSON:\n$"): '{"count": 7, "why": "It says so."}'}
    ordered = dict(reversed(said.items()))
    first = {k: v for k, v in ordered.items() if k != ""} | {"": "so"}
    good = ready(Organize(of), first).run(**INPUTS).result
    assert isinstance(good, Values) and (good.fields["count"], good.fields["why"]) == (7, "It says so.")
    cut = ready(Organize(of), {re.compile("as JSON:\n$"): '{"count": 7, "why": "' + "a" * 999, "": "so"}).run(**INPUTS)
    assert isinstance(cut.result, Failure) and "ran out of tokens" in cut.result.reason


@pytest.mark.parametrize("kind", BOTH)
def test_its_bound_holds(kind: type[Narrowing[Any]]) -> None:
    check_bounds(kind(OF, max_tokens=40), {"context": "a b c", "question": "b?"}, ends_with_marker)
