"""A study: the place of a search, with its samples, its cells, its trials, and what it has spent."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any

from ..backends.runtime.address import Address
from ..backends.runtime.bank import SampleBank
from ..backends.runtime.meter import Meter
from ..errors import StudyError
from .cells import CellStore
from .mirror import TrialStorage
from .progress import Clock

if TYPE_CHECKING:
    from .evaluate import Evaluator
    from .shared_study import SharedStudy

_SHOWN = 80  # letters of a value that an error quotes
Declare = Callable[[], Mapping[str, Any]]


def open_study(place: Path | Address | None, identity: Mapping[str, Any], meter: Meter) -> Study | SharedStudy:
    """The study of a folder, of a database, or of this process's memory; raises as `Study` does."""
    if isinstance(place, Address):
        from .shared_study import SharedStudy

        return SharedStudy(place, identity, meter)
    return Study(place, identity, meter)


class Study:
    """Opens a study, refuses one of something else, and goes on from where it was.

    What was in flight when a search was killed is charged: it may have been computed.

    Args:
        folder: Where it is kept; None keeps it for this process alone, its samples in a scratch folder.
        identity: What it is a study of: program, data, metric, budget, model, seed.
        meter: Gets what was spent before.

    Raises:
        StudyError: The folder cannot be made or read, or holds a study of something else.
    """

    board = None  # nobody else runs its cells
    leads = True  # nobody else writes its facts

    def __init__(self, folder: Path | None, identity: Mapping[str, Any], meter: Meter) -> None:
        self.folder = folder
        self.meter = meter
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StudyError(f"the study folder {folder} cannot be made: {error}") from error
        self._lock = _locked(folder) if folder else None
        self.store = CellStore(folder / "cells.db" if folder else None)
        try:
            self._claim(identity)
        except StudyError:
            self.store.close()
            self._unlock()
            raise
        self._scratch = ExitStack()
        self.bank = SampleBank((folder or self._scratch_folder()) / "samples.db")
        # What was committed after the last note of what was spent, and what was in flight, both count.
        meter.charge(self.bank.drawn() - float(self.store.fact("drawn") or 0.0))
        meter.charge(self.bank.charge_orphans())
        self.clock = Clock(meter.spent, float(self.store.fact("seconds") or 0.0))
        self.save()

    def _claim(self, identity: Mapping[str, Any]) -> None:
        check_identity(self.store.fact("identity"), identity, f"at {self.folder}")
        self.store.set_fact("identity", dict(identity))
        spent = self.store.fact("meter")
        if spent is not None:
            self.meter.restore(spent)

    @property
    def trials_storage(self) -> TrialStorage | None:
        """Where Optuna keeps the trials."""
        file = self.folder / "optuna.db" if self.folder else None
        return TrialStorage(f"sqlite:///{file}", "flopwise", str(file)) if file else None

    @asynccontextmanager
    async def at_work(self, evaluator: Evaluator, declare: Declare) -> AsyncIterator[None]:
        """Around a search: this process is the only one."""
        yield

    def spent_at(self, moment: int) -> float:
        """FLOPs spent at a numbered decision; a search that goes on reads what it was the first time."""
        name = f"spent/{moment}"
        known = self.store.fact(name)
        if known is None:
            known = self.meter.spent
            self.store.set_fact(name, known)
            self.save()
        return float(known)

    def save(self) -> None:
        """Note what has been spent, in FLOPs and seconds, and how much of it the bank holds."""
        drawn = self.bank.drawn()
        self.store.set_fact("meter", self.meter.snapshot())
        self.store.set_fact("drawn", drawn)
        self.store.set_fact("seconds", self.clock.seconds)

    def close(self) -> None:
        """Save and close the files."""
        self.save()
        self.bank.close()
        self.store.close()
        self._scratch.close()
        self._unlock()

    def _scratch_folder(self) -> Path:
        return Path(self._scratch.enter_context(TemporaryDirectory(prefix="flopwise-", ignore_cleanup_errors=True)))

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def check_identity(known: Mapping[str, Any] | None, identity: Mapping[str, Any], place: str) -> None:
    """Refuse, by a StudyError that names each difference, a study of something else; None is a new one."""
    if known is None or known == dict(identity):
        return
    was, now = _flat(known), _flat(identity)
    differs = [
        f"{name}: was {_short(was.get(name), now.get(name))}, is {_short(now.get(name), was.get(name))}"
        for name in {**was, **now}
        if was.get(name) != now.get(name)
    ]
    raise StudyError(
        f"the study {place} belongs to another search ({'; '.join(differs)}); give another study, or remove this one"
    )


def _locked(folder: Path) -> IO[str]:
    """Hold a study for this process: two searches on one would spend its budget twice. Ends with the process."""
    import fcntl

    file = (folder / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise StudyError(
            f"the study {folder} is in use by another process (pid {holder}); wait for it, give another study path, or "
            "keep the study in PostgreSQL, where many processes work at one"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name, those of a mapping inside by `outer.inner`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, Mapping) else {name: value}
        flat.update(inner)
    return flat


def _short(value: Any, other: Any) -> str:
    """A value in at most 80 letters, from near where it differs from another."""
    text, beside = (" ".join(str(v).split()) for v in (value, other))
    if len(text) <= _SHOWN:
        return text
    same = next((i for i, (a, b) in enumerate(zip(text, beside, strict=False)) if a != b), 0)
    start = max(same - _SHOWN // 4, 0)
    part = text[start : start + _SHOWN]
    return f"{'...' if start else ''}{part}{'...' if start + _SHOWN < len(text) else ''}"
