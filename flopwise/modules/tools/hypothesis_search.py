"""HypothesisSearch: rules in words, then programs checked on examples (Wang et al., 2023, arXiv:2309.05660)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.choices import Var
from ...ir.longest import longest_output
from ...ir.nodes import Type
from ...ir.prompt import Message, Prompt, Ref, Slot, Text
from ...ir.request import Decoding
from ...ir.schemas import STRING, Field, Schema, canonical, type_name
from ..base import Module, S
from ..computed import compute, numbered
from ..limits import check_seconds, check_whole
from ..open import Open
from ..template import Writer
from .induced import after, applying, better, check_examples, checking, outcome, place_at, places

FENCE, STOP = "```python\n", ("\n```",)
TEMPERATURE = 0.7  # hypotheses that are all alike would be one
REPORT_TOKENS = 192
_HYPOTHESIS = Schema("Hypothesis", "", (), (Field("hypothesis", STRING),))
_CHECKED = Schema("Checked", "", (), (Field("passed", canonical({"type": "integer"})), Field("report", STRING)))


@dataclass(frozen=True)
class HypothesisSearch(Module[S]):
    r"""Several hypotheses about a rule; the best of them become programs, and one that fits all examples is applied.

    The signature has an input that holds the examples: a list of objects with every other input and every output by
    name, such as `examples: list[Pair]` beside `x: list[int]` and the output `y: list[int]`, where a Pair has x and y.
    Only the examples are shown to the model; what is asked for is computed by the program.

    Attributes:
        examples: Name of the input that holds the examples.
        n: Hypotheses that are drawn; a whole number or `fw.integer(...)`.
        keep: Of those, how many are tried as programs; a whole number or `fw.integer(...)`.
        repairs: Rounds in which a program is shown what it gets wrong and written again.
        seconds: CPU seconds that a program may take, over all examples.
        temperature: Of the hypotheses 0.7 where not given; programs are greedy then.
        max_tokens: Most tokens of a program.
        hypothesis_tokens: Most tokens of a hypothesis.

    Hypotheses are tried one after another, the most promising first, and the first program that gets every example
    right ends the search; else the one that gets most of them right is applied. The paper tries all and then takes the
    same one. A template writes the prompt of the hypotheses. Its record has the further fields `hypothesis` and
    `program`.

    Use it for rules to be found from a few examples: lists, strings, grids.

    Cost: at most n + 1 + keep x (1 + repairs) calls; n x C(p, h) + C(p + n x h, few) + keep x (C(p + h, m) + repairs x
    C(p + h + m + r, m)), for hypotheses of h tokens, programs of m and reports of r; no choice where keep >= n.
    Limits: no worked examples beside the input's own; if no program runs, the query fails.

    Expands to::

        graph HypothesisSearch(examples, x):
          %HypothesisSearch.hypotheses: list[Hypothesis] = loop(%examples) repeat at most 3 trips (1 required) with examples
            graph hypotheses(examples):
              %hypothesis: text = generate() n=1 T=0.7 max=96 from %examples
              %record: Hypothesis = parse(%hypothesis) text -> hypothesis
              return %record
          %HypothesisSearch.takes: value = const() ['x']
          %HypothesisSearch.gives: value = const() ['y']
          %HypothesisSearch.check: value = host(%examples, %HypothesisSearch.takes, %HypothesisSearch.gives) flopwise.modules.tools.induced:checking
          %HypothesisSearch.none: value = const() {'passed': -1, 'fits': False, 'program': '', 'hypothesis': ''}
          %HypothesisSearch.turn: value = const() 0
          %HypothesisSearch.fields: value = const() ['hypothesis']
          %HypothesisSearch.listing: value = host(%HypothesisSearch.hypotheses, %HypothesisSearch.fields) flopwise.modules.computed:numbered
          %HypothesisSearch.best: text = generate() n=1 T=0 max=29 from %examples, %HypothesisSearch.listing
          %HypothesisSearch.choice: Choice = parse(%HypothesisSearch.best) json -> best
          %HypothesisSearch.chosen: list[Choice] = gather(%HypothesisSearch.choice)
          %HypothesisSearch.keep: value = const() 1
          %HypothesisSearch.places: value = host(%HypothesisSearch.chosen, %HypothesisSearch.hypotheses, %HypothesisSearch.keep) flopwise.modules.tools.induced:places
          %HypothesisSearch.head: value = const() 'def solve(x):\n'
          %HypothesisSearch.search: tuple = loop(%HypothesisSearch.none, %HypothesisSearch.turn, %HypothesisSearch.hypotheses, %HypothesisSearch.places, %examples, %HypothesisSearch.check, %HypothesisSearch.head) while at most 1 trips (1 required) until %best.fits with best, turn, hypotheses, places, examples, check, head
            graph search(best, turn, hypotheses, places, examples, check, head):
              %place: value = host(%places, %turn) flopwise.modules.tools.induced:place_at
              %rule: Hypothesis = reduce(%hypotheses, %place) at
              %program: text = generate() n=1 T=0 max=256 stop=['\n```'] from %examples, %rule.hypothesis
              %run: result = execute(%head, %program, %check) read passed, report within 5 s
              %outcome: value = host(%run.ok, %run.values, %run.error) flopwise.modules.tools.induced:outcome
              %better: value = host(%best, %rule.hypothesis, %head, %program, %outcome) flopwise.modules.tools.induced:better
              %repair: tuple = loop(%program, %outcome, %better, %rule.hypothesis, %check, %head) while at most 1 trips (0 required) until %checked.fits with program, checked, best, rule, check, head
                graph repair(program, checked, best, rule, check, head):
                  %rewrite: text = generate() n=1 T=0 max=256 stop=['\n```'] from %program, %checked.report
                  %run: result = execute(%head, %rewrite, %check) read passed, report within 5 s
                  %outcome: value = host(%run.ok, %run.values, %run.error) flopwise.modules.tools.induced:outcome
                  %better: value = host(%best, %rule, %head, %rewrite, %outcome) flopwise.modules.tools.induced:better
                  return %rewrite, %outcome, %better
              %next: value = host(%turn) flopwise.modules.tools.induced:after
              return %repair[2], %next
          %HypothesisSearch.use: value = host(%HypothesisSearch.takes, %HypothesisSearch.gives, %x) flopwise.modules.tools.induced:applying
          %HypothesisSearch.apply: result = execute(%HypothesisSearch.search[0].program, %HypothesisSearch.use) read y within 5 s
          %HypothesisSearch.record: Answer = parse(%HypothesisSearch.apply, %examples, %x, %HypothesisSearch.search[0].hypothesis, %HypothesisSearch.search[0].program) result -> examples, x, hypothesis, program, y
          return %HypothesisSearch.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("hypotheses", "hypothesis", "program")
    answers: ClassVar[bool] = False
    demos: Any = field(default=(), kw_only=True)
    max_tokens: int = field(default=256, kw_only=True)
    examples: str = field(default="examples", kw_only=True)
    n: Any = field(default=5, kw_only=True)
    keep: Any = field(default=2, kw_only=True)
    repairs: int = field(default=1, kw_only=True)
    seconds: float = field(default=5.0, kw_only=True)
    hypothesis_tokens: int = field(default=96, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("HypothesisSearch", "n", self.n, 1)
        check_whole("HypothesisSearch", "keep", self.keep, 1)
        check_whole("HypothesisSearch", "repairs", self.repairs, 0, fixed=True)
        check_whole("HypothesisSearch", "hypothesis_tokens", self.hypothesis_tokens, 1, fixed=True)
        check_seconds("HypothesisSearch", self.seconds)
        if isinstance(self.demos, (Open, Var)) or self.demos:
            raise SignatureError("HypothesisSearch: demos: it shows no worked examples but those of its input")
        check_examples(self.signature, self.examples)

    @property
    def _given(self) -> list[str]:
        """The inputs that the rule takes."""
        return [f.name for f in self.signature.inputs if f.name != self.examples]

    @property
    def _head(self) -> str:
        return f"def solve({', '.join(self._given)}):\n"

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Draw hypotheses, choose the best, try them as programs, apply the best program."""
        schema, examples = self.signature, inputs[self.examples]
        drawn = self._draw(b, examples)
        takes, gives = b.const("takes", self._given), b.const("gives", list(schema.output_names))
        check = compute(b, "check", checking, examples, takes, gives)
        bind = {
            "best": b.const("none", {"passed": -1, "fits": False, "program": "", "hypothesis": ""}),
            "turn": b.const("turn", 0),
            "hypotheses": drawn,
            "places": self._choose(b, drawn, examples),
            "examples": examples,
            "check": check,
            "head": b.const("head", self._head),
        }
        region, until = b.region("search", self._try, schema), Ref("best", ("fits",))
        best = b.loop("search", "while", region, bind, self._kept, Type("tuple"), required=1, until=until).at(0)
        use = compute(b, "use", applying, takes, gives, *(inputs[name] for name in self._given))
        result = b.execute("apply", (best.at("program"), use), schema, self.seconds)
        extra = {**inputs, "hypothesis": best.at("hypothesis"), "program": best.at("program")}
        return b.parse("record", result, schema, "result", extra)

    @property
    def _kept(self) -> int:
        return int(min(self.keep, self.n))

    def _draw(self, b: Builder, examples: Ref) -> Ref:
        """A list of hypotheses in words."""
        decoding = replace(self.decoding(max_tokens=self.hypothesis_tokens), temperature=self._warm)

        def body(inner: Builder) -> tuple[Ref, ...]:
            shown = {self.examples: inner.input("examples", Type("value"))}
            writer = Writer(self.signature, own=self.template)
            prompt = writer.prompt(inner, shown, (), technique=_say_the_rule(self))
            said = inner.generate("hypothesis", prompt, decoding)
            return (inner.parse("record", said, _HYPOTHESIS, "text"),)

        region, kind = b.region("hypotheses", body, _HYPOTHESIS), Type("record", _HYPOTHESIS, many=True)
        return b.loop("hypotheses", "repeat", region, {"examples": examples}, self.n, kind)

    @property
    def _warm(self) -> float:
        return self.decoding().temperature or TEMPERATURE

    def _choose(self, b: Builder, drawn: Ref, examples: Ref) -> Ref:
        """Places of the hypotheses to try; the first ones where the choice cannot be read."""
        kept = self._kept
        if kept == self.n:
            return b.const("places", list(range(kept)))
        kind = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": self.n}}
        schema = Schema("Choice", "", (), (Field("best", canonical({**kind, "minItems": kept, "maxItems": kept})),))
        listing = compute(b, "listing", numbered, drawn, b.const("fields", ["hypothesis"]), shows=("hypothesis",))
        shown = {self.examples: examples, "hypotheses": listing}
        prompt = Writer(self.signature).prompt(b, shown, (), technique=_choose_best(kept))
        said = b.generate("best", prompt, Decoding(max_tokens=(longest_output(schema) or 0) + 1))
        # A list passes on without what failed.
        read = b.gather("chosen", schema, (b.parse("choice", said, schema, "json"),))
        return compute(b, "places", places, read, drawn, b.const("keep", kept))

    def _try(self, b: Builder) -> tuple[Ref, ...]:
        """The next hypothesis as a program, checked and repaired; the better of it and what was best before."""
        best, turn = b.input("best", Type("value")), b.input("turn", Type("value"))
        drawn = b.input("hypotheses", Type("record", _HYPOTHESIS, many=True))
        listed, shown = b.input("places", Type("value")), {self.examples: b.input("examples", Type("value"))}
        check, head = b.input("check", Type("value")), b.input("head", Type("value"))
        place = compute(b, "place", place_at, listed, turn)
        rule = b.reduce("rule", drawn, _HYPOTHESIS, "at", at=place).at("hypothesis")
        shown["hypothesis"] = rule
        prompt = Writer(self.signature).prompt(b, shown, (), technique=_write_it(self))
        prompt = replace(prompt, prefill=(Text(FENCE + self._head),))
        program = b.generate("program", prompt, self.decoding(stop=STOP))
        checked, best = self._run(b, best, rule, program, check, head)
        if self.repairs:
            bind = {"program": program, "checked": checked, "best": best, "rule": rule, "check": check, "head": head}
            region, until = b.region("repair", self._repair, self.signature), Ref("checked", ("fits",))
            best = b.loop(
                "repair", "while", region, bind, self.repairs, Type("tuple"), required=0, until=until
            ).at(2)  # fmt: skip
        return best, compute(b, "next", after, turn)

    def _repair(self, b: Builder) -> tuple[Ref, ...]:
        """A further turn shows what the program gets wrong and asks for all of it again."""
        program, checked = b.input("program", Type("text")), b.input("checked", Type("value"))
        best, rule, check, head = (b.input(name, Type("value")) for name in ("best", "rule", "check", "head"))
        said = (
            Text("This is wrong:\n"),
            Slot(checked.at("report"), REPORT_TOKENS, truncate=True),
            Text("\nWrite the whole function again, corrected."),
        )
        prompt = Prompt((Message("user", said),), (Text(FENCE + self._head),), continues=program)
        again = b.generate("rewrite", prompt, self.decoding(stop=STOP))
        return again, *self._run(b, best, rule, again, check, head)

    def _run(self, b: Builder, best: Ref, rule: Ref, program: Ref, check: Ref, head: Ref) -> tuple[Ref, Ref]:
        """How a program does on the examples, and the better of it and the best before it."""
        result = b.execute("run", (head, program, check), _CHECKED, self.seconds)
        checked = compute(b, "outcome", outcome, result.at("ok"), result.at("values"), result.at("error"))
        cap = self.max_tokens + len(self._head.encode())
        return checked, compute(b, "better", better, best, rule, head, program, checked, cap=cap)


def _say_the_rule(module: HypothesisSearch[Any]) -> str:
    return (
        f"The examples follow one rule that gives {_names(module.signature.output_names)} from "
        f"{_names(module._given)}. Say the rule in one or two sentences, so exactly that one could apply it to a new "
        "case. Give the rule and nothing else."
    )


def _choose_best(keep: int) -> str:
    return (
        "The examples follow one rule. Below are hypotheses about it. Check them on the examples and choose the "
        f"{keep} that {'is' if keep == 1 else 'are'} most likely right, the best first. Give a JSON object with their "
        'numbers: {"best": [...]}.'
    )


def _write_it(module: HypothesisSearch[Any]) -> str:
    outputs = module.signature.outputs
    kinds = ", ".join(f"`{f.name}` ({type_name(f.type)})" for f in outputs)
    gives = f"a dict with the keys {kinds}" if len(outputs) > 1 else kinds
    return (
        f"The examples follow one rule. Write it as a Python function `{module._head[4:-2]}` that returns {gives}. "
        "It must be right for every example."
    )


def _names(names: Any) -> str:
    return " and ".join(f"`{name}`" for name in names)
