"""Outcomes of searches, kept one a line as they come in, so that a run that is broken off goes on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

Key = tuple[Any, ...]


class Store:
    """A file of outcomes by key.

    Args:
        path: The file; made where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[Key, Any] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                key, value = json.loads(line)
                self._known[tuple(key)] = value

    def fill(self, what: str, keys: Sequence[Key], run: Callable[..., Any], processes: int) -> list[Any]:
        """The outcome of each key, `run(*key)` where it is not known; in the order of the keys.

        Args:
            what: For progress lines.
            keys: What to run; plain values.
            run: A function of a module, run in processes of its own; gives plain values.
            processes: How many at once.
        """
        missing = [key for key in keys if key not in self._known]
        began, said = time.monotonic(), 0.0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file, ProcessPoolExecutor(processes) as pool:
            under_way = {pool.submit(run, *key): key for key in missing}
            for done, future in enumerate(as_completed(under_way), 1):
                key = under_way[future]
                self._known[key] = future.result()
                file.write(json.dumps([key, self._known[key]]) + "\n")
                file.flush()
                spent = time.monotonic() - began
                if spent - said > 10 or done == len(missing):
                    said = spent
                    left = spent / done * (len(missing) - done)
                    print(f"{what}: {done} of {len(missing)}, {spent:.0f} s, {left:.0f} s left", file=sys.stderr)
        return [self._known[key] for key in keys]
