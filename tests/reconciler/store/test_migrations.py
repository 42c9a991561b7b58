from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from migrations import run
from reconciler.store import embedded, tables
from reconciler.store.database import Database, DatabaseMissing, upgrade

OURS = {*tables.metadata.tables, run.VERSION_TABLE}


def shape(database: Database) -> dict[str, Any]:
    """Everything that can be told of all tables: columns with types, keys, indexes."""
    with database.read() as connection:
        look = sa.inspect(connection)
        return {
            name: (
                [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in look.get_columns(name)],
                look.get_pk_constraint(name)["constrained_columns"],
                sorted((i["name"], *i["column_names"]) for i in look.get_indexes(name)),
                look.get_foreign_keys(name),
            )
            for name in look.get_table_names()
        }


def test_the_first_upgrade_makes_our_tables_and_the_second_changes_nothing(empty: Database) -> None:
    assert upgrade(empty)
    made = shape(empty)
    assert made.keys() == OURS
    assert not upgrade(empty)
    assert shape(empty) == made


def test_migrations_make_what_the_code_describes(empty: Database) -> None:
    upgrade(empty)
    with empty.read() as connection:
        options = {"compare_type": True, "compare_server_default": True, "version_table": run.VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []


def test_nothing_of_ours_hangs_on_a_foreign_key(empty: Database) -> None:
    """So no cascade reaches our rows, and none of theirs; SQLite may rebuild our tables without losing rows of others."""
    upgrade(empty)
    assert [keys for *_, keys in shape(empty).values() if keys] == []


def test_upgrading_leaves_the_replication_tables_as_they_are(empty: Database) -> None:
    with empty.begin() as connection:
        embedded.create(connection)
    before = shape(empty)
    upgrade(empty)
    after = shape(empty)
    assert {name: after[name] for name in before} == before
    assert after.keys() == before.keys() | OURS


def test_an_upgrade_that_died_half_way_is_finished_by_the_next(empty: Database) -> None:
    upgrade(empty)
    whole = shape(empty)
    with empty.begin() as connection:
        connection.execute(sa.text("DROP TABLE fr_events"))
        connection.execute(sa.text("DROP INDEX ix_fr_runs_state" + ("" if empty.is_sqlite else " ON fr_runs")))
        connection.execute(sa.text(f"DELETE FROM {run.VERSION_TABLE}"))
    assert upgrade(empty)
    assert shape(empty) == whole


def test_of_processes_that_upgrade_at_once_one_does_it(empty: Database) -> None:
    start, did = threading.Barrier(4), list[bool]()

    def work() -> None:
        start.wait()
        did.append(upgrade(empty))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(did) == [False, False, False, True]


@pytest.mark.parametrize("table", tables.metadata.sorted_tables, ids=lambda t: t.name)
def test_our_tables_carry_our_prefix_and_compare_exactly_on_mariadb(table: sa.Table) -> None:
    assert table.name.startswith("fr_")
    for dialect in ("mysql", "mariadb"):
        assert table.dialect_options[dialect]["collate"] == "utf8mb4_bin"


def test_a_run_from_before_there_were_strategies_keeps_the_only_one_there_was(empty: Database) -> None:
    with empty.begin() as connection:
        command.upgrade(run.config(connection), "0001")
    old = {
        "id": "run-1", "vm_key": "vm", "open_of": "vm", "vm_name": "VM", "kind": "test", "attempt": 1, "spec_id": 1,
        "spec": "{}", "plan_digest": "sha256:0", "direction": "there", "state": "running", "failed": False,
        "guest_name": "vm-test", "reserved": True, "start_sent": False, "progress": 15.0,
        "created_at": "2026-11-24 14:00:00",
    }  # fmt: skip
    with empty.begin() as connection:
        columns = ", ".join(old)
        connection.execute(sa.text(f"INSERT INTO fr_runs ({columns}) VALUES ({', '.join(f':{name}' for name in old)})"), old)
    with pytest.raises(DatabaseMissing, match="failover db upgrade"), empty.read() as connection:
        connection.execute(tables.runs.select())
    assert upgrade(empty)
    with empty.read() as connection:
        assert connection.execute(sa.select(tables.runs.c.id, tables.runs.c.strategy)).all() == [
            ("run-1", "volume-snapshot")
        ]
