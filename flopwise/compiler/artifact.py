"""The artifact: a frozen pipeline as a folder or a zip of plain, diffable text.

`pipeline.json` is what is loaded: the specialised graph, lowered again for the engine at hand, and `index/`, what it
retrieves from. `front/` holds the same of every other point of the search's front, by number; see `artifact_front`. The
rest is for people: `prompts/`, `demos.jsonl`, `report.json`, `provenance.json`. `SHA256SUMS` covers every file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import ArtifactError, GraphError
from ..ir.engines import MAIN, ByEngine, by_engine
from ..ir.graph import Graph
from ..ir.plan import Plan
from ..ir.serial import graph_from_json, to_json
from ..ir.target import Target
from ..modules.tools.tool import Tool
from .artifact_front import StoredFront, front_files
from .artifact_hosts import resolve_hosts
from .artifact_index import apart, together
from .artifact_json import as_lines, as_text, plain, read_lines, read_object
from .artifact_read import PIPELINE, Files, read_files
from .artifact_write import write_files
from .engines import engines_in
from .frozen import Frozen, engine_facts, fingerprints, plan_facts, read_plan_facts
from .lengths import DEFAULT_INPUT_CAP
from .show import prompt_texts
from .spec import verify
from .versions import VERSION, versions

FORMAT = 1
REPORT, PROVENANCE, DEMOS = "report.json", "provenance.json", "demos.jsonl"

_log = logging.getLogger("flopwise")


@dataclass(frozen=True)
class Loaded:
    """An artifact as read, before it is lowered for an engine.

    Attributes:
        path: Where it was read from.
        graph: The specialised graph, host functions imported.
        caps: Most tokens of each input field.
        cap: FLOPs allowed per query; None for no cap.
        made_by: The version of flopwise that wrote it.
        plan: `hash` of the plan it was saved with, the `model` and `fingerprint` that was lowered for, and under
            `engines` the same of each engine that it names.
        bounds: Its bounds by node, as `Plan.bounds_by_node` gave them; none in what earlier versions saved.
        facts: `config`, `report`, `provenance` and `demos`.
        files: Every file, its sum checked.
        tools: Tools of servers that were given to it.
    """

    path: Path
    graph: Graph
    caps: Mapping[str, int]
    cap: float | None
    made_by: str
    plan: Mapping[str, Any]
    bounds: Mapping[str, Mapping[str, float]]
    facts: dict[str, Any]
    files: Files = field(repr=False)
    tools: Sequence[Tool] = ()

    @property
    def frozen(self) -> Frozen:
        """The pipeline without what is known of its search."""
        config, demos = self.facts["config"], self.facts["demos"]
        return Frozen(self.graph, self.caps, self.plan, config, demos, f"artifact {str(self.path)!r}", self.made_by)

    @property
    def front(self) -> Mapping[int, Frozen]:
        """The points of the search's front by number, this one among them; each is read when it is first asked for."""
        return StoredFront(self.path, self.files, self.frozen, chosen_in(self.facts), self.tools)

    @property
    def prompts(self) -> dict[str, str]:
        """The text of each prompt by node, for people."""
        taken: set[str] = set()
        nodes = [name for name, node in self.graph.walk() if node.prompt is not None]
        files = {name: self.files.get(f"prompts/{file_name(name, taken)}.txt", b"") for name in nodes}
        return {name: data.decode("utf-8", "replace") for name, data in files.items()}

    @property
    def engines(self) -> tuple[str, ...]:
        """The names of the engines that it, or another point of its front, asks beside the main one."""
        noted = (*self.plan.get("engines", ()), *self.facts["provenance"].get("engines", ()), *engines_in(self.graph))
        return tuple(dict.fromkeys(noted))

    def lower(self, engines: Target | ByEngine[Target], cap: float | None = None) -> Plan:
        """The plan for its engines; `cap` replaces the artifact's own.

        Raises:
            ArtifactError: The models are those it was saved with, but the plan comes out different.
            BudgetError: The cap is below the least the plan needs on these models.
            GraphError: The prompts do not fit a model's context.
            EngineError: It names an engine that is not given.
        """
        plan = self.frozen.lower(engines, self.cap if cap is None else cap)
        noted = self.facts["provenance"]
        measured = fingerprints(noted)
        for name, model in plan.models.items():
            if measured.get(name, model.fingerprint) != model.fingerprint:
                was = noted if name == MAIN else noted["engines"][name]
                _log.warning(
                    "artifact %s was measured on %s (%s); here%s it runs on %s (%s), where its scores and FLOPs do not "
                    "hold", self.path, was.get("model"), measured[name], "" if name == MAIN else f" as {name!r}",
                    model.name, model.fingerprint,
                )  # fmt: skip
        return plan


def save(
    plan: Plan, facts: Mapping[str, Any], engines: Target | ByEngine[Target], path: Path,
    front: Mapping[int, Frozen] | None = None, more: Mapping[str, bytes] | None = None,
) -> Path:  # fmt: skip
    """Write an artifact and return its path.

    Args:
        plan: What to freeze.
        facts: What is known of it: `config`, `report`, `provenance` and `demos`, as far as there are any.
        engines: The engines it was lowered for: their names, and the text of the prompts.
        path: A folder, or a zip where it ends in `.zip`; an artifact that is there is replaced.
        front: The points of the search's front by number, if there was one.
        more: Further files for people, by name.

    Raises:
        ArtifactError: Something else is at the path, it cannot be written, or a host function has no import path.
    """
    resolve_hosts(plan.graph)
    targets = by_engine(engines)
    graph, indexes = apart(plan.graph, file_name)
    files: Files = {
        PIPELINE: as_text(_pipeline(plan, graph)),
        **indexes,
        REPORT: as_text(plain(facts.get("report", {}))),
        PROVENANCE: as_text(plain(provenance_of(facts, targets))),
        DEMOS: as_lines(facts.get("demos", ())),
        **front_files(front or {}, chosen_in(facts)),
    }
    taken: set[str] = set()
    for node, text in prompt_texts(plan, targets).items():
        files[f"prompts/{file_name(node, taken)}.txt"] = text.encode("utf-8", "surrogateescape")
    write_files({**(more or {}), **files}, path)
    return path


def load(path: Path, tools: Sequence[Tool] = ()) -> Loaded:
    """Read an artifact, every byte checked, its host functions imported, tools of servers found among `tools`.

    Raises:
        ArtifactError: It is damaged, of a newer version, or a host function or tool is missing or changed.
    """
    found = read(path)
    return replace(found, graph=resolve_hosts(found.graph, tools), tools=tools)


def read(path: Path) -> Loaded:
    """Read an artifact, every byte checked, and import nothing: enough to look at it, not to run it.

    Raises:
        ArtifactError: It is damaged or of a newer version.
    """
    files = read_files(path)
    data = read_object(path, PIPELINE, files[PIPELINE])
    made_by = str(data.get("made_by", "unknown"))
    if data.get("format") != FORMAT:
        raise ArtifactError(
            f"artifact {str(path)!r} has format {data.get('format')!r}, made by flopwise {made_by}; this is flopwise "
            f"{VERSION}, which reads format {FORMAT}: install flopwise {made_by} or newer, or compile again"
        )
    provenance = read_object(path, PROVENANCE, files.get(PROVENANCE))
    facts = {
        "config": provenance.get("config", {}),
        "report": read_object(path, REPORT, files.get(REPORT)),
        "provenance": provenance,
        "demos": read_lines(path, DEMOS, files.get(DEMOS, b"")),
    }
    try:
        graph = together(graph_from_json(data["graph"]), files)
        verify(graph)
        plan, caps, cap = read_plan_facts(data["plan"]), _caps(data["caps"], graph), _cap(data["cap"])
    except (GraphError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"artifact {str(path)!r}: {PIPELINE} is not of format {FORMAT}: {error}") from error
    if not isinstance(facts["config"], dict):
        raise ArtifactError(f"artifact {str(path)!r}: {PROVENANCE}: `config` must be an object")
    bounds = data.get("bounds", {})
    return Loaded(path, graph, caps, cap, made_by, plan, bounds, facts, files)


def chosen_in(facts: Mapping[str, Any]) -> int | None:
    """The number of the config that a pipeline is, as its report says; None where it comes from no search."""
    number = facts.get("report", {}).get("chosen")
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _caps(data: Any, graph: Graph) -> dict[str, int]:
    caps = dict(data)
    names = [f.name for f in graph.schema.inputs]
    for name, most in caps.items():
        if name not in names or isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise TypeError(f"caps must be of inputs and whole numbers of at least 1, but {name!r} has {most!r:.80}")
    return caps


def _cap(data: Any) -> float | None:
    if data is None or (isinstance(data, (int, float)) and not isinstance(data, bool) and 0 < data < float("inf")):
        return data
    raise TypeError(f"cap must be null or a positive number of FLOPs, but is {data!r:.80}")


def _pipeline(plan: Plan, graph: Graph) -> dict[str, Any]:
    # Every cap is written down: another default in a later version must not make another plan.
    caps = {f.name: plan.caps.get(f.name, DEFAULT_INPUT_CAP) for f in plan.graph.schema.inputs}
    return {
        "format": FORMAT,
        "made_by": VERSION,
        "plan": plan_facts(plan),
        "caps": caps,
        "cap": plan.cap,
        "bounds": plan.bounds_by_node(),
        "graph": to_json(graph),
    }


def provenance_of(facts: Mapping[str, Any], engines: ByEngine[Target]) -> dict[str, Any]:
    """What a search noted comes over what is known here: saved again, an artifact keeps where it was measured."""
    noted = facts.get("provenance", {})
    return {
        **engine_facts(engines),
        "config": facts.get("config", {}),
        **noted,
        "versions": {**versions(), **noted.get("versions", {})},
    }


def file_name(node: str, taken: set[str]) -> str:
    """A file name for a node, different from the others on any file system."""
    base = re.sub(r"[^A-Za-z0-9._#-]", "-", node)[:120]
    name, count = base, 1
    while name.casefold() in taken:
        count += 1
        name = f"{base}~{count}"
    taken.add(name.casefold())
    return name
