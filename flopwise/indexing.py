"""From texts to documents that modules retrieve from: cut into passages now, embedded when they are first needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .backends.embedders.registry import NAMES
from .backends.embedders.registry import embedder as embedder_of
from .errors import DataError, EngineError
from .ir.index import Index, Item, key_text, weighted
from .ir.schemas import Schema
from .modules.limits import check_whole
from .modules.retrieval.documents import Documents, Passage
from .modules.retrieval.passages import chunks, token_count
from .modules.signature import schema_of
from .modules.template import answer_text
from .modules.worked import STEPS

CHUNK = 200
_KEYS = frozenset(("text", "title", "id", "key"))


def documents(rows: Iterable[str | Mapping[str, Any]], *, embedder: str = "lexical", chunk: int = CHUNK) -> Documents:
    """Documents that a module may retrieve from: `fw.documents(["...", "..."])`.

    Args:
        rows: Texts, or mappings with a "text" and, if you like, a "title" that stands before each of its passages, an
            "id", and a "key": a text to be found by in place of its own. What has a key stays in one piece.
        embedder: What embeds texts and queries: "lexical", or a model of `flopwise models pull`.
        chunk: Most tokens of a passage. They are counted without a tokenizer, on the safe side: a token for every
            four letters. The pipeline's bound is that of the model's own tokenizer.

    Raises:
        DataError: A row is neither, or has no text; there are fewer than two passages; two have the same key or id.
        EngineError: There is no such embedder.
        SignatureError: `chunk >= 8` does not hold.
    """
    check_whole("documents", "chunk", chunk, 8)
    if embedder not in NAMES:
        raise EngineError(f"documents: an embedder is one of {', '.join(NAMES)}, but got {embedder!r}")
    if isinstance(rows, (str, Mapping)):
        raise DataError(f"documents: a list of texts is needed, but got {rows!r:.100}; put it in brackets")
    found: dict[tuple[str, str], Passage] = {}
    for i, row in enumerate(rows):
        for passage in _passages(i, row, chunk):
            found.setdefault((passage.key, passage.text), passage)  # the same text again adds nothing
    return Documents(tuple(found.values()), embedder, embedded)


def _passages(i: int, row: Any, chunk: int) -> list[Passage]:
    data = {"text": row} if isinstance(row, str) else row
    if not isinstance(data, Mapping) or not isinstance(data.get("text"), str) or not data["text"].strip():
        raise DataError(f"documents: row {i} must be a text, or a mapping with a 'text', but is {row!r:.100}")
    unknown = set(data) - _KEYS
    if unknown:
        known = ", ".join(sorted(_KEYS))
        raise DataError(f"documents: row {i} has {', '.join(map(str, sorted(unknown, key=str)))}; known are {known}")
    name, head = str(data.get("id", i)), f"{data['title']}: " if data.get("title") else ""
    if "key" in data:
        return [Passage(name, str(data["key"]), head + data["text"])]
    pieces = chunks(data["text"], max(chunk - token_count(head), chunk // 2))
    names = [name] if len(pieces) == 1 else [f"{name}#{j}" for j in range(len(pieces))]
    return [Passage(n, head + piece, head + piece) for n, piece in zip(names, pieces, strict=True)]


def embedded(name: str, passages: tuple[Passage, ...]) -> Index:
    """The index of passages, by the embedder of that name.

    Raises:
        WeightsError: The embedder's weights are not on this machine; says how to get them.
    """
    using = embedder_of(name)
    raw = [using.embed(p.key) for p in passages]
    weights = using.weights(raw)
    items = tuple(Item(p.id, p.key, (p.text,), weighted(v, weights)) for p, v in zip(passages, raw, strict=True))
    return Index(using.name, using.fingerprint, using.most_flops, ("text",), items, weights)


def solved(of: Any, examples: Iterable[Mapping[str, Any]], *, embedder: str = "lexical") -> Documents:
    """Worked examples as a memory: each is found by its inputs and shows them, how it was solved, and its outputs.

    An example is never found by its own inputs, so what is evaluated on examples of the memory is left out of it.

    Args:
        of: The signature, as a class or a text.
        examples: Values by field name; `reasoning` and the like are shown where they are there.
        embedder: What embeds the inputs.

    Raises:
        DataError: An example has no values of a field; there are fewer than two; two have the same inputs.
    """
    schema, rows = schema_of(of), []
    for i, example in enumerate(examples):
        key = key_text(example.get(f.name) for f in schema.inputs)
        rows.append({"id": i, "key": key, "text": solved_text(schema, i, example)})
    return documents(rows, embedder=embedder)


def solved_text(schema: Schema, i: int, example: Mapping[str, Any]) -> str:
    """A worked example as a text: inputs, steps where it has some, outputs; raises DataError where one is missing."""
    needed = [f.name for f in schema.inputs + schema.outputs if not f.optional]
    lacking = [n for n in needed if example.get(n) is None]
    if lacking:
        raise DataError(f"example {i} has no {', '.join(lacking)}; the signature is {schema.as_text()}")
    given = [f"{f.label}: {key_text([example[f.name]])}" for f in schema.inputs if example.get(f.name) is not None]
    steps = [str(example[name]) for name in STEPS if example.get(name)]
    label = schema.outputs[0].label if len(schema.outputs) == 1 else "Answer"
    return "\n".join([*given, *steps, f"{label}: {answer_text(schema, example)}"])
