"""Programs that many tests use, and a harness that runs one in one config on a scripted engine."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from flopwise.backends.engines.scripted import ScriptedEngine, ScriptedSettings
from flopwise.backends.runtime.executor import Executable, Run
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.sandbox._base import ExecutionResult
from flopwise.backends.runtime.scheduler import Scheduler
from flopwise.compiler.lower import lower
from flopwise.compiler.stages import complete, optimise
from flopwise.ir.flops import Cost, FlatCost, ModelShape
from flopwise.ir.plan import Plan
from flopwise.modules.branches import choice, optional
from flopwise.modules.control import loop, map_, op, when
from flopwise.modules.judging.critic import Critic
from flopwise.modules.judging.verifier import Verifier
from flopwise.modules.open import instruction, integer, real
from flopwise.modules.program import Program, trace
from flopwise.modules.prompting.chain_of_thought import ChainOfThought
from flopwise.modules.prompting.plan_and_solve import PlanAndSolve, PlanThenSolve
from flopwise.modules.prompting.predict import Predict
from flopwise.modules.sampling import sample
from flopwise.modules.selection.ensemble import Ensemble
from flopwise.modules.selection.reducers import best, vote
from flopwise.modules.signature import Input, Output, Signature
from flopwise.modules.tools.program_of_thought import ProgramOfThought

SHAPE = ModelShape(layers=2, hidden=64, heads=4, kv_heads=2, head_dim=16, intermediate=128, vocab=300)
UNIT = FlatCost(1.0)
Script = Callable[[str, int], str] | Mapping[Any, Any]


class Solve(Signature):
    """Solve the maths problem."""

    question: str = Input()
    answer: int = Output(desc="the final number")


class Tell(Signature):
    """Tell about it."""

    question: str = Input()
    story: str = Output()


@op
def is_even(answer: int) -> bool:
    return answer % 2 == 0


@op
def explode(answer: int) -> int:
    raise RuntimeError(f"no {answer}")


class Solver(Program):
    draft = choice(Predict(Solve), ChainOfThought(Solve, max_tokens=40), ProgramOfThought(Solve, max_tokens=40))
    n = integer(1, 6, log=True)
    judge = optional(Verifier(Solve))

    def forward(self, question: str) -> Solve:
        drafts = sample(self.draft, n=self.n)(question=question)
        return vote(self.judge(drafts), field="answer")


class Committee(Program):
    panel = Ensemble(Predict(Solve), ChainOfThought(Solve, max_tokens=30), PlanAndSolve(Solve, max_tokens=30))
    check = optional(Critic(Solve, max_tokens=30))

    def forward(self, question: str) -> Solve:
        return self.check(self.panel(question=question))


class Refining(Program):
    draft = Predict(Solve, instruction=instruction("Work it out with care.", proposals=2))
    critic = Critic(Solve, max_tokens=20, temperature=real(0.0, 1.0))

    def forward(self, question: str) -> Solve:
        return loop(lambda s: self.critic(s), self.draft(question=question), max_rounds=3)


class Cascade(Program):
    cheap = Predict(Solve)
    dear = ChainOfThought(Solve, max_tokens=30)
    n = integer(1, 4)

    def forward(self, question: str) -> Solve:
        first = self.cheap(question=question)
        voted = vote(sample(self.dear, n=self.n)(question=question))
        return when(is_even(first.answer), first, voted)


class Judged(Program):
    """Maps over a list inside a region, and twice in a row outside."""

    draft = Predict(Solve, temperature=0.5)
    n = integer(2, 5)
    judge = Verifier(Solve)
    again = Critic(Solve, max_tokens=12)

    def forward(self, question: str) -> Solve:
        drafts = sample(self.draft, n=self.n, temperature=real(0.1, 1.0))(question=question)
        mended = map_(lambda r: self.again(r), drafts, cap=8)
        return best(self.judge(mended))


class Nested(Program):
    """A region in a region, and a list from outside mapped over in one."""

    draft = Predict(Solve)
    judge = Verifier(Solve)
    critic = Critic(Solve, max_tokens=12)

    def forward(self, question: str) -> Solve:
        drafts = sample(self.draft, n=3)(question=question)
        first = best(drafts)

        def again(state: Any) -> Any:
            judged = self.judge(drafts)
            return when(is_even(state.answer), best(judged), self.critic(state))

        return loop(again, first, max_rounds=2)


class Telling(Program):
    teller = ChainOfThought(Tell, max_tokens=30)

    def forward(self, question: str) -> Tell:
        told = sample(self.teller, n=3, temperature=0.9)(question=question)
        return vote(told)


class Talking(Program):
    """A conversation of several turns, and samples in waves of such conversations."""

    draft = choice(Predict(Solve), ChainOfThought(Solve, max_tokens=20), PlanThenSolve(Solve, max_tokens=20))
    critic = Critic(Solve, max_tokens=12)
    n = integer(1, 5)
    wave = integer(2, 5)
    stop = choice("decided", "beta", "window")

    def forward(self, question: str) -> Solve:
        mended = self.critic(self.draft(question=question))
        voted = vote(sample(self.draft, n=self.n, wave=self.wave, stop=self.stop)(question=question))
        return when(is_even(mended.answer), mended, voted)


PROGRAMS: tuple[type[Program], ...] = (Solver, Committee, Refining, Cascade, Judged, Nested, Telling, Talking)


class PretendSandbox:
    """Stands in for the sandbox where the programs are no programs: `answer = N` gives N, all else fails at length."""

    async def run(
        self, program: str, variables: tuple[str, ...], seconds: float = 5.0, language: str = "python"
    ) -> ExecutionResult:
        found = re.search(r"answer = (-?\d+)", program)
        if found is None:
            return ExecutionResult(False, {}, "", f"no answer in {program} " * 9, 0.0)
        return ExecutionResult(True, {name: int(found[1]) for name in variables}, "", "", 0.0)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Ready:
    """A program in one config on one engine."""

    plan: Plan = field(repr=False)
    engine: ScriptedEngine = field(repr=False)

    def run(self, keep: tuple[str, ...] = (), **inputs: Any) -> Run:
        return self.runs(inputs, keep=keep)[0]

    def runs(self, *rows: Mapping[str, Any], keep: tuple[str, ...] = ()) -> list[Run]:
        """All the rows side by side, by one executable."""

        async def work() -> list[Run]:
            scheduler = Scheduler(self.engine, Meter())
            executable = Executable(self.plan, scheduler, cast(Any, PretendSandbox()))
            try:
                return list(await asyncio.gather(*(executable.run(row, frozenset(keep)) for row in rows)))
            finally:
                executable.close()

        return asyncio.run(work())


def ready(
    program: Any,
    script: Script | str = "7",
    config: Mapping[str, Any] | None = None,
    *,
    scores: Any = None,
    caps: Mapping[str, int] | None = None,
    cap: float | None = None,
    cost: Cost | None = UNIT,
    block: int = 1,
    pool: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Ready:
    """A program, its choices at their defaults but for `config`, on an engine that says what the script says."""
    set_to = replace(ScriptedSettings(cost=cost, block=block), **settings)
    if isinstance(script, str):
        engine = ScriptedEngine(default=script, scores=scores, settings=set_to)
    else:
        engine = ScriptedEngine(script, scores=scores, settings=set_to)
    graph = trace(program)
    result = optimise(graph, complete(graph, config or {}), pool).result
    return Ready(lower(result, engine, caps, cap), engine)
