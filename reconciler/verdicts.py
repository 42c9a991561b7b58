"""What a person may say of a step that is stuck, done or undone, and whether a look agrees.

`reconciler.loop` asks the cloud for the step's job, looks, and asks here. What the look contradicts is not taken; what it
agrees with becomes an outcome like any other, for the one place that records outcomes. Nothing here asks anybody anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from plans import actions
from plans.observed import World
from reconciler.cloudstack.outcomes import JobPending, JobResult, JobSucceeded
from reconciler.execute import NEEDS_RESULT, Kind, Outcome, from_result, learned_after
from reconciler.store.journal import Run, StepRow


class NotStuck(Exception):
    """There is no such step, or nobody need say what became of it; the message says why."""


class Verdict(StrEnum):
    """What a person says of a step that is stuck."""

    DONE = "done"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Judged:
    """A step of which a person said something, with what a look showed; `against` is why it was not taken, if it was not."""

    run: Run
    step: StepRow
    verdict: Verdict
    world: World
    job: JobResult
    against: str | None


_COMES_LATE = (actions.DetachReplica, actions.DetachClone, actions.DetachDefaultRoot)
"""What the cloud may do once more at the end of a job: it would take the disk off wherever that hangs by then."""


def against(action: actions.Action, world: World, job: JobResult, verdict: Verdict) -> str | None:
    """Why the look does not agree with what a person says of this action, or None when it does."""
    return _against_done(action, world, job) if verdict is Verdict.DONE else _against_undone(action, world, job)


def _against_done(action: actions.Action, world: World, job: JobResult) -> str | None:
    if isinstance(action, NEEDS_RESULT) and not isinstance(job, JobSucceeded):
        return "no look can see what is in a disk: a revert is done only when its job says so"
    if not isinstance(action, NEEDS_RESULT) and not action.achieved(world):
        return "a look does not show its effect"
    if isinstance(job, JobPending) and isinstance(action, _COMES_LATE):
        return "a look shows its effect, but its job is still pending in the cloud and may take the disk off once more"
    return None


def _against_undone(action: actions.Action, world: World, job: JobResult) -> str | None:
    if isinstance(job, JobPending):
        return "its job is still pending in the cloud, and may do it yet"
    if isinstance(job, JobSucceeded) and isinstance(action, NEEDS_RESULT):
        return "its job says that it is done"
    if action.achieved(world):
        return "a look shows its effect"
    volume = world.volumes.get(action.subject)
    if volume is not None and volume.job_id is not None:
        return f"job {volume.job_id} is under way on volume {volume.id}"
    return None


def outcome(row: StepRow, world: World, job: JobResult, verdict: Verdict, by: str, now: datetime) -> Outcome:
    """What is recorded of a step of which a person said something that a look agrees with."""
    if verdict is Verdict.UNDONE:
        return Outcome(Kind.RETRY, f"{by} says that it is undone, and a look agrees", until=now, by=by)
    taught = from_result(row.action, job) if isinstance(job, JobSucceeded) else {}
    why = f"{by} says that it is done, and a look agrees"
    return Outcome(Kind.DONE, why, learned={**taught, **learned_after(row.action, world, now)}, by=by)
