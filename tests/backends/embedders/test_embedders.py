"""Embedders: what they make of texts, the tokens of the real one, and what is said where one is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.backends.embedders.lexical import DIMENSIONS, LexicalEmbedder
from flopwise.backends.embedders.minilm import MOST_TOKENS, MiniLmEmbedder
from flopwise.backends.embedders.registry import embedder, embedder_of
from flopwise.backends.embedders.wordpiece import WordPiece
from flopwise.errors import EngineError, WeightsError
from flopwise.ir.index import dot, weighted

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "ab",
    "##b",
    "##c",
    "cab",
    "e",
    "##e",
    "1",
    "##2",
    ".",
    "#",
    "中",
    "ss",
]


@given(st.text())
def test_any_text_has_the_same_vector_every_time(text: str) -> None:
    lexical = LexicalEmbedder()
    vector = lexical.embed(text)
    assert len(vector) == DIMENSIONS and vector == lexical.embed(text)
    assert dot(vector, vector) == pytest.approx(1.0, abs=1e-3) or not any(vector)


def test_texts_that_share_words_are_nearer_and_rare_words_count_more() -> None:
    lexical = LexicalEmbedder()
    apples, pears, trains = map(
        lexical.embed, ("How many apples has Tom?", "How many apples has Ann?", "The train leaves at noon.")
    )
    assert dot(apples, pears) > 2 * dot(apples, trains)
    texts = [f"What is {a} plus {b}?" for a in (11, 25, 38) for b in (47, 52, 69)]
    raw = [lexical.embed(text) for text in texts]
    weights = lexical.weights(raw)
    plain = dot(raw[0], raw[8])
    rare = dot(weighted(raw[0], weights), weighted(raw[8], weights))
    assert rare < plain  # the words that all of them have say less


# Beyond these the two have the tables of other versions of Unicode.
LETTERS = st.sampled_from("abcABCé12.# \t\n中ßİ\u0301\u200b\ufffd☃") | st.characters(max_codepoint=0x52F)


@given(st.text(alphabet=LETTERS))
def test_word_pieces_are_those_of_the_tokenizers_library(text: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {piece: i for i, piece in enumerate(PIECES)}
    theirs = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    theirs.normalizer = tokenizers.normalizers.BertNormalizer()
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    ours = WordPiece(vocabulary).encode(text, 1 << 20)
    assert ours[1:-1] == theirs.encode(text).ids
    assert WordPiece(vocabulary).encode(text, 4)[:3] == [*ours[:-1], 3][:3] and len(ours[:4]) <= 4


def test_an_embedder_that_is_not_here_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOPWISE_HOME", str(tmp_path))
    embedder.cache_clear()
    with pytest.raises(WeightsError, match="'all-minilm-l6-v2' is not on this machine; run `flopwise models pull all-"):
        embedder("all-minilm-l6-v2")
    with pytest.raises(EngineError, match="one of lexical, all-minilm-l6-v2 is needed, but got 'bert'"):
        embedder("bert")
    with pytest.raises(EngineError, match="fingerprint lexical/1/512 here, but the index was made with lexical/0"):
        embedder_of("lexical", "lexical/0")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "all-minilm-l6-v2.safetensors"
    path.write_bytes(b"no weights at all")
    with pytest.raises(WeightsError, match=r"is not all-minilm-l6-v2 .*pull it again"):
        MiniLmEmbedder(path).embed("text")


def test_the_real_model_knows_what_is_meant() -> None:
    embedder.cache_clear()
    model = embedder("all-minilm-l6-v2")
    cat, kitten, shares = map(
        model.embed, ("The cat sat on the mat.", "A kitten rests on a rug.", "Stock prices fell sharply today.")
    )
    assert len(cat) == 384 and dot(cat, cat) == pytest.approx(1.0, abs=1e-3)
    assert dot(cat, kitten) > 0.5 > 0.2 > abs(dot(cat, shares))
    assert 0 < model.flops("The cat sat on the mat.") < model.flops("cat " * 50) < model.most_flops
    assert model.flops("cat " * 999) == model.most_flops
    long = "cat " * (MOST_TOKENS + 9)
    assert model.embed(long) == model.embed(long + "train")
