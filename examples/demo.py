"""Compile a small solver on this machine, and see by how much it beats the plain prompt.

python examples/demo.py            about ten minutes for the search on two cores
python examples/demo.py --quick    three minutes in all
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import reasoning_gym
from solver import Solve, Solver, same

import flopwise as fw
from flopwise.cli.report_text import print_report, print_test
from flopwise.optimizers.contenders import Limits
from flopwise.optimizers.data import Example

ENGINE = "openvino:qwen2.5-coder-1.5b-instruct"
TASKS = (
    "gsm_symbolic", "gcd", "letter_counting", "syllogism", "simple_equations", "spell_backward", "number_sequence",
    "leg_counting",
)  # fmt: skip
SEED = 7
PER_QUERY = "3 TFLOP"
SHOWN = len(TASKS)


@dataclass(frozen=True)
class Size:
    """How many questions each set has, what the search may take, and how many configs it tries."""

    train: int
    dev: int
    holdout: int
    test: int
    search: str
    configs: int


FULL = Size(train=24, dev=48, holdout=24, test=64, search="200 TFLOP", configs=24)
QUICK = Size(train=8, dev=8, holdout=8, test=24, search="60 TFLOP", configs=4)

# All that the fresh process is given: no class, prompt or program of this folder.
FRESH = """
import json, sys
import flopwise as fw

engine, questions = fw.engine(sys.argv[1]), json.load(open("questions.json"))
answers = []
for artifact in sys.argv[2:]:
    records = fw.load(artifact, engine).batch(questions)
    answers.append([(getattr(r, "answer", ""), r.trace.flops) for r in records])
engine.close()
json.dump(answers, sys.stdout)
"""


def main() -> None:
    args = arguments()
    size = QUICK if args.quick else FULL
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="flopwise-demo-") as made:
        folder = Path(made)

        heading("1. Data: generated questions of mixed kinds, each with one short answer")
        sets = data(size)
        print(", ".join(f"{name} {len(rows)}" for name, rows in sets.items()))
        show(sets["dev"], [row["answer"] for row in sets["dev"]])

        heading(f"2. Compile: at most {size.search} for the search, {PER_QUERY} for a query of the result")
        with closing(fw.engine(args.engine)) as engine:
            compiled = fw.compile(
                Solver(), train=sets["train"], dev=sets["dev"], holdout=sets["holdout"], metric=same, engine=engine,
                budget=fw.Budget(per_query=PER_QUERY, search=size.search), limits=Limits(configs=size.configs),
                study=args.study or folder / "study",
            )  # fmt: skip
            print_report(compiled.report)

            heading("3. Save: an artifact is a folder of text")
            plain = fw.lower(fw.Predict(Solve), engine=engine, data=sets["dev"] + sets["test"])
            artifacts = {"compiled": folder / "solver.fw", "plain prompt": folder / "plain.fw"}
            compiled.save(artifacts["compiled"])
            plain.save(artifacts["plain prompt"])
        for file in sorted(p for p in artifacts["compiled"].rglob("*") if p.is_file()):
            print(f"  {file.relative_to(folder)}  {file.stat().st_size:,} bytes")

        heading("4. Load in a fresh process, in another folder, without any of this code")
        answers = dict(zip(artifacts, fresh(args.engine, sets["test"], list(artifacts.values()), folder), strict=True))
        show(sets["test"], [answer for answer, _ in answers["compiled"]], "answered ")

        heading(f"5. Test: {len(sets['test'])} questions that the search never saw")
        print_test({name: scored(sets["test"], found) for name, found in answers.items()})
    print(f"\n{time.monotonic() - began:.0f} s in all.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compile a small solver and test it against the plain prompt.")
    parser.add_argument("--quick", action="store_true", help="smaller sets and a smaller search")
    parser.add_argument("--engine", default=ENGINE, help=f"another engine than {ENGINE}")
    parser.add_argument("--study", help="keep the search here, and go on with one that is here")
    return parser.parse_args()


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def data(size: Size) -> dict[str, list[dict[str, str]]]:
    """The labelled sets, with a fair share of every kind of question each and no question in two of them."""
    counts = {"train": size.train, "dev": size.dev, "holdout": size.holdout, "test": size.test}
    each = 2 * sum(counts.values()) // len(TASKS)  # some come twice
    kinds = [reasoning_gym.create_dataset(task, size=each, seed=SEED) for task in TASKS]
    mixed = (entry for entries in zip(*kinds, strict=True) for entry in entries)
    distinct = {" ".join(entry["question"].split()): str(entry["answer"]) for entry in mixed}
    rows = ({"question": question, "answer": answer} for question, answer in distinct.items())
    return {name: list(islice(rows, count)) for name, count in counts.items()}


def show(rows: list[dict[str, str]], answers: list[str], said: str = "") -> None:
    """A question of each kind with its answer."""
    for row, answer in list(zip(rows, answers, strict=True))[:SHOWN]:
        label = "" if answer == row["answer"] else f"   (label {row['answer']})"
        print(f"  {row['question']}\n    {said}{answer}{label}")


def fresh(engine: str, rows: list[dict[str, str]], artifacts: list[Path], folder: Path) -> list[list[Any]]:
    """(answer, FLOPs) of each question by each artifact, as a new process gives them; it sees no label."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "questions.json").write_text(json.dumps([{"question": row["question"]} for row in rows]))
    command = [sys.executable, "-c", FRESH, engine, *map(str, artifacts)]
    done = subprocess.run(command, cwd=elsewhere, stdout=subprocess.PIPE, text=True, check=True)
    answers: list[list[Any]] = json.loads(done.stdout)
    return answers


def scored(rows: list[dict[str, str]], answers: list[Any]) -> list[tuple[float, float]]:
    """(score, FLOPs) of each question."""
    return [
        (float(same(Example.of(row), SimpleNamespace(answer=answer))), flops)
        for row, (answer, flops) in zip(rows, answers, strict=True)
    ]


if __name__ == "__main__":
    main()
