"""A run that waits at a safe point: it goes on, is taken back, or stays as it is; each of them as a plan."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from plans.plan import Plan
from reconciler import crashpoints, operations
from reconciler.crashpoints import Point
from reconciler.exits import Exits, words
from reconciler.operations import NotToFreeze
from specs import load
from tests.scenarios.attacks import HOUR, MINUTE, live_for, person
from tests.scenarios.house import APPLIANCE, KEYS, PG, Drill, furnished
from tests.scenarios.test_main_job import HOME

VOLUME = HOME[PG][1]
THERE = 8  # mutating calls of the way there


def begun(drill: Drill, calls: int) -> None:
    """A test of PG is on its way there, and the cloud took so many of its calls; the last one is still under way."""
    drill.approve(drill.plan(PG))
    until(drill, calls)


def until(drill: Drill, calls: int) -> None:
    for _ in range(500):
        if len(drill.mutations()) >= calls:
            return
        drill.engine.round()
        drill.advance(timedelta(seconds=0.5))
    raise AssertionError(f"only {drill.mutations()}")


def freeze(drill: Drill) -> None:
    operations.freeze(drill.connected, KEYS[PG], "a person")


def exits(drill: Drill) -> Exits:
    found = operations.exits_of(drill.connected, KEYS[PG])
    assert found is not None
    return found


def go_on(drill: Drill, span: str = "30m") -> None:
    drill.approve(drill.plan(PG, span=span))
    live_for(drill, PG, HOUR)


def detached(drill: Drill, times: int = 1) -> None:
    """A test of PG is on its way there; the replica is off, and the cloud has no time for its snapshot just now."""
    drill.cloud.faults.add("refuse", "createSnapshot", times=times)
    drill.approve(drill.plan(PG))
    refused(drill)


def refused(drill: Drill) -> None:
    """Rounds until one more snapshot is refused, or the run asks."""
    asked = drill.attempted().count("createSnapshot")
    for _ in range(500):
        drill.engine.round()
        if drill.attempted().count("createSnapshot") > asked or drill.run(PG).state == "paused":
            return
        drill.advance(timedelta(seconds=0.5))
    raise AssertionError(drill.attempted())


def put_back(drill: Drill) -> None:
    """Somebody hangs the replica on the appliance again."""
    person(drill, "attachVolume", id=VOLUME, virtualmachineid=APPLIANCE, deviceid=1)


def uninterrupted(tmp_path: Path) -> list[str]:
    with furnished(tmp_path / "other", durations=1.0) as other:
        other.apply(PG)
        return other.mutations()


@pytest.mark.parametrize("calls", range(1, THERE))
def test_a_frozen_run_settles_what_is_under_way_and_begins_nothing_else_until_a_person_says_so(
    calls: int, drill: Drill, tmp_path: Path
) -> None:
    before = drill.proof()
    begun(drill, calls)
    freeze(drill)
    live_for(drill, PG, 6 * HOUR)
    drill.advance(6 * HOUR)
    for _ in range(20):
        drill.engine.round()
    assert (drill.run(PG).state, len(drill.mutations())) == ("paused", calls)
    assert drill.rows("select seq from fr_steps where state in ('started', 'waiting')") == []
    go_on(drill)
    assert (drill.run(PG).state, drill.mutations()) == ("holding", uninterrupted(tmp_path))
    drill.end(PG)
    assert drill.proof() == before


@pytest.mark.parametrize("calls", range(1, THERE + 1))
def test_a_frozen_run_is_taken_back_when_its_test_is_ended(calls: int, drill: Drill) -> None:
    before = drill.proof()
    begun(drill, calls)
    freeze(drill)
    live_for(drill, PG, HOUR)
    drill.end(PG)
    assert (drill.run(PG).state, drill.proof()) == ("completed", before)


def test_a_frozen_run_whose_step_fails_stays_where_it_is(drill: Drill) -> None:
    begun(drill, 5)
    drill.cloud.faults.add("job-fails", "createSnapshot", code=431)
    until(drill, 6)
    freeze(drill)
    live_for(drill, PG, HOUR)
    assert (drill.run(PG).state, drill.run(PG).direction, len(drill.mutations())) == ("paused", "there", 6)
    go_on(drill)
    assert drill.run(PG).state == "holding"


def test_a_run_whose_guest_was_started_already_is_a_test_that_ends_by_its_time(drill: Drill) -> None:
    before = drill.proof()
    begun(drill, THERE)
    freeze(drill)
    live_for(drill, PG, MINUTE)
    assert drill.run(PG).state == "holding"
    drill.advance(HOUR)
    live_for(drill, PG, HOUR)
    assert (drill.run(PG).state, drill.proof()) == ("completed", before)


def test_nothing_is_frozen_where_nothing_is_on_its_way_there(drill: Drill) -> None:
    with pytest.raises(NotToFreeze, match="no test is under way"):
        freeze(drill)
    drill.apply(PG)
    with pytest.raises(NotToFreeze, match="longer `for:`"):
        freeze(drill)
    operations.end(drill.connected, KEYS[PG], "tests")
    drill.engine.round()
    with pytest.raises(NotToFreeze, match="on its way back"):
        freeze(drill)


def test_a_run_that_is_frozen_before_its_first_step_is_written_down_sends_nothing(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = drill.proof()
    monkeypatch.setattr(crashpoints, "on_hit", lambda point: freeze(drill) if point is Point.RUN_OPENED else None)
    drill.approve(drill.plan(PG))
    live_for(drill, PG, HOUR)
    assert (drill.run(PG).state, drill.attempted()) == ("paused", [])
    drill.end(PG)
    assert (drill.run(PG).state, drill.proof()) == ("completed", before)


def test_a_test_that_was_ended_a_moment_ago_is_not_frozen_but_taken_back(drill: Drill) -> None:
    before = drill.proof()
    begun(drill, 5)
    operations.end(drill.connected, KEYS[PG], "tests")
    with pytest.raises(NotToFreeze, match="about to be taken back"):
        freeze(drill)
    live_for(drill, PG, HOUR)
    assert (drill.run(PG).state, drill.proof()) == ("completed", before)


def test_the_ways_on_from_a_frozen_run_are_the_rest_of_its_plan_and_the_way_back_from_there(drill: Drill) -> None:
    approved = drill.plan(PG)
    begun(drill, 5)
    freeze(drill)
    live_for(drill, PG, HOUR)
    found = exits(drill)
    assert isinstance(found.on, Plan)
    assert isinstance(found.back, Plan)
    assert found.as_approved
    assert words(found.on) == words(approved)[6:] == found.approved
    assert words(found.back) == ("attach-replica", "destroy-guest", "release")
    assert found.held == (
        "replication waits",
        "disk-2000 away from the appliance",
        "guest pgwintestbios-test is Stopped",
    )


def test_a_world_that_changed_stops_the_run_and_shows_what_was_approved_beside_what_is_left_now(drill: Drill) -> None:
    before = drill.proof()
    detached(drill)
    put_back(drill)
    live_for(drill, PG, MINUTE)
    found = exits(drill)
    assert (drill.run(PG).state, found.as_approved) == ("paused", False)
    assert found.approved == ("snapshot-replica", "attach-replica", "start-guest")
    assert isinstance(found.on, Plan)
    assert words(found.on) == ("detach-replica", "snapshot-replica", "attach-replica", "start-guest")
    go_on(drill)
    assert drill.run(PG).state == "holding"
    drill.end(PG)
    assert drill.proof() == before


def allowed(drill: Drill) -> None:
    """The settings let a run repeat what was approved for it."""
    path = drill.settings_path
    path.write_text(path.read_text(encoding="utf-8") + "\nengine:\n  repeat_approved: true\n", encoding="utf-8")
    drill.reborn()


def test_where_settings_allow_it_a_run_repeats_what_was_approved_for_it(drill: Drill) -> None:
    before = drill.proof()
    allowed(drill)
    detached(drill)
    put_back(drill)
    live_for(drill, PG, HOUR)
    assert (drill.run(PG).state, drill.mutations().count("detachVolume")) == ("holding", 3)
    assert [r["kind"] for r in drill.rows("select kind from fr_events where kind = 'repeats'")] == ["repeats"]
    drill.end(PG)
    assert drill.proof() == before


def test_what_somebody_undoes_again_and_again_is_for_a_person_to_see(drill: Drill) -> None:
    before = drill.proof()
    allowed(drill)
    times = drill.connected.settings.engine.attempts + 1
    detached(drill, times)
    for _ in range(times):
        put_back(drill)
        refused(drill)
    assert (drill.run(PG).state, drill.mutations().count("detachVolume")) == ("paused", times + 1)
    drill.end(PG)
    assert drill.proof() == before


def test_a_step_that_was_never_approved_is_asked_for_whatever_the_settings_say(drill: Drill) -> None:
    """Somebody puts the replica on another device of the guest: to take it off there was no part of the plan."""
    allowed(drill)
    begun(drill, 6)
    drill.advance(MINUTE)
    person(drill, "attachVolume", id=VOLUME, virtualmachineid=drill.run(PG).guest_id, deviceid=5)
    live_for(drill, PG, MINUTE)
    found = exits(drill)
    assert drill.run(PG).state == "paused"
    assert isinstance(found.on, Plan)
    assert words(found.on)[0] == "detach-replica"


@pytest.mark.parametrize("calls", range(1, THERE + 1))
def test_a_newer_spec_that_wants_the_vm_protected_takes_effect_at_the_next_safe_point(calls: int, drill: Drill) -> None:
    before = drill.proof()
    begun(drill, calls)
    back = drill.planned(load.load_text(f"vm: {PG}\nstate: protected\n", "back.yaml").specs[0])
    assert isinstance(back, Plan)
    assert back.held_up == (calls == 7)  # the disk is being attached just now, and nothing can be planned for it
    drill.approve(back)
    live_for(drill, PG, HOUR)
    assert (drill.run(PG).state, drill.proof()) == ("completed", before)
    if calls < THERE:
        assert "startVirtualMachine" not in drill.mutations()


def test_a_frozen_run_goes_on_with_a_newer_spec_for_the_same_guest(drill: Drill) -> None:
    begun(drill, 5)
    freeze(drill)
    live_for(drill, PG, HOUR)
    go_on(drill, span="45m")
    run = drill.run(PG)
    assert run.state == "holding"
    assert run.running_since is not None
    assert run.expires_at == run.running_since + timedelta(minutes=45)
