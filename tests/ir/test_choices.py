"""Domains take what lies in them and refuse the rest by name."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.errors import ConfigError
from flopwise.ir.choices import Categorical, DemoSet, Domain, Instructions, Integer, Real, Var, config_key

GOOD: list[tuple[Domain, Any, Any]] = [
    (Categorical(("a", "b")), "b", "b"),
    (Integer(1, 8), 8, 8),
    (Real(0.0, 1.0), 1, 1.0),
    (DemoSet(2), ["x", "y"], ("x", "y")),
    (Instructions(("Do it.", "Do.")), "Do.", "Do."),
    (
        Instructions(("Do it.",), 2),
        "{{ x }} <|im_end|>\n\tüé家",
        "{{ x }} <|im_end|>\n\tüé家",
    ),  # data, whatever it says
    (DemoSet(2), "knn:2", "knn:2"),
]
BAD: list[tuple[Domain, Any]] = [
    (Categorical(("a", "b")), "c"),
    (Integer(1, 8), 9),
    (Integer(1, 8), True),
    (Integer(1, 8), 2.0),
    (Real(0.0, 1.0), 1.1),
    (Real(0.0, 1.0), float("nan")),
    (Real(0.0, 1.0), "0.5"),
    (Real(0.0, 1.0), True),
    (DemoSet(2), ("x", "y", "z")),
    (DemoSet(2), ("x", "x")),
    (Instructions(("Do it.",)), "Do."),
    (Instructions(("Do it.",), 2), " \n"),
    (Instructions(("Do it.",), 2), 3),
    (Instructions(("Do it.",), 2), "x" * 10_000),
    (Instructions(("Do it.",), 2), "a\0b"),
    (Instructions(("Do it.",), 2), "a\ud800b"),
    (Instructions(("Do it.",), 2), "\ue000SloT0\ue001"),
    (DemoSet(2), "knn:3"),
    (DemoSet(2), "knn:0"),
    (DemoSet(2), "x"),
]


@pytest.mark.parametrize(("domain", "value", "given"), GOOD)
def test_what_lies_in_a_domain_is_taken(domain: Domain, value: Any, given: Any) -> None:
    got = Var("k", domain).resolve({"k": value})
    assert got == given and type(got) is type(given)


@pytest.mark.parametrize(("domain", "value"), BAD)
def test_what_does_not_is_refused_by_name(domain: Domain, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"'the.choice'"):
        Var("the.choice", domain).resolve({"the.choice": value})


def test_an_unassigned_choice_says_what_is_assigned() -> None:
    with pytest.raises(ConfigError, match=r"'k' is not assigned; the config has \['m', 'n'\]"):
        Var("k", Integer(1, 2)).resolve({"n": 1, "m": 2})


def test_equal_configs_have_equal_keys() -> None:
    assert config_key({"a": 1, "b": ("x",)}) == config_key({"b": ("x",), "a": 1}) != config_key({"a": 2, "b": ("x",)})
