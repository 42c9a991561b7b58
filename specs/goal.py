"""What a spec wants at one moment. Time is an argument: no timer has to survive anything.

Called by `reconciler.loop` on every pass with the moment the spec was accepted, the moment now, and since when the guest
runs. Expiry is nothing but a later `now`.
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
    """What is wanted now, until when if that is known, whether its time is up, and why."""

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
    """The goal at `now`. All moments are aware; once a test is over it stays over for every later moment."""
    if spec.state is State.LIVE_FAILOVER:
        return Goal(GoalKind.LIVE, None, False, "live failover is wanted")
    if spec.state is not State.TEST_FAILOVER or spec.duration is None:
        return Goal(GoalKind.PROTECTED, None, False, f"{spec.state} is wanted")
    if running_since is None:
        return _not_running(accepted_at, now, start_within)
    return _running(spec, spec.duration, now, running_since + spec.duration)


def _not_running(accepted_at: datetime, now: datetime, start_within: timedelta) -> Goal:
    if now >= accepted_at + start_within:
        return Goal(GoalKind.PROTECTED, None, False, f"the test did not start within {format_duration(start_within)}")
    return Goal(GoalKind.TESTING, None, False, "a test is wanted")


def _running(spec: Spec, duration: timedelta, now: datetime, ends_at: datetime) -> Goal:
    if now < ends_at:
        return Goal(GoalKind.TESTING, ends_at, False, f"a test of {format_duration(duration)} is wanted")
    if not spec.auto_cleanup:
        return Goal(GoalKind.TESTING, ends_at, True, "its time is up, and auto_cleanup is off")
    return Goal(GoalKind.PROTECTED, ends_at, False, f"its {format_duration(duration)} are over")
