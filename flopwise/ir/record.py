"""Values at run time: records, texts, results, and failures carried as values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .engines import MAIN
from .request import Sample, TokenIds


@dataclass(frozen=True, slots=True)
class Failure:
    """A value that could not be made: it flows on like any other and is counted, never raised in a batch.

    Attributes:
        node: Full dotted name of the node that failed.
        reason: What went wrong, for people.
    """

    node: str
    reason: str

    @property
    def failed(self) -> bool:
        """Always true: what metrics look at."""
        return True


@dataclass(frozen=True, slots=True)
class Generation:
    """One sample with the ids of the prompt it answers, so that a later prompt can go on from its KV."""

    prompt: TokenIds
    sample: Sample

    @property
    def text(self) -> str:
        """The generated text."""
        return self.sample.text


@dataclass(frozen=True, slots=True)
class Executed:
    """What running a program gave, its variables read as the outputs of a schema.

    Attributes:
        ok: True where it ran to its end and every output has a value of its type.
        values: The outputs by name.
        program: The program as it ran.
        error: What went wrong, for people and for the model that may mend it.
    """

    ok: bool
    values: dict[str, Any]
    program: str
    error: str


@dataclass(slots=True)
class Values:
    """A record on its way through a graph: its fields and its weight in votes."""

    fields: dict[str, Any]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of one node in one run.

    Attributes:
        node: Full dotted name of the node.
        ids: The prompt as sent.
        outputs: The generated texts, or the probability of the first choice.
        cached: Prompt tokens that are resident in steady state; what the query is not charged for.
        completion: Tokens generated, all samples together.
        flops: FLOPs charged to the query.
        engine: The name of the engine that was asked.
    """

    node: str
    ids: TokenIds
    outputs: tuple[str, ...]
    cached: int
    completion: int
    flops: float
    engine: str = MAIN


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What one retrieval of one run found.

    Attributes:
        node: Full dotted name of the node.
        ids: Ids of the items, the nearest last.
        flops: FLOPs of embedding the query, charged to it.
    """

    node: str
    ids: tuple[str, ...]
    flops: float


def no_decoder(asked: Asked) -> str:
    """Stands where a trace was made without a tokenizer."""
    return f"<{len(asked.ids)} token ids>"


@dataclass(slots=True)
class Trace:
    """What happened in one run of a pipeline on one input.

    Attributes:
        requests: Every request as sent, in the order in which they ended.
        retrieved: What each retrieval found.
        failures: Every failure, those included that a vote got over.
        values: Values of the nodes that the caller asked to keep.
        flops: FLOPs charged to the query, in steady state.
        bound: What the plan's static bound allowed, in FLOPs.
        prompt_of: The exact text of a request's prompt as it was sent.
    """

    requests: list[Asked] = field(default_factory=list)
    retrieved: list[Retrieved] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    flops: float = 0.0
    bound: float = 0.0
    prompt_of: Callable[[Asked], str] = no_decoder

    def prompts(self) -> list[tuple[str, str]]:
        """(node, exact text as sent) of each request."""
        return [(r.node, self.prompt_of(r)) for r in self.requests]

    def by_node(self) -> dict[str, dict[str, float]]:
        """Requests, prompt, cached and completion tokens and FLOPs by node."""
        asked = [(r.node, _counts(r)) for r in self.requests]
        return _table([*asked, *((r.node, (0, 0, 0, 0, r.flops)) for r in self.retrieved)])

    def by_engine(self) -> dict[str, dict[str, float]]:
        """The same of each engine that was asked, by its name; embeddings for retrieval are in none of them."""
        return _table([(r.engine, _counts(r)) for r in self.requests])


def _counts(asked: Asked) -> tuple[float, ...]:
    return (1, len(asked.ids), asked.cached, asked.completion, asked.flops)


def _table(rows: list[tuple[str, tuple[float, ...]]]) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for name, values in rows:
        row = table.setdefault(name, dict.fromkeys(("requests", "prompt", "cached", "completion", "flops"), 0))
        for key, value in zip(row, values, strict=True):
            row[key] += value
    return table
