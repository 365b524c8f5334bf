"""NeuroSymbolic: the model writes facts and rules, a solver finds what follows (Wang et al., arXiv:2411.18564)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.nodes import Type
from ...ir.prompt import Message, Prompt, Ref, Slot, Text
from ...ir.schemas import Field, Schema, type_name
from ..base import Module, S
from ..limits import check_whole
from ..settings import is_number
from ..template import Writer

FENCE, FACTS, RULES = "```asp\n", "% facts\n", "\n% rules\n"
STOP = ("\n```",)
ERROR_TOKENS = 160
_TEMPLATE = (
    "{% block assistant %}" + FENCE + "{{ demo.logic_program }}\n```{% endblock %}"
    "{% block prefill %}" + FENCE + FACTS + "{% endblock %}"
)


@dataclass(frozen=True)
class NeuroSymbolic(Module[S]):
    r"""The input as facts, then rules that derive the outputs; clingo solves both and says what is wrong with them.

    An output is an atom of its name in the answer set, such as `answer(7).` A list has an atom for each item, with the
    item's place before it where order matters; an object's atom has its properties as arguments; a truth value is false
    where there is no atom. Numbers are whole, of 32 bits: a larger one in the program is refused, but what clingo works
    out wraps unseen. Where there are several answer sets, all have to agree in the outputs.

    Attributes:
        repairs: Rounds in which a program that gives no outputs is shown what the solver said and written again; a
            whole number or `fw.integer(...)`. The paper has three.
        seconds: CPU seconds that the solver may take.
        max_tokens: Most tokens of the facts, of the rules, and of a program that is written again.

    The solver runs in the sandbox, without scripts. It comes with the extra: `pip install 'flopwise[asp]'`. Its record
    has the further field `logic_program`, which worked examples show.

    Use it where the answer follows from what is said by rules: places, orders, schedules, puzzles, relations.

    Cost: at most 2 + repairs calls; C(p, m) + C(p + m, m) + the sum over repairs of C(h + e, m), for parts of m tokens,
    messages of e and the conversation so far h, read from the cache. Limits: small models seldom know the language; if
    no program gives the outputs, the query fails.

    Expands to::

        graph NeuroSymbolic(question):
          %NeuroSymbolic.facts: text = generate() n=1 T=0 max=256 stop=['\n% rules', '\n```'] from %question
          %NeuroSymbolic.rules: text = generate() n=1 T=0 max=256 stop=['\n```'] from %NeuroSymbolic.facts
          %NeuroSymbolic.begin: value = const() '% facts\n'
          %NeuroSymbolic.then: value = const() '\n% rules\n'
          %NeuroSymbolic.solve: result = execute(%NeuroSymbolic.begin, %NeuroSymbolic.facts, %NeuroSymbolic.then, %NeuroSymbolic.rules) asp, read answer within 5 s
          %NeuroSymbolic.repair: tuple = loop(%NeuroSymbolic.rules, %NeuroSymbolic.solve) while at most 3 trips (0 required) until %result.ok with program, result
            graph repair(program, result):
              %rewrite: text = generate() n=1 T=0 max=512 stop=['\n```'] from %program, %result.error
              %begin: value = const() '% facts\n'
              %solve: result = execute(%begin, %rewrite) asp, read answer within 5 s
              return %rewrite, %solve
          %NeuroSymbolic.record: Answer = parse(%NeuroSymbolic.repair[1], %question, %NeuroSymbolic.repair[1].program) result -> question, logic_program, answer
          return %NeuroSymbolic.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("logic_program",)
    explains: ClassVar[tuple[str, ...]] = ("logic_program",)
    answers: ClassVar[bool] = False
    max_tokens: int = field(default=256, kw_only=True)
    repairs: Any = field(default=3, kw_only=True)
    seconds: float = field(default=5.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("NeuroSymbolic", "repairs", self.repairs, 0)
        if not is_number(self.seconds) or not 0 < self.seconds < math.inf:
            raise SignatureError(
                f"NeuroSymbolic: `seconds > 0` must hold, but got {self.seconds!r}; say how long solving may take"
            )
        _check_predicates(self.signature)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Facts, rules in the same turn, the solver; while it finds no outputs, all is written again."""
        schema = self.signature
        writer = Writer(schema, _TEMPLATE, self.template)
        prompt = writer.prompt(b, inputs, self.worked, technique=_request(schema))
        facts = b.generate("facts", prompt, self.decoding(stop=(RULES.rstrip("\n"), *STOP)))
        rules = b.generate("rules", Prompt((), (Text(RULES),), continues=facts), self.decoding(stop=STOP))
        program = (b.const("begin", FACTS), facts, b.const("then", RULES), rules)
        result = b.execute("solve", program, schema, self.seconds, "asp")
        if self.repairs:
            bind = {"program": rules, "result": result}
            region, until = b.region("repair", self._rewrite, schema), Ref("result", ("ok",))
            result = b.loop(
                "repair", "while", region, bind, self.repairs, Type("tuple"), required=0, until=until
            ).at(1)  # fmt: skip
        return b.parse("record", result, schema, "result", {**inputs, "logic_program": result.at("program")})

    def _rewrite(self, b: Builder) -> tuple[Ref, ...]:
        """A further turn shows what the solver said and asks for the whole program again."""
        program, result = b.input("program", Type("text")), b.input("result", Type("result"))
        said = (
            Text("The solver says:\n"),
            Slot(result.at("error"), cap=ERROR_TOKENS, truncate=True),
            Text("\nWrite the whole program again, facts and rules, corrected."),
        )
        prompt = Prompt((Message("user", said),), (Text(FENCE + FACTS),), continues=program)
        again = b.generate("rewrite", prompt, self.decoding(stop=STOP, max_tokens=2 * self.max_tokens))
        solved = b.execute("solve", (b.const("begin", FACTS), again), self.signature, self.seconds, "asp")
        return again, solved


def _check_predicates(schema: Schema) -> None:
    """Predicates begin with a small letter."""
    wrong = next((f.name for f in schema.outputs if not f.name.lstrip("_")[:1].islower() or not f.name.isascii()), None)
    if wrong:
        raise SignatureError(
            f"NeuroSymbolic({schema.name}): an output is an atom of its name, and those begin with a small letter, "
            f"but got {wrong!r}; rename the field"
        )


def _request(schema: Schema) -> str:
    """What the program must do, in words, and how each output is written."""
    outputs = "\n".join(f"- {_atom(f)}{f', {f.desc}' if f.desc else ''}" for f in schema.outputs)
    return (
        "Solve this with an answer set program for clingo. First write what is given as facts, such as left_of(a,b). "
        "Then write rules that derive the result from the facts. Constants are written in small letters, variables "
        f"with a capital; every variable of a rule stands in a positive atom of its body. The result is:\n{outputs}"
    )


def _atom(f: Field) -> str:
    """The atom that says an output."""
    kinds = [k for k in f.type.get("anyOf", [f.type]) if k.get("type") != "null"]
    kind = kinds[0] if len(kinds) == 1 else f.type
    if kind.get("type") == "array":
        items = kind.get("items", {})
        inner = _arguments(items) or "Item"
        place = "" if _arguments(items) else f", or {f.name}(Place,Item) with whole numbers where order matters"
        return f"{f.name}({inner}) for each item ({type_name(items)}){place}"
    if kind.get("type") == "object":
        return f"{f.name}({_arguments(kind)})" if _arguments(kind) else f"{f.name}(Key,Value) for each key"
    if kind.get("type") == "boolean":
        return f"{f.name} if and only if it is true"
    return f"one atom {f.name}(X) where X is of type {type_name(kind)}"


def _arguments(kind: dict[str, Any]) -> str:
    """The properties of an object as variables."""
    return ",".join(name[:1].upper() + name[1:] for name in kind.get("properties", ()))
