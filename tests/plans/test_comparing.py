"""What is to be done in worlds that no plan foresaw: half a step done, somebody else's deed, a try that failed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from plans import actions, compare
from plans.observed import Place, RunFacts, VolumeSnapshot, World
from specs.goal import GoalKind
from specs.model import Spec, Strategy
from tests.plans import worlds
from tests.plans.middles import (
    CLOUDS,
    before,
    first,
    in_test,
    with_another,
    with_guest,
    with_run,
    with_volume,
    without_volume,
)
from tests.plans.worlds import APPLIANCE, TEST_NET, volume_id

CLONE, VOLUMES, WHOLE = Strategy.CLONE, Strategy.VOLUME_SNAPSHOT, Strategy.VM_SNAPSHOT
R0, R1 = volume_id(0), volume_id(1)
SINCE = datetime(2026, 11, 24, 14, 5, tzinfo=UTC)
THERE, BACK = GoalKind.TESTING, GoalKind.PROTECTED


def needs(
    world: World, goal: GoalKind = THERE, strategy: Strategy = VOLUMES, spec: Spec | None = None
) -> list[actions.Action]:
    changes = compare.changes(spec or worlds.spec(), goal, world, strategy)
    return [action for change in changes for action, _ in change.needs]


def words(world: World, goal: GoalKind = THERE, strategy: Strategy = VOLUMES) -> list[str]:
    return [f"{a.word} {getattr(a, 'disk', '')}".strip() for a in needs(world, goal, strategy)]


def because(world: World, kind: type[actions.Action], goal: GoalKind = THERE, strategy: Strategy = VOLUMES) -> list[str]:
    changes = compare.changes(worlds.spec(), goal, world, strategy)
    return [reason for change in changes for action, reason in change.needs if isinstance(action, kind)]


# --- there ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", CLOUDS)
def test_a_test_that_runs_needs_nothing_whatever_its_guest_system_does_now(strategy: Strategy) -> None:
    running = with_run(in_test(strategy), running_since=SINCE)
    assert words(running, THERE, strategy) == []
    assert words(with_guest(running, state="Stopped"), THERE, strategy) == []


@pytest.mark.parametrize("started", [False, True])
def test_a_guest_that_never_ran_is_started_though_a_start_was_sent_and_may_have_failed(started: bool) -> None:
    world = with_guest(in_test(), state="Stopped", started=started)
    assert words(world) == ["start-guest"]


def test_without_a_start_sent_a_stopped_guest_is_started() -> None:
    assert words(with_run(with_guest(in_test(), state="Stopped"), start_sent=False)) == ["start-guest"]


def test_what_the_guest_is_made_of_stands_in_the_database_and_on_the_appliance() -> None:
    elsewhere = replace(worlds.world(), appliance=replace(worlds.world().appliance, zone_id="zone-2"))
    create = next(a for a in needs(elsewhere) if isinstance(a, actions.CreateGuest))
    platform = elsewhere.source.platform
    assert create == actions.CreateGuest(
        name="pgwintestbios-test",
        display_name="PGWINTESTBIOS (Test)",
        cpus=2,
        memory_mb=4096,
        networks=(TEST_NET.id,),
        zone="zone-2",
        template_id=platform.template_id,
        service_offering_id=platform.service_offering_id,
        uefi=False,
    )


@pytest.mark.parametrize(("firmware", "uefi"), [("uefi", True), ("bios", False), ("", False)])
def test_a_guest_boots_as_its_source_does(firmware: str, uefi: bool) -> None:
    world = worlds.world(source=replace(worlds.source(), firmware=firmware))
    assert next(a for a in needs(world) if isinstance(a, actions.CreateGuest)).uefi is uefi


def test_two_adapters_on_one_network_are_one_card_and_a_disconnected_one_is_none() -> None:
    source = replace(worlds.source(), adapters=("A", "B", "C"))
    spec = worlds.spec(networks={"A": TEST_NET.id, "B": TEST_NET.name, "C": "disconnected"})
    create = next(a for a in needs(worlds.world(source=source), spec=spec) if isinstance(a, actions.CreateGuest))
    assert create.networks == (TEST_NET.id,)


@pytest.mark.parametrize("missing", ["platform", "appliance"])
def test_without_a_platform_no_guest_is_thought_up(missing: str) -> None:
    world = worlds.world()
    lacking = {
        "platform": replace(world, source=replace(world.source, platform=None)),
        "appliance": replace(world, appliance=None),
    }
    with pytest.raises(ValueError, match="guards come first"):
        needs(lacking[missing])


def test_a_guest_without_our_mark_is_marked_and_one_with_it_is_not() -> None:
    assert words(with_run(with_guest(in_test(), tags={}), start_sent=False)) == ["mark-guest"]


def test_the_blank_disk_goes_in_two_steps_of_which_the_first_may_be_done() -> None:
    made = before(actions.DetachDefaultRoot)
    root = made.run.default_root_id
    assert words(made)[:2] == ["detach-default-root", "delete-default-root"]
    assert words(with_volume(made, root, vm_id=None))[0] == "delete-default-root"
    assert not {"detach-default-root", "delete-default-root"} & set(words(without_volume(made, root)))


def test_a_replica_that_already_hangs_on_the_guest_at_the_wrong_device_is_taken_off_and_hung_again() -> None:
    world = with_run(with_guest(in_test(), state="Stopped", started=False), start_sent=True)
    moved = with_volume(world, R1, device_id=5)
    assert words(moved) == ["detach-replica disk-2001", "attach-replica disk-2001", "start-guest"]
    assert needs(moved)[0] == actions.DetachReplica(R1, "disk-2001", Place.GUEST)
    assert needs(moved)[1] == actions.AttachReplica(R1, "disk-2001", Place.GUEST, 1)
    assert because(moved, actions.DetachReplica) == ["not at device 1"]


def test_a_replica_that_is_loose_is_snapshotted_if_it_was_not_and_then_attached() -> None:
    world = before(actions.SnapshotReplica)
    assert words(world)[:2] == ["snapshot-replica disk-2000", "attach-replica disk-2000"]
    assert because(world, actions.AttachReplica) == ["system disk", "data disk 1"]
    assert "snapshot-replica disk-2000" not in words(world, strategy=WHOLE)


def test_the_devices_are_those_that_the_run_wrote_down_not_those_of_a_newer_spec() -> None:
    begun = before(actions.AttachReplica)
    attaches = [a for a in needs(begun, spec=worlds.spec(boot_disk="disk-2001")) if isinstance(a, actions.AttachReplica)]
    assert [(a.disk, a.device) for a in attaches] == [("disk-2000", 0), ("disk-2001", 1)]
    fresh = [
        a for a in needs(worlds.world(2), spec=worlds.spec(boot_disk="disk-2001")) if isinstance(a, actions.AttachReplica)
    ]
    assert [(a.disk, a.device) for a in fresh] == [("disk-2001", 0), ("disk-2000", 1)]


def test_a_snapshot_of_the_guest_is_made_only_by_that_strategy_and_once() -> None:
    world = before(actions.SnapshotGuest, WHOLE)
    assert words(world, strategy=WHOLE) == ["snapshot-guest", "start-guest"]
    assert "snapshot-guest" not in words(world, strategy=VOLUMES)
    assert words(before(actions.StartGuest, WHOLE), strategy=WHOLE) == ["start-guest"]


# --- clones -----------------------------------------------------------------------------------------------------------


def test_a_replica_comes_off_for_its_snapshot_only_where_it_cannot_be_made_in_place() -> None:
    off = worlds.world(1, capabilities=worlds.CAPABLE)
    assert words(off, strategy=CLONE)[5:9] == [
        *("detach-replica disk-2000", "snapshot-replica disk-2000", "attach-replica disk-2000", "resume"),
    ]
    in_place = worlds.world(1, capabilities=CLOUDS[CLONE])
    assert words(in_place, strategy=CLONE)[5:7] == ["snapshot-replica disk-2000", "resume"]


def test_a_replica_goes_home_before_replication_resumes_and_its_clone_is_lent() -> None:
    world = before(actions.CloneReplica, CLONE)
    loose = with_volume(world, R0, vm_id=None, device_id=None)
    home = next(a for a in needs(loose, strategy=CLONE) if isinstance(a, actions.AttachReplica))
    assert home == actions.AttachReplica(R0, "disk-2000", Place.APPLIANCE, 1)
    assert "resume" in words(loose, strategy=CLONE)
    assert "reserve" in words(loose, strategy=CLONE), "it was given back, and a replica is away"


def test_once_all_is_copied_and_home_replication_goes_on_and_is_not_stopped_again() -> None:
    world = before(actions.CloneReplica, CLONE)
    assert not {"reserve", "resume"} & set(words(world, strategy=CLONE))
    assert "resume" in words(with_run(world, reserved=True), strategy=CLONE)
    assert "reserve" not in words(with_run(world, reserved=True), strategy=CLONE)
    lost = replace(world, snapshots={})
    assert {"reserve", "snapshot-replica disk-2000", "resume"} <= set(words(lost, strategy=CLONE))
    assert "reserve" in words(world, strategy=VOLUMES), "only clones let replication go on"


def test_of_two_clones_only_what_is_missing_is_made_and_hung() -> None:
    world = with_guest(in_test(CLONE), started=False, state="Stopped")
    second = world.clone_of(R1).id
    assert words(world, strategy=CLONE) == ["start-guest"]
    assert words(with_volume(world, second, vm_id=None, device_id=None), strategy=CLONE) == [
        "attach-clone disk-2001",
        "start-guest",
    ]
    assert words(without_volume(world, second), strategy=CLONE) == [
        *("clone-replica disk-2001", "attach-clone disk-2001", "start-guest"),
    ]
    wanted = first(actions.AttachClone, CLONE)
    assert (wanted.device, because(before(actions.AttachClone, CLONE), actions.AttachClone, THERE, CLONE)) == (
        0,
        ["system disk", "data disk 1"],
    )


# --- back -------------------------------------------------------------------------------------------------------------


def test_without_a_run_there_is_nothing_to_take_back() -> None:
    assert words(replace(in_test(), run=None), BACK) == []


def test_a_run_that_gave_everything_back_leaves_nothing_to_do() -> None:
    done = replace(worlds.world(2), run=RunFacts("run-1", "guest"))
    assert words(done, BACK) == []
    assert words(with_run(done, reserved=True), BACK) == ["release"]


@pytest.mark.parametrize(("state", "stops"), [("Running", True), ("Stopping", True), ("Stopped", False), ("Error", False)])
def test_a_guest_is_stopped_unless_it_stands(state: str, stops: bool) -> None:
    assert ("stop-guest" in words(with_guest(in_test(), state=state), BACK)) is stops


def test_a_written_replica_is_detached_reverted_and_goes_home() -> None:
    world = with_guest(in_test(disks=1), state="Stopped")
    assert words(world, BACK) == [
        *("detach-replica disk-2000", "revert-replica disk-2000", "attach-replica disk-2000"),
        *("destroy-guest", "delete-snapshot disk-2000", "release"),
    ]
    assert because(world, actions.AttachReplica, BACK) == ["back where it was"]
    clean = with_run(world, start_sent=False)
    assert "revert-replica disk-2000" not in words(clean, BACK)


def test_a_written_replica_that_somebody_brought_home_comes_off_once_more_to_be_reverted() -> None:
    world = with_volume(in_test(disks=1), R0, vm_id=APPLIANCE, device_id=1)
    assert words(world, BACK)[1:4] == ["detach-replica disk-2000", "revert-replica disk-2000", "attach-replica disk-2000"]
    assert needs(world, BACK)[1] == actions.DetachReplica(R0, "disk-2000", Place.APPLIANCE)
    assert because(world, actions.DetachReplica, BACK) == ["it went home without being reverted"]
    lost = replace(world, snapshots={})
    assert words(lost, BACK) == ["stop-guest", "destroy-guest", "release"], "nothing can revert it: it stays where it is"
    assert words(with_run(world, start_sent=False), BACK) == [
        *("stop-guest", "destroy-guest", "delete-snapshot disk-2000", "release"),
    ]


def test_a_replica_that_hangs_on_a_strangers_vm_is_left_there() -> None:
    world = with_volume(in_test(disks=1), R0, vm_id="vm-x", device_id=4)
    assert not {"detach-replica disk-2000", "attach-replica disk-2000"} & set(words(world, BACK))


def test_a_loose_replica_goes_home_and_where_its_device_is_taken_the_plan_says_so() -> None:
    loose = with_volume(in_test(disks=1), R0, vm_id=None, device_id=None)
    assert "attach-replica disk-2000" in words(loose, BACK)
    assert because(with_another(loose, APPLIANCE, 1), actions.AttachReplica, BACK) == ["its recorded device is taken"]


def test_the_guests_snapshot_is_reverted_only_if_a_disk_was_written_and_always_deleted() -> None:
    world = with_guest(in_test(WHOLE, disks=1), state="Stopped")
    assert words(world, BACK)[:3] == ["revert-guest", "delete-guest-snapshot", "detach-replica disk-2000"]
    assert words(with_run(world, start_sent=False), BACK)[0] == "delete-guest-snapshot"
    assert not {"revert-guest", "delete-guest-snapshot"} & set(words(replace(world, vm_snapshots={}), BACK))


def test_clones_are_detached_before_they_are_deleted_and_a_loose_one_is_only_deleted() -> None:
    world = with_guest(in_test(CLONE, disks=1), state="Stopped")
    clone = world.clone_of(R0).id
    assert words(world, BACK)[:3] == ["detach-clone disk-2000", "delete-clone disk-2000", "destroy-guest"]
    assert words(with_volume(world, clone, vm_id=None), BACK)[0] == "delete-clone disk-2000"
    assert words(without_volume(world, clone), BACK)[0] == "destroy-guest"


def test_a_guest_in_the_bin_is_expunged_where_the_account_may_and_left_where_not() -> None:
    world = with_guest(in_test(disks=1), state="Destroyed")
    assert actions.DestroyGuest(expunge=True) in needs(world, BACK)
    may_not = replace(world, capabilities=replace(world.capabilities, may_expunge=False))
    assert "destroy-guest" not in words(may_not, BACK)
    assert actions.DestroyGuest(expunge=False) in needs(with_guest(may_not, state="Stopped"), BACK)


def test_a_blank_root_that_was_left_loose_is_deleted_and_one_that_hangs_goes_with_its_guest() -> None:
    made = before(actions.DetachDefaultRoot)
    root = made.run.default_root_id
    assert "delete-default-root" not in words(made, BACK)
    assert "delete-default-root" in words(with_volume(made, root, vm_id=None), BACK)
    assert "delete-default-root" not in words(without_volume(made, root), BACK)


def test_what_tries_before_the_last_one_left_is_deleted_too() -> None:
    world = in_test(disks=1)
    point = world.run.points[0]
    left = VolumeSnapshot("s-9", point.name, R0, "BackedUp", {"failover-run": world.run.id})
    world = replace(world, snapshots={**world.snapshots, "s-9": left})
    assert actions.DeleteLeftover(R0, "disk-2000", "s-9") in needs(world, BACK)
    assert not any(isinstance(a, actions.DeleteLeftover) for a in needs(with_run(world, points=()), BACK))


def test_a_change_says_how_it_is_and_how_it_is_wanted() -> None:
    told = {c.subject: (c.now, c.wanted) for c in compare.changes(worlds.spec(), THERE, worlds.world(1), VOLUMES)}
    assert told == {
        "context": ("replicating", "reserved"),
        "guest": ("absent", "Running"),
        "default-root": ("comes with the guest", "gone"),
        "disk-2000": ("appliance", "guest"),
    }
    back = {(c.subject, c.now, c.wanted) for c in compare.changes(worlds.spec(), BACK, in_test(disks=1), VOLUMES)}
    assert {("guest", "Running", "Stopped"), ("guest", "Running", "absent"), ("disk-2000", "guest", "appliance")} <= back
    assert {("disk-2000", "has a rollback point", "has none"), ("context", "reserved", "free")} <= back
