"""The sandbox for model-written programs: bubblewrap namespaces, rlimits and seccomp around a forking server."""

from ._base import ExecutionResult, Limits
from .remembering import RememberingSandbox
from .sandbox import Sandbox, check

__all__ = ["ExecutionResult", "Limits", "RememberingSandbox", "Sandbox", "check"]
