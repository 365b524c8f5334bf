"""Open decisions over modules: one of several, or one or none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast, overload

from ..errors import TraceError
from ..ir.choices import Categorical, Var
from ..ir.nodes import Choice, Op
from .base import Module, S, check_module, labels_of
from .open import Open, one_of
from .symbols import Symbol, place, shape, tracer

OFF = "off"


@dataclass(frozen=True)
class Branches(Module[S]):
    """An open decision over modules: each is traced, one remains once the graph is specialised."""

    options: tuple[Module[S] | None, ...] = ()
    pick: Any = None

    @property
    def kind(self) -> str:
        """What labels it inside other modules: an optional module is called like that module, all else a choice."""
        module = self.options[-1]
        return _own(module, module.kind) if module and self.options[0] is None else "choice"

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Trace every branch on the same inputs; the choice node holds them all."""
        current = tracer("choice")
        named = self.named(self.name)
        current.claim(f"?{named.pick.name}", named.pick)
        branches = [_identity(records, named.name) if m is None else m.trace(*records, **inputs) for m in named.options]
        if len({shape(b._type) for b in branches}) > 1:
            raise TraceError(f"{place()}: the branches of choice {named.name!r} give different things: {branches}")
        refs = tuple(current.ref(b) for b in branches)
        name = current.unique(f"{named.name}.choice")
        labels = named.pick.domain.labels
        ref = current.builder.add(Op.CHOICE, name, Choice(named.pick.name, labels), refs, branches[0]._type)
        return Symbol(ref, branches[0]._type, current)

    def named(self, path: str) -> Branches[S]:
        """Itself with its decision under the path and each branch under the path and its label."""
        path = self.name or path
        if not path:
            raise TraceError("a choice needs a name: make it an attribute of the program, or give name=")
        labels = self.pick.domain.labels
        options = tuple(
            m.named(f"{path}.{_own(m, label)}") if m else None for m, label in zip(self.options, labels, strict=True)
        )
        decision = Var(path, self.pick.domain, labels[0])
        return Branches(self.of, options, decision, name=path)


def _own(module: Module[Any], label: str) -> str:
    return module.name.rsplit(".", 1)[-1] or label


def _identity(records: tuple[Any, ...], name: str) -> Symbol:
    if len(records) != 1 or not isinstance(records[0], Symbol):
        raise TraceError(f"{place()}: optional {name!r} must take a record, since off means passing it on")
    return records[0]


@overload
def choice(*options: Module[S], name: str = "") -> Module[S]: ...
@overload
def choice(*options: str, name: str = "") -> str: ...
def choice(*options: Any, name: str = "") -> Any:
    """An open decision over modules of one signature, or over texts.

    Raises:
        TraceError: Fewer than two options, or a mixture of modules and texts.
    """
    if len(options) < 2:
        raise TraceError(f"choice: at least two options are needed, but got {len(options)}")
    if all(isinstance(o, str) for o in options):
        return one_of(options, name)
    if not all(isinstance(o, Module) for o in options):
        raise TraceError(
            f"choice: options must all be modules or all texts, but got {options!r:.200}; a module is an instance, "
            "such as fw.Predict(Solve), and fw.sample stands around the choice"
        )
    labels = labels_of(options)
    bare = tuple(_unnamed(o, label) for o, label in zip(options, labels, strict=True))
    return Branches(options[0].of, bare, Open(Categorical(labels)), name=name)


def _unnamed(module: Module[Any], label: str) -> Module[Any]:
    """A branch without a name of its own, so that its choices stand under the decision's path and its label."""
    return replace(module, name="")


J = TypeVar("J", bound=Module[Any])


def optional(module: J, *, name: str = "") -> J:
    """A module that takes records, or nothing in its place: records then pass on unchanged.

    Inside another module its decision is called like the module: `layers = fw.Layers(S, steps=(
    fw.optional(fw.Critique(S)), fw.Fuser(S)))` has the choice `layers.Critique`, between "off" and "Critique".
    """
    check_module("optional", module)
    labels = (OFF, module.name or module.kind)
    branches: Any = Branches(module.of, (None, module), Open(Categorical(labels)), name=name)
    return cast(J, branches)
