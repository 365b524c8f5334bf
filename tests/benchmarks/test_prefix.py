"""The prefix benchmark: what it counts, on a scripted engine and, small, on the real one."""

from __future__ import annotations

import asyncio
import json

import pytest

from benchmarks import prefix
from benchmarks.__main__ import main
from benchmarks._data import Problem
from benchmarks.prefix import Burst, choose_shots, distinct_tokens, fit, gather, prompts_of, scheduled
from flopwise import ScriptedEngine
from flopwise.backends.engines.scripted import ScriptedSettings

PROBLEMS = [Problem(f"What is {i} plus {i}?", "Adding. " * (i + 1), str(2 * i)) for i in range(30)]


def engine() -> ScriptedEngine:
    return ScriptedEngine(default="", settings=ScriptedSettings(block=16))


def test_distinct_tokens_count_shared_blocks_once() -> None:
    shared = tuple(range(100, 140))  # two blocks of 16 and 8 more, which no cache shares
    prompts = [(*shared, *range(i, i + 10)) for i in (0, 20, 40)]
    assert distinct_tokens(prompts, 16) == 50 + 18 + 18
    assert distinct_tokens(prompts, 1) == 50 + 10 + 10


def test_the_scheduler_computes_what_is_distinct() -> None:
    made = engine()
    prompts = prompts_of(made.tokenizer, "0" * 16, PROBLEMS[:3], PROBLEMS[10:22])
    burst = asyncio.run(scheduled(made, prompts))
    assert (burst.prompts, burst.tokens) == (12, sum(map(len, prompts)))
    assert burst.computed == burst.ideal < burst.tokens / 4
    assert burst.warmups >= 1 and len(made.prefilled) == burst.warmups


def test_a_gathered_burst_warms_nothing() -> None:
    made = engine()
    prompts = prompts_of(made.tokenizer, "0" * 16, PROBLEMS[:3], PROBLEMS[10:14])
    burst = asyncio.run(gather(made, prompts))
    assert burst.computed is None and not made.prefilled and made.requests == 4


def test_a_new_salt_shares_no_block() -> None:
    tokenizer = engine().tokenizer
    one, other = (prompts_of(tokenizer, salt * 16, PROBLEMS[:2], PROBLEMS[5:6]) for salt in "ab")
    assert distinct_tokens([*one, *other], 32) == len(one[0]) + len(other[0])


def test_the_shots_come_closest_to_the_length() -> None:
    tokenizer = engine().tokenizer
    lengths = [len(prompts_of(tokenizer, "0" * 16, PROBLEMS[i : i + 3], [Problem("", "", "")])[0]) for i in range(28)]
    best = min(range(28), key=lambda i: abs(lengths[i] - 620))
    assert 0 < best < 27
    assert choose_shots(tokenizer, PROBLEMS, 3) == PROBLEMS[best : best + 3]


def test_the_fit_finds_the_speeds_it_was_made_of() -> None:
    known = [(n, size, 0.02 * n + 0.003 * n * size) for n, size in ((1, 320), (1, 960), (12, 64), (24, 96))]
    assert fit(known) == pytest.approx((0.02, 0.003))
    burst = Burst("scheduled", 0.02 * 11 + 0.003 * 500, 10, 4000, 500, 500, 1)
    assert burst.tokens_at(fit(known)) == pytest.approx(500)


def test_a_fit_has_no_negative_part() -> None:
    known = [(n, size, 0.003 * n * size - 0.01 * n) for n, size in ((1, 320), (1, 960), (12, 64))]
    each_prompt, each_token = fit(known)
    assert each_prompt == 0.0 and 0.002 < each_token < 0.003


def test_a_small_run_on_the_real_engine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(prefix, "_KNOWN_SIZES", ((1, 64), (1, 64), (1, 256), (4, 32)))
    options = ["--model", "smollm2-135m-instruct", "--questions", "generated", "--prompts", "4", "--shots", "2"]
    assert main(["prefix", *options, "--rounds", "1"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["ratio_to_tree"] == pytest.approx(1.0, abs=0.05)
    assert figures["tokens_sent"] > 2 * figures["tokens_distinct"]
    assert figures["seconds_batch"] > 0 and figures["tokens_per_second"] > 0
