"""FixedPrompt: turns to the letter, tokens as of one text, replies read by markers, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedEngine
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.ir.request import GenerateRequest
from flopwise.modules.importers.fixed_prompt import FixedPrompt, FixedThought, Turn

from ...programs import Ready, ready
from ..expansion import check_expansion
from ..unruly import check_bound

SOLVE = "question -> answer: int"
TURNS = (
    Turn("system", ("Say it.",)),
    Turn("user", ("2+2?",)),
    Turn("assistant", ("4",)),
    Turn("user", ("Q:\n", "question", "\n\nNow answer.")),
)
Q: dict[str, Any] = {"question": "3+4?"}


def fixed(of: Any = SOLVE, turns: tuple[Turn, ...] = TURNS, **settings: Any) -> FixedPrompt[Any]:
    return FixedPrompt(of, turns=turns, **settings)


def sent(pipeline: Ready) -> str:
    (request,) = pipeline.engine.asked
    assert isinstance(request, GenerateRequest)
    return pipeline.engine.tokenizer.decode_all(request.ids)


@pytest.mark.parametrize("kind", [FixedPrompt, FixedThought])
def test_it_expands_as_it_says(kind: Any) -> None:
    check_expansion(kind(SOLVE, turns=TURNS))


def test_the_turns_are_sent_to_the_letter_and_the_record_is_typed() -> None:
    pipeline = ready(fixed(), "[[ ## answer ## ]]\n7\n")
    result = pipeline.run(**Q).result
    assert isinstance(result, Values) and result.fields == {"question": "3+4?", "answer": 7}
    said = ["Say it.", "2+2?", "4", "Q:\n3+4?\n\nNow answer."]
    turns = zip(("system", "user", "assistant", "user"), said, strict=True)
    assert sent(pipeline) == pipeline.engine.tokenizer.render_chat(list(turns), True)


def test_turns_that_several_prompts_show_stay_in_their_order() -> None:
    one, two = TURNS[1:3], (Turn("user", ("1+1?",)), Turn("assistant", ("2",)))
    first, second = (fixed(turns=(TURNS[0], *shown, TURNS[3])) for shown in ((*one, *two), (*two, *one)))
    pipeline = ready(fw.Ensemble(first, second), "[[ ## answer ## ]]\n7")
    pipeline.run(**Q)
    texts = [
        pipeline.engine.tokenizer.decode_all(r.ids) for r in pipeline.engine.asked if isinstance(r, GenerateRequest)
    ]
    assert {text.index("2+2?") < text.index("1+1?") for text in texts} == {True, False}


def test_a_thought_has_its_reasoning() -> None:
    result = (
        ready(FixedThought(SOLVE, turns=TURNS), "[[ ## reasoning ## ]]\nAdd.\n\n[[ ## answer ## ]]\n7").run(**Q).result
    )
    assert isinstance(result, Values) and result.fields == {"question": "3+4?", "reasoning": "Add.", "answer": 7}


class Sort(fw.Signature):
    """Sort it."""

    question: str = fw.Input()
    kind: Literal["a", "b c"] = fw.Output()
    sizes: list[int] = fw.Output()
    sure: bool = fw.Output()


@pytest.mark.parametrize("kind", ["b c", "'b c'"])
@pytest.mark.parametrize("sizes", ["[1, 2]", "(1, 2)"])
@pytest.mark.parametrize("sure", ["True", "true"])
def test_values_are_read_as_models_write_them(kind: str, sizes: str, sure: str) -> None:
    text = f"[[ ## kind ## ]]\n{kind}\n[[ ## sizes ## ]] {sizes}\n[[ ## sure ## ]]\n{sure}\n[[ ## completed ## ]]\nmore"
    result = ready(fixed(Sort), text).run(**Q).result
    assert isinstance(result, Values) and result.fields == {**Q, "kind": "b c", "sizes": [1, 2], "sure": True}


@pytest.mark.parametrize(
    ("reply", "most", "says"),
    [
        ("It is 7.", 99, "no marker of answer in it: 'It is 7.'"),
        ("[[ ## answer ## ]]\nseven", 99, "answer must be of type integer, but is 'seven'"),
        ("[[ ## answer ## ]]\n", 99, "answer must be of type integer"),
        ("[[ ## answer ## ]]\n" + "9" * 5000, 6000, "answer must be of type integer"),
        ("[[ ## answer ## ]]\n" + "(" * 500, 6000, "answer must be of type integer"),
        ("[[ ## answer ## ]]\n71", 19, "ran out of tokens"),
    ],
)
def test_a_reply_that_does_not_parse_is_a_failure(reply: str, most: int, says: str) -> None:
    result = ready(fixed(max_tokens=most), reply).run(**Q).result
    assert isinstance(result, Failure) and says in result.reason


def test_a_reply_cut_off_after_the_last_field_is_whole() -> None:
    reply = "[[ ## answer ## ]]\n7\n\n[[ ## x ## ]]"
    result = ready(fixed(max_tokens=len(reply)), reply + " and more").run(**Q).result
    assert isinstance(result, Values) and result.fields["answer"] == 7


def test_its_bound_holds() -> None:
    module = FixedThought(SOLVE, turns=TURNS, max_tokens=40)
    check_bound(module, lambda prompt, index: "[[ ## reasoning ## ]]\nr\n[[ ## answer ## ]]\n7")


def test_a_saved_one_runs_without_what_made_it(tmp_path: Path) -> None:
    engine = ScriptedEngine(default="[[ ## reasoning ## ]]\nAdd.\n[[ ## answer ## ]]\n7")
    made = fw.lower(
        FixedThought(SOLVE, turns=TURNS, demos=({"question": "2+2?", "reasoning": "r", "answer": 4},)), engine=engine
    )
    path = made.save(tmp_path / "fixed.fw")
    assert fw.load(path, engine=engine)(**Q).answer == 7
    assert '"answer": 4' in (path / "demos.jsonl").read_text()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"demos": fw.demos()}, "its turns are fixed, so demos cannot be"),
        ({"instruction": fw.instruction("a", "b")}, "its turns are fixed, so instruction cannot be"),
        ({"template": "{% block user %}x{% endblock %}"}, "its turns are fixed, so template cannot be"),
        ({"turns": TURNS[:1]}, "must show each input once, but the inputs are question and shown are none"),
        ({"turns": (*TURNS, TURNS[3])}, "shown are question, question"),
    ],
)
def test_what_turns_cannot_follow_is_refused(settings: Any, says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        fixed(**settings)
