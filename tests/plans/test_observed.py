"""What a world says of itself: where replicas hang, what was written, which snapshots are whose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plans.observed import (
    Capabilities,
    Clone,
    Disk,
    GuestPoint,
    Place,
    Placement,
    Point,
    RunFacts,
    VmSnapshot,
    VolumeSnapshot,
    World,
)
from specs.model import Strategy
from tests.plans import worlds
from tests.plans.middles import in_test, with_guest, with_run, with_volume, without_volume
from tests.plans.worlds import APPLIANCE, volume_id

R0, R1 = volume_id(0), volume_id(1)
CLONE, VOLUMES, WHOLE = Strategy.CLONE, Strategy.VOLUME_SNAPSHOT, Strategy.VM_SNAPSHOT
MARK = "failover-run"


def run(**changes: object) -> RunFacts:
    placements = tuple(Placement(volume_id(n), f"disk-{2000 + n}", n, n + 1, n) for n in range(2))
    return replace(RunFacts("run-1", "guest", reserved=True, placements=placements), **changes)


def world(**changes: object) -> World:
    return worlds.world(2, **{"run": run(), **changes})


# --- where ------------------------------------------------------------------------------------------------------------


def test_a_replica_hangs_on_appliance_guest_something_else_or_nothing() -> None:
    at_home, lent = world(), in_test()
    assert (at_home.place(R0), lent.place(R0)) == (Place.APPLIANCE, Place.GUEST)
    assert with_volume(at_home, R0, vm_id="vm-x").place(R0) is Place.ELSEWHERE
    assert with_volume(at_home, R0, vm_id=None).place(R0) is Place.NOWHERE
    assert at_home.place("unknown") is Place.NOWHERE
    assert replace(at_home, appliance=None).place(R0) is Place.ELSEWHERE


def test_a_replica_hangs_on_a_guest_that_is_no_longer_listed_by_the_id_that_the_run_recorded() -> None:
    lent = in_test()
    assert replace(lent, guest=None).place(R0) is Place.GUEST
    assert with_run(replace(lent, guest=None), guest_id="other").place(R0) is Place.ELSEWHERE
    assert replace(lent, guest=None, run=None).place(R0) is Place.ELSEWHERE


def test_what_hangs_on_a_machine_is_told_by_device_and_one_without_a_device_comes_first() -> None:
    found = with_volume(with_volume(world(), R0, device_id=None), R1, device_id=9).on(APPLIANCE)
    assert [v.device_id for v in found] == [None, 0, 9]
    assert world().on("vm-x") == ()


def test_the_replicas_are_those_of_the_database_and_those_that_the_run_took() -> None:
    renamed = replace(worlds.source(2), disks=(Disk("disk-2000", 40, 0, "new"), Disk("disk-2001", 40, 0, None)))
    assert replace(world(), source=renamed).replicas == {"new", R0, R1}
    assert worlds.world(2).replicas == {R0, R1}


def test_the_replica_of_a_disk_is_its_volume_if_there_is_one() -> None:
    disk = world().source.disks[0]
    assert world().replica(disk).id == R0
    assert world().replica(replace(disk, volume_id=None)) is None
    assert without_volume(world(), R0).replica(disk) is None


# --- what happened ----------------------------------------------------------------------------------------------------


def test_a_guest_vanished_when_replicas_that_it_may_have_had_are_away_and_each_has_its_point() -> None:
    lent = replace(in_test(), guest=None)
    assert lent.guest_vanished
    assert not in_test().guest_vanished
    assert not replace(lent, run=None).guest_vanished
    assert not with_run(lent, guest_id=None).guest_vanished
    assert not with_run(lent, points=lent.run.points[:1]).guest_vanished
    home = lent
    for number, ident in enumerate((R0, R1), 1):
        home = with_volume(home, ident, vm_id=APPLIANCE, device_id=number)
    assert not home.guest_vanished
    assert with_volume(home, R1, vm_id=None).guest_vanished, "one of two is enough"


def test_a_guest_ran_when_it_was_started_with_another_disk_than_the_one_that_came_with_it() -> None:
    lent = in_test()
    assert lent.guest_ran
    assert not replace(lent, guest=None).guest_ran
    assert not replace(lent, run=None).guest_ran
    assert not with_guest(lent, started=False).guest_ran
    bare = without_volume(without_volume(lent, R0), R1)
    assert not bare.guest_ran
    alone = with_volume(lent, R0, id="root")
    assert not with_run(without_volume(alone, R1), default_root_id="root").guest_ran


@pytest.mark.parametrize(("facts", "written"), [
    ({"start_sent": True, "strategy": VOLUMES}, True),
    ({"start_sent": False, "strategy": VOLUMES}, False),
    ({"start_sent": True, "strategy": CLONE}, False),
    ({"start_sent": True, "strategy": VOLUMES, "placements": ()}, False),
    ({"start_sent": True, "strategy": VOLUMES, "points": (Point(R0, "p", "s"),)}, True),
    ({"start_sent": True, "strategy": VOLUMES, "points": (Point(R0, "p", "s", reverted=True),)}, False),
    ({"start_sent": True, "strategy": VOLUMES, "points": (Point(R1, "p", "s", reverted=True),)}, True),
    ({"start_sent": True, "strategy": VOLUMES, "guest_point": GuestPoint("p", "s", reverted=True)}, True),
    ({"start_sent": True, "strategy": WHOLE}, True),
    ({"start_sent": True, "strategy": WHOLE, "guest_point": GuestPoint("p", "s")}, True),
    ({"start_sent": True, "strategy": WHOLE, "guest_point": GuestPoint("p", "s", reverted=True)}, False),
    ({"start_sent": True, "strategy": WHOLE, "points": (Point(R0, "p", "s", reverted=True),)}, True),
])  # fmt: skip
def test_a_replica_is_written_from_the_start_of_its_guest_until_its_revert_is_confirmed(
    facts: dict[str, object], written: bool
) -> None:
    assert world(run=run(**facts)).written(R0) is written
    assert not worlds.world(2).written(R0)


def test_a_full_sync_that_succeeded_later_makes_a_replica_clean_again() -> None:
    disks = tuple(Disk(f"disk-{n}", 1, 0, f"v{n}", full_sync=n or None) for n in range(4))
    source = replace(worlds.source(), disks=disks)
    assert source.unsynced_since({"v1": None, "v2": 2, "v3": 2}) == {"v2"}
    assert source.unsynced_since({"v0": None, "gone": None, "v1": 1}) == {"v0", "gone", "v1"}
    assert source.unsynced_since({}) == frozenset()


# --- what the run made ------------------------------------------------------------------------------------------------


def snapshot(ident: str, of: str = R0, name: str = "p", state: str = "BackedUp", **tags: str) -> VolumeSnapshot:
    return VolumeSnapshot(ident, name, of, state, tags)


def ours(ident: str, **changes: object) -> VolumeSnapshot:
    return replace(snapshot(ident), **{"tags": {MARK: "run-1"}, **changes})


def with_snapshots(*snapshots: VolumeSnapshot, **facts: object) -> World:
    return world(snapshots={s.id: s for s in snapshots}, run=run(**facts))


def test_a_rollback_point_is_found_by_its_recorded_id_whatever_it_is_called() -> None:
    found = with_snapshots(snapshot("s-1", name="other"), ours("s-2"))
    assert found.snapshot_of(Point(R0, "p", "s-1")).id == "s-1"
    assert found.snapshot_of(Point(R0, "p", "gone")) is None
    assert found.snapshot_of(None) is None
    assert replace(found, run=None).snapshot_of(Point(R0, "p", "s-1")) is None


@pytest.mark.parametrize("stranger", [
    snapshot("s-1"), ours("s-1", tags={MARK: "run-2"}), ours("s-1", volume_id=R1), ours("s-1", name="q"),
])  # fmt: skip
def test_without_an_id_only_the_runs_own_snapshot_of_that_name_and_volume_counts(stranger: VolumeSnapshot) -> None:
    point = Point(R0, "p")
    assert with_snapshots(stranger).snapshot_of(point) is None
    assert with_snapshots(stranger, ours("s-2")).snapshot_of(point).id == "s-2"


def test_what_tries_before_the_last_one_left_is_ours_by_mark_or_failed_before_it_could_be_marked() -> None:
    point = Point(R0, "p", "s-1")
    rows = (
        *(ours("s-1"), ours("s-3"), ours("s-2", state="Error"), snapshot("s-4", state="Error"), snapshot("s-5")),
        *(ours("s-6", tags={MARK: "run-2"}, state="Error"), ours("s-7", volume_id=R1), ours("s-8", name="q")),
    )
    assert [s.id for s in with_snapshots(*rows).leftovers_of(point)] == ["s-2", "s-3", "s-4"]
    assert replace(with_snapshots(*rows), run=None).leftovers_of(point) == ()


@pytest.mark.parametrize("state", ["Destroy", "Destroyed", "Expunging", "Expunged"])
def test_a_clone_that_is_being_removed_is_gone(state: str) -> None:
    cloned = in_test(CLONE)
    ident = cloned.clone_of(R0).id
    assert cloned.clone_of(R0).id != cloned.clone_of(R1).id
    assert with_volume(cloned, ident, state=state).clone_of(R0) is None
    assert without_volume(cloned, ident).clone_of(R0) is None
    assert with_run(cloned, clones=(Clone(R0, "c"),)).clone_of(R0) is None
    assert cloned.clone_of("unknown") is None
    assert replace(cloned, run=None).clone_of(R0) is None


def test_the_guests_snapshot_is_found_by_id_else_by_its_name_on_the_guest() -> None:
    whole = in_test(WHOLE)
    guest = whole.guest.id
    rows = {
        "r-1": VmSnapshot("r-1", "other", guest, "Ready"),
        "r-2": VmSnapshot("r-2", "mine", "vm-x", "Ready"),
        "r-3": VmSnapshot("r-3", "mine", guest, "Ready"),
    }
    whole = replace(whole, vm_snapshots=rows)
    assert with_run(whole, guest_point=GuestPoint("mine", "r-1")).guest_snapshot.id == "r-1"
    assert with_run(whole, guest_point=GuestPoint("mine")).guest_snapshot.id == "r-3"
    assert with_run(whole, guest_point=GuestPoint("nothing")).guest_snapshot is None
    assert with_run(whole, guest_point=GuestPoint("mine", "gone")).guest_snapshot.id == "r-3", "another try"
    assert with_run(whole, guest_point=GuestPoint("nothing", "gone")).guest_snapshot is None
    assert with_run(whole, guest_point=None).guest_snapshot is None
    assert replace(with_run(whole, guest_point=GuestPoint("mine")), guest=None).guest_snapshot is None
    assert replace(whole, run=None).guest_snapshot is None


def test_the_blank_root_is_known_by_the_id_that_was_recorded_and_by_nothing_else() -> None:
    made = with_run(in_test(), default_root_id=R0)
    assert made.default_root.id == R0
    assert without_volume(made, R0).default_root is None
    assert with_run(made, default_root_id=None).default_root is None
    assert replace(made, run=None).default_root is None


def test_a_run_tells_what_belongs_to_a_replica() -> None:
    facts = run(points=(Point(R1, "p"),), clones=(Clone(R1, "c"),))
    assert (facts.point(R1), facts.clone(R1), facts.placement(R1).order) == (Point(R1, "p"), Clone(R1, "c"), 1)
    assert (facts.point(R0), facts.clone(R0), facts.placement("x")) == (None, None, None)


def test_of_what_nobody_said_the_careful_thing_is_taken() -> None:
    facts, empty = RunFacts("run-1", "guest"), worlds.world()
    assert (facts.reserved, facts.start_sent, facts.strategy) == (False, False, VOLUMES)
    assert (Point(R0, "p").reverted, GuestPoint("p").reverted, Point(R0, "p").snapshot_id) == (False, False, None)
    nothing = Capabilities()
    assert (nothing.kvm_snapshot_enabled, nothing.may_expunge, nothing.release, nothing.storage) == (False, False, "", "")
    assert (empty.attempt, empty.dirty, empty.names_taken, empty.claimed_volumes) == (1, frozenset(), frozenset(), {})
