"""A pipeline: a plan bound to an engine, as a typed callable."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from .errors import FlopwiseError, InputError, PipelineFailure
from .ir.engines import ByEngine, by_engine
from .ir.plan import Plan
from .ir.record import Failure, Trace, Values
from .modules.records import make_record, with_inputs

if TYPE_CHECKING:
    from .backends.engines._base import Engine
    from .backends.runtime.bank import SampleBank
    from .backends.runtime.executor import Executable, Run
    from .backends.runtime.query import Watch
    from .backends.runtime.scheduler import Scheduler
    from .compiler.frozen import Frozen
    from .compiler.stages import Explanation
    from .modules.signature import Signature
    from .optimizers.front import Front, Point

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# Which runs of pipelines the code at hand is inside of; a context, since it may be on another thread by then.
_inside: ContextVar[tuple[object, ...]] = ContextVar("flopwise_inside", default=())


class HasFields(Protocol):
    """An example: its fields by name."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """Inputs and labels."""


@dataclass(frozen=True)
class Failed:
    """A row of a batch that gave no record.

    Attributes:
        reason: Why not.
        node: The node that failed, "" where the input was refused.
        trace: What happened until then.
    """

    reason: str
    node: str = ""
    trace: Trace = field(default_factory=Trace)
    failed: bool = True


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from ordinary code, also where this thread's event loop is running (notebooks)."""
    try:
        outer = asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    from concurrent.futures import ThreadPoolExecutor

    from .backends.runtime.scheduler import paused_loop

    context = copy_context()
    context.run(paused_loop.set, outer)
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = Future()

    async def announced() -> T:
        started.set_result((asyncio.get_running_loop(), asyncio.current_task()))
        return await coroutine

    with ThreadPoolExecutor(1, thread_name_prefix="flopwise") as pool:
        ended = pool.submit(context.run, asyncio.run, announced())
        try:
            return ended.result()
        except BaseException:
            if not ended.done():  # Ctrl-C reaches this thread only: what the other one runs must end too
                loop, task = started.result()
                if task is not None:
                    with suppress(RuntimeError):  # it may have ended by now
                        loop.call_soon_threadsafe(task.cancel)
            raise


class Pipeline(Generic[P, R]):
    """A program in one config, bound to an engine: what `fw.compile`, `fw.lower` and `fw.load` return.

    Args:
        plan: The lowered graph.
        engine: The engine it was lowered for, or every engine by the name that its modules use.
        result: Class of its records.
        facts: What a search or an artifact knows of it: config, report, provenance, demos.
        explanation: The stages it came through, where it was compiled in this process.
        bank: Where samples are kept, if anywhere.
        points: The points of its search's front by number, this one among them, if there was a search.
        schedulers: What asks the engines; some of its own, made with its first query, where not given.
    """

    def __init__(
        self,
        plan: Plan,
        engine: Engine | ByEngine[Engine],
        result: type[Signature],
        facts: Mapping[str, Any] | None = None,
        explanation: Explanation | None = None,
        bank: SampleBank | None = None,
        points: Mapping[int, Frozen] | None = None,
        schedulers: ByEngine[Scheduler] | None = None,
    ) -> None:
        self.plan = plan
        self.engines = by_engine(engine)
        self.facts = dict(facts or {})
        self.points = points or {}
        self._result = result
        self._explanation = explanation
        self._bank = bank
        self._schedulers = schedulers
        self._executable: Executable | None = None
        self._lock = threading.Lock()
        self._now: object = None  # the run that holds the lock

    @property
    def engine(self) -> Engine:
        """The main engine; `engines` has the others, too."""
        return self.engines.main

    # running --------------------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **inputs: P.kwargs) -> R:
        """Run one query and return its typed record.

        Raises:
            InputError: The inputs are not what the program takes.
            PipelineFailure: The query ended without a record; its trace says what happened.
            EngineError: The engine failed.
        """
        with self._alone():
            return run_sync(self.acall(*args, **inputs))

    async def acall(self, *args: P.args, **inputs: P.kwargs) -> R:
        """As calling it, within an event loop; any number at once."""
        run = await self.run(self._named(args, inputs))
        if isinstance(run.result, Failure):
            raise PipelineFailure(f"node {run.result.node!r}: {run.result.reason}", run.trace)
        return cast(R, self.record(run.result, run.trace))

    async def run(
        self, inputs: Mapping[str, Any], keep: frozenset[str] = frozenset(), watch: Watch | None = None
    ) -> Run:
        """Run one query and return its values, inputs among them, or its failure, with the trace.

        Args:
            inputs: The program's inputs by name.
            keep: Full names of nodes whose values the trace shall keep.
            watch: Called with each entry of the trace as it is made: what a caller who gives up has of it.
        """
        if self._executable is None:
            self._executable = self._bind()
        run = await self._executable.run(inputs, keep, watch)
        if isinstance(run.result, Failure):
            return run
        whole = with_inputs(self._result, run.result, inputs)
        return run if whole is run.result else replace(run, result=whole)

    def record(self, values: Values, trace: Trace) -> Any:
        """The typed record of a run's values."""
        return make_record(self._result, values.fields, trace)

    @overload
    def batch(
        self,
        rows: Iterable[Mapping[str, Any] | HasFields | Signature],
        *,
        progress: bool = True,
        concurrency: int | None = None,
        on_row: Callable[[int, R | Failed], None] | None = None,
    ) -> list[R | Failed]: ...
    @overload
    def batch(
        self,
        rows: Any,
        *,
        progress: bool = True,
        concurrency: int | None = None,
        on_row: Callable[[int, R | Failed], None] | None = None,
    ) -> Any: ...
    def batch(
        self,
        rows: Any,
        *,
        progress: bool = True,
        concurrency: int | None = None,
        on_row: Callable[[int, Any], None] | None = None,
    ) -> Any:
        """Run many queries side by side, in order; a row that fails is a row.

        Args:
            rows: Dicts of inputs, records, examples, or a pandas DataFrame. Further columns are passed over. A
                generator is read as rows are needed.
            progress: Show a progress bar on a terminal.
            concurrency: Queries under way at once; by default four for each sequence the engines run.
            on_row: Called with each row's index and result as it ends.

        Returns:
            For a DataFrame, a copy with the outputs and `error` as columns, `predicted_` before the name where it
            has such a column already; otherwise a list with a record or a `Failed` for each row.

        Raises:
            EngineError: The engine failed; its `partial` holds what had ended, None for the rest.
            InputError: These are no rows, or `concurrency >= 1` does not hold.
            FlopwiseError: It is called from within a batch or call of its own, as by `on_row`.
        """
        from .batching import run_batch

        with self._alone():
            return run_batch(self, rows, progress, concurrency, on_row)

    async def abatch(
        self, rows: Iterable[Mapping[str, Any] | HasFields | Signature], concurrency: int | None = None
    ) -> list[R | Failed]:
        """As `batch`, within an event loop and without DataFrames."""
        from .batching import gather_rows

        return await gather_rows(self, rows, concurrency, None)

    def _named(self, args: tuple[Any, ...], inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        if not args:
            return inputs
        names = [f.name for f in self.plan.graph.schema.inputs]
        if len(args) > len(names):
            raise InputError(f"the pipeline takes {len(names)} inputs ({', '.join(names)}), but got {len(args)}")
        given = dict(zip(names, args, strict=False))
        twice = [name for name in given if name in inputs]
        if twice:
            raise InputError(f"the pipeline got input {twice[0]!r} twice, by position and by name; give it once")
        return {**given, **inputs}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One call or batch at a time; other threads wait, but who is inside of one would wait for itself."""
        inside = _inside.get()
        if self._now is not None and any(run is self._now for run in inside):
            raise FlopwiseError(
                f"pipeline {self.plan.graph.name!r} is called from within a run of its own, as by `on_row`, and would "
                "wait for itself for ever; call it after the batch, or run all in one event loop with abatch and acall"
            )
        with self._lock:
            self._now = run = object()
            token = _inside.set((*inside, run))
            try:
                yield
            finally:
                _inside.reset(token)
                self._now = None

    def _bind(self) -> Executable:
        from .backends.runtime.executor import Executable
        from .backends.runtime.meter import Meter
        from .backends.runtime.scheduler import schedulers

        asked = self._schedulers or schedulers(self.engines, Meter(), self._bank)
        return Executable(self.plan, asked)

    def with_bank(self, bank: SampleBank) -> Pipeline[P, R]:
        """The same pipeline with its samples kept in a bank: what was asked before is not asked again."""
        return Pipeline(self.plan, self.engines, self._result, self.facts, self._explanation, bank, self.points)

    def changed(self, plan: Plan, facts: Mapping[str, Any], explanation: Explanation | None) -> Pipeline[P, R]:
        """A pipeline of another plan of the same program on the same engines."""
        return Pipeline(plan, self.engines, self._result, facts, explanation, self._bank, self.points, self._schedulers)

    def with_schedulers(self, asked: ByEngine[Scheduler]) -> Pipeline[P, R]:
        """The same pipeline, asking by schedulers of its engines that others ask by, too; so do points taken by `at`.

        Their requests then leave together: prefixes that several share are computed once, and each engine's limit
        holds for all. All of them must run in one event loop.
        """
        return Pipeline(
            self.plan, self.engines, self._result, self.facts, self._explanation, self._bank, self.points, asked
        )

    def at(
        self,
        point: Point | None = None,
        *,
        per_query: str | float | None = None,
        mean: str | float | None = None,
        score: float | None = None,
        **limits: float,
    ) -> Pipeline[P, R]:
        """Another point of the search's Pareto front, without a new search: the best-scoring one within every limit.

        All that is known of a point but the winner are its scores on dev, which also chose it; the report of what is
        returned says so. Where `per_query` is below what the point was measured under, it says that, too.

        Args:
            point: This point of `front`.
            per_query: Most FLOPs that any query may take, such as "2 TFLOP": the plan is lowered under this cap, so
                that it holds. The pipeline's own cap where not given.
            mean: Most FLOPs that a query took on average.
            score: Least mean score on dev; of the points that have it the cheapest is returned.
            **limits: For an objective of the search, the worst mean that will do.

        Raises:
            BudgetError: No point fits; says what the cheapest needs.
            ConfigError: There was no search, no such objective, or no such point.
            ArtifactError: The artifact could not hold the point.
        """
        from .choosing import choose

        return choose(self, point, per_query, mean, score, limits)

    def close(self) -> None:
        """Give back what running took, the engines excepted."""
        if self._executable is not None:
            self._executable.close()
            self._executable = None

    # looking --------------------------------------------------------------------------------------------

    @property
    def config(self) -> Mapping[str, Any]:
        """The value of every choice."""
        config: Mapping[str, Any] = self.facts.get("config", {})
        return {name: tuple(v) if isinstance(v, list) else v for name, v in config.items()}

    @property
    def report(self) -> Mapping[str, Any]:
        """What the search found: scores with intervals, FLOPs, what was tried."""
        report: Mapping[str, Any] = self.facts.get("report", {})
        return report

    @property
    def front(self) -> Front:
        """The Pareto front of the search over score, FLOPs per query and the user's objectives; else an empty one."""
        from .optimizers.front import Front

        return Front.of_report(self.report)

    def cost(self) -> dict[str, float]:
        """FLOPs: `least`, `worst` and `bound` per query in steady state, and `cold` once for the static prefixes."""
        return self.plan.cost()

    def prompts(self) -> dict[str, str]:
        """The exact text of every prompt by node, chat template and all, inputs as `{field}`."""
        from .compiler.show import prompt_texts

        return prompt_texts(self.plan, self.engines)

    def explain(self) -> str:
        """Every stage from the traced program to the plan."""
        before = self._explanation.as_text() + "\n\n" if self._explanation else ""
        return f"{before}{self.as_text()}"

    def as_text(self) -> str:
        """The graph and the plan for people."""
        return f"{self.plan.graph.as_text()}\n\n{self.plan.as_text()}"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(self.as_text())}</pre>"

    def save(self, path: str | Path, *, report: bool = True) -> Path:
        """Write the artifact: a folder, or a zip where the path ends in `.zip`.

        Args:
            path: Where to.
            report: Whether `report.html`, a page about the pipeline and its search, is part of it. Where it is not,
                `report.json` goes without the examples won and lost, too: their inputs, their labels and what was
                answered, most often of holdout. Demonstrations stay: prompts are made of them.

        Raises:
            ArtifactError: The path exists and is no artifact, or the disk is full; nothing half-written is left.
        """
        from .compiler.artifact import save

        if not report:
            from .optimizers.answers import without_examples

            facts = {**self.facts, "report": without_examples(self.report)}
            return save(self.plan, facts, self.engines, Path(path), self.points)
        from .reporting import FILE, report_or_warning

        html = report_or_warning(self)
        more = {} if html is None else {FILE: html.encode()}
        return save(self.plan, self.facts, self.engines, Path(path), self.points, more)


__all__ = ["Failed", "Pipeline", "run_sync"]
