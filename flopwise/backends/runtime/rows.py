"""Rows of the sample bank: what is stored, and how it reads and writes."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import Any

from ...ir.request import Sample, Usage, pack

SCORE = -1  # the index under which a score is kept in memory; its reservation has index 0

# These statements read the same in SQLite and in PostgreSQL.
RESERVE = (
    "INSERT INTO reservations (key, idx, owner, study, flops) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (key, idx, owner) DO UPDATE SET study = excluded.study, flops = excluded.flops"
)
CLEAR = "DELETE FROM reservations WHERE key = ? AND idx = ? AND owner = ?"
SELECT_SAMPLES = (
    "SELECT idx, text, ids, finish, tokens, flops, prompt, cached FROM samples WHERE key = ? AND idx >= ? AND idx < ?"
)
SELECT_SCORE = "SELECT probabilities, flops, prompt, cached FROM scores WHERE key = ?"
SELECT_FLOPS = "SELECT (SELECT coalesce(sum(flops), 0.0) FROM samples) + (SELECT coalesce(sum(flops), 0.0) FROM scores)"
SELECT_RESERVED = "SELECT key, idx, owner, flops FROM reservations WHERE study = ? ORDER BY key, idx"
# Where two processes drew the same sample, the first stays.
_PUT_SAMPLE = (
    "INSERT INTO samples (key, idx, text, ids, finish, tokens, flops, prompt, cached)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_PUT_SCORE = (
    "INSERT INTO scores (key, probabilities, flops, prompt, cached) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A sample and what it cost when it was drawn.

    Attributes:
        sample: The sample.
        flops: FLOPs it was charged; the first sample of a request carries the prompt's.
        usage: Tokens of the prompt (cached ones as they were then) and of the sample.
    """

    sample: Sample
    flops: float
    usage: Usage


@dataclass(frozen=True, slots=True)
class StoredScore:
    """Probabilities of closed choices and what they cost."""

    probabilities: tuple[float, ...]
    flops: float
    usage: Usage


def insert_of(key: bytes, index: int, row: StoredSample | StoredScore) -> tuple[str, tuple[Any, ...]]:
    """The statement that writes a row, and its values."""
    usage = row.usage
    if isinstance(row, StoredScore):
        blob = struct.pack(f"<{len(row.probabilities)}d", *row.probabilities)
        return _PUT_SCORE, (key, blob, row.flops, usage.prompt, usage.cached or 0)
    sample = row.sample
    # A lone surrogate has no UTF-8; SQLite refuses it, so the text travels as bytes.
    text = sample.text.encode("utf-8", "surrogatepass")
    ids = pack(sample.ids)
    tail = (sample.finish, sample.tokens, row.flops, usage.prompt, usage.cached or 0)
    return _PUT_SAMPLE, (key, index, text, ids, *tail)


def read_sample(values: tuple[Any, ...]) -> tuple[int, StoredSample]:
    """A row of SELECT_SAMPLES as its index and sample."""
    index, text, ids, finish, tokens, flops, prompt, cached = values
    sample = Sample(tuple(array("I", ids)), text.decode("utf-8", "surrogatepass"), finish, tokens)
    return index, StoredSample(sample, flops, Usage(prompt, tokens, cached))


def read_score(values: tuple[Any, ...]) -> StoredScore:
    """A row of SELECT_SCORE as a score."""
    blob, flops, prompt, cached = values
    return StoredScore(struct.unpack(f"<{len(blob) // 8}d", blob), flops, Usage(prompt, 0, cached))
