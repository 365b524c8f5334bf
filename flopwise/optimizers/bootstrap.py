"""Bootstrapping: the demo pool, made from train by cheap presets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..backends.embedders._base import Embedder
from ..errors import BudgetError, GraphError
from ..ir.choices import ChoiceValue
from ..ir.graph import Graph
from ..ir.nodes import Generate, Node
from ..ir.plan import Plan
from ..ir.record import Values
from ..modules.worked import Demo
from .data import Example
from .demo_index import embed_inputs, neighbourhood
from .demos import DemoPool, Site, from_label, from_record, live_sites, module_of, sites
from .evaluate import Entrant, Evaluator
from .ladder import MOST_STRUCTURES, fill
from .rankings import rankings
from .selection import Selection
from .space import Space

BLOCK = 20  # fills a batch
MOST_EXAMPLES = 40
BUDGET_SHARE = 0.15
ACCEPTED = 1.0  # the least score of a trace that is kept: a demonstration is right, partial credit is not enough
EASY = 3  # traces wanted for each demonstration shown, from one greedy answer an example
WANTED = 4  # and with those from further answers on examples that the greedy one got wrong
TRIES = 3  # further answers on such an example
WARMTH = 0.7  # their temperature


class Bootstrap:
    """Runs each structure without demos on train, and keeps what the metric accepts.

    Where the greedy answer is wrong, further ones are drawn: hard examples give traces, too. A wrong trace is never
    kept, whatever it scores below `ACCEPTED`.

    Args:
        graph: The traced program.
        evaluator: Runs and scores.
        train: Examples that dev and holdout do not have.
        make: Makes an entrant of a config.
        lower: Makes the plan of a closed graph.
        embedder: Embeds the demonstrations' inputs.
        seed: Seed of the random order.
        allowance: FLOPs for demos; counted by what runs cost in steady state, so that a resumed search stops
            where an undisturbed one does.
    """

    def __init__(
        self, graph: Graph, evaluator: Evaluator, train: Sequence[Example],
        make: Callable[[Mapping[str, ChoiceValue]], Entrant], lower: Callable[[Graph], Plan], embedder: Embedder,
        seed: int, allowance: float,
    ) -> None:  # fmt: skip
        self.graph = graph
        self.evaluator = evaluator
        self.train = train[:MOST_EXAMPLES]
        self.make = make
        self.lower = lower
        self.embedder = embedder
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
        return await self._pool(accepted)

    async def _pool(self, accepted: Mapping[str, list[Demo]]) -> DemoPool:
        """The demonstrations of each site, embedded, ranked, and laid out for retrieval."""
        sizes: dict[str, object] = {}
        pool = DemoPool(notes={"embedder": self.embedder.name, "accepted_from": ACCEPTED, "pools": sizes})
        for site in sites(self.graph):
            demos = accepted[site.choice]
            inputs = [f.name for f in module_of(self.graph, site).signature.inputs]
            embedded = await embed_inputs(self.evaluator, self.embedder, site.choice, demos, inputs, self.allowance)
            self.allowance -= embedded.flops
            pool.embedding += embedded.flops
            pool.demos |= {d.id: d for d in demos}
            most = min(site.most, len(demos))
            ranked = rankings(demos, embedded.vectors, self.seed)
            nearby = neighbourhood(self.embedder, demos, embedded)
            if nearby is not None:
                pool.neighbourhoods[site.choice] = nearby
            pool.selections[site.choice] = Selection(most, ranked, min(most, len(demos) - 1) if nearby else 0)
            sizes[site.choice] = {"demos": len(demos), **({"not_embedded": embedded.why} if embedded.why else {})}
        return pool

    def _labelled(self, site: Site) -> list[Demo]:
        schema = module_of(self.graph, site).signature
        names = [f.name for f in (*schema.inputs, *schema.outputs)]
        return [from_label(e, site, names) for e in self.train if all(n in e.fields for n in names)]

    async def _traces(
        self, config: Mapping[str, ChoiceValue], open_sites: Sequence[Site], accepted: dict[str, list[Demo]]
    ) -> None:
        try:
            entrant = self.make(config)
        except (BudgetError, GraphError):
            return  # this structure cannot run within the cap or the context even without demos
        hard: list[Example] = []
        for start in range(0, len(self.train), BLOCK):
            block = self.train[start : start + BLOCK]
            if self._enough(open_sites, accepted, EASY) or not self._covers(entrant, block):
                break
            hard += await self._keep(entrant, block, open_sites, accepted, EASY)
        for attempt in range(TRIES):
            hard = hard[:BLOCK]
            if not hard or self._enough(open_sites, accepted, WANTED) or not self._covers(entrant, hard):
                return
            hard = await self._keep(self._warm(entrant, attempt), hard, open_sites, accepted, WANTED)

    def _enough(self, open_sites: Sequence[Site], accepted: Mapping[str, list[Demo]], each: int) -> bool:
        return all(len(accepted[s.choice]) >= each * s.most for s in open_sites)

    def _covers(self, entrant: Entrant, block: Sequence[Example]) -> bool:
        return entrant.plan.bound * len(block) <= self.allowance

    def _warm(self, entrant: Entrant, attempt: int) -> Entrant:
        """The entrant with its free generations drawn at a temperature, each attempt from streams of its own."""
        plan = self.lower(warmed(entrant.plan.graph))
        streams = {name: f"{stream}again{attempt}" for name, stream in plan.streams.items()}
        return replace(entrant, key=f"{entrant.key}+again{attempt}", plan=replace(plan, streams=streams))

    async def _keep(
        self, entrant: Entrant, block: Sequence[Example], open_sites: Sequence[Site], accepted: dict[str, list[Demo]],
        each: int,
    ) -> list[Example]:  # fmt: skip
        """Run a block, keep the traces of what is right, and return the examples that were not.

        Only so many are kept, `each` for each demonstration shown: easy examples leave room for hard ones.
        """
        from ..backends.runtime.executor import gather_all

        executable = self.evaluator.executable(entrant)
        keep = frozenset(f"{s.node}.record" for s in open_sites)
        runs = await gather_all([executable.run(e.inputs(self.evaluator.schema), keep) for e in block])
        self.allowance -= sum(run.trace.flops for run in runs)
        scores = [await self.evaluator.score(e, run) for e, run in zip(block, runs, strict=True)]
        for example, run, score in zip(block, runs, scores, strict=True):
            for site in open_sites if score >= ACCEPTED else ():
                record = run.trace.values.get(f"{site.node}.record")
                if isinstance(record, Values) and len(accepted[site.choice]) < each * site.most:
                    accepted[site.choice].append(from_record(example, site, record))
        return [example for example, score in zip(block, scores, strict=True) if score < ACCEPTED]


def warmed(graph: Graph) -> Graph:
    """The graph with every greedy generation of free text at a temperature; what a grammar holds stays greedy."""

    def warm(node: Node) -> Node:
        if not isinstance(node.attrs, Generate) or node.attrs.grammar is not None or node.attrs.decoding.temperature:
            return node
        return replace(node, attrs=replace(node.attrs, decoding=replace(node.attrs.decoding, temperature=WARMTH)))

    return graph.replace(nodes=tuple(warm(n) for n in graph.nodes)).map_bodies(warmed)
