"""`flopwise serve`: an artifact behind HTTP."""

from __future__ import annotations

import ipaddress
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .words import Commands, add_command, add_engines, engine_specs, made_engines, say

if TYPE_CHECKING:
    from ..backends.engines._base import Engine
    from ..ir.engines import ByEngine
    from ..pipeline import Pipeline
    from ..serve.settings import ServeSettings

_MORE = (
    "Its address is printed once it takes requests. POST /v1/run takes typed inputs, /v1/chat/completions what "
    "OpenAI's clients send; /openapi.json describes all. SIGTERM and Ctrl-C let queries under way end."
)


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "serve", run, "answer queries over HTTP", _MORE)
    parser.add_argument("artifact", metavar="ARTIFACT", help="the folder or zip")
    add_engines(parser, False, "what generates; by default the model that the artifact was made for")
    parser.add_argument("--at", metavar="FLOPS", help="the point of the front that answers where a request names none")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 for any free one (8000)")
    parser.add_argument("--name", help="the model's id for OpenAI's clients; by default the artifact's name")
    _add_doors(parser)
    _add_limits(parser)


def _add_doors(parser: ArgumentParser) -> None:
    tokens = parser.add_mutually_exclusive_group()
    tokens.add_argument(
        "--token-env", metavar="NAME",
        help="environment variable with the bearer tokens that are let in (FLOPWISE_SERVE_TOKENS, where it is set)",
    )  # fmt: skip
    tokens.add_argument("--token-file", metavar="FILE", help="file with such a token a line")
    tokens.add_argument("--open", action="store_true", help="let everyone in, also from other machines")
    parser.add_argument("--quiet", action="store_true", help="no line a request on standard error")


def _add_limits(parser: ArgumentParser) -> None:
    parser.add_argument("--max-body", type=int, metavar="BYTES", default=1 << 20, help="of a request (1048576)")
    parser.add_argument(
        "--max-queries", type=int, metavar="N", help="most under way at once (four for each sequence the engines run)"
    )
    parser.add_argument("--timeout", type=float, metavar="S", default=120.0, help="seconds of a query (120)")
    parser.add_argument(
        "--drain", type=float, metavar="S", default=30.0, help="seconds for queries under way once it stops (30)"
    )


def run(args: Namespace) -> int:
    """Serve until it is told to stop; 0 after SIGTERM, 1 where queries were cut off by then."""
    from ..api import load
    from ..compiler.artifact import read
    from .run import with_own

    _need_libraries()
    from ..serve.server import listen

    tokens = _tokens(args)
    sys.path.append(os.getcwd())  # as python does: host functions beside the caller are found
    found = read(Path(args.artifact))
    specs = with_own(engine_specs(args.engine), found, every=True)  # a request may choose any point
    with listen(args.host, args.port) as at, made_engines(specs) as engines:
        settings = _settings(args, tokens, engines)
        pipeline = load(args.artifact, engines.main, engines=engines.named)
        if args.at:
            pipeline = pipeline.at(per_query=args.at)
        return _serve(pipeline, settings, at, args)


def _serve(pipeline: Pipeline[..., Any], settings: ServeSettings, at: Any, args: Namespace) -> int:
    from ..serve.access_log import set_up_logs
    from ..serve.app import Application
    from ..serve.server import server_of

    set_up_logs(args.quiet)
    host = f"[{args.host}]" if ":" in args.host else args.host
    url = f"http://{host}:{at.getsockname()[1]}"

    with closing(Application(pipeline, settings)) as application:
        door = f"bearer tokens: {len(settings.tokens)}" if settings.tokens else "no token needed"
        say(f"flopwise: {settings.name} on {pipeline.engine.model.name}, {door}; Ctrl-C stops it")
        print(url, flush=True)
        server = server_of(application)
        server.run(sockets=[at])
    if server.cut_off:
        say(f"flopwise: {server.cut_off} queries were cut off; give them longer with --drain")
        return 1
    if server.stopped_by == signal.SIGINT:
        raise KeyboardInterrupt
    return 0


def _need_libraries() -> None:
    from ..errors import FlopwiseError

    try:
        import fastapi
        import prometheus_client
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise FlopwiseError(f'serve: {error.name} is not installed; run: pip install "flopwise[serve]"') from None
    del fastapi, prometheus_client


def _tokens(args: Namespace) -> tuple[str, ...]:
    """The tokens that are let in.

    Raises:
        InputError: There are none, though the server can be reached from other machines.
    """
    from ..errors import InputError
    from ..serve.tokens import VARIABLE, read_tokens

    tokens = () if args.open else read_tokens(args.token_env, args.token_file)
    if not tokens and not args.open and not _is_loopback(args.host):
        raise InputError(
            f"serve: --host {args.host} can be reached from other machines, so a bearer token is needed: set "
            f"{VARIABLE}, or name a --token-file; --open lets everyone in"
        )
    return tokens


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _settings(args: Namespace, tokens: tuple[str, ...], engines: ByEngine[Engine]) -> ServeSettings:
    from ..batching import QUERIES_PER_SEQUENCE
    from ..ir.target import sequences
    from ..serve.settings import ServeSettings

    most = args.max_queries
    if most is None:
        most = QUERIES_PER_SEQUENCE * sequences(engines)
    name = args.name or Path(args.artifact).resolve().stem
    return ServeSettings(name, tokens, args.max_body, most, args.timeout, args.drain)
