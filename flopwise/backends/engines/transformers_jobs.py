"""What the thread of a Transformers engine is asked, and the sequences it decodes for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ...errors import EngineError
from ...ir.request import Decoding, TokenIds
from .transformers_grammar import matcher

_GREEDY = Decoding()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job.

    Attributes:
        cached: Prompt tokens that were not computed, being held.
        outputs: Of each sample the ids, the ending ones included, and whether it ended by itself.
        logits: Of each choice, before any softmax.
    """

    cached: int
    outputs: tuple[tuple[TokenIds, bool], ...] = ()
    logits: tuple[float, ...] = ()


@dataclass(eq=False, slots=True)
class Job:
    """One prompt: samples of it, or the logits of choices after it, or neither, to hold it only.

    Attributes:
        ids: The prompt.
        n: Samples to draw.
        limit: Most tokens of each.
        decoding: How they are drawn.
        grammar: A compiled grammar, or None.
        choices: Ids whose logits are wanted.
        future: Gets the outcome; cancelled, the job is dropped at the next step.
    """

    ids: TokenIds
    n: int = 0
    limit: int = 0
    decoding: Decoding = _GREEDY
    grammar: Any = None
    choices: tuple[int, ...] = ()
    future: Future[Outcome] = field(default_factory=Future)
    rows: list[Row] = field(default_factory=list)
    cached: int = 0

    @property
    def reserved(self) -> int:
        """Tokens its samples may come to hold while they are decoded."""
        return self.n * (len(self.ids) + self.limit)

    def start(self, cached: int) -> list[Row]:
        """Rows for its samples, none of which has a token yet."""
        self.cached = cached
        self.rows = [Row(self, matcher(self.grammar)) for _ in range(self.n)]
        return self.rows

    def settle(self, logits: tuple[float, ...] = ()) -> None:
        """Hand out what there is, once all rows have ended."""
        if all(row.done for row in self.rows):
            outputs = tuple((tuple(row.out), row.ended) for row in self.rows)
            with suppress(InvalidStateError):  # cancelled in the meantime
                self.future.set_result(Outcome(self.cached, outputs, logits))

    def fail(self, error: EngineError) -> None:
        """Tell who waits, unless it has been told."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)


@dataclass(eq=False, slots=True)
class Row:
    """One sample being decoded.

    Attributes:
        job: Whose sample.
        matcher: Follows its grammar, or None.
        out: Ids so far.
        ended: True once it ended by itself.
        done: True once it ended or reached its limit.
    """

    job: Job
    matcher: Any
    out: list[int] = field(default_factory=list)
    ended: bool = False
    done: bool = False

    @property
    def sequence(self) -> TokenIds:
        """Prompt and output but for the last token, which no pass has been fed yet."""
        return self.job.ids + tuple(self.out[:-1])

    def take(self, token: int, ends: Collection[int], decode: Callable[[Sequence[int]], str]) -> None:
        """Append a token and see whether it ends the sample."""
        self.out.append(token)
        if self.matcher is not None:
            self.matcher.accept_token(token)
        self.ended = token in ends or self._stopped(decode)
        self.done = self.ended or len(self.out) >= self.job.limit

    def _stopped(self, decode: Callable[[Sequence[int]], str]) -> bool:
        stop = [s for s in self.job.decoding.stop if s]
        if not stop:
            return False
        # Of four bytes a character, and a token a byte at worst, this many tokens hold a stop text that just ended.
        tail = decode(self.out[-4 * max(map(len, stop)) - 4 :])
        return any(s in tail for s in stop) and any(s in decode(self.out) for s in stop)
