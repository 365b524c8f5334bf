"""The thread that runs a Transformers model: prompts join the running batch, every step gives each row a token."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from ...errors import EngineError
from .transformers_grammar import forbid
from .transformers_jobs import Job, Row
from .transformers_model import Forward, Layers, join, select
from .transformers_sampling import choose

_LOOK = 64  # waiting jobs looked at before each step
_SMALL = 8  # new tokens that are computed twice rather than waited for


class Worker:
    """Runs jobs until it is closed.

    Args:
        forward: The model; from now on this thread's alone.
        ends: Ids that end a turn.
        decode: Text of ids.
        rows: Most samples decoded at once.
        batch_tokens: Most tokens that samples under way may come to hold.
        prefill_tokens: Most prompt tokens computed in one pass; a longer prompt is computed alone.
    """

    def __init__(
        self,
        forward: Forward,
        ends: Sequence[int],
        decode: Callable[[Sequence[int]], str],
        rows: int,
        batch_tokens: int,
        prefill_tokens: int,
    ) -> None:
        import torch

        self._forward, self._ends, self._decode = forward, frozenset(ends), decode
        self._most_rows, self._most_tokens, self._most_new = rows, batch_tokens, prefill_tokens
        self._generator = torch.Generator(forward.device)
        self._generator.seed()  # of the system's chance: equal requests draw different samples
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiting: list[Job] = []
        self._rows: list[Row] = []
        self._layers: Layers = []  # a row's keys and values each
        self._lock = threading.Lock()
        self._death: EngineError | None = None
        self._thread = threading.Thread(target=self._run, name="flopwise-transformers", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job; raises EngineError where the thread has ended."""
        with self._lock:
            if self._death is not None:
                raise self._death
            self._inbox.put(job)

    def close(self) -> None:
        """End the thread; those who wait get EngineError. May be called twice."""
        self._die(EngineError("the engine is closed; make another one with engine(...)"))
        self._thread.join()

    def _die(self, reason: EngineError) -> None:
        with self._lock:
            self._death = self._death or reason
            self._inbox.put(None)

    def _run(self) -> None:
        try:
            while self._take():
                self._guarded(self._admit, self._pick())
                self._guarded(self._advance, self._going())
        except Exception as error:  # whatever it is, those who wait must hear of it
            self._die(EngineError(f"the engine's thread has ended ({error!r}); make another engine"))
        while (job := self._inbox.get()) is not None:
            self._waiting.append(job)
        assert self._death is not None
        for job in (*self._waiting, *(row.job for row in self._rows)):
            job.fail(self._death)
        self._waiting, self._rows, self._layers = [], [], []

    def _take(self) -> bool:
        """Move what was submitted to those who wait; where there is nothing to do, wait for it. False to end."""
        while True:
            try:
                job = self._inbox.get(block=not (self._waiting or self._rows))
            except queue.Empty:
                return True
            if job is None:
                self._inbox.put(None)
                return False
            self._waiting.append(job)

    def _guarded(self, work: Callable[[list[Job]], None], jobs: list[Job]) -> None:
        """Do a pass; where PyTorch refuses it, the jobs in it fail and the others go on."""
        try:
            if jobs:
                work(jobs)
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            for job in jobs:
                job.fail(EngineError(f"PyTorch cannot compute this batch ({reason}); lower in_flight or batch_tokens"))
            self._leave()

    def _going(self) -> list[Job]:
        """Jobs of the running rows, those of cancelled ones dropped."""
        self._leave()
        return list({id(row.job): row.job for row in self._rows}.values())

    def _pick(self) -> list[Job]:
        """Take waiting jobs for one pass: as far as there is room, alike in size, beginning differently."""
        self._waiting = [job for job in self._waiting if not job.future.cancelled()]
        rows, tokens = len(self._rows), sum(len(r.job.ids) + r.job.limit for r in self._rows)
        picked: list[Job] = []
        sizes: list[int] = []
        begun: set[tuple[int, int]] = set()
        for job in islice(self._waiting, _LOOK):
            if (
                job.n
                and (rows or picked)
                and (rows + job.n > self._most_rows or tokens + job.reserved > self._most_tokens)
            ):
                break  # nothing overtakes a job that waits for room
            path = self._forward.trie.match(job.ids[:-1])
            new = len(job.ids) - len(path)
            first = (path[-1] if path else -1, job.ids[len(path)])
            if (first in begun and new > _SMALL) or not self._alike([*sizes, new]):
                continue  # the next pass finds held what this one computes
            begun.add(first)
            picked.append(job)
            sizes.append(new)
            rows, tokens = rows + job.n, tokens + job.reserved
        taken = set(picked)
        self._waiting = [job for job in self._waiting if job not in taken]
        return picked

    def _alike(self, sizes: list[int]) -> bool:
        """Whether prompts of these new tokens fit one pass, a fifth of it wasted at most."""
        padded = max(sizes) * len(sizes)
        return len(sizes) == 1 or (padded <= self._most_new and padded - sum(sizes) <= padded // 5 + _SMALL)

    def _admit(self, jobs: list[Job]) -> None:
        """Compute prompts; their samples' first tokens are drawn, and they join the batch."""
        held = self._forward.trie.match
        new = max(len(job.ids) - len(held(job.ids[:-1])) for job in jobs)
        logits, layers = self._forward.prefill([job.ids for job in jobs], new)
        sources: list[int] = []
        fresh: list[Row] = []
        for index, job in enumerate(jobs):
            rows = job.start(max(len(job.ids) - new, 0))
            fresh += rows
            sources += [index] * len(rows)
            if not rows:
                job.settle(tuple(logits[index, list(job.choices)].tolist()))
        if fresh:
            self._draw(fresh, logits[sources])
            stay = [i for i, row in enumerate(fresh) if not row.done]
            if stay:
                width = max(len(fresh[i].job.ids) for i in stay)
                self._layers = join(self._layers, select(layers, [sources[i] for i in stay], width))
                self._rows += [fresh[i] for i in stay]

    def _advance(self, jobs: list[Job]) -> None:
        """One more token for every row."""
        lengths = [len(row.job.ids) + len(row.out) for row in self._rows]
        logits, self._layers = self._forward.step([row.out[-1:] for row in self._rows], lengths, self._layers)
        self._draw(self._rows, logits)
        done = [i for i, row in enumerate(self._rows) if row.done]
        if done:  # a later turn may go on from what they said
            width = max(lengths[i] for i in done)
            self._forward.keep([self._rows[i].sequence for i in done], select(self._layers, done, width))

    def _draw(self, rows: list[Row], logits: Any) -> None:
        forbid(logits, [row.matcher for row in rows])
        for row, token in zip(rows, choose(logits, [r.job.decoding for r in rows], self._generator), strict=True):
            row.take(token, self._ends, self._decode)
        for job in {id(row.job): row.job for row in rows if row.done}.values():
            job.settle()

    def _leave(self) -> None:
        """Drop rows that are done or whose job is over."""
        stay = [i for i, row in enumerate(self._rows) if not (row.done or row.job.future.done())]
        if len(stay) == len(self._rows):
            return
        self._rows = [self._rows[i] for i in stay]
        width = max((len(row.sequence) for row in self._rows), default=0)
        self._layers = select(self._layers, stay, width) if stay else []
