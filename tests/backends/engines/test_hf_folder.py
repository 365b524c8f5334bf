"""Hugging Face model folders: what is read of them, and what their tokenizers promise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_folder import CHAT, byte_level, sentence_piece, write_folder
from tokenizers import Tokenizer

from flopwise.backends.engines import hf_folder
from flopwise.backends.engines.hf_folder import HfFolder, find_folder, read_folder
from flopwise.backends.engines.hf_tokenizer import HfTokenizer, load_tokenizer
from flopwise.backends.engines.testing import TEXTS
from flopwise.backends.engines.tokenizer import ChatTemplate
from flopwise.errors import EngineError, InputError

LOOKALIKES = st.lists(
    st.sampled_from(["<|im_start|>", "<|im_", "end|>", "<tool>", "    ", "<", "|>", "x", "\n", "\u2581"])
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> HfFolder:
    return read_folder(write_folder(tmp_path_factory.mktemp("models") / "small"))


def loaded(tmp_path: Path, tokenizer: Tokenizer, template: str = "") -> HfTokenizer:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return load_tokenizer(tmp_path / "tokenizer.json", ChatTemplate(template))


def test_a_folder_says_what_its_model_is(folder: HfFolder) -> None:
    assert (folder.name, folder.context, folder.vocab) == ("small", 512, 400)
    assert folder.shape is not None and (folder.shape.layers, folder.shape.kv_heads) == (2, 2)
    special = folder.tokenizer.special
    assert folder.ends == (special["<|im_end|>"], special["<|endoftext|>"]) == (301, 299)
    text = folder.tokenizer.render_chat([("user", "x")], True)
    assert text == "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[:24])
def test_text_survives(folder: HfFolder, text: str) -> None:
    ids = folder.tokenizer.encode(text)
    assert folder.tokenizer.decode(ids) == folder.tokenizer.decode_all(ids) == text


@given(text=st.one_of(st.text(), LOOKALIKES.map("".join)))
def test_data_is_spelled_out_and_comes_back(folder: HfFolder, text: str) -> None:
    ids = folder.tokenizer.encode(text)
    assert not {folder.tokenizer.special[t] for t in ("<|im_start|>", "<|im_end|>")} & set(ids)
    assert folder.tokenizer.decode(ids) == text


def test_templates_make_special_tokens_and_data_does_not(folder: HfFolder) -> None:
    tokenizer = folder.tokenizer
    ids = tokenizer.encode_template("<|im_start|>the sea<|im_end|>")
    assert (ids[0], ids[-1]) == (tokenizer.special["<|im_start|>"], tokenizer.special["<|im_end|>"])
    assert tokenizer.decode(ids) == " the sea" and tokenizer.decode_all(ids) == "<|im_start|> the sea<|im_end|>"
    assert tokenizer.decode(tokenizer.encode("<|im_start|>")) == "<|im_start|>"


def test_a_mark_that_the_template_writes_is_special_though_it_is_not_flagged(tmp_path: Path) -> None:
    plain, marked = (loaded(tmp_path, byte_level(), template) for template in ("", "<tool>{{ x }}"))
    assert len(plain.encode("<tool>")) == 1
    assert len(marked.encode("<tool>")) > 1 and marked.decode(marked.encode("<tool>")) == "<tool>"
    assert len(marked.encode("    ")) == 1


def test_a_lone_surrogate_names_its_position(folder: HfFolder) -> None:
    for encode in (folder.tokenizer.encode, folder.tokenizer.encode_template):
        with pytest.raises(InputError, match="character 3"):
            encode("abc\ud800")


def test_a_byte_without_a_token_is_refused_rather_than_left_out(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path, byte_level(lacking="\u0104"))  # how the byte 4 is written
    assert tokenizer.encode_template("ab\x04") == tokenizer.encode_template("ab")
    with pytest.raises(InputError, match=r"no tokens for character 2, '\\x04'"):
        tokenizer.encode("ab\x04")


@given(text=st.text(st.characters(exclude_characters="\u2581", exclude_categories=["Cs"])))
def test_a_tokenizer_that_puts_a_space_before_a_text_does_not_for_data(piece: HfTokenizer, text: str) -> None:
    assert piece.decode(piece.encode(text)) == text


@pytest.fixture(scope="module")
def piece(tmp_path_factory: pytest.TempPathFactory) -> HfTokenizer:
    return loaded(tmp_path_factory.mktemp("piece"), sentence_piece())


def test_pieces_of_a_prompt_join_without_a_space(piece: HfTokenizer) -> None:
    assert piece.decode((*piece.encode("the"), *piece.encode("sea"))) == "thesea"
    assert piece.native.encode("the", add_special_tokens=False).tokens == ["\u2581the"]
    assert piece.decode(piece.encode("</s><s>")) == "</s><s>" and not {0, 1, 2} & set(piece.encode("</s><s>"))
    with pytest.raises(InputError, match="character 1,"):
        piece.encode("a\u2581")


def test_truncation_in_the_file_is_not_kept(tmp_path: Path) -> None:
    cut = byte_level()
    cut.enable_truncation(4)
    tokenizer = loaded(tmp_path, cut)
    assert (
        len(tokenizer.encode_template("x" * 100)) >= 100 and tokenizer.decode(tokenizer.encode("x" * 100)) == "x" * 100
    )


def test_a_template_may_stand_in_the_settings_by_name_or_not_at_all(tmp_path: Path) -> None:
    settings = {"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]}
    path = write_folder(tmp_path, template=None)
    assert "User: x" in read_folder(path).tokenizer.render_chat([("user", "x")], True)
    (path / "tokenizer_config.json").write_text(json.dumps({**settings, "bos_token": {"content": "<s>"}}))
    template = read_folder(path).tokenizer.template
    assert (template.source, template.bos) == ("D", "<s>")
    (path / "chat_template.jinja").write_text(CHAT)
    assert read_folder(path).tokenizer.template.source == CHAT


def test_the_ends_come_from_all_places_the_models_own_first(tmp_path: Path) -> None:
    path = write_folder(tmp_path, eos_token_id=7)
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": [9, 7]}))
    special = read_folder(path).tokenizer.special
    assert read_folder(path).ends == (9, 7, special["<|im_end|>"], special["<|endoftext|>"])


def test_an_unknown_family_has_no_shape(tmp_path: Path) -> None:
    assert read_folder(write_folder(tmp_path, model_type="mamba")).shape is None


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("config.json", None, "no config.json"),
        ("config.json", "{", "copy or download it again"),
        ("config.json", "[]", "must hold a JSON object"),
        ("tokenizer.json", None, "save_pretrained"),
        ("tokenizer.json", "{}", "is not a tokenizer"),
    ],
)
def test_a_damaged_folder_names_the_file(tmp_path: Path, name: str, body: str | None, said: str) -> None:
    path = write_folder(tmp_path)
    if body is None:
        (path / name).unlink()
    else:
        (path / name).write_text(body)
    with pytest.raises(EngineError, match=said):
        read_folder(path)


def test_a_model_without_a_context_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="max_position_embeddings"):
        read_folder(write_folder(tmp_path, max_position_embeddings=None))


def test_a_folder_is_found_as_it_is_and_a_missing_one_is_not_looked_for_on_a_hub(tmp_path: Path) -> None:
    assert find_folder(str(tmp_path)) == tmp_path
    with pytest.raises(EngineError, match="tokenizer=FOLDER"):
        find_folder(str(tmp_path / "none"))


def test_a_hub_that_cannot_be_asked_is_an_engine_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    asked: dict[str, object] = {}

    def download(model: str, **options: object) -> str:
        asked.update(options, model=model)
        if model == "org/none":
            raise OSError("no route\nmore")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hf_folder.find_folder("org/model") == tmp_path
    assert asked["model"] == "org/model" and "*.json" in asked["allow_patterns"]  # type: ignore[operator]
    with pytest.raises(EngineError, match=r"org/none.*\(no route\).*tokenizer=FOLDER"):
        hf_folder.find_folder("org/none")
