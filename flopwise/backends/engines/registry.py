"""Engines by name: `engine("openvino:qwen2.5-coder-1.5b-instruct")`."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ...errors import EngineError, WeightsError
from ...ir.engines import MAIN, ByEngine, is_engine_name
from ._base import Engine
from .weights import path_of, pull

S = TypeVar("S")


def engine(spec: str | Engine, **options: Any) -> Engine:
    """An engine from its spec, `"KIND:MODEL"`; an engine is handed back as it is.

    Args:
        spec: Such as `"openvino:qwen2.5-coder-1.5b-instruct"` or `"openvino:/folder/model.gguf"`, or an engine.
            `"sglang:http://host:30000"` is a server, `"sglang:/folder"` a model that SGLang runs within this process,
            `"openai:MODEL@http://host:30000/v1"` a model of any OpenAI-compatible server, and `"transformers:/folder"`
            one that Transformers runs. For dry runs `"scripted:FILE.py:NAME"`, a script or a scripted engine of that
            file, which is run.
        **options: The engine's settings: the fields of `OpenVinoSettings`, `SGLangSettings`, `OpenAiSettings` or
            `TransformersSettings`, `flops_per_token` among them to declare what the model costs. Of openvino also
            `pull=True`, which fetches known weights that are missing; of sglang within this process also
            `server_args`, for `sglang.Engine`.

    Raises:
        EngineError: The kind or an option is unknown, or the engine's package is not installed.
        WeightsError: The model is unknown, or its weights are not on this machine and `pull` is not set.
    """
    if not isinstance(spec, str):
        return _as_it_is(spec, options)
    kind, _, model = spec.partition(":")
    if kind not in _KINDS:
        raise EngineError(f"engine {spec!r}: the kind must be one of {', '.join(_KINDS)}{_near(kind, _KINDS)}")
    if not model:
        raise EngineError(f"engine {spec!r}: a model must follow the kind, as in '{kind}:{_EXAMPLES[kind]}'")
    return _KINDS[kind](model, options)


def engines(main: str | Engine, named: Mapping[str, str | Engine] | None = None) -> ByEngine[Engine]:
    """The engines of a program: the main one, and those that its modules name, each an engine or its spec.

    Raises:
        EngineError: A name is none or that of the main engine, or an engine cannot be made.
        WeightsError: A model is unknown, or its weights are not on this machine.
    """
    if named is not None and not isinstance(named, Mapping):
        raise EngineError(f'engines: a mapping such as {{"judge": ...}} is needed, but got {named!r:.100}')
    for name in named or {}:
        if name == MAIN:
            raise EngineError(f"engines: {MAIN!r} is what modules call the engine given as engine=; leave it out here")
        if not is_engine_name(name):
            raise EngineError(f"engines: a name of letters, digits, _ and - is needed, but got {name!r:.100}")
    return ByEngine(engine(main), {name: engine(spec) for name, spec in (named or {}).items()})


def _as_it_is(spec: Engine, options: dict[str, Any]) -> Engine:
    if isinstance(spec, type):  # a class has every method that the protocol asks for
        raise EngineError(
            f"an engine must be an instance, but {spec.__name__} is a class; make one: {spec.__name__}(...), "
            "or give a text such as 'openvino:MODEL'"
        )
    if not isinstance(spec, Engine):
        raise EngineError(f"an engine or a text such as 'openvino:MODEL' is needed, but got {type(spec).__name__}")
    if options:
        raise EngineError(f"options {sorted(options)} can be given with a text only; this engine is made already")
    return spec


def _openvino(model: str, options: dict[str, Any]) -> Engine:
    from .openvino import OpenVinoEngine
    from .openvino_native import OpenVinoSettings

    path = _weights(model, bool(options.pop("pull", False)))
    return OpenVinoEngine(path, _settings("openvino", OpenVinoSettings, options, "pull"))


def _sglang(model: str, options: dict[str, Any]) -> Engine:
    from .sglang.engine import SGLangEngine
    from .sglang.settings import SGLangSettings

    if "//" in model:
        return SGLangEngine(model, _settings("sglang", SGLangSettings, options))
    from .sglang.inprocess import InProcess

    server_args = options.pop("server_args", {})
    settings = _settings("sglang", SGLangSettings, options, "server_args")
    return SGLangEngine(InProcess(model, server_args), settings)


def _transformers(model: str, options: dict[str, Any]) -> Engine:
    from .transformers_engine import TransformersEngine, TransformersSettings

    return TransformersEngine(model, _settings("transformers", TransformersSettings, options))


def _openai(model: str, options: dict[str, Any]) -> Engine:
    from .openai_engine import OpenAiEngine
    from .openai_settings import OpenAiSettings, split_spec

    name, url = split_spec(model)
    if url is not None:
        options = {"base_url": url, **options}
    return OpenAiEngine(name, _settings("openai", OpenAiSettings, options))


def _scripted(model: str, options: dict[str, Any]) -> Engine:
    from .scripted_file import scripted_engine

    if options:
        raise EngineError(f"engine scripted: it has no options, but got {sorted(options)}")
    return scripted_engine(model)


def _settings(kind: str, settings: Callable[..., S], options: dict[str, Any], *others: str) -> S:
    """An engine's settings out of its options; `others` are options that are no settings."""
    known = [*others, *(f.name for f in dataclasses.fields(settings))]  # type: ignore[arg-type]  # each is a dataclass
    for name in options:
        if name not in known:
            raise EngineError(f"engine {kind}: no option {name!r}; there are {', '.join(known)}{_near(name, known)}")
    return settings(**options)


def _weights(model: str, fetch: bool) -> Path:
    try:
        return path_of(model)
    except WeightsError:
        if not fetch:
            raise
        return pull(model)


def _near(name: str, names: Any) -> str:
    near = difflib.get_close_matches(name, list(names), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


_KINDS: dict[str, Callable[[str, dict[str, Any]], Engine]] = {
    "openvino": _openvino,
    "sglang": _sglang,
    "openai": _openai,
    "transformers": _transformers,
    "scripted": _scripted,
}
_EXAMPLES = {
    "openvino": "smollm2-135m-instruct",
    "sglang": "http://host:30000",
    "openai": "MODEL@http://host:30000/v1",
    "transformers": "smollm2-135m-instruct",
    "scripted": "script.py:reply",
}
