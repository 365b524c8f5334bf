"""The executor: walks a plan for one query at a time, any number of queries at once.

Values are pulled from the outputs backwards, so a select computes one side only. What a node needs is awaited side
by side. Failures flow through; only faults of the system are raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ...ir.engines import ByEngine, by_engine
from ...ir.nodes import Execute, Generate, Host, Loop, Op, Retrieve, Score
from ...ir.plan import Plan
from ...ir.prompt import Ref
from ...ir.record import Failure, Generation, Trace, Values
from ...ir.request import GenerateRequest, ScoreRequest
from ...ir.target import Target
from .query import InputReader, Query
from .scheduler import Scheduler
from .steps import Step, Steps, steps_of
from .values import dig, executed

if TYPE_CHECKING:
    from .sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Run:
    """The end of a query: its record or failure, and its trace."""

    result: Values | Failure
    trace: Trace


class _Making:
    """A value on its way: who comes for it while it is made waits here."""

    __slots__ = ("error", "future")

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.future: asyncio.Future[Any] | None = None  # made by the first who waits: most often nobody does

    async def wait(self) -> Any:
        """The value once it is there, or the fault that kept it from being made."""
        if self.error is not None:
            raise self.error
        if self.future is None:
            self.future = asyncio.get_running_loop().create_future()
        # Shielded: a waiter that is cancelled must not cancel the value under the one who makes it.
        return await asyncio.shield(self.future)

    def done(self, value: Any) -> None:
        """Hand the value to who waits."""
        if self.future is not None:
            self.future.set_result(value)

    def failed(self, error: BaseException) -> None:
        """Raise the fault to who waits and to who comes later."""
        self.error = error
        if self.future is not None:
            self.future.set_exception(error)
            self.future.exception()  # noted as seen: who waited may be cancelled by now


class _Frame:
    """The values of one graph in one query: of the program, or of one trip of a region."""

    __slots__ = ("again", "index", "memo", "query", "steps", "suffix")

    def __init__(
        self, query: Query, steps: Steps, params: Mapping[str, Any], index: int = 0, again: bool = False
    ) -> None:
        self.query = query
        self.steps = steps.by_name
        self.index = index  # which trip this is, over all regions around it: picks the sample
        self.again = again  # a trip after the first, which finds its prompts resident
        self.suffix = ""  # tells rounds of a while-region apart in streams
        self.memo: dict[str, Any] = {name: params[field] for name, field in steps.inputs}
        if query.keep:
            for name, value in self.memo.items():
                query.note(steps.by_name[name].name, value)


Evaluate = Callable[["Executable", _Frame, Step, list[Any]], Awaitable[Any]]


class Executable:
    """A plan bound to a scheduler: what runs queries.

    Args:
        plan: The lowered graph.
        scheduler: Of the engine the plan was lowered for, or of each of its engines.
        sandbox: Runs model-written code; made when first needed where not given.
        allow_impure: True where impure host functions may run.
    """

    def __init__(
        self,
        plan: Plan,
        scheduler: Scheduler | ByEngine[Scheduler],
        sandbox: Sandbox | None = None,
        allow_impure: bool = True,
    ) -> None:
        self.plan = plan
        self.schedulers = by_engine(scheduler)
        self._engines: ByEngine[Target] = self.schedulers.map(lambda s: s.engine)
        self.allow_impure = allow_impure
        self._sandbox = sandbox
        self._steps = steps_of(plan, plan.graph)
        self._inputs = InputReader(plan.graph.schema.inputs)

    async def run(self, inputs: Mapping[str, Any], keep: frozenset[str] = frozenset()) -> Run:
        """Run one query.

        Args:
            inputs: The program's inputs by name.
            keep: Full names of nodes whose values the trace shall keep.

        Raises:
            InputError: The inputs are not what the program takes, or too long.
            EngineError: The engine failed.
            BudgetError: The search's budget is used up.
        """
        values = self._inputs.read(inputs)
        query = Query(self.plan, self._engines, keep)
        result = await self.output(_Frame(query, self._steps, values), self._steps)
        if not isinstance(result, (Values, Failure)):
            result = Values({self.plan.graph.schema.outputs[0].name: result})
        return Run(result, query.trace)

    def close(self) -> None:
        """End the sandbox's processes."""
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None

    async def output(self, frame: _Frame, steps: Steps) -> Any:
        """The value of a graph's first output."""
        ref = steps.outputs[0]
        if not steps.chain:
            return await self._value(frame, ref)
        # Nothing here could be waited for side by side: walked in order, no value can be asked for twice.
        memo = frame.memo
        for step in steps.chain:
            values = [dig(memo[name], path) if path else memo[name] for name, path in step.takes]
            memo[step.node.name] = await self._apply(frame, step, values)
        return dig(memo[ref.node], ref.path) if ref.path else memo[ref.node]

    async def _value(self, frame: _Frame, ref: Ref) -> Any:
        value = await self._node(frame, ref.node)
        return dig(value, ref.path) if ref.path else value

    async def _node(self, frame: _Frame, name: str) -> Any:
        """A node's value, made by the first who comes for it."""
        memo = frame.memo
        if name in memo:
            value = memo[name]
            return await value.wait() if type(value) is _Making else value
        making = memo[name] = _Making()
        try:
            value = await self._make(frame, frame.steps[name])
        except BaseException as error:
            making.failed(error)
            raise
        memo[name] = value
        making.done(value)
        return value

    async def _make(self, frame: _Frame, step: Step) -> Any:
        if step.op != Op.SELECT:
            return await self._apply(frame, step, await self._taken(frame, step))
        condition, first, second = step.refs
        value = await self._value(frame, condition)
        if not isinstance(value, Failure):
            value = await self._value(frame, first if value else second)
        frame.query.note(step.name, value)
        return value

    async def _apply(self, frame: _Frame, step: Step, values: list[Any]) -> Any:
        """What a step makes of the values it takes."""
        query = frame.query
        failed = None if step.tolerant else _first_failure(values)
        if failed is not None:
            query.fuel.settle(step.held(frame.again))  # it will not run
            result = failed
        elif step.pure is None:
            result = await _EVALUATE[step.op](self, frame, step, values)
        else:
            result = step.pure(values)
            if isinstance(result, Failure):
                query.trace.failures.append(result)
        if query.keep:
            query.note(step.name, result)
        return result

    async def _taken(self, frame: _Frame, step: Step) -> list[Any]:
        """The values a step takes, made side by side where more than one of them is still to be made."""
        memo = frame.memo
        missing = [name for name in step.needs if name not in memo]
        if len(missing) == 1:
            await self._node(frame, missing[0])
        elif missing:
            await gather_all([self._node(frame, name) for name in missing])
        values = []
        for name, path in step.takes:
            value = memo[name]
            if type(value) is _Making:
                value = await value.wait()
            values.append(dig(value, path) if path else value)
        return values

    # what the ops do that wait ---------------------------------------------------------------------------

    async def _generate(self, frame: _Frame, step: Step, values: list[Any]) -> Any:
        attrs, query = step.attrs, frame.query
        assert isinstance(attrs, Generate) and step.prompt is not None
        asked = query.ids(step.name, step.prompt, dict(zip(step.refs, values, strict=True)))
        if isinstance(asked, Failure):
            query.fuel.settle(step.held(frame.again))  # it will not run
            return asked
        ids, cached = asked
        stream, first = "", 0
        if attrs.decoding.temperature:
            stream, first = step.stream + frame.suffix, frame.index * attrs.n
        request = GenerateRequest(ids, attrs.decoding, attrs.grammar, attrs.n, stream, first)
        samples = (await self.schedulers.of(attrs.engine).generate(request)).samples
        texts, tokens = tuple([s.text for s in samples]), tuple([s.tokens for s in samples])
        flops = query.charge(step.name, attrs.engine, ids, cached, texts, tokens)
        query.fuel.settle(step.held(frame.again), flops)
        return [Generation(ids, s) for s in samples] if step.node.type.many else Generation(ids, samples[0])

    async def _score(self, frame: _Frame, step: Step, values: list[Any]) -> Any:
        attrs, query = cast(Score, step.attrs), frame.query
        assert step.prompt is not None
        asked = query.ids(step.name, step.prompt, dict(zip(step.refs, values, strict=True)))
        if isinstance(asked, Failure):
            query.fuel.settle(step.held(frame.again))  # it will not run
            return asked
        ids, cached = asked
        scheduler = self.schedulers.of(attrs.engine)
        choices = tuple(scheduler.engine.tokenizer.encode(c)[0] for c in attrs.choices)
        scores = await scheduler.score(ScoreRequest(ids, choices))
        first = scores.probabilities[0]
        flops = query.charge(step.name, attrs.engine, ids, cached, (f"{first:.6f}",), ())
        query.fuel.settle(step.held(frame.again), flops)
        return first

    async def _execute(self, frame: _Frame, step: Step, values: list[Any]) -> Any:
        attrs = cast(Execute, step.attrs)
        program = "".join(v.text if isinstance(v, Generation) else str(v) for v in values)
        if self._sandbox is None:
            from .sandbox import Sandbox

            self._sandbox = Sandbox()
        result = await self._sandbox.run(program, attrs.schema.output_names, attrs.seconds, attrs.language)
        if attrs.language == "asp" and result.ok:
            from .answer_sets import solved

            return solved(program, result.values, attrs.schema, result.output)
        return executed(program, result.ok, result.values, result.error, attrs.schema)

    async def _retrieve(self, frame: _Frame, step: Step, values: list[Any]) -> Any:
        from .retrieve import retrieve

        attrs, held = cast(Retrieve, step.attrs), step.held(frame.again)
        return await retrieve(frame.query, step.name, attrs, values, held, self.schedulers.main.meter)

    async def _host(self, frame: _Frame, step: Step, values: list[Any]) -> Any:
        from .host import call_host

        return await call_host(frame.query, step.name, cast(Host, step.attrs), values, self.allow_impure)

    async def _loop(self, frame: _Frame, step: Step, values: list[Any]) -> Any:
        from .regions import run_region

        return await run_region(self, frame, step, cast(Loop, step.attrs), values)


def _first_failure(values: list[Any]) -> Failure | None:
    for value in values:
        if isinstance(value, Failure):
            return value
    return None


async def gather_all(awaitables: list[Any]) -> list[Any]:
    """Await side by side; the first fault cancels the rest and is raised once they have ended."""
    tasks = [asyncio.ensure_future(a) for a in awaitables]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


_EVALUATE: dict[str, Evaluate] = {
    Op.GENERATE.value: Executable._generate,
    Op.SCORE.value: Executable._score,
    Op.EXECUTE.value: Executable._execute,
    Op.RETRIEVE.value: Executable._retrieve,
    Op.HOST.value: Executable._host,
    Op.LOOP.value: Executable._loop,
}
