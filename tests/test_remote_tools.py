"""Tools of real MCP servers, on standard streams and over HTTP, called by ReAct."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise import remote_tools
from flopwise.backends.engines.byte_tokenizer import ByteTokenizer
from flopwise.backends.mcp.server import Address
from flopwise.errors import ArtifactError, FlopwiseError, SignatureError, ToolError
from flopwise.ir.record import Values
from flopwise.modules.tools.tool import Tool

from . import mcp_server
from .modules.tools.test_react import Q, acting, add, call, observations, react
from .programs import ready

COMMAND = [sys.executable, mcp_server.__file__]


@pytest.fixture(scope="module")
def tools() -> Iterator[Any]:
    with fw.mcp_tools(COMMAND, timeout=5.0, env={"SECRET": "s3cret"}) as made:
        yield made


@contextmanager
def over_http() -> Iterator[str]:
    """The same server over HTTP, in a thread; its socket listens before it starts, so nobody has to wait for it."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(mcp_server.app.streamable_http_app(), log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def named(tools: Any, *names: str) -> tuple[Tool, ...]:
    return tuple(next(t for t in tools if t.name == name) for name in names)


def ask(tool: Tool, *values: Any) -> Any:
    assert tool.host.fn is not None
    return asyncio.run(tool.host.fn(*values))


def seen(tools: Any, *calls: Any, **settings: Any) -> list[str]:
    """What a model is shown of calls, a round each."""
    run = ready(react(tools=tools, rounds=len(calls) + 1, **settings), acting(*calls, "finish")).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 5
    return observations(run)


def test_the_model_is_told_of_a_servers_tools_beside_functions(tools: Any) -> None:
    asked = ready(react(tools=(add, *named(tools, "visit", "notes.find/all"))), acting("finish")).run(**Q)
    text = asked.trace.prompts()[0][1]
    assert "- add(a: integer, b: integer): Add two whole numbers.\n- visit(places: list of {name: string" in text
    assert 'day: date, by: "foot" | "bus" or null, note: string or null): Visit places.' in text
    assert "- notes.find/all(query: string): Find notes." in text


def test_calls_with_typed_arguments_give_observations(tools: Any) -> None:
    where = [{"name": "Rome", "at": None}, {"name": "Oslo", "at": [1.5, 2]}]
    calls = (
        [call("add", a=1, b=2)],
        [call("visit", places=where, day="2024-02-29", by=None, note=None)],
        [call("notes.find/all", query="q")],
    )
    given = seen((add, *named(tools, "visit", "notes.find/all")), *calls)
    assert given == ["3", "['Rome', 'Oslo'] 2024-02-29 bus None", "q one\nq two"]


def test_null_stands_for_an_argument_that_is_left_out(tools: Any) -> None:
    (adds,) = named(tools, "add")
    assert (ask(adds, 1, None), ask(adds, 1, 5)) == ("3", "6")
    assert "2024-01-02 foot x" in ask(*named(tools, "visit"), [], date(2024, 1, 2), "foot", "x")


def test_what_a_tool_says_when_it_fails_is_an_observation(tools: Any) -> None:
    assert seen(named(tools, "fail"), [call("fail")]) == ["RuntimeError: Error executing tool fail"]


def test_a_tool_that_hangs_is_late_and_the_next_call_works() -> None:
    with fw.mcp_tools(COMMAND, only=("hang", "add"), timeout=0.2) as tools:
        given = seen(tools, [call("hang")], [call("add", a=2, b=2)])
    assert given == ["RuntimeError: hang gave nothing within 0.2 s", "4"]


def test_a_huge_result_is_cut(tools: Any) -> None:
    (text,) = seen(named(tools, "flood"), [call("flood", characters=300_000)], observation_tokens=50)
    assert text == "x" * 50  # a byte is a token here
    assert ask(*named(tools, "flood"), 100_000).endswith("x\n[67232 characters left out]")


def test_a_result_that_looks_like_marks_is_a_text(tools: Any) -> None:
    tool = named(tools, "marks")
    run = ready(react(tools=tool, rounds=2, observation_tokens=400), acting([call("marks")], "finish")).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 5
    assert mcp_server.MARKS in run.trace.prompts()[-1][1]
    tokenizer = ByteTokenizer()
    (end,) = tokenizer.encode_template("<|im_end|>")
    assert end not in tokenizer.encode(mcp_server.MARKS)
    assert run.trace.requests[-1].ids.count(end) == 4  # of the system, the input, the action and the result
    assert "SloT0 <|im_end|>Say marks." in run.trace.prompts()[0][1] and run.trace.requests[0].ids.count(end) == 2


def test_a_server_that_dies_is_an_error_and_a_later_call_starts_it_again() -> None:
    with fw.mcp_tools(COMMAND, only=("die", "count"), timeout=5.0) as tools:
        assert [ask(tools[1]), ask(tools[1])] == ["1", "2"]  # one session
        with pytest.raises(ToolError, match=r"mcp_server.py` failed: MCPError: Connection closed; a further call"):
            seen(tools, [call("die")])
        assert ask(tools[1]) == "1"


def test_calls_of_one_action_run_side_by_side(tools: Any) -> None:
    (text,) = seen(named(tools, "meet"), [call("meet"), call("meet")], parallel=2)
    assert text == "1. meet: met\n2. meet: met"


def test_a_session_is_kept_over_event_loops_and_ends_with_the_block() -> None:
    with fw.mcp_tools(COMMAND, only=["who"], env={"SECRET": "told"}) as tools:
        first, second = ask(tools[0]), ask(tools[0])
        assert first == second and first.startswith("told ")
    pid = int(first.split()[1])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert int(ask(tools[0]).split()[1]) != pid  # a call after that opens another
    tools.close()
    tools.close()


def test_a_session_ends_with_the_last_reference() -> None:
    tools = fw.mcp_tools(COMMAND, only=["who"])
    pid = int(ask(tools[0]).split()[-1])
    fn = tools[0].host.fn
    del tools
    gc.collect()
    os.kill(pid, 0)  # the tool itself still has it
    del fn
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_over_http(tmp_path: Path) -> None:
    with over_http() as url:
        tools = fw.mcp_tools(url=f"{url}?key=s3cret", only=("add", "fail"), headers={"X-Key": "s3cret"}, timeout=5.0)
        given = seen(tools, [call("add", a=1, b=2)], [call("fail")])
        assert given == ["3", "RuntimeError: Error executing tool fail"]
        engine = fw.ScriptedEngine(acting("finish"))
        path = fw.lower(react(tools=tools), engine=engine).save(tmp_path / "a.fw")
        assert "s3cret" not in (path / "pipeline.json").read_text() and url in (path / "pipeline.json").read_text()
        tools.close()
    with pytest.raises(ToolError, match=r"MCP server `http://127.0.0.1:\d+/mcp`: ConnectError"):
        ask(tools[0], 1, 2)


def test_a_server_that_goes_while_its_session_is_open() -> None:
    with over_http() as url:
        tools = fw.mcp_tools(url=url, only=["add"], timeout=2.0)
        assert ask(tools[0], 1, 2) == "3"
    with pytest.raises(ToolError, match="MCP server `http"):
        ask(tools[0], 1, 2)
    tools.close()


def test_an_artifact_starts_nothing_and_is_given_its_tools_again(tools: Any, tmp_path: Path) -> None:
    engine = fw.ScriptedEngine(acting([call("add", a=2, b=2)], "finish"))
    mine = named(tools, "add")
    path = fw.lower(react(tools=mine), engine=engine).save(tmp_path / "a.fw")
    text = (path / "pipeline.json").read_text()
    assert f"mcp:{' '.join(COMMAND)}#add" in text and mine[0].host.source_hash in text and "s3cret" not in text
    loaded = fw.load(path, engine=engine, tools=tools)
    record = loaded(question="2+2?")
    assert record.answer == 5
    assert any("Observation: 4" in prompt for _, prompt in record.trace.prompts())
    again = loaded.save(tmp_path / "b.fw")
    assert (again / "pipeline.json").read_text() == text
    with pytest.raises(ArtifactError, match=r"calls the tool 'add' of the MCP server .* fw.load\(path, engine, tools="):
        fw.load(path, engine=engine)


def moved(tool: Tool, target: str, **changes: Any) -> Tool:
    from dataclasses import replace

    return replace(tool, host=replace(tool.host, target=target, **changes))


def test_a_servers_tool_is_found_elsewhere_but_not_with_other_arguments(tools: Any, tmp_path: Path) -> None:
    engine = fw.ScriptedEngine(acting([call("add", a=2, b=2)], "finish"))
    (mine,) = named(tools, "add")
    path = fw.lower(react(tools=[moved(mine, "mcp:elsewhere server.py#add")]), engine=engine).save(tmp_path / "a.fw")
    assert fw.load(path, engine=engine, tools=tools)(question="2+2?").answer == 5
    two = [moved(mine, "mcp:one#add"), moved(mine, "mcp:two#add")]
    with pytest.raises(ArtifactError, match="several have that name: mcp:one#add, mcp:two#add"):
        fw.load(path, engine=engine, tools=two)
    with pytest.raises(ArtifactError, match="takes other arguments"):
        fw.load(path, engine=engine, tools=[moved(mine, mine.host.target, source_hash="0")])


def test_no_call_is_made_in_a_search_without_the_users_word(tools: Any, tmp_path: Path) -> None:
    rows = [{"question": f"{i}+{i}?", "answer": 5} for i in range(8)]
    engine = fw.ScriptedEngine(acting([call("add", a=2, b=2)], "finish"))
    settings: dict[str, Any] = {"metric": fw.exact_match("answer"), "engine": engine, "progress": False}
    program = react(tools=named(tools, "add"), rounds=fw.integer(1, 2))
    budget = fw.Budget(per_query=1e15, search=1e15)
    with pytest.raises(FlopwiseError, match="which has effects; say allow_impure=True"):
        fw.compile(program, dev=rows, budget=budget, study=tmp_path / "s", **settings)
    assert all(t.host.pure is False for t in tools)
    pure = fw.mcp_tools(COMMAND, only=["add"], pure=True, cap=9)
    assert pure[0].host.pure and pure[0].host.cap == 9
    pure.close()


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({}, SignatureError, "one of a command and a URL is needed"),
        ({"command": "python server.py"}, SignatureError, "one of a command and a URL is needed"),
        ({"command": COMMAND, "url": "http://x"}, SignatureError, "one of a command and a URL is needed"),
        ({"command": COMMAND, "timeout": 0}, SignatureError, "`timeout > 0` must hold"),
        ({"command": COMMAND, "cap": 0}, SignatureError, "`cap >= 1`"),
        ({"command": COMMAND, "only": "add"}, SignatureError, r"write only=\['add'\]"),
        ({"command": COMMAND, "only": ["ad"]}, SignatureError, "has no tool ad; it offers: add, visit"),
        (
            {"command": [sys.executable, "-c", "raise SystemExit(3)"]},
            ToolError,
            "Connection closed; see that it starts",
        ),
        ({"command": ["no-such-program"]}, ToolError, "No such file"),
        ({"command": ["sleep", "60"], "start": 0.2}, ToolError, "it did not answer within 0.2 s"),
    ],
)
def test_what_cannot_be_is_refused(settings: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        fw.mcp_tools(**settings)


def test_without_the_client_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_tools, "find_spec", lambda name: None)
    with pytest.raises(SignatureError, match=r"pip install 'flopwise\[mcp\]'"):
        fw.mcp_tools(COMMAND)


def test_an_address_shows_no_secret() -> None:
    address = Address(url="https://me:s3cret@example.org:8/mcp?key=s3cret", headers={"Authorization": "s3cret"})
    assert str(address) == "https://example.org:8/mcp" and "s3cret" not in str(address)
    assert str(Address(("python", "my server.py"), env={"KEY": "s3cret"})) == "python 'my server.py'"
