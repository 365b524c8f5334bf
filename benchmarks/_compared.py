"""Raw files of the quality benchmark read, paired by question, and compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from flopwise.optimizers.stats import Interval, Paired, interval, paired

from .peers.methods import ORDER
from .tasks import TASKS

OURS, MIPRO, EQUAL = "flopwise", "dspy.MIPROv2", "self-consistency"
ABLATED = "flopwise-without-"


@dataclass(frozen=True)
class Result:
    """A method on a task, over all of its seeds.

    Attributes:
        task: The task's name.
        method: The method's name.
        raws: Its raw files, by seed.
        files: Where they are.
    """

    task: str
    method: str
    raws: tuple[Mapping[str, Any], ...]
    files: tuple[Path, ...]

    @property
    def scores(self) -> dict[str, float]:
        """Each question's score by its id, the mean over the seeds."""
        found: dict[str, list[float]] = {}
        for raw in self.raws:
            for name, row in zip(raw["questions"], raw["rows"], strict=True):
                found.setdefault(name, []).append(row["score"])
        return {name: fmean(scores) for name, scores in found.items()}

    @property
    def score(self) -> Interval:
        """The mean over the questions, with its 95% interval."""
        return interval(list(self.scores.values()))

    @property
    def failures(self) -> float:
        """Test questions whose answer could not be read, or that gave none; the mean over the seeds."""
        return fmean(sum(bool(row["failed"]) for row in raw["rows"]) for raw in self.raws)

    @property
    def flops_per_query(self) -> float:
        """The mean over questions and seeds."""
        return fmean(row["flops"] for raw in self.raws for row in raw["rows"])

    def search(self, name: str) -> float:
        """A total of the search, the mean over the seeds: `spent`, `prompt`, `cached`, `completion`, `requests`..."""
        return fmean(raw["search"].get(name, 0.0) for raw in self.raws)

    def test(self, name: str) -> float:
        """As `search`, of the test, by its questions."""
        return fmean(sum(row[name] for row in raw["rows"]) for raw in self.raws)

    @property
    def prefilled(self) -> float:
        """Prompt tokens that the search had computed."""
        return self.search("prompt") - self.search("cached")


Results = Mapping[tuple[str, str], Result]


def read(folder: Path) -> dict[tuple[str, str], Result]:
    """All raw files of a folder as results by (task, method), in the order of tasks and methods.

    Raises:
        FileNotFoundError: There are none.
        ValueError: Two of one task were not asked the same questions, which nothing can pair.
    """
    found: dict[tuple[str, str], list[tuple[int, Mapping[str, Any], Path]]] = {}
    for file in sorted(folder.glob("*/*.json")):
        raw = json.loads(file.read_text("utf-8"))
        found.setdefault((raw["task"], raw["method"]), []).append((raw["seed"], raw, file))
    if not found:
        raise FileNotFoundError(f"{folder}: no raw files; run python -m benchmarks quality first")
    results = {}
    for task, method in sorted(found, key=_place):
        runs = sorted(found[task, method], key=lambda run: run[0])
        results[task, method] = Result(task, method, tuple(r[1] for r in runs), tuple(r[2] for r in runs))
    _check_pairs(results.values())
    return results


def _place(key: tuple[str, str]) -> tuple[int, int, str, str]:
    tasks, (task, method) = [t.name for t in TASKS], key
    return _index(tasks, task), _index(ORDER, method), task, method


def _index(names: Sequence[str], name: str) -> int:
    return list(names).index(name) if name in names else len(names)


def _check_pairs(results: Iterable[Result]) -> None:
    asked: dict[str, tuple[set[str], Path]] = {}
    for result in results:
        mine = set(result.scores)
        theirs, file = asked.setdefault(result.task, (mine, result.files[0]))
        if mine != theirs:
            raise ValueError(
                f"{result.files[0]} and {file} were not asked the same questions; move the older away and run it anew"
            )


def tasks_of(results: Results) -> list[str]:
    """The tasks, in order."""
    return list(dict.fromkeys(task for task, _ in results))


def methods_of(results: Results) -> list[str]:
    """The methods, in order."""
    return sorted({method for _, method in results}, key=lambda m: (_index(ORDER, m), m))


def difference(first: Result, second: Result) -> Paired:
    """How much better the first is, question by question."""
    ours, theirs = first.scores, second.scores
    return paired(list(ours.values()), [theirs[name] for name in ours])


def pooled(results: Results, first: str, second: str) -> Paired | None:
    """How much better a method is over all questions of all tasks that both were run on; None without one."""
    ours: list[float] = []
    theirs: list[float] = []
    for task in tasks_of(results):
        a, b = results.get((task, first)), results.get((task, second))
        if a is not None and b is not None:
            ours += a.scores.values()
            theirs += [b.scores[name] for name in a.scores]
    return paired(ours, theirs) if ours else None


def verdict(found: Paired) -> str:
    """A difference in a word: by its 95% interval."""
    if found.difference.low > 0:
        return "won"
    if found.difference.high < 0:
        return "LOST"
    return (
        "ahead, within the interval"
        if found.difference.mean > 0
        else ("behind, within the interval" if found.difference.mean < 0 else "even")
    )
