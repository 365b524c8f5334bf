"""Bootstrapping: the demo pool, made from train by cheap presets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import BudgetError, GraphError
from ..ir.choices import ChoiceValue
from ..ir.graph import Graph
from ..ir.record import Values
from ..modules.worked import Demo
from .data import Example
from .demos import Site, candidate_sets, from_label, from_record, live_sites, module_of, sites
from .evaluate import Entrant, Evaluator
from .ladder import MOST_STRUCTURES, fill
from .space import Space

BLOCK = 20  # fills a batch
MOST_EXAMPLES = 40
BUDGET_SHARE = 0.15


@dataclass
class DemoPool:
    """Demonstrations by id, and candidate sets of them for each demo choice."""

    demos: dict[str, Demo] = field(default_factory=dict)
    sets: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)


class Bootstrap:
    """Runs each structure without demos on train, and keeps what the metric accepts.

    Args:
        graph: The traced program.
        evaluator: Runs and scores.
        train: Examples that dev and holdout do not have.
        make: Makes an entrant of a config.
        seed: Seed of the candidate sets.
        allowance: FLOPs for demos; counted by what runs cost in steady state, so that a resumed search stops
            where an undisturbed one does.
    """

    def __init__(
        self, graph: Graph, evaluator: Evaluator, train: Sequence[Example],
        make: Callable[[Mapping[str, ChoiceValue]], Entrant], seed: int, allowance: float,
    ) -> None:  # fmt: skip
        self.graph = graph
        self.evaluator = evaluator
        self.train = train[:MOST_EXAMPLES]
        self.make = make
        self.seed = seed
        self.allowance = allowance

    async def run(self) -> DemoPool:
        """The pool; empty where the program has no demo choice or there is no train set."""
        accepted: dict[str, list[Demo]] = {site.choice: [] for site in sites(self.graph)}
        space = Space(self.graph)
        for structure, _ in zip(space.structures(), range(MOST_STRUCTURES), strict=False):
            wanted = [s for s in live_sites(self.graph, structure) if not accepted[s.choice]]
            for site in [s for s in wanted if s.labelled]:
                accepted[site.choice] = self._labelled(site)
            open_sites = [s for s in wanted if not s.labelled]
            if open_sites:
                await self._traces(fill(space, structure, demos=False), open_sites, accepted)
        pool = DemoPool()
        for site in sites(self.graph):
            found = accepted[site.choice]
            pool.demos |= {d.id: d for d in found}
            pool.sets[site.choice] = candidate_sets(found, site.most, self.seed)
        return pool

    def _labelled(self, site: Site) -> list[Demo]:
        schema = module_of(self.graph, site).signature
        names = [f.name for f in (*schema.inputs, *schema.outputs)]
        rows = [e for e in self.train if all(n in e.fields for n in names)]
        return [from_label(e, site, names) for e in rows[: 3 * site.most]]

    async def _traces(
        self, config: Mapping[str, ChoiceValue], open_sites: Sequence[Site], accepted: dict[str, list[Demo]]
    ) -> None:
        try:
            entrant = self.make(config)
        except (BudgetError, GraphError):
            return  # this structure cannot run within the cap or the context even without demos
        executable = self.evaluator.executable(entrant)
        keep = frozenset(f"{s.node}.record" for s in open_sites)
        for start in range(0, len(self.train), BLOCK):
            block = self.train[start : start + BLOCK]
            enough = all(len(accepted[s.choice]) >= 3 * s.most for s in open_sites)
            if enough or entrant.plan.bound * len(block) > self.allowance:
                return
            for example, values in await self._accepted(executable, block, keep):
                for site in open_sites:
                    record = values.get(f"{site.node}.record")
                    if isinstance(record, Values) and len(accepted[site.choice]) < 3 * site.most:
                        accepted[site.choice].append(from_record(example, site, record))

    async def _accepted(
        self, executable: object, block: Sequence[Example], keep: frozenset[str]
    ) -> list[tuple[Example, dict[str, object]]]:
        from ..backends.runtime.executor import Executable, gather_all

        assert isinstance(executable, Executable)
        runs = await gather_all([executable.run(e.inputs(self.evaluator.schema), keep) for e in block])
        self.allowance -= sum(run.trace.flops for run in runs)
        scores = [await self.evaluator.score(e, run) for e, run in zip(block, runs, strict=True)]
        return [(e, run.trace.values) for e, run, s in zip(block, runs, scores, strict=True) if s >= 1.0]
