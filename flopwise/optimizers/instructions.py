"""Instructions that the model proposes: what it writes fills open slots, and whether it is any better the race decides.

Before the race it is shown the program and some examples of train (grounded proposals as in MIPROv2, Opsahl-Ong et
al., 2024, arXiv:2406.11695). Once a config leads, it is shown examples of train on which that config failed, and asked
to mend its instruction (reflective mutation as in GEPA, Agrawal et al., 2025, arXiv:2507.19457). Nothing of dev is
shown to it, so dev remains a fair judge.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..backends.runtime.executor import Run, gather_all
from ..errors import BudgetError, GraphError
from ..ir.flops import format_flops
from ..ir.graph import Graph
from ..ir.plan import Plan
from .cells import CellStore
from .data import Example
from .evaluate import Entrant, Evaluator
from .instructions_asked import Ask, answer, grounded, lowered, reflected
from .instructions_checked import Labels, cleaned, refusal
from .instructions_sites import Site, sites

BUDGET_SHARE = 0.1  # of the search budget, one half for each stage
CASES = 3  # failed examples that one proposal is shown
BLOCK = 10  # train examples that the leader runs side by side
MOST_EXAMPLES = 40


@dataclass(frozen=True)
class Proposal:
    """A text that fills a slot.

    Attributes:
        choice: The instruction choice.
        label: The slot.
        text: The instruction.
        stage: "grounded" in program and examples, or "reflected" on failed cases.
        parent: The instruction that it was to improve on.
        shown: Ids of the train examples that the model was shown.
    """

    choice: str
    label: str
    text: str
    stage: str
    parent: str
    shown: tuple[str, ...]


@dataclass
class Stage:
    """What a stage gave: proposals, those dropped as (choice, why, text), what there is to say, and what it cost."""

    proposed: list[Proposal] = field(default_factory=list)
    dropped: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    flops: float = 0.0

    @classmethod
    def read(cls, fact: Mapping[str, Any]) -> Stage:
        """The stage that a study has stored."""
        proposed = [Proposal(**{**p, "shown": tuple(p["shown"])}) for p in fact["proposed"]]
        dropped = [(d[0], d[1], d[2]) for d in fact["dropped"]]
        return cls(proposed, dropped, list(fact["notes"]), fact.get("flops", 0.0))


class Proposer:
    """Asks the search's own engine for instructions, within a share of the search budget.

    What a stage gave is a fact of the study: a search that goes on has the same texts and asks for none again.

    Args:
        graph: The traced program.
        evaluator: Runs and scores; its main engine is asked for proposals too, so its meter counts them.
        train: Examples that dev and holdout do not have.
        store: Where facts are kept.
        cap: FLOPs of the whole search; None for no cap.

    Attributes:
        texts: For each instruction choice the proposed texts by slot; fills up as stages end.
        stages: What each stage gave, by its name.
    """

    def __init__(
        self, graph: Graph, evaluator: Evaluator, train: Sequence[Example], store: CellStore, cap: float | None
    ) -> None:
        self.graph = graph
        self.evaluator = evaluator
        self.train = train[:MOST_EXAMPLES]
        self.store = store
        self.share = float("inf") if cap is None else BUDGET_SHARE / 2 * cap
        self.labels = Labels(self.train, evaluator.schema)
        self.open = sites(graph)
        self.sites = tuple(s for s in self.open if s.proposals)
        self.texts: dict[str, dict[str, str]] = {}
        self.stages: dict[str, Stage] = {}

    async def ground(self) -> None:
        """Fill the first half of each choice's slots, from the program and some examples."""
        await self._run("grounded", self._ground)

    async def reflect(self, leader: Entrant, left: Callable[[], float]) -> None:
        """Fill the slots that are left of the leader's instructions, from examples on which it failed.

        Args:
            leader: The config that leads.
            left: FLOPs that may still be used; the same where a killed search asks again.
        """
        await self._run("reflected", lambda stage: self._reflect(stage, leader, min(self.share, left())))

    async def _run(self, name: str, fill: Callable[[Stage], Awaitable[None]]) -> None:
        if not self.sites:
            return
        known = self.store.fact(f"instructions/{name}")
        stage = Stage.read(known) if known is not None else Stage()
        if known is None:
            try:
                await fill(stage)
            except BudgetError:
                stage.notes.append("the search budget gave out")
            self.store.set_fact(f"instructions/{name}", asdict(stage))
        self.stages[name] = stage
        for proposal in stage.proposed:
            self.texts.setdefault(proposal.choice, {})[proposal.label] = proposal.text

    # the stages -----------------------------------------------------------------------------------------

    async def _ground(self, stage: Stage) -> None:
        asks = []
        for turn in range(max((site.proposals + 1) // 2 for site in self.sites)):
            open_sites = [s for s in self.sites if turn < (s.proposals + 1) // 2]
            asks += [grounded(s, s.own, turn, self.train, self.graph, self.evaluator.schema) for s in open_sites]
        await self._ask(stage, "grounded", asks, self.share)

    async def _reflect(self, stage: Stage, leader: Entrant, allowance: float) -> None:
        free = {s: s.proposals - len(self.texts.get(s.choice, {})) for s in self.sites if s.choice in leader.config}
        free = {site: count for site, count in free.items() if count > 0}
        if not free:
            return
        # At least half is left for proposals.
        failed, spent = await self._failed(leader, list(free), CASES * max(free.values()), allowance / 2)
        stage.flops += spent
        if not failed:
            stage.notes.append("the leading config failed on none of the train examples that the budget let it run")
        batches = [failed[i : i + CASES] for i in range(0, len(failed), CASES)]
        asks = []
        for turn, cases in enumerate(batches):
            asks += [reflected(s, leader, cases, self.evaluator.schema) for s, count in free.items() if turn < count]
        await self._ask(stage, "reflected", asks, allowance - spent)

    async def _failed(
        self, leader: Entrant, at: Sequence[Site], wanted: int, allowance: float
    ) -> tuple[list[tuple[Example, Run]], float]:
        """Examples of train on which the leader did not score in full, and the FLOPs that finding them took."""
        executable = self.evaluator.executable(leader)
        keep = frozenset(f"{site.node}.record" for site in at)
        failed: list[tuple[Example, Run]] = []
        spent = 0.0
        for start in range(0, len(self.train), BLOCK):
            block = self.train[start : start + BLOCK]
            if len(failed) >= wanted or spent + leader.plan.bound * len(block) > allowance:
                break
            runs = await gather_all([executable.run(e.inputs(self.evaluator.schema), keep) for e in block])
            scores = [await self.evaluator.score(e, run) for e, run in zip(block, runs, strict=True)]
            spent += sum(run.trace.flops for run in runs)
            failed += [(e, run) for e, run, score in zip(block, runs, scores, strict=True) if score < 1]
        return failed[:wanted], spent

    # asking ---------------------------------------------------------------------------------------------

    async def _ask(self, stage: Stage, name: str, asks: Sequence[Ask], allowance: float) -> None:
        """Ask for as many as the allowance covers by their bounds, each in its turn."""
        share = format_flops(max(allowance, 0.0))
        plans: list[tuple[Ask, Plan]] = []
        for ask in asks:
            try:
                plan = lowered(ask, self.evaluator.schedulers.main.engine)
            except GraphError as error:  # longer than the model's context
                stage.notes += [str(error)] if str(error) not in stage.notes else []
                continue
            allowance -= plan.bound + (0 if plans else plan.cold)
            if allowance < 0:
                stage.notes.append(f"{share}, what the budget has for this stage, covered {len(plans)} of {len(asks)}")
                break
            plans.append((ask, plan))
        replies = await gather_all([answer(ask, plan, self.evaluator.schedulers.main) for ask, plan in plans])
        for (ask, _), (reply, flops) in zip(plans, replies, strict=True):
            stage.flops += flops
            self._judge(stage, name, ask, reply)

    def _judge(self, stage: Stage, name: str, ask: Ask, reply: str) -> None:
        """Keep what a slot may hold; the rest is dropped and said."""
        choice, text = ask.site.choice, cleaned(reply)
        mine = [p.text for p in stage.proposed if p.choice == choice]
        taken = self.texts.get(choice, {})
        why = refusal(text, (*ask.site.texts, *taken.values(), *mine), ask.request)
        why = why or self.labels.leak(text, ask.shown, ask.said)
        if why:
            stage.dropped.append((choice, why, text[:200]))
            return
        label = f"proposed-{len(taken) + len(mine) + 1}"
        ids = tuple(e.id for e in ask.shown)
        stage.proposed.append(Proposal(choice, label, text, name, ask.parent, ids))
