"""NeuroSymbolic: facts before rules, a real solver, what it says in the next turn, and typed outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

import flopwise as fw
from flopwise.backends.runtime.executor import Executable, Run
from flopwise.backends.runtime.meter import Meter
from flopwise.backends.runtime.sandbox import Sandbox
from flopwise.backends.runtime.scheduler import Scheduler
from flopwise.compiler.passes.specialise import open_values
from flopwise.errors import SignatureError
from flopwise.ir.record import Failure, Values
from flopwise.modules.program import trace
from flopwise.modules.tools.neuro_symbolic import NeuroSymbolic

from ...programs import SHAPE, Ready, ready
from ..expansion import check_expansion
from ..hostile import check_bounds

FACTS = "left(a,b). left(b,c)."
RULES = "west(X,Y) :- left(X,Y).\nwest(X,Z) :- west(X,Y), left(Y,Z).\nanswer(N) :- N = #count {X : west(a,X)}."
UNSAFE = "answer(N) :- west(a,X)."
Q = {"question": "How many are right of a?"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox()
    yield made
    made.close()


def run(sandbox: Sandbox, pipeline: Ready, **inputs: Any) -> Run:
    async def work() -> Run:
        scheduler = Scheduler(pipeline.engine, Meter())
        return await Executable(pipeline.plan, scheduler, sandbox).run(inputs)

    return asyncio.run(work())


def writing(rules: str = RULES, *rewritten: str, facts: str = FACTS) -> Callable[[str, int], str]:
    """Facts, rules, and programs that are written again; it goes on after each as models do."""

    def say(prompt: str, index: int) -> str:
        said = prompt.count("The solver says:")
        if said:
            return f"{rewritten[min(said, len(rewritten)) - 1]}\n```\nNow it is right."
        return f"{rules}\n```\nThat is it." if prompt.endswith("% rules\n") else f"{facts}\n% rules\nanswer(0)."

    return say


def logic(of: Any = "question -> answer: int", **settings: Any) -> NeuroSymbolic[Any]:
    return NeuroSymbolic(of, **settings)


def names(run: Run) -> list[str]:
    return [r.node.rsplit("/")[-1].rsplit(".")[-1] for r in run.trace.requests]


def test_it_expands_as_it_says() -> None:
    check_expansion(logic())


def test_facts_then_rules_in_one_turn_then_the_solver(sandbox: Sandbox) -> None:
    done = run(sandbox, ready(logic(), writing()), **Q)
    assert isinstance(done.result, Values) and done.result.fields["answer"] == 2
    assert done.result.fields["logic_program"] == f"% facts\n{FACTS}\n% rules\n{RULES}"
    assert names(done) == ["facts", "rules"]
    facts, rules = (text for _, text in done.trace.prompts())
    assert facts.endswith("<|im_start|>assistant\n```asp\n% facts\n")
    assert rules == f"{facts}{FACTS}\n% rules\n"
    assert "- one atom answer(X) where X is of type integer" in facts
    assert facts.index("answer set program") < facts.index("Question: How many")


def test_the_model_is_shown_what_the_solver_says(sandbox: Sandbox) -> None:
    done = run(sandbox, ready(logic(), writing(UNSAFE, f"{FACTS}\n% rules\n{RULES}")), **Q)
    assert isinstance(done.result, Values) and done.result.fields["answer"] == 2
    assert names(done) == ["facts", "rules", "rewrite"]
    last = done.trace.prompts()[-1][1]
    assert f"\n% rules\n{UNSAFE}<|im_end|>\n<|im_start|>user\nThe solver says:\n" in last
    assert "line 4: error: unsafe variables" in last and "'N' is unsafe" in last
    assert last.endswith("corrected.<|im_end|>\n<|im_start|>assistant\n```asp\n% facts\n")


@pytest.mark.parametrize(("repairs", "calls"), [(0, 2), (1, 3), (3, 5)])
def test_rounds_of_repair_are_bounded_and_then_it_fails(sandbox: Sandbox, repairs: int, calls: int) -> None:
    done = run(sandbox, ready(logic(repairs=repairs), writing(UNSAFE, UNSAFE)), **Q)
    assert isinstance(done.result, Failure) and "the program failed" in done.result.reason
    assert "unsafe" in done.result.reason and len(done.trace.requests) == calls


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ("answer(X) :- lft(a,X).", "no atom answer(...); write a rule that derives it\nline 4: atom does not occur"),
        (":- left(a,b).", "no answer set"),
        ("1 {answer(1..2)} 1.", "several answer sets"),
        ("answer(b).", "`answer` must be of type integer, but is 'b'"),
        ("answer(1). answer(2).", "must have one atom of `answer`, but has 2"),
        ("#script(python)\nimport os\n#end.\nanswer(1).", "line 4: #script is not allowed"),
    ],
)
def test_every_way_to_fail_is_mended(sandbox: Sandbox, rules: str, says: str) -> None:
    done = run(sandbox, ready(logic(), writing(rules, f"{FACTS}\n{RULES}")), **Q)
    assert says in done.trace.prompts()[-1][1]
    assert isinstance(done.result, Values) and done.result.fields["answer"] == 2


class Seating(fw.Signature):
    """Seat the guests."""

    guests: list[str] = fw.Input()
    wishes: str = fw.Input()
    order: list[str] = fw.Output(desc="from left to right")
    first: Literal["Ann", "Bob", "Cy"] = fw.Output()
    possible: bool = fw.Output()


def test_several_inputs_and_typed_outputs(sandbox: Sandbox) -> None:
    rules = (
        "1 {order(P,G) : P = 1..3} 1 :- guest(G). :- order(P,G), order(P,H), G != H.\n"
        ":- next(G,H), order(P,G), order(Q,H), |P-Q| != 1. :- order(1,G), not host(G).\n"
        "first(G) :- order(1,G). possible :- first(G). :- order(2,cy)."
    )
    script = writing(rules, facts="guest(ann;bob;cy). next(ann,cy). next(cy,bob). host(bob).")
    inputs = {"guests": ["Ann", "Bob", "Cy"], "wishes": "Bob first"}
    failed = run(sandbox, ready(logic(Seating, repairs=0), script), **inputs)
    assert isinstance(failed.result, Failure)  # cy has to sit in the middle
    script = writing(rules.replace(" :- order(2,cy).", ""), facts=script("", 0).split("\n")[0])
    done = run(sandbox, ready(logic(Seating), script), **inputs)
    assert isinstance(done.result, Values)
    fields = done.result.fields
    assert (fields["order"], fields["first"], fields["possible"]) == (["bob", "cy", "ann"], "Bob", True)
    asked = done.trace.prompts()[0][1]
    assert "- order(Item) for each item (string), or order(Place,Item) with whole numbers" in asked
    assert "from left to right" in asked and "- possible if and only if it is true" in asked
    assert 'X is of type "Ann" | "Bob" | "Cy"' in asked


def test_worked_examples_show_whole_programs(sandbox: Sandbox) -> None:
    first = run(sandbox, ready(logic(), writing()), **Q).result
    assert isinstance(first, Values)
    demo = {"question": "How many?", "logic_program": first.fields["logic_program"]}
    text = run(sandbox, ready(logic(demos=[demo]), writing()), **Q).trace.prompts()[0][1]
    assert f"<|im_start|>assistant\n```asp\n% facts\n{FACTS}\n% rules\n{RULES}\n```<|im_end|>" in text


def test_repairs_are_a_choice() -> None:
    class Deciding(fw.Program):
        solver = logic(repairs=fw.integer(0, 3))

        def forward(self, question: str) -> Any:
            return self.solver(question=question)

    assert "solver.repairs" in {v.name for v in open_values(trace(Deciding()))}
    assert "rewrite" not in ready(Deciding(), "x", {"solver.repairs": 0}).plan.graph.as_text()
    assert "at most 2 trips" in ready(Deciding(), "x", {"solver.repairs": 2}).plan.graph.as_text()


def test_no_script_exceeds_the_bound() -> None:
    check_bounds(logic(max_tokens=30, repairs=2), Q, lambda prompt: False)


def test_only_facts_and_rules_are_what_the_method_is(sandbox: Sandbox) -> None:
    plan = ready(logic(), writing(UNSAFE), cost=SHAPE).plan
    done = run(sandbox, ready(logic(), writing(UNSAFE), cost=SHAPE, cap=plan.least), **Q)
    assert names(done) == ["facts", "rules"]  # repairs come with fuel


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: logic(repairs=-1), "`repairs >= 0` or fw.integer"),
        (lambda: logic(seconds=0), "`seconds > 0` must hold"),
        (lambda: logic("question -> Answer: int"), "begin with a small letter, but got 'Answer'"),
        (lambda: logic("question -> logic_program"), "cannot be named 'logic_program'"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        make()


def test_it_travels(tmp_path: Path) -> None:
    engine = fw.ScriptedEngine(writing(UNSAFE, f"{FACTS}\n{RULES}"))
    path = fw.lower(logic(), engine=engine).save(tmp_path / "a.fw")
    loaded = fw.load(path, engine=engine)
    try:
        assert loaded(**Q).answer == 2
    finally:
        loaded.close()
