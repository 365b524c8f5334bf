"""What of the Transformers engine needs neither torch nor a model: its trie of held tokens, when a sample ends."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.backends.engines.byte_tokenizer import ByteTokenizer
from flopwise.backends.engines.transformers_jobs import Job, Row
from flopwise.backends.engines.transformers_trie import SlotTrie
from flopwise.ir.request import Decoding

SEQUENCES = st.lists(st.lists(st.integers(0, 2), max_size=8), max_size=30)


class Pool:
    """A pool whose slots hold, instead of keys and values, the prefix that they belong to."""

    def __init__(self, capacity: int) -> None:
        self.trie = SlotTrie(capacity)
        self.slots: dict[int, tuple[int, ...]] = {}

    def insert(self, ids: Sequence[int]) -> None:
        held, fresh = self.trie.insert(ids)
        for at, slot in enumerate(fresh, held):
            self.slots[slot] = tuple(ids[: at + 1])

    def read(self, ids: Sequence[int]) -> list[tuple[int, ...]]:
        return [self.slots[slot] for slot in self.trie.match(ids)]


@given(SEQUENCES, st.integers(0, 12))
def test_a_match_is_the_prefix_and_nothing_else(sequences: list[list[int]], capacity: int) -> None:
    pool = Pool(capacity)
    for ids in sequences:
        pool.insert(ids)
        for other in sequences:
            found = pool.read(other)
            assert found == [tuple(other[: i + 1]) for i in range(len(found))]
        assert len(pool.read(ids)) == min(len(ids), capacity)  # what came last is held, as far as the pool reaches
        assert len(pool.trie) <= capacity


@given(SEQUENCES)
def test_a_pool_that_is_large_enough_forgets_nothing(sequences: list[list[int]]) -> None:
    pool = Pool(240)
    for ids in sequences:
        pool.insert(ids)
    assert [len(pool.read(ids)) for ids in sequences] == [len(ids) for ids in sequences]
    assert len(pool.trie) == len({tuple(ids[: i + 1]) for ids in sequences for i in range(len(ids))})


def test_the_leaf_longest_unused_goes_first() -> None:
    pool = Pool(5)
    for ids in ([1, 2, 3], [1, 2, 4], [5]):
        pool.insert(ids)
    pool.read([1, 2, 3])
    pool.insert([6])
    assert [len(pool.read(ids)) for ids in ([1, 2, 3], [1, 2, 4], [5], [6])] == [3, 2, 1, 1]


def row(limit: int = 999, stop: tuple[str, ...] = ()) -> Row:
    (made,) = Job((1,), 1, limit, Decoding(stop=stop)).start(0)
    return made


@pytest.mark.parametrize(
    ("said", "stop", "left"),
    [
        ("one\n\ntwo", ("\n\n",), "two"),
        ("a\U0001f600b", ("\U0001f600",), "b"),
        ("aab", ("ab", "zz"), ""),
        ("plain", ("", "zz"), None),
        (f"{'x' * 200}STOP.", ("TOP",), "."),
    ],
)
def test_a_stop_text_ends_a_row_where_it_ends(said: str, stop: tuple[str, ...], left: str | None) -> None:
    tokenizer, sample = ByteTokenizer(), row(stop=stop)
    ids = list(tokenizer.encode(said))
    while ids and not sample.done:
        sample.take(ids.pop(0), (257,), tokenizer.decode)
    assert sample.ended == (left is not None) and tokenizer.decode(ids) == (left or "")


def test_an_end_token_ends_a_row_and_a_limit_cuts_it() -> None:
    tokenizer, ended, cut = ByteTokenizer(), row(), row(limit=2)
    for token in (65, 66):
        ended.take(token, (66,), tokenizer.decode)
        cut.take(token, (9,), tokenizer.decode)
    assert (ended.ended, ended.done, cut.ended, cut.done) == (True, True, False, True)
    assert ended.sequence == (1, 65)


def test_a_job_ends_with_its_last_row() -> None:
    job = Job((1, 2, 3), 2, 5)
    first, second = job.start(cached=2)
    first.take(7, (7,), str)
    job.settle()
    assert not job.future.done()
    second.take(8, (8,), str)
    job.settle()
    outcome = job.future.result(0)
    assert outcome.cached == 2 and outcome.outputs == (((7,), True), ((8,), True))
