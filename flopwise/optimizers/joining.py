"""`flopwise worker`: join a search that another process has started, and run its cells until it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..backends.runtime.address import Address, is_address
from ..backends.runtime.meter import Meter
from ..backends.runtime.scheduler import schedulers
from ..errors import StudyError
from ..ir.engines import MAIN, ByEngine, by_engine
from ..ir.serial import schema_from_json
from ..ir.target import sequences
from ..modules.program import record_class
from ..pipeline import run_sync
from .declared import check_needs, metric_of, task_of
from .evaluate import Evaluator
from .metrics import Metric
from .scoring import bound
from .shared_study import ENDED, SearchEnded, SharedStudy

if TYPE_CHECKING:
    from ..backends.engines._base import Engine
    from .worker import Worker


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker's part in a search, while it runs and at its end.

    Attributes:
        done: Cells that this worker has stored.
        under_way: Cells that it runs now.
        configs: The keys of the configs that these are of.
        spent: FLOPs that all workers have spent.
        cap: FLOPs that they may spend; None for no cap.
        leads: True where this process has become the coordinator.
    """

    done: int = 0
    under_way: int = 0
    configs: tuple[str, ...] = ()
    spent: float = 0.0
    cap: float | None = None
    leads: bool = False


OnJoined = Callable[[Joined], None]


def join(
    study: str,
    engine: Engine | ByEngine[Engine],
    program: Any = None,
    metric: Metric | None = None,
    show: OnJoined = lambda _: None,
) -> Joined:
    """Run cells of a search until it ends.

    Args:
        study: Its address, such as "postgresql://user@host/database?study=NAME".
        engine: What generates here, of the model that the search is of; of a search with several engines, each of
            them by its name.
        program: The search's program. With it this process can take the lead when the coordinator dies, and run what
            needs the user's code; without, cells whose graph, data and metric are all in the study.
        metric: The search's metric, where that is a function of the user's own.
        show: Told about once a second how it goes.

    Returns:
        This process's part.

    Raises:
        StudyError: There is no such study, it is of another model, program, metric or data (named), it needs code
            that was not given, it ended with an error, or it cannot be reached.
        EngineError: The engine failed; what this worker was at is given back.
    """
    address = _address(study)
    identity, said = _known(address)
    engines = by_engine(engine)
    _check_models(address, identity, engines)
    if said["objectives"]:
        names = ", ".join(said["objectives"])
        raise StudyError(
            f"the search of the study {address} measures {names} beside the metric, by functions that a worker does "
            "not have; let it run alone, or compile without objectives"
        )
    if program is None:
        check_needs(said)
        return _bare(address, engines, said, show)
    return _whole(address, engines, said, program, metric, show)


def _check_models(address: Address, identity: Mapping[str, Any], engines: ByEngine[Engine]) -> None:
    wanted, given = {MAIN: identity["model"], **identity.get("engines", {})}, dict(engines.items())
    for name in {**wanted, **given}:
        of = "" if name == MAIN else f" as the engine {name!r}"
        if name not in wanted:
            raise StudyError(f"the search of the study {address} has no engine {name!r}; it has {', '.join(wanted)}")
        if name not in given:
            raise StudyError(
                f"the search of the study {address} also has an engine {name!r}; give --engine {name}=SPEC"
            )
        model = given[name].model
        if wanted[name] != model.fingerprint:
            raise StudyError(
                f"the study {address} is of the model {wanted[name]}{of}, but this engine runs {model.name} "
                f"({model.fingerprint}); give an engine of the same model and precision"
            )


def _address(study: str) -> Address:
    if not is_address(study):
        raise StudyError(
            f"a study that workers join lies in PostgreSQL, at postgresql://user@host/database?study=NAME, but got "
            f"{study!r:.80}; a folder is one process's"
        )
    return Address.parse(study)


def _known(address: Address) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The identity of a study and what it declares."""
    with closing(SharedStudy(address, None, Meter())) as study:
        identity, said = study.store.fact("identity"), study.store.fact("task")
        if identity is None or said is None:
            raise StudyError(f"the search of the study {address} has not begun; start it with `flopwise compile` first")
        _refuse_ended(address, study.store.fact(ENDED))
        return identity, said


def _refuse_ended(address: Address, how: str | None) -> None:
    if how is not None:
        why = f"with an error: {how}" if how else "well"
        raise StudyError(
            f"the search of the study {address} has ended {why}; `flopwise compile` with the same words shows what it "
            "has found"
        )


def _whole(
    address: Address,
    engines: ByEngine[Engine],
    said: Mapping[str, Any],
    program: Any,
    metric: Metric | None,
    show: OnJoined,
) -> Joined:
    from .search import Search

    metric = metric or metric_of(said)
    if metric is None:
        raise StudyError(
            f"the study {address} scores by a function of its own, {said['metric_name']}; name it: "
            "--metric FILE.py:FUNCTION"
        )
    latest = _Latest(show)
    with closing(Search(task_of(said, program, metric, address), engines, latest.progress)) as search:
        assert isinstance(search.study, SharedStudy)
        latest.study, search.study.helps = search.study, True
        search.study.on_work = latest.watch
        try:
            run_sync(search.run())
        except SearchEnded as ended:
            _check_end(address, str(ended))
        return latest.tell()


def _bare(address: Address, engines: ByEngine[Engine], said: Mapping[str, Any], show: OnJoined) -> Joined:
    latest = _Latest(show)
    with closing(SharedStudy(address, None, Meter())) as study:
        latest.study, study.on_work = study, latest.watch
        schema = schema_from_json(said["schema"])
        metric = metric_of(said)
        assert metric is not None, "or its code is needed"
        asked = schedulers(engines, study.meter, study.bank)
        evaluator = Evaluator(
            asked, study.store, bound(metric, schema), schema, record_class(schema),
            said["settings"]["allow_impure"], 4 * sequences(engines), study.board,
        )  # fmt: skip
        with closing(evaluator):
            run_sync(_help(study, evaluator, said, latest))
        return latest.tell()


async def _help(study: SharedStudy, evaluator: Evaluator, said: Mapping[str, Any], latest: _Latest) -> None:
    """Run cells until the search has ended."""
    from .worker import Worker

    worker = Worker(study.board, evaluator, said)
    latest.watch(worker)
    try:
        async with worker.running():
            while (how := study.store.fact(ENDED)) is None:
                await worker.next_look()
                latest.tell()
    finally:
        for scheduler in evaluator.schedulers.distinct():
            await scheduler.drain()
        study.bank.flush()
    _check_end(study.address, how)


def _check_end(address: Address, how: str) -> None:
    if how:
        raise StudyError(f"the search of the study {address} has ended with an error: {how}")


class _Latest:
    """What there is to tell of a worker."""

    def __init__(self, show: OnJoined) -> None:
        self.show = show
        self.study: SharedStudy | None = None
        self.worker: Worker | None = None

    def watch(self, worker: Worker) -> None:
        """Tell of this one from now on."""
        self.worker = worker

    def progress(self, _: object) -> None:
        """Tell, where the search has something to show."""
        self.tell()

    def tell(self) -> Joined:
        """Show how it goes."""
        worker, study = self.worker, self.study
        if worker is None or study is None:
            return Joined()
        cells, meter = list(worker.under_way), study.meter
        configs = tuple(dict.fromkeys(cell.config for cell in cells))
        now = Joined(worker.done, len(cells), configs, meter.spent, meter.cap, study.leads)
        self.show(now)
        return now
