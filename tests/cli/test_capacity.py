"""`flopwise plan-capacity`: what it prints is what the arithmetic says, for every source of a model and of a load."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flopwise as fw
from flopwise.cli import main
from flopwise.cli.capacity import _LIMITS
from flopwise.ir.capacity import Load, Stage, estimate
from flopwise.ir.serving import GPUS, LIKE, Server

DOC = Path(__file__).parents[2] / "docs" / "scale-out.md"
SHOWN = re.findall(r"^```text\n\$ flopwise (plan-capacity .*)\n((?:.*\n)*?)```$", DOC.read_text(), re.MULTILINE)
CONFIG = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 256, "num_attention_heads": 8,
    "num_key_value_heads": 4, "intermediate_size": 512, "vocab_size": 1000,
}  # fmt: skip
SOME = ("--like", "7b", "--gpu", "h100")

Plan = Callable[..., Any]


@pytest.fixture
def plan(capsys: pytest.CaptureFixture[str]) -> Plan:
    """What `flopwise plan-capacity WORDS... --json` prints."""

    def run(*words: str) -> Any:
        assert main(["plan-capacity", *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_the_estimate_is_the_arithmetic_of_what_was_asked(plan: Plan) -> None:
    words = (
        "--like 70b --gpu h200 --tp 2 --queries 5e6 --peak 2 --requests 4 --prompt-tokens 900 --shared-tokens 700 "
        "--output-tokens 50 --gap 3 --prefixes 9 --batch 64 --memory-share 0.9 --compute-share 0.4 "
        "--bandwidth-share 0.7 --tp-share 0.8 --utilization 0.6"
    )
    said = plan(*words.split())
    server = Server(GPUS["h200"], 2, 0.9, 64, 0.4, 0.7, 0.8, 0.6)
    load = Load((Stage(4, 900, 700, 50),), 5e6, 2, 9, 3)
    for key, cached in (("with_cache", True), ("without_cache", False)):
        flow = estimate(LIKE["70b"], server, load, cached)
        for name in ("sequences", "reused", "prefill_flops", "decode_rate", "queries", "latency", "servers"):
            assert said[key][name] == getattr(flow, name)
        assert said[key]["gpus"] == 2 * flow.servers
    assert said["memory"]["kv_bytes_per_token"] == 327_680
    assert said["estimate"] is True and "cost model" in said["how"]["prefill"]


def test_every_figure_for_people_is_in_the_table_with_what_it_follows_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan-capacity", *SOME]) == 0
    text = capsys.readouterr().out
    said = {line[:24].strip(): line[24:].split() for line in text.splitlines() if line.startswith("  ")}
    assert "Estimates; nothing was measured." in text.splitlines()[0]
    assert said["weights"][:2] == ["15.2", "GB"] and said["KV a token"][0] == "57,344"
    assert said["KV pool"][0] == "920,225"
    assert said["prompt tokens reused"][:2] == ["99.0%", "0.0%"]
    assert said["servers"][:2] == ["6", "20"]
    assert all(len(words) >= 4 for words in said.values())


def test_turns_continue_the_turn_before(plan: Plan) -> None:
    first, second, third = plan(*SOME, "--turns", "3", "--turn-tokens", "50")["load"]["stages"]
    assert first["carried"] == 0 and first["same"] is True
    assert (second["prompt"], second["carried"], second["same"]) == (1550, 1499, False)
    assert (third["prompt"], third["carried"]) == (1800, 1749)


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_is_read_from_its_config(plan: Plan, tmp_path: Path, tied: bool) -> None:
    folder = tmp_path / "small-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG if tied else {**CONFIG, "tie_word_embeddings": False}))
    model = plan("--model", str(folder), "--gpu", "l4")["model"]
    layer = 256 * 32 * (2 * 8 + 2 * 4) + 3 * 256 * 512
    assert model["parameters"] == 2 * layer + 256 * 1000 * (1 if tied else 2)
    assert model["name"] == "small-model"
    assert plan("--model", str(folder / "config.json"), "--gpu", "l4")["model"] == model


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_is_read_from_its_weights(plan: Plan, tmp_path: Path, tied: bool) -> None:
    path = gguf_file(tmp_path / "small.gguf", tied)
    said = plan("--model", str(path), "--gpu", "l4", "--weight-bits", "8", "--kv-bits", "8")
    layer = 256 * 32 * (2 * 8 + 2 * 4) + 3 * 256 * 512
    assert said["memory"]["weight_bytes"] == 2 * layer + 256 * 100 * (1 if tied else 2)
    assert said["memory"]["kv_bytes_per_token"] == 2 * 2 * 4 * 32


def gguf_file(path: Path, tied: bool) -> Path:
    import numpy
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_embedding_length(256)
    writer.add_head_count(8)
    writer.add_head_count_kv(4)
    writer.add_feed_forward_length(512)
    writer.add_context_length(2048)
    writer.add_token_list([f"t{i}" for i in range(100)])
    writer.add_tensor("token_embd.weight", numpy.zeros((100, 256), dtype=numpy.float16))
    if not tied:
        writer.add_tensor("output.weight", numpy.zeros((100, 256), dtype=numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


SCRIPT = "import flopwise as fw\n\nengine = fw.ScriptedEngine(lambda prompt, index: 'the answer is 3')\n"


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)

    class Solve(fw.Signature):
        """Add the two numbers."""

        question: str = fw.Input()
        answer: int = fw.Output()

    class Adder(fw.Program):
        draft = fw.ChainOfThought(Solve, max_tokens=80)

        def forward(self, question: str) -> Solve:
            return fw.vote(fw.sample(self.draft, n=4)(question=question), field="answer")

    engine = fw.ScriptedEngine(lambda prompt, index: "the answer is 3")
    return fw.lower(Adder(), engine=engine).save(tmp_path / "adder.fw")


def test_an_artifact_says_what_a_query_asks(plan: Plan, artifact: Path) -> None:
    words = (*SOME, "--artifact", str(artifact), "--engine", "scripted:script.py:engine")
    stages = plan(*words)["load"]["stages"]
    pipeline = fw.load(str(artifact), fw.ScriptedEngine(default="3"))
    prompts = pipeline.plan.prompts
    assert [s["name"] for s in stages] == list(prompts)
    assert [s["prompt"] for s in stages] == [p.most for p in prompts.values()]
    assert stages[0]["shared"] == prompts[stages[0]["name"]].static
    assert {s["requests"] for s in stages} == {4.0}
    assert stages[0]["output"] == 80
    short = plan(*words, "--input-tokens", "10", "--output-share", "0.25")["load"]["stages"]
    assert short[0]["prompt"] == stages[0]["prompt"] - 1024 + 10
    assert short[0]["output"] == 20


def test_what_an_artifact_asks_in_turns_is_carried(plan: Plan, artifact: Path) -> None:
    words = (*SOME, "--artifact", str(artifact), "--engine", "scripted:script.py:engine")
    reasons, answers = plan(*words)["load"]["stages"]
    assert (reasons["carried"], reasons["same"]) == (0, True)  # four samples of one prompt
    assert (answers["carried"], answers["same"]) == (reasons["prompt"] + 80 - 1, False)  # each goes on from its own
    assert answers["shared"] == reasons["shared"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--like 7b --gpu h1000", "must be one of a100-40gb, .* but got 'h1000'; did you mean 'h100"),
        ("--like 8b --gpu h100", "--like must be one of 7b, 70b, but got '8b'; did you mean"),
        ("--like 70b --gpu h100", "too large for h100 at --tp 1: .* raise --tp to 4"),
        ("--like 7b --gpu h100 --tp 3", "take one of 1, 2, 4"),
        ("--model nowhere --gpu h100", "neither a known model nor a GGUF file"),
        ("--model smollm2-135m --gpu h100", "did you mean 'smollm2-135m-instruct'"),
        ("--model . --gpu h100", "config.json is no config.json that can be read"),
        ("--like 7b --gpu h100 --shared-tokens 1301", "a part of --prompt-tokens, which is 1300"),
        ("--like 7b --gpu h100 --artifact nothing.fw", "there is no artifact at 'nothing.fw'"),
    ],
)
def test_a_mistake_is_told_in_one_message(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOPWISE_HOME", str(tmp_path))
    assert main(["plan-capacity", *words.split()]) == 2
    message = capsys.readouterr().err
    assert message.startswith("flopwise: ") and re.search(said, message), message


@pytest.mark.parametrize(("name", "least", "most"), _LIMITS)
def test_a_number_out_of_its_range_is_refused(
    capsys: pytest.CaptureFixture[str], name: str, least: float, most: float
) -> None:
    flag = f"--{name.replace('_', '-')}"
    for value in (least - 1, most + 1, 10**400):
        assert main(["plan-capacity", *SOME, f"{flag}={int(value) if value == int(value) else value}"]) == 2
        assert re.search(rf"{flag} \S+: a number from {least:g} to ", capsys.readouterr().err)


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e308"])
@pytest.mark.parametrize("flag", ["--queries", "--peak", "--gap", "--utilization", "--output-share"])
def test_what_is_no_finite_number_is_refused(capsys: pytest.CaptureFixture[str], flag: str, value: str) -> None:
    assert main(["plan-capacity", *SOME, f"{flag}={value}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"flopwise: {flag} {float(value):g}: a number from ") and "Traceback" not in said


def test_the_largest_numbers_together_still_give_an_estimate(plan: Plan) -> None:
    load = ("queries", "peak", "requests", "gap", "prefixes")
    said = plan(*SOME, *(f"--{name}={most:.0f}" for name, _, most in _LIMITS if name in load))
    assert said["with_cache"]["servers"] > 1e15


def test_the_documents_figures_are_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(SHOWN) >= 2
    for command, output in SHOWN:
        assert main(shlex.split(command)) == 0
        assert capsys.readouterr().out == output


def test_the_document_names_every_formula_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plan-capacity", "--help"])
    _, _, told = capsys.readouterr().out.partition("how it is reckoned")
    names = re.findall(r"^  (\S.*?)  +\S", told, re.MULTILINE)
    text = DOC.read_text()
    assert len(names) > 8
    assert [name for name in names if f"| {name} |" not in text] == []
