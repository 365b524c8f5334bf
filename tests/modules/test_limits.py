"""Settings that are numbers or labels: what each check lets through, fixed or as a choice."""

from __future__ import annotations

from typing import Any

import pytest

import flopwise as fw
from flopwise.errors import SignatureError, TraceError
from flopwise.modules.limits import check_label, check_scale, check_seconds, check_share, check_whole


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "3", None, fw.integer(0, 4), fw.real(1, 4)])
def test_a_count_is_a_whole_number_from_the_least_up(value: Any) -> None:
    with pytest.raises(SignatureError, match=r"Kind: a whole number `most >= 1` is needed, .* or most=fw\.integer"):
        check_whole("Kind", "most", value, 1)
    check_whole("Kind", "most", fw.integer(1, 4), 1)


@pytest.mark.parametrize("value", [0, 5, fw.integer(1, 5)])
def test_a_count_may_have_a_largest_value(value: Any) -> None:
    with pytest.raises(TraceError, match="Kind: a whole number `1 <= k <= 4`"):
        check_whole("Kind", "k", value, 1, 4, error=TraceError)
    check_whole("Kind", "k", fw.integer(1, 4), 1, 4)


@pytest.mark.parametrize("value", [-1, fw.integer(0, 4)])
def test_a_fixed_count_is_no_choice(value: Any) -> None:
    with pytest.raises(SignatureError, match=r"`repairs >= 0` is needed, but got .*; write repairs=0$"):
        check_whole("Kind", "repairs", value, 0, fixed=True)
    check_whole("Kind", "repairs", 0, 0, fixed=True)


@pytest.mark.parametrize("value", [0, 1.5, True, "half", None, fw.real(0.0, 0.5), fw.real(0.5, 2.0)])
def test_a_share_is_above_0_and_at_most_1(value: Any) -> None:
    with pytest.raises(SignatureError, match="Kind: `0 < threshold <= 1`"):
        check_share("Kind", "threshold", value, some=True)
    check_share("Kind", "threshold", fw.real(0.1, 1.0), some=True)


@pytest.mark.parametrize("value", [-0.1, True, "1", float("inf"), float("nan"), fw.real(-1.0, 1.0)])
def test_a_scale_is_finite_and_not_below_0(value: Any) -> None:
    with pytest.raises(SignatureError, match="Kind: `scale >= 0`"):
        check_scale("Kind", "scale", value)
    check_scale("Kind", "scale", fw.real(0.0, 9.0))


@pytest.mark.parametrize("value", [0, -1.0, True, float("inf"), float("nan"), "5"])
def test_seconds_are_finite_and_above_0(value: Any) -> None:
    with pytest.raises(SignatureError, match="Kind: `seconds > 0`"):
        check_seconds("Kind", value)


@pytest.mark.parametrize("value", ["c", None, ["a"], fw.choice("a", "c"), fw.integer(0, 1)])
def test_a_label_is_one_of_those_known(value: Any) -> None:
    with pytest.raises(SignatureError, match=r"Kind: how must be one of .*; write how='a'"):
        check_label("Kind", "how", value, ("a", "b"))
    check_label("Kind", "how", fw.choice("b", "a"), ("a", "b"))
