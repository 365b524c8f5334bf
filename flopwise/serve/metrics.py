"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from ..compiler.versions import VERSION
from .queries import Queries
from .tally import Tally

if TYPE_CHECKING:
    from ..backends.runtime.scheduler import Scheduler
    from ..ir.engines import ByEngine

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one server, in a registry of its own.

    Args:
        queries: Says how many are under way.
        schedulers: Say what each engine was asked, warm-ups included, which no query is charged for.
        name: The pipeline's name.
        model: The main engine's model.
    """

    def __init__(self, queries: Queries, schedulers: ByEngine[Scheduler], name: str, model: str) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "flopwise_http_requests", "Requests by route and status.", ("route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "flopwise_http_request_seconds", "Seconds from a request's head to its last byte.", ("route",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._queries = Counter(
            "flopwise_queries", "Queries by their end, `ok` or an error's code, and point.", ("end", "point"),
            registry=registry,
        )  # fmt: skip
        tokens = Counter("flopwise_query_tokens", "Tokens that queries took.", ("kind",), registry=registry)
        self._tokens = {kind: tokens.labels(kind) for kind in ("prompt", "cached", "completion")}
        self._flops = Counter(
            "flopwise_query_flops", "FLOPs charged to queries, static prefixes resident.", registry=registry
        )
        in_flight = Gauge("flopwise_queries_in_flight", "Queries under way.", registry=registry)
        in_flight.set_function(lambda: queries.in_flight)
        limit = Gauge("flopwise_queries_limit", "Most queries under way at once.", registry=registry)
        limit.set(queries.settings.max_queries)
        about = Gauge("flopwise_info", "What is served.", ("version", "name", "model"), registry=registry)
        about.labels(VERSION, name, model).set(1)
        registry.register(_OfEngines(schedulers))
        self._ends: dict[tuple[str, int], Any] = {}
        self._waits: dict[str, Any] = {}
        self._queries_ended: dict[tuple[str, int | None], Any] = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that has ended; both labels are of few values."""
        end = self._ends.get((route, status))
        if end is None:
            end = self._ends[route, status] = self._requests.labels(route, str(status))
            self._waits[route] = self._seconds.labels(route)
        end.inc()
        self._waits[route].observe(seconds)

    def query(self, end: str, point: int | None, tally: Tally) -> None:
        """Count a query that has ended, if only by being refused."""
        ended = self._queries_ended.get((end, point))
        if ended is None:
            ended = self._queries_ended[end, point] = self._queries.labels(end, "" if point is None else str(point))
        ended.inc()
        for kind, count in (("prompt", tally.prompt), ("cached", tally.cached), ("completion", tally.completion)):
            self._tokens[kind].inc(count)
        self._flops.inc(tally.flops)

    def as_text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)


class _OfEngines(Collector):
    """What the schedulers count, read when it is asked for; an engine with two names counts under the first."""

    def __init__(self, schedulers: ByEngine[Scheduler]) -> None:
        names = {id(scheduler): name for name, scheduler in reversed([*schedulers.items()])}
        self._of = [(names[id(scheduler)], scheduler) for scheduler in schedulers.distinct()]

    def collect(self) -> Iterator[CounterMetricFamily]:
        for key, text in (
            ("requests", "Requests that the engine has answered."),
            ("warmups", "Shared prefixes that it has computed before what has them."),
            ("retries", "Requests sent again after a passing fault."),
        ):
            yield self._family(key, text, {of: scheduler.statistics()[key] for of, scheduler in self._of})
        meter = self._of[0][1].meter  # one for all
        flops = {of: meter.engines.get(of, 0.0) for of, _ in self._of}
        yield self._family("flops", "FLOPs that it took, by the cost model.", flops)
        for name, text, value in (
            ("computed_prompt_tokens", "Prompt tokens that the engines had to compute.", meter.computed),
            ("completion_tokens", "Tokens that the engines have generated.", meter.completion),
        ):
            yield CounterMetricFamily(f"flopwise_engines_{name}", text, value)

    def _family(self, name: str, text: str, values: Mapping[str, float]) -> CounterMetricFamily:
        family = CounterMetricFamily(f"flopwise_engine_{name}", text, labels=("engine",))
        for engine, value in values.items():
            family.add_metric((engine,), value)
        return family
