"""The bank of seed instructions: short, general additions to a signature's own, one or two for each technique."""

from __future__ import annotations

_ANY = ("Read the whole input first, and use every part of it that matters.",)
_PLAN = ("State what is given and what is asked before you plan; keep the plan short.",)
_BY_TECHNIQUE = {
    "Predict": ("Be exact: what is nearly right counts as wrong.",),
    "ChainOfThought": ("Take one small step at a time, and check each before the next.",),
    "PlanAndSolve": _PLAN,
    "PlanThenSolve": _PLAN,
    "ProgramOfThought": ("Give each quantity of the input a variable of its own; let the program do all arithmetic.",),
    "Critic": ("Redo each step on your own; change the answer only where you can name the mistake.",),
    "Verifier": ("Look for the one mistake that would make it wrong before you decide.",),
}


def seeds(own: str, technique: str) -> tuple[str, ...]:
    """The bank for a module: its signature's own instruction with what has served its technique.

    Args:
        own: The signature's own instruction.
        technique: The module's kind, such as "ChainOfThought".
    """
    return tuple(f"{own.rstrip()} {hint}" for hint in (*_BY_TECHNIQUE.get(technique, ()), *_ANY))
