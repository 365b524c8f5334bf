"""from_dspy(prompts="dspy"): prompts are what the installed DSPy sends, to the letter."""

from __future__ import annotations

import enum
import warnings
from pathlib import Path
from typing import Any, Literal

import pytest

import flopwise as fw
from flopwise.errors import SignatureError
from flopwise.ir.record import Values
from flopwise.ir.request import GenerateRequest
from flopwise.modules.importers.fixed_prompt import FixedPrompt, FixedThought
from flopwise.modules.importers.from_dspy import from_dspy

from ..programs import ready

SOLVE = "question -> answer: int"
STATE: dict[str, Any] = {
    "predict": {
        "demos": [{"question": "1+1?", "reasoning": "One more.", "answer": 2}, {"question": "2+3?", "answer": 5}],
        "signature": {
            "instructions": "Solve it.\n\nWith care.",
            "fields": [
                {"prefix": f"{n.title()}:", "description": f"${{{n}}}"} for n in ("question", "reasoning", "answer")
            ],
        },
    }
}


@pytest.fixture(scope="module")
def dspy() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import dspy

        return dspy


class Kind(enum.Enum):
    A, B = "a", "b c"


class Sort(fw.Signature):
    """Say what it is.

    Be exact."""

    question: str = fw.Input(desc="what is asked")
    hints: list[str] = fw.Input()
    size: float = fw.Input()
    kind: Literal["a", "b c"] = fw.Output()
    other: Kind = fw.Output()
    counts: dict[str, int] = fw.Output(desc="how many")
    sure: bool = fw.Output()


INPUTS: dict[str, Any] = {"question": "Wo «é»?\n", "hints": ["h 1", "ü"], "size": 2.5}
DEMO = {**INPUTS, "kind": "a", "other": "b c", "counts": {"x": 1}, "sure": True}
REPLY = "[[ ## kind ## ]]\na\n[[ ## other ## ]]\nb c\n[[ ## counts ## ]]\n{'x': 1}\n[[ ## sure ## ]]\nFalse"


def saved(dspy: Any, program: Any, folder: Path) -> Path:
    program.save(folder / "state.json")
    return folder / "state.json"


@pytest.mark.parametrize("thinks", [False, True])
def test_what_is_sent_is_what_dspy_sends(dspy: Any, tmp_path: Path, thinks: bool) -> None:
    fields = {}
    for name, info in Sort.model_fields.items():
        declare = dspy.InputField if name in INPUTS else dspy.OutputField
        fields[name] = (info.annotation, declare(desc=info.description) if info.description else declare())
    signature = dspy.make_signature(fields, "Say what it is.\n\nBe exact.")
    program = (dspy.ChainOfThought if thinks else dspy.Predict)(signature)
    inner = program.predict if thinks else program
    more = {"reasoning": "Because."} if thinks else {}
    inner.demos = [dspy.Example(**DEMO, **more), dspy.Example(question="only", kind="a"), {"question": "alone"}]
    module = from_dspy(saved(dspy, program, tmp_path), Sort, prompts="dspy")
    assert type(module) is (FixedThought if thinks else FixedPrompt)
    assert [d.id for d in module.demos] == ["dspy-0", "dspy-1"]  # an example without outputs is shown by nobody
    reply = "[[ ## reasoning ## ]]\nr\n" * thinks + REPLY
    pipeline = ready(module, reply)
    result = pipeline.run(**INPUTS).result
    (request,) = pipeline.engine.asked
    messages = dspy.ChatAdapter().format(inner.signature, inner.demos, INPUTS)
    turns = [(m["role"], m["content"]) for m in messages]
    assert isinstance(request, GenerateRequest)
    tokenizer = pipeline.engine.tokenizer
    assert tokenizer.decode_all(request.ids) == tokenizer.render_chat(turns, True)
    theirs = dspy.ChatAdapter().parse(inner.signature, reply)
    assert isinstance(result, Values) and {n: result.fields[n] for n in theirs} == {**theirs, "other": "b c"}


def test_a_compiled_program_keeps_its_demos_and_instruction(dspy: Any, tmp_path: Path) -> None:
    lm = dspy.utils.DummyLM([{"reasoning": "Count.", "answer": "2"}] * 9)
    examples = [dspy.Example(question=f"{i}+{2 - i}?", answer=2).with_inputs("question") for i in range(3)]
    optimizer = dspy.BootstrapFewShot(metric=lambda e, p, t=None: e.answer == p.answer, max_bootstrapped_demos=2)
    with dspy.context(lm=lm):
        program = optimizer.compile(dspy.ChainOfThought(dspy.Signature(SOLVE, "Add.")), trainset=examples)
    path = saved(dspy, program, tmp_path)
    for prompts in ("dspy", "flopwise"):
        module = from_dspy(path, SOLVE, prompts=prompts, incomplete="drop")
        assert module.signature.instruction == program.predict.signature.instructions == "Add."
        whole = [dict(d) for d in program.predict.demos if "reasoning" in d]
        assert len(whole) == 2
        kept = [d.fields for d in module.demos if "reasoning" in d.fields]
        assert kept == [{k: d[k] for k in ("question", "reasoning", "answer")} for d in whole]


@pytest.mark.parametrize(
    ("signature", "says"),
    [
        ("question: bool -> answer: int", "write alike, but 'question' is boolean"),
        ("question: Optional[str] -> answer: int", "write alike, but 'question' is string or null"),
        ("question: Literal['a', True] -> answer: int", "write alike, but 'question' is \"a\""),
    ],
)
def test_inputs_that_dspy_writes_in_another_way_are_refused(dspy: Any, signature: str, says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        from_dspy(STATE, signature, prompts="dspy")


def test_inputs_that_may_be_left_out_and_bounds_are_refused(dspy: Any) -> None:
    class Left(fw.Signature):
        """Solve it."""

        question: str = fw.Input(default=None)
        answer: int = fw.Output()

    class Bounded(fw.Signature):
        """Solve it."""

        question: str = fw.Input()
        answer: int = fw.Output(ge=0)

    for signature, says in ((Left, "may be left out"), (Bounded, "without bounds.*answer has some")):
        with pytest.raises(SignatureError, match=says):
            from_dspy(STATE, signature, prompts="dspy")
