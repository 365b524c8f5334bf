"""DSPy's modules and optimizers at their own defaults, on flopwise's engine.

All start from `dspy.ChainOfThought` over the task's fields, types and instruction, train on `train`, and choose by
`dev`. One setting is not DSPy's own: `max_errors` is out of the way. At its default of 10, the eleventh reply that
DSPy cannot read would end a whole run; here such a reply scores 0, as DSPy's first ten do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dspy

from ..tasks import Task
from ._base import NOTHING, Found, Method, Row, Run, Totals, scored_by, test_row
from .chat import billed
from .dspy_lm import EngineLM

Optimize = Callable[[Run, Any, Any, EngineLM], Any]  # (run, student, metric, model) -> program
_NO_LIMIT = 10**6


def _predict(run: Run) -> Found:
    return _tested(run, dspy.Predict(signature_of(run.task)), NOTHING, {"program": "dspy.Predict"})


def _chain_of_thought(run: Run) -> Found:
    return _tested(run, dspy.ChainOfThought(signature_of(run.task)), NOTHING, {"program": "dspy.ChainOfThought"})


def _mipro(run: Run, student: Any, metric: Any, lm: EngineLM) -> Any:
    trainset, valset = examples(run.task, run.train), examples(run.task, run.dev)
    if run.tiny:
        small = dspy.MIPROv2(metric, auto=None, num_candidates=2, seed=run.seed)
        return small.compile(student, trainset=trainset, valset=valset, num_trials=2, minibatch=False)
    # Its own seed is 9, and 0 reads as that one.
    return dspy.MIPROv2(metric, auto="light", seed=9 + run.seed).compile(student, trainset=trainset, valset=valset)


def _random_search(run: Run, student: Any, metric: Any, lm: EngineLM) -> Any:
    few = {"num_candidate_programs": 1} if run.tiny else {}
    optimizer = dspy.BootstrapFewShotWithRandomSearch(metric, **few)
    return optimizer.compile(student, trainset=examples(run.task, run.train), valset=examples(run.task, run.dev))


def _gepa(run: Run, student: Any, metric: Any, lm: EngineLM) -> Any:
    def told(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        score = metric(gold, pred)
        right = ", ".join(f"{f.name}: {gold[f.name]}" for f in run.task.schema.outputs)
        return dspy.Prediction(score=score, feedback="Right." if score == 1 else f"Wrong. The right answer is {right}")

    size = {"max_metric_calls": 2 * len(run.dev) + 6} if run.tiny else {"auto": "light"}
    optimizer = dspy.GEPA(told, reflection_lm=lm.copy(temperature=1.0), seed=run.seed, **size)
    return optimizer.compile(student, trainset=examples(run.task, run.train), valset=examples(run.task, run.dev))


def _optimized(optimize: Optimize) -> Method:
    """Optimize, test. What was found is kept in the folder, so that a run which is broken off in the test goes on."""

    def method(run: Run) -> Found:
        student, saved = dspy.ChainOfThought(signature_of(run.task)), run.folder / "program.json"

        def metric(example: Any, prediction: Any, trace: Any = None) -> float:
            return scored_by(run.task, example.toDict(), outputs(run.task, prediction))

        if not saved.exists():
            program, _ = _with_model(run, "search", lambda lm: optimize(run, student, metric, lm))
            _save(program, saved)
        program = student.deepcopy()
        program.load(saved)
        _, search = _with_model(run, "search", lambda lm: None)
        about = {"program": f"{optimize.__name__[1:]} of dspy.ChainOfThought", "state": program.dump_state()}
        return _tested(run, program, search, about)

    return method


def _save(program: Any, path: Path) -> None:
    part = path.with_name("part.json")
    program.save(part)
    part.replace(path)


def _tested(run: Run, program: Any, search: Totals, about: Mapping[str, Any]) -> Found:
    def answer(row: Row) -> Row:
        inputs = {f.name: row[f.name] for f in run.task.schema.inputs}
        with billed() as bill:
            try:
                prediction = outputs(run.task, program(**inputs))
            except dspy.utils.exceptions.AdapterParseError as error:
                return test_row(0.0, f"{error.adapter_name} cannot read the reply", bill)
        return test_row(scored_by(run.task, row, prediction), "", bill)

    def test(lm: EngineLM) -> list[Row]:
        in_parallel = dspy.Parallel(num_threads=_threads(run), max_errors=1, disable_progress_bar=True)
        return list(in_parallel([(answer, {"row": row}) for row in run.test]))

    rows, spent = _with_model(run, "test", test)
    return Found(rows, search, spent, {**about, "temperature": 0.0, "max_tokens": 1000, "threads": _threads(run)})


def _with_model(run: Run, phase: str, work: Callable[[EngineLM], Any]) -> tuple[Any, Totals]:
    """Do something with the engine as DSPy's model; returns what came and what was spent on this phase so far."""
    lm = EngineLM(run.engine, run.folder / phase)
    try:
        with dspy.context(lm=lm, num_threads=_threads(run), max_errors=_NO_LIMIT, disable_history=True):
            try:
                done = work(lm)
            finally:
                lm.chat.check()  # DSPy takes a dead engine for a wrong answer, or for an error of its own
        return done, {**lm.chat.totals(), "repeats": lm.chat.repeats}
    finally:
        lm.chat.close()


def _threads(run: Run) -> int:
    """As many as the engine has sequences: more would wait, fewer would leave it idle."""
    return run.engine.capabilities.in_flight


def signature_of(task: Task) -> Any:
    """The task's fields, types, descriptions and instruction as a signature of DSPy's."""
    made: dict[str, Any] = {}
    for side, kind in ((task.schema.inputs, dspy.InputField), (task.schema.outputs, dspy.OutputField)):
        for f in side:
            described = {"desc": f.desc} if f.desc else {}
            made[f.name] = (task.signature.model_fields[f.name].annotation, kind(**described))
    return dspy.Signature(made, task.schema.instruction)


def examples(task: Task, rows: list[Row]) -> list[Any]:
    """A task's rows as DSPy's examples."""
    return [dspy.Example(**row).with_inputs(*(f.name for f in task.schema.inputs)) for row in rows]


def outputs(task: Task, prediction: Any) -> dict[str, Any]:
    """The outputs of a prediction by name; None for one that is not there."""
    return {f.name: prediction.get(f.name) for f in task.schema.outputs}


METHODS: Mapping[str, Method] = {
    "dspy.Predict": _predict,
    "dspy.ChainOfThought": _chain_of_thought,
    "dspy.MIPROv2": _optimized(_mipro),
    "dspy.BootstrapFewShotWithRandomSearch": _optimized(_random_search),
    "dspy.GEPA": _optimized(_gepa),
}
