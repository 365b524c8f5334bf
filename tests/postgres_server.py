"""A private PostgreSQL server out of Debian's package, for tests: on a Unix socket in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

# Set to a folder to keep the server's files there from run to run: making them takes a while.
KEPT = "FLOPWISE_TEST_POSTGRES"


class Server:
    """A running server, until `stop`."""

    def __init__(self) -> None:
        kept = os.environ.get(KEPT)
        self.folder = Path(kept or tempfile.mkdtemp(prefix="fwpg-", dir="/tmp"))
        self.kept = kept is not None
        self.data = self.folder / "data"
        self._as: dict[str, Any] = {"cwd": "/"}
        if os.geteuid() == 0:  # the server refuses to run as root
            owner = pwd.getpwnam("postgres")
            self._as |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            self.folder.mkdir(exist_ok=True)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self.folder.chmod(0o755)
        if not self.data.exists():
            how = ("-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
            self._run("initdb", "-D", str(self.data), *how)
        elif (self.data / "postmaster.pid").exists():  # of a run that was killed
            self.halt("immediate")
        self.start()

    def url(self, study: str, **options: Any) -> str:
        """Where a study of that name lies, one of this call's own; `options` go into the URL."""
        more = "".join(f"&{name}={quote(str(value))}" for name, value in options.items())
        return (
            f"postgresql://postgres@/postgres?host={quote(str(self.folder))}&study={quote(f'{study} {uuid4()}')}{more}"
        )

    def start(self) -> None:
        # No disk is waited for: these files outlive no test.
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off -c max_connections=200"
        self._run(
            "pg_ctl", "-D", str(self.data), "-o", options, "-l", str(self.folder / "log"), "-t", "300", "-w", "start"
        )

    def halt(self, how: str = "fast") -> None:
        """Stop the server; "immediate" is a crash."""
        self._run("pg_ctl", "-D", str(self.data), "-m", how, "-w", "stop")

    def stop(self) -> None:
        """Stop the server and remove what it has written."""
        self.halt("immediate")
        if not self.kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run([find(program), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **self._as)
        assert done.returncode == 0, done.stdout.decode()


def find(program: str) -> str:
    """A program of PostgreSQL; Debian keeps the server's off the path."""
    packaged = Path("/usr/lib/postgresql").glob(f"*/bin/{program}")
    newest = max(packaged, key=lambda p: float(p.parent.parent.name), default=None)
    found = str(newest) if newest is not None else shutil.which(program)
    assert found is not None, f"PostgreSQL's {program} is needed: `make system` installs the package postgresql"
    return found


def wait_for(what: Any, seconds: float = 60.0) -> None:
    """Wait until something another process does has happened."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
