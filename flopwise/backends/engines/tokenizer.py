"""Text to token ids and back, and chat templates; text of data never makes a special token."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ...errors import EngineError, InputError
from ...ir.request import TokenIds

if TYPE_CHECKING:
    import jinja2

    from .gguf import GgufInfo

# How models usually end a turn.
ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>", "<eos>", "</s>")
# For base models: they know no turns, so plain labels have to do.
PLAIN_TEMPLATE = """{{ bos_token }}{% for message in messages %}
{%- if message['role'] == 'system' %}{{ message['content'] }}{{ '\\n\\n' }}
{%- elif message['role'] == 'assistant' %}Assistant: {{ message['content'] }}{{ '\\n\\n' }}
{%- else %}User: {{ message['content'] }}{{ '\\n\\n' }}
{%- endif %}{% endfor %}
{%- if add_generation_prompt %}Assistant:{% endif %}"""


@dataclass(frozen=True)
class ChatTemplate:
    """A model's chat template, rendered as `transformers` renders it: sandboxed, blocks trimmed.

    Attributes:
        source: The jinja2 text.
        bos: Text of the begin-of-text token, or "".
        eos: Text of the end-of-turn token, or "".
    """

    source: str
    bos: str = ""
    eos: str = ""

    def render(self, messages: Sequence[tuple[str, str]], generate: bool) -> str:
        """The template over (role, content) turns; with `generate`, the model's turn is opened.

        Raises:
            EngineError: The template is not valid or refuses these turns.
        """
        import jinja2

        turns = [{"role": role, "content": content} for role, content in messages]
        try:
            return self._compiled.render(
                messages=turns, add_generation_prompt=generate, bos_token=self.bos, eos_token=self.eos
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            roles = [role for role, _ in messages]
            raise EngineError(f"the model's chat template refuses turns of roles {roles}: {error}") from error

    @cached_property
    def _compiled(self) -> jinja2.Template:
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        house = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        house.globals["raise_exception"] = _refuse
        return house.from_string(self.source)


def _refuse(message: str) -> str:
    import jinja2

    raise jinja2.TemplateError(message)


@dataclass(frozen=True)
class NativeTokenizer:
    """The tokenizer of OpenVINO GenAI behind the `Tokenizer` protocol.

    Attributes:
        native: An `openvino_genai.Tokenizer`.
        special: Texts that the native tokenizer reads as special tokens, and their ids.
        template: The chat template.
    """

    native: Any
    special: dict[str, int]
    template: ChatTemplate
    _pieces: Callable[[str], list[str]] = field(init=False, repr=False)
    _forbidden: frozenset[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pieces", splitter(self.special))
        object.__setattr__(self, "_forbidden", frozenset(self.special.values()))

    def encode(self, text: str) -> TokenIds:
        """Ids of text as data: a special token's text is cut in two, so that it is spelled out.

        Raises:
            InputError: The text has a lone surrogate, which no tokenizer can read, or a character that this model
                has no tokens for (some vocabularies lack rare bytes and would put a special token there).
        """
        check_text(text)
        ids = tuple(i for piece in self._pieces(text) for i in self._ids(piece))
        if not self._forbidden.isdisjoint(ids):
            at = next((i for i, c in enumerate(text) if not self._forbidden.isdisjoint(self._ids(c))), 0)
            raise InputError(f"the model has no tokens for character {at}, {text[at]!r}; replace it in the input")
        return ids

    def encode_template(self, text: str) -> TokenIds:
        """Ids of text from a chat template: special tokens are recognised; raises as `encode` does."""
        check_text(text)
        return tuple(self._ids(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out."""
        return str(self.native.decode(list(ids), skip_special_tokens=True)) if ids else ""

    def decode_all(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens spelled out: what is really sent."""
        return str(self.native.decode(list(ids), skip_special_tokens=False)) if ids else ""

    def render_chat(self, messages: Sequence[tuple[str, str]], generate: bool) -> str:
        """The model's chat template over (role, content) turns; raises EngineError where it refuses them."""
        return self.template.render(messages, generate)

    def _ids(self, text: str) -> list[int]:
        if not text:
            return []
        ids: list[int] = self.native.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
        return ids


def native_tokenizer(native: Any, info: GgufInfo) -> NativeTokenizer:
    """The tokenizer of a GGUF model; added tokens count as special where the native decoder hides them."""
    hidden = {t: i for t, i in info.user_defined.items() if not native.decode([i], skip_special_tokens=True)}
    template = ChatTemplate(info.chat_template or PLAIN_TEMPLATE, info.bos, info.eos)
    return NativeTokenizer(native, info.control | hidden, template)


def splitter(special: Iterable[str]) -> Callable[[str], list[str]]:
    """A function that cuts a text after the first character of every special token in it, overlapping ones too."""
    texts = sorted((re.escape(t) for t in special if len(t) > 1), key=len, reverse=True)
    if not texts:
        return lambda text: [text]
    start = re.compile(f"(?=(?:{'|'.join(texts)}))", re.DOTALL)

    def pieces(text: str) -> list[str]:
        cuts = [0, *(m.start() + 1 for m in start.finditer(text)), len(text)]
        return [text[a:b] for a, b in pairwise(cuts)]

    return pieces


def check_text(text: str) -> None:
    """Raise InputError where a text has a lone surrogate."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"text must be valid Unicode, but character {error.start} is the lone surrogate "
            f"{text[error.start]!r}; decode the source with errors='replace'"
        ) from error
