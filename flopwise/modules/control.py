"""Control flow over symbols: conditions, loops, maps, and plain Python functions as nodes."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from ..errors import TraceError
from ..ir.builder import Builder
from ..ir.nodes import Host, Op, Type
from ..ir.prompt import Ref
from ..ir.types import type_json
from .hints import hints_of
from .lists import map_records
from .symbols import Symbol, Tracer, as_ref, place, shape, tracer, tracing

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def op(fn: Callable[P, R] | None = None, *, pure: bool = True, cap: int | None = None) -> Any:
    """Make a plain function usable over symbols: it becomes a Host node and runs when the pipeline runs.

    Args:
        fn: The function; its annotations type the result. It must be importable by name for an artifact.
        pure: Same arguments, same result, no effects. An impure one is never replayed or run in a search
            unless `compile(..., allow_impure=True)` says so.
        cap: Most tokens that its result takes in a prompt; 256 where not given.
    """
    if fn is None:
        return lambda inner: op(inner, pure=pure, cap=cap)

    # Artifacts name host functions by import path; only one that was marked here is ever called from there.
    fn.__flopwise_op__ = True  # type: ignore[attr-defined]

    @functools.wraps(fn)
    def traced(*args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(a, Symbol) for a in (*args, *kwargs.values())):
            return fn(*args, **kwargs)
        bound = _bound(fn, args, kwargs)
        refs = tuple(as_ref(v, f"{fn.__name__}.{k}") for k, v in bound.arguments.items())
        kind = _return_type(fn)
        current = tracer(fn.__name__)
        attrs = host_of(traced)
        return Symbol(current.builder.add(Op.HOST, current.unique(fn.__name__), attrs, refs, kind), kind, current)

    traced.__flopwise_host__ = (pure, cap)  # type: ignore[attr-defined]
    return traced


def host_of(wrapped: Any, *, catch: bool = False) -> Host:
    """How a graph calls a function that `op` has wrapped; with `catch` what it raises is its result, as a text."""
    fn, (pure, cap) = wrapped.__wrapped__, wrapped.__flopwise_host__
    return Host(f"{fn.__module__}:{fn.__qualname__}", source_hash(fn), pure, cap, fn, catch=catch)


def _bound(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
    """The arguments by name, all of which can be passed by position."""
    signature = inspect.signature(fn)
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    odd = [str(p) for p in signature.parameters.values() if p.kind not in by_position]
    if odd:
        raise TraceError(f"{place()}: fw.op takes functions of plain arguments, but {fn.__name__} has {', '.join(odd)}")
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TraceError(f"{place()}: {fn.__name__}{signature}: {error}") from None
    bound.apply_defaults()
    return bound


def source_hash(fn: Callable[..., Any]) -> str:
    """SHA-256 of a function's source text, so that an artifact notices another version of it."""
    try:
        return hashlib.sha256(inspect.getsource(fn).encode()).hexdigest()
    except (OSError, TypeError) as error:
        raise TraceError(f"fw.op needs the source of {fn!r}, which cannot be read: {error}") from None


def _return_type(fn: Callable[..., Any]) -> Type:
    hint = hints_of(fn).get("return")
    known = hint is not None and not isinstance(hint, str)
    return Type("value", json=type_json(hint, f"{fn.__name__} -> return") if known else "")


def when(condition: Any, then: T, otherwise: T, *, name: str = "when") -> T:
    """`then` where the condition is true when the pipeline runs, else `otherwise`; only that one is computed."""
    if not isinstance(condition, Symbol):
        return then if condition else otherwise
    current = tracer("when")
    refs = [as_ref(v, f"{name}.{k}") for v, k in ((condition, "if"), (then, "then"), (otherwise, "else"))]
    sides = [v._type for v in (then, otherwise) if isinstance(v, Symbol)]
    if len({shape(t) for t in sides}) > 1 or (any(t.kind == "record" for t in sides) and len(sides) == 1):
        raise TraceError(f"{place()}: when gives one of two different things: {then!r} or {otherwise!r}")
    kind = sides[0] if sides else Type("value")
    ref = current.builder.select(current.unique(name), refs[0], refs[1], refs[2], kind)
    return cast(T, Symbol(ref, kind, current))


def loop(
    step: Callable[[T], T], state: T, *, max_rounds: int, until: Callable[[T], Any] | None = None, name: str = "loop"
) -> T:
    """Apply `step` to a record again and again, at most `max_rounds` times or until a field of it is true.

    Args:
        step: Takes the state's symbol, returns the next one, of the same signature.
        state: The first state.
        max_rounds: Most rounds; a further one starts only while the query's budget covers its bound.
        until: Picks the field of the state that ends the loop, such as `lambda s: s.accepted`.
        name: Name of the region.

    Raises:
        TraceError: `max_rounds < 1`, step returns a record of another signature, or until no field of it.
    """
    if not isinstance(state, Symbol) or not isinstance(max_rounds, int) or max_rounds < 1:
        raise TraceError(f"{place()}: loop needs a symbol and `max_rounds >= 1`, but got {state!r}, {max_rounds!r}")
    current = tracer("loop")
    inner = Tracer(Builder(name), current)
    with tracing(inner):
        param = current.unique("state")
        before = Symbol(inner.builder.input(param, state._type), state._type, inner)
        after = step(cast(T, before))
        stop = until(cast(T, before)) if until else None
        if not isinstance(after, Symbol):
            raise TraceError(f"{place()}: loop's step must return {state!r}'s signature, but returned {after!r}")
        out = inner.ref(after)
    if after._type.schema != state._type.schema or state._type.schema is None:
        raise TraceError(f"{place()}: loop's step must return {state!r}'s signature, but returned {after!r}")
    body = inner.builder.graph((out,), state._type.schema)
    bind = {param: current.ref(state), **inner.bindings(current)}
    until_ref = _until(inner, stop, param) if until else None
    full = current.unique(name)
    ref = current.builder.loop(full, "while", body, bind, max_rounds, Type("tuple"), required=0, until=until_ref)
    return cast(T, Symbol(ref.at(0), state._type, current))


def _until(inner: Tracer, stop: Any, param: str) -> Ref:
    """What ends a loop, a field of its state; raises TraceError where it is anything else."""
    ref = inner.ref(stop) if isinstance(stop, Symbol) else None
    if ref is None or ref.node != param or not ref.path:
        raise TraceError(
            f"{place()}: loop's until must be a field of the state, but it is {stop!r}; give the signature an output "
            "that says so, such as `done: bool`, and pick it: until=lambda s: s.done"
        )
    return ref


def map_(fn: Callable[[S1], S2], items: list[S1], *, cap: int, name: str = "map") -> list[S2]:
    """Apply `fn` to each record of a list side by side; a list longer than `cap` is a failure.

    Raises:
        TraceError: `items` is not a list of records.
    """
    if not isinstance(items, Symbol) or not items._type.many:
        raise TraceError(f"{place()}: map takes a list of records, but got {items!r}")
    if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
        raise TraceError(f"{place()}: map: `cap >= 1` must hold, but got {cap!r}")
    return cast("list[S2]", map_records(fn, items, name, cap))


S1 = TypeVar("S1")
S2 = TypeVar("S2")
