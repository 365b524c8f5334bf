"""from_dspy: a saved DSPy program state as modules of the same signatures, instructions and worked examples."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, overload

from pydantic import create_model

from ...errors import SignatureError, TraceError
from ...ir.coercion import read_cell, shown
from ...ir.schemas import STRING, Field, type_name
from ...ir.types import reader
from ..base import Module, S, result_type
from ..prompting.chain_of_thought import ChainOfThought
from ..prompting.predict import Predict
from ..signature import Signature, schema_of
from ..worked import Demo
from .dspy_prompts import frozen_turns
from .dspy_state import Predictor, canonical_name, decoding, descriptions, predictors_of, read_state, reasons_at
from .fixed_prompt import FixedPrompt, FixedThought

Prompts = Literal["flopwise", "dspy"]
Incomplete = Literal["refuse", "drop"]
Of = type[Signature] | str
State = str | Path | Mapping[str, Any]


@overload
def from_dspy(
    source: State, signature: type[S] | str, *, prompts: Prompts = "flopwise", incomplete: Incomplete = "refuse"
) -> Module[S]: ...
@overload
def from_dspy(
    source: State, signature: Mapping[str, Of], *, prompts: Prompts = "flopwise", incomplete: Incomplete = "refuse"
) -> dict[str, Module[Any]]: ...
def from_dspy(source: State, signature: Any, *, prompts: Any = "flopwise", incomplete: Any = "refuse") -> Any:
    """What `program.save("state.json")` of DSPy wrote, as a module, or as modules by predictor.

    A Predict and a ChainOfThought become the modules of those names here, told apart by their fields. Instruction,
    descriptions of fields and worked examples are kept (of each the fields that the predictor has: DSPy shows no
    others), and temperature and max_tokens where the program had a model of its own. What is not: the model's name,
    where it is reached, and traces of the program's training. What a program does with several predictors is not in
    its state: write it as a fw.Program over the modules. Predictors of DSPy's other modules are imported likewise,
    each by the fields that it has.

    With prompts="dspy" the installed DSPy writes the prompt once, by its ChatAdapter, and each word of it is kept; see
    `FixedPrompt`. What is saved of such a program runs without DSPy. Worked examples that lack fields are in it as
    DSPy shows them; in prompts of flopwise they are an error, or left out with incomplete="drop". DSPy asks a second
    time, in another layout, where a reply does not parse; here such a reply is a failure.

    Args:
        source: A JSON file, or what is in it.
        signature: The signature, since a state has neither names nor types of fields; for a program with several
            predictors one for each, by the predictor's name in the state ("hop" is "hop.predict", too).
        prompts: Whose prompts: "flopwise" or "dspy".
        incomplete: "refuse" or "drop".

    Returns:
        A module; where signatures are given by name, one for each name.

    Raises:
        TraceError: The state cannot be read, has other predictors than the signatures are for, or says what no module
            has; or DSPy is needed and not installed.
        SignatureError: The state's fields are not the signature's, or a worked example lacks some or is mistyped.
    """
    _check_option("prompts", prompts, ("flopwise", "dspy"))
    _check_option("incomplete", incomplete, ("refuse", "drop"))
    found = predictors_of(read_state(source))
    if isinstance(signature, Mapping):
        _check_names(found, {canonical_name(name) for name in signature})
        return {
            name: _Importer(f"from_dspy: predictor {name!r}", of, prompts, incomplete).module(
                found[canonical_name(name)]
            )
            for name, of in signature.items()
        }
    if len(found) > 1:
        names = ", ".join(f"{name!r}: ..." for name in found)
        raise TraceError(f"from_dspy: the state has {len(found)} predictors; write signature={{{names}}}")
    return _Importer("from_dspy", signature, prompts, incomplete).module(next(iter(found.values())))


def _check_option(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise TraceError(f"from_dspy: {name} must be one of {', '.join(map(repr, known))}, but got {value!r:.100}")


def _check_names(found: Mapping[str, Predictor], given: set[str]) -> None:
    missing, unknown = sorted(set(found) - given), sorted(given - set(found))
    if missing or unknown:
        raise TraceError(
            f"from_dspy: the state has the predictors {', '.join(map(repr, found))}; give each its signature."
            + (f" Missing: {', '.join(map(repr, missing))}." if missing else "")
            + (f" The state has no {', '.join(map(repr, unknown))}." if unknown else "")
        )


@dataclass(frozen=True)
class _Importer:
    """One predictor on its way."""

    what: str
    of: Of
    prompts: Prompts
    incomplete: Incomplete

    def module(self, part: Predictor) -> Module[Any]:
        """The module that the predictor becomes."""
        schema = schema_of(self.of)
        ins, outs = [f.name for f in schema.inputs], [f.name for f in schema.outputs]
        reasons = "reasoning" not in outs and reasons_at(part, len(ins))
        said = descriptions(self.what, part, [*ins, *(["reasoning"] if reasons else []), *outs])
        of = _described(self.of, said)
        own = {"instruction": part["signature"]["instructions"], **decoding(self.what, part.get("lm"))}
        if self.prompts == "dspy":
            turns = frozen_turns(self.what, of, part, reasons)
            kind: Any = FixedThought if reasons else FixedPrompt
            return cast("Module[Any]", kind(of, demos=self._demos(part, reasons), turns=turns, **own))
        kind = ChainOfThought if reasons else Predict
        return cast("Module[Any]", kind(of, demos=self._demos(part, reasons), **own))

    def _demos(self, part: Predictor, reasons: bool) -> tuple[Demo, ...]:
        """The worked examples that the prompt shows."""
        schema = schema_of(self.of)
        outs = (*((Field("reasoning", STRING),) if reasons else ()), *schema.outputs)
        demos = []
        for i, row in enumerate(part["demos"]):
            what = f"{self.what}: demos[{i}]"
            if not isinstance(row, Mapping):
                raise SignatureError(f"{what}: a demo is an object with values by field name, but got {row!r:.100}")
            values = {f.name: row[f.name] for f in (*schema.inputs, *outs) if row.get(f.name) is not None}
            if self._shown(what, values, schema.inputs, outs):
                demos.append(Demo(f"dspy-{i}", values))
        return tuple(demos)

    def _shown(self, what: str, values: dict[str, Any], ins: tuple[Field, ...], outs: tuple[Field, ...]) -> bool:
        """Whether the prompt shows an example: DSPy's does where it has an input and an output at least."""
        if self.prompts == "dspy":
            return all(any(f.name in values for f in side) for side in (ins, outs))
        for f in (*ins, *outs):
            if f.name in values:
                values[f.name] = _typed(what, f, values[f.name])
        lacking = [f.name for f in (*ins, *outs) if f.name not in values and not (f.optional or _takes_none(f))]
        if lacking and self.incomplete == "refuse":
            raise SignatureError(
                f"{what}: {', '.join(lacking)} is missing, which the prompt shows; incomplete='drop' leaves such demos "
                "out, prompts='dspy' shows them as DSPy does"
            )
        return not lacking


def _typed(what: str, field: Field, value: Any) -> Any:
    """A saved value in a spelling that the field's type takes."""
    try:
        return read_cell(field, value)[0]
    except ValueError:
        raise SignatureError(
            f"{what}: {field.name!r} must be of type {type_name(field.type)}, but is {shown(value, 100)}; change the "
            "signature's type or the demo"
        ) from None


def _takes_none(field: Field) -> bool:
    try:
        return reader(field.type_json)(None) is None
    except ValueError:
        return False


def _described(of: Of, said: Mapping[str, str]) -> Of:
    """The signature with the saved descriptions of its fields; itself where it has them already."""
    cls = result_type(of)
    changed: dict[str, Any] = {}
    for name, info in cls.model_fields.items():
        if name in said and said[name] != (info.description or ""):
            changed[name] = (info.annotation, copy(info))
            changed[name][1].description = said[name] or None
    if not changed:
        return of
    return cast(Of, create_model(cls.__name__, __base__=cls, __doc__=schema_of(of).instruction, **changed))
