"""The parsing benchmark: what it asks, what it counts, and that its cases are what they say, on a scripted engine."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks._parsing_cases import INPUTS, REFUSED, Kind, kinds
from benchmarks.parsing import TECHNIQUES, TEMPERATURES, Outcome, figures, generate, rows, ways
from flopwise import ScriptedEngine
from flopwise.ir.grammars import output_grammar
from flopwise.ir.longest import longest_output
from flopwise.modules.extract import MOST_TOKENS, answer_tokens
from flopwise.modules.signature import schema_of

INT, TEXTS = Kind("int", (int,), True), Kind("texts", (list[str],), False)


def asked(engine: ScriptedEngine, chosen: list[Kind], generations: int) -> list[Outcome]:
    return asyncio.run(generate(engine, chosen, generations, 8))


@pytest.mark.parametrize("kind", kinds(), ids=lambda k: k.name)
def test_a_kind_is_bounded_exactly_where_its_grammar_is(kind: Kind) -> None:
    schema = schema_of(kind.signature())
    grammar = output_grammar(schema)
    if grammar is None:
        assert not kind.bounded
        return
    # Whatever repeats without limit; a plus or star of a value is escaped.
    endless = re.search(r"(?<!\\)[*+]|[0-9],\}", grammar.text) is not None
    assert grammar.kind == "regex" and endless != kind.bounded
    longest = longest_output(schema)
    assert longest is None or (kind.bounded and longest < answer_tokens(schema) <= MOST_TOKENS)


def test_every_kind_comes_once_before_one_comes_twice_and_all_ways_come() -> None:
    chosen = kinds()
    order = ways(chosen)
    assert {k.name for k, _, _ in order[: len(chosen)]} == {k.name for k in chosen}
    assert set(Counter((k.name, *way) for k, *way in order).values()) == {1}
    assert len(order) == len(chosen) * len(TECHNIQUES) * len(TEMPERATURES)
    assert {way for _, *rest in order[:4] for way in [tuple(rest)]} == {
        (m, t) for m in TECHNIQUES for t in TEMPERATURES
    }


def test_what_parses_is_counted_and_hostile_inputs_are_refused_once_a_kind() -> None:
    engine = ScriptedEngine(default=lambda prompt, index: "I think." if prompt.endswith("step by step") else "42")
    outcomes = asked(engine, [INT], len(INPUTS))
    found = figures(outcomes)
    assert (found["generations"], found["parsed"], found["kinds"]) == (len(INPUTS), len(INPUTS), 1)
    assert (found["hostile_inputs_refused"], found["hostile_inputs_let_in"]) == (len(REFUSED), 0)
    assert {o.input for o in outcomes} == INPUTS.keys() | REFUSED.keys()
    assert {"cap", "Unicode"} <= {
        w for o in outcomes if o.input in REFUSED for w in re.findall(r"cap|Unicode", o.reason)
    }


def test_what_runs_out_of_tokens_is_a_counted_failure() -> None:
    endless = '{"answer": ["' + "a" * 5000
    found = figures(asked(ScriptedEngine(default=endless), [TEXTS], 4))
    assert (found["generations"], found["parsed"], found["unbounded_failures_counted"]) == (4, 0, 4)
    assert found["exceptions"] == found["unbounded_failures_uncounted"] == found["parse_failures_bounded"] == 0


def test_an_engine_that_raises_is_an_exception_each_time() -> None:
    found = figures(asked(ScriptedEngine(default="a poem"), [INT], 4))  # which breaks the grammar
    assert (found["exceptions"], found["parsed"]) == (4, 0)


def outcome(result: str, reason: str = "", bounded: bool = True, name: str = "plain", kind: str = "int") -> Outcome:
    return Outcome(kind, bounded, "Predict", 0.0, name, result, reason)


def test_the_figures_keep_apart_what_failed_and_why() -> None:
    out = "the output ran out of tokens before it was complete"
    outcomes = [
        *(outcome("parsed"), outcome("failed", out), outcome("raised", "EngineError: gone"), outcome("refused", "odd")),
        *(outcome("failed", out, False, kind="text"), outcome("failed", "does not parse", False, kind="text")),
        *(outcome("parsed", name="too long"), outcome("refused", "cap", name="lone surrogate")),
    ]
    assert figures(outcomes) == {
        "generations": 6, "kinds": 2, "parsed": 1, "parse_failures_bounded": 1, "unbounded_failures_counted": 1,
        "unbounded_failures_uncounted": 1, "exceptions": 2, "hostile_inputs_refused": 1, "hostile_inputs_let_in": 1,
    }  # fmt: skip
    table: list[dict[str, Any]] = rows(outcomes)
    assert [(r["output"], r["generations"], r["parsed"], r["out of tokens"]) for r in table] == [
        ("int", 4, 1, 1), ("text", 2, 0, 1),
    ]  # fmt: skip
    assert table[1]["first other"] == "does not parse"


def test_the_command_by_name(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "script.py"
    script.write_text("def reply(prompt, index):\n    return '42'\n")
    options = ["--engine", f"scripted:{script}:reply", "--generations", "4", "--kinds", "int", "--check"]
    assert main(["parsing", *options]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["benchmark"], said["generations"], said["parsed"]) == ("parsing", 4, 4)
