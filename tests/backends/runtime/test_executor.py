"""The executor: what is asked and what is not, how failures travel, and which samples a program gets."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest

from flopwise.backends.runtime.executor import gather_all
from flopwise.backends.runtime.values import executed
from flopwise.errors import EngineError, FlopwiseError, InputError
from flopwise.ir.record import Failure, Values
from flopwise.ir.request import GenerateRequest
from flopwise.ir.schemas import Field, Schema
from flopwise.modules.branches import choice, optional
from flopwise.modules.control import loop, map_, op, when
from flopwise.modules.judging.verifier import Verifier
from flopwise.modules.open import integer
from flopwise.modules.program import Program
from flopwise.modules.prompting.chain_of_thought import ChainOfThought
from flopwise.modules.prompting.predict import Predict
from flopwise.modules.sampling import sample
from flopwise.modules.selection.ensemble import Ensemble
from flopwise.modules.selection.reducers import best, first_valid, vote
from flopwise.modules.signature import Input, Output, Signature
from flopwise.modules.tools.program_of_thought import ProgramOfThought
from tests.programs import Cascade, Judged, Refining, Solve, Solver, Telling, explode, is_even, ready

Q = {"question": "q"}
PREDICT = {"draft": "Predict", "judge": "off"}


def numbered(*said: str) -> Any:
    """A model whose sample i is said[i]."""
    return lambda prompt, index: said[index % len(said)]


def answer(run: Any) -> Any:
    assert isinstance(run.result, Values), run.result
    return run.result.fields["answer"]


def nodes(run: Any) -> Counter[str]:
    return Counter(r.node for r in run.trace.requests)


# selects ----------------------------------------------------------------------------------------------------


def test_only_the_taken_side_of_a_select_is_asked() -> None:
    even = ready(Cascade(), "8", {"n": 3}).run(**Q)
    assert nodes(even) == {"cheap.answer": 1} and answer(even) == 8
    odd = ready(Cascade(), "7", {"n": 3}).run(**Q)
    assert nodes(odd)["dear.sample/dear.reason"] == 3 and answer(odd) == 7


def test_a_condition_that_failed_is_the_failure() -> None:
    class Bad(Program):
        a = Predict(Solve)

        def forward(self, question: str) -> Solve:
            first = self.a(question=question)
            return when(explode(first.answer), first, first)

    run = ready(Bad(), "7").run(**Q)
    assert run.result == Failure("explode", run.result.reason) and "RuntimeError: no 7" in run.result.reason


# votes and weights ------------------------------------------------------------------------------------------


def test_the_majority_wins_and_of_equals_the_one_drawn_first() -> None:
    assert answer(ready(Solver(), numbered("3", "5", "5"), {**PREDICT, "n": 3}).run(**Q)) == 5
    assert answer(ready(Solver(), numbered("3", "5", "4"), {**PREDICT, "n": 3}).run(**Q)) == 3


def test_a_verifier_weighs_votes() -> None:
    def trust(prompt: str, choices: tuple[str, ...]) -> list[float]:
        return [0.9, 0.1] if "Answer: 3" in prompt else [0.2, 0.8]

    config = {"draft": "Predict", "judge": "Verifier", "n": 3}
    run = ready(Solver(), numbered("3", "5", "5"), config, scores=trust).run(**Q)
    assert answer(run) == 3 and run.result.weight == pytest.approx(0.9)
    even = ready(Solver(), numbered("3", "5", "5"), config, scores=lambda p, c: [0.5, 0.5]).run(**Q)
    assert answer(even) == 5


class Beside(Program):
    draft = Predict(Solve)
    other = ChainOfThought(Solve)
    n = integer(1, 4)
    m = integer(0, 2)

    def forward(self, question: str) -> Solve:
        others = sample(self.other, n=self.m)(question=question)
        return vote(sample(self.draft, n=self.n)(question=question), others, field="answer")


@pytest.mark.parametrize(
    ("n", "m", "said", "asked"),
    [(2, 2, 7, {"draft.sample/draft.answer": 2, "other.sample/other.reason": 2, "other.sample/other.answer": 2}),
     (3, 1, 3, {"draft.sample/draft.answer": 3, "other.reason": 1, "other.answer": 1}),
     (2, 0, 3, {"draft.sample/draft.answer": 2}), (1, 0, 3, {"draft.answer": 1})],
)  # fmt: skip
def test_drafts_of_another_technique_vote_along(n: int, m: int, said: int, asked: dict[str, int]) -> None:
    drafts = itertools.chain("345", itertools.repeat("3"))

    def model(prompt: str, index: int) -> str:
        return "7" if "step by step" in prompt else next(drafts)

    run = ready(Beside(), model, {"n": n, "m": m}).run(**Q)
    assert answer(run) == said and nodes(run) == asked


def test_best_takes_the_heaviest_and_first_valid_the_first_that_parsed() -> None:
    class Pick(Program):
        draft = Predict(Solve)
        judge = Verifier(Solve)

        def forward(self, question: str) -> Solve:
            return best(self.judge(sample(self.draft, n=3)(question=question)))

    def trust(prompt: str, choices: tuple[str, ...]) -> list[float]:
        return [0.9, 0.1] if "Answer: 5" in prompt else [0.2, 0.8]

    assert answer(ready(Pick(), numbered("3", "5", "4"), scores=trust).run(**Q)) == 5

    class First(Program):
        draft = Predict(Solve)

        def forward(self, question: str) -> Solve:
            return first_valid(sample(self.draft, n=3)(question=question))

    assert answer(ready(First(), numbered("9" * 99, "5", "4")).run(**Q)) == 5


def test_ensemble_weights_multiply_the_votes() -> None:
    def said(prompt: str, index: int) -> str:
        return "1" if "first" in prompt else "2"

    members = [Predict(Solve, name=n, instruction=n) for n in ("first", "second", "third")]
    assert answer(ready(Ensemble(*members), said).run(**Q)) == 2
    assert answer(ready(Ensemble(*members, weights=(5, 1, 1)), said).run(**Q)) == 1


# failures ---------------------------------------------------------------------------------------------------


def test_a_draft_that_failed_has_no_vote_but_is_counted() -> None:
    run = ready(Solver(), numbered("9" * 99, "5", "4"), {**PREDICT, "n": 3}).run(**Q)
    assert answer(run) == 5
    (failure,) = run.trace.failures
    assert failure.node == "draft.sample/draft.Predict.record" and "ran out of tokens" in failure.reason


def test_a_failed_draft_is_not_judged() -> None:
    config = {"draft": "Predict", "judge": "Verifier", "n": 3}
    run = ready(Solver(), numbered("9" * 99, "5", "4"), config).run(**Q)
    assert nodes(run)["judge.Verifier.each/judge.Verifier.judge"] == 2 and answer(run) == 5


def test_where_all_drafts_fail_the_query_fails_and_says_why() -> None:
    run = ready(Solver(), "9" * 99, {**PREDICT, "n": 3}).run(**Q)
    assert isinstance(run.result, Failure) and run.result.node == "vote"
    assert "none of 3 records is valid" in run.result.reason and "ran out of tokens" in run.result.reason
    assert len(run.trace.failures) == 4  # each draft and the vote
    assert run.result.failed


def test_a_host_function_that_raises_fails_its_query_alone() -> None:
    @op
    def half(answer: int) -> int:
        return answer // (answer - 7)

    class Halved(Program):
        draft = Predict(Solve)

        def forward(self, question: str) -> Any:
            return half(self.draft(question=question).answer)

    pipeline = ready(Halved(), {"seven": "7", "nine": "9"})
    bad, good = pipeline.runs({"question": "seven"}, {"question": "nine"})
    assert isinstance(bad.result, Failure) and "ZeroDivisionError" in bad.result.reason
    assert good.result == Values({"result": 4})


def test_a_host_function_may_be_a_coroutine_and_sees_plain_records() -> None:
    @op
    async def told(record: Any, many: Any) -> str:
        await asyncio.sleep(0)
        return f"{record.question}: {record.answer} of {[r.answer for r in many]}"

    class Told(Program):
        draft = Predict(Solve)

        def forward(self, question: str) -> Any:
            drafts = sample(self.draft, n=3)(question=question)
            return told(vote(drafts), drafts)

    run = ready(Told(), numbered("1", "2", "2")).run(**Q)
    assert run.result == Values({"result": "q: 2 of [1, 2, 2]"})


def test_an_impure_function_runs_only_where_that_is_allowed() -> None:
    from flopwise.backends.runtime.executor import Executable
    from flopwise.backends.runtime.meter import Meter
    from flopwise.backends.runtime.scheduler import Scheduler

    seen: list[int] = []

    @op(pure=False)
    def note(answer: int) -> int:
        seen.append(answer)
        return answer

    class Noting(Program):
        draft = Predict(Solve)

        def forward(self, question: str) -> Any:
            return note(self.draft(question=question).answer)

    pipeline = ready(Noting(), "7")
    careful = Executable(pipeline.plan, Scheduler(pipeline.engine, Meter()), allow_impure=False)
    with pytest.raises(FlopwiseError, match=r"note.*allow_impure=True"):
        asyncio.run(careful.run(Q))
    assert seen == []
    assert pipeline.run(**Q).result == Values({"result": 7}) and seen == [7]


def test_a_fault_of_the_engine_is_raised_and_ends_the_siblings() -> None:
    with pytest.raises(EngineError, match="no reply"):
        ready(Solver(), {"never": "7"}, {**PREDICT, "n": 3}).run(**Q)


def test_gather_cancels_what_is_left_and_waits_for_it() -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("slow")

    async def bad() -> None:
        await asyncio.sleep(0)
        raise EngineError("dead")

    async def work() -> None:
        with pytest.raises(EngineError, match="dead"):
            await gather_all([slow(), bad(), slow()])
        assert ended == ["slow", "slow"]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(work())


# regions ----------------------------------------------------------------------------------------------------


class Counted(Signature):
    """Count on."""

    number: int = Input()
    next: int = Output()
    done: bool = Output()


class Counting(Program):
    first = Predict(Counted)
    step = Predict(Counted)

    def forward(self, number: int) -> Counted:
        start = self.first(number=number)
        return loop(lambda s: self.step(number=s.next), start, max_rounds=4, until=lambda s: s.done)


def counter(stop: int) -> Any:
    def said(prompt: str, index: int) -> str:
        number = int(prompt.rsplit("Number: ", 1)[1].split("<|")[0])
        return f'{{"next": {number + 1}, "done": {"true" if number + 1 >= stop else "false"}}}'

    return said


@pytest.mark.parametrize(("stop", "rounds", "ends"), [(1, 0, 1), (3, 2, 3), (5, 4, 5), (9, 4, 5)])
def test_a_loop_ends_by_its_condition_or_its_rounds(stop: int, rounds: int, ends: int) -> None:
    run = ready(Counting(), counter(stop)).run(number=0)
    assert run.result.fields["next"] == ends
    assert nodes(run)["loop/step.answer"] == rounds


def test_a_round_that_fails_leaves_what_was_there_before_it() -> None:
    def said(prompt: str, index: int) -> str:
        return counter(9)(prompt, index) if "Number: 2" not in prompt else "{" * 999

    run = ready(Counting(), said).run(number=0)
    assert run.result.fields["next"] == 2 and [f.node for f in run.trace.failures] == ["loop/step.record"]


def test_under_a_cap_a_loop_stops_where_the_next_round_is_not_covered() -> None:
    free = ready(Counting(), counter(9), caps={"number": 1})
    trip = free.plan.bounds["loop"].trip(0)
    rounds = [
        nodes(ready(Counting(), counter(9), caps={"number": 1}, cap=free.plan.least + k * trip).run(number=0))
        for k in range(5)
    ]
    assert rounds[0]["loop/step.answer"] == 0 and rounds[4]["loop/step.answer"] == 4
    assert all(r["loop/step.answer"] >= k for k, r in enumerate(rounds))


def test_a_map_longer_than_its_cap_is_a_failure() -> None:
    class Mapped(Program):
        draft = Predict(Solve)
        judge = Verifier(Solve)

        def forward(self, question: str) -> Solve:
            return vote(map_(lambda r: self.judge(r), sample(self.draft, n=3)(question=question), cap=2))

    run = ready(Mapped(), "7").run(**Q)
    assert isinstance(run.result, Failure) and "3 items are more than the cap of 2" in run.result.reason


def test_regions_in_regions_see_the_values_around_them() -> None:
    class Pairs(Program):
        draft = Predict(Solve)
        compare = Predict("left: int, right: int, question: str -> answer: int")

        def forward(self, question: str) -> Any:
            drafts = sample(self.draft, n=2)(question=question)

            def each(a: Any) -> Any:
                return vote(
                    map_(lambda b: self.compare(left=a.answer, right=b.answer, question=question), drafts, cap=2)
                )

            return vote(map_(each, drafts, cap=2))

    def said(prompt: str, index: int) -> str:
        return ("10", "20")[index % 2] if "Left" not in prompt else "5"

    run = ready(Pairs(), said).run(**Q)
    pairs = {text.split("Left: ")[1].split("\nQuestion")[0] for _, text in run.trace.prompts() if "Left" in text}
    assert pairs == {"10\nRight: 10", "10\nRight: 20", "20\nRight: 10", "20\nRight: 20"}


def test_optional_modules_inside_a_sample() -> None:
    class Maybe(Program):
        draft = Predict(Solve)
        check = optional(Verifier(Solve))

        def forward(self, question: str) -> Solve:
            first = self.draft(question=question)
            return best(sample(self.check, n=2)(first))

    assert answer(ready(Maybe(), "7", {"check": "off"}).run(**Q)) == 7
    assert nodes(ready(Maybe(), "7", {"check": "Verifier"}).run(**Q))["check.sample/check.Verifier.judge"] == 2


# sample streams ---------------------------------------------------------------------------------------------


def streams(pipeline: Any) -> list[tuple[str, int, int]]:
    return sorted((r.stream, r.first_index, r.n) for r in pipeline.engine.asked if isinstance(r, GenerateRequest))


def test_samples_of_a_region_have_the_indices_of_their_trips() -> None:
    pipeline = ready(Solver(), numbered("1", "2", "3"), {**PREDICT, "n": 3})
    run = pipeline.run(**Q)
    assert sorted(r.outputs for r in run.trace.requests) == [("1",), ("2",), ("3",)]


def test_more_samples_begin_with_the_same_ones() -> None:
    few, many = (ready(Solver(), lambda p, i: str(i), {**PREDICT, "n": n}).run(**Q) for n in (2, 5))
    said = [sorted(r.outputs[0] for r in run.trace.requests) for run in (few, many)]
    assert said == [["0", "1"], ["0", "1", "2", "3", "4"]]


def test_one_request_at_two_sites_draws_different_samples() -> None:
    class Twice(Program):
        draft = Predict(Solve, temperature=1.0)

        def forward(self, question: str) -> Any:
            a, b = self.draft(question=question), self.draft(question=question)
            return pair(a.answer, b.answer, a.answer)

    @op
    def pair(a: int, b: int, c: int) -> str:
        return f"{a} {b} {c}"

    run = ready(Twice(), numbered("1", "2")).run(**Q)
    assert run.result == Values({"result": "1 2 1"})  # two sites, two draws; one value used twice is one draw


def test_two_regions_of_one_module_draw_from_streams_of_their_own() -> None:
    class Two(Program):
        draft = Predict(Solve)

        def forward(self, question: str) -> Any:
            first, second = (sample(self.draft, n=2)(question=question) for _ in range(2))
            return when(is_even(vote(first).answer), vote(first), vote(second))

    pipeline = ready(Two(), "7")
    pipeline.run(**Q)
    assert streams(pipeline) == [("", 0, 2), ("1", 0, 2)]


def test_rounds_of_a_loop_draw_from_streams_of_their_own() -> None:
    pipeline = ready(Refining(), "7", {"critic.temperature": 1.0})
    pipeline.run(**Q)
    used = {stream for stream, _, _ in streams(pipeline)}
    assert {s.rpartition("/")[2] for s in used if "/" in s} == {"1", "2"}


def test_rounds_of_a_loop_in_a_loop_draw_from_streams_of_their_own() -> None:
    class Nest(Program):
        draft = Predict(Solve, temperature=0.8)

        def forward(self, question: str) -> Any:
            def rounds(start: Any, name: str, step: Any) -> Any:
                return loop(step, start, max_rounds=3, name=name)

            again = lambda _: self.draft(question=question)  # noqa: E731
            return rounds(self.draft(question=question), "outer", lambda o: rounds(o, "inner", again))

    pipeline = ready(Nest(), "7")
    pipeline.run(**Q)
    asked = streams(pipeline)
    assert len(asked) == len(set(asked)) == 10


def test_at_temperature_0_the_same_is_asked_once() -> None:
    class Greedy(Program):
        draft = Predict(Solve)

        def forward(self, question: str) -> Any:
            a, b = self.draft(question=question), self.draft(question=question)
            return when(is_even(a.answer), a, b)

    pipeline = ready(Greedy(), "7")
    pipeline.run(**Q)
    assert len(pipeline.engine.asked) == 1


def test_one_sample_is_drawn_greedily_unless_the_user_set_a_temperature() -> None:
    pipeline = ready(Solver(), "7", {**PREDICT, "n": 1})
    pipeline.run(**Q)
    assert [r.decoding.temperature for r in pipeline.engine.asked] == [0.0]
    several = ready(Solver(), "7", {**PREDICT, "n": 2})
    several.run(**Q)
    assert {r.decoding.temperature for r in several.engine.asked} == {0.7}

    class Warm(Program):
        draft = Predict(Solve, temperature=0.3)
        n = integer(1, 4)

        def forward(self, question: str) -> Solve:
            return vote(sample(self.draft, n=self.n)(question=question))

    warm = ready(Warm(), "7", {"n": 1})
    warm.run(**Q)
    assert [r.decoding.temperature for r in warm.engine.asked] == [0.3]


# many at once -----------------------------------------------------------------------------------------------


def test_many_queries_at_once_do_not_mix() -> None:
    pipeline = ready(Judged(), lambda p, i: str(len(p.rsplit("Question: ", 1)[1].split("\n")[0].split("<|")[0])))
    rows = [{"question": "x" * k} for k in range(1, 20)]
    alone = [ready(Judged(), lambda p, i: "7").plan.bound for _ in rows]
    runs = pipeline.runs(*rows)
    assert [r.result.fields["question"] for r in runs] == [row["question"] for row in rows]
    assert all(run.trace.flops <= bound for run, bound in zip(runs, alone, strict=True))


def test_what_a_node_needs_is_asked_side_by_side() -> None:
    async def work(request: Any) -> None:
        waiting.append(request)
        while len(waiting) < 3:
            await asyncio.sleep(0)

    waiting: list[Any] = []
    panel = Ensemble(*(Predict(Solve, name=n, instruction=n) for n in ("one", "two", "three")))
    assert answer(ready(panel, "7", latency=work).run(**Q)) == 7  # each reply waits for all three requests


def test_kept_values_are_in_the_trace() -> None:
    pipeline = ready(Telling(), "tale")
    run = pipeline.run(**Q, keep=("vote",))
    assert run.trace.values["vote"] == run.result


# inputs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "missing: 'question'"),
        ({"question": "q", "more": 1}, "unknown: 'more'"),
        ({"question": 7}, "question.*string"),
        ({"question": "abc\ud800"}, "position 3"),
        ({"question": "x" * 65}, r"takes 65 tokens at node 'draft.Predict.answer'.*caps={'question': 65}"),
    ],
)
def test_bad_inputs_are_refused_by_name(inputs: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        ready(Solver(), "7", PREDICT, caps={"question": 64}).run(**inputs)


def test_an_input_of_exactly_its_cap_is_taken() -> None:
    assert answer(ready(Solver(), "7", PREDICT, caps={"question": 64}).run(question="x" * 64)) == 7


def test_an_optional_input_may_be_left_out() -> None:
    class Hinted(Program):
        draft = Predict("question, hint: str | None -> answer: int")

        def forward(self, question: str, hint: str | None = None) -> Any:
            return self.draft(question=question, hint=hint)

    pipeline = ready(Hinted(), {"Hint: null": "1", "Hint: look": "2"})
    assert answer(pipeline.run(question="q")) == 1 and answer(pipeline.run(question="q", hint="look")) == 2


# programs of thought ----------------------------------------------------------------------------------------


def test_a_program_that_fails_is_shown_its_error_and_written_again() -> None:
    program = ProgramOfThought("question -> answer: int, why: str", max_tokens=60, repairs=2)

    def said(prompt: str, index: int) -> str:
        return "answer = 5\n```" if "The program failed:" in prompt else "oops"

    run = ready(program, said).run(**Q)
    assert nodes(run) == {"ProgramOfThought.program": 1, "ProgramOfThought.repair/rewrite": 1}
    assert answer(run) == 5 and run.result.fields["program"] == "answer = 5"


def test_choices_of_the_same_thing_at_two_calls_are_decided_together() -> None:
    class Both(Program):
        draft = choice(Predict(Solve), Predict(Solve, instruction="Carefully."))

        def forward(self, question: str) -> Any:
            return self.draft(question=self.draft(question=question).question)

    pipeline = ready(Both(), "7", {"draft": "Predict_2"})
    run = pipeline.run(**Q)
    assert ["Carefully." in text for _, text in run.trace.prompts()] == [True, True]


@op
def broken(answer: int) -> str:
    return chr(0xD800)


def test_a_text_that_cannot_be_encoded_fails_its_query_alone() -> None:
    class Broken(Program):
        draft = Predict(Solve)
        again = Predict(Solve)

        def forward(self, question: str) -> Any:
            return self.again(question=broken(self.draft(question=question).answer))

    runs = ready(Broken(), "7").runs({"question": "a"}, {"question": "b"})
    for run in runs:
        assert isinstance(run.result, Failure) and "cannot stand in a prompt" in run.result.reason
        assert run.result in run.trace.failures and [r.node for r in run.trace.requests] == ["draft.answer"]
    with pytest.raises(InputError, match="Unicode"):
        ready(Broken(), "7").run(question=chr(0xD800))


def test_a_lone_surrogate_of_a_program_is_a_failed_value_and_clean_text() -> None:
    text = Schema("S", "", (), (Field("answer", '{"type":"string"}'),))
    anything = Schema("S", "", (), (Field("answer", "{}"),))
    for schema, value in ((text, "a\ud800"), (anything, ["x", {"k": "\udfff"}]), (anything, {"\ud800": 1})):
        got = executed("p", True, {"answer": value}, "", schema)
        assert not got.ok and "is not valid Unicode" in got.error and got.error.encode()
    assert executed("p", False, {}, "ValueError: \ud800!", text).error == "ValueError: ?!"
    assert executed("p", True, {"answer": "é😀"}, "", text).values == {"answer": "é😀"}
