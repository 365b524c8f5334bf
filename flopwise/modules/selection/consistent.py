"""Consistent: universal self-consistency (Chen et al., 2023, arXiv:2311.17311)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, cast, overload

from ...errors import SignatureError, TraceError
from ...ir.builder import Builder
from ...ir.prompt import Message, Prompt, Ref, Slot, Text
from ...ir.request import Decoding
from ...ir.schemas import Field, Schema, canonical
from ..base import Module, S
from ..computed import computation, compute, numbered
from ..symbols import Symbol, place, tracer
from ..template import Writer
from .lineage import steps_of

MOST = 99  # the largest number that can be chosen
PICK_TOKENS = 4  # a space, two digits and the end
_PICK = Schema("Pick", "", (), (Field("pick", canonical({"type": "integer", "minimum": 1, "maximum": MOST})),))
_TEMPLATE = (
    "{% block user %}{% for f in inputs %}{{ f.label }}: {{ f.value }}\n{% endfor %}\n"
    "Several responses to this were written. They are numbered.{% endblock %}"
    "{% block prefill %}The most consistent response is number{% endblock %}"
)
_ASK = (
    "\n\nLook at what each response says. Choose the one that agrees best with most of the others, "
    "even where the words differ. Say its number."
)


@dataclass(frozen=True)
class Consistent(Module[S]):
    """The model reads all drafts, numbered, and chooses the one that agrees best with most of them.

    It takes the place of a vote where answers are free texts, which agree in what they say but never to the letter:
    summaries, open questions, code. Where answers can be compared, `fw.vote` costs nothing and does no worse.

    Attributes:
        shown: Names of the fields that stand in the list; the outputs where it is empty. The paper shows whole
            responses: `("reasoning", "answer")` for drafts that reason.

    A template writes what stands before the list. The record chosen passes on unchanged. Failed drafts are not shown.
    A number that no draft has, or none at all, stands for the first draft. One draft alone takes
    the request too.

    Cost: 1 call; C(p + n x (r + 8), 4), where p is the prompt with the inputs, n the most drafts and r the most tokens
    of what is shown of one. Of `max_tokens` nothing is used. Models read the first and the last of long lists best, and
    all n drafts must fit into the context; the paper uses 8. Numbers go up to 99.

    Expands to::

        graph Program(question):
          %draft.sample: list[Answer] = loop(%question) repeat at most 8 trips (1 required) with outer.question
            graph draft.sample(outer.question):
              %draft.answer: text = generate() n=1 T=0.7 max=512 from %outer.question
              %draft.record: Answer = parse(%draft.answer, %outer.question) text -> question, story
              return %draft.record
          %pick.first: Answer = reduce(%draft.sample) first
          %pick.fields: value = const() ['story']
          %pick.list: value = host(%draft.sample, %pick.fields) flopwise.modules.computed:numbered
          %pick.answer: text = generate() n=1 T=0 max=4 from %pick.first.question, %pick.list
          %pick.choice: Pick = parse(%pick.answer) scalar -> pick
          %pick.one: value = const() 1
          %pick.else: Pick = pack(%pick.one) pick
          %pick.either: list[Pick] = gather(%pick.choice, %pick.else)
          %pick.number: Pick = reduce(%pick.either) first
          %pick.place: value = host(%pick.number.pick, %draft.sample) flopwise.modules.selection.consistent:place_of
          %pick.record: Answer = reduce(%draft.sample, %pick.place) at
          return %pick.record
    """

    adds: ClassVar[tuple[str, ...]] = ("records",)
    answers: ClassVar[bool] = False
    demos: Any = field(default=(), kw_only=True)
    shown: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.shown, str) or not all(isinstance(name, str) for name in self.shown):
            raise SignatureError(
                f"Consistent: shown takes names of fields, such as ('answer',), but got {self.shown!r}"
            )

    @overload
    def __call__(self, records: list[S], /) -> S: ...
    @overload
    def __call__(self, *records: Any, **inputs: Any) -> S: ...
    def __call__(self, *records: Any, **inputs: Any) -> S:
        """Apply the module to a list of records."""
        return cast(S, self.trace(*records, **inputs))

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Add the call on a list of records; a single record is passed on."""
        if len(records) != 1 or inputs or not isinstance(records[0], Symbol) or records[0]._type.kind != "record":
            raise TraceError(f"{place()}: {self.kind} takes one list of records, without a name, but got {records!r}")
        symbol = records[0]
        if not symbol._type.many:
            return symbol
        self._check(symbol)
        return self.add_call({"records": tracer(self.kind).ref(symbol)})

    def _check(self, symbol: Symbol) -> None:
        """Raise TraceError where the records lack what is read or shown."""
        have, schema = symbol._type.schema, self.signature
        known = [f.name for f in (*have.inputs, *have.outputs)] if have else []
        needed = [*(f.name for f in schema.inputs), *schema.output_names]
        lacking = [n for n in needed if n not in known]
        lacking += [n for n in self.shown if n not in (*known, *steps_of(symbol))]
        if lacking:
            raise TraceError(f"{place()}: {self.kind} reads {', '.join(lacking)}, which {symbol!r} does not have")

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """A list of the drafts, one number read out of a constrained Generate, and the draft of that number."""
        records, schema = inputs["records"], self.signature
        choice = b.parse("choice", self._asked(b, records), _PICK, "scalar")
        otherwise = b.pack("else", _PICK, {"pick": b.const("one", 1)})
        either = b.gather("either", _PICK, (choice, otherwise))
        number = b.reduce("number", either, _PICK, "first")
        at = compute(b, "place", place_of, number.at("pick"), records)
        return b.reduce("record", records, schema, "at", at=at)

    def _asked(self, b: Builder, records: Ref) -> Ref:
        """The model's choice among the drafts; what was asked is read from the first of them."""
        schema = self.signature
        first = b.reduce("first", records, schema, "first")
        given = {f.name: first.at(f.name) for f in schema.inputs}
        prompt = Writer(schema, _TEMPLATE, self.template).prompt(b, given)
        fields = self.shown or schema.output_names
        listed = compute(b, "list", numbered, records, b.const("fields", list(fields)), shows=tuple(fields))
        return b.generate("answer", _with_list(prompt, listed), Decoding(max_tokens=PICK_TOKENS))


def _with_list(prompt: Prompt, listed: Ref) -> Prompt:
    """The prompt with the list at the end of the user's turn, where templates have no name for it."""
    *before, last = prompt.messages
    said = Message("user", (*last.segments, Text("\n\n"), Slot(listed), Text(_ASK)))
    return replace(prompt, messages=(*before, said))


@computation
def place_of(number: int, records: list[Any]) -> int:
    """The place of the record with a number, of the first where there is none."""
    return number - 1 if 1 <= number <= len(records) else 0
