"""What `flopwise plan-capacity` reckons with: a model's shape, a GPU, and the requests of a query."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..errors import InputError
from ..ir.capacity import Stage
from ..ir.serving import GPUS, LIKE, Gpu, Model

if TYPE_CHECKING:
    from ..compiler.lengths import Lengths
    from ..ir.graph import Graph
    from ..ir.nodes import Node
    from ..ir.plan import Plan

T = TypeVar("T")


def read_gpu(name: str) -> Gpu:
    """A GPU by its name; raises InputError where it is none that is known."""
    return _named("--gpu", name, GPUS)


def read_model(model: str | None, like: str | None) -> Model:
    """A model from a folder, a file, a known name, or the size of a public one.

    Raises:
        InputError: There is no such size, or the config.json is none.
        EngineError: The config.json is of a family whose shape is unknown.
        WeightsError: The GGUF file is not on this machine, or cannot be read.
    """
    if model is None:
        return _named("--like", like or "", LIKE)
    path = Path(model).expanduser()
    if path.is_dir() or path.suffix == ".json":
        return _of_config(path / "config.json" if path.is_dir() else path)
    return _of_gguf(model)


def read_stages(args: Namespace) -> tuple[Stage, ...]:
    """A query's requests, from an artifact's plan or from the flags."""
    return _of_artifact(args) if args.artifact else tuple(_turns(args))


def _named(flag: str, name: str, table: Mapping[str, T]) -> T:
    if name.lower() in table:
        return table[name.lower()]
    near = get_close_matches(name.lower(), table, 1, 0.5)  # names of few letters
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{flag} must be one of {', '.join(table)}, but got {name!r}{hint}")


def _of_config(path: Path) -> Model:
    from ..backends.engines.shapes import shape_from_config

    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--model: {path} is no config.json that can be read ({error})") from error
    if not isinstance(config, dict):
        raise InputError(f"--model: {path} must hold an object, but holds {type(config).__name__}")
    shape = shape_from_config(config)
    # A config leaves out what is as the library has it by default, and that is tied.
    return Model(path.resolve().parent.name, shape, bool(config.get("tie_word_embeddings", True)))


def _of_gguf(model: str) -> Model:
    from ..backends.engines.gguf import read_gguf
    from ..backends.engines.weights import path_of

    path = path_of(model)
    info = read_gguf(path)
    from gguf import GGUFReader

    tied = all(tensor.name != "output.weight" for tensor in GGUFReader(path).tensors)
    return Model(path.stem, info.shape, tied)


def _turns(args: Namespace) -> Iterator[Stage]:
    """The first turn, and those that continue it."""
    stage = Stage(args.requests, args.prompt_tokens, args.shared_tokens, args.output_tokens, name="turn 1")
    yield stage
    for turn in range(2, args.turns + 1):
        before = stage.prompt + stage.output
        # Each sample goes on from its own output; the last token of that was never fed back.
        same = args.requests == 1
        stage = Stage(
            args.requests, before + args.turn_tokens, stage.shared, stage.output, before - 1, same, f"turn {turn}"
        )
        yield stage


def _of_artifact(args: Namespace) -> tuple[Stage, ...]:
    """The requests of an artifact's plan: every one that it may make, at its longest."""
    from ..compiler.artifact import read
    from ..compiler.engines import engines_in
    from ..compiler.lengths import Lengths
    from ..compiler.lower import lower
    from .run import engine_of
    from .words import make_engine

    found = read(Path(args.artifact))
    if names := engines_in(found.graph):
        raise InputError(
            f"--artifact {args.artifact}: its pipeline asks the engines main and {', '.join(names)}, and capacity is "
            "planned for the servers of one model; give that model's load by --prompt-tokens and --output-tokens"
        )
    caps = found.caps if args.input_tokens is None else dict.fromkeys(found.caps, args.input_tokens)
    with closing(make_engine(args.engine or engine_of(found))) as engine:
        plan = lower(found.graph, engine, caps)
    lengths = Lengths(plan.graph, caps)
    lengths.prompts.update(plan.prompts)
    stages = tuple(_asked(plan.graph, lengths, plan, 1, args.output_share))
    if not stages:
        raise InputError(f"--artifact {args.artifact}: its pipeline asks no model, so there is nothing to plan for")
    return stages


def _asked(graph: Graph, lengths: Lengths, plan: Plan, times: int, share: float) -> Iterator[Stage]:
    """A graph's requests; those of a region as often as it can run."""
    from ..ir.nodes import Loop

    for node in graph.nodes:
        if node.prompt is not None:
            yield _stage(node, lengths, plan, times, share)
        elif isinstance(node.attrs, Loop):
            yield from _asked(node.attrs.body, lengths.inside(node), plan, times * lengths.trips(node)[1], share)


def _stage(node: Node, lengths: Lengths, plan: Plan, times: int, share: float) -> Stage:
    from ..compiler.bounds import invariant
    from ..ir.nodes import Generate
    from ..ir.plan import Carry

    name = lengths.path + node.name
    prompt = plan.prompts[name]
    count, output = 1, 1
    if isinstance(node.attrs, Generate):
        count, output = node.attrs.n, max(round(node.attrs.decoding.max_tokens * share), 1)
    head = prompt.pieces[0]
    carried = lengths.carry_most(head.ref) - 1 if isinstance(head, Carry) else 0
    same = times == 1 or invariant(prompt, lengths)
    return Stage(times * count, prompt.most, _shared(name, lengths, plan), output, carried, same, name)


def _shared(name: str, lengths: Lengths, plan: Plan) -> int:
    """Leading tokens that are the same in every query; a continued turn begins as the turn before does."""
    from ..ir.plan import Carry

    prompt = plan.prompts[name]
    head = prompt.pieces[0]
    before = lengths.path + head.ref.node if isinstance(head, Carry) else ""
    return _shared(before, lengths, plan) if before in plan.prompts else prompt.static
