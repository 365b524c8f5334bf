"""BranchSolveMerge: a task cut into parts, each solved by itself, and the solutions merged.

Branch-Solve-Merge (Saha et al., 2023, arXiv:2310.15123).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.grammars import output_form
from ...ir.nodes import Type
from ...ir.prompt import Ref
from ...ir.schemas import Field, Schema
from ...ir.types import type_json
from ..base import Module, S
from ..computed import computation, compute
from ..extract import reason_then_extract
from ..limits import check_whole
from ..prompting.predict import reasoned, wanted
from ..template import Writer
from .candidates import items

PART_TOKENS = 64  # of a part as it stands in prompts; a longer one is cut
_PART = Schema("Part", "", (), (Field("part", type_json(str, "part")), Field("solution", type_json(str, "solution"))))
_INPUTS = "{% for f in inputs %}{{ f.label }}: {{ f.value }}\n{% endfor %}"
_BRANCH = f"{{% block user %}}{{{{ technique }}}}\n\n{_INPUTS}{{% endblock %}}"
_SOLVE = (
    "{% block user %}The task below is done in parts, of which you do one alone. Be brief, and do no other part.\n\n"
    "{% for f in inputs[:-1] %}{{ f.label }}: {{ f.value }}\n{% endfor %}\nYour part: {{ part }}{% endblock %}"
)
_MERGE = (
    "{% block user %}The parts of the task below were done one by one; each may be right or wrong. Merge them. "
    "{{ technique }}\n\n"
    "{% for f in inputs[:-1] %}{{ f.label }}: {{ f.value }}\n{% endfor %}\nParts:\n{{ parts }}{% endblock %}"
)


@dataclass(frozen=True)
class BranchSolveMerge(Module[S]):
    r"""Cuts the task into parts (sub-problems, or criteria of a judgement), solves them in parallel, merges them.

    Attributes:
        branches: Most parts, or a choice of that; the model may name fewer, and those are then fewer calls.
        part_tokens: Most tokens of the solution of a part.

    A single text is merged at once. For other outputs the merge is reasoned about first, and the record then has the
    further field `reasoning`. Each part is solved without sight of the others. A template writes the prompt that asks
    for parts. Use it for texts that have to meet several demands, and for judgements by several criteria; parts
    that need each other's results want a sequence instead, and small models often name parts that miss the point.
    Cost: C(q, max_tokens) + branches x C(q + 64, part_tokens) + C(q + branches x (64 + part_tokens), max_tokens), and
    for other outputs than a single text the few tokens of the outputs.

    Expands to::

        graph BranchSolveMerge(question):
          %BranchSolveMerge.branch: text = generate() n=1 T=0 max=60 from %question
          %BranchSolveMerge.most: value = const() 2
          %BranchSolveMerge.lines: value = host(%BranchSolveMerge.branch, %BranchSolveMerge.most) flopwise.modules.judging.candidates:items
          %BranchSolveMerge.unsolved: value = const() ''
          %BranchSolveMerge.part_1: Part = pack(%BranchSolveMerge.lines[0], %BranchSolveMerge.unsolved) part, solution
          %BranchSolveMerge.part_2: Part = pack(%BranchSolveMerge.lines[1], %BranchSolveMerge.unsolved) part, solution
          %BranchSolveMerge.parts: list[Part] = gather(%BranchSolveMerge.part_1, %BranchSolveMerge.part_2)
          %BranchSolveMerge.solved: list[Part] = loop(%BranchSolveMerge.parts, %question) map at most 2 trips (2 required) with one, question
            graph solved(one, question):
              %solve: text = generate() n=1 T=0 max=30 from %question, %one.part
              %nothing: value = const() ''
              %solution: value = select(%one.part, %solve.text, %nothing)
              %record: Part = pack(%one, %solution) base + solution
              return %record
          %BranchSolveMerge.told: value = host(%BranchSolveMerge.solved) flopwise.modules.judging.branch_solve_merge:told_parts
          %BranchSolveMerge.merge.reason: text = generate() n=1 T=0 max=60 stop=['\n\nAnswer:'] from %question, %BranchSolveMerge.told
          %BranchSolveMerge.merge.answer: text = generate() n=1 T=0 max=32 from %BranchSolveMerge.merge.reason
          %BranchSolveMerge.merge.record: Answer = parse(%BranchSolveMerge.merge.answer, %question, %BranchSolveMerge.merge.reason.text) scalar -> question, reasoning, answer
          return %BranchSolveMerge.merge.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("one", "part", "parts", "reasoning")
    answers: ClassVar[bool] = False
    demos: Any = field(default=(), kw_only=True)
    branches: Any = field(default=5, kw_only=True)
    part_tokens: int = field(default=256, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("BranchSolveMerge", "branches", self.branches, 2)
        check_whole("BranchSolveMerge", "part_tokens", self.part_tokens, 1)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A Generate that names the parts, one for each part, and one that merges them."""
        schema, plain = self.signature, output_form(self.signature) == "text"
        solved = self._solved(b, self._parts(b, inputs), inputs)
        parts = compute(b, "told", told_parts, solved, shows=_PART.output_names)
        technique = f"Give {wanted(schema)}." if plain else reasoned(schema)
        prompt = Writer(schema, _MERGE).prompt(b, {**inputs, "parts": parts}, (), technique=technique)
        with b.within("merge"):
            if not plain:
                return reason_then_extract(b, prompt, schema, self.decoding(), inputs)
            return b.parse("record", b.generate("answer", prompt, self.decoding()), schema, "text", inputs)

    def _parts(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The parts as a list of records; those that are not there are empty texts."""
        technique = (
            f"Do not do the task below yet. Cut it into at most {self.branches} parts that can be done one without the "
            "other and that together make up the whole: sub-problems, or criteria if something is to be judged. "
            "Write one on a line and nothing else."
        )
        prompt = Writer(self.signature, _BRANCH, self.template).prompt(b, inputs, (), technique=technique)
        said = b.generate("branch", prompt, self.decoding())
        lines = compute(b, "lines", items, said, b.const("most", self.branches), cap=PART_TOKENS)
        none = b.const("unsolved", "")
        fields = [{"part": lines.at(i), "solution": none} for i in range(self.branches)]
        return b.gather("parts", _PART, tuple(b.pack(f"part_{i}", _PART, f) for i, f in enumerate(fields, 1)))

    def _solved(self, b: Builder, parts: Ref, inputs: dict[str, Ref]) -> Ref:
        """Each part with its solution, side by side."""
        body = b.region("solved", self._solve, _PART)
        kind, most = Type("record", _PART, many=True), self.branches
        return b.loop("solved", "map", body, {"one": parts, **inputs}, most, kind, required=most)

    def _solve(self, b: Builder) -> tuple[Ref, ...]:
        one = b.input("one", Type("record", _PART))
        inputs = {f.name: b.input(f.name, Type("value", json=f.type_json)) for f in self.signature.inputs}
        prompt = Writer(self.signature, _SOLVE).prompt(b, {**inputs, "part": one.at("part")}, ())
        said = b.generate("solve", prompt, self.decoding(max_tokens=self.part_tokens))
        solution = b.select("solution", one.at("part"), said.at("text"), b.const("nothing", ""), Type("value"))
        return (b.pack("record", _PART, {"solution": solution}, base=one),)


@computation
def told_parts(parts: list[Any]) -> str:
    """The parts that there are, with their solutions."""
    there = [p for p in parts if p.part]
    return "\n\n".join(f"{i}. {p.part}\n{p.solution.strip()}" for i, p in enumerate(there, 1))
