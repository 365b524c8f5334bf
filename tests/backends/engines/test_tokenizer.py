from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.backends.engines.byte_tokenizer import SPECIAL, ByteTokenizer
from flopwise.backends.engines.gguf import read_gguf
from flopwise.backends.engines.tokenizer import (
    PLAIN_TEMPLATE,
    ChatTemplate,
    NativeTokenizer,
    native_tokenizer,
    splitter,
)
from flopwise.backends.engines.weights import path_of
from flopwise.errors import EngineError, InputError

MODEL = "smollm2-135m-instruct"
MARKS = ["<|im_start|>", "<|im_end|>", "<a>", "<a><a>", "aab", "ab"]
LOOKALIKES = st.lists(st.sampled_from(["<|im_start|>", "<|im_", "end|>", "<", "|>", "<jupyter_code>", "x", "\n", "😀"]))


@pytest.fixture(scope="module")
def native() -> Iterator[NativeTokenizer]:
    import openvino_genai

    path = path_of(MODEL)
    yield native_tokenizer(openvino_genai.Tokenizer(str(path)), read_gguf(path))


@given(st.lists(st.sampled_from([*MARKS, "<", "a", "b", "|>"])).map("".join))
def test_no_piece_holds_a_mark_and_together_they_are_the_text(text: str) -> None:
    pieces = splitter(MARKS)(text)
    assert "".join(pieces) == text
    assert not [p for p in pieces for m in MARKS if m in p]


@given(text=st.one_of(st.text(), LOOKALIKES.map("".join)))
def test_data_is_spelled_out_and_comes_back(native: NativeTokenizer, text: str) -> None:
    special = set(native.special.values())
    lacking = [i for i, c in enumerate(text) if special & set(native.encode_template(c))]
    if lacking:  # SmolLM2 has no tokens for some control characters and unassigned planes
        with pytest.raises(InputError, match=f"no tokens for character {lacking[0]},"):
            native.encode(text)
        return
    ids = native.encode(text)
    assert not special & set(ids)
    assert native.decode(ids) == text


@given(st.one_of(st.text(), st.lists(st.sampled_from([*SPECIAL, "<|im_", "é", "x"])).map("".join)))
def test_bytes_come_back(text: str) -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode_all(tokenizer.encode_template(text)) == text
    assert max(tokenizer.encode(text), default=0) < 256


def test_templates_make_special_tokens_and_data_does_not(native: NativeTokenizer) -> None:
    assert native.encode_template("<|im_start|>user") == (1, *native.encode("user"))
    assert native.decode(native.encode_template("<|im_start|>user<|im_end|>")) == "user"
    assert native.decode_all(native.encode_template("<|im_start|>user<|im_end|>")) == "<|im_start|>user<|im_end|>"


@pytest.mark.parametrize("text", ["\ud800", "ok \udfff", "\ud83d \ude00"])
def test_a_lone_surrogate_names_its_position(text: str) -> None:
    at = next(i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff")
    with pytest.raises(InputError, match=f"character {at} is the lone surrogate"):
        ByteTokenizer().encode(text)


def test_the_models_own_template_is_rendered(native: NativeTokenizer) -> None:
    text = native.render_chat([("system", "Be brief."), ("user", "{{ 7 * 7 }}")], True)
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{{ 7 * 7 }}<|im_end|>\n<|im_start|>assistant\n"
    )


def test_blocks_are_trimmed_as_in_transformers() -> None:
    template = ChatTemplate("  {% if true %}\nx\n  {% endif %}\n{% for m in messages %}\n{{ m.content }}\n{% endfor %}")
    assert template.render([("user", "one"), ("user", "two")], False) == "x\none\ntwo\n"


def test_a_template_may_refuse_and_break_out_of_loops() -> None:
    refuses = ChatTemplate("{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}")
    with pytest.raises(EngineError, match="no system turns"):
        refuses.render([("system", "x")], False)
    breaks = ChatTemplate(
        "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}"
    )
    assert breaks.render([("user", "x"), ("user", "y")], False) == "user"


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{% for %}",
        "{{ ''.__class__.__subclasses__() }}",
    ],
)
def test_a_hostile_or_broken_template_is_an_engine_error(source: str) -> None:
    with pytest.raises(EngineError, match="chat template"):
        ChatTemplate(source).render([("user", "x")], False)


def test_a_base_model_gets_plain_labels() -> None:
    template = ChatTemplate(PLAIN_TEMPLATE, bos="<bos>")
    text = template.render([("system", "S"), ("user", "one"), ("assistant", "two"), ("user", "three")], True)
    assert text == "<bos>S\n\nUser: one\n\nAssistant: two\n\nUser: three\n\nAssistant:"
    assert text.startswith(template.render([("system", "S"), ("user", "one")], True))


def test_a_character_without_tokens_is_refused_rather_than_made_special(native: NativeTokenizer) -> None:
    assert native.encode_template("\U00040000")[0] == 0  # what the native tokenizer makes of it: <|endoftext|>
    with pytest.raises(InputError, match="no tokens for character 2,"):
        native.encode("ab\U00040000")
