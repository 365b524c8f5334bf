"""The SGLang engine over a transport that fails as told: deadlines, aborts, losses, and errors that say what to do.

What a real server does with the same requests is tested on one, in `tests/sglang`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from small_folder import write_folder

from flopwise.backends.engines import registry
from flopwise.backends.engines.sglang import link
from flopwise.backends.engines.sglang.client import HttpTransport
from flopwise.backends.engines.sglang.engine import SGLangEngine
from flopwise.backends.engines.sglang.loop import LoopThread
from flopwise.backends.engines.sglang.settings import SGLangSettings
from flopwise.backends.engines.sglang.transport import Lost, Refused, Said
from flopwise.errors import EngineError, EngineUnavailable
from flopwise.ir.flops import FlatCost
from flopwise.ir.request import Decoding, GenerateRequest, Grammar, ScoreRequest

SERVER = {
    **{"version": "0.5.23", "max_total_num_tokens": 4096, "max_req_input_len": 200, "page_size": 1, "dtype": "bf16"},
    **{"internal_states": [{"effective_max_running_requests_per_dp": 8}], "grammar_backend": "xgrammar"},
}
ASK = GenerateRequest((1, 2, 3), Decoding(max_tokens=7))


class Fake:
    """A transport that answers as it is told: a reply, an exception, or never."""

    place = "the fake server"

    def __init__(self, folder: Path) -> None:
        self.model: dict[str, Any] = {"model_path": str(folder), "tokenizer_path": str(folder), "model_type": "llama"}
        self.server: dict[str, Any] = dict(SERVER)
        self.sent: list[dict[str, Any]] = []
        self.aborted: list[str] = []
        self.answers: list[Any] = []  # one for each request, then plain replies
        self.probes: list[Any] = []  # the same for probes
        self.asked = threading.Event()
        self.closed = 0

    async def probe(self) -> list[Said]:
        answer = self.probes.pop(0) if self.probes else None
        if answer is not None:
            raise answer
        return [Said(self.place, self.server, self.model)]

    async def open(self, width: int) -> None:
        self.width = width

    async def generate(self, body: dict[str, Any]) -> Any:
        self.sent.append(body)
        answer = self.answers.pop(0) if self.answers else None
        self.asked.set()
        if answer == "never":
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        ids = [5, 301] if body["sampling_params"]["max_new_tokens"] else []
        return answer or {"output_ids": ids, "meta_info": {"finish_reason": {"type": "stop"}, "cached_tokens": 2}}

    async def abort(self, rid: str) -> None:
        self.aborted.append(rid)

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(write_folder(tmp_path / "small"))


@pytest.fixture
def make(fake: Fake) -> Iterator[Callable[..., SGLangEngine]]:
    made: list[SGLangEngine] = []

    def engine(**settings: Any) -> SGLangEngine:
        made.append(SGLangEngine(fake, SGLangSettings(**settings)))
        return made[-1]

    yield engine
    for one in made:
        one.close()


def test_an_engine_is_what_its_server_and_folder_say(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    engine = make()
    assert (engine.model.context, engine.model.cost.layers) == (204, 2)  # type: ignore[union-attr]
    limits = engine.capabilities
    assert (limits.in_flight, limits.block, limits.cache_tokens, limits.forks) == (14, 1, 4096, False)
    assert limits.reports_cached and fake.width == 14
    assert make(in_flight=3, flops_per_token="3 GFLOP").capabilities.in_flight == 3
    assert make(flops_per_token="3 GFLOP").model.cost == FlatCost(3e9)


def test_each_sample_is_a_request_of_its_own_with_an_id_of_the_same_width(
    make: Callable[..., SGLangEngine], fake: Fake
) -> None:
    reply = asyncio.run(make().generate(GenerateRequest((1,) * 80, Decoding(1.0, max_tokens=7), n=3)))
    assert len(reply.samples) == 3 and reply.usage.completion == 6 and reply.usage.cached == 2
    assert [body["sampling_params"]["max_new_tokens"] for body in fake.sent] == [0, 7, 7, 7]
    rids = {body["rid"] for body in fake.sent}
    assert len(rids) == 4 and len({len(rid) for rid in rids}) == 1


def test_it_serves_one_event_loop_after_another(make: Callable[..., SGLangEngine]) -> None:
    engine = make()
    assert [asyncio.run(engine.generate(ASK)).samples[0].ids for _ in range(3)] == [(5,)] * 3


def test_seeds_are_sent_where_equal_requests_would_be_equal(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    fake.server["enable_deterministic_inference"] = True
    asyncio.run(make().generate(GenerateRequest((1,), Decoding(1.0), n=2)))
    assert len({body["sampling_params"]["sampling_seed"] for body in fake.sent}) == 2


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Refused(400, "no such grammar"), EngineError, "no such grammar.*change the request"),
        (Refused(503, "queue is full"), EngineUnavailable, "queue is full.*ask again later"),
        (Refused(401, "Unauthorized"), EngineError, "token=KEY"),
        (Refused(500, "boom"), EngineError, "boom.*the server's log"),
        ({"meta_info": {"finish_reason": {"type": "abort", "message": "gone"}}}, EngineError, r"aborted it \(gone\)"),
        ({"strange": 1}, EngineError, "cannot be read.*strange"),
        (Lost("reset by peer"), EngineUnavailable, "reset by peer.*ask again"),
    ],
)
def test_every_failure_names_the_request_the_cause_and_the_next_step(
    make: Callable[..., SGLangEngine], fake: Fake, answer: Any, kind: type[EngineError], said: str
) -> None:
    engine = make()
    fake.answers = [answer]
    asked = GenerateRequest((1, 2, 3), Decoding(0.5, max_tokens=7), Grammar("regex", "a+"))
    with pytest.raises(EngineError, match=said) as raised:
        asyncio.run(engine.generate(asked))
    assert type(raised.value) is kind
    if "strange" not in said:
        assert f"request {fake.sent[0]['rid']} (3 prompt tokens, at most 7 more" in str(raised.value)
        assert "regex 'a+'" in str(raised.value) and "the fake server" in str(raised.value)
    assert asyncio.run(engine.generate(ASK)).samples[0].ids == (5,)


def test_what_takes_too_long_is_aborted_and_not_asked_again(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    engine = make(deadline_s=0.05)
    fake.answers = ["never"]
    with pytest.raises(EngineError, match=r"within deadline_s=0\.05 seconds; raise deadline_s") as raised:
        asyncio.run(engine.generate(ASK))
    assert not isinstance(raised.value, EngineUnavailable) and fake.aborted == [fake.sent[0]["rid"]]


def test_a_cancelled_request_is_aborted(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    engine = make()
    fake.answers = ["never", "never"]

    async def leave() -> None:
        task = asyncio.create_task(engine.generate(GenerateRequest((1,), Decoding(1.0), n=2)))
        while len(fake.sent) < 2:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while len(fake.aborted) < 2:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(leave(), 10))
    assert sorted(fake.aborted) == sorted(body["rid"] for body in fake.sent)


def test_one_sample_that_fails_cancels_the_others(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    engine = make()
    fake.answers = ["never", Refused(400, "no")]
    with pytest.raises(EngineError, match="400: no"):
        asyncio.run(engine.generate(GenerateRequest((1,), Decoding(1.0), n=2)))
    engine.close()
    assert fake.aborted == [fake.sent[0]["rid"]]


def test_a_server_that_comes_back_is_waited_for_once_by_all(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    engine = make()
    fake.answers, fake.probes = [Lost("killed")] * 4, [Lost("refused"), Refused(503, "starting")]

    async def several() -> list[Any]:
        return await asyncio.gather(*(engine.generate(ASK) for _ in range(4)), return_exceptions=True)

    assert [type(error) for error in asyncio.run(several())] == [EngineUnavailable] * 4
    assert fake.probes == [] and engine.restarts == 0  # the connection alone was lost
    fake.answers, fake.server["startup_time"] = [Lost("killed")], {"load": 2.0}
    with pytest.raises(EngineUnavailable):
        asyncio.run(engine.generate(ASK))
    assert engine.restarts == 1


def test_a_server_that_stays_away_is_given_up(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    engine = make(reconnect_s=0.05)
    fake.answers, fake.probes = [Lost("killed")], [Lost("refused")] * 50
    with pytest.raises(EngineError, match=r"went away \(killed\).*reconnect_s=0\.05.*start it again") as raised:
        asyncio.run(engine.generate(ASK))
    assert not isinstance(raised.value, EngineUnavailable)
    assert str(raised.value).startswith(f"request {fake.sent[0]['rid']} (3 prompt tokens")


def test_each_who_waits_for_a_server_that_stays_away_is_told_of_its_own_request(
    make: Callable[..., SGLangEngine], fake: Fake
) -> None:
    engine = make(reconnect_s=0.05)
    fake.answers, fake.probes = [Lost("killed")] * 3, [Lost("refused")] * 50

    async def several() -> list[Any]:
        return await asyncio.gather(*(engine.generate(ASK) for _ in range(3)), return_exceptions=True)

    named = {str(error).partition(" (")[0] for error in asyncio.run(several())}
    assert named == {f"request {body['rid']}" for body in fake.sent} and len(named) == 3


def test_another_model_in_its_place_is_never_asked(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    engine = make()
    fake.answers = [Lost("killed")]
    fake.model = {**fake.model, "model_path": "/other"}
    for _ in range(2):
        with pytest.raises(EngineError, match=r"^request \w+-\d+ \(3 prompt tokens.*came back as another.*/other"):
            asyncio.run(engine.generate(ASK))
    assert len(fake.sent) == 1


def test_after_a_silence_it_is_made_sure_that_the_server_is_the_same(
    make: Callable[..., SGLangEngine], fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()
    monkeypatch.setattr(link, "_SILENCE_S", -1.0)
    fake.server["startup_time"] = {"load": 2.0}
    assert asyncio.run(engine.generate(ASK)).samples and engine.restarts == 1
    fake.server["dtype"] = "float16"
    with pytest.raises(EngineError, match=r"came back as another.*dtype bf16.*dtype float16"):
        asyncio.run(engine.generate(ASK))
    assert len(fake.sent) == 1


def test_closing_ends_what_is_under_way(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    engine = make()
    fake.answers = ["never"]
    closing = threading.Thread(target=lambda: (fake.asked.wait(), engine.close()), daemon=True)
    closing.start()
    with pytest.raises(EngineError, match="closed before the answer"):
        asyncio.run(engine.generate(ASK))
    with pytest.raises(EngineError, match="is closed; make a new one"):
        asyncio.run(engine.generate(ASK))
    closing.join(60)
    assert fake.closed == 1


def test_ids_that_would_end_the_server_are_not_sent(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    engine = make()
    for work in (
        engine.generate(GenerateRequest((1, 400), Decoding())),
        engine.prefill((1, -1)),
        engine.score(ScoreRequest((1, 2), (3, 999))),
    ):
        with pytest.raises(EngineError, match=r"from 0 to 399.* id 1 of 2 is"):
            asyncio.run(work)
    with pytest.raises(EngineError, match=r"1 to 199 tokens.*got 200"):
        asyncio.run(engine.prefill((1,) * 200))
    assert fake.sent == []


def test_an_output_is_asked_for_as_long_as_the_context_has_room(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    asyncio.run(make().generate(GenerateRequest((1,) * 199, Decoding(max_tokens=100))))
    assert fake.sent[0]["sampling_params"]["max_new_tokens"] == 5


def test_a_server_without_its_cache_is_warned_of(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    fake.server["disable_radix_cache"] = True
    with pytest.warns(RuntimeWarning, match="--disable-radix-cache"):
        limits = make().capabilities
    assert limits.cache_tokens == 0 and limits.block >= 4096


def test_a_tokenizer_of_another_model_is_refused(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    fake.model["model_type"] = "qwen2"
    with pytest.raises(EngineError, match=r"'qwen2'.*'llama'.*tokenizer=FOLDER"):
        make()
    assert fake.closed == 1


def test_a_servers_folder_that_is_not_here_must_be_named(make: Callable[..., SGLangEngine], fake: Fake) -> None:
    folder, fake.model["tokenizer_path"] = fake.model["tokenizer_path"], "/far/away"
    with pytest.raises(EngineError, match=r"/far/away.*tokenizer=FOLDER"):
        make()
    assert make(tokenizer=folder).tokenizer.encode("sea")


def test_nobody_at_the_url(free_port: int) -> None:
    with pytest.raises(EngineError, match=f"127.0.0.1:{free_port} does not answer.*flopwise sglang launch MODEL"):
        registry.engine(f"sglang:http://127.0.0.1:{free_port}")


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("sglang:", {}, "'sglang:http://host:30000'"),
        ("sglang:http://h:1", {"deadline": 3}, "no option 'deadline'.*did you mean 'deadline_s'"),
        ("sglang:http://h:1", {"server_args": {}}, "no option 'server_args'"),
        ("sglng:x", {}, "did you mean 'sglang'"),
    ],
)
def test_a_wrong_spec_is_an_engine_error(spec: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(EngineError, match=said):
        registry.engine(spec, **options)


def test_without_the_package_there_is_no_engine_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sglang", None)
    with pytest.raises(EngineError, match=r"needs the package sglang.*'sglang:http://HOST:PORT'"):
        registry.engine("sglang:/models/m")


async def _broken(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.close()
    return response


async def _older(request: web.Request) -> web.Response:
    return web.json_response({"path": request.path, "key": request.headers["Authorization"]})


async def _web() -> web.AppRunner:
    app = web.Application()
    app.router.add_post("/generate", _broken)
    app.router.add_get("/get_server_info", _older)
    app.router.add_get("/get_model_info", _older)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


def test_over_http_a_broken_answer_is_a_loss_and_older_names_are_known() -> None:
    async def work() -> Any:
        runner = await _web()
        client = HttpTransport(f"http://127.0.0.1:{runner.addresses[0][1]}/", token="k")
        try:
            await client.open(2)
            with pytest.raises(Lost):
                await client.generate({})
            with pytest.raises(Refused, match="404") as refused:
                await client.abort("rid")
            (said,) = await client.probe()
            return said.server, said.model, refused.value.status
        finally:
            await client.close()
            await runner.cleanup()

    server, model, status = asyncio.run(work())
    assert (server["path"], model["path"], status) == ("/get_server_info", "/get_model_info", 404)
    assert server["key"] == "Bearer k"


def test_a_request_over_a_connection_that_was_just_closed_is_sent_over_another_one() -> None:
    """As a server does that stood still: it finds its connections idle for too long, then reads what came over them."""
    came: list[bytes] = []

    async def shuts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append((await reader.readuntil(b"}")).partition(b"{")[2])
        if len(came) > closes:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + b'{"a": 1}')
            await writer.drain()
        writer.close()

    async def work() -> Any:
        listening = await asyncio.start_server(shuts, "127.0.0.1", 0)
        client = HttpTransport(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        try:
            await client.open(2)
            return await client.generate({"rid": "r"})
        finally:
            await client.close()
            listening.close()

    closes = 1
    assert asyncio.run(work()) == {"a": 1} and came == [b'"rid": "r"}', b'"rid": "r+"}']
    came.clear()
    closes = 9
    with pytest.raises(Lost):
        asyncio.run(work())
    assert len(came) == 2


def test_a_loop_in_a_thread_ends_what_runs_in_it_and_refuses_more() -> None:
    ended: list[str] = []
    started = threading.Event()

    async def at_end() -> None:
        ended.append("last")

    async def forever() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("first")

    loop = LoopThread("it", at_end)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(loop.run, forever())
        started.wait()
        loop.close()
        loop.close()
        assert isinstance(waiting.exception(10), CancelledError)
    assert ended == ["first", "last"]
    with pytest.raises(EngineError, match="it is closed"):
        loop.run(asyncio.sleep(0))
