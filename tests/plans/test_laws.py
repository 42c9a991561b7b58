"""Laws of planning, tried on any number of disks and from every world that a crash can leave.

The worlds in between are made by `plans.effects` itself; that the real cloud behaves as the effects say is shown by the
scenarios, which run the same plans against the simulator.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plans import actions, compare, effects, planner, strategies
from plans.observed import ActiveJob, Place, World
from plans.plan import Plan
from specs.goal import GoalKind
from specs.model import Strategy
from tests.plans import worlds

CASES = {
    "volume-snapshot": (worlds.spec(), worlds.CAPABLE),
    "clone where snapshots are made in place": (worlds.spec(), replace(worlds.CAPABLE, kvm_snapshot_enabled=True)),
    "clone where replicas come off for their snapshot": (worlds.spec(strategy=Strategy.CLONE), worlds.CAPABLE),
    "vm-snapshot": (worlds.spec(strategy=Strategy.VM_SNAPSHOT), replace(worlds.CAPABLE, storage="nfs")),
}
EXPECTED = dict(zip(CASES, (Strategy.VOLUME_SNAPSHOT, Strategy.CLONE, Strategy.CLONE, Strategy.VM_SNAPSHOT), strict=True))
cases = st.sampled_from(sorted(CASES))


@pytest.mark.parametrize("case", CASES)
def test_the_case_is_of_its_strategy(case: str) -> None:
    assert planned(case, begun(case, 2)).strategy is EXPECTED[case]


def begun(case: str, disks: int) -> World:
    """The world before a test of that case."""
    return worlds.world(disks, capabilities=CASES[case][1])


def played(world: World, steps) -> list[World]:
    """The world before the first step, and after each."""
    seen = [world]
    for step in steps:
        seen.append(effects.after(step.action, seen[-1]))
    return seen


def planned(case: str, world: World, goal: GoalKind = GoalKind.TESTING) -> Plan:
    plan = planner.plan(CASES[case][0], goal, world)
    assert isinstance(plan, Plan), plan
    return plan


@given(cases, worlds.disk_counts)
def test_every_precondition_holds_at_its_turn(case: str, disks: int) -> None:
    world = begun(case, disks)
    plan = planned(case, world)
    for step, before in zip(plan.steps, played(world, plan.steps), strict=False):
        assert effects.blocker(step.action, before) is None
    for step, before in zip(plan.way_back, played(played(world, plan.steps)[-1], plan.way_back), strict=False):
        assert effects.blocker(step.action, before) is None


@given(cases, worlds.disk_counts)
def test_an_action_is_achieved_after_its_effect_and_not_before(case: str, disks: int) -> None:
    world = begun(case, disks)
    plan = planned(case, world)
    there = played(world, plan.steps)
    for step, before, after in zip(plan.steps, there, there[1:], strict=False):
        assert not step.action.achieved(before), step.action.word
        assert step.action.achieved(after), step.action.word
    back = played(there[-1], plan.way_back)
    for step, before, after in zip(plan.way_back, back, back[1:], strict=False):
        assert not step.action.achieved(before), step.action.word
        assert step.action.achieved(after), step.action.word


@given(cases, worlds.disk_counts)
def test_after_the_whole_plan_nothing_is_left_to_do(case: str, disks: int) -> None:
    world = begun(case, disks)
    end = played(world, planned(case, world).steps)[-1]
    assert compare.changes(CASES[case][0], GoalKind.TESTING, end, planned(case, world).strategy) == ()
    assert planned(case, end).steps == ()


@given(cases, worlds.disk_counts, st.data())
def test_a_later_pass_plans_a_suffix_of_what_was_approved(case: str, disks: int, data: st.DataObject) -> None:
    world = begun(case, disks)
    plan = planned(case, world)
    done = data.draw(st.integers(min_value=0, max_value=len(plan.steps)))
    again = planned(case, played(world, plan.steps)[done])
    assert planner.remainder(plan.steps, again.steps) == done


@given(cases, worlds.disk_counts, st.data())
def test_from_every_prefix_the_way_back_leads_home(case: str, disks: int, data: st.DataObject) -> None:
    world = begun(case, disks)
    plan = planned(case, world)
    stopped_after = data.draw(st.integers(min_value=0, max_value=len(plan.steps)))
    back = planned(case, played(world, plan.steps)[stopped_after], GoalKind.PROTECTED)
    home = played(played(world, plan.steps)[stopped_after], back.steps)[-1]
    assert home.guest is None
    assert (home.snapshots, home.vm_snapshots, home.volumes.keys()) == ({}, {}, world.volumes.keys())
    assert not home.run or not home.run.reserved
    for number, disk in enumerate(home.source.disks):
        volume = home.replica(disk)
        assert volume is not None
        assert home.place(volume.id) is Place.APPLIANCE
        assert volume.device_id == worlds.appliance_devices(disks)[number]
        assert not home.written(volume.id)


@given(cases, worlds.disk_counts, st.data())
def test_a_way_back_that_is_interrupted_goes_on_as_a_suffix(case: str, disks: int, data: st.DataObject) -> None:
    world = begun(case, disks)
    plan = planned(case, world)
    testing = played(world, plan.steps)[-1]
    done = data.draw(st.integers(min_value=0, max_value=len(plan.way_back)))
    again = planned(case, played(testing, plan.way_back)[done], GoalKind.PROTECTED)
    assert planner.remainder(plan.way_back, again.steps) == done


@given(cases, worlds.disk_counts, st.data())
def test_in_every_world_of_a_run_the_invariants_hold(case: str, disks: int, data: st.DataObject) -> None:
    world = begun(case, disks)
    plan = planned(case, world)
    for seen in played(world, plan.steps) + played(played(world, plan.steps)[-1], plan.way_back):
        assert world.replicas <= set(seen.volumes), "INV-02: no replica is ever deleted"
        if seen.guest is not None and seen.guest.state == "Running":
            assert effects.disks_incomplete(seen) is None, "INV-06"
            assert effects.points_missing(seen) is None, "INV-07"
            assert {n.network_id for n in seen.guest.nics} <= seen.test_networks, "INV-08"
        assert all(v.vm_id != worlds.APPLIANCE or v.device_id != 0 for v in seen.volumes.values() if v.id in world.replicas)


@given(worlds.disk_counts)
def test_a_snapshot_goes_only_after_its_replica_was_reverted_and_brought_home(disks: int) -> None:
    world = begun("volume-snapshot", disks)
    plan = planned("volume-snapshot", world)
    back = [(s.action.word, s.action.subject) for s in plan.way_back]
    for volume in world.replicas:
        assert (
            back.index(("revert-replica", volume))
            < back.index(("attach-replica", volume))
            < back.index(("delete-snapshot", volume))
        )


@given(cases, worlds.disk_counts)
def test_the_same_question_has_the_same_digest_and_another_world_another(case: str, disks: int) -> None:
    world = begun(case, disks)
    assert planned(case, world).digest == planned(case, world).digest
    first = next(iter(sorted(world.replicas)))
    moved = replace(world, volumes={**world.volumes, first: replace(world.volumes[first], device_id=30)})
    assert planned(case, world).digest != planned(case, moved).digest


@given(cases, worlds.disk_counts)
def test_a_plan_survives_its_file(case: str, disks: int) -> None:
    plan = planned(case, begun(case, disks))
    again = Plan.from_json(plan.as_json())
    assert (again.digest, again.steps, again.way_back) == (plan.digest, plan.steps, plan.way_back)


@pytest.mark.parametrize("kind", actions.ORDER)
def test_every_action_type_has_words_an_estimate_an_effect_and_a_precondition(kind) -> None:
    from plans import estimates, wording

    assert wording.WORDS[kind].symbol in "+-~>"
    assert kind in estimates._FIXED or kind in estimates._COPIES
    assert effects.after.dispatch(kind) is not effects.after.dispatch(actions.Action)
    assert effects.blocker.dispatch(kind) is not effects.blocker.dispatch(actions.Action)


@given(worlds.disk_counts)
def test_a_vm_snapshot_is_reverted_then_deleted_and_only_then_do_disks_leave(disks: int) -> None:
    plan = planned("vm-snapshot", begun("vm-snapshot", disks))
    back = [s.action.word for s in plan.way_back]
    assert back.index("revert-guest") < back.index("delete-guest-snapshot") < back.index("detach-replica")
    there = [s.action.word for s in plan.steps]
    last_attach = len(there) - 1 - there[::-1].index("attach-replica")
    assert last_attach < there.index("snapshot-guest") < there.index("start-guest")


@given(st.sampled_from([c for c in CASES if EXPECTED[c] is Strategy.CLONE]), worlds.disk_counts)
def test_clones_are_all_the_guest_ever_gets_and_all_are_deleted(case: str, disks: int) -> None:
    world = begun(case, disks)
    plan = planned(case, world)
    there = played(world, plan.steps)
    assert all(seen.place(v) is not Place.GUEST for seen in there for v in world.replicas)
    assert sum(isinstance(s.action, actions.CloneReplica) for s in plan.steps) == disks
    assert sum(isinstance(s.action, actions.DeleteClone) for s in plan.way_back) == disks
    assert played(there[-1], plan.way_back)[-1].volumes.keys() == world.volumes.keys()


def test_replication_goes_on_while_a_guest_runs_on_clones() -> None:
    case = "clone where snapshots are made in place"
    plan = planned(case, begun(case, 1))
    assert plan.pause < plan.takes_there
    end = played(begun(case, 1), plan.steps)[-1]
    busy = replace(end, source=replace(end.source, active_jobs=(ActiveJob("job-1", "replication", "running"),)))
    assert planned(case, busy).steps == ()
    assert planned(case, busy, GoalKind.PROTECTED).steps == plan.way_back


@pytest.mark.parametrize("case", CASES)
def test_a_reviewed_plan_names_the_price_of_every_other_strategy(case: str) -> None:
    world = begun(case, 2)
    plan = planner.with_offers(planned(case, world), world)
    assert {o.strategy for o in plan.offers} == {*strategies.STRATEGIES} - {plan.strategy}
    assert plan.digest == planned(case, world).digest
    for offer in plan.offers:
        priced = planner.plan(worlds.spec(strategy=offer.strategy), GoalKind.TESTING, world)
        if offer.against is None:
            assert isinstance(priced, Plan)
            assert (offer.pause, offer.takes_there, offer.extra_gib) == (priced.pause, priced.takes_there, priced.extra_gib)
        else:
            assert not isinstance(priced, Plan)
