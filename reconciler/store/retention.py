"""What of our own tables is old enough to go, and its removal. The replication system's tables are never pruned.

Called by `reconciler.retention`, which knows what is still there in CloudStack. The newest run and the newest accepted spec
of every VM stay for ever: they number the attempts, whose names must not come twice, and tell what had its turn already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from reconciler.store import tables

r = tables.runs.c
AT_ONCE = 400
"""Runs in one statement, and removed in one transaction."""
PARTS = (tables.events, tables.steps, tables.placements, tables.points, tables.clones, tables.guest_points)
"""What belongs to one run, by its `run_id`."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a run made in CloudStack: known ids, and the names of what cannot be marked, clones and VM snapshots."""

    ids: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that is over; `dirty`: its replicas await a full sync."""

    id: str
    vm_key: str
    vm_name: str
    kind: str
    failed: bool
    finished_at: datetime
    guest_name: str
    made: Made
    dirty: bool


@dataclass(frozen=True, slots=True)
class Removed:
    """How many rows went."""

    runs: int = 0
    specs: int = 0
    events: int = 0


def ended(connection: sa.Connection, before: datetime) -> tuple[Ended, ...]:
    """The runs that ended before then, oldest first, without the newest of each VM."""
    rows = connection.execute(_ENDED, {"before": before}).all()
    made_by = made(connection, [row.id for row in rows])
    dirty = set(connection.execute(sa.select(tables.dirty.c.run_id)).scalars())
    return tuple(
        Ended(
            row.id,
            row.vm_key,
            row.vm_name,
            row.kind,
            row.failed,
            row.finished_at,
            row.guest_name,
            made_by[row.id],
            row.id in dirty,
        )
        for row in rows
    )


def made(connection: sa.Connection, run_ids: Sequence[str]) -> Mapping[str, Made]:
    """What each of these runs made."""
    ids, names = (_told(connection, run_ids, columns) for columns in (_NUMBERED, _NAMED))
    return {run_id: Made(frozenset(ids[run_id]), frozenset(names[run_id])) for run_id in run_ids}


def _told(
    connection: sa.Connection, run_ids: Sequence[str], columns: Iterable[tuple[sa.Column[Any], sa.Column[Any]]]
) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for some in _slices(run_ids):
        for of, column in columns:
            for run_id, text in connection.execute(sa.select(of, column).where(of.in_(some) & column.is_not(None))):
                found[run_id].add(text)
    return found


def old_specs(connection: sa.Connection, before: datetime, without_runs: Iterable[str]) -> tuple[int, ...]:
    """Accepted specs that ended before then and no run needs, but those that go; without the newest of each VM."""
    going = set(without_runs)
    needed = {spec for run, spec in connection.execute(sa.select(r.id, r.spec_id)) if run not in going}
    return tuple(i for i in connection.execute(_OLD_SPECS, {"before": before}).scalars() if i not in needed)


def old_events(connection: sa.Connection, before: datetime) -> int:
    """How many events of no run, and findings of readiness but the newest of each VM, are older than that."""
    known = tables.readiness.c
    counts = (
        sa.select(sa.func.count()).where(_OLD_EVENTS),
        sa.select(sa.func.count()).where(_OLD_READINESS & known.id.not_in(_LAST_READINESS)),
    )
    return sum(connection.execute(count, {"before": before}).scalar_one() for count in counts)


def remove_runs(connection: sa.Connection, run_ids: Sequence[str]) -> int:
    """Remove these runs with all that belongs to them, but what is open. Returns how many runs went."""
    over = sa.select(r.id).where(r.id.in_(run_ids) & r.open_of.is_(None) & r.finished_at.is_not(None))
    closed = connection.execute(over).scalars().all()
    for table in PARTS:
        connection.execute(table.delete().where(table.c.run_id.in_(closed)))
    return connection.execute(tables.runs.delete().where(r.id.in_(closed) & r.open_of.is_(None))).rowcount


def remove_specs(connection: sa.Connection, ids: Sequence[int]) -> int:
    """Remove these accepted specs, but what is active. Returns how many went."""
    known = tables.specs.c
    return connection.execute(tables.specs.delete().where(known.id.in_(ids) & known.active_of.is_(None))).rowcount


def remove_events(connection: sa.Connection, before: datetime) -> int:
    """Remove events of no run that are older than that, and what was found of readiness before. Returns how many went."""
    gone = connection.execute(tables.events.delete().where(_OLD_EVENTS), {"before": before}).rowcount
    last = connection.execute(_LAST_READINESS).scalars().all()
    chosen = _OLD_READINESS & tables.readiness.c.id.not_in(last)  # MariaDB deletes from no table that it selects from
    return gone + connection.execute(tables.readiness.delete().where(chosen), {"before": before}).rowcount


def _slices(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (keys[at : at + AT_ONCE] for at in range(0, len(keys), AT_ONCE))


_NUMBERED = (
    (r.id, r.guest_id),
    (r.id, r.default_root_id),
    (tables.points.c.run_id, tables.points.c.snapshot_id),
    (tables.clones.c.run_id, tables.clones.c.clone_id),
    (tables.guest_points.c.run_id, tables.guest_points.c.snapshot_id),
)
_NAMED = (
    (tables.clones.c.run_id, tables.clones.c.name),
    (tables.guest_points.c.run_id, tables.guest_points.c.name),
)
_LAST_RUNS = sa.select(sa.func.max(r.attempt).label("attempt"), r.vm_key).group_by(r.vm_key).subquery()
_ENDED = (
    sa.select(r.id, r.vm_key, r.vm_name, r.kind, r.failed, r.finished_at, r.guest_name)
    .join(_LAST_RUNS, (r.vm_key == _LAST_RUNS.c.vm_key) & (r.attempt < _LAST_RUNS.c.attempt))
    .where(r.open_of.is_(None) & (r.finished_at < sa.bindparam("before", type_=tables.Moment)))
    .order_by(r.finished_at, r.id)
)
_LAST_SPECS = sa.select(sa.func.max(tables.specs.c.id)).group_by(tables.specs.c.vm_key)
_OLD_SPECS = (
    sa.select(tables.specs.c.id)
    .where(
        tables.specs.c.active_of.is_(None)
        & (tables.specs.c.ended_at < sa.bindparam("before", type_=tables.Moment))
        & tables.specs.c.id.not_in(_LAST_SPECS)
    )
    .order_by(tables.specs.c.id)
)
_LAST_READINESS = sa.select(sa.func.max(tables.readiness.c.id)).group_by(tables.readiness.c.vm_key, tables.readiness.c.kind)
_OLD_READINESS = tables.readiness.c.at < sa.bindparam("before", type_=tables.Moment)
_OLD_EVENTS = (tables.events.c.at < sa.bindparam("before", type_=tables.Moment)) & tables.events.c.run_id.is_(None)
