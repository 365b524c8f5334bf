"""Prompts to pieces: the ids sent are the ids of the text that the model's chat template would make."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.backends.engines.byte_tokenizer import ByteTokenizer
from flopwise.backends.engines.scripted import ScriptedEngine
from flopwise.backends.runtime.query import Query
from flopwise.compiler.chat import prompt_pieces
from flopwise.errors import EngineError, GraphError, InputError
from flopwise.ir.engines import ByEngine
from flopwise.ir.plan import Carry, Fill, PromptPlan, Static
from flopwise.ir.prompt import Message, Prompt, Ref, Segment, Slot, Text
from flopwise.ir.request import TokenIds
from flopwise.modules.prompting.predict import Predict
from tests.programs import Solve, ready

SPECIAL = ("<|start|>", "<|end|>")


class WordTokenizer:
    """Words with the space before them, as byte-pair tokenizers have them; ids are given out as words come."""

    def __init__(self, order: tuple[str, ...] = ("system", "user", "assistant"), trims: bool = False) -> None:
        self.words: list[str] = list(SPECIAL)
        self.order = order
        self.trims = trims

    def _ids(self, parts: list[str]) -> TokenIds:
        for part in parts:
            if part not in self.words:
                self.words.append(part)
        return tuple(self.words.index(p) for p in parts)

    def encode(self, text: str) -> TokenIds:
        return self._ids(re.findall(r"\n+| ?[^\s<>]+|[<> ]|\s", text))

    def encode_template(self, text: str) -> TokenIds:
        parts = re.split(f"({'|'.join(map(re.escape, SPECIAL))})", text)
        return tuple(i for p in parts for i in (self._ids([p]) if p in SPECIAL else self.encode(p)))

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.words[i] for i in ids if i > 1)

    def decode_all(self, ids: Sequence[int]) -> str:
        return "".join(self.words[i] for i in ids)

    def render_chat(self, messages: Sequence[tuple[str, str]], generate: bool) -> str:
        for role, _ in messages:
            if role not in self.order:
                raise EngineError(f"no role {role}")
        turns = [f"<|start|>{r}\n{c.strip() if self.trims else c}<|end|>\n" for r, c in messages]
        return "".join(turns) + ("<|start|>assistant\n" if generate else "")


class SeamTokenizer(WordTokenizer):
    """Line ends are one token at the end of a text and apart before a word, as in GPT-2's; some go with a mark."""

    def encode(self, text: str) -> TokenIds:
        return self._ids(re.findall(r"[?.]\n|\s+(?!\S)| ?[^\s?.]+|[?.]|\s", text))


def fill(slot: Slot) -> Fill:
    return Fill(slot.ref, slot.cap or 10, True)


def ids_of(pieces: Sequence[Static | Fill | Carry]) -> TokenIds:
    assert all(isinstance(p, Static) for p in pieces)
    return tuple(i for p in pieces if isinstance(p, Static) for i in p.ids)


texts = st.lists(st.sampled_from(["one", "two", "<|start|>", "<|end|>user", "a b", "x.", "nine"]), min_size=1).map(
    " ".join
)
turns = st.lists(st.tuples(texts, texts), max_size=3)


@given(texts, turns, texts, st.booleans())
def test_without_slots_the_ids_are_those_of_the_whole_text(
    system: str, demos: list[tuple[str, str]], last: str, bytes_: bool
) -> None:
    tokenizer = ByteTokenizer() if bytes_ else WordTokenizer()
    messages = [Message("system", (Text(system),), "task")]
    for i, (asked, said) in enumerate(demos):
        messages += [
            Message("user", (Text(asked),), "demos", str(i)),
            Message("assistant", (Text(said),), "demos", str(i)),
        ]
    messages.append(Message("user", tuple(Text(t) for t in re.split("(?= )", last))))  # texts in a row are one text
    ids = ids_of(prompt_pieces(Prompt(tuple(messages)), tokenizer, fill))
    plain = [(m.role, "".join(s.text for s in m.segments if isinstance(s, Text))) for m in messages]
    whole = tokenizer.render_chat(plain, True)
    assert tokenizer.decode_all(ids) == whole
    special = tokenizer.encode_template("".join(SPECIAL)) if not bytes_ else (256, 257)
    opened = len(messages) + 1
    assert [ids.count(s) for s in special] == [opened, opened - 1]  # what looks special in a text is none
    if not any(s in t for s in SPECIAL for _, t in plain):
        assert ids == tokenizer.encode_template(whole)


def test_a_space_before_a_slot_goes_with_its_text() -> None:
    tokenizer = WordTokenizer()
    prompt = Prompt((Message("user", (Text("Question: "), Slot(Ref("q")), Text(" end"))),))
    first, slot, last = prompt_pieces(prompt, tokenizer, fill)
    assert isinstance(slot, Fill) and (slot.lead, slot.cap) == (" ", 11)  # the space may be a token of its own
    assert isinstance(first, Static) and isinstance(last, Static)
    ids = (*first.ids, *tokenizer.encode(slot.lead + "what"), *last.ids)
    assert ids == tokenizer.encode_template(tokenizer.render_chat([("user", "Question: what end")], True))


@pytest.mark.parametrize("value", ["what?", "what", "what\n"])
def test_the_text_after_a_glued_slot_is_tokenised_with_its_own(value: str) -> None:
    tokenizer = SeamTokenizer()
    segments = (Text("Q:\n"), Slot(Ref("q"), cap=9, glued=True), Text("\n\nSay "), Slot(Ref("r"), cap=9), Text(" now"))
    pieces = prompt_pieces(Prompt((Message("user", segments),)), tokenizer, lambda slot: Fill(slot.ref, 9, False))
    _, glued, plain, _ = pieces
    assert isinstance(glued, Fill) and (glued.lead, glued.tail, glued.cap) == ("", "\n\nSay", 9 + 3 + 1)
    assert isinstance(plain, Fill) and (plain.lead, plain.tail) == (" ", "")
    query = Query(ready(Predict(Solve)).plan, None, tokenizer, frozenset())
    ids, _ = query.ids("n", PromptPlan(pieces, 99, 0), {Ref("q"): value, Ref("r"): "it"})
    whole = tokenizer.render_chat([("user", f"Q:\n{value}\n\nSay it now")], True)
    assert ids == tokenizer.encode_template(whole)


def test_a_glued_slot_that_is_cut_keeps_the_text_after_it() -> None:
    tokenizer = SeamTokenizer()
    for truncate in (True, False):
        fill = Fill(Ref("q"), 6, truncate, given="q", tail="\n\nSay")
        query = Query(ready(Predict(Solve)).plan, None, tokenizer, frozenset())
        prompt = PromptPlan((fill,), 6, 0)
        if truncate:
            ids, _ = query.ids("n", prompt, {Ref("q"): "a b c d e f"})
            assert tokenizer.decode(ids) == "a b c\n\nSay"
        else:
            with pytest.raises(InputError, match="takes 6 tokens at node 'n', but its cap is 2"):
                query.ids("n", prompt, {Ref("q"): "a b c d e f"})


def test_two_slots_in_a_row_and_a_slot_at_the_start() -> None:
    prompt = Prompt((Message("user", (Slot(Ref("a")), Slot(Ref("b")), Text(" "), Slot(Ref("c")))),))
    slots = [p for p in prompt_pieces(prompt, WordTokenizer(), fill) if isinstance(p, Fill)]
    assert [(str(s.ref), s.lead) for s in slots] == [("%a", ""), ("%b", ""), ("%c", " ")]


@given(texts, texts, texts)
def test_a_further_turn_is_the_rest_of_the_whole_conversation(asked: str, said: str, then: str) -> None:
    tokenizer = WordTokenizer()
    first = ids_of(prompt_pieces(Prompt((Message("user", (Text(asked),)),)), tokenizer, fill))
    goes_on = Prompt((Message("user", (Text(then),)),), (Text("Well"),), continues=Ref("a"))
    carry, *rest = prompt_pieces(goes_on, tokenizer, fill)
    assert carry == Carry(Ref("a"))
    sent = (*first, *tokenizer.encode(said), *ids_of(rest))
    whole = tokenizer.render_chat([("user", asked), ("assistant", said), ("user", then)], True) + "Well"
    assert tokenizer.decode_all(sent) == whole


def test_the_same_turn_goes_on_with_nothing_between() -> None:
    tokenizer = WordTokenizer()
    pieces = prompt_pieces(Prompt((), (Text("\n\nAnswer:"),), continues=Ref("a")), tokenizer, fill)
    assert pieces == (Carry(Ref("a")), Static(tokenizer.encode("\n\nAnswer:")))


def test_where_a_model_knows_no_system_role_its_text_begins_the_first_turn() -> None:
    tokenizer = WordTokenizer(order=("user", "assistant"))
    messages = (Message("system", (Text("Be brief."),)), Message("user", (Text("Hi"),)))
    ids = ids_of(prompt_pieces(Prompt(messages), tokenizer, fill))
    assert ids == tokenizer.encode_template(tokenizer.render_chat([("user", "Be brief.\n\nHi")], True))
    with pytest.raises(GraphError, match="refuses or leaves out a turn of: user"):
        prompt_pieces(Prompt(messages[1:]), WordTokenizer(order=("assistant",)), fill)


def test_a_turn_that_a_template_leaves_out_is_not_lost_in_silence() -> None:
    class Silent(WordTokenizer):
        def render_chat(self, messages: Sequence[tuple[str, str]], generate: bool) -> str:
            return super().render_chat([m for m in messages if m[0] != "system"], generate)

    tokenizer = Silent()
    messages = (Message("system", (Text("Be brief."),)), Message("user", (Text("Hi"),)))
    assert "Be brief.\n\nHi" in tokenizer.decode_all(ids_of(prompt_pieces(Prompt(messages), tokenizer, fill)))


def test_a_template_that_turns_the_order_round_still_gets_its_own_values() -> None:

    class Reversed(WordTokenizer):
        def render_chat(self, messages: Sequence[tuple[str, str]], generate: bool) -> str:
            return super().render_chat(list(reversed(messages)), generate)

    tokenizer = Reversed()
    segments: tuple[Segment, ...] = (Text("first"), Slot(Ref("a")))
    prompt = Prompt((Message("system", segments), Message("user", (Text("second"), Slot(Ref("b"))))))
    pieces = prompt_pieces(prompt, tokenizer, fill)

    class Speaking(ScriptedEngine):
        @property
        def tokenizer(self) -> Any:
            return tokenizer

    query = Query(ready(Predict(Solve)).plan, ByEngine(Speaking()), frozenset())
    ids, _ = cast(Any, query.ids("n", PromptPlan(pieces, 99, 0), {Ref("a"): "A", Ref("b"): "B"}))
    text = tokenizer.decode_all(ids)
    assert "secondB" in text and "firstA" in text and text.index("secondB") < text.index("firstA")
