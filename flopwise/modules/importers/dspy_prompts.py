"""The turns of a DSPy program's prompt, written by the DSPy that is installed: no word of them stands here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...errors import SignatureError, TraceError
from ...ir.prompt import Role
from ...ir.schemas import Field, Schema, type_name
from ..base import result_type
from ..signature import schema_of
from .dspy_state import Predictor
from .fixed_prompt import Turn

_MARK = re.compile("\ue000([0-9]+)\ue001")
_ROLES: tuple[Role, ...] = ("system", "user", "assistant")


def frozen_turns(what: str, of: Any, part: Predictor, reasons: bool) -> tuple[Turn, ...]:
    """The turns that DSPy's ChatAdapter sends for a predictor, with the inputs' places in them.

    Args:
        what: The predictor, for errors.
        of: The signature; the types of its fields are told to the model, as DSPy names them.
        part: The predictor's state.
        reasons: Whether it is a ChainOfThought.

    Raises:
        TraceError: DSPy is not installed, or writes turns that cannot be kept.
        SignatureError: An input is of a type whose values DSPy and flopwise write differently, or a field has bounds.
    """
    dspy, schema = _dspy(), schema_of(of)
    _check_fields(what, of, schema)
    signature = dspy.make_signature(_fields(dspy, of, schema), part["signature"]["instructions"])
    module = dspy.ChainOfThought(signature) if reasons else dspy.Predict(signature)
    predict = module.predict if reasons else module
    predict.load_state({**part, "lm": None})
    marks = {f.name: f"\ue000{i}\ue001" for i, f in enumerate(schema.inputs)}
    messages = dspy.ChatAdapter().format(predict.signature, predict.demos, marks)
    return tuple(_turn(what, message, schema.inputs) for message in messages)


def _dspy() -> Any:
    try:
        import dspy
    except ImportError as error:
        raise TraceError(
            f"from_dspy: prompts='dspy' needs DSPy, which writes them: pip install dspy (tried with 3.4.1); the "
            f"imported program needs it no more ({error})"
        ) from error
    return dspy


def _check_fields(what: str, of: Any, schema: Schema) -> None:
    for f in schema.inputs:
        if f.optional or not _alike(f.type):
            kind = "an input that may be left out" if f.optional else type_name(f.type)
            raise SignatureError(
                f"{what}: prompts='dspy' needs inputs that DSPy and flopwise write alike, but {f.name!r} is {kind}; "
                "make it a text, or take prompts='flopwise'"
            )
    bounded = [name for name, info in result_type(of).model_fields.items() if info.metadata]
    if bounded:
        raise SignatureError(
            f"{what}: prompts='dspy' needs types without bounds, since a state does not say what the prompt said of "
            f"them, but {', '.join(bounded)} has some; leave them out, or take prompts='flopwise'"
        )


def _alike(kind: Mapping[str, Any]) -> bool:
    """DSPy writes truth values and None in Python's words."""
    if "enum" in kind or "const" in kind:
        values = kind.get("enum", [kind.get("const")])
        return not any(value is None or isinstance(value, bool) for value in values)
    return kind.get("type") not in ("boolean", "null") and all(_alike(k) for k in kind.get("anyOf", ()))


def _fields(dspy: Any, of: Any, schema: Schema) -> dict[str, tuple[Any, Any]]:
    cls = result_type(of)
    sides = ((schema.inputs, dspy.InputField), (schema.outputs, dspy.OutputField))
    return {f.name: (cls.model_fields[f.name].annotation, declare()) for side, declare in sides for f in side}


def _turn(what: str, message: Mapping[str, Any], inputs: tuple[Field, ...]) -> Turn:
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES or not isinstance(content, str):
        raise TraceError(
            f"{what}: DSPy's turns must be texts of {', '.join(_ROLES)}, but one is {message!r:.200}; "
            "take prompts='flopwise'"
        )
    parts = _MARK.split(content)
    return Turn(role, tuple(inputs[int(p)].name if i % 2 else p for i, p in enumerate(parts)))
