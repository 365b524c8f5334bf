"""Signatures: what can be declared, in both forms, and what is refused."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError, field_validator

from flopwise.errors import PipelineFailure, SignatureError, TraceError
from flopwise.ir.record import Trace
from flopwise.ir.schemas import type_name
from flopwise.modules.chain_of_thought import ChainOfThought
from flopwise.modules.critic import Critic
from flopwise.modules.open import instruction, integer, real
from flopwise.modules.plan_and_solve import PlanAndSolve, PlanThenSolve
from flopwise.modules.predict import Predict
from flopwise.modules.program_of_thought import ProgramOfThought
from flopwise.modules.records import make_record
from flopwise.modules.signature import Input, Output, Signature, from_text, schema_of
from flopwise.modules.verifier import Verifier


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Person(BaseModel):
    name: str
    born: datetime.date | None = None


class Everything(Signature):
    """Fill in everything."""

    text: str = Input(desc="what to read")
    hint: str | None = Input(default=None)
    count: int = Output()
    share: float = Output(ge=0, le=1)
    sure: bool = Output()
    tone: Literal["calm", "angry"] = Output(desc="how it sounds")
    size: Size = Output()
    day: datetime.date = Output()
    names: list[str] = Output()
    table: dict[str, int] = Output()
    maybe: int | None = Output()
    people: list[Person] = Output()


def test_a_class_gives_its_fields_in_order_with_their_types() -> None:
    schema = schema_of(Everything)
    assert (schema.name, schema.instruction) == ("Everything", "Fill in everything.")
    assert [(f.name, f.optional, f.desc) for f in schema.inputs] == [
        ("text", False, "what to read"),
        ("hint", True, ""),
    ]
    assert {f.name: type_name(f.type) for f in schema.outputs} == {
        "count": "integer",
        "share": "number",
        "sure": "boolean",
        "tone": '"calm" | "angry"',
        "size": '"small" | "large"',
        "day": "date",
        "names": "list of string",
        "table": "object",
        "maybe": "integer or null",
        "people": "list of {name: string, born: date or null}",
    }
    assert schema.outputs[1].type == {"type": "number", "minimum": 0, "maximum": 1}


def test_a_record_has_the_users_own_types() -> None:
    fields: dict[str, Any] = {"text": "t", "count": 1, "share": 0.5, "sure": True, "tone": "calm", "size": "large"}
    fields |= {
        "day": "2024-02-29",
        "names": ["a"],
        "table": {"a": 1},
        "maybe": None,
        "people": [{"name": "Ada", "born": None}],
    }
    record = make_record(Everything, {**fields, "reasoning": "why"}, Trace())
    assert record.size is Size.LARGE and record.people == [Person(name="Ada")]
    assert record.day == datetime.date(2024, 2, 29) and record.reasoning == "why"  # type: ignore[attr-defined]
    with pytest.raises(PipelineFailure, match="tone"):
        make_record(Everything, {**fields, "tone": "loud"}, Trace())


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("str", "string"),
        ("int", "integer"),
        ("float", "number"),
        ("bool", "boolean"),
        ("date", "date"),
        ("datetime", "date-time"),
        ("list[int]", "list of integer"),
        ("dict[str, float]", "object"),
        ("Literal['a', 'b']", '"a" | "b"'),
        ("Literal[1]", "1"),
        ("Optional[int]", "integer or null"),
        ("int | None", "integer or null"),
        ("list[Literal['x', 'y'] | None]", 'list of "x" | "y" or null'),
        ("list", "list of anything"),
        ("dict", "object"),
    ],
)
def test_types_of_the_text_form(kind: str, name: str) -> None:
    schema = schema_of(f"question, context: list[str] -> answer: {kind}, why")
    assert [type_name(f.type) for f in schema.outputs] == [name, "string"]
    assert schema.instruction == "Given the question, context, give the answer, why."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("question", "must have '->'"),
        ("question -> ", "at least one fw.Output"),
        ("question -> question", "stands twice"),
        ("question, question -> a", "stands twice"),
        ("question -> answer: whole", "field 'answer' has type 'whole'; known are str, int"),
        ("question -> answer: __import__('os')", "has type"),
        ("question -> answer: list[", "not a list of fields"),
        ("question -> answer: int = 3", "more than names and types"),
        ("question -> *answers", "more than names and types"),
        ("question, /, more -> answer", "more than names and types"),
        ("question -> answer): pass\ndef g(x", "not a list of fields"),
        ("question -> answer: Literal[x]", "the type of field 'answer'"),
        ("question -> answer: int[str]", "the type of field 'answer'"),
        ("question -> class", "not a list of fields"),
        ("question -> _answer", "cannot be named '_answer'"),
        ("question -> trace", "cannot be named 'trace'"),
        ("what is it -> answer", "not a list of fields"),
    ],
)
def test_texts_that_are_no_signature_say_why(text: str, says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        schema_of(text)


names = st.from_regex(r"[a-z][a-z]{0,6}_x", fullmatch=True)


@given(st.lists(names, min_size=2, max_size=6, unique=True), st.data())
def test_texts_keep_their_fields(fields: list[str], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(fields) - 1))
    kinds = [data.draw(st.sampled_from(["", ": int", ": list[str]"])) for _ in fields]
    parts = [name + kind for name, kind in zip(fields, kinds, strict=True)]
    schema = schema_of(f"{', '.join(parts[:cut])} -> {', '.join(parts[cut:])}")
    assert [f.name for f in schema.inputs] == fields[:cut] and list(schema.output_names) == fields[cut:]


def test_classes_that_are_no_signature_say_where() -> None:
    class NoRole(Signature):
        question: str

    class NoOutput(Signature):
        question: str = Input()

    class Odd(Signature):
        answer: Callable[[], Strange] = Output()

    class Tree(Signature):
        answer: Node = Output()

    class Defaulted(Signature):
        question: str = Input("what?")
        answer: str = Output()

    for bad, says in [
        (NoRole, "NoRole.question: every field must be declared as fw.Input"),
        (NoOutput, "NoOutput: a signature needs at least one fw.Output"),
        (Tree, "Tree.answer: a type that contains itself"),
        (Defaulted, "Defaulted.question: .* its default must be None"),
    ]:
        with pytest.raises(SignatureError, match=says):
            Predict(bad)
    with pytest.raises(SignatureError, match=r"fw.Signature subclass or a text"):
        Predict(Person)  # type: ignore[type-var]
    with pytest.raises(SignatureError, match=r"Odd.answer: a field's type must be one that pydantic can describe"):
        schema_of(Odd)


class Strange:
    """Nothing that pydantic knows."""


class Node(BaseModel):
    children: list[Node]


def test_an_instruction_replaces_the_docstring_only() -> None:
    schema = schema_of(Everything, "Other.")
    assert schema.instruction == "Other." and schema.outputs == schema_of(Everything).outputs
    with pytest.raises(ValidationError):
        Everything(text="t")  # type: ignore[call-arg]


def test_a_record_made_by_hand_has_no_trace() -> None:
    record = from_text("q -> a")(q="x", a="y")
    with pytest.raises(AttributeError, match="not made by a pipeline"):
        record.trace


class Dividing(Signature):
    """Its validator raises what pydantic does not know."""

    answer: int = Output()

    @field_validator("answer")
    @classmethod
    def inverse(cls, value: int) -> int:
        return 1 // value


def test_a_validator_that_raises_anything_is_a_failure_with_its_cause() -> None:
    with pytest.raises(PipelineFailure, match=r"Dividing refuses .* ZeroDivisionError") as caught:
        make_record(Dividing, {"answer": 0}, Trace())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("module", "text", "name"),
    [
        (ChainOfThought, "question, reasoning -> answer: int", "reasoning"),
        (ChainOfThought, "question -> reasoning, answer: int", "reasoning"),
        (PlanAndSolve, "question, reasoning -> answer", "reasoning"),
        (PlanThenSolve, "question -> plan", "plan"),
        (ProgramOfThought, "question, program -> answer", "program"),
        (Critic, "question, critique -> answer", "critique"),
        (Verifier, "record -> answer", "record"),
        (Predict, "self -> answer", "self"),
    ],
)
def test_a_field_that_the_module_takes_itself_is_refused(module: Any, text: str, name: str) -> None:
    with pytest.raises(SignatureError, match=f"cannot be named '{name}'.*rename the field"):
        module(text)
    assert Predict("question, reasoning, program -> critique").signature.inputs[1].name == "reasoning"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Predict("q -> a", temperature="hot"), "temperature"),
        (lambda: Predict("q -> a", temperature=-1), "temperature"),
        (lambda: Predict("q -> a", temperature=11), "temperature"),
        (lambda: Predict("q -> a", temperature=float("nan")), "temperature"),
        (lambda: Predict("q -> a", temperature=real(0, 20)), "temperature"),
        (lambda: Predict("q -> a", temperature=instruction("x", "y")), "temperature"),
        (lambda: Predict("q -> a", demos="none"), "demos must be a list"),
        (lambda: Predict("q -> a", demos=[3]), "a demo must be a mapping"),
        (lambda: Predict("q -> a", demos=[{"query": 1}]), "some of the fields q, a"),
        (lambda: Predict("q -> a", demos=real(0, 1)), "demos must be a list"),
        (lambda: ProgramOfThought("q -> a", seconds=0), "seconds > 0"),
        (lambda: ProgramOfThought("q -> a", repairs=-1), "repairs >= 0"),
        (lambda: integer(0.5, 3), "whole numbers"),  # type: ignore[arg-type]
        (lambda: integer("1", 3), "whole numbers"),  # type: ignore[arg-type]
        (lambda: real("1", 3), "must be numbers"),  # type: ignore[arg-type]
        (lambda: instruction("a", 3), "must be a text, but got 3"),  # type: ignore[arg-type]
    ],
)
def test_settings_are_checked_where_they_are_given(make: Any, says: str) -> None:
    with pytest.raises((SignatureError, TraceError), match=says):
        make()


def test_settings_that_are_right_are_taken() -> None:
    made = Predict("q -> a", temperature=real(0, 1), demos=[{"q": "x", "a": "y"}])
    assert made.worked[0].fields == {"q": "x", "a": "y"}
    assert ChainOfThought("q -> a", temperature=10, demos=[{"reasoning": "r"}]).decoding().temperature == 10.0
