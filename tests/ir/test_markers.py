"""Fields after markers: what belongs to which, and what does not count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flopwise.ir.markers import END, marked_fields

lines = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20).filter(lambda s: "[[" not in s)


def test_each_field_ends_at_the_next_marker() -> None:
    text = f"Sure.\n[[ ## why ## ]]\n\none\n two\n\n[[ ## answer ## ]] 4\n{END}\nbye"
    assert marked_fields(text) == {"why": "one\n two", "answer": "4", "completed": "bye"}


def test_of_two_markers_of_a_name_the_first_counts() -> None:
    assert marked_fields("[[ ## a ## ]]\n1\n[[ ## a ## ]]\n2") == {"a": "1"}


def test_only_what_begins_a_line_is_a_marker() -> None:
    assert marked_fields("  [[ ## a ## ]]  \nsee [[ ## b ## ]]") == {"a": "see [[ ## b ## ]]"}
    assert marked_fields("[[ ## a b ## ]]\n[[## a ##]]") == {}


@given(st.dictionaries(st.from_regex(r"[a-z]\w{0,8}", fullmatch=True), st.lists(lines, max_size=3), max_size=4))
def test_what_is_written_is_read(fields: dict[str, list[str]]) -> None:
    text = "\n\n".join("\n".join([f"[[ ## {name} ## ]]", *said]) for name, said in fields.items())
    assert marked_fields(text) == {name: "\n".join(said).strip() for name, said in fields.items()}
