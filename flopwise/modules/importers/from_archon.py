"""from_archon: an Archon config as a program of the same layers (Saad-Falcon et al., 2024, arXiv:2409.15254)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import create_model

from ...errors import TraceError
from ..base import Module, result_type
from ..program import Program
from ..prompting.predict import Predict
from ..selection.reducers import best, first_valid, vote
from ..signature import Input, Output, Signature, schema_of
from .archon_config import Layer, layers_of
from .archon_layers import STEPS, TESTS, State, Within, typed
from .archon_rules import check_rules

Choose = Literal["first", "vote"]


class Chat(Signature):
    """You are a helpful assistant."""

    instruction: str = Input()
    response: str = Output()


class ArchonProgram(Program):
    """What `from_archon` makes: layers of modules, applied one after another to a list of candidates.

    Attributes:
        layers: What the config says, layer by layer; the modules of the first are the attribute `layer_1`, and so on.
        choose: How one of several candidates is taken at the end.
    """

    layers: tuple[Layer, ...] = ()
    choose: Choose = "first"

    def forward(self, *args: Any, **inputs: Any) -> Any:
        """The layers in order; one record in the end. Each program has one of its own, with the inputs by name."""
        raise TraceError(f"{type(self).__name__} has no layers of its own; write from_archon(config)")

    def run(self, inputs: dict[str, Any]) -> Any:
        """Trace the layers; one record in the end."""
        state = State(inputs)
        for layer in self.layers:
            modules = getattr(self, f"layer_{layer.place}")
            state = STEPS[layer.type](state, modules, layer)
        last = state.candidates
        if not last._type.many:
            return last
        if self.layers[-1].type == "unit_test_evaluator":
            return best(last)
        return vote(last, field=last._type.schema.output_names[0]) if self.choose == "vote" else first_valid(last)


def from_archon(
    config: str | Path | Mapping[str, Any],
    signature: type[Signature] | str = Chat,
    *,
    generator: type[Module[Any]] = Predict,
    max_tokens: int | None = None,
    choose: Choose = "first",
) -> ArchonProgram:
    """An Archon config as a program over one signature, with the same layers.

    Generators become modules of one kind that answer side by side; a critic `Critique`, a ranker `Ranker`, a fuser
    `Fuser`, a verifier `Sieve`, and unit tests `UnitTester`, with prompts of their own. `samples` are draws (times
    the `branches` of older configs), `temperature`, `max_tokens`, `top_k`, `first_k` and `unit_test_cap` are kept. A
    model's name is that of its module, such as `layer_1.Qwen2-72B-Instruct`: all run on the one engine. A critic,
    ranker or verifier is asked once, whatever its `samples`, as Archon does.

    Rules of composition, as in the paper: generators first; one kind of component a layer, of which only generators
    and fusers may be several; a critic before a ranker or fuser; a unit-test generator right before its evaluator,
    or, as in Archon's own configs, first of all: the tests are then shown to all that follows. Generators right after
    generators replace them, as in Archon.

    Args:
        config: What is in the JSON file, or its path.
        signature: What is asked and answered; a chat's free text where not given.
        generator: The technique of the generators, such as ChainOfThought.
        max_tokens: Most tokens of any reply, where the config's own number is larger.
        choose: What is done where the last layer leaves several candidates, of which Archon takes any: "first" takes
            the first, "vote" the one that most agree on.

    Raises:
        TraceError: The config is none, or breaks a rule; names the layer and the rule.
    """
    if choose not in ("first", "vote"):
        raise TraceError(f"from_archon: choose must be 'first' or 'vote', but got {choose!r}")
    if not (isinstance(generator, type) and issubclass(generator, Module)):
        raise TraceError(
            f"from_archon: generator must be a class of modules, such as fw.Predict, but got {generator!r}"
        )
    layers = layers_of(config)
    check_rules(layers)
    of = result_type(signature)
    program = _program_class(of)()
    program.layers, program.choose = layers, choose
    tests: Layer | None = None
    for layer in layers:
        within = Within(of, generator, max_tokens, tests)
        setattr(program, f"layer_{layer.place}", within.modules(layer))
        tests = layer if layer.type == "unit_test_generator" else tests
        if tests is layer and layer.place == 1:
            of = _with_tests(of)
    return program


def _with_tests(of: type[Signature]) -> type[Signature]:
    """The signature with the tests that its answer must pass as a further input."""
    if TESTS in of.model_fields:
        raise TraceError(f"from_archon: {of.__name__}: a field cannot be named {TESTS!r}; the tests stand there")
    told = f"{schema_of(of).instruction.rstrip()} Your answer should pass the unit tests."
    tests: Any = (str, Input())
    return create_model(of.__name__, __base__=of, __doc__=told, **{TESTS: tests})


def _program_class(of: type[Signature]) -> type[ArchonProgram]:
    """The class of a program whose `forward` takes the signature's inputs by name: tracing reads them from it."""

    def forward(self: ArchonProgram, **inputs: Any) -> Any:
        return self.run(inputs)

    fields, kind = schema_of(of).inputs, inspect.Parameter.POSITIONAL_OR_KEYWORD
    none = {True: None, False: inspect.Parameter.empty}
    own = [inspect.Parameter(f.name, kind, default=none[f.optional]) for f in fields]
    forward.__annotations__ = {**{f.name: typed(of, f) for f in fields}, "return": of}
    forward.__signature__ = inspect.Signature([inspect.Parameter("self", kind), *own])  # type: ignore[attr-defined]
    return type("Archon", (ArchonProgram,), {"forward": forward})
