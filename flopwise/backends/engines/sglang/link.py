"""One request after another through a transport: deadlines, aborts, and what each failure means."""

from __future__ import annotations

import asyncio
import contextlib

from ....errors import EngineError, EngineUnavailable
from .probe import ServerInfo
from .replies import aborted, describe
from .routed import read_infos
from .settings import SGLangSettings
from .transport import Json, Lost, Refused, Transport

_ABORT_S = 2.0
_LATER = (429, 502, 503)  # statuses by which a server or a router says that it has not begun with a request
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 2.0
_SILENCE_S = 10.0  # within which no server is replaced by another: loading a model takes longer


class Link:
    """A connection that outlives its server. All methods are called within one event loop.

    Args:
        transport: The way to the server.
        settings: Deadlines.
    """

    def __init__(self, transport: Transport, settings: SGLangSettings) -> None:
        self.transport = transport
        self.closed = False
        self.restarts = 0  # how often the server was found started anew, its cache empty
        self._settings = settings
        self._info: ServerInfo | None = None  # as it was when last looked at
        self._starts: set[str] = set()  # of all servers that were ever seen
        self._heard = 0.0  # time of the last answer
        self._broken: EngineError | None = None
        self._look: asyncio.Task[None] | None = None

    async def connect(self) -> ServerInfo:
        """Find out what is at the other end, and get ready for it.

        Raises:
            EngineError: Nobody answers, or it is not an SGLang server that can be used.
        """
        place = self.transport.place
        try:
            info = read_infos(await self.transport.probe(), place)
        except Lost as lost:
            raise EngineError(
                f"{place} does not answer ({lost}); start one with `flopwise sglang launch MODEL`, or check the URL"
            ) from lost
        except Refused as refused:
            raise self._refusal("the question what it serves", refused) from refused
        self._know(info)
        await self.transport.open(self._settings.in_flight or info.in_flight)
        return info

    async def ask(self, body: Json) -> Json:
        """The reply to a request.

        Raises:
            EngineUnavailable: The server was not ready, or has gone away and come back: ask again.
            EngineError: The request is wrong, took too long, or the server has gone for good.
        """
        clock = asyncio.get_running_loop().time
        try:
            if self._broken is None and clock() - self._heard > _SILENCE_S:
                await self._see_who_is_there(body, "it was silent")
            if self._broken is not None:
                raise EngineError(f"{describe(body)}: {self._broken}") from self._broken
            reply = await self._send(body)
        except asyncio.CancelledError:
            if self.closed:
                raise EngineError(f"{describe(body)}: the engine was closed before the answer came") from None
            raise
        except Refused as refused:
            raise self._refusal(describe(body), refused) from refused
        except Lost as lost:
            await self._see_who_is_there(body, str(lost))
            raise EngineUnavailable(
                f"{describe(body)}: the connection to {self.transport.place} broke ({lost}) and is back; ask again"
            ) from lost
        self._heard = clock()
        if (reason := aborted(reply)) is not None:
            raise EngineError(
                f"{describe(body)}: {self.transport.place} aborted it ({reason}), which this engine had not asked for;"
                " see who aborts requests there, then ask again"
            )
        return reply

    async def _send(self, body: Json) -> Json:
        """Send within the deadline; what nobody waits for any more is aborted."""
        limit = self._settings.deadline_s
        try:
            async with asyncio.timeout(limit):
                return await self._generate(body)
        except TimeoutError as error:
            await self._abort(body)
            raise EngineError(
                f"{describe(body)}: {self.transport.place} has not answered within deadline_s={limit:g} seconds; raise "
                "deadline_s, lower in_flight, or see what holds it up"
            ).in_vain() from error
        except asyncio.CancelledError:
            await self._abort(body)
            raise

    async def _generate(self, body: Json) -> Json:
        """Send; where a router lets no server have it for a while, send it again until one may."""
        clock, pause = asyncio.get_running_loop().time, _Pause()
        until = clock() + self._settings.reconnect_s
        while True:
            try:
                return await self.transport.generate(body)
            except Refused as refused:
                if not refused.shut_out or clock() >= until:
                    raise
            await pause()

    async def _abort(self, body: Json) -> None:
        """Have the server stop working for nobody; where this fails it finds out by itself, seconds later."""
        with contextlib.suppress(Lost, Refused, TimeoutError):
            async with asyncio.timeout(_ABORT_S):
                await self.transport.abort(body["rid"])

    def _refusal(self, what: str, refused: Refused) -> EngineError:
        place = self.transport.place
        if refused.status in _LATER:
            return EngineUnavailable(f"{what}: {place} is not ready ({refused.status}: {refused}); ask again later")
        if refused.status in (401, 403):
            return EngineError(f"{what}: {place} wants a key ({refused.status}: {refused}); pass token=KEY")
        step = "change the request as the message says" if refused.status == 400 else "see the server's log"
        return EngineError(f"{what}: {place} refuses it ({refused.status}: {refused}); {step}")

    async def _see_who_is_there(self, body: Json, cause: str) -> None:
        """Wait until the server answers, all who have come to doubt it together, and make sure that it is the same."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._reconnect(cause))
            self._look.add_done_callback(_retrieve)
        try:
            await asyncio.shield(self._look)
        except EngineError as error:
            raise EngineError(f"{describe(body)}: {error}") from error

    async def _reconnect(self, cause: str) -> None:
        place, limit, before = self.transport.place, self._settings.reconnect_s, self._info
        assert before is not None, "connected first"
        try:
            async with asyncio.timeout(limit):
                info = await self._answer()
        except TimeoutError as error:
            raise EngineError(
                f"{place} went away ({cause}) and has not come back within reconnect_s={limit:g} seconds; start it "
                "again, then run again: what was answered is kept in the sample bank"
            ) from error
        if info.fingerprint != before.fingerprint:
            self._broken = EngineError(
                f"{place} went away and came back as another: it was {before.identity}; it is {info.identity}; start "
                "the first one again, or make a new engine for the second"
            )
            raise self._broken
        self.restarts += not info.started <= self._starts  # behind a router, another one may merely be absent
        self._know(info)

    def _know(self, info: ServerInfo) -> None:
        self._info, self._heard = info, asyncio.get_running_loop().time()
        self._starts |= info.started

    async def _answer(self) -> ServerInfo:
        """What the server says of itself, once it says something."""
        pause = _Pause()
        while True:
            with contextlib.suppress(Lost, Refused):
                return read_infos(await self.transport.probe(), self.transport.place)
            await pause()


class _Pause:
    """What lies between one try and the next: ever longer, up to a limit."""

    def __init__(self) -> None:
        self._seconds = _FIRST_WAIT_S

    async def __call__(self) -> None:
        await asyncio.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, _LONGEST_WAIT_S)


def _retrieve(task: asyncio.Task[None]) -> None:
    """Look at the task's exception, so that the loop does not report it where all who waited were cancelled."""
    if not task.cancelled():
        task.exception()
