"""The sample bank: every sample and score ever drawn, so that nothing is paid for twice.

Writes gather in memory and reach the file together: with the next reservation, or after a moment. A reservation
reaches it before the call returns, and so before the request is sent. Whatever moment a process is killed at, a
sample is therefore either in the file, or its reservation is.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from ...ir.request import Sample, Usage
from .bank_store import BankStore, FileStore
from .rows import SCORE, StoredSample, StoredScore, read_sample, read_score
from .writer import GroupWriter

_RECENT = 8192  # rows kept in memory

Orphan = tuple[bytes, int, float]


class SampleBank:
    """Samples and scores by key (`keys.sample_key`, `keys.score_key`) and sample index, in one SQLite file.

    Any number of processes may share the file; all methods may be called from any thread. Do not use a bank
    after `close`.

    Args:
        place: The file, made where it does not exist; None for a bank that keeps nothing. A study that many workers
            share gives a store of its own.
        study: Whose reservations these are: another study's orphans are left to it.

    Raises:
        StudyError: From any method: the file is damaged, of another program or a newer version, locked for
            good, or its disk is full.
    """

    def __init__(self, place: str | Path | BankStore | None, study: str = "") -> None:
        self.study = study
        self._recent: OrderedDict[tuple[bytes, int], StoredSample | StoredScore] = OrderedDict()
        self._lock = threading.Lock()  # around `_recent` and reading
        self._writer: GroupWriter | None = None
        if place is not None:
            self.store: BankStore = FileStore(Path(place)) if isinstance(place, (str, Path)) else place
            self._writer = GroupWriter(self.store)

    @property
    def enabled(self) -> bool:
        """False for a bank without a path, and after `close`."""
        return self._writer is not None

    def get(self, key: bytes, start: int, n: int) -> list[Sample | None]:
        """Samples `start` to `start + n` of a key, None where the bank has none."""
        return [None if s is None else s.sample for s in self.stored(key, start, n)]

    def stored(self, key: bytes, start: int, n: int) -> list[StoredSample | None]:
        """As `get`, with what each sample cost."""
        with self._lock:
            found = [self._remembered(key, index) for index in range(start, start + n)]
            if self._writer is not None and None in found:
                for index, row in map(read_sample, self.store.samples(key, start, start + n)):
                    found[index - start] = row
                    self._remember(key, index, row)
        return [row if isinstance(row, StoredSample) else None for row in found]

    def get_score(self, key: bytes) -> StoredScore | None:
        """The stored probabilities of a score request and what they cost."""
        with self._lock:
            found = self._remembered(key, SCORE)
            if found is None and self._writer is not None:
                row = self.store.score(key)
                if row is not None:
                    found = read_score(row)
                    self._remember(key, SCORE, found)
        return found if isinstance(found, StoredScore) else None

    def put(self, key: bytes, index: int, sample: Sample, flops: float, usage: Usage) -> None:
        """Store a sample and clear its reservation; written soon, and at once by `flush`."""
        self._put(key, index, StoredSample(sample, flops, usage))

    def put_score(self, key: bytes, probabilities: Sequence[float], flops: float, usage: Usage) -> None:
        """Store a score and clear its reservation, which has index 0."""
        self._put(key, SCORE, StoredScore(tuple(probabilities), flops, usage))

    def _put(self, key: bytes, index: int, row: StoredSample | StoredScore) -> None:
        if self._writer is not None:
            with self._lock:
                self._remember(key, index, row)
            self._writer.add(key, index, row)

    def _remembered(self, key: bytes, index: int) -> StoredSample | StoredScore | None:
        at = (key, index)
        row = self._recent.get(at)
        if row is not None:
            self._recent.move_to_end(at)
        elif self._writer is not None:
            row = self._writer.waiting(key, index)
        return row

    def _remember(self, key: bytes, index: int, row: StoredSample | StoredScore) -> None:
        self._recent[key, index] = row
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)

    def reserve(self, key: bytes, indices: Iterable[int], flops: float) -> None:
        """Write down that samples are about to be asked for, `flops` in all; on disk when this returns."""
        self.reserve_all([(key, tuple(indices), flops)])

    def reserve_all(self, requests: Sequence[tuple[bytes, Sequence[int], float]]) -> None:
        """`reserve` for several requests in one commit."""
        if self._writer is not None:
            name = self.store.owner
            self._writer.commit(
                [(key, i, name, self.study, flops / len(at)) for key, at, flops in requests for i in at]
            )

    def release(self, key: bytes, indices: Iterable[int]) -> None:
        """Clear reservations of requests that failed, or that the meter was charged for at once."""
        if self._writer is not None:
            name = self.store.owner
            self._writer.commit(cleared=[(key, i, name) for i in indices])

    def orphans(self) -> list[Orphan]:
        """(key, index, FLOPs) of what this study had in flight in processes that have died since."""
        if self._writer is None:
            return []
        return [(key, index, flops) for key, index, _, flops in self.store.orphans(self.study)]

    def charge_orphans(self) -> float:
        """FLOPs of all orphans, which leave the bank with this call: nobody is told of them again."""
        return 0.0 if self._writer is None else self.store.charge_orphans(self.study)

    def drawn(self) -> float:
        """FLOPs of everything stored, what is waiting included: what a search that was killed had at least spent."""
        if self._writer is None:
            return 0.0
        self.flush()
        with self._lock:
            return self.store.drawn()

    def flush(self) -> None:
        """Write what is waiting; on disk when this returns."""
        if self._writer is not None:
            self._writer.commit()

    def close(self) -> None:
        """Write what is waiting and let the file go. May be called twice."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def __enter__(self) -> SampleBank:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
