"""The tokenizer of a Hugging Face folder: what data is encoded to decodes to the same text, and is never special."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import EngineError, InputError
from ...ir.request import TokenIds
from .tokenizer import ChatTemplate, check_text, splitter

if TYPE_CHECKING:
    from tokenizers import Tokenizer


_EMPTY = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}


@dataclass(frozen=True)
class HfTokenizer:
    """A `tokenizer.json` behind the `Tokenizer` protocol.

    Attributes:
        special: Texts of the special tokens, and their ids.
        template: The chat template.
        native: The tokenizer as it was shipped: for templates, so that a prompt is what the model was trained on.
        exact: The same without what changes a text (Unicode normal forms, a space put before it) and without an eye
            for special tokens: for data, and for decoding.
    """

    special: Mapping[str, int]
    template: ChatTemplate
    native: Tokenizer = field(repr=False)
    exact: Tokenizer = field(repr=False)
    _pieces: Callable[[str], list[str]] = field(init=False, repr=False)
    _forbidden: frozenset[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_forbidden", frozenset(self.special.values()))
        object.__setattr__(self, "_pieces", splitter(self.special))

    @property
    def size(self) -> int:
        """Ids it knows, those of added tokens included."""
        return self.native.get_vocab_size()

    def encode(self, text: str) -> TokenIds:
        """Ids of text as data: what looks like a special token is spelled out.

        Raises:
            InputError: The text has a lone surrogate, which no tokenizer can read, or a character that this model
                has no tokens for.
        """
        check_text(text)
        ids = self._ids(text)
        if not self._kept(text, ids):  # a vocabulary of whole words may hold a special token's text as a word
            ids = [i for piece in self._pieces(text) for i in self._ids(piece)]
            if not self._kept(text, ids):
                at = self._first_lost(text)
                raise InputError(f"the model has no tokens for character {at}, {text[at]!r}; replace it in the input")
        return tuple(ids)

    def encode_template(self, text: str) -> TokenIds:
        """Ids of text from a chat template: special tokens are recognised; raises where a surrogate stands alone."""
        check_text(text)
        return tuple(self.native.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out."""
        return self.exact.decode(list(ids), skip_special_tokens=True)

    def decode_all(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens spelled out: what is really sent."""
        return self.exact.decode(list(ids), skip_special_tokens=False)

    def render_chat(self, messages: Sequence[tuple[str, str]], generate: bool) -> str:
        """The model's chat template over (role, content) turns; raises EngineError where it refuses them."""
        return self.template.render(messages, generate)

    def _ids(self, text: str) -> list[int]:
        return self.exact.encode(text, add_special_tokens=False).ids

    def _kept(self, text: str, ids: Sequence[int]) -> bool:
        """Whether nothing was lost or made special; a byte that the vocabulary lacks is left out in silence."""
        return self._forbidden.isdisjoint(ids) and self.decode(ids) == text

    def _first_lost(self, text: str) -> int:
        return next((at for at, c in enumerate(text) if not self._kept(c, self._ids(c))), 0)


def load_tokenizer(path: Path, template: ChatTemplate) -> HfTokenizer:
    """The tokenizer of a `tokenizer.json`.

    Args:
        path: The file.
        template: The model's chat template; added tokens that it writes count as special too.

    Raises:
        EngineError: The package `tokenizers` is not installed, or the file is missing or damaged.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise EngineError(
            "a model in a Hugging Face folder needs the package tokenizers; install it with pip install tokenizers"
        ) from error
    try:
        body = path.read_text(encoding="utf-8")
        native, parsed = Tokenizer.from_str(body), json.loads(body)
        exact = _exact(Tokenizer.from_str(json.dumps(exact_form(parsed))), native)
    except FileNotFoundError as error:
        raise EngineError(
            f"{path} is missing; write it with transformers' AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        ) from error
    except Exception as error:  # the package raises nothing more exact
        raise EngineError(f"{path} is not a tokenizer ({error}); copy or download it again") from error
    native.no_truncation()
    native.no_padding()
    return HfTokenizer(_special(parsed, template), template, native, exact)


def _exact(steps: Tokenizer, native: Tokenizer) -> Tokenizer:
    """`steps` around the vocabulary of `native`, which is shared: it is large, and takes long to read."""
    from tokenizers import AddedToken

    steps.model = native.model
    for _, token in sorted(native.get_added_tokens_decoder().items()):
        plain = AddedToken(token.content, special=token.special, normalized=False)  # takes no space around it
        (steps.add_special_tokens if token.special else steps.add_tokens)([plain])
    steps.encode_special_tokens = True
    return steps


def exact_form(tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """The steps of a parsed `tokenizer.json` that give back what was encoded and put no space before a text.

    Its vocabulary is left out. Of the normalizers only those that spell a character otherwise (a space as U+2581) are
    kept.
    """
    kept = {
        "normalizer": _without(tokenizer.get("normalizer"), "normalizers", lambda step: step["type"] == "Replace"),
        "pre_tokenizer": _without(tokenizer.get("pre_tokenizer"), "pretokenizers", lambda step: True),
        "decoder": _without(tokenizer.get("decoder"), "decoders", lambda step: step["type"] != "Strip"),
    }
    return {**_EMPTY, **kept}


def _without(step: Any, members: str, keep: Callable[[Any], bool]) -> Any:
    """A step, or the steps of a sequence, that `keep` says yes to, none of which adds a prefix."""
    if not step:
        return None
    if step["type"] == "Sequence":
        inner = [_unprefixed(s) for s in step[members] if keep(s)]
        return {**step, members: inner} if inner else None
    return _unprefixed(step) if keep(step) else None


def _unprefixed(step: Mapping[str, Any]) -> dict[str, Any]:
    changed = dict(step)
    if "prepend_scheme" in changed:
        changed["prepend_scheme"] = "never"
    if "add_prefix_space" in changed:
        changed["add_prefix_space"] = False
    return changed


def _special(tokenizer: Mapping[str, Any], template: ChatTemplate) -> dict[str, int]:
    """Added tokens that are flagged special, or that the chat template writes as its own marks."""
    added: Iterable[Mapping[str, Any]] = tokenizer.get("added_tokens", ())
    return {
        str(t["content"]): int(t["id"])
        for t in added
        if t["special"] or (t["content"].strip() and len(t["content"]) > 2 and t["content"] in template.source)
    }
