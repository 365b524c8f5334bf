from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from flopwise.backends.engines.openvino import OpenVinoEngine
from flopwise.backends.engines.openvino_native import OpenVinoSettings
from flopwise.backends.engines.scripted import ScriptedEngine, ScriptedSettings
from flopwise.backends.engines.testing import CHAT, EngineConformance

SEA = ["The sea is wide and grey, and its waves are never still.", "The sea never sleeps, it only breathes and waits."]


def item(prompt: str, index: int) -> str:
    return re.findall(r"Say (item \d+)", prompt)[-1]


def first_letter(prompt: str, choices: tuple[str, ...]) -> list[float]:
    return [0.9 if choice == "T" else 0.1 for choice in choices]


def scripted(**settings: object) -> ScriptedEngine:
    rules = {CHAT: SEA, "As json_schema": '"red"', "Answer red": ["red", "blue"], "Say item": item}
    return ScriptedEngine(rules, scores=first_letter, settings=ScriptedSettings(**settings))


class TestScripted(EngineConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> ScriptedEngine:
        return scripted()


class TestScriptedThatReportsItsCache(EngineConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> ScriptedEngine:
        return scripted(reports_cached=True, block=16, context=4096)


class TestOpenVino(EngineConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[OpenVinoEngine]:
        engine = OpenVinoEngine("smollm2-135m-instruct", OpenVinoSettings(cache_gb=1))
        yield engine
        engine.close()
