"""The bubblewrap command line around the server, and what to tell a user whose machine cannot run it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from ....errors import SandboxError
from .packages import package_flags
from .seccomp import MACHINES, build_filter

_NAMESPACES = ("user", "pid", "net", "ipc", "uts")
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_INSIDE = Path(__file__).parent / "inside"


def build_command(settings: dict[str, Any]) -> list[str]:
    """The command that starts the server of `inside/` in its namespaces, its settings and the filter with it.

    Raises:
        SandboxError: This machine lacks what it needs; the message says what, and how to get it.
    """
    _require_linux()
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise SandboxError(
            "model-written code runs only inside bubblewrap, but there is no `bwrap` on PATH; install it "
            "(`apt-get install bubblewrap`, `dnf install bubblewrap`, `apk add bubblewrap`) and run `flopwise doctor`"
        )
    settings = {"filter": build_filter(platform.machine()).hex()} | settings
    return [bwrap, *_isolation(), *_files(), *_server(), json.dumps(settings)]


def explain_failure(said: str) -> SandboxError:
    """The error for a bubblewrap that is there but did not start, from what it said."""
    return SandboxError(
        f"bubblewrap must be able to make user namespaces, but it said: {said.strip()}; where the kernel "
        "forbids them set `sysctl kernel.unprivileged_userns_clone=1` (Debian) or "
        "`sysctl kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu), in a container start it with "
        "`--security-opt seccomp=unconfined --security-opt systempaths=unconfined`, and run `flopwise doctor`"
    )


def _require_linux() -> None:
    machine = platform.machine()
    if sys.platform != "linux" or machine not in MACHINES:
        raise SandboxError(
            f"the sandbox needs Linux on {' or '.join(MACHINES)}, but this is {sys.platform} on {machine}; "
            "run flopwise on such a machine, or take the modules that execute code out of the program"
        )


def _isolation() -> list[str]:
    # CAP_SYS_ADMIN counts inside the user namespace alone: the server needs it to give each program namespaces of
    # its own, and drops it in each program.
    unshare = [f"--unshare-{name}" for name in _NAMESPACES]
    return [*unshare, "--die-with-parent", "--new-session", "--cap-add", "CAP_SYS_ADMIN"]


def _files() -> list[str]:
    libraries = dict.fromkeys([*_LIBRARIES, f"{sys.base_prefix}/lib", f"{sys.base_prefix}/lib64"])
    python = _python()
    flags = [flag for path in libraries for flag in ("--ro-bind-try", path, path)]
    flags += [flag for path in _site_folders() for flag in ("--tmpfs", path, "--remount-ro", path)]
    flags += [flag for path in _DEVICES for flag in ("--dev-bind", path, path)]
    flags += ["--ro-bind", os.path.realpath(python), python, "--ro-bind", str(_INSIDE), "/sandbox/inside"]
    flags += package_flags()
    return [*flags, "--dir", "/tmp", "--remount-ro", "/", "--chdir", "/sandbox"]


def _site_folders() -> list[str]:
    """Folders of installed packages, which programs shall not see: they are no part of the language."""
    stdlib = os.path.dirname(os.__file__)
    folders = (f"{stdlib}/site-packages", f"{stdlib}/dist-packages", "/usr/lib/python3/dist-packages")
    return [path for path in folders if os.path.isdir(path)]


def _python() -> str:
    """The interpreter below any virtual environment, which lies in the user's folders and is not shown."""
    path = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}{sys.abiflags}"
    if not os.path.exists(path):
        raise SandboxError(
            f"the sandbox runs the base interpreter's binary, but there is none at {path}; run flopwise on a CPython "
            "with the usual layout of folders"
        )
    return path


def _server() -> list[str]:
    # A fixed hash seed: the same program gives the same order of a set, so a stored result can be asked again.
    settings = ["--setenv", "PYTHONHASHSEED", "0", "--setenv", "PYTHONUTF8", "1"]
    return [*settings, _python(), "-s", "-S", "-B", "-m", "inside.server"]
