"""The demonstration from end to end on a scripted engine that can write two kinds of programs and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCRIPT = r"""
import re


def reply(prompt, index):
    question = re.findall(r"Question: (.*)", prompt)[-1]
    if not prompt.endswith("```python\n"):
        return "none"
    found = re.search(r"numbers: (\d+), (\d+)", question)
    if found:
        return f"import math\nanswer = math.gcd({found[1]}, {found[2]})"
    word = re.search(r"nus\): (\w+)", question)
    return f"answer = {word[1]!r}[::-1]" if word else "answer = 'none'"
"""


def test_the_demonstration_finds_the_program_and_beats_the_plain_prompt(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": ""}
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--quick", "--engine"]
    spec = f"scripted:{tmp_path / 'script.py'}:reply"
    done = subprocess.run([*command, spec], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for number in range(1, 6):
        assert re.search(rf"^{number}\. ", done.stdout, re.M)
    assert re.search(r"won +draft=ProgramOfThought", done.stdout)
    assert "answered 2   (label" not in done.stdout
    tested = done.stdout[done.stdout.index("5. Test: 24 questions") :]
    gain = re.search(r"gain +\+([\d.]+) points .*; (\d+) better, 0 worse", tested)
    assert gain is not None, tested
    # Two of the eight kinds are answered by programs only: 6 of 24 questions.
    assert (float(gain[1]), int(gain[2])) == (25.0, 6)
