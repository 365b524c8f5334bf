"""The preset ladder: what a search tries first, from the cheapest up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, zip_longest

from ..compiler.stages import default_value
from ..ir.choices import Categorical, ChoiceValue, DemoSet, Integer, Var
from ..ir.nodes import Loop
from ..modules.branches import OFF
from .space import Space

MOST_STRUCTURES = 8
MOST_INSTRUCTIONS = 8


def first_rungs(space: Space) -> Iterator[dict[str, ChoiceValue]]:
    """Each structure at its defaults without demos, then with its largest set of short demos.

    What is optional is left out: a judge has nothing to choose from before counts are raised.
    """
    plain = (s for s in space.structures() if not _with_options(space, s))
    structures = [s for s, _ in zip(plain, range(MOST_STRUCTURES), strict=False)]
    for structure in structures:
        yield fill(space, structure, demos=False)
    for structure in structures:
        with_demos = fill(space, structure, demos=True)
        if with_demos != fill(space, structure, demos=False):
            yield with_demos


def upper_rungs(space: Space, leaders: Sequence[Mapping[str, ChoiceValue]]) -> Iterator[dict[str, ChoiceValue]]:
    """The leader with other instructions; the leaders with every count raised, then with each option.

    Counts are raised to the middle of their ranges and to their ends. How many samples come at a time is no
    such count: more at a time spend more on the same vote. Then the leader with other demos: chosen otherwise, and
    changed by one.
    """
    yield from islice((rung for leader in leaders[:1] for rung in _reworded(space, leader)), MOST_INSTRUCTIONS)
    kept = _wave_sizes(space)
    for level in ("middle", "high"):
        for leader in leaders:
            raised = {k: v if k in kept else _raised(space, k, v, level) for k, v in leader.items()}
            if raised != dict(leader):
                yield fill(space, raised, demos=False)
            if level == "middle":
                for name in _options(space, raised):
                    on = {k: v for k, v in raised.items() if k != name}
                    yield fill(space, {**on, name: _labels(space, name)[1]}, demos=False)

    for leader in leaders[:1]:
        yield from _other_demos(space, leader)


def _other_demos(space: Space, leader: Mapping[str, ChoiceValue]) -> Iterator[dict[str, ChoiceValue]]:
    for name, value in leader.items():
        for other in space.selection(name).neighbours(value):
            yield fill(space, {**leader, name: other}, demos=False)


def _reworded(space: Space, leader: Mapping[str, ChoiceValue]) -> Iterator[dict[str, ChoiceValue]]:
    """A config with each other instruction of its modules, the latest first, one module after another in turn."""
    others = [
        [{**leader, name: text} for text in reversed(space.instructions(name).values()) if text != value]
        for name, value in leader.items()
    ]
    for turn in zip_longest(*others):
        yield from (rung for rung in turn if rung is not None)


def _wave_sizes(space: Space) -> set[str]:
    loops = [n.attrs for _, n in space.graph.walk() if isinstance(n.attrs, Loop)]
    sizes = [loop.waves.size for loop in loops if loop.waves is not None]
    return {size.name for size in sizes if isinstance(size, Var)}


def _labels(space: Space, name: str) -> tuple[str, ...]:
    domain = space.variables[name].domain
    return domain.labels if isinstance(domain, Categorical) else ()


def _options(space: Space, config: Mapping[str, ChoiceValue]) -> list[str]:
    """The optional choices that a config leaves out."""
    return [k for k, v in config.items() if v == OFF and OFF in _labels(space, k)]


def _with_options(space: Space, config: Mapping[str, ChoiceValue]) -> bool:
    return any(OFF in _labels(space, k) and v != OFF for k, v in config.items())


def fill(space: Space, partial: Mapping[str, ChoiceValue], demos: bool) -> dict[str, ChoiceValue]:
    """A whole config: what is given where it is live, everything else at its default, demos if asked for."""
    config: dict[str, ChoiceValue] = {}
    while still_open := space.live(config):
        var = still_open[0]
        if var.name in partial:
            config[var.name] = partial[var.name]
        elif demos and isinstance(var.domain, DemoSet):
            config[var.name] = space.selection(var.name).preset
        else:
            config[var.name] = default_value(var)
    return config


def _raised(space: Space, name: str, value: ChoiceValue, level: str) -> ChoiceValue:
    domain = space.variables[name].domain
    if not isinstance(domain, Integer):
        return value
    if level == "high":
        return domain.high
    return round((domain.low * domain.high) ** 0.5) if domain.log else (domain.low + domain.high) // 2
