"""from_archon: what each layer asks of whom, what it hands on, and the rules of composition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings
from flopwise.compiler.passes.specialise import open_values
from flopwise.errors import FlopwiseError, TraceError
from flopwise.ir.flops import FlatCost
from flopwise.ir.record import Values
from flopwise.ir.request import GenerateRequest
from flopwise.modules.importers.archon_config import layers_of
from flopwise.modules.importers.from_archon import from_archon
from flopwise.modules.program import trace

from ...programs import Solve, ready
from ..unruly import check_bound, check_round_trip

ASK: dict[str, Any] = {"instruction": "Say it."}
Q: dict[str, Any] = {"question": "2+2?"}
NUMBER = "question -> answer: int"


def part(type: str, model: str = "org/some-1.5B", **said: Any) -> dict[str, Any]:
    shared = {"type": type, "model": model, "model_type": "Together_API", "temperature": 0.7, "max_tokens": 60}
    return {**shared, "samples": 1, **said}


GENERATOR, CRITIC, FUSER, VERIFIER = (part(t) for t in ("generator", "critic", "fuser", "verifier"))
RANKER, TESTS = part("ranker", top_k=2), part("unit_test_generator", unit_test_cap=2)
EVALUATOR = part("unit_test_evaluator", top_k=1, first_pass=True, remove_unit_tests_from_prompt=True)
GENERATORS = [part("generator", "a/one"), part("generator", "b/two", samples=2), part("generator", "c/one")]


def config(*layers: Any) -> dict[str, Any]:
    return {"name": "mine", "layers": [layer if isinstance(layer, list) else [layer] for layer in layers]}


def script(prompt: str, index: int) -> str:
    """What is said for each component; candidates are numbered by what came before them."""
    if "say in a sentence or two what is strong" in prompt:
        return "1. First seen.\n2. Second seen.\n3. Third seen.\n4. Fourth seen."
    if "Rank them by how good" in prompt:
        return '{"best": [3, 1]}' if "2 best" in prompt else '{"best": [3]}'
    if "Weigh them against each other" in prompt:
        return "Fused."
    if "short tests" in prompt:
        return "It says two.\nIt says nothing else."
    return f"Draft {index}."


def asked(run: Any, node: str) -> list[str]:
    """The prompts of the requests of a node, by a part of its name."""
    return [text for name, text in run.trace.prompts() if node in name]


def drawn(run: Any, node: str) -> int:
    """Samples drawn for a node; generators with the same prompt and settings are asked together."""
    return sum(len(r.outputs) for r in run.trace.requests if node in r.node)


def response(run: Any) -> Any:
    assert isinstance(run.result, Values), run.result
    return run.result.fields["response"]


# layers ------------------------------------------------------------------------------------------------------


def test_each_layer_takes_what_the_one_before_gives() -> None:
    program = from_archon(config(GENERATORS, CRITIC, RANKER, FUSER))
    run = ready(program, lambda p, i: f"{script(p, i)}").run(**ASK)
    assert response(run) == "Fused."
    assert [drawn(run, f"layer_{i}") for i in (1, 2, 3, 4)] == [4, 1, 1, 1]
    (critic,), (ranker,), (fuser,) = (asked(run, f"layer_{i}") for i in (2, 3, 4))
    assert critic.count("Response: Draft") == 4 and "Critique:" not in critic
    assert ranker.count("Response: Draft") == 4 and "Critique: Third seen." in ranker
    # the third candidate is now the first of two
    assert fuser.index("Critique: Third seen.") < fuser.index("Critique: First seen.") and "Second seen" not in fuser


def test_generators_are_members_under_their_models_names_with_their_own_settings() -> None:
    generators = [part("generator", "a/Model-1.5 B", temperature=0.2, max_tokens=33), *GENERATORS[:2]]
    generators.append(part("generator", "c/one", temperature=0.9))
    graph = trace(from_archon(config(generators)))
    names = {v.name for v in open_values(graph)}
    assert names == {f"layer_1.{m}.demos" for m in ("Model-1_5_B", "one", "two", "one_2")}
    pipeline = ready(from_archon(config(generators, FUSER)), script)
    run = pipeline.run(**ASK)
    requests = [r for r in pipeline.engine.asked if isinstance(r, GenerateRequest)]
    drawn = [(r.decoding.temperature, r.decoding.max_tokens) for r in requests for _ in range(r.n)]
    assert sorted(drawn) == [(0.2, 33), *[(0.7, 60)] * 4, (0.9, 60)]
    by_node = {name.split(".")[1] for name, _ in run.trace.prompts() if name.startswith("layer_1")}
    assert by_node == {"Model-1_5_B", "one", "two", "one_2"}
    assert all("You are a helpful assistant." in text for text in asked(run, "layer_1"))


def test_samples_are_different_draws() -> None:
    run = ready(from_archon(config(part("generator", samples=3), FUSER)), script).run(**ASK)
    (fuser,) = asked(run, "layer_2")
    assert all(f"Draft {i}." in fuser for i in range(3))
    greedy = ready(from_archon(config(part("generator", samples=3, temperature=0.0), FUSER)), script).run(**ASK)
    assert drawn(greedy, "layer_1") == 1  # all draws would be the same


def test_several_fusers_share_a_layer() -> None:
    program = from_archon(config(GENERATORS, [part("fuser", samples=2), FUSER], FUSER))
    run = ready(program, script).run(**ASK)
    assert drawn(run, "layer_2") == 3 and drawn(run, "layer_3") == 1
    assert asked(run, "layer_3")[0].count("Response: Fused.") == 3


def test_a_fuser_may_be_held_to_the_length_of_its_candidates() -> None:
    cases: list[tuple[dict[str, Any], bool]] = [({"length_control": True}, True), ({}, False)]
    for said, there in [*cases, ({"length_contorl": True}, False)]:
        run = ready(from_archon(config(GENERATORS, part("fuser", **said))), script).run(**ASK)
        assert ("no more than the longest" in asked(run, "layer_2")[0]) is there


def test_a_ranker_may_be_told_to_pass_over_critiques() -> None:
    cases: list[tuple[dict[str, Any], bool]] = [({}, True), ({"use_critiques": False}, False)]
    for said, there in cases:
        program = from_archon(config(GENERATORS, CRITIC, part("ranker", top_k=1, **said)))
        run = ready(program, script).run(**ASK)
        assert ("Critique:" in asked(run, "layer_3")[0]) is there


def test_the_pairwise_ranker_compares_in_pairs() -> None:
    program = from_archon(config(GENERATORS, part("ranker", "llm-blender/PairRM", top_k=1)))
    run = ready(program, lambda p, i: f"{i}" + "x" * len(p)).run(**ASK)
    assert all("Two candidates" in text for text in asked(run, "layer_2"))


def test_a_verifier_holds_back_what_is_not_correct() -> None:
    def say(prompt: str, index: int) -> str:
        return "Checked." if "Check whether" in prompt else script(prompt, index)

    scores = {"Draft 1.": [0.9, 0.1], "": [0.1, 0.9]}
    program = from_archon(config(part("generator", samples=3), part("verifier", first_k=1), FUSER))
    run = ready(program, say, scores=scores).run(**ASK)
    assert len(asked(run, "layer_2")) == 6  # reasoning and a verdict for each
    (fuser,) = asked(run, "layer_3")
    assert "Draft 1." in fuser and "Draft 0." not in fuser and "Draft 2." not in fuser


def test_generators_right_after_generators_replace_them() -> None:
    run = ready(from_archon(config(GENERATORS, part("generator", samples=2), FUSER)), script).run(**ASK)
    assert not asked(run, "layer_1") and drawn(run, "layer_2") == 2


# tests -------------------------------------------------------------------------------------------------------


def passing(prompt: str, choices: tuple[str, ...]) -> tuple[float, float]:
    return (0.9, 0.1) if "Draft 2." in prompt or ("Draft 1." in prompt and "nothing else" in prompt) else (0.1, 0.9)


def test_tests_that_come_first_are_shown_to_the_generators_and_judged_by() -> None:
    run = ready(from_archon(config(TESTS, part("generator", samples=4), EVALUATOR)), script, scores=passing).run(**ASK)
    (written,) = asked(run, "layer_1")
    assert "Write 2 short tests" in written and "Instruction: Say it." in written
    shown = "Unit tests: It says two.\nIt says nothing else."
    assert drawn(run, "layer_2") == 4 and all(shown in text for text in asked(run, "layer_2"))
    judged = asked(run, "layer_3")
    assert len(judged) == 4 * 2 and not any("Unit tests" in text or "Write 2" in text for text in judged)
    assert response(run) == "Draft 2."
    assert run.result.fields["passed"] == 1.0  # type: ignore[union-attr]


def test_tests_right_before_their_evaluator_are_not_shown_to_the_generators() -> None:
    run = ready(from_archon(config(part("generator", samples=4), TESTS, EVALUATOR)), script, scores=passing).run(**ASK)
    assert response(run) == "Draft 2." and not any("nit tests" in text for text in asked(run, "layer_1"))
    assert not asked(run, "layer_2") and len(asked(run, "layer_3.some-1_5B.tests")) == 1


def test_tests_without_an_evaluator_are_shown_to_all_that_follows() -> None:
    run = ready(from_archon(config(TESTS, GENERATORS, FUSER)), script).run(**ASK)
    assert all("Unit tests: It says two." in text for text in asked(run, "layer_2") + asked(run, "layer_3"))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"top_k": 1}, ["Draft 2."]),
        ({"top_k": 2}, ["Draft 1.", "Draft 2."]),
        ({"top_k": 1, "first_k": 3}, ["Draft 2."]),  # one passes every test, not three
        ({"top_k": 3, "first_pass": True}, ["Draft 2."]),
        ({"top_k": None}, ["Draft 0.", "Draft 1.", "Draft 2.", "Draft 3."]),
    ],
)
def test_what_an_evaluator_keeps(said: Any, kept: list[str]) -> None:
    evaluator = {**EVALUATOR, "first_pass": False, **said}
    program = from_archon(config(TESTS, part("generator", samples=4), evaluator, FUSER))
    (fuser,) = asked(ready(program, script, scores=passing).run(**ASK), "layer_4")
    assert [d for d in (f"Draft {i}." for i in range(4)) if d in fuser] == kept


def test_an_evaluator_in_the_end_gives_the_best() -> None:
    evaluator = {**EVALUATOR, "top_k": None, "first_pass": False}
    program = from_archon(config(TESTS, part("generator", samples=4), evaluator))
    assert response(ready(program, script, scores=passing).run(**ASK)) == "Draft 2."


# signatures and options --------------------------------------------------------------------------------------


def test_a_typed_signature_and_a_technique_of_ones_own() -> None:
    program = from_archon(config(part("generator", samples=3)), Solve, generator=fw.ChainOfThought, choose="vote")
    say = {"Answer:": lambda p, i: "3" if "Draft 0" in p else "7", "": lambda p, i: f"Draft {i}."}
    run = ready(program, say).run(**Q)
    assert isinstance(run.result, Values) and run.result.fields["answer"] == 7
    first = ready(from_archon(config(part("generator", samples=3)), Solve), {"": ["3", "7", "7"]}).run(**Q)
    assert isinstance(first.result, Values) and first.result.fields["answer"] == 3
    record = fw.lower(program, engine=fw.ScriptedEngine([("Answer:", "7")], default="so"))(**Q)
    assert isinstance(record, Solve) and record.answer == 7


def test_inputs_may_be_several_and_left_out() -> None:
    class Ask(fw.Signature):
        question: str = fw.Input()
        count: int = fw.Input(ge=0)
        hint: str | None = fw.Input(None)
        answer: str = fw.Output()

    program = from_archon(config(TESTS, GENERATORS, FUSER), Ask)
    assert [(f.name, f.optional) for f in trace(program).schema.inputs] == [
        ("question", False),
        ("count", False),
        ("hint", True),
    ]
    pipeline = fw.lower(program, engine=fw.ScriptedEngine(script))
    assert pipeline(question="q", count=2).answer == "Fused."


def test_the_tokens_of_replies_may_be_limited() -> None:
    big = {**GENERATOR, "max_tokens": 200_000}
    pipeline = ready(from_archon(config([big, GENERATOR], FUSER), max_tokens=100), script)
    pipeline.run(**ASK)
    most = [r.decoding.max_tokens for r in pipeline.engine.asked if isinstance(r, GenerateRequest)]
    assert sorted(most) == [60, 60, 100]


def test_it_is_a_program_inside_another() -> None:
    class Outer(fw.Program):
        inner = from_archon(config(GENERATORS, FUSER))

        def forward(self, instruction: str) -> Any:
            return self.inner.forward(instruction=instruction)

    assert response(ready(Outer(), script).run(**ASK)) == "Fused."
    assert "inner.layer_1.two.demos" in {v.name for v in open_values(trace(Outer()))}


FULL = config(TESTS, GENERATORS, CRITIC, RANKER, VERIFIER, [FUSER, FUSER], part("unit_test_evaluator", top_k=1))


def test_the_bound_holds_through_all_kinds_of_layers() -> None:
    settings = ScriptedSettings(context=1 << 30)
    program = from_archon(FULL, max_tokens=12)
    check_bound(program, script, {"x": [0.1, 0.9]}, ASK, context=settings.context)


def test_an_artifact_runs_as_its_pipeline(tmp_path: Path) -> None:
    def engine() -> fw.ScriptedEngine:
        return fw.ScriptedEngine(script, scores=passing, settings=ScriptedSettings(context=1 << 30, cost=FlatCost(1.0)))

    check_round_trip(from_archon(FULL, max_tokens=40), engine, tmp_path, **ASK)


# forms of configs --------------------------------------------------------------------------------------------


def test_a_file_older_layers_and_bare_components_are_read(tmp_path: Path) -> None:
    older = {"branches": 2, "models": [part("generator", samples=3), {**GENERATOR, "samples": 1}]}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"layers": [older, FUSER]}))
    first, second = layers_of(path)
    assert [p.samples for p in first.parts] == [6, 2] and second.type == "fuser"
    assert drawn(ready(from_archon(path), script).run(**ASK), "layer_1") == 8


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([FUSER], r"layer 1 \(fuser\): generators first: no layer before it gives the candidates"),
        ([GENERATOR, FUSER, GENERATOR], r"layer 3 \(generator\): generators first: they do not read"),
        ([[GENERATOR, FUSER]], r"layer 1 \(generator\): one kind of component a layer: it mixes generator and fuser"),
        ([GENERATOR, [RANKER, RANKER]], r"layer 2 \(ranker\): one ranker a layer: it has 2"),
        ([GENERATOR, [CRITIC, CRITIC], FUSER], r"layer 2 \(critic\): one critic a layer"),
        ([GENERATOR, CRITIC], r"layer 2 \(critic\): a critic before a ranker or a fuser"),
        ([GENERATOR, CRITIC, VERIFIER], r"layer 2 \(critic\): a critic before a ranker or a fuser"),
        ([GENERATOR, CRITIC, CRITIC, FUSER], r"layer 2 \(critic\): a critic before"),
        ([GENERATOR, EVALUATOR], r"layer 2 \(unit_test_evaluator\): a unit_test_evaluator needs tests"),
        ([GENERATOR, TESTS], r"layer 2 \(unit_test_generator\): a unit_test_generator right before"),
        ([GENERATOR, TESTS, FUSER, EVALUATOR], r"layer 2 \(unit_test_generator\): a unit_test_generator right before"),
        ([TESTS], r"layer 1 \(unit_test_generator\): a unit_test_generator right before"),
        ([GENERATOR, part("ranker")], r"layer 2 \(ranker\): .*`top_k` is missing"),
        ([part("router")], "layer 1, component 1: `type` must be one of generator, critic"),
        ([[GENERATOR, part("generator", model="")]], r"layer 1, component 2 \(generator\): `model` must be a name"),
        ([part("generator", samples=0)], "layer 1, component 1: a whole number `samples >= 1` is needed, but got 0"),
        ([part("generator", max_tokens="9")], "`max_tokens >= 1` is needed, but got '9'"),
        ([part("generator", temperature=-1)], "`temperature >= 0` must hold, but got -1"),
        ([GENERATOR, part("ranker", top_k=0)], "ranker: a whole number `top_k >= 1`"),
        ([[]], r"layer 1: must be a list of components, but got \[\]"),
        ([["generator"]], "layer 1: must be a list of components"),
        ([], "`layers` must be a list of layers"),
    ],
)
def test_rules_name_the_layer(layers: list[Any], says: str) -> None:
    with pytest.raises(TraceError, match=f"from_archon: {says}" if says.startswith("layer") else says):
        from_archon(config(*layers))


def test_a_critic_may_stand_before_a_verifier_where_a_fuser_follows() -> None:
    def say(prompt: str, index: int) -> str:
        return "Checked." if "Check whether" in prompt else script(prompt, index)

    run = ready(from_archon(config(GENERATORS, CRITIC, VERIFIER, FUSER)), say).run(**ASK)
    assert "Critique: First seen." in asked(run, "layer_4")[0]


def test_options_and_files_that_are_none(tmp_path: Path) -> None:
    for options, says in (({"choose": "any"}, "choose must be"), ({"generator": fw.Predict(Solve)}, "must be a class")):
        with pytest.raises(TraceError, match=says):
            from_archon(config(GENERATOR), **options)
    with pytest.raises(TraceError, match="cannot be read"):
        from_archon(tmp_path / "none.json")
    for text, says in (("{", "is no JSON"), ("[]", "is an object with `layers`")):
        (tmp_path / "odd.json").write_text(text)
        with pytest.raises(TraceError, match=says):
            from_archon(tmp_path / "odd.json")
    with pytest.raises(FlopwiseError, match="cannot be named 'unit_tests'"):
        from_archon(config(TESTS, GENERATOR, FUSER), "question, unit_tests -> answer")
