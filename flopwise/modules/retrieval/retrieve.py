"""Retrieve, and RetrieveThenRead: passages for any module (retrieval-augmented generation, Lewis et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

from ...errors import SignatureError
from ...ir.builder import Builder
from ...ir.prompt import Ref
from ...ir.schemas import STRING, Schema
from ..base import Module, S, check_module
from ..limits import check_whole
from ..symbols import Symbol, field_of
from .documents import Documents
from .passages import Source
from .retriever import Retriever, retriever


@dataclass(frozen=True)
class Searching(Module[S]):
    """Base of modules that find passages.

    Attributes:
        documents: `fw.documents(...)`, `fw.retriever(...)`, or a function or an object that the latter takes.
        k: How many passages for each query; a whole number or `fw.integer(...)`.
    """

    documents: Any = field(default=None, kw_only=True)
    k: Any = field(default=3, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "documents", source_of(self.kind, self.documents))
        check_whole(self.kind, "k", self.k, 1, self.documents.most)

    def __str__(self) -> str:
        return f"{super().__str__()} in {self.documents}"


def source_of(kind: str, given: Any) -> Source:
    """What passages are found in; raises SignatureError where something else was given."""
    if isinstance(given, (Documents, Retriever)):
        return given
    if given is None or isinstance(given, (str, list, tuple, dict, type)):
        raise SignatureError(
            f"{kind}: documents: an index or a retriever is needed, but got {given!r:.100}; write "
            "documents=fw.documents([...]) or documents=search, a function of (query, k)"
        )
    return cast(Source, retriever(given))


@dataclass(frozen=True)
class Retrieve(Searching[S]):
    """Finds the passages nearest to its inputs; its single output is their text, numbered, the nearest last.

    The nearest stand last, next to what is asked about them, as in Yue et al., 2024. Use it in a program of your own
    whose further modules take the passages as an input; `RetrieveThenRead` writes the usual program of that kind.

    Cost: no call; FLOPs of embedding one query, E, which is 0 for "lexical"; a retriever of the user's own counts 0.
    Limits: one query a call; a passage is cut nowhere but where `fw.documents` cut the text.

    Expands to::

        graph Retrieve(question):
          %Retrieve.passages.found: list[value] = retrieve(%question) 2 of 3 by lexical
          %Retrieve.passages.text: value = host(%Retrieve.passages.found) flopwise.modules.retrieval.passages:items_text
          %Retrieve.record: Answer = pack(%question, %Retrieve.passages.text) question, context
          return %Retrieve.record
    """

    demos: Any = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        schema = self.signature
        if len(schema.outputs) != 1 or schema.outputs[0].type_json != STRING or not schema.inputs:
            raise SignatureError(
                f"Retrieve({schema.name}): inputs and one output of type str are needed, but it has "
                f"{schema.as_text()}; write fw.Retrieve('question -> context', documents=...)"
            )

    def expand(self, b: Builder, inputs: dict[str, Ref]) -> Ref:
        """What is found, packed with the inputs."""
        found = self.documents.find(b, "passages", tuple(inputs.values()), self.k)
        return b.pack("record", self.signature, {**inputs, self.signature.outputs[0].name: found})


@dataclass(frozen=True)
class Reading(Searching[S]):
    """What `RetrieveThenRead(...)` makes: passages are found for the inputs and given to the reader as one of its own.

    Attributes:
        reader: The module that answers.
        into: Name of its input for the passages.

    Expands to::

        graph RetrieveThenRead(question):
          %rag.retrieve.passages.found: list[value] = retrieve(%question) 2 of 3 by lexical
          %rag.retrieve.passages.text: value = host(%rag.retrieve.passages.found) flopwise.modules.retrieval.passages:items_text
          %rag.retrieve.record: Answer = pack(%question, %rag.retrieve.passages.text) question, context
          %rag.reader.answer: text = generate() n=1 T=0 max=32 from %rag.retrieve.record.context, %question
          %rag.reader.record: Answer = parse(%rag.reader.answer, %rag.retrieve.record.context, %question) scalar -> context, question, answer
          return %rag.reader.record
    """  # noqa: E501

    demos: Any = field(default=(), kw_only=True)
    reader: Any = field(default=None, kw_only=True)
    into: str = field(default="context", kw_only=True)

    @property
    def kind(self) -> str:
        """The technique's name, which labels it in choices."""
        return "RetrieveThenRead"

    @property
    def signature(self) -> Schema:
        """The reader's without the input that is found."""
        whole = cast(Schema, self.reader.signature)
        return replace(whole, inputs=tuple(f for f in whole.inputs if f.name != self.into))

    def trace(self, *records: Any, **inputs: Any) -> Symbol:
        """Trace the search, then the reader on what it finds and the same inputs."""
        named = self.named(self.name or "retrieve_then_read")
        given = {name: value for name, value in self.inputs_of(inputs).items() if name in inputs}
        find: Module[Any] = Retrieve(
            f"{', '.join(given)} -> {self.into}", documents=self.documents, k=named.k, name=f"{named.name}.retrieve"
        )
        found = field_of(find.trace(*records, **given), self.into)
        return cast(Symbol, named.reader.trace(**given, **{self.into: found}))


def RetrieveThenRead(
    reader: Module[S], *, documents: Any, k: Any = 3, into: str = "context", name: str = ""
) -> Module[S]:
    """Passages found by the inputs are one more input of a module: `RetrieveThenRead(ChainOfThought(Read), ...)`.

    Use it where answers stand in documents and one search finds them; where a question needs several, `MultiHop`.

    Args:
        reader: Any module whose signature has an input for the passages.
        documents: `fw.documents(...)`, `fw.retriever(...)`, or a function `search(query, k)`.
        k: How many passages; a whole number or `fw.integer(...)`.
        into: Name of the reader's input for them.
        name: Name in a function program.

    Cost: the reader's with k passages of up to c tokens in its prompts, and E for embedding the query: for `Predict`
    one call, C(p + k x c, max_tokens) + E. In samples of it the passages are found again each time, for nothing: what
    was embedded is remembered.

    Raises:
        TraceError: The reader is no module.
        SignatureError: It has no such input, or no other; documents or k are not what they must be.
    """
    check_module("RetrieveThenRead", reader)
    names = [f.name for f in reader.signature.inputs]
    if into not in names or len(names) < 2:
        raise SignatureError(
            f"RetrieveThenRead: the reader needs the input {into!r} for the passages and another to find them by, but "
            f"it has {', '.join(names) or 'none'}; write such as fw.Predict('{into}, question -> answer')"
        )
    return Reading(reader.of, reader=reader, documents=documents, k=k, into=into, name=name)
