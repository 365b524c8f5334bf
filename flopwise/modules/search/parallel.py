"""Parallel: sub-threads of reasoning that are spawned and joined.

Adaptive Parallel Reasoning (Pan et al., 2025, arXiv:2504.15466) as a static form, without training.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ...ir.builder import Builder
from ...ir.nodes import rewire_prompt
from ...ir.prompt import Prompt, Ref, Segment, Slot, Text
from ...ir.request import Decoding
from ..base import Module, S
from ..computed import compute
from ..extract import lead, marker, reason_then_extract
from ..limits import check_scale, check_whole
from ..prompting.predict import reasoned
from ..template import Writer
from .parallel_parts import joined, planned, solved, unplanned
from .step_regions import ITEM, each, inside, param, unless

_TEMPLATE = (
    "{% block user %}{% for f in inputs %}{{ f.label }}: {{ f.value }}\n{% endfor %}\n{% endblock %}"
    "{% block assistant %}{{ demo.reasoning }}\n\n{{ marker }}{{ answer }}{% endblock %}"
)
_SPLIT = "Can this be split into parts that can be worked out independently of each other? Answer Yes or No."
_PART = "Work out only the following part of this, step by step. Part: "
_RESULT = "\n\nResult:"
_MARKS = 48  # tokens of the number, the marks and the end of a line, and of the one before the first
PLAN = "parallel.plan"  # no field can have this name


@dataclass(frozen=True)
class Parallel(Module[S]):
    r"""Splits the task into parts, has each worked out in a thread of its own, and answers from their results.

    A closed question decides whether the task can be split. If so, a short plan lists up to `threads` parts; for each
    a thread, which sees the task and its part and nothing of the others, reasons and says its result in a line. Only
    the results are joined to the task, with which the model then reasons and gives the outputs. If not, it
    reasons at once.

    Attributes:
        threads: Most threads; or an `fw.integer(...)` choice.
        split_at: The probability of "Yes" from which on the task is split: 0 always splits it, more than 1 never. Or an
            `fw.real(...)` choice.
        line_tokens: Most tokens of a part and of a result; longer ones are cut.
        max_tokens: Most tokens of the reasoning of a thread, and of that after they are joined.

    Its record has the further fields `results` and `reasoning`. Worked examples are shown where the outputs are
    reasoned out. Use it where a task has parts that need not wait for each other: several cases, items or sources; it
    takes as long as one thread.

    Cost: one Score, one short Generate, for each part a Generate and a short one, then two as ChainOfThought. With p
    tokens of task, m of reasoning, s of a line and k threads:
    S(p) + C(p, k s) + k (C(p + s, m) + C(p + s + m, s)) + C(p + 2 k s, m) and the outputs.
    Limits: threads spawn no threads; a part that needs another's result is worked out without it.

    Expands to::

        graph Parallel(question):
          %Parallel.split: number = score() Yes/No from %question
          %Parallel.settings: value = const() {'at': 0.5, 'threads': 2}
          %Parallel.start: value = host(%Parallel.split, %Parallel.settings) flopwise.modules.search.parallel_parts:unplanned
          %Parallel.plan: tuple = loop(%Parallel.start, %question) while at most 1 trips (1 required) until %parallel.plan.ended with parallel.plan, question
            graph plan(parallel.plan, question):
              %once.parts: text = generate() n=1 T=0 max=96 stop=['\n3.'] from %question
              %once.plan: value = host(%parallel.plan, %once.parts) flopwise.modules.search.parallel_parts:planned
              return %once.plan
          %Parallel.threads.all: list[value] = gather(%Parallel.plan[0].parts[0], %Parallel.plan[0].parts[1])
          %Parallel.threads: list[value] = loop(%Parallel.threads.all, %question) map at most 2 trips (2 required) with each.item, question
            graph threads(each.item, question):
              %each.thread: tuple = loop(%each.item, %question) while at most 1 trips (1 required) until %each.item.ended with each.item, question
                graph thread(each.item, question):
                  %once.reason: text = generate() n=1 T=0 max=64 stop=['\n\nResult:'] from %question, %each.item.part
                  %once.result: text = generate() n=1 T=0 max=48 stop=['\n'] from %once.reason
                  %once.done: value = host(%each.item, %once.result) flopwise.modules.search.parallel_parts:solved
                  return %once.done
              return %each.thread[0]
          %Parallel.results: value = host(%Parallel.threads) flopwise.modules.search.parallel_parts:joined
          %Parallel.reason: text = generate() n=1 T=0 max=64 stop=['\n\nAnswer:'] from %question, %Parallel.results
          %Parallel.answer: text = generate() n=1 T=0 max=32 from %Parallel.reason
          %Parallel.record: Answer = parse(%Parallel.answer, %question, %Parallel.results, %Parallel.reason.text) scalar -> question, results, reasoning, answer
          return %Parallel.record
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("results", "reasoning")
    explains: ClassVar[tuple[str, ...]] = ("reasoning",)
    threads: Any = field(default=3, kw_only=True)
    split_at: Any = field(default=0.5, kw_only=True)
    line_tokens: int = field(default=48, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.kind, "threads", self.threads, 1)
        check_whole(self.kind, "line_tokens", self.line_tokens, 1)
        check_scale(self.kind, "split_at", self.split_at)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Whether to split, the plan, the threads side by side, and the outputs from what they found."""
        schema, writer = self.signature, Writer(self.signature, _TEMPLATE, self.template)
        task = writer.prompt(b, inputs)
        split = b.score("split", Prompt(_saying(task, Text(_SPLIT)).messages), ("Yes", "No"))
        told = b.const("settings", {"at": float(self.split_at), "threads": self.threads})
        start = compute(b, "start", unplanned, split, told, cap=self.line_tokens)
        passed = {param(r): r for r in task.refs()}
        plan = unless(
            b, "plan", PLAN, start, passed, lambda body: self._plan(body, rewire_prompt(task, inside)), schema
        )
        parts = tuple(plan.at("parts", i) for i in range(self.threads))
        threads = each(b, "threads", parts, passed, lambda body: self._spawned(body, task), schema)
        most = self.threads * (2 * self.line_tokens + _MARKS) + _MARKS
        results = compute(b, "results", joined, threads, cap=most)
        form = marker(schema) + lead(schema)
        whole = writer.prompt(b, inputs, self.worked, marker=form)
        ask = _saying(whole, Slot(results), Text(reasoned(schema)))
        return reason_then_extract(b, ask, schema, self.decoding(), {**inputs, "results": results})

    def _plan(self, b: Builder, task: Prompt) -> Ref:
        """The parts, as the model lists them."""
        ask = (
            f"Split this into parts, at most {self.threads}, that can be worked out independently of each other. "
            "Write each part on one line, nothing else."
        )
        decoding = self.decoding(stop=(f"\n{self.threads + 1}.",), max_tokens=self.threads * self.line_tokens)
        listed = b.generate("parts", replace(_saying(task, Text(ask)), prefill=(Text("1."),)), decoding)
        return compute(b, "plan", planned, Ref(PLAN), listed, cap=self.line_tokens)

    def _spawned(self, b: Builder, task: Prompt) -> Ref:
        """A part with its result; where the plan has fewer, nothing."""
        passed = {param(r): inside(r) for r in task.refs()}

        def write(inner: Builder) -> Ref:
            return self._thread(inner, rewire_prompt(task, inside))

        return unless(b, "thread", ITEM, Ref(ITEM), passed, write, self.signature)

    def _thread(self, b: Builder, task: Prompt) -> Ref:
        part = Slot(Ref(ITEM, ("part",)), self.line_tokens, True)
        thought = b.generate("reason", _saying(task, Text(_PART), part), self.decoding(stop=(_RESULT,)))
        line = Decoding(max_tokens=self.line_tokens, stop=("\n",))
        result = b.generate("result", Prompt((), (Text(_RESULT),), continues=thought), line)
        return compute(b, "done", solved, Ref(ITEM), result, cap=self.line_tokens)


def _saying(task: Prompt, *more: Segment) -> Prompt:
    """A conversation with something added to what the user said last."""
    last = task.messages[-1]
    return replace(task, messages=(*task.messages[:-1], replace(last, segments=(*last.segments, *more))))
