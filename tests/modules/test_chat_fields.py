"""ChatPredict and ChatThought: the layout to the letter, one held output after another, and what cannot be laid out."""

from __future__ import annotations

from typing import Any, Literal

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.ir.request import GenerateRequest
from flopwise.modules.chat_fields import ChatPredict, ChatThought
from flopwise.modules.chat_words import LACKING, PARTLY
from flopwise.modules.worked import Demo

from ..programs import SHAPE, Ready, ready
from .expansion import check_expansion

Q: dict[str, Any] = {"question": "2+2?"}


class Sort(fw.Signature):
    """Say what it is.

    Be exact."""

    question: str = fw.Input(desc="what is asked")
    hints: list[str] = fw.Input()
    kind: Literal["a", "b c"] = fw.Output()
    n: int = fw.Output(desc="how many")
    why: str = fw.Output()


SYSTEM = """\
Your input fields are:
1. `question` (str): what is asked
2. `hints` (list[str]):
Your output fields are:
1. `kind` (Literal['a', 'b c']):\x20
2. `n` (int): how many
3. `why` (str):
All interactions will be structured in the following way, with the appropriate values filled in.

[[ ## question ## ]]
{question}

[[ ## hints ## ]]
{hints}

[[ ## kind ## ]]
{kind}        # note: the value you produce must exactly match (no extra characters) one of: a; b c

[[ ## n ## ]]
{n}        # note: the value you produce must be a single int value

[[ ## why ## ]]
{why}

[[ ## completed ## ]]
In adhering to this structure, your objective is:\x20
        Say what it is.
       \x20
        Be exact."""
REQUEST = (
    "Respond with the corresponding output fields, starting with the field `[[ ## kind ## ]]` (must be formatted as a "
    "valid Python Literal['a', 'b c']), then `[[ ## n ## ]]` (must be formatted as a valid Python int), then "
    "`[[ ## why ## ]]`, and then ending with the marker for `[[ ## completed ## ]]`."
)


def asked(pipeline: Ready) -> list[str]:
    """The texts of the requests so far."""
    requests = [r for r in pipeline.engine.asked if isinstance(r, GenerateRequest)]
    return [pipeline.engine.tokenizer.decode_all(r.ids) for r in requests]


def by_marker(prompt: str, index: int, **replies: str) -> str:
    """What is said after the last marker."""
    return replies[prompt.rsplit("[[ ## ", 1)[1].split(" ", 1)[0]]


def saying(**replies: str) -> Any:
    return lambda prompt, index: by_marker(prompt, index, **replies)


@pytest.mark.parametrize("module", [ChatPredict, ChatThought])
def test_it_expands_as_it_says(module: Any) -> None:
    check_expansion(module("question -> answer: int"))


def test_the_turns_are_dspys_to_the_letter() -> None:
    demos = (
        Demo("p", {"question": "q1", "kind": "a"}),
        Demo("w", {"question": "q2 ", "hints": ["é", "x"], "kind": "b c", "n": 3, "why": "so "}),
    )
    pipeline = ready(ChatPredict(Sort, demos=demos), saying(kind="a", n="4", why="because"))
    pipeline.run(question="Q?", hints=["h"])
    turns = [SYSTEM, f"{PARTLY}\n\n[[ ## question ## ]]\nq1"]
    missing = LACKING.strip()
    turns.append(
        f"[[ ## kind ## ]]\na\n\n[[ ## n ## ]]\n{LACKING}\n\n[[ ## why ## ]]\n{missing}\n\n[[ ## completed ## ]]\n"
    )
    turns.append('[[ ## question ## ]]\nq2 \n\n[[ ## hints ## ]]\n["é", "x"]')
    turns.append("[[ ## kind ## ]]\nb c\n\n[[ ## n ## ]]\n3\n\n[[ ## why ## ]]\nso\n\n[[ ## completed ## ]]\n")
    turns.append(f'[[ ## question ## ]]\nQ?\n\n[[ ## hints ## ]]\n["h"]\n\n{REQUEST}')
    text, at = asked(pipeline)[0], 0
    for turn in turns:
        at = text.index(turn, at) + len(turn)
    assert text.endswith("[[ ## kind ## ]]\n")


def test_outputs_follow_one_another_in_one_turn() -> None:
    pipeline = ready(ChatPredict(Sort), saying(kind="b c", n="4", why=" because "))
    run = pipeline.run(question="Q?", hints=[])
    first, second, third = asked(pipeline)
    assert second == f"{first}b c\n\n[[ ## n ## ]]\n" and third == f"{second}4\n\n[[ ## why ## ]]\n"
    assert isinstance(run.result, Values)
    assert run.result.fields == {"question": "Q?", "hints": [], "kind": "b c", "n": 4, "why": "because"}


def test_a_text_ends_at_the_next_marker() -> None:
    reply = "So 4.\n\n[[ ## answer ## ]]\n4\n\n[[ ## completed ## ]]"
    pipeline = ready(ChatThought("question -> answer: int"), saying(reasoning=reply, answer="4"))
    run = pipeline.run(**Q)
    assert isinstance(run.result, Values)
    assert run.result.fields == {"question": "2+2?", "reasoning": "So 4.", "answer": 4}
    assert asked(pipeline)[1].endswith("[[ ## reasoning ## ]]\nSo 4.\n\n[[ ## answer ## ]]\n")
    assert "1. `reasoning` (str): \n2. `answer` (int):\n" in asked(pipeline)[0]


def test_truth_values_are_pythons_words() -> None:
    pipeline = ready(ChatPredict("question -> ok: bool"), saying(ok="True"))
    run = pipeline.run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["ok"] is True
    assert "must be True or False" in asked(pipeline)[0] and "valid Python bool" in asked(pipeline)[0]


def test_an_output_that_is_cut_off_is_a_failure() -> None:
    script = saying(reasoning="x", answer="9" * 15, note="n")
    module = ChatThought("question -> answer: int, note", max_tokens=4)
    assert isinstance(ready(module, script).run(**Q).result, Values)
    cut = ready(ChatPredict("question -> answer: str, n: float"), saying(answer="y" * 600, n="0." + "3" * 60))
    assert isinstance(cut.run(**Q).result, Failure)


@pytest.mark.parametrize("reply", ["7", "[[ ## x ## ]] " * 40, "word " * 200, ""])
@pytest.mark.parametrize("block", [1, 7])
def test_the_bound_holds(reply: str, block: int) -> None:
    module = ChatThought("question -> label: Literal['a', 'bb'], note, last", max_tokens=30)
    script = saying(reasoning=reply, label="bb", note=reply, last=reply)
    pipeline = ready(module, script, cost=SHAPE, block=block, caps={"question": 8})
    run = pipeline.run(**Q)
    assert 0 < run.trace.flops <= pipeline.plan.bound * (1 + 1e-12)
    assert len(run.trace.requests) == 4


def test_samples_vote() -> None:
    class Voting(fw.Program):
        draft = ChatThought("question -> answer: int")

        def forward(self, question: str) -> Any:
            return fw.vote(fw.sample(self.draft, n=3)(question=question), field="answer")

    def script(prompt: str, index: int) -> str:
        return by_marker(prompt, index, reasoning=f"r{index}", answer="7" if "r0" not in prompt else "3")

    result = ready(Voting(), script).run(**Q).result
    assert isinstance(result, Values) and result.fields["answer"] == 7


def test_outputs_that_need_json_are_refused() -> None:
    with pytest.raises(SignatureError, match=r"'tags' is list of string; use Predict"):
        ready(ChatPredict("question -> tags: list[str]"))


def test_an_instruction_that_a_search_changes_is_the_objective() -> None:
    module = ChatPredict("question -> answer: int", instruction=fw.instruction("One.", "Two."))
    pipeline = ready(module, saying(answer="1"), {"ChatPredict.instruction": "Two."})
    pipeline.run(**Q)
    assert "your objective is: \n        Two." in asked(pipeline)[0]
