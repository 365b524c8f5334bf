"""MetaReasoning: the method that suits the input is chosen from a pool (MRP, Gao et al., 2024, arXiv:2406.11698)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.longest import longest_output
from ...ir.nodes import Type
from ...ir.prompt import Ref
from ...ir.request import Decoding
from ...ir.schemas import Field, Schema
from ..base import Module, S, check_module
from ..computed import computation, compute
from ..symbols import Symbol, shape, tracer
from ..template import Writer

MOST = 7
_SCORE = json.dumps({"enum": list(range(1, MOST + 1)), "type": "integer"}, separators=(",", ":"))


@dataclass(frozen=True)
class MethodScores(Module[S]):
    """One short call scores methods by their descriptions against an input: what MetaReasoning asks first.

    Attributes:
        descriptions: What each method does.
    """

    answers: ClassVar[bool] = False
    descriptions: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def signature(self) -> Schema:
        """The inputs of the task, and a score for each method."""
        task = super().signature
        scores = tuple(Field(f"method_{i}", _SCORE) for i, _ in enumerate(self.descriptions, 1))
        return Schema(f"{task.name}Methods", task.instruction, task.inputs, scores)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """One Generate, held to one digit a method, parsed."""
        schema = self.signature
        listed = "\n".join(f"method_{i}: {told}" for i, told in enumerate(self.descriptions, 1))
        technique = (
            f"These methods could be used to do the task on the input below:\n{listed}\n\n"
            "Do not do the task. How well does each method suit this input? Give a JSON object with a score from 1 "
            f"(not at all) to {MOST} (very well) for each, and nothing else."
        )
        prompt = Writer(schema, own=self.template).prompt(b, inputs, technique=technique)
        longest = longest_output(schema)
        assert longest is not None, "digits are bounded"
        scores = b.generate("scores", prompt, Decoding(max_tokens=longest + 1))
        return b.parse("record", scores, schema, "json")


@dataclass(frozen=True)
class MetaReasoning(Module[S]):
    r"""One call scores a pool of methods by their descriptions against the input; the best one answers.

    The other methods are not computed. Of equal scores the first method in the pool counts; where the scores do not
    parse, the first method answers.

    Attributes:
        methods: Two or more modules over the inputs and with the outputs of the signature.
        descriptions: One for each: what it does and which inputs it is good for, in a sentence.

    The instruction and the template are those of the scoring, which is greedy; methods have their own. Its record is
    that of the method that answered. A choice in a method is searched as anywhere.

    Use it where inputs of one task want different methods, such as computing and arguing. To let the search settle
    on one method for all inputs, use `fw.choice`.

    Cost: one call of about 14 tokens a method, and the calls of the method that answers; with p tokens of prompt and d
    of descriptions: C(p + d, 14 x methods) + the chosen method's.

    Limits: the static bound and the fuel of a query hold the scoring and every method, so they cover the dearest
    and more. A small model's scores say little of what it is good at: compare with `fw.choice`.

    Expands to::

        graph MetaReasoning(question):
          %MetaReasoning.scoring.scores: text = generate() n=1 T=0 max=31 from %question
          %MetaReasoning.scoring.record: AnswerMethods = parse(%MetaReasoning.scoring.scores) json -> method_1, method_2
          %MetaReasoning.Predict.answer: text = generate() n=1 T=0 max=32 from %question
          %MetaReasoning.Predict.record: Answer = parse(%MetaReasoning.Predict.answer, %question) scalar -> question, answer
          %MetaReasoning.ChainOfThought.reason: text = generate() n=1 T=0 max=64 stop=['\n\nAnswer:'] from %question
          %MetaReasoning.ChainOfThought.answer: text = generate() n=1 T=0 max=32 from %MetaReasoning.ChainOfThought.reason
          %MetaReasoning.ChainOfThought.record: Answer = parse(%MetaReasoning.ChainOfThought.answer, %question, %MetaReasoning.ChainOfThought.reason.text) scalar -> question, reasoning, answer
          %MetaReasoning.found: list[AnswerMethods] = gather(%MetaReasoning.scoring.record)
          %MetaReasoning.place_1: value = const() 0
          %MetaReasoning.leads_1: value = host(%MetaReasoning.found, %MetaReasoning.place_1) flopwise.modules.prompting.meta_reasoning:best_scored
          %MetaReasoning.select_1: Answer = select(%MetaReasoning.leads_1, %MetaReasoning.Predict.record, %MetaReasoning.ChainOfThought.record)
          return %MetaReasoning.select_1
    """  # noqa: E501

    answers: ClassVar[bool] = False
    demos: Any = field(default=(), kw_only=True)
    methods: tuple[Module[S], ...] = field(default=(), kw_only=True)
    descriptions: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "methods", tuple(self.methods))
        object.__setattr__(self, "descriptions", tuple(self.descriptions))
        for module in self.methods:
            check_module("MetaReasoning", module)
        told = self.descriptions
        if len(self.methods) < 2 or len(told) != len(self.methods):
            raise SignatureError(
                "MetaReasoning: at least two methods and one description for each are needed, but got "
                f"{len(self.methods)} and {len(told)}; write methods=(fw.Predict(X), ...), descriptions=('...', ...)"
            )
        if not all(isinstance(text, str) and text.strip() for text in told):
            raise SignatureError(f"MetaReasoning: a description must say what its method does, but got {told!r:.200}")
        ours = shape(Type("record", self.signature))
        other = next((m for m in self.methods if shape(Type("record", m.signature)) != ours), None)
        if other is not None:
            raise SignatureError(
                f"MetaReasoning({self.signature.as_text()}): methods must give the same outputs, but {other.kind} is "
                f"over {other.signature.as_text()}; give it this signature"
            )

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Trace the scoring and each method on the same inputs; select one by its score."""
        current = tracer("MetaReasoning")
        named = self.named(self.name or "meta_reasoning")
        asks: Module[Any] = MethodScores(
            self.of, descriptions=self.descriptions, name=f"{named.name}.scoring", instruction=named.instruction,
            demos=(), template=self.template, engine=named.engine,
        )  # fmt: skip
        scored = asks.trace(*records, **inputs)
        drafts = [m.trace(*records, **inputs) for m in named.methods]
        b, name = current.builder, named.name
        # A list, since a failure in it is passed over: the first method then answers.
        found = b.gather(current.unique(f"{name}.found"), asks.signature, (current.ref(scored),))
        chosen = current.ref(drafts[-1])
        for i, draft in reversed(list(enumerate(drafts[:-1]))):
            place = b.const(current.unique(f"{name}.place_{i + 1}"), i)
            leads = compute(b, current.unique(f"{name}.leads_{i + 1}"), best_scored, found, place)
            chosen = b.select(current.unique(f"{name}.select_{i + 1}"), leads, current.ref(draft), chosen, draft._type)
        return Symbol(chosen, Type("record", self.signature), current)


@computation
def best_scored(scored: list[Any], place: int) -> bool:
    """Whether the method at a place has the highest score, the first of those that have it."""
    scores = list(vars(scored[0]).values()) if scored else [1]
    return scores.index(max(scores)) == place
