"""The driver over a pipeline made here: what a real one does at its worst, on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import wait
from types import SimpleNamespace
from typing import Any

import pytest

from flopwise.backends.engines import openvino_driver
from flopwise.backends.engines.openvino_driver import Driver, Job
from flopwise.errors import EngineError
from flopwise.ir.request import Grammar


class Handle:
    def __init__(self, config: Any) -> None:
        self.config, self.left, self.tokens, self.status = config, config.steps, 0, "RUNNING"

    def get_status(self) -> Any:
        return SimpleNamespace(name=self.status)

    def can_read(self) -> bool:
        return self.tokens > 0

    def read_all(self) -> list[str]:
        return [f"{self.config.say}:{self.tokens}"]

    def cancel(self) -> None:
        self.status = "CANCEL"


class Pipeline:
    """Runs each handle for its steps; a config may raise in `step`, or when it is added."""

    def __init__(self) -> None:
        self.handles: list[Handle] = []
        self.batches: list[list[str]] = []
        self.poisoned = False

    def add_request(self, number: int, ids: Any, config: Any) -> Handle:
        if config.refused:
            raise RuntimeError("not this one")
        self.handles.append(Handle(config))
        return self.handles[-1]

    def has_non_finished_requests(self) -> bool:
        return bool(self.handles)

    def step(self) -> None:
        self.handles = [h for h in self.handles if h.status == "RUNNING"]
        self.poisoned = self.poisoned and bool(self.handles)
        self.batches.append([h.config.say for h in self.handles])
        for handle in self.handles:
            if handle.config.bad or self.poisoned:
                self.poisoned = True
                raise handle.config.bad or RuntimeError("already in scheduling phase")
        for handle in self.handles:
            handle.tokens += 1
            handle.status = "FINISHED" if handle.tokens == handle.left else "RUNNING"
        self.handles = [h for h in self.handles if h.status == "RUNNING"]


def config(say: str, steps: int = 3, bad: Exception | None = None, refused: bool = False) -> Any:
    return SimpleNamespace(say=say, steps=steps, bad=bad, refused=refused)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setattr(openvino_driver, "_tensor", tuple)
    return Pipeline()


@pytest.fixture
def driver(pipeline: Pipeline) -> Iterator[Driver]:
    driver = Driver(pipeline, "fake")
    yield driver
    driver.close()


def together(driver: Driver, *jobs: Job) -> list[Any]:
    """Submit jobs so that one step meets all of them; their results or errors."""
    with driver._lock:
        for job in jobs:
            driver.submit(job)
    assert not wait([j.future for j in jobs], 30).not_done
    return [j.future.exception() or j.future.result() for j in jobs]


def test_results_come_back_to_their_jobs(driver: Driver) -> None:
    jobs = [Job((1,), [config(f"j{i}", steps=i + 1)]) for i in range(5)]
    assert together(driver, *jobs) == [[[f"j{i}:{i + 1}"]] for i in range(5)]


def test_copies_follow_once_the_first_has_prefilled(driver: Driver, pipeline: Pipeline) -> None:
    (result,) = together(driver, Job((1,), [config("a"), config("b"), config("c")]))
    assert result == [["a:3"], ["b:3"], ["c:3"]]
    assert pipeline.batches[:2] == [["a"], ["a", "b", "c"]]


def test_a_bad_grammar_fails_alone_and_the_others_start_again(driver: Driver) -> None:
    def job(say: str, bad: Exception | None = None) -> Job:
        return Job((1,), [config(say, bad=bad)], Grammar("regex", say))

    plain = Job((1,), [config("plain", steps=6)])
    broken = job("broken", RuntimeError("parenthesis is not closed"))
    results = together(driver, plain, job("fine"), broken, job("later"))
    assert results[0] == [["plain:6"]] and results[1] == [["fine:3"]] and results[3] == [["later:3"]]
    assert isinstance(results[2], EngineError) and "cannot compile the regex grammar" in str(results[2])
    assert together(driver, job("fine")) == [[["fine:3"]]]


def test_a_refused_request_fails_alone(driver: Driver) -> None:
    good, bad = together(driver, Job((1,), [config("good")]), Job((1,), [config("a"), config("b", refused=True)]))
    assert good == [["good:3"]] and "refuses the request: not this one" in str(bad)


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), MemoryError("gone")], ids=lambda e: type(e).__name__)
def test_death_reaches_all_who_wait_and_all_who_come_later(driver: Driver, error: Exception) -> None:
    deadly = Job((1,), [config("deadly", bad=error)])
    results = together(driver, Job((1,), [config("waits", steps=50)]), deadly)
    assert all(isinstance(r, EngineError) and r.__cause__ is error for r in results)
    with pytest.raises(EngineError, match="has died") as caught:
        driver.submit(Job((1,), [config("late")]))
    assert caught.value.__cause__ is error


def test_a_cancelled_job_is_dropped_from_the_pipeline(driver: Driver, pipeline: Pipeline) -> None:
    endless, short = Job((1,), [config("endless", steps=10**9)]), Job((1,), [config("short")])
    driver.submit(endless)
    driver.submit(short)
    assert short.future.result(30) == [["short:3"]]
    assert endless.future.cancel()
    assert together(driver, Job((1,), [config("next")])) == [[["next:3"]]]
    assert pipeline.batches[-1] == ["next"]


@pytest.mark.parametrize("times", [1, 2])
def test_closing_ends_what_is_under_way(driver: Driver, times: int) -> None:
    endless = Job((1,), [config("endless", steps=10**9)])
    driver.submit(endless)
    for _ in range(times):
        driver.close()
    assert isinstance(endless.future.exception(30), EngineError)
    with pytest.raises(EngineError, match="is closed"):
        driver.submit(Job((1,), [config("late")]))


def test_the_thread_sleeps_when_idle(driver: Driver, pipeline: Pipeline) -> None:
    together(driver, Job((1,), [config("one", steps=1)]))
    steps = len(pipeline.batches)
    assert together(driver, Job((1,), [config("two", steps=2)])) == [[["two:2"]]]
    assert len(pipeline.batches) == steps + 2
