"""What carries SGLang to a GPU machine and starts it there: tested without a GPU, by stand-ins for what is there."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks._recording import Recording
from benchmarks.gpu import parts, wheels
from benchmarks.gpu.with_transformers import measure
from tests.backends.runtime.fake_engine import FakeEngine

GPU = Path(parts.__file__).parent
ROOT = GPU.parents[1]
FILES = {"wheels/a.whl": 700, "wheels/b.whl": 0, "weights/m.gguf": 2500, "note": 1}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path / "folder", FILES)


def filled(folder: Path, sizes: dict[str, int]) -> Path:
    draw = random.Random(0)
    for name, size in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(draw.randbytes(size))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@given(
    st.dictionaries(st.sampled_from(["a", "b/c", "b/d", "e/f/g"]), st.integers(0, 300), min_size=1), st.integers(1, 400)
)
def test_what_is_cut_is_joined_again(
    tmp_path_factory: pytest.TempPathFactory, sizes: dict[str, int], part_bytes: int
) -> None:
    place = tmp_path_factory.mktemp("cut")
    folder = filled(place / "folder", sizes)
    manifest = parts.split(folder, place / "parts", part_bytes)
    assert sum(part["size"] for part in manifest["parts"]) == sum(sizes.values())
    assert all(part["size"] <= part_bytes for part in manifest["parts"])
    parts.join(place / "parts", place / "whole")
    assert contents(place / "whole") == contents(folder)


def test_parts_come_one_by_one_in_any_order(folder: Path, tmp_path: Path) -> None:
    manifest = parts.split(folder, tmp_path / "parts", 1000)
    names = [part["name"] for part in manifest["parts"]]
    assert names == ["part0000", "part0001", "part0002", "part0003"]
    kept, left = tmp_path / "kept", set(names)
    for name in (names[2], names[0], names[3], names[1]):
        incoming = tmp_path / f"incoming-{name}"
        incoming.mkdir()
        for carried in (name, parts.MANIFEST):
            (incoming / carried).write_bytes((tmp_path / "parts" / carried).read_bytes())
        left.discard(name)
        assert set(parts.keep(incoming, kept)) == left
    parts.join(kept, tmp_path / "whole")
    assert contents(tmp_path / "whole") == contents(folder)


def test_a_part_that_is_missing_or_damaged_is_named(folder: Path, tmp_path: Path) -> None:
    parts.split(folder, tmp_path / "parts", 1000)
    whole = (tmp_path / "parts" / "part0001").read_bytes()
    (tmp_path / "parts" / "part0001").unlink()
    with pytest.raises(parts.PartsError, match="1 parts are missing, part0001"):
        parts.join(tmp_path / "parts", tmp_path / "whole")
    (tmp_path / "parts" / "part0001").write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(parts.PartsError, match="part0001 is damaged"):
        parts.join(tmp_path / "parts", tmp_path / "whole")
    with pytest.raises(parts.PartsError, match="part0001 is damaged"):
        parts.keep(tmp_path / "parts", tmp_path / "kept")
    assert not (tmp_path / "whole").exists()


def test_a_manifest_leads_nowhere_else(folder: Path, tmp_path: Path) -> None:
    parts.split(folder, tmp_path / "parts", 1000)
    path = tmp_path / "parts" / parts.MANIFEST
    for name in ("../outside", "/outside"):
        manifest = json.loads(path.read_text())
        manifest["files"][0]["name"] = name
        path.write_text(json.dumps(manifest))
        with pytest.raises(parts.PartsError, match="lies outside"):
            parts.join(tmp_path / "parts", tmp_path / "whole")
    assert not (tmp_path / "outside").exists()


def test_the_command_needs_nothing_but_python(folder: Path, tmp_path: Path) -> None:
    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", GPU / "parts.py", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True)

    assert "in 1 parts" in run("split", folder, tmp_path / "parts").stdout
    assert "is not empty" in run("split", folder, tmp_path / "parts").stderr
    assert run("keep", tmp_path / "parts", tmp_path / "kept").stdout == "all parts are here\n"
    assert run("join", tmp_path / "kept", tmp_path / "whole").returncode == 0
    assert contents(tmp_path / "whole") == contents(folder)
    assert "cannot be read" in run("join", folder, tmp_path / "whole").stderr


def test_only_wheels_that_lack_are_fetched() -> None:
    found = (("torch", "2.11.0"), ("SGLang", "0.5.17"), ("Jinja2", "3.1.6"), ("typing_extensions", "4.15.0"))
    report = {"install": [{"metadata": {"name": name, "version": version}} for name, version in found]}
    there = wheels.frozen(["torch==2.11.0+cu130\n", "jinja2==3.1.2", "typing-extensions==4.15.0", "-e git+x", ""])
    assert wheels.lacking(wheels.resolved(report), there) == {"sglang": "0.5.17", "jinja2": "3.1.6"}


def test_torch_stays_as_it_is_and_brings_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "needs.txt").write_text("torch==2.11.0\nnvidia-nccl-cu13\n")
    there = {"torch": "2.11.0+cu130", "nvidia-nccl-cu13": "2.28.9", "jinja2": "3.1.2"}
    assert wheels.stand_ins(there, tmp_path) == ["torch", "nvidia-nccl-cu13"]
    found = wheels.resolve(tmp_path / "needs.txt", wheels.platform_words("3.12"), there)
    assert found == {"torch": "2.11.0+cu130", "nvidia-nccl-cu13": "2.28.9"}
    assert wheels.lacking(found, there) == {}


def test_pip_is_told_of_the_other_machine() -> None:
    words = wheels.platform_words("3.12")
    assert words[words.index("--python-version") + 1] == "3.12"
    assert {"cp312", "abi3", "none", "manylinux_2_28_x86_64", "manylinux2014_x86_64"} <= set(words)
    assert "--only-binary=:all:" in words


@pytest.mark.parametrize("script", ["prepare.sh", "run.sh"])
def test_scripts_are_bash_and_say_how_they_are_called(script: str) -> None:
    assert subprocess.run(["bash", "-n", GPU / script]).returncode == 0
    assert os.access(GPU / script, os.X_OK)
    done = subprocess.run([GPU / script], capture_output=True, text=True)
    assert done.returncode == 2 and f"benchmarks/gpu/{script}" in done.stderr


# Answers for python3 on the GPU machine: what run.sh asks of it, and nothing else.
STAND_IN = """#!/usr/bin/env bash
echo "$*" >> "$LOG"
case "$*" in
  "-c import sglang") [ -z "${NO_SGLANG:-}" ] || { echo "No module named 'sglang'"; exit 1; } ;;
  "-m flopwise sglang launch"*) echo "sglang:http://127.0.0.1:30000"; exec sleep 600 ;;
  "-m benchmarks feeding"*) [ -z "${FEEDING_FAILS:-}" ] || { echo "no metrics"; exit 3; } ;;
esac
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    filled(tmp_path / "bundle", {"wheels/sglang.whl": 10, "weights/tiny/config.json": 10})
    path = tmp_path / "python"
    path.write_text(STAND_IN)
    path.chmod(0o755)
    return path


def run(stand_in: Path, **more: str) -> tuple[subprocess.CompletedProcess[str], list[str], str]:
    """`run.sh` with a stand-in for Python: how it ended, what it asked for, and its summary."""
    place = stand_in.parent
    env = {
        **os.environ,
        "PYTHON": str(stand_in),
        "LOG": str(place / "log"),
        "FLOPWISE_HOME": str(place / "home"),
        **more,
    }
    command = [GPU / "run.sh", place / "bundle", place / "results"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (place / "results" / "summary.txt").is_file(), done.stderr
    return done, (place / "log").read_text().splitlines(), (place / "results" / "summary.txt").read_text()


def test_both_shows_run_against_one_server(stand_in: Path) -> None:
    done, asked, summary = run(stand_in)
    assert done.returncode == 0, done.stderr
    assert summary == "prefix: exit status 0\nfeeding: exit status 0\n"
    results = stand_in.parent / "results"
    url = "--url http://127.0.0.1:30000"
    assert f"-m benchmarks prefix --engine sglang {url} --json {results}/prefix.json" in asked
    assert any(a.startswith(f"-m benchmarks feeding --gpu {url} --requests 8000") for a in asked)
    launch = next(a for a in asked if "sglang launch" in a)
    model = stand_in.parent / "bundle" / "weights" / "tiny"
    assert launch.startswith(f"-m flopwise sglang launch {model} --port 30000 ") and launch.endswith(
        "-- --max-running-requests 256 --decode-log-interval 1"
    )
    assert any("pip install" in a and "--no-index" in a and a.endswith("bundle/wheels/sglang.whl") for a in asked)


def test_one_that_fails_is_told_and_the_rest_goes_on(stand_in: Path) -> None:
    done, _, summary = run(stand_in, FEEDING_FAILS="1")
    assert done.returncode == 1
    assert summary == "prefix: exit status 0\nfeeding: exit status 3\n"
    assert "no metrics" in done.stdout


def test_without_sglang_transformers_takes_its_place(stand_in: Path) -> None:
    done, asked, summary = run(stand_in, NO_SGLANG="1")
    assert done.returncode == 0
    assert "sglang cannot be imported (No module named 'sglang')" in summary
    model = stand_in.parent / "bundle" / "weights" / "tiny"
    assert any(a.startswith(f"-m benchmarks.gpu.with_transformers --model {model}") for a in asked)
    assert not any("launch" in a or "feeding" in a for a in asked)


def test_one_show_can_be_run_alone(stand_in: Path) -> None:
    done, asked, summary = run(stand_in, SHOWS="feeding", REQUESTS="500")
    assert done.returncode == 0 and summary == "feeding: exit status 0\n"
    assert any("feeding" in a and "--requests 500" in a for a in asked)
    assert run(stand_in, SHOWS="feedng")[0].returncode == 1


def test_prepare_collects_wheels_and_weights_in_parts(tmp_path: Path) -> None:
    stand_in, folder = tmp_path / "python", tmp_path / "out"
    # Wheels come from a stand-in, since there is no network in a test; cutting is done in earnest.
    stand_in.write_text(
        f"""#!/usr/bin/env bash
case "$1" in
  *wheels.py) mkdir -p "$3"; echo "$@" > "$3/a.whl" ;;
  *) exec {sys.executable} "$@" ;;
esac
"""
    )
    stand_in.chmod(0o755)
    (tmp_path / "installed.txt").write_text("torch==2.11.0\n")
    filled(tmp_path / "model", {"config.json": 20, "model.safetensors": 3_000_000})
    command = [GPU / "prepare.sh", tmp_path / "installed.txt", folder, tmp_path / "model"]
    env = {**os.environ, "PYTHON": str(stand_in), "MIB": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--python 3.12" in (folder / "bundle/wheels/a.whl").read_text()
    parts.join(folder / "parts", tmp_path / "whole")
    assert contents(tmp_path / "whole") == contents(folder / "bundle")
    assert set(contents(tmp_path / "whole" / "weights")) == {"model/config.json", "model/model.safetensors"}
    assert len(parts.missing(folder / "parts")) == 0 and (folder / "parts" / "part0002").is_file()
    again = subprocess.run(command, env=env, capture_output=True, text=True)
    assert again.returncode == 1 and "is there already" in again.stderr


def test_a_bundle_without_weights_is_refused(stand_in: Path) -> None:
    (stand_in.parent / "bundle" / "weights" / "tiny" / "config.json").unlink()
    command = [GPU / "run.sh", stand_in.parent / "bundle", stand_in.parent / "results"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "one weights/MODEL/config.json is needed" in done.stderr


def test_a_replay_counts_what_the_engine_computes() -> None:
    # Two rounds of two queries; each query asks three samples of a prompt that shares 400 tokens with the others.
    nodes = [(-1, 400), *((0, 60) for _ in range(4))]
    recording = Recording(nodes, [(i // 2, i, 0, i + 1, 3) for i in range(4)], {"task": "small"})
    engine = FakeEngine(reports=True)
    engine.tokenizer = None  # type: ignore[attr-defined]  # a replay sends ids
    report = measure(engine, recording)  # type: ignore[arg-type]
    figures = report.figures
    assert figures["tree_tokens"] == 400 + 4 * 60 + 4 * 3
    assert figures["ratio_to_tree"] <= 1.0 < figures["naive_ratio_to_tree"]
    assert figures["engine_cached_tokens"] > 0 and not report.missed


def test_it_says_that_it_has_not_run_until_there_are_results() -> None:
    landed = list(GPU.rglob("prefix.json"))
    assert ("Not yet run on a GPU" in (GPU / "README.md").read_text()) == (not landed)
    assert ("Not yet run on a GPU" in ((GPU / "__init__.py").read_text())) == (not landed)
