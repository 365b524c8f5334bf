"""Shared prefixes: many prompts with the same worked examples, all at once to the engine or through the scheduler.

Three ways, in one process, taking turns at going first: "batch" hands all prompts to OpenVINO's own pipeline in one
call; "gather" asks flopwise's engine for each of them, without the scheduler; "scheduled" asks through it. Each burst
is cold: its prompts begin with a text never seen before. Tokens are counted by the radix tree in the engine's blocks
and checked against the clock, by the time that prefills of known size take on the same engine.

The engine's thread starts on the first prompt of a gathered burst while the others still come in, so that they find a
part of it: how much is a matter of luck. A batch, or a burst that finds the engine at work, has no such luck.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from . import _prefix_sglang
from ._data import SOURCES, Problem, problems
from ._prefix_sglang import RECORDING
from ._report import Report, Target

if TYPE_CHECKING:
    from flopwise.backends.engines._base import Engine, Tokenizer
    from flopwise.ir.request import TokenIds

    from ._native import NativeBatch

_SEED = 0
_MODELS = {"openvino": "qwen2.5-coder-1.5b-instruct", "sglang": "smollm2-135m-instruct"}
_PREFIX_TOKENS = 1240  # of the shots: with a question, prompts of some 1,310 tokens
_WINDOWS = 60  # runs of consecutive problems among which the shots are looked for
# (prompts, tokens of each) of prefills that show the engine's speed; the first one only wakes it up.
_KNOWN_SIZES = ((1, 320), (1, 320), (1, 960), (1, 1312), (12, 64), (24, 96))
_TARGETS = (Target("ratio_to_tree", 1.05), Target("speedup", 6, at_most=False))


Way = Callable[["Engine", list["TokenIds"]], Awaitable["Burst"]]


@dataclass(frozen=True)
class Burst:
    """Prompts that were sent at once, one token each.

    Attributes:
        how: "batch", "gather" or "scheduled".
        seconds: Until the last one had its token.
        prompts: How many there were.
        tokens: Their tokens.
        computed: Those the engine had to compute, by the tree; None where no tree was asked.
        ideal: Those that are distinct, in whole blocks, and the rest of each prompt.
        warmups: Prefixes computed ahead.
        by_clock: Tokens that can have been computed in that time.
    """

    how: str
    seconds: float
    prompts: int
    tokens: int
    computed: int | None
    ideal: int
    warmups: int = 0
    by_clock: float = 0.0

    def tokens_at(self, speed: tuple[float, float]) -> float:
        """Tokens that can be computed in its time, at (seconds a prompt, seconds a token)."""
        return (self.seconds - speed[0] * (self.prompts + self.warmups)) / speed[1]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument("--engine", choices=("openvino", "sglang"), default="openvino")
    parser.add_argument("--model", help="a model of the engine (qwen2.5-coder-1.5b-instruct; smollm2-135m-instruct)")
    parser.add_argument("--prompts", type=int, default=40, help="prompts in a burst (40)")
    parser.add_argument("--shots", type=int, default=6, help="worked examples in each (6)")
    parser.add_argument("--rounds", type=int, default=2, help="bursts of each kind (2)")
    parser.add_argument("--questions", choices=SOURCES, default="gsm8k", help="where the problems come from")
    parser.add_argument("--url", help="sglang: a server that runs, instead of one started on this processor")
    parser.add_argument("--recording", type=Path, default=RECORDING, help="sglang: the search to replay")
    parser.add_argument("--search-rounds", type=int, help="sglang: how many rounds of the search to replay (all)")


def measure(options: argparse.Namespace) -> Report:
    """Run the kinds of burst in turn, or replay a search."""
    options.model = options.model or _MODELS[options.engine]
    return _prefix_sglang.measure(options) if options.engine == "sglang" else _bursts(options)


def _bursts(options: argparse.Namespace) -> Report:
    import flopwise as fw

    from ._native import NativeBatch

    train = problems(options.questions, "train", _WINDOWS + options.shots, _SEED)
    questions = problems(options.questions, "test", options.prompts, _SEED)
    engine = fw.engine(f"openvino:{options.model}", pull=True)
    try:
        native = NativeBatch(options.model)
        return asyncio.run(_measure(engine, native, train, questions, options.rounds, options.shots))
    finally:
        engine.close()


async def _measure(
    engine: Engine, native: NativeBatch, train: Sequence[Problem], questions: Sequence[Problem], rounds: int, shots: int
) -> Report:
    salts = random.Random(time.time_ns())  # not seeded: a salt seen before would not be cold
    chosen = choose_shots(engine.tokenizer, train, shots)
    ways: dict[str, Way] = {"batch": partial(batch, native), "gather": gather, "scheduled": scheduled}
    known = {how: await _known(engine, ways[how], salts) for how in ("batch", "gather")}
    speeds = {how: fit(sizes) for how, sizes in known.items()}
    bursts: list[Burst] = []
    for round_ in range(rounds):
        for how in list(ways)[:: -1 if round_ % 2 else 1]:
            prompts = prompts_of(engine.tokenizer, f"{salts.getrandbits(64):016x}", chosen, questions)
            burst = await ways[how](engine, prompts)
            bursts.append(replace(burst, by_clock=burst.tokens_at(speeds.get(how, speeds["gather"]))))
    raw = {
        "model": engine.model.name,
        "fingerprint": engine.model.fingerprint,
        "known_prefills_prompts_tokens_seconds": known,
        "seconds_a_prompt_and_a_token": speeds,
        "bursts": [asdict(b) for b in bursts],
    }
    return Report(_figures(bursts, speeds), _rows(bursts), raw, _TARGETS, (_SEED,))


def _rows(bursts: Sequence[Burst]) -> list[dict[str, Any]]:
    return [
        {
            "how": b.how, "seconds": b.seconds, "prompts": b.prompts, "tokens": b.tokens, "distinct": b.ideal,
            "warm-ups": b.warmups, "computed, by the tree": "" if b.computed is None else b.computed,
            "computed, by the clock": round(b.by_clock),
        }
        for b in bursts
    ]  # fmt: skip


def _figures(bursts: Sequence[Burst], speeds: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    ways = {how: [b for b in bursts if b.how == how] for how in ("batch", "gather", "scheduled")}
    seconds = {how: median(b.seconds for b in made) for how, made in ways.items()}
    figures = {
        "ratio_to_tree": median((b.computed or 0) / b.ideal for b in ways["scheduled"]),
        "speedup": seconds["batch"] / seconds["scheduled"],
        "speedup_over_gather": seconds["gather"] / seconds["scheduled"],
        **{f"seconds_{how}": s for how, s in seconds.items()},
        "prompt_tokens": median(b.tokens / b.prompts for b in bursts),
        "tokens_sent": median(b.tokens for b in bursts),
        "tokens_distinct": median(b.ideal for b in ways["scheduled"]),
        "tokens_computed": median(b.computed or 0 for b in ways["scheduled"]),
        **{f"tokens_by_clock_{how}": median(b.by_clock for b in made) for how, made in ways.items()},
        "tokens_per_second": 1 / speeds["gather"][1],
        "tokens_per_second_batch": 1 / speeds["batch"][1],
    }
    return {name: round(value, 4) for name, value in figures.items()}


def choose_shots(tokenizer: Tokenizer, train: Sequence[Problem], count: int) -> list[Problem]:
    """The run of `count` consecutive problems whose prompt comes closest to the length that is wanted."""
    wanted = _PREFIX_TOKENS * count / 6

    def miss(start: int) -> float:
        ids = prompts_of(tokenizer, "0" * 16, train[start : start + count], [Problem("", "", "")])[0]
        return abs(len(ids) - wanted)

    best = min(range(len(train) - count + 1), key=miss)
    return list(train[best : best + count])


def prompts_of(
    tokenizer: Tokenizer, salt: str, shots: Sequence[Problem], questions: Sequence[Problem]
) -> list[TokenIds]:
    """Chat prompts as token ids: the salt first of all, then the shots as turns, then one question each."""
    task = f"Session {salt}. Solve each grade-school maths problem step by step and end with the number it comes to."
    turns = [("system", task)]
    for shot in shots:
        turns += [("user", shot.question), ("assistant", f"{shot.rationale}\nThe answer is {shot.answer}.")]
    texts = [tokenizer.render_chat([*turns, ("user", q.question)], True) for q in questions]
    return [tokenizer.encode_template(text) for text in texts]


def distinct_tokens(prompts: Sequence[TokenIds], block: int) -> int:
    """Tokens that must be computed where every block that prompts share is computed once."""
    from flopwise.backends.runtime.radix import RadixTree

    tree, computed = RadixTree(block), 0
    for ids in prompts:
        computed += len(ids) - tree.match(ids)
        tree.insert(ids)
    return computed


async def batch(native: NativeBatch, engine: Engine, prompts: Sequence[TokenIds]) -> Burst:
    """All prompts to OpenVINO's own pipeline in one call; the engine only lends its block size."""
    started = time.perf_counter()
    await asyncio.to_thread(native.first_tokens, prompts)
    return _burst("batch", time.perf_counter() - started, prompts, engine)


async def gather(engine: Engine, prompts: Sequence[TokenIds]) -> Burst:
    """All prompts straight to the engine."""
    from flopwise.ir.request import Decoding, GenerateRequest

    started = time.perf_counter()
    await asyncio.gather(*(engine.generate(GenerateRequest(ids, Decoding(max_tokens=1))) for ids in prompts))
    return _burst("gather", time.perf_counter() - started, prompts, engine)


async def scheduled(engine: Engine, prompts: Sequence[TokenIds]) -> Burst:
    """All prompts through a scheduler that knows nothing of what the engine holds."""
    from flopwise.backends.runtime.meter import Meter
    from flopwise.backends.runtime.scheduler import Scheduler
    from flopwise.ir.request import Decoding, GenerateRequest

    scheduler = Scheduler(engine, Meter())
    started = time.perf_counter()
    await asyncio.gather(*(scheduler.generate(GenerateRequest(ids, Decoding(max_tokens=1))) for ids in prompts))
    seconds = time.perf_counter() - started
    counts = scheduler.statistics()
    return _burst("scheduled", seconds, prompts, engine, int(counts["computed"]), int(counts["warmups"]))


def _burst(
    how: str, seconds: float, prompts: Sequence[TokenIds], engine: Engine, computed: int | None = None, warmups: int = 0
) -> Burst:
    ideal = distinct_tokens(prompts, engine.capabilities.block)
    return Burst(how, seconds, len(prompts), sum(map(len, prompts)), computed, ideal, warmups)


async def _known(engine: Engine, way: Way, salts: random.Random) -> list[tuple[int, int, float]]:
    """(prompts, tokens of each, seconds) of prefills that share nothing."""
    known = []
    for count, size in _KNOWN_SIZES:
        words = engine.tokenizer.encode(" ".join(str(salts.getrandbits(32)) for _ in range(count * size)))
        burst = await way(engine, [words[i * size : (i + 1) * size] for i in range(count)])
        known.append((count, size, burst.seconds))
    return known[1:]


def fit(known: Sequence[tuple[int, int, float]]) -> tuple[float, float]:
    """Seconds a prompt and seconds a token, by least squares over (prompts, tokens of each, seconds)."""
    import numpy

    sizes = numpy.array([[n, n * size] for n, size, _ in known], dtype=float)
    seconds = numpy.array([s for _, _, s in known])
    weights = 1 / seconds  # relative errors: a long prefill is no better known than a short one
    solved, *_ = numpy.linalg.lstsq(sizes * weights[:, None], seconds * weights, rcond=None)
    each_prompt, each_token = (float(x) for x in solved)
    if each_prompt >= 0:
        return each_prompt, each_token
    return 0.0, float((sizes[:, 1] * weights) @ (seconds * weights) / ((sizes[:, 1] * weights) ** 2).sum())
