"""What one client's run came to, out of samples of the server's metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ._feeding_watch import Sample


@dataclass(frozen=True)
class Run:
    """One client, and the server while it was fed by it.

    A client has work queued as long as fewer requests are answered than all but those that it may have under way.

    Attributes:
        client: "flopwise" or "bench_serving".
        seconds: From the first request to the last answer.
        requests: How many there were, warm-ups among them.
        in_flight: Most that the client had under way at once.
        most: Most that the server runs at once.
        samples: Of the server's metrics, from before the first request to after the last answer.
        cpu: Processor seconds of the client from the first request to the last answer, where it was asked.
    """

    client: str
    seconds: float
    requests: int
    in_flight: int
    most: int
    samples: Sequence[Sample]
    cpu: float | None = None

    def __post_init__(self) -> None:
        answered = self.samples[-1].finished - self.samples[0].finished
        if answered != self.requests:
            raise RuntimeError(
                f"the server must answer the {self.requests} requests of {self.client} and no others, but it has "
                f"answered {answered:g}; let nobody else use it meanwhile"
            )

    @property
    def queued(self) -> list[Sample]:
        """Samples from the first that shows a request to the last at which the client had work queued.

        Raises:
            RuntimeError: There are fewer than two, or no answer came between them.
        """
        before = self.samples[0].finished
        unsent = self.requests - self.in_flight
        found = [
            s for s in self.samples if (s.running or s.waiting or s.finished > before) and s.finished - before < unsent
        ]
        if len(found) < 2 or found[-1].steps == found[0].steps or found[-1].finished == found[0].finished:
            raise RuntimeError(
                f"samples with answers between them are needed while work is queued, but {self.requests} requests, "
                f"{self.in_flight} under way, left time for {len(found)}; raise --requests, lower --every, or "
                "see whether the server counts its decode steps (sglang:cuda_graph_passes_total)"
            )
        return found

    @property
    def full(self) -> float:
        """Mean part of the server's batch that was taken while work was queued; it is empty while the server idles."""
        first, *_, last = self.queued
        return _batch(first, last) / self.most * (1 - self.idle)

    @property
    def windows(self) -> list[float]:
        """The same part from each sample to the next, where decode steps lie between them."""
        return [_batch(one, next_) / self.most for one, next_ in pairwise(self.queued) if next_.steps > one.steps]

    @property
    def idle(self) -> float:
        """Part of that time in which the server had nothing to do."""
        first, *_, last = self.queued
        return (last.idle - first.idle) / (last.at - first.at)

    @property
    def gauges(self) -> list[float]:
        """The part that the server's gauge of running requests shows at each sample."""
        return [s.running / self.most for s in self.queued]

    @property
    def cpu_while_queued(self) -> float:
        """Processor seconds a request that the client takes once it is under way, its start and its end left out."""
        first, *_, last = self.queued
        return (last.cpu - first.cpu) / (last.finished - first.finished)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def output_rate(self) -> float:
        """Output tokens a second, as the server counts them."""
        return (self.samples[-1].output - self.samples[0].output) / self.seconds


def _batch(one: Sample, other: Sample) -> float:
    return (other.decoded - one.decoded) / (other.steps - one.steps)


def low(values: Sequence[float]) -> float:
    """The 5th percentile."""
    return sorted(values)[len(values) // 20]
