"""The ranker: what it shows, what it makes of the numbers or of the pairs, and what it keeps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError, TraceError
from flopwise.ir.record import Failure, Values
from flopwise.ir.request import GenerateRequest, ScoreRequest
from flopwise.modules.judging.candidates import places_by_wins, places_named
from flopwise.modules.judging.ranker import Ranker
from flopwise.modules.program import Program

from ...programs import SHAPE, Ready, Solve, ready
from ..expansion import check_expansion
from ..unruly import LONG, check_bound, check_round_trip

Q: dict[str, Any] = {"question": "2+2?"}


def ranking(reduce: Any = fw.first_valid, n: int = 3, module: Any = None, **settings: Any) -> Program:
    """A program that ranks n samples and takes one."""

    class Ranking(Program):
        __doc__ = Ranker.__doc__
        draft = module or fw.Predict("question -> answer: int")
        rank = Ranker("question -> answer: int", **settings)

        def forward(self, question: str) -> Any:
            ranked: Any = self.rank(fw.sample(self.draft, n=n)(question=question))
            return reduce(ranked) if reduce else ranked

    return Ranking()


def saying(answers: str, ranks: str) -> Any:
    """A digit a sample, a dash for one that does not parse; and what the ranker says."""

    def say(prompt: str, index: int) -> str:
        return ranks if "Rank them" in prompt else LONG if answers[index] == "-" else answers[index]

    return say


def answer(pipeline: Ready) -> Any:
    result = pipeline.run(**Q).result
    return result.fields["answer"] if isinstance(result, Values) else result


def kept(pipeline: Ready) -> list[Any]:
    """Answers of the list that the ranker keeps."""
    records = pipeline.run(("rank.ranked",), **Q).trace.values["rank.ranked"]
    return [None if isinstance(r, Failure) else r.fields["answer"] for r in records]


def test_the_docstring_shows_the_expansion() -> None:
    check_expansion(ranking(top=2))


# one list ---------------------------------------------------------------------------------------------------


def test_one_call_shows_every_candidate_by_number() -> None:
    pipeline = ready(ranking(None), saying("567", "2"))
    assert answer(pipeline) == 6
    prompt = pipeline.run(**Q).trace.prompts()[-1][1]
    (asked,) = [r for r in pipeline.engine.asked if "Rank them" in pipeline.engine.tokenizer.decode_all(r.ids)][:1]
    assert isinstance(asked, GenerateRequest) and asked.decoding.temperature == 0
    assert "Question: 2+2?" in prompt and "1.\nAnswer: 5\n2.\nAnswer: 6\n3.\nAnswer: 7" in prompt


@pytest.mark.parametrize(
    ("said", "top", "expected"),
    [
        ("[3, 1, 2]", 3, [7, 5, 6]),
        ("[3, 1]", 2, [7, 5]),
        ("[2]", 3, [6, 5, 7]),  # who is not named comes after, as given
        ("[2, 2, 2]", 3, [6, 5, 7]),
        ("[9, 3]", 2, [7, 5]),  # there is no candidate 9
        ("[999]", 2, [5, 6]),
        ("[3, 1]", 4, [7, 5, 6, None]),
    ],
)
def test_the_numbers_are_the_order(said: str, top: int, expected: list[Any]) -> None:
    assert kept(ready(ranking(top=top), saying("567", f'{{"best": {said}}}'))) == expected


def test_a_failed_candidate_is_neither_shown_nor_counted() -> None:
    pipeline = ready(ranking(top=2), saying("5-7", '{"best": [2, 1]}'))
    assert kept(pipeline) == [7, 5]
    assert "2.\nAnswer: 7" in pipeline.run(**Q).trace.prompts()[-1][1]


def test_a_ranking_that_cannot_be_read_leaves_the_order() -> None:
    pipeline = ready(ranking(top=2), saying("567", LONG))
    assert kept(pipeline) == [5, 6]
    assert answer(ready(ranking(None), saying("567", LONG))) == 5


def test_without_a_valid_candidate_there_is_nothing_to_rank() -> None:
    run = ready(ranking(), saying("---", "1")).run(**Q)
    assert isinstance(run.result, Failure) and len(run.trace.requests) == 3


def test_what_a_technique_adds_is_shown_where_it_is_and_nowhere_else() -> None:
    thoughtful = fw.ChainOfThought("question -> answer: int", max_tokens=20)
    script = {"Rank them": "1", "\n\nAnswer:": "4", "step by step": ["two and two", "I guess"]}
    for shows, seen in ((("reasoning",), True), ((), False)):
        prompt = ready(ranking(None, module=thoughtful, shows=shows), script).run(**Q).trace.prompts()[-1][1]
        assert ("1.\nAnswer: 4\nReasoning: two and two\n2.\nAnswer: 4\nReasoning: I guess" in prompt) is seen
        assert "Critique" not in prompt
    bare, reasoned = (ready(ranking(module=m), "1").plan.prompts["rank.rank"].most for m in (None, thoughtful))
    assert reasoned - bare == 3 * (20 - 8)  # a step counts what it can be; one that is not there, its null


# pairs ------------------------------------------------------------------------------------------------------


def preferring(*order: int) -> Any:
    """A is better by 0.9 where it comes earlier in the order."""

    def weigh(prompt: str, choices: tuple[str, ...]) -> tuple[float, float]:
        a, b = (order.index(int(x)) for x in re.findall(r"Answer: (\d)", prompt))
        assert choices == ("A", "B")
        return (0.9, 0.1) if a < b else (0.1, 0.9)

    return weigh


def test_each_is_compared_with_each_other_and_stands_first_in_its_own() -> None:
    pipeline = ready(ranking(style="pairs", top=3), saying("567", ""), scores=preferring(6, 7, 5))
    assert kept(pipeline) == [6, 7, 5]
    asked = [r for r in pipeline.engine.asked if isinstance(r, ScoreRequest)]
    texts = [pipeline.engine.tokenizer.decode_all(r.ids) for r in asked]
    pairs = {tuple(re.findall(r"Answer: (\d)", t)) for t in texts}
    assert len(asked) == 6 and pairs == {(a, b) for a in "567" for b in "567" if a != b}


def test_a_liking_for_the_first_place_changes_nothing() -> None:
    def weigh(prompt: str, choices: tuple[str, ...]) -> tuple[float, float]:
        a, b = (int(x) for x in re.findall(r"Answer: (\d)", prompt))
        return 0.9 + 0.01 * (a - b), 0.1 - 0.01 * (a - b)

    assert kept(ready(ranking(style="pairs", top=3), saying("576", ""), scores=weigh)) == [7, 6, 5]


def test_equal_outputs_are_a_tie_that_is_not_asked_about() -> None:
    pipeline = ready(ranking(None, style="pairs"), saying("575", ""), scores=preferring(7, 5))
    run = pipeline.run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 7
    assert len(run.trace.requests) == 3 + 4  # each 5 with the 7, and back
    same = ready(ranking(None, style="pairs"), saying("555", ""))
    assert answer(same) == 5 and len(same.run(**Q).trace.requests) == 3


def test_weights_stay_and_failures_are_out() -> None:
    class Weighed(Program):
        draft = fw.Predict(Solve)
        judge = fw.Verifier(Solve)
        rank = Ranker(Solve, style="pairs")

        def forward(self, question: str) -> Any:
            return self.rank(self.judge(fw.sample(self.draft, n=3)(question=question)))

    scores = {"correct?": [0.25, 0.75], "": preferring(7, 5)}
    run = ready(Weighed(), saying("5-7", ""), scores=scores).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 7 and run.result.weight == 0.25


# what holds of both -----------------------------------------------------------------------------------------


def test_several_lists_and_records_are_one_list() -> None:
    class Mixed(Program):
        one = fw.Predict(Solve)
        draft = fw.Predict(Solve, temperature=1.0)
        rank = Ranker(Solve)

        def forward(self, question: str) -> Any:
            return self.rank(self.one(question=question), fw.sample(self.draft, n=2)(question=question))

    pipeline = ready(Mixed(), saying("56", "3"))
    assert answer(pipeline) == 6
    assert "1.\nAnswer: 5\n2.\nAnswer: 5\n3.\nAnswer: 6" in pipeline.run(**Q).trace.prompts()[-1][1]


def test_it_may_be_left_out() -> None:
    class Optional(Program):
        draft = fw.Predict(Solve)
        rank = fw.optional(Ranker(Solve, top=2))

        def forward(self, question: str) -> Any:
            return fw.first_valid(self.rank(fw.sample(self.draft, n=3)(question=question)))

    script = saying("567", '{"best": [3, 1]}')
    assert answer(ready(Optional(), script)) == 5
    assert answer(ready(Optional(), script, {"rank": "Ranker"})) == 7


def test_it_stands_in_a_region_over_a_list_from_outside() -> None:
    class Again(Program):
        draft = fw.Predict(Solve)
        rank = Ranker(Solve)

        def forward(self, question: str) -> Any:
            drafts = fw.sample(self.draft, n=3)(question=question)
            return fw.loop(lambda s: self.rank(drafts, s), fw.best(drafts), max_rounds=2)

    run = ready(Again(), saying("567", "4"), cost=SHAPE).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 5
    assert sum(r.node.endswith("rank.rank") for r in run.trace.requests) == 2
    assert "4.\nAnswer: 5<" in run.trace.prompts()[-1][1] and run.trace.flops <= run.trace.bound


def test_several_outputs_are_told_by_name() -> None:
    both = "question, hint -> answer: int, why: str"

    class Both(Program):
        draft = fw.Predict(both)
        rank = Ranker(both)

        def forward(self, question: str, hint: str) -> Any:
            return self.rank(fw.sample(self.draft, n=2)(question=question, hint=hint))

    said = ['{"answer": 4, "why": "so"}', '{"answer": 5, "why": "hm"}']
    run = ready(Both(), {"Rank them": "2", "": said}).run(question="2+2?", hint="count")
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 5
    prompt = run.trace.prompts()[-1][1]
    assert "Hint: count\n" in prompt and "1.\nAnswer: 4\nWhy: so\n2.\nAnswer: 5\nWhy: hm" in prompt


@pytest.mark.parametrize("style", ["list", "pairs"])
def test_the_bound_holds(style: str) -> None:
    def say(prompt: str, index: int) -> str:
        return '{"best": [2, 1]}' if "Rank them" in prompt else str(index)

    check_bound(ranking(style=style, top=2, module=None), say)
    thoughtful = fw.ChainOfThought("question -> answer: int", max_tokens=20)
    check_bound(ranking(style=style, top=2, module=thoughtful), say)


def test_pairs_are_bounded_by_all_of_them() -> None:
    worst = [ready(ranking(style="pairs", n=n), "7").plan.worst for n in (2, 4, 8)]
    drafts = [ready(ranking(fw.first_valid, n=n), "7").plan.bounds["draft.sample"].worst for n in (2, 4, 8)]
    two, four, eight = (w - d for w, d in zip(worst, drafts, strict=True))
    assert 3.5 * two < four < 4.5 * two and 3.5 * four < eight < 4.5 * four
    name = "rank.compared/pairs/better"
    assert len({ready(ranking(style="pairs", n=n), "7").plan.prompts[name].most for n in (2, 8)}) == 1  # one item each


def test_settings_may_be_open() -> None:
    program = ranking(top=fw.integer(1, 3), style=fw.choice("list", "pairs"))
    config = {"rank.top": 2, "rank.style": "pairs"}
    assert kept(ready(program, saying("567", ""), config, scores=preferring(6, 7, 5))) == [6, 7]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"top": 0}, "`1 <= top <= 999`"),
        ({"top": True}, "`1 <= top <= 999`"),
        ({"top": fw.integer(0, 3)}, "`1 <= top <= 999`"),
        ({"style": "trees"}, "style must be one of"),
        ({"style": fw.choice("list", "trees")}, "style must be one of"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=re.escape(says)):
        Ranker(Solve, **settings)


def test_it_takes_records_that_have_what_it_reads() -> None:
    class Wrong(Program):
        draft = fw.Predict("question -> guess: int")
        rank = Ranker(Solve)

        def forward(self, question: str) -> Any:
            return self.rank(fw.sample(self.draft, n=2)(question=question))

    with pytest.raises(TraceError, match="reads answer"):
        ready(Wrong())


@pytest.mark.parametrize("style", ["list", "pairs"])
def test_an_artifact_runs_alike(tmp_path: Path, style: str) -> None:
    def engine() -> fw.ScriptedEngine:
        return fw.ScriptedEngine(saying("567", '{"best": [3, 1]}'), scores=preferring(7, 6, 5))

    check_round_trip(ranking(style=style, top=2), engine, tmp_path, **Q)


def test_places() -> None:
    assert places_named([1, 2], 2, 1) == [1] and places_named([1, 2], [], 3) == [0, 1, None]
    won = [Values({"wins": w}) for w in (0.2, 0.7, 0.7)]
    namespaces = [type("R", (), r.fields) for r in won]
    assert places_by_wins(namespaces, 2) == [1, 2]
