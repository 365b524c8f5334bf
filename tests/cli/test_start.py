"""The command line comes up fast: nothing heavy is imported for help."""

from __future__ import annotations

import subprocess
import sys

from tests.cli.conftest import ROOT, Run

HEAVY = ("pydantic", "optuna", "rich", "numpy", "openvino_genai", "jinja2", "sqlite3", "asyncio")


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from flopwise.cli import main
try:
    main(["compile", "--help"])
except SystemExit as end:
    assert end.code == 0
print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "[]"
    assert "--per-query" in done.stdout


def test_version_and_help_and_no_command(flopwise: Run) -> None:
    assert flopwise("--version").stdout.startswith("flopwise ")
    assert "compile" in flopwise("--help").stdout
    assert flopwise().returncode == 2


def test_models_lists_what_is_known(flopwise: Run, tmp_path: object) -> None:
    done = flopwise("models", "list", FLOPWISE_HOME=str(tmp_path))
    assert done.returncode == 0
    assert "qwen2.5-coder-1.5b-instruct" in done.stdout and "absent" in done.stdout
