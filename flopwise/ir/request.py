"""What is asked of an engine and what comes back: the only words engines and the runtime share."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

TokenIds = tuple[int, ...]
GrammarKind = Literal["json_schema", "regex", "ebnf"]
Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Grammar:
    """A constraint on generated text: a JSON Schema (as JSON text), a regular expression, or an EBNF."""

    kind: GrammarKind
    text: str


@dataclass(frozen=True, slots=True)
class Decoding:
    """How tokens are chosen.

    Attributes:
        temperature: 0 is greedy; a greedy stream has one sample.
        top_p: Nucleus mass in (0, 1].
        top_k: Number of candidates kept; 0 keeps all.
        max_tokens: Most tokens a sample may have.
        stop: Texts that end a sample; the stop text itself is not part of the sample's text.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """Ask for `n` samples of one prompt.

    Attributes:
        ids: Prompt token ids, chat template applied.
        decoding: How tokens are chosen.
        grammar: What the text must match, if anything.
        n: Number of samples.
        stream: Seed namespace; two call sites of one prompt draw different samples by it.
        first_index: Index of the first sample within its stream.
    """

    ids: TokenIds
    decoding: Decoding
    grammar: Grammar | None = None
    n: int = 1
    stream: str = ""
    first_index: int = 0


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Ask for the probabilities of closed choices as the next text after a prompt.

    Attributes:
        ids: Prompt token ids.
        choices: First-token ids of each choice; probabilities are normalised over them.
    """

    ids: TokenIds
    choices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One generation, as stored: not something a seed could make again.

    Attributes:
        ids: Generated token ids without the end-of-turn token and without what followed a stop text.
        text: The decoded ids, cut before the stop text.
        finish: "stop" for an end of turn, a stop text or a completed grammar; "length" when cut off.
        tokens: Tokens the engine decoded for it, the ending ones included: what is paid for.
    """

    ids: TokenIds
    text: str
    finish: Finish
    tokens: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request: `cached` is None where the engine does not report it."""

    prompt: int
    completion: int
    cached: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An engine's answer to a GenerateRequest: `n` samples."""

    samples: tuple[Sample, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Scores:
    """An engine's answer to a ScoreRequest: one probability a choice, summing to 1."""

    probabilities: tuple[float, ...]
    usage: Usage


Request = GenerateRequest | ScoreRequest


def pack(ids: TokenIds) -> bytes:
    """Token ids as four bytes each, so that prefixes compare at the speed of memcmp."""
    return struct.pack(f"{len(ids)}I", *ids)
