"""Every pass's docstring shows a graph before and after it: what it says is what happens."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from flopwise.compiler.passes import PASSES, specialise
from flopwise.ir.graph import Graph
from flopwise.ir.text import graph_text

from .compiler.graph_parser import parse_graph

FIXTURES = Path(__file__).parent / "compiler" / "fixtures"
EVERY: dict[str, Callable[..., Graph]] = {run.__name__: run for run in (specialise, *PASSES)}
_EXAMPLE = re.compile(r"Before(?:, with config (\{.*\}))?:\n(.*?)\nAfter:\n(.*?)(?:\n\n(?! )|$)", re.DOTALL)


def of_docstring(run: Callable[..., Graph]) -> tuple[dict[str, Any] | None, str, str]:
    found = _EXAMPLE.search(inspect.cleandoc(run.__doc__ or ""))
    assert found, f"{run.__name__} has no example of the form Before: ... After: ..."
    config, before, after = found.groups()
    return ast.literal_eval(config) if config else None, dedent(before), dedent(after)


def of_file(name: str) -> Iterator[Any]:
    """Examples under a title `-- why`, or `-- with {config}: why`: a graph, an arrow, the graph after the pass."""
    for example in re.split(r"^-- ", (FIXTURES / f"{name}.txt").read_text(), flags=re.MULTILINE)[1:]:
        title, _, graphs = example.partition("\n")
        config = re.match(r"with (\{.*?\}): ", title)
        before, after = graphs.split("\n->\n")
        args = (name, ast.literal_eval(config[1]) if config else None, before.strip(), after.strip())
        yield pytest.param(*args, id=f"{name}: {title[config.end() if config else 0 :]}")


def check(name: str, config: dict[str, Any] | None, before: str, after: str) -> None:
    shown = "|" in before
    graph = parse_graph(before)
    assert graph_text(graph, prompts=shown) == before  # nothing of the text was passed over
    run = EVERY[name]
    result = run(graph) if config is None else run(graph, config)
    assert graph_text(result, prompts=shown) == after
    again = result if config is not None else run(result)
    assert graph_text(again, prompts=shown) == after  # a pass has nothing left to do for itself


@pytest.mark.parametrize("name", EVERY)
def test_docstrings_example(name: str) -> None:
    config, before, after = of_docstring(EVERY[name])
    assert before != after
    check(name, config, before, after)


@pytest.mark.parametrize(("name", "config", "before", "after"), [e for name in EVERY for e in of_file(name)])
def test_fixture(name: str, config: dict[str, Any] | None, before: str, after: str) -> None:
    check(name, config, before, after)


def test_a_pass_is_a_function_in_a_file_of_its_name_with_a_fixture_of_its_name() -> None:
    for name, run in EVERY.items():
        assert Path(inspect.getfile(run)).stem == name
    assert {path.stem for path in FIXTURES.iterdir()} == set(EVERY)
