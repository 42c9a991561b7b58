"""The difference between a goal and a world: changes, each with its reason and the actions that make it.

Called by the planner with the real world and, while it plays a plan forward, with the worlds in between. There is no
memory here: the same goal and world give the same changes, whatever happened before. The way back from any world is a
comparison like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plans import actions, placing, strategies
from plans.observed import Clone, Machine, Place, Placement, World
from specs.goal import GoalKind
from specs.model import Spec, Strategy


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: on what, how it is now, how it is wanted, and the actions that lead there, each with its reason."""

    subject: str
    now: str
    wanted: str
    needs: tuple[tuple[actions.Action, str], ...]


def changes(spec: Spec, goal: GoalKind, world: World, strategy: Strategy) -> tuple[Change, ...]:
    """All differences between what is wanted and what is; empty when there is nothing to do."""
    there = goal is GoalKind.TESTING
    found = _towards_testing(spec, world, strategy) if there else _towards_protected(world)
    return tuple(change for change in found if change.needs)


# --- there ------------------------------------------------------------------------------------------------------------


def _towards_testing(spec: Spec, world: World, strategy: Strategy) -> Iterator[Change]:
    if world.run is not None and world.run.running_since is not None and world.guest is not None:
        return  # it ran: whatever its guest system does now is the test itself, until the test ends
    yield _reservation(spec, world, strategy)
    yield _guest_made(spec, world)
    yield _root_removed(world)
    placements = _placements(spec, world)
    if strategy is Strategy.CLONE:
        yield from (_replica_copied(p, world) for p in placements)
        yield _replication_resumed(world, placements)
        yield from (_clone_lent(p, world) for p in placements)
    else:
        yield from (_replica_lent(p, world, strategy) for p in placements)
    if strategy is Strategy.VM_SNAPSHOT:
        yield _guest_snapshotted(world)
    yield _guest_running(world)


def _reservation(spec: Spec, world: World, strategy: Strategy) -> Change:
    held = world.run is not None and world.run.reserved
    done = strategy is Strategy.CLONE and _all_copied(world)
    reserve = (actions.Reserve(spec.boot_disk, strategy), "keeps replication out")
    return Change("context", "reserved" if held else "replicating", "reserved", () if held or done else (reserve,))


def _all_copied(world: World) -> bool:
    """Whether every replica of a run has its snapshot and is home: then replication need not wait any more."""
    placements = world.run.placements if world.run is not None else ()
    copied = all(_point_made(p, world) and world.place(p.volume_id) is Place.APPLIANCE for p in placements)
    return bool(placements) and copied


def _point_made(placement: Placement, world: World) -> bool:
    name = placing.point_name(world, placement.disk_key)
    return actions.SnapshotReplica(placement.volume_id, placement.disk_key, name).achieved(world)


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


def _replica_lent(placement: Placement, world: World, strategy: Strategy) -> Change:
    volume_id, disk = placement.volume_id, placement.disk_key
    place = world.place(volume_id)
    attach = actions.AttachReplica(volume_id, disk, Place.GUEST, placement.guest_device)
    needs: list[tuple[actions.Action, str]] = []
    if place is Place.APPLIANCE:
        needs.append((actions.DetachReplica(volume_id, disk, Place.APPLIANCE), "the guest needs it"))
    if strategy is Strategy.VOLUME_SNAPSHOT and not _point_made(placement, world):
        needs.append((_snapshot(placement, world), "rollback point before the first write"))
    if place is Place.GUEST and not attach.achieved(world):
        needs.append((actions.DetachReplica(volume_id, disk, Place.GUEST), f"not at device {placement.guest_device}"))
    if not attach.achieved(world):
        needs.append((attach, _role(placement)))
    return Change(disk, str(place), "guest", tuple(needs))


def _snapshot(placement: Placement, world: World) -> actions.SnapshotReplica:
    name = placing.point_name(world, placement.disk_key)
    return actions.SnapshotReplica(placement.volume_id, placement.disk_key, name)


def _role(placement: Placement) -> str:
    return "system disk" if placement.guest_device == 0 else f"data disk {placement.order}"


def _replica_copied(placement: Placement, world: World) -> Change:
    """A snapshot of the replica, in place where the cloud allows it; it goes home at once where it had to come off."""
    volume_id, disk = placement.volume_id, placement.disk_key
    place, made = world.place(volume_id), _point_made(placement, world)
    needs: list[tuple[actions.Action, str]] = []
    comes_off = place is Place.APPLIANCE and not made and not strategies.snapshots_in_place(world)
    if comes_off:
        needs.append((actions.DetachReplica(volume_id, disk, Place.APPLIANCE), "a snapshot is possible only while detached"))
    if not made:
        needs.append((_snapshot(placement, world), "what the clone is made from"))
    if comes_off or place is Place.NOWHERE:
        device = placing.home_device(world, placement)
        needs.append((actions.AttachReplica(volume_id, disk, Place.APPLIANCE, device), "it goes home; its clone is lent"))
    return Change(disk, str(place), "copied", tuple(needs))


def _replication_resumed(world: World, placements: tuple[Placement, ...]) -> Change:
    held = world.run is None or world.run.reserved or not _all_copied(world)
    needs = ((actions.Resume(), "the replicas are home and stay clean"),) if held and placements else ()
    return Change("context", "reserved" if held else "free", "free", needs)


def _clone_lent(placement: Placement, world: World) -> Change:
    volume_id, disk = placement.volume_id, placement.disk_key
    clone = actions.CloneReplica(volume_id, disk, placing.clone_name(world, disk))
    attach = actions.AttachClone(volume_id, disk, placement.guest_device)
    found = world.clone_of(volume_id)
    needs: list[tuple[actions.Action, str]] = []
    if not clone.achieved(world):
        needs.append((clone, "the guest writes to this, never to the replica"))
    if not attach.achieved(world):
        needs.append((attach, _role(placement)))
    return Change(disk, "cloned" if found else "not cloned", "clone on the guest", tuple(needs))


def _guest_snapshotted(world: World) -> Change:
    snapshot, found = actions.SnapshotGuest(placing.guest_point_name(world)), world.guest_snapshot
    needs: list[tuple[actions.Action, str]] = []
    if found is not None and found.state == "Error":
        needs.append((actions.DeleteGuestSnapshot(), "it failed, and its row holds the disks on the guest"))
    if not snapshot.achieved(world):
        needs.append((snapshot, "rollback point before the first write"))
    return Change("guest", "has none" if needs else "has a rollback point", "has a rollback point", tuple(needs))


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
    yield _guest_reverted(world)
    for placement in world.run.placements:
        yield _replica_returned(placement, world)
    for clone in world.run.clones:
        yield _clone_removed(clone, world)
    if guest is not None:
        yield _guest_removed(guest, world)
    yield _left_root_deleted(world)
    for placement in world.run.placements:
        yield _point_deleted(placement, world)
        yield _leftovers_deleted(placement, world)
    held = world.run.reserved
    release = ((actions.Release(), "replication may go on"),)
    yield Change("context", "reserved" if held else "free", "free", release if held else ())


def _replica_returned(placement: Placement, world: World) -> Change:
    volume_id, disk = placement.volume_id, placement.disk_key
    place = world.place(volume_id)
    revertible = world.written(volume_id) and world.snapshot_of(world.run.point(volume_id) if world.run else None)
    needs: list[tuple[actions.Action, str]] = []
    if place is Place.GUEST:
        needs.append((actions.DetachReplica(volume_id, disk, Place.GUEST), "it goes home"))
    if place is Place.APPLIANCE and revertible:
        needs.append((actions.DetachReplica(volume_id, disk, Place.APPLIANCE), "it went home without being reverted"))
    if revertible:
        needs.append((actions.RevertReplica(volume_id, disk), "the guest wrote to it"))
    if place in (Place.GUEST, Place.NOWHERE) or (place is Place.APPLIANCE and revertible):
        device = placing.home_device(world, placement)
        reason = "back where it was" if device == placement.appliance_device else "its recorded device is taken"
        needs.append((actions.AttachReplica(volume_id, disk, Place.APPLIANCE, device), reason))
    return Change(disk, str(place), "appliance", tuple(needs))


def _guest_reverted(world: World) -> Change:
    found = world.guest_snapshot
    needs: list[tuple[actions.Action, str]] = []
    if found is not None:
        if any(world.written(v) for v in world.replicas):
            needs.append((actions.RevertGuest(), "the guest wrote to its disks"))
        needs.append((actions.DeleteGuestSnapshot(), "it holds the disks on the guest"))
    return Change("guest", "has a rollback point" if found else "has none", "has none", tuple(needs))


def _clone_removed(clone: Clone, world: World) -> Change:
    found = world.clone_of(clone.volume_id)
    disk = next((p.disk_key for p in world.run.placements if p.volume_id == clone.volume_id), "") if world.run else ""
    needs: list[tuple[actions.Action, str]] = []
    if found is not None:
        if found.vm_id is not None:
            needs.append((actions.DetachClone(clone.volume_id, disk), "the guest goes"))
        needs.append((actions.DeleteClone(clone.volume_id, disk), "the test leaves nothing behind"))
    return Change(disk, "cloned" if found else "not cloned", "not cloned", tuple(needs))


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


def _leftovers_deleted(placement: Placement, world: World) -> Change:
    point = world.run.point(placement.volume_id) if world.run is not None else None
    found = world.leftovers_of(point) if point is not None else ()
    volume_id, disk = placement.volume_id, placement.disk_key
    needs = tuple((actions.DeleteLeftover(volume_id, disk, s.id), "a try before the last one left it") for s in found)
    return Change(disk, "has leftovers" if found else "has none", "has none", needs)
