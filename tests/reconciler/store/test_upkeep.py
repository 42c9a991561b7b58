"""Versions of our tables, the way back, and the look at everything we rely on; in every generation of the other tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from migrations import run
from reconciler.store import journal, legacy, tables, upkeep
from reconciler.store.database import Database, ProgramTooOld, StoreError, upgrade
from reconciler.store.generation import Generation
from reconciler.store.upkeep import StillNeeded
from tests.mariadb import PASSWORD, Server
from tests.reconciler.store import generations, making, vms
from tests.reconciler.store.conftest import Furnish
from tests.reconciler.store.test_migrations import shape


def ddl(database: Database) -> str:
    """A checksum of the definitions of every table that is not ours, as the database itself tells them."""
    with database.read() as connection:
        names = [name for name in sorted(sa.inspect(connection).get_table_names()) if not name.startswith("fr_")]
        if database.is_sqlite:
            query = sa.text("SELECT name, sql FROM sqlite_master WHERE tbl_name = :of ORDER BY name")
            told: list[Any] = [tuple(row) for name in names for row in connection.execute(query, {"of": name})]
        else:
            told = [connection.exec_driver_sql(f"SHOW CREATE TABLE {name}").one()[1] for name in names]
            told = [text.partition(" AUTO_INCREMENT=")[0] for text in told]  # how many rows there were is no definition
    assert told
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


@pytest.mark.parametrize("generation", generations.ALL)
def test_there_and_back_our_tables_leave_every_other_as_it_was(furnish: Furnish, generation: str) -> None:
    database = furnish(generation)
    before, definitions = shape(database), ddl(database)
    for _ in range(2):
        assert upgrade(database)
        assert ddl(database) == definitions
        assert upkeep.versions(database) == (run.head(), run.head())
        assert upkeep.downgrade(database, run.BASE)
        assert shape(database) == before
        assert ddl(database) == definitions
        assert upkeep.versions(database) == (None, run.head())
    assert not upkeep.downgrade(database, run.BASE)


def test_an_empty_database_gets_the_documented_tables_and_is_used_like_any_other(empty: Database) -> None:
    upkeep.create(empty)
    assert legacy.adopt(empty).generation is Generation.EMBEDDED
    definitions = ddl(empty)
    assert upgrade(empty)
    assert ddl(empty) == definitions
    with empty.read() as connection:
        assert legacy.adopt(empty).sources(connection) == ()
    with pytest.raises(StoreError, match=r"has tables of a replication system already \(cbt_history, .*nothing was made"):
        upkeep.create(empty)
    assert ddl(empty) == definitions


@pytest.mark.parametrize("generation", ["g1", "g3"])
def test_tables_of_a_replication_system_are_never_added_to(furnish: Furnish, generation: str) -> None:
    database = furnish(generation)
    with database.begin() as connection:
        connection.exec_driver_sql("DROP TABLE cbt_history")
    before = shape(database)
    with pytest.raises(StoreError, match="nothing was made"):
        upkeep.create(database)
    assert shape(database) == before


def test_every_version_can_be_gone_back_to_and_up_from_again(empty: Database) -> None:
    upgrade(empty)
    newest = shape(empty)
    for version in reversed(run.versions()[:-1]):
        assert upkeep.downgrade(empty, version)
        assert not upkeep.downgrade(empty, version)
        assert upkeep.versions(empty)[0] == version
    assert upgrade(empty)
    assert shape(empty) == newest


def test_a_version_that_is_not_there_is_told_with_those_that_are(store: Database) -> None:
    with pytest.raises(StoreError, match='no version "9" of our tables: say one of base, 0001, '):
        upkeep.downgrade(store, "9")


@pytest.mark.parametrize("to", ["base", "0001"])
def test_our_tables_stay_while_a_run_is_open(store: Database, to: str) -> None:
    with store.begin() as connection:
        made = making.opened(connection)
    before = shape(store)
    with pytest.raises(StillNeeded, match=made.id):
        upkeep.downgrade(store, to)
    assert shape(store) == before


@pytest.mark.parametrize("to", ["base", "0001", "0002", "0003", "0004"])
def test_our_tables_stay_while_they_alone_know_of_a_dirty_replica(store: Database, to: str) -> None:
    with store.begin() as connection:
        row = {"volume_id": "v", "vm_key": making.KEY, "run_id": "r", "since": making.NOW, "full_sync": 7}
        connection.execute(tables.dirty.insert().values(row))
    if to in ("0003", "0004"):
        assert upkeep.downgrade(store, to)
        assert upgrade(store)
    else:
        with pytest.raises(StillNeeded, match="1 replicas were left written"):
            upkeep.downgrade(store, to)
    with store.read() as connection:
        assert connection.execute(sa.select(tables.dirty.c.full_sync)).scalar() == 7


@pytest.mark.parametrize("to", ["base", "0003", "0004"])
def test_our_tables_stay_while_they_alone_hold_mappings(store: Database, to: str) -> None:
    names = ("vm_id", "source_network_name", "destination_network_id", "destination_network_name", "made_by")
    with store.begin() as connection:
        row = {**dict.fromkeys(names, "x"), "is_test_network": True, "made_at": making.NOW}
        connection.execute(tables.network_mappings.insert().values(row))
    if to == "0004":
        assert upkeep.downgrade(store, to)
        assert upgrade(store)
    else:
        with pytest.raises(StillNeeded, match=r"alone hold 1 network mappings.*unmap them first"):
            upkeep.downgrade(store, to)
    with store.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.network_mappings)).scalar() == 1


@pytest.mark.parametrize("generation", ["embedded on SQLite", "g1", "g3"])
def test_a_replica_left_written_by_an_older_version_stays_dirty_until_a_sync_after_the_upgrade(
    furnish: Furnish, generation: str
) -> None:
    database = furnish(generation, vms.rows())
    upgrade(database)
    upkeep.downgrade(database, "0002")
    with database.begin() as connection:
        row = {"v": vms.volume(6), "k": vms.uuid(6), "t": "2025-08-01 00:00:00"}
        connection.execute(sa.text("INSERT INTO fr_dirty (volume_id, vm_key, run_id, since) VALUES (:v, :k, 'r', :t)"), row)
    assert upgrade(database)
    with database.read() as connection:
        marks = journal.dossiers(connection, [vms.uuid(6)])[vms.uuid(6)].dirty
        (source,) = (s for s in legacy.adopt(database).sources(connection) if s.key == vms.uuid(6))
    assert source.disks[0].full_sync is not None, "there was one before it was written"
    assert source.unsynced_since(marks) == {vms.volume(6)}


def made_by_a_newer_release(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(sa.text(f"UPDATE {tables.VERSION_TABLE} SET version_num = '0099'"))


def test_the_version_that_the_program_knows_is_the_newest_migration() -> None:
    assert (run.VERSION_TABLE, run.head()) == (tables.VERSION_TABLE, tables.VERSION)


@pytest.mark.parametrize("generation", ["embedded on SQLite", "g3"])
def test_tables_that_a_newer_release_made_are_left_alone_and_told(furnish: Furnish, generation: str) -> None:
    database = furnish(generation, vms.rows())
    upgrade(database)
    made_by_a_newer_release(database)
    before = shape(database)
    for work in (legacy.adopt, upgrade, upkeep.upgrade, lambda d: upkeep.downgrade(d, run.BASE)):
        with pytest.raises(ProgramTooOld, match=r"of version 0099, and this program knows .* use the release"):
            work(database)
    assert shape(database) == before
    assert upkeep.versions(database) == ("0099", run.head())
    wrong = next(f.wrong for f in upkeep.check(database) if f.what == "ours")
    assert wrong is not None
    assert wrong.startswith("a newer release made them")


def test_a_run_under_way_survives_an_upgrade(store: Database) -> None:
    """From the version before the newest: what was written under it stands there afterwards."""
    assert upkeep.downgrade(store, run.versions()[-2])
    with store.begin() as connection:
        made = making.opened(connection)
    assert upgrade(store)
    with store.read() as connection:
        row = connection.execute(sa.select(tables.runs.c.id, tables.runs.c.open_of)).one()
    assert tuple(row) == (made.id, making.KEY)


# --- check ------------------------------------------------------------------------------------------------------------


def seen(database: Database) -> dict[str, upkeep.Finding]:
    return {
        f"{f.what} {f.seen.partition(':')[0]}" if f.what in ("words", "unique") else f.what: f
        for f in upkeep.check(database)
    }


@pytest.mark.parametrize("generation", generations.ALL)
def test_a_database_that_can_be_used_has_nothing_wrong(settled: Furnish, generation: str) -> None:
    assert [finding for finding in upkeep.check(settled(generation)) if finding.wrong] == []


def test_what_is_relied_on_is_shown(settled: Furnish) -> None:
    found = seen(settled("g3"))
    assert found["server"].seen.startswith("MariaDB 1")
    assert found["tables"].seen == "G3, with VM contexts and enumerated statuses"
    assert found["words failover_jobs.status"].seen.endswith("completed, failed, cleanup, reverting")
    assert "vm_id, source_network_name, is_test_network" in found["unique network_mappings"].seen
    assert found["times"].seen.startswith("session +00:00, server ")
    assert found["sql_mode"].seen.startswith("session STRICT_ALL_TABLES, ")
    assert "; server STRICT_TRANS_TABLES, " in found["sql_mode"].seen
    assert "utf8mb4_general_ci" in found["collated"].seen
    assert found["rights"].seen == "all that are needed"
    assert found["ours"].seen == f"version {run.head()}"


def test_tables_of_no_generation_are_told_and_the_rest_is_still_looked_at(furnish: Furnish) -> None:
    database = furnish("g2")
    with database.begin() as connection:
        connection.execute(sa.text("DROP TABLE cbt_history"))
    found = seen(database)
    assert "table cbt_history is missing" in str(found["tables"].wrong)
    assert "run `failover db upgrade`" in str(found["ours"].wrong)


def test_rights_that_lack_are_named(mariadb: Server, opened: Callable[..., Database]) -> None:
    with mariadb.fresh() as name:
        generations.fill(mariadb.url(name), "g3", {})
        mariadb.say(
            f"CREATE OR REPLACE USER reader@localhost IDENTIFIED BY '{PASSWORD}'",
            f"CREATE OR REPLACE USER reader@'%' IDENTIFIED BY '{PASSWORD}'",
            *(f"GRANT SELECT ON `{name}`.* TO reader@{host}" for host in ("localhost", "'%'")),
            *(f"GRANT INSERT ON `{name}`.failover_jobs TO reader@{host}" for host in ("localhost", "'%'")),
        )
        wrong = str(seen(opened(mariadb.url(name, user="reader")))["rights"].wrong)
    assert wrong.startswith("grant ")
    assert "UPDATE on failover_jobs" in wrong
    assert "UPDATE on vm_replication_contexts" in wrong
    assert "CREATE on fr_runs" in wrong
    assert "INSERT on failover_jobs" not in wrong
    assert "SELECT" not in wrong


@pytest.mark.parametrize(
    ("where", "schema", "held"),
    [("", "any", True), ("migratekit\\_oma", "migratekit_oma", True), ("migratekit\\_oma", "migratekitXoma", False),
     ("migratekit%", "migratekit_oma", True), ("other", "migratekit_oma", False)],
)  # fmt: skip
def test_a_right_on_a_database_counts_where_its_pattern_fits(where: str, schema: str, held: bool) -> None:
    assert upkeep._is_granted([(where, "", "SELECT")], schema, "fr_runs", "SELECT") == held
