"""Three sets that share nothing: train for demos, dev for the search, holdout for the verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DataError
from ..ir.schemas import Schema
from .data import Example, content_hash

_MOST_TRAIN = 200
_FEW_HOLDOUT = 20


@dataclass(frozen=True, slots=True)
class Splits:
    """The three sets of a search.

    Attributes:
        train: Examples that demos are made of.
        dev: Examples that configs are compared on.
        holdout: Examples that only the finalists meet.
        statement: In words and numbers, how the sets came about; ends in a warning where the holdout is small.
    """

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    holdout: tuple[Example, ...]
    statement: str


def split(
    dev: Sequence[Example],
    *,
    schema: Schema,
    train: Sequence[Example] | None = None,
    holdout: Sequence[Example] | None = None,
    seed: int = 0,
) -> Splits:
    """Complete the sets a user gave to three, and make sure that they share no input record.

    Sets that are given are used as they are, but for what is taken out of dev: a quarter of it (at most 200) is
    train and a third of the rest is holdout. Rows with the same inputs stay in one set. The same examples, in
    whatever order, are split the same way by the same seed.

    Args:
        dev: The examples to search on, or all there are.
        schema: The signature; two examples are the same record when its inputs agree but for white space.
        train: Examples for demos, if they come as a set of their own.
        holdout: Examples for the verdict, if they come as a set of their own.
        seed: Decides who goes where.

    Raises:
        DataError: Two sets share an input record, or dev is too small to take the missing sets out of.
    """
    given = {"train": train, "dev": dev, "holdout": holdout}
    _refuse_shared({name: examples for name, examples in given.items() if examples is not None}, schema)
    rest, took = tuple(dev), []
    if train is None:
        train, rest = _take(rest, min(len(rest) // 4, _MOST_TRAIN), schema, seed, "train")
        took.append(f"{len(train)} train")
    if holdout is None:
        holdout, rest = _take(rest, len(rest) // 3, schema, seed, "holdout")
        took.append(f"{len(holdout)} holdout")
    if not rest:
        raise DataError(f"dev: at least one example must be left to search on, but got {len(dev)}")
    return Splits(tuple(train), rest, tuple(holdout), _statement(len(dev), took, len(train), rest, len(holdout), seed))


def input_key(example: Example, schema: Schema) -> str:
    """What an example asks, as a hash: its inputs with white space normalised."""
    return content_hash(_squeezed(example.inputs(schema)))


def _squeezed(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, Mapping):
        return {k: _squeezed(v) for k, v in value.items()}
    return [_squeezed(v) for v in value] if isinstance(value, (list, tuple)) else value


def _refuse_shared(sets: Mapping[str, Sequence[Example]], schema: Schema) -> None:
    seen: dict[str, tuple[str, int]] = {}
    for name, examples in sets.items():
        for number, example in enumerate(examples, 1):
            row = example.row or number
            other, other_row = seen.setdefault(input_key(example, schema), (name, row))
            if other != name:
                raise DataError(
                    f"no input may be in two sets, but {other} row {other_row} is {name} row {row}: "
                    f"{str(example.inputs(schema))[:120]}; leave it out of one of them"
                )


def _take(
    examples: tuple[Example, ...], count: int, schema: Schema, seed: int, name: str
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Take about `count` examples out, whole groups of the same inputs at a time; both parts keep their order."""
    groups: dict[Hashable, list[Example]] = {}
    for example in examples:
        groups.setdefault(input_key(example, schema), []).append(example)
    taken: set[Example] = set()
    # A hash instead of a shuffle: who goes where does not depend on the order of the rows.
    for key in sorted(groups, key=lambda k: hashlib.sha256(f"{seed} {name} {k}".encode()).digest()):
        if len(taken) + len(groups[key]) <= count:
            taken.update(groups[key])
    if not taken:
        raise DataError(
            f"dev: at least four different inputs are needed to take {name} out of it, but got {len(groups)}; "
            f"give more examples or {name}= itself"
        )
    return tuple(e for e in examples if e in taken), tuple(e for e in examples if e not in taken)


def _statement(total: int, took: list[str], train: int, dev: Sequence[Example], holdout: int, seed: int) -> str:
    said = f"train {train}, dev {len(dev)}, holdout {holdout} examples, "
    said += f"{' and '.join(took)} taken out of the {total} of dev by seed {seed}" if took else "all as given"
    if holdout >= _FEW_HOLDOUT:
        return said + "."
    return said + f". Warning: {holdout} holdout examples tell little; give at least {_FEW_HOLDOUT}, better 200."
