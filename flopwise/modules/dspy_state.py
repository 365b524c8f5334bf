"""What a saved DSPy state says: its predictors by name, and the worked examples of one. JSON only, nothing is run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import SignatureError, TraceError
from ..ir.schemas import Field, type_name
from ..ir.types import reader
from .chat_words import shown

POT = ("code_generate", "code_regenerate", "generate_output")  # the predictors of a ProgramOfThought
OLDER = "states of DSPy before 2.6 have another form; load it there with a newer DSPy and save it again as JSON"

Predictor = Mapping[str, Any]


def read_state(source: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    """The state as a mapping; raise TraceError where there is none."""
    if isinstance(source, Mapping):
        return source
    path = Path(source)
    if path.is_dir() or path.suffix in (".pkl", ".pickle"):
        raise TraceError(
            f"from_dspy: {path}: only states saved as JSON are read, since loading a pickle runs what is in it; "
            "save it with program.save('state.json')"
        )
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TraceError(f"from_dspy: {path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise TraceError(f"from_dspy: {path}: is no JSON: {error}; save it with program.save('state.json')") from None
    if not isinstance(state, Mapping):
        raise TraceError(f"from_dspy: {path}: a state is an object with predictors by name, but got {state!r:.100}")
    return state


def predictors_of(state: Mapping[str, Any]) -> dict[str, dict[str, Predictor]]:
    """The parts of each predictor by the predictor's name: one part, but of a ProgramOfThought three.

    A ChainOfThought's own predictor is called "predict", which is left out of the name. A Predict saved alone has
    the name "".
    """
    if "demos" in state or "signature" in state:
        return {"": {"": _checked("the predictor", state)}}
    groups: dict[str, dict[str, Predictor]] = {}
    for full, part in state.items():
        if full == "metadata" or (isinstance(part, Mapping) and set(part) == {"k"}):  # of a retriever: how many
            continue
        owner, last = _place(full)
        groups.setdefault(owner, {})[last] = _checked(f"predictor {full!r}", part)
    if not groups:
        raise TraceError(
            "from_dspy: the state has no predictor; save the program that has some, with program.save(...)"
        )
    for owner, parts in groups.items():
        if set(parts) != {""} and "code_generate" not in parts:
            raise TraceError(
                f"from_dspy: a ProgramOfThought has the predictors {', '.join(POT)}, but {owner or 'this one'!r} "
                f"has only {', '.join(p for p in parts if p)}; code_generate is missing"
            )
    return groups


def canonical_name(name: str) -> str:
    """A predictor's name without what DSPy's own modules call their parts."""
    return _place(name)[0]


def _place(full: str) -> tuple[str, str]:
    """The module that a predictor belongs to, and which of its parts it is."""
    steps = full.split(".")
    if len(steps) > 1 and steps[-1] == "predict":
        steps.pop()
    return (".".join(steps[:-1]), steps[-1]) if steps[-1] in POT else (".".join(steps), "")


def _checked(what: str, part: Any) -> Predictor:
    """A predictor's state that has what is read of it."""
    if not isinstance(part, Mapping):
        raise TraceError(f"from_dspy: {what}: a predictor's state is an object, but got {part!r:.100}")
    old = [key for key in part if key.startswith(("extended_signature", "signature_"))]
    if old:
        raise TraceError(f"from_dspy: {what}: has {old[0]!r}; {OLDER}")
    signature = part.get("signature")
    lacking = [key for key in ("signature", "demos") if key not in part]
    if isinstance(signature, Mapping):
        lacking += [f"signature.{key}" for key in ("instructions", "fields") if key not in signature]
    if lacking or not isinstance(signature, Mapping):
        raise TraceError(
            f"from_dspy: {what}: {', '.join(lacking) or 'signature.instructions'} is missing; a saved predictor has "
            "demos, and a signature with instructions and fields"
        )
    if not all(isinstance(f, Mapping) for f in signature["fields"]):
        raise TraceError(f"from_dspy: {what}: signature.fields must be objects with prefix and description")
    return part


def labels(part: Predictor) -> list[str]:
    """The saved fields as people know them: by the name that a description gives, else by the prefix."""
    return [_named(f) or str(f.get("prefix", "?")).rstrip(":") for f in part["signature"]["fields"]]


def descriptions(what: str, part: Predictor, names: Sequence[str]) -> dict[str, str]:
    """What the saved fields say they hold, by name; raise SignatureError where they are other fields."""
    fields = part["signature"]["fields"]
    if len(fields) != len(names):
        raise SignatureError(
            f"{what}: the state has the fields {', '.join(labels(part))}, but the signature, with what the "
            f"module adds, has {', '.join(names)}; a state has neither names nor types of "
            "fields, so the signature must have the same"
        )
    found: dict[str, str] = {}
    for name, field in zip(names, fields, strict=True):
        said = _named(field)
        if said and said != name:
            raise SignatureError(
                f"{what}: where the signature has the field {name!r} the state has {said!r}; "
                f"the state's fields are, in order: {', '.join(labels(part))}"
            )
        found[name] = "" if said else str(field.get("description") or "")
    return found


def _named(field: Mapping[str, Any]) -> str:
    """The name of a field without a description of its own: DSPy writes `${name}` then."""
    found = re.fullmatch(r"\$\{(\w+)\}", str(field.get("description") or ""))
    return found[1] if found else ""


def reasons_at(part: Predictor, place: int) -> bool:
    """Whether the saved field at a place is the reasoning that ChainOfThought adds."""
    fields = part["signature"]["fields"]
    if place >= len(fields):
        return False
    return _named(fields[place]) == "reasoning" or str(fields[place].get("prefix", "")).startswith("Reasoning:")


def example(what: str, row: Any, fields: tuple[Field, ...]) -> dict[str, Any]:
    """The values of a saved worked example that are of these fields, as their types take them."""
    if not isinstance(row, Mapping):
        raise SignatureError(f"{what}: a demo is an object with values by field name, but got {row!r:.100}")
    have = [f for f in fields if f.name in row]
    return {f.name: None if row[f.name] is None else typed(what, f, row[f.name]) for f in have}


def takes_none(field: Field) -> bool:
    """Whether None is a value of the field's type."""
    try:
        return reader(field.type_json)(None) is None
    except ValueError:
        return False


def typed(what: str, field: Field, value: Any) -> Any:
    """A worked example's value as the field's type takes it; raise SignatureError where it does not."""
    if field.type == {"type": "string"}:
        return value if isinstance(value, str) else passages(value) if isinstance(value, list) else shown(value)
    for candidate in (value, *_as_json(value)):
        try:
            reader(field.type_json)(candidate)
        except ValueError:
            continue
        return candidate
    raise SignatureError(
        f"{what}: {field.name!r} must be of type {type_name(field.type)}, but is {value!r:.100}; change the "
        "signature's type or the demo"
    )


def _as_json(value: Any) -> list[Any]:
    try:
        return [json.loads(value)] if isinstance(value, str) else []
    except ValueError:
        return []


def passages(texts: list[Any]) -> str:
    """A list in a field that is a text, as DSPy writes it: each item in quotes, numbered where there are several."""
    quoted = [_quoted(str(t)) for t in texts]
    if len(quoted) < 2:
        return quoted[0] if quoted else "N/A"
    return "\n".join(f"[{i}] {text}" for i, text in enumerate(quoted, 1))


def _quoted(text: str) -> str:
    if not set("\n«»") & set(text):
        return f"«{text}»"
    inside = text.replace("\n", "\n    ")
    return f"«««\n    {inside}\n»»»"
