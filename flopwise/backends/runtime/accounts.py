"""What a job cost and brought: the engine's reply turned into rows, each with its share of the FLOPs."""

from __future__ import annotations

from typing import NamedTuple

from ...errors import EngineError
from ...ir.flops import Cost, price
from ...ir.request import Reply, Sample, Scores, Usage, pack
from .jobs import Job, Row
from .meter import Meter
from .radix import TOKEN
from .rows import StoredSample, StoredScore

Answer = Reply | Scores | Usage


class Account(NamedTuple):
    """A settled job.

    Attributes:
        rows: One for each of its draws.
        flops: FLOPs of the whole job.
        cached: Prompt tokens that the engine found cached, by its own count where it has one.
        resident: Packed token sequences that the engine holds from now on.
    """

    rows: tuple[Row, ...]
    flops: float
    cached: int
    resident: tuple[bytes, ...]


class Prices(NamedTuple):
    """What an engine's requests cost.

    Attributes:
        engine: Its name.
        cost: Its model's cost; None prices everything at 0.
        reports_cached: Whether its own count of cached tokens is to be believed before the tree's.
    """

    engine: str
    cost: Cost | None
    reports_cached: bool

    def of(self, prompt: int, cached: int, completions: tuple[int, ...]) -> float:
        """FLOPs of one request."""
        return price(self.cost, prompt, cached, completions)


def settle(meter: Meter, prices: Prices, job: Job, reply: Answer) -> Account:
    """Settle a job on the meter by what its reply says.

    Args:
        meter: Where the job's bound is held; its actual cost replaces it.
        prices: The engine's.
        job: The job; nothing is held for it afterwards.
        reply: The engine's.

    Raises:
        EngineError: The engine returned another number of samples or scores than asked.
    """
    samples = _samples(job, reply)
    reported = (reply if isinstance(reply, Usage) else reply.usage).cached if prices.reports_cached else None
    prompt = len(job.packed) // TOKEN
    cached = job.cached if reported is None else min(reported, prompt)
    tokens = tuple([sample.tokens for sample in samples])
    flops = prices.of(prompt, cached, tokens)
    usage = Usage(prompt, sum(tokens), cached)
    meter.settle(job.held, flops, usage, prices.engine)
    job.held = 0.0
    if len(samples) == 1:  # as most often: the job is its one sample
        row = StoredSample(samples[0], flops + job.extra, usage)
        return Account((row,), flops, cached, (job.packed + _fed(samples[0]),))
    shares = _shares(prices, prompt, cached, tokens, flops)
    shares[0] += job.extra
    rows: tuple[Row, ...] = tuple(
        StoredSample(sample, share, Usage(prompt, sample.tokens, cached))
        for sample, share in zip(samples, shares, strict=False)
    )
    if not samples:
        probabilities = reply.probabilities if isinstance(reply, Scores) else ()
        rows = (StoredScore(probabilities, shares[0], Usage(prompt, 0, cached)),) * len(job.draws)
    resident = tuple(job.packed + _fed(sample) for sample in samples) or (job.packed,)
    return Account(rows, flops, cached, resident)


def _samples(job: Job, reply: Answer) -> tuple[Sample, ...]:
    if not isinstance(reply, Reply):
        return ()
    if len(reply.samples) != len(job.draws):
        raise EngineError(
            f"the engine was asked for {len(job.draws)} samples and returned {len(reply.samples)}; this is a fault"
            " of the engine: report it with the engine's name and version"
        )
    return reply.samples


def _shares(prices: Prices, prompt: int, cached: int, tokens: tuple[int, ...], flops: float) -> list[float]:
    """FLOPs of each sample: its own tokens, and for the first one the prompt, so that they add up to the whole."""
    if len(tokens) <= 1:
        return [flops]
    prefill = prices.of(prompt, cached, ())
    later = [prices.of(prompt, cached, (t,)) - prefill for t in tokens[1:]]
    return [flops - sum(later), *later]


def _fed(sample: Sample) -> bytes:
    """The generated ids whose keys and values are held: the last token decoded was never fed back."""
    fed = sample.tokens - 1
    return pack(sample.ids if fed >= len(sample.ids) else sample.ids[: max(fed, 0)])
