"""from_dspy: a saved DSPy program state as modules of the same signatures, instructions and worked examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, overload

from pydantic import create_model

from ..errors import SignatureError, TraceError
from ..ir.schemas import STRING, Field
from .base import Module, S, result_type
from .chain_of_thought import ChainOfThought
from .chat_fields import ChatPredict, ChatThought
from .dspy_programs import assigned
from .dspy_state import (
    Predictor,
    canonical_name,
    descriptions,
    example,
    predictors_of,
    read_state,
    reasons_at,
    takes_none,
)
from .predict import Predict
from .program_of_thought import ProgramOfThought
from .signature import Signature, schema_of
from .worked import Demo

Prompts = Literal["flopwise", "dspy"]
Incomplete = Literal["refuse", "drop"]
Of = type[Signature] | str


@overload
def from_dspy(
    source: str | Path | Mapping[str, Any],
    signature: type[S] | str,
    module: type[Module[Any]] | None = None,
    *,
    prompts: Prompts = "flopwise",
    incomplete: Incomplete = "refuse",
) -> Module[S]: ...
@overload
def from_dspy(
    source: str | Path | Mapping[str, Any],
    signature: Mapping[str, Of],
    module: Mapping[str, type[Module[Any]]] | None = None,
    *,
    prompts: Prompts = "flopwise",
    incomplete: Incomplete = "refuse",
) -> dict[str, Module[Any]]: ...
def from_dspy(
    source: Any, signature: Any, module: Any = None, *, prompts: Any = "flopwise", incomplete: Any = "refuse"
) -> Any:
    """What `program.save("state.json")` of DSPy 2.6 to 3.3 wrote, as a module, or as modules by predictor.

    A Predict, a ChainOfThought and a ProgramOfThought become the modules of those names here, told apart by their
    fields. Instruction, descriptions of fields, worked examples, temperature and max_tokens are kept. The model's name
    is not: modules have no engine of their own. A program's control flow is not in its state: write it as a
    fw.Program over the modules.

    With prompts="dspy" prompts have the very text of DSPy's ChatAdapter (see `ChatPredict`), for programs whose
    instruction was tuned to it. Worked examples without some fields, such as labelled ones of a ChainOfThought
    without reasoning, are shown there as DSPy shows them; here they are an error, or left out with incomplete="drop".

    A ProgramOfThought's examples hand in their outputs by a call, which is read as an assignment. Its later steps,
    and DSPy's own instruction about that call, have no counterpart: what programs here must do is said by the module.

    Args:
        source: A JSON file, or what is in it.
        signature: The signature, since a state has neither names nor types of fields; for a program with several
            predictors one for each, by the predictor's name.
        module: The module's class in place of the one that the state tells, such as PlanAndSolve; by name likewise.
        prompts: Whose prompts: "flopwise" or "dspy".
        incomplete: "refuse" or "drop".

    Raises:
        TraceError: The state cannot be read, or has other predictors than the signatures are for.
        SignatureError: The state's fields are not the signature's, or a worked example lacks some or is mistyped.
    """
    _check_option("prompts", prompts, ("flopwise", "dspy"))
    _check_option("incomplete", incomplete, ("refuse", "drop"))
    groups = predictors_of(read_state(source))
    if isinstance(signature, Mapping):
        classes = {canonical_name(k): v for k, v in (module or {}).items()}
        matched = _matched(groups, signature)
        _check_known(classes, {canonical_name(name) for name in matched})
        return {
            name: _Importer(f"predictor {name!r}", of, prompts, incomplete).module(
                groups[key], classes.get(canonical_name(name))
            )
            for name, (key, of) in matched.items()
        }
    if len(groups) > 1:
        names = ", ".join(f"{name!r}: ..." for name in groups)
        raise TraceError(f"from_dspy: the state has {len(groups)} predictors; write signature={{{names}}}")
    return _Importer("from_dspy", signature, prompts, incomplete).module(next(iter(groups.values())), module)


def _check_option(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise TraceError(f"from_dspy: {name} must be one of {list(known)}, but got {value!r}")


def _matched(groups: Mapping[str, Any], given: Mapping[str, Of]) -> dict[str, tuple[str, Of]]:
    """For each name that the user gave, the predictor's and its signature."""
    found = {name: (canonical_name(name), of) for name, of in given.items()}
    have = {key for key, _ in found.values()}
    missing, unknown = sorted(set(groups) - have), sorted(have - set(groups))
    if missing or unknown:
        raise TraceError(
            f"from_dspy: the state has the predictors {', '.join(map(repr, groups))};"
            + (f" signatures are missing for {', '.join(map(repr, missing))}." if missing else "")
            + (f" It has no {', '.join(map(repr, unknown))}." if unknown else "")
        )
    return found


def _check_known(classes: Iterable[str], names: set[str]) -> None:
    unknown = sorted(set(classes) - names)
    if unknown:
        raise TraceError(f"from_dspy: module names {', '.join(unknown)}, but signatures are for {', '.join(names)}")


@dataclass(frozen=True)
class _Importer:
    """One predictor on its way."""

    what: str
    of: Of
    prompts: Prompts
    incomplete: Incomplete

    def module(self, parts: Mapping[str, Predictor], cls: type[Module[Any]] | None) -> Module[Any]:
        """The module that the predictor becomes."""
        if cls is not None and not (isinstance(cls, type) and issubclass(cls, Module)):
            raise TraceError(f"{self.what}: module must be a class of modules, such as fw.Predict, but got {cls!r}")
        if "code_generate" in parts:
            return self._program(parts["code_generate"], cls or ProgramOfThought)
        return self._plain(parts[""], cls)

    def _plain(self, part: Predictor, cls: type[Module[Any]] | None) -> Module[Any]:
        schema = schema_of(self.of)
        ins, outs = [f.name for f in schema.inputs], [f.name for f in schema.outputs]
        reasons = "reasoning" not in outs and reasons_at(part, len(ins))
        said = descriptions(self.what, part, [*ins, *(["reasoning"] if reasons else []), *outs])
        own: Any = {"instruction": part["signature"]["instructions"]}
        if self.prompts == "dspy":
            kind: Any = ChatThought if reasons else ChatPredict
            if cls not in (None, kind, ChainOfThought if reasons else Predict):
                raise TraceError(f"{self.what}: prompts='dspy' are those of {kind.__name__}; leave module= out")
            own |= {"reasoning": said["reasoning"]} if reasons else {}
        else:
            kind = cls or (ChainOfThought if reasons else Predict)
        made = kind(_described(self.of, said), demos=(), **own, **_decoding(part.get("lm")))
        return replace(made, demos=self._demos(made, part))

    def _program(self, part: Predictor, cls: type[Module[Any]]) -> Module[Any]:
        if self.prompts == "dspy" or not issubclass(cls, ProgramOfThought):
            raise TraceError(f"{self.what}: a ProgramOfThought has no other prompts or class here; leave them out")
        names = [f.name for f in schema_of(self.of).inputs]
        names += ["reasoning"] if reasons_at(part, len(names)) else []
        said = descriptions(self.what, part, [*names, "generated_code"])
        instruction = part["signature"]["instructions"]
        if "programmatically computes" in instruction:  # DSPy's own, about a call that is none here
            instruction = None
        made = cls(_described(self.of, said), demos=(), instruction=instruction, **_decoding(part.get("lm")))
        outputs = made.signature.output_names
        coded = [{**d, "program": assigned(str(d.get("generated_code", "")), outputs)} for d in part["demos"]]
        return replace(made, demos=self._demos(made, {**part, "demos": coded}))

    def _demos(self, made: Module[Any], part: Predictor) -> tuple[Demo, ...]:
        """The worked examples that the module shows: those that lack fields first, as DSPy has them."""
        schema = made.signature
        steps = tuple(Field(name, STRING) for name in made.explains)
        outs = (*steps, *(schema.outputs if made.answers else ()))
        whole: list[Demo] = []
        partial: list[Demo] = []
        for i, row in enumerate(part["demos"]):
            what = f"{self.what}: demos[{i}]"
            values = example(what, row, (*schema.inputs, *outs))
            lacking = [f.name for f in (*schema.inputs, *outs) if self._lacks(f, values)]
            if not lacking:
                whole.append(Demo(f"dspy-{i}", values))
            elif self.prompts == "dspy":
                if all(any(f.name in values for f in side) for side in (schema.inputs, outs)):
                    partial.append(Demo(f"dspy-{i}", values))
            elif self.incomplete == "refuse":
                raise SignatureError(
                    f"{what}: {', '.join(lacking)} is missing, which the prompt shows; incomplete='drop' leaves such "
                    "demos out, prompts='dspy' shows them as DSPy does"
                )
        return (*partial, *whole)

    def _lacks(self, field: Field, values: Mapping[str, Any]) -> bool:
        """DSPy calls an example with a field that is None incomplete; here None may be a value of the field's type."""
        if values.get(field.name) is not None:
            return False
        return self.prompts == "dspy" or not (field.optional or (field.name in values and takes_none(field)))


def _decoding(lm: Any) -> dict[str, Any]:
    """Settings of the saved model that are settings of a module here."""
    kept = {k: lm.get(k) for k in ("temperature", "max_tokens")} if isinstance(lm, Mapping) else {}
    return {k: v for k, v in kept.items() if v is not None}


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
