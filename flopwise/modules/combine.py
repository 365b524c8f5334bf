"""Combinators over modules: choose among them, draw several samples, vote, take the best."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, cast, get_args, overload

from ..errors import TraceError
from ..ir.builder import Builder
from ..ir.choices import Categorical, Integer, Var
from ..ir.nodes import Choice, Gather, Op, Rule, Type, Waves
from ..ir.prompt import Ref
from .base import Module, S, is_number, labels_of, snake
from .open import Open, one_of
from .symbols import Symbol, Tracer, place, tracer, tracing

OFF = "off"


@dataclass(frozen=True)
class Branches(Module[S]):
    """An open decision over modules: each is traced, one remains once the graph is specialised."""

    options: tuple[Module[S] | None, ...] = ()
    pick: Any = None

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Trace every branch on the same inputs; the choice node holds them all."""
        current = tracer("choice")
        named = self.named(self.name)
        current.claim(f"?{named.pick.name}", named.pick)
        branches = [_identity(records, named.name) if m is None else m.trace(*records, **inputs) for m in named.options]
        if len({shape(b._type) for b in branches}) > 1:
            raise TraceError(f"{place()}: the branches of choice {named.name!r} give different things: {branches}")
        refs = tuple(current.ref(b) for b in branches)
        name = current.unique(f"{named.name}.choice")
        labels = named.pick.domain.labels
        ref = current.builder.add(Op.CHOICE, name, Choice(named.pick.name, labels), refs, branches[0]._type)
        return Symbol(ref, branches[0]._type, current)

    def named(self, path: str) -> Branches[S]:
        """Itself with its decision under the path and each branch under the path and its label."""
        path = self.name or path
        if not path:
            raise TraceError("a choice needs a name: make it an attribute of the program, or give name=")
        labels = self.pick.domain.labels
        options = tuple(
            m.named(f"{path}.{_own(m, label)}") if m else None for m, label in zip(self.options, labels, strict=True)
        )
        decision = Var(path, self.pick.domain, labels[0])
        return Branches(self.of, options, decision, name=path)


def shape(type: Type) -> tuple[Any, ...]:
    """What must be alike where one of several values is taken: kind, list or not, outputs with their types."""
    outputs = type.schema.outputs if type.schema else ()
    return type.kind, type.many, tuple((f.name, f.type_json) for f in outputs)


def _own(module: Module[Any], label: str) -> str:
    return module.name.rsplit(".", 1)[-1] or label


def _identity(records: tuple[Any, ...], name: str) -> Symbol:
    if len(records) != 1 or not isinstance(records[0], Symbol):
        raise TraceError(f"{place()}: optional {name!r} must take a record, since off means passing it on")
    return records[0]


@overload
def choice(*options: Module[S], name: str = "") -> Module[S]: ...
@overload
def choice(*options: str, name: str = "") -> str: ...
def choice(*options: Any, name: str = "") -> Any:
    """An open decision over modules of one signature, or over texts.

    Raises:
        TraceError: Fewer than two options, or a mixture of modules and texts.
    """
    if len(options) < 2:
        raise TraceError(f"choice: at least two options are needed, but got {len(options)}")
    if all(isinstance(o, str) for o in options):
        return one_of(options, name)
    if not all(isinstance(o, Module) for o in options):
        raise TraceError(f"choice: options must all be modules or all texts, but got {options!r}")
    labels = labels_of(options)
    bare = tuple(_unnamed(o, label) for o, label in zip(options, labels, strict=True))
    return Branches(options[0].of, bare, Open(Categorical(labels)), name=name)


def _unnamed(module: Module[Any], label: str) -> Module[Any]:
    """A branch without a name of its own, so that its choices stand under the decision's path and its label."""
    return replace(module, name="")


J = TypeVar("J", bound=Module[Any])


def optional(module: J, *, name: str = "") -> J:
    """A module that takes records, or nothing in its place: records then pass on unchanged."""
    labels = (OFF, module.name or module.kind)
    branches: Any = Branches(module.of, (None, module), Open(Categorical(labels)), name=name)
    return cast(J, branches)


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
        n, temperature = _var(self.n, f"{base}.n"), _var(self.temperature, f"{base}.temperature")
        return Sampled(named, n, temperature, self.name, self.required, _named_waves(self.waves, base))

    def __call__(self, *records: Any, **inputs: Any) -> list[S]:
        """Trace the module once as the body of a region of n independent trips."""
        current = tracer("sample")
        module = self.module
        own = module.name or self.name.removesuffix(".sample")
        # A choice among modules has no kind to be named after, so without a name it is refused here.
        named = module.named(own if own or isinstance(module, Branches) else snake(module.kind))
        base = self.name or f"{named.name}.sample"
        n, temperature = (_var(v, f"{base}.{k}") for v, k in ((self.n, "n"), (self.temperature, "temperature")))
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


def _var(value: Any, path: str) -> Any:
    return value.named(path) if isinstance(value, Open) else value


def _named_waves(waves: Waves | None, base: str) -> Waves | None:
    if waves is None:
        return None
    return replace(waves, size=_var(waves.size, f"{base}.wave"), rule=_var(waves.rule, f"{base}.stop"))


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
        TraceError: n or wave is a number below 1, n a choice that goes below 0, a window is of one record, or stop
            or sure is not one of these.
    """
    _check_count("n", n, 0 if isinstance(n, (Open, Var)) else 1)
    if wave is None:
        return Sampled(module, n, temperature, name)
    rules = stop.domain.labels if isinstance(stop, (Open, Var)) and isinstance(stop.domain, Categorical) else (stop,)
    if not set(rules) <= set(RULES):
        raise TraceError(f"{place()}: sample: stop must be one of {list(RULES)}, but got {stop!r}")
    _check_count("wave", wave, 2 if "window" in rules else 1)
    if not is_number(sure) or not 0.5 <= sure < 1:
        raise TraceError(f"{place()}: sample: `0.5 <= sure < 1` must hold, but got {sure!r}")
    return Sampled(module, n, temperature, name, waves=Waves(wave, cast(Rule, stop), float(sure)))


RULES: tuple[str, ...] = get_args(Rule)


def _check_count(what: str, value: Any, least: int) -> None:
    """Raise TraceError where neither a whole number nor a choice of one from `least` up."""
    low = value.domain.low if isinstance(value, (Open, Var)) and isinstance(value.domain, Integer) else value
    if isinstance(low, bool) or not isinstance(low, int) or low < least:
        raise TraceError(
            f"{place()}: sample: a whole number `{what} >= {least}` or fw.integer({least}, ...) is needed, "
            f"but got {value!r}"
        )


def vote(records: list[S], *more: list[S], field: str = "", name: str = "") -> S:
    """The record whose `field` most others agree on, by their weights (self-consistency, Wang et al., 2022).

    Args:
        records: Drafts, weighed by a verifier or not. Failed ones do not vote.
        *more: Further drafts that vote along, such as those of another technique: techniques that err in different
            ways outvote each other's mistakes. Of equally many votes the first draft wins.
        field: The field voted on; the only output where it is not given.
        name: Name of the node.
    """
    name = name or "vote"
    return cast(S, _reduce(_joined([records, *more], name) if more else records, "majority", field, name))


def _joined(groups: list[Any], name: str) -> Symbol:
    """Lists of records as one list."""
    for group in groups:
        if not isinstance(group, Symbol) or group._type.schema is None:
            raise TraceError(f"{place()}: {name} takes lists of records from fw.sample or fw.map, but got {group!r}")
    first = groups[0]._type
    if len({shape(replace(g._type, many=True)) for g in groups}) > 1:
        raise TraceError(f"{place()}: {name} takes drafts of one kind, but these give different things: {groups}")
    current = tracer(name)
    kind = replace(first, many=True)
    refs = tuple(current.ref(group) for group in groups)
    return Symbol(current.builder.add(Op.GATHER, current.unique(f"{name}.all"), Gather(), refs, kind), kind, current)


def best(records: list[S], *, name: str = "") -> S:
    """The record of the largest weight (best-of-N); of the first where weights are equal."""
    return cast(S, _reduce(records, "best", "", name or "best"))


def first_valid(records: list[S], *, name: str = "") -> S:
    """The first record that did not fail."""
    return cast(S, _reduce(records, "first", "", name or "first_valid"))


def _reduce(records: Any, how: Any, by: str, name: str) -> Symbol:
    if isinstance(records, (list, tuple)) and any(isinstance(r, Symbol) for r in records):
        raise TraceError(
            f"{place()}: {name} takes one symbol that stands for a list of records, but got a Python "
            f"{type(records).__name__} of symbols; "
            "fw.Ensemble(a, b) has several modules answer and vote, fw.sample draws one several times"
        )
    if not isinstance(records, Symbol):
        raise TraceError(f"{place()}: {name} takes a list of records from fw.sample or fw.map, but got {records!r}")
    schema = records._type.schema
    if schema is None:
        raise TraceError(f"{place()}: {name} takes records, but {records!r} holds none")
    if not records._type.many:
        return records
    if how == "majority":
        by = by or schema.outputs[0].name
        if by not in schema.output_names:
            raise TraceError(f"{place()}: vote field {by!r} is no output of {schema.name}: {schema.output_names}")
    current = tracer(name)
    ref: Ref = current.builder.reduce(current.unique(name), current.ref(records), schema, how, by)
    return Symbol(ref, Type("record", schema), current)
