import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from flopwise.backends.runtime.bank import SampleBank
from flopwise.backends.runtime.keys import sample_key, score_key
from flopwise.errors import StudyError
from flopwise.ir.request import Decoding, GenerateRequest, Grammar, Sample, ScoreRequest, Usage
from tests.backends.runtime.banks import charged, open_bank
from tests.postgres_server import wait_for

REQUEST = GenerateRequest((1, 2, 3), Decoding(0.7), None, 1, "solve", 0)
KEY = sample_key("model", REQUEST)
USAGE = Usage(3, 4, 2)


def sample(index: int) -> Sample:
    return Sample((10, 70_000 + index), f"text {index} é\ud800", "stop", 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bank.sqlite"


@pytest.fixture(params=["file", "postgres"])
def place(request, tmp_path: Path) -> str:
    """Where a bank is kept; each test that takes it holds in both."""
    if request.param == "file":
        return str(tmp_path / "bank.sqlite")
    return request.getfixturevalue("postgres").url(f"{request.node.name} {tmp_path}", lease=4)


def test_gives_back_what_was_put_in_this_process_and_the_next(place):
    with open_bank(place) as bank:
        bank.put(KEY, 0, sample(0), 5.0, USAGE)
        bank.put(KEY, 2, sample(2), 6.0, USAGE)
        assert bank.get(KEY, 0, 4) == [sample(0), None, sample(2), None]
    with open_bank(place) as bank:
        assert bank.get(KEY, 1, 2) == [None, sample(2)]
        stored = bank.stored(KEY, 0, 1)[0]
        assert stored is not None
        assert (stored.sample, stored.flops, stored.usage) == (sample(0), 5.0, USAGE)
        assert bank.get(b"other", 0, 1) == [None]


def test_another_process_sees_what_was_flushed(place):
    with open_bank(place) as one, open_bank(place) as two:
        one.put(KEY, 0, sample(0), 1.0, USAGE)
        one.flush()
        assert two.get(KEY, 0, 1) == [sample(0)]


def test_what_is_put_reaches_the_file_by_itself(place):
    with open_bank(place) as one, open_bank(place) as two:
        one.put(KEY, 0, sample(0), 1.0, USAGE)
        deadline = time.monotonic() + 20
        while two.get(KEY, 0, 1) == [None]:
            assert time.monotonic() < deadline, "the writer thread never wrote"


def test_of_two_draws_of_one_sample_the_first_stays(place):
    with open_bank(place) as one, open_bank(place) as two:
        one.put(KEY, 0, sample(0), 1.0, USAGE)
        one.flush()
        two.put(KEY, 0, sample(5), 1.0, USAGE)
    with open_bank(place) as bank:
        assert bank.get(KEY, 0, 1) == [sample(0)]


def test_keeps_scores(place):
    key = score_key("model", ScoreRequest((1, 2), (8, 9)))
    with open_bank(place) as bank:
        assert bank.get_score(key) is None
        bank.put_score(key, (0.1, 0.9), 7.0, Usage(2, 0, 1))
    with open_bank(place) as bank:
        stored = bank.get_score(key)
        assert stored is not None
        assert (stored.probabilities, stored.flops, stored.usage) == ((0.1, 0.9), 7.0, Usage(2, 0, 1))


def test_more_rows_than_memory_keeps_are_read_from_the_file(place, monkeypatch):
    monkeypatch.setattr("flopwise.backends.runtime.bank._RECENT", 10)
    with open_bank(place) as bank:
        for i in range(100):
            bank.put(KEY, i, sample(i), 1.0, USAGE)
        assert bank.get(KEY, 0, 100) == [sample(i) for i in range(100)]
        assert len(bank._recent) == 10


def test_a_reservation_is_over_when_its_sample_is_stored_or_it_is_released(path):
    bank = SampleBank(path)
    bank.reserve(KEY, [0, 1, 2], 30.0)
    bank.put(KEY, 0, sample(0), 9.0, USAGE)
    bank.release(KEY, [1])
    assert bank.orphans() == [], "its owner is alive"
    bank.close()
    with SampleBank(path) as bank:
        assert bank.orphans() == [(KEY, 2, 10.0)]
        assert bank.charge_orphans() == 10.0
        assert (bank.charge_orphans(), bank.orphans()) == (0.0, [])


def test_a_score_clears_its_reservation(place):
    with open_bank(place) as bank:
        bank.reserve(KEY, [0], 3.0)
        bank.put_score(KEY, (1.0,), 3.0, USAGE)
    with open_bank(place) as bank:
        assert charged(bank) == 0.0


def test_what_is_left_reserved_at_the_end_is_charged_once(place):
    with open_bank(place) as alive:
        with open_bank(place) as bank:
            bank.reserve(KEY, [0, 1, 2], 30.0)
            bank.put(KEY, 0, sample(0), 9.0, USAGE)
            bank.release(KEY, [1])
            alive.reserve(KEY, [7], 5.0)
        assert charged(alive) == 10.0, "the living keep theirs"
        assert alive.charge_orphans() == 0.0


def test_the_living_and_other_studies_keep_their_reservations(path):
    with SampleBank(path, study="a") as alive:
        alive.reserve(KEY, [0], 1.0)
        dead = SampleBank(path, study="b")
        dead.reserve(KEY, [1], 2.0)
        dead.close()
        with SampleBank(path, study="a") as bank:
            assert bank.charge_orphans() == 0.0
        with SampleBank(path, study="b") as bank:
            assert bank.charge_orphans() == 2.0


KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from flopwise.ir.request import Sample, Usage
from tests.backends.runtime.banks import open_bank
bank = open_bank({place!r})
bank.reserve({key!r}, [0, 1], 8.0)
bank.put({key!r}, 0, Sample((1,), "kept", "stop", 2), 4.0, Usage(3, 2, 0))
bank.reserve({key!r}, [2, 3], 6.0)          # the group commit takes sample 0 along
bank.put({key!r}, 2, Sample((1,), "lost", "stop", 2), 4.0, Usage(3, 2, 0))
{death}
"""


@pytest.mark.parametrize("death", ["os._exit(9)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_after_a_kill_samples_are_kept_and_what_was_in_flight_is_charged_once(place, death):
    root = str(Path(__file__).parents[3])
    script = KILLED.format(root=root, place=place, key=KEY, death=death)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode in (9, -signal.SIGKILL), ended.stderr
    taken = 0.0

    def buried():
        nonlocal taken
        taken = taken or charged(bank)
        return taken

    with open_bank(place) as bank:
        kept = bank.get(KEY, 0, 4)
        assert kept[0] is not None and kept[0].text == "kept"
        assert kept[1] is None and kept[3] is None
        wait_for(buried)
        assert taken == 4.0 + 3.0 + (0.0 if kept[2] else 3.0), "stored or charged, never both"
        assert bank.charge_orphans() == 0.0


def test_no_lock_of_the_dead_is_left(path):
    bank = SampleBank(path)
    bank.reserve(KEY, [0], 1.0)
    bank.close()
    with SampleBank(path) as bank:
        assert bank.charge_orphans() == 1.0
    assert sorted(os.listdir(path.parent)) == [path.name]


SHARING = """
import sys
sys.path.insert(0, {root!r})
from flopwise.ir.request import Sample, Usage
from tests.backends.runtime.banks import open_bank
with open_bank({place!r}) as bank:
    for i in range({start}, {start} + 300):
        bank.reserve({key!r}, [i], 1.0)
        bank.put({key!r}, i, Sample((i,), str(i), "stop", 2), 1.0, Usage(3, 2, 0))
"""


def test_processes_share_one_bank(place):
    scripts = [SHARING.format(root=str(Path(__file__).parents[3]), place=place, key=KEY, start=s) for s in (0, 300)]
    running = [subprocess.Popen([sys.executable, "-c", script]) for script in scripts]
    assert [process.wait() for process in running] == [0, 0]
    with open_bank(place) as bank:
        assert [s.text for s in bank.get(KEY, 0, 600) if s] == [str(i) for i in range(600)]
        assert charged(bank) == 0.0


OPENING = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from flopwise.backends.runtime.database import connect
while time.time() < {start}:
    pass
for i in range(30):
    connect(Path({folder!r}) / str(i)).close()
"""


def test_processes_that_make_one_file_at_the_same_time_all_open_it(tmp_path):
    script = OPENING.format(root=str(Path(__file__).parents[3]), folder=str(tmp_path), start=time.time() + 1)
    running = [subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[1] for process in running] == ["", "", ""]


def test_a_bank_without_a_path_keeps_nothing():
    with SampleBank(None) as bank:
        bank.reserve(KEY, [0], 1.0)
        bank.put(KEY, 0, sample(0), 1.0, USAGE)
        bank.flush()
        assert not bank.enabled
        assert bank.get(KEY, 0, 2) == [None, None]
        assert bank.get_score(KEY) is None
        assert (bank.orphans(), bank.charge_orphans()) == ([], 0.0)


def test_a_newer_version_is_refused(path):
    SampleBank(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StudyError, match="version 99, but this flopwise reads up to 1; upgrade"):
        SampleBank(path)


def test_another_programs_database_is_refused(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(StudyError, match="another program"):
        SampleBank(path)


def test_a_damaged_file_is_refused(path):
    path.write_bytes(b"not a database, but long enough to have a header of one hundred bytes" * 20)
    with pytest.raises(StudyError, match="not a database; move the file away"):
        SampleBank(path)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(StudyError, match="give a path in a folder that exists"):
        SampleBank(tmp_path / "missing" / "bank.sqlite")


def test_a_full_disk_is_named_and_nothing_committed_is_lost(path):
    bank = SampleBank(path)
    bank.put(KEY, 0, sample(0), 1.0, USAGE)
    bank.flush()
    connection = bank.store.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StudyError, match="disk is full; free space"):
        for i in range(1, 5000):
            bank.put(KEY, i, sample(i), 1.0, USAGE)
    connection.execute("PRAGMA max_page_count = 1000000")
    bank.close()
    with SampleBank(path) as bank:
        assert None not in bank.get(KEY, 0, 1025)


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, ids=(1, 2, 4)),
        replace(REQUEST, stream="judge"),
        replace(REQUEST, grammar=Grammar("regex", "a+")),
        *(
            replace(REQUEST, decoding=d)
            for d in (
                Decoding(0.8),
                Decoding(0.7, top_p=0.9),
                Decoding(0.7, top_k=5),
                Decoding(0.7, max_tokens=9),
                Decoding(0.7, stop=("x",)),
                Decoding(0.0),
            )
        ),
    ],
)
def test_everything_asked_is_in_the_key(other):
    assert sample_key("model", other) != KEY
    assert sample_key("another", REQUEST) != KEY


def test_n_and_the_index_are_not_in_the_key():
    assert sample_key("model", replace(REQUEST, n=8, first_index=3)) == KEY
    greedy = replace(REQUEST, decoding=Decoding(0.0))
    assert sample_key("model", greedy) == sample_key("model", replace(greedy, stream="judge", n=4))
