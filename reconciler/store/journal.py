"""The journal: runs, their steps, what was learned on the way, leases and events.

`reconciler.loop` opens, turns, holds and finishes runs; `reconciler.execute` moves steps. Every move is checked against a
table of allowed moves, and a run belongs to whoever holds its VM's lease: a process that was overtaken (`Fenced`) cannot
write any more. Nothing here is ever deleted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

import sqlalchemy as sa

from plans import actions
from plans.actions import Action
from plans.observed import Clone, GuestPoint, Placement, Point, RunFacts
from plans.plan import Plan, Step
from reconciler.store import inventory, tables
from reconciler.store.database import Database, ValueRefused, about, inserted
from reconciler.store.inventory import AcceptedSpec
from specs.model import Spec, Strategy

r, s, p = tables.runs, tables.steps, tables.points
RUN_ID_PREFIX = "test-failover"
MOST_SPECS = 4096
MOST_TEXT = 4000
T = TypeVar("T")
R = TypeVar("R")


class StepState(StrEnum):
    """The states of a step."""

    PENDING = "pending"
    STARTED = "started"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    STUCK = "stuck"


class RunState(StrEnum):
    """The states of a run."""

    RUNNING = "running"
    HOLDING = "holding"
    PAUSED = "paused"
    STUCK = "stuck"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled-back"


class Direction(StrEnum):
    """Whether a run is on its way to its goal or taking everything back."""

    THERE = "there"
    BACK = "back"


STEP_MOVES: Mapping[tuple[StepState, StepState], str] = {
    (StepState.PENDING, StepState.STARTED): "the intent is written before the call",
    (StepState.STARTED, StepState.WAITING): "the cloud took it, or may have",
    (StepState.STARTED, StepState.DONE): "done at once, or seen to be so after a crash",
    (StepState.STARTED, StepState.PENDING): "it never arrived, or was refused for now: once more",
    (StepState.STARTED, StepState.FAILED): "refused",
    (StepState.PENDING, StepState.FAILED): "what must hold before it does not",
    (StepState.PENDING, StepState.DONE): "a look shows that it is so already",
    (StepState.STARTED, StepState.STUCK): "its deadline passed and nobody can tell",
    (StepState.WAITING, StepState.DONE): "a look shows it",
    (StepState.WAITING, StepState.PENDING): "its job failed in a way that may pass: once more",
    (StepState.WAITING, StepState.FAILED): "its job failed",
    (StepState.WAITING, StepState.STUCK): "its deadline passed and nobody can tell",
    (StepState.STUCK, StepState.DONE): "a later look shows it",
    (StepState.STUCK, StepState.WAITING): "its job is seen again",
    (StepState.STUCK, StepState.PENDING): "a later look shows that it never happened",
    (StepState.STUCK, StepState.FAILED): "a later look shows that it failed",
}
DEFECTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
UNDER_WAY = (StepState.STARTED, StepState.WAITING, StepState.STUCK)
ENDED = (RunState.COMPLETED, RunState.ROLLED_BACK)


class IllegalMove(RuntimeError):
    """A step was to move in a way that `STEP_MOVES` does not know."""


class Fenced(Exception):
    """Another process holds the lease now: nothing was written."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution towards a goal and back. `id` is the public job id; `fence` is set while this process leads it."""

    id: str
    vm_key: str
    vm_name: str
    kind: str
    attempt: int
    spec_id: int
    spec: Spec
    plan_digest: str
    direction: Direction
    state: RunState
    failed: bool
    reason: str | None
    guest_name: str
    guest_id: str | None
    default_root_id: str | None
    reserved: bool
    start_sent: bool
    progress: float
    not_before: datetime | None
    running_since: datetime | None
    expires_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    strategy: Strategy


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step in the journal. `seq` counts over the whole run; `leg` tells plans of one direction apart."""

    run_id: str
    seq: int
    leg: int
    direction: Direction
    word: str
    subject: str
    action: Action
    state: StepState
    attempts: int
    custom_job_id: str | None
    error_code: int | None
    error: str | None
    started_at: datetime | None
    deadline: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one VM until `expires_at`; `fence` grows with every change of owner."""

    vm_key: str
    owner: str
    fence: int
    expires_at: datetime

    def is_fresh(self, owner: str, now: datetime, ttl: timedelta) -> bool:
        """Whether this owner holds it for more than half its time: then it need not be renewed yet."""
        return self.owner == owner and self.expires_at - now > ttl / 2


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for people."""

    at: datetime
    run_id: str | None
    seq: int | None
    kind: str
    text: str

    def as_json(self) -> dict[str, Any]:
        """The event as plain data."""
        at = self.at.isoformat(timespec="milliseconds")
        return {"at": at, "run": self.run_id, "step": self.seq, "kind": self.kind, "text": self.text}


# Statements that every step needs, made once: putting them together anew costs more than running them. What is compared with
# a few values says so one by one: a list is written into the statement anew every time.
_NOT_ENDED = sa.and_(*(r.c.state != str(state) for state in ENDED))
_LEASES = (
    sa.select(tables.leases.c.vm_key, tables.leases.c.fence, tables.leases.c.owner)
    .where(tables.leases.c.vm_key.in_(sa.bindparam("of", expanding=True)))
    .order_by(tables.leases.c.vm_key)
    .with_for_update()
)
_RUN = r.update().where(r.c.id == sa.bindparam("of"))
_UNFINISHED_RUN = _RUN.where(_NOT_ENDED)
_PROGRESS = _RUN.where(r.c.progress < sa.bindparam("reached"))
_STEP = s.update().where(
    (s.c.run_id == sa.bindparam("of")) & (s.c.seq == sa.bindparam("number")) & (s.c.state == sa.bindparam("was"))
)
_EVENT = tables.events.insert()
_NEW_RUN, _NEW_STEPS = r.insert(), s.insert()
_LAST_ATTEMPT = sa.select(sa.func.max(r.c.attempt)).where(r.c.vm_key == sa.bindparam("of"))
_OF_VMS: sa.BindParameter[Any] = sa.bindparam("of", expanding=True)
_OPEN_RUNS = r.select().where(r.c.vm_key.in_(_OF_VMS) & _NOT_ENDED)
_GUEST_NAMES = sa.select(r.c.guest_name).where(_NOT_ENDED & (r.c.vm_key != sa.bindparam("of")))
_LAST_ATTEMPTS = sa.select(r.c.vm_key, sa.func.max(r.c.attempt)).where(r.c.vm_key.in_(_OF_VMS)).group_by(r.c.vm_key)
_FROZEN = sa.select(r.c.id).where(r.c.state == RunState.PAUSED)
_MOVING = sa.select(sa.func.count()).select_from(r).where(r.c.state.not_in([*ENDED, RunState.HOLDING]))
_UNDONE = s.select().where(s.c.run_id.in_(_OF_VMS) & (s.c.state != StepState.DONE)).order_by(s.c.seq)
_DIRTY = tables.dirty.select().where(tables.dirty.c.vm_key.in_(_OF_VMS))
_HELD = tables.leases.select().where(tables.leases.c.vm_key.in_(_OF_VMS))
_PLACED = tables.placements.select().where(tables.placements.c.run_id.in_(_OF_VMS)).order_by(tables.placements.c.position)
_POINTS = p.select().where(p.c.run_id.in_(_OF_VMS)).order_by(p.c.volume_id)
_CLONES = tables.clones.select().where(tables.clones.c.run_id.in_(_OF_VMS)).order_by(tables.clones.c.volume_id)
_GUEST_POINTS = tables.guest_points.select().where(tables.guest_points.c.run_id.in_(_OF_VMS))
_BRIEFS = (
    sa.select(r.c.vm_key, r.c.spec_id, r.c.direction, r.c.state, r.c.not_before, r.c.expires_at, r.c.reserved)
    .where(_NOT_ENDED)
    .order_by(r.c.created_at, r.c.id)
)
_JOBS = (
    sa.select(r.c.vm_key, s.c.run_id, s.c.custom_job_id, s.c.deadline)
    .join(r, r.c.id == s.c.run_id)
    .where(sa.or_(*(s.c.state == str(state) for state in UNDER_WAY)))
)


# --- leases -----------------------------------------------------------------------------------------------------------


def take(connection: sa.Connection, vm_key: str, owner: str, now: datetime, ttl: timedelta) -> Lease | None:
    """Take or renew the lease of a VM; None when another owner holds it. A new owner gets a higher fence."""
    lease, until = tables.leases, now + ttl
    found = connection.execute(lease.select().where(lease.c.vm_key == vm_key).with_for_update()).first()
    if found is None:
        return _first(connection, Lease(vm_key, owner, 1, until))
    if found.owner != owner and found.expires_at > now:
        return None
    fence = found.fence + (found.owner != owner)
    same = (lease.c.vm_key == vm_key) & (lease.c.fence == found.fence)
    connection.execute(lease.update().where(same).values(owner=owner, fence=fence, expires_at=until))
    return Lease(vm_key, owner, fence, until)


def _first(connection: sa.Connection, wanted: Lease) -> Lease | None:
    """The first lease of a VM, unless somebody else was quicker."""
    row = {"vm_key": wanted.vm_key, "owner": wanted.owner, "fence": wanted.fence, "expires_at": wanted.expires_at}
    return wanted if inserted(connection, tables.leases.insert().values(row)) else None


def take_all(
    connection: sa.Connection, vm_keys: Iterable[str], owner: str, now: datetime, ttl: timedelta
) -> dict[str, Lease]:
    """Take or renew the leases of these VMs; those that another owner holds are left out.

    All processes take them in one order, so that no two wait for each other.
    """
    taken = ((key, take(connection, key, owner, now, ttl)) for key in sorted(vm_keys))
    return {key: lease for key, lease in taken if lease is not None}


def give_back(connection: sa.Connection, owner: str, now: datetime) -> None:
    """Let go of everything this owner holds, so that a successor need not wait."""
    lease = tables.leases
    connection.execute(lease.update().where(lease.c.owner == owner).values(expires_at=now))


def keep(connection: sa.Connection, vm_keys: Iterable[str], owner: str, until: datetime) -> None:
    """Renew the leases of these VMs that this owner still holds."""
    lease = tables.leases
    ours = lease.c.vm_key.in_(list(vm_keys)) & (lease.c.owner == owner)
    connection.execute(lease.update().where(ours).values(expires_at=until))


def fenced(connection: sa.Connection, leases: Iterable[Lease]) -> None:
    """Raise `Fenced` unless these leases are still in force, and let nobody take them before the transaction ends."""
    held = {lease.vm_key: (lease.fence, lease.owner) for lease in leases}
    found = {x.vm_key: (x.fence, x.owner) for x in about(connection, _LEASES, sorted(held)).all()}
    for vm_key, ours in held.items():
        if found.get(vm_key) != ours:
            raise Fenced(f"another process works on {vm_key} now")


def together(
    database: Database,
    items: Sequence[T],
    lease: Callable[[T], Lease],
    write: Callable[[sa.Connection, Sequence[T]], Sequence[R]],
) -> list[R | Exception]:
    """Write for several VMs in one transaction, under their leases; a result for each, in order.

    `write` may be called more than once: it speaks to the database alone, and what its last call wrote is what is there.
    Where one of them was overtaken, has a value that no column takes, or shows a defect of ours, nothing is written, and
    each is written in a transaction of its own: such an item stops nobody else, and has the fault as its result.
    """
    if not items:
        return []

    def work(connection: sa.Connection) -> list[R | Exception]:
        fenced(connection, map(lease, items))
        return list(write(connection, items))

    try:
        return database.written(work)
    except (Fenced, ValueRefused, *DEFECTS) as fault:
        if len(items) == 1:
            return [fault]
        return [together(database, [item], lease, write)[0] for item in items]


# --- runs -------------------------------------------------------------------------------------------------------------


def open_run(
    connection: sa.Connection, accepted: AcceptedSpec, plan: Plan, guest_name: str, now: datetime
) -> tuple[Run, tuple[StepRow, ...]]:
    """Begin a run for an accepted spec, with the steps of the way there. Raises `Fenced` while the VM has another run."""
    attempt = next_attempt(connection, plan.vm_key)
    run_id = f"{RUN_ID_PREFIX}-{plan.vm_key}-{int(now.timestamp())}"
    if attempt > 1 and connection.execute(sa.select(r.c.id).where(r.c.id == run_id)).first() is not None:
        run_id = f"{run_id}-{attempt}"
    values: dict[str, Any] = {
        **dict.fromkeys(Run.__slots__),
        "id": run_id,
        "vm_key": plan.vm_key,
        "vm_name": plan.vm,
        "kind": "test",
        "attempt": attempt,
        "spec_id": accepted.id,
        "spec": accepted.spec,
        "plan_digest": plan.digest,
        "direction": Direction.THERE,
        "state": RunState.RUNNING,
        "failed": False,
        "guest_name": guest_name,
        "reserved": False,
        "start_sent": False,
        "progress": 0.0,
        "created_at": now,
        "strategy": plan.strategy,
    }
    if not inserted(connection, _NEW_RUN, {**values, "open_of": plan.vm_key, "spec": accepted.raw_spec}):
        raise Fenced(f"{plan.vm} has a run that has not ended")
    opened = Run(**values)
    rows = _append(connection, opened, plan.steps, Direction.THERE, (0, 0))
    event(connection, now, opened, None, "opened", f"{plan.goal}, {len(plan.steps)} steps, {plan.digest}")
    return opened, rows


def run(connection: sa.Connection, run_id: str) -> Run:
    """A run by its id. Raises LookupError."""
    row = connection.execute(r.select().where(r.c.id == run_id)).first()
    if row is None:
        raise LookupError(f"no run {run_id}")
    return _run(row)


def unfinished(connection: sa.Connection) -> tuple[Run, ...]:
    """All runs that have not ended, oldest first."""
    rows = connection.execute(r.select().where(r.c.state.not_in(ENDED)).order_by(r.c.created_at, r.c.id))
    return tuple(map(_run, rows))


def unfinished_of(connection: sa.Connection, vm_key: str) -> Run | None:
    """The run of this VM that has not ended: there is one at the most."""
    rows = connection.execute(r.select().where((r.c.vm_key == vm_key) & r.c.state.not_in(ENDED)))
    return next(map(_run, rows), None)


def guest_names(connection: sa.Connection, vm_key: str) -> frozenset[str]:
    """The host names that unfinished runs of other VMs have taken, whether their guests are made already or not."""
    rows = connection.execute(_GUEST_NAMES, {"of": vm_key})
    return frozenset(rows.scalars())


def moving(connection: sa.Connection) -> int:
    """How many runs are under way: neither ended nor holding."""
    return int(connection.execute(_MOVING).scalar_one())


def frozen(connection: sa.Connection) -> frozenset[str]:
    """The ids of the runs that stand at a safe point until a person says how they go on, as it is at this moment."""
    return frozenset(connection.execute(_FROZEN).scalars())


def latest(connection: sa.Connection) -> dict[str, Run]:
    """The newest run of every VM, by VM key."""
    newest = sa.select(r.c.vm_key, sa.func.max(r.c.attempt).label("attempt")).group_by(r.c.vm_key).subquery()
    joined = r.select().join(newest, (r.c.vm_key == newest.c.vm_key) & (r.c.attempt == newest.c.attempt))
    return {found.vm_key: found for found in map(_run, connection.execute(joined))}


def history(connection: sa.Connection, vm_key: str | None, limit: int) -> tuple[Run, ...]:
    """Runs, newest first; of one VM or of all."""
    query = r.select().order_by(r.c.created_at.desc(), r.c.id.desc()).limit(limit)
    return tuple(map(_run, connection.execute(query if vm_key is None else query.where(r.c.vm_key == vm_key))))


def next_attempt(connection: sa.Connection, vm_key: str) -> int:
    """The number of the next run of this VM, from 1."""
    highest = connection.execute(_LAST_ATTEMPT, {"of": vm_key}).scalar()
    return (highest or 0) + 1


def turn_back(connection: sa.Connection, found: Run, reason: str, now: datetime, failed: bool = False) -> Run:
    """From here on the run takes everything back, for this reason."""
    event(connection, now, found, None, "turned", reason)
    return _change(
        connection,
        found,
        direction=Direction.BACK,
        state=RunState.RUNNING,
        reason=reason[:MOST_TEXT],
        failed=found.failed or failed,
        not_before=None,
    )


def hold(
    connection: sa.Connection, found: Run, expires_at: datetime | None, now: datetime, again: datetime | None = None
) -> Run:
    """The goal is reached and kept until `expires_at`; past that it waits for a person and is looked at `again`."""
    if (found.state, found.expires_at, found.not_before) == (RunState.HOLDING, expires_at, again):
        return found
    until = expires_at.isoformat(timespec="seconds") if expires_at else "ended"
    event(
        connection,
        now,
        found,
        None,
        "holding",
        f"time is up at {until}; waits for a person" if again else f"testing until {until}",
    )
    return _change(connection, found, state=RunState.HOLDING, expires_at=expires_at, not_before=again)


def follow(connection: sa.Connection, found: Run, accepted: AcceptedSpec, now: datetime) -> Run:
    """From now on the run follows another spec that wants the same guest, perhaps for longer or shorter."""
    event(connection, now, found, None, "follows", f"{accepted.spec.origin}, accepted by {accepted.accepted_by}")
    return _change(connection, found, spec_id=accepted.id, spec=accepted.spec, stored={"spec": accepted.raw_spec})


def pause(connection: sa.Connection, found: Run, reason: str, until: datetime | None, now: datetime) -> Run:
    """The run stops at a safe point and asks; it is looked at again at `until`, if nobody answered by then."""
    event(connection, now, found, None, "paused", reason)
    return _change(connection, found, state=RunState.PAUSED, reason=reason[:MOST_TEXT], not_before=until)


def resume(connection: sa.Connection, found: Run, plan: Plan, by: str, now: datetime) -> Run:
    """A person approved what is to be done from here on: the paused run goes on with the steps of this plan."""
    event(connection, now, found, None, "resumed", f"{len(plan.steps)} steps, {plan.digest}, approved by {by}")
    add_leg(connection, found, plan.steps, Direction.THERE)
    inventory.replan(connection, found.spec_id, plan, now)
    return _change(connection, found, state=RunState.RUNNING, reason=None, not_before=None, plan_digest=plan.digest)


def stuck(connection: sa.Connection, found: Run, reason: str, again: datetime | None, now: datetime) -> Run:
    """The run needs a person; it looks again by itself at `again`."""
    reason = reason[:MOST_TEXT]
    if found.state is not RunState.STUCK or found.reason != reason:
        event(connection, now, found, None, "stuck", reason)
    return _change(connection, found, state=RunState.STUCK, reason=reason, not_before=again)


def _unstuck(connection: sa.Connection, found: Run) -> dict[str, Any]:
    """What a run that was stuck is when it moves again: its reason is once more what turned it back, if anything did."""
    if found.state is not RunState.STUCK:
        return {}
    e = tables.events
    turned = (e.c.vm_key == found.vm_key) & (e.c.run_id == found.id) & (e.c.kind == "turned")
    reason = connection.execute(sa.select(e.c.text).where(turned).order_by(e.c.id.desc()).limit(1)).scalar()
    return {"state": RunState.RUNNING, "reason": reason}


def wake(connection: sa.Connection, found: Run, now: datetime) -> Run:
    """A person wants this run to go on: it is due at once."""
    event(connection, now, found, None, "woken", "a person asked for it")
    return _change(connection, found, not_before=None, **_unstuck(connection, found))


def finish(connection: sa.Connection, found: Run, written: Mapping[str, int | None], now: datetime) -> Run:
    """Everything is taken back. Replicas still `written` are dirty until a full sync that is later than the one named."""
    for volume_id, full_sync in written.items():
        connection.execute(tables.dirty.delete().where(tables.dirty.c.volume_id == volume_id))
        row = {"volume_id": volume_id, "vm_key": found.vm_key, "run_id": found.id, "since": now, "full_sync": full_sync}
        connection.execute(tables.dirty.insert().values(row))
    state = RunState.ROLLED_BACK if found.failed else RunState.COMPLETED
    event(connection, now, found, None, "finished", str(state))
    over, ends = {"open_of": None}, {"state": state, "finished_at": now, "not_before": None}
    return _change(connection, found, stored=over, **{**_unstuck(connection, found), **ends})


def wait_until(connection: sa.Connection, found: Run, moment: datetime | None) -> Run:
    """The run is not looked at before that moment; a run that was stuck moves again."""
    if found.state is RunState.STUCK:
        return _change(connection, found, not_before=moment, **_unstuck(connection, found))
    return found if found.not_before == moment else _change(connection, found, not_before=moment)


def progressed(connection: sa.Connection, reached: Mapping[str, float]) -> None:
    """Raise the progress (percent) of these runs, by their ids; it never falls."""
    if reached:
        rows = [{"of": run_id, "reached": progress, "progress": progress} for run_id, progress in reached.items()]
        connection.execute(_PROGRESS, rows)


def run_facts(connection: sa.Connection, found: Run) -> RunFacts:
    """What the journal knows of a run and no look could tell."""
    return _facts(connection, [found])[found.id]


def _facts(connection: sa.Connection, found: Sequence[Run]) -> dict[str, RunFacts]:
    ids = [x.id for x in found]
    placed: dict[str, list[Placement]] = {i: [] for i in ids}
    points: dict[str, list[Point]] = {i: [] for i in ids}
    for x in about(connection, _PLACED, ids).all():
        placed[x.run_id].append(Placement(x.volume_id, x.disk_key, x.position, x.appliance_device, x.guest_device))
    for x in about(connection, _POINTS, ids).all():
        points[x.run_id].append(Point(x.volume_id, x.name, x.snapshot_id, x.reverted_at is not None))
    clones: dict[str, list[Clone]] = {i: [] for i in ids}
    if any(x.strategy is Strategy.CLONE for x in found):
        for x in about(connection, _CLONES, ids):
            clones[x.run_id].append(Clone(x.volume_id, x.name, x.clone_id))
    whole: dict[str, GuestPoint] = {}
    if any(x.strategy is Strategy.VM_SNAPSHOT for x in found):
        rows = about(connection, _GUEST_POINTS, ids)
        whole = {x.run_id: GuestPoint(x.name, x.snapshot_id, x.reverted_at is not None) for x in rows}
    return {
        x.id: replace(
            fresh(x),
            placements=tuple(placed[x.id]),
            points=tuple(points[x.id]),
            clones=tuple(clones[x.id]),
            guest_point=whole.get(x.id),
        )
        for x in found
    }


def fresh(found: Run) -> RunFacts:
    """What the journal knows of a run from its own row alone, as it is when the run was just opened."""
    return RunFacts(
        id=found.id,
        guest_name=found.guest_name,
        reserved=found.reserved,
        guest_id=found.guest_id,
        default_root_id=found.default_root_id,
        start_sent=found.start_sent,
        running_since=found.running_since,
        strategy=found.strategy,
    )


# --- everything about some VMs at once --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dossier:
    """What journal and inventory know of one VM: its lease, and its run, if there is one, with facts and steps.

    `dirty` are replicas that a run left written, each with the newest full sync that there was then; `under_way` are steps
    that were sent and are not settled, `rest` those that are still to be done.
    """

    vm_key: str
    accepted: AcceptedSpec | None
    lease: Lease | None
    attempt: int
    dirty: Mapping[str, int | None]
    run: Run | None = None
    facts: RunFacts | None = None
    under_way: tuple[StepRow, ...] = ()
    rest: tuple[StepRow, ...] = ()


def dossiers(connection: sa.Connection, vm_keys: Sequence[str]) -> dict[str, Dossier]:
    """The dossiers of these VMs, in a number of queries that does not grow with them."""
    accepted = inventory.newest(connection, vm_keys)
    last = {key: number for key, number in about(connection, _LAST_ATTEMPTS, vm_keys).all()}  # noqa: C416  rows are no pairs
    written: dict[str, dict[str, int | None]] = {}
    for x in about(connection, _DIRTY, vm_keys).all():
        written.setdefault(x.vm_key, {})[x.volume_id] = x.full_sync
    held = {x.vm_key: Lease(*x) for x in about(connection, _HELD, vm_keys).all()}
    empty = (Dossier(key, accepted.get(key), held.get(key), last.get(key, 0) + 1, written.get(key, {})) for key in vm_keys)
    return refreshed(connection, {dossier.vm_key: dossier for dossier in empty})


def refreshed(connection: sa.Connection, known: Mapping[str, Dossier]) -> dict[str, Dossier]:
    """The same dossiers with their runs, facts and steps read again."""
    found = about(connection, _OPEN_RUNS, list(known)).all() if known else ()
    runs = {x.vm_key: x for x in map(_run, found)}
    facts = _facts(connection, list(runs.values())) if runs else {}
    rows: dict[str, list[StepRow]] = {x.id: [] for x in runs.values()}
    for row in map(_step, about(connection, _UNDONE, list(rows)).all() if runs else ()):
        rows[row.run_id].append(row)
    return {key: _dossier(dossier, runs.get(key), facts, rows) for key, dossier in known.items()}


def _dossier(empty: Dossier, found: Run | None, facts: Mapping[str, RunFacts], rows: Mapping[str, list[StepRow]]) -> Dossier:
    if found is None:
        return replace(empty, run=None, facts=None, under_way=(), rest=())
    ours = rows[found.id]
    pending = [x for x in ours if x.state is StepState.PENDING and x.direction is found.direction]
    newest = max((x.leg for x in pending), default=0)
    return replace(
        empty,
        attempt=found.attempt,
        run=found,
        facts=facts[found.id],
        under_way=tuple(x for x in ours if x.state in UNDER_WAY),
        rest=tuple(x for x in pending if x.leg == newest),
    )


@dataclass(frozen=True, slots=True)
class Brief:
    """The few facts of an unfinished run that decide whether it is due."""

    vm_key: str
    spec_id: int
    direction: Direction
    state: RunState
    not_before: datetime | None
    expires_at: datetime | None
    reserved: bool


def briefs(connection: sa.Connection) -> tuple[Brief, ...]:
    """All unfinished runs in brief, oldest first."""
    rows = connection.execute(_BRIEFS).all()
    return tuple(Brief(x[0], x[1], Direction(x[2]), RunState(x[3]), *x[4:]) for x in rows)


def _change(connection: sa.Connection, found: Run, stored: Mapping[str, Any] | None = None, **values: Any) -> Run:
    """Change columns of a run that has not ended; `stored` is what stands in the table where the record differs."""
    if connection.execute(_UNFINISHED_RUN, {"of": found.id, **values, **(stored or {})}).rowcount != 1:
        raise LookupError(f"run {found.id} has ended already: nothing was written")
    return replace(found, **values)


# --- steps ------------------------------------------------------------------------------------------------------------


def add_leg(connection: sa.Connection, found: Run, planned: Sequence[Step], direction: Direction) -> tuple[StepRow, ...]:
    """Append the steps of a plan to the run as a new leg; returns them."""
    last = connection.execute(sa.select(sa.func.max(s.c.seq), sa.func.max(s.c.leg)).where(s.c.run_id == found.id)).one()
    return _append(connection, found, planned, direction, (last[0] or 0, last[1] or 0))


def _append(
    connection: sa.Connection, found: Run, planned: Sequence[Step], direction: Direction, last: tuple[int, int]
) -> tuple[StepRow, ...]:
    """Append steps behind the last number and the last leg that the run has."""
    rows = tuple(_fresh(found, step, last[0] + step.number, last[1] + 1, direction) for step in planned)
    if rows:
        connection.execute(_NEW_STEPS, [_stored(row) for row in rows])
    return rows


def _fresh(found: Run, step: Step, seq: int, leg: int, direction: Direction) -> StepRow:
    action = step.action
    nothing = (None,) * 6
    return StepRow(found.id, seq, leg, direction, action.word, action.subject, action, StepState.PENDING, 0, *nothing)


def _stored(row: StepRow) -> dict[str, Any]:
    columns = ("run_id", "seq", "leg", "direction", "word", "subject", "state", "attempts")
    return {c: getattr(row, c) for c in columns} | {"action": json.dumps(row.action.as_json(), sort_keys=True)}


def steps(connection: sa.Connection, found: Run, direction: Direction) -> tuple[StepRow, ...]:
    """The steps of the newest leg in that direction."""
    chosen = (s.c.run_id == found.id) & (s.c.direction == direction)
    newest = sa.select(sa.func.max(s.c.leg)).where(chosen).scalar_subquery()
    return tuple(map(_step, connection.execute(s.select().where(chosen & (s.c.leg == newest)).order_by(s.c.seq))))


def step(connection: sa.Connection, found: Run, seq: int) -> StepRow | None:
    """A step of a run by its number, if it has one."""
    row = connection.execute(s.select().where((s.c.run_id == found.id) & (s.c.seq == seq))).first()
    return _step(row) if row is not None else None


def approved(connection: sa.Connection, found: Run) -> tuple[frozenset[Action], int]:
    """The actions that were approved for the way there, and in how many legs they stand."""
    chosen = (s.c.run_id == found.id) & (s.c.direction == Direction.THERE)
    rows = connection.execute(sa.select(s.c.action, s.c.leg).where(chosen)).all()
    return frozenset(_action_of(text) for text, _ in rows), len({leg for _, leg in rows})


def has_done(connection: sa.Connection, found: Run, word: str) -> bool:
    """Whether the run has done a step of that kind."""
    chosen = (s.c.run_id == found.id) & (s.c.word == word) & (s.c.state == StepState.DONE)
    return connection.execute(sa.select(s.c.seq).where(chosen).limit(1)).first() is not None


def under_way(connection: sa.Connection, found: Run) -> tuple[StepRow, ...]:
    """Steps that were sent, or may have been, and are not settled."""
    chosen = (s.c.run_id == found.id) & s.c.state.in_(UNDER_WAY)
    return tuple(map(_step, connection.execute(s.select().where(chosen).order_by(s.c.seq))))


def jobs_under_way(connection: sa.Connection) -> tuple[tuple[str, str, str, datetime], ...]:
    """Steps that may be running in the cloud: VM key, run id, our id of the job, and the deadline of the wait."""
    return tuple((x.vm_key, x.run_id, x.custom_job_id, x.deadline) for x in connection.execute(_JOBS).all())


@dataclass(frozen=True, slots=True)
class Move:
    """A step on its way to another state; `values` are the columns that change with it."""

    row: StepRow
    values: Mapping[str, Any]

    @property
    def moved(self) -> StepRow:
        """The step as it is afterwards."""
        return replace(self.row, **self.values)


def started(row: StepRow, own_id: str, deadline: datetime, now: datetime) -> Move:
    """The intent: what is about to be sent, under which id, and until when it is waited for."""
    values = {
        "state": StepState.STARTED,
        "attempts": row.attempts + 1,
        "custom_job_id": own_id,
        "started_at": now,
        "deadline": deadline,
        "finished_at": None,
        "error": None,
        "error_code": None,
    }
    return Move(row, values)


def moved(row: StepRow, state: StepState, code: int | None, why: str, now: datetime) -> Move:
    """What came of a step."""
    ended = now if state in (StepState.DONE, StepState.FAILED) else None
    trouble = state in (StepState.PENDING, StepState.FAILED, StepState.STUCK)
    unchanged = {name: getattr(row, name) for name in ("attempts", "custom_job_id", "started_at", "deadline")}
    values = {"state": state, "error_code": code, "error": why[:MOST_TEXT] if trouble else None, "finished_at": ended}
    return Move(row, {**unchanged, **values})


def move(connection: sa.Connection, moves: Sequence[Move]) -> None:
    """Write moves of steps. Raises `IllegalMove` for one that the table does not know, `Fenced` for one made by others."""
    for one in moves:
        if (one.row.state, one.values["state"]) not in STEP_MOVES:
            raise IllegalMove(f"step {one.row.seq} ({one.row.word}) cannot go from {one.row.state} to {one.values['state']}")
    rows = [{"of": one.row.run_id, "number": one.row.seq, "was": one.row.state, **one.values} for one in moves]
    if rows and connection.execute(_STEP, rows).rowcount != len(rows):
        steps_of = ", ".join(sorted({f"{one.row.run_id}/{one.row.seq}" for one in moves}))
        raise Fenced(f"a step was moved by another process, of {steps_of}")


def learn(connection: sa.Connection, found: Run, learned: Mapping[str, Any], now: datetime) -> None:
    """Write facts that a step taught: columns of the run, and rows of where its disks hang and what protects them."""
    own = {k: v for k, v in learned.items() if k in _RUN_FACTS}
    if own:
        connection.execute(_RUN, {"of": found.id, **own})
    for name in learned.keys() - own.keys():
        _LEARNED[name](connection, found, learned[name], now)


def _learn_placements(connection: sa.Connection, found: Run, placements: Iterable[Placement], _now: datetime) -> None:
    for placement in placements:
        values = {
            "disk_key": placement.disk_key,
            "position": placement.order,
            "appliance_device": placement.appliance_device,
            "guest_device": placement.guest_device,
        }
        _first_time(connection, tables.placements, _of_volume(found, placement.volume_id), values)


def _of_volume(found: Run, volume_id: str) -> dict[str, str]:
    return {"run_id": found.id, "volume_id": volume_id}


_RUN_FACTS = ("reserved", "guest_name", "guest_id", "default_root_id", "start_sent", "running_since")


def _first_time(connection: sa.Connection, table: sa.Table, key: Mapping[str, str], values: Mapping[str, Any]) -> None:
    """Insert a row unless there is one of this key already."""
    there, new, _ = _statements(table, tuple(key))
    if connection.execute(there, _bound(key)).first() is None:
        connection.execute(new, {**key, **values})


def _told(connection: sa.Connection, table: sa.Table, key: Mapping[str, str], values: Mapping[str, Any]) -> None:
    """Change the row of this key. Raises LookupError when there is none."""
    _, _, change = _statements(table, tuple(key))
    if connection.execute(change, {**_bound(key), **values}).rowcount != 1:
        raise LookupError(f"{table.name} has no row of {dict(key)}")


@lru_cache
def _statements(table: sa.Table, key: tuple[str, ...]) -> tuple[sa.Select[Any], sa.Insert, sa.Update]:
    """What asks for a row by its key, makes one, and changes it."""
    chosen = sa.and_(*(table.c[name] == sa.bindparam(f"of_{name}") for name in key))
    return sa.select(table.c[key[0]]).where(chosen), table.insert(), table.update().where(chosen)


def _bound(key: Mapping[str, str]) -> dict[str, str]:
    return {f"of_{name}": value for name, value in key.items()}


_LEARNED: Mapping[str, Callable[[sa.Connection, Run, Any, datetime], None]] = {
    "placements": _learn_placements,
    "point": lambda c, run, point, _: _first_time(c, p, _of_volume(run, point[0]), {"name": point[1]}),
    "snapshot_id": lambda c, run, made, _: _told(c, p, _of_volume(run, made[0]), {"snapshot_id": made[1]}),
    "reverted": lambda c, run, volume_id, now: _told(c, p, _of_volume(run, volume_id), {"reverted_at": now}),
    "clone": lambda c, run, clone, _: _first_time(c, tables.clones, _of_volume(run, clone[0]), {"name": clone[1]}),
    "clone_id": lambda c, run, made, _: _told(c, tables.clones, _of_volume(run, made[0]), {"clone_id": made[1]}),
    "guest_point": lambda c, run, name, _: _first_time(c, tables.guest_points, {"run_id": run.id}, {"name": name}),
    "guest_point_id": lambda c, run, made, _: _told(c, tables.guest_points, {"run_id": run.id}, {"snapshot_id": made}),
    "guest_reverted": lambda c, run, _yes, now: _told(c, tables.guest_points, {"run_id": run.id}, {"reverted_at": now}),
}


# --- events -----------------------------------------------------------------------------------------------------------


def event(connection: sa.Connection, now: datetime, found: Run, seq: int | None, kind: str, text: str) -> None:
    """Append an event of a run."""
    tell(connection, now, [(found, seq, kind, text)])


def tell(connection: sa.Connection, now: datetime, news: Iterable[tuple[Run, int | None, str, str]]) -> None:
    """Append events: of which run, of which step of it, of which kind, and the text."""
    rows = [
        {"at": now, "vm_key": found.vm_key, "run_id": found.id, "seq": seq, "kind": kind, "text": text[:MOST_TEXT]}
        for found, seq, kind, text in news
    ]
    if rows:
        connection.execute(_EVENT, rows)


def note(connection: sa.Connection, now: datetime, vm_key: str, kind: str, text: str) -> None:
    """Append an event of a VM without a run; the same news twice in a row is written once."""
    last = next(iter(events(connection, vm_key, 1)), None)
    if last is None or (last.kind, last.text) != (kind, text[:MOST_TEXT]):
        connection.execute(tables.events.insert().values(at=now, vm_key=vm_key, kind=kind, text=text[:MOST_TEXT]))


def events(connection: sa.Connection, vm_key: str, limit: int) -> tuple[Event, ...]:
    """Events of a VM, newest first."""
    e = tables.events
    rows = connection.execute(e.select().where(e.c.vm_key == vm_key).order_by(e.c.id.desc()).limit(limit))
    return tuple(Event(x.at, x.run_id, x.seq, x.kind, x.text) for x in rows)


# --- rows to records --------------------------------------------------------------------------------------------------


def _run(row: sa.Row[Any]) -> Run:
    values = dict(row._mapping)
    del values["open_of"]
    values["spec"] = _spec_of(values["spec"])
    values["direction"], values["state"] = Direction(values["direction"]), RunState(values["state"])
    values["strategy"] = Strategy(values["strategy"])
    return Run(**values)


_SPECS: dict[str, Spec] = {}


def _spec_of(data: Mapping[str, Any]) -> Spec:
    """The spec of a run. The same text gives the same record, which works out its digest once."""
    text = repr(data)
    known = _SPECS.get(text)
    if known is None:
        if len(_SPECS) > MOST_SPECS:
            _SPECS.clear()
        known = _SPECS[text] = Spec.from_json(data)
    return known


@lru_cache(maxsize=1 << 16)
def _action_of(text: str) -> Action:
    return actions.from_json(json.loads(text))


def _step(row: sa.Row[Any]) -> StepRow:
    values = dict(row._mapping)
    values["action"] = _action_of(values["action"])
    values["direction"], values["state"] = Direction(values["direction"]), StepState(values["state"])
    return StepRow(**values)
