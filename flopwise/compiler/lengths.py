"""How long values can get: most tokens of a slot, most records of a list, most tokens of a carried generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..ir.engines import ByEngine
from ..ir.grammars import longest_value, scalar_pattern
from ..ir.graph import Graph
from ..ir.index import Index
from ..ir.nodes import Gather, Generate, Host, Input, Loop, Node, Pack, Parse, Reduce, Retrieve, Score, Select
from ..ir.plan import Carry, Fill, PromptPlan, Static
from ..ir.prompt import Ref, Slot
from ..ir.target import Tokenizer
from .retokenised import most_as_read
from .retrieved import most_retrieved, part_tokens

MADE_CAP = 256  # tokens of a made value whose length nothing bounds, such as a host function's result
SCALAR_CAP = 40
NULL_CAP = 8  # of a field that a record has not: what stands in its place is null
_LINE = 8  # tokens of a number, of marks and of the end of a line of a listing
DEFAULT_INPUT_CAP = 1024
MANY = 4096  # items of a list that a function makes: what maps over it says how many it takes


@dataclass(frozen=True)
class Size:
    """Bounds of a value's length.

    Attributes:
        tokens: Most tokens as text.
        whole: Of a generation, most tokens of its prompt and output together.
        least: Records of a list that are surely there. Where nothing says how many more there can be than what is
            paid for with the repeat that makes them, it is `most`.
        most: Most records of a list.
        engines: The engines in whose tokens it is counted, since they generate the text; of a text that none of them
            generates the cap holds in the tokens of each.
    """

    tokens: int = MADE_CAP
    whole: int = 0
    least: int = 1
    most: int = 1
    engines: frozenset[str | None] = frozenset()


class Lengths:
    """Sizes of the values of one graph. A region's parameters are looked up outside, where they are bound."""

    def __init__(
        self,
        graph: Graph,
        caps: Mapping[str, int] | None = None,
        outer: Lengths | None = None,
        loop: Node | None = None,
        carried: Mapping[str, Size] | None = None,
        tokenizers: ByEngine[Tokenizer] | None = None,
    ) -> None:
        self.tokenizers: ByEngine[Tokenizer] | None = outer.tokenizers if outer else tokenizers
        self.path: str = f"{outer.path}{loop.name}/" if outer and loop else ""
        self.graph = graph
        self.caps = caps or {}
        self.outer = outer
        self.loop = loop
        self.carried = carried or {}
        # Every prompt lowered so far by full dotted name, shared with the regions inside; lowering fills it.
        self.prompts: dict[str, PromptPlan] = outer.prompts if outer else {}
        self._visiting: set[Ref] = set()

    def inside(self, node: Node, carried: Mapping[str, Size] | None = None) -> Lengths:
        """The sizes in a region's body; `carried` overrides those of carried generations."""
        return Lengths(_loop(node).body, None, self, node, carried)

    def fill(self, slot: Slot, engine: str | None = None) -> Fill:
        """The plan's slot of a prompt's slot: capped by what it holds, in the tokens of the engine that reads it."""
        cap = slot.cap if slot.cap is not None else self._read_by(engine, self.size(slot.ref))
        given = self.given(slot.ref)
        return Fill(slot.ref, cap, slot.truncate or not given, "", given)

    def _read_by(self, engine: str | None, size: Size) -> int:
        others = size.engines - {engine}
        if not others or self.tokenizers is None:
            return size.tokens
        reads = self.tokenizers.of(engine)
        return max(most_as_read(size.tokens, self.tokenizers.of(other), reads) for other in others)

    def given(self, ref: Ref) -> str:
        """The program's input field that a ref stands for, "" if it is made inside."""
        node = self.graph.node(ref.node)
        if not isinstance(node.attrs, Input) or ref.path:
            return ""
        return self.outer.given(self._bound(node.attrs.field)) if self.outer else node.attrs.field

    def prompt_most(self, prompt: PromptPlan) -> int:
        """Most tokens of a prompt here."""
        retrieved: dict[str, list[Fill]] = {}
        total = 0
        for piece in prompt.pieces:
            if isinstance(piece, Fill) and isinstance(self.graph.node(piece.ref.node).attrs, Retrieve):
                retrieved.setdefault(piece.ref.node, []).append(piece)
            else:
                total += self._piece_most(piece)
        return total + sum(self._retrieved_most(name, fills, prompt.engine) for name, fills in retrieved.items())

    def _retrieved_most(self, name: str, fills: Sequence[Fill], engine: str | None) -> int:
        """Of items retrieved together each is another one, so the longest of them bound all, not the longest alone."""
        attrs = self.graph.node(name).attrs
        assert isinstance(attrs, Retrieve)
        return most_retrieved(attrs.index, fills, self.tokenizers.of(engine) if self.tokenizers else None)

    def _piece_most(self, piece: Static | Fill | Carry) -> int:
        if isinstance(piece, Static):
            return len(piece.ids)
        if isinstance(piece, Fill):
            return piece.cap
        return self.carry_most(piece.ref)

    def carry_most(self, ref: Ref) -> int:
        """Most tokens of an earlier generation's prompt and output."""
        return self.size(ref).whole

    def size(self, ref: Ref) -> Size:
        """The size of the value that a ref finds; a path into a list means each of its items."""
        node = self.graph.node(ref.node)
        if ref.path[-1:] == ("",):  # a weight is a number
            return Size(SCALAR_CAP)
        match node.attrs:
            case Input(field):
                return self._param(field, ref)
            case Generate(decoding=decoding, engine=engine):
                prompt = self.prompts.get(self.path + node.name)
                whole = decoding.max_tokens + (self.prompt_most(prompt) if prompt else 0)
                return Size(decoding.max_tokens, whole, engines=frozenset({engine}))
            case Parse():
                return self._field(node, node.attrs, ref)
            case Pack(fields=fields, base=base):
                return self._packed(node, fields, base, ref)
            case Gather():
                return self._gathered(node, ref)
            case Reduce():
                # Only fields of records have a length; the record as a whole never stands in a prompt.
                return self.size(node.inputs[0].at(*ref.path)) if ref.path else Size()
            case Select():
                return _paid_at_once(self._widest([self.size(r.at(*ref.path)) for r in node.inputs[1:]]))
            case Loop():
                return self._region(node, node.attrs, ref)
            case Retrieve(index=index, k=k):
                tokens = self._part_tokens(index, str(ref.path[-1])) if ref.path else []
                return Size(max(tokens, default=MADE_CAP), 0, k, k)
            case Host(cap=cap, shows=shows):
                made = Size(cap) if cap else self._listing(node.inputs[0], shows) if shows else Size()
                return replace(made, least=MANY, most=MANY) if node.type.many else made
            case Score():
                return Size(SCALAR_CAP)
        return Size()

    def _part_tokens(self, index: Index, part: str) -> list[int]:
        """Tokens of one part of each item, by every tokenizer that may read it."""
        tokenizers = self.tokenizers.distinct() if self.tokenizers else []
        return [tokens for tokenizer in tokenizers for tokens in part_tokens(index, part, tokenizer)]

    def _bound(self, field: str) -> Ref:
        assert self.loop is not None
        return dict(zip(_loop(self.loop).params, self.loop.inputs, strict=True))[field]

    def _param(self, field: str, ref: Ref) -> Size:
        if self.outer is None:
            return Size(self.caps.get(field, DEFAULT_INPUT_CAP))
        if field in self.carried and not ref.path:
            return self.carried[field]
        before = self.outer.size(self._bound(field).at(*ref.path))
        loop = _loop(self.loop)
        position = loop.params.index(field)
        if loop.mode == "map" and position == 0:
            return replace(before, least=1, most=1)  # one item, however long the list is
        if loop.mode != "while" or position >= len(loop.body.outputs) or ref in self._visiting:
            return _paid_at_once(before)
        self._visiting.add(ref)
        after = self.size(loop.body.outputs[position].at(*ref.path))
        self._visiting.discard(ref)
        return self._widest([before, after])

    def _field(self, node: Node, parse: Parse, ref: Ref) -> Size:
        name = str(ref.path[0]) if ref.path else ""
        if name in parse.extra:
            return self.size(node.inputs[1 + parse.extra.index(name)].at(*ref.path[1:]))
        field = parse.schema.field(name)
        if name and name not in parse.schema.output_names:
            return Size(NULL_CAP)
        if field is not None and scalar_pattern(field.type) is not None:
            return Size(max(SCALAR_CAP, longest_value(field.type)))
        if parse.form == "result":
            return Size()
        read = self.size(node.inputs[0])
        return Size(read.tokens, engines=read.engines)

    def _packed(self, node: Node, fields: tuple[str, ...], base: bool, ref: Ref) -> Size:
        if ref.path and ref.path[0] in fields:
            return self.size(node.inputs[int(base) + fields.index(str(ref.path[0]))].at(*ref.path[1:]))
        return self.size(node.inputs[0].at(*ref.path)) if base else Size()

    def _listing(self, records: Ref, fields: tuple[str, ...]) -> Size:
        """The size of a text that tells these fields of each record of a list, a line each."""
        sizes = [self.size(records.at(name)) for name in fields]  # a field may be told twice
        each = sum(size.tokens + len(name.encode()) + _LINE for name, size in zip(fields, sizes, strict=True))
        engines = frozenset[str | None]().union(*(size.engines for size in sizes))
        return Size(self.size(records).most * (each + _LINE), engines=engines)

    def _gathered(self, node: Node, ref: Ref) -> Size:
        sizes = [self.size(r.at(*ref.path)) for r in node.inputs]
        if ref.path:
            return self._widest(sizes)
        return Size(MADE_CAP, 0, sum(s.least for s in sizes), sum(s.most for s in sizes))

    def _region(self, node: Node, loop: Loop, ref: Ref) -> Size:
        if loop.mode != "while":
            if ref.path:
                return self.inside(node).size(loop.body.outputs[0].at(*ref.path))
            return Size(MADE_CAP, 0, *self.trips(node))
        position, path = (int(ref.path[0]), ref.path[1:]) if ref.path else (0, ())
        out = loop.body.outputs[position].at(*path)
        rounds = [inner.size(out) for inner in self.rounds(node)]
        return self._widest([self.size(node.inputs[position].at(*path)), *rounds])

    def rounds(self, node: Node) -> list[Lengths]:
        """The sizes in the body of a while-region, round by round: carried generations grow."""
        loop = _loop(node)
        params = loop.params[: len(loop.body.outputs)]
        carried = {p: self.size(r) for p, r in zip(params, node.inputs, strict=False)}
        rounds: list[Lengths] = []
        for _ in range(self.trips(node)[1]):
            inner = self.inside(node, carried)
            rounds.append(inner)
            carried = {p: inner.size(out) for p, out in zip(params, loop.body.outputs, strict=True)}
        return rounds

    def _widest(self, sizes: list[Size]) -> Size:
        if not sizes:  # a field of the records of a list that is empty
            return Size(0)
        tokens, whole = max(s.tokens for s in sizes), max(s.whole for s in sizes)
        engines = frozenset[str | None]().union(*(s.engines for s in sizes))
        return Size(tokens, whole, min(s.least for s in sizes), max(s.most for s in sizes), engines)

    def trips(self, node: Node) -> tuple[int, int]:
        """Trips that must happen, and the most that can."""
        loop = _loop(node)
        assert isinstance(loop.trips, int), "choices are assigned before lowering"
        if loop.mode != "map":
            return min(loop.required, loop.trips), loop.trips
        items = self.size(node.inputs[0])
        return min(items.least, loop.trips), min(items.most, loop.trips)


def _paid_at_once(size: Size) -> Size:
    """A list seen through a parameter or a select: every record it may have counts as one that is there."""
    return replace(size, least=size.most)


def _loop(node: Node | None) -> Loop:
    assert node is not None and isinstance(node.attrs, Loop)
    return node.attrs
