"""mbr: the record that is most like all the others, by minimum Bayes risk (Kumar and Byrne, 2004).

For texts drawn from language models: Bertsch et al., 2023, arXiv:2310.01387.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, cast

from ...errors import TraceError
from ...ir.nodes import Type
from ...ir.types import render_value
from ..base import S
from ..computed import computation, compute
from ..lists import check_records
from ..symbols import Symbol, place, tracer
from .reducers import voted

BY = ("f1", "exact")
# A number is one word; so is each character of the scripts that are written without spaces.
_CLOSE = "\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"\d+(?:[.,]\d+)*|[{_CLOSE}]|[^\W\d{_CLOSE}]+")


def mbr(records: list[S], *, field: str = "", by: str = "f1", name: str = "") -> S:
    """The record whose `field` is on average most similar to those of the other records (minimum Bayes risk).

    It is a vote for texts, which hardly ever agree to the letter: what most drafts say in one way or another is likely
    right, and the draft that is nearest to them all is one that says it. Each draft counts alike; weights that a
    verifier gave are not looked at. Of equally similar ones the first is taken. With one or two drafts it is always
    the first, since each is as near to the other.

    `by="f1"` compares words: the harmonic mean of the shares of each text's words that are in the other one, in any
    case and without marks. It sees no synonyms; for those let the model choose (`Consistent`). `by="exact"` is 1 where
    the values are written alike and else 0: the plain majority.

    Cost: no request and no FLOPs beyond the drafts'; n (n - 1) / 2 comparisons of texts.

    Args:
        records: Drafts; failed ones are passed over.
        field: The output compared; the only one where it is not given.
        by: The similarity: "f1" or "exact".
        name: Name of the node.

    Raises:
        TraceError: This is no list of records, field is no output or not given where there are several, or by is
            another word.

    Expands to::

        graph Program(question):
          %draft.sample: list[Answer] = loop(%question) repeat at most 5 trips (1 required) with outer.question
            graph draft.sample(outer.question):
              %draft.answer: text = generate() n=1 T=0.7 max=512 from %outer.question
              %draft.record: Answer = parse(%draft.answer, %outer.question) text -> question, story
              return %draft.record
          %mbr.field: value = const() 'story'
          %mbr.by: value = const() 'f1'
          %mbr.place: value = host(%draft.sample, %mbr.field, %mbr.by) flopwise.modules.selection.mbr:most_similar
          %mbr: Answer = reduce(%draft.sample, %mbr.place) at
          return %mbr
    """
    name = name or "mbr"
    schema = check_records(records, name)
    if by not in BY:
        raise TraceError(f"{place()}: {name}: by must be one of {list(BY)}, but got {by!r}; the output is field=...")
    symbol = cast(Symbol, records)
    if not symbol._type.many:
        return records  # type: ignore[return-value]
    current = tracer(name)
    b, full, drafts = current.builder, current.unique(name), current.ref(symbol)
    options = (b.const(f"{full}.field", voted(schema, field)), b.const(f"{full}.by", by))
    at = compute(b, f"{full}.place", most_similar, drafts, *options)
    return cast(S, Symbol(b.reduce(full, drafts, schema, "at", at=at), Type("record", schema), current))


@computation
def most_similar(records: list[Any], field: str, by: str) -> int:
    """The place of the record whose field is most similar to those of the others, of equals the first."""
    texts = [render_value(getattr(r, field)) for r in records]
    bags = [Counter([t.strip().casefold()] if by == "exact" else words(t)) for t in texts]
    similar = [[0.0] * len(bags) for _ in bags]
    for i, one in enumerate(bags):
        for j in range(i):
            similar[i][j] = similar[j][i] = overlap(one, bags[j])
    sums = [round(sum(row), 9) for row in similar]  # the order of adding must not decide between equals
    return sums.index(max(sums)) if sums else 0


def words(text: str) -> list[str]:
    """The words of a text in any case: numbers whole, no marks, Chinese and Japanese by the character."""
    return _WORD.findall(text.casefold())


def overlap(one: Counter[str], other: Counter[str]) -> float:
    """F1 of two bags of words, each word as often as it stands; two empty ones are alike."""
    if not one or not other:
        return float(one == other)
    return 2.0 * (one & other).total() / (one.total() + other.total())
