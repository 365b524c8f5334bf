"""What a saved DSPy state says: its predictors by name, their fields, examples and decoding. JSON; nothing is run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import SignatureError, TraceError

Predictor = Mapping[str, Any]

_KNOWN = {"traces", "train", "demos", "signature", "lm", "fields"}
# What says where and how a model is reached, not what it is asked for.
_OF_THE_CLIENT = {
    "_dspy_lm_class", "model", "model_type", "cache", "num_retries", "rollout_id", "finetuning_model", "launch_kwargs",
    "train_kwargs", "api_base", "base_url", "api_version", "model_list", "timeout", "headers", "use_developer_role",
}  # fmt: skip
_DECODING = {"temperature": "temperature", "max_tokens": "max_tokens", "max_completion_tokens": "max_tokens"}


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
    except (ValueError, RecursionError) as error:
        raise TraceError(f"from_dspy: {path}: is no JSON: {error}; save it with program.save('state.json')") from None
    if not isinstance(state, Mapping):
        raise TraceError(f"from_dspy: {path}: a state is an object with predictors by name, but got {state!r:.100}")
    return state


def predictors_of(state: Mapping[str, Any]) -> dict[str, Predictor]:
    """The predictors by name; of a ChainOfThought, whose own is called "predict", by the ChainOfThought's.

    Raises:
        TraceError: There is none, or a part of the state is no predictor.
    """
    if "demos" in state or "signature" in state:
        alone = {key: part for key, part in state.items() if key != "metadata"}
        return {"predict": _checked("the predictor", alone)}
    found: dict[str, Predictor] = {}
    for full, part in state.items():
        if full != "metadata":
            found[canonical_name(full)] = _checked(f"predictor {full!r}", part)
    if not found:
        raise TraceError("from_dspy: the state has no predictor; save a program that has some, with program.save(...)")
    return found


def canonical_name(name: str) -> str:
    """A predictor's name without what a ChainOfThought calls its own."""
    return name.removesuffix(".predict")


def _checked(what: str, part: Any) -> Predictor:
    """A predictor's state in which everything is known."""
    if not isinstance(part, Mapping):
        raise TraceError(f"from_dspy: {what}: a predictor's state is an object, but got {part!r:.100}")
    signature = part.get("signature")
    lacking = [key for key in ("signature", "demos") if key not in part]
    if isinstance(signature, Mapping):
        lacking += [f"signature.{key}" for key in ("instructions", "fields") if key not in signature]
    if lacking or not isinstance(signature, Mapping):
        raise TraceError(
            f"from_dspy: {what}: {', '.join(lacking) or 'signature.instructions'} is missing; a predictor as DSPy "
            "2.6 and later save it has demos, and a signature with instructions and fields. An older state is loaded "
            "there and saved again; what is no predictor is taken out of the state"
        )
    fields, demos = signature["fields"], part["demos"]
    if not (isinstance(fields, list) and all(isinstance(f, Mapping) for f in fields) and isinstance(demos, list)):
        raise TraceError(f"from_dspy: {what}: demos and signature.fields must be lists of objects; save it again")
    unknown = sorted(key for key in part if key not in _KNOWN) + (["fields"] if part.get("fields") else [])
    if unknown:
        raise TraceError(
            f"from_dspy: {what}: {', '.join(unknown)} says what no module here has; if it does not matter, load the "
            "file with json, take it out, and give what is left as the source"
        )
    return part


def labels(part: Predictor) -> list[str]:
    """The saved fields as people know them: by the name that a description gives, else by the prefix."""
    return [_named(f) or str(f.get("prefix", "?")).rstrip(":") for f in part["signature"]["fields"]]


def descriptions(what: str, part: Predictor, names: Sequence[str]) -> dict[str, str]:
    """What the saved fields say they hold, by name; raise SignatureError where they are other fields."""
    fields = part["signature"]["fields"]
    if len(fields) != len(names):
        raise SignatureError(
            f"{what}: the state has the fields {', '.join(labels(part))}, but the signature, with what the module "
            f"adds, has {', '.join(names)}; a state has no types of fields, so the signature must have the same ones"
        )
    found: dict[str, str] = {}
    for name, field in zip(names, fields, strict=True):
        said, title = _named(field), str(field.get("prefix", "")).rstrip(":").casefold()
        # A field with a description is known by its prefix, which DSPy makes of its name; a user may write another.
        moved = not said and title in {_title(n) for n in names if n != name} and title != _title(name)
        if moved or (said and said != name):
            raise SignatureError(
                f"{what}: where the signature has the field {name!r} the state has {said or title!r}; the state's "
                f"fields are, in order: {', '.join(labels(part))}"
            )
        found[name] = "" if said else str(field.get("description") or "")
    return found


def _title(name: str) -> str:
    return name.replace("_", " ").casefold()


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


def decoding(what: str, lm: Any) -> dict[str, Any]:
    """The temperature and most tokens of a saved model; raise TraceError where it has further settings of a reply."""
    said = {} if lm is None else lm
    if not isinstance(said, Mapping):
        raise TraceError(f"{what}: lm must be an object or null, but got {lm!r:.100}; save the program again")
    asked = {k: v for k, v in said.items() if v is not None and k not in _OF_THE_CLIENT and (k, v) != ("n", 1)}
    unknown = [f"{k}={v!r:.40}" for k, v in asked.items() if k not in _DECODING]
    if unknown:
        raise TraceError(
            f"{what}: lm has {', '.join(unknown)}, for which modules here have no setting; if it does not matter, load "
            "the file with json, take it out, and give what is left as the source"
        )
    return {_DECODING[k]: v for k, v in asked.items()}
