"""What an index finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.ir.index import Index, Item, dot, key_text, unit, weighted

ITEMS = tuple(Item(id, id, (id,), unit(v)) for id, v in {"x": (1, 0), "d": (1, 1), "y": (0, 1), "z": (0, 2)}.items())
INDEX = Index("lexical", "f", 0.0, ("text",), ITEMS)


def found(vector: tuple[float, ...], k: int, key: str = "", index: Index = INDEX) -> list[str]:
    return [item.id for item in index.nearest(unit(vector), key, k)]


def test_the_nearest_come_first_and_of_equals_the_earlier() -> None:
    assert found((1, 0.1), 2) == ["x", "d"]
    assert found((0, 1), 3) == ["y", "z", "d"]


def test_an_item_never_answers_its_own_query() -> None:
    assert found((0, 1), 2, key="y") == ["z", "d"]


def test_weights_say_what_counts() -> None:
    flat = Index("lexical", "f", 0.0, ("text",), ITEMS, (1.0, 0.0))
    assert found((1, 5), 1, index=flat) == ["x"] != found((1, 5), 1)


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3).filter(lambda v: max(map(abs, v)) > 1e-3))
def test_a_unit_vector_has_length_one_whatever_it_is_made_of(vector: list[float]) -> None:
    made = unit(vector)
    assert dot(made, made) == pytest.approx(1.0, abs=1e-4)
    assert unit(made) == pytest.approx(made, abs=2e-5)
    assert weighted(made, ()) == made


def test_a_query_s_text_is_its_values_a_line_each() -> None:
    assert key_text(["a b", 3, None, True, [1, 2]]) == "a b\n3\ntrue\n[1, 2]"
    assert unit([0.0, 0.0]) == (0.0, 0.0)
