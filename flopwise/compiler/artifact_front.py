"""The front in an artifact: `front/N.json` is config number N of the search, frozen as `pipeline.json` is.

Each file holds an object: `config`, `plan` (the hash it was lowered with, model and fingerprint), `demos` and `graph`.
Caps and scores are in `pipeline.json` and `report.json`; the point that `pipeline.json` holds has no file of its own.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import ArtifactError, GraphError
from ..ir.serial import graph_from_json, to_json
from ..modules.tools.tool import Tool
from .artifact_hosts import resolve_hosts
from .artifact_json import as_text, plain, read_object
from .artifact_read import Files
from .frozen import Frozen, read_plan_facts
from .spec import verify

_NAME = re.compile(r"front/([1-9][0-9]*)\.json")

_log = logging.getLogger("flopwise")


class StoredFront(Mapping[int, Frozen]):
    """The points of an artifact's front by number: each is read, and its host functions imported, when asked for.

    Args:
        path: The artifact.
        files: Its files, their sums checked.
        own: The pipeline that the artifact is: its caps hold for every point.
        number: Its number; None where it comes from no search.
        tools: Tools of servers, for the points that call them.

    Raises:
        ArtifactError: On asking for a point whose file is not of this format, or whose host function is missing.
    """

    def __init__(self, path: Path, files: Files, own: Frozen, number: int | None, tools: Sequence[Tool] = ()) -> None:
        self._path = path
        self._own = own
        self._tools = tools
        found = {match: data for name, data in files.items() if (match := _NAME.fullmatch(name))}
        self._texts = {int(match[1]): data for match, data in found.items()}
        self._read: dict[int, Frozen] = {}
        if number is not None:
            self._texts.setdefault(number, b"")
            self._read[number] = own

    def __getitem__(self, number: int) -> Frozen:
        if number not in self._read:
            self._read[number] = self._point(number, self._texts[number])
        return self._read[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def _point(self, number: int, text: bytes) -> Frozen:
        name = f"front/{number}.json"
        data = read_object(self._path, name, text)
        try:
            graph = graph_from_json(data["graph"])
            verify(graph)
            found = replace(
                self._own, graph=graph, plan=read_plan_facts(data["plan"]), config=dict(data["config"]),
                demos=list(data["demos"]), place=f"artifact {str(self._path)!r}, {name}",
            )  # fmt: skip
        except (GraphError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ArtifactError(f"artifact {str(self._path)!r}: {name} is no point of a front: {error}") from error
        return replace(found, graph=resolve_hosts(graph, self._tools))


def front_files(front: Mapping[int, Frozen], own: int | None) -> Files:
    """The files of every point but the artifact's own.

    What calls a function without an import path is left out, with a warning: no other process could run it.
    """
    files: Files = {}
    for number in sorted(set(front) - {own}):
        try:
            point = front[number]
            resolve_hosts(point.graph)
        except ArtifactError as error:
            _log.warning("point #%d of the front is left out of the artifact: %s", number, error)
            continue
        data = {"config": point.config, "plan": dict(point.plan), "demos": list(point.demos)}
        files[f"front/{number}.json"] = as_text({**plain(data), "graph": to_json(point.graph)})
    return files
