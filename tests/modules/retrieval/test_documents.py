"""Documents: how texts become passages, what is embedded when, and what an index of them refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import DataError, EngineError, SignatureError
from flopwise.indexing import documents, solved
from flopwise.modules.retrieval.documents import Documents
from flopwise.modules.retrieval.passages import NOTHING, chunks, cut, found_text, items_text, token_count

TEXTS = ["Ada has two cats.", "Bob has a boat.", "Cleo keeps three birds."]


# cutting ----------------------------------------------------------------------------------------------------


def test_tokens_are_counted_on_the_safe_side() -> None:
    assert token_count("cat") == 1
    assert token_count("elephant, 42") == 2 + 1 + 2
    assert token_count("日本") == 4  # two a sign, of three bytes
    assert token_count("  \n ") == 1


def test_chunks_end_where_sentences_do() -> None:
    assert chunks("One two. Three four. Five six.", 8) == ["One two. Three four.", "Five six."]
    assert chunks("One two. Three four. Five six.", 100) == ["One two. Three four. Five six."]
    assert chunks("A cat. " + "word " * 5 + "end.", 4) == ["A cat. word", "word word word word", "end."]
    assert chunks("   \n ", 8) == []


@given(st.text(max_size=300), st.integers(8, 40))
def test_no_chunk_is_too_long_and_none_of_the_text_is_lost(text: str, most: int) -> None:
    pieces = chunks(text, most)
    assert all(token_count(piece) <= most for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


@given(st.text(max_size=100), st.integers(1, 20))
def test_a_cut_text_is_its_beginning(text: str, most: int) -> None:
    assert text.startswith(cut(text, most)) and token_count(cut(text, most)) <= most
    assert token_count(text) > most or cut(text, most) == text


# making -----------------------------------------------------------------------------------------------------


def test_a_row_s_passages_carry_its_id_and_its_title() -> None:
    made = documents([{"text": "One two. Three four.", "title": "Sums", "id": "s"}, "Bob has a boat."], chunk=8)
    assert [(p.id, p.text) for p in made.passages] == [
        ("s#0", "Sums: One two."),
        ("s#1", "Sums: Three four."),
        ("1", "Bob has a boat."),
    ]
    assert [p.key for p in made.passages] == [p.text for p in made.passages]


def test_a_row_with_a_key_is_found_by_it_and_stays_whole() -> None:
    made = documents([{"text": "one. " * 50, "key": "k"}, "two"], chunk=8)
    assert [(p.key, p.text) for p in made.passages] == [("k", "one. " * 50), ("two", "two")]


def test_the_same_text_again_adds_nothing() -> None:
    assert documents([*TEXTS, *TEXTS]) == documents(TEXTS)
    assert len(documents([*TEXTS, TEXTS[0]]).passages) == 3


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "at least two passages are needed to choose from, but got 0"),
        (["one"], "but got 1"),
        ("one text", "a list of texts is needed"),
        ([*TEXTS, 7], "row 3 must be a text"),
        ([*TEXTS, "  "], "row 3 must be a text"),
        ([*TEXTS, {"title": "x"}], "row 3 must be"),
        ([*TEXTS, {"text": "x", "txet": 1}], "row 3 has txet; known are id, key, text, title"),
        ([{"text": "a", "key": "k"}, {"text": "b", "key": "k"}], "same key, but two have 'k'"),
        ([{"text": "a", "id": "i"}, {"text": "b", "id": "i"}], "same id, but two have 'i'"),
    ],
)
def test_what_are_no_documents_is_said(rows: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        documents(rows)


def test_unknown_embedders_and_tiny_chunks_are_refused_at_once() -> None:
    with pytest.raises(EngineError, match="one of lexical, all-minilm-l6-v2, but got 'word2vec'"):
        documents(TEXTS, embedder="word2vec")
    with pytest.raises(SignatureError, match="chunk >= 8"):
        documents(TEXTS, chunk=3)


def test_nothing_is_embedded_before_it_is_needed_and_then_once() -> None:
    calls = []
    made = documents(TEXTS)
    spied = Documents(made.passages, "lexical", lambda *args: calls.append(args) or made.embed(*args))  # type: ignore[func-returns-value]
    assert spied == made and not calls
    assert spied.index is spied.index and len(calls) == 1
    assert [item.texts for item in spied.index.items] == [(t,) for t in TEXTS]


def test_documents_tell_others_apart_by_what_they_say() -> None:
    assert str(documents(TEXTS)) != str(documents([*TEXTS[:2], "Cleo keeps four birds."]))
    assert str(documents(TEXTS)).startswith("3 passages ") and str(documents(TEXTS)).endswith(" by lexical")


# what is shown ----------------------------------------------------------------------------------------------


def test_what_is_found_is_numbered_and_the_best_stands_last() -> None:
    assert items_text([{"text": "far"}, {"text": "near"}]) == "[1] far\n[2] near"
    assert found_text(["best", "good", "poor"], 2, 9) == "[1] good\n[2] best"
    assert found_text([], 2, 9) == items_text([]) == NOTHING
    assert found_text(["one two three"], 2, 2) == "[1] one two"


@pytest.mark.parametrize("found", ["text", None, 7, [1], [None, "a"], {"a": "b"}])
def test_what_a_retriever_must_not_return(found: Any) -> None:
    with pytest.raises(TypeError, match="a retriever must return a list of texts"):
        found_text(found, 2, 9)


# worked examples --------------------------------------------------------------------------------------------


def test_worked_examples_are_found_by_their_inputs_and_shown_whole() -> None:
    rows = [
        {"question": "2+2?", "answer": 4, "reasoning": "Two pairs."},
        {"question": "3+3?", "answer": 6},
    ]
    made = solved("question -> answer: int", rows)
    assert [(p.key, p.text) for p in made.passages] == [
        ("2+2?", "Question: 2+2?\nTwo pairs.\nAnswer: 4"),
        ("3+3?", "Question: 3+3?\nAnswer: 6"),
    ]
    several = solved("a: int, b: int -> sum: int, sign", [{"a": i, "b": 2, "sum": i + 2, "sign": "+"} for i in (1, 2)])
    assert several.passages[0].key == "1\n2"
    assert several.passages[0].text == 'A: 1\nB: 2\nAnswer: {"sum": 3, "sign": "+"}'


def test_examples_must_be_whole_and_differ() -> None:
    with pytest.raises(DataError, match="example 1 has no answer"):
        solved("question -> answer: int", [{"question": "a", "answer": 1}, {"question": "b"}])
    with pytest.raises(DataError, match="same key"):
        solved("question -> answer: int", [{"question": "a", "answer": 1}, {"question": "a", "answer": 2}])
