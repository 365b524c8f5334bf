"""UnitTester: tests that the model writes, and how many of them each candidate passes.

The unit-test generator and evaluator of Archon (Saad-Falcon et al., 2024, arXiv:2409.15254). Tests of programs are run,
as in CodeT (Chen et al., 2022, arXiv:2207.10397).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.nodes import Type
from ...ir.prompt import Prompt, Ref
from ...ir.schemas import Field, Schema, canonical, type_name
from ...ir.types import type_json
from ..base import S
from ..computed import at_least, compute
from ..limits import check_share, check_whole
from ..template import Writer
from .candidates import described, items
from .harness import as_code, as_harness, share
from .judges import MOST_RECORDS, ListJudge

TEST_TOKENS = 48  # of a test in words; a longer one is cut
_TEST = Schema("Test", "", (), (Field("test", type_json(str, "test")),))
_SHARE = Schema("Share", "", (), (Field("share", canonical({"type": "number"})),))
_INPUTS = "{% for f in inputs %}{{ f.label }}: {{ f.value }}\n{% endfor %}"
_WRITE = f"{{% block user %}}{{{{ technique }}}}\n\n{_INPUTS}{{% endblock %}}"
_JUDGE = (
    "{% block user %}Say whether an answer to the input below passes a test.\n\n"
    "{% for f in inputs[:-2] %}{{ f.label }}: {{ f.value }}\n{% endfor %}\n"
    "The answer\n{{ candidate }}\n\nThe test\n{{ test }}\n\nDoes the answer pass the test? Answer Yes or No."
    "{% endblock %}"
)


@dataclass(frozen=True)
class UnitTester(ListJudge[S]):
    """Writes tests from the input alone, and weighs each candidate by the share of them that it passes.

    Attributes:
        tests: Most tests, or a choice of that.
        runs: "" to judge tests in words, each by "Yes" against "No" to whether the candidate passes it; or the name
            of the field that holds a candidate's program: an output, or `program` of `ProgramOfThought`. Tests are
            then assert statements, which run after the program in the sandbox.
        threshold: A test in words is passed where "Yes" has at least this probability, or a choice of that.
        seconds: CPU seconds a program may take with all its tests.
        given: Name of an input that holds the tests, one a line, in place of tests that the model writes.

    It gives the list of records with new weights, for `fw.best` or `fw.vote`, and with the same share as the further
    field `passed`. Without a readable test all weigh 1; a program that fails, or lasts too long, weighs 0. A template
    writes the prompt that asks for tests. Use it where what makes an answer good can be said before one is seen, and
    above all for programs; its limit is that wrong tests are held against right answers.
    Cost: of n candidates of t tokens and a question of q, C(q, max_tokens) and at most n x tests x S(q + t + 48); of
    programs C(q, max_tokens) alone. Given tests cost no writing.

    Expands to::

        graph Tested(question):
          %draft.sample: list[Answer] = loop(%question) repeat at most 2 trips (1 required) with outer.question
            graph draft.sample(outer.question):
              %draft.answer: text = generate() n=1 T=0.7 max=32 from %outer.question
              %draft.record: Answer = parse(%draft.answer, %outer.question) scalar -> question, answer
              return %draft.record
          %tester.first: Answer = reduce(%draft.sample) first
          %tester.tests: text = generate() n=1 T=0 max=80 from %tester.first.question
          %tester.most: value = const() 2
          %tester.lines: value = host(%tester.tests, %tester.most) flopwise.modules.judging.candidates:items
          %tester.test_1: Test = pack(%tester.lines[0]) test
          %tester.test_2: Test = pack(%tester.lines[1]) test
          %tester.each: list[Test] = gather(%tester.test_1, %tester.test_2)
          %tester.tested: list[Answer] = loop(%draft.sample, %tester.each) map at most 4096 trips (4096 required) with item, all
            graph tested(item, all):
              %judged: list[value] = loop(%all, %item) map at most 4096 trips (4096 required) with one, item
                graph judged(one, item):
                  %fields: value = const() ['answer']
                  %candidate: value = host(%item, %fields) flopwise.modules.judging.candidates:described
                  %passes: number = score() Yes/No from %item.question, %candidate, %one.test
                  %threshold: value = const() 0.5
                  %enough: value = host(%passes, %threshold) flopwise.modules.computed:at_least
                  %no_test: value = const() None
                  %passed: value = select(%one.test, %enough, %no_test)
                  return %passed
              %share: value = host(%judged) flopwise.modules.judging.harness:share
              %record: Answer = pack(%item, %share, %share) base + weight, passed
              return %record
          %best: Answer = reduce(%tester.tested) best
          return %best
    """  # noqa: E501

    adds: ClassVar[tuple[str, ...]] = ("records", "candidate", "test", "passed")
    max_tokens: int = field(default=256, kw_only=True)
    tests: Any = field(default=5, kw_only=True)
    runs: str = field(default="", kw_only=True)
    threshold: Any = field(default=0.5, kw_only=True)
    seconds: float = field(default=5.0, kw_only=True)
    given: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("UnitTester", "tests", self.tests, 1)
        check_share("UnitTester", "threshold", self.threshold)
        known = ("", "program", *self.signature.output_names)
        if self.runs not in known:
            raise SignatureError(f"UnitTester: runs={self.runs!r} is no field of a program; give one of {list(known)}")
        inputs = ("", *(f.name for f in self.signature.inputs))
        if self.given not in inputs:
            raise SignatureError(f"UnitTester: given={self.given!r} is no input; give one of {list(inputs)}")

    @property
    def gives(self) -> Type:
        """The list that it took, weighed anew."""
        return Type("record", self.signature, many=True)

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """The tests; then each record runs them, or each pair of a record and a test is judged."""
        schema, records = self.signature, inputs["records"]
        said = self._tests(b, records)
        if self.runs:
            harness = compute(b, "harness", as_harness, said, b.const("most", self.tests))
            body, bind = b.region("tested", self._run, schema), {"item": records, "harness": harness}
        else:
            lines = compute(b, "lines", items, said, b.const("most", self.tests), cap=TEST_TOKENS)
            each = [b.pack(f"test_{i + 1}", _TEST, {"test": lines.at(i)}) for i in range(self.tests)]
            body, bind = b.region("tested", self._judge, schema), {"item": records}
            bind |= {"all": b.gather("each", _TEST, tuple(each))}
        kind = Type("record", schema, many=True)
        return b.loop("tested", "map", body, bind, MOST_RECORDS, kind, required=MOST_RECORDS)

    def _tests(self, b: Builder, records: Ref) -> Ref:
        """The tests as a text: what one Generate says, or what came with the input."""
        if self.given:
            return self.asked(b, records)[self.given]
        return b.generate("tests", self._request(b, records), self.decoding())

    def _request(self, b: Builder, records: Ref) -> Prompt:
        schema = self.signature
        named = " and ".join(f"`{f.name}` ({type_name(f.type)})" for f in schema.outputs)
        if not self.runs:
            technique = (
                f"Write {self.tests} short tests that a right answer to the input below passes and a wrong one fails. "
                "Each is one statement about the answer. Write one on a line and nothing else; do not answer yourself."
            )
        elif self.runs == "program":
            technique = f"A Python program solves the task below and assigns {named}. {_ASSERTS.format(self.tests)}"
        else:
            technique = f"A Python program does what is asked below. {_ASSERTS.format(self.tests)}"
        return Writer(schema, _WRITE, self.template).prompt(b, self.asked(b, records), (), technique=technique)

    def _run(self, b: Builder) -> tuple[Ref, ...]:
        """A record weighed by the tests that its program passes in the sandbox."""
        item, harness = b.input("item", Type("record", self.signature)), b.input("harness", Type("value"))
        program = compute(b, "code", as_code, item.at(self.runs))
        result = b.execute("run", (program, harness), _SHARE, self.seconds)
        passed = b.select(
            "passed", result.at("ok"), result.at("values", "share"), b.const("nothing", 0.0), Type("number")
        )
        return (b.pack("record", self.signature, {"": passed, "passed": passed}, base=item),)

    def _judge(self, b: Builder) -> tuple[Ref, ...]:
        """A record weighed by the tests that the model says it passes."""
        item, tests = b.input("item", Type("record", self.signature)), b.input("all", Type("record", _TEST, many=True))
        body = b.region("judged", self._passes, _TEST)
        kind = Type("value", many=True)
        bind = {"one": tests, "item": item}
        passed = b.loop("judged", "map", body, bind, MOST_RECORDS, kind, required=MOST_RECORDS)
        weight = compute(b, "share", share, passed)
        return (b.pack("record", self.signature, {"": weight, "passed": weight}, base=item),)

    def _passes(self, b: Builder) -> tuple[Ref, ...]:
        """Whether a record passes one test; None where there is no such test."""
        schema = self.signature
        one, item = b.input("one", Type("record", _TEST)), b.input("item", Type("record", schema))
        names = schema.output_names
        text = compute(b, "candidate", described, item, b.const("fields", list(names)), shows=names)
        told = {f.name: item.at(f.name) for f in schema.inputs if f.name != self.given}
        shown = {**told, "candidate": text, "test": one.at("test")}
        likely = b.score("passes", Writer(schema, _JUDGE).prompt(b, shown, ()), ("Yes", "No"))
        passes = compute(b, "enough", at_least, likely, b.const("threshold", float(self.threshold)))
        return (b.select("passed", one.at("test"), passes, b.const("no_test", None), Type("value")),)


_ASSERTS = (
    "Write {} tests that a right program passes and a wrong one fails. They run after it and may use what it defines. "
    "Each is a Python `assert` statement on a line of its own. Write nothing else, and not the program."
)
