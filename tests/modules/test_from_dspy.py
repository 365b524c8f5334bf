"""from_dspy: what of a saved state becomes what, whose prompts, and errors that say what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

import flopwise as fw
from flopwise.errors import FlopwiseError, SignatureError, TraceError
from flopwise.ir.record import Values
from flopwise.ir.request import GenerateRequest
from flopwise.modules.base import Module
from flopwise.modules.chat_fields import ChatPredict, ChatThought
from flopwise.modules.dspy_programs import assigned
from flopwise.modules.dspy_state import passages
from flopwise.modules.from_dspy import from_dspy
from flopwise.modules.signature import schema_of

from ..programs import Solve, ready

SOLVE = "question -> answer: int"


def field(name: str, desc: str = "") -> dict[str, str]:
    return {"prefix": f"{name.replace('_', ' ').title()}:", "description": desc or f"${{{name}}}"}


def predictor(*fields: dict[str, str], demos: Any = (), instructions: str = "Solve it well.", lm: Any = None) -> Any:
    signature = {"instructions": instructions, "fields": list(fields)}
    return {"traces": [], "train": [], "demos": list(demos), "signature": signature, "lm": lm}


PLAIN = (field("question"), field("answer"))
THOUGHT = (field("question"), field("reasoning"), field("answer"))
FULL = {"augmented": True, "question": "1+1?", "reasoning": "One more.", "answer": 2}
LABELLED = {"question": "2+3?", "answer": 5, "id": "x9"}
METADATA = {"dependency_versions": {"python": "3.11", "dspy": "3.3.1"}}


def thought(**changes: Any) -> dict[str, Any]:
    return {"predict": predictor(*THOUGHT, **{"demos": [FULL], **changes}), "metadata": METADATA}


def first_request(module: Module[Any], say: str = "7") -> str:
    pipeline = ready(module, say)
    pipeline.run(question="4+4?")
    request = pipeline.engine.asked[0]
    assert isinstance(request, GenerateRequest)
    return pipeline.engine.tokenizer.decode_all(request.ids)


# one predictor ----------------------------------------------------------------------------------------------


def test_a_predict_keeps_instruction_descriptions_demos_and_decoding() -> None:
    lm = {"model": "openai/some", "model_type": "chat", "temperature": 0.5, "max_tokens": 99, "cache": True}
    state = predictor(field("question"), field("answer", "a number"), demos=[LABELLED], lm=lm)
    module = from_dspy({**state, "metadata": METADATA}, SOLVE)
    assert type(module) is fw.Predict and (module.temperature, module.max_tokens) == (0.5, 99)
    schema = module.signature
    assert (schema.instruction, schema.as_text()) == ("Solve it well.", "question: string -> answer: integer")
    assert [f.desc for f in schema.inputs + schema.outputs] == ["", "a number"]
    text = first_request(module)
    assert "Solve it well." in text and "2+3?" in text and "x9" not in text


def test_a_chain_of_thought_is_told_by_its_reasoning() -> None:
    module = from_dspy(thought(lm={"temperature": None, "max_tokens": None}), SOLVE)
    assert type(module) is fw.ChainOfThought and (module.temperature, module.max_tokens) == (None, 512)
    text = first_request(module)
    assert text.index("1+1?") < text.index("One more.\n\nAnswer: 2") < text.index("4+4?")


def test_records_stay_the_users_class() -> None:
    module: Module[Solve] = from_dspy(thought(), Solve)  # whose description of the answer the state has not
    assert isinstance(module.of, type) and issubclass(module.of, Solve) and module.of is not Solve
    assert schema_of(module.of).outputs[0].desc == "" and schema_of(Solve).outputs[0].desc == "the final number"
    same = thought()
    same["predict"]["signature"]["fields"][2] = field("answer", "the final number")
    assert from_dspy(same, Solve).of is Solve
    record = fw.lower(module, engine=fw.ScriptedEngine(default="7"))(question="1")
    assert isinstance(record, Solve) and record.answer == 7


def test_another_technique_may_take_the_state() -> None:
    module = from_dspy(thought(), SOLVE, fw.PlanAndSolve)
    assert type(module) is fw.PlanAndSolve and "One more." in first_request(module)
    bare = from_dspy(thought(), SOLVE, fw.Predict)
    assert "One more." not in first_request(bare) and "1+1?" in first_request(bare)


def test_a_signature_with_reasoning_of_its_own_is_a_predict() -> None:
    module = from_dspy(thought(), "question -> reasoning, answer: int")
    assert type(module) is fw.Predict and module.signature.output_names == ("reasoning", "answer")


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(thought(demos=[{**FULL, "reasoning": "né"}])), encoding="utf-8")
    assert "né" in first_request(from_dspy(str(path), SOLVE))


def test_values_of_demos_are_of_their_types() -> None:
    class Sort(fw.Signature):
        context: str = fw.Input()
        sizes: list[int] = fw.Input()
        kind: Literal["a", "b"] = fw.Output()

    fields = (field("context"), field("sizes"), field("kind"))
    demo = {"context": ["one", "two\n«x»"], "sizes": "[1, 2]", "kind": "b"}
    (shown,) = from_dspy(predictor(*fields, demos=[demo]), Sort).demos
    assert shown.fields == {"context": "[1] «one»\n[2] «««\n    two\n    «x»\n»»»", "sizes": [1, 2], "kind": "b"}
    with pytest.raises(SignatureError, match=r"demos\[0\]: 'kind' must be of type \"a\" | \"b\", but is 'c'"):
        from_dspy(predictor(*fields, demos=[{**demo, "kind": "c"}]), Sort)


def test_passages_are_quoted_and_numbered_where_several() -> None:
    assert (passages([]), passages(["x"]), passages(["x", "y"])) == ("N/A", "«x»", "[1] «x»\n[2] «y»")


def test_none_may_be_a_value() -> None:
    state = predictor(field("question"), field("unit"), field("answer"), demos=[{**LABELLED, "unit": None}])
    assert from_dspy(state, "question, unit: Optional[str] -> answer: int").demos[0].fields["unit"] is None
    with pytest.raises(SignatureError, match="unit is missing"):
        from_dspy(state, "question, unit -> answer: int")


def test_incomplete_demos_are_refused_dropped_or_shown_as_dspy_does() -> None:
    state = thought(demos=[FULL, LABELLED, {"question": "alone?"}])
    with pytest.raises(SignatureError, match=r"demos\[1\]: reasoning is missing.*incomplete='drop'"):
        from_dspy(state, SOLVE)
    assert [d.id for d in from_dspy(state, SOLVE, incomplete="drop").demos] == ["dspy-0"]
    shown = from_dspy(state, SOLVE, prompts="dspy")
    assert [d.id for d in shown.demos] == ["dspy-1", "dspy-0"]  # the incomplete first, and none without an output


# whose prompts -----------------------------------------------------------------------------------------------


def test_dspys_prompts_are_an_option() -> None:
    state = thought(demos=[FULL, LABELLED])
    state["predict"]["signature"]["fields"][1] = field("reasoning", "step by step")
    module = from_dspy(state, SOLVE, prompts="dspy")
    assert type(module) is ChatThought
    text = first_request(module)
    assert "1. `reasoning` (str): step by step\n2. `answer` (int):\n" in text
    assert "your objective is: \n        Solve it well." in text
    assert "[[ ## reasoning ## ]]\nNot supplied for this particular example. \n\n[[ ## answer ## ]]\n5" in text
    assert "[[ ## reasoning ## ]]\nOne more.\n\n[[ ## answer ## ]]\n2\n\n[[ ## completed ## ]]\n" in text
    assert type(from_dspy(predictor(*PLAIN), SOLVE, prompts="dspy")) is ChatPredict


# several predictors ------------------------------------------------------------------------------------------

MULTI: dict[str, Any] = {
    "hops[0].predict": predictor(field("question"), field("reasoning"), field("query"), instructions="Look it up."),
    "answer": predictor(field("question"), field("notes"), field("answer"), instructions="Answer."),
    "retrieve": {"k": 3},
    "metadata": METADATA,
}
SIGNATURES: dict[str, Any] = {"hops[0]": "question -> query", "answer": "question, notes -> answer: int"}


def test_several_predictors_are_modules_by_name() -> None:
    modules = from_dspy(MULTI, SIGNATURES)
    assert {name: type(m) for name, m in modules.items()} == {"hops[0]": fw.ChainOfThought, "answer": fw.Predict}
    assert modules["hops[0]"].instruction == "Look it up."

    class Hop(fw.Program):
        hop, answer = modules["hops[0]"], modules["answer"]

        def forward(self, question: str) -> Any:
            return self.answer(question=question, notes=self.hop(question=question).query)

    result = ready(Hop(), {"Answer.": "8", "": "q"}).run(question="?").result
    assert isinstance(result, Values) and result.fields["answer"] == 8


def test_full_names_and_classes_by_name_are_taken_too() -> None:
    given = {"hops[0].predict": SIGNATURES["hops[0]"], "answer": SIGNATURES["answer"]}
    modules = from_dspy(MULTI, given, {"hops[0]": fw.PlanAndSolve})
    assert type(modules["hops[0].predict"]) is fw.PlanAndSolve


# programs of thought -----------------------------------------------------------------------------------------

OWN = "You will be given `question` and respond.\nGenerating code that programmatically computes the output. SUBMIT()"
CODE = "total = 1 + 1  # both\nSUBMIT({'answer': total})"


def program(code: str = CODE, instructions: str = OWN) -> dict[str, Any]:
    demo = {"question": "1+1?", "reasoning": "Add.", "generated_code": code}
    write = predictor(field("question"), field("reasoning"), field("generated_code"), demos=[demo])
    write["signature"]["instructions"] = instructions
    others = {f"{name}.predict": predictor(*THOUGHT) for name in ("code_regenerate", "generate_output")}
    return {"code_generate.predict": write, **others, "metadata": METADATA}


def test_a_program_of_thought_is_one_module() -> None:
    module = from_dspy(program(), Solve)
    assert type(module) is fw.ProgramOfThought and module.signature.instruction == "Solve the maths problem."
    text = first_request(module, "answer = 8")
    assert "```python\ntotal = 1 + 1  # both\nanswer = total\n```" in text and "SUBMIT" not in text
    tuned = from_dspy(program(instructions="Use fractions."), Solve)
    assert tuned.signature.instruction == "Use fractions."


@pytest.mark.parametrize(
    ("code", "program"),
    [
        ("```python\nx = 2\nSUBMIT(answer=x, note='n')\n```", "x = 2\nanswer = x\nnote = 'n'"),
        ("answer = 2\nnote = 'n'\nfinal_answer({'answer': answer, 'note': note})", "answer = 2\nnote = 'n'"),
        ("SUBMIT(\n    1,\n    'n',\n)", "answer = 1\nnote = 'n'"),
        ("answer, note = 1, 'n'", "answer, note = 1, 'n'"),
        ("answer = 1", None),
        ("print(", None),
        ("SUBMIT({'other': 1})", None),
    ],
)
def test_what_is_handed_in_is_assigned(code: str, program: str | None) -> None:
    assert assigned(code, ("answer", "note")) == program


def test_a_program_that_gives_no_output_is_incomplete() -> None:
    with pytest.raises(SignatureError, match="program is missing"):
        from_dspy(program("print(2)"), Solve)
    assert from_dspy(program("print(2)"), Solve, incomplete="drop").demos == ()


# errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "signature", "says"),
    [
        (thought(), "question -> answer: int, why", "fields question, reasoning, answer, but the signature"),
        (predictor(*PLAIN), "query -> answer", "has the field 'query' the state has 'question'"),
        (predictor(field("answer"), field("question")), SOLVE, "fields are, in order: answer, question"),
        ({"metadata": METADATA}, SOLVE, "the state has no predictor"),
        ({"a": {"demos": []}}, SOLVE, "predictor 'a': signature is missing"),
        ({"a": {"demos": [], "signature": {"fields": []}}}, SOLVE, "signature.instructions is missing"),
        ({"signature": {"instructions": "", "fields": []}}, SOLVE, "demos is missing"),
        ({"a": {"signature_instructions": "x", "demos": []}}, SOLVE, "DSPy before 2.6"),
        ({"a": [1]}, SOLVE, "a predictor's state is an object"),
        (predictor(*PLAIN, demos=["x"]), SOLVE, r"demos\[0\]: a demo is an object"),
        (MULTI, SOLVE, r"2 predictors; write signature=\{'hops\[0\]': ..., 'answer': ...\}"),
        (MULTI, {"answer": SOLVE}, r"signatures are missing for 'hops\[0\]'"),
        (MULTI, {**SIGNATURES, "other": SOLVE}, "It has no 'other'"),
        ({"code_regenerate.predict": predictor(*THOUGHT)}, SOLVE, "code_generate is missing"),
    ],
)
def test_errors_say_what_is_missing(state: Any, signature: Any, says: str) -> None:
    with pytest.raises(FlopwiseError, match=says):
        from_dspy(state, signature)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"prompts": "chat"}, "prompts must be one of"),
        ({"incomplete": "keep"}, "incomplete must be one of"),
        ({"module": "Predict"}, "must be a class of modules"),
        ({"module": fw.PlanAndSolve, "prompts": "dspy"}, "are those of ChatThought"),
    ],
)
def test_options_that_are_none(options: Any, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        from_dspy(thought(), SOLVE, **options)


def test_programs_have_no_prompts_of_dspy() -> None:
    with pytest.raises(TraceError, match="no other prompts"):
        from_dspy(program(), Solve, prompts="dspy")


def test_no_pickle_is_loaded(tmp_path: Path) -> None:
    for path in (tmp_path / "state.pkl", tmp_path):
        with pytest.raises(TraceError, match="only states saved as JSON"):
            from_dspy(path, SOLVE)
    (tmp_path / "state.json").write_bytes(b"\x80\x04N.")
    with pytest.raises(TraceError, match="is no JSON"):
        from_dspy(tmp_path / "state.json", SOLVE)
    with pytest.raises(TraceError, match="cannot be read"):
        from_dspy(tmp_path / "none.json", SOLVE)
