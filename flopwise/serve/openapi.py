"""The OpenAPI document: the typed endpoint by the signature's own types, examples from demonstrations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ..ir.schemas import Field
from .chat_request import message_of, takes_text
from .inputs import Reader
from .openapi_parts import CHAT, EVENTS, JSON, QUERY, SCHEMAS, at_schema, fields_of, problem_responses, ref
from .points import AnyPipeline
from .problems import Refused

_MOST_EXAMPLES = 3


def operations(pipeline: AnyPipeline, reader: Reader, model: str) -> dict[str, dict[str, Any]]:
    """What the document says of each route, by the handler's name; `model` is the pipeline's for OpenAI's clients."""
    examples = _examples(pipeline, reader)
    run = _asking("Body", "Answer", QUERY, "Answer one query; with `stream`, as events `step`, `result` and `error`")
    chat = _asking("ChatRequest", "ChatCompletion", CHAT, "OpenAI's chat completions: the last message is the query")
    _show(run, [{"inputs": inputs} for inputs in examples])
    fields = pipeline.plan.graph.schema.inputs
    _show(chat, [{"model": model, "messages": [message_of(inputs, fields)]} for inputs in examples])
    name = {"name": "model", "in": "path", "required": True, "schema": ref("Model")}
    return {
        "run": run,
        "chat": chat,
        "models": _telling("The pipeline and the points of its front, as OpenAI's models"),
        "model": {**_telling("One of them", "model_not_found"), "parameters": [name]},
        "pipeline": _telling("What is served: signature, model, FLOPs and front"),
        "openapi": _telling("This document"),
        "live": _open("Whether the process answers"),
        "ready": _open("Whether it takes queries", ready=True),
        "health": _open("Whether it takes queries", ready=True),
        "metrics": {"summary": "Metrics as Prometheus reads them", "responses": problem_responses(())},
    }


def document(
    app: FastAPI, pipeline: AnyPipeline, objectives: Sequence[str], models: Sequence[str], guarded: bool
) -> dict[str, Any]:
    """The whole document.

    Args:
        app: Its routes.
        pipeline: Whose signature says what goes in and out.
        objectives: Names of the search's objectives.
        models: Ids of the models that the chat endpoint has.
        guarded: Whether a bearer token is needed.
    """
    schema = pipeline.plan.graph.schema
    made = get_openapi(title=app.title, version=app.version, description=schema.instruction, routes=app.routes)
    body = {"inputs": ref("Inputs"), "at": {"anyOf": [ref("At"), {"type": "null"}]}, "stream": {"type": "boolean"}}
    schemas = {
        "Body": fields_of(body, optional=["at", "stream"]),
        "Inputs": _record(schema.inputs),
        "Outputs": _record(schema.outputs),
        "At": at_schema(objectives),
        "Model": {"type": "string", "enum": list(models)},
        **SCHEMAS,
    }
    made["components"] = {"schemas": schemas}
    if guarded:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
    return made


def _asking(body: str, answer: str, codes: Sequence[str], summary: str) -> dict[str, Any]:
    content = {JSON: {"schema": ref(answer)}, EVENTS: {"schema": ref("Event")}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {JSON: {"schema": ref(body)}}},
        "responses": {"200": {"description": "The answer", "content": content}, **problem_responses(codes)},
    }


def _show(operation: dict[str, Any], bodies: Sequence[Any]) -> None:
    """Put examples of its body into an operation."""
    if bodies:
        shown = {f"example {number}": {"value": body} for number, body in enumerate(bodies, 1)}
        operation["requestBody"]["content"][JSON]["examples"] = shown


def _telling(summary: str, *codes: str) -> dict[str, Any]:
    content = {JSON: {"schema": {"type": "object"}}}
    return {"summary": summary, "responses": {"200": {"content": content}, **problem_responses(codes)}}


def _open(summary: str, ready: bool = False) -> dict[str, Any]:
    """A route that needs no token."""
    told = {"content": {JSON: {"schema": fields_of({"status": {"type": "string"}})}}}
    responses: dict[str, Any] = {"200": told, **problem_responses(())}
    del responses["401"]
    if ready:
        responses["503"] = {"description": "It does not, as `status` says", **told}
    return {"summary": summary, "security": [], "responses": responses}


def _record(fields: Sequence[Field]) -> dict[str, Any]:
    described = {f.name: {**f.type, **({"description": f.desc} if f.desc else {})} for f in fields}
    for field in fields:
        kinds = field.type.get("anyOf", [field.type])
        if field.optional and {"type": "null"} not in kinds:
            described[field.name] = {"anyOf": [*kinds, {"type": "null"}]}
    return fields_of(described, optional=[f.name for f in fields if f.optional])


def _examples(pipeline: AnyPipeline, reader: Reader) -> list[dict[str, Any]]:
    """Inputs of the pipeline out of the demonstrations in its prompts; without any, what a single text is."""
    names = [f.name for f in pipeline.plan.graph.schema.inputs]
    found: list[dict[str, Any]] = []
    for demo in pipeline.facts.get("demos", ()):
        inputs = {name: demo["fields"][name] for name in names if name in demo.get("fields", {})}
        try:
            reader.inputs(inputs, "")
        except Refused:  # of a module that takes something else than the pipeline does
            continue
        if inputs and inputs not in found:
            found.append(inputs)
    text = takes_text(pipeline.plan.graph.schema.inputs)
    if text is not None and not found:
        field = next(f for f in pipeline.plan.graph.schema.inputs if f.name == text)
        found = [{text: field.desc or field.label}]
    return found[:_MOST_EXAMPLES]
