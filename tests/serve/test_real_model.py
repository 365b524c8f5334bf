"""A real model behind HTTP: queries of several clients at once, one of which goes away."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import openai
import pytest

import flopwise as fw
from flopwise.backends.engines.openvino import OpenVinoEngine
from flopwise.backends.engines.openvino_native import OpenVinoSettings
from tests.serve.serving import Running, running


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    engine = OpenVinoEngine("smollm2-135m-instruct", OpenVinoSettings(cache_gb=1))
    pipeline = fw.lower(fw.Predict("question -> answer: int"), engine=engine)
    with running(pipeline) as made:
        yield made
    engine.close()


def test_clients_at_once_get_what_a_call_of_its_own_gives(server: Running) -> None:
    questions = [f"What is {n} plus 4?" for n in range(4)]
    alone = [server.run(question=q).json["outputs"] for q in questions]
    asked = [server.asking(question=q) for q in questions]
    for (thread, replies), outputs in zip(asked, alone, strict=True):
        thread.join()
        assert replies[0].json["outputs"] == outputs and isinstance(outputs["answer"], int)


def test_the_official_client_streams_from_a_real_model(server: Running) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as asking:
        stream = asking.chat.completions.create(
            model="adder", messages=[{"role": "user", "content": "What is 3 plus 4?"}], stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert int(text) == server.run(question="What is 3 plus 4?").json["outputs"]["answer"]


def test_a_client_that_goes_away_leaves_the_engine_working(server: Running) -> None:
    body = b'{"inputs": {"question": "What is 9 plus 9?"}}'
    with socket.create_connection(("127.0.0.1", server.port)) as gone:
        gone.sendall(b"POST /v1/run HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n")
        gone.sendall(b"content-length: %d\r\n\r\n%s" % (len(body), body))
    assert server.run(question="What is 3 plus 4?").status == 200
    while server.metrics()["flopwise_queries_in_flight"]:
        pass
