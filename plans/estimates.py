"""How long an action should take, and when to stop waiting for it.

Called by the planner (times on the plan) and by `reconciler.execute` (deadlines of waits). The figures are typical ones
for KVM with files on NFS; copying snapshots depends on size. Deadlines are generous on purpose: an expired wait is looked
into, it is not a failure.

A deadline is set by size, and, once there are enough, by how long such steps took here. The times on a plan come from size
alone: they are no part of its digest, but the same question is to have the same answer to the letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from plans import actions
from plans.observed import World

GIB = 1024**3
COPY_BYTES_PER_SECOND = 150 * 1024 * 1024
_FIXED: Mapping[type[actions.Action], int] = {
    actions.Reserve: 1,
    actions.CreateGuest: 10,
    actions.MarkGuest: 4,
    actions.StopGuest: 60,
    actions.DetachDefaultRoot: 5,
    actions.DeleteDefaultRoot: 2,
    actions.DetachReplica: 10,
    actions.AttachReplica: 6,
    actions.Resume: 1,
    actions.AttachClone: 6,
    actions.SnapshotGuest: 15,
    actions.StartGuest: 60,
    actions.RevertGuest: 15,
    actions.DeleteGuestSnapshot: 30,
    actions.DetachClone: 10,
    actions.DeleteClone: 3,
    actions.DestroyGuest: 12,
    actions.DeleteSnapshot: 10,
    actions.DeleteLeftover: 10,
    actions.Release: 1,
}
_COPIES = (actions.SnapshotReplica, actions.RevertReplica, actions.CloneReplica)


def expected(action: actions.Action, world: World) -> timedelta:
    """The time this action should take, rounded to seconds."""
    if isinstance(action, _COPIES):
        volume = world.volumes.get(action.volume_id)
        return timedelta(seconds=10 + (volume.size if volume else 0) // COPY_BYTES_PER_SECOND)
    return timedelta(seconds=_FIXED[type(action)])


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a deadline that is set by history."""

    at_least: timedelta = timedelta(minutes=5)
    at_most: timedelta = timedelta(days=1)


Paces = Mapping[str, float]
"""How long steps of a kind take here, by the word of the action: seconds, or seconds a GiB where they copy."""
NO_HISTORY: Paces = {}
DEFAULT = Bounds()
ENOUGH, NEWEST = 3, 20
"""How many steps of a kind make a history, and how many of the newest count."""


def paces(took: Iterable[tuple[str, str, float]], sizes: Mapping[str, int]) -> Paces:
    """What steps that were done say of those to come: word, object and seconds of each, newest first.

    Nine in ten of the newest took no longer. `sizes` (bytes) are those of the volumes that are known; a copy of another
    one says nothing.
    """
    found: dict[str, list[float]] = {}
    for word, subject, seconds in took:
        pace = _pace(actions.BY_WORD.get(word), seconds, sizes.get(subject, 0))
        samples = found.setdefault(word, [])
        if pace is not None and len(samples) < NEWEST:
            samples.append(pace)
    return {word: sorted(each)[-(-len(each) * 9 // 10) - 1] for word, each in found.items() if len(each) >= ENOUGH}


def _pace(kind: type[actions.Action] | None, seconds: float, size: int) -> float | None:
    if kind is None:
        return None
    if not issubclass(kind, _COPIES):
        return seconds
    return seconds / (size / GIB) if size > 0 else None


def deadline(action: actions.Action, world: World, known: Paces = NO_HISTORY, bounds: Bounds = DEFAULT) -> timedelta:
    """How long to wait for this action before looking into it: five minutes, and five times what it should take.

    Where it is known how long such actions take here, that counts in place of what it should take, within the bounds; but
    it is never less than half of what it would be by size.
    """
    by_size = _generous(expected(action, world))
    pace = known.get(action.word)
    if pace is None:
        return max(by_size, bounds.at_least)
    seconds = pace * _gib(action, world) if isinstance(action, _COPIES) else pace
    by_history = _generous(min(timedelta(seconds=seconds), bounds.at_most))
    return max(min(max(by_history, bounds.at_least), bounds.at_most), by_size / 2)


def _generous(span: timedelta) -> timedelta:
    return timedelta(minutes=5) + 5 * span


def _gib(action: actions.Action, world: World) -> float:
    volume = world.volumes.get(action.subject)
    return volume.size / GIB if volume is not None else 0.0
