"""What a spec wants at one moment. Time is an argument, so no timer has to survive anything: expiry is a later `now`.

Called by `reconciler.loop` on every pass, with the moment the spec was accepted and since when the guest runs, both
kept in the database; the answer goes to `plans`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from specs.model import Spec, State
from specs.values import format_duration

START_WITHIN = timedelta(hours=4)


class GoalKind(StrEnum):
    """The three states a VM can be brought to."""

    PROTECTED = "protected"
    TESTING = "testing"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted now and why, until when as far as that is known, and whether it is kept though its time is up."""

    kind: GoalKind
    ends_at: datetime | None
    overdue: bool
    reason: str


def goal_at(
    spec: Spec,
    accepted_at: datetime,
    now: datetime,
    running_since: datetime | None = None,
    start_within: timedelta = START_WITHIN,
) -> Goal:
    """The goal at `now`. A test that ended stays ended for every later moment. Raises ValueError for naive times."""
    for moment in filter(None, (accepted_at, now, running_since)):
        if moment.tzinfo is None:
            raise ValueError(f"a moment without its time zone: {moment.isoformat()}")
    if spec.duration is not None:
        begin_by = accepted_at + start_within
        if running_since is None or running_since > begin_by:
            return _not_begun(now, begin_by, start_within, running_since)
        return _begun(spec, now, spec.duration, running_since + spec.duration)
    if spec.state is State.LIVE_FAILOVER:
        return Goal(GoalKind.LIVE, None, False, "live failover is wanted")
    return Goal(GoalKind.PROTECTED, None, False, f"{spec.state} is wanted")


def _not_begun(now: datetime, begin_by: datetime, within: timedelta, running_since: datetime | None) -> Goal:
    # a guest that came up after the deadline does not revive the test: the way back may have begun by then
    if now < begin_by and running_since is None:
        return Goal(GoalKind.TESTING, None, False, "a test is wanted; its time counts from when the guest runs")
    return Goal(GoalKind.PROTECTED, None, False, f"the test did not start within {format_duration(within)}")


def _begun(spec: Spec, now: datetime, duration: timedelta, ends_at: datetime) -> Goal:
    span = format_duration(duration)
    if now < ends_at:
        return Goal(GoalKind.TESTING, ends_at, False, f"a test of {span} is wanted")
    if spec.auto_cleanup:
        return Goal(GoalKind.PROTECTED, ends_at, False, f"its {span} are over")
    return Goal(GoalKind.TESTING, ends_at, True, f"its {span} are over, and auto_cleanup is false: an operator ends it")
