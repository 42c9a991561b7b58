"""What is written into the replication tables, in every generation of them, and which tables are refused."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from reconciler import phases
from reconciler.store import journal, legacy, tables
from reconciler.store.database import Database, DatabaseMissing, SchemaUnknown
from reconciler.store.journal import Run
from reconciler.store.legacy import CONTEXT_CLEANUP, CONTEXT_READY, CONTEXT_RESERVED
from reconciler.store.rows import ContextRow
from tests.reconciler.store import generations
from tests.reconciler.store.conftest import Furnish
from tests.reconciler.store.making import KEY, NOW, opened, plan
from tests.reconciler.store.test_migrations import shape

LATER = NOW + timedelta(minutes=30)
GUEST = "9e000000-0000-4000-8000-000000000001"
DB3 = "4205a841-0265-f4bd-39a6-39fd921900d3"
EVERY = pytest.mark.parametrize("generation", generations.ALL)
ENUMERATED = ("g3",)
ADOPTED: dict[str, legacy.Legacy] = {}  # the tables of a generation are the same in every test
STATUSES = tuple(legacy.WORDS)
CONTEXT_WORDS = (
    *("discovered", "replicating", "ready_for_failover", "failed_over_test"),
    *("failed_over_live", "completed", "failed", "cleanup_required"),
)


def adopted_in(settled: Furnish, generation: str) -> tuple[Database, legacy.Legacy]:
    database = settled(generation)
    if generation not in ADOPTED:
        ADOPTED[generation] = legacy.adopt(database)
    return database, ADOPTED[generation]


def shown(database: Database) -> list[dict[str, Any]]:
    with database.read() as connection:
        rows = connection.execute(sa.text("SELECT * FROM failover_jobs ORDER BY id")).mappings()
        return [dict(row) for row in rows]


def only(database: Database) -> dict[str, Any]:
    (row,) = shown(database)
    return row


# --- failover_jobs ----------------------------------------------------------------------------------------------------


@EVERY
def test_a_run_is_shown_with_everything_that_is_documented(settled: Furnish, generation: str) -> None:
    database, adopted = adopted_in(settled, generation)
    with database.begin() as connection:
        run = opened(connection)
        adopted.project(connection, [(run, "validating")], NOW)
    row = only(database)
    assert (row["job_id"], row["vm_id"], row["source_vm_name"]) == (run.id, KEY, "PGWINTESTBIOS")
    assert (row["job_type"], row["status"], row["replication_job_id"]) == ("test", "validating", "job-20250818-153521")
    assert json.loads(row["network_mappings"]) == {"VM Network": "00000000-0000-4000-8000-0000000000b3"}
    assert json.loads(row["source_vm_spec"]) == {
        "name": "PGWINTESTBIOS",
        "display_name": "PGWINTESTBIOS",
        "cpus": 2,
        "memory_mb": 4096,
        "os_type": "windows2019srv_64",
        "power_state": "poweredOn",
        "networks": [{"network_name": "VM Network", "adapter_type": "vmxnet3", "connected": True}],
        "disks": [{"disk_id": "disk-2000", "size_gb": 54, "provisioning_type": ""}],
    }
    empty = ("destination_vm_id", "ossea_snapshot_id", "error_message", "completed_at")
    assert [row[column] for column in empty] == [None] * 4
    assert str(row["created_at"])[:19] == str(row["started_at"])[:19] == "2026-11-24 14:00:00"
    if generation == "g3":
        assert row["vm_context_id"] == "ctx-PGWINTESTBIOS-1"


@EVERY
def test_what_becomes_of_a_run_is_shown_in_the_same_row(settled: Furnish, generation: str) -> None:
    database, adopted = adopted_in(settled, generation)
    with database.begin() as connection:
        run = opened(connection)
        adopted.project(connection, [(run, "validating")], NOW)
        adopted.project(connection, [(run, "validating")], NOW)
        first = only_in(connection)
        run = replace(run, guest_id=GUEST)
        adopted.project(connection, [(run, "powering_on")], NOW)
        run = journal.turn_back(connection, run, "no room left", NOW, failed=True)
        adopted.project(connection, [(run, "failed")], LATER, ended=True)
    row = only(database)
    assert {k: row[k] for k in ("source_vm_spec", "network_mappings", "created_at")} == {
        k: first[k] for k in ("source_vm_spec", "network_mappings", "created_at")
    }
    assert (row["status"], row["destination_vm_id"], row["error_message"]) == ("failed", GUEST, "no room left")
    assert str(row["completed_at"])[:19] == "2026-11-24 14:30:00"


def only_in(connection: sa.Connection) -> dict[str, Any]:
    return dict(connection.execute(sa.text("SELECT * FROM failover_jobs")).mappings().one())


@EVERY
def test_every_word_that_is_written_is_one_that_the_database_knows(settled: Furnish, generation: str) -> None:
    database, adopted = adopted_in(settled, generation)
    written = {}
    with database.begin() as connection:
        run = opened(connection)
        for status in STATUSES:
            adopted.project(connection, [(run, status)], NOW)
            written[status] = only_in(connection)["status"]
    changed = {status: word for status, word in written.items() if word != status}
    if generation in ENUMERATED:
        assert changed == {"executing": "validating", "holding": "powering_on"}
    else:
        assert changed == {"holding": "executing"}


def test_every_status_that_a_run_can_have_has_a_word() -> None:
    told = {phase.status for table in (phases._THERE, phases._BACK) for phase in table.values()}
    told |= {"holding", phases.VALIDATING.status, phases.COMPLETED.status, phases.FAILED.status}
    assert told <= set(STATUSES)


@EVERY
def test_the_snapshot_of_the_first_disk_is_shown_once_it_is_known(settled: Furnish, generation: str) -> None:
    database, adopted = adopted_in(settled, generation)
    wanted = plan(disks=2)
    with database.begin() as connection:
        run = opened(connection, wanted)
        journal.learn(connection, run, {"placements": PLACED}, NOW)
        for place, snapshot in ((1, "snapshot-b"), (0, "snapshot-a")):
            volume = PLACED[place].volume_id
            journal.learn(connection, run, {"point": (volume, f"point-{place}")}, NOW)
            adopted.project(connection, [(run, "snapshotting")], NOW)
            journal.learn(connection, run, {"snapshot_id": (volume, snapshot)}, NOW)
        adopted.project(connection, [(run, "powering_on")], NOW)
    assert only(database)["ossea_snapshot_id"] == "snapshot-a"


PLACED = (
    journal.Placement("3d000000-0000-4000-8000-000000000000", "disk-2000", 0, 1, 0),
    journal.Placement("3d000000-0000-4000-8000-000000000001", "disk-2001", 1, 2, 1),
)


@EVERY
def test_an_error_of_any_length_fits(settled: Furnish, generation: str) -> None:
    database, adopted = adopted_in(settled, generation)
    with database.begin() as connection:
        run = replace(opened(connection), failed=True, reason="ü€🖥" * 30_000)
        adopted.project(connection, [(run, "failed")], NOW)
    text = only(database)["error_message"]
    assert len(text) > 10_000
    assert len(text.encode()) <= legacy.MAX_ERROR
    assert run.reason is not None
    assert run.reason.startswith(text)


@EVERY
def test_a_vm_that_the_database_no_longer_describes_is_still_shown(settled: Furnish, generation: str) -> None:
    database, adopted = adopted_in(settled, generation)
    key = "4205a841-0265-f4bd-39a6-00000000dead"
    with database.begin() as connection:
        adopted.project(connection, [(opened(connection, plan(key)), "validating")], NOW)
    row = only(database)
    assert (row["vm_id"], row["replication_job_id"]) == (key, None)


@EVERY
def test_three_disks_are_described_in_order(settled: Furnish, generation: str) -> None:
    database, adopted = adopted_in(settled, generation)
    with database.begin() as connection:
        adopted.project(connection, [(opened(connection, plan(DB3, disks=3)), "validating")], NOW)
    described = json.loads(only(database)["source_vm_spec"])
    assert [(d["disk_id"], d["size_gb"]) for d in described["disks"]] == [
        ("disk-2000", 40),
        ("disk-2001", 200),
        ("disk-2002", 500),
    ]
    assert [n["network_name"] for n in described["networks"]] == ["App Net", "DB Net"]


@EVERY
def test_our_own_runs_do_not_stand_in_the_way_of_their_vm(settled: Furnish, generation: str) -> None:
    database, adopted = adopted_in(settled, generation)
    with database.begin() as connection:
        run = opened(connection)
        adopted.project(connection, [(run, "executing")], NOW)
        (source,) = (s for s in adopted.sources(connection) if s.key == KEY)
        connection.execute(tables.runs.delete())
        (foreign,) = (s for s in adopted.sources(connection) if s.key == KEY)
    assert source.active_jobs == ()
    assert [job.id for job in foreign.active_jobs] == [run.id]


@EVERY
def test_showing_a_run_changes_no_other_table_of_the_replication_system(settled: Furnish, generation: str) -> None:
    database, adopted = adopted_in(settled, generation)
    tables_before, rows_before = shape(database), content(database)
    with database.begin() as connection:
        run = opened(connection)
        for status in STATUSES:
            adopted.project(connection, [(run, status)], NOW)
        adopted.set_context(connection, run, CONTEXT_RESERVED, NOW)
        adopted.set_context(connection, run, CONTEXT_READY, NOW)
    assert shape(database) == tables_before
    rows_after = content(database)
    changed = {name for name, rows in rows_after.items() if rows != rows_before[name]}
    assert changed <= {"failover_jobs", "vm_replication_contexts"}


def content(database: Database) -> dict[str, list[Any]]:
    """All rows of all tables that are not ours."""
    with database.read() as connection:
        names = [n for n in sa.inspect(connection).get_table_names() if not n.startswith("fr_")]
        return {n: sorted(map(repr, connection.execute(sa.text(f"SELECT * FROM {n}")))) for n in names}


# --- contexts ---------------------------------------------------------------------------------------------------------


def in_context(database: Database, status: str | None) -> None:
    with database.begin() as connection:
        values = {"status": status, "vm": KEY.upper()}
        text = "UPDATE vm_replication_contexts SET current_status = :status WHERE vmware_vm_id = :vm"
        connection.execute(sa.text(text), values)


def context(connection: sa.Connection) -> Any:
    text = "SELECT current_status, last_status_change FROM vm_replication_contexts WHERE vmware_vm_id = :vm"
    return connection.execute(sa.text(text), {"vm": KEY}).one()


@pytest.mark.parametrize("was", [*CONTEXT_WORDS, None])
@pytest.mark.parametrize("status", [CONTEXT_READY, CONTEXT_CLEANUP])
def test_a_context_is_moved_only_from_where_it_is_expected_to_be(settled: Furnish, was: str | None, status: str) -> None:
    database, adopted = adopted_in(settled, "g3")
    in_context(database, was)
    with database.begin() as connection:
        run = opened(connection)
        moved = adopted.set_context(connection, run, status, LATER)
        told = [e.text for e in journal.events(connection, KEY, 9) if e.kind == "context"]
        now_is, since = context(connection)
    assert moved is (was in legacy.EXPECTED[status])
    assert now_is == (status if moved else was)
    assert (str(since)[:19] == "2026-11-24 14:30:00") is moved
    assert bool(told) is not moved


@pytest.mark.parametrize("was", [*CONTEXT_WORDS, None])
def test_a_vm_is_not_reserved_while_the_replication_system_may_work_on_it(settled: Furnish, was: str | None) -> None:
    database, adopted = adopted_in(settled, "g3")
    in_context(database, was)
    free = was in {"discovered", "ready_for_failover", "completed", "failed", "failed_over_test"}
    with database.begin() as connection:
        run = opened(connection)
        if free:
            assert adopted.set_context(connection, run, CONTEXT_RESERVED, NOW)
        else:
            with pytest.raises(journal.Fenced, match=f"is {was or 'unknown'}: the replication system may be working on it"):
                adopted.set_context(connection, run, CONTEXT_RESERVED, NOW)
        assert context(connection)[0] == (CONTEXT_RESERVED if free else was)


def test_of_two_that_move_a_context_at_once_one_does(settled: Furnish) -> None:
    """What the other one read is no longer so when it writes."""
    database, adopted = adopted_in(settled, "g3")
    with database.begin() as connection:
        run = opened(connection)
    overtaken = threading.Thread(target=in_context, args=(database, "replicating"))
    row = ContextRow("ctx-PGWINTESTBIOS-1", "PGWINTESTBIOS", KEY, "ready_for_failover")
    overtaken.start()
    overtaken.join()
    with database.begin() as connection:
        assert adopted._move(connection, row, CONTEXT_RESERVED, NOW) == "being changed"
        assert context(connection)[0] == "replicating"
        assert run.vm_key == KEY


@pytest.mark.parametrize("generation", [g for g in generations.ALL if g != "g3"])
def test_where_there_are_no_contexts_there_is_nothing_to_move(settled: Furnish, generation: str) -> None:
    database, adopted = adopted_in(settled, generation)
    with database.begin() as connection:
        run: Run = opened(connection)
        assert all(adopted.set_context(connection, run, status, NOW) for status in legacy.EXPECTED)


def test_only_the_context_of_this_vm_is_moved(settled: Furnish) -> None:
    database, adopted = adopted_in(settled, "g3")
    with database.begin() as connection:
        adopted.set_context(connection, opened(connection), CONTEXT_RESERVED, NOW)
        found = connection.execute(sa.text("SELECT vm_name, current_status FROM vm_replication_contexts")).all()
    assert {name: status == CONTEXT_RESERVED for name, status in found} == {
        "PGWINTESTBIOS": True,
        "lnx-db3": False,
        "lnx-db3-gap": False,
    }


# --- tables that are refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["embedded on SQLite", "embedded"])
def test_a_database_without_replication_tables_says_what_to_do(furnish: Furnish, where: str) -> None:
    database = furnish(where)
    with database.begin() as connection:
        for name in ("failover_jobs", "network_mappings", "cbt_history", "vm_disks"):
            connection.execute(sa.text(f"DROP TABLE {name}"))
        for name in ("ossea_volumes", "replication_jobs", "ossea_configs"):
            connection.execute(sa.text(f"DROP TABLE {name}"))
    with pytest.raises(DatabaseMissing, match="holds no replication tables: point"):
        legacy.adopt(database)


SPOILT = {
    "DROP TABLE cbt_history": "table cbt_history is missing",
    "ALTER TABLE vm_disks DROP COLUMN disk_id": "vm_disks has no column disk_id",
    "ALTER TABLE ossea_configs RENAME COLUMN oma_vm_id TO sha_vm_id": "ossea_configs has no column oma_vm_id",
}


@pytest.mark.parametrize("generation", ["embedded on SQLite", "g1", "g3"])
@pytest.mark.parametrize("statement", SPOILT)
def test_tables_of_an_unknown_shape_are_refused_with_what_differs(furnish: Furnish, generation: str, statement: str) -> None:
    database = furnish(generation)
    with database.begin() as connection:
        if generation == "g3" and "disk_id" in statement:
            connection.execute(sa.text("ALTER TABLE vm_disks DROP FOREIGN KEY vm_disks_ibfk_1, DROP INDEX uk_context_disk"))
        connection.execute(sa.text(statement))
    with pytest.raises(SchemaUnknown) as caught:
        legacy.adopt(database)
    assert SPOILT[statement] in str(caught.value)
    assert "nothing was written" in str(caught.value)


def test_both_names_of_a_column_missing_are_told_as_a_choice(furnish: Furnish) -> None:
    database = furnish("g2")
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE replication_jobs DROP COLUMN v_center_host"))
    with pytest.raises(SchemaUnknown, match="replication_jobs has no column vcenter_host or v_center_host"):
        legacy.adopt(database)


WORDLESS = {
    "ALTER TABLE failover_jobs MODIFY job_type ENUM('live')": r"failover_jobs\.job_type knows no test",
    "ALTER TABLE failover_jobs MODIFY status ENUM('pending','running')": r"failover_jobs\.status knows no validating, ",
    "ALTER TABLE vm_replication_contexts MODIFY current_status ENUM('new','failed_over_test','cleanup_required')": (
        r"vm_replication_contexts\.current_status knows no ready_for_failover"
    ),
}


@pytest.mark.parametrize("statement", WORDLESS)
def test_enumerations_that_lack_our_words_are_refused_before_anything_is_written(furnish: Furnish, statement: str) -> None:
    database = furnish("g3")
    with database.begin() as connection:
        connection.execute(sa.text(statement))
    with pytest.raises(SchemaUnknown, match=WORDLESS[statement]):
        legacy.adopt(database)
