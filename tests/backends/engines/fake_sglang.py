"""Stands in for an interpreter that has SGLang: a program that takes the same words and answers `/health`.

It starts a process of its own, as SGLang does, and another in a session of its own, which SGLang might. What it does
besides is said after the words for SGLang: `--refuse`, `--hang`, `--die` once it is ready, and told so.
"""

from __future__ import annotations

import sys
from pathlib import Path

SCRIPT = """#!{python}
import http.server, os, signal, subprocess, sys, tempfile

words = sys.argv[1:]
assert words[:2] == ["-m", "sglang.launch_server"], words
print("words:", words, flush=True)
if "--refuse" in words:
    sys.exit("launch_server.py: error: unrecognized arguments: --refuse")
sleeper = [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"]
for apart in (False, True):
    print("started", subprocess.Popen(sleeper, start_new_session=apart).pid, flush=True)
tempfile.mkstemp()
print("scratch", tempfile.gettempdir(), flush=True)
if "--hang" in words:
    signal.pause()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def do_POST(self):
        print("dying", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


http.server.ThreadingHTTPServer(("127.0.0.1", int(words[words.index("--port") + 1])), Handler).serve_forever()
"""


def fake_python(folder: Path) -> Path:
    """Write the program; return what to pass as the interpreter."""
    path = folder / "python-with-sglang"
    path.write_text(SCRIPT.format(python=sys.executable))
    path.chmod(0o755)
    return path


def model_folder(folder: Path) -> Path:
    """What passes for a Hugging Face folder."""
    made = folder / "model"
    made.mkdir()
    (made / "config.json").write_text("{}")
    return made


def noted(log: str, word: str) -> list[str]:
    """What the fake wrote in its log after a word, line by line."""
    return [line.partition(" ")[2] for line in log.splitlines() if line.startswith(word + " ")]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
