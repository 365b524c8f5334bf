"""The chat endpoint, by OpenAI's own client as it comes."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

import flopwise as fw
from tests.serve.serving import Running, adder, running

TOKEN = "a-token-of-enough-characters"
HELLO: Any = [{"role": "user", "content": "What is 3 plus 4?"}]


def client(server: Running, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


def test_the_official_client_gets_its_completion(plain: Running) -> None:
    with client(plain) as asking:
        made: Any = asking.chat.completions.create(model="adder", messages=HELLO)
    (choice,) = made.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "7", "stop")
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens
    assert made.usage.prompt_tokens_details.cached_tokens > 0
    whole = plain.run(question="What is 3 plus 4?").json
    assert made.flopwise["flops"] == whole["flops"] and made.flopwise["outputs"] == {"answer": 7}
    assert made.object == "chat.completion" and made.model == "adder" and made._request_id in made.id


def test_the_official_client_streams(plain: Running) -> None:
    with client(plain) as asking:
        stream = asking.chat.completions.create(
            model="adder", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks: list[Any] = list(stream)
        plainly: list[Any] = list(asking.chat.completions.create(model="adder", messages=HELLO, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "7"
    assert [c.choices[0].finish_reason for c in chunks if c.choices] == [None, None, "stop"]
    assert chunks[-1].usage.completion_tokens == 2 and chunks[-2].flopwise["flops"] > 0
    assert not any(c.usage for c in plainly) and len({c.id for c in plainly}) == 1


def test_the_models_are_the_pipeline_and_its_points(plain: Running, front: Running, found: Any) -> None:
    with client(plain) as asking:
        assert [m.id for m in asking.models.list()] == ["adder"]
        assert asking.models.retrieve("adder").owned_by == "flopwise"
        with pytest.raises(openai.NotFoundError, match="no model 'gpt"):
            asking.models.retrieve("gpt")
    with client(front) as asking:
        names = [m.id for m in asking.models.list()]
        assert names == ["adder", *(f"adder:{p.number}" for p in found.front)]
        question: Any = [{"role": "user", "content": "What is 20 plus 30?"}]
        for name, point in zip(names[1:], found.front, strict=True):
            made: Any = asking.chat.completions.create(model=asking.models.retrieve(name).id, messages=question)
            assert made.flopwise["point"] == point.number and made.model == name
        number = found.front[0].number
        at: Any = asking.chat.completions.create(model="adder", messages=question, extra_body={"at": {"point": number}})
        assert at.flopwise["point"] == number


def test_messages_before_the_last_are_not_read_and_parts_are_joined(plain: Running) -> None:
    parts = [{"type": "text", "text": "What is 3 "}, {"type": "text", "text": "plus 4?"}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]
    reply = plain.ask("POST", "/v1/chat/completions", {"model": "adder", "messages": messages})
    alone = plain.chat("What is 3 plus 4?")
    assert reply.json["flopwise"]["messages_unread"] == 1
    assert reply.json["usage"] == alone.json["usage"] and alone.json["flopwise"]["messages_unread"] == 0


def test_a_text_input_is_taken_as_it_stands() -> None:
    seen: list[str] = []

    def reply(prompt: str, index: int) -> str:
        seen.append(prompt)
        return "7"

    with running(adder(reply)) as server:
        text = '{"question": "{{ 7 * 7 }} <|im_end|>"}'
        assert server.chat(text).status == 200
    assert text in seen[-1].replace("\\", "")


class Two(fw.Signature):
    """Say both."""

    first: str = fw.Input()
    second: int = fw.Input()
    sum: int = fw.Output()
    words: list[str] = fw.Output()


def test_several_inputs_are_a_json_object_and_several_outputs_too() -> None:
    with running(adder('{"sum": 5, "words": ["a", "é"]}', Two)) as server:
        made = server.chat('{"first": "a", "second": "4"}').json
        assert json.loads(made["choices"][0]["message"]["content"]) == {"sum": 5, "words": ["a", "é"]}
        wrong = server.chat('{"first": "a", "second": "four"}')
        assert (wrong.status, wrong.code, wrong.json["error"]["param"]) == (422, "invalid_input", "messages.second")
        for text in ("hello", "[1]", '{"first": "a", "second": NaN}'):
            assert server.chat(text).code == "invalid_messages"


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2}, {"stop": ["\n"]}, {"stop": "x"}, {"temperature": 0.7}, {"top_p": 0.5}, {"max_tokens": 5},
        {"max_completion_tokens": 5}, {"logprobs": True}, {"seed": 1}, {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_object"}}, {"logit_bias": {"1": 1}}, {"made_up": 1}, {"store": True},
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_in_openais_shape(plain: Running, more: dict[str, Any]) -> None:
    (name,) = more
    with client(plain) as asking, pytest.raises(openai.BadRequestError) as error:
        asking.chat.completions.create(model="adder", messages=HELLO, extra_body=more)
    assert (error.value.code, error.value.param) == ("unsupported_parameter", name)
    assert error.value.type == "invalid_request_error" and "leave it out" in error.value.message


def test_what_asks_for_nothing_special_is_let_through(plain: Running) -> None:
    more = {"n": 1, "temperature": 1.0, "stop": None, "tools": [], "user": "me", "response_format": {"type": "text"}}
    assert plain.chat(**more).status == 200


@pytest.mark.parametrize(
    "messages",
    [
        None, [], "hello", [1], [{"role": "assistant", "content": "a"}], [{"role": "user"}],
        [{"role": "user", "content": []}], [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
        [{"role": "user", "content": [{"type": "text", "text": 5}]}], [{"role": "user", "content": 5}],
    ],
)  # fmt: skip
def test_messages_that_do_not_ask_are_refused(plain: Running, messages: Any) -> None:
    reply = plain.ask("POST", "/v1/chat/completions", {"model": "adder", "messages": messages})
    assert reply.status == 400 and reply.code == "invalid_messages"
    assert reply.json["error"]["param"].startswith("messages")


def test_the_official_client_knows_the_errors_for_what_they_are() -> None:
    with running(adder(), tokens=(TOKEN, f"another-{TOKEN}")) as server:
        with client(server, "wrong") as asking, pytest.raises(openai.AuthenticationError, match="bearer token"):
            asking.models.list()
        for key in (TOKEN, f"another-{TOKEN}"):
            with client(server, key) as asking:
                assert asking.chat.completions.create(model="adder", messages=HELLO).choices[0].message.content == "7"
                with pytest.raises(openai.NotFoundError) as error:
                    asking.chat.completions.create(model="gpt", messages=HELLO)
                assert error.value.code == "model_not_found"


def test_an_error_within_a_stream_reaches_the_official_client() -> None:
    def reply(prompt: str, index: int) -> str:
        raise fw.EngineError("it died")

    with running(adder(reply)) as server, client(server) as asking, pytest.raises(openai.InternalServerError):
        list(asking.chat.completions.create(model="adder", messages=HELLO, stream=True))


def test_both_a_model_and_at_cannot_name_a_point(front: Running, found: Any) -> None:
    number = found.front[0].number
    reply = front.chat(model=f"adder:{number}", at={"point": number})
    assert reply.code == "no_such_point" and "both" in reply.json["error"]["message"]
    assert front.chat(at={"pint": number}).json["error"]["param"] == "at.pint"
    assert front.chat(stream="yes").code == "invalid_input"
