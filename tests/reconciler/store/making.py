"""What journal and inventory tests write down: real plans of made-up worlds, accepted and opened."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from plans import planner
from plans.plan import Plan
from reconciler.store import inventory, journal
from reconciler.store.inventory import AcceptedSpec
from reconciler.store.journal import Lease, Run, StepRow, StepState
from specs.goal import GoalKind
from specs.values import VmRef
from tests.plans import worlds

NOW = datetime(2026, 11, 24, 14, 0, 0, 5, tzinfo=UTC)
TTL = timedelta(seconds=60)
KEY = "4205a841-0265-f4bd-39a6-39fd92196f53"


def plan(key: str = KEY, disks: int = 1, **wanted: Any) -> Plan:
    """A plan for a test of a VM with that key."""
    spec = worlds.spec(vm=VmRef(name=key), **wanted)
    found = planner.plan(spec, GoalKind.TESTING, worlds.world(source=worlds.source(disks)))
    assert isinstance(found, Plan), found
    return replace(found, vm_key=key)


def accepted(connection: sa.Connection, wanted: Plan) -> AcceptedSpec:
    return inventory.accept(connection, wanted, now=NOW, by="tests").record


def opened(connection: sa.Connection, wanted: Plan | None = None, now: datetime = NOW) -> Run:
    """A run that was just begun."""
    wanted = wanted or plan()
    run, _ = journal.open_run(connection, accepted(connection, wanted), wanted, "pgwintestbios-test", now)
    return run


def taken(connection: sa.Connection, owner: str = "us", now: datetime = NOW, key: str = KEY) -> Lease:
    lease = journal.take(connection, key, owner, now, TTL)
    assert lease is not None
    return lease


def step_started(connection: sa.Connection, row: StepRow, own_id: str, deadline: datetime, now: datetime) -> StepRow:
    """The step after its intent was written."""
    one = journal.started(row, own_id, deadline, now)
    journal.move(connection, [one])
    return one.moved


def step_moved(
    connection: sa.Connection, row: StepRow, state: StepState, code: int | None, why: str, now: datetime
) -> StepRow:
    """The step after what came of it was written."""
    one = journal.moved(row, state, code, why, now)
    journal.move(connection, [one])
    return one.moved
