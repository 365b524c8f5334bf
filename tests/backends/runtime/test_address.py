"""Addresses of studies in PostgreSQL."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.backends.runtime.address import Address, is_address
from flopwise.errors import StudyError


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_text_names_a_study(name: str) -> None:
    address = Address.parse(f"postgresql://me@db:5433/searches?study={quote(name, safe='')}&sslmode=require")
    assert address == Address("postgresql://me@db:5433/searches?sslmode=require", name, 30.0)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("postgres://db/x", "postgresql://db/x"),
        ("postgresql+psycopg://db/x?study=a", "postgresql://db/x"),
        ("postgresql:///x?study=a", "postgresql:///x"),
        ("postgresql:///x?host=/tmp/a%20b&lease=2.5", "postgresql:///x?host=%2Ftmp%2Fa%20b"),
    ],
)
def test_what_is_flopwises_is_taken_out_of_it(text: str, url: str) -> None:
    address = Address.parse(text)
    assert address.url == url
    assert address.driver_url == url.replace("postgresql:", "postgresql+psycopg:", 1)
    assert address.study == ("a" if "study" in text else "flopwise")
    assert address.lease == (2.5 if "lease" in text else 30.0)


def test_a_password_is_never_shown() -> None:
    address = Address.parse("postgresql://me:se%40cret@db/searches?study=solver")
    assert "se%40cret" in address.url
    assert str(address) == "'solver' in postgresql://me@db/searches"


@pytest.mark.parametrize("lease", ["0", "-3", "nan", "inf", "soon", ""])
def test_a_lease_is_a_number_of_seconds(lease: str) -> None:
    with pytest.raises(StudyError, match="`lease >= 1` seconds must hold"):
        Address.parse(f"postgresql://db/x?lease={lease}")


def test_a_folder_is_no_address() -> None:
    assert not is_address("solver.study") and not is_address("C:\\study")
    assert is_address("postgresql://db/x")
