"""Reducers: which record of a list is taken, what a vote counts, and which records have a vote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

import flopwise as fw
from flopwise.backends.runtime.values import reduce
from flopwise.errors import TraceError
from flopwise.ir.nodes import Op, Reduce
from flopwise.ir.record import Failure, Values
from flopwise.ir.serial import graph_from_json, to_json
from flopwise.modules.program import trace

from ...programs import SHAPE, Ready, Solve, ready

Q = {"question": "2+2?"}
Drafts = Sequence[tuple[str, str]]


def voting(module: Any = None, n: int = 4, judge: bool = False, **how: Any) -> fw.Program:
    class Voting(fw.Program):
        draft = module or fw.ChainOfThought(Solve)
        check = fw.Verifier(Solve)

        def forward(self, question: str) -> Solve:
            drafts = fw.sample(self.draft, n=n, temperature=1.0)(question=question)
            return fw.vote(self.check(drafts) if judge else drafts, **how)

    return Voting()


def saying(drafts: Drafts) -> Callable[[str, int], str]:
    """Sample i of the reasoning is the i-th text; the answer that goes on from it is the one beside it."""

    def say(prompt: str, index: int) -> str:
        after = prompt.rpartition("<|im_start|>assistant\n")[2]
        return next(a for r, a in drafts if after.startswith(r)) if "Answer:" in after else drafts[index][0]

    return say


def answer(pipeline: Ready) -> Any:
    result = pipeline.run(**Q).result
    assert isinstance(result, Values)
    return result.fields["answer"]


# complexity -------------------------------------------------------------------------------------------------

LONG_WINS: Drafts = [("a", "3"), ("b", "3"), ("c1\n\nc2\n  \nc3", "5"), ("d1\nd2", "5"), ("e", "3")]


def test_only_the_half_with_the_most_lines_votes() -> None:
    """Of four drafts two say 3 and come first; the longest half, the other two, says 5."""
    assert answer(ready(voting(n=4, by="complexity"), saying(LONG_WINS))) == 5
    assert answer(ready(voting(n=5), saying(LONG_WINS))) == 3


def test_empty_lines_are_no_steps() -> None:
    drafts = [("a\n\n\n\n\n", "3"), ("b1\nb2", "5"), ("c\n \n\t\n\n", "3"), ("d1\nd2\nd3", "5")]
    assert answer(ready(voting(n=4, by="complexity"), saying(drafts))) == 5


def records(*lines_and_answers: tuple[int, int], weight: float = 1.0) -> list[Values]:
    return [
        Values({"reasoning": "x\n" * n, "answer": a, "id": i}, weight) for i, (n, a) in enumerate(lines_and_answers)
    ]


def reduced(drafts: list[Any], how: Any = "complexity", steps: tuple[str, ...] = ("reasoning",)) -> Any:
    return reduce("vote", Reduce(how, "answer", steps), drafts)


@pytest.mark.parametrize(
    ("drafts", "taken"),
    [
        (records((1, 1), (1, 1), (1, 1), (4, 2), (3, 2), (2, 1)), 3),  # the half is three, of which two say 2
        (records((5, 1), (4, 2), (1, 2), (1, 2)), 0),  # the half is two, a tie: the first drawn
        (records((4, 1), (5, 2), (1, 2), (1, 2)), 0),  # the order of drawing decides, not that of length
        (records((9, 1), (2, 2), (2, 2), (2, 3)), 1),  # as long as the last of the half: all of them vote
        (records((3, 1), (2, 2), (2, 2), (1, 2), (1, 1)), 1),  # of five the half is three
        (records((0, 1), (0, 2), (0, 2)), 1),  # nothing to tell them apart: all vote
        (records((7, 4)), 0),
    ],
)
def test_which_half_is_the_longest(drafts: list[Values], taken: int) -> None:
    assert reduced(drafts).fields["id"] == taken


def test_the_half_is_of_the_records_that_did_not_fail() -> None:
    failed: list[Any] = [Failure("draft", "no")] * 4
    assert reduced([*failed, *records((1, 1), (1, 1), (3, 2), (2, 2))]).fields["answer"] == 2
    assert isinstance(reduced(failed), Failure)


def test_in_the_longest_half_records_count_by_weight() -> None:
    light, heavy = records((5, 1), (5, 1), weight=0.3), records((6, 2), weight=0.9)
    assert reduced([*light, *heavy, *records((1, 1), (1, 1), (1, 1), weight=9.0)]).fields["answer"] == 2


def test_steps_are_the_lines_of_all_that_the_technique_adds() -> None:
    one = Values({"plan": "a\nb\nc", "reasoning": "d", "answer": 1})
    other = Values({"plan": "a", "reasoning": "b\nc", "answer": 2})
    assert reduced([other, one], steps=("plan", "reasoning")).fields["answer"] == 1
    assert reduced([other, one], steps=("reasoning",)).fields["answer"] == 2
    assert reduced([Values({"answer": 1}), other], steps=("reasoning",)).fields["answer"] == 2  # has none: no steps


def steps_in(program: Any) -> Any:
    (found,) = (n.attrs for n in trace(program).nodes if n.op is Op.REDUCE)
    assert isinstance(found, Reduce) and found.how == "complexity"
    return found.steps


@pytest.mark.parametrize(
    ("module", "steps"),
    [
        (fw.ChainOfThought(Solve), ("reasoning",)),
        (fw.ProgramOfThought(Solve), ("program",)),
        (fw.PlanThenSolve(Solve), ("plan", "reasoning")),
        (fw.choice(fw.Predict(Solve), fw.ProgramOfThought(Solve)), ("program",)),
        (fw.Ensemble(fw.ChainOfThought(Solve), fw.ProgramOfThought(Solve)), ("reasoning", "program")),
    ],
)
def test_what_is_counted_is_known_from_the_technique(module: Any, steps: tuple[str, ...]) -> None:
    assert steps_in(voting(module, by="complexity")) == steps
    assert steps_in(voting(module, judge=True, by="complexity")) == steps  # a judge passes them on


def test_steps_are_found_through_maps_loops_and_selects() -> None:
    class Deep(fw.Program):
        draft = fw.Predict(Solve)
        think = fw.ChainOfThought(Solve)
        critic = fw.Critic(Solve)
        check = fw.Verifier(Solve)

        def forward(self, question: str) -> Solve:
            drafts = fw.sample(self.draft, n=2)(question=question)
            state = fw.best(drafts)
            thought = fw.sample(self.think, n=2)(question=question)

            def step(s: Solve) -> Solve:
                return fw.vote(self.check(thought), by="complexity")

            return fw.loop(step, state, max_rounds=2)

    (body,) = (n.attrs.body for n in trace(Deep()).nodes if n.name == "loop")  # type: ignore[union-attr]
    (found,) = (n.attrs for n in body.nodes if n.op is Op.REDUCE)
    assert isinstance(found, Reduce) and found.steps == ("reasoning",)

    class Mended(fw.Program):
        draft = fw.Predict(Solve)
        critic = fw.Critic(Solve)

        def forward(self, question: str) -> Solve:
            drafts = fw.sample(self.draft, n=2)(question=question)
            return fw.vote(fw.map(lambda r: fw.loop(self.critic, r, max_rounds=2), drafts, cap=4), by="complexity")

    assert steps_in(Mended()) == ("critique", "reasoning")

    class Redone(fw.Program):
        draft = fw.ChainOfThought(Solve)
        again = fw.Predict(Solve)

        def forward(self, question: str) -> Solve:
            drafts = fw.sample(self.draft, n=2)(question=question)
            redo: Any = lambda r: fw.loop(lambda s: self.again(question=s.question), r, max_rounds=2)  # noqa: E731
            return fw.vote(fw.map(redo, drafts, cap=4), by="complexity")

    assert steps_in(Redone()) == ("reasoning",)  # of a record that no round has changed


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (lambda: voting(fw.Predict(Solve), by="complexity"), "nothing adds any"),
        (lambda: voting(fw.Predict(Solve), judge=True, by="complexity"), "nothing adds any"),
        (lambda: voting(by="length"), "by must be one of"),
        (lambda: voting(by="answer"), "the output is field="),
    ],
)
def test_what_has_no_steps_is_refused(program: Callable[[], Any], says: str) -> None:
    with pytest.raises(TraceError, match=says):
        trace(program())


def test_all_are_drawn_where_the_longest_vote() -> None:
    drafts = [(f"{i}\n" * (i + 1), "7") for i in range(8)]

    class Waves(fw.Program):
        draft = fw.ChainOfThought(Solve)

        def forward(self, question: str) -> Solve:
            return fw.vote(fw.sample(self.draft, n=8, wave=2, temperature=1.0)(question=question), by="complexity")

    run = ready(Waves(), saying(drafts)).run(**Q)
    assert len(run.trace.requests) == 16


def test_the_complexity_vote_travels_with_the_graph() -> None:
    graph = ready(voting(n=3, by="complexity"), "7").plan.graph
    back = graph_from_json(to_json(graph))
    assert back == graph and "complexity by answer over the lines of reasoning" in back.as_text()


def test_other_reductions_are_saved_as_before() -> None:
    (saved,) = (to_json(n)["attrs"] for n in ready(voting(n=3), "7").plan.graph.nodes if n.op is Op.REDUCE)
    assert saved == {"how": "majority", "field": "answer"}


# weights ----------------------------------------------------------------------------------------------------

TRUST = {"Answer: 3": [0.2, 0.8], "Answer: 5": [0.9, 0.1], "Answer: 8": [0.5, 0.5]}
SAID: Drafts = [("a", "3"), ("b", "3"), ("c", "3"), ("d", "5"), ("e", "8")]


def test_a_vote_over_verified_drafts_sums_their_probabilities() -> None:
    """Three threes weigh 0.6, one five 0.9: heads would say 3."""
    assert answer(ready(voting(n=5, judge=True), saying(SAID), scores=TRUST)) == 5
    assert answer(ready(voting(n=5), saying(SAID), scores=TRUST)) == 3


def test_the_sum_counts_and_not_the_largest_weight() -> None:
    """Five threes at 0.2 outweigh one five at 0.9, which is the best of them."""
    drafts = [*SAID[:3], ("f", "3"), ("g", "3"), ("d", "5")]
    assert answer(ready(voting(n=6, judge=True), saying(drafts), scores=TRUST)) == 3

    class Best(fw.Program):
        draft = fw.ChainOfThought(Solve)
        check = fw.Verifier(Solve)

        def forward(self, question: str) -> Solve:
            return fw.best(self.check(fw.sample(self.draft, n=6, temperature=1.0)(question=question)))

    assert answer(ready(Best(), saying(drafts), scores=TRUST)) == 5


def test_of_the_answer_that_wins_the_heaviest_record_is_given() -> None:
    drafts = [Values({"answer": 3, "id": i}, w) for i, w in enumerate([0.2, 0.7, 0.4])]
    assert reduced(drafts, "majority").fields["id"] == 1
    equal = [Values({"answer": 3, "id": i}, 0.5) for i in range(3)]
    assert reduced(equal, "best").fields["id"] == 0 and reduced(equal, "majority").fields["id"] == 0


# cost -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("judge", [False, True])
@pytest.mark.parametrize("said", ["7", "x" * 900, "a\n" * 200])
def test_a_complexity_vote_stays_within_its_bound(judge: bool, said: str) -> None:
    module = fw.ChainOfThought(Solve, max_tokens=20)
    say = lambda prompt, index: "7" if "Answer:" in prompt.rpartition("assistant")[2] else said  # noqa: E731
    run = ready(voting(module, judge=judge, by="complexity"), say, cost=SHAPE, block=7).run(**Q)
    assert run.trace.flops <= run.trace.bound
