"""Every method by name, in the order in which they must run: some spend what another one was measured to spend."""

from __future__ import annotations

from importlib import import_module

from ._base import Method

# Groups that `--peers` knows, and their methods. DSPy is imported for its own alone.
DSPY_ALWAYS = ("dspy.Predict", "dspy.ChainOfThought", "dspy.MIPROv2")
DSPY_MORE = ("dspy.BootstrapFewShotWithRandomSearch", "dspy.GEPA")
CURVE = ("flopwise@0.125", "flopwise@0.25")
ABLATED = tuple(
    f"flopwise-without-{name}" for name in ("prefix-lowering", "racing", "bank", "structure-search", "demo-search")
)
GROUPS: dict[str, tuple[str, ...]] = {
    "dspy": DSPY_ALWAYS,
    "dspy-more": DSPY_MORE,
    "flopwise": ("flopwise",),
    "fixed": ("few-shot CoT", "self-consistency"),
    "archon": ("Archon layers",),
    "curve": CURVE,
    "ablations": ABLATED,
}
ORDER = tuple(name for group in GROUPS.values() for name in group)
_MODULES = {"dspy": "dspy_methods", "few-shot": "fixed", "self-consistency": "fixed", "Archon": "archon"}


def chosen(text: str) -> list[str]:
    """Names of methods from a list of methods and groups, in the order in which they must run.

    Raises:
        ValueError: One is neither; says which there are.
    """
    wanted: set[str] = set()
    for part in filter(None, (p.strip() for p in text.split(","))):
        if part not in GROUPS and part not in ORDER:
            raise ValueError(
                f"--peers takes groups ({', '.join(GROUPS)}) and methods ({', '.join(ORDER)}), but got {part!r}"
            )
        wanted.update(GROUPS.get(part, (part,)))
    return [name for name in ORDER if name in wanted]


def method_named(name: str) -> Method:
    """What runs it; imports what it needs."""
    module = next((m for start, m in _MODULES.items() if name.startswith(start)), "ours")
    method: Method = import_module(f".{module}", __package__).METHODS[name]
    return method


def slug(name: str) -> str:
    """A method's name as a file's."""
    return "".join(c if c.isalnum() or c in ".-@" else "-" for c in name)
