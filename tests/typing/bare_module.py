"""Bare modules: a signature class types the record, a text cannot."""

from typing import Any, assert_type, reveal_type

import flopwise as fw


class Solve(fw.Signature):
    """Solve the problem."""

    question: str = fw.Input()
    answer: int = fw.Output()


def use(engine: fw.ScriptedEngine) -> None:
    compiled = fw.lower(fw.Predict(Solve), engine=engine)
    reveal_type(compiled)
    assert_type(compiled(question="1 + 1?").answer, int)
    compiled(question="1 + 1?").total  # error: no such output
    chosen = fw.lower(fw.choice(fw.Predict(Solve), fw.ChainOfThought(Solve)), engine="openvino:model")
    assert_type(chosen(question="1 + 1?").answer, int)
    found = fw.compile(
        fw.ChainOfThought(Solve), dev=[], metric=fw.numeric_match("answer"), engine=engine, budget=fw.Budget()
    )
    assert_type(found(question="1 + 1?").answer, int)


def from_text(engine: fw.ScriptedEngine) -> None:
    compiled = fw.lower(fw.Predict("question -> answer: int"), engine=engine)
    assert_type(compiled(question="1 + 1?"), Any)
    assert_type(compiled(question="1 + 1?").answer, Any)


def loaded(engine: fw.ScriptedEngine) -> None:
    pipeline = fw.load("solver.fw", engine=engine)
    assert_type(pipeline(question="1 + 1?"), Any)
    assert_type(fw.load("solver.fw", "openvino:model"), fw.Pipeline[..., Any])
