"""Choices: open decisions that the search fills in. Declared without a name, named by where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import TraceError
from ..ir.choices import Categorical, DemoSet, Domain, Instructions, Integer, Real, Undecided, Var
from .seeds import seeds


@dataclass(frozen=True)
class Open(Undecided):
    """A choice without its full name yet: `name` is what the user gave, if anything."""

    domain: Domain
    name: str = ""
    default: Any = None

    def __eq__(self, other: object) -> bool:
        if self._is_plain(other) or not isinstance(other, Open):
            return False
        return (self.name, self.domain, self.default) == (other.name, other.domain, other.default)

    def __str__(self) -> str:
        return f"?{self.name}" if self.name else f"a choice over {self.domain}"

    def named(self, path: str) -> Var:
        """The open value under its dotted name; a name the user gave wins."""
        full = self.name or path
        if not full:
            raise TraceError(
                f"the choice over {self.domain} has no name: make it an attribute of the program, or give name="
            )
        return Var(full, self.domain, self.default)


def integer(low: int, high: int, *, log: bool = False, name: str = "") -> Any:
    """A whole number from `low` to `high`, both included; searched on a log scale if `log`.

    Raises:
        TraceError: A bound is no whole number, `low <= high` does not hold, or a log scale starts below 1.
    """
    if any(isinstance(bound, bool) or not isinstance(bound, int) for bound in (low, high)):
        raise TraceError(f"integer: bounds must be whole numbers, but got {low!r}, {high!r}; use fw.real for others")
    _check_range(low, high, log)
    return Open(Integer(low, high, log), name)


def real(low: float, high: float, *, log: bool = False, name: str = "") -> Any:
    """A number from `low` to `high`, both included; searched on a log scale if `log`; raises as `integer`."""
    _check_range(low, high, log)
    return Open(Real(low, high, log), name)


def demos(most: int = 4, *, name: str = "") -> Any:
    """Demonstrations: which of the bootstrapped and labelled ones, how many (at most `most`), in which order."""
    if isinstance(most, bool) or not isinstance(most, int) or most < 0:
        raise TraceError(f"demos: a whole number `most >= 0` is needed, but got {most!r}; demos=[...] gives them")
    return Open(DemoSet(most), name, ())


@dataclass(frozen=True, eq=False)
class OpenInstruction(Open):
    """An instruction that a search looks for: what it starts from is known once the module is."""

    domain: Instructions

    def begun(self, own: str, technique: str) -> Open:
        """The choice of a module: its signature's own instruction first, then what the user gave, then the bank."""
        texts = tuple(dict.fromkeys((own, *self.domain.texts, *seeds(own, technique))))
        return Open(replace(self.domain, texts=texts), self.name, own)


def instruction(*texts: str, proposals: int | None = None, name: str = "") -> Any:
    """The instruction as a choice: one of some texts, or whatever the search finds.

    With texts alone it is one of those, in place of the signature's own. With `proposals` the search looks for it:
    among the signature's own (the default, so lowering without a search changes nothing), the texts, a few short
    additions to the signature's own that fit the technique, and up to `proposals` texts that the model writes while
    the search runs. It writes some from the program and a few examples of train before the race (grounded proposals
    as in MIPROv2, Opsahl-Ong et al., 2024, arXiv:2406.11695), the others once a config leads, from examples of train
    on which that config failed (reflective mutation as in GEPA, Agrawal et al., 2025, arXiv:2507.19457). What it
    writes is a choice like any other, kept where it scores better. A program without this choice keeps its
    instructions.

    Args:
        texts: Instructions of your own.
        proposals: Most texts that the model may propose; 0 searches the others alone.
        name: Name in a function program.

    Raises:
        TraceError: Neither texts nor proposals are given, a text is none or stands twice, or `proposals >= 0` does
            not hold.
    """
    if not texts and proposals is None:
        raise TraceError("instruction: at least one text is needed, or proposals=4, with which the search finds some")
    odd = [t for t in texts if not isinstance(t, str)]
    if odd:
        raise TraceError(f"instruction: every option must be a text, but got {odd[0]!r}; write fw.instruction('...')")
    _check_different(texts)
    if proposals is None:
        return Open(Instructions(texts), name, texts[0])
    if isinstance(proposals, bool) or not isinstance(proposals, int) or proposals < 0:
        raise TraceError(f"instruction: a whole number `proposals >= 0` is needed, but got {proposals!r}")
    return OpenInstruction(Instructions(texts, proposals), name)


def one_of(labels: Sequence[str], name: str = "") -> Any:
    """One of several texts, such as the variants of a technique; raises TraceError where one stands twice."""
    _check_different(labels)
    return Open(Categorical(tuple(labels)), name, labels[0])


def _check_different(labels: Sequence[str]) -> None:
    if len(set(labels)) < len(labels):
        raise TraceError(f"a choice is between different options, but got {list(labels)}")


def _check_range(low: float, high: float, log: bool) -> None:
    if any(isinstance(bound, bool) or not isinstance(bound, (int, float)) for bound in (low, high)):
        raise TraceError(f"bounds must be numbers, but got low={low!r}, high={high!r}; give the least and the largest")
    if not low <= high:
        raise TraceError(f"`low <= high` must hold, but got low={low}, high={high}")
    if log and low <= 0:
        raise TraceError(f"a log scale must start above 0, but got low={low}")
