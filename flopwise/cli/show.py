"""`flopwise show`: what is in an artifact. It needs no engine and imports nothing of the user's."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .words import Commands, add_command

if TYPE_CHECKING:
    from ..compiler.artifact import Loaded


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "show", run, "show an artifact: its scores, front, config, graph and provenance")
    parser.add_argument("artifact", metavar="ARTIFACT", help="the folder or zip")
    parser.add_argument("--prompts", action="store_true", help="also every prompt exactly as it is sent")
    parser.add_argument("--json", action="store_true", help="all of it as one JSON object")


def run(args: Namespace) -> int:
    """Print the artifact's parts, every byte of it checked."""
    from ..compiler.artifact import read
    from ..compiler.artifact_read import read_files

    path = Path(args.artifact)
    found = read(path)
    files = {n: b.decode("utf-8", "replace") for n, b in read_files(path).items() if n.startswith("prompts/")}
    prompts = {name.removeprefix("prompts/").removesuffix(".txt"): text for name, text in files.items()}
    if args.json:
        print(json.dumps(_parts(found, prompts), indent=2, ensure_ascii=False))
    else:
        print(_text(found, prompts, args))
    return 0


def _parts(found: Loaded, prompts: dict[str, str]) -> dict[str, Any]:
    from ..ir.serial import to_json

    plan = {**found.plan, "caps": found.caps, "cap": found.cap}
    return {"made_by": found.made_by, **found.facts, "graph": to_json(found.graph), "plan": plan, "prompts": prompts}


def _text(found: Loaded, prompts: dict[str, str], args: Namespace) -> str:
    from ..report.words import config_text, flops_text, models_text
    from .instructions import instructions_text
    from .report_text import front_text, verdict

    facts = found.facts
    cap = f"at most {flops_text(found.cap)} a query" if found.cap else "no cap per query"
    made = f"made by flopwise {found.made_by} for {models_text(found.plan)}"
    said = [f"{args.artifact}: {found.graph.name}, {made}, {cap}"]
    if facts["report"]:
        said += filter(None, [verdict(facts["report"]), front_text(facts["report"])])
    said.append(f"Config: {config_text(facts['config'])}" if facts["config"] else "Config: no choices")
    said += filter(None, [instructions_text(facts["report"])])
    said.append(found.graph.as_text())
    said.append("\n".join(["Provenance:", *_lines(facts["provenance"])]))
    if args.prompts:
        said += [f"Prompt of {name}:\n{_indented(text)}" for name, text in prompts.items()]
    else:
        said.append(f"{len(prompts)} prompts and {len(facts['demos'])} demos; --prompts shows them.")
    return "\n\n".join(said)


def _lines(provenance: Mapping[str, Any]) -> list[str]:
    from ..report.words import flops_text

    budget = provenance.get("budget") or {}
    shown = {k: v for k, v in provenance.items() if k not in ("config", "budget", "data")}
    shown |= {"budget": {k: flops_text(v) if v else "no cap" for k, v in budget.items()}} if budget else {}
    return [f"  {name}: {_flat(value)}" for name, value in shown.items()]


def _flat(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return ", ".join(f"{k} ({_flat(v)})" if isinstance(v, Mapping) else f"{k} {v}" for k, v in value.items())


def _indented(text: str) -> str:
    return "\n".join(f"  | {line}" for line in text.splitlines())
