"""What a request gives a pipeline: read by one pydantic validator, made once from the signature's types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import (
    Annotated,
    Any,
    NotRequired,  # pydantic wants these before Python 3.12
)

from pydantic import ConfigDict, Strict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from ..ir.schemas import Field
from ..ir.types import annotation
from .problems import Refused

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
_MOST_TOLD = 20  # fields of one request that are named as wrong


class Reader:
    """Reads requests of the typed endpoint, and the inputs of the chat endpoint.

    Args:
        fields: What the pipeline takes.
        objectives: Names of the search's objectives, each a limit that a point may be asked for by.
    """

    def __init__(self, fields: Iterable[Field], objectives: Iterable[str] = ()) -> None:
        inputs = _mapping("Inputs", {f.name: _kind(f) for f in fields})
        number = Annotated[float, Strict()]  # true is none
        quantity = str | number
        limits: dict[str, Any] = dict.fromkeys(objectives, number)
        limits |= {"point": Annotated[int, Strict()], "per_query": quantity, "mean": quantity, "score": number}
        at = _mapping("At", {name: NotRequired[kind] for name, kind in limits.items()})
        body = {"inputs": inputs, "at": NotRequired[at | None], "stream": NotRequired[bool]}
        self._inputs = TypeAdapter(inputs)
        self._at = TypeAdapter(at)
        self._body = TypeAdapter(_mapping("Body", body))

    def body(self, text: bytes) -> dict[str, Any]:
        """The body of a typed request: `inputs`, and `at` and `stream` where they are given.

        Raises:
            Refused: It is no JSON, or a field is missing, unknown or of another type.
        """
        try:
            read: dict[str, Any] = self._body.validate_json(text)
        except ValidationError as error:
            raise _refused(error) from None
        return read

    def inputs(self, values: Any, place: str) -> dict[str, Any]:
        """A pipeline's inputs from JSON data; `place` is what a message calls it."""
        return self._read(self._inputs, values, place)

    def at(self, values: Any) -> dict[str, Any]:
        """A choice of a point from JSON data."""
        return self._read(self._at, values, "at")

    def _read(self, adapter: TypeAdapter[Any], values: Any, place: str) -> dict[str, Any]:
        try:
            read: dict[str, Any] = adapter.validate_python(values)
        except ValidationError as error:
            raise _refused(error, place) from None
        return read


def _mapping(name: str, kinds: Mapping[str, Any]) -> Any:
    make: Any = TypedDict  # type checkers want its keys spelled out
    made = make(name, dict(kinds))
    made.__pydantic_config__ = _STRICT
    return made


def _kind(field: Field) -> Any:
    kind = annotation(field.type)
    return NotRequired[kind | None] if field.optional else kind


def _refused(error: ValidationError, place: str = "") -> Refused:
    """The refusal that names the first field that is wrong, and lists them."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return Refused("invalid_json", found[0]["msg"])
    details = [{"field": _path(place, e["loc"]), "message": e["msg"]} for e in found[:_MOST_TOLD]]
    first = details[0]
    return Refused("invalid_input", f"{first['field']}: {first['message']}", first["field"] or None, details=details)


def _path(place: str, steps: tuple[int | str, ...]) -> str:
    return ".".join(str(step)[:100] for step in ((place, *steps) if place else steps))
