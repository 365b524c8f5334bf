"""The house: who may import whom, the four doors at the root, and what a bare import loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "flopwise"
FOLDERS = ("modules", "compiler", "optimizers", "backends")
# What each part may import of ours, besides itself; what stands at the top of the package may import anything.
ALLOWED = {
    "errors": set(),
    "ir": {"errors"},
    "modules": {"errors", "ir"},
    "compiler": {"errors", "ir", "modules"},
    "backends": {"errors", "ir"},
    "report": {"errors", "ir"},
}
# What each room of the modules may import, besides itself and the files beside the rooms; those import no room.
ROOMS = {
    "prompting": set(),
    "tools": {"prompting"},
    "retrieval": {"prompting"},
    "judging": {"prompting"},
    "selection": {"prompting", "judging"},
    "search": {"prompting"},
    "spending": {"prompting", "judging", "selection"},
    "stacks": {"prompting", "tools", "judging", "selection"},
    "importers": {"prompting", "judging", "selection"},
}
# Nothing in the library knows of what stands at its top, besides those named.
TOP = {"serve": {"cli"}, "cli": {"__main__"}}
HEAVY = (
    "fastapi",
    "numpy",
    "prometheus_client",
    "starlette",
    "uvicorn",
    "pandas",
    "pyarrow",
    "optuna",
    "openvino",
    "openvino_genai",
    "gguf",
    "torch",
    "jinja2",
    "pydantic",
    "rich",
    "psycopg",
    "sqlalchemy",
    "mcp",
    "clingo",
)


def sources() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if not any(part.is_symlink() for part in (p, *p.parents)))


def imported(path: Path) -> Iterator[str]:
    """Absolute names of the modules that a file imports, wherever in it and for types, too."""
    here = path.relative_to(ROOT).with_suffix("").parts
    here = here[:-1]  # of a package's __init__.py, too, that is the package
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            name = ".".join((*base, *filter(None, [node.module])))
            yield name
            if node.level:
                yield from (f"{name}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    part = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for name in imported(path):
        first, *rest = name.split(".")
        assert first not in FOLDERS, f"{path} imports the bare name {name}"
        if first == "flopwise" and rest and part in ALLOWED:
            assert rest[0] in ALLOWED[part] | {part}, f"{path} imports {name}"
        if first == "flopwise" and rest and rest[0] in TOP:
            assert part in TOP[rest[0]] | {rest[0]}, f"{path} imports {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "modules").rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_of_modules_depend_one_way(path: Path) -> None:
    room, *below = path.relative_to(PACKAGE / "modules").with_suffix("").parts
    allowed = ROOMS[room] | {room} if below else set()
    for name in imported(path):
        _, folder, *rest = [*name.split("."), ""]
        if folder == "modules" and rest[0] in ROOMS:
            assert rest[0] in allowed, f"{path} imports {name}"


def test_the_rule_would_notice(tmp_path: Path) -> None:
    bad = PACKAGE / "ir" / "somewhere.py"
    text = "from ..modules.base import Module\nimport compiler\nfrom . import nodes\n"
    tree = tmp_path / "flopwise" / "ir"
    tree.mkdir(parents=True)
    (tree / bad.name).write_text(text)
    global ROOT
    before, ROOT = ROOT, tmp_path
    try:
        found = set(imported(tree / bad.name))
    finally:
        ROOT = before
    assert {"flopwise.modules.base", "compiler", "flopwise.ir.nodes"} <= found


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_doors_at_the_root_lead_into_the_package(folder: str) -> None:
    door = ROOT / folder
    assert door.is_symlink() and door.readlink() == Path("flopwise") / folder
    assert (door / "__init__.py").samefile(PACKAGE / folder / "__init__.py")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import flopwise, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module",
    ["flopwise.ir.graph", "flopwise.ir.types", "flopwise.compiler.stages", "flopwise.backends.runtime.executor"],
)
def test_no_part_loads_the_optional_libraries(module: str) -> None:
    heavy = tuple(set(HEAVY) - {"pydantic", "jinja2"})
    code = f"import {module}, sys; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
