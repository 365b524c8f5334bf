"""from_dspy: what of a saved state becomes what, and errors that say what is missing or not understood."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

import flopwise as fw
from flopwise.errors import FlopwiseError, SignatureError, TraceError
from flopwise.ir.record import Values
from flopwise.ir.request import GenerateRequest
from flopwise.modules.base import Module
from flopwise.modules.importers.from_dspy import from_dspy
from flopwise.modules.signature import schema_of

from ...programs import Solve, ready

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
    demo = {"context": 12, "sizes": "[1, 2]", "kind": "b"}
    (shown,) = from_dspy(predictor(*fields, demos=[demo]), Sort).demos
    assert shown.fields == {"context": "12", "sizes": [1, 2], "kind": "b"}
    for bad in ({"kind": "c"}, {"context": ["one", "two"]}):
        (name,) = bad
        with pytest.raises(SignatureError, match=rf"demos\[0\]: '{name}' must be of type .* change the"):
            from_dspy(predictor(*fields, demos=[{**demo, **bad}]), Sort)


def test_none_may_be_a_value() -> None:
    state = predictor(field("question"), field("unit"), field("answer"), demos=[{**LABELLED, "unit": None}])
    assert from_dspy(state, "question, unit: Optional[str] -> answer: int").demos[0].fields.get("unit") is None
    with pytest.raises(SignatureError, match="unit is missing"):
        from_dspy(state, "question, unit -> answer: int")


def test_incomplete_demos_are_refused_or_dropped() -> None:
    state = thought(demos=[FULL, LABELLED, {**FULL, "reasoning": None}])
    with pytest.raises(SignatureError, match=r"demos\[1\]: reasoning is missing.*incomplete='drop'"):
        from_dspy(state, SOLVE)
    assert [d.id for d in from_dspy(state, SOLVE, incomplete="drop").demos] == ["dspy-0"]


def test_how_the_model_was_reached_is_not_kept() -> None:
    lm = {"_dspy_lm_class": "dspy.clients.lm.LM", "api_base": "x", "launch_kwargs": {}, "n": 1, "top_p": None}
    module = from_dspy(thought(lm={**lm, "max_completion_tokens": 70}), SOLVE)
    assert (module.temperature, module.max_tokens) == (None, 70)


# several predictors ------------------------------------------------------------------------------------------

MULTI: dict[str, Any] = {
    "hops[0].predict": predictor(field("question"), field("reasoning"), field("query"), instructions="Look it up."),
    "answer": predictor(field("question"), field("notes"), field("answer"), instructions="Answer."),
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


def test_full_names_are_taken_too() -> None:
    given = {"hops[0].predict": SIGNATURES["hops[0]"], "answer": SIGNATURES["answer"]}
    assert set(from_dspy(MULTI, given)) == set(given)


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
        ({"a": {"signature_instructions": "x", "demos": []}}, SOLVE, "as DSPy 2.6 and later save it"),
        ({"a": [1]}, SOLVE, "a predictor's state is an object"),
        (predictor(*PLAIN, demos=["x"]), SOLVE, r"demos\[0\]: a demo is an object"),
        (MULTI, SOLVE, r"2 predictors; write signature=\{'hops\[0\]': ..., 'answer': ...\}"),
        (MULTI, {"answer": SOLVE}, r"give each its signature\. Missing: 'hops\[0\]'"),
        (MULTI, {**SIGNATURES, "other": SOLVE}, "The state has no 'other'"),
        ({**MULTI, "retrieve": {"k": 3}}, SIGNATURES, "predictor 'retrieve': signature, demos is missing"),
        ({"a": {**predictor(*PLAIN), "fields": {"answer": {}}}}, SOLVE, "predictor 'a': fields says what no module"),
        ({"a": {**predictor(*PLAIN), "tools": []}}, SOLVE, "predictor 'a': tools says what no module"),
        ({"a": {**predictor(*PLAIN), "demos": {}}}, SOLVE, "must be lists of objects"),
        (predictor(field("answer", "x"), field("question", "y")), SOLVE, "'question' the state has 'answer'"),
        (thought(lm={"top_p": 0.9, "model": "m"}), SOLVE, r"lm has top_p=0\.9, for which modules here have no"),
        (thought(lm=[1]), SOLVE, "lm must be an object or null"),
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
    ],
)
def test_options_that_are_none(options: Any, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        from_dspy(thought(), SOLVE, **options)


def test_no_pickle_is_loaded(tmp_path: Path) -> None:
    for path in (tmp_path / "state.pkl", tmp_path):
        with pytest.raises(TraceError, match="only states saved as JSON"):
            from_dspy(path, SOLVE)
    (tmp_path / "state.json").write_bytes(b"\x80\x04N.")
    with pytest.raises(TraceError, match="is no JSON"):
        from_dspy(tmp_path / "state.json", SOLVE)
    with pytest.raises(TraceError, match="cannot be read"):
        from_dspy(tmp_path / "none.json", SOLVE)


def test_without_dspy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dspy", None)
    state = {"predict": predictor(field("question"), field("reasoning"), field("answer"))}
    with pytest.raises(TraceError, match="pip install dspy"):
        from_dspy(state, SOLVE, prompts="dspy")
    assert type(from_dspy(state, SOLVE)) is fw.ChainOfThought
