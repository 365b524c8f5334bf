"""The search from data to pipeline: splits, demos, race, holdout, report."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.embedders.lexical import LexicalEmbedder
from ..backends.embedders.registry import embedder
from ..backends.runtime.address import Address
from ..backends.runtime.meter import Meter
from ..backends.runtime.scheduler import schedulers
from ..compiler.demos import demos_in
from ..compiler.draws import draws
from ..compiler.engines import check_given, check_used, engines_in
from ..compiler.frozen import Frozen, plan_facts
from ..compiler.lower import check_priced, lower
from ..compiler.stages import complete, optimise
from ..errors import BudgetError, DataError, GraphError
from ..ir.choices import ChoiceValue, config_key
from ..ir.engines import ByEngine, by_engine
from ..ir.flops import format_flops
from ..ir.graph import Graph
from ..ir.plan import Plan
from ..ir.target import sequences
from ..ir.types import jsonable
from ..modules.program import result_class, trace
from ..pipeline import Pipeline
from .bootstrap import BUDGET_SHARE, Bootstrap
from .budget import Budget
from .caps import caps_of
from .contenders import Contenders, Limits
from .data import data_hash, load
from .declared import declared
from .demos import DemoPool
from .evaluate import Entrant, Evaluator
from .findings import Keeper
from .instructions import Proposer
from .metrics import Metric
from .objectives import Objective, checked
from .progress import OnProgress, Progress
from .provenance import provenance
from .race import Race
from .racing import permutation
from .report import Verdict, build_report
from .scoring import bound, metric_identity
from .space import Space
from .spending import Spending
from .splits import split
from .stats import interval
from .study import open_study
from .trials import Trials
from .weights import fitted, to_fit

if TYPE_CHECKING:
    from ..backends.engines._base import Engine

VERDICT_BLOCK = 32  # pairs at once: fills a batch, and is all that a budget's end can cost
REFLECTING = -1  # the moment before instructions are mended; the race counts its own from 0
TICK = 1.0  # seconds between two looks at the progress


@dataclass(frozen=True)
class Task:
    """What to compile: the arguments of `fw.compile` but engines and progress."""

    program: Any
    dev: Any
    train: Any
    holdout: Any
    metric: Metric
    budget: Budget
    study: Path | Address | None
    seed: int
    limits: Limits
    caps: dict[str, int] | None
    allow_impure: bool
    objectives: Mapping[str, Objective] | None = None
    embedder: str = LexicalEmbedder.name


class Search:
    """One search. `run` reads top to bottom as what a search does.

    Args:
        task: What to compile.
        engine: What generates, or every engine by the name that modules use.
        show: Shown the progress.
    """

    def __init__(self, task: Task, engine: Engine | ByEngine[Engine], show: OnProgress) -> None:
        self.task = task
        self.engines = by_engine(engine)
        self.show = show
        self._now = ("helping", "cells for the process that leads")
        self.embedder = embedder(task.embedder)
        self.graph = trace(task.program)
        check_given(self.graph, self.engines.named)
        check_used(engines_in(self.graph), self.engines.named)
        self.schema = self.graph.schema
        self.metric = bound(task.metric, self.schema)
        self.objectives = checked(task.objectives, self.schema)
        self.splits = self._splits()
        examples = (*self.splits.train, *self.splits.dev, *self.splits.holdout)
        self.caps = caps_of(examples, self.schema, self.engines, task.caps)
        self.dev = [self.splits.dev[i] for i in permutation(len(self.splits.dev), task.seed)]
        if task.budget.search is not None:
            check_priced(self.engines.map(lambda e: e.model))
        self.meter = Meter(task.budget.search)
        self._check_cheapest()
        self.study = open_study(task.study, self._identity(), self.meter)
        self.meter = self.study.meter
        self.schedulers = schedulers(self.engines, self.meter, self.study.bank)
        self.pool = DemoPool()
        self.result = result_class(task.program, self.schema)
        self.evaluator = Evaluator(
            self.schedulers, self.study.store, self.metric, self.schema, self.result, task.allow_impure,
            concurrency=4 * sequences(self.engines), board=self.study.board, objectives=self.objectives,
        )  # fmt: skip
        self.proposer = Proposer(
            self.graph, self.evaluator, self.splits.train, self.study.store, task.budget.search
        )  # fmt: skip
        self.contenders: Contenders | None = None
        self.spending = Spending(self.study.store, self.meter)
        self.keeper = Keeper(self)

    async def run(self) -> Pipeline[Any, Any]:
        """Make demos, propose instructions, race on dev, give the verdict on the holdout, and bind the winner."""
        ticking = asyncio.ensure_future(self._tick())
        try:
            async with self.study.at_work(self.evaluator, lambda: declared(self)):
                return await self._run()
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            for scheduler in self.schedulers.distinct():
                await scheduler.drain()
            self.study.bank.flush()
            self._save()
            self.keeper.keep_open()

    async def _run(self) -> Pipeline[Any, Any]:
        self._begin("demos", "running presets on train")
        self.pool = await self._bootstrap()
        await self._propose()
        self.contenders = self._make_contenders()
        self._begin("race", "the ladder of presets comes first")
        await self._race(self.contenders).run()
        winner = self._winner(self.contenders)
        winner = await self._fit_weights(winner)
        self._begin("holdout", "the winner and the baseline meet the holdout")
        verdict = await self._verdict(winner)
        report = build_report(self, winner, verdict, final=True)
        self._notify("done", f"holdout {verdict.winner}")
        self.keeper.keep_end(winner, report)
        return self._pipeline(winner, report)

    def close(self) -> None:
        """Close the study's files and the sandbox."""
        self.evaluator.close()
        self.study.close()

    # before the race ------------------------------------------------------------------------------------

    def _splits(self) -> Any:
        task = self.task
        sets = {}
        for name in ("dev", "train", "holdout"):
            source = getattr(task, name)
            sets[name] = load(source, self.schema, name=name) if source is not None else None
        if not sets["dev"]:
            raise DataError("dev: a search needs labelled examples to compare configs on, but there are none")
        return split(sets["dev"], schema=self.schema, train=sets["train"], holdout=sets["holdout"], seed=task.seed)

    def _check_cheapest(self) -> None:
        """Refuse a budget that not even the cheapest structure fits, before anything is spent."""
        fits: list[tuple[Plan, str]] = []
        why: GraphError | None = None
        for structure in Space(self.graph).structures():
            try:
                fits.append((self._uncapped(complete(self.graph, structure)), config_key(structure)))
            except GraphError as error:
                why = error
        if not fits and why is not None:
            raise why
        plan, structure_text = min(fits, key=lambda found: found[0].least)
        # Lowered again under the cap: refuses what is over it, and a cap on a model whose FLOPs are unknown.
        try:
            lower(plan.graph, self.engines, self.caps, self.task.budget.per_query)
        except BudgetError as error:
            raise BudgetError(f"not even the cheapest config, {structure_text}, fits: {error}") from None
        cap, cheapest = self.task.budget.search, plan.least + plan.cold
        if cap is not None and cheapest > cap:
            raise BudgetError(
                f"one query of the cheapest config may take {format_flops(cheapest)}, more than the search budget of "
                f"{format_flops(cap)}; raise budget.search"
            )

    def _identity(self) -> dict[str, Any]:
        """What a study belongs to: it is refused for anything else."""
        return {
            "space": Space(self.graph).as_text(),
            "program": self.graph.hash,
            "data": {n: data_hash(getattr(self.splits, n)) for n in ("train", "dev", "holdout")},
            "metric": metric_identity(self.metric),
            "objectives": {name: o.identity() for name, o in self.objectives.items()},
            "caps": self.caps,
            "per_query": self.task.budget.per_query,
            "model": self.engines.main.model.fingerprint,
            **self._other_models(),
            "seed": self.task.seed,
            "embedder": self.embedder.fingerprint,
        }

    def _other_models(self) -> dict[str, dict[str, str]]:
        named = {name: engine.model.fingerprint for name, engine in self.engines.named.items()}
        return {"engines": named} if named else {}

    async def _bootstrap(self) -> DemoPool:
        cap = self.task.budget.search
        allowance = BUDGET_SHARE * cap if cap is not None else float("inf")
        bootstrap = Bootstrap(
            self.graph, self.evaluator, self.splits.train, self._entrant, self._lowered, self.embedder, self.task.seed,
            allowance,
        )  # fmt: skip
        try:
            return await bootstrap.run()
        except BudgetError as error:
            return DemoPool(notes={"none": str(error)})

    async def _propose(self) -> None:
        if self.proposer.sites:
            self._begin("instructions", "proposing from the program and train")
            await self.proposer.ground()

    # the race -------------------------------------------------------------------------------------------

    def _make_contenders(self) -> Contenders:
        space = Space(self.graph, self.pool.selections, self.proposer.texts)
        trials = Trials(space, self.task.seed, self.study.trials_storage)
        return Contenders(space, trials, self.evaluator, self.dev, self._entrant, self.task.limits)

    def _race(self, contenders: Contenders) -> Race:
        def notify(running: str) -> None:
            self._notify("race", running)

        return Race(contenders, self.study.spent_at, self._left, notify, self._reflect)

    async def _reflect(self, leader: Entrant) -> None:
        """Have the leader's instructions mended, from what the race may still use."""
        assert self.contenders is not None
        dearest = self.contenders.table.flops(leader.key)
        await self.proposer.reflect(leader, lambda: self._left(self.study.spent_at(REFLECTING), dearest))

    def _left(self, spent: float, dearest: float) -> float:
        """FLOPs the race may still use: what is kept back lets two configs meet the holdout.

        Args:
            spent: What has been spent.
            dearest: Most FLOPs per query of any config that may win; the baseline takes less. 0 while unknown.
        """
        cap = self.task.budget.search
        if cap is None:
            return math.inf
        wanted = 1.5 * (dearest or self.task.budget.per_query or math.inf) * len(self.splits.holdout)
        return cap - min(wanted, 0.2 * cap) - spent

    def _entrant(self, config: Mapping[str, ChoiceValue]) -> Entrant:
        explanation = optimise(self.graph, config, self.pool.entries)
        plan = self._lowered(explanation.result)
        return Entrant(config_key(config), dict(config), plan, explanation, draws(plan))

    def _lowered(self, graph: Graph) -> Plan:
        return lower(graph, self.engines, self.caps, self.task.budget.per_query)

    def _uncapped(self, config: Mapping[str, ChoiceValue]) -> Plan:
        return lower(optimise(self.graph, config).result, self.engines, self.caps)

    def _winner(self, contenders: Contenders) -> Entrant:
        winner = contenders.winner()
        if winner is None:
            raise BudgetError(
                f"the search budget of {self.task.budget} gave out before one config was scored on an example: "
                f"{format_flops(self.meter.spent)} spent; raise budget.search, or give shorter inputs or fewer demos"
            )
        return winner

    async def _fit_weights(self, winner: Entrant) -> Entrant:
        """Weigh an ensemble's members by the examples of dev that it met; kept where those do not get worse."""
        assert self.contenders is not None
        met = self.dev[: len(self.contenders.table.scores(winner.key))]
        if not to_fit(winner.plan.graph):
            return winner
        self._begin("weights", "fitting the weights of an ensemble")
        graph = await fitted(winner, self.evaluator, met)
        plan = lower(graph, self.engines, self.caps, self.task.budget.per_query)
        weighed = replace(winner, key=winner.key + "+weights", plan=plan)
        before = await self.evaluator.cells(winner, "dev", met)
        after = await self.evaluator.cells(weighed, "dev", met)
        return weighed if sum(s for s, _ in after) >= sum(s for s, _ in before) else winner

    # after the race -------------------------------------------------------------------------------------

    async def _verdict(self, winner: Entrant) -> Verdict:
        """Winner and baseline on the holdout, pair by pair in blocks: what the budget covers counts."""
        assert self.contenders is not None
        baseline = next(iter(self.contenders.entrants.values()))
        ours: list[tuple[float, float]] = []
        plain: list[tuple[float, float]] = []
        while len(ours) < len(self.splits.holdout):
            block = self.splits.holdout[len(ours) : len(ours) + self._verdict_block(winner, baseline)]
            try:
                first = await self.evaluator.cells(winner, "holdout", block)
                second = await self.evaluator.cells(baseline, "holdout", block) if baseline is not winner else first
            except BudgetError:
                break
            ours, plain = ours + first, plain + second
        return Verdict.of(ours, plain, baseline, len(self.splits.holdout))

    def _verdict_block(self, winner: Entrant, baseline: Entrant) -> int:
        """How many pairs meet the holdout at once: fewer where their bounds are more than is left."""
        cap = self.task.budget.search
        if cap is None:
            return VERDICT_BLOCK
        pairs = (cap - self.meter.spent) / max(winner.plan.bound + baseline.plan.bound, 1.0)
        return max(min(int(pairs), VERDICT_BLOCK), 1)

    def _pipeline(self, winner: Entrant, report: Mapping[str, Any]) -> Pipeline[Any, Any]:
        facts = {
            "config": jsonable(winner.config),
            "report": report,
            "provenance": provenance(self),
            "demos": demos_in(winner.explanation.steps[0].after),
        }
        points = self._frozen_front(winner, report)
        return Pipeline(winner.plan, self.engines, self.result, facts, winner.explanation, points=points)

    def _frozen_front(self, winner: Entrant, report: Mapping[str, Any]) -> dict[int, Frozen]:
        """What each point of the front is lowered from again, by number; the winner with its fitted weights."""
        assert self.contenders is not None
        tried = dict(enumerate(self.contenders.entrants.values(), 1)) | {report["chosen"]: winner}
        return {row["number"]: _frozen(tried[row["number"]]) for row in report["front"]}

    async def _tick(self) -> None:
        """Show what is spent between steps too, which may be minutes apart, and note it in the study."""
        while True:
            await asyncio.sleep(TICK)
            self._notify(*self._now)
            self._save()
            self.keeper.keep_if_due()

    def _save(self) -> None:
        self.study.save()
        if self.study.leads:
            self.spending.save()

    def _begin(self, stage: str, running: str) -> None:
        """Begin a stage: what is spent from now on is spent on it, and what is known so far is kept."""
        self.spending.begin(stage)
        self._notify(stage, running)
        self.keeper.keep(stage)

    def _notify(self, stage: str, running: str) -> None:
        self._now = (stage, running)
        meter, field = self.meter, self.contenders
        best = None
        if field is not None and field.leader is not None:
            best = interval(field.table.scores(field.leader))
        reused = meter.cached / meter.prompt if meter.prompt else 0.0
        cap = self.task.budget.search
        left = self.study.clock.left(meter.spent, cap)
        configs = len(field.entrants) if field else 0
        self.show(Progress(stage, configs, running, best, meter.spent, cap, reused, left))


def _frozen(entrant: Entrant) -> Frozen:
    plan, demos = entrant.plan, demos_in(entrant.explanation.steps[0].after)
    config = jsonable(entrant.config)
    return Frozen(plan.graph, plan.caps, plan_facts(plan), config, demos, explanation=entrant.explanation)
