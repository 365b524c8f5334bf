"""A class program: every technique and combinator keeps the signature's type."""

from typing import assert_type, reveal_type

import flopwise as fw


class Solve(fw.Signature):
    """Solve the problem."""

    question: str = fw.Input()
    answer: int = fw.Output(desc="the final number")


class Solver(fw.Program):
    draft = fw.choice(fw.Predict(Solve), fw.ChainOfThought(Solve), fw.ProgramOfThought(Solve), fw.PlanAndSolve(Solve))
    n = fw.integer(1, 16, log=True)
    temperature = fw.real(0.3, 1.0)
    judge = fw.optional(fw.Verifier(Solve))
    critic = fw.Critic(Solve)
    several = fw.Ensemble(fw.Predict(Solve), fw.ChainOfThought(Solve))

    def forward(self, question: str) -> Solve:
        assert_type(self.draft, fw.Module[Solve])
        drafts = fw.sample(self.draft, n=self.n, temperature=self.temperature)(question=question)
        assert_type(drafts, list[Solve])
        judged = self.judge(drafts)
        assert_type(judged, list[Solve])
        best = fw.best(judged)
        assert_type(best, Solve)
        assert_type(self.critic(best), Solve)
        assert_type(self.several(question=question), Solve)
        assert_type(fw.first_valid(drafts), Solve)
        assert_type(fw.map(self.critic, drafts, cap=16), list[Solve])
        voted = fw.vote(judged, field="answer")
        assert_type(voted, Solve)
        assert_type(fw.when(True, best, voted), Solve)
        assert_type(fw.loop(lambda s: s, best, max_rounds=2), Solve)
        return voted


def use(engine: fw.ScriptedEngine) -> None:
    compiled = fw.lower(Solver(), engine=engine)
    reveal_type(compiled)
    assert_type(compiled(question="1 + 1?"), Solve)
    assert_type(compiled(question="1 + 1?").answer, int)
    assert_type(compiled("1 + 1?").answer, int)
    compiled(question=1)  # error: str is needed
    compiled(quest="1 + 1?")  # error: no such input
    assert_type(compiled.batch([{"question": "1 + 1?"}]), list[Solve | fw.Failed])


async def use_async(engine: fw.ScriptedEngine) -> None:
    compiled = fw.lower(Solver(), engine=engine)
    assert_type((await compiled.acall(question="1 + 1?")).answer, int)
    assert_type(await compiled.abatch([{"question": "1 + 1?"}]), list[Solve | fw.Failed])


def search(engine: fw.ScriptedEngine, dev: list[dict[str, object]]) -> None:
    compiled = fw.compile(
        Solver(),
        dev=dev,
        metric=fw.exact_match("answer"),
        engine=engine,
        budget=fw.Budget(per_query="4 TFLOP", search="1 PFLOP"),
    )
    assert_type(compiled(question="1 + 1?").answer, int)
    compiled(question=2)  # error: str is needed
