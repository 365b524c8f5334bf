"""The SGLang engine through a router, with programs that answer as the real router and its servers do.

The real ones are tested in `tests/sglang`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from small_folder import write_folder

from flopwise.backends.engines.sglang.engine import SGLangEngine
from flopwise.backends.engines.sglang.loop import LoopThread
from flopwise.backends.engines.sglang.settings import SGLangSettings
from flopwise.errors import EngineError, EngineUnavailable
from flopwise.ir.request import Decoding, GenerateRequest

ASK = GenerateRequest((1, 2, 3), Decoding(max_tokens=7))
ANSWER = {"output_ids": [5, 301], "meta_info": {"finish_reason": {"type": "stop"}, "cached_tokens": 2}}
SHUT = {"error": {"code": "no_available_workers", "message": "No available workers"}}
BROKEN = {"error": {"code": "call_upstream_request_error", "message": "error sending request for url"}}


class Machines:
    """A router and its servers, each at a port of its own, in a thread; what they say is set by the test."""

    def __init__(self, folder: Path) -> None:
        self.model = {"model_path": str(folder), "tokenizer_path": str(folder), "model_type": "llama"}
        self.servers: list[dict[str, Any]] = []
        self.urls: list[str] = []
        self.unhealthy: set[str] = set()
        self.answers: list[web.Response] = []  # of the router, one for each request, then plain ones
        self._runners: list[web.AppRunner] = []
        self._loop = LoopThread("the machines", self._end)
        self.url = self._listen({"GET /get_server_info": self._router, "GET /workers": self._workers,
                                 "POST /generate": self._generate, "GET /get_model_info": self._model})  # fmt: skip

    def add(self, **changes: Any) -> str:
        """One more server; its URL."""
        n = len(self.servers)
        states = [{"effective_max_running_requests_per_dp": 8}]
        limits = {"max_total_num_tokens": 4096, "max_req_input_len": 200, "internal_states": states}
        self.servers.append({"version": "0.5.23", **limits, "startup_time": {"load": n}, **changes})

        async def server(_: web.Request) -> web.Response:
            return web.json_response(self.servers[n])

        self.urls.append(self._listen({"GET /server_info": server, "GET /model_info": self._model}))
        return self.urls[-1]

    def kill(self, url: str) -> None:
        """Stop to listen there."""
        self._loop.run(self._runners[1 + self.urls.index(url)].cleanup())

    def close(self) -> None:
        """Stop them all."""
        self._loop.close()

    def _listen(self, routes: dict[str, Any]) -> str:
        return self._loop.run(self._start(routes))

    async def _start(self, routes: dict[str, Any]) -> str:
        app = web.Application()
        for name, handler in routes.items():
            app.router.add_route(*name.split(), handler)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _end(self) -> None:
        for runner in self._runners:
            await runner.cleanup()

    async def _router(self, _: web.Request) -> web.Response:
        return web.json_response({"router_manager": True, "routers_count": 1, "workers_count": len(self.urls)})

    async def _workers(self, _: web.Request) -> web.Response:
        return web.json_response({"workers": [{"url": u, "is_healthy": u not in self.unhealthy} for u in self.urls]})

    async def _model(self, _: web.Request) -> web.Response:
        return web.json_response(self.model)

    async def _generate(self, _: web.Request) -> web.Response:
        return self.answers.pop(0) if self.answers else web.json_response(ANSWER)


@pytest.fixture
def machines(tmp_path: Path) -> Any:
    made = Machines(write_folder(tmp_path / "small"))
    yield made
    made.close()


@pytest.fixture
def make(machines: Machines) -> Any:
    made: list[SGLangEngine] = []

    def engine(**settings: Any) -> SGLangEngine:
        made.append(SGLangEngine(machines.url, SGLangSettings(**settings)))
        return made[-1]

    yield engine
    for one in made:
        one.close()


Make = Callable[..., SGLangEngine]


def test_servers_behind_a_router_are_one_engine(machines: Machines, make: Make) -> None:
    machines.add()
    alone = make()
    machines.add()
    both = make()
    assert both.model.fingerprint == alone.model.fingerprint and both.model.context == alone.model.context
    assert (both.capabilities.cache_tokens, alone.capabilities.cache_tokens) == (8192, 4096)
    assert (both.capabilities.in_flight, alone.capabilities.in_flight) == (24, 14)
    assert asyncio.run(both.generate(ASK)).samples[0].ids == (5,)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dtype": "float16"}, "identity.*dtype float16"),
        ({"max_req_input_len": 150}, "longest_prompt.*has (199.*has 149|149.*has 199)"),
        ({"disable_radix_cache": True}, "caches"),
    ],
)
def test_servers_that_differ_are_refused(machines: Machines, make: Make, change: dict[str, Any], said: str) -> None:
    urls = sorted((machines.add(), machines.add(**change)))
    with pytest.raises(EngineError, match=f"differ in their {said}.*same model and flags") as raised:
        make()
    assert all(url in str(raised.value) for url in (machines.url, *urls))


def test_a_server_that_is_gone_is_done_without(machines: Machines, make: Make) -> None:
    machines.add()
    machines.kill(machines.add())
    machines.unhealthy.add(machines.add(dtype="float16"))
    assert make().capabilities.cache_tokens == 4096


def test_a_router_whose_servers_are_all_gone(machines: Machines, make: Make) -> None:
    with pytest.raises(EngineError, match=r"does not answer .*no healthy server behind it"):
        make()
    url = machines.add()
    machines.kill(url)
    with pytest.raises(EngineError, match=f"does not answer .*none of the servers behind it.*{url}: ") as raised:
        make()
    assert not isinstance(raised.value, EngineUnavailable)


def test_a_connection_that_the_router_loses_is_a_lost_one(machines: Machines, make: Make) -> None:
    machines.add()
    second = machines.add()
    engine = make()

    def restarts() -> int:
        machines.answers = [web.json_response(BROKEN, status=500)]
        with pytest.raises(EngineUnavailable, match=r"request \w+-\d+ .*error sending request for url.*ask again"):
            asyncio.run(engine.generate(ASK))
        assert asyncio.run(engine.generate(ASK)).samples[0].ids == (5,)
        return engine.restarts

    machines.unhealthy = {second}
    assert restarts() == 0
    machines.unhealthy = set()
    assert restarts() == 0  # the one that was away is the same again
    machines.servers[1]["startup_time"] = {"load": 9}
    assert restarts() == 1


def test_an_error_of_a_server_itself_is_passed_on(machines: Machines, make: Make) -> None:
    machines.add()
    engine = make()
    machines.answers = [web.json_response({"error": {"code": 500, "message": "boom"}}, status=500)]
    with pytest.raises(EngineError, match=r"500: boom.*the server's log") as raised:
        asyncio.run(engine.generate(ASK))
    assert not isinstance(raised.value, EngineUnavailable)


def test_a_router_that_lets_no_server_have_a_request_is_waited_for(machines: Machines, make: Make) -> None:
    machines.add()
    machines.answers = [web.json_response(SHUT, status=503) for _ in range(3)]
    assert asyncio.run(make().generate(ASK)).samples and machines.answers == []
    machines.answers = [web.json_response(SHUT, status=503)]
    with pytest.raises(EngineUnavailable, match=r"not ready \(503: No available workers\)"):
        asyncio.run(make(reconnect_s=0).generate(ASK))
