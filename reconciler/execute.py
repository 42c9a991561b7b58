"""Doing steps: journal the intent, perform it, look, and turn what came of it into the next state.

`reconciler.loop` leads the VMs of a round through these together: `intend` for the steps whose turn it is, `send`,
`look_at` for the steps that are under way, and `record`, the one place that turns outcomes into journal, log event and
retry: no other code writes a step's state. Only `send` and `look_at` speak to the cloud, and they touch no database; what
writes takes the transaction that it writes in. Settling is the same after a crash as in an ordinary pass, because neither
remembers anything.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from plans import actions, effects, estimates
from plans.observed import Place, Volume, VolumeSnapshot, World
from reconciler import crashpoints, phases
from reconciler.clock import Clock
from reconciler.cloudstack import errors
from reconciler.cloudstack.client import Client, Fresh, Seen
from reconciler.cloudstack.jobs import JobBoard
from reconciler.cloudstack.outcomes import (
    Accepted,
    CallOutcome,
    Done,
    JobFailed,
    JobPending,
    JobResult,
    JobSucceeded,
    JobUnknown,
    JobVanished,
    Refused,
    Unknown,
)
from reconciler.cloudstack.permit import Permit
from reconciler.observe import Fleet
from reconciler.perform import Performed, perform
from reconciler.settings import Limits
from reconciler.store import journal
from reconciler.store.database import Connection
from reconciler.store.journal import Lease, Run, StepRow, StepState
from reconciler.store.legacy import CONTEXT_READY, CONTEXT_RESERVED, Legacy
from specs.model import Strategy

JOB_NAMESPACE = uuid.UUID("5d9e3a0c-6f0e-5b7e-9d55-6c1b1f1f7a10")
BACKOFF_LONGEST = timedelta(minutes=2)
DOUBLINGS = 6
OUT_OF_TURN = 431
"""The code of a snapshot that is refused while one of another disk of its machine is copied; others bear it, too."""
LOOK_ON = timedelta(seconds=30)


class Kind(StrEnum):
    """What a step or a pass came to."""

    DONE = "done"
    WAIT = "wait"
    RETRY = "retry"
    REFUSED = "refused"
    FAILED = "failed"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step: why, the cloud's code if it gave one, when to look again, and facts learned for the journal.

    `arrived` is False while nobody knows whether the cloud ever took the call: then the step stays as it was. `by` names
    the person who said it, where one did.
    """

    kind: Kind
    why: str = ""
    code: int | None = None
    until: datetime | None = None
    learned: Mapping[str, Any] = field(default_factory=dict)
    arrived: bool = True
    by: str = ""


def job_id(run_id: str, seq: int, attempt: int) -> str:
    """Our own id for the job of this attempt: the same whenever it is asked for, so that a lost answer can be found."""
    return str(uuid.uuid5(JOB_NAMESPACE, f"{run_id}/{seq}/{attempt}"))


@dataclass(frozen=True, slots=True)
class Executor:
    """Carries steps out. Holds connections, no state: everything it knows is in the journal and the world."""

    client: Client
    clock: Clock
    limits: Limits
    legacy: Legacy

    # --- steps whose turn it is ---------------------------------------------------------------------------------------

    def allowed(self, turn: Turn, rows: Sequence[StepRow]) -> tuple[tuple[StepRow, ...], tuple[Outcome, ...]]:
        """The steps that are legal in the world of this turn, and a refusal for each that is not."""
        blocked = {row.seq: effects.blocker(row.action, turn.world) for row in rows}
        refused = tuple(Outcome(Kind.REFUSED, f"{row.word}: {blocked[row.seq]}") for row in rows if blocked[row.seq])
        return tuple(row for row in rows if not blocked[row.seq]), refused

    def skip(self, connection: Connection, turn: Turn, rows: Sequence[StepRow]) -> None:
        """Steps that a look shows to be done already, by an earlier try or by somebody else, need not be done."""
        now = self.clock.now()
        journal.move(connection, [journal.moved(row, StepState.DONE, None, "", now) for row in rows])
        journal.tell(connection, now, [(turn.run, row.seq, Kind.DONE, f"{row.word}: it is so already") for row in rows])

    def intend(self, connection: Connection, batches: Sequence[Batch]) -> list[Batch]:
        """Write the intents, and show the phases they belong to, before anything is sent."""
        now = self.clock.now()
        intents = [[self._intent(batch.turn, row, now) for row in batch.rows] for batch in batches]
        reached: dict[str, float] = {}
        shown: list[tuple[journal.Run, str]] = []
        for batch in batches:
            turn, phase = batch.turn, phases.of_step(batch.turn.run, batch.rows[0].word)
            for row in batch.rows:
                journal.learn(connection, turn.run, _known_before(row.action, turn.world), now)
                if type(row.action) in _CONTEXTS:
                    self.legacy.set_context(connection, turn.run, _CONTEXTS[type(row.action)], now)
            if turn.run.progress < phase.percent:
                reached[turn.run.id] = phase.percent
                shown.append((turn.run, phase.status))
        journal.progressed(connection, reached)
        self.legacy.project(connection, shown, now)
        journal.move(connection, [intent for group in intents for intent in group])
        return [
            replace(batch, rows=tuple(intent.moved for intent in group))
            for batch, group in zip(batches, intents, strict=True)
        ]

    def _intent(self, turn: Turn, row: StepRow, now: datetime) -> journal.Move:
        crashpoints.hit(crashpoints.Point.BEFORE_INTENT)
        own_id = job_id(turn.run.id, row.seq, row.attempts + 1)
        return journal.started(row, own_id, now + self._wait(turn, row.action), now)

    def _wait(self, turn: Turn, action: actions.Action) -> timedelta:
        bounds = estimates.Bounds(self.limits.wait_at_least, self.limits.wait_at_most)
        return estimates.deadline(action, turn.world, turn.paces, bounds)

    def send(self, batch: Batch, fresh: Fresh | None = None) -> Batch:
        """Send each of these steps once. `fresh` was read after the intents were written, for guests that are destroyed."""
        return replace(batch, outcomes=tuple(self._send(batch.turn, row, fresh) for row in batch.rows))

    def _send(self, turn: Turn, row: StepRow, fresh: Fresh | None) -> Outcome:
        try:
            allowed = permit(turn.run, turn.world, turn.fleet, turn.lease.expires_at)
            writer = self.client.writer(allowed, _seen(turn.world, fresh))
            outcome = self._answered(turn, row, perform(row.action, turn.world, writer, row.custom_job_id or ""))
        except (errors.InvariantViolated, LookupError) as violated:
            outcome = Outcome(Kind.FAILED, str(violated))
        except errors.CloudError as unseen:
            outcome = Outcome(Kind.RETRY, str(unseen), until=self._again(row))
        crashpoints.hit(crashpoints.Point.AFTER_SEND)
        return outcome

    def _answered(self, turn: Turn, row: StepRow, performed: Performed) -> Outcome:
        again = self._again(row)
        outcome = _from_answer(performed.outcome, performed.learned, isinstance(row.action, _OURS), again)
        if outcome.kind is Kind.FAILED and outcome.code == OUT_OF_TURN and takes_turns(row.action, turn.world):
            return replace(outcome, kind=Kind.RETRY, until=again)
        return outcome

    def _again(self, row: StepRow) -> datetime:
        doublings = min(max(0, row.attempts - 1), DOUBLINGS)
        return self.clock.now() + min(self.limits.backoff * (1 << doublings), BACKOFF_LONGEST)

    # --- steps under way ----------------------------------------------------------------------------------------------

    def look_at(self, batch: Batch, board: JobBoard) -> Batch:
        """What became of steps that were sent, or may have been."""
        return replace(batch, outcomes=tuple(self._looked_at(row, batch.turn.world, board) for row in batch.rows))

    def _looked_at(self, row: StepRow, world: World, board: JobBoard) -> Outcome:
        own_id = row.custom_job_id or ""
        now = self.clock.now()
        if isinstance(row.action, _WITHOUT_JOB):
            return self._without_job(row, world)
        if board.is_pending(own_id):
            return self._still_pending(row, world, now)
        if row.action.achieved(world) and not isinstance(row.action, NEEDS_RESULT):
            return Outcome(Kind.DONE, learned=learned_after(row.action, world, now))
        try:
            result = board.settle(own_id)
        except errors.CloudError as unseen:
            return Outcome(Kind.WAIT, str(unseen), until=now + self.limits.poll, arrived=False)
        return self._ended(row, world, result, now)

    def _without_job(self, row: StepRow, world: World) -> Outcome:
        if row.action.achieved(world):
            return Outcome(Kind.DONE)
        return Outcome(Kind.RETRY, "a look does not show it yet", until=self._again(row))

    def _still_pending(self, row: StepRow, world: World, now: datetime) -> Outcome:
        if row.deadline is not None and now >= row.deadline:
            seen = _seen_of(row.action, world)
            why = f"cloud job {row.custom_job_id} is still pending after its deadline, {seen}; looking on"
            return Outcome(Kind.STUCK, why, until=now + max(LOOK_ON, self.limits.poll))
        return Outcome(Kind.WAIT, "running", until=now + self.limits.poll)

    def _ended(self, row: StepRow, world: World, result: JobResult, now: datetime) -> Outcome:
        match result:
            case JobPending():
                return self._still_pending(row, world, now)
            case JobSucceeded():
                return self._succeeded(row, world, result, now)
            case JobFailed():
                return self._job_failed(row, result)
            case JobVanished():
                return self._vanished(row, now)
            case JobUnknown():
                return self._without_verdict(row, result, now)

    def _succeeded(self, row: StepRow, world: World, result: JobSucceeded, now: datetime) -> Outcome:
        """Believed when the look agrees; an id just learned is looked up in the next round."""
        learned = from_result(row.action, result)
        if isinstance(row.action, NEEDS_RESULT):
            if not _at_rest(row.action, world):
                return self._unseen(row, now, "reverted, but not Ready yet")
            return Outcome(Kind.DONE, learned=learned)
        if row.action.achieved(world):
            return Outcome(Kind.DONE, learned={**learned, **learned_after(row.action, world, now)})
        if learned and not _is_known(row.action, world):
            return Outcome(Kind.WAIT, "looking for what was made", until=now, learned=learned)
        text = f"the cloud reports success, but a look does not show it: {_seen_of(row.action, world)}"
        return self._unseen(row, now, text)

    def _job_failed(self, row: StepRow, result: JobFailed) -> Outcome:
        why = f"cloud job {row.custom_job_id} failed with {result.code}: {result.text or 'no reason given'}"
        return Outcome(Kind.RETRY if result.retryable else Kind.FAILED, why, result.code, self._again(row))

    def _vanished(self, row: StepRow, now: datetime) -> Outcome:
        """The cloud knows no such job: it never arrived, once a grace period is over in which it could be under way."""
        grace = self.limits.grace
        if row.started_at is not None and now < row.started_at + grace:
            return Outcome(Kind.WAIT, "not known to the cloud yet", until=row.started_at + grace, arrived=False)
        if row.state is StepState.WAITING:
            return self._unseen(row, now, "the cloud has forgotten its job, and a look does not show its effect")
        return Outcome(Kind.RETRY, "it never arrived", until=now)

    def _without_verdict(self, row: StepRow, result: JobUnknown, now: datetime) -> Outcome:
        """The job ended, nobody knows how, and a look does not show its effect.

        One that a restart of the server closed is sent again. While the cloud may still work on it a detach is not: one that
        comes late takes the disk off wherever it hangs by then.
        """
        why = f"cloud job {row.custom_job_id}: {result.why}"
        if result.closed:
            return Outcome(Kind.RETRY, why, until=self._again(row))
        return self._unseen(row, now, why, again=not isinstance(row.action, actions.DetachReplica))

    def _unseen(self, row: StepRow, now: datetime, why: str, *, again: bool = True) -> Outcome:
        """Looked for until the deadline; then it is sent again where that can do no harm, else it is for a person."""
        if row.deadline is None or now < row.deadline:
            waited = now - (row.started_at or now)
            return Outcome(Kind.WAIT, why, until=now + min(max(waited / 8, self.limits.poll), LOOK_ON))
        if again:
            return Outcome(Kind.RETRY, why, until=self._again(row))
        return Outcome(Kind.STUCK, why, until=now + max(LOOK_ON, self.limits.poll))

    # --- the one place ------------------------------------------------------------------------------------------------

    def record(self, connection: Connection, batches: Sequence[Batch]) -> list[tuple[Outcome, ...]]:
        """Turn outcomes into the steps' next states, facts of the runs, events and the times of the next tries."""
        now = self.clock.now()
        moves: list[journal.Move] = []
        news: list[tuple[Run, int, str, str]] = []
        final = [tuple(map(self._final, batch.rows, batch.outcomes)) for batch in batches]
        for batch, outcomes in zip(batches, final, strict=True):
            for row, outcome in zip(batch.rows, outcomes, strict=True):
                journal.learn(connection, batch.turn.run, outcome.learned, now)
                state = _NEXT_STATE[outcome.kind]
                if state is row.state or not outcome.arrived:
                    continue
                moves.append(journal.moved(row, state, outcome.code, outcome.why, now))
                if outcome.kind is not Kind.WAIT:
                    news.append((batch.turn.run, row.seq, outcome.kind, _told(row, outcome)))
        journal.move(connection, moves)
        journal.tell(connection, now, news)
        return final

    def _final(self, row: StepRow, outcome: Outcome) -> Outcome:
        """The outcome, or a failure when it was to be tried again once too often, and no person said so."""
        if outcome.kind is Kind.RETRY and not outcome.by and row.attempts >= self.limits.attempts:
            return Outcome(Kind.FAILED, f"gave up after {row.attempts} tries: {outcome.why}", outcome.code)
        return outcome


def _told(row: StepRow, outcome: Outcome) -> str:
    what = f"{row.word} {getattr(row.action, 'disk', '')}".strip()
    return f"{what}: {outcome.why or 'done and seen'}"


@dataclass(frozen=True, slots=True)
class Turn:
    """One VM's turn in a round: run, lease, world, the fleet around it, what is left to do, and how long steps take here."""

    run: Run
    lease: Lease
    world: World
    fleet: Fleet
    rest: tuple[StepRow, ...] = ()
    paces: estimates.Paces = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Steps of one VM's turn that are done side by side, and what came of each, once that is known."""

    turn: Turn
    rows: tuple[StepRow, ...]
    outcomes: tuple[Outcome, ...] = ()


_OURS = (actions.Reserve, actions.Resume, actions.Release)
_WITHOUT_JOB = (*_OURS, actions.DeleteDefaultRoot, actions.DeleteClone)
NEEDS_RESULT = (actions.RevertReplica, actions.RevertGuest)
"""What no look can see: that it is done is so only when its job says so."""
_CONTEXTS: Mapping[type[actions.Action], str] = {actions.Reserve: CONTEXT_RESERVED, actions.Resume: CONTEXT_READY}
_NEXT_STATE: Mapping[Kind, StepState] = {
    Kind.DONE: StepState.DONE,
    Kind.WAIT: StepState.WAITING,
    Kind.RETRY: StepState.PENDING,
    Kind.REFUSED: StepState.FAILED,
    Kind.FAILED: StepState.FAILED,
    Kind.STUCK: StepState.STUCK,
}


def _seen_of(action: actions.Action, world: World) -> str:
    """What a look shows of the object of an action, for people."""
    if action.subject in world.replicas:
        volume = world.volumes.get(action.subject)
        return f"its volume is on the {world.place(action.subject)}, {volume.state if volume is not None else 'not shown'}"
    return f"guest VM {world.guest.id} is {world.guest.state}" if world.guest is not None else "there is no guest"


def _at_rest(action: actions.Action, world: World) -> bool:
    """Whether what was reverted can be used again."""
    if isinstance(action, actions.RevertGuest):
        volumes = world.on(world.guest.id) if world.guest is not None else ()
        return world.guest_snapshot is not None and world.guest_snapshot.state == "Ready" and _ready(volumes)
    found = world.volumes.get(action.subject)
    return found is not None and _ready((found,))


def _ready(volumes: Iterable[Volume]) -> bool:
    return all(v.state == "Ready" for v in volumes)


def takes_turns(action: actions.Action, world: World) -> bool:
    """Whether a step needs that nobody else does the same to its machine: a snapshot of a disk on a running appliance.

    While the snapshot of one disk is copied, the cloud refuses one of another; a look shows most of that, not what has begun
    since then.
    """
    return isinstance(action, actions.SnapshotReplica) and world.place(action.volume_id) is Place.APPLIANCE


def _from_answer(answer: CallOutcome, learned: Mapping[str, Any], ours: bool, again: datetime) -> Outcome:
    match answer:
        case Done():
            return Outcome(Kind.DONE if ours else Kind.WAIT, "" if ours else "looking", learned=learned)
        case Accepted():
            return Outcome(Kind.WAIT, "accepted", learned=learned)
        case Refused(retryable=True):
            return Outcome(Kind.RETRY, f"{answer.code}: {answer.text}", answer.code, again)
        case Refused():
            return Outcome(Kind.FAILED, f"{answer.code}: {answer.text}", answer.code)
        case Unknown():
            why = f"no answer: {answer.why}; looking for what became of it"
            return Outcome(Kind.WAIT, why, until=again, arrived=False)
    raise TypeError(type(answer).__name__)


def _known_before(action: actions.Action, world: World) -> dict[str, Any]:
    """Facts that must be in the journal before the call: from a started guest on, the replicas count as written."""
    if isinstance(action, actions.StartGuest):
        return {"start_sent": True}
    if isinstance(action, actions.SnapshotReplica):
        return {"point": (action.volume_id, action.name)}
    if isinstance(action, actions.Reserve):
        reserved = effects.after(action, world).run
        return {"placements": reserved.placements if reserved else ()}
    if isinstance(action, actions.CreateGuest):
        return {"guest_name": action.name}
    if isinstance(action, actions.CloneReplica):
        return {"clone": (action.volume_id, action.name)}
    if isinstance(action, actions.SnapshotGuest):
        return {"guest_point": action.name}
    return {}


def from_result(action: actions.Action, result: JobSucceeded) -> dict[str, Any]:
    """Ids and confirmations that only the job's result can give."""
    if isinstance(action, actions.RevertReplica):
        return {"reverted": action.volume_id}
    if isinstance(action, actions.CreateGuest) and result.entity_id:
        return {"guest_id": result.entity_id}
    if isinstance(action, actions.SnapshotReplica) and result.entity_id:
        return {"snapshot_id": (action.volume_id, result.entity_id)}
    if isinstance(action, actions.CloneReplica) and result.entity_id:
        return {"clone_id": (action.volume_id, result.entity_id)}
    if isinstance(action, actions.RevertGuest):
        return {"guest_reverted": True}
    return {}


def _is_known(action: actions.Action, world: World) -> bool:
    """Whether the id of what the action makes was written down before this look."""
    run = world.run
    match action:
        case actions.CreateGuest():
            return run is not None and run.guest_id is not None
        case actions.SnapshotReplica():
            point = run.point(action.volume_id) if run is not None else None
            return point is not None and point.snapshot_id is not None
        case actions.CloneReplica():
            clone = run.clone(action.volume_id) if run is not None else None
            return clone is not None and clone.clone_id is not None
    return False


def learned_after(action: actions.Action, world: World, now: datetime) -> dict[str, Any]:
    """Facts that the look after a finished action adds: the blank root's id, since when the guest runs."""
    if isinstance(action, actions.CreateGuest) and world.guest is not None:
        roots = [v for v in world.on(world.guest.id) if v.device_id == 0 and v.id not in world.replicas]
        return {"default_root_id": roots[0].id} if roots else {}
    if isinstance(action, actions.StartGuest):
        return {"running_since": now}
    return {}


def noticed(world: World, now: datetime) -> dict[str, Any]:
    """Facts that a look shows and no step taught: the guest was started, or is gone and may have been, or runs already."""
    run = world.run
    if run is None:
        return {}
    learned: dict[str, Any] = {}
    if not run.start_sent and (world.guest_ran or world.guest_vanished):
        learned["start_sent"] = True
    if run.running_since is None and world.guest_ran and world.guest is not None and world.guest.state == "Running":
        learned["running_since"] = now
    return learned


def permit(run: Run, world: World, fleet: Fleet, until: datetime) -> Permit:
    """What this run may touch while the lease lasts, for the client's lowest layer to check once more."""
    facts = world.run
    placements = facts.placements if facts else ()
    clones = {p.volume_id: found.id for p in placements if (found := world.clone_of(p.volume_id)) is not None}
    lent = clones if run.strategy is Strategy.CLONE else {p.volume_id: p.volume_id for p in placements}
    whole = world.guest_snapshot
    return Permit(
        run_id=run.id,
        kind="test",
        replicas=world.replicas,
        protected=frozenset(fleet.protected) | world.replicas,
        appliances=fleet.appliances,
        guest_id=facts.guest_id if facts else None,
        guest_name=facts.guest_name if facts else "",
        default_root_id=facts.default_root_id if facts else None,
        allowed_networks=world.test_networks,
        guest_devices={lent[p.volume_id]: p.guest_device for p in placements if p.volume_id in lent},
        clones=frozenset(clones.values()),
        snapshots={s.id: _releasable(s.volume_id, world) for s in _own_snapshots(world)},
        guest_snapshot_id=whole.id if whole is not None else None,
        guest_snapshot_releasable=whole is not None and (whole.state != "Ready" or _clean(world)),
        points_ready=effects.points_missing(world) is None,
        replication_idle=not world.source.active_jobs,
        until=until,
    )


def _clean(world: World) -> bool:
    return not any(world.written(volume_id) for volume_id in world.replicas)


def _seen(world: World, fresh: Fresh | None) -> Seen:
    machines = {m.id: m for m in (world.guest, world.appliance) if m is not None}
    return Seen(machines, world.volumes, world.snapshots, world.vm_snapshots, fresh)


def _own_snapshots(world: World) -> list[VolumeSnapshot]:
    points = world.run.points if world.run else ()
    return [s for p in points for s in (world.snapshot_of(p), *world.leftovers_of(p)) if s is not None]


def _releasable(volume_id: str, world: World) -> bool:
    return not world.written(volume_id) and world.place(volume_id) is Place.APPLIANCE
