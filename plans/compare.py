"""The difference between a goal and a world: changes, each with its reason and the actions that make it.

Called by the planner with the real world and, while it plays a plan forward, with the worlds in between. There is no
memory here: the same goal and world give the same changes, whatever happened before. The way back from any world is a
comparison like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plans import actions, placing
from plans.observed import Machine, Place, Placement, World
from specs.goal import GoalKind
from specs.model import Spec


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: on what, how it is now, how it is wanted, and the actions that lead there, each with its reason."""

    subject: str
    now: str
    wanted: str
    needs: tuple[tuple[actions.Action, str], ...]


def changes(spec: Spec, goal: GoalKind, world: World) -> tuple[Change, ...]:
    """All differences between what is wanted and what is; empty when there is nothing to do."""
    found = _towards_testing(spec, world) if goal is GoalKind.TESTING else _towards_protected(world)
    return tuple(change for change in found if change.needs)


# --- there ------------------------------------------------------------------------------------------------------------


def _towards_testing(spec: Spec, world: World) -> Iterator[Change]:
    if world.run is not None and world.run.start_sent and world.guest is not None and world.guest.started:
        return  # it ran: whatever its guest system does now is the test itself, until the test ends
    yield _reservation(spec, world)
    yield _guest_made(spec, world)
    yield _root_removed(world)
    for placement in _placements(spec, world):
        yield _replica_lent(placement, world)
    yield _guest_running(world)


def _reservation(spec: Spec, world: World) -> Change:
    held = world.run is not None and world.run.reserved
    need = () if held else ((actions.Reserve(spec.boot_disk), "keeps replication out"),)
    return Change("context", "reserved" if held else "replicating", "reserved", need)


def _guest_made(spec: Spec, world: World) -> Change:
    if world.guest is None:
        needs = ((_deployment(spec, world), "no guest exists"), (actions.MarkGuest(), "known as ours without a database"))
        return Change("guest", "absent", "present", needs)
    marked = actions.MarkGuest().achieved(world)
    return Change("guest", "unmarked", "marked", () if marked else ((actions.MarkGuest(), "not yet marked as ours"),))


def _deployment(spec: Spec, world: World) -> actions.CreateGuest:
    source, platform = world.source, world.source.platform
    if platform is None or world.appliance is None:
        raise ValueError("planned without a platform: the guards come first")
    return actions.CreateGuest(
        name=placing.guest_name(world),
        display_name=f"{source.name} (Test)",
        cpus=source.cpus,
        memory_mb=source.memory_mb,
        networks=tuple(dict.fromkeys(c.network.id for c in placing.cards(spec, world) if c.network)),
        zone=world.appliance.zone_id,
        template_id=platform.template_id,
        service_offering_id=platform.service_offering_id,
        uefi=source.firmware == "uefi",
    )


def _root_removed(world: World) -> Change:
    detach = (actions.DetachDefaultRoot(), "the replica is the system disk")
    delete = (actions.DeleteDefaultRoot(), "the guest's blank disk is not needed")
    if world.guest is None:
        return Change("default-root", "comes with the guest", "gone", (detach, delete))
    root = world.default_root
    if root is None:
        return Change("default-root", "gone", "gone", ())
    return Change("default-root", root.state, "gone", (delete,) if root.vm_id is None else (detach, delete))


def _placements(spec: Spec, world: World) -> tuple[Placement, ...]:
    if world.run is not None and world.run.placements:
        return world.run.placements
    return placing.placements(world, spec.boot_disk)


def _replica_lent(placement: Placement, world: World) -> Change:
    volume_id, disk = placement.volume_id, placement.disk_key
    place = world.place(volume_id)
    snapshot = actions.SnapshotReplica(volume_id, disk, placing.point_name(world, disk))
    attach = actions.AttachReplica(volume_id, disk, Place.GUEST, placement.guest_device)
    needs: list[tuple[actions.Action, str]] = []
    if place is Place.APPLIANCE:
        needs.append((actions.DetachReplica(volume_id, disk, Place.APPLIANCE), "the guest needs it"))
    if not snapshot.achieved(world):
        needs.append((snapshot, "rollback point before the first write"))
    if place is Place.GUEST and not attach.achieved(world):
        needs.append((actions.DetachReplica(volume_id, disk, Place.GUEST), f"not at device {placement.guest_device}"))
    if not attach.achieved(world):
        role = "system disk" if placement.guest_device == 0 else f"data disk {placement.order}"
        needs.append((attach, role))
    return Change(disk, str(place), "guest", tuple(needs))


def _guest_running(world: World) -> Change:
    state = world.guest.state if world.guest else "absent"
    needs = () if state == "Running" else ((actions.StartGuest(), "every disk verified first"),)
    return Change("guest", state, "Running", needs)


# --- back -------------------------------------------------------------------------------------------------------------


def _towards_protected(world: World) -> Iterator[Change]:
    if world.run is None:
        return
    guest = world.guest
    if guest is not None:
        stopped = actions.StopGuest().achieved(world)
        yield Change("guest", guest.state, "Stopped", () if stopped else ((actions.StopGuest(), "the test is over"),))
    for placement in world.run.placements:
        yield _replica_returned(placement, world)
    if guest is not None:
        yield _guest_removed(guest, world)
    yield _left_root_deleted(world)
    for placement in world.run.placements:
        yield _point_deleted(placement, world)
    held = world.run.reserved
    release = ((actions.Release(), "replication may go on"),)
    yield Change("context", "reserved" if held else "free", "free", release if held else ())


def _replica_returned(placement: Placement, world: World) -> Change:
    volume_id, disk = placement.volume_id, placement.disk_key
    place = world.place(volume_id)
    needs: list[tuple[actions.Action, str]] = []
    if place is Place.GUEST:
        needs.append((actions.DetachReplica(volume_id, disk, Place.GUEST), "it goes home"))
    if world.written(volume_id) and world.snapshot_of(world.run.point(volume_id) if world.run else None):
        needs.append((actions.RevertReplica(volume_id, disk), "the guest wrote to it"))
    if place in (Place.GUEST, Place.NOWHERE):
        device = placing.home_device(world, placement)
        reason = "back where it was" if device == placement.appliance_device else "its recorded device is taken"
        needs.append((actions.AttachReplica(volume_id, disk, Place.APPLIANCE, device), reason))
    return Change(disk, str(place), "appliance", tuple(needs))


def _guest_removed(guest: Machine, world: World) -> Change:
    destroy = actions.DestroyGuest(expunge=world.capabilities.may_expunge)
    needs = () if destroy.achieved(world) else ((destroy, "the test leaves nothing behind"),)
    return Change("guest", guest.state, "absent", needs)


def _left_root_deleted(world: World) -> Change:
    root = world.default_root
    left = root is not None and root.vm_id is None
    needs = ((actions.DeleteDefaultRoot(), "left over from making the guest"),) if left else ()
    return Change("default-root", "detached", "gone", needs)


def _point_deleted(placement: Placement, world: World) -> Change:
    delete = actions.DeleteSnapshot(placement.volume_id, placement.disk_key)
    needs = () if delete.achieved(world) else ((delete, "its replica is home and clean"),)
    return Change(placement.disk_key, "has a rollback point", "has none", needs)
