"""Tracing: what `forward` may do with a symbol, what it may not, and what things are called."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from flopwise.compiler.passes.specialise import open_values, specialise
from flopwise.compiler.stages import complete
from flopwise.errors import ConfigError, InputError, SignatureError, TraceError
from flopwise.ir.nodes import Op
from flopwise.modules.branches import choice, optional
from flopwise.modules.control import loop, map_, op, when
from flopwise.modules.judging.verifier import Verifier
from flopwise.modules.open import demos, instruction, integer, real
from flopwise.modules.program import Program, program, result_class, trace
from flopwise.modules.prompting.chain_of_thought import ChainOfThought
from flopwise.modules.prompting.plan_and_solve import PlanAndSolve
from flopwise.modules.prompting.predict import Predict
from flopwise.modules.sampling import sample
from flopwise.modules.selection.ensemble import Ensemble
from flopwise.modules.selection.reducers import best, first_valid, vote
from flopwise.modules.signature import Input, Output, Signature
from tests.programs import Solve, Solver, Tell, is_even, ready


def traced(body: Callable[[Any, Any], Any]) -> Any:
    """The trace of a program whose forward is `body(modules, question)`."""

    class Bodied(Program):
        draft = Predict(Solve)
        tell = Predict(Tell)
        judge = Verifier(Solve)

        def forward(self, question: str) -> Any:
            return body(self, question)

    return trace(Bodied())


def choices(source: Any) -> set[str]:
    return {v.name for v in open_values(trace(source))}


# ordinary Python over symbols -------------------------------------------------------------------------------

REFUSED: list[tuple[str, Callable[[Any, Any], Any], str]] = [
    ("if", lambda p, q: 1 if q else 2, "fw.when"),
    ("and", lambda p, q: q and 1, "fw.when"),
    ("not", lambda p, q: not q, "fw.when"),
    ("for", lambda p, q: list(q), "fw.map"),
    ("unpacking", lambda p, q: [*q], "fw.map"),
    ("range", lambda p, q: range(q), "fw.loop"),
    ("len", lambda p, q: len(q), "fw.op"),
    ("equality", lambda p, q: q == "x", "fw.op"),
    ("order", lambda p, q: q < 3, "fw.op"),
    ("membership", lambda p, q: "x" in q, "fw.op"),
    ("f-string", lambda p, q: f"{q}", "fw.op"),
    ("formatted f-string", lambda p, q: f"{q:>9}", "fw.op"),
    ("str", lambda p, q: str(q), "fw.op"),
    ("int", lambda p, q: int(q), "fw.op"),
    ("addition", lambda p, q: q + 1, "fw.op"),
    ("right addition", lambda p, q: 1 + q, "fw.op"),
    ("floor division", lambda p, q: 9 // q, "fw.op"),
    ("power", lambda p, q: q**2, "fw.op"),
    ("negation", lambda p, q: -q, "fw.op"),
    ("abs", lambda p, q: abs(q), "fw.op"),
    ("indexing", lambda p, q: q[0], "fw.op"),
    ("membership in a set", lambda p, q: q in {"a", "b"}, "fw.op"),
    ("a lookup", lambda p, q: {"a": 1}.get(q), "fw.op"),
    ("join", lambda p, q: " ".join([q]), "fw.op"),
    ("json", lambda p, q: json.dumps(q), "fw.op"),
    ("xor", lambda p, q: q ^ 1, "fw.op"),
    ("divmod", lambda p, q: divmod(q, 2), "fw.op"),
    ("shift", lambda p, q: q << 1, "fw.op"),
    ("a call", lambda p, q: q.upper() if False else q(), "fw.op"),
]


@pytest.mark.parametrize(("body", "instead"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_ordinary_python_over_a_symbol_names_the_line_and_what_to_use(body: Any, instead: str) -> None:
    with pytest.raises(TraceError) as caught:
        traced(body)
    message = str(caught.value)
    assert "test_tracing.py:" in message and "lambda" in message and instead in message
    assert "%question" in message or isinstance(caught.value.__cause__, TypeError)


def test_the_line_is_the_users_own_wherever_the_fault_lies() -> None:
    def forward(self: Any, question: Any) -> Any:
        if self.draft(question=question).answer:  # this line
            return 1

    with pytest.raises(TraceError, match=r"test_tracing.py:\d+ `if self.draft\(question=question\).answer:"):
        traced(forward)


WRONG: list[tuple[str, Callable[[Any, Any], Any], type[Exception], str]] = [
    ("unknown input", lambda p, q: p.draft(query=q), InputError, r"takes question; unknown: query. missing: question"),
    ("input by position", lambda p, q: p.draft(q), InputError, "by name"),
    (
        "unknown field",
        lambda p, q: p.draft(question=q).anwser,
        TraceError,
        "no field 'anwser'; it has question, answer",
    ),
    ("field of a value", lambda p, q: q.text, TraceError, "has no fields"),
    ("field of a list", lambda p, q: sample(p.draft, n=2)(question=q).answer, TraceError, "reduce it first"),
    ("a list returned", lambda p, q: sample(p.draft, n=2)(question=q), TraceError, "vote or take the best"),
    ("a constant returned", lambda p, q: 7, TraceError, "must return a record made inside it"),
    ("nothing returned", lambda p, q: None, TraceError, "must return a record made inside it"),
    (
        "vote on an unknown field",
        lambda p, q: vote(sample(p.draft, n=2)(question=q), field="reply"),
        TraceError,
        "'reply' is no output",
    ),
    (
        "vote without a field on several outputs",
        lambda p, q: vote(sample(Predict("question -> answer: int, why", name="two"), n=2)(question=q)),
        TraceError,
        r'a vote is on one output, but Answer has several: answer, why; write field="answer"',
    ),
    (
        "vote with a field by position",
        lambda p, q: vote(sample(p.draft, n=2)(question=q), "answer"),
        TraceError,
        r"takes its field by name, but got 'answer'; write field='answer'",
    ),
    (
        "samples of samples",
        lambda p, q: sample(sample(p.draft, n=2), n=2),
        TraceError,
        r"sample: a module is needed, but got Sampled\(.*; fw.sample stands around a module",
    ),
    ("samples of a class", lambda p, q: sample(Predict, n=2), TraceError, r"give an instance, such as fw.Predict"),
    ("an optional nothing", lambda p, q: optional(5), TraceError, "optional: a module is needed, but got 5"),
    (
        "an ensemble of nothing",
        lambda p, q: Ensemble(p.draft, 6),
        TraceError,
        "Ensemble: a module is needed, but got 6",
    ),
    ("vote on what is no list", lambda p, q: vote([1, 2]), TraceError, "takes a list of records"),
    ("vote of another record", lambda p, q: vote(p.draft(question=q), p.tell(question=q)), TraceError, "of one kind"),
    ("vote of a value", lambda p, q: vote(p.draft(question=q), q), TraceError, "takes lists of records"),
    ("best of a value", lambda p, q: best(q), TraceError, "takes records"),
    ("judge by name", lambda p, q: p.judge(record=q), TraceError, "one record or one list"),
    ("judge of a value", lambda p, q: p.judge(q), TraceError, "takes records"),
    ("judge of another record", lambda p, q: p.judge(p.tell(question=q)), TraceError, "reads answer, which"),
    ("map of a value", lambda p, q: map_(lambda x: x, q, cap=3), TraceError, "takes a list"),
    (
        "map without a cap",
        lambda p, q: map_(lambda x: x, sample(p.draft, n=2)(question=q), cap=0),
        TraceError,
        "cap >= 1",
    ),
    (
        "map to lists",
        lambda p, q: map_(lambda x: sample(p.draft, n=2)(question=q), sample(p.draft, n=2)(question=q), cap=3),
        TraceError,
        "must give one record",
    ),
    (
        "map to nothing",
        lambda p, q: map_(lambda x: None, sample(p.draft, n=2)(question=q), cap=3),
        TraceError,
        "must give one record",
    ),
    (
        "samples of lists",
        lambda p, q: sample(p.judge, n=2)(sample(p.draft, n=2)(question=q)),
        TraceError,
        "gives one record",
    ),
    ("no samples", lambda p, q: sample(p.draft, n=0), TraceError, "n >= 1"),
    ("choice of no samples", lambda p, q: sample(p.draft, n=integer(-1, 3)), TraceError, "n >= 0"),
    ("loop of nothing", lambda p, q: loop(lambda s: s, q, max_rounds=0), TraceError, "max_rounds >= 1"),
    (
        "loop to another record",
        lambda p, q: loop(lambda s: p.tell(question=q), p.draft(question=q), max_rounds=2),
        TraceError,
        "signature",
    ),
    ("loop to nothing", lambda p, q: loop(lambda s: None, p.draft(question=q), max_rounds=2), TraceError, "signature"),
    (
        "loop until another value",
        lambda p, q: loop(lambda s: s, p.draft(question=q), max_rounds=2, until=lambda s: q),
        TraceError,
        "field of the state",
    ),
    (
        "loop until True",
        lambda p, q: loop(lambda s: s, p.draft(question=q), max_rounds=2, until=lambda s: True),
        TraceError,
        r"must be a field of the state, but it is True; .*until=lambda s: s.done",
    ),
    (
        "loop until the state",
        lambda p, q: loop(lambda s: s, p.draft(question=q), max_rounds=2, until=lambda s: s),
        TraceError,
        "must be a field of the state",
    ),
    (
        "when of different records",
        lambda p, q: when(is_even(p.draft(question=q).answer), p.draft(question=q), p.tell(question=q)),
        TraceError,
        "two different things",
    ),
    (
        "when of a record and a number",
        lambda p, q: when(is_even(p.draft(question=q).answer), p.draft(question=q), 7),
        TraceError,
        "two different things",
    ),
    ("a symbol in a list", lambda p, q: is_even([q]) if False else p.draft(question=[q]), TraceError, "JSON-like"),
    ("a constant of no JSON", lambda p, q: p.draft(question=object()), TraceError, "JSON-like"),
]


@pytest.mark.parametrize(("body", "error", "says"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_wrong_use_is_refused_where_it_stands(body: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        traced(body)
    assert "test_tracing.py" in str(caught.value) or "forward must return" in str(caught.value)


def test_a_value_cannot_leave_its_region() -> None:
    kept: list[Any] = []

    def keep(record: Any) -> Any:
        kept.append(record)
        return record

    def body(p: Any, q: Any) -> Any:
        map_(keep, sample(p.draft, n=2)(question=q), cap=2)
        return p.draft(question=kept[0].question)

    with pytest.raises(TraceError, match=r"test_tracing.py.*used outside the region that made it"):
        traced(body)


def test_modules_run_in_programs_only() -> None:
    with pytest.raises(TraceError, match="outside a program"):
        Predict(Solve)(question="2+2?")
    with pytest.raises(TraceError, match=r"needs forward\(self, \.\.\.\)"):
        trace(object())


def test_functions_that_fw_op_cannot_call_are_refused() -> None:
    @op
    def keyed(a: int, *, b: int = 1) -> int:
        return a + b

    @op
    def plain(a: int) -> int:
        return a

    with pytest.raises(TraceError, match=r"plain arguments, but keyed has b"):
        traced(lambda p, q: keyed(q))
    with pytest.raises(TraceError, match="missing a required argument"):
        traced(lambda p, q: plain(b=q))
    assert plain(3) == 3 and keyed(1, b=2) == 3  # over plain values it is the function it was


# choices ----------------------------------------------------------------------------------------------------


def test_choices_are_named_by_attribute_paths() -> None:
    assert choices(Solver()) == {
        "draft", "n", "judge", "draft.Predict.demos", "draft.ChainOfThought.demos", "draft.ProgramOfThought.demos",
    }  # fmt: skip


def test_attributes_that_are_inherited_made_in_init_or_kept_in_lists_and_programs() -> None:
    class Base(Program):
        first = Predict(Solve, instruction=instruction("a", "b"))

    class Inner(Program):
        step = Predict(Solve, temperature=real(0, 1))

        def forward(self, question: str) -> Any:
            return self.step(question=question)

    class Outer(Base):
        first = Predict(Solve, instruction=instruction("c", "d"))
        many = [Predict(Solve, instruction="x", demos=demos(1)), Predict(Solve, instruction="y", demos=())]
        by_name = {"a": choice(Predict(Solve), ChainOfThought(Solve))}

        def __init__(self) -> None:
            self.inner = Inner()
            self.drafts = sample(Predict(Solve, demos=()), n=integer(1, 3), temperature=real(0.1, 1))

        def forward(self, question: str) -> Any:
            vote(self.drafts(question=question))
            self.inner.forward(question)
            for module in (*self.many, self.by_name["a"]):
                module(question=question)
            return self.first(question=question)

    assert choices(Outer()) == {
        "first.instruction", "first.demos", "many.0.demos", "by_name.a", "by_name.a.Predict.demos",
        "by_name.a.ChainOfThought.demos", "inner.step.temperature", "inner.step.demos", "drafts.sample.n",
        "drafts.sample.temperature",
    }  # fmt: skip
    assert Base.first.instruction.name == ""  # the class itself is as it was


def test_a_function_program_names_choices_by_name() -> None:
    @program
    def solver(question: str) -> Solve:
        draft = choice(Predict(Solve), ChainOfThought(Solve), name="draft")
        drafts = sample(draft, n=integer(1, 4, name="n"))(question=question)
        return vote(drafts)

    assert choices(solver) == {"draft", "n", "draft.Predict.demos", "draft.ChainOfThought.demos"}
    assert choices(program(lambda question: Predict(Solve, name="p")(question=question))) == {"p.demos"}


@pytest.mark.parametrize(
    "body",
    [
        lambda question: choice(Predict(Solve), ChainOfThought(Solve))(question=question),
        lambda question: vote(sample(choice(Predict(Solve), ChainOfThought(Solve)), n=2)(question=question)),
        lambda question: optional(Verifier(Solve))(Predict(Solve)(question=question)),
    ],
)
def test_an_unnamed_choice_in_a_function_program_is_refused(body: Any) -> None:
    with pytest.raises(TraceError, match=r"name="):
        trace(program(body))


def test_a_duplicate_name_is_refused() -> None:
    class Twice(Program):
        a = Predict(Solve, name="solve")
        b = ChainOfThought(Solve, name="solve")

        def forward(self, question: str) -> Any:
            return self.a(question=self.b(question=question).question)

    with pytest.raises(TraceError, match="a and b are both named 'solve'"):
        trace(Twice())

    @program
    def two(question: str) -> Any:
        first = Predict(Solve, name="solve")(question=question)
        return Predict(Solve, name="solve", instruction="Otherwise.")(question=first.question)

    with pytest.raises(TraceError, match="two different things are named 'solve'"):
        trace(two)

    @program
    def ranges(question: str) -> Any:
        first = vote(sample(Predict(Solve, name="a"), n=integer(1, 3, name="n"))(question=question))
        return vote(sample(Predict(Solve, name="b"), n=integer(1, 5, name="n"))(question=first.question))

    with pytest.raises(TraceError, match=r"are named '\?n'"):
        trace(ranges)


def test_one_module_called_twice_is_two_nodes_of_one_name() -> None:
    graph = traced(lambda p, q: p.draft(question=p.draft(question=q).question))
    assert [n.name for n in graph.nodes if n.op is Op.CALL] == ["draft", "draft#2"]


def test_a_choice_is_between_modules_that_give_the_same() -> None:
    class Mixed(Program):
        draft = choice(Predict("question -> answer: int"), Predict("question -> answer: str"))

        def forward(self, question: str) -> Any:
            return self.draft(question=question)

    with pytest.raises(TraceError, match="the branches of choice 'draft' give different things"):
        trace(Mixed())
    with pytest.raises(TraceError, match=r"members of ensemble .* give different things"):
        trace(Ensemble(Predict(Solve), Predict(Tell)))


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: choice(Predict(Solve)), TraceError, "at least two"),
        (lambda: choice("a", Predict(Solve)), TraceError, "all be modules or all texts"),
        (lambda: choice("a", "a"), TraceError, "different options"),
        (lambda: integer(3, 1), TraceError, "low <= high"),
        (lambda: integer(0, 3, log=True), TraceError, "log scale"),
        (lambda: demos(-1), TraceError, "most >= 0"),
        (lambda: instruction(), TraceError, "at least one text is needed, or proposals=4"),
        (lambda: instruction("a", "a"), TraceError, "different options"),
        (lambda: instruction(proposals=-1), TraceError, "proposals >= 0` is needed, but got -1"),
        (lambda: instruction("a", proposals=True), TraceError, "proposals >= 0` is needed, but got True"),
        (lambda: Predict(Solve, max_tokens=0), SignatureError, "max_tokens >= 1"),
        (lambda: PlanAndSolve(Solve, style="ps++"), SignatureError, "style must be one of"),
        (lambda: Ensemble(Predict(Solve)), SignatureError, "at least two members"),
        (lambda: Ensemble(Predict(Solve), Predict(Solve), weights=(1,)), SignatureError, "one weight a member"),
    ],
)
def test_malformed_parts_are_refused_when_made(make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


def test_labels_that_repeat_are_numbered_apart() -> None:
    parts = [Predict(Solve, name="p_2"), Predict(Solve, name="p"), Predict(Solve, name="p"), Predict(Solve, name="p")]

    class Many(Program):
        draft = choice(*parts)

        def forward(self, question: str) -> Any:
            return self.draft(question=question)

    (var,) = [v for v in open_values(trace(Many())) if v.name == "draft"]
    assert var.domain.labels == ("p_2", "p", "p_3", "p_4")


def test_configs_that_do_not_fit_are_refused_by_name() -> None:
    graph = trace(Solver())
    for config, says in [
        ({"drft": "Predict"}, "no choice 'drft'; it has"),
        ({"draft": "Predct"}, "'draft': one of"),
        ({"n": 99}, "'n': a whole number from 1 to 6"),
        ({"draft.Predict.demos": ("nowhere",)}, "no demo 'nowhere'"),
    ]:
        with pytest.raises(ConfigError, match=says):
            specialise(graph, config)
    assert complete(graph, {}) == {"draft": "Predict", "judge": "off", "n": 1, "draft.Predict.demos": ()}


# signatures of programs -------------------------------------------------------------------------------------


def test_hints_may_be_texts_that_name_local_classes() -> None:
    class Local(Signature):
        """Local."""

        question: str = Input()
        answer: int = Output()

    class ByAttribute(Program):
        draft = Predict(Local)

        def forward(self, question: str) -> Local:
            return self.draft(question=question)

    @program
    def by_body(question: str) -> Local:
        return Predict(Local, name="p")(question=question)

    for source in (ByAttribute(), by_body):
        assert result_class(source, trace(source).schema) is Local


def test_a_hint_that_nobody_knows_is_refused_by_parameter() -> None:
    def forward(question: Unknown) -> Any:  # type: ignore[name-defined]  # noqa: F821
        return Predict(Solve)(question=question)

    with pytest.raises(TraceError, match=r"forward\(question\): the type 'Unknown' cannot be found"):
        trace(program(forward))


def test_inputs_of_forward_are_named_and_default_to_none_only() -> None:
    for body, says in [
        (lambda *questions: None, "named one by one"),
        (lambda question="what?": None, "default must be None"),
    ]:
        with pytest.raises(TraceError, match=says):
            trace(program(body))


def test_two_closures_of_one_source_stay_two_functions() -> None:
    def adder(k: int) -> Any:
        @op
        def add(x: int) -> int:
            return x + k

        return add

    class Added(Program):
        draft = Predict(Solve)

        def forward(self, question: str) -> Any:
            found = self.draft(question=question).answer
            return adder(100)(adder(1)(found))

    assert ready(Added(), "7").run(question="q").result.fields["result"] == 108

    class Forked(Program):
        draft = Predict(Solve)

        def forward(self, question: str) -> Any:
            found = self.draft(question=question).answer
            return when(is_even(found), adder(1)(found), adder(100)(found))

    assert ready(Forked(), "7").run(question="q").result.fields["result"] == 107


def test_first_valid_of_one_record_is_that_record() -> None:
    graph = traced(lambda p, q: first_valid(p.draft(question=q)))
    assert [n.op for n in graph.nodes] == [Op.INPUT, Op.CALL]


def test_a_choice_is_not_known_while_forward_is_written() -> None:
    class Deciding(Program):
        n = integer(1, 6)
        style = choice("a", "b")
        draft = Predict(Solve)

        def __init__(self, decide: Callable[[Any], Any]) -> None:
            self.decide = decide

        def forward(self, question: str) -> Any:
            self.decide(self)
            return self.draft(question=question)

    for decide in (
        lambda p: p.n > 2, lambda p: p.n == 2, lambda p: p.style == "a", lambda p: p.n and 1, lambda p: p.n + 1,
        lambda p: range(p.n), lambda p: [1, 2][p.n], lambda p: integer(1, 3, name="k") != 3, lambda p: p.n in (1, 2),
    ):  # fmt: skip
        with pytest.raises(TraceError, match=r"test_tracing.py:.*is a choice, which is only known when .* specialised"):
            trace(Deciding(decide))
    assert trace(Deciding(lambda p: p.n == p.n)).schema.output_names == ("answer",)


def test_what_forward_promises_is_what_it_returns() -> None:
    def other(question: str) -> Solve:
        return cast(Any, Predict(Tell)(question=question))

    def value(question: str) -> Solve:
        return cast(Any, is_even(Predict(Solve)(question=question).answer))

    for body, says in ((other, r"answer: integer, but forward returns Tell \(story: string\)"), (value, "%is_even")):
        with pytest.raises(TraceError, match=rf"-> Solve promises a record with .*{says}"):
            trace(program(body))


def test_programs_are_instances_and_are_not_called() -> None:
    class Bodied(Program):
        def forward(self, question: str) -> Any:
            return Predict(Solve)(question=question)

    @program
    def bodied(question: str) -> Any:
        return Predict(Solve)(question=question)

    with pytest.raises(TraceError, match=r"make an instance: Bodied\(\)"):
        trace(Bodied)
    for called in (Bodied(), bodied):
        with pytest.raises(TraceError, match=r"test_tracing.py.*fw.lower\(.odied.*fw.compile"):
            called(question="a")  # type: ignore[operator]
    with pytest.raises(TraceError, match="Predict was called outside a program"):
        Predict(Solve)(question="a")
    with pytest.raises(TraceError, match=r"fw\.Ensemble"):
        traced(lambda p, q: vote([p.draft(question=q), p.draft(question=q)]))


def test_modules_of_one_name_are_told_apart() -> None:
    def body(question: str) -> Any:
        Predict(Solve, name="solve", instruction="One.")(question=question)
        return Predict(Solve, name="solve", instruction="Two.")(question=question)

    with pytest.raises(TraceError, match=r"instruction='One\.'.* and .*instruction='Two\.'"):
        trace(program(body))
