"""What must hold before each action: the least that is changed in a legal world, and what then stands in its way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plans import actions, effects
from plans.observed import ActiveJob, Nic, Place, VmSnapshot, VolumeSnapshot, World
from specs.model import Strategy
from tests.plans import middles, worlds
from tests.plans.middles import (
    before,
    first,
    in_test,
    with_another,
    with_appliance,
    with_guest,
    with_row,
    with_run,
    with_snapshots,
    with_volume,
    without_volume,
)
from tests.plans.worlds import APPLIANCE, PRODUCTION, volume_id

CLONE, VOLUMES, WHOLE = Strategy.CLONE, Strategy.VOLUME_SNAPSHOT, Strategy.VM_SNAPSHOT
R0, R1 = volume_id(0), volume_id(1)


def guest_id(world: World) -> str:
    assert world.guest is not None
    return world.guest.id


def row_on(world: World, vm_id: str) -> World:
    """A VM snapshot row of that machine."""
    return replace(world, vm_snapshots={**world.vm_snapshots, "row": VmSnapshot("row", "by hand", vm_id, "Error")})


def no_guest(world: World) -> World:
    return replace(world, guest=None)


def unreserved(world: World) -> World:
    return with_run(world, reserved=False)


def busy(world: World) -> World:
    return replace(world, source=replace(world.source, active_jobs=(ActiveJob("job-1", "replication", "running"),)))


def written(world: World) -> World:
    assert world.run is not None
    points = tuple(replace(p, reverted=False) for p in world.run.points)
    return with_run(world, start_sent=True, points=points)


def claimed(world: World, *volumes: str) -> World:
    return replace(world, claimed_volumes=dict.fromkeys(volumes, "ERP"))


def renamed(world: World) -> World:
    first_disk, second_disk = world.source.disks
    return replace(world, source=replace(world.source, disks=(first_disk, replace(second_disk, volume_id="x"))))


def clone_id(world: World) -> str:
    found = world.clone_of(R0)
    assert found is not None
    return found.id


def root_id(world: World) -> str:
    assert world.run is not None
    return world.run.default_root_id or ""


DETACH_HOME = actions.DetachReplica(R0, "disk-2000", Place.APPLIANCE)
DETACH_GUEST = actions.DetachReplica(R0, "disk-2000", Place.GUEST)
TO_GUEST = actions.AttachReplica(R0, "disk-2000", Place.GUEST, 0)
HOME = actions.AttachReplica(R0, "disk-2000", Place.APPLIANCE, 1)
Case = tuple[str, actions.Action, World, str | None]


def cases() -> list[Case]:
    """What is changed, the action, the world, and words of what stands in its way; None where nothing does."""
    reserve, create = before(actions.Reserve), before(actions.CreateGuest)
    root_on, root_off = before(actions.DetachDefaultRoot), before(actions.DeleteDefaultRoot)
    home, loose = before(actions.DetachReplica), before(actions.AttachReplica)
    stopped = with_guest(in_test(), state="Stopped")
    lent = stopped
    reverting = before(actions.RevertReplica)
    reverted = effects.after(first(actions.RevertReplica), reverting)
    resume, cloning, attaching = (before(k, CLONE) for k in (actions.Resume, actions.CloneReplica, actions.AttachClone))
    cloned = with_guest(in_test(CLONE), state="Stopped")
    detached = before(actions.DeleteClone, CLONE)
    whole, reverting_whole = before(actions.SnapshotGuest, WHOLE), before(actions.RevertGuest, WHOLE)
    row_goes = before(actions.DeleteGuestSnapshot, WHOLE)
    start, goes, cleaned = before(actions.StartGuest), before(actions.DestroyGuest), before(actions.DeleteSnapshot)
    release = before(actions.Release)
    attach_clone, one_card = first(actions.AttachClone, CLONE), (Nic("n", PRODUCTION.id, True),)
    delete_snapshot, leftover = first(actions.DeleteSnapshot), actions.DeleteLeftover(R0, "disk-2000", "s-9")
    being_made = VolumeSnapshot("s-8", "p", R0, "BackingUp")
    guest = guest_id(stopped)
    return [
        ("a job runs", first(actions.Reserve), busy(reserve), "job job-1 is running"),
        ("a replica is away", first(actions.Reserve), with_volume(reserve, R1, vm_id=None), "disk-2001 not on"),
        ("there is a guest", first(actions.CreateGuest), worlds.with_guest(create), "exists already"),
        ("its guest is gone", first(actions.CreateGuest), with_run(create, guest_id="g"), "somebody else removed"),
        ("the name is taken", first(actions.CreateGuest), replace(create, names_taken=frozenset({"pgwintestbios-test"})),
         "is taken"),
        ("not a test network", first(actions.CreateGuest), replace(create, test_networks=frozenset()), "not flagged"),
        ("not reserved", first(actions.CreateGuest), unreserved(create), "not reserved"),
        ("no run", first(actions.CreateGuest), replace(create, run=None), "not reserved"),
        ("no guest", actions.MarkGuest(), no_guest(root_on), "no guest"),
        ("no guest", actions.StopGuest(), no_guest(root_on), "no guest"),
        ("a guest that runs is stopped", actions.StopGuest(), in_test(), None),
        ("the guest runs", actions.DetachDefaultRoot(), with_guest(root_on, state="Running"), "is Running"),
        ("no guest", actions.DetachDefaultRoot(), no_guest(root_on), "no guest"),
        ("a VM snapshot", actions.DetachDefaultRoot(), row_on(root_on, guest_id(root_on)), "by hand (Error)"),
        ("the root is not known", actions.DetachDefaultRoot(), with_run(root_on, default_root_id=None), "not known"),
        ("the root is a replica", actions.DetachDefaultRoot(), with_run(root_on, default_root_id=R0), "a replica"),
        ("the root is another VM's", actions.DetachDefaultRoot(), claimed(root_on, root_id(root_on)), "a replica"),
        ("it hangs still", actions.DeleteDefaultRoot(), root_on, "still attached"),
        ("it is a replica", actions.DeleteDefaultRoot(), with_run(root_off, default_root_id="x", placements=tuple(
            replace(p, volume_id="x") for p in root_off.run.placements)), "a replica"),
        ("it is gone", actions.DeleteDefaultRoot(), without_volume(root_off, root_id(root_off)), None),
        ("device 0", DETACH_HOME, with_volume(home, R0, device_id=0), "its own root"),
        ("not reserved", DETACH_HOME, unreserved(home), "not reserved"),
        ("no appliance", DETACH_HOME, replace(home, appliance=None), "was not found"),
        ("the appliance migrates", DETACH_HOME, with_appliance(home, state="Migrating"), "is Migrating"),
        ("a stopped appliance", DETACH_HOME, with_appliance(home, state="Stopped"), None),
        ("a VM snapshot of the appliance", DETACH_HOME, row_on(home, APPLIANCE), "by hand (Error)"),
        ("a VM snapshot of another VM", DETACH_HOME, row_on(home, "vm-x"), None),
        ("it is not there", DETACH_HOME, without_volume(home, R0), "was not found"),
        ("it is busy", DETACH_HOME, with_volume(home, R0, state="Attaching"), "is Attaching"),
        ("from a stopped guest", DETACH_GUEST, lent, None),
        ("from a guest that runs", DETACH_GUEST, in_test(), "is Running"),
        ("under a VM snapshot", DETACH_GUEST, row_on(lent, guest), "by hand (Error)"),
        ("a data disk from the bin", actions.DetachReplica(R1, "disk-2001", Place.GUEST), no_guest(lent), None),
        ("a system disk from the bin", DETACH_GUEST, no_guest(lent), "recover VM"),
        ("what is not there from the bin", DETACH_GUEST, without_volume(no_guest(lent), R0), None),
        ("no point", actions.RevertReplica(R0, "d"), with_run(reverting, points=()), "not there or not usable"),
        ("no run", actions.RevertReplica(R0, "d"), replace(reverting, run=None), "not there or not usable"),
        ("its snapshot failed", actions.RevertReplica(R0, "d"), with_snapshots(reverting, state="Error"), "usable"),
        ("on a stopped guest", actions.RevertReplica(R0, "d"), lent, None),
        ("on a stopped guest under a VM snapshot", actions.RevertReplica(R0, "d"), row_on(lent, guest), "by hand"),
        ("on a guest that runs", actions.RevertReplica(R0, "d"), in_test(), "hangs on the guest"),
        ("at home", actions.RevertReplica(R0, "d"), with_volume(reverting, R0, vm_id=APPLIANCE), "the appliance"),
        ("busy", actions.RevertReplica(R0, "d"), with_volume(reverting, R0, state="Snapshotting"), "Snapshotting"),
        ("written", actions.SnapshotReplica(R0, "d", "p"), written(reverting), "written to it already"),
        ("at home, in place", first(actions.SnapshotReplica, CLONE), before(actions.SnapshotReplica, CLONE), None),
        ("at home, not in place", first(actions.SnapshotReplica, CLONE), replace(before(actions.SnapshotReplica, CLONE),
         capabilities=worlds.CAPABLE), "hangs on the appliance"),
        ("in place, not reserved", first(actions.SnapshotReplica, CLONE), unreserved(before(actions.SnapshotReplica, CLONE)),
         "not reserved"),
        ("in place, busy", first(actions.SnapshotReplica, CLONE), with_volume(before(actions.SnapshotReplica, CLONE),
         R0, state="Snapshotting"), "Snapshotting"),
        ("loose, though in place is possible", actions.SnapshotReplica(R0, "d", "p"), replace(
            unreserved(before(actions.SnapshotReplica)), capabilities=middles.CLOUDS[CLONE]), None),
        ("it hangs on the appliance", TO_GUEST, with_volume(loose, R0, vm_id=APPLIANCE), "hangs on the appliance"),
        ("the device is used", TO_GUEST, with_another(loose, guest_id(loose), 0), "device 0 is used by another"),
        ("another device is used", TO_GUEST, with_another(loose, guest_id(loose), 1), None),
        ("the guest runs", TO_GUEST, with_guest(loose, state="Running"), "is Running"),
        ("it is not Ready", TO_GUEST, with_volume(loose, R0, state="Allocated"), "is Allocated"),
        ("it is not there", TO_GUEST, without_volume(loose, R0), "was not found"),
        ("home, reverted", HOME, reverted, None),
        ("home, written, and it can be reverted", HOME, reverting, "has not been reverted"),
        ("home, written, and nothing can revert it", HOME, with_run(reverting, points=()), None),
        ("home to device 0", replace(HOME, device=0), reverted, "its own root"),
        ("home under a VM snapshot", HOME, row_on(reverted, APPLIANCE), "by hand"),
        ("home where the device is used", HOME, with_another(reverted, APPLIANCE, 1), "device 1 is used"),
        ("a snapshot is missing", actions.Resume(), with_run(resume, points=resume.run.points[:1]), "disk-2001 has no"),
        ("a snapshot failed", actions.Resume(), with_snapshots(resume, state="Error"), "disk-2000 has no"),
        ("a replica is away", actions.Resume(), with_volume(resume, R1, vm_id=None), "disk-2001 not back"),
        ("no snapshot", first(actions.CloneReplica, CLONE), with_run(cloning, points=()), "not there"),
        ("a failed snapshot", first(actions.CloneReplica, CLONE), with_snapshots(cloning, state="Error"), "not there"),
        ("cloned already", first(actions.CloneReplica, CLONE), attaching, "cloned already"),
        ("no clone", attach_clone, with_run(attaching, clones=()), "no clone"),
        ("it hangs", attach_clone, with_volume(attaching, clone_id(attaching), vm_id="vm-x"), "hangs on vm-x"),
        ("it is not Ready", attach_clone, with_volume(attaching, clone_id(attaching), state="Creating"), "Creating"),
        ("the device is used", attach_clone, with_another(attaching, guest_id(attaching), 0), "device 0 is used"),
        ("another device is used", attach_clone, with_another(attaching, guest_id(attaching), 7), None),
        ("the guest runs", attach_clone, with_guest(attaching, state="Running"), "is Running"),
        ("a clone that is a replica", actions.DetachClone(R0, "d"), claimed(cloned, clone_id(cloned)), "is a replica"),
        ("a clone of a guest that runs", actions.DetachClone(R0, "d"), in_test(CLONE), "is Running"),
        ("no clone to delete", actions.DeleteClone(R0, "d"), without_volume(detached, clone_id(detached)), None),
        ("a clone that is a replica goes", actions.DeleteClone(R0, "d"), claimed(detached, clone_id(detached)), "a replica"),
        ("a clone that hangs goes", actions.DeleteClone(R0, "d"), cloned, "still attached"),
        ("written", first(actions.SnapshotGuest, WHOLE), written(whole), "written to its disks"),
        ("a snapshot is being made", first(actions.SnapshotGuest, WHOLE), replace(whole, snapshots={"s": being_made}),
         "is being made"),
        ("a snapshot was made", first(actions.SnapshotGuest, WHOLE),
         replace(whole, snapshots={"s": replace(being_made, state="BackedUp")}), None),
        ("a snapshot of another is being made", first(actions.SnapshotGuest, WHOLE),
         replace(whole, snapshots={"s": replace(being_made, volume_id="x")}), None),
        ("the guest runs", first(actions.SnapshotGuest, WHOLE), with_guest(whole, state="Running"), "is Running"),
        ("a disk is missing", first(actions.SnapshotGuest, WHOLE), with_volume(whole, R1, vm_id=None), "not attached"),
        ("the guest runs", actions.RevertGuest(), with_guest(reverting_whole, state="Running"), "not stopped"),
        ("no guest", actions.RevertGuest(), no_guest(reverting_whole), "no guest"),
        ("its snapshot failed", actions.RevertGuest(), with_row(reverting_whole, state="Error"), "not usable"),
        ("its snapshot is gone", actions.RevertGuest(), replace(reverting_whole, vm_snapshots={}), "not there"),
        ("not reverted", actions.DeleteGuestSnapshot(), reverting_whole, "has not been reverted"),
        ("not reverted, but it failed", actions.DeleteGuestSnapshot(), with_row(reverting_whole, state="Error"), None),
        ("the guest runs", actions.DeleteGuestSnapshot(), with_guest(row_goes, state="Running"), "is Running"),
        ("no guest", actions.DeleteGuestSnapshot(), no_guest(row_goes), None),
        ("no guest", actions.StartGuest(), no_guest(start), "no guest"),
        ("a disk is missing", actions.StartGuest(), with_volume(start, R1, vm_id=None), "not attached"),
        ("a disk is at another device", actions.StartGuest(), with_volume(start, R1, device_id=7), "at device 7, not 1"),
        ("no disk is recorded", actions.StartGuest(), with_run(start, placements=()), "no disk is recorded"),
        ("a point is missing", actions.StartGuest(), with_run(start, points=start.run.points[:1]), "disk-2001 has no"),
        ("a card on production", actions.StartGuest(), with_guest(start, nics=one_card), "not flagged"),
        ("the database renamed a disk", actions.StartGuest(), renamed(start), "no longer says of disk-2001"),
        ("the database has one disk more", actions.StartGuest(), replace(start, source=worlds.source(3)), "disk-2002"),
        ("a replica itself is lent beside clones", actions.StartGuest(), with_volume(
            before(actions.StartGuest, CLONE), R0, vm_id=guest_id(before(actions.StartGuest, CLONE))),
         "itself is on the guest"),
        ("the guest's snapshot failed", actions.StartGuest(), with_row(before(actions.StartGuest, WHOLE),
         state="Error"), "no usable rollback point"),
        ("no guest", actions.DestroyGuest(True), no_guest(goes), None),
        ("it runs", actions.DestroyGuest(True), with_guest(goes, state="Running"), "is running"),
        ("a replica hangs on it", actions.DestroyGuest(True), with_volume(goes, R0, vm_id=guest_id(goes)), "be lost"),
        ("another VM's replica hangs on it", actions.DestroyGuest(True),
         claimed(with_another(goes, guest_id(goes), 3), "another"), "another still hangs"),
        ("some other disk hangs on it", actions.DestroyGuest(True), with_another(goes, guest_id(goes), 3), None),
        ("not reverted", delete_snapshot, written(cleaned), "not been reverted"),
        ("not home", delete_snapshot, with_volume(cleaned, R0, vm_id=None), "not back"),
        ("a leftover of what was not reverted", leftover, written(cleaned), "not been reverted"),
        ("a leftover of what is not home", leftover, with_volume(cleaned, R0, vm_id=None), "not back"),
        ("a replica is away", actions.Release(), with_volume(release, R1, vm_id=None), "disk-2001 not back"),
        ("nothing was taken", actions.Release(), replace(release, run=None), None),
    ]  # fmt: skip


CASES = cases()


@pytest.mark.parametrize(("action", "world", "says"), [c[1:] for c in CASES], ids=[f"{c[1].word}: {c[0]}" for c in CASES])
def test_what_stands_in_the_way_of_an_action(action: actions.Action, world: World, says: str | None) -> None:
    found = effects.blocker(action, world)
    assert (found is None) == (says is None), found
    assert says is None or says in (found or "")


@pytest.mark.parametrize("state", ["Allocated", "Creating", "CreatedOnPrimary", "BackingUp", "Copying"])
def test_no_vm_snapshot_is_made_while_a_snapshot_of_a_disk_is_in_the_making(state: str) -> None:
    world = replace(before(actions.SnapshotGuest, WHOLE), snapshots={"s": VolumeSnapshot("s", "p", R1, state)})
    assert effects.blocker(first(actions.SnapshotGuest, WHOLE), world) == "snapshot p of a replica is being made"
