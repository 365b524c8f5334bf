"""Adds nodes to a graph under dotted names: what tracing and modules write with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import TraceError
from .choices import Var
from .graph import Graph
from .index import Index
from .nodes import (
    Attrs,
    Const,
    Execute,
    Form,
    Gather,
    Generate,
    How,
    Input,
    Language,
    Loop,
    Node,
    Op,
    Pack,
    Parse,
    Reduce,
    Retrieve,
    Score,
    Select,
    Type,
    Waves,
)
from .prompt import Message, Prompt, Ref
from .request import Decoding, Grammar
from .schemas import Schema


class Builder:
    """Collects nodes in program order. A name is refused twice.

    Args:
        name: The graph's name.
        scope: What stands before the names of its nodes.
        turns: The conversation that a record of the graph around it came from; () where none is known.
        engine: The name of the engine that what is added asks; None is the main one.
    """

    def __init__(
        self,
        name: str = "",
        scope: str = "",
        turns: Callable[[Ref], tuple[Message, ...]] = lambda record: (),
        engine: str | None = None,
    ) -> None:
        self.name = name
        self.scope = scope
        self.turns = turns
        self.engine = engine
        self.nodes: dict[str, Node] = {}

    @contextmanager
    def within(self, scope: str) -> Iterator[None]:
        """Name what is added inside `scope.<name>`; "" adds nothing."""
        outer, self.scope = self.scope, f"{self.scope}.{scope}" if self.scope and scope else self.scope or scope
        try:
            yield
        finally:
            self.scope = outer

    def qualified(self, name: str) -> str:
        """The dotted name that `name` gets here."""
        return ".".join(p for p in (self.scope, name) if p)

    def add(self, op: Op, name: str, attrs: Attrs, inputs: tuple[Ref, ...] = (), type: Type | None = None) -> Ref:
        """Add a node and return its result; raise TraceError where the name is taken."""
        full = self.qualified(name)
        if full in self.nodes:
            raise TraceError(f"two nodes are named {full!r}; give one of them another name= or attribute")
        self.nodes[full] = Node(op, full, attrs, inputs, type or Type("value"))
        return Ref(full)

    def input(self, field: str, type: Type) -> Ref:
        """A field of the program's input or a parameter of the region; named as it is, without the scope."""
        outer, self.scope = self.scope, ""
        try:
            return self.add(Op.INPUT, field, Input(field), (), type)
        finally:
            self.scope = outer

    def const(self, name: str, value: Any) -> Ref:
        """A value known now."""
        return self.add(Op.CONST, name, Const(value))

    def generate(
        self, name: str, prompt: Prompt, decoding: Decoding, grammar: Grammar | None = None, n: int = 1
    ) -> Ref:
        """Samples of a prompt."""
        attrs = Generate(prompt, decoding, grammar, n, self.engine)
        return self.add(Op.GENERATE, name, attrs, (), Type("text", many=n > 1))

    def score(self, name: str, prompt: Prompt, choices: tuple[str, ...]) -> Ref:
        """Probability of the first of `choices`."""
        return self.add(Op.SCORE, name, Score(prompt, choices, self.engine), (), Type("number"))

    def parse(self, name: str, source: Ref, schema: Schema, form: Form, extra: dict[str, Ref] | None = None) -> Ref:
        """A typed record out of a text or an execution's result."""
        extra = extra or {}
        attrs = Parse(schema, form, tuple(extra))
        return self.add(Op.PARSE, name, attrs, (source, *extra.values()), Type("record", schema))

    def pack(self, name: str, schema: Schema, fields: dict[str, Ref], base: Ref | None = None) -> Ref:
        """A record out of values; the field "" is its weight."""
        attrs = Pack(schema, tuple(fields), base is not None)
        inputs = ((base,) if base else ()) + tuple(fields.values())
        return self.add(Op.PACK, name, attrs, inputs, Type("record", schema))

    def gather(self, name: str, schema: Schema, items: tuple[Ref, ...], weights: tuple[float, ...] = ()) -> Ref:
        """One list of records."""
        return self.add(Op.GATHER, name, Gather(weights), items, Type("record", schema, many=True))

    def reduce(
        self, name: str, records: Ref, schema: Schema, how: How, field: str = "", at: Ref | None = None,
        steps: tuple[str, ...] | None = None,
    ) -> Ref:  # fmt: skip
        """One record of a list, by the place `at` or by how many lines its `steps` have where that is how."""
        takes = (records,) if at is None else (records, at)
        return self.add(Op.REDUCE, name, Reduce(how, field, steps), takes, Type("record", schema))

    def execute(
        self, name: str, program: tuple[Ref, ...], schema: Schema, seconds: float = 5.0, language: Language = "python"
    ) -> Ref:
        """What texts, joined to one program, give in the sandbox: `.ok`, `.values`, `.program`, `.error`."""
        return self.add(Op.EXECUTE, name, Execute(schema, seconds, language), program, Type("result"))

    def retrieve(self, name: str, query: tuple[Ref, ...], index: Index, k: int) -> Ref:
        """The k items of an index nearest to a query, the nearest last: `[i].part` is a text of one."""
        return self.add(Op.RETRIEVE, name, Retrieve(index, k), query, Type("value", many=True))

    def select(self, name: str, condition: Ref, then: Ref, otherwise: Ref, type: Type) -> Ref:
        """`then` where the condition is true, else `otherwise`; the other one is not computed."""
        return self.add(Op.SELECT, name, Select(), (condition, then, otherwise), type)

    def loop(
        self,
        name: str,
        mode: Any,
        body: Graph,
        bind: dict[str, Ref],
        trips: int | Var,
        type: Type,
        required: int = 1,
        until: Ref | None = None,
        waves: Waves | None = None,
    ) -> Ref:
        """A region; `bind` gives each parameter its outer value, the item or the carried ones first."""
        attrs = Loop(mode, body, tuple(bind), trips, required, until, waves)
        return self.add(Op.LOOP, name, attrs, tuple(bind.values()), type)

    def region(self, name: str, write: Callable[[Builder], tuple[Ref, ...]], schema: Schema) -> Graph:
        """The body of a region: `write` adds its nodes to a builder of its own and returns its outputs."""
        inner = Builder(name, engine=self.engine)
        outputs = write(inner)
        return inner.graph(outputs, schema)

    def graph(self, outputs: tuple[Ref, ...], schema: Schema) -> Graph:
        """What has been added, as a graph."""
        return Graph(self.name, tuple(self.nodes.values()), outputs, schema)
