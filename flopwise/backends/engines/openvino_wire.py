"""What the OpenVINO engine and its process say to each other: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ...ir.request import Grammar, GrammarKind, TokenIds


@dataclass(frozen=True, slots=True)
class Draw:
    """Native settings of one decoding.

    Attributes:
        ends: Ids that end a turn.
        limit: Most tokens.
        forks: Sequences that share the prompt.
        temperature: 0 is greedy.
        top_p: Nucleus mass.
        top_k: Candidates kept; 0 keeps all.
        stop: Texts that end a sequence; they stay in its ids.
        seed: Where sampling starts.
        beams: Beams of a beam search; 0 for none.
        logprobs: Report the unconstrained log-probability of each token.
    """

    ends: tuple[int, ...]
    limit: int = 1
    forks: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    seed: int = 0
    beams: int = 0
    logprobs: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """One sequence: its ids with the ending ones, their log-probabilities, and whether it ended by itself."""

    ids: TokenIds
    logprobs: tuple[float, ...]
    ended: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: one `Draw`, each with its own grammar, for every handle to open on one prompt."""

    number: int
    ids: TokenIds
    draws: tuple[Draw, ...]
    grammars: tuple[Grammar | None, ...]


def ask_line(ask: Ask) -> str:
    """A request as a line."""
    return json.dumps(asdict(ask)) + "\n"


def read_ask(data: dict[str, Any]) -> Ask:
    """A request back from its JSON."""
    draws = tuple(Draw(**{**d, "ends": tuple(d["ends"]), "stop": tuple(d["stop"])}) for d in data["draws"])
    grammars = tuple(_grammar(g) for g in data["grammars"])
    return Ask(data["number"], tuple(data["ids"]), draws, grammars)


def outputs_line(number: int, groups: Sequence[Sequence[Output]]) -> str:
    """The answer to a request as a line."""
    return json.dumps({"number": number, "groups": [[asdict(o) for o in group] for group in groups]}) + "\n"


def read_outputs(data: dict[str, Any]) -> list[list[Output]]:
    """The answer to a request back from its JSON."""
    return [[Output(tuple(o["ids"]), tuple(o["logprobs"]), o["ended"]) for o in group] for group in data["groups"]]


def _grammar(data: dict[str, Any] | None) -> Grammar | None:
    if data is None:
        return None
    kind: GrammarKind = data["kind"]
    return Grammar(kind, data["text"])
