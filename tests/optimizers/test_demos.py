"""Demonstrations one by one: how they are ranked, chosen and ordered, so that prompts of configs begin alike."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flopwise as fw
from flopwise.backends.runtime.radix import RadixTree
from flopwise.compiler.lower import lower
from flopwise.compiler.stages import optimise
from flopwise.ir.index import unit
from flopwise.ir.plan import Static
from flopwise.ir.request import pack
from flopwise.modules.program import trace
from flopwise.modules.worked import Demo
from flopwise.optimizers.rankings import diverse, rankings, steps
from flopwise.optimizers.selection import Selection
from flopwise.optimizers.space import Space

from .additions import Add, Adder, engine, rows

MOST = 4
FIELDS = {"reasoning": "Tens, then ones.", "program": "answer = 1"}


def demos(count: int) -> list[Demo]:
    return [Demo(str(i), {**row, **FIELDS, "reasoning": "so\n" * i}) for i, row in enumerate(rows(count))]


def selection(count: int = 12, most: int = MOST, seed: int = 0) -> Selection:
    pool = demos(count)
    around = [unit((random.Random(i).random(), 1.0, i % 3)) for i in range(count)]
    return Selection(most, rankings(pool, around, seed), most)


# rankings ---------------------------------------------------------------------------------------------------


def test_complex_ones_have_more_steps_and_short_ones_fewer_letters() -> None:
    pool = [Demo(str(i), {"question": "q", "reasoning": "Then.\n" * i}) for i in range(1, 6)]
    found = rankings(pool, (), 0)
    assert found["complex"] == tuple("54321") and found["short"] == tuple("12345")
    assert sorted(found["random"]) == list("12345") and "diverse" not in found


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"reasoning": "First this.\n\nThen that.\n"}, 2),
        ({"reasoning": "First this. Then that? So 3.5!"}, 3),
        ({"program": "a = 1\nb = 2\nanswer = a + b"}, 3),
        ({"plan": "Count them"}, 1),
        ({"question": "One. Two. Three.", "answer": 3}, 0),
    ],
)
def test_steps_are_lines_or_else_sentences_of_what_the_module_adds(fields: dict[str, Any], count: int) -> None:
    assert steps(Demo("d", fields)) == count


def test_diverse_ones_are_each_the_farthest_from_those_before() -> None:
    corners = {"a": (1, 0, 0), "b": (1, 0.1, 0), "c": (0, 1, 0), "d": (0, 1, 0.1), "e": (0, 0, 1)}
    pool = [Demo(id, {}) for id in corners]
    first = [d.id for d in diverse(pool, [unit(v) for v in corners.values()])][:3]
    assert len({"ab".find(id) >= 0 or ("cd".find(id) >= 0 and 2) for id in first}) == 3


@given(st.lists(st.tuples(*[st.integers(-3, 3)] * 3).filter(any), min_size=1, max_size=9))
def test_a_diverse_order_is_a_permutation_and_always_the_same(points: list[tuple[int, ...]]) -> None:
    pool = [Demo(str(i), {}) for i in range(len(points))]
    vectors = [unit(p) for p in points]
    order = [d.id for d in diverse(pool, vectors)]
    assert sorted(order) == sorted(d.id for d in pool)
    assert order == [d.id for d in diverse(pool, vectors)]


# choosing ---------------------------------------------------------------------------------------------------


def test_a_set_grown_by_one_begins_with_the_smaller() -> None:
    chosen = selection()
    for how in chosen.rankings:
        sizes = [value_of(chosen, k, how) for k in range(MOST + 1)]
        assert all(more[: len(less)] == less for less, more in pairwise(sizes))


def value_of(chosen: Selection, k: int, how: str, **keys: float) -> Any:
    given_ = {
        "d.k": k,
        **({"d.how": how} if k else {}),
        **{f"d.key.{id}": keys.get(f"_{id}", 0.0) for id in chosen.pool},
    }
    return chosen.suggest(optuna.trial.FixedTrial(given_), "d")  # type: ignore[arg-type]  # it suggests like a trial


def test_keys_pick_the_demos_one_by_one() -> None:
    chosen = selection()
    assert set(value_of(chosen, 2, "picked", _7=0.9, _3=0.8, _5=0.1)) == {"7", "3"}
    assert value_of(chosen, 0, "picked") == ()
    assert value_of(chosen, 3, "nearest") == "knn:3"


@given(st.sets(st.sampled_from([str(i) for i in range(12)]), min_size=1, max_size=MOST), st.randoms())
def test_a_set_has_one_order_that_begins_as_a_ranking_does(ids: set[str], chance: random.Random) -> None:
    chosen = selection()
    mixed = list(ids)
    chance.shuffle(mixed)
    order = chosen.ordered(mixed)
    assert order == chosen.ordered(ids) and set(order) == ids and len(order) == len(ids)
    longest = max(sum(1 for i in range(len(r)) if set(r[: i + 1]) <= ids) for r in chosen.rankings.values())
    assert any(order[:longest] == r[:longest] for r in chosen.rankings.values())


@given(st.integers(0, 400))
def test_parameters_and_values_are_two_forms_of_one(seed: int) -> None:
    chosen = selection()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    value = chosen.suggest(study.ask(), "d")
    again = chosen.suggest(optuna.trial.FixedTrial(chosen.params("d", value)), "d")  # type: ignore[arg-type]  # as above
    assert again == value


def test_neighbours_change_one_thing_and_keep_the_beginning() -> None:
    chosen = selection()
    leader = chosen.rankings["complex"][:3]
    near = list(chosen.neighbours(leader))
    assert near[0] == "knn:3" and near[1] == chosen.rankings["diverse"][:3]
    swapped, grown = near[2:]
    assert swapped[:2] == leader[:2] and grown[:3] == leader and len(grown) == 4
    assert list(chosen.neighbours(leader)) == near and len(set(near)) == len(near)
    assert list(chosen.neighbours("knn:2"))[-2:] == ["knn:3", "knn:1"]
    assert list(chosen.neighbours(chosen.rankings["short"][:4]))[-1] == chosen.rankings["short"][:3]
    assert list(Selection().neighbours(())) == [] == list(Selection(0, {"short": ()}).neighbours(()))


def test_without_demonstrations_there_is_nothing_to_choose() -> None:
    study = optuna.create_study()
    assert Selection().suggest(study.ask(), "d") == () and Selection().params("d", ()) == {}


# prompts ----------------------------------------------------------------------------------------------------


def tokens(sets: list[tuple[str, ...]], pool: dict[str, Demo]) -> int:
    """Distinct prompt tokens of all configs of a search: its radix tree."""
    graph = trace(Adder())
    space, model, tree = Space(graph), engine(), RadixTree()
    for structure in space.structures():
        for shown in sets:
            config = {**structure, "n": 2, f"draft.{structure['draft']}.demos": shown}
            plan = lower(optimise(graph, config, pool).result, model)
            for prompt in plan.prompts.values():
                if prompt.pieces and isinstance(prompt.pieces[0], Static):
                    tree.insert(pack(prompt.pieces[0].ids))
    return tree.distinct


@pytest.mark.parametrize("seed", [0, 3])
def test_the_radix_tree_of_a_search_is_smaller_for_it(seed: int) -> None:
    chosen = selection(seed=seed)
    by_id = {d.id: d for d in demos(12)}
    leader = chosen.rankings["complex"][:3]
    sets = [chosen.rankings[how][:k] for how in chosen.rankings for k in (1, 2, 4)]
    sets += [leader, *(v for v in chosen.neighbours(leader) if isinstance(v, tuple))]
    in_any_order = [tuple(random.Random(f"{seed}{v}").sample(v, len(v))) for v in sets]
    assert tokens(sets, by_id) < 0.9 * tokens(in_any_order, by_id)


def test_a_user_s_own_demos_keep_their_order() -> None:
    asked = fw.ScriptedEngine(default="3", settings=engine().settings)
    given_ = [{"question": f"{i}?", "answer": i} for i in "213"]
    text = next(iter(fw.lower(fw.Predict(Add, demos=given_), engine=asked).prompts().values()))
    assert text.index("2?") < text.index("1?") < text.index("3?")
