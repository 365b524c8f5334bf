"""`fw.compile`: search over configs of a program, inside a FLOPs budget, for the best pipeline."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from ..modules.base import Module
from ..modules.program import Forward
from ..pipeline import Pipeline, run_sync
from .budget import Budget
from .metrics import Metric
from .progress import OnProgress, shown
from .race import Limits

if TYPE_CHECKING:
    from ..backends.engines._base import Engine

P = ParamSpec("P")
R = TypeVar("R")


@overload
def compile(
    program: Module[R], *, dev: Any, metric: Metric, engine: Engine | str, budget: Budget, train: Any = None,
    holdout: Any = None, study: str | Path | None = None, seed: int = 0, limits: Limits | None = None,
    caps: dict[str, int] | None = None, progress: bool | OnProgress = True, allow_impure: bool = False,
) -> Pipeline[..., R]: ...  # fmt: skip
@overload
def compile(
    program: Forward[P, R], *, dev: Any, metric: Metric, engine: Engine | str, budget: Budget, train: Any = None,
    holdout: Any = None, study: str | Path | None = None, seed: int = 0, limits: Limits | None = None,
    caps: dict[str, int] | None = None, progress: bool | OnProgress = True, allow_impure: bool = False,
) -> Pipeline[P, R]: ...  # fmt: skip
def compile(
    program: Any, *, dev: Any, metric: Metric, engine: Engine | str, budget: Budget, train: Any = None,
    holdout: Any = None, study: str | Path | None = None, seed: int = 0, limits: Limits | None = None,
    caps: dict[str, int] | None = None, progress: bool | OnProgress = True, allow_impure: bool = False,
) -> Pipeline[Any, Any]:  # fmt: skip
    """Find the config of a program that scores best on dev inside the budget, and bind it to the engine.

    Args:
        program: A Program, a function program, or a single module.
        dev: Labelled examples to compare configs on: dicts, a DataFrame, a Hugging Face dataset, or a file's path.
        metric: Any function of (example, prediction) that returns a bool or a float in [0, 1]; may be async.
        engine: An engine, or a spec such as "openvino:qwen2.5-coder-1.5b-instruct".
        budget: FLOPs per query for the result, and for the whole search.
        train: Examples that demonstrations are made of; taken out of dev where not given.
        holdout: Examples for the verdict; taken out of dev where not given.
        study: Folder of the search: samples, cells, trials. The same call goes on from there after a kill.
        seed: Seed of splits, proposals and the order of examples.
        limits: Most configs, and patience.
        caps: Most tokens of each input; 1.5 times the longest of the data where not given.
        progress: True for a live view or progress lines, False for none, or a function that takes `Progress`.
        allow_impure: True where host functions with effects may run in the search.

    Returns:
        The pipeline; its `report` holds scores with intervals on dev and holdout, the baseline's, the paired
        difference, the Pareto front, and every config that was tried.

    Raises:
        DataError: A set is empty, mistyped, or shares an input with another.
        BudgetError: The budget is below what the cheapest config needs, or the model's FLOPs are unknown.
        MetricError: The metric raised, or returned no score.
        StudyError: The study belongs to another program, data, budget or engine.
        EngineError: The engine failed; the study keeps what was known, and the same call goes on.
    """
    from .search import Search, Task

    if isinstance(engine, str):
        from ..backends.engines.registry import engine as make_engine

        engine = make_engine(engine)
    folder = Path(study) if study is not None else None
    task = Task(program, dev, train, holdout, metric, budget, folder, seed, limits or Limits(), caps, allow_impure)
    with shown(progress) as show, closing(Search(task, engine, show)) as search:
        return run_sync(search.run())
