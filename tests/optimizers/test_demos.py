"""Demo sets: the prompts of a search's configs begin with the same demonstrations as far as they can."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flopwise as fw
from flopwise.backends.runtime.radix import RadixTree
from flopwise.compiler.lower import lower
from flopwise.compiler.stages import optimise
from flopwise.ir.plan import Static
from flopwise.ir.request import pack
from flopwise.modules.program import trace
from flopwise.modules.worked import Demo
from flopwise.optimizers.demos import candidate_sets, nested
from flopwise.optimizers.space import Space

from .additions import Add, Adder, engine, rows

Sets = dict[str, tuple[str, ...]]
MOST = 4
FIELDS = {"reasoning": "Tens, then ones.", "program": "answer = 1"}


def demos(count: int) -> list[Demo]:
    return [Demo(str(i), {**row, **FIELDS, "reasoning": "so " * i}) for i, row in enumerate(rows(count))]


def prefixes(sets: Sets) -> int:
    """Different prefixes of the sets: what a cache would hold of them, in demonstrations."""
    return len({chosen[:i] for chosen in sets.values() for i in range(1, len(chosen) + 1)})


@given(st.dictionaries(st.text("abc", min_size=1), st.lists(st.sampled_from("uvwxyz"), unique=True).map(tuple)))
def test_nesting_changes_nothing_but_the_order(sets: Sets) -> None:
    ordered = nested(sets, list("uvwxyz"))
    assert {k: sorted(v) for k, v in ordered.items()} == {k: sorted(v) for k, v in sets.items()}
    backwards = {k: v[::-1] for k, v in reversed(sets.items())}
    assert nested(backwards, list("uvwxyz")) == ordered  # by what is in them, not by how they were given
    assert prefixes(ordered) <= sum(len(v) for v in sets.values())


@given(st.lists(st.sets(st.sampled_from("uvwxyz"), min_size=1), min_size=2))
def test_what_most_sets_have_comes_first_in_those(chosen: list[set[str]]) -> None:
    ordered = nested({str(i): tuple(sorted(c)) for i, c in enumerate(chosen)}, list("uvwxyz"))
    counts = {id: sum(id in c for c in chosen) for id in "uvwxyz"}
    widest = min(counts, key=lambda id: (-counts[id], id))
    assert all(ids[0] == widest for ids in ordered.values() if widest in ids)


def test_two_sets_with_one_in_common_begin_with_it() -> None:
    assert nested({"a": ("x", "y"), "b": ("z", "y")}, ["x", "y", "z"]) == {"a": ("y", "x"), "b": ("y", "z")}


def test_a_small_random_set_is_in_a_large_one() -> None:
    for seed in range(20):
        sets = candidate_sets(demos(12), MOST, seed)
        large = [set(v) for k, v in sets.items() if k.startswith("4-")]
        assert all(any(set(ids) <= other for other in large) for ids in sets.values())
        assert sets == candidate_sets(demos(12), MOST, seed)
        assert len({frozenset(ids) for ids in sets.values()}) == len(sets)


def test_where_there_are_no_more_than_are_shown_the_shortest_are_the_one_large_set() -> None:
    sets = candidate_sets(demos(4), 4, 0)
    assert [label for label in sets if label.startswith("4-")] == ["4-shortest"]


def tokens(sets: Sets, pool: dict[str, Demo]) -> int:
    """Distinct prompt tokens of all configs of a search: its radix tree."""
    choices = {f"draft.{name}.demos": sets for name in ("Predict", "ChainOfThought", "ProgramOfThought")}
    graph = trace(Adder())
    space, model, tree = Space(graph, choices), engine(), RadixTree()
    for structure in space.structures():
        for shown in sets.values():
            demo_choice = f"draft.{structure['draft']}.demos"
            config = {**structure, "n": 2, demo_choice: shown}
            plan = lower(optimise(graph, config, pool).result, model)
            for prompt in plan.prompts.values():
                if prompt.pieces and isinstance(prompt.pieces[0], Static):
                    tree.insert(pack(prompt.pieces[0].ids))
    return tree.distinct


@pytest.mark.parametrize("seed", [0, 3])
def test_the_radix_tree_of_a_search_is_smaller_for_it(seed: int) -> None:
    pool = demos(12)
    by_id = {d.id: d for d in pool}
    sets = candidate_sets(pool, MOST, seed)
    in_any_order = {k: tuple(random.Random(f"{seed}{k}").sample(v, len(v))) for k, v in sets.items()}
    unrelated = {k: tuple(random.Random(f"{seed}{k}").sample(list(by_id), len(v))) for k, v in sets.items()}
    ours, other, apart = (tokens(s, by_id) for s in (sets, in_any_order, unrelated))
    assert ours < 0.9 * min(other, apart)


def test_a_user_s_own_demos_keep_their_order() -> None:
    asked = fw.ScriptedEngine(default="3", settings=engine().settings)
    given_ = [{"question": f"{i}?", "answer": i} for i in "213"]
    text = next(iter(fw.lower(fw.Predict(Add, demos=given_), engine=asked).prompts().values()))
    assert text.index("2?") < text.index("1?") < text.index("3?")
