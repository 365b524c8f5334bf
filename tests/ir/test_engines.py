"""A value for each engine of a program."""

from __future__ import annotations

import pytest

from flopwise.ir.engines import ByEngine, by_engine, in_graph, is_engine_name


def test_a_value_is_found_by_the_name_that_a_node_has() -> None:
    values = ByEngine("small", {"judge": "large"})
    assert (values.of(None), values.of("judge")) == ("small", "large")
    assert list(values.items()) == [("main", "small"), ("judge", "large")]
    assert values.map(len) == ByEngine(5, {"judge": 5})
    with pytest.raises(KeyError):
        values.of("other")


def test_one_value_stands_for_a_main_engine_alone() -> None:
    values: ByEngine[int] = by_engine(1)
    again: ByEngine[int] = by_engine(values)
    assert values == ByEngine(1) and again is values


def test_what_two_names_stand_for_counts_once() -> None:
    one, other = [1], [1]  # equal, and not the same
    found = ByEngine(one, {"again": one, "else": other}).distinct()
    assert len(found) == 2 and found[0] is one and found[1] is other


def test_the_main_engine_has_no_name_in_a_graph() -> None:
    assert (in_graph("main"), in_graph(None), in_graph("judge")) == (None, None, "judge")


@pytest.mark.parametrize(("text", "fits"), [("judge", True), ("big-7b_2", True), ("7b", False), ("a b", False)])
def test_names_fit_the_command_line(text: object, fits: bool) -> None:
    assert is_engine_name(text) is fits and not is_engine_name(None) and not is_engine_name("")
