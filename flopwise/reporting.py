"""From a pipeline, an artifact or a study to a report: one HTML file."""

from __future__ import annotations

import logging
import os
import secrets
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compiler.artifact import provenance_of
from .compiler.artifact import read as read_artifact
from .compiler.show import prompt_texts
from .errors import ArtifactError, GraphError, InputError, StudyError
from .report.found import Found
from .report.page import page

if TYPE_CHECKING:
    from .backends.runtime.address import Address
    from .pipeline import Pipeline

FILE = "report.html"

_log = logging.getLogger("flopwise.reporting")


def report_of(pipeline: Pipeline[Any, Any]) -> str:
    """The report of a pipeline, as HTML."""
    plan, facts = pipeline.plan, pipeline.facts
    prompts = prompt_texts(plan, pipeline.engines)
    return page(
        Found(
            plan.graph.name, report=facts.get("report", {}), provenance=provenance_of(facts, pipeline.engines),
            config=facts.get("config", {}), demos=facts.get("demos", ()), graph=plan.graph,
            bounds=plan.bounds_by_node(), prompts=prompts,
        )
    )  # fmt: skip


def report_or_warning(pipeline: Pipeline[Any, Any]) -> str | None:
    """The report; None, with a warning, where it cannot be made: no result is lost for its picture."""
    try:
        return report_of(pipeline)
    except Exception:
        _log.warning("the report cannot be made; all else is as it should be", exc_info=True)
        return None


def report_at(place: str | Path) -> str:
    """The report of an artifact (a folder or a zip), or of a study (a folder or an address), as HTML.

    A study may belong to a search that still runs: what it has kept last is shown.

    Raises:
        ArtifactError: The artifact is damaged, or there is neither an artifact nor a study.
        StudyError: The study holds nothing that can be shown, or cannot be read.
    """
    from .optimizers.compile import place_of

    found = place_of(place)
    assert found is not None
    if not isinstance(found, Path):
        return page(_in_database(found))
    if (found / "cells.db").is_file():
        return page(_in_folder(found))
    if not found.exists():
        raise ArtifactError(f"there is neither an artifact nor a study at {str(found)!r}; give the path of one")
    return page(_in_artifact(found))


def write_report(html: str, file: Path) -> Path:
    """Write a report, replacing one that is there; return its path.

    Raises:
        InputError: It cannot be written; what was there is as it was.
    """
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(html, "utf-8")
        os.replace(beside, file)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"the report {str(file)!r} cannot be written: {error.strerror}; name another file") from error
    return file


def _in_artifact(path: Path) -> Found:
    loaded = read_artifact(path)
    facts = loaded.facts
    return Found(
        loaded.graph.name, report=facts["report"], provenance=facts["provenance"], config=facts["config"],
        demos=facts["demos"], graph=loaded.graph, bounds=loaded.bounds, prompts=loaded.prompts,
    )  # fmt: skip


def _in_folder(folder: Path) -> Found:
    from .optimizers.cells import CellStore

    with closing(CellStore(folder / "cells.db", read_only=True)) as store:
        return _kept(store, str(folder))


def _in_database(address: Address) -> Found:
    from .backends.runtime.postgres import Session
    from .backends.runtime.postgres_tables import open_schema
    from .optimizers.cells import CellStore

    with closing(CellStore(Session(address, open_schema(address, create=False)))) as store:
        return _kept(store, str(address))


def _kept(store: Any, place: str) -> Found:
    """What a study has kept of its search; FLOPs and seconds as they are now."""
    from .optimizers.findings import FACT

    fact = store.fact(FACT)
    if fact is None:
        raise StudyError(
            f"the study {place} has nothing to report yet: its search was made by an earlier version, or has only just "
            "begun; run the same compile command, which goes on from there and asks for nothing twice"
        )
    try:
        return Found.of_fact(fact)
    except (GraphError, TypeError, KeyError) as error:
        raise StudyError(
            f"the study {place} was kept by another version of flopwise: {error}; run the same compile command again"
        ) from error
