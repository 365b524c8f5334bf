"""What of OpenVINO GenAI the engine needs: its pipeline, its generation configs, its identity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...errors import BudgetError, EngineError
from ...ir.flops import Cost, FlatCost, ModelShape, parse_flops
from ...ir.request import Grammar
from .gguf import GgufInfo
from .openvino_wire import Draw
from .tokenizer import ENDS
from .weights import sha256_of

BLOCK = 32  # tokens of a KV block on the CPU device
_KV_PRECISION = "u8"


@dataclass(frozen=True, slots=True)
class OpenVinoSettings:
    """How the engine uses the machine.

    Attributes:
        cache_gb: Whole gigabytes of KV cache, kept for the prefixes of later requests.
        batch_tokens: Most prompt tokens computed in one step; larger prefills longer between decoding steps.
        in_flight: Most sequences under way at once.
        device: OpenVINO's name of the device.
        flops_per_token: FLOPs of a token, prefilled or decoded, as a number or a text such as "3 GFLOP"; None counts
            them from the model's shape.
    """

    cache_gb: int = 2
    batch_tokens: int = 1024
    in_flight: int = 64
    device: str = "CPU"
    flops_per_token: float | str | None = None


def import_genai() -> Any:
    """The module `openvino_genai`; raise EngineError where it is not installed."""
    try:
        import openvino_genai
    except ImportError as error:
        raise EngineError(
            'the engine kind "openvino" needs openvino-genai; install it with pip install "flopwise[openvino]"'
        ) from error
    return openvino_genai


def open_pipeline(path: Path, settings: OpenVinoSettings) -> Any:
    """A native continuous-batching pipeline over a GGUF file.

    Raises:
        EngineError: openvino-genai is not installed, or cannot load the file.
    """
    ov = import_genai()
    scheduler = ov.SchedulerConfig()
    scheduler.enable_prefix_caching = True
    scheduler.cache_size = settings.cache_gb
    scheduler.max_num_batched_tokens = settings.batch_tokens
    scheduler.max_num_seqs = settings.in_flight
    try:
        properties = {"KV_CACHE_PRECISION": _KV_PRECISION}
        return ov.ContinuousBatchingPipeline(str(path), scheduler, settings.device, properties)
    except RuntimeError as error:
        raise EngineError(
            f"OpenVINO cannot load {path}; of GGUF files it reads llama, qwen2 and qwen3 models only: {error}"
        ) from error


def native_config(draw: Draw, grammar: Grammar | None) -> Any:
    """The native generation config of a draw."""
    import openvino_genai as ov

    config = ov.GenerationConfig()
    config.apply_chat_template = False
    config.max_new_tokens, config.num_return_sequences = draw.limit, draw.forks
    config.eos_token_id, config.stop_token_ids = draw.ends[0], set(draw.ends)
    if draw.stop:
        config.stop_strings, config.include_stop_str_in_output = set(draw.stop), True
    if draw.temperature > 0:
        config.do_sample, config.temperature = True, draw.temperature
        config.top_p, config.rng_seed = draw.top_p, draw.seed
        if draw.top_k:
            config.top_k = draw.top_k
    if draw.beams:
        config.num_beams = draw.beams
    if draw.logprobs:
        config.logprobs = 1
    if grammar is not None:
        name = "grammar" if grammar.kind == "ebnf" else grammar.kind
        config.structured_output_config = ov.StructuredOutputConfig(**{name: grammar.text})
    return config


def end_ids(info: GgufInfo, eos: int) -> tuple[int, ...]:
    """Ids that end a turn: the model's own first, then the usual ones among its special tokens."""
    return tuple(dict.fromkeys((eos, *(info.control[t] for t in ENDS if t in info.control))))


def cache_capacity(gigabytes: int, shape: ModelShape) -> int:
    """Tokens that the KV cache holds.

    In 8 bits the CPU keeps a scale and a zero point, of 4 bytes each, for every channel of a block's keys and for
    every token's values.
    """
    keys = shape.head_dim * (BLOCK + 8)
    values = (shape.head_dim + 8) * BLOCK
    block = shape.layers * shape.kv_heads * (keys + values)
    return gigabytes * 2**30 // block * BLOCK


def cost_of(settings: OpenVinoSettings, shape: ModelShape) -> Cost:
    """What the model costs: as declared, else by its shape.

    Raises:
        EngineError: What is declared is no positive, finite quantity of FLOPs.
    """
    declared = settings.flops_per_token
    if declared is None:
        return shape
    if isinstance(declared, bool) or not isinstance(declared, (int, float, str)):
        raise EngineError(f'flops_per_token: a quantity such as 3e9 or "3 GFLOP" is needed, but got {declared!r:.80}')
    try:
        return FlatCost(parse_flops(declared, "flops_per_token"))
    except BudgetError as error:
        raise EngineError(f"engine openvino: {error}") from error
    except OverflowError as error:
        raise EngineError("engine openvino: flops_per_token must be finite, but is too large a number") from error


def fingerprint(path: Path, settings: OpenVinoSettings) -> str:
    """Hash of all that samples depend on: weights, engine and its version, device, precision of the cache."""
    parts = (sha256_of(path), "openvino", version("openvino-genai"), settings.device, _KV_PRECISION)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
