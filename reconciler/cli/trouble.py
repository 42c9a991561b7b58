"""Why a run needs a person, from the journal alone: the object with its id, what was sent, what came of it, the ways out.

Used by `status`, `history` and `why`, in text and as JSON, and by `resolve` for what a look showed; `why` adds what the
cloud says now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plans import actions
from plans.observed import Place
from plans.plan import Plan, Refusal
from reconciler import exits
from reconciler.cli import screen, views
from reconciler.cloudstack.outcomes import JobFailed, JobPending, JobResult, JobSucceeded, JobUnknown, JobVanished
from specs.values import format_duration

if TYPE_CHECKING:
    from plans.observed import World
    from reconciler.exits import Exits
    from reconciler.settings import Settings
    from reconciler.store.journal import Run, StepRow

Told = tuple[str, str, str]
Way = tuple[str, str]
"""A command, and what it does."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A run that is stuck or paused, its steps, and how often a step is tried; `world` is what a look showed, if any did."""

    run: Run
    steps: Sequence[StepRow]
    tries: int
    world: World | None = None

    @property
    def step(self) -> StepRow | None:
        """The step in trouble: one that nobody can tell, else one that failed, else the one that is next."""
        by_state = {state: [s for s in self.steps if s.state == state] for state in ("stuck", "failed", "pending")}
        return next((found[0] for found in by_state.values() if found), None)

    def told(self) -> Iterator[Told]:
        """Titles and texts with their meanings, but for the ways out."""
        yield "because", self.run.reason or "", "broken"
        step = self.step
        if step is None:
            return
        yield "object", self._object(step), "plain"
        yield "sent", self._sent(step), "plain"
        if step.error:
            yield "answer", step.error, "plain"

    def _object(self, step: StepRow) -> str:
        what, (kind, known) = views.subject(self.run, step.action), self._id(step)
        return f"{what}, {kind} {known}" if known else what

    def _id(self, step: StepRow) -> tuple[str, str | None]:
        """The kind of the object and its id in CloudStack."""
        ids = {"guest": self.run.guest_id, "default-root": self.run.default_root_id, "context": None}
        kind = "volume" if step.subject not in ids or step.subject == "default-root" else "VM"
        return kind, ids.get(step.subject, step.subject)

    def _sent(self, step: StepRow) -> str:
        if step.started_at is None:
            return f"nothing yet for step {step.seq}, {views.doing(self.run, step)}"
        when = f"at {step.started_at:%Y-%m-%d %H:%M:%S} UTC, try {step.attempts} of {self.tries}"
        return f"{views.doing(self.run, step)}{_where(step.action)}, {when}, as job {step.custom_job_id}"

    def ways_out(self) -> Iterator[Way]:
        """The exact commands that lead on, each with what it does."""
        vm, file, step = self.run.vm_name, self.run.spec.origin.file, self.step
        untold = step is not None and step.state == "stuck"
        if step is not None and untold:
            resolve = f"failover resolve {self.run.id} {step.seq} --as"
            yield f"{resolve} done", "if it is done: it goes on from there, when a look agrees"
            yield f"{resolve} undone", "if it never happened, and never will: it is sent again, when a look agrees"
        if self.run.direction == "back":
            yield f"failover end {vm}", "tries again at once (safe to repeat)"
            by_hand = _by_hand(step.action, self.world) if step is not None and self.world is not None else None
            if by_hand is not None:
                yield by_hand, f"by hand (CloudMonkey), then: failover end {vm}"
            else:
                yield "failover daemon --specs DIR", "looks again every few minutes; mend the cause meanwhile"
            return
        then = ", once that step is settled" if untold else " (safe to repeat)"
        yield f"failover end {vm}", f"take everything back{then}"
        if self.run.state == "paused":
            yield f"failover apply {file}", "shows what is left to do, and goes on with that if you agree"
        else:
            yield f"failover apply {file}", "mend the cause first; it looks at once and goes on"

    def watched(self) -> Iterator[Way]:
        """Commands that show what the cloud has in between, which nobody but its operators can end."""
        for kind, key, ident, state in _in_between(self.world) if self.world is not None else ():
            yield f"cmk list {kind} {key}={ident}", f"shows whether it is {state} still; if so, ask an operator of the cloud"

    def rows(self) -> Iterator[Told]:
        """Everything that can be told without asking anybody."""
        yield from self.told()
        for number, (command, meaning) in enumerate(self.ways_out(), 1):
            yield "ways out", f"{number}. {command}   {meaning}", "strong"

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data; moments as RFC 3339."""
        return {
            "state": str(self.run.state),
            "because": self.run.reason,
            "step": self._step_json(),
            "ways_out": [{"command": command, "does": meaning} for command, meaning in self.ways_out()],
        }

    def _step_json(self) -> dict[str, Any] | None:
        step = self.step
        if step is None:
            return None
        kind, known = self._id(step)
        return {
            "number": step.seq,
            "action": step.word,
            "state": str(step.state),
            "object": {"kind": kind, "id": known, "name": views.subject(self.run, step.action)},
            "sent_at": screen.stamp(step.started_at),
            "tries": step.attempts,
            "job": step.custom_job_id,
            "deadline": screen.stamp(step.deadline),
            "answer": step.error,
        }


def of(run: Run, steps: Sequence[StepRow], settings: Settings, world: World | None = None) -> Trouble:
    """The trouble of a run that needs a person."""
    return Trouble(run, steps, settings.engine.attempts, world)


def is_in(run: Run | None) -> bool:
    """Whether a run needs a person."""
    return run is not None and run.state in ("stuck", "paused")


def tell(shown: screen.Screen, rows: Iterable[Told]) -> None:
    """Print titles and texts; a title that stands above is not said again."""
    before = ""
    for title, text, meaning in rows:
        shown.titled(title if title != before else "", text, meaning)
        before = title


def exit_rows(found: Exits) -> Iterator[Told]:
    """The ways on from a safe point, what was approved beside what is left now, and what each way comes to."""
    run, file = found.run, found.run.spec.origin.file
    if not found.as_approved:
        yield "approved", ", ".join(found.approved) or "nothing is left of it", "plain"
        yield "now left", _words(found.on), "plain"
    yield "ways out", f"1. failover apply {file}   goes on: {_told(found.on)}", "strong"
    yield "ways out", f"2. failover end {run.vm_name}   takes everything back: {_told(found.back)}", "strong"
    yield "ways out", f"3. {_left(found)}", "strong"


def _left(found: Exits) -> str:
    run, kept = found.run, ", ".join(found.held)
    if run.state != "paused":
        return f"failover freeze {run.vm_name}   stops it here until you say how it goes on; meanwhile {kept}"
    if run.not_before is None:
        return f"leave it   nothing is done until you say so; meanwhile {kept}"
    until = f"{run.not_before:%Y-%m-%d %H:%M} UTC"
    return f"failover freeze {run.vm_name}   else it is taken back at {until}; meanwhile {kept}"


def _words(found: Plan | Refusal) -> str:
    return ", ".join(exits.words(found)) or "nothing" if isinstance(found, Plan) else _told(found)


def _told(found: Plan | Refusal) -> str:
    if not isinstance(found, Plan):
        return f"not possible: {'; '.join(r.text for r in found.reasons)}"
    if not found.steps:
        return "nothing is left to do"
    return f"{len(found.steps)} steps, about {format_duration(found.takes_there)}: {', '.join(exits.words(found))}"


def exits_json(found: Exits) -> dict[str, Any]:
    """The ways on as plain data, each with its plan or the reasons why there is none."""
    run = found.run
    return {
        "run": run.id,
        "vm": run.vm_name,
        "state": str(run.state),
        "approved_left": list(found.approved),
        "as_approved": found.as_approved,
        "taken_back_at": screen.stamp(run.not_before),
        "go_on": {"command": f"failover apply {run.spec.origin.file}", "plan": found.on.as_json()},
        "take_back": {"command": f"failover end {run.vm_name}", "plan": found.back.as_json()},
        "freeze": {"command": f"failover freeze {run.vm_name}", "keeps": list(found.held)},
    }


def said(result: JobResult) -> str:
    """What the cloud says of a job, for people."""
    match result:
        case JobPending():
            return "still pending"
        case JobSucceeded():
            return "succeeded"
        case JobFailed():
            return f"failed with {result.code}: {result.text or 'no reason given'}"
        case JobVanished():
            return "not known: it never arrived, or was forgotten"
        case JobUnknown():
            return result.why


def shown(world: World) -> Iterator[str]:
    """What a look shows of the objects of a run."""
    for disk in world.source.disks:
        if disk.volume_id is not None:
            yield f"{disk.key} {views.placed_text(world, world.volumes.get(disk.volume_id))}"
    yield f"guest {world.guest.name} is {world.guest.state}" if world.guest is not None else "no guest"
    for point in world.run.points if world.run is not None else ():
        snapshot = world.snapshot_of(point)
        reverted = ", reverted" if point.reverted else ""
        yield f"rollback point {point.name} is {snapshot.state if snapshot is not None else 'gone'}{reverted}"
    for disk in world.source.disks:
        clone = world.clone_of(disk.volume_id) if disk.volume_id is not None else None
        if clone is not None:
            yield f"clone of {disk.key} {views.placed_text(world, clone)}"
    if world.guest_snapshot is not None:
        yield f"VM snapshot {world.guest_snapshot.name} is {world.guest_snapshot.state}"


_VOLUMES = frozenset({"Ready", "Allocated", "Destroy", "Expunged"})


def _in_between(world: World) -> Iterator[tuple[str, str, str, str]]:
    """What list, by which key and id, shows each object of a run that is in a state that should pass, and that state."""
    run = world.run
    clones = [world.clone_of(c.volume_id) for c in run.clones] if run is not None else []
    for volume in (*(world.volumes.get(v) for v in sorted(world.replicas)), *clones):
        if volume is not None and volume.state not in _VOLUMES:
            yield "volumes", "id", volume.id, volume.state
    for point in run.points if run is not None else ():
        snapshot = world.snapshot_of(point)
        if snapshot is not None and snapshot.state not in ("BackedUp", "Error", "Destroyed"):
            yield "snapshots", "id", snapshot.id, snapshot.state
    whole = world.guest_snapshot
    if whole is not None and whole.state not in ("Ready", "Error"):
        yield "vmsnapshot", "vmsnapshotid", whole.id, whole.state
    if world.guest is not None and world.guest.state in ("Starting", "Stopping"):
        yield "virtualmachines", "id", world.guest.id, world.guest.state


def _where(action: actions.Action) -> str:
    if isinstance(action, actions.AttachReplica):
        return f" to the {action.target}, device {action.device}"
    return f" from the {action.source}" if isinstance(action, actions.DetachReplica) else ""


def _by_hand(action: actions.Action, world: World) -> str | None:
    """The command that does the same by hand, where that is safe: it moves no data and loses none."""
    if isinstance(action, actions.AttachReplica) and action.target is Place.APPLIANCE and world.appliance is not None:
        return f"cmk attach volume id={action.volume_id} virtualmachineid={world.appliance.id} deviceid={action.device}"
    if isinstance(action, actions.DetachReplica):
        return f"cmk detach volume id={action.volume_id}"
    if isinstance(action, actions.DeleteGuestSnapshot) and world.guest_snapshot is not None:
        clean = not any(map(world.written, world.replicas))
        return f"cmk delete vmsnapshot vmsnapshotid={world.guest_snapshot.id}" if clean else None
    if isinstance(action, actions.StopGuest) and world.guest is not None:
        return f"cmk stop virtualmachine id={world.guest.id}"
    return None
