"""Signatures: what can be declared, in both forms, and what is refused."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import pytest
from annotated_types import Predicate
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, StringConstraints, ValidationError, field_validator, model_validator
from pydantic import Field as PydanticField
from pydantic_core import core_schema

from flopwise.errors import PipelineFailure, SignatureError, TraceError
from flopwise.ir.record import Trace
from flopwise.ir.schemas import type_name
from flopwise.modules.judging.critic import Critic
from flopwise.modules.judging.verifier import Verifier
from flopwise.modules.open import instruction, integer, real
from flopwise.modules.prompting.chain_of_thought import ChainOfThought
from flopwise.modules.prompting.plan_and_solve import PlanAndSolve, PlanThenSolve
from flopwise.modules.prompting.predict import Predict
from flopwise.modules.records import make_record
from flopwise.modules.signature import Input, Output, Signature, from_text, schema_of
from flopwise.modules.tools.program_of_thought import ProgramOfThought


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
        ("question -> answer: Optional", r"'answer': Optional needs what it is of, as in Optional\[int\]"),
        ("question -> answer: list[Literal]", r"'answer': Literal needs what it is of, as in Literal\['a', 'b'\]"),
        ("question -> answer: dict[int]", "every type must be one that pydantic knows"),
        ("question -> answer: Literal[()]", "every type must be one that pydantic knows"),
        ("question -> answer: Optional[int, str]", "field 'answer' has type"),
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


class Inverse(int):
    """Its reading raises what pydantic does not know."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return core_schema.no_info_after_validator_function(lambda value: 1 // value, core_schema.int_schema())


class Dividing(Signature):
    question: Inverse = Input()
    answer: Inverse = Output()


def test_a_type_that_raises_anything_is_a_failure_with_its_cause() -> None:
    with pytest.raises(PipelineFailure, match=r"Dividing refuses .* answer: .*ZeroDivisionError") as caught:
        make_record(Dividing, {"question": 1, "answer": 0}, Trace())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert make_record(Dividing, {"question": 0, "answer": 1}, Trace()).question == 0  # an input is no answer


def test_inputs_of_a_record_stay_as_they_are_and_its_outputs_are_read() -> None:
    class Told(Signature):
        person: Person = Input()
        count: int = Input()
        size: Size = Output()

    fields = {"person": {"name": "Ada"}, "count": "many", "size": "large", "reasoning": "why"}
    record = make_record(Told, fields, Trace())
    assert (record.person, record.count, record.size) == (Person(name="Ada"), "many", Size.LARGE)  # type: ignore[comparison-overlap]
    assert record.reasoning == "why"  # type: ignore[attr-defined]
    short = make_record(Told, {"count": 3, "size": "small"}, Trace())
    assert short.size is Size.SMALL and not hasattr(short, "person")
    with pytest.raises(PipelineFailure, match=r"Told refuses the outputs: size: .*'small' or 'large', but got 'huge'"):
        make_record(Told, {**fields, "size": "huge"}, Trace())


class Sorted(BaseModel):
    names: list[str]

    @model_validator(mode="after")
    def in_order(self) -> Sorted:
        self.names.sort()
        return self


def _even(value: int) -> int:
    return value // 2 * 2


@dataclass
class Marks:
    first: Annotated[int, AfterValidator(_even)]


@dataclass
class Halved:
    size: int

    def __post_init__(self) -> None:
        self.size //= 2


class Named(BaseModel):
    name: str

    def model_post_init(self, context: Any) -> None:
        self.name = self.name.title()


def signature(**fields: Any) -> Any:
    """A signature class with these members; what is not declared is a method."""
    hints = {name: kind for name, (kind, _) in ((n, f) for n, f in fields.items() if isinstance(f, tuple))}
    values = {name: f[1] if isinstance(f, tuple) else f for name, f in fields.items()}
    return type("Checked", (Signature,), {"__module__": __name__, "__annotations__": hints, **values})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"answer": (int, Output()), "small": field_validator("answer")(lambda v: v)},
            "Checked has the validator 'small'",
        ),
        ({"answer": (int, Output()), "whole": model_validator(mode="before")(lambda v: v)}, "the validator 'whole'"),
        ({"answer": (Annotated[int, AfterValidator(_even)], Output())}, r"Checked.answer has AfterValidator\("),
        ({"answer": (list[Annotated[int, AfterValidator(_even)]], Output())}, r"Checked.answer has AfterValidator\("),
        ({"answer": (Annotated[str, Predicate(str.islower)], Output())}, r"Checked.answer has Predicate\("),
        (
            {"answer": (list[Sorted] | None, Output())},
            "Checked.answer holds Sorted, which has the validator 'in_order'",
        ),
        ({"answer": (Marks, Output())}, r"Checked.answer has AfterValidator\("),
        ({"answer": (list[Halved], Output())}, "holds Halved, which has the validator '__post_init__'"),
        ({"answer": (Named, Output())}, "holds Named, which has the validator 'model_post_init'"),
        ({"answer": (Annotated[str, StringConstraints(to_lower=True)], Output())}, r"answer has StringConstraints\("),
    ],
)
def test_a_validator_that_no_artifact_could_hold_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(SignatureError, match=rf"{says}.*constraint, such as .* fw.op after the module"):
        Predict(signature(**fields))


def test_validators_inside_of_inputs_and_constraints_are_taken() -> None:
    of = signature(names=(Sorted, Input()), answer=(Annotated[int, PydanticField(ge=0)], Output(le=9)))
    assert schema_of(of).outputs[0].type == {"type": "integer", "minimum": 0, "maximum": 9}


class Counted(Signature):
    word: str = Input()
    span: datetime.timedelta = Output()
    counts: dict[int, str] = Output()
    note: str | None = Output(default=None)


def test_a_demo_has_values_as_the_type_has_them_and_may_have_more_columns() -> None:
    row = {"id": 7, "word": "a", "span": datetime.timedelta(days=1), "counts": {1: "a"}}
    assert Predict(Counted, demos=[row]).demos == [row]
    with pytest.raises(SignatureError, match=r"demos\[0\]: field 'counts' must be of type .*, but got 'long'"):
        Predict(Counted, demos=[{**row, "counts": "long"}])


@dataclass(frozen=True)
class Outlined(Predict[Any]):
    adds: ClassVar[tuple[str, ...]] = ("outline",)
    explains: ClassVar[tuple[str, ...]] = ("outline",)


def test_a_technique_of_ones_own_has_demos_with_what_it_adds() -> None:
    assert Outlined("q -> a", demos=[{"q": "1", "a": "2", "outline": ["first"]}])
    with pytest.raises(SignatureError, match="field 'outline' is missing"):
        Outlined("q -> a", demos=[{"q": "1", "a": "2"}])


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


WORKED = {"q": "1?", "a": 1}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Predict("q -> a", temperature="hot"), "temperature"),
        (lambda: Predict("q -> a", temperature=-1), "temperature"),
        (lambda: Predict("q -> a", temperature=11), "temperature"),
        (lambda: Predict("q -> a", temperature=float("nan")), "temperature"),
        (lambda: Predict("q -> a", temperature=real(0, 20)), "temperature"),
        (lambda: Predict("q -> a", temperature=instruction("x", "y")), "temperature"),
        (lambda: Predict("q -> a", demos=instruction("x", "y")), "demos must be a list"),
        (lambda: Predict("q -> a", demos="none"), "demos must be a list"),
        (lambda: Predict("q -> a", demos=[3]), "a demo must be a mapping"),
        (
            lambda: Predict("q -> a", demos=[{"query": 1, "a": "b"}]),
            r"Answer\): demos\[0\]: field 'q' is missing, which the prompt shows; add it to {'query': 1, 'a': 'b'}",
        ),
        (
            lambda: Predict("q -> a: int", demos=[WORKED, {"q": "2?", "a": "two"}]),
            r"demos\[1\]: field 'a' must be of type integer, but got 'two'",
        ),
        (
            lambda: Predict("q -> a: int", demos=[{"q": 2, "a": 2}]),
            r"demos\[0\]: field 'q' must be of type string, but got 2",
        ),
        (
            lambda: Predict("q -> a: int", demos=[{"q": "2?"}]),
            r"demos\[0\]: field 'a' is missing, .*; add it to \{'q': '2\?'\}",
        ),
        (lambda: Predict("q -> a: int", demos=[{"a": 2}]), "field 'q' is missing"),
        (lambda: Predict("q -> a: int", demos=[{**WORKED, "plan": 3}]), "field 'plan' is a text, but got 3"),
        (lambda: ChainOfThought("q -> a: int", demos=[WORKED]), "field 'reasoning' is missing"),
        (
            lambda: ChainOfThought("q -> a: int", demos=[{**WORKED, "reasoning": 3}]),
            "field 'reasoning' is a text, but got 3",
        ),
        (lambda: ProgramOfThought("q -> a: int", demos=[WORKED]), "field 'program' is missing"),
        (lambda: PlanThenSolve("q -> a: int", demos=[{"q": "1?"}]), "field 'plan' is missing"),
        (lambda: Predict("q -> a", template=5), "Predict: template: .*but got 5; such as '{% block user %}"),  # type: ignore[arg-type]
        (lambda: Predict("q -> a", instruction=5), "Predict: instruction: .*but got 5; write instruction="),
        (lambda: Predict("q -> a", instruction=real(0, 1)), "Predict: instruction: a text or a choice of texts"),
        (lambda: Predict("q -> a", name=5), "Predict: name: a text is needed, but got 5"),  # type: ignore[arg-type]
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
    assert ChainOfThought("q -> a", temperature=10, demos=[]).decoding().temperature == 10.0
    assert ChainOfThought("q -> a: int", demos=[{**WORKED, "reasoning": "r"}]).worked[0].fields["reasoning"] == "r"
    assert PlanThenSolve("q -> a: int", demos=[{"q": "1?", "plan": "p"}]).worked
    assert ProgramOfThought("q -> a: int", demos=[{"q": "1?", "program": "a = 1"}]).worked
    assert Predict(Everything, demos=[]).worked == Predict("q -> a", demos=None).worked == ()
    assert Predict("q -> a", template="{% block user %}{{ demo.more }}{% endblock %}", demos=[{"more": 1}]).worked
