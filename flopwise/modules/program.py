"""Programs: ordinary Python over modules, as a class with `forward` or a decorated function."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast

from ..errors import TraceError
from ..ir.builder import Builder
from ..ir.graph import Graph
from ..ir.nodes import Type
from ..ir.schemas import ANYTHING, Field, Schema, type_name
from ..ir.types import type_json
from .base import Module, result_type
from .hints import hints_of
from .open import Open
from .sampling import Sampled
from .signature import Signature, schema_of
from .symbols import Symbol, Tracer, place, tracing

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Forward(Protocol[P, R_co]):
    """Anything with a `forward` method: what compile takes, typed so that the result is typed alike."""

    def forward(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """The pipeline, written over modules."""


class Program:
    """Base of class programs: modules and choices are attributes, `forward` is the pipeline."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: a program has no engine of its own, so it is no function; raises TraceError."""
        raise _not_called(f"{type(self).__name__}()")

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(trace(cast(Any, self)).as_text())}</pre>"


class FunctionProgram(Generic[P, R]):
    """A program made from a function by `fw.program`; its modules and choices carry `name=`."""

    def __init__(self, fn: Callable[P, R]) -> None:
        functools.update_wrapper(cast(Any, self), fn)
        self.forward = fn

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Refused: a program has no engine of its own, so it is no function; raises TraceError."""
        raise _not_called(getattr(self, "__name__", "a function"))


def _not_called(name: str) -> TraceError:
    return TraceError(
        f"{place()}: {name} is a program, which is not called: fw.lower({name}, engine=...) or fw.compile({name}, ...) "
        f"makes a pipeline of it that is; inside another program write .forward(...)"
    )


def program(fn: Callable[P, R]) -> FunctionProgram[P, R]:
    """Make a program of a function over modules; modules and choices inside it are named by `name=`."""
    return FunctionProgram(fn)


def trace(source: Any, name: str | None = None) -> Graph:
    """The graph of a program or of a bare module, choices open.

    Args:
        source: A Program, a function program, or a module.
        name: The graph's name; the program's where not given.

    Raises:
        TraceError: `forward` uses ordinary control flow over symbols, or returns something else than a record, or
            than what it says it returns.
    """
    if isinstance(source, type):
        raise TraceError(
            f"a program must be an instance, but {source.__name__} is a class; make an instance: {source.__name__}()"
        )
    if isinstance(source, Module):
        return _trace_module(source, name)
    if not hasattr(source, "forward"):
        raise TraceError(f"a program needs forward(self, ...), but {type(source).__name__} has none")
    named = _with_names(source)
    hints = hints_of(source.forward, _signatures(source))
    fields = [_input_field(p, hints) for p in inspect.signature(source.forward).parameters.values()]
    full = name or str(getattr(source, "__name__", type(source).__name__))
    return _trace(named.forward, tuple(fields), full, hints.get("return"))


def _trace_module(module: Module[Any], name: str | None) -> Graph:
    named = module if module.name else module.named(module.kind)
    return _trace(lambda **inputs: named.trace(**inputs), module.signature.inputs, name or module.kind)


def _trace(forward: Callable[..., Any], fields: tuple[Field, ...], name: str, promised: Any = None) -> Graph:
    root = Tracer(Builder(name))
    inputs = {}
    for field in fields:
        kind = Type("value", json=field.type_json)
        inputs[field.name] = Symbol(root.builder.input(field.name, kind), kind, root)
    with tracing(root):
        try:
            result = forward(**inputs)
        except TypeError as error:
            raise TraceError(
                f"{place(error)}: {error}. While forward is traced its values are symbols, only known when the "
                "pipeline runs; if this line needs one, write a function and wrap it with fw.op"
            ) from error
    if not isinstance(result, Symbol) or result._tracer is not root:
        raise TraceError(f"{place()}: forward must return a record made inside it, but returned {result!r}")
    if result._type.many:
        raise TraceError(f"{place()}: forward must return one record, but {result!r} is a list; vote or take the best")
    _check_promise(promised, result)
    return root.builder.graph((root.ref(result),), _program_schema(name, fields, result))


def _check_promise(promised: Any, result: Symbol) -> None:
    """Raise TraceError where forward says it returns another record than it does."""
    if not (isinstance(promised, type) and issubclass(promised, Signature)) or promised is Signature:
        return
    said, made = schema_of(promised), result._type.schema
    given = {f.name: f.type_json for f in made.outputs} if made else None
    if given != {f.name: f.type_json for f in said.outputs}:
        what = f"{made.name} ({_outputs(made)})" if made else repr(result)
        raise TraceError(
            f"forward(...) -> {said.name} promises a record with {_outputs(said)}, but forward returns {what}; "
            "change the annotation or what is returned"
        )


def _outputs(schema: Schema) -> str:
    return ", ".join(f"{f.name}: {type_name(f.type)}" for f in schema.outputs)


def _program_schema(name: str, fields: tuple[Field, ...], result: Symbol) -> Schema:
    made = result._type.schema
    if made is None:
        # What a function without a return annotation gives may be anything; it is then the result as it is.
        outputs: tuple[Field, ...] = (Field("result", result._type.json or ANYTHING),)
        return Schema(name, "", fields, outputs)
    return Schema(made.name, made.instruction, fields, made.outputs)


def _input_field(parameter: inspect.Parameter, hints: dict[str, Any]) -> Field:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise TraceError(f"forward's inputs must be named one by one, but it takes {parameter}")
    hint = hints.get(parameter.name, str)
    if isinstance(hint, str):
        raise TraceError(f"forward({parameter.name}): the type {hint!r} cannot be found; define it at module level")
    optional = parameter.default is not parameter.empty
    if optional and parameter.default is not None:
        raise TraceError(
            f"forward({parameter}): an input that may be left out is None then, so its default must be None"
        )
    return Field(parameter.name, type_json(hint, f"forward({parameter.name})"), "", optional)


def _with_names(source: Any, path: str = "", owners: dict[str, str] | None = None) -> Any:
    """A copy of the program whose modules and choices carry their attribute paths; raise TraceError on a duplicate."""
    if isinstance(source, FunctionProgram):
        return source
    owners = {} if owners is None else owners
    named = copy.copy(source)
    for attribute, value in _attributes(source).items():
        put = _named(value, f"{path}{attribute}", owners)
        if put is not value:
            setattr(named, attribute, put)
    return named


def _named(value: Any, path: str, owners: dict[str, str]) -> Any:
    """A value of an attribute, modules and choices in it named by the path; lists, dicts and programs are gone into."""
    if isinstance(value, (Module, Open, Sampled)):
        named = value.named(path)
        name = named.module.name if isinstance(named, Sampled) else named.name
        if name in owners:
            raise TraceError(f"{owners[name]} and {path} are both named {name!r}; give one of them another name=")
        owners[name] = path
        return named
    if isinstance(value, Program):
        return _with_names(value, f"{path}.", owners)
    if type(value) in (list, tuple):
        items = [_named(v, f"{path}.{i}", owners) for i, v in enumerate(value)]
        return type(value)(items) if any(a is not b for a, b in zip(items, value, strict=True)) else value
    if type(value) is dict:
        pairs = {k: _named(v, f"{path}.{k}", owners) for k, v in value.items()}
        return pairs if any(pairs[k] is not value[k] for k in value) else value
    return value


def _attributes(source: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for cls in reversed(type(source).__mro__):
        found.update({k: v for k, v in vars(cls).items() if not k.startswith("__")})
    return {**found, **vars(source)}


def _signatures(source: Any) -> dict[str, Any]:
    """Signature classes that the program's modules are of, by name: what its hints may mean."""
    modules = [v.module if isinstance(v, Sampled) else v for v in _attributes(source).values()]
    return {m.of.__name__: m.of for m in modules if isinstance(m, Module) and isinstance(m.of, type)}


def result_class(source: Any, schema: Schema) -> type[Signature]:
    """The class a program's records are instances of: its own signature class, or one made from the schema."""
    if isinstance(source, Module):
        return result_type(source.of)
    hint = hints_of(source.forward, _signatures(source)).get("return") if hasattr(source, "forward") else None
    return hint if isinstance(hint, type) and issubclass(hint, Signature) else record_class(schema)


def record_class(schema: Schema) -> type[Signature]:
    """A signature class made from a schema, for pipelines loaded without the user's code."""
    from pydantic import create_model

    from ..ir.types import annotation
    from .signature import Input, Output

    fields: dict[str, Any] = {f.name: (annotation(f.type), Input(None)) for f in schema.inputs}
    fields |= {f.name: (annotation(f.type), Output()) for f in schema.outputs}
    return create_model(schema.name, __base__=Signature, __doc__=schema.instruction, **fields)
