"""Group commit: rows gather in memory and reach the sample bank's store together."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ...errors import StudyError
from .bank_store import BankStore, Cleared, Reservation
from .rows import StoredSample, StoredScore

_LINGER_S = 0.05  # how long a row may wait for others before it is written
_MOST_WAITING = 1024  # rows in memory before whoever adds one writes them


class GroupWriter:
    """The one writer of a process, and a thread that writes what nobody else has.

    Args:
        store: Where it writes.

    Raises:
        StudyError: From any method: what the store raised, in this call or in the thread before it.
    """

    def __init__(self, store: BankStore) -> None:
        self.store = store
        self._waiting: dict[tuple[bytes, int], StoredSample | StoredScore] = {}
        self._guard = threading.Lock()  # around `_waiting`; may be taken inside the store's lock, never around it
        self._failure: StudyError | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._linger, name="flopwise-bank", daemon=True)
        self._thread.start()

    def waiting(self, key: bytes, index: int) -> StoredSample | StoredScore | None:
        """A row that is not in the file yet."""
        return self._waiting.get((key, index))

    def add(self, key: bytes, index: int, row: StoredSample | StoredScore) -> None:
        """Take a row; it is written with the next commit, or after a moment."""
        with self._guard:
            self._waiting[key, index] = row
            many = len(self._waiting) >= _MOST_WAITING
        if many or self._failure is not None:
            self.commit()
        elif not self._wake.is_set():
            self._wake.set()

    def commit(self, reserved: Sequence[Reservation] = (), cleared: Sequence[Cleared] = ()) -> None:
        """Write all rows that wait, the reservations, and clear those that are over; on disk when this returns."""
        with self.store.lock:
            self._failure = None
            rows = dict(self._waiting)
            if not (rows or reserved or cleared or self.store.behind()):
                return
            self.store.write(rows, reserved, cleared)
            with self._guard:
                for at in rows:
                    self._waiting.pop(at, None)

    def close(self) -> None:
        """Write what waits and let the file go."""
        self._closing.set()
        self._wake.set()
        self._thread.join()
        try:
            self.commit()
        finally:
            self.store.close()

    def _linger(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(_LINGER_S)
            self._wake.clear()
            try:
                self.commit()
            except StudyError as error:
                self._failure = error  # the next `add` tries again and raises what it meets
