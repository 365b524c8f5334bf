import subprocess
import sys
from pathlib import Path

import pytest

import flopwise as fw

ROOT = Path(__file__).parent.parent


class Solve(fw.Signature):
    """Solve the problem."""

    question: str = fw.Input()
    answer: int = fw.Output()


class Solver(fw.Program):
    draft = fw.choice(fw.Predict(Solve), fw.ChainOfThought(Solve, max_tokens=64))
    n = fw.integer(1, 4)

    def forward(self, question: str) -> Solve:
        return fw.vote(fw.sample(self.draft, n=self.n)(question=question))


def engine() -> fw.ScriptedEngine:
    return fw.ScriptedEngine(default="7")


def fresh(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_importing_it_loads_nothing_heavy() -> None:
    loaded = fresh("import sys; before = set(sys.modules); import flopwise; print(*set(sys.modules) - before)").split()
    ours = {name for name in loaded if name.startswith("flopwise")}
    assert ours == {"flopwise"}
    assert not {n.partition(".")[0] for n in loaded} & {"pydantic", "jinja2", "asyncio", "rich", "pandas", "optuna"}


def test_declaring_and_lowering_loads_no_optional_package() -> None:
    code = (
        "import sys, flopwise as fw; p = fw.lower(fw.Predict('question -> answer: int'), "
        "engine=fw.ScriptedEngine(default='7')); assert p(question='?').answer == 7; "
        "print({'pandas', 'openvino_genai', 'gguf', 'optuna', 'numpy', 'rich'} & set(sys.modules))"
    )
    assert fresh(code) == "set()"


def test_every_public_name_is_there() -> None:
    assert fresh("import flopwise as fw; print([n for n in dir(fw) if getattr(fw, n) is None])") == "[]"
    assert fresh("from flopwise import *; print(Signature.__name__, compile.__module__)") == (
        "Signature flopwise.optimizers.compile"
    )
    assert sorted(fw.__all__) == fw.__all__ == dir(fw)
    with pytest.raises(AttributeError, match="module 'flopwise' has no attribute 'Signatur'"):
        fw.Signatur  # type: ignore[attr-defined]


def test_every_error_is_public() -> None:
    from flopwise import errors

    names = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, fw.FlopwiseError)}
    assert names <= set(fw.__all__) and len(names) >= 16


def test_a_config_is_completed_by_defaults_and_live_choices_only() -> None:
    assert fw.lower(Solver(), engine=engine()).config == {"draft": "Predict", "n": 1, "draft.Predict.demos": ()}
    pipeline = fw.lower(Solver(), engine=engine(), config={"draft": "ChainOfThought", "n": 3})
    assert pipeline.config == {"draft": "ChainOfThought", "n": 3, "draft.ChainOfThought.demos": ()}
    assert pipeline(question="?").answer == 7


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (5, r"config: values of choices by name are needed, but got 5; write config=\{'draft': 'Predict'\}"),
        ([("n", 1)], "config: values of choices by name"),
        (0, "but got 0"),
        ({"drafts": "Predict"}, "has no choice 'drafts'"),
        ({"draft": "Prediction"}, "choice 'draft': one of"),
        ({"n": 5}, "choice 'n': a whole number from 1 to 4, but got 5"),
        ({"draft.Predict.demos": ("abc",)}, "choice 'draft.Predict.demos': .*'abc'"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(fw.ConfigError, match=message):
        fw.lower(Solver(), engine=engine(), config=config)  # type: ignore[arg-type]


def test_caps_come_from_the_data() -> None:
    rows = [{"question": "a" * 50}, {"question": "b" * 100}]
    assert fw.lower(Solver(), engine=engine(), data=rows).plan.caps == {"question": 160}  # 1.5 x 101, in steps of 32
    assert fw.lower(Solver(), engine=engine(), data=rows, caps={"question": 10}).plan.caps == {"question": 10}
    with pytest.raises(fw.DataError, match="question"):
        fw.lower(Solver(), engine=engine(), data=[{"text": "a"}])
    with pytest.raises(fw.InputError, match="no input 'quest'; it takes question"):
        fw.lower(Solver(), engine=engine(), caps={"quest": 10})
    with pytest.raises(fw.InputError, match="`question >= 1` tokens must hold, but got 0"):
        fw.lower(Solver(), engine=engine(), caps={"question": 0})


def test_the_budget_caps_each_query() -> None:
    pipeline = fw.lower(Solver(), engine=engine(), budget=fw.Budget(per_query="9 GFLOP"))
    assert pipeline.plan.cap == 9e9
    with pytest.raises(fw.BudgetError, match="needs at least"):
        fw.lower(Solver(), engine=engine(), budget=fw.Budget(per_query="9 FLOP"))
    with pytest.raises(fw.BudgetError, match=r"fw.Budget\(.*but got '9 GFLOP'"):
        fw.lower(Solver(), engine=engine(), budget="9 GFLOP")  # type: ignore[call-overload]


def test_an_engine_is_an_instance_or_a_text() -> None:
    with pytest.raises(fw.EngineError, match="an engine must be an instance, but ScriptedEngine is a class; make one"):
        fw.lower(Solver(), engine=fw.ScriptedEngine)  # type: ignore[call-overload]
    with pytest.raises(fw.EngineError, match="engine 'nowhere:model'"):
        fw.lower(Solver(), engine="nowhere:model")
    with pytest.raises(fw.WeightsError):
        fw.lower(Solver(), engine="openvino:no-such-model")


def test_a_bare_module_is_a_program() -> None:
    pipeline = fw.lower(fw.ChainOfThought(Solve), engine=fw.ScriptedEngine({"Seven.": "7"}, default="Seven."))
    record = pipeline(question="3 + 4?")
    assert isinstance(record, Solve) and record.answer == 7
    text = fw.lower(
        fw.Predict("question -> answer: int, sure: bool"),
        engine=fw.ScriptedEngine(default='{"answer": 7, "sure": true}'),
    )
    assert text(question="?").sure is True


def test_samples_are_kept_in_a_bank(tmp_path: Path) -> None:
    first, second = engine(), engine()
    with fw.SampleBank(tmp_path / "bank.db") as bank:
        for each in (first, second):
            assert fw.lower(Solver(), engine=each, bank=bank)(question="?").answer == 7
    assert (first.requests, second.requests) == (1, 0)
