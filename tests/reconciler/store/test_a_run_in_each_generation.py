"""A whole test failover of both sample VMs over each generation of the replication tables, there and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import stamina

from reconciler import wiring
from reconciler.loop import Engine
from reconciler.store import legacy
from reconciler.store.database import Database, upgrade
from reconciler.wiring import Connected
from simulator import TurnedClock
from tests.reconciler.store import generations, vms
from tests.reconciler.store.conftest import Furnish
from tests.reconciler.store.test_legacy import content
from tests.reconciler.store.test_migrations import shape
from tests.scenarios.house import BOTH, START, Drill, Hand, cloud_of


@dataclass
class Elsewhere(Drill):
    """A house whose database is another one than the embedded sample."""

    store: Database = field(kw_only=True)

    def reborn(self) -> Engine:
        found = wiring.settings(self.settings_path)
        client = self._client(found)
        self._open.append((self.store.engine, client))
        engine = Engine(self.store, client, Hand(self.clock), found, "us", legacy.adopt(self.store))
        self.connected = Connected(found, self.store, engine)
        return engine


@pytest.fixture(params=generations.ALL[1:])
def drill(request: pytest.FixtureRequest, furnish: Furnish, tmp_path: Path) -> Iterator[Elsewhere]:
    store = furnish(request.param, vms.rows(vms.VMS[0]))
    upgrade(store)
    clock = TurnedClock(START)
    with stamina.set_testing(True, attempts=1):
        made = Elsewhere(tmp_path / "house", clock, cloud_of(clock, durations=1.0), store=store)
        yield made
        made.close()


def contexts(drill: Drill) -> set[str]:
    with drill.connected.database.read() as connection:
        if not sa.inspect(connection).has_table("vm_replication_contexts"):
            return set()
    return {x["current_status"] for x in drill.rows("SELECT * FROM vm_replication_contexts WHERE vm_name <> 'lnx-db3-gap'")}


def test_both_sample_vms_go_there_and_back_and_leave_the_tables_as_they_were(drill: Elsewhere) -> None:
    shape_before, rows_before, proof_before = shape(drill.store), content(drill.store), drill.proof()
    drill.apply(*BOTH)
    assert {drill.run(vm).state for vm in BOTH} == {"holding"}
    assert {row["status"] for vm in BOTH for row in drill.shown(vm)} <= {"executing", "powering_on"}
    assert contexts(drill) <= {"failed_over_test"}
    drill.advance(timedelta(minutes=31))
    drill.drive()
    assert {drill.run(vm).state for vm in BOTH} == {"completed"}
    assert drill.proof() == proof_before
    assert [row["status"] for vm in BOTH for row in drill.shown(vm)] == ["completed", "completed"]
    assert all(row["destination_vm_id"] and row["ossea_snapshot_id"] for vm in BOTH for row in drill.shown(vm))
    assert contexts(drill) <= {"ready_for_failover"}
    assert shape(drill.store) == shape_before
    changed = {name for name, rows in content(drill.store).items() if rows != rows_before[name]}
    assert changed <= {"failover_jobs", "vm_replication_contexts"}


@pytest.mark.parametrize("drill", ["g3"], indirect=True)
def test_what_one_process_left_another_takes_up_on_mariadb(drill: Elsewhere) -> None:
    for vm in BOTH:
        drill.approve(drill.plan(vm))
    for _ in range(4):
        drill.round()
    left = {vm: drill.run(vm).id for vm in BOTH}
    drill.reborn()
    drill.drive()
    assert {vm: drill.run(vm).id for vm in BOTH} == left
    assert {drill.run(vm).state for vm in BOTH} == {"holding"}
