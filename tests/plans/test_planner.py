"""What a plan says besides its order: what each step is about, the facts it rests on, what is told, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from plans import actions, effects, planner, render
from plans.observed import ActiveJob, World
from plans.plan import TEST_ENDS, Amendment, Plan, ReadinessScore, Refusal, Step, Terms
from specs.goal import GoalKind
from specs.model import SkipValidation, Spec, State, Strategy
from tests.plans import worlds
from tests.plans.middles import CLOUDS, before, first, in_test, plan, with_guest, with_run, with_snapshots, without_volume
from tests.plans.worlds import APPLIANCE, TEST_NET, volume_id

CLONE, VOLUMES, WHOLE = Strategy.CLONE, Strategy.VOLUME_SNAPSHOT, Strategy.VM_SNAPSHOT
THERE, BACK = GoalKind.TESTING, GoalKind.PROTECTED
SINCE = datetime(2026, 11, 24, 14, 5, tzinfo=UTC)


def planned(world: World, spec: Spec | None = None, goal: GoalKind = THERE) -> Plan:
    found = planner.plan(spec or worlds.spec(), goal, world)
    assert isinstance(found, Plan), found
    return found


def refused(world: World, spec: Spec | None = None, goal: GoalKind = THERE) -> list[tuple[str, str]]:
    found = planner.plan(spec or worlds.spec(), goal, world)
    assert isinstance(found, Refusal), found
    assert (found.vm, found.goal) == (world.source.name, goal)
    return [(reason.code, reason.text) for reason in found.reasons]


def told(steps: tuple[Step, ...]) -> list[str]:
    return [f"{s.number} {s.action.word}: {s.on}" for s in steps]


def described(**changes: object) -> World:
    return worlds.world(1, source=worlds.source(1, **changes))


# --- steps as people read them ----------------------------------------------------------------------------------------

READ = {
    VOLUMES: (
        "1 reserve: PGWINTESTBIOS",
        "2 create-guest: pgwintestbios-test 2 CPU, 4 GiB, BIOS",
        "3 mark-guest: pgwintestbios-test",
        "4 detach-default-root: (known after create guest)",
        "5 delete-default-root: (known after create guest)",
        "6 detach-replica: disk-2000 40 GiB from appliance, device 1",
        "7 snapshot-replica: disk-2000",
        "8 attach-replica: disk-2000 to guest, device 0",
        "9 start-guest: pgwintestbios-test",
        "1 stop-guest: pgwintestbios-test",
        "2 detach-replica: disk-2000 40 GiB from guest, device 0",
        "3 revert-replica: disk-2000",
        "4 attach-replica: disk-2000 to appliance, device 1",
        "5 destroy-guest: pgwintestbios-test",
        "6 delete-snapshot: disk-2000",
        "7 release: PGWINTESTBIOS",
    ),
    CLONE: (
        "1 reserve: PGWINTESTBIOS",
        "2 create-guest: pgwintestbios-test 2 CPU, 4 GiB, BIOS",
        "3 mark-guest: pgwintestbios-test",
        "4 detach-default-root: (known after create guest)",
        "5 delete-default-root: (known after create guest)",
        "6 snapshot-replica: disk-2000",
        "7 resume: PGWINTESTBIOS",
        "8 clone-replica: disk-2000",
        "9 attach-clone: clone of disk-2000 to guest, device 0",
        "10 start-guest: pgwintestbios-test",
        "1 stop-guest: pgwintestbios-test",
        "2 detach-clone: clone of disk-2000",
        "3 destroy-guest: pgwintestbios-test",
        "4 delete-clone: clone of disk-2000",
        "5 delete-snapshot: disk-2000",
    ),
}


@pytest.mark.parametrize("strategy", READ)
def test_every_step_says_in_names_what_it_is_about(strategy: Strategy) -> None:
    found = plan(strategy, worlds.world(1, capabilities=CLOUDS[strategy]))
    assert (*told(found.steps), *told(found.way_back)) == READ[strategy]


def test_a_step_says_uefi_the_context_the_root_and_the_guest_as_they_are_known_by() -> None:
    create, root = first(actions.CreateGuest), actions.DetachDefaultRoot()
    world = before(actions.DetachDefaultRoot)
    assert planner.label(replace(create, uefi=True), world).endswith(", UEFI")
    assert planner.label(root, with_run(world, default_root_id="d00df00d-0000-4000")) == "d00df00d"
    assert planner.label(root, with_run(world, default_root_id=None)) == "(known after create guest)"
    assert planner.label(root, with_run(world, default_root_id=effects.UNKNOWN_ROOT)) == "(known after create guest)"
    assert planner.label(root, worlds.world(1)) == "(known after create guest)"
    assert planner.label(actions.MarkGuest(), with_guest(world, name="another")) == "another"
    reserve = first(actions.Reserve)
    assert planner.label(reserve, described(context_id="ctx-7")) == "ctx-7"
    assert planner.label(reserve, worlds.world(1)) == "PGWINTESTBIOS"


def test_a_disk_that_no_look_shows_is_named_without_its_size_and_device() -> None:
    detach, world = first(actions.DetachReplica), worlds.world(1)
    assert planner.label(detach, without_volume(world, volume_id(0))) == "disk-2000 from appliance"
    loose = replace(world.volumes[volume_id(0)], device_id=None)
    assert planner.label(detach, replace(world, volumes={loose.id: loose})) == "disk-2000 40 GiB from appliance"


def test_the_boot_disk_comes_first_and_before_a_run_the_spec_says_which_it_is() -> None:
    found = planned(worlds.world(2), worlds.spec(strategy=VOLUMES, boot_disk="disk-2001"))
    assert [s.action.disk for s in found.steps if isinstance(s.action, actions.DetachReplica)] == ["disk-2001", "disk-2000"]
    assert {s.on for s in found.steps} >= {"disk-2001 to guest, device 0", "disk-2000 to guest, device 1"}


def test_once_a_run_has_placed_the_disks_their_order_stays() -> None:
    world = before(actions.DetachReplica)
    turned = with_run(world, placements=tuple(reversed(world.run.placements if world.run else ())))
    found = planned(turned, worlds.spec(strategy=VOLUMES))
    assert [s.action.disk for s in found.steps if isinstance(s.action, actions.DetachReplica)] == ["disk-2001", "disk-2000"]


# --- facts and what is told -------------------------------------------------------------------------------------------


def test_a_plan_names_every_fact_that_makes_it_stale() -> None:
    assert planned(worlds.world(1)).facts == {
        "appliance.id": APPLIANCE,
        "cloud.release": "4.22.1.0",
        "guest.state": "absent",
        "replication.active": "",
        "vm.cpus": 2,
        "vm.memory_mb": 4096,
        "vm.firmware": "bios",
        "network.VM Network": TEST_NET.id,
        "disk-2000.volume": volume_id(0),
        "disk-2000.on": "appliance",
        "disk-2000.device": 1,
        "disk-2000.size": 40 * worlds.GIB,
        "disk-2000.state": "Ready",
        "disk-2000.synced": True,
    }


def test_facts_that_a_look_does_not_show_are_told_as_unknown() -> None:
    world = without_volume(worlds.world(1, appliance=None), volume_id(0))
    source = replace(world.source, active_jobs=(ActiveJob("j1", "replication", "x"), ActiveJob("j2", "replication", "x")))
    spec = worlds.spec(networks={"VM Network": None})
    found = planner.facts(spec, worlds.with_guest(replace(world, source=source), state="Stopped"))
    wanted = {"appliance.id": None, "guest.state": "Stopped", "replication.active": "j1, j2"}
    wanted |= {f"disk-2000.{name}": None for name in ("device", "size", "state")}
    assert {name: found[name] for name in wanted} == wanted
    unsynced = replace(source, disks=(replace(source.disks[0], volume_id=None, change_id=None),))
    found = planner.facts(spec, replace(world, source=unsynced))
    assert (found["disk-2000.volume"], found["disk-2000.on"], found["disk-2000.synced"]) == (None, "nowhere", False)


def test_a_plan_tells_what_was_found_which_cards_are_shared_and_what_it_does_not_act_on() -> None:
    maps = (*worlds.source().mappings, replace(worlds.source().mappings[0], source="LAN"))
    world = described(findings=("a finding",), adapters=("VM Network", "LAN"), mappings=maps)
    spec = worlds.spec(notify={"email": "ops@example.org"}, skip_validation=SkipValidation(reason="a drill"))
    assert planned(world, spec).warnings == (
        "a finding",
        "skip_validation (a drill) leaves out: nothing, for all of them passed",
        '"VM Network" and "LAN" share one card on test-network-default',
        "notify is kept, but not acted on by this version",
    )
    assert planned(worlds.world(1)).warnings == ()
    assert planned(worlds.world(1)).networks == ('test-network-default (L2) for adapter "VM Network"',)


def test_a_check_that_the_spec_leaves_out_is_told_with_its_reason_and_its_score() -> None:
    disks = tuple(replace(d, change_id=None) for d in worlds.source().disks)
    world = worlds.world(source=replace(worlds.source(), disks=disks))
    assert [code for code, _ in refused(world, worlds.spec())] == ["NEVER_SYNCED"]
    found = planned(world, worlds.spec(skip_validation=SkipValidation(reason="a drill")))
    assert found.warnings == ("skip_validation (a drill) leaves out: disk-2000 has no successful sync",)
    told = planner.with_readiness(found, world).readiness
    assert told == ReadinessScore(0.0, ("V-03 Sync Status: disk-2000 has no successful sync",))


def test_the_score_belongs_to_a_test_that_has_not_begun_and_to_no_digest() -> None:
    world = worlds.world(1)
    found = planner.with_readiness(planned(world), world)
    assert found.readiness == ReadinessScore(100.0)
    assert found.digest == planned(world).digest
    assert Plan.from_json(found.as_json()) == found
    home = planned(world, goal=GoalKind.PROTECTED)
    assert planner.with_readiness(home, world) is home


# --- refusals, and what goes on in spite of them ----------------------------------------------------------------------


def test_a_test_that_is_not_offered_or_not_described_is_refused_with_the_reasons() -> None:
    assert [code for code, _ in refused(worlds.world(), worlds.spec(state=State.LIVE_FAILOVER), GoalKind.LIVE)] == [
        "NOT_OFFERED"
    ]
    assert [code for code, _ in refused(described(cpus=0))] == ["VM_UNDESCRIBED"]


def test_what_bars_a_new_test_does_not_bar_one_that_has_reserved_its_vm() -> None:
    world = before(actions.DetachReplica)
    busy = replace(world.source, cpus=0)
    spec = worlds.spec(strategy=VOLUMES)
    for run in ({}, {"reserved": False}):
        assert isinstance(planner.plan(spec, THERE, replace(with_run(world, **run), source=busy)), Plan)
    nothing = with_run(world, reserved=False, placements=())
    assert "VM_UNDESCRIBED" in [code for code, _ in refused(replace(nothing, source=busy), spec)]
    assert isinstance(planner.plan(spec, BACK, replace(world, source=busy)), Plan)


def test_a_guest_that_is_still_to_be_made_needs_its_platform_also_after_the_vm_was_reserved() -> None:
    world = before(actions.CreateGuest)
    blind = replace(world, source=replace(world.source, platform=None))
    assert refused(blind, worlds.spec(strategy=VOLUMES))
    made = before(actions.DetachReplica)
    blind = replace(made, source=replace(made.source, platform=None))
    assert isinstance(planner.plan(worlds.spec(strategy=VOLUMES), THERE, blind), Plan)
    assert isinstance(planner.plan(worlds.spec(strategy=VOLUMES), BACK, replace(world, source=blind.source)), Plan)


def unusable() -> World:
    """A test whose rollback points are broken; its guest is stopped."""
    return with_guest(with_snapshots(in_test(), state="Error"), state="Stopped")


def test_a_way_home_on_which_nothing_is_possible_yet_may_be_approved_and_is_not_begun() -> None:
    world = before(actions.StartGuest, disks=1)
    volume = replace(world.volumes[volume_id(0)], state="Attaching", vm_id=None, device_id=None)
    world = replace(world, volumes={**world.volumes, volume.id: volume})
    shown = planner.plan(worlds.spec(strategy=VOLUMES), BACK, world)
    assert isinstance(shown, Plan)
    assert (shown.steps, shown.held_up, shown.is_empty) == ((), True, False)
    assert shown.warnings[0].endswith("is Attaching")
    assert Plan.from_json(shown.as_json()).held_up
    told = render.markdown([shown])
    assert "Nothing is possible yet" in told
    assert "is Attaching" in told
    assert isinstance(planner.plan(worlds.spec(strategy=VOLUMES), BACK, world, with_way_back=False), Refusal)


def test_the_way_home_goes_as_far_as_it_can_and_says_what_it_leaves() -> None:
    found = planned(unusable(), worlds.spec(strategy=VOLUMES), BACK)
    assert [s.action.word for s in found.steps] == ["detach-replica", "detach-replica"]
    assert [s.number for s in found.steps] == [1, 2]
    assert found.warnings[0] == "not possible yet: revert-replica disk-2000: its rollback point is not there or not usable"


def test_a_way_home_of_which_nothing_is_possible_is_refused_with_the_steps_and_what_to_do() -> None:
    world = unusable()
    for step in planned(world, worlds.spec(strategy=VOLUMES), BACK).steps:
        world = effects.after(step.action, world)
    found = planner.plan(worlds.spec(strategy=VOLUMES), BACK, world)
    assert isinstance(found, Refusal)
    assert {r.code for r in found.reasons} == {"STEP_NOT_POSSIBLE"}
    assert found.reasons[0].text.startswith("revert-replica disk-2000: ")
    assert found.reasons[0].fix == "see `failover why PGWINTESTBIOS`; mend this and plan again"


def test_a_test_of_which_a_step_is_not_possible_is_refused_at_that_step_alone() -> None:
    world = before(actions.DetachReplica)
    detaching = replace(world.volumes[volume_id(0)], state="Snapshotting")
    ((code, text),) = refused(
        replace(world, volumes={**world.volumes, detaching.id: detaching}), worlds.spec(strategy=VOLUMES)
    )
    assert code == "STEP_NOT_POSSIBLE"
    assert text.startswith("detach-replica disk-2000 40 GiB from appliance, device 1: ")


def test_a_plan_that_would_leave_something_is_a_defect_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    world, home = before(actions.StartGuest), before(actions.Release)
    monkeypatch.setattr(effects, "after", lambda _action, world: world)
    ((code, text),) = refused(world, worlds.spec(strategy=VOLUMES))
    assert (code, text.startswith("the plan would leave ")) == ("PLAN_INCOMPLETE", True)
    (warning,) = planned(home, worlds.spec(strategy=VOLUMES), BACK).warnings
    assert warning == "not possible yet: the plan would leave context reserved instead of free"


def test_a_pass_that_only_looks_for_what_is_next_plans_no_way_back() -> None:
    world = worlds.world(1)
    found = planner.plan(worlds.spec(), THERE, world, with_way_back=False)
    assert isinstance(found, Plan)
    assert found.way_back == ()
    assert planned(world).way_back != ()
    assert planned(in_test(), worlds.spec(strategy=VOLUMES), BACK).way_back == ()


# --- plans of tests under way, and what is left of one ----------------------------------------------------------------


def test_other_ways_are_offered_only_for_a_test_that_has_not_begun() -> None:
    fresh = planned(worlds.world(1))
    assert [o.strategy for o in planner.with_offers(fresh, worlds.world(1)).offers]
    begun = in_test()
    running = planned(begun, worlds.spec(strategy=VOLUMES))
    assert planner.with_offers(running, begun) is running
    home = planned(begun, worlds.spec(strategy=VOLUMES), BACK)
    assert planner.with_offers(home, worlds.world(1)) is home


def test_a_plan_for_a_test_under_way_says_when_it_ends_and_what_changes() -> None:
    was, now = worlds.spec(strategy=VOLUMES), worlds.spec(strategy=VOLUMES, duration=timedelta(hours=1))
    world = in_test()
    found = planner.amending(planned(world, now), was, SINCE)
    assert found.amends == Amendment(Terms.of(was, SINCE), Terms.of(now, SINCE))
    assert found.facts[TEST_ENDS] == "2026-11-24T14:35:00+00:00"
    assert found.facts["guest.state"] == "Running"
    same = planner.amending(planned(world, was), was, None)
    assert (same.amends, same.facts[TEST_ENDS]) == (None, None)


def test_what_is_left_of_a_plan_is_a_suffix_or_no_remainder() -> None:
    steps = planned(worlds.world(1)).steps
    assert planner.remainder(steps, steps[3:]) == 3
    assert planner.remainder(steps, ()) == len(steps)
    assert planner.remainder(steps, steps) == 0
    assert planner.remainder(steps, steps[:3]) is None
    assert planner.remainder(steps[2:], steps) is None
