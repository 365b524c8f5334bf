"""A Hugging Face model folder: shape for the cost model, context, ends of a turn, chat template, tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import EngineError
from ...ir.flops import ModelShape
from .hf_tokenizer import HfTokenizer, load_tokenizer
from .shapes import shape_from_config
from .tokenizer import ENDS, PLAIN_TEMPLATE, ChatTemplate

_UNBOUNDED = 10**9  # what transformers writes for a tokenizer without a limit is larger
_SMALL_FILES = ("*.json", "*.jinja")  # of a hub's repository: all but the weights
_LARGE_FILES = ("*.index.json", "*/*")


@dataclass(frozen=True, slots=True)
class HfFolder:
    """What a model folder says.

    Attributes:
        path: The folder.
        name: The folder's name.
        config: The parsed `config.json`.
        shape: What the model's FLOPs depend on; None where its family is not known.
        context: Most tokens of prompt and output together.
        ends: Ids that end a turn: the model's own first, then the usual ones among its special tokens.
        tokenizer: Its tokenizer and chat template.
    """

    path: Path
    name: str
    config: Mapping[str, Any]
    shape: ModelShape | None
    context: int
    ends: tuple[int, ...]
    tokenizer: HfTokenizer

    @property
    def vocab(self) -> int:
        """Ids that the model has a row for: every id of a prompt must be less."""
        sized = (self.config, self.config.get("text_config") or {})
        return next((int(c["vocab_size"]) for c in sized if c.get("vocab_size")), self.tokenizer.size)


def read_folder(path: Path) -> HfFolder:
    """What the model folder at `path` says: `config.json` and `tokenizer.json` are needed, weights are not.

    Raises:
        EngineError: A file is missing or damaged, or the package `tokenizers` is not installed.
    """
    path = path.expanduser().resolve()
    config = _json(path / "config.json")
    if config is None:
        raise EngineError(f"{path} is no Hugging Face model folder: it has no config.json; name the folder that has it")
    said = _json(path / "tokenizer_config.json") or {}
    tokenizer = load_tokenizer(path / "tokenizer.json", _template(path, said))
    ends = _ends(config, _json(path / "generation_config.json") or {}, tokenizer)
    return HfFolder(path, path.name, config, _shape(config), _context(path, config, said), ends, tokenizer)


def find_folder(model: str) -> Path:
    """The folder of a model: a folder of this machine as it is; of a hub's model id the small files are fetched.

    Args:
        model: A path, or an id such as `organisation/model`.

    Raises:
        EngineError: There is no such folder, and the hub cannot be asked or has no such model.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or model.count("/") > 1 or model.startswith("."):
        raise EngineError(f"the model folder {model} is not on this machine; pass tokenizer=FOLDER, a copy of it here")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise EngineError(
            f"the tokenizer of {model!r} must come from a model hub, which needs the package huggingface_hub; "
            "install it with pip install huggingface_hub, or pass tokenizer=FOLDER"
        ) from error
    try:
        return Path(snapshot_download(model, allow_patterns=list(_SMALL_FILES), ignore_patterns=list(_LARGE_FILES)))
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise EngineError(
            f"the tokenizer of {model!r} cannot be fetched from the model hub ({reason}); pass tokenizer=FOLDER, "
            "a folder of this machine with its config.json and tokenizer.json"
        ) from error


def _json(path: Path) -> dict[str, Any] | None:
    """A parsed file; None where there is none."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise EngineError(f"{path} cannot be read ({error}); copy or download it again") from error
    if not isinstance(body, dict):
        raise EngineError(f"{path} must hold a JSON object, but holds a {type(body).__name__}; download it again")
    return body


def _template(path: Path, said: Mapping[str, Any]) -> ChatTemplate:
    """The chat template: a file of its own, else in the tokenizer's settings, else plain labels."""
    file = path / "chat_template.jinja"
    source = file.read_text(encoding="utf-8") if file.is_file() else said.get("chat_template")
    if source is None:
        source = (_json(path / "chat_template.json") or {}).get("chat_template")
    if isinstance(source, list):  # several by name, for tools and the like
        named = {str(t["name"]): str(t["template"]) for t in source}
        source = named.get("default") or next(iter(named.values()), None)
    return ChatTemplate(source or PLAIN_TEMPLATE, _text(said.get("bos_token")), _text(said.get("eos_token")))


def _text(token: Any) -> str:
    """Text of a special token, which is written as a text or as an object."""
    return str(token["content"]) if isinstance(token, Mapping) else str(token or "")


def _shape(config: Mapping[str, Any]) -> ModelShape | None:
    try:
        return shape_from_config(config)
    except EngineError:
        return None  # a FLOPs budget then needs declared FLOPs per token


def _context(path: Path, config: Mapping[str, Any], said: Mapping[str, Any]) -> int:
    inner = config.get("text_config")
    for source, key in ((config, "max_position_embeddings"), (inner or {}, "max_position_embeddings")):
        if source.get(key):
            return int(source[key])
    limit = int(said.get("model_max_length") or 0)
    if not 0 < limit < _UNBOUNDED:
        raise EngineError(f"{path / 'config.json'}: max_position_embeddings, the model's context, is missing; add it")
    return limit


def _ends(config: Mapping[str, Any], generation: Mapping[str, Any], tokenizer: HfTokenizer) -> tuple[int, ...]:
    """Ids that end a turn, of all the places where a folder may say so."""
    ids: list[int] = []
    for source in (generation, config, config.get("text_config") or {}):
        own = source.get("eos_token_id")
        ids += own if isinstance(own, list) else [] if own is None else [own]
    ids += [tokenizer.special[t] for t in (tokenizer.template.eos, *ENDS) if t in tokenizer.special]
    return tuple(dict.fromkeys(ids))
