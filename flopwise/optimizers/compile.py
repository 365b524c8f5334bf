"""`fw.compile`: search over configs of a program, inside a FLOPs budget, for the best pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from ..backends.engines.registry import engines as engines_of
from ..backends.runtime.address import Address, is_address
from ..errors import BudgetError, InputError, MetricError, StudyError
from ..modules.base import Module
from ..modules.program import Forward
from ..pipeline import Pipeline, run_sync
from ..reporting import FILE, report_or_warning, write_report
from .budget import Budget, check_budget
from .contenders import Limits
from .metrics import Metric
from .objectives import Objective
from .progress import OnProgress, shown
from .scoring import named

if TYPE_CHECKING:
    from ..backends.engines._base import Engine

P = ParamSpec("P")
R = TypeVar("R")


@overload
def compile(
    program: Module[R], *, dev: Any, metric: Metric | str, engine: Engine | str, budget: Budget, train: Any = None,
    holdout: Any = None, study: str | Path | None = None, seed: int = 0, limits: Limits | None = None,
    caps: dict[str, int] | None = None, progress: bool | OnProgress = True, allow_impure: bool = False,
    objectives: Mapping[str, Objective] | None = None,
    embedder: str = "lexical", engines: Mapping[str, Engine | str] | None = None, report: bool = True,
) -> Pipeline[..., R]: ...  # fmt: skip
@overload
def compile(
    program: Forward[P, R], *, dev: Any, metric: Metric | str, engine: Engine | str, budget: Budget, train: Any = None,
    holdout: Any = None, study: str | Path | None = None, seed: int = 0, limits: Limits | None = None,
    caps: dict[str, int] | None = None, progress: bool | OnProgress = True, allow_impure: bool = False,
    objectives: Mapping[str, Objective] | None = None,
    embedder: str = "lexical", engines: Mapping[str, Engine | str] | None = None, report: bool = True,
) -> Pipeline[P, R]: ...  # fmt: skip
def compile(
    program: Any, *, dev: Any, metric: Metric | str, engine: Engine | str, budget: Budget, train: Any = None,
    holdout: Any = None, study: str | Path | None = None, seed: int = 0, limits: Limits | None = None,
    caps: dict[str, int] | None = None, progress: bool | OnProgress = True, allow_impure: bool = False,
    objectives: Mapping[str, Objective] | None = None,
    embedder: str = "lexical", engines: Mapping[str, Engine | str] | None = None, report: bool = True,
) -> Pipeline[Any, Any]:  # fmt: skip
    """Find the config of a program that scores best on dev inside the budget, and bind it to its engines.

    Args:
        program: A Program, a function program, or a single module.
        dev: Labelled examples to compare configs on: dicts, a DataFrame, a Hugging Face dataset, or a file's path.
        metric: Any function of (example, prediction) that returns a bool or a float in [0, 1]; may be async. Or a
            text such as "exact:answer" or "path.py:function".
        engine: An engine, or a spec such as "openvino:qwen2.5-coder-1.5b-instruct". It asks wherever a module names no
            other, and proposes instructions.
        budget: FLOPs per query for the result, and for the whole search.
        train: Examples that demonstrations are made of, and that a model which proposes instructions is shown; taken
            out of dev where not given.
        holdout: Examples for the verdict; taken out of dev where not given.
        study: Folder of the search: samples, cells, trials. The same call goes on from there after a kill. Or
            "postgresql://user@host/database?study=NAME", where `flopwise worker` helps from any number of machines.
        seed: Seed of splits, proposals and the order of examples.
        limits: Most configs, and patience.
        caps: Most tokens of each input; 1.5 times the longest of the data where not given.
        progress: True for a live view or progress lines, False for none, or a function that takes `Progress`.
        allow_impure: True where host functions with effects may run in the search.
        objectives: What else is measured of each prediction, by name, such as
            `{"words": fw.Objective(count_words, better="lower")}`. The front is over score, FLOPs per query and
            these; the winner is chosen by score alone, and `Pipeline.at(words=60)` chooses by them.
        embedder: What tells how alike demonstrations are: "lexical", by their words, or "all-minilm-l6-v2", a model.
        engines: The other engines by the names that modules use: `engines={"judge": big}` for
            `fw.Verifier(Solve, engine="judge")`. Each is counted by its own cost model, under the one budget.
        report: Whether a page about the search, `report.html`, is written into the study's folder at its end. The study
            keeps the examples won and lost in any case; `Pipeline.save(report=False)` keeps them out of an artifact.

    Returns:
        The pipeline; its `report` holds scores with intervals on dev and holdout, the baseline's, the paired
        difference, the Pareto front, every config that was tried, and every instruction that was proposed. Its `at`
        gives another point of the front.

    Raises:
        DataError: A set is empty, mistyped, or shares an input with another.
        BudgetError: The budget is below what the cheapest config needs, or the model's FLOPs are unknown; or budget
            or limits are none.
        InputError: A cap is of no input or no whole number of at least 1, or seed or progress is none.
        MetricError: The metric is none, raised, or returned no score; or an objective is none, raised, or returned no
            finite number.
        StudyError: The study belongs to another program, data, budget or engine.
        WeightsError: The embedder's weights are not on this machine.
        EngineError: There is no such engine or embedder, a module names an engine that is not given, no module names
            one that is, or the engine failed; the study keeps what was known, and the
            same call goes on.
    """
    from .search import Search, Task

    _check(study, seed, progress)
    task = Task(
        program, dev, train, holdout, _metric(metric), check_budget(budget), place_of(study), seed, _limits(limits),
        caps, allow_impure, objectives, embedder,
    )  # fmt: skip
    targets = engines_of(engine, engines)
    with shown(progress) as show, closing(Search(task, targets, show)) as search:
        pipeline = run_sync(search.run())
        if report and isinstance(task.study, Path) and (html := report_or_warning(pipeline)) is not None:
            write_report(html, task.study / FILE)
        return pipeline


def _check(study: object, seed: object, progress: object) -> None:
    if study is not None and not isinstance(study, (str, Path)):
        raise StudyError(f"study: the path of a folder or a PostgreSQL address is needed, but got {study!r:.80}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InputError(f"seed: a whole number is needed, but got {seed!r:.80}")
    if not isinstance(progress, bool) and not callable(progress):
        raise InputError(f"progress: True, False or a function of `Progress` is needed, but got {progress!r:.80}")


def place_of(study: str | Path | None) -> Path | Address | None:
    """Where a study is kept: a folder, or an address of PostgreSQL."""
    if isinstance(study, str) and is_address(study):
        return Address.parse(study)
    return Path(study) if study is not None else None


def _metric(metric: Metric | str) -> Metric:
    if isinstance(metric, str):
        return named(metric)
    if not callable(metric):
        raise MetricError(
            f'metric: a function of (example, prediction) or a text such as "exact:answer" is needed, but got '
            f"{metric!r:.80}"
        )
    return metric


def _limits(limits: Limits | None) -> Limits:
    if limits is None:
        return Limits()
    if not isinstance(limits, Limits):
        raise BudgetError(f"limits: fw.Limits(configs=..., patience=...) is needed, but got {limits!r:.80}")
    for name in ("configs", "patience"):
        most = getattr(limits, name)
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise BudgetError(f"limits: `{name} >= 1` must hold, but got {most!r:.80}")
    return limits
