"""Programs of several engines from end to end: searched, saved, loaded and run, each engine counted by its own cost."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedEngine
from flopwise.backends.runtime.meter import Meter
from flopwise.compiler.artifact import read
from flopwise.errors import ArtifactError, BudgetError, EngineError, StudyError
from flopwise.ir.request import GenerateRequest
from tests.engines import PairEngine, large, small


class Add(fw.Signature):
    """Add the numbers."""

    question: str = fw.Input()
    answer: int = fw.Output()


class Adder(fw.Program):
    draft = fw.Predict(Add, engine=fw.choice("main", "large"), demos=())
    n = fw.integer(1, 3)
    judge = fw.optional(fw.Verifier(Add, engine="judge"))

    def forward(self, question: str) -> Add:
        return fw.vote(self.judge(fw.sample(self.draft, n=self.n)(question=question)), field="answer")


ROWS = [{"question": f"What is {a} plus {b}?", "answer": a + b} for a in range(2, 9) for b in range(3, 9)]


def _sum(prompt: str) -> int:
    a, b = re.findall(r"(\d+) plus (\d+)", prompt)[-1]
    return int(a) + int(b)


def poor(prompt: str, index: int) -> str:
    """Right on one question in three."""
    return str(_sum(prompt) if _sum(prompt) % 3 == 0 else 1)


def right(prompt: str, index: int) -> str:
    return str(_sum(prompt))


def engines(**settings: Any) -> dict[str, Any]:
    """A cheap main engine that is mostly wrong, a dear one that is right, and a judge."""
    named = {"large": large(right, settings=settings), "judge": large(default="7", settings={"name": "referee"})}
    return {"engine": small(poor), "engines": named}


def compile_(budget: fw.Budget, configs: int = 10, **options: Any) -> fw.Pipeline[..., Any]:
    given: Any = {**engines(), **options}
    return fw.compile(
        Adder(),
        dev=ROWS,
        metric="exact:answer",
        budget=budget,
        limits=fw.Limits(configs=configs),
        progress=False,
        **given,
    )


def test_the_search_decides_which_engine_drafts(tmp_path: Path) -> None:
    given = engines()
    found = compile_(fw.Budget(search="1 GFLOP"), **given)
    assert found.config["draft.engine"] == "large" and found.report["holdout"]["score"]["mean"] == 1.0
    spent = found.report["spent"]
    assert set(spent["engines"]) >= {"main", "large"} and sum(spent["engines"].values()) == spent["spent"]
    # What a query may take is bounded by the engine it asks, and the cheap one is a point of the front.
    assert found.plan.model == "small" and found.plan.models.named["large"].name == "large"
    cheapest = found.at(mean=min(p.flops for p in found.front))
    assert cheapest.config["draft.engine"] == "main" and cheapest.plan.worst < found.plan.worst / 10

    found.save(tmp_path / "adder.fw")
    noted = read(tmp_path / "adder.fw").facts["provenance"]
    assert noted["model"] == "small" and noted["engines"]["large"]["model"] == "large"
    assert set(noted["engines"]) == {"large", "judge"} and noted["engines"]["large"]["engine"] == "PairEngine"
    again = fw.load(tmp_path / "adder.fw", **given)
    assert again.plan.hash == found.plan.hash
    result = again(question="What is 5 plus 6?")
    assert result.answer == 11 and result.trace.flops <= again.plan.bound
    assert "large" in result.trace.by_engine() and "main" not in result.trace.by_engine()
    assert again.at(mean=min(p.flops for p in again.front))(question="What is 5 plus 6?").answer == 1


def test_load_asks_for_the_engines_that_it_needs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = engines()
    compile_(fw.Budget(search="1 GFLOP"), configs=2, **given).save(tmp_path / "adder.fw")  # each engine, no judge
    main, named = given["engine"], given["engines"]
    with pytest.raises(EngineError, match=r"names the engine 'large', which is not given .* --engine large=SPEC"):
        fw.load(tmp_path / "adder.fw", main)
    with pytest.raises(EngineError, match=r"'other' is given, but no module names it; they name .*large"):
        fw.load(tmp_path / "adder.fw", main, engines={**named, "other": main})
    assert not caplog.records
    fw.load(tmp_path / "adder.fw", main, engines={"large": named["large"]})  # the judge is of other points alone
    other = large(right, settings={"name": "another"})
    loaded = fw.load(tmp_path / "adder.fw", main, engines={"large": other})
    assert "here as 'large' it runs on another" in caplog.text
    assert loaded(question="What is 5 plus 6?").answer == 11


def test_a_plan_that_comes_out_different_on_the_same_models_is_refused(tmp_path: Path) -> None:
    class Other(PairEngine):
        def __init__(self, *script: Any, **options: Any) -> None:
            super().__init__(*script, **options)
            self._tokenizer = small().tokenizer

    given = engines()
    compile_(fw.Budget(search="1 GFLOP"), configs=2, **given).save(tmp_path / "adder.fw")
    same = Other(right, settings=given["engines"]["large"].settings)
    with pytest.raises(ArtifactError, match="its plan has hash"):
        fw.load(tmp_path / "adder.fw", given["engine"], engines={"large": same})


class WatchedMeter(Meter):
    most = 0.0

    def hold(self, flops: float) -> None:
        super().hold(flops)
        self.most = max(self.most, self.spent + self.held)


@pytest.mark.parametrize("cap", [40e3, 150e3, 600e3])
def test_the_search_cap_holds_over_all_engines(cap: float, monkeypatch: pytest.MonkeyPatch) -> None:
    meters: list[WatchedMeter] = []

    def watched(cap: float | None = None) -> WatchedMeter:
        meters.append(WatchedMeter(cap))
        return meters[-1]

    monkeypatch.setattr("flopwise.optimizers.search.Meter", watched)
    given = engines(latency=lambda _: asyncio.sleep(0))
    try:
        report = compile_(fw.Budget(search=cap), **given).report
        assert report["spent"]["spent"] <= cap
    except BudgetError as error:
        assert "search" in str(error)
    (meter,) = meters
    assert 0 < meter.most <= cap and meter.spent <= cap
    assert meter.held == pytest.approx(0.0, abs=1e-6)
    # What was spent is what the engines were really asked, each at its own price.
    assert sum(meter.engines.values()) == pytest.approx(meter.spent)


def test_the_cap_per_query_holds_over_all_engines() -> None:
    class Panel(fw.Program):
        draft = fw.Predict(Add, demos=())
        judge = fw.Verifier(Add, engine="judge")

        def forward(self, question: str) -> Add:
            return fw.best(self.judge(fw.sample(self.draft, n=6)(question=question)))

    given: Any = {"engine": small(poor), "engines": {"judge": large(default="7")}}
    free = fw.lower(Panel(), **given)
    cap = (free.plan.least + free.plan.worst) / 2
    held = fw.lower(Panel(), budget=fw.Budget(per_query=cap), **given)
    records: Any = held.batch(ROWS, progress=False)
    traces = [r.trace for r in records]
    assert all(t.flops <= cap for t in traces)
    drawn = {sum(r.node.startswith("draft") for r in t.requests) for t in traces}
    judged = {int(t.by_engine()["judge"]["requests"]) for t in traces}
    assert drawn == judged and max(drawn) < 6  # the judge's price is held with each draft
    assert all(0 < t.by_engine()["main"]["flops"] < t.by_engine()["judge"]["flops"] for t in traces)
    with pytest.raises(BudgetError, match="needs at least"):
        fw.lower(Panel(), budget=fw.Budget(per_query=free.plan.least * 0.9), **given)


def test_the_static_bound_holds_of_what_one_model_says_and_another_reads() -> None:
    class Told(fw.Signature):
        """Tell."""

        question: str = fw.Input()
        story: str = fw.Output()

    class Both(fw.Program):
        teller = fw.Predict(Told, max_tokens=30, engine="large", demos=())
        critic = fw.Critic(Told, max_tokens=20, demos=())

        def forward(self, question: str) -> Told:
            return self.critic(self.teller(question=question))

    def long(prompt: str, index: int) -> str:
        return "ab" * 200

    pipeline = fw.lower(Both(), engine=small(long), engines={"large": large(long)}, caps={"question": 20})
    trace = pipeline(question="Why?").trace
    assert trace.flops <= pipeline.plan.bound
    sent = dict(trace.prompts())
    read_by_main = sent["critic.critique"]
    assert "ab" * 30 in read_by_main  # thirty tokens there, sixty here: nothing was cut
    assert read_by_main.startswith("<|im_start|>") and sent["teller.answer"].startswith("[turn]")


def test_each_engine_is_held_to_its_own_limit_and_two_names_of_one_engine_to_one() -> None:
    class Busy:
        now = most = 0

        async def __call__(self, request: object) -> None:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0)
            self.now -= 1

    one, two = Busy(), Busy()
    panel = fw.Ensemble(*(fw.Predict(Add, engine=name, name=name, demos=()) for name in ("main", "large", "again")))
    shared = large(right, settings={"latency": two, "in_flight": 2})
    main = small(poor, settings={"latency": one, "in_flight": 3})
    pipeline = fw.lower(panel, engine=main, engines={"large": shared, "again": shared})
    records: Any = pipeline.batch(ROWS[:20], progress=False)
    assert [r.answer for r in records] == [row["answer"] for row in ROWS[:20]]
    assert (one.most, two.most) == (3, 2)


def test_draws_of_two_names_for_one_engine_are_different_draws() -> None:
    panel = fw.Ensemble(
        *(fw.Predict(Add, engine=name, name=name, temperature=0.8, demos=()) for name in ("main", "again"))
    )
    engine = small(default="7")
    fw.lower(panel, engine=engine, engines={"again": engine})(question="1 plus 1")
    asked = [(r.stream, r.first_index) for r in engine.asked if isinstance(r, GenerateRequest)]
    assert len(set(asked)) == 2


def test_samples_of_two_models_do_not_mix_in_a_bank(tmp_path: Path) -> None:
    panel = fw.Predict(Add, engine="large", demos=())
    bank = fw.SampleBank(tmp_path / "samples.db")
    one, other = small(right, settings={"name": "one"}), small(poor, settings={"name": "other"})
    answers = []
    for engine in (one, other, one):
        pipeline = fw.lower(panel, engine=small(default="7"), engines={"large": engine}, bank=bank)
        answers.append(pipeline(question="4 plus 4").answer)
    assert answers == [8, 1, 8] and (one.requests, other.requests) == (1, 1)
    bank.close()


def test_names_and_engines_must_match() -> None:
    given = engines()
    with pytest.raises(EngineError, match=r"'draft.*' names the engine 'large', which is not given \(there is judge "):
        compile_(fw.Budget(search="1 GFLOP"), engines={"judge": given["engines"]["judge"]})
    with pytest.raises(EngineError, match="'spare' is given, but no module names it; they name judge, large"):
        compile_(fw.Budget(search="1 GFLOP"), engines={**given["engines"], "spare": small()})
    with pytest.raises(EngineError, match=r"'judge.Verifier' names the engine 'judge', .*main alone.*'judge': ...\}"):
        fw.lower(Adder(), engine=small(), config={"n": 2, "judge": "Verifier"})
    assert fw.lower(Adder(), engine=small(poor)).plan.models.named == {}  # this config asks the main one alone
    with pytest.raises(EngineError, match="they name none"):
        fw.lower(fw.Predict(Add), engine=small(), engines={"judge": small()})
    with pytest.raises(EngineError, match="'main' is what modules call the engine given as engine="):
        fw.lower(fw.Predict(Add), engine=small(), engines={"main": small()})
    with pytest.raises(EngineError, match="a mapping such as"):
        fw.lower(fw.Predict(Add), engine=small(), engines=small())  # type: ignore[call-overload]


def test_an_unknown_cost_refuses_a_search_budget_whichever_role_it_has() -> None:
    given = engines(cost=None)
    with pytest.raises(BudgetError, match="'large' of the engine 'large' has none; declare its"):
        compile_(fw.Budget(search="1 GFLOP"), **given)


def test_a_study_is_of_all_its_engines(tmp_path: Path) -> None:
    given = engines()
    first = compile_(fw.Budget(search="1 GFLOP"), study=tmp_path / "study", **given)
    asked = [e.requests for e in _all(given)]
    second = compile_(fw.Budget(search="1 GFLOP"), study=tmp_path / "study", **given)
    assert second.config == first.config and [e.requests for e in _all(given)] == asked
    assert second.report["spent"]["engines"] == first.report["spent"]["engines"]
    given["engines"]["judge"] = large(default="7", settings={"name": "stranger"})
    with pytest.raises(StudyError, match=r"engines.judge: was scripted:referee, is scripted:stranger"):
        compile_(fw.Budget(search="1 GFLOP"), study=tmp_path / "study", **given)


def _all(given: dict[str, Any]) -> list[ScriptedEngine]:
    return [given["engine"], *given["engines"].values()]


def test_a_real_model_beside_a_scripted_one(tmp_path: Path) -> None:
    class Panel(fw.Program):
        draft = fw.Predict(Add, demos=())
        judge = fw.Verifier(Add, engine="judge")

        def forward(self, question: str) -> Add:
            return fw.best(self.judge(fw.sample(self.draft, n=2)(question=question)))

    real = fw.engine("openvino:smollm2-135m-instruct", cache_gb=1)
    scripted = large(default="7")
    try:
        for main, judge in ((real, scripted), (scripted, real)):
            pipeline = fw.lower(Panel(), engine=main, engines={"judge": judge})
            pipeline.save(tmp_path / main.model.name)
            again = fw.load(tmp_path / main.model.name, main, engines={"judge": judge})
            trace = again(question="What is 2 plus 3?").trace
            assert again.plan.hash == pipeline.plan.hash and trace.flops <= again.plan.bound
            flops = {name: counts["flops"] for name, counts in trace.by_engine().items()}
            assert set(flops) == {"main", "judge"} and sum(flops.values()) == pytest.approx(trace.flops)
            for asked in trace.requests:
                cost: Any = (main if asked.engine == "main" else judge).model.cost
                completions = (asked.completion,) if asked.completion else ()
                assert asked.flops == cost.request(len(asked.ids), asked.cached, completions)
            assert all("2 plus 3" in text for _, text in trace.prompts())
    finally:
        real.close()
