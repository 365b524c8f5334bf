"""Who is in a race: configs come in, lead, are beaten and leave; and what Optuna is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..ir.choices import ChoiceValue
from .data import Example
from .evaluate import Entrant, Evaluator
from .events import Events
from .front import FRONT_SHARE
from .prospects import Make, Prospects
from .racing import Bet, level, share
from .space import Space
from .standing import Standing
from .trials import Trials

ALPHA = 0.1
LEADERS = 2  # configs whose counts the upper rungs raise, and whose neighbours are looked at
CROWD = 4  # times the configs that may be paid for: so many are in the race at most, those that cost nothing included


@dataclass(frozen=True)
class Limits:
    """When a race ends.

    Attributes:
        configs: Most configs tried that had a sample to draw, or could not run within the cap. Those whose samples were
            all in the bank come on top, up to `CROWD` times as many in all.
        patience: Configs tried in vain after the last change of leader.
    """

    configs: int = 256
    patience: int = 64


class Contenders:
    """The configs of a race.

    Args:
        space: The space.
        trials: Proposes configs, and is told what became of them.
        evaluator: Knows the cells, and which config objectives of the user's speak for.
        dev: Examples in the search's one permutation.
        make: Makes an entrant of a config; raises BudgetError where it cannot run within the per-query cap.
        limits: How many may enter.

    Attributes:
        standing: Their cells, what is thought of them, and what they cost.
        table: The cells.
        entrants: Those that were let in, by key, in the order of entering.
        prospects: Those that may be let in next.
        leader: Key of the one thought best; None before the first cells.
        paid: Keys of those that had something to draw.
        events: What has happened so far.
    """

    def __init__(
        self, space: Space, trials: Trials, evaluator: Evaluator, dev: Sequence[Example], make: Make, limits: Limits
    ) -> None:
        self.space = space
        self.trials = trials
        self.evaluator = evaluator
        self.dev = dev
        self.make = make
        self.limits = limits
        self.standing = Standing(space, len(dev))
        self.table = self.standing.table
        self.entrants: dict[str, Entrant] = {}
        self.prospects = Prospects(space, trials, self._made)
        self.leader: str | None = None
        self.paid: set[str] = set()
        self._bets: dict[tuple[str, str], Bet] = {}
        self._incumbents: list[str] = []
        self._since_leader = 0
        self.events = Events(self.table, self.number)

    def _made(self, config: Mapping[str, ChoiceValue]) -> Entrant:
        entrant = self.make(config)
        self.standing.enter(entrant)
        return entrant

    def label(self, entrant: Entrant) -> str:
        """A config in few words: its number in the order of entering."""
        return f"#{self.number(entrant.key)}"

    def number(self, key: str) -> int:
        """The number of a config in the order of entering, from 1."""
        return list(self.entrants).index(key) + 1

    # entering -------------------------------------------------------------------------------------------

    def ask(self, rung: Mapping[str, ChoiceValue]) -> None:
        """Let a rung of the ladder in, unless it was tried already or cannot run."""
        entrant = self.prospects.rung(rung)
        if entrant is not None:
            entrant.rung = True
            self.entrants[entrant.key] = entrant
            self._since_leader += 1

    def admit(self, prospect: Entrant, free: bool) -> bool:
        """Let a prospect in; False where it stands in the trials already, or none may enter that has to draw."""
        if (not free and not self.may_enter()) or not self.prospects.let_in(prospect):
            return False
        self.entrants[prospect.key] = prospect
        self._since_leader += not free
        return True

    def may_enter(self) -> bool:
        """Whether the limits leave room for a further config that has to draw."""
        paid = self.paid | {e.key for e in self.fresh()}
        enough = len(paid) + len(self.prospects.refused) >= self.limits.configs
        return not enough and self._since_leader < self.limits.patience

    def fresh(self) -> list[Entrant]:
        """Rungs that have not run."""
        return [e for e in self.entrants.values() if e.status == "racing" and e.rung and not self.table.scores(e.key)]

    def best(self) -> list[Entrant]:
        """The few thought best, the first one leading."""
        return self.standing.ranked(self.entrants.values())[:LEADERS]

    @property
    def crowded(self) -> bool:
        """Whether there is no room even for configs that cost nothing."""
        return len(self.entrants) >= CROWD * self.limits.configs

    # judging --------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Note the leader, drop what it beats at its cost or more (or 5% less), mark what has met all of dev."""
        self.note_leader()
        for entrant in [e for e in self.entrants.values() if e.status == "racing"]:
            if self._beaten(entrant):
                entrant.status, entrant.why = "dropped", f"beaten by {self.label(self.entrants[self.leader or ''])}"
                self.events.note("dropped", entrant.key, self.leader)
            elif len(self.table.scores(entrant.key)) >= len(self.dev):
                entrant.status = "done"
            else:
                continue
            self._tell(entrant, entrant.status == "dropped")

    def _beaten(self, entrant: Entrant) -> bool:
        mine = self.table.scores(entrant.key)
        if self.leader is None or entrant.key == self.leader or not mine:
            return False
        # What is cheaper, or better by an objective of the user's, stays on the Pareto front even if it scores worse.
        if self.table.flops(self.leader) > self.table.flops(entrant.key) * 1.05:
            return False
        bet = self._bets.setdefault((self.leader, entrant.key), Bet(len(self.dev)))
        bet.see(self.table.scores(self.leader), mine)
        if bet.evidence < level(share(ALPHA, self._incumbents.index(self.leader) + 1)):
            return False
        return not self.evaluator.prefers(entrant.key, self.leader, self.dev[: bet.seen])

    def note_leader(self) -> None:
        """Find out who leads now."""
        best = self.standing.leader(self.entrants.values())
        if best is not None and best.key != self.leader:
            if best.status == "dropped":  # by one that has been found out since
                best.status, best.why = "racing", ""
                self.events.note("back", best.key)
            self.events.note("leads", best.key, self.leader)
            self.leader, self._since_leader = best.key, 0
            if best.key not in self._incumbents:
                self._incumbents.append(best.key)

    def tell_rest(self) -> None:
        """At the end of the race: tell Optuna of all that are still in it."""
        enough = len(self.table.scores(self.leader)) * FRONT_SHARE if self.leader is not None else 0
        for entrant in [e for e in self.entrants.values() if e.status == "racing"]:
            entrant.status = "unfinished"
            if entrant.key != self.leader:
                entrant.why = entrant.why or "what more of it would tell was not worth its FLOPs"
            self._tell(entrant, dropped=len(self.table.scores(entrant.key)) < enough)

    def _tell(self, entrant: Entrant, dropped: bool) -> None:
        if entrant.key not in self.trials.open:  # told when it was dropped, and back since
            return
        scores, flops = self.table.scores(entrant.key), self.table.flops(entrant.key)
        name, status = self.label(entrant), entrant.status
        self.trials.tell(entrant.key, scores, flops, dropped, name=name, status=status, why=entrant.why)

    # results --------------------------------------------------------------------------------------------

    def winner(self) -> Entrant | None:
        """The config thought best by all cells together; None where there is none."""
        return self.standing.leader(self.entrants.values())

    def expected(self) -> dict[str, float]:
        """The score that can be counted on, by key, of every config with cells; see `Standing.expected`."""
        met = [e for e in self.entrants.values() if self.table.scores(e.key)]
        return self.standing.expected(met) if met else {}
