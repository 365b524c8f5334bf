"""Lowering for several engines: each request in its own engine's ids, limits and cost; the spec keeps them apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

import flopwise as fw
from flopwise.compiler.lower import lower
from flopwise.compiler.retokenised import most_as_read
from flopwise.compiler.spec import verify
from flopwise.compiler.stages import complete, optimise
from flopwise.errors import BudgetError, EngineError, GraphError
from flopwise.ir.engines import ByEngine
from flopwise.ir.flops import FlatCost
from flopwise.ir.graph import Graph
from flopwise.ir.nodes import Generate, Node, Op, Type
from flopwise.ir.plan import Carry, Fill, Plan, Static
from flopwise.ir.serial import graph_from_json, to_json
from flopwise.modules.program import trace
from flopwise.modules.prompting.plan_and_solve import PlanThenSolve
from tests.engines import PairTokenizer, large, small
from tests.programs import Solve, Tell

from .graph_parser import parse_graph


class Judged(fw.Program):
    draft = fw.ChainOfThought(Solve, max_tokens=40)
    judge = fw.Verifier(Solve, engine="judge")

    def forward(self, question: str) -> Solve:
        return fw.best(self.judge(fw.sample(self.draft, n=3)(question=question)))


class Told(fw.Program):
    """A judge reads what the small model tells at length."""

    teller = fw.Predict(Tell, max_tokens=60)
    critic = fw.Critic(Tell, max_tokens=20, engine="judge")

    def forward(self, question: str) -> Tell:
        return self.critic(self.teller(question=question))


def graph_of(program: Any, config: Mapping[str, Any] | None = None) -> Graph:
    graph = trace(program)
    return optimise(graph, complete(graph, dict(config or {}))).result


def two(main: Any = None, judge: Any = None) -> ByEngine[Any]:
    return ByEngine(main or small(default="7"), {"judge": judge or large(default="7")})


def lowered(program: Any, engines: ByEngine[Any] | None = None, **options: Any) -> Plan:
    return lower(graph_of(program), engines or two(), **options)


def test_each_prompt_is_in_the_ids_of_its_own_engine() -> None:
    plan = lowered(Judged())
    for name, prompt in plan.prompts.items():
        ids = [i for piece in prompt.pieces if isinstance(piece, Static) for i in piece.ids]
        assert prompt.engine == ("judge" if "judge" in name else None)
        assert all((i >= 1000 or i < 2) == (prompt.engine == "judge") for i in ids), name
    assert {name: model.name for name, model in plan.models.items()} == {"main": "small", "judge": "large"}


def test_each_bound_is_by_the_cost_of_its_own_engine() -> None:
    free = two(judge=large(default="7", settings={"cost": FlatCost(1e-9)}))
    plan, without = lowered(Judged()), lowered(Judged(), free)
    judged = {name: b for name, b in plan.bounds.items() if "judge" in name}
    assert judged and all(b.worst > 0 for b in judged.values())
    for name, bound in plan.bounds.items():
        if name not in judged:
            assert bound.worst == without.bounds[name].worst
    assert plan.worst == pytest.approx(without.worst + plan.bounds["judge.each"].worst)
    one = judged["judge.each/judge.judge"]
    assert one.worst % 100 == 0 and one.worst > 100 * plan.prompts["judge.each/judge.judge"].static


def test_static_prefixes_are_prefilled_once_on_each_engine() -> None:
    plan = lowered(Judged())
    statics: dict[str | None, set[tuple[int, ...]]] = {}
    for prompt in plan.prompts.values():
        head = prompt.pieces[0]
        statics.setdefault(prompt.engine, set()).add(head.ids if isinstance(head, Static) else ())
    longest = {engine: max(map(len, ids)) for engine, ids in statics.items()}
    assert plan.cold == longest[None] + 100 * longest["judge"]


def test_a_text_of_another_model_has_room_in_the_tokens_of_the_one_that_reads_it() -> None:
    bytes_, pairs = small().tokenizer, PairTokenizer()
    assert most_as_read(60, pairs, pairs) == 60 and most_as_read(60, bytes_, small().tokenizer) == 60
    assert most_as_read(60, pairs, bytes_) in range(178, 182)  # two bytes a pair, and half as many again
    assert most_as_read(60, bytes_, pairs) == 90  # never fewer
    told = lowered(Told(), two(main=large(default="7"), judge=small(default="7")))
    caps = {str(p.ref): p.cap for p in told.prompts["critic.critique"].pieces if isinstance(p, Fill)}
    assert caps["%teller.record.story"] in range(178, 183)  # and a space before it
    alike = lowered(Told(), two(judge=small(default="7")))
    caps = {str(p.ref): p.cap for p in alike.prompts["critic.critique"].pieces if isinstance(p, Fill)}
    assert caps["%teller.record.story"] == 61


def test_the_context_is_that_of_the_engine_that_is_asked() -> None:
    short = two(judge=large(default="7", settings={"context": 200}))
    with pytest.raises(GraphError, match=r"judge.each/judge.judge.* exceed the context of 'large', 200 tokens"):
        lowered(Judged(), short)


def test_an_engine_without_a_cost_is_refused_a_budget_by_its_name() -> None:
    unknown = two(judge=large(default="7", settings={"cost": None}))
    with pytest.raises(BudgetError, match=r"'large' of the engine 'judge' has none; declare its .* flops_per_token"):
        lowered(Judged(), unknown, cap=1e9)
    assert lowered(Judged(), unknown).worst > 0
    # What no module asks need not be priced.
    assert lower(graph_of(fw.Predict(Solve)), unknown, cap=1e9).models.named == {}


def test_a_name_without_an_engine_is_refused_by_the_modules_path() -> None:
    with pytest.raises(EngineError, match=r"'judge.each/judge.judge' names the engine 'judge', .*main alone.*engines="):
        lower(graph_of(Judged()), small(default="7"))


def test_turns_are_written_out_only_where_the_engines_template_does_not_append() -> None:
    class Shouting(PairTokenizer):
        """Leaves out what the model said before, as templates of thinking models do."""

        def render_chat(self, messages: Any, generate: bool) -> str:
            said = [m for i, m in enumerate(messages) if m[0] != "assistant" or i == len(messages) - 1]
            return super().render_chat([(r, f"{len(said)}{c}") for r, c in said], generate)

    class Both(fw.Program):
        one = PlanThenSolve(Solve, max_tokens=20)
        other = PlanThenSolve(Solve, max_tokens=20, engine="judge")

        def forward(self, question: str) -> Solve:
            return self.one(question=str_of(self.other(question=question).answer))

    engine: Any = large(default="7")
    engine._tokenizer = Shouting()
    graph = graph_of(Both())
    with pytest.raises(GraphError, match="leaves out a turn"):  # written out it is, and there the turn is missed
        lower(graph, two(judge=engine))
    plan = lower(graph, two())
    continued = [n for n, p in plan.prompts.items() if isinstance(p.pieces[0], Carry)]
    assert any(n.startswith("one.") for n in continued) and any(n.startswith("other.") for n in continued)


@fw.op
def str_of(answer: int) -> str:
    return str(answer)


APART = """graph program(question):
  %a: text = generate() n=1 T=0 max=8 on judge from %question
      | [user]
      | {question}
  %b: text = generate() n=1 T=0 max=9 on judge from %a
      | (goes on from %a)
      | [user]
      | Go on.
  return %b"""


def _moved(graph: Graph, name: str, engine: str | None) -> Graph:
    def move(node: Any) -> Any:
        if node.name == name:
            return replace(node, attrs=replace(node.attrs, engine=engine))
        return node

    return graph.replace(nodes=tuple(map(move, graph.nodes))).map_bodies(lambda body: _moved(body, name, engine))


def test_the_spec_refuses_to_go_on_across_engines() -> None:
    graph = parse_graph(APART)
    verify(graph)
    with pytest.raises(GraphError, match=r"'b' .* for engine 'main' that goes on from %a, which engine 'judge'"):
        verify(_moved(graph, "b", None))


def test_the_spec_looks_into_regions() -> None:
    graph = parse_graph(
        """graph program(question):
  %a: text = generate() n=1 T=0 max=8 on judge from %question
      | [user]
      | {question}
  %many: list[text] = loop(%a) repeat at most 3 trips (1 required) with p
    graph many(p):
      %b: text = generate() n=1 T=0.7 max=8 on judge from %p
          | (goes on from %p)
          | [user]
          | Go on.
      return %b
  return %many"""
    )
    graph = graph.map_bodies(lambda body: body.replace(nodes=tuple(map(_text_input, body.nodes))))
    verify(graph)
    with pytest.raises(GraphError, match=r"'many' .* engine 'other' that goes on from %a, which engine 'judge'"):
        verify(_moved(graph, "b", "other"))


def _text_input(node: Node) -> Node:
    return replace(node, type=Type("text")) if node.op is Op.INPUT else node


@pytest.mark.parametrize("name", ["main", "a b", ""])
def test_the_spec_refuses_what_is_no_name(name: str) -> None:
    with pytest.raises(GraphError, match="a name is letters, digits"):
        verify(_moved(parse_graph(APART.split("  %b")[0] + "  return %a"), "a", name))


def test_hashes_of_graphs_without_named_engines_say_nothing_of_engines() -> None:
    graph = graph_of(fw.Predict(Solve))
    assert all(n.attrs.engine is None for n in graph.nodes if isinstance(n.attrs, Generate))
    assert "engine" not in str(to_json(graph))
    named = graph_of(fw.Predict(Solve, engine="judge"))
    assert named.hash != graph.hash and graph_from_json(to_json(named)) == named
