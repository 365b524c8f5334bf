"""Whether outputs parse: generations of every kind of output type over hostile inputs, held to their types by grammars.

Each kind of type is asked for at once and after reasoning, at temperatures 0 and 1.5, over inputs with special tokens,
template syntax, control characters, JSON fragments and orders to ignore the format. What a type limits in length must
always parse; what may go on for ever may run out of tokens, which is counted and never raised. Inputs that no tokenizer
reads, and those over their cap, must be refused as such.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from ._parsing_cases import INPUTS, REFUSED, Kind, kinds
from ._report import Report, Target

if TYPE_CHECKING:
    from flopwise import Pipeline
    from flopwise.backends.engines._base import Engine

TECHNIQUES = ("Predict", "ChainOfThought")
TEMPERATURES = (0.0, 1.5)
_CAP = 1600  # tokens of the input: no more than the bytes of the longest one
_REASONING = 48  # tokens of free text: what is looked at comes after it
_OUT_OF_TOKENS = "ran out of tokens"
_MODEL = "smollm2-135m-instruct"
_PATIENCE_S = 7200.0
_TARGETS = (
    Target("parse_failures_bounded", 0),
    Target("unbounded_failures_uncounted", 0),
    Target("exceptions", 0),
    Target("hostile_inputs_let_in", 0),
)


@dataclass(frozen=True)
class Outcome:
    """One generation.

    Attributes:
        kind: The output type's name.
        bounded: Whether the type limits its length.
        technique: The module.
        temperature: It was sampled at.
        input: The input's name.
        result: "parsed", "failed", "refused" or "raised".
        reason: Why not, where it did not parse.
    """

    kind: str
    bounded: bool
    technique: str
    temperature: float
    input: str
    result: str
    reason: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument(
        "--engine",
        default=f"openvino:{_MODEL}",
        help=f"what generates (openvino:{_MODEL}); sglang:URL for a server, sglang to start one on this processor",
    )
    parser.add_argument("--generations", type=int, default=1000, help="how many, over all kinds (1000)")
    parser.add_argument("--kinds", nargs="*", metavar="NAME", help="only these kinds of output types")
    parser.add_argument("--in-flight", type=int, default=48, help="generations under way at once (48)")


def measure(options: argparse.Namespace) -> Report:
    """Generate and count."""
    chosen = [k for k in kinds() if not options.kinds or k.name in options.kinds]
    with _engine(options.engine) as engine:
        outcomes = asyncio.run(generate(engine, chosen, options.generations, options.in_flight))
    raw = {"engine": options.engine, "not_parsed": [asdict(o) for o in outcomes if o.result != "parsed"]}
    return Report(figures(outcomes), rows(outcomes), raw, _TARGETS)


Way = tuple[Kind, str, float]


def ways(chosen: Sequence[Kind]) -> list[Way]:
    """Each kind in each way; every kind comes once before one comes twice, and the ways take turns from the start."""
    how = [(technique, t) for t in TEMPERATURES for technique in TECHNIQUES]
    return [(k, *how[(i + turn) % len(how)]) for turn in range(len(how)) for i, k in enumerate(chosen)]


async def generate(engine: Engine, chosen: Sequence[Kind], generations: int, in_flight: int) -> list[Outcome]:
    """Ask each kind in each way, over inputs in turn, `generations` in all; once also those to be refused."""
    free = asyncio.Semaphore(in_flight)
    inputs = cycle(INPUTS)
    asked: dict[Way, list[str]] = {}
    for way in islice(cycle(ways(chosen)), generations):
        asked.setdefault(way, [] if len(asked) >= len(chosen) else [*REFUSED]).append(next(inputs))

    async def one(pipeline: Pipeline[Any, Any], way: Way, name: str) -> Outcome:
        async with free:
            result, reason = await _ask(pipeline, (INPUTS | REFUSED)[name])
        return Outcome(way[0].name, way[0].bounded, way[1], way[2], name, result, reason)

    pipelines = {way: _pipeline(engine, *way) for way in asked}
    return list(await asyncio.gather(*(one(pipelines[w], w, name) for w, names in asked.items() for name in names)))


def _pipeline(engine: Engine, kind: Kind, technique: str, temperature: float) -> Pipeline[Any, Any]:
    import flopwise as fw

    module = getattr(fw, technique)(kind.signature(), temperature=temperature, max_tokens=_REASONING)
    return fw.lower(module, engine=engine, caps={"text": _CAP})


async def _ask(pipeline: Pipeline[Any, Any], text: str) -> tuple[str, str]:
    from flopwise.errors import InputError, PipelineFailure

    try:
        await pipeline.acall(text=text)
    except PipelineFailure as failure:
        return "failed", str(failure)
    except InputError as error:
        return "refused", str(error)
    except Exception as error:  # whatever it is, it is counted
        return "raised", f"{type(error).__name__}: {error}"
    return "parsed", ""


def figures(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """The counts; inputs that must be refused are no generations."""
    made = [o for o in outcomes if o.input not in REFUSED]
    failed = [o for o in made if o.result == "failed"]
    counted = [o for o in failed if not o.bounded and _OUT_OF_TOKENS in o.reason]
    return {
        "generations": len(made),
        "kinds": len({o.kind for o in made}),
        "parsed": sum(o.result == "parsed" for o in made),
        "parse_failures_bounded": sum(o.bounded for o in failed),
        "unbounded_failures_counted": len(counted),
        "unbounded_failures_uncounted": sum(not o.bounded for o in failed) - len(counted),
        "exceptions": sum(o.result in ("raised", "refused") for o in made),
        "hostile_inputs_refused": sum(o.result == "refused" for o in outcomes if o.input in REFUSED),
        "hostile_inputs_let_in": sum(o.result != "refused" for o in outcomes if o.input in REFUSED),
    }


def rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """One row for each kind."""
    by_kind: dict[str, list[Outcome]] = {}
    for o in outcomes:
        if o.input not in REFUSED:
            by_kind.setdefault(o.kind, []).append(o)
    return [
        {
            "output": kind,
            "length": "bounded" if made[0].bounded else "free",
            "generations": len(made),
            "parsed": sum(o.result == "parsed" for o in made),
            "out of tokens": sum(_OUT_OF_TOKENS in o.reason for o in made),
            "first other": next((o.reason[:90] for o in made if o.reason and _OUT_OF_TOKENS not in o.reason), ""),
        }
        for kind, made in by_kind.items()
    ]


@contextmanager
def _engine(spec: str) -> Iterator[Engine]:
    """An engine by its spec, or at a server that is started for this run."""
    if spec == "sglang":
        from flopwise.backends.engines.sglang.launch import LaunchSettings, launch

        with launch(_MODEL, LaunchSettings(cpu=True)) as server, _engine(f"sglang:{server.url}") as engine:
            yield engine
        return
    import flopwise as fw

    # How long an answer takes on a busy machine is not what is looked at here.
    engine = fw.engine(spec, **({"deadline_s": _PATIENCE_S} if spec.startswith("sglang:") else {}))
    yield engine
    engine.close()
