"""A function program: inputs and result as the function says."""

from typing import assert_type, reveal_type

import flopwise as fw


class Label(fw.Signature):
    """Is the text positive?"""

    text: str = fw.Input()
    positive: bool = fw.Output()
    why: list[str] = fw.Output()


@fw.program
def label(text: str, hint: str = "") -> Label:
    return fw.ChainOfThought(Label, name="label")(text=text)


def use(engine: fw.ScriptedEngine) -> None:
    compiled = fw.lower(label, engine=engine)
    reveal_type(compiled)
    record = compiled(text="fine")
    assert_type(record.positive, bool)
    assert_type(record.why, list[str])
    compiled()  # error: text is needed
    compiled(text="fine", hint=3)  # error: str is needed
    found = fw.compile(label, dev=[], metric=fw.exact_match(), engine=engine, budget=fw.Budget())
    found(text=1)  # error: str is needed
