"""Many workers on one study in PostgreSQL: real processes, some of them killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy.pool import NullPool

import flopwise as fw
from flopwise.backends.engines.scripted import ScriptedSettings
from flopwise.backends.runtime.address import Address
from flopwise.optimizers.joining import join
from tests.postgres_server import Server, wait_for

from . import additions
from .crew import Crew, check_books, crew, ended, findings, report, rows

RACING = 240  # samples after which a coordinator is in the race, with more cells posted than it has claimed
SOME = 5  # samples after which a worker stands still: it has claimed some of those cells, and left some


@pytest.fixture
def study(postgres: Server, tmp_path: Path) -> str:
    return postgres.url(f"it's/{tmp_path} ☃ %20&", lease=15)


@pytest.fixture
def team(tmp_path: Path, study: str) -> Iterator[Crew]:
    with crew(tmp_path, study) as made:
        yield made


def test_two_workers_help_and_nobody_asks_for_a_sample_that_another_has(team: Crew, study: str) -> None:
    lead = team.compile(hold=RACING)
    team.until_asked(lead, RACING)
    able = team.worker("adder.py:Adder", hold=SOME)
    team.until_asked(able, SOME)  # before the other takes what is posted
    bare = team.worker()
    wait_for(lambda: len(rows(study, "SELECT name FROM members")) == 3, 300)
    team.go()
    ended(lead)
    assert team.asked(able) and team.asked(bare)
    assert all("the search has ended; this worker ran" in ended(p)[1] for p in (able, bare))
    assert max(team.asked().values()) == 1
    calm = team.compile("calm", name="calm")
    ended(calm)
    ours, alone = report(team.folder), report(team.folder, "calm")
    assert ours["holdout"]["n"] == alone["holdout"]["n"]
    assert abs(ours["holdout"]["score"]["mean"] - alone["holdout"]["score"]["mean"]) <= 0.01
    spent, held = ours["spent"]["spent"], ours["spent"]["held"]  # others may still be at a cell that they had begun
    assert spent <= check_books(study) * (1 + 1e-9) <= (spent + held) * 1.05


def test_two_of_four_are_killed_the_coordinator_among_them(team: Crew, study: str) -> None:
    lead = team.compile(hold=RACING)
    team.until_asked(lead, RACING)
    workers = [team.worker("adder.py:Adder", hold=SOME)]
    team.until_asked(workers[0], SOME)  # before others take what is posted
    workers += [team.worker("adder.py:Adder"), team.worker()]
    before = {row[:3]: row[3:] for row in rows(study, "SELECT split, config, example, score, flops FROM cells")}
    for process in (lead, workers[0]):
        process.send_signal(signal.SIGKILL)
    team.go()
    assert "led the search to its end" in ended(workers[1])[1]
    ended(workers[2])
    after = {row[:3]: row[3:] for row in rows(study, "SELECT split, config, example, score, flops FROM cells")}
    assert before and {k: after[k] for k in before} == before, "no committed cell is lost or changed"
    again = team.compile(name="again")
    ended(again)
    assert not team.asked(again), "what the workers stored is all there is to ask"
    asked_twice = sum(n - 1 for n in team.asked().values())
    assert asked_twice <= 2 * 16, "what was in flight at the kills, and no more"
    ended(team.compile("calm", name="calm"))
    score, calm = (report(team.folder, n)["holdout"]["score"]["mean"] for n in ("again", "calm"))
    assert abs(score - calm) <= 0.01
    check_books(study)


def test_one_worker_that_is_killed_again_and_again_ends_as_an_undisturbed_one(team: Crew, study: str) -> None:
    for samples in (30, 120, 160):
        killed = team.compile(hold=samples)
        team.until_asked(killed, samples)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    ended(team.compile())
    ended(team.compile("calm", name="calm"))
    ours, alone = report(team.folder), report(team.folder, "calm")
    assert findings(ours) == findings(alone)
    assert ours["spent"]["spent"] >= alone["spent"]["spent"]
    check_books(study)


def test_ctrl_c_gives_the_cells_back_and_the_others_go_on(team: Crew, study: str) -> None:
    lead = team.compile(hold=RACING)
    team.until_asked(lead, RACING)
    worker = team.worker(hold=SOME)
    team.until_asked(worker, SOME)
    worker.send_signal(signal.SIGINT)
    team.go()
    _, said = worker.communicate(timeout=300)
    assert worker.returncode == 130 and "are given back" in said and "Traceback" not in said
    ended(lead)
    assert max(team.asked().values()) == 1, "what it had in flight was waited for and stored"
    check_books(study)


def test_a_second_compile_helps_leads_when_the_first_is_stopped_and_has_the_result(team: Crew, study: str) -> None:
    first = team.compile(hold=RACING)
    team.until_asked(first, RACING)
    second = team.compile(name="second", hold=SOME)
    team.until_asked(second, SOME)
    first.send_signal(signal.SIGINT)
    team.go()
    _, said = first.communicate(timeout=300)
    assert first.returncode == 130 and "the same command goes on from there" in said
    ended(second)
    assert report(team.folder, "second")["holdout"]["n"] == 20
    assert max(team.asked().values()) == 1
    check_books(study)


def test_a_worker_that_slept_for_a_lease_finds_its_work_taken_over_and_is_refused(team: Crew, study: str) -> None:
    lead = team.compile(hold=RACING)
    team.until_asked(lead, RACING)
    worker = team.worker(hold=SOME)
    team.until_asked(worker, SOME)
    worker.send_signal(signal.SIGSTOP)
    wait_for(lambda: len(rows(study, "SELECT name FROM members")) == 1, 300)
    team.go()
    ended(lead)
    worker.send_signal(signal.SIGCONT)
    _, said = worker.communicate(timeout=300)
    assert worker.returncode == 2 and "was not heard of for 15 s" in said and "Traceback" not in said
    check_books(study)


def search(study: str, using: Any, **changes: Any) -> Any:
    return additions.search(study, using, limits=fw.Limits(configs=2), **changes)  # type: ignore[arg-type]


def test_a_search_in_a_database_ends_as_one_in_memory(study: str) -> None:
    import optuna

    first, calm = search(study, additions.engine()), search(None, additions.engine())  # type: ignore[arg-type]
    again = additions.engine()
    resumed = search(study, again)
    assert again.requests == 0
    for found in (first, resumed):
        assert dict(found.config) == dict(calm.config)
        assert findings(found.report) == findings(calm.report)
        assert found.report["spent"] == pytest.approx(calm.report["spent"])
    address = Address.parse(study)
    storage = optuna.storages.RDBStorage(address.driver_url, engine_kwargs={"poolclass": NullPool})
    trials = optuna.load_study(study_name=address.study, storage=storage).trials
    assert len(trials) == len(calm.report["tried"]) + len(calm.report["refused"])


def test_who_does_not_belong_to_a_search_is_told_what_differs(study: str) -> None:
    with pytest.raises(fw.StudyError, match=r"there is no study .*: it has"):
        join(study, additions.engine())
    search(study, additions.engine())
    with pytest.raises(fw.StudyError, match=r"belongs to another search \(.*data\.dev: was .*, is "):
        search(study, additions.engine(), dev=additions.rows(60))
    with pytest.raises(fw.StudyError, match="has ended well; `flopwise compile` with the same words"):
        join(study, additions.engine())
    go_on(study)
    other = fw.ScriptedEngine(additions.say, settings=ScriptedSettings(name="other"))
    with pytest.raises(fw.StudyError, match=r"is of the model .*scripted.*, but this engine runs other"):
        join(study, other)
    with pytest.raises(fw.StudyError, match=r"belongs to another search .*program: was"):
        join(study, additions.engine(), fw.Predict(additions.Add))
    with pytest.raises(fw.StudyError, match=r"belongs to another search .*metric: was"):
        join(study, additions.engine(), additions.Adder(), metric=fw.contains("answer"))


def go_on(study: str) -> None:
    """As if the search had not ended yet."""
    rows(study, "UPDATE facts SET value = 'null' WHERE name = 'ended' RETURNING name")


def right(example: Any, prediction: Any) -> bool:
    return bool(example["answer"] == prediction.answer)


def test_a_search_that_needs_code_asks_a_worker_for_it(study: str) -> None:
    search(study, additions.engine(), metric=right)
    go_on(study)
    with pytest.raises(fw.StudyError, match=r"needs code .*metric is the function .*right\); name the program"):
        join(study, additions.engine())
    with pytest.raises(fw.StudyError, match=r"scores by a function of its own, .*right; name it: --metric"):
        join(study, additions.engine(), additions.Adder())


def test_a_metric_that_raises_at_a_worker_is_told_where_the_search_is_led(study: str) -> None:
    def broken(example: Any, prediction: Any) -> bool:
        raise ZeroDivisionError("oh")

    program = fw.Predict(additions.Add, demos=())  # which makes no demos, so that cells are scored first
    with pytest.raises(fw.MetricError, match=r"broken.*oh"):
        additions.compiled(program, additions.engine(), study=study, metric=broken)
    with pytest.raises(fw.StudyError, match=r"ended with an error: .*broken.*oh"):
        join(study, additions.engine(), program)


def test_examples_that_json_cannot_hold_are_refused(study: str) -> None:
    dev = additions.rows(40)
    with pytest.raises(fw.DataError, match="example 1: a study for many workers keeps examples as JSON"):
        search(study, additions.engine(), dev=[{**row, "extra": object()} for row in dev])


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("mysql://host/db", "a folder or postgresql://.* is needed, but got an address of 'mysql'"),
        ("postgresql://host:port/db", "an address such as postgresql://"),
        ("postgresql:///db?study=", "a name is needed after study="),
        ("postgresql:///db?study=x&lease=0", "`lease >= 1` seconds must hold, but got lease='0'"),
        (
            "postgresql://a:secret@/nowhere?host=/tmp/not-there",
            "'flopwise' in postgresql://a@/tmp/not-there/nowhere.*runs",
        ),
    ],
)
def test_a_wrong_address_is_refused(place: str, says: str) -> None:
    with pytest.raises(fw.StudyError, match=says) as caught:
        search(place, additions.engine())
    assert "secret" not in str(caught.value)


def test_workers_join_no_folder(tmp_path: Path) -> None:
    with pytest.raises(fw.StudyError, match="a folder is one process's"):
        join(str(tmp_path), additions.engine())


def test_a_database_that_is_not_there_is_named(postgres: Server) -> None:
    with pytest.raises(fw.StudyError, match=r"database .nowhere. does not exist; make it on the server"):
        search(f"postgresql://postgres@/nowhere?host={quote(str(postgres.folder))}", additions.engine())


def test_a_server_that_goes_away_is_named_and_nothing_committed_is_lost(postgres: Server, study: str) -> None:
    asked = 0

    def stop(_: Any) -> None:
        nonlocal asked
        asked += 1
        if asked == 120:
            postgres.halt("immediate")

    broken = additions.engine(fail=stop)
    with pytest.raises(fw.StudyError, match=r"see that the server runs .* run the same command"):
        search(study, broken)
    postgres.start()
    again = additions.engine()
    found, calm = search(study, again), search(None, additions.engine())  # type: ignore[arg-type]
    assert dict(found.config) == dict(calm.config)
    assert again.requests < broken.requests + 90
    with psycopg.connect(Address.parse(study).url) as connection:
        assert connection.execute("SELECT count(*) FROM flopwise_studies").fetchone()
