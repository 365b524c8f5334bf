"""The ops of the IR and the one node type. A node changes only by `replace()`; only `op` differs in kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .choices import Config, Var
from .index import Index
from .prompt import Message, Prompt, Ref, Segment, Slot
from .request import Decoding, Grammar
from .schemas import Schema

if TYPE_CHECKING:
    from .builder import Builder
    from .graph import Graph


class Op(StrEnum):
    """Everything a graph can do. CALL and CHOICE are gone once a graph is specialised and expanded."""

    INPUT = "input"  # a field of the program's or the region's input
    CONST = "const"  # a value known when the program was traced
    CALL = "call"  # a module, not yet expanded
    CHOICE = "choice"  # an open decision over branches
    GENERATE = "generate"  # prompt + decoding + grammar -> n samples
    SCORE = "score"  # prompt + closed choices -> probability of the first
    PARSE = "parse"  # sample or result -> typed record, or a failure carried as a value
    PACK = "pack"  # values -> record
    GATHER = "gather"  # values and lists -> one list
    REDUCE = "reduce"  # list of records -> record
    EXECUTE = "execute"  # program text -> result, in the sandbox
    RETRIEVE = "retrieve"  # query -> the nearest items of an index
    HOST = "host"  # a user's Python function
    LOOP = "loop"  # a region: body, trips, until
    SELECT = "select"  # one of several values by a value; only that one is computed


Kind = Literal["text", "record", "value", "number", "result", "tuple"]


@dataclass(frozen=True, slots=True)
class Type:
    """What flows along an edge: a kind, its schema where it is a record or a field, and whether it is a list."""

    kind: Kind
    schema: Schema | None = None
    json: str = ""
    many: bool = False

    def __str__(self) -> str:
        inner = self.schema.name if self.schema else self.kind
        return f"list[{inner}]" if self.many else inner


class Expandable(Protocol):
    """A module as the IR sees it: it has open values, takes a config, and expands to ops."""

    @property
    def converses(self) -> bool:
        """True where it has a use for the conversation that its record came from."""

    @property
    def engine(self) -> Any:
        """The name of the engine that it asks, or an open choice of names; None is the main one."""

    @property
    def signature(self) -> Schema:
        """What goes in and comes out."""

    def open(self) -> tuple[Var, ...]:
        """The open values of its own settings."""

    def bind(self, config: Config, demo_pool: Any = None) -> Expandable:
        """Itself with every open value that the config has assigned."""

    def sampled(self, temperature: Any) -> Expandable:
        """Itself with a temperature where none was set."""

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """Add its ops to the builder and return its result."""


@dataclass(frozen=True, slots=True)
class Input:
    """A field of the program's input, or a parameter of a region."""

    field: str


@dataclass(frozen=True, slots=True)
class Const:
    """A value known at trace time; JSON-like."""

    value: Any


@dataclass(frozen=True, slots=True)
class Call:
    """A module applied to the node's inputs, named by `fields`."""

    module: Expandable
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """An open decision: the node's inputs are its branches, `labels` names them."""

    choice: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Generate:
    """Ask an engine for `n` samples of a prompt; `engine` is its name, None the main one."""

    prompt: Prompt
    decoding: Decoding
    grammar: Grammar | None = None
    n: int = 1
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """Probability that an engine's model goes on with the first of `choices` rather than another."""

    prompt: Prompt
    choices: tuple[str, ...]
    engine: str | None = None


Form = Literal["text", "scalar", "json", "marked", "result"]


@dataclass(frozen=True, slots=True)
class Parse:
    """Read the outputs of `schema` out of the first input; further inputs become the fields named in `extra`."""

    schema: Schema
    form: Form
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pack:
    """Make a record: from a base record (the first input, if `base`) and named fields; "" names its weight."""

    schema: Schema
    fields: tuple[str, ...]
    base: bool = False


@dataclass(frozen=True, slots=True)
class Gather:
    """Make one list; each input's records are multiplied by its weight, if weights are given.

    `fit` asks the search to fit the weights on the dev set.
    """

    weights: tuple[float, ...] = ()
    fit: bool = False


How = Literal["majority", "complexity", "best", "first", "at"]


@dataclass(frozen=True, slots=True)
class Reduce:
    """Choose one record of a list: weighted majority by a field, largest weight, first valid, or the one "at" a place.

    Places are counted from 0 among the records that did not fail; the place is the second input.

    Attributes:
        how: "complexity" is the majority among the half of the records with the most steps.
        field: What is voted on.
        steps: For "complexity", the texts of a record whose lines are its steps.
    """

    how: How
    field: str = ""
    steps: tuple[str, ...] | None = None


Language = Literal["python", "asp"]


@dataclass(frozen=True, slots=True)
class Execute:
    """Run the inputs, joined to one program, in the sandbox; read the outputs of `schema` from it.

    Attributes:
        schema: Its outputs are variables of a Python program, predicates of a logic program's answer set.
        seconds: Processor time that the program may take.
        language: "asp" is a logic program (answer set programming).
    """

    schema: Schema
    seconds: float = 5.0
    language: Language = "python"


@dataclass(frozen=True, slots=True)
class Retrieve:
    """The `k` items of an index nearest to the inputs, joined to one text, as texts by part; the nearest comes last."""

    index: Index
    k: int


@dataclass(frozen=True, slots=True)
class Host:
    """Call a Python function, a user's or one of this package, named by import path and source hash.

    Attributes:
        target: Import path, `module:name`.
        source_hash: SHA-256 of its source.
        pure: Same arguments, same result, no effects.
        cap: Most tokens that its result takes in a prompt; None where nobody said.
        fn: The function.
        shows: Fields of each record of its first input, a list, that the result tells: it may be as long as they are.
        catch: What it raises is its result, as a text, and no failure: a model may mend what it asked for.
    """

    target: str
    source_hash: str
    pure: bool = True
    cap: int | None = None
    fn: Callable[..., Any] | None = field(default=None, compare=False, hash=False)
    shows: tuple[str, ...] = ()
    catch: bool = False


Rule = Literal["decided", "beta", "window"]


@dataclass(frozen=True, slots=True)
class Waves:
    """How a repeat draws where a vote may end it early: so many trips at once, and then a look at the votes.

    Attributes:
        size: Trips at once.
        rule: "decided" where no further record can change the vote; "beta" also where the first answer is ahead of
            the second for sure enough; "window" also where the last `size` records agree.
        sure: The probability that "beta" asks for.
        field: What is voted on; "" until a pass has found the vote.
    """

    size: int | Var
    rule: Rule | Var = "decided"
    sure: float = 0.95
    field: str = ""


@dataclass(frozen=True, slots=True)
class Loop:
    """A region: `body` run over `params` bound to the node's inputs.

    Attributes:
        mode: "repeat" runs independent trips, "map" one trip for each item of the first input, "while" runs
            trips one after another, feeding the body's outputs back into its first parameters.
        trips: Most trips.
        required: Trips that must happen whatever the fuel; further ones start only if the fuel covers them.
        until: In "while", the loop ends when this value of the carried parameters is true.
        waves: In "repeat", the trips come in waves until a vote is settled; None for all at once.
    """

    mode: Literal["repeat", "map", "while"]
    body: Graph
    params: tuple[str, ...]
    trips: int | Var
    required: int = 1
    until: Ref | None = None
    waves: Waves | None = None


@dataclass(frozen=True, slots=True)
class Select:
    """The first input is a condition; true picks the second input, false the third."""


Attrs = (
    Input | Const | Call | Choice | Generate | Score | Parse | Pack | Gather | Reduce | Execute | Retrieve | Host
    | Loop | Select
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """One node: what it does, its stable dotted name, what it takes, what it gives."""

    op: Op
    name: str
    attrs: Attrs
    inputs: tuple[Ref, ...] = ()
    type: Type = Type("value")

    @property
    def prompt(self) -> Prompt | None:
        """The prompt of a Generate or Score node."""
        return self.attrs.prompt if isinstance(self.attrs, (Generate, Score)) else None

    @property
    def engine(self) -> str | None:
        """The name of the engine that a Generate or Score node asks; None is the main one."""
        return self.attrs.engine if isinstance(self.attrs, (Generate, Score)) else None

    def refs(self) -> Iterator[Ref]:
        """Every value the node takes, those of its prompt included."""
        yield from self.inputs
        if self.prompt is not None:
            yield from self.prompt.refs()

    def rewire(self, swap: Callable[[Ref], Ref]) -> Node:
        """The same node with every ref replaced by `swap(ref)`."""
        node = replace(self, inputs=tuple(swap(r) for r in self.inputs))
        if isinstance(node.attrs, (Generate, Score)):
            node = replace(node, attrs=replace(node.attrs, prompt=rewire_prompt(node.attrs.prompt, swap)))
        return node


def rewire_prompt(prompt: Prompt, swap: Callable[[Ref], Ref]) -> Prompt:
    """The same prompt with every ref replaced by `swap(ref)`."""

    def segments(parts: tuple[Segment, ...]) -> tuple[Segment, ...]:
        return tuple(replace(s, ref=swap(s.ref)) if isinstance(s, Slot) else s for s in parts)

    def message(m: Message) -> Message:
        return replace(m, segments=segments(m.segments))

    return Prompt(
        tuple(message(m) for m in prompt.messages),
        segments(prompt.prefill),
        swap(prompt.continues) if prompt.continues else None,
    )
