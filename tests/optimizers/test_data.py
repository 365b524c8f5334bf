import copy
import json
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from flopwise.errors import DataError
from flopwise.ir.schemas import STRING, Field, Schema, canonical
from flopwise.ir.types import type_json
from flopwise.optimizers.data import Example, content_hash, data_hash, load

INTEGER = canonical({"type": "integer"})
SOLVE = Schema("Solve", "Solve it.", (Field("question", STRING),), (Field("answer", INTEGER),))
ROWS = [{"question": "1+1?", "answer": 2}, {"question": "2+2?", "answer": 4}]


def one(schema: dict[str, Any], value: Any, **options: Any) -> Any:
    given_schema = Schema("S", "", (Field("x", canonical(schema), **options),), ())
    return load([{"x": value}], given_schema)[0]["x"]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_the_same_examples_from_every_kind_of_source(tmp_path):
    import pandas
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "d.parquet")
    sources = [
        ROWS,
        iter(ROWS),
        load(ROWS, SOLVE),
        pandas.DataFrame(ROWS),
        write(tmp_path / "d.jsonl", "\n".join(map(json.dumps, ROWS)) + "\n\n"),
        str(write(tmp_path / "d.csv", "\ufeffquestion,answer\n1+1?,2\n2+2?,4\n")),
        tmp_path / "d.parquet",
    ]
    for source in sources:
        loaded = load(source, SOLVE)
        assert [dict(e.fields) for e in loaded] == ROWS
        assert [type(e.answer) for e in loaded] == [int, int]
        assert [e.row for e in loaded] == [1, 2]
        assert data_hash(loaded) == data_hash(load(ROWS, SOLVE))


def test_reads_a_hugging_face_dataset():
    from datasets import Dataset, DatasetDict

    data = Dataset.from_list(ROWS)
    assert load(data, SOLVE) == load(ROWS, SOLVE)
    with pytest.raises(DataError, match=r"pass one of \['train'\]"):
        load(DatasetDict({"train": data}), SOLVE)


def test_an_example_reads_by_attribute_and_item():
    example = load([{"question": "q", "answer": "18", "id": "gsm-1", "level": 3}], SOLVE)[0]
    assert (example.answer, example["answer"], example.level, example["id"]) == (18, 18, 3, "gsm-1")
    assert example.id == content_hash({"question": "q", "answer": 18, "id": "gsm-1", "level": 3})[:16]
    assert example.inputs(SOLVE) == {"question": "q"} and example.outputs(SOLVE) == {"answer": 18}
    with pytest.raises(AttributeError, match="no field 'anser'; it has"):
        example.anser
    with pytest.raises(TypeError):
        example.fields["answer"] = 1
    assert copy.copy(example) == example


@pytest.mark.parametrize(
    ("schema", "value", "read"),
    [
        ({"type": "integer"}, "18", 18),
        ({"type": "integer"}, 18.0, 18),
        ({"type": "number"}, "1.5", 1.5),
        ({"type": "boolean"}, "true", True),
        ({"type": "string"}, 18, "18"),
        ({"type": "string"}, "", ""),
        ({"enum": [1, 2]}, "2", 2),
        ({"type": "array", "items": {"type": "string"}}, '["a", "b"]', ["a", "b"]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, float("nan"), None),
    ],
)
def test_values_are_coerced_by_their_type(schema, value, read):
    got = one(schema, value)
    assert got == read and type(got) is type(read)


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"type": "integer"}, "$1,200", "list, row 1: field 'x' must be integer, but got '\\$1,200'"),
        ({"type": "integer"}, 1.5, "must be integer, but got 1.5"),
        ({"type": "string"}, 1.5, "must be string, but got 1.5"),
        ({"type": "string"}, True, "must be string, but got True"),
        ({"type": "number"}, "inf", "must be number, but got 'inf' .a finite number"),
        ({"enum": ["yes", "no"]}, "maybe", '"yes" | "no", but got \'maybe\''),
        ({"type": "integer"}, None, "'x' .integer. is missing: its value is None"),
        ({"type": "integer"}, "", "is missing: its value is ''"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_place(schema, value, said):
    with pytest.raises(DataError, match=said):
        one(schema, value)


def test_an_optional_input_may_be_missing():
    assert one({"type": "integer"}, "", optional=True) is None
    optional = Schema("S", "", (Field("x", STRING, optional=True),), ())
    assert load([{"y": 1}], optional)[0].inputs(optional) == {"x": None}


def test_a_missing_column_names_the_nearest_one():
    with pytest.raises(DataError, match=r"dev, row 1: field 'answer' .*nearest column is 'Answers'; it has"):
        load([{"question": "q", "Answers": 3}], SOLVE, name="dev")


def test_labels_may_be_left_out_where_that_is_said():
    rows = [{"question": "q", "answer": float("nan")}]
    with pytest.raises(DataError, match="'answer'"):
        load(rows, SOLVE)
    assert load(rows, SOLVE, outputs_required=False)[0].outputs(SOLVE) == {}
    with pytest.raises(DataError, match="must be integer"):
        load([{"question": "q", "answer": "x"}], SOLVE, outputs_required=False)


def test_frames_hold_nan_numpy_and_extra_columns():
    import numpy
    import pandas

    tags = Schema("S", "", (Field("tags", canonical({"type": "array", "items": {"type": "integer"}})),), ())
    frame = pandas.DataFrame({"tags": [numpy.array([1, 2])], "day": pandas.to_datetime(["2024-01-02"]), "z": [None]})
    assert load(frame, tags)[0].tags == [1, 2]
    assert load(frame, tags)[0].id == load(frame, tags)[0].id
    with pytest.raises(DataError, match=r"DataFrame, row 2: field 'answer' .integer. is missing"):
        load(pandas.DataFrame({"question": ["a", "b"], "answer": [1, None]}), SOLVE)
    twice = pandas.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(DataError, match="column names must differ"):
        load(twice, SOLVE)


def test_a_repeated_row_is_kept_once_and_counted():
    loaded = load([ROWS[0], ROWS[1], dict(reversed(ROWS[0].items()))], SOLVE)
    assert (len(loaded), loaded.dropped, [e.row for e in loaded]) == (2, 1, [1, 2])
    other = load([ROWS[0], {**ROWS[0], "answer": 3}], SOLVE)
    assert (len(other), other.dropped) == (2, 0)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("d.jsonl", '{"question": "q", "answer": 1}\n{"question"\n', "d.jsonl, row 2: not JSON"),
        ("d.jsonl", "[1]\n", "d.jsonl, row 1: a JSON object is needed"),
        ("d.jsonl", "\n", "at least one example is needed"),
        ("d.csv", "question,answer\nq,1,2\n", "row 1: 2 cells are needed, but it has 3"),
        ("d.csv", "question,answer\nq\n", "row 1: field 'answer' .integer. is missing"),
        ("d.csv", "question,answer\n", "at least one example"),
        ("d.parquet", "no", "not a Parquet file"),
        ("d.txt", "no", "a file ending in .jsonl, .csv, .parquet"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, name, text, said):
    with pytest.raises(DataError, match=said):
        load(write(tmp_path / name, text), SOLVE)


def test_what_is_no_source_is_refused(tmp_path):
    for source, said in [
        (tmp_path / "none.csv", "cannot be read"),
        (3, "but got 3"),
        ([3], "row 1: a mapping"),
        ([], "none"),
    ]:
        with pytest.raises(DataError, match=said):
            load(source, SOLVE)
    latin = tmp_path / "latin.csv"
    latin.write_bytes("question,answer\ncaf\u00e9,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="cannot be read"):
        load(latin, SOLVE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_the_id_is_of_the_content_not_of_its_order(fields):
    reordered = dict(reversed(list(fields.items())))
    assert Example.of(fields) == Example.of(reordered, row=7)
    assert Example.of(fields) != Example.of({**fields, "\0new": 1})


@given(st.sets(st.text()))
def test_a_set_has_one_hash(items):
    assert content_hash(items) == content_hash(sorted(items, key=json.dumps))


class _Opaque:
    pass


def test_a_value_without_content_has_a_stable_hash():
    assert content_hash([_Opaque(), b"\xff"]) == content_hash([_Opaque(), b"\xff"])


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"question": "a \ud800", "answer": 1}, "question"),
        ({"question": "a", "answer": 1, "notes": ["b", {"c": "\udfff"}]}, "notes"),
    ],
)
def test_half_of_a_surrogate_pair_is_named_by_set_row_and_field(row: dict[str, object], field: str) -> None:
    with pytest.raises(DataError, match=f"dev, row 2: field '{field}' holds half of a surrogate pair"):
        load([{"question": "fine \U0001f600", "answer": 1}, row], SOLVE, name="dev")


class Mood(Enum):
    GLAD = "glad"


class Town(BaseModel):
    name: str
    id: UUID


def test_labels_may_be_members_models_and_what_json_spells_as_text():
    number = UUID("12345678-1234-5678-1234-567812345678")
    town = {"name": "Oslo", "id": str(number)}
    kinds = {"mood": Mood, "town": Town, "key": UUID, "path": Path, "span": timedelta}
    schema = Schema("S", "", (), tuple(Field(n, type_json(kind, n)) for n, kind in kinds.items()))
    plain = {"mood": "glad", "town": town, "key": str(number), "path": "a/b", "span": "P1D"}
    objects = {
        "mood": Mood.GLAD, "town": Town(name="Oslo", id=number), "key": number, "path": Path("a/b"),
        "span": timedelta(days=1),
    }  # fmt: skip
    assert data_hash(load([objects], schema)) == data_hash(load([plain], schema))


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("d.jsonl", f'{{"answer": {"1" * 4301}}}', "row 2: cannot be read: a whole number may have at most 4,300"),
        ("d.jsonl", f'{{"question": "q", "answer": {DEEP}}}', "row 2: cannot be read: lists and .* at most 200 deep"),
        ("d.csv", "q," + "1" * 131_073, "line 3: a cell may have at most 131,072 .*save the rows as JSONL"),
        ("d.csv", f'q,"{DEEP[:99]}', "line 3: not CSV: unexpected end of data; quote the cell"),
        ("d.csv", f"q,{'[' * 300 + ']' * 300}", "row 2: field 'answer' .*at most 200 deep; make"),
        ("d.csv", "q," + "1" * 4301, "row 2: field 'answer' .*at most 4,300 digits; give longer ones as text"),
    ],
)
def test_data_beyond_what_is_read_is_refused_by_file_and_line(tmp_path, name, text, said):
    first = "question,answer\nq,1\n" if name == "d.csv" else '{"question": "q", "answer": 1}\n'
    with pytest.raises(DataError, match=rf"{name}, {said}"):
        load(write(tmp_path / name, first + text + "\n"), SOLVE)


def test_data_in_memory_beyond_what_is_read_is_refused_by_row():
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for value, said in ((deep, "at most 200 deep"), ([10**5000], "field 'note' cannot be read: .* 4,300 digits")):
        with pytest.raises(DataError, match=f"list, row 2: .*{said}"):
            load([ROWS[0], {**ROWS[1], "note": value}], SOLVE)
    assert load([{**ROWS[0], "note": [10**4000]}], SOLVE)[0].note == [10**4000]
