"""Servers that many tests ask: one of a plain pipeline, one of a front."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flopwise.optimizers.contenders import Limits
from tests.optimizers import additions
from tests.serve.serving import Running, adder, running


@pytest.fixture(scope="session")
def plain() -> Iterator[Running]:
    """One input, one output; what a model says is always 7."""
    with running(adder()) as server:
        yield server


@pytest.fixture(scope="session")
def found() -> Any:
    """A pipeline that a search made, with a front."""
    return additions.search(None, additions.engine(), dev=additions.rows(32), limits=Limits(configs=6))


@pytest.fixture(scope="session")
def front(found: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An artifact with a front, behind HTTP."""
    import flopwise as fw

    path = found.save(tmp_path_factory.mktemp("front") / "adder.fw")
    with running(fw.load(path, engine=additions.engine())) as server:
        yield server
