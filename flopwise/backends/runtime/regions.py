"""Regions at run time: trips side by side or one after another, as far as the query's fuel goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...ir.nodes import Loop
from ...ir.plan import Bound
from ...ir.record import Failure
from .steps import Step
from .values import dig
from .waves import settled

if TYPE_CHECKING:
    from .executor import Executable, _Frame


async def run_region(executable: Executable, frame: _Frame, step: Step, loop: Loop, values: list[Any]) -> Any:
    """Run a region and return its list (repeat, map) or its last carried values (while)."""
    bound = step.bound
    if loop.mode == "repeat":
        return await _repeat(executable, frame, step, loop, values, bound)
    if loop.mode == "map":
        return await _map(executable, frame, step, loop, values, bound)
    return await _while(executable, frame, step, loop, values, bound)


async def _repeat(
    executable: Executable, frame: _Frame, step: Step, loop: Loop, values: list[Any], bound: Bound
) -> list[Any]:
    """Independent trips in waves: the required ones and as many at once as the wave has and the fuel covers."""
    assert isinstance(loop.trips, int)
    fuel, waves = frame.query.fuel, loop.waves
    most = waves.size if waves is not None and isinstance(waves.size, int) else loop.trips
    results: list[Any] = []
    while len(results) < loop.trips:
        done = len(results)
        if waves is not None and settled(waves, results, loop.trips - done):
            break
        must = max(0, min(loop.required, loop.trips) - done)
        # What a further record will cost where it is judged later is held with the trip that makes it.
        extra = fuel.affordable(bound.trip(1) + bound.carry, max(0, min(most, loop.trips - done) - must))
        if must + extra == 0:
            break
        trips = [_trip(executable, frame, step, loop, values, done + i, loop.trips) for i in range(must + extra)]
        results += await _side_by_side(trips)
    return results


async def _map(
    executable: Executable, frame: _Frame, step: Step, loop: Loop, values: list[Any], bound: Bound
) -> list[Any] | Failure:
    """One trip for each item; items that failed pass through."""
    assert isinstance(loop.trips, int)
    items = values[0]
    if isinstance(items, Failure):
        return items
    name, most = step.name, loop.trips
    if len(items) > most:
        return frame.query.fail(name, f"{len(items)} items are more than the cap of {most}")
    # A function may give fewer items than were held for.
    held = bound.least - sum(bound.trip(i) for i in range(len(items)))
    frame.query.fuel.settle(max(0.0, held))

    async def one(i: int, item: Any) -> Any:
        if isinstance(item, Failure):
            frame.query.fuel.settle(bound.trip(i))
            return item
        return await _trip(executable, frame, step, loop, [item, *values[1:]], i, most)

    return await _side_by_side([one(i, item) for i, item in enumerate(items)])


async def _while(executable: Executable, frame: _Frame, step: Step, loop: Loop, values: list[Any], bound: Bound) -> Any:
    """Trips one after another until the carried values say so, the trips or the fuel are at their end."""
    assert isinstance(loop.trips, int)
    carried, done = list(values), 0
    for i in range(loop.trips):
        state = dict(zip(loop.params, carried, strict=True))
        if loop.until is not None and dig(state[loop.until.node], loop.until.path):
            break
        if i >= loop.required and not frame.query.fuel.take(bound.trip(i)):
            break
        done += 1
        outputs = await _trip(executable, frame, step, loop, carried, i, 1)
        if any(isinstance(o, Failure) for o in outputs):
            break  # a round that failed leaves what was there before it
        carried = [*outputs, *carried[len(outputs) :]]
    frame.query.fuel.settle(max(0, loop.required - done) * bound.trip(0))
    return tuple(carried[: len(loop.body.outputs)])


async def _trip(
    executable: Executable, frame: _Frame, step: Step, loop: Loop, values: list[Any], trip: int, most: int
) -> Any:
    """One trip: the body on its parameters. Its index in all regions picks its samples."""
    from .executor import _Frame as Frame

    params = dict(zip(loop.params, values, strict=True))
    rounds = loop.mode == "while"
    index = frame.index if rounds else frame.index * most + trip
    assert step.body is not None
    inner = Frame(frame.query, step.body, params, index, again=trip > 0 and not rounds)
    inner.suffix = frame.suffix + (f"/{trip}" if rounds and (trip or frame.suffix) else "")
    if rounds:
        return [await executable._value(inner, out) for out in loop.body.outputs]
    return await executable.output(inner, step.body)


async def _side_by_side(trips: list[Any]) -> list[Any]:
    from .executor import gather_all

    return [await trips[0]] if len(trips) == 1 else await gather_all(trips)
