"""The parent's side over processes made here: what a native one does at its worst, on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flopwise.backends.engines.openvino_native import OpenVinoSettings
from flopwise.backends.engines.openvino_process import Process
from flopwise.backends.engines.openvino_wire import Ask, Draw, Output, ask_line, outputs_line, read_ask, read_outputs
from flopwise.errors import EngineError
from flopwise.ir.request import Grammar

DRAW = Draw((2,), stop=("\n", "é\ud83d"), seed=7)
ECHO = """
import json, os, sys
print('{"ready": true}', flush=True)
for line in sys.stdin:
    ask = json.loads(line)
    if "cancel" in ask:
        print(json.dumps({"number": ask["cancel"], "error": "too late"}), flush=True)
        continue
    if ask["ids"][0] == 666:
        print("native code crashed", file=sys.stderr, flush=True)
        os._exit(9)
    if ask["ids"][0] == 7:
        print(json.dumps({"number": ask["number"], "error": "refused"}), flush=True)
    elif ask["ids"][0] != 0:
        group = [{"ids": ask["ids"], "logprobs": [], "ended": True}]
        print(json.dumps({"number": ask["number"], "groups": [group for _ in ask["draws"]]}), flush=True)
"""

Start = Callable[[str], Process]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    made: list[Process] = []

    def starter(code: str) -> Process:
        (tmp_path / "fake_worker.py").write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path))
        made.append(Process(Path("m.gguf"), OpenVinoSettings(), "fake_worker"))
        return made[-1]

    yield starter
    for process in made:
        process.close()


def run(process: Process, *prompts: tuple[int, ...]) -> list[Any]:
    async def work() -> list[Any]:
        return await asyncio.gather(*(process.run(p, [DRAW]) for p in prompts), return_exceptions=True)

    return asyncio.run(asyncio.wait_for(work(), 30))


def test_lines_say_all_there_is_to_say() -> None:
    import json

    ask = Ask(3, (1, 2), (DRAW, DRAW), (Grammar("regex", "\n{{"), None))
    assert read_ask(json.loads(ask_line(ask))) == ask
    groups = [[Output((1, 2), (-0.5, 0.0), True)], []]
    assert read_outputs(json.loads(outputs_line(3, groups))) == groups
    assert ask_line(ask).count("\n") == 1


def test_answers_come_to_those_who_asked(start: Start) -> None:
    process = start(ECHO)
    process.wait_ready()
    results = run(process, *((i,) for i in range(10, 40)))
    assert [r[0][0].ids for r in results] == [(i,) for i in range(10, 40)]


def test_a_refusal_is_one_requests_own(start: Start) -> None:
    fine, refused = run(start(ECHO), (1,), (7,))
    assert fine[0][0].ids == (1,) and isinstance(refused, EngineError) and str(refused) == "refused"


def test_death_reaches_all_who_wait_and_all_who_come_later(start: Start) -> None:
    process = start(ECHO)
    for error in (*run(process, (0,), (666,)), *run(process, (1,))):
        assert isinstance(error, EngineError)
        assert "has ended (status 9)" in str(error) and "native code crashed" in str(error)


def test_a_cancelled_request_leaves_the_others_alone(start: Start) -> None:
    process = start(ECHO)

    async def work() -> Any:
        waits = asyncio.create_task(process.run((0,), [DRAW]))
        await asyncio.sleep(0)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        return await process.run((5,), [DRAW])

    assert asyncio.run(work())[0][0].ids == (5,)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("""print('{"failed": "no such architecture"}')""", "no such architecture"),
        ("raise SystemExit('out of memory')", r"ended \(status 1\): out of memory"),
        ("import os; os.kill(os.getpid(), 9)", r"ended \(status -9\)"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(start: Start, code: str, message: str) -> None:
    process = start(code)
    with pytest.raises(EngineError, match=message):
        process.wait_ready()
    (error,) = run(process, (1,))
    assert isinstance(error, EngineError)


def test_closing_ends_what_is_under_way(start: Start) -> None:
    process = start(ECHO)

    async def work() -> list[Any]:
        waits = asyncio.create_task(process.run((0,), [DRAW]))
        await asyncio.sleep(0)
        process.close()
        process.close()
        return await asyncio.gather(waits, process.run((1,), [DRAW]), return_exceptions=True)

    assert [str(e)[:20] for e in asyncio.run(work())] == ["the engine is closed"] * 2
