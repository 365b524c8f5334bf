"""What type checkers say of programs: in `typing/`, each line marked `# error:` is one, and no other line is."""

import json
import subprocess
import sys
from pathlib import Path

import mypy.api
import pytest

FILES = sorted((Path(__file__).parent / "typing").glob("*.py"))
ROOT = Path(__file__).parent.parent
REVEALED = {
    "class_program.py": ("Pipeline[[question: str], class_program.Solve]", "Pipeline[(question: str), Solve]"),
    "function_program.py": (
        "Pipeline[[text: str, hint: str =], function_program.Label]",
        'Pipeline[(text: str, hint: str = ""), Label]',
    ),
    "bare_module.py": ("Pipeline[..., bare_module.Solve]", "Pipeline[..., Solve]"),
}


def marked() -> set[tuple[str, int]]:
    lines = ((f.name, n, line) for f in FILES for n, line in enumerate(f.read_text().splitlines(), 1))
    found = {(name, n) for name, n, line in lines if "# error:" in line}
    assert len(found) == 7
    return found


def spelled(message: str) -> str:
    """A mypy message as it is spelled without a cache and outside of a package."""
    return message.replace("tests.typing.", "").replace("[[*Any, **Any]", "[...")


def test_mypy_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    cache = ROOT / ".mypy_cache" / "typing"  # of its own: other options would throw the project's cache away
    options = ["--config-file=", "--strict", "--follow-imports=silent", "--output=json", f"--cache-dir={cache}"]
    out, err, _ = mypy.api.run([*options, f"--python-executable={sys.executable}", *map(str, FILES)])
    assert err == ""
    said = [json.loads(line) for line in out.splitlines()]
    wrong = {(Path(s["file"]).name, s["line"]) for s in said if s["severity"] == "error"}
    assert wrong == marked(), out
    shown = {Path(s["file"]).name: spelled(s["message"]) for s in said if "Revealed" in s["message"]}
    assert shown == {name: f'Revealed type is "flopwise.pipeline.{mypy}"' for name, (mypy, _) in REVEALED.items()}


def test_pyright() -> None:
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *map(str, FILES)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = json.loads(run.stdout)["generalDiagnostics"]
    wrong = {(Path(s["file"]).name, s["range"]["start"]["line"] + 1) for s in said if s["severity"] == "error"}
    assert wrong == marked(), run.stdout
    shown = {Path(s["file"]).name: s["message"] for s in said if "Type of" in s["message"] and s["severity"] != "error"}
    assert shown == {name: f'Type of "compiled" is "{pyright}"' for name, (_, pyright) in REVEALED.items()}
