"""Minimum Bayes risk: the draft nearest to the others is taken, failures aside, and it costs no request."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import TraceError
from flopwise.ir.record import Failure, Values
from flopwise.modules.program import trace
from flopwise.modules.selection.mbr import mbr, most_similar, overlap, words

from ...programs import SHAPE, Solve, Tell, ready
from ..expansion import check_expansion, expanded

Q = {"question": "Where is the cat?"}
STORIES = ("Dogs ran off.", "The cat sat on the mat.", "On a mat sat the cat.", "The cat, it sat on the MAT!")


def telling(module: Any, n: int, **how: Any) -> fw.Program:
    class Telling(fw.Program):
        draft = module

        def forward(self, question: str) -> Any:
            return mbr(fw.sample(self.draft, n=n, temperature=1.0)(question=question), **how)

    return Telling()


def told(stories: tuple[str, ...], n: int | None = None, **how: Any) -> Any:
    pipeline = ready(telling(fw.Predict(Tell), n or len(stories), **how), lambda prompt, i: stories[i], cost=SHAPE)
    run = pipeline.run(**Q)
    assert len(run.trace.requests) == (n or len(stories)) and run.trace.flops <= run.trace.bound
    return run.result.fields["story"] if isinstance(run.result, Values) else run.result


def test_the_story_nearest_to_the_others_is_taken() -> None:
    """F1 of the second with the third is 5/6, with the fourth 12/13; of the third with the fourth 10/13."""
    assert told(STORIES) == STORIES[1]
    assert told(STORIES[::-1]) == STORIES[1]


def test_it_is_the_average_and_not_the_nearest_pair() -> None:
    """Two that say the same are nearer to each other than the one in the middle is to anything."""
    stories = ("x y", "x y", "a b c d e f", "a b c d p q", "a b e f r s", "c d e f t u")
    assert told(stories) == stories[2]


def test_exact_is_the_majority() -> None:
    stories = ("red", "blue", " Red", "green", "green", "green")
    assert told(stories, by="exact") == "green"
    assert told(("red green", "red", "green red", "red"), by="exact") == "red"
    assert told(("red green", "red", "green red", "red")) == "red green"


def test_of_equally_similar_ones_the_first_is_taken() -> None:
    assert told(("one", "two", "three")) == "one"
    assert told(("a b", "b c")) == "a b"
    assert told(STORIES, n=1) == STORIES[0]


def test_failed_drafts_have_no_place() -> None:
    said = ["9" * 99, "12", "9" * 99, "77", "77"]
    run = ready(telling(fw.Predict(Solve), 5), lambda prompt, i: said[i]).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 77


def test_where_all_fail_the_query_fails_and_says_why() -> None:
    run = ready(telling(fw.Predict(Solve), 3), "9" * 99).run(**Q)
    assert isinstance(run.result, Failure) and "none of 3 records is valid" in run.result.reason


def test_the_field_says_what_is_compared() -> None:
    module = fw.Predict("question -> story: str, mood: list[str]")
    said = [f'{{"story": "{story}", "mood": ["{mood}"]}}' for story, mood in zip(STORIES, "abca", strict=True)]

    def run(**how: Any) -> Any:
        return ready(telling(module, 4, **how), lambda prompt, i: said[i]).run(**Q).result

    assert run(field="story").fields["story"] == STORIES[1]
    assert run(field="mood").fields["story"] == STORIES[0]
    with pytest.raises(TraceError, match='field="story"'):
        run()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The cat, the CAT: 3.5 (1,000)!", ["the", "cat", "the", "cat", "3.5", "1,000"]),
        ("snake_case's Äpfel", ["snake_case", "s", "äpfel"]),
        ("猫はマットの上 ok", ["猫", "は", "マ", "ッ", "ト", "の", "上", "ok"]),
        ("?!", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert words(text) == found


@pytest.mark.parametrize(
    ("one", "other", "f1"), [("a b c", "b c d e", 4 / 7), ("a a b", "a", 0.5), ("", "", 1), ("a", "", 0), ("a", "b", 0)]
)
def test_overlap_is_the_f1_of_words(one: str, other: str, f1: float) -> None:
    assert overlap(Counter(one.split()), Counter(other.split())) == pytest.approx(f1)


def test_an_empty_list_has_some_place() -> None:
    assert most_similar([], "story", "f1") == 0
    assert most_similar([SimpleNamespace(story="a")], "story", "f1") == 0


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(TraceError, match="by must be one of"):
        trace(telling(fw.Predict(Tell), 3, by="cosine"))
    with pytest.raises(TraceError, match="is no output"):
        trace(telling(fw.Predict(Tell), 3, field="question"))


def test_two_in_one_program_have_names_of_their_own() -> None:
    class Twice(fw.Program):
        draft = fw.Predict(Tell)

        def forward(self, question: str) -> Tell:
            first = mbr(fw.sample(self.draft, n=2)(question=question))
            return mbr(fw.sample(self.draft, n=3)(question=first.story))

    assert "%mbr#2.place" in expanded(Twice())


class Program(fw.Program):
    __doc__ = mbr.__doc__
    draft = fw.Predict("question -> story")

    def forward(self, question: str) -> Any:
        return mbr(fw.sample(self.draft, n=5)(question=question))


def test_expansion() -> None:
    check_expansion(Program())


def test_it_travels(tmp_path: Path) -> None:
    def engine() -> fw.ScriptedEngine:
        return fw.ScriptedEngine(lambda prompt, i: STORIES[i])

    saved = fw.lower(telling(fw.Predict(Tell), 4), engine=engine()).save(tmp_path / "mbr.fw")
    assert fw.load(saved, engine=engine())(**Q).story == STORIES[1]
