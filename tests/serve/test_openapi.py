"""The OpenAPI document says what is so: read by eye, and by schemathesis, which makes requests of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from tests.serve.serving import Running, adder, running


class Trip(fw.Signature):
    """Plan the trip."""

    to: str = fw.Input(desc="where it goes")
    days: int | None = fw.Input(None, ge=1, le=30)
    stops: list[str] | None = fw.Input(None)
    plan: str = fw.Output(desc="in a sentence")
    cost: float = fw.Output()


@pytest.fixture(scope="module")
def trips() -> Any:
    with running(adder('{"plan": "go", "cost": 2.5}', Trip), max_body=20_000) as server:
        yield server


def test_the_document_has_the_signatures_types(trips: Running) -> None:
    made = trips.ask("GET", "/openapi.json").json
    parts = made["components"]["schemas"]
    assert parts["Inputs"]["required"] == ["to"]
    days = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 30}, {"type": "null"}]}
    assert parts["Inputs"]["properties"]["days"] == days
    assert parts["Inputs"]["properties"]["to"] == {"type": "string", "description": "where it goes"}
    assert parts["Outputs"]["required"] == ["plan", "cost"] and made["info"]["description"] == "Plan the trip."
    assert "security" not in made
    assert set(made["paths"]) == {
        "/v1/run", "/v1/chat/completions", "/v1/models", "/v1/models/{model}", "/v1/pipeline", "/openapi.json",
        "/health/live", "/health/ready", "/health", "/metrics",
    }  # fmt: skip


def test_examples_are_demonstrations_that_the_pipeline_takes(front: Running, found: Any) -> None:
    demos = [d["fields"]["question"] for d in found.facts["demos"]][:3]
    paths = front.ask("GET", "/openapi.json").json["paths"]
    asked: dict[str, list[Any]] = {"/v1/run": [], "/v1/chat/completions": []}
    for path, bodies in asked.items():
        content = paths[path]["post"]["requestBody"]["content"]["application/json"]
        bodies += [example["value"] for example in content["examples"].values()]
        for body in bodies if demos else []:
            assert front.ask("POST", path, body).status == 200
    shown = [body["inputs"]["question"] for body in asked["/v1/run"]]
    assert shown == [body["messages"][0]["content"] for body in asked["/v1/chat/completions"]]
    assert shown == (demos or ["Question"])


def test_requests_made_of_the_document_find_no_fault(trips: Running, tmp_path: Path) -> None:
    # Types are coerced, as `"3"` for 3, so that not all that breaks the schema is refused is no fault.
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    words = ["run", f"{trips.url}/openapi.json", "--checks", checks, "--max-examples", "15", "--seed", "7"]
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "9 selected / 9 total" in done.stdout, done.stdout
    failed = [name for name in trips.metrics() if 'status="5' in name]
    assert not failed
    for route in ("/v1/run", "/v1/chat/completions"):  # some of them went all the way
        assert trips.metrics()[f'flopwise_http_requests_total{{route="{route}",status="200"}}'] > 5
