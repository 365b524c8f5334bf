"""Signatures: typed inputs and outputs and one instruction, as a class or as a text.

The idea of a signature as a typed task declaration is DSPy's (Khattab et al., 2023, arXiv:2310.03714).
"""

from __future__ import annotations

import ast
import datetime
import inspect
import typing
from typing import Any, ClassVar, Literal, Optional

from pydantic import BaseModel, ConfigDict, PrivateAttr, create_model
from pydantic import Field as PydanticField
from pydantic_core import PydanticUndefined

from ..errors import SignatureError
from ..ir.record import Trace
from ..ir.schemas import Field, Schema
from ..ir.types import type_json
from .travel import refuse_validators, role_of


def Input(default: Any = PydanticUndefined, *, desc: str = "", **constraints: Any) -> Any:
    """Declare an input field; `default=None` lets callers leave it out. Constraints are pydantic's."""
    return PydanticField(default, description=desc or None, json_schema_extra={"role": "input"}, **constraints)


def Output(default: Any = PydanticUndefined, *, desc: str = "", **constraints: Any) -> Any:
    """Declare an output field; `desc` tells the model what it holds. Constraints are pydantic's."""
    return PydanticField(default, description=desc or None, json_schema_extra={"role": "output"}, **constraints)


class Signature(BaseModel):
    """Base of all signatures: a pydantic model whose fields are `Input()` or `Output()`.

    The docstring of the subclass is the instruction. An instance is a record: what a pipeline returns.

    Raises:
        SignatureError: On its first use, a field is neither input nor output, or has no describable type, or a
            validator checks what is more than a type and so would not travel into an artifact.
    """

    model_config = ConfigDict(extra="allow", protected_namespaces=())
    schema_: ClassVar[Schema | None] = None
    _trace: Trace | None = PrivateAttr(default=None)

    @property
    def trace(self) -> Trace:
        """What happened in the run that made this record: requests, failures, tokens and FLOPs."""
        if self._trace is None:
            raise AttributeError("this record was not made by a pipeline, so it has no trace")
        return self._trace


def schema_of(signature: type[Signature] | str, instruction: str | None = None) -> Schema:
    """The schema of a signature in either form.

    Args:
        signature: A Signature subclass, or a text such as `"question, context -> answer: int, why"`.
        instruction: Replaces the docstring; for the text form the default names the fields.

    Raises:
        SignatureError: The declaration is not a signature; says which part and why.
    """
    if isinstance(signature, str):
        return schema_of(from_text(signature), instruction)
    if not (isinstance(signature, type) and issubclass(signature, Signature)):
        raise SignatureError(
            f"a signature must be a fw.Signature subclass or a text like 'question -> answer', got {signature!r}"
        )
    cached = signature.__dict__.get("schema_")
    if cached is None:
        cached = signature.schema_ = _class_schema(signature)
    if instruction is None:
        return cached
    return Schema(cached.name, instruction, cached.inputs, cached.outputs)


def _class_schema(signature: type[Signature]) -> Schema:
    refuse_validators(signature)
    sides: dict[str, list[Field]] = {"input": [], "output": []}
    for name, info in signature.model_fields.items():
        role = role_of(info)
        place = f"{signature.__name__}.{name}"
        if name in _RESERVED:
            raise SignatureError(f"{place}: a field cannot have this name; records use it themselves")
        if role not in sides:
            raise SignatureError(f"{place}: every field must be declared as fw.Input() or fw.Output()")
        if role == "input" and not info.is_required() and info.default is not None:
            raise SignatureError(f"{place}: an input that may be left out is None then, so its default must be None")
        text = type_json(_annotated(info.annotation, info.metadata), place)
        sides[role].append(Field(name, text, info.description or "", not info.is_required()))
    if not sides["output"]:
        raise SignatureError(f"{signature.__name__}: a signature needs at least one fw.Output() field")
    doc = inspect.cleandoc(signature.__dict__.get("__doc__") or "")
    inputs, outputs = tuple(sides["input"]), tuple(sides["output"])
    return Schema(signature.__name__, doc or _default_instruction(inputs, outputs), inputs, outputs)


def _annotated(hint: Any, metadata: list[Any]) -> Any:
    return typing.Annotated[(hint, *metadata)] if metadata else hint


def _default_instruction(inputs: tuple[Field, ...], outputs: tuple[Field, ...]) -> str:
    given, wanted = (", ".join(f.label.lower() for f in side) for side in (inputs, outputs))
    return f"Given the {given}, give the {wanted}." if inputs else f"Give the {wanted}."


_RESERVED = ("trace", "schema_", "model_config")
_NAMES: dict[str, Any] = {
    "str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "set": set, "tuple": tuple,
    "date": datetime.date, "datetime": datetime.datetime, "time": datetime.time,
    "Literal": Literal, "Optional": Optional, "None": None, "Any": Any,
}  # fmt: skip


def from_text(text: str) -> type[Signature]:
    """The signature class that a text describes: fields split by commas, `name` or `name: type`, `->` between.

    Raises:
        SignatureError: The text is not of that form; says which field.
    """
    left, arrow, right = text.partition("->")
    if not arrow:
        raise SignatureError(f"a signature text must have '->' between inputs and outputs, but got {text!r}")
    fields: dict[str, Any] = {}
    for side, declare in ((left, Input), (right, Output)):
        for name, kind in _text_fields(side, text):
            if name in fields:
                raise SignatureError(f"signature {text!r}: the field {name!r} stands twice")
            fields[name] = (kind, declare())
    try:
        return create_model("Answer", __base__=Signature, **fields)
    except Exception as error:  # what pydantic raises for a type that it does not know is of many kinds
        raise SignatureError(
            f"signature {text!r}: every type must be one that pydantic knows, such as dict[str, int] or "
            f"Literal['a', 'b'], but {str(error).splitlines()[0]}"
        ) from error


def _text_fields(side: str, whole: str) -> list[tuple[str, Any]]:
    try:
        (call,) = ast.parse(f"def f({side.strip()}): pass").body
    except (SyntaxError, ValueError) as error:
        raise SignatureError(f"signature {whole!r}: {side.strip()!r} is not a list of fields: {error}") from None
    assert isinstance(call, ast.FunctionDef)
    a = call.args
    if a.posonlyargs or a.kwonlyargs or a.vararg or a.kwarg or a.defaults or call.returns:
        raise SignatureError(f"signature {whole!r}: {side.strip()!r} is more than names and types between commas")
    return [(f.arg, _field_type(f, whole)) for f in a.args]


def _field_type(field: ast.arg, whole: str) -> Any:
    if field.arg in _RESERVED or field.arg.startswith("_"):
        raise SignatureError(f"signature {whole!r}: a field cannot be named {field.arg!r}; records use that name")
    try:
        return _text_type(field.annotation, field.arg, whole) if field.annotation else str
    except (TypeError, ValueError) as error:
        raise SignatureError(f"signature {whole!r}: the type of field {field.arg!r}: {error}") from None


def _literals(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f"Literal takes plain values, as in Literal['a', 'b'], but got {ast.unparse(node)}") from None


def _text_type(node: ast.expr, field: str, whole: str) -> Any:
    """A type expression, read without evaluating anything but names of types, subscripts and `|`."""
    match node:
        case ast.Name(id="Literal" | "Optional" as bare):
            inner = "Literal['a', 'b']" if bare == "Literal" else "Optional[int]"
            raise SignatureError(
                f"signature {whole!r}: the type of field {field!r}: {bare} needs what it is of, as in {inner}"
            )
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.Constant(value=None):
            return None
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            return Literal[_literals(inner)]
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return Optional[_text_type(inner, field, whole)]  # noqa: UP045
        case ast.Subscript(value=base, slice=ast.Tuple(elts=parts)):
            return _text_type(base, field, whole)[tuple(_text_type(p, field, whole) for p in parts)]
        case ast.Subscript(value=base, slice=inner):
            return _text_type(base, field, whole)[_text_type(inner, field, whole)]
        case ast.BinOp(left=a, op=ast.BitOr(), right=b):
            return _text_type(a, field, whole) | _text_type(b, field, whole)
    known = ", ".join(_NAMES)
    raise SignatureError(f"signature {whole!r}: field {field!r} has type {ast.unparse(node)!r}; known are {known}")
