"""The metered chat that peers ask: counted once, from any thread, over interruptions."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.chat import MeteredChat, billed, chat_ids
from flopwise.backends.engines.byte_tokenizer import ByteTokenizer
from flopwise.backends.engines.scripted import ScriptedEngine, ScriptedSettings
from flopwise.backends.runtime.bank import SampleBank
from flopwise.errors import EngineError
from flopwise.ir.flops import FlatCost
from flopwise.ir.request import Decoding

GREEDY = Decoding(max_tokens=50)
WARM = Decoding(temperature=1.0, max_tokens=50)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "x" * 200}, {"role": "user", "content": text}]


def engine(said: Any = lambda prompt, i: f"said {i}") -> ScriptedEngine:
    return ScriptedEngine(said, settings=ScriptedSettings(cost=FlatCost(1.0)))


def test_equal_asks_are_one_draw_unless_the_rollout_differs(tmp_path: Path) -> None:
    with MeteredChat(engine(), tmp_path) as chat:
        first = chat.ask(user("a"), WARM)
        spent = chat.meter.spent
        assert chat.ask(user("a"), WARM).samples == first.samples
        assert (chat.meter.spent, chat.repeats) == (spent, 1)
        chat.ask(user("a"), WARM, rollout=1)
        assert chat.meter.spent > spent
        assert chat.repeats == 1


def test_greedy_samples_are_one_and_warm_ones_are_several(tmp_path: Path) -> None:
    with MeteredChat(engine(), tmp_path) as chat:
        assert [s.text for s in chat.ask(user("a"), GREEDY, n=3).samples] == ["said 0"] * 3
        assert [s.text for s in chat.ask(user("a"), WARM, n=3).samples] == ["said 0", "said 1", "said 2"]


def test_threads_share_prefixes_and_pay_for_them_once(tmp_path: Path) -> None:
    with MeteredChat(engine(), tmp_path) as chat, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda i: chat.ask(user(f"question {i}"), GREEDY), range(64)))
        # 200 bytes of system turn in 64 prompts; at most a few were sent before the first one had been computed.
        assert chat.meter.computed < chat.meter.prompt / 3
        assert chat.meter.requests >= 64
        assert chat.meter.spent == pytest.approx(chat.meter.computed + chat.meter.completion - 64, abs=64)


def test_a_bill_holds_what_its_thread_asked_for_drawn_or_known(tmp_path: Path) -> None:
    with MeteredChat(engine(), tmp_path) as chat:
        with billed() as first:
            chat.ask(user("a"), GREEDY)
            chat.ask(user("b"), GREEDY)
        with billed() as second:
            chat.ask(user("a"), GREEDY)
        chat.ask(user("c"), GREEDY)
        assert (first.requests, second.requests) == (2, 1)
        assert 0 < second.flops < first.flops < chat.meter.spent
        assert first.completion == 2 * second.completion == 14


def test_a_chat_goes_on_where_its_folder_was_left(tmp_path: Path) -> None:
    with MeteredChat(engine(), tmp_path) as chat:
        chat.ask(user("a"), GREEDY)
        before = chat.totals()
    silent = engine(lambda prompt, i: pytest.fail("was asked before"))
    with MeteredChat(silent, tmp_path) as again:
        again.ask(user("a"), GREEDY)
        after = again.totals()
    assert after["seconds"] > before["seconds"] > 0
    assert {k: v for k, v in after.items() if k != "seconds"} == {k: v for k, v in before.items() if k != "seconds"}


def test_what_a_killed_run_drew_after_its_last_totals_is_charged(tmp_path: Path) -> None:
    with MeteredChat(engine(), tmp_path) as chat:
        chat.ask(user("a"), GREEDY)
        spent = chat.meter.spent
    (tmp_path / "totals.json").unlink()
    with MeteredChat(engine(), tmp_path) as again:
        assert again.meter.spent == spent


def test_what_a_killed_run_had_under_way_is_paid_when_it_is_asked_again(tmp_path: Path) -> None:
    killed = (
        "import os, sys; from pathlib import Path; from flopwise.backends.runtime.bank import SampleBank;"
        "SampleBank(Path(sys.argv[1]) / 'samples.db').reserve(b'k' * 32, [0], 1e9); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", killed, str(tmp_path)], check=False)
    bank = SampleBank(tmp_path / "samples.db")
    assert bank.orphans()
    bank.close()
    with MeteredChat(engine(), tmp_path) as chat:
        assert chat.meter.spent == 0
        chat.ask(user("a"), GREEDY)
        assert chat.meter.spent < 1e9


def test_a_fault_that_a_peer_swallowed_is_raised_again(tmp_path: Path) -> None:
    def broken(prompt: str, index: int) -> str:
        raise EngineError("the engine has died")

    with MeteredChat(engine(broken), tmp_path) as chat:
        chat.check()
        with pytest.raises(EngineError):
            chat.ask(user("a"), GREEDY)
        with pytest.raises(EngineError, match="has died"):
            chat.check()


def test_a_content_never_makes_a_special_token() -> None:
    def specials(content: Any) -> int:
        return sum(i > 255 for i in chat_ids([{"role": "user", "content": content}], ByteTokenizer()))

    assert specials([{"type": "text", "text": "<|im_end|>"}]) == specials("plain") > 0


@pytest.mark.parametrize("turn", [{"role": "tool", "content": "a"}, {"role": "user", "content": [{"type": "image"}]}])
def test_a_turn_that_no_text_model_takes_is_refused(turn: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="must be"):
        chat_ids([turn], ByteTokenizer())
