"""Lowering: caps, contexts, what is cold, and the same plan for the same program."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.compiler.lengths import MADE_CAP, SCALAR_CAP
from flopwise.errors import GraphError
from flopwise.ir.plan import Carry, Fill
from flopwise.modules.control import map_, op, when
from flopwise.modules.judging.verifier import Verifier
from flopwise.modules.program import Program
from flopwise.modules.prompting.chain_of_thought import ChainOfThought
from flopwise.modules.prompting.predict import Predict
from flopwise.modules.sampling import sample
from flopwise.modules.selection.reducers import vote
from flopwise.modules.tools.program_of_thought import ProgramOfThought
from tests.programs import PROGRAMS, SHAPE, Refining, Solve, Solver, is_even, ready


def caps_of(source: Any, config: Any = None, **caps: int) -> dict[str, set[int]]:
    """The cap of each slot, its leading space left out, by the field that it ends with."""
    found: dict[str, set[int]] = {}
    for prompt in ready(source, config=config, caps=caps).plan.prompts.values():
        for piece in prompt.pieces:
            if isinstance(piece, Fill):
                name = str(piece.ref.path[-1] if piece.ref.path else piece.ref.node.rsplit(".", 1)[-1])
                found.setdefault(name, set()).add(piece.cap - len(piece.lead))
    return found


def test_an_inputs_cap_follows_it_through_records_and_regions() -> None:
    assert caps_of(Solver(), {"n": 3, "judge": "Verifier"}, question=77) == {"question": {77}, "answer": {SCALAR_CAP}}


def test_caps_of_made_values_come_from_what_makes_them() -> None:
    @op(cap=9)
    def short(answer: int) -> str:
        return str(answer)

    @op
    def free(answer: int) -> str:
        return str(answer)

    class Made(Program):
        tell = Predict("a: str, b: str, c: str, d: str, e: str -> answer: int")
        label = Predict(f"question -> kind: Literal['{'x' * 90}', 'y']")
        think = ChainOfThought(Solve, max_tokens=33)
        code = ProgramOfThought(Solve, max_tokens=44)

        def forward(self, question: str) -> Any:
            thought, code = self.think(question=question), self.code(question=question)
            return self.tell(
                a=short(thought.answer),
                b=free(thought.answer),
                c=thought.reasoning,
                d=when(is_even(code.answer), self.label(question=question).kind, short(code.answer)),
                e=code.answer,
            )

    caps = caps_of(Made(), question=50)
    assert caps["question"] == {50}
    assert caps["short"] == {9} and caps["free"] == {MADE_CAP} and caps["reasoning"] == {33}
    assert caps["when"] == {90}  # the wider side
    assert caps["answer"] == {SCALAR_CAP}


def test_regions_in_regions_have_the_caps_of_what_they_are_bound_to() -> None:
    class Inner(Program):
        draft = ChainOfThought(Solve, max_tokens=21)
        judge = Predict("reasoning: str, other: str, question: str -> answer: int")

        def forward(self, question: str) -> Any:
            drafts = sample(self.draft, n=2)(question=question)

            def each(a: Any) -> Any:
                one = lambda b: self.judge(reasoning=a.reasoning, other=b.reasoning, question=question)  # noqa: E731
                return vote(map_(one, drafts, cap=2))

            return vote(map_(each, drafts, cap=2))

    caps = caps_of(Inner(), question=19)
    assert caps["reasoning"] == {21}
    assert set.union(*(v for k, v in caps.items() if "question" in k)) == {19}


def test_prompts_carried_from_round_to_round_grow_and_are_counted() -> None:
    repaired = ready(ProgramOfThought("q -> a: int, b: int", max_tokens=30, repairs=3), caps={"q": 10})
    prompt = repaired.plan.prompts["ProgramOfThought.repair/rewrite"]
    assert isinstance(prompt.pieces[0], Carry)
    added = sum(len(p.ids) if not isinstance(p, Fill) else p.cap for p in prompt.pieces[1:])  # type: ignore[union-attr]
    first = repaired.plan.prompts["ProgramOfThought.program"].most
    assert prompt.most == first + 30 + 2 * (added + 30) + added


def test_a_prompt_that_cannot_fit_is_refused_with_what_would_help() -> None:
    most = max(p.most for p in ready(Predict(Solve), caps={"question": 50}).plan.prompts.values())
    ready(Predict(Solve), caps={"question": 50}, context=most + 32)
    with pytest.raises(GraphError, match=rf"'Predict.answer': .*up to {most} tokens and 32 of output.*caps="):
        ready(Predict(Solve), caps={"question": 50}, context=most + 31)


def test_a_later_round_that_cannot_fit_is_refused_too() -> None:
    program = ProgramOfThought("q -> a: int, b: int", max_tokens=30, repairs=3)
    most = ready(program, caps={"q": 10}).plan.prompts["ProgramOfThought.repair/rewrite"].most
    ready(program, caps={"q": 10}, context=most + 30)
    with pytest.raises(GraphError, match=r"ProgramOfThought.repair/rewrite"):
        ready(program, caps={"q": 10}, context=most + 29)


def test_static_prefixes_in_common_are_cold_once() -> None:
    one = ready(Predict(Solve), cost=SHAPE).plan
    config = {"draft": "Predict", "n": 4, "judge": "off"}
    several = ready(Solver(), config=config, cost=SHAPE).plan
    assert one.cold == several.cold == SHAPE.request(one.prompts["Predict.answer"].static, 0, ())
    both = ready(Solver(), config={**config, "judge": "Verifier"}, cost=SHAPE).plan
    assert one.cold < both.cold < 2 * SHAPE.request(max(p.static for p in both.prompts.values()), 0, ())


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_same_program_has_the_same_plan(program: type[Program]) -> None:
    first, second = (ready(program(), cost=SHAPE).plan for _ in range(2))
    assert first == second and first.hash == second.hash and first.as_text() == second.as_text()
    assert {name for name, node in first.graph.walk() if node.prompt} == set(first.prompts)


def test_streams_tell_call_sites_apart() -> None:
    plan = ready(Refining(), config={"critic.temperature": 0.5}).plan
    sampled = [n for n, node in plan.graph.walk() if node.prompt and getattr(node.attrs, "decoding", None)]
    assert set(plan.streams) <= set(sampled) and plan.streams


def test_a_verifier_asks_for_one_token() -> None:
    class Checked(Program):
        draft = Predict(Solve)
        judge = Verifier(Solve)

        def forward(self, question: str) -> Any:
            return self.judge(self.draft(question=question))

    plan = ready(Checked(), caps={"question": 10}).plan
    prompt = plan.prompts["judge.judge"]
    assert plan.bounds["judge.judge"].worst == prompt.most - prompt.static
