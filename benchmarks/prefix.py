"""Shared prefixes: many prompts with the same worked examples, all at once to the engine or through the scheduler.

Each side starts cold: its prompts begin with a text that the engine has never seen. Both run in one process on one
engine, and take turns at going first. Tokens are counted by the radix tree in the engine's blocks and checked against
the clock, by the time that prefills of known size take on the same engine.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from ._data import SOURCES, Problem, problems
from ._report import Report, Target

if TYPE_CHECKING:
    from flopwise.backends.engines._base import Engine, Tokenizer
    from flopwise.ir.request import TokenIds

_SEED = 0
_PREFIX_TOKENS = 1240  # of the shots: with a question, prompts of some 1,310 tokens
_WINDOWS = 60  # runs of consecutive problems among which the shots are looked for
_KNOWN_SIZES = ((1, 320), (1, 960), (1, 1312), (12, 64), (24, 96))  # (prompts, tokens of each) of calibration prefills
_TARGETS = (Target("ratio_to_tree", 1.05), Target("speedup", 6, at_most=False))


@dataclass(frozen=True)
class Burst:
    """Prompts that were sent at once, one token each.

    Attributes:
        how: "at once", or "scheduled".
        seconds: Until the last one had its token.
        prompts: How many there were.
        tokens: Their tokens.
        computed: Those the engine had to compute, by the tree where scheduled; all of them where sent at once.
        ideal: Those that are distinct, in whole blocks, and the rest of each prompt.
        warmups: Prefixes computed ahead.
    """

    how: str
    seconds: float
    prompts: int
    tokens: int
    computed: int
    ideal: int
    warmups: int = 0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument("--model", default="qwen2.5-coder-1.5b-instruct", help="a model of the openvino engine")
    parser.add_argument("--prompts", type=int, default=40, help="prompts in a burst (40)")
    parser.add_argument("--shots", type=int, default=6, help="worked examples in each (6)")
    parser.add_argument("--rounds", type=int, default=2, help="bursts of each kind (2)")
    parser.add_argument("--questions", choices=SOURCES, default="gsm8k", help="where the problems come from")


def measure(options: argparse.Namespace) -> Report:
    """Run both kinds of burst in turn."""
    import flopwise as fw

    shots, questions = _problems(options)
    engine = fw.engine(f"openvino:{options.model}", pull=True)
    try:
        return asyncio.run(_measure(engine, shots, questions, options))
    finally:
        engine.close()


def _problems(options: argparse.Namespace) -> tuple[list[Problem], list[Problem]]:
    return (
        problems(options.questions, "train", _WINDOWS + options.shots, _SEED),
        problems(options.questions, "test", options.prompts, _SEED),
    )


async def _measure(
    engine: Engine, train: Sequence[Problem], questions: Sequence[Problem], options: argparse.Namespace
) -> Report:
    salts = random.Random(time.time_ns())  # not seeded: a salt seen before would not be cold
    shots = choose_shots(engine.tokenizer, train, options.shots)
    known = [(n, size, await _known(engine, n, size, salts)) for n, size in _KNOWN_SIZES]
    each_prompt, each_token = fit(known)
    bursts: list[Burst] = []
    for round_ in range(options.rounds):
        for how in ("at once", "scheduled")[:: -1 if round_ % 2 else 1]:
            prompts = prompts_of(engine.tokenizer, f"{salts.getrandbits(64):016x}", shots, questions)
            bursts.append(await (at_once if how == "at once" else scheduled)(engine, prompts))
    timed = {id(b): (b.seconds - each_prompt * (b.prompts + b.warmups)) / each_token for b in bursts}
    rows = [
        {
            "how": b.how, "seconds": b.seconds, "prompts": b.prompts, "tokens": b.tokens, "warm-ups": b.warmups,
            "computed, by the tree": b.computed, "computed, by the clock": round(timed[id(b)]), "distinct": b.ideal,
        }
        for b in bursts
    ]  # fmt: skip
    raw = {
        "known_prefills": [{"prompts": n, "tokens": size, "seconds": s} for n, size, s in known],
        "seconds_per_prompt": each_prompt,
        "seconds_per_token": each_token,
        "bursts": [{**asdict(b), "computed_by_clock": timed[id(b)]} for b in bursts],
        "model": engine.model.name,
        "fingerprint": engine.model.fingerprint,
        "questions": options.questions,
    }
    return Report(_figures(bursts, timed, each_token), rows, raw, _TARGETS, (_SEED,))


def _figures(bursts: Sequence[Burst], timed: dict[int, float], each_token: float) -> dict[str, Any]:
    cold = [b for b in bursts if b.how == "at once"]
    warm = [b for b in bursts if b.how == "scheduled"]
    distinct = median(b.ideal for b in warm)
    seconds = median(b.seconds for b in cold), median(b.seconds for b in warm)
    figures = {
        "ratio_to_tree": median(b.computed / b.ideal for b in warm),
        "speedup": seconds[0] / seconds[1],
        "seconds_at_once": seconds[0],
        "seconds_scheduled": seconds[1],
        "prompt_tokens": median(b.tokens / b.prompts for b in bursts),
        "tokens_sent": median(b.tokens for b in bursts),
        "tokens_computed": median(b.computed for b in warm),
        "tokens_distinct": distinct,
        "tokens_by_clock": median(timed[id(b)] for b in warm),
        "tokens_by_clock_at_once": median(timed[id(b)] for b in cold),
        "tokens_per_second": 1 / each_token,
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


async def at_once(engine: Engine, prompts: Sequence[TokenIds]) -> Burst:
    """All prompts straight to the engine."""
    from flopwise.ir.request import Decoding, GenerateRequest

    started = time.perf_counter()
    await asyncio.gather(*(engine.generate(GenerateRequest(ids, Decoding(max_tokens=1))) for ids in prompts))
    seconds = time.perf_counter() - started
    total = sum(map(len, prompts))
    return Burst("at once", seconds, len(prompts), total, total, distinct_tokens(prompts, engine.capabilities.block))


async def scheduled(engine: Engine, prompts: Sequence[TokenIds]) -> Burst:
    """All prompts through a scheduler that knows nothing of what the engine holds."""
    from flopwise.backends.runtime.meter import Meter
    from flopwise.backends.runtime.scheduler import Scheduler
    from flopwise.ir.request import Decoding, GenerateRequest

    scheduler = Scheduler(engine, Meter(engine.model.cost))
    started = time.perf_counter()
    await asyncio.gather(*(scheduler.generate(GenerateRequest(ids, Decoding(max_tokens=1))) for ids in prompts))
    seconds = time.perf_counter() - started
    counts, total = scheduler.statistics(), sum(map(len, prompts))
    ideal = distinct_tokens(prompts, engine.capabilities.block)
    return Burst("scheduled", seconds, len(prompts), total, int(counts["computed"]), ideal, int(counts["warmups"]))


async def _known(engine: Engine, count: int, size: int, salts: random.Random) -> float:
    """Seconds to compute `count` prompts of `size` tokens that share nothing."""
    words = engine.tokenizer.encode(" ".join(str(salts.getrandbits(32)) for _ in range(count * size)))
    prompts = [words[i * size : (i + 1) * size] for i in range(count)]
    return (await at_once(engine, prompts)).seconds


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
