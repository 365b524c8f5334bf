"""PlanAndBudget: sub-questions that share a budget of tokens (Plan-and-Budget, Lin et al., 2025, arXiv:2505.16122)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.grammars import output_form
from ...ir.longest import longest_output
from ...ir.nodes import Type
from ...ir.prompt import Prompt, Ref, Slot
from ...ir.request import Decoding
from ...ir.schemas import Field, Schema, canonical
from ..base import Module, S
from ..computed import computation, compute
from ..extract import answer_tokens
from ..limits import check_label, check_whole
from ..template import Writer
from .further_turn import further
from .predict import wanted

DECAYS = ("none", "linear", "polynomial", "exponential", "cosine")
HARDEST = 5
_STATE = {"state.said": Type("text"), "state.left": Type("value"), "state.over": Type("value")}
_TEMPLATE = "{% block assistant %}{{ demo.plan }}{% endblock %}"


@dataclass(frozen=True)
class PlanAndBudget(Module[S]):
    r"""The task is split into sub-questions, and each gets its share of a token budget by complexity and place.

    One turn of the conversation lists the sub-questions, the next estimates the complexity of each from 1 to 5, then
    they are answered in order. Of m sub-questions number j (from 0) gets budget x c(j) d(j) / sum of c d tokens, with
    its complexity c and the decay d: 1, m - j, (m - j)^2, 0.9^j or (1 + cos(pi j / m)) / 2. It may take the largest
    tier of tokens that its share covers, at least the first. A tier is a static limit: the answer is written up to the
    first one; where that cut it off and it may take more, the same turn goes on up to the next. So the static bound
    counts each sub-question once, at the last tier.

    Attributes:
        budget: Tokens for all sub-answers together.
        tiers: Limits in tokens that a sub-answer can have, ascending.
        most: Most sub-questions; what the plan lists beyond them is left out.
        decay: "none", "linear", "polynomial", "exponential" or "cosine" over the places, or a choice of these.

    Worked examples show plans, a sub-question a line. Its record has the further field `plan`.

    Use it where a model that reasons freely spends as many tokens on easy inputs as on hard ones.

    Cost: for m sub-questions 3 + m calls, two of a few tokens, and one more for each tier that one goes up. With p
    tokens of prompt, n of max_tokens, t of the tier, and what stands before read from the cache:
    C(p, n) + C(50, 20 + 3 most) + sum over m of C(60, t) + C(20, few).

    Limits: shares below the first tier are rounded up to it, all others down to a tier. A sub-answer that reaches its
    limit is cut in mid-sentence. Complexities that do not parse, or are missing, count as 3.

    Expands to::

        graph PlanAndBudget(question):
          %PlanAndBudget.plan: text = generate() n=1 T=0 max=256 from %question
          %PlanAndBudget.rate: text = generate() n=1 T=0 max=32 from %PlanAndBudget.plan
          %PlanAndBudget.rated: Complexities = parse(%PlanAndBudget.rate) json -> complexity
          %PlanAndBudget.rates: list[Complexities] = gather(%PlanAndBudget.rated)
          %PlanAndBudget.most: value = const() 5
          %PlanAndBudget.listed: value = host(%PlanAndBudget.plan.text, %PlanAndBudget.most) flopwise.modules.prompting.plan_and_budget:listed
          %PlanAndBudget.budget: value = const() 768
          %PlanAndBudget.decay: value = const() 'polynomial'
          %PlanAndBudget.tiers: value = const() [64, 128, 256]
          %PlanAndBudget.steps: value = host(%PlanAndBudget.listed, %PlanAndBudget.rates, %PlanAndBudget.budget, %PlanAndBudget.decay, %PlanAndBudget.tiers) flopwise.modules.prompting.plan_and_budget:allotted
          %PlanAndBudget.unsolved: value = const() False
          %PlanAndBudget.solve: tuple = loop(%PlanAndBudget.rate, %PlanAndBudget.steps, %PlanAndBudget.unsolved) while at most 5 trips (1 required) until %state.over with state.said, state.left, state.over
            graph solve(state.said, state.left, state.over):
              %ask: value = host(%state.left) flopwise.modules.prompting.plan_and_budget:asked
              %up_to_64: text = generate() n=1 T=0 max=64 from %state.said, %ask
              %up_to_128: text = generate() n=1 T=0 max=64 from %up_to_64
              %up_to_256: text = generate() n=1 T=0 max=128 from %up_to_128
              %tier_256: value = const() 2
              %to_256: value = host(%up_to_128.sample.finish, %state.left, %tier_256) flopwise.modules.prompting.plan_and_budget:may_go_on
              %within_256: text = select(%to_256, %up_to_256, %up_to_128)
              %tier_128: value = const() 1
              %to_128: value = host(%up_to_64.sample.finish, %state.left, %tier_128) flopwise.modules.prompting.plan_and_budget:may_go_on
              %within_128: text = select(%to_128, %within_256, %up_to_64)
              %rest: value = host(%state.left) flopwise.modules.prompting.plan_and_budget:others
              %over: value = host(%rest) flopwise.modules.prompting.plan_and_budget:none_left
              return %within_128, %rest, %over
          %PlanAndBudget.answer: text = generate() n=1 T=0 max=32 from %PlanAndBudget.solve[0]
          %PlanAndBudget.record: Answer = parse(%PlanAndBudget.answer, %question, %PlanAndBudget.plan.text) scalar -> question, plan, answer
          return %PlanAndBudget.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("plan",)
    explains: ClassVar[tuple[str, ...]] = ("plan",)
    answers: ClassVar[bool] = False
    max_tokens: int = field(default=256, kw_only=True)
    budget: Any = field(default=768, kw_only=True)
    tiers: tuple[int, ...] = field(default=(64, 128, 256, 512), kw_only=True)
    most: Any = field(default=5, kw_only=True)
    decay: Any = field(default="polynomial", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("PlanAndBudget", "budget", self.budget, 1)
        check_whole("PlanAndBudget", "most", self.most, 1)
        check_label("PlanAndBudget", "decay", self.decay, DECAYS)
        whole = [t for t in self.tiers if isinstance(t, int) and not isinstance(t, bool) and t > 0]
        if not whole or len(whole) < len(self.tiers) or any(a >= b for a, b in pairwise(whole)):
            raise SignatureError(
                f"PlanAndBudget: tiers must be ascending whole numbers of tokens, but got {self.tiers!r}; "
                "such as tiers=(64, 128, 256)"
            )

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The plan, its complexities, a region that answers the sub-questions, and the outputs, parsed."""
        schema = self.signature
        devise = (
            f"Split the task into at most {self.most} sub-questions that lead to its answer, in the order in which to "
            "answer them. Write one a line and nothing else. Do not answer them yet."
        )
        ask = Writer(schema, _TEMPLATE, self.template).prompt(b, inputs, self.worked, technique=devise)
        plan = b.generate("plan", ask, self.decoding())
        rated = self._rated(b, plan)
        steps = self._allotted(b, plan, rated)
        bind = dict(zip(_STATE, (rated, steps, b.const("unsolved", False)), strict=True))
        body = b.region("solve", self._solved, schema)
        until = Ref("state.over")
        done = b.loop("solve", "while", body, bind, self.most, Type("tuple"), required=1, until=until)
        free = output_form(schema) == "text"
        last = further(done.at(0), f"Now use these answers to do the task. Give {wanted(schema)} and nothing else.")
        answer = b.generate("answer", last, self.decoding(max_tokens=None if free else answer_tokens(schema)))
        return b.parse("record", answer, schema, output_form(schema), {**inputs, "plan": plan.at("text")})

    def _rated(self, b: Builder, plan: Ref) -> Ref:
        """How complex each sub-question is, in the next turn."""
        asks = (
            "How complex is each of these sub-questions? Give a JSON object with a list of numbers, one for each in "
            f"their order, from 1 (trivial) to {HARDEST} (hard), and nothing else."
        )
        longest = longest_output(_complexities(self.most))
        assert longest is not None, "there are no more numbers than sub-questions"
        return b.generate("rate", further(plan, asks), Decoding(max_tokens=longest + 1))

    def _allotted(self, b: Builder, plan: Ref, rated: Ref) -> Ref:
        """The sub-questions, each with its tier."""
        schema = _complexities(self.most)
        # A list, since complexities that do not parse are no failure.
        found = b.gather("rates", schema, (b.parse("rated", rated, schema, "json"),))
        texts = compute(b, "listed", listed, plan.at("text"), b.const("most", self.most))
        settings = {"budget": self.budget, "decay": self.decay, "tiers": list(self.tiers)}
        return compute(b, "steps", allotted, texts, found, *(b.const(n, value) for n, value in settings.items()))

    def _solved(self, b: Builder) -> tuple[Ref, ...]:
        """One sub-question: asked with its limit, answered up to its tier."""
        said, left, _ = (b.input(carried, kind) for carried, kind in _STATE.items())
        around = asked([{"number": self.most, "text": "", "words": self.tiers[-1]}])
        ask = compute(b, "ask", asked, left, cap=self.max_tokens + len(around))  # no token is shorter than a byte
        ended = self._tiered(b, further(said, Slot(ask)), left)
        rest = compute(b, "rest", others, left)
        return ended, rest, compute(b, "over", none_left, rest)

    def _tiered(self, b: Builder, prompt: Prompt, left: Ref) -> Ref:
        """A generation up to the first tier; while it is cut off there and may take more, it goes on to the next."""
        first, *_ = self.tiers
        parts = [b.generate(f"up_to_{first}", prompt, self.decoding(max_tokens=first))]
        further_tiers = list(enumerate(pairwise(self.tiers), 1))
        for _, (low, high) in further_tiers:
            more = replace(self.decoding(), max_tokens=high - low)
            parts.append(b.generate(f"up_to_{high}", Prompt((), (), continues=parts[-1]), more))
        ended = parts[-1]
        for i, (_, high) in reversed(further_tiers):
            cut = parts[i - 1].at("sample", "finish")
            goes_on = compute(b, f"to_{high}", may_go_on, cut, left, b.const(f"tier_{high}", i))
            ended = b.select(f"within_{high}", goes_on, ended, parts[i - 1], Type("text"))
        return ended


def _complexities(most: int) -> Schema:
    numbers = {"type": "integer", "enum": list(range(1, HARDEST + 1))}
    kind = canonical({"type": "array", "items": numbers, "minItems": 1, "maxItems": most})
    return Schema("Complexities", "", (), (Field("complexity", kind),))


@computation
def listed(plan: str, most: int) -> list[str]:
    """The sub-questions of a plan, one a line; where there is none, the task is the only one."""
    lines = [re.sub(r"^\s*(?:[-*]|\d+[.):])\s+", "", line).strip() for line in plan.splitlines()]
    return [line for line in lines if line][:most] or ["What is asked?"]


@computation
def allotted(texts: list[str], rates: list[Any], budget: int, decay: str, tiers: list[int]) -> list[Any]:
    """The sub-questions, numbered, with the places of their tiers and how many words these are.

    Args:
        texts: The sub-questions.
        rates: A record with complexities, or nothing.
        budget: Tokens for all.
        decay: How much earlier ones are favoured.
        tiers: Limits in tokens, ascending.
    """
    m = len(texts)
    complexity = [*(rates[0].complexity if rates else []), *[3] * m][:m]
    decays: dict[str, list[float]] = {
        "none": [1] * m,
        "linear": [m - j for j in range(m)],
        "polynomial": [(m - j) ** 2 for j in range(m)],
        "exponential": [0.9**j for j in range(m)],
        "cosine": [(1 + math.cos(math.pi * j / m)) / 2 for j in range(m)],
    }
    weights = [c * d for c, d in zip(complexity, decays[decay], strict=True)]
    places = [max(0, sum(t <= budget * w / sum(weights) for t in tiers) - 1) for w in weights]
    return [
        {"number": i, "text": text, "tier": place, "words": tiers[place] * 3 // 4}
        for i, (text, place) in enumerate(zip(texts, places, strict=True), 1)
    ]


@computation
def asked(left: list[Any]) -> str:
    """What the user says of the next sub-question. Models count words better than tokens."""
    step = left[0]
    return f"Sub-question {step['number']}: {step['text']}\nAnswer it step by step, in at most {step['words']} words."


@computation
def may_go_on(finish: str, left: list[Any], tier: int) -> bool:
    """Whether the sub-question's answer was cut off by its limit and may take the tier at this place."""
    return finish == "length" and left[0]["tier"] >= tier


@computation
def others(left: list[Any]) -> list[Any]:
    """All but the first."""
    return left[1:]


@computation
def none_left(left: list[Any]) -> bool:
    """Whether there is no further sub-question."""
    return not left
