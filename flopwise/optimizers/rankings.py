"""Orders of a pool of demonstrations: the first k of each are a set of k, so a larger set begins with a smaller."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from ..ir.index import Vector, dot
from ..modules.worked import STEPS, Demo

DIVERSE, COMPLEX, SHORT, RANDOM = "diverse", "complex", "short", "random"
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)")


def rankings(demos: Sequence[Demo], vectors: Sequence[Vector], seed: int) -> dict[str, tuple[str, ...]]:
    """Ids by strategy, the first to be shown first.

    Args:
        demos: The pool.
        vectors: The embedded inputs of each, at length 1; () where nothing embedded them, and then none is diverse.
        seed: Seed of the random order.
    """
    orders = {DIVERSE: diverse(demos, vectors)} if vectors else {}
    orders[COMPLEX] = sorted(demos, key=lambda d: (-steps(d), -length(d)))
    orders[SHORT] = sorted(demos, key=length)
    orders[RANDOM] = random.Random(f"demos/{seed}").sample(list(demos), len(demos))
    return {name: tuple(d.id for d in order) for name, order in orders.items()}


def diverse(demos: Sequence[Demo], vectors: Sequence[Vector]) -> list[Demo]:
    """From the most central demonstration on, always the one farthest from those before it (Gonzalez, 1985).

    The first k are spread over the pool for every k: they cover it within twice the best possible radius of any k that
    begin so. Of equally far ones the earlier comes first.
    """
    if not demos:
        return []
    left = dict(enumerate(vectors))
    total = [sum(column) for column in zip(*vectors, strict=True)]
    order = [max(left, key=lambda i: round(dot(left[i], total), 6))]
    nearest = {i: dot(v, vectors[order[0]]) for i, v in left.items() if i != order[0]}
    while nearest:
        far = min(nearest, key=lambda i: round(nearest[i], 6))
        del nearest[far]
        order.append(far)
        nearest = {i: max(s, dot(left[i], vectors[far])) for i, s in nearest.items()}
    return [demos[i] for i in order]


def steps(demo: Demo) -> int:
    """How many steps a demonstration takes: lines of its reasoning, program or plan, sentences where it is one line.

    Worked examples with more steps teach more (complexity-based prompting: Fu et al., 2022).
    """
    text = "\n".join(str(demo.fields[name]) for name in STEPS if demo.fields.get(name))
    lines = sum(bool(line.strip()) for line in text.splitlines())
    return lines if lines != 1 else max(len(_SENTENCE_END.findall(text)), 1)


def length(demo: Demo) -> int:
    """Letters of its fields. Short examples teach brevity: cheaper answers, and more of them inside a budget."""
    return sum(len(str(v)) for v in demo.fields.values())
