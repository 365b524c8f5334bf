"""What a module is: a prompting technique over a signature, declared, named, bound and expanded; never run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import count
from typing import Any, ClassVar, Generic, Self, cast

from typing_extensions import TypeVar

from ..errors import ConfigError, InputError, TraceError
from ..ir.builder import Builder
from ..ir.choices import Config, DemoSet, Var, nearest_count
from ..ir.nodes import Call, Op, Type
from ..ir.prompt import Ref
from ..ir.request import Decoding
from ..ir.schemas import Schema
from .open import Open, OpenInstruction, demos
from .settings import check_settings
from .signature import Signature, from_text, schema_of
from .symbols import Symbol, as_ref, place, tracer
from .worked import Demo, Nearest, Neighbourhood

# The record of a module: a signature given as text has no class, so its records are Any.
S = TypeVar("S", default=Any)
D = TypeVar("D", Demo, Neighbourhood)
# The demos of a search by id, and those that a choice may retrieve from by the choice's name.
Pool = Mapping[str, Demo | Neighbourhood]


@dataclass(frozen=True)
class Module(Generic[S]):
    """Base of all modules. Declarative: a call adds a node to the traced graph, `expand` writes its ops.

    Attributes:
        of: The signature, as a class or a text.
        name: Name of the module in a function program; in a class program its attribute names it.
        instruction: Replaces the signature's own; a text or an `fw.instruction(...)` choice.
        demos: An `fw.demos(...)` choice, or worked examples: dicts of inputs, outputs, and what the technique adds.
        temperature: 0 is greedy; None is greedy too, and lets `fw.sample` set it.
        max_tokens: Most tokens of each free-text generation.
        template: jinja2 blocks (`system`, `user`, `assistant`, `prefill`) in place of the module's own.
        engine: The name of the engine that it asks, or a choice of names; the main one where neither it nor a module
            around it names any. What a name stands for is said where the program is compiled: `engines={name: ...}`.
        drawn_at: The temperature that `fw.sample` draws with; set by it, not by users.
    """

    adds: ClassVar[tuple[str, ...]] = ()
    """Names of what the technique adds to the signature's fields: no field can have one of them."""

    converses: ClassVar[bool] = False
    """True where the technique has a use for the conversation that its record came from (`Builder.turns`)."""

    explains: ClassVar[tuple[str, ...]] = ()
    """Names of those of its own steps that worked examples show."""

    answers: ClassVar[bool] = True
    """True where worked examples show the outputs."""

    of: type[S] | str
    name: str = field(default="", kw_only=True)
    instruction: Any = field(default=None, kw_only=True)
    demos: Any = field(default_factory=demos, kw_only=True)
    temperature: Any = field(default=None, kw_only=True)
    max_tokens: int = field(default=512, kw_only=True)
    template: str | None = field(default=None, kw_only=True)
    engine: Any = field(default=None, kw_only=True)
    drawn_at: Any = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        check_settings(self, schema_of(cast("type[Signature] | str", self.of)))
        if self.engine is not None:
            for f in fields(self):
                object.__setattr__(self, f.name, _on_engine(getattr(self, f.name), self.engine))

    @property
    def signature(self) -> Schema:
        """What goes in and comes out."""
        text = self.instruction if isinstance(self.instruction, str) else None
        return schema_of(cast("type[Signature] | str", self.of), text)

    @property
    def gives(self) -> Type:
        """What a call gives: a record of its signature, or a list of them."""
        return Type("record", self.signature)

    @property
    def kind(self) -> str:
        """The technique's name, which labels it in choices."""
        return type(self).__name__

    # naming, choices ------------------------------------------------------------------------------------

    def named(self, path: str) -> Self:
        """Itself with its choices named under a dotted path; a name the user gave wins."""
        path = self.name or path
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        if isinstance(self.instruction, OpenInstruction):
            settings["instruction"] = self.instruction.begun(self.signature.instruction, self.kind)
        changes = {name: _named(value, f"{path}.{name}") for name, value in settings.items()}
        return replace(self, **{**changes, "name": path})

    def open(self) -> tuple[Var, ...]:
        """Open values of its settings, those of inner modules included."""
        return tuple(v for f in fields(self) for v in _open(getattr(self, f.name)))

    def bind(self, config: Config, demo_pool: Pool | None = None) -> Self:
        """Itself with every open value that the config has assigned; demo ids become the demos themselves."""
        pool = demo_pool or {}
        return replace(self, **{f.name: _bind(getattr(self, f.name), config, pool) for f in fields(self) if f.init})

    def sampled(self, temperature: Any) -> Self:
        """Itself and its inner modules drawn at a temperature where the user set none; None is greedy again."""
        changes: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Module):
                changes[f.name] = value.sampled(temperature)
            elif isinstance(value, tuple) and any(isinstance(v, Module) for v in value):
                changes[f.name] = tuple(v.sampled(temperature) if isinstance(v, Module) else v for v in value)
        return replace(self, **changes, drawn_at=temperature)

    def on(self, engine: Any) -> Self:
        """Itself and the modules inside it on an engine where they name none, such as `fw.stack(Solve).on("large")`.

        Args:
            engine: A name, or a choice of names: each module's own, unless the choice has a name of its own.
        """
        return replace(self, engine=self.engine if self.engine is not None else engine)

    # calling --------------------------------------------------------------------------------------------

    def __call__(self, *records: Any, **inputs: Any) -> S:
        """Apply the module to symbols inside a program; the result is a record of its signature.

        Raises:
            InputError: An input is unknown or missing.
            TraceError: Called outside a program.
        """
        return cast(S, self.trace(*records, **inputs))

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Add the call to the graph being traced."""
        tracer(self.kind)
        if records:
            raise InputError(f"{place()}: {self.kind} takes its inputs by name, such as {self.signature.as_text()}")
        given = self.inputs_of(inputs)
        return self.add_call({name: as_ref(value, name) for name, value in given.items()})

    def add_call(self, refs: dict[str, Ref]) -> Symbol:
        """Add the call node with inputs that are already refs."""
        current = tracer(self.kind)
        # In a function program nothing has named the module's choices yet; elsewhere this changes nothing.
        named = self.named(self.name or snake(self.kind))
        current.claim(named.name, named.sampled(None))
        for var in named.open():
            current.claim(f"?{var.name}", var)
        kind = named.gives
        call = Call(named, tuple(refs))
        ref = current.builder.add(Op.CALL, current.unique(named.name), call, tuple(refs.values()), kind)
        return Symbol(ref, kind, current)

    def inputs_of(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs in the signature's order, optional ones filled with None; raise InputError where they differ."""
        schema = self.signature
        known = {f.name for f in schema.inputs}
        unknown = [n for n in inputs if n not in known]
        missing = [f.name for f in schema.inputs if f.name not in inputs and not f.optional]
        if unknown or missing:
            raise InputError(
                f"{place()}: {self.kind}({schema.name}) takes {', '.join(known) or 'no inputs'};"
                + (f" unknown: {', '.join(unknown)}." if unknown else "")
                + (f" missing: {', '.join(missing)}." if missing else "")
            )
        return {f.name: inputs.get(f.name) for f in schema.inputs}

    # expansion ------------------------------------------------------------------------------------------

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Write the module's ops and return the record; every technique has its own.

        Raises:
            TraceError: The module is a combinator, which traces its parts and has no ops of its own.
        """
        raise TraceError(f"{self.kind} has no expand(builder, inputs), so it cannot be called as a technique")

    def decoding(self, stop: tuple[str, ...] = (), max_tokens: int | None = None) -> Decoding:
        """The decoding of its free-text generations."""
        temperature = self.temperature if self.temperature is not None else self.drawn_at
        return Decoding(temperature=float(temperature or 0.0), max_tokens=max_tokens or self.max_tokens, stop=stop)

    @property
    def worked(self) -> tuple[Demo, ...] | Nearest:
        """Its demos as worked examples, once bound; given as plain dicts they are numbered."""
        if isinstance(self.demos, Nearest):
            return self.demos
        if isinstance(self.demos, (Var, Open)) or not self.demos:
            return ()
        return tuple(d if isinstance(d, Demo) else Demo(f"given-{i}", dict(d)) for i, d in enumerate(self.demos))

    def __str__(self) -> str:
        shown = [f"{f.name}={getattr(self, f.name)}" for f in fields(self) if isinstance(getattr(self, f.name), Var)]
        shown += [f"engine={self.engine}"] if isinstance(self.engine, str) else []
        return f"{self.kind}({', '.join([self.signature.name, *shown])})"

    def differences(self, other: Any) -> str:
        """The settings in which another module of its kind differs, as they are here."""
        ours = [(f.name, getattr(self, f.name)) for f in fields(self)]
        differ = [f"{name}={value!r:.80}" for name, value in ours if repr(value) != repr(getattr(other, name, None))]
        return ", ".join(differ)


def check_module(what: str, module: Any) -> None:
    """Raise TraceError where something else than a module stands in a module's place."""
    if not isinstance(module, Module):
        raise TraceError(
            f"{place()}: {what}: a module is needed, but got {module!r:.100}; fw.sample stands around a module and "
            "inside of none; a module is an instance, such as fw.Predict(Solve)"
        )


def _on_engine(value: Any, engine: Any) -> Any:
    """What a setting holds, modules and samples of them on an engine where they name none; anything else as it is."""
    from .sampling import Sampled  # which stands around modules

    if type(value) in (tuple, list) and any(isinstance(v, (Module, Sampled)) for v in value):
        return type(value)(_on_engine(v, engine) for v in value)
    return value.on(engine) if isinstance(value, (Module, Sampled)) else value


def result_type(of: Any) -> type[Signature]:
    """The class that a module's records are instances of."""
    return from_text(of) if isinstance(of, str) else cast("type[Signature]", of)


def snake(name: str) -> str:
    """`ChainOfThought` as `chain_of_thought`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _named(value: Any, path: str) -> Any:
    if isinstance(value, Open):
        return value.named(path)
    if isinstance(value, Module):
        return value.named(path)
    if isinstance(value, tuple) and any(isinstance(v, Module) for v in value):
        parent = path.rsplit(".", 1)[0]
        return tuple(m.named(f"{parent}.{label}") for m, label in zip(value, labels_of(value), strict=True))
    return value


def labels_of(modules: tuple[Any, ...]) -> tuple[str, ...]:
    """Labels that tell modules apart: the name given to each, else its kind, numbered where it repeats."""
    labels: list[str] = []
    for module in modules:
        label = module.name.rsplit(".", 1)[-1] or module.kind
        numbered = (f"{label}_{i}" for i in count(2))
        labels.append(label if label not in labels else next(n for n in numbered if n not in labels))
    return tuple(labels)


def _open(value: Any) -> Iterator[Var]:
    if isinstance(value, Var):
        yield value
    elif isinstance(value, Module):
        yield from value.open()
    elif isinstance(value, tuple):
        for item in value:
            yield from _open(item)


def _bind(value: Any, config: Config, pool: Pool) -> Any:
    if isinstance(value, Var) and value.name in config:
        got = value.resolve(config)
        return _shown(value.name, got, pool) if isinstance(value.domain, DemoSet) else got
    if isinstance(value, Module):
        return value.bind(config, pool)
    if isinstance(value, tuple) and any(isinstance(v, Module) for v in value):
        return tuple(v.bind(config, pool) for v in value)
    return value


def _shown(choice: str, value: Any, pool: Pool) -> tuple[Demo, ...] | Nearest:
    """The demos that a choice's value stands for; the pool has those to retrieve from under the choice's name."""
    if k := nearest_count(value):
        return Nearest(_pooled(choice, choice, pool, Neighbourhood, value), k)
    return tuple(_pooled(choice, id, pool, Demo, id) for id in value)


def _pooled(choice: str, key: str, pool: Pool, kind: type[D], value: str) -> D:
    found = pool.get(key)
    if not isinstance(found, kind):
        raise ConfigError(
            f"choice {choice!r}: there is no demo {value!r} here; demo ids belong to the search that made them. "
            "Save its pipeline instead, or give the module demos=[{...}]"
        )
    return found
