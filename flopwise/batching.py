"""Many queries side by side: rows in, records or failures out, in order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .errors import FlopwiseError, InputError, PipelineFailure
from .ir.coercion import row_inputs
from .ir.record import Failure, Trace
from .ir.schemas import Field
from .ir.target import sequences
from .pipeline import Failed, Pipeline, run_sync

if TYPE_CHECKING:
    import pandas

OnRow = Callable[[int, Any], None]
QUERIES_PER_SEQUENCE = 4  # under way for each sequence the engines run: requests of one query wait for each other


def run_batch(
    pipeline: Pipeline[Any, Any], rows: Any, progress: bool, concurrency: int | None, on_row: OnRow | None
) -> Any:
    """Run the rows from ordinary code; see `Pipeline.batch`."""
    frame = _frame(rows)
    given: Iterable[Any] = rows if frame is None else _frame_rows(frame, _input_names(pipeline))
    total = len(rows) if isinstance(rows, Sized) else None
    with _progress(progress, total) as step:

        def ended(index: int, result: Any) -> None:
            step(result)
            if on_row is not None:
                on_row(index, result)

        results = run_sync(gather_rows(pipeline, given, concurrency, ended))
    return results if frame is None else _with_results(frame, pipeline, results)


async def gather_rows(
    pipeline: Pipeline[Any, Any], rows: Iterable[Any], concurrency: int | None, on_row: OnRow | None
) -> list[Any]:
    """Run the rows within an event loop: a few workers take them one by one, so any number of rows will do.

    Args:
        pipeline: What runs them.
        rows: Mappings of inputs, records or examples; a generator is read as rows are needed.
        concurrency: How many workers; by default four for each sequence the engines run.
        on_row: Called with each row's index and result as it ends.

    Raises:
        InputError: These are no rows, or `concurrency >= 1` does not hold.
        FlopwiseError: The system failed, an EngineError mostly. Its `partial` has what had ended by then.
    """
    _check_rows(rows)
    results: list[Any] = []
    fields = pipeline.plan.graph.schema.inputs
    source = iter(rows)

    async def work() -> None:
        for row in source:
            index = len(results)
            results.append(None)
            results[index] = await _run_row(pipeline, row, fields)
            if on_row is not None:
                on_row(index, results[index])

    try:
        await _all([work() for _ in range(_workers(pipeline, rows, concurrency))])
    except FlopwiseError as error:
        undone = len(rows) - len(results) if isinstance(rows, Sized) else 0
        error.partial = (*results, *[None] * undone)
        raise
    return results


def _check_rows(rows: Any) -> None:
    """Refuse what is no series of rows, one row by itself above all: many of these iterate, but over other things."""
    single = isinstance(rows, (str, bytes, Mapping)) or isinstance(getattr(rows, "fields", None), Mapping)
    single = single or hasattr(type(rows), "model_fields")  # a record iterates over its fields
    framed = hasattr(rows, "iloc")  # a frame iterates over its columns' names, a series over its values
    if single or framed or not isinstance(rows, Iterable):
        kind = type(rows).__name__
        hint = "put one row in a list" if single else "of a DataFrame, pass .to_dict('records')"
        raise InputError(f"rows must be a list or generator of mappings, records or examples, but got {kind}; {hint}")


def _workers(pipeline: Pipeline[Any, Any], rows: Any, concurrency: int | None) -> int:
    if concurrency is None:
        concurrency = QUERIES_PER_SEQUENCE * sequences(pipeline.engines)
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise InputError(f"batch: `concurrency >= 1` must hold, but got {concurrency!r}")
    return min(concurrency, len(rows)) if isinstance(rows, Sized) else concurrency


async def _all(workers: list[Any]) -> None:
    """Await all; the first fault cancels the rest and is raised once they have ended."""
    tasks = [asyncio.ensure_future(w) for w in workers]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run_row(pipeline: Pipeline[Any, Any], row: Any, fields: Sequence[Field]) -> Any:
    """A row's record; a refused input or a failed query is a row like any other."""
    try:
        run = await pipeline.run(_inputs(row, fields))
        if isinstance(run.result, Failure):
            return Failed(run.result.reason, run.result.node, run.trace)
        return pipeline.record(run.result, run.trace)
    except InputError as error:
        return Failed(str(error))
    except PipelineFailure as error:
        return Failed(str(error), "", error.trace if isinstance(error.trace, Trace) else Trace())


def _inputs(row: Any, fields: Sequence[Field]) -> dict[str, Any]:
    """The inputs that a row has, read as compiling reads them: other columns, labels among them, are passed over."""
    values = row if isinstance(row, Mapping) else getattr(row, "fields", None)
    if not isinstance(values, Mapping):
        values = getattr(row, "__dict__", None)
    if not isinstance(values, Mapping):
        raise InputError(f"a row must be a mapping of inputs, a record or an example, but got {row!r:.200}")
    return row_inputs(fields, values)


def _input_names(pipeline: Pipeline[Any, Any]) -> list[str]:
    return [f.name for f in pipeline.plan.graph.schema.inputs]


# DataFrames -------------------------------------------------------------------------------------------------


def _frame(rows: Any) -> pandas.DataFrame | None:
    """The rows if they are a DataFrame: without pandas loaded there is none."""
    loaded = sys.modules.get("pandas")
    return rows if loaded is not None and isinstance(rows, loaded.DataFrame) else None


def _frame_rows(frame: pandas.DataFrame, names: list[str]) -> Iterator[dict[str, Any]]:
    """Rows as dicts of Python values; a missing value (NaN, NaT, NA) is None."""
    import pandas as pd

    columns = {n: frame[n].tolist() for n in names if n in frame.columns}
    for index in range(len(frame)):
        row = {n: values[index] for n, values in columns.items()}
        yield {n: None if pd.api.types.is_scalar(v) and pd.isna(v) else v for n, v in row.items()}


def _with_results(frame: pandas.DataFrame, pipeline: Pipeline[Any, Any], results: list[Any]) -> pandas.DataFrame:
    """A copy with a column for each output and `error`; a name that is taken gets `predicted_` before it."""
    out = frame.copy()
    for name in pipeline.plan.graph.schema.output_names:
        values = [None if isinstance(r, Failed) else getattr(r, name) for r in results]
        out[_free(name, frame)] = _column(values, out)
    out[_free("error", frame)] = _column([r.reason if isinstance(r, Failed) else None for r in results], out)
    return out


def _free(name: str, frame: pandas.DataFrame) -> str:
    while name in frame.columns:
        name = f"predicted_{name}"
    return name


def _column(values: list[Any], frame: pandas.DataFrame) -> pandas.Series[Any]:
    """Values as a column; with None among them they stay objects, so that 18 does not become 18.0."""
    import pandas as pd

    column = pd.Series(values, index=frame.index, dtype=object)
    return column if any(v is None for v in values) else column.infer_objects()


# progress ---------------------------------------------------------------------------------------------------


@contextmanager
def _progress(wanted: bool, total: int | None) -> Iterator[Callable[[Any], None]]:
    """A progress bar on a terminal, nothing elsewhere; what it gives is called with each result."""
    if not wanted or not sys.stderr.isatty():
        yield lambda result: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[failed]} failed"))
    failed = 0
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("batch", total=total, failed=0)

        def step(result: Any) -> None:
            nonlocal failed
            failed += isinstance(result, Failed)
            bar.update(task, advance=1, failed=failed)

        yield step
