"""Layers of an Archon config as modules, and what each does with the candidates while a program is traced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import create_model

from ...ir.schemas import Field
from ..judging.critique import Critique
from ..judging.fuser import Fuser
from ..judging.passing import Passing
from ..judging.ranker import Ranker
from ..judging.sieve import Sieve
from ..judging.unit_tester import UnitTester
from ..lists import joined
from ..prompting.predict import Predict
from ..sampling import sample
from ..selection.reducers import best
from ..signature import Input, Output, Signature, schema_of
from .archon_config import Component, Layer

PAIRWISE = "llm-blender/PairRM"  # Archon's one ranker that is no chat model: it compares in pairs
TESTS = "unit_tests"
MOST_TESTS = 5  # where the config says nothing
_WRITE = (
    "Write {} short tests that a right answer to the input passes and a wrong one fails. Each is one statement about "
    "the answer, on a line of its own. Do not answer yourself."
)
SHORT = "Write no more than the longest of the candidates."


@dataclass(frozen=True)
class State:
    """What the layers hand on while a program is traced: the inputs, with the tests that are shown, and candidates."""

    inputs: dict[str, Any]
    candidates: Any = None


def typed(of: type[Signature], field: Field) -> Any:
    """A field's type as its class has it, constraints included."""
    info = of.model_fields[field.name]
    return Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation


@dataclass(frozen=True)
class Within:
    """What a layer's modules are made with.

    Attributes:
        of: The signature, with the tests as an input where they are shown.
        generator: The generators' technique.
        most: Most tokens of a reply.
        tests: The layer before that writes tests.
    """

    of: Any
    generator: Any
    most: int | None
    tests: Layer | None

    def modules(self, layer: Layer) -> dict[str, Any]:
        """The layer's modules by the names of their models."""
        if layer.type == "unit_test_generator" and layer.place > 1:
            return {}  # nothing but the evaluator after it reads its tests, so that one writes them
        made = {part.label: getattr(self, f"_{layer.type}")(part) for part in layer.parts}
        if layer.type == "unit_test_evaluator":
            made |= self._kept(layer.parts[0])
        return made

    def _decoding(self, part: Component) -> dict[str, Any]:
        said = part.decoding
        if self.most is not None and said.get("max_tokens", 0) > self.most:
            said["max_tokens"] = self.most
        return said

    def _drawn(self, module: Any, part: Component) -> Any:
        """A module as often as its component is drawn; at temperature 0 once, since all draws are alike."""
        return sample(module, n=part.samples) if part.samples > 1 and part.temperature != 0 else module

    def _generator(self, part: Component) -> Any:
        return self._drawn(self.generator(self.of, **self._decoding(part)), part)

    def _critic(self, part: Component) -> Any:
        return Critique(self.of, **self._decoding(part))

    def _ranker(self, part: Component) -> Any:
        shows = ("reasoning",) if part.said.get("use_critiques") is False else ("reasoning", "critique")
        style = "pairs" if part.said["model"] == PAIRWISE else "list"
        return Ranker(self.of, top=part.number("ranker", "top_k"), style=style, shows=shows)

    def _fuser(self, part: Component) -> Any:
        own = schema_of(self.of).instruction
        instruction = f"{own.rstrip()} {SHORT}" if part.said.get("length_control") is True else None
        return self._drawn(Fuser(self.of, instruction=instruction, **self._decoding(part)), part)

    def _verifier(self, part: Component) -> Any:
        return Sieve(self.of, first=part.number("verifier", "first_k"), **self._decoding(part))

    def _unit_test_generator(self, part: Component) -> Any:
        told = _WRITE.format(part.number("unit_test_generator", "unit_test_cap") or MOST_TESTS)
        inputs = schema_of(self.of).inputs
        fields: dict[str, Any] = {f.name: (typed(self.of, f), Input(None) if f.optional else Input()) for f in inputs}
        fields[TESTS] = (str, Output(desc="one a line"))
        return Predict(create_model("Tests", __base__=Signature, __doc__=told, **fields), **self._decoding(part))

    def _unit_test_evaluator(self, part: Component) -> Any:
        assert self.tests is not None
        written = self.tests.parts[0]
        count = written.number("unit_test_generator", "unit_test_cap") or MOST_TESTS
        given = TESTS if self.tests.place == 1 else ""
        return UnitTester(self.of, tests=count, given=given, **self._decoding(written))

    def _kept(self, part: Component) -> dict[str, Any]:
        """What keeps some of the tested candidates, where that is neither the best alone nor all."""
        first, top = _enough(part)
        if top == 1 and first in (None, 1):  # the first that passes every test is the best one, too
            return {}
        return {} if first is None and top is None else {"kept": Passing(self.of, first=first, top=top)}


def _enough(part: Component) -> tuple[int | None, int | None]:
    """How many that pass every test are enough for an evaluator, and else how many of the best it keeps."""
    first = part.number("unit_test_evaluator", "first_k") or (1 if part.said.get("first_pass") is True else None)
    return first, part.number("unit_test_evaluator", "top_k")


# layers as steps -----------------------------------------------------------------------------------------------


def _told(state: State, modules: Mapping[str, Any], layer: Layer) -> State:
    """The tests that the model writes come with the inputs from here on; those of an evaluator it writes itself."""
    if not modules:
        return state
    (writer,) = modules.values()
    return replace(state, inputs={**state.inputs, TESTS: getattr(writer(**state.inputs), TESTS)})


def _answered(state: State, modules: Mapping[str, Any], layer: Layer) -> State:
    """Every module's records of the inputs as one list."""
    return replace(state, candidates=_together([module(**state.inputs) for module in modules.values()], layer))


def _judged(state: State, modules: Mapping[str, Any], layer: Layer) -> State:
    """Every module's records of the candidates as one list."""
    return replace(state, candidates=_together([module(state.candidates) for module in modules.values()], layer))


def _tested(state: State, modules: Mapping[str, Any], layer: Layer) -> State:
    """The candidates weighed by tests: the best, or those that the evaluator keeps, or all."""
    tester, *keeper = modules.values()
    weighed = tester(state.candidates)
    if keeper:
        return replace(state, candidates=keeper[0](weighed))
    return replace(state, candidates=weighed if _enough(layer.parts[0])[1] is None else best(weighed))


def _together(records: list[Any], layer: Layer) -> Any:
    return records[0] if len(records) == 1 else joined(records, f"layer_{layer.place}")


Step = Callable[[State, Mapping[str, Any], Layer], State]
STEPS: dict[str, Step] = {
    "unit_test_generator": _told,
    "generator": _answered,
    "critic": _judged,
    "ranker": _judged,
    "fuser": _judged,
    "verifier": _judged,
    "unit_test_evaluator": _tested,
}
