"""`failover db` as an operator has it: what is old goes where nothing is left of it, and what is needed stays."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import QUICK_JOBS
from tests.cli.world import APPLIANCE, KEYS, PG, VOLUME, Cloud, House

DONE, ERROR, REFUSED = 0, 1, 3
TEST = f"vm: {PG}\nstate: test-failover\nfor: 30m\n"
LONG_AGO = "2025-03-01 12:00:00.000000"


def counted(home: House, table: str) -> int:
    return home.rows(f"SELECT COUNT(*) FROM {table}")[0][0]


def played(home: House, times: int) -> list[str]:
    """The ids of so many tests, all of them taken back; the first has ended long ago."""
    home.write(TEST)
    for _ in range(times):
        assert home.run("apply", "--yes", "--again", "specs").code == DONE
        assert home.run("end", PG).code == DONE
    ids = [row[0] for row in home.rows("SELECT id FROM fr_runs ORDER BY attempt")]
    home.edit(f"UPDATE fr_runs SET finished_at = '{LONG_AGO}'")
    return ids


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A database after two tests, which are taken back whole, and their ids."""
    cloud = Cloud(*QUICK_JOBS)
    home = House(tmp_path_factory.mktemp("story") / "home", cloud.url)
    ids = played(home, 2)
    cloud.close()
    return home.folder / "failover.db", ids


@pytest.fixture
def old(home: House, story: tuple[Path, list[str]]) -> tuple[House, list[str]]:
    """That database in a folder of the test's own, beside a cloud in which nothing of it is left."""
    path, ids = story
    with closing(sqlite3.connect(path)) as told, closing(sqlite3.connect(home.folder / "failover.db")) as own:
        told.backup(own)
    home.write(TEST)
    return home, list(ids)


def test_what_is_old_goes_with_all_its_parts_and_the_newest_run_stays(old: tuple[House, list[str]]) -> None:
    home, (first, newest) = old
    told = home.run("db", "prune", "--yes", "--format", "json").json
    assert [row["id"] for row in told["runs"]] == [first]
    assert told["removed"]["runs"] == 1
    assert home.rows("SELECT id FROM fr_runs") == [(newest,)]
    for part in ("fr_steps", "fr_placements", "fr_points", "fr_events"):
        assert {row[0] for row in home.rows(f"SELECT DISTINCT run_id FROM {part} WHERE run_id IS NOT NULL")} == {newest}
    assert "removed from the history by" in " ".join(home.run("why", PG).out.split())
    assert home.run("db", "prune", "--yes").out == "nothing is old enough to go\n"
    assert counted(home, "failover_jobs") == 2, "the replication system's tables are not ours to prune"


def test_the_number_of_the_next_attempt_is_none_that_was(old: tuple[House, list[str]]) -> None:
    home, _ = old
    home.run("db", "prune", "--yes")
    assert home.run("apply", "--yes", "--again", "specs").code == DONE
    assert home.rows("SELECT MAX(attempt) FROM fr_runs") == [(3,)]


def test_a_dry_run_shows_and_leaves(old: tuple[House, list[str]]) -> None:
    home, (first, _) = old
    before = home.dump()
    told = home.run("db", "prune", "--dry-run")
    assert (told.code, first in told.out, "Nothing was removed." in told.out) == (DONE, True, True)
    assert home.dump() == before


def test_nothing_goes_where_nobody_said_yes(old: tuple[House, list[str]]) -> None:
    home, _ = old
    before = home.dump()
    told = home.run("db", "prune")
    assert (told.code, "say --yes or --dry-run" in told.err) == (REFUSED, True)
    assert home.dump() == before


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        (f"UPDATE fr_points SET snapshot_id = '{VOLUME}'", f"{VOLUME} is still in CloudStack"),
        (f"UPDATE fr_runs SET guest_id = '{APPLIANCE}'", f"{APPLIANCE} is still in CloudStack"),
        ("UPDATE fr_runs SET failed = 1", "it failed; --failed removes such runs, too"),
        (
            "INSERT INTO fr_dirty (volume_id, vm_key, run_id, since) "
            f"SELECT '{VOLUME}', vm_key, id, finished_at FROM fr_runs ORDER BY attempt LIMIT 1",
            "replicas that it left written await a full sync",
        ),
    ],
    ids=["a snapshot", "a guest", "failed", "dirty"],
)
def test_a_run_of_which_something_is_left_stays(old: tuple[House, list[str]], statement: str, why: str) -> None:
    home, (first, _) = old
    home.edit(statement)
    told = home.run("db", "prune", "--yes", "--format", "json").json
    assert told["runs"] == []
    assert [(row["id"], row["why"]) for row in told["kept"]] == [(first, why)]
    assert counted(home, "fr_runs") == 2
    assert first in home.run("db", "prune").out


def test_runs_that_failed_go_where_that_is_asked(old: tuple[House, list[str]]) -> None:
    home, (_, newest) = old
    home.edit("UPDATE fr_runs SET failed = 1")
    assert home.run("db", "prune", "--yes", "--failed").code == DONE
    assert home.rows("SELECT id FROM fr_runs") == [(newest,)]


def test_for_ever_is_for_ever(old: tuple[House, list[str]]) -> None:
    home, _ = old
    with (home.folder / "failover.yaml").open("a", encoding="utf-8") as opened:
        opened.write("retention:\n  tests: null\n")
    home.run("db", "prune", "--yes")
    assert counted(home, "fr_runs") == 2


def test_old_events_of_no_run_and_specs_that_nothing_needs_go(old: tuple[House, list[str]]) -> None:
    home, _ = old
    home.edit(
        f"INSERT INTO fr_events (at, vm_key, kind, text) VALUES ('{LONG_AGO}', '{KEYS[PG]}', 'refused', 'old news')",
        f"UPDATE fr_specs SET ended_at = '{LONG_AGO}'",
    )
    told = home.run("db", "prune", "--yes", "--format", "json").json
    assert (told["removed"]["events"], told["removed"]["specs"]) == (1, 1)
    assert home.rows("SELECT COUNT(*) FROM fr_events WHERE text = 'old news'") == [(0,)]
    assert counted(home, "fr_specs") == 1


def test_while_a_test_runs_nothing_of_it_goes_and_the_tables_stay(home: House) -> None:
    home.write(TEST)
    assert home.run("apply", "--yes", "specs").code == DONE
    assert home.run("db", "prune", "--yes").out == "nothing is old enough to go\n"
    for version in ("base", "0001"):
        told = home.run("db", "downgrade", version)
        assert told.code == REFUSED, told.text
        assert "end them with `failover end`" in told.err
    assert home.run("end", PG).code == DONE
    assert home.run("db", "downgrade", "base").out == "downgraded\n"
    assert home.run("db", "current").out.startswith("no tables of ours; the newest is ")
    checked = home.run("db", "check")
    assert (checked.code, "run `failover db upgrade`" in checked.out) == (ERROR, True)
    assert home.run("db", "upgrade").out == "upgraded\n"
    assert home.run("db", "check").code == DONE


def test_the_documented_tables_are_made_where_there_are_none(home: House) -> None:
    empty = {"FAILOVER_DATABASE__URL": "sqlite:///empty.db"}
    assert "run `failover init`" in home.run("db", "create", **empty).err
    (home.folder / "empty.db").touch()
    told = home.run("db", "create", **empty)
    assert (told.code, told.out.startswith("made; ")) == (DONE, True), told.text
    assert home.run("db", "upgrade", **empty).out == "upgraded\n"
    assert home.run("db", "check", **empty).code == DONE
    again = home.run("db", "create", **empty)
    assert (again.code, "nothing was made" in again.err) == (ERROR, True)
