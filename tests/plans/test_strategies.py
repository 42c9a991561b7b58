"""Which rollback point a cloud allows, what stands against each, and what each costs beside the replicas."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plans import strategies
from plans.observed import RunFacts, VolumeSnapshot, World
from specs.model import Strategy
from tests.plans import worlds

CLONE, VOLUMES, WHOLE = Strategy.CLONE, Strategy.VOLUME_SNAPSHOT, Strategy.VM_SNAPSHOT
IN_PLACE = {"kvm_snapshot_enabled": True}
# Two disks of 40 and 41 GiB.
NEED = 81


def cloud(disks: int = 2, **capabilities: object) -> World:
    return worlds.world(disks, capabilities=replace(worlds.CAPABLE, **capabilities))


def fixes(strategy: Strategy, world: World) -> list[str]:
    return [objection.text for objection in strategies.objections(strategy, world)]


def test_clones_are_taken_unasked_where_replication_need_not_stop_for_them() -> None:
    assert strategies.choose(worlds.spec(), cloud(**IN_PLACE)).strategy is CLONE


def test_without_snapshots_in_place_the_replicas_themselves_are_lent_and_the_plan_says_why() -> None:
    choice = strategies.choose(worlds.spec(), cloud())
    assert choice.strategy is VOLUMES
    assert "kvm.snapshot.enabled is off" in choice.reason


def test_what_makes_clones_impossible_is_the_reason_for_the_other_way() -> None:
    choice = strategies.choose(worlds.spec(), cloud(**IN_PLACE, volumes_left=0))
    assert choice.strategy is VOLUMES
    assert "0 more volumes" in choice.reason


@pytest.mark.parametrize("asked", strategies.STRATEGIES)
def test_what_the_spec_asks_for_is_taken_even_where_it_will_be_refused(asked: Strategy) -> None:
    choice = strategies.choose(worlds.spec(strategy=asked), cloud(storage="managed"))
    assert choice.strategy is asked
    assert choice.reason.startswith("asked for in the spec")


@pytest.mark.parametrize("begun", strategies.STRATEGIES)
def test_a_run_keeps_its_strategy_whatever_a_newer_spec_asks_for(begun: Strategy) -> None:
    world = replace(cloud(**IN_PLACE), run=RunFacts("run-1", "guest", strategy=begun))
    assert strategies.choose(worlds.spec(strategy=CLONE), world).strategy is begun


@pytest.mark.parametrize(("state", "enabled", "possible"), [
    ("Running", False, False), ("Running", True, True), ("Stopped", False, True), ("Starting", False, False),
])  # fmt: skip
def test_volumes_of_a_running_appliance_are_snapshotted_in_place_only_where_the_cloud_has_it_enabled(
    state: str, enabled: bool, possible: bool
) -> None:
    world = cloud(kvm_snapshot_enabled=enabled)
    assert world.appliance is not None
    assert strategies.snapshots_in_place(replace(world, appliance=replace(world.appliance, state=state))) is possible
    assert strategies.snapshots_in_place(replace(world, appliance=None)) is enabled


@pytest.mark.parametrize(("strategy", "limit", "least"), [
    (CLONE, "volumes_left", 3), (CLONE, "primary_gib_left", NEED), (CLONE, "snapshots_left", 2),
    (CLONE, "secondary_gib_left", NEED), (VOLUMES, "snapshots_left", 2), (VOLUMES, "secondary_gib_left", NEED),
])  # fmt: skip
def test_a_limit_of_the_account_stands_against_a_strategy_that_needs_one_more(
    strategy: Strategy, limit: str, least: int
) -> None:
    assert strategies.objections(strategy, cloud(**{limit: least})) == ()
    (objection,) = strategies.objections(strategy, cloud(**{limit: least - 1}))
    assert str(least - 1) in objection.text
    assert "limits" in objection.fix
    assert strategies.objections(strategy, cloud(**{limit: None})) == ()


@pytest.mark.parametrize("limit", ["volumes_left", "primary_gib_left"])
def test_what_only_clones_need_does_not_stand_against_snapshots(limit: str) -> None:
    assert strategies.objections(VOLUMES, cloud(**{limit: 0})) == ()


@pytest.mark.parametrize("strategy", [CLONE, VOLUMES])
def test_managed_storage_lets_no_root_disk_move(strategy: Strategy) -> None:
    (objection,) = strategies.objections(strategy, cloud(storage="managed"))
    assert "managed storage" in objection.text
    assert strategies.objections(strategy, cloud(storage="ceph")) == ()


@pytest.mark.parametrize("release", ["4.22.0", "4.22.0.0", "4.22.1.0", "5.0"])
@pytest.mark.parametrize("storage", ["nfs", "local", "shared-mount-point"])
def test_a_snapshot_of_the_stopped_guest_works_on_files_from_the_first_release_on(release: str, storage: str) -> None:
    assert strategies.objections(WHOLE, cloud(release=release, storage=storage)) == ()


@pytest.mark.parametrize("release", ["4.21.1.0", "4.21.0.0", "4.20.3.0", "3.99", "4.22", "", "unknown"])
def test_before_that_release_it_does_not(release: str) -> None:
    (objection,) = strategies.objections(WHOLE, cloud(release=release, storage="nfs"))
    assert "4.22.0 is the first" in objection.text
    assert "volume-snapshot" in objection.fix


@pytest.mark.parametrize("storage", ["ceph", "managed", ""])
def test_without_files_it_does_not_either_and_the_answer_names_what_was_declared(storage: str) -> None:
    (objection,) = strategies.objections(WHOLE, cloud(release="4.22.0.0", storage=storage))
    assert (storage or "not declared") in objection.text


@pytest.mark.parametrize(("state", "stands"), [
    ("BackedUp", True), ("Creating", True), ("Destroyed", False), ("Error", False),
])  # fmt: skip
def test_a_snapshot_of_a_replica_rules_a_snapshot_of_the_guest_out(state: str, stands: bool) -> None:
    found = VolumeSnapshot("s-1", "by hand", worlds.volume_id(1), state)
    world = replace(cloud(release="4.22.0.0", storage="nfs"), snapshots={"s-1": found})
    assert [("by hand" in text) for text in fixes(WHOLE, world)] == [True] * stands
    strangers = replace(world, snapshots={"s-1": replace(found, volume_id="somebody's")})
    assert fixes(WHOLE, strangers) == []


def test_no_test_goes_without_a_rollback_point() -> None:
    assert len(strategies.objections(Strategy.NONE, cloud())) == 1


@pytest.mark.parametrize(("strategy", "gib"), [(CLONE, 2 * NEED), (VOLUMES, NEED), (WHOLE, 0), (Strategy.NONE, 0)])
def test_a_test_takes_a_copy_in_each_snapshot_and_one_more_in_each_clone(strategy: Strategy, gib: int) -> None:
    assert strategies.extra_gib(strategy, cloud()) == gib


def test_a_part_of_a_gib_counts_whole_and_a_disk_without_a_volume_counts_nothing() -> None:
    world = cloud()
    first = replace(world.volumes[worlds.volume_id(0)], size=worlds.GIB + 1)
    rest = {v: found for v, found in world.volumes.items() if v != worlds.volume_id(1)}
    assert strategies.extra_gib(VOLUMES, replace(world, volumes={**rest, first.id: first})) == 2


def test_the_gentlest_to_replication_is_offered_first() -> None:
    assert strategies.STRATEGIES == (CLONE, VOLUMES, WHOLE)
    assert all(strategies.choose(worlds.spec(strategy=s), cloud()).reason for s in Strategy)
