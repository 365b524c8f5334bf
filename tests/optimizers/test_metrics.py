import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, create_model
from pydantic import Field as ModelField

from flopwise.errors import BudgetError, MetricError
from flopwise.ir.record import Failure, Values
from flopwise.ir.schemas import ANYTHING, STRING, Field, Schema
from flopwise.ir.types import type_json
from flopwise.modules.signature import Output, Signature
from flopwise.optimizers.comparing import read_number, token_f1
from flopwise.optimizers.data import Example, load
from flopwise.optimizers.metrics import contains, exact_match, f1, numeric_match
from flopwise.optimizers.scoring import bound, metric_name, named, score

EXAMPLE = Example.of({"question": "how many?", "answer": 16, "unit": "Eggs"}, row=4)
SCHEMA = Schema("S", "", (Field("question", STRING),), (Field("answer", STRING), Field("unit", STRING)))


def run(metric, prediction, example=EXAMPLE):
    return asyncio.run(score(metric, example, prediction))


def of(metric, label, guess):
    return metric(Example.of({"a": label}), {"a": guess})


@pytest.mark.parametrize(
    ("label", "guess", "same"),
    [
        (" Paris", "paris ", True),
        ("STRASSE", "straße", True),
        ("a b", "a  b", False),
        (18, 18.0, True),
        (18, "18", False),
        (1, True, False),
        (True, True, True),
        (["A", {"k": " x"}], ("a", {"k": "X "}), True),
        ([1, 2], [2, 1], False),
        ({"A"}, {"a "}, True),
        (None, None, True),
        ("x", None, False),
    ],
)
def test_exact_match_compares_typed_values(label, guess, same):
    assert of(exact_match("a"), label, guess) == float(same)


class Answer(BaseModel):
    question: str = ""
    answer: int
    unit: str
    failed: bool = True


@pytest.mark.parametrize(
    "prediction",
    [
        {"answer": 16, "unit": "eggs"},
        SimpleNamespace(answer=16, unit="eggs"),
        Values({"answer": 16, "unit": "eggs"}),
        Answer(answer=16, unit="eggs"),
        Example.of({"answer": 16, "unit": "eggs"}),
    ],
)
def test_a_metric_without_a_field_compares_every_output(prediction):
    metric = bound(exact_match(), SCHEMA)
    assert run(metric, prediction) == 1.0
    assert run(metric, prediction, Example.of({**EXAMPLE.fields, "unit": "hens"})) == 0.0


def test_a_metric_is_bound_before_anything_is_run():
    with pytest.raises(MetricError, match="needs a field"):
        run(exact_match(), {"answer": 16})
    with pytest.raises(MetricError, match=r"one of the outputs .'answer', 'unit'"):
        bound(f1("question"), SCHEMA)
    assert bound(f1("unit"), SCHEMA) == f1("unit")
    assert bound(max, SCHEMA) is max


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$1,234.50", 1234.5), ("16 eggs", 16), ("5 * 3 = 15.", 15), ("-3", -3), ("(-3)", -3), ("-$5", -5),
        ("$-5", -5), ("\N{MINUS SIGN}7", -7), ("5-3", 3), ("x2", 2), ("1e3", 1000), (".5", 0.5), ("1/2", 0.5),
        ("3 1/2 cups", 3.5), ("-1/4", -0.25), ("50%", 50), ("#### 1,000,000", 1e6), ("\\boxed{16}", 16),
        ("1/0", None), ("none", None), ("", None), (None, None), (True, None), (7, 7), (2.5, 2.5),
        (float("nan"), None), ("1e999", None), ("12, 13", 13), ("1,23", 23),
    ],
)  # fmt: skip
def test_numbers_are_read_out_of_texts(text, number):
    assert read_number(text) == number


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{}", "${:,}", "so {:,} eggs.", "= {:+d}", "{}.00"]))
def test_a_whole_number_is_read_however_it_is_written(number, form):
    assert read_number(form.format(number)) == number


@given(st.text())
def test_reading_a_number_never_fails(text):
    value = read_number(text)
    assert value is None or abs(value) < float("inf")


def test_numeric_match_allows_a_tolerance():
    metric = numeric_match("a", tolerance=0.01)
    assert [of(metric, 100, g) for g in ("about 101", 101.1, "no idea", None)] == [1.0, 0.0, 0.0, 0.0]
    assert [of(metric, 0, g) for g in (0.009, 0.011)] == [1.0, 0.0]
    with pytest.raises(MetricError, match="label must hold a number, but got 'many'"):
        of(metric, "many", 3)


def test_f1_counts_tokens_as_squad_does():
    assert of(f1("a"), "the Eiffel Tower", "Eiffel tower!") == 1.0
    assert of(f1("a"), "red green", "green blue black") == pytest.approx(2 * 1 / (2 + 3))
    assert of(f1("a"), ["no", "green tea"], "Green tea") == 1.0
    assert [of(f1("a"), "", g) for g in ("", "x", None)] == [1.0, 0.0, 0.0]
    with pytest.raises(MetricError, match="a text or a list of texts"):
        of(f1("a"), None, "x")


@given(st.text(), st.text())
def test_f1_is_symmetric_and_one_with_itself(a, b):
    assert token_f1(a, b) == token_f1(b, a)
    assert 0 <= token_f1(a, b) <= 1 == token_f1(a, a)


def test_contains_looks_for_whole_words():
    found = [of(contains("a"), "New York", g) for g in ("in new\nyork, NY", "newyork", "New Yorkers", None)]
    assert found == [1.0, 0.0, 0.0, 0.0]
    assert (of(contains("a"), "$5", "costs $5."), of(contains("a"), 1, "16"), of(contains("a"), ["x", 16], "16")) == (
        1,
        0,
        1,
    )
    with pytest.raises(MetricError, match="empty label"):
        of(contains("a"), " ", "x")


def test_a_score_is_awaited_and_made_a_float():
    async def slow(example, prediction):
        return prediction["answer"] == example.answer

    assert run(slow, {"answer": 16}) == 1.0
    for result, value in [(True, 1.0), (0.25, 0.25), (1, 1.0), (numpy.float32(0.5), 0.5), (numpy.bool_(False), 0.0)]:
        got = run(lambda e, p, r=result: r, {})
        assert got == value and type(got) is float


@pytest.mark.parametrize("bad", [None, "1", 1.01, -0.1, float("nan"), float("inf"), [1], numpy.array([0.5, 0.5])])
def test_what_is_no_score_is_refused(bad):
    with pytest.raises(MetricError, match=f"example {EXAMPLE.id} row 4 .*must return a bool or a number from 0 to 1"):
        run(lambda e, p: bad, {})


def never(example, prediction):
    raise AssertionError("a failed prediction is not given to the metric")


def test_a_failed_prediction_scores_zero_unseen():
    assert run(never, Failure("draft", "no answer line")) == 0.0
    assert run(never, SimpleNamespace(failed=True)) == 0.0


def test_an_output_called_failed_is_data():
    assert run(exact_match("answer"), {"answer": 16, "failed": True}) == 1.0
    assert run(exact_match("answer"), Answer(answer=16, unit="")) == 1.0


def test_a_metric_that_raises_is_named_with_its_example():
    with pytest.raises(
        MetricError, match=f"never on example {EXAMPLE.id} row 4 .*answer=16.* raised AssertionError"
    ) as e:
        run(never, {})
    assert isinstance(e.value.__cause__, AssertionError)
    with pytest.raises(MetricError, match=r"x\.\.\."):
        run(never, {}, Example.of({"q": "x" * 1000}))


def test_errors_of_flopwise_pass_through_a_metric():
    def judged(example, prediction):
        raise BudgetError("used up")

    with pytest.raises(BudgetError, match=r"^used up$"):
        run(judged, {})
    with pytest.raises(MetricError, match="prediction must have a field 'answer'"):
        run(exact_match("answer"), {"anser": 1})
    with pytest.raises(MetricError, match="example must have a field 'solution'"):
        run(exact_match("solution"), {"solution": 1})


def test_metrics_are_named_on_the_command_line(tmp_path):
    made = [exact_match(), exact_match("answer"), numeric_match("answer"), f1("answer"), contains("answer")]
    assert [named(str(metric)) for metric in made] == made
    assert [metric_name(metric) for metric in made[:2]] == ["exact", "exact:answer"]
    file = tmp_path / "mine.py"
    file.write_text("def half(example, prediction):\n    return 0.5\n")
    half = named(f"{file}:half")
    assert run(half, {}) == 0.5
    assert metric_name(half) == "flopwise_metric_mine.half"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bleu:answer", "a metric is one of .exact:answer"),
        ("numeric", "a metric is one of"),
        ("exact:", "a metric is one of"),
        ("{}/none.py:f", "there is none"),
        ("{}/ok.py:g", r"a function 'g' is needed, but it has \['f'\]"),
        ("{}/broken.py:f", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_names_no_metric_is_refused(tmp_path, text, said):
    (tmp_path / "ok.py").write_text("def f(example, prediction):\n    return 1\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(MetricError, match=said):
        named(text.format(tmp_path))


def test_a_metric_file_that_exits_is_told(tmp_path):
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(MetricError, match=r"leaving.py: cannot be imported: SystemExit: 3"):
        named(f"{tmp_path}/leaving.py:metric")


class Colour(Enum):
    RED = "red"
    BLUE = "light blue"


class Item(BaseModel):
    id: UUID
    colour: Colour = Colour.RED
    span: timedelta = timedelta(days=1)


class Tagged(BaseModel):
    name: str
    tags: list[str] = ModelField(default_factory=lambda: ["made"])


class Town(BaseModel):
    name: str = ModelField(alias="Name")


@dataclass
class Stored:
    path: Path


ID, OTHER = UUID(int=1), UUID(int=2)
DAY = timedelta(days=1)


def typed(kind, label, guess):
    """The scores of a label as rows hold it and of a value as a record holds it, of an output of some type."""
    schema = Schema("S", "", (), (Field("answer", type_json(kind, "answer")),))
    example = load([{"answer": label}], schema)[0]
    record = create_model("Out", __base__=Signature, answer=(kind, Output()))(answer=guess)
    return [run(bound(metric("answer"), schema), record, example) for metric in (exact_match, f1, contains)]


@pytest.mark.parametrize(
    ("kind", "label", "guess", "wrong"),
    [
        (Colour, "light blue", Colour.BLUE, Colour.RED),
        (Colour, Colour.RED, Colour.RED, Colour.BLUE),
        (UUID, str(ID).upper(), ID, OTHER),
        (UUID, ID, ID, OTHER),
        (Path, "a/b", Path("a/b"), Path("c")),
        (Path, Path("a/b"), Path("a/b"), Path("c")),
        (timedelta, "PT24H", DAY, 2 * DAY),
        (timedelta, DAY, DAY, 2 * DAY),
        (date, "2024-01-02", date(2024, 1, 2), date(2025, 3, 4)),
        (datetime, "2024-01-02T03:00:00Z", datetime(2024, 1, 2, 3, tzinfo=UTC), datetime(2025, 4, 4)),
        (Decimal, 0.1, Decimal("0.10"), Decimal("0.2")),
        (Decimal, Decimal("1.5"), Decimal("1.50"), Decimal(2)),
        (Item, {"id": str(ID)}, Item(id=ID), Item(id=OTHER)),
        (Item, {"id": str(ID), "span": "PT24H"}, Item(id=ID), Item(id=ID, span=2 * DAY)),
        (Item, Item(id=ID), Item(id=ID), Item(id=ID, colour=Colour.BLUE)),
        (Town, {"Name": "Oslo"}, Town(Name="oslo"), Town(Name="Rome")),
        (Town, Town(Name="Oslo"), Town(Name="Oslo"), Town(Name="Rome")),
        (Stored, Stored(Path("a")), Stored(Path("a")), Stored(Path("b"))),
        (Colour | None, "red", Colour.RED, None),
    ],
)
def test_labels_and_predictions_are_compared_as_the_same_type(kind, label, guess, wrong):
    assert typed(kind, label, guess) == [1.0, 1.0, 1.0]
    scores = typed(kind, label, wrong)
    assert scores[0] == 0.0 and scores[1] < 1.0 and scores[2] == 0.0


@pytest.mark.parametrize(
    ("kind", "label", "guess", "wrong"),
    [
        (datetime, "2024-01-02T04:00:00+01:00", datetime(2024, 1, 2, 3, tzinfo=UTC), datetime(2024, 1, 2, 3)),
        (list[UUID], [str(ID)], [ID], [ID, OTHER]),
        (dict[str, timedelta], {"a": "PT24H"}, {"a": DAY}, {"b": DAY}),
        (set[Colour], ["red", Colour.BLUE], {Colour.BLUE, Colour.RED}, {Colour.RED}),
        (set[timedelta], ["PT24H"], {DAY}, {2 * DAY}),
        (set[frozenset[int]], [[1, 2]], {frozenset({2, 1})}, {frozenset({1})}),
        (dict[int, int], {"1": 2}, {1: 2}, {2: 2}),
        (dict[Colour, int], {"red": 2}, {Colour.RED: 2}, {Colour.BLUE: 2}),
        (Tagged, {"name": "a"}, Tagged(name="a"), Tagged(name="a", tags=["b"])),
        (list[Item], [{"id": ID}], [Item(id=ID)], []),
        (tuple[Colour, int], ["red", 1], (Colour.RED, 1), (Colour.RED, 2)),
    ],
)
def test_exact_match_compares_times_lists_and_objects_as_the_same_type(kind, label, guess, wrong):
    assert (typed(kind, label, guess)[0], typed(kind, label, wrong)[0]) == (1.0, 0.0)


def test_an_output_that_may_be_anything_is_not_compared_by_its_type():
    schema = Schema("S", "", (), (Field("result", ANYTHING),))
    for metric in (exact_match(), contains("result")):
        with pytest.raises(MetricError, match=r"output 'result', which may be anything; give it a type"):
            bound(metric, schema)


def test_a_metric_on_its_own_compares_either_spelling():
    assert of(exact_match("a"), Colour.RED, "red") == of(exact_match("a"), DAY, "PT24H") == 1.0
    assert of(exact_match("a"), Item(id=ID), {"id": str(ID)}) == 1.0
    assert of(exact_match("a"), Path("a"), None) == of(exact_match("a"), object(), "a") == 0.0
    assert of(numeric_match("a"), 3, Number.THREE) == 1.0


class Number(Enum):
    THREE = 3
