"""Open decisions: what a config assigns. A choice is known by its stable dotted name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NoReturn

from ..errors import ConfigError, TraceError
from .lines import place

MOST_INSTRUCTION = 2000  # characters
_UNWRITTEN = ("Cc", "Cs", "Co", "Cn")

# A demo set is a tuple of demo ids, or "knn:3" for the three nearest to each query; an instruction is its text; a
# branch is its label.
ChoiceValue = str | int | float | bool | tuple[str, ...]
Config = Mapping[str, ChoiceValue]


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of several labels."""

    labels: tuple[str, ...]

    def check(self, name: str, value: ChoiceValue) -> ChoiceValue:
        """Return the value if it is one of the labels, else raise ConfigError."""
        if value not in self.labels:
            raise ConfigError(f"choice {name!r}: one of {list(self.labels)} is needed, but got {value!r}")
        return value


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number from `low` to `high`, both included; searched on a log scale if `log`."""

    low: int
    high: int
    log: bool = False

    def check(self, name: str, value: ChoiceValue) -> ChoiceValue:
        """Return the value if it lies in the range, else raise ConfigError."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise ConfigError(f"choice {name!r}: a whole number from {self.low} to {self.high}, but got {value!r}")
        return value


@dataclass(frozen=True, slots=True)
class Real:
    """A number from `low` to `high`, both included; searched on a log scale if `log`."""

    low: float
    high: float
    log: bool = False

    def check(self, name: str, value: ChoiceValue) -> ChoiceValue:
        """Return the value if it lies in the range, else raise ConfigError."""
        if isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high:
            return float(value)
        raise ConfigError(f"choice {name!r}: a number from {self.low} to {self.high}, but got {value!r}")


@dataclass(frozen=True, slots=True)
class DemoSet:
    """Demonstrations by id, at most `most`, or the nearest to each query: they exist once a search has made them."""

    most: int
    form: str = ""

    def check(self, name: str, value: ChoiceValue) -> ChoiceValue:
        """Return the ids if they are few enough and all different, or how many are nearest; else raise ConfigError."""
        if isinstance(value, str):
            if not 1 <= nearest_count(value) <= self.most:
                raise ConfigError(f"choice {name!r}: 'knn:1' to 'knn:{self.most}' or demo ids, but got {value!r}")
            return value
        if not isinstance(value, (tuple, list)) or len(value) > self.most or len(set(value)) != len(value):
            raise ConfigError(f"choice {name!r}: at most {self.most} different demo ids, but got {value!r}")
        return tuple(value)


@dataclass(frozen=True, slots=True)
class Instructions:
    """One of some instructions, or one of at most `proposals` that a search's model proposes.

    The value is the instruction's text, so a config says what is asked wherever it is read.
    """

    texts: tuple[str, ...]
    proposals: int = 0

    def check(self, name: str, value: ChoiceValue) -> ChoiceValue:
        """Return the text if it is one of these or, where proposals are open, fit to be one, else raise ConfigError."""
        if value in self.texts:
            return value
        if not self.proposals:
            raise ConfigError(f"choice {name!r}: one of {list(self.texts)} is needed, but got {value!r:.200}")
        unfit = unfit_instruction(value)
        if unfit:
            raise ConfigError(f"choice {name!r}: an instruction {unfit}, but got {value!r:.200}")
        return value


Domain = Categorical | Integer | Real | DemoSet | Instructions


def unfit_instruction(text: object) -> str:
    """What an instruction that nobody has read must be and a text is not; "" where it is fit."""
    if not isinstance(text, str) or not text.strip():
        return "must be a text with something in it"
    if len(text) > MOST_INSTRUCTION:
        return f"must have at most {MOST_INSTRUCTION:,} characters"
    if any(is_unwritten(c) for c in text):
        return "must be free of control, private and surrogate characters"
    return ""


def is_unwritten(character: str) -> bool:
    """True for what no text holds: control characters but line breaks and tabs, private ones, halves of pairs."""
    return unicodedata.category(character) in _UNWRITTEN and character not in "\n\t"


_NEAREST = re.compile(r"knn:([1-9][0-9]{0,5})")


def nearest(k: int) -> str:
    """The value of a demo choice that takes the k demonstrations nearest to each query."""
    return f"knn:{k}"


def nearest_count(value: ChoiceValue) -> int:
    """How many of the nearest a demo choice's value takes; 0 where it is a tuple of ids or something else."""
    found = _NEAREST.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) if found else 0


# True while a user's program is traced; set by `modules.symbols.tracing`.
writing: ContextVar[bool] = ContextVar("flopwise_writing", default=False)


class Undecided:
    """What is not known while a program is traced: ordinary Python over it is refused."""

    __slots__ = ()

    def _refuse(self, *_: object) -> NoReturn:
        raise TraceError(
            f"{place()}: {self} is a choice, which is only known when the program is specialised; give it to a module "
            "or to fw.sample, or use fw.choice between modules, to decide by it"
        )

    def _is_plain(self, other: object) -> bool:
        """Refuse to be compared with a plain value in a program; passes may ask whether a value is still open."""
        return isinstance(other, (str, int, float)) and writing.get() and self._refuse()

    __bool__ = __index__ = __int__ = __float__ = __len__ = __iter__ = __getitem__ = __contains__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __neg__ = __pos__ = __abs__ = __invert__ = __round__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __divmod__ = __rdivmod__ = __pow__ = __rpow__ = _refuse
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __lshift__ = __rshift__ = _refuse


@dataclass(frozen=True, slots=True)
class Var(Undecided):
    """An open value: a choice's name and domain standing where its value will be."""

    name: str
    domain: Domain
    default: Any = None

    def resolve(self, config: Config) -> Any:
        """Return the config's value for this choice, checked; raise ConfigError where it has none."""
        if self.name not in config:
            raise ConfigError(f"choice {self.name!r} is not assigned; the config has {sorted(config)}")
        return self.domain.check(self.name, config[self.name])

    def __eq__(self, other: object) -> bool:
        if self._is_plain(other) or not isinstance(other, Var):
            return False
        return (self.name, self.domain, self.default) == (other.name, other.domain, other.default)

    def __str__(self) -> str:
        return f"?{self.name}"


def config_key(config: Config) -> str:
    """The canonical text of a config: equal configs have equal keys."""
    import json

    return json.dumps({k: config[k] for k in sorted(config)}, ensure_ascii=False, separators=(",", ":"))
