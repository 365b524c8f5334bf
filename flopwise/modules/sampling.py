"""Several draws of one module, all at once or in waves that end with the vote."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Generic, cast, get_args

from ..errors import TraceError
from ..ir.builder import Builder
from ..ir.choices import Categorical, Var
from ..ir.nodes import Rule, Type, Waves
from .base import Module, S, check_module, snake
from .branches import Branches
from .limits import check_whole
from .open import Open
from .settings import is_number
from .symbols import Symbol, Tracer, place, tracer, tracing

RULES: tuple[str, ...] = get_args(Rule)


@dataclass(frozen=True)
class Sampled(Generic[S]):
    """A module to be drawn from several times; its call gives the list of records."""

    module: Module[S]
    n: Any
    temperature: Any
    name: str = ""
    required: int = field(default=1)
    waves: Waves | None = None

    def named(self, path: str) -> Sampled[S]:
        """Itself, an attribute of a program, with its module and its choices named under the attribute."""
        named = self.module.named(path)
        base = self.name or f"{named.name}.sample"
        n, temperature = var_named(self.n, f"{base}.n"), var_named(self.temperature, f"{base}.temperature")
        return Sampled(named, n, temperature, self.name, self.required, _named_waves(self.waves, base))

    def on(self, engine: Any) -> Sampled[S]:
        """Itself with its module on an engine where that names none."""
        return replace(self, module=self.module.on(engine))

    def __call__(self, *records: Any, **inputs: Any) -> list[S]:
        """Trace the module once as the body of a region of n independent trips."""
        current = tracer("sample")
        module = self.module
        named = module.named(own_name(module, self.name.removesuffix(".sample")))
        base = self.name or f"{named.name}.sample"
        n, temperature = (var_named(v, f"{base}.{k}") for v, k in ((self.n, "n"), (self.temperature, "temperature")))
        waves = _named_waves(self.waves, base)
        for var in (n, temperature, *((waves.size, waves.rule) if waves else ())):
            if isinstance(var, Var):
                current.claim(f"?{var.name}", var)
        inner = Tracer(Builder(base), current)
        with tracing(inner):
            result = named.sampled(temperature).trace(*records, **inputs)
            out = inner.ref(result)
        schema = result._type.schema
        if result._type.many or schema is None:
            raise TraceError(f"{place()}: sample takes a module that gives one record, but {base!r} gives {result!r}")
        body = inner.builder.graph((out,), schema)
        kind = Type("record", schema, many=True)
        bind = inner.bindings(current)
        ref = current.builder.loop(current.unique(base), "repeat", body, bind, n, kind, self.required, waves=waves)
        return cast("list[S]", Symbol(ref, kind, current))


def own_name(module: Module[Any], given: str) -> str:
    """What a module is named that is drawn from: its own name, that of the sampling, or its kind.

    A choice among modules has no kind to be named after, so without a name it is refused when it is named.
    """
    own = module.name or given
    return own if own or isinstance(module, Branches) else snake(module.kind)


def var_named(value: Any, path: str) -> Any:
    """A choice under its dotted name; a plain value as it is."""
    return value.named(path) if isinstance(value, Open) else value


def _named_waves(waves: Waves | None, base: str) -> Waves | None:
    if waves is None:
        return None
    return replace(waves, size=var_named(waves.size, f"{base}.wave"), rule=var_named(waves.rule, f"{base}.stop"))


def sample(
    module: Module[S],
    n: int,
    *,
    temperature: float = 0.7,
    name: str = "",
    wave: int | None = None,
    stop: str = "decided",
    sure: float = 0.95,
) -> Sampled[S]:
    """Draw n records of a module independently (repeated sampling, Brown et al., 2024, arXiv:2407.21787).

    One sample is drawn greedily; a choice may go down to none. Under a cap per query, samples after the first are
    drawn only while what is left of the query's budget covers their static bound.

    With `wave`, that many are drawn at a time, and no more once the vote over them is settled: what the rest would
    have cost is not spent, though the static bound still counts it. This takes effect where `fw.vote` alone takes
    the list and counts heads; what a judge weighs, or is used elsewhere too, is drawn all at once. A query waits
    longer for its waves; a batch of queries does not.

    Args:
        module: What is drawn from.
        n: Most records, or an `fw.integer(...)` choice.
        temperature: What to draw with where the module sets none.
        name: Name in a function program.
        wave: Records at a time, or an `fw.integer(...)` choice; n or more means all at once.
        stop: "decided" where the records left could not change the vote: the same answer as all n give. "beta"
            also where the likeliest answer is ahead of the second with probability `sure` (Adaptive-Consistency,
            Aggarwal et al., 2023, arXiv:2305.11860). "window" also where the last `wave` records agree
            (Early-Stopping Self-Consistency, Li et al., 2024, arXiv:2401.10480). Or a choice of these.
        sure: The probability that "beta" asks for.

    Raises:
        TraceError: module is none, n or wave is a number below 1, n a choice that goes below 0, a window is of one
            record, or stop or sure is not one of these.
    """
    check_module("sample", module)
    whose = f"{place()}: sample"
    check_whole(whose, "n", n, 0 if isinstance(n, (Open, Var)) else 1, error=TraceError)
    if wave is None:
        return Sampled(module, n, temperature, name)
    rules = stop.domain.labels if isinstance(stop, (Open, Var)) and isinstance(stop.domain, Categorical) else (stop,)
    if not set(rules) <= set(RULES):
        raise TraceError(f"{whose}: stop must be one of {list(RULES)}, but got {stop!r}")
    check_whole(whose, "wave", wave, 2 if "window" in rules else 1, error=TraceError)
    if not is_number(sure) or not 0.5 <= sure < 1:
        raise TraceError(f"{whose}: `0.5 <= sure < 1` must hold, but got {sure!r}")
    return Sampled(module, n, temperature, name, waves=Waves(wave, cast(Rule, stop), float(sure)))
