"""Adaptive best-of-N: one token after each try decides about the next one, and the best try is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.compiler.passes.specialise import open_values
from flopwise.errors import SignatureError, TraceError
from flopwise.ir.record import Failure, Values
from flopwise.ir.request import GenerateRequest, ScoreRequest
from flopwise.modules.judging.another import Another
from flopwise.modules.program import trace
from flopwise.modules.selection.adaptive_best import adaptive_best

from ...programs import SHAPE, Ready, Solve, Tell, ready
from ..expansion import check_expansion

Q = {"question": "Tell me."}


def saying(*drafts: str) -> Callable[[str, int], str]:
    """One draft after another, however they are indexed."""
    left = iter(drafts)
    return lambda prompt, index: next(left)


def sure(**probabilities: float) -> Callable[[str, tuple[str, ...]], list[float]]:
    """How likely "No other try would be better" is after each draft."""

    def weigh(prompt: str, choices: tuple[str, ...]) -> list[float]:
        p = next((p for word, p in probabilities.items() if f"{word}<|im_end|>" in prompt), 0.0)
        return [p, 1 - p]

    return weigh


def run(program: Any, script: Any, scores: Any = None, config: Any = None, **settings: Any) -> tuple[Any, Ready]:
    pipeline = ready(program, script, config, scores=scores, cost=SHAPE, **settings)
    done = pipeline.run(**Q)
    assert done.trace.flops <= done.trace.bound
    return done, pipeline


def asked(pipeline: Ready) -> list[str]:
    """What was asked in which order: a draft or a probability."""
    return ["draft" if isinstance(r, GenerateRequest) else "score" for r in pipeline.engine.asked]


# when the draws end -----------------------------------------------------------------------------------------


def test_a_first_try_that_is_enough_is_the_only_one() -> None:
    done, pipeline = run(adaptive_best(fw.Predict(Tell)), saying("a", "b"), sure(a=0.5))
    assert asked(pipeline) == ["draft", "score"]
    assert done.result.fields["story"] == "a" and done.result.fields["enough"] is True


def test_tries_go_on_until_one_is_enough() -> None:
    done, pipeline = run(
        adaptive_best(fw.Predict(Tell)), saying("a", "b", "c", "d"), sure(a=0.4, b=0.49, c=0.51, d=0.9)
    )
    assert asked(pipeline) == ["draft", "score"] * 3
    assert done.result.fields["story"] == "c"


def test_where_none_is_enough_all_are_drawn_and_the_surest_is_taken() -> None:
    program = adaptive_best(fw.Predict(Tell), 4)
    done, pipeline = run(program, saying("a", "b", "c", "d"), sure(a=0.1, b=0.4, c=0.4, d=0.2))
    assert asked(pipeline) == ["draft", "score"] * 4
    assert done.result.fields["story"] == "b" and done.result.weight == pytest.approx(0.4)  # of equals the first
    assert done.result.fields["enough"] is False


@pytest.mark.parametrize(("enough", "tries"), [(0.0, 1), (0.3, 1), (0.31, 2), (0.7, 2), (0.71, 3), (1.0, 3)])
def test_the_threshold_decides_how_many_tries(enough: float, tries: int) -> None:
    program = adaptive_best(fw.Predict(Tell), 3, enough=enough)
    _, pipeline = run(program, saying("a", "b", "c"), sure(a=0.3, b=0.7, c=0.2))
    assert asked(pipeline) == ["draft", "score"] * tries


def test_the_tries_are_drawn_apart() -> None:
    _, pipeline = run(adaptive_best(fw.Predict(Tell), 3), saying("a", "b", "c"), lambda prompt, choices: [0, 1])
    drafts = [r for r in pipeline.engine.asked if isinstance(r, GenerateRequest)]
    assert len({(r.stream, r.first_index) for r in drafts}) == 3
    assert {r.decoding.temperature for r in drafts} == {0.7}


def test_a_try_that_fails_ends_nothing_whatever_is_said_of_it() -> None:
    program = adaptive_best(fw.Predict(Solve), 4)
    done, pipeline = run(program, saying("9" * 99, "9" * 99, "5", "7"), lambda prompt, choices: [0.9, 0.1])
    assert asked(pipeline) == ["draft", "score"] * 3
    assert done.result.fields["answer"] == 5


def test_where_all_fail_the_query_fails_and_says_why() -> None:
    done, pipeline = run(adaptive_best(fw.Predict(Solve), 3), saying(*["9" * 99] * 3))
    assert asked(pipeline).count("draft") == 3
    assert isinstance(done.result, Failure) and "none of 3 records is valid" in done.result.reason


# what is asked ----------------------------------------------------------------------------------------------


def test_the_question_is_a_further_turn_of_the_same_conversation() -> None:
    _, pipeline = run(adaptive_best(fw.Predict(Tell)), saying("A cat sat."), lambda prompt, choices: [1, 0])
    draft, score = pipeline.engine.asked
    assert isinstance(score, ScoreRequest)
    decode = pipeline.engine.tokenizer.decode_all
    before, after = decode(draft.ids), decode(score.ids)
    assert after.startswith(f"{before}A cat sat.<|im_end|>")
    last = after.removeprefix(f"{before}A cat sat.")
    assert "Would you find a better story? Answer Yes or No." in last and "Tell me." not in last
    assert [decode((c,)) for c in score.choices] == ["N", "Y"]  # of a byte tokenizer the first bytes


def test_elsewhere_the_prompt_shows_the_record() -> None:
    of = "question -> answer: int, why: str"
    program = adaptive_best(fw.ProgramOfThought(of, repairs=0), 2, enough=0.0)
    pipeline = ready(program, "answer = 3", scores=lambda prompt, choices: [1, 0])
    done = pipeline.run(**Q)
    (prompt,) = [text for node, text in done.trace.prompts() if node.endswith("another.another")]
    assert "Question: Tell me.\nAnswer: 3\nWhy: 3\n\nSuppose you started again" in prompt
    assert "better answer and why?" in prompt


def test_a_judge_weighs_each_try_and_takes_the_best() -> None:
    def weigh(prompt: str, choices: tuple[str, ...]) -> list[float]:
        if "started again" in prompt:
            return [0.6, 0.4] if "c<|im_end|>" in prompt else [0.1, 0.9]
        return {"a": [0.3, 0.7], "b": [0.8, 0.2], "c": [0.5, 0.5]}[prompt.partition("Story: ")[2][0]]

    program = adaptive_best(fw.Predict(Tell), judge=fw.Verifier(Tell))
    done, pipeline = run(program, saying("a", "b", "c"), weigh)
    assert asked(pipeline) == ["draft", "score", "score"] * 3
    assert done.result.fields["story"] == "b" and done.result.weight == pytest.approx(0.8)


# composition, bounds ----------------------------------------------------------------------------------------


def test_its_settings_are_choices_and_an_attribute_names_them() -> None:
    class Attribute(fw.Program):
        solve = adaptive_best(
            fw.choice(fw.Predict(Tell), fw.ChainOfThought(Tell)), fw.integer(1, 8), enough=fw.real(0.2, 0.9)
        )

        def forward(self, question: str) -> Tell:
            return self.solve(question=question)

    names = {v.name for v in open_values(trace(Attribute()))}
    assert {"solve.n", "solve.another.threshold", "solve.draft", "solve.draft.Predict.demos"} <= names
    config = {"solve.n": 2, "solve.another.threshold": 0.9, "solve.draft": "Predict"}
    _, pipeline = run(Attribute(), saying("a", "b", "c"), sure(a=0.8, b=0.8), config)
    assert asked(pipeline) == ["draft", "score"] * 2


def test_its_record_goes_on_like_any_other() -> None:
    class Chain(fw.Program):
        solve = adaptive_best(fw.ChainOfThought(Tell, max_tokens=20), 3)
        panel = fw.Critic(Tell, max_tokens=20)

        def forward(self, question: str) -> Tell:
            return self.panel(self.solve(question=question))

    done, _ = run(Chain(), "ok")
    assert done.result.fields["story"] == "ok"
    many, _ = run(sampled(), "ok")
    assert many.result.fields["story"] == "ok"


def sampled() -> fw.Program:
    class Sampled(fw.Program):
        solve = adaptive_best(fw.Predict(Tell, max_tokens=20), 3)

        def forward(self, question: str) -> Tell:
            return fw.vote(fw.sample(self.solve, n=3)(question=question))

    return Sampled()


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("block", [1, 16])
@pytest.mark.parametrize("tightness", [None, 0.0, 0.3, 0.7])
def test_no_run_exceeds_its_bound_or_its_cap(p: float, block: int, tightness: float | None) -> None:
    program = adaptive_best(fw.ChainOfThought(Tell, max_tokens=30), 5, judge=fw.Verifier(Tell, name="v"))
    for said in ("ok", "x" * 300, "\n" * 100):
        settings: dict[str, Any] = {"cost": SHAPE, "block": block, "caps": {"question": 16}}
        plan = ready(program, said, **settings).plan
        cap = None if tightness is None else plan.least + tightness * (plan.worst - plan.least)
        pipeline = ready(program, said, scores=lambda prompt, choices: [p, 1 - p], cap=cap, **settings)
        done = pipeline.run(**Q)
        assert done.trace.flops <= min(pipeline.plan.bound, cap or float("inf")) * (1 + 1e-12)
        assert isinstance(done.result, Values)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: adaptive_best(fw.Predict(Tell), 0), TraceError, "`n >= 1`"),
        (lambda: adaptive_best(fw.Predict(Tell), fw.integer(0, 3)), TraceError, "`n >= 1`"),
        (lambda: adaptive_best(fw.Predict(Tell), True), TraceError, "`n >= 1`"),
        (lambda: adaptive_best(fw.Predict(Tell), enough=1.5), SignatureError, "threshold <= 1"),
        (lambda: adaptive_best(fw.Predict(Tell), enough=fw.real(0, 2)), SignatureError, "threshold <= 1"),
        (lambda: adaptive_best(fw.sample(fw.Predict(Tell), n=2)), TraceError, "a module is needed"),
        (lambda: adaptive_best(fw.Predict(Tell), judge="best"), TraceError, "a module is needed"),
        (lambda: adaptive_best(fw.Predict("question -> enough: bool")), SignatureError, "cannot be named 'enough'"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


class Judged(fw.Program):
    __doc__ = Another.__doc__
    draft = fw.Predict("question -> answer: int")
    judge: Any = Another("question -> answer: int")

    def forward(self, question: str) -> Any:
        return self.judge(self.draft(question=question))


Judged.__name__ = "Program"


def test_expansions() -> None:
    check_expansion(adaptive_best(fw.Predict("question -> answer: int")))
    check_expansion(Judged())


def test_it_travels(tmp_path: Path) -> None:
    def engine(*drafts: str) -> fw.ScriptedEngine:
        return fw.ScriptedEngine(saying(*drafts), scores=sure(a=0.2, b=0.8))

    saved = fw.lower(adaptive_best(fw.Predict(Tell)), engine=engine()).save(tmp_path / "best.fw")
    there = engine("a", "b", "c")
    assert fw.load(saved, engine=there)(**Q).story == "b" and there.requests == 4
