"""Python types to JSON Schema and back, values to text, and the validators that read records."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Optional, Union

from ..errors import SignatureError
from .schemas import Field, Schema, canonical

if TYPE_CHECKING:
    from pydantic import BaseModel

_SCALARS: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "null": type(None)}
_FORMATS: dict[str, Any] = {
    "date": datetime.date,
    "date-time": datetime.datetime,
    "time": datetime.time,
}
_NOISE = ("title", "description", "default")


def type_json(annotation: Any, place: str) -> str:
    """The canonical JSON Schema text of a Python type.

    Raises:
        SignatureError: pydantic has no schema for the type, or the schema refers to itself.
    """
    from pydantic import PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        schema = TypeAdapter(annotation).json_schema(schema_generator=_schemas())
        return canonical(_inline(schema, schema.get("$defs", {}), ()))
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError, NameError) as error:
        raise SignatureError(
            f"{place}: a field's type must be one that pydantic can describe in JSON Schema "
            f"(str, int, float, bool, Literal, Enum, date, list, dict, Optional, a model), but got {annotation!r}"
        ) from error
    except RecursionError:
        raise SignatureError(f"{place}: a type that contains itself has no bounded form: {annotation!r}") from None


@lru_cache(maxsize=1)
def _schemas() -> Any:
    """What writes schemas: of a Decimal the number only, since its other form, a text, has no bound."""
    from pydantic.json_schema import GenerateJsonSchema

    class Schemas(GenerateJsonSchema):
        def default_schema(self, schema: Any) -> dict[str, Any]:
            # What other factories make, such as the time, may differ from one trace to the next.
            made = schema.get("default_factory")
            known: Any = {**schema, "default": made()} if made in (list, dict, set) else schema
            return super().default_schema(known)

        def decimal_schema(self, schema: Any) -> dict[str, Any]:
            made = super().decimal_schema(schema)
            return next((s for s in made.get("anyOf", ()) if s.get("type") == "number"), made)

    return Schemas


def _inline(schema: Any, defs: dict[str, Any], seen: tuple[str, ...]) -> Any:
    """Replace references by what they refer to and leave out all but types and defaults: one self-contained schema."""
    if isinstance(schema, list):
        return [_inline(s, defs, seen) for s in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        if name in seen:
            raise RecursionError(name)
        return _inline(defs[name], defs, (*seen, name))
    kept = {k: v for k, v in schema.items() if k != "$defs" and not (k in _NOISE and not isinstance(v, dict))}
    if "properties" in kept:
        kept["properties"] = {
            k: _inline(v, defs, seen) | ({"default": v["default"]} if "default" in v else {})
            for k, v in kept["properties"].items()
        }
    return {k: v if k == "properties" else _inline(v, defs, seen) for k, v in kept.items()}


def annotation(schema: dict[str, Any]) -> Any:
    """The Python type that a JSON Schema describes: what loaded artifacts validate with.

    Enums come back as Literals of their values and models as models rebuilt from their properties.
    """
    if "enum" in schema or "const" in schema:
        values = tuple(schema.get("enum", (schema.get("const"),)))
        return Literal[values]
    if "anyOf" in schema or "oneOf" in schema:
        return Union[tuple(annotation(s) for s in schema.get("anyOf") or schema["oneOf"])]  # noqa: UP007
    kind = schema.get("type")
    if kind == "array":
        return _array(schema)
    if kind == "object":
        return _object(schema)
    if kind == "string" and schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if kind in _SCALARS:
        return _constrained(_SCALARS[kind], schema)
    return Any


_BOUNDS = {
    "minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt", "multipleOf": "multiple_of",
    "minLength": "min_length", "maxLength": "max_length", "pattern": "pattern",
    "minItems": "min_length", "maxItems": "max_length",
}  # fmt: skip


def _constrained(base: Any, schema: dict[str, Any]) -> Any:
    bounds = {_BOUNDS[k]: v for k, v in schema.items() if k in _BOUNDS}
    if not bounds:
        return base
    from typing import Annotated

    from pydantic import Field as Constraint

    return Annotated[base, Constraint(**bounds)]


def _array(schema: dict[str, Any]) -> Any:
    if "prefixItems" in schema:
        return tuple[tuple(annotation(s) for s in schema["prefixItems"])]  # type: ignore[misc]
    inner = annotation(schema.get("items", {}))
    hashable = schema.get("items", {}).get("type") not in (None, "array", "object")
    return _constrained(set[inner] if schema.get("uniqueItems") and hashable else list[inner], schema)  # type: ignore[valid-type]


def _object(schema: dict[str, Any]) -> Any:
    if "properties" not in schema:
        inner = schema.get("additionalProperties")
        return dict[str, annotation(inner if isinstance(inner, dict) else {})]  # type: ignore[misc]
    required = set(schema.get("required", ()))
    fields: dict[str, Any] = {
        name: (annotation(inner), ...) if name in required else _defaulted(inner)
        for name, inner in schema["properties"].items()
    }
    if any(name.startswith("_") for name in fields):  # a model would take these for its own and drop them
        from typing import NotRequired

        from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

        kinds = {n: kind if n in required else NotRequired[kind] for n, (kind, _) in fields.items()}
        return TypedDict("Record", kinds)  # type: ignore[operator]
    return _model("Record", fields)


def _defaulted(schema: dict[str, Any]) -> tuple[Any, Any]:
    """A model's field that may be left out: its default is then read like a value, None where it has none."""
    from pydantic import Field as Default
    from pydantic import TypeAdapter, ValidationError

    kind, default = annotation(schema), schema.get("default")
    if default is None:
        return Optional[kind], None  # noqa: UP045
    try:
        TypeAdapter(kind).validate_python(default)
    except ValidationError:  # such as -1 for "none" where numbers are 0 and up: a class may say so
        return kind, default
    return kind, Default(default, validate_default=True)


def _model(name: str, fields: dict[str, Any]) -> Any:
    """A pydantic model; a user's fields may have names that models use themselves, such as `json`."""
    import warnings

    from pydantic import ConfigDict, create_model

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Field name .* shadows", category=UserWarning)
        return create_model(name, __config__=ConfigDict(protected_namespaces=()), **fields)


@lru_cache(maxsize=1024)
def adapter(field_json: str) -> Any:
    """A pydantic TypeAdapter for a field's schema, made once."""
    from pydantic import TypeAdapter

    return TypeAdapter(annotation(json.loads(field_json)))


def read(field_json: str, value: Any) -> Any:
    """A value as its field's type: dates and the like as Python's, enums by value, models as dicts.

    Instances of a user's own classes are taken apart first, since only their schema is known here.

    Raises:
        ValueError: The value is not of the type.
    """
    return reader(field_json)(value)


_PLAIN = frozenset((str, int, float, bool, type(None)))


@lru_cache(maxsize=1024)
def reader(field_json: str) -> Callable[[Any], Any]:
    """What `read` does for one field's schema, made once."""
    kind = adapter(field_json)
    validate, dump = kind.validator.validate_python, kind.dump_python
    # A number or a text holds nothing that would have to be taken apart after it was read.
    scalar = json.loads(field_json).get("type") in ("string", "integer", "number", "boolean")

    def read_one(value: Any) -> Any:
        read = validate(value if type(value) in _PLAIN else _taken_apart(value))
        return read if scalar else dump(read)

    return read_one


def _taken_apart(value: Any) -> Any:
    from enum import Enum

    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "model_dump"):
        return _taken_apart(value.model_dump())
    if isinstance(value, dict):
        return {k: _taken_apart(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_taken_apart(v) for v in value]
    return value


@lru_cache(maxsize=1024)
def outputs_model(schema: Schema) -> type[BaseModel]:
    """A pydantic model of a signature's outputs, made once."""
    made: type[BaseModel] = _model(schema.name, {f.name: (annotation(f.type), ...) for f in schema.outputs})
    return made


def render_value(value: Any) -> str:
    """A value as it stands in a prompt: text as it is, numbers plainly, everything else as JSON."""
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str(value.value) if hasattr(value, "value") else value
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float) and not hasattr(value, "value"):
        return _decimal(value)
    if isinstance(value, int) and not hasattr(value, "value"):
        return repr(value)
    return _jsonable_text(value)


def _decimal(value: float) -> str:
    """Without an exponent: grammars of numbers have none."""
    from decimal import Decimal

    text = repr(value)
    return f"{Decimal(text):f}" if "e" in text else text


def _jsonable_text(value: Any) -> str:
    from pydantic_core import to_jsonable_python

    plain = to_jsonable_python(value)
    return plain if isinstance(plain, str) else json_text(plain)


def json_text(value: Any) -> str:
    """JSON data on one line, in the layout that `ir.grammars` holds models to; numbers without exponents."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json_text(str(k))}: {json_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(json_text, value)) + "]"
    return _decimal(value) if type(value) is float else json.dumps(value, ensure_ascii=False)


def jsonable(value: Any) -> Any:
    """A value as plain JSON data: models, dates and enums become what a file can hold."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)


def object_schema(fields: tuple[Field, ...]) -> dict[str, Any]:
    """The JSON Schema of an object with these fields, all required and without defaults: what models write is whole."""
    return {
        "type": "object",
        "properties": {f.name: _without_defaults(f.type) for f in fields},
        "required": [f.name for f in fields],
        "additionalProperties": False,
    }


def _without_defaults(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_defaults(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {k: v if k in ("enum", "const") else _without_defaults(v) for k, v in schema.items() if k != "default"}
    if "properties" in schema:  # a field may be called "default"
        kept["properties"] = {k: _without_defaults(v) for k, v in schema["properties"].items()}
    return kept
