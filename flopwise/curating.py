"""From worked examples to a cheatsheet in words, once, before a pipeline is compiled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .api import lower
from .backends.engines.registry import engine as engine_of
from .errors import DataError
from .indexing import solved_text
from .modules.limits import check_whole
from .modules.prompting.predict import Predict
from .modules.signature import schema_of

if TYPE_CHECKING:
    from .backends.engines._base import Engine
    from .backends.runtime.bank import SampleBank

_ASKED = (
    "Keep a cheatsheet for tasks of one kind. Read the cheatsheet so far and newly solved tasks, then write the new "
    "cheatsheet. Keep what stays useful; add strategies, formulas and pitfalls that help with other tasks of the kind; "
    "merge what says the same; leave out what holds for one task alone. Write short lines."
)
EMPTY = "(empty)"


class Curated(NamedTuple):
    """What `curate` made.

    Attributes:
        text: The cheatsheet.
        flops: FLOPs that it took; 0 where the engine's cost is unknown.
    """

    text: str
    flops: float


def curate(
    of: Any,
    examples: Iterable[Mapping[str, Any]],
    *,
    engine: Engine | str,
    start: str = "",
    batch: int = 4,
    max_tokens: int = 400,
    bank: SampleBank | None = None,
) -> Curated:
    """A cheatsheet out of worked examples, rewritten with every few of them, as the curator of DC-Cu does.

    Its text is the `memory` of a `Cheatsheet`. Use examples of train alone: what they say is in every prompt then.

    Args:
        of: The signature of the tasks, as a class or a text.
        examples: Values by field name; `reasoning` and the like are shown where they are there.
        engine: The engine whose model writes it, or its spec.
        start: A cheatsheet to begin with.
        batch: Examples that are shown at once.
        max_tokens: Most tokens of the cheatsheet.
        bank: Where samples are kept, if anywhere.

    Cost: one call for each batch, C(sheet + batch x example, max_tokens). It counts against no search's budget.

    Raises:
        DataError: There are no examples, or one has no value of a field.
        SignatureError: `batch >= 1` or `max_tokens >= 1` does not hold.
        EngineError: The engine failed.
    """
    check_whole("curate", "batch", batch, 1)
    schema, target = schema_of(of), engine_of(engine)
    texts = [solved_text(schema, i, example) for i, example in enumerate(examples)]
    if not texts:
        raise DataError("curate: at least one example is needed, but got none; give rows of train")
    shown = ["\n\n".join(texts[i : i + batch]) for i in range(0, len(texts), batch)]
    longest = max(len(target.tokenizer.encode(text)) for text in shown)
    # What was written in so many tokens seldom takes more when it is read again, and never twice as many.
    sheet = max(2 * max_tokens, len(target.tokenizer.encode(start)), len(EMPTY))
    asked = Predict("cheatsheet, solved_tasks -> new_cheatsheet", instruction=_ASKED, max_tokens=max_tokens)
    caps = {"cheatsheet": sheet, "solved_tasks": longest}
    writer = lower(asked, engine=target, config={"Predict.demos": ()}, caps=caps, bank=bank)
    made = Curated(start.strip(), 0.0)
    for tasks in shown:
        record: Any = writer(cheatsheet=made.text or EMPTY, solved_tasks=tasks)
        cut = record.trace.requests[-1].completion >= max_tokens
        text = _whole_lines(record.new_cheatsheet) if cut else record.new_cheatsheet
        made = Curated(text.strip() or made.text, made.flops + record.trace.flops)
    return made


def _whole_lines(text: str) -> str:
    """A text that ran out of tokens without the line that it broke off in, where it has others."""
    return text.rpartition("\n")[0] or text
