"""How long an action should take, and when to stop waiting for it.

Called by the planner (times on the plan) and by `reconciler.execute` (deadlines of waits). The figures are typical ones
for KVM with files on NFS; copying snapshots depends on size. Deadlines are generous on purpose: an expired wait is looked
into, it is not a failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from plans import actions
from plans.observed import World

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


def deadline(action: actions.Action, world: World) -> timedelta:
    """How long to wait for this action before looking into it: five minutes, and five times what is expected."""
    return timedelta(minutes=5) + 5 * expected(action, world)
