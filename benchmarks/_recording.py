"""The requests of a real search, as their radix tree: which prefixes they share, when each was ready, and no text.

`python -m benchmarks._recording --work DIR OUT.json` runs a finished search of the quality benchmark once more from its
bank, so that nothing is generated, and writes down what its scheduler was asked. `benchmarks/prefix.py` replays it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flopwise.ir.request import TokenIds

_query: ContextVar[int] = ContextVar("query", default=-1)


@dataclass
class Recording:
    """Requests in the order in which they were ready.

    Attributes:
        nodes: The radix tree's edges: (parent's index or -1, tokens).
        requests: (round, query, step, node, samples) of each request. Queries of a round run side by side; within a
            query, the requests of a step do.
        about: Model, task and budget it was recorded with.
    """

    nodes: list[tuple[int, int]] = field(default_factory=list)
    requests: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def distinct(self) -> int:
        """Tokens of the radix tree."""
        return sum(tokens for _, tokens in self.nodes)

    def prompts(self, vocabulary: Sequence[int], salt: int = 0) -> list[TokenIds]:
        """Token ids of each request: made up, but shared as far as the recorded ones were.

        Args:
            vocabulary: Ids to make them of; more than any node has children.
            salt: Another one gives other ids, of which an engine's cache holds nothing.
        """
        import random

        draw = random.Random(salt)
        vocabulary = draw.sample(vocabulary, len(vocabulary))
        texts: list[TokenIds] = []
        children: dict[int, int] = {}
        for parent, tokens in self.nodes:
            at = children[parent] = children.get(parent, -1) + 1  # siblings begin with different ids
            made = (vocabulary[at], *draw.choices(vocabulary, k=tokens - 1))
            texts.append((texts[parent] if parent >= 0 else ()) + made)
        return [texts[node] for *_, node, _ in self.requests]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps({"about": self.about, "nodes": self.nodes, "requests": self.requests}) + "\n")


def read(path: Path) -> Recording:
    """A recording that `save` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    nodes = [(parent, tokens) for parent, tokens in data["nodes"]]
    requests = [(a, b, c, d, e) for a, b, c, d, e in data["requests"]]
    return Recording(nodes, requests, data["about"])


def shape(prompts: Sequence[TokenIds]) -> tuple[list[tuple[int, int]], list[int]]:
    """The radix tree of prompts: (parent, tokens) of each node, parents first, and the node where each prompt ends."""
    nodes: list[tuple[int, int]] = []
    ends: dict[TokenIds, int] = {}
    path: list[tuple[int, int]] = []  # (node, depth in tokens) from the root to the last prompt's end
    before: TokenIds = ()
    ordered = sorted(set(prompts))
    for at, ids in enumerate(ordered):
        shared = _common(before, ids)
        while path and path[-1][1] > shared:
            path.pop()
        # Where this prompt and a later one part, a node must end.
        cuts = sorted({_common(ids, later) for later in _partings(ordered, at, shared)} | {len(ids)})
        for cut in cuts:
            depth = path[-1][1] if path else 0
            if cut > depth:
                nodes.append((path[-1][0] if path else -1, cut - depth))
                path.append((len(nodes) - 1, cut))
        ends[ids], before = path[-1][0], ids
    return nodes, [ends[ids] for ids in prompts]


def _partings(ordered: Sequence[TokenIds], at: int, shared: int) -> list[TokenIds]:
    """The later prompts, in order, that share ever less with this one, as long as it is more than `shared`."""
    found, length = [], len(ordered[at]) + 1
    for later in ordered[at + 1 :]:
        common = _common(ordered[at], later)
        if common <= shared:
            break
        if common < length:
            found.append(later)
            length = common
    return found


def _common(a: TokenIds, b: TokenIds) -> int:
    at = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        at += 1
    return at


class Recorder:
    """Notes what a search asks of its scheduler.

    Args:
        search: A `flopwise.optimizers.search.Search` that has not run yet.
    """

    def __init__(self, search: Any) -> None:
        self.prompts: list[TokenIds] = []
        self.places: list[tuple[int, int, int, int]] = []  # (round, query, step, samples)
        self._round = self._running = self._queries = 0
        self._steps: dict[int, int] = {}
        self._open: set[int] = set()  # queries whose present step still gathers
        self._cells, self._cell = search.evaluator.cells, search.evaluator._cell
        self._generate, self._score = search.schedulers.main.generate, search.schedulers.main.score
        search.evaluator.cells, search.evaluator._cell = self.cells, self.cell
        search.schedulers.main.generate, search.schedulers.main.score = self.generate, self.score

    async def cells(self, *arguments: Any) -> Any:
        """A round begins when no other is under way."""
        self._round += not self._running
        self._running += 1
        try:
            return await self._cells(*arguments)
        finally:
            self._running -= 1

    async def cell(self, *arguments: Any) -> Any:
        """A query, known to what it starts by its context."""
        self._queries += 1
        _query.set(self._queries)
        return await self._cell(*arguments)

    async def generate(self, request: Any) -> Any:
        """Note a request for samples."""
        self._note(request.ids, request.n)
        return await self._generate(request)

    async def score(self, request: Any) -> Any:
        """Note a request for probabilities."""
        self._note(request.ids, 1)
        return await self._score(request)

    def _note(self, ids: TokenIds, n: int) -> None:
        query = _query.get()
        if query not in self._open:
            self._open.add(query)
            self._steps[query] = self._steps.get(query, -1) + 1
            asyncio.get_running_loop().call_soon(self._open.discard, query)
        self.prompts.append(ids)
        self.places.append((self._round, query, self._steps[query], n))

    def recording(self, about: dict[str, Any]) -> Recording:
        """What was noted, without its text."""
        nodes, ends = shape(self.prompts)
        requests = [(*place[:3], end, place[3]) for place, end in zip(self.places, ends, strict=True)]
        return Recording(nodes, requests, about)


def record(options: argparse.Namespace) -> Recording:
    """Run a finished search again from a copy of its study without its cells."""
    import flopwise as fw
    from flopwise.optimizers.contenders import Limits
    from flopwise.optimizers.search import Search
    from flopwise.optimizers.search import Task as SearchTask

    from .quality import folder_of
    from .tasks import task_named

    task = task_named(options.task)
    train, dev, _ = task.rows()
    budget = fw.Budget(per_query=options.per_query, search=options.search)
    engine = fw.engine(options.engine)
    with tempfile.TemporaryDirectory() as temporary:
        study = Path(temporary) / "study"
        shutil.copytree(folder_of(options.work, task.name, "flopwise", options.seed) / "study", study)
        with sqlite3.connect(study / "cells.db") as cells:
            cells.execute("DELETE FROM cells")
        cells.close()
        wanted = SearchTask(
            task.program(), dev, train, None, task.metric, budget, study, options.seed, Limits(), None, False
        )  # fmt: skip
        search = Search(wanted, engine, lambda progress: None)
        recorder, before = Recorder(search), search.meter.spent
        asyncio.run(search.run())
        # Where fuel is shared by what runs side by side, another order of answers can ask for a few samples more.
        again = search.meter.spent - before
        search.close()
    engine.close()
    about = {"task": task.name, "model": engine.model.name, "per_query": options.per_query, "search": options.search}
    about["share_asked_anew"] = round(again / before, 4)
    return recorder.recording(about)


def main() -> None:
    """Command line."""
    from .tasks import TASKS

    parser = argparse.ArgumentParser("python -m benchmarks._recording", description=__doc__)
    parser.add_argument("--task", choices=[t.name for t in TASKS], default="gsm8k")
    parser.add_argument("--engine", default="openvino:qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--per-query", default="4 TFLOP", help="as the search had it")
    parser.add_argument("--search", required=True, help="as the search had it, such as '1 PFLOP'")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path(".cache/quality"), help="where the search is kept")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    recording = record(options)
    recording.save(options.out)
    print(f"{len(recording.requests)} requests, {recording.distinct} distinct tokens -> {options.out}")


if __name__ == "__main__":
    main()
