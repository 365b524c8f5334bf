"""The fuser: what it shows of the candidates, and what it gives for texts and for typed outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.ir.record import Failure, Values
from flopwise.modules.judging.critique import Critique
from flopwise.modules.judging.fuser import Fuser
from flopwise.modules.judging.ranker import Ranker
from flopwise.modules.program import Program

from ...programs import Tell, ready
from ..expansion import check_expansion
from ..unruly import LONG, check_bound, check_round_trip

Q: dict[str, Any] = {"question": "2+2?"}
NUMBER = "question -> answer: int"


def fusing(of: Any = NUMBER, n: int = 2, module: Any = None, before: Any = None, **settings: Any) -> Program:
    """A program that fuses n samples, with something before the fuser or not."""

    class Fusing(Program):
        __doc__ = Fuser.__doc__
        draft = module or fw.Predict(of, max_tokens=20)
        between = before
        fuse = Fuser(of, max_tokens=30, **settings)

        def forward(self, question: str) -> Any:
            drafts: Any = fw.sample(self.draft, n=n)(question=question)
            return self.fuse(self.between(drafts) if self.between else drafts)

    return Fusing()


SCRIPT: dict[Any, Any] = {
    "\n\nAnswer:": "6",
    "Some candidates answer": "The first forgot one.",
    "": ["4", "5"],
}


def test_the_docstring_shows_the_expansion() -> None:
    check_expansion(fusing())


def test_typed_outputs_are_reasoned_about_then_extracted() -> None:
    run = ready(fusing(), SCRIPT).run(**Q)
    assert run.result == Values({**Q, "reasoning": "The first forgot one.", "answer": 6})
    reason, extract = run.trace.prompts()[-2:]
    assert "Question: 2+2?" in reason[1] and "Candidates:\n1.\nAnswer: 4\n2.\nAnswer: 5<" in reason[1]
    assert extract[1].startswith(reason[1] + "The first forgot one.") and len(run.trace.requests) == 4


def test_a_text_is_written_at_once() -> None:
    script = {"Some candidates answer": "A better tale.", "": ["One.", "Two."]}
    run = ready(fusing(Tell), script).run(**Q)
    assert run.result == Values({**Q, "story": "A better tale."}) and len(run.trace.requests) == 3
    assert "1.\nStory: One.\n2.\nStory: Two." in run.trace.prompts()[-1][1]


def test_reasoning_and_critiques_are_shown_where_candidates_have_them() -> None:
    critique = "1. Forgot one.\n2. Well counted."
    script = {"say in a sentence": critique, "Weigh them": "Hm.", "": ["2 and 2", "two twos"]}
    script = {"\n\nAnswer:": "4", **script}
    thoughtful = fw.ChainOfThought(NUMBER, max_tokens=20)
    run = ready(fusing(module=thoughtful, before=Critique(NUMBER, max_tokens=40)), script).run(**Q)
    (prompt,) = [text for node, text in run.trace.prompts() if node == "fuse.reason"]
    first = "1.\nAnswer: 4\nReasoning: 2 and 2\nCritique: Forgot one.\n"
    assert f"{first}2.\nAnswer: 4\nReasoning: two twos\nCritique: Well counted." in prompt
    assert isinstance(run.result, Values) and run.result.fields["reasoning"] == "Hm."
    bare = ready(fusing(module=thoughtful, shows=()), script).run(**Q)
    assert not any("Reasoning: " in text for _, text in bare.trace.prompts())


def test_it_fuses_what_a_ranker_keeps() -> None:
    script = {**{"Rank them": '{"best": [3, 1]}'}, **SCRIPT, "": ["4", "5", "7"]}
    run = ready(fusing(n=3, before=Ranker(NUMBER, top=2)), script).run(**Q)
    assert "1.\nAnswer: 7\n2.\nAnswer: 4<" in next(t for node, t in run.trace.prompts() if node == "fuse.reason")


def test_failed_candidates_are_left_out_and_without_any_it_fails() -> None:
    run = ready(fusing(n=3), {**SCRIPT, "": ["4", LONG, "5"]}).run(**Q)
    assert "1.\nAnswer: 4\n2.\nAnswer: 5<" in next(t for node, t in run.trace.prompts() if node == "fuse.reason")
    none = ready(fusing(), {**SCRIPT, "": LONG}).run(**Q)
    assert isinstance(none.result, Failure) and len(none.trace.requests) == 2


def test_an_answer_that_does_not_parse_is_a_failure() -> None:
    run = ready(fusing(), {**SCRIPT, "\n\nAnswer:": LONG}).run(**Q)
    assert isinstance(run.result, Failure) and "ran out of tokens" in run.result.reason


def test_several_outputs() -> None:
    both = "question -> answer: int, why: str"
    said = '{"answer": 4, "why": "so"}'
    run = ready(fusing(both), {"Answer as JSON:": said, "Weigh": "Hm.", "": said}).run(**Q)
    assert run.result == Values({**Q, "reasoning": "Hm.", "answer": 4, "why": "so"})
    assert "1.\nAnswer: 4\nWhy: so\n2." in run.trace.prompts()[-2][1]


@pytest.mark.parametrize("of", [NUMBER, Tell])
def test_the_bound_holds(of: Any) -> None:
    def say(prompt: str, index: int) -> str:
        return str(index)

    check_bound(fusing(of, n=3), say)
    check_bound(fusing(of, n=3, before=Critique(of, max_tokens=10)), say)


def test_an_artifact_runs_alike(tmp_path: Path) -> None:
    check_round_trip(fusing(), lambda: fw.ScriptedEngine(SCRIPT), tmp_path, **Q)
