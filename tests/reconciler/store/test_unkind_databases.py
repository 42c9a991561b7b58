"""Databases that are set up otherwise, change while a run is under way, or have no room: told, and nothing half-written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import stamina

from reconciler.store import journal, legacy, tables
from reconciler.store.database import Database, DatabaseFull, ValueRefused, upgrade
from simulator import TurnedClock
from tests.mariadb import MISSING, PROGRAMS, Server, program, serving
from tests.reconciler.store import generations, vms
from tests.reconciler.store.conftest import Furnish
from tests.reconciler.store.making import KEY, NOW
from tests.reconciler.store.test_a_run_in_each_generation import Elsewhere
from tests.reconciler.store.test_legacy import content
from tests.scenarios.house import BOTH, DB3, KEYS, PG, START, cloud_of

Open = Callable[..., Database]
Play = Callable[[str], Elsewhere]


@pytest.fixture
def play(furnish: Furnish, tmp_path: Path) -> Iterator[Play]:
    """Houses over the tables of a generation, with the two sample VMs and a cloud."""
    with ExitStack() as stack:
        stack.enter_context(stamina.set_testing(True, attempts=1))

        def make(generation: str) -> Elsewhere:
            store = furnish(generation, vms.rows(vms.VMS[0]))
            upgrade(store)
            clock = TurnedClock(START)
            made = Elsewhere(tmp_path / "house", clock, cloud_of(clock, durations=1.0), store=store)
            stack.callback(made.close)
            return made

        yield make


@contextmanager
def set_globally(server: Server, name: str, value: str) -> Iterator[None]:
    """A variable of the server has another value for sessions that begin meanwhile."""
    ((before,),) = server.ask(f"SELECT @@GLOBAL.{name}")
    server.say(f"SET GLOBAL {name} = '{value}'")
    try:
        yield
    finally:
        server.say(f"SET GLOBAL {name} = '{before}'")


# --- modes ------------------------------------------------------------------------------------------------------------

NASTY = "a 'quoted' \"name\" || a\\path\\ ` % _ \0 \N{SNOWMAN} \U0001f600"
MODES = {
    "ANSI_QUOTES": "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES": "NO_BACKSLASH_ESCAPES",
    "not strict": "",
    "PIPES_AS_CONCAT": "PIPES_AS_CONCAT",
    "ANSI": "ANSI",
    "ORACLE": "ORACLE",
    "TRADITIONAL": "TRADITIONAL,ONLY_FULL_GROUP_BY",
    "all that disturb": "ANSI_QUOTES,PIPES_AS_CONCAT,IGNORE_SPACE,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE,NO_ZERO_IN_DATE",
}


@pytest.mark.parametrize("mode", MODES)
def test_what_is_written_comes_back_whatever_sql_mode_the_server_has(mode: str, mariadb: Server, opened: Open) -> None:
    with set_globally(mariadb, "sql_mode", MODES[mode]), mariadb.fresh() as name:
        database = opened(mariadb.url(name))
        assert upgrade(database)
        with database.begin() as connection:
            journal.note(connection, NOW, KEY, "told", NASTY)
        with database.read() as connection:
            assert [event.text for event in journal.events(connection, KEY, 9)] == [NASTY]
        with pytest.raises(ValueRefused, match=r"Data too long for column 'owner'.*widen the column"), database.begin() as c:
            c.execute(tables.leases.insert().values(vm_key=KEY, owner="x" * 300, fence=1, expires_at=NOW))
        with database.read() as connection:
            assert connection.execute(tables.leases.select()).all() == []
        database.engine.dispose()


@pytest.mark.parametrize("mode", ["not strict", "ORACLE", "all that disturb"])
def test_a_run_goes_there_and_back_whatever_sql_mode_the_server_has(mode: str, play: Play, mariadb: Server) -> None:
    house = play("g3")
    before = house.proof()
    with set_globally(mariadb, "sql_mode", MODES[mode]):
        mariadb.say("KILL USER failover")
        house.apply(*BOTH)
        house.end(*BOTH)
        assert {house.run(vm).state for vm in BOTH} == {"completed"}
        assert house.proof() == before


# --- what changes while a run is under way ----------------------------------------------------------------------------


@pytest.mark.parametrize("generation", ["g1", "g3"])
def test_a_server_whose_time_zone_changes_in_the_midst_of_a_run_shifts_no_moment(
    generation: str, play: Play, mariadb: Server
) -> None:
    house = play(generation)
    house.apply(PG)
    ends = house.run(PG).expires_at
    with set_globally(mariadb, "time_zone", "+05:45"):
        mariadb.say("KILL USER failover")
        assert house.run(PG).expires_at == ends
        house.advance(timedelta(minutes=31))
        house.drive(PG)
        run, (shown,) = house.run(PG), house.shown(PG)
    assert run.state == "completed"
    assert run.finished_at is not None
    assert run.finished_at - run.created_at < timedelta(hours=1)
    for column, moment in (("started_at", run.created_at), ("completed_at", run.finished_at)):
        assert abs(shown[column] - moment.replace(tzinfo=None)) < timedelta(minutes=5), column


KEY_OF = {"vm_replication_contexts": "context_id", "replication_jobs": "id", "vm_disks": "id"}


def rows_about(house: Elsewhere, vm: str, generation: str) -> dict[str, list[dict[str, Any]]]:
    """The rows that make a VM known, by their table."""
    contexts = ["vm_replication_contexts"] if generation == "g3" else []
    kept = {name: house.rows(f"select * from {name}") for name in (*contexts, "replication_jobs", "vm_disks")}
    jobs = [row for row in kept["replication_jobs"] if row["source_vm_id"].lower() == KEYS[vm]]
    of_job = {job["id"] for job in jobs}
    found = {"replication_jobs": jobs, "vm_disks": [row for row in kept["vm_disks"] if row["job_id"] in of_job]}
    return {name: [row for row in kept[name] if row["vm_name"] == vm] for name in contexts} | found


@pytest.mark.parametrize("generation", ["embedded on SQLite", "g1", "g3"])
def test_disks_that_are_forgotten_in_the_midst_of_a_run_are_taken_back_all_the_same(generation: str, play: Play) -> None:
    """What was moved is in our own journal."""
    house = play(generation)
    before = house.proof()
    house.apply(PG)
    house.edit(*(f"delete from vm_disks where id = {row['id']}" for row in rows_about(house, PG, generation)["vm_disks"]))
    house.end(PG)
    assert house.run(PG).state == "completed"
    assert house.proof() == before


@pytest.mark.parametrize("generation", ["embedded on SQLite", "g1", "g3"])
def test_rows_that_are_deleted_in_the_midst_of_a_run_stop_it_until_they_are_back(generation: str, play: Play) -> None:
    house = play(generation)
    before = house.proof()
    house.apply(*BOTH)
    gone = rows_about(house, PG, generation)
    for name, rows in reversed(gone.items()):
        house.edit(*(f"delete from {name} where {KEY_OF[name]} = '{row[KEY_OF[name]]}'" for row in rows))
    house.advance(timedelta(minutes=2))
    house.end(DB3)
    assert house.run(DB3).state == "completed", "it stops nobody else"
    sent = house.mutations()
    house.end(PG)
    assert (house.run(PG).state, house.mutations()) == ("stuck", sent)
    assert "the replication system's database no longer lists this VM" in str(house.run(PG).reason)
    with house.connected.database.begin() as connection:
        for name, rows in gone.items():
            columns = ", ".join(rows[0]), ", ".join(f":{column}" for column in rows[0])
            connection.execute(sa.text(f"insert into {name} ({columns[0]}) values ({columns[1]})"), rows)
    house.end(PG)
    assert house.run(PG).state == "completed"
    assert house.proof() == before


def test_a_value_that_is_longer_than_its_column_stops_its_own_vm_and_is_told(play: Play, mariadb: Server) -> None:
    house = play("g1")
    with house.store.engine.connect() as connection:
        connection.execute(sa.text("ALTER TABLE failover_jobs MODIFY source_vm_name VARCHAR(8) NOT NULL"))
    for vm in BOTH:
        house.approve(house.plan(vm))
    house.drive(*BOTH)
    assert house.run(DB3).state == "holding"
    assert [run.vm_name for run in house.runs()] == [DB3], "nothing was begun, nothing is half there"
    assert house.shown(PG) == []
    (spec,) = house.rows(f"select state, reason from fr_specs where vm_key = '{KEYS[PG]}'")
    assert spec["state"] == "failed"
    assert "does not take a value: Data too long for column 'source_vm_name' at row 1 (1406)" in spec["reason"]
    assert "widen the column, or shorten the name" in spec["reason"]
    house.end(DB3)


# --- no room ----------------------------------------------------------------------------------------------------------

LONG = "x" * 60_000
MANY = 5000


def fill(database: Database) -> tuple[int, str]:
    """Write pairs of long texts until there is no room; how many pairs there are, and what is said."""
    for number in range(MANY):
        try:
            with database.begin() as connection:
                for part in ("first", "second"):
                    row = {"at": NOW, "vm_key": f"{KEY}-{part}", "kind": "told", "text": LONG}
                    connection.execute(tables.events.insert().values(row))
        except DatabaseFull as full:
            return number, str(full)
    raise AssertionError("it is never full")


def pairs(database: Database) -> tuple[int, ...]:
    with database.read() as connection:
        return tuple(len(journal.events(connection, f"{KEY}-{part}", MANY)) for part in ("first", "second"))


def test_a_full_disk_under_sqlite_is_told_and_leaves_nothing_half_written(tmp_path: Path, opened: Open) -> None:
    database = opened(f"sqlite:///{tmp_path / 'failover.db'}")
    upgrade(database)
    with database.read() as connection:
        size = int(connection.execute(sa.text("PRAGMA page_count")).scalar_one())
    found = []
    for more in (20, 200):
        database.engine.dispose()
        most = f"PRAGMA max_page_count={size + more}"
        sa.event.listen(database.engine, "connect", lambda connection, _, most=most: connection.execute(most))
        number, said = fill(database)
        assert said.endswith("and nothing of it was: make space on the disk of its file")
        found.append(number)
        assert pairs(database) == (sum(found), sum(found))
    assert found[1] > 0, "once there is room it goes on"


@pytest.fixture
def small() -> Iterator[Path]:
    """A file system of its own, with little room."""
    if not all(map(program, PROGRAMS)):
        pytest.skip(MISSING)
    folder = Path("/tmp") / f"small-{os.getpid()}"
    folder.mkdir()
    command = ("mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(folder))
    try:
        if not shutil.which("mount") or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("no file system may be mounted here: run this test as root to have it")
        try:
            yield folder
        finally:
            subprocess.run(("umount", str(folder)), check=True)
    finally:
        folder.rmdir()


def test_a_full_disk_under_mariadb_is_told_and_leaves_nothing_half_written(small: Path, opened: Open) -> None:
    with serving(where=small) as server:
        name = server.database()
        generations.fill(server.url(name), "g3", vms.rows(vms.VMS[0]))
        database = opened(server.url(name))
        upgrade(database)
        before = content(database)
        number, said = fill(database)
        assert number > 0
        assert said.endswith("and nothing of it was: see how full the disk of its server is, and its log")
        assert pairs(database) == (number, number)
        assert content(database) == before
        assert legacy.adopt(database).has_contexts, "it can still be read"
        server.say(f"TRUNCATE {name}.fr_events")
        assert fill(database)[0] > 0, "and written, once there is room"
        database.engine.dispose()
