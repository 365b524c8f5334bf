"""What combinators take in a module's place: a module, samples of one, or a function of the inputs."""

from __future__ import annotations

from typing import Any, cast

from ...errors import TraceError
from ..base import Module
from ..sampling import Sampled
from ..selection.reducers import vote
from ..symbols import Symbol, place


def check_rungs(what: str, rungs: tuple[Any, ...]) -> None:
    """Raise TraceError where there are fewer than two, or one is none of these."""
    if len(rungs) < 2:
        raise TraceError(f"{place()}: {what}: at least two are needed, but got {len(rungs)}")
    for rung in rungs:
        if isinstance(rung, type) or hasattr(rung, "forward") or not callable(rung):
            raise TraceError(
                f"{place()}: {what} takes modules, fw.sample(...) or functions of the inputs, but got {rung!r:.100}; "
                "of a program write self.program.forward"
            )


def signature_of(rungs: tuple[Any, ...]) -> Any:
    """The signature of the first that has one. Functions have none: what they take is their own affair."""
    owners = [r.module if isinstance(r, Sampled) else r for r in rungs if isinstance(r, (Module, Sampled))]
    return owners[0].of if owners else "-> answer"


def labels_of_rungs(rungs: tuple[Any, ...]) -> tuple[str, ...]:
    """Labels that tell them apart, by what they are."""
    labels: list[str] = []
    for rung in rungs:
        label = _label(rung)
        while label in labels:
            stem, _, number = label.rpartition("_")
            label = f"{stem}_{int(number) + 1}" if stem and number.isdigit() else f"{label}_2"
        labels.append(label)
    return tuple(labels)


def _label(rung: Any) -> str:
    module = rung.module if isinstance(rung, Sampled) else rung
    if isinstance(module, Module):
        return module.name.rsplit(".", 1)[-1] or module.kind
    return str(getattr(rung, "__name__", "function")).strip("<>")


def named_rungs(rungs: tuple[Any, ...], path: str) -> tuple[Any, ...]:
    """Modules and samples named under a dotted path and their labels."""
    return tuple(
        r.named(f"{path}.{label}") if isinstance(r, (Module, Sampled)) else r
        for r, label in zip(rungs, labels_of_rungs(rungs), strict=True)
    )


def sampled_rungs(rungs: tuple[Any, ...], temperature: Any) -> tuple[Any, ...]:
    """Modules drawn at a temperature; samples have their own."""
    return tuple(r.sampled(temperature) if isinstance(r, Module) else r for r in rungs)


def result_of(rung: Any, records: tuple[Any, ...], inputs: dict[str, Any]) -> Symbol:
    """What it gives for the inputs: a record, or a list of samples."""
    result = rung(*records, **inputs) if not isinstance(rung, Module) else rung.trace(*records, **inputs)
    if not isinstance(result, Symbol):
        raise TraceError(f"{place()}: a record made by modules is needed, but {rung!r:.100} gave {result!r:.100}")
    return result


def one_record(result: Symbol, field: str, name: str) -> Symbol:
    """The record itself, or what samples vote for."""
    return cast(Symbol, vote(cast(Any, result), field=field, name=name)) if result._type.many else result
