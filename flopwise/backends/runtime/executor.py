"""The executor: walks a plan for one query at a time, any number of queries at once.

Values are pulled from the outputs backwards, so a select computes one side only. What a node needs is awaited side
by side. Failures flow through; only faults of the system are raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ...ir.graph import Graph
from ...ir.nodes import Const, Execute, Gather, Generate, Host, Input, Loop, Node, Op, Pack, Parse, Reduce, Score
from ...ir.plan import Plan
from ...ir.prompt import Ref
from ...ir.record import Failure, Generation, Trace, Values
from ...ir.request import GenerateRequest, ScoreRequest
from .query import Query, check_inputs
from .sandbox import Sandbox
from .scheduler import Scheduler
from .values import dig, executed, gather, pack, parse, reduce

_TOLERANT = {Op.GATHER, Op.REDUCE, Op.SELECT}


@dataclass(frozen=True, slots=True)
class Run:
    """The end of a query: its record or failure, and its trace."""

    result: Values | Failure
    trace: Trace


class _Frame:
    """The values of one graph in one query: of the program, or of one trip of a region."""

    __slots__ = ("again", "graph", "index", "memo", "path", "query", "suffix")

    def __init__(
        self, query: Query, graph: Graph, params: dict[str, Any], path: str = "", index: int = 0, again: bool = False
    ) -> None:
        self.query = query
        self.graph = graph
        self.path = path
        self.index = index  # which trip this is, over all regions around it: picks the sample
        self.again = again  # a trip after the first, which finds its prompts resident
        self.suffix = ""  # tells rounds of a while-region apart in streams
        self.memo: dict[str, Any] = params


Evaluate = Callable[["Executable", _Frame, Node, list[Any]], Awaitable[Any]]


class Executable:
    """A plan bound to a scheduler: what runs queries.

    Args:
        plan: The lowered graph.
        scheduler: Of the engine the plan was lowered for.
        sandbox: Runs model-written code; made when first needed where not given.
        allow_impure: True where impure host functions may run.
    """

    def __init__(
        self, plan: Plan, scheduler: Scheduler, sandbox: Sandbox | None = None, allow_impure: bool = True
    ) -> None:
        self.plan = plan
        self.scheduler = scheduler
        self.allow_impure = allow_impure
        self._sandbox = sandbox

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
        values = check_inputs(inputs, self.plan.graph.schema.inputs)
        engine = self.scheduler.engine
        query = Query(self.plan, engine.model.cost, engine.tokenizer, keep)
        frame = _Frame(query, self.plan.graph, values)
        result = await self._value(frame, self.plan.graph.outputs[0])
        if not isinstance(result, (Values, Failure)):
            result = Values({self.plan.graph.schema.outputs[0].name: result})
        return Run(result, query.trace)

    def close(self) -> None:
        """End the sandbox's processes."""
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None

    async def _value(self, frame: _Frame, ref: Ref) -> Any:
        value = await self._node(frame, ref.node)
        return dig(value, ref.path) if ref.path else value

    async def _node(self, frame: _Frame, name: str) -> Any:
        if name in frame.memo:
            value = frame.memo[name]
            # Shielded: a waiter that is cancelled must not cancel the value under the one who makes it.
            return await asyncio.shield(value) if isinstance(value, asyncio.Future) else value
        # Two users may come for one value at once: the second waits for the first.
        pending: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        frame.memo[name] = pending
        try:
            value = await self._evaluate(frame, frame.graph.by_name[name])
        except BaseException as error:
            pending.set_exception(error)
            pending.exception()  # noted as seen: nobody else may be waiting
            raise
        frame.memo[name] = value
        pending.set_result(value)
        if frame.path + name in frame.query.keep:
            frame.query.trace.values[frame.path + name] = value
        return value

    async def _evaluate(self, frame: _Frame, node: Node) -> Any:
        if isinstance(node.attrs, Input):
            return frame.memo[node.attrs.field]
        if node.op is Op.SELECT:
            condition = await self._value(frame, node.inputs[0])
            if isinstance(condition, Failure):
                return condition
            return await self._value(frame, node.inputs[1] if condition else node.inputs[2])
        values = await self._all(frame, list(node.refs()))
        if node.op not in _TOLERANT:
            failed = next((v for v in values if isinstance(v, Failure)), None)
            if failed is not None:
                self._release(frame, node)
                return failed
        return await _EVALUATE[node.op](self, frame, node, values)

    async def _all(self, frame: _Frame, refs: list[Ref]) -> list[Any]:
        """The values of refs, side by side where more than one of them is still to be made."""
        missing = dict.fromkeys(r.node for r in refs if r.node not in frame.memo)
        if len(missing) > 1:
            await gather_all([self._node(frame, name) for name in missing])
        return [await self._value(frame, r) for r in refs]

    # what each op does ----------------------------------------------------------------------------------

    def _release(self, frame: _Frame, node: Node) -> None:
        """Give back what was held for a node that will not run."""
        frame.query.fuel.settle(self._held(frame, node))

    def _held(self, frame: _Frame, node: Node) -> float:
        bound = self.plan.bounds.get(frame.path + node.name)
        if bound is None:
            return 0.0
        return bound.again if frame.again and node.prompt is not None else bound.least

    async def _generate(self, frame: _Frame, node: Node, values: list[Any]) -> Any:
        attrs = cast(Generate, node.attrs)
        query, name = frame.query, frame.path + node.name
        ids, cached = query.ids(name, self.plan.prompts[name], _by_ref(node, values))
        stream = self.plan.streams.get(name, "") + frame.suffix if attrs.decoding.temperature else ""
        first = frame.index * attrs.n if attrs.decoding.temperature else 0
        request = GenerateRequest(ids, attrs.decoding, attrs.grammar, attrs.n, stream, first)
        samples = (await self.scheduler.generate(request)).samples
        flops = query.charge(name, ids, cached, tuple(s.text for s in samples), tuple(s.tokens for s in samples))
        query.fuel.settle(self._held(frame, node), flops)
        made = [Generation(ids, s) for s in samples]
        return made if node.type.many else made[0]

    async def _score(self, frame: _Frame, node: Node, values: list[Any]) -> Any:
        attrs = cast(Score, node.attrs)
        query, name = frame.query, frame.path + node.name
        ids, cached = query.ids(name, self.plan.prompts[name], _by_ref(node, values))
        choices = tuple(query.tokenizer.encode(c)[0] for c in attrs.choices)
        scores = await self.scheduler.score(ScoreRequest(ids, choices))
        first = scores.probabilities[0]
        flops = query.charge(name, ids, cached, (f"{first:.6f}",), ())
        query.fuel.settle(self._held(frame, node), flops)
        return first

    async def _execute(self, frame: _Frame, node: Node, values: list[Any]) -> Any:
        attrs = cast(Execute, node.attrs)
        program = "".join(v.text if isinstance(v, Generation) else str(v) for v in values)
        if self._sandbox is None:
            self._sandbox = Sandbox()
        result = await self._sandbox.run(program, attrs.schema.output_names, attrs.seconds)
        return executed(program, result.ok, result.values, result.error, attrs.schema)

    async def _parse(self, frame: _Frame, node: Node, values: list[Any]) -> Any:
        result = parse(frame.path + node.name, cast(Parse, node.attrs), values)
        if isinstance(result, Failure):
            frame.query.trace.failures.append(result)
        return result

    async def _pack(self, frame: _Frame, node: Node, values: list[Any]) -> Any:
        return pack(cast(Pack, node.attrs), values)

    async def _gather(self, frame: _Frame, node: Node, values: list[Any]) -> Any:
        return gather(cast(Gather, node.attrs), values)

    async def _reduce(self, frame: _Frame, node: Node, values: list[Any]) -> Any:
        records = values[0] if isinstance(values[0], list) else [values[0]]
        result = reduce(frame.path + node.name, cast(Reduce, node.attrs), records)
        if isinstance(result, Failure):
            frame.query.trace.failures.append(result)
        return result

    async def _const(self, frame: _Frame, node: Node, values: list[Any]) -> Any:
        return cast(Const, node.attrs).value

    async def _host(self, frame: _Frame, node: Node, values: list[Any]) -> Any:
        from .host import call_host

        attrs = cast(Host, node.attrs)
        return await call_host(frame.query, frame.path + node.name, attrs, values, self.allow_impure)

    async def _loop(self, frame: _Frame, node: Node, values: list[Any]) -> Any:
        from .regions import run_region

        return await run_region(self, frame, node, cast(Loop, node.attrs), values)


def _by_ref(node: Node, values: list[Any]) -> dict[Ref, Any]:
    """A prompt's values by where they come from: a chat template may put its turns in an order of its own."""
    return dict(zip(node.refs(), values, strict=True))


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


_EVALUATE: dict[Op, Evaluate] = {
    Op.GENERATE: Executable._generate,
    Op.SCORE: Executable._score,
    Op.EXECUTE: Executable._execute,
    Op.PARSE: Executable._parse,
    Op.PACK: Executable._pack,
    Op.GATHER: Executable._gather,
    Op.REDUCE: Executable._reduce,
    Op.CONST: Executable._const,
    Op.HOST: Executable._host,
    Op.LOOP: Executable._loop,
}
