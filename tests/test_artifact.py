import hashlib
import json
import logging
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings
from flopwise.compiler.artifact_write import check_writable, write_files

ROOT = Path(__file__).parent.parent


class Solve(fw.Signature):
    """Solve the problem."""

    question: str = fw.Input()
    unit: str | None = fw.Input(None)
    answer: int = fw.Output(desc="the final number")


class Solver(fw.Program):
    draft = fw.choice(
        fw.Predict(Solve, demos=[{"question": "1 + 1?", "unit": None, "answer": 2}]), fw.ChainOfThought(Solve)
    )
    n = fw.integer(1, 4)
    judge = fw.optional(fw.Verifier(Solve))

    def forward(self, question: str) -> Solve:
        return fw.vote(self.judge(fw.sample(self.draft, n=self.n)(question=question)), field="answer")


DRAWN = {"draft": "ChainOfThought", "n": 3, "judge": "Verifier"}
SCRIPT = """
import json, sys
import flopwise as fw
replies = {"So it is 8.": "8", "So 8 again.": "8", "Hence 9.": "9", "Reason step by step": ["So it is 8.", "Hence 9."]}
engine = fw.ScriptedEngine(replies, default="2", scores={"": [0.75, 0.25]})
loaded = fw.load(sys.argv[1], engine=engine)
record = loaded(question="3 + 5?")
assert not any("test_artifact" in name for name in sys.modules)
print(json.dumps({"hash": loaded.plan.hash, "answer": record.answer, "flops": record.trace.flops, "cost": loaded.cost(),
                  "prompts": loaded.prompts(), "config": loaded.config, "name": type(record).__name__}))
"""


def engine(name: str = "scripted") -> fw.ScriptedEngine:
    replies = {"So it is 8.": "8", "So 8 again.": "8", "Hence 9.": "9"}
    replies["Reason step by step"] = ["So it is 8.", "Hence 9."]  # type: ignore[assignment]
    return fw.ScriptedEngine(replies, default="2", scores={"": [0.75, 0.25]}, settings=ScriptedSettings(name=name))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return fw.lower(Solver(), engine=engine()).save(tmp_path / "solver.fw")


def sum_again(folder: Path) -> None:
    """Make SHA256SUMS fit what is in the folder now."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names if n != "SHA256SUMS"]
    (folder / "SHA256SUMS").write_text("".join(lines))


def edit(folder: Path, **changes: object) -> None:
    data = json.loads((folder / "pipeline.json").read_text())
    (folder / "pipeline.json").write_text(json.dumps({**data, **changes}))
    sum_again(folder)


def zipped(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("config", [{}, DRAWN], ids=["Predict", "ChainOfThought, drawn and verified"])
@pytest.mark.parametrize("name", ["solver.fw", "solver.fw.zip"])
def test_a_fresh_process_without_the_program_gives_the_same(tmp_path: Path, config: dict[str, str], name: str) -> None:
    pipeline = fw.lower(Solver(), engine=engine(), config=config, budget=fw.Budget(per_query="1 PFLOP"))
    path = pipeline.save(tmp_path / name)
    script = tmp_path / "away" / "use.py"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, str(script), str(path)],
        cwd=script.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    there = json.loads(run.stdout)
    here = pipeline(question="3 + 5?")
    assert there["hash"] == pipeline.plan.hash
    assert (there["answer"], there["flops"], there["name"]) == (here.answer, here.trace.flops, "Solve")
    assert there["prompts"] == pipeline.prompts()
    assert there["cost"] == pipeline.cost()
    assert {k: tuple(v) if isinstance(v, list) else v for k, v in there["config"].items()} == pipeline.config


def test_what_is_in_it(saved: Path) -> None:
    files = {p.relative_to(saved).as_posix() for p in saved.rglob("*") if p.is_file()}
    assert files == {
        "SHA256SUMS", "demos.jsonl", "pipeline.json", "prompts/draft.Predict.answer.txt", "provenance.json",
        "report.html", "report.json",
    }  # fmt: skip
    prompt = (saved / "prompts/draft.Predict.answer.txt").read_text()
    assert prompt.startswith("<|im_start|>system\nSolve the problem.<|im_end|>\n")
    assert "{question}" in prompt and "1 + 1?" in prompt
    (demo,) = [json.loads(line) for line in (saved / "demos.jsonl").read_text().splitlines()]
    assert demo["fields"]["answer"] == 2 and demo["node"] == "draft.sample/draft.Predict"
    provenance = json.loads((saved / "provenance.json").read_text())
    assert provenance["fingerprint"] == "scripted:scripted" and provenance["config"]["draft"] == "Predict"
    assert provenance["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_sums_are_what_sha256sum_writes(saved: Path) -> None:
    run = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=saved, capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.count(": OK") == 6


def test_what_a_search_knows_travels(tmp_path: Path) -> None:
    pipeline = fw.lower(Solver(), engine=engine())
    facts = {"data": {"dev": "abc"}, "seed": 7, "fingerprint": "scripted:scripted", "versions": {"flopwise": "0.0.9"}}
    pipeline.facts |= {"report": {"dev": {"score": 0.5, "low": float("nan")}}, "provenance": facts}
    loaded = fw.load(pipeline.save(tmp_path / "a.fw"), engine())
    assert loaded.report == {"dev": {"score": 0.5, "low": None}}
    assert loaded.facts["provenance"]["data"] == {"dev": "abc"} and loaded.facts["provenance"]["seed"] == 7
    again = fw.load(loaded.save(tmp_path / "b.fw"), engine())
    assert again.facts == loaded.facts and again.plan.hash == loaded.plan.hash
    assert again.facts["provenance"]["versions"]["flopwise"] == "0.0.9"


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (fw.lower(Solver(), engine=engine()).save(tmp_path / f"{n}.zip") for n in "ab")
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("name", ["pipeline.json", "report.json", "prompts/draft.Predict.answer.txt", "demos.jsonl"])
def test_a_changed_byte_is_named(saved: Path, name: str) -> None:
    data = bytearray((saved / name).read_bytes())
    data[len(data) // 2] ^= 1
    (saved / name).write_bytes(data)
    with pytest.raises(fw.ArtifactError, match=f"file '{name}' has changed"):
        fw.load(saved, engine())


def test_a_missing_and_an_additional_file_are_named(saved: Path) -> None:
    (saved / "index").mkdir()
    (saved / "index" / "items.bin").write_bytes(b"?")
    with pytest.raises(fw.ArtifactError, match=r"file 'index/items\.bin' is additional"):
        fw.load(saved, engine())
    (saved / "index" / "items.bin").unlink()
    (saved / "report.json").unlink()
    with pytest.raises(fw.ArtifactError, match=r"file 'report\.json' is missing"):
        fw.load(saved, engine())


def test_a_link_is_refused(saved: Path) -> None:
    (saved / "report.json").rename(saved.parent / "report.json")
    (saved / "report.json").symlink_to(saved.parent / "report.json")
    with pytest.raises(fw.ArtifactError, match=r"'report\.json' is a link"):
        fw.load(saved, engine())


def test_a_newer_format_says_who_made_it(saved: Path) -> None:
    edit(saved, format=2, made_by="9.1.0")
    with pytest.raises(fw.ArtifactError, match=r"has format 2, made by flopwise 9\.1\.0.*install flopwise 9\.1\.0"):
        fw.load(saved, engine())


def test_another_plan_on_the_same_model_is_refused(saved: Path) -> None:
    edit(saved, caps={"question": 7})
    with pytest.raises(fw.ArtifactError, match=r"its plan has hash .* but it was saved with"):
        fw.load(saved, engine())


@pytest.mark.parametrize("graph", [{}, {"name": "x"}, [], None])
def test_a_graph_that_is_none_is_refused(saved: Path, graph: object) -> None:
    edit(saved, graph=graph)
    with pytest.raises(fw.ArtifactError, match=r"pipeline\.json is not of format 1"):
        fw.load(saved, engine())


def test_another_model_is_warned_of(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "flopwise"):
        assert fw.load(saved, engine())(question="?").answer == 2
        assert caplog.records == []
        assert fw.load(saved, engine("other"))(question="?").answer == 2
    (record,) = caplog.records
    assert "measured on scripted (scripted:scripted); here it runs on other" in record.getMessage()


def test_the_cap_travels_and_can_be_replaced(tmp_path: Path) -> None:
    pipeline = fw.lower(Solver(), engine=engine(), budget=fw.Budget(per_query="5 TFLOP"))
    path = pipeline.save(tmp_path / "a.fw")
    assert fw.load(path, engine()).plan.cap == 5e12
    assert fw.load(path, engine(), budget=fw.Budget(per_query="6 TFLOP")).plan.cap == 6e12
    with pytest.raises(fw.BudgetError, match="needs at least"):
        fw.load(path, engine(), budget=fw.Budget(per_query="1 FLOP"))


# writing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.fw", "a.zip"])
def test_an_artifact_is_replaced(tmp_path: Path, name: str) -> None:
    fw.lower(Solver(), engine=engine(), config=DRAWN).save(tmp_path / name)
    fw.lower(Solver(), engine=engine()).save(tmp_path / name)
    assert fw.load(tmp_path / name, engine()).config["draft"] == "Predict"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_anything_else_is_left_alone(tmp_path: Path, saved: Path) -> None:
    pipeline = fw.lower(Solver(), engine=engine())
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.zip").write_text("mine")
    (saved / "notes.txt").write_text("mine")
    for name in ("folder", "file.zip"):
        with pytest.raises(fw.ArtifactError, match=f"{name}' exists and is no artifact"):
            pipeline.save(tmp_path / name)
    with pytest.raises(fw.ArtifactError, match=r"has another file in it, 'notes\.txt'"):
        pipeline.save(saved)
    assert (tmp_path / "file.zip").read_text() == (saved / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["solver.fw", "new.fw", "new.zip"])
def test_a_full_disk_leaves_what_was_there(saved: Path, name: str) -> None:
    before = {p: p.read_bytes() for p in saved.rglob("*") if p.is_file()}
    pipeline = fw.lower(Solver(), engine=engine(), config=DRAWN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))  # the kernel refuses to let a file grow further
    try:
        with pytest.raises(fw.ArtifactError, match=r"cannot be written: .*File too large"):
            pipeline.save(saved.parent / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {p: p.read_bytes() for p in saved.rglob("*") if p.is_file()} == before
    assert [p.name for p in saved.parent.iterdir()] == ["solver.fw"]


def test_a_rename_that_fails_brings_the_old_one_back(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def refuse_new(source: Path, target: Path) -> None:
        if str(source).endswith(".new"):
            raise OSError("the disk went away")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse_new)
    with pytest.raises(fw.ArtifactError, match="the disk went away"):
        fw.lower(Solver(), engine=engine(), config=DRAWN).save(saved)
    assert fw.load(saved, engine()).config["draft"] == "Predict"
    assert [p.name for p in saved.parent.iterdir()] == ["solver.fw"]


# zips -------------------------------------------------------------------------------------------------------


def test_a_folder_zipped_by_hand_loads(saved: Path, tmp_path: Path) -> None:
    entries = {f"solver.fw/{p.relative_to(saved).as_posix()}": p.read_bytes() for p in saved.rglob("*") if p.is_file()}
    assert fw.load(zipped(tmp_path / "by-hand.zip", entries), engine())(question="?").answer == 2


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "prompts/../../evil.txt", "C:evil.txt", "..\\evil.txt"])
def test_a_zip_that_reaches_outside_is_refused(saved: Path, tmp_path: Path, name: str) -> None:
    entries = {p.relative_to(saved).as_posix(): p.read_bytes() for p in saved.rglob("*") if p.is_file()}
    with pytest.raises(fw.ArtifactError, match="lies outside of the artifact"):
        fw.load(zipped(tmp_path / "evil.zip", {**entries, name: b"evil"}), engine())
    assert not list(tmp_path.parent.glob("**/evil.txt"))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for part in range(33):
            archive.writestr(f"{part}.bin", bytes(8 << 20))
    with pytest.raises(fw.ArtifactError, match=f"33 files of {33 * (8 << 20)} bytes"):
        fw.load(tmp_path / "bomb.zip", engine())


def test_what_is_no_artifact_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(fw.ArtifactError, match="there is no artifact at"):
        fw.load(tmp_path / "none.fw", engine())
    with pytest.raises(fw.ArtifactError, match="neither a folder nor a sound zip"):
        fw.load(tmp_path / "text.zip", engine())
    with pytest.raises(fw.ArtifactError, match="it has no file 'SHA256SUMS'"):
        fw.load(tmp_path / "empty", engine())


# host functions ---------------------------------------------------------------------------------------------

LIBRARY = """
import flopwise as fw

@fw.op
def doubled(value: int) -> int:
    return value * {factor}
"""
USER = """
import sys
import flopwise as fw
from {library} import doubled

class Solve(fw.Signature):
    question: str = fw.Input()
    answer: int = fw.Output()

@fw.program
def program(question: str) -> int:
    return doubled(fw.Predict(Solve, name="solve")(question=question).answer)

fw.lower(program, engine=fw.ScriptedEngine(default="21")).save(sys.argv[1])
"""


def write_library(folder: Path, name: str, factor: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(LIBRARY.format(factor=factor))


def with_host(tmp_path: Path, name: str) -> Path:
    write_library(tmp_path / "there", name, 2)
    script = tmp_path / "user.py"
    script.write_text(USER.format(library=name))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path / "there")])}
    run = subprocess.run([sys.executable, str(script), str(tmp_path / "a.fw")], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return tmp_path / "a.fw"


def test_a_host_function_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_host(tmp_path, "library_found")
    monkeypatch.syspath_prepend(str(tmp_path / "there"))
    assert fw.load(path, fw.ScriptedEngine(default="21"))(question="?").result == 42


def test_a_missing_host_function_is_named(tmp_path: Path) -> None:
    path = with_host(tmp_path, "library_missing")
    with pytest.raises(fw.ArtifactError, match=r"library_missing:doubled with source hash [0-9a-f]{64}.*hash: none"):
        fw.load(path, engine())


def test_a_changed_host_function_is_named_with_both_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_host(tmp_path, "library_changed")
    write_library(tmp_path / "here", "library_changed", 3)
    monkeypatch.syspath_prepend(str(tmp_path / "here"))
    hashes = r"library_changed:doubled with source hash ([0-9a-f]{64}), but here its source hash is (?!\1)[0-9a-f]{64}"
    with pytest.raises(fw.ArtifactError, match=hashes):
        fw.load(path, engine())


def test_a_host_function_without_an_import_path_is_not_saved(tmp_path: Path) -> None:
    @fw.op
    def local(value: int) -> int:
        return value + 1

    @fw.program
    def program(question: str) -> int:
        return local(fw.Predict(Solve, name="solve")(question=question).answer)  # type: ignore[no-any-return]

    pipeline = fw.lower(program, engine=engine())
    assert pipeline(question="?").result == 3  # type: ignore[attr-defined]
    with pytest.raises(fw.ArtifactError, match="it has no import path"):
        pipeline.save(tmp_path / "a.fw")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"plan": {}}, "plan.hash must be a text"),
        ({"plan": {"hash": "a", "model": "b", "fingerprint": 7}}, "plan.fingerprint must be a text, but is 7"),
        ({"cap": "x"}, "cap must be null or a positive number of FLOPs, but is 'x'"),
        ({"cap": -1}, "cap must be null or a positive"),
        ({"caps": {"question": "x"}}, "'question' has 'x'"),
        ({"caps": {"other": 7}}, "caps must be of inputs"),
        ({"caps": 7}, "is not of format 1"),
        ({"graph": []}, "is not of format 1"),
    ],
)
def test_a_sealed_artifact_of_another_form_is_refused(saved: Path, part: dict[str, object], said: str) -> None:
    files = {p.relative_to(saved).as_posix(): p.read_bytes() for p in saved.rglob("*") if p.is_file()}
    files["pipeline.json"] = json.dumps({**json.loads(files["pipeline.json"]), **part}).encode()
    del files["SHA256SUMS"]
    write_files(files, saved)
    with pytest.raises(fw.ArtifactError, match=said):
        fw.load(saved, engine=engine())


def test_folders_above_an_artifact_are_made(tmp_path: Path) -> None:
    for name in ("solver.fw", "solver.zip"):
        path = tmp_path / name / "b" / name
        assert fw.load(fw.lower(Solver(), engine=engine()).save(path), engine=engine())(question="?").answer == 2


def test_an_artifact_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(fw.ArtifactError, match="cannot be written"):
        fw.lower(Solver(), engine=engine()).save(tmp_path / "file" / "b" / "solver.fw")
    with pytest.raises(fw.ArtifactError, match="file' is no folder"):
        check_writable(tmp_path / "file" / "b" / "solver.fw")
    check_writable(tmp_path / "new" / "b" / "solver.fw")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
