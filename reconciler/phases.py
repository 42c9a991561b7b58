"""The documented status word and percentage of a run, from the step in hand.

`reconciler.loop` asks before every step and shows the answer in `failover_jobs`. The percentage only rises; while the test
runs it moves with the time that is over, between 70 and 84.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler.store.journal import Direction, Run


@dataclass(frozen=True, slots=True)
class Phase:
    """A documented status word and how far that is, in percent."""

    status: str
    percent: float


VALIDATING = Phase("validating", 8)
COMPLETED = Phase("completed", 100)
FAILED = Phase("failed", 0)
"""What a run that failed had reached stays shown: progress never falls, and it is not complete."""

_THERE: Mapping[str, Phase] = {
    "reserve": Phase("executing", 15),
    "create-guest": Phase("creating_vm", 25),
    "mark-guest": Phase("creating_vm", 30),
    "detach-default-root": Phase("switching_volume", 40),
    "delete-default-root": Phase("switching_volume", 42),
    "detach-replica": Phase("switching_volume", 45),
    "snapshot-replica": Phase("snapshotting", 55),
    "attach-replica": Phase("switching_volume", 60),
    "resume": Phase("switching_volume", 61),
    "clone-replica": Phase("switching_volume", 62),
    "attach-clone": Phase("switching_volume", 64),
    "snapshot-guest": Phase("snapshotting", 66),
    "start-guest": Phase("powering_on", 70),
}
_BACK: Mapping[str, Phase] = {
    "stop-guest": Phase("cleanup", 85),
    "revert-guest": Phase("reverting", 95),
    "delete-guest-snapshot": Phase("reverting", 95.5),
    "detach-replica": Phase("cleanup", 88),
    "revert-replica": Phase("reverting", 95),
}


def of_step(run: Run, word: str) -> Phase:
    """The phase in which this step is done."""
    if run.direction is Direction.THERE:
        return _THERE.get(word, Phase("executing", 15))
    return _BACK.get(word, Phase("reverting", 96))


def holding(run: Run, now: datetime) -> Phase:
    """The phase of a running test: 70 when it began, 84 when its time is over."""
    if run.running_since is None or run.expires_at is None or run.expires_at <= run.running_since:
        return Phase("holding", 70)
    share = (now - run.running_since) / (run.expires_at - run.running_since)
    return Phase("holding", round(70 + 14 * min(max(share, 0.0), 1.0), 1))
