"""The cloud answers badly, at every call that changes something: the end is the same, or says what it waits for."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from plans.actions import MARK
from reconciler.cloudstack.errors import CloudError
from tests.scenarios.attacks import HOUR, MINUTE, SECOND, is_over, live_for, person, there_and_back
from tests.scenarios.house import DB3, GUESTS, KEYS, PG, Drill, furnished
from tests.scenarios.test_main_job import HOME

CALLS_THERE = (
    *("deployVirtualMachine", "createTags", "detachVolume", "detachVolume:2", "deleteVolume", "createSnapshot"),
    *("attachVolume", "startVirtualMachine"),
)
CALLS_BACK = (
    *("stopVirtualMachine", "detachVolume:3", "revertSnapshot", "attachVolume:2"),
    *("destroyVirtualMachine", "deleteSnapshot"),
)
Rule = dict[str, Any]
ANSWERS: dict[str, tuple[Rule, ...]] = {
    "no: never": ({"kind": "job-fails", "code": 431},),
    "no: not now": ({"kind": "job-fails", "code": 530, "times": 6},),
    "refused": ({"kind": "refuse", "code": 432},),
    "nothing, and it never arrived": ({"kind": "drop"},),
    "nothing, and the job is done and forgotten": ({"kind": "job-purged"}, {"kind": "lose-answer"}),
    "half an answer": ({"kind": "half-answer"},),
    "a page of a proxy": ({"kind": "html", "code": 502},),
    "no verdict, nothing done": ({"kind": "job-no-result"},),
    "no verdict, all done": ({"kind": "job-no-result", "effect": True},),
    "yes, and nothing done": ({"kind": "job-no-effect"},),
    "the server starts again": ({"kind": "restart"},),
    "the call comes twice": ({"kind": "late-duplicate", "seconds": 1},),
}


def set_faults(drill: Drill, call: str, rules: tuple[Rule, ...]) -> None:
    command, _, nth = call.partition(":")
    for rule in rules:
        more = {k: v for k, v in rule.items() if k != "kind"}
        drill.cloud.faults.add(rule["kind"], command, nth=int(nth or 1), **more)


def strikes(answer: str, call: str) -> bool:
    """Whether that answer can be given to that call: a deletion of a volume is no job."""
    return call != "deleteVolume" or all(rule["kind"] in WITHOUT_JOBS for rule in ANSWERS[answer])


WITHOUT_JOBS = ("refuse", "drop", "half-answer", "html", "restart")
NOT_FOUND_AGAIN = ("nothing, and the job is done and forgotten", "deployVirtualMachine")
CASES = [(a, c) for a in ANSWERS for c in (*CALLS_THERE, *CALLS_BACK) if strikes(a, c) and (a, c) != NOT_FOUND_AGAIN]


@pytest.mark.parametrize(("answer", "call"), CASES)
def test_whatever_the_cloud_answers_nothing_of_the_test_is_left(answer: str, call: str, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        before = drill.proof()
        set_faults(drill, call, ANSWERS[answer])
        there_and_back(drill, PG, 10**9, lambda _: None, patience=2 * HOUR)
        assert (is_over(drill, PG), drill.proof()) == (True, before), drill.run(PG).reason
        assert any(f.fired for f in drill.cloud.faults.rules), "the fault never struck"


def test_a_guest_of_which_nobody_was_told_anything_bars_its_name_and_is_never_taken_for_ours(drill: Drill) -> None:
    """The answer was lost and the server forgot the job: a name alone is no proof that the guest is ours."""
    before = drill.proof()
    answer, call = NOT_FOUND_AGAIN
    set_faults(drill, call, ANSWERS[answer])
    there_and_back(drill, PG, 10**9, lambda _: None)
    assert (drill.run(PG).state, drill.proof().contents) == ("completed", before.contents)
    (told,) = drill.rows("select text from fr_events where kind = 'stuck'")
    assert f"the name {GUESTS[PG]} is taken" in told["text"]
    (left,) = [i for i, vm in drill.cloud.truth()["vms"].items() if vm["name"] == GUESTS[PG]]
    assert left not in {
        c.params.get("id") for c in drill.cloud.trace if c.command in ("startVirtualMachine", "destroyVirtualMachine")
    }


@pytest.mark.parametrize("call", [c for c in (*CALLS_THERE, *CALLS_BACK) if c != "deleteVolume"])
def test_a_job_that_never_ends_is_told_with_its_id_and_everything_comes_home_when_it_does(call: str, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        before = drill.proof()
        set_faults(drill, call, ({"kind": "slow", "seconds": 8 * 3600},))
        patience = 25 if call in CALLS_THERE else 45  # the server cancels after an hour what others wait for
        there_and_back(drill, PG, 10**9, lambda _: None, patience=patience * MINUTE)
        run = drill.run(PG)
        (job,) = drill.cloud.jobs.pending
        assert (run.state, job.id in (run.reason or "")) == ("stuck", True), run.reason
        drill.advance(8 * HOUR)
        live_for(drill, PG, HOUR)
        assert (is_over(drill, PG), drill.proof()) == (True, before), drill.run(PG).reason


@pytest.mark.parametrize("call", ["detachVolume:2", "detachVolume:3"])
def test_a_detach_that_may_still_come_is_not_sent_again(call: str, drill: Drill) -> None:
    """CloudStack cancels a job that blocks others and goes on with its work: a second detach would be one too many."""
    before = drill.proof()
    set_faults(drill, call, ({"kind": "job-code-0"}, {"kind": "slow", "seconds": 2 * 3600}))
    detaches = int(call[-1])
    there_and_back(drill, PG, 10**9, lambda _: None, patience=HOUR / 2)
    assert drill.run(PG).state == "stuck"
    assert drill.attempted().count("detachVolume") == detaches
    drill.advance(2 * HOUR)
    live_for(drill, PG, HOUR)
    assert (is_over(drill, PG), drill.proof()) == (True, before), drill.run(PG).reason


@pytest.mark.parametrize("call", CALLS_BACK)
@pytest.mark.parametrize("code", [431, 530, 533])
def test_a_way_back_that_fails_for_an_hour_is_stuck_and_then_goes_on(call: str, code: int, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        before = drill.proof()
        drill.apply(PG)
        drill.cloud.guest_writes(drill.guest(PG)["id"], "a person tests")
        command = call.partition(":")[0]
        fault = drill.cloud.faults.add("job-fails", command, code=code, times=10**6)
        drill.advance(HOUR)
        live_for(drill, PG, HOUR)
        assert not is_over(drill, PG)
        assert drill.rows("select id from fr_events where kind = 'stuck'")
        drill.cloud.faults.remove(fault)
        live_for(drill, PG, HOUR)
        assert (drill.run(PG).state, drill.proof()) == ("completed", before)


# --- rollback points --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tries", [1, 3, 9])
@pytest.mark.parametrize("vm", [PG, DB3])
def test_what_failed_tries_at_a_snapshot_left_behind_is_deleted_too(vm: str, tries: int, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        before = drill.proof()
        drill.cloud.faults.add("host-fails", "snapshot", times=tries)
        there_and_back(drill, vm, 10**9, lambda _: None)
        assert (is_over(drill, vm), drill.proof()) == (True, before), drill.run(vm).reason


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_of_several_rollback_points_all_are_made_or_the_guest_never_starts(nth: int, drill: Drill) -> None:
    before = drill.proof()
    drill.cloud.faults.add("refuse", "createSnapshot", nth=nth, code=535, text="limit")
    there_and_back(drill, DB3, 10**9, lambda _: None)
    assert "startVirtualMachine" not in drill.mutations()
    assert (drill.run(DB3).state, drill.proof()) == ("rolled-back", before)


@pytest.mark.parametrize("fault", ["lose-answer", "drop", "job-fails"])
def test_a_snapshot_of_another_run_is_never_taken_for_ours(fault: str, drill: Drill) -> None:
    """A database that was made anew counts from 1 again, so an old snapshot may bear the name of the new one."""
    volume = HOME[PG][1]
    name = f"test-failover-{GUESTS[PG]}-disk-2000"
    old = {"tags[0].key": MARK, "tags[0].value": "test-failover-of-another-database"}
    drill.cloud.as_account("failover").call("detachVolume", id=volume)
    drill.advance(5 * SECOND)
    drill.cloud.as_account("failover").call("createSnapshot", volumeid=volume, name=name, **old)
    drill.advance(5 * SECOND)
    drill.cloud.as_account("failover").call("attachVolume", id=volume, virtualmachineid=APPLIANCE_ID, deviceid=1)
    drill.advance(5 * SECOND)
    (stale,) = drill.cloud.truth()["snapshots"]
    drill.cloud.volumes[volume].content = "what was replicated since"
    before = drill.proof()
    drill.cloud.faults.add(fault, "createSnapshot")
    there_and_back(drill, PG, 10**9, lambda _: None)
    assert (is_over(drill, PG), drill.proof()) == (True, before), drill.run(PG).reason
    assert all(c.params.get("id") != stale for c in drill.cloud.trace if c.command in ("revertSnapshot", "deleteSnapshot"))


APPLIANCE_ID = "00000000-0000-4000-8000-00000000000a"

# --- strange worlds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["Migrating", "Shutdown", "Unknown", "Weird"])
def test_a_guest_in_a_state_that_nobody_knows_does_not_stop_the_way_home_for_ever(state: str, drill: Drill) -> None:
    before = drill.proof()
    drill.apply(PG)
    guest = drill.cloud.vms[drill.run(PG).guest_id or ""]
    guest.state = state
    drill.advance(HOUR)
    live_for(drill, PG, HOUR / 3)
    assert not is_over(drill, PG)
    guest.state = "Running"
    live_for(drill, PG, HOUR)
    assert (drill.run(PG).state, drill.proof()) == ("completed", before)


@pytest.mark.parametrize("state", ["Migrating", "Resizing", "Weird"])
@pytest.mark.parametrize("at", [4, 6, 8])
def test_a_replica_in_a_state_that_nobody_knows_is_left_alone_until_it_is_ready(state: str, at: int, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        before = drill.proof()
        volume = drill.cloud.volumes[HOME[PG][1]]

        def strange(_: Drill) -> None:
            volume.state = state

        there_and_back(drill, PG, at, strange, patience=HOUR / 3)
        volume.state = "Ready"
        live_for(drill, PG, HOUR)
        assert (is_over(drill, PG), drill.proof()) == (True, before), drill.run(PG).reason


def test_no_room_for_the_guest_takes_everything_back(drill: Drill) -> None:
    before = drill.proof()
    drill.cloud.faults.add("job-fails", "startVirtualMachine", code=533, text="no capacity", times=10**6)
    drill.apply(PG)
    assert (drill.run(PG).state, drill.proof()) == ("rolled-back", before)


def test_without_the_right_to_expunge_the_guest_stays_in_the_bin_and_the_next_has_another_name(tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        drill.cloud.configure("allow.user.expunge.recover.vm", False)
        before = drill.proof()
        drill.apply(PG)
        drill.end(PG)
        gone = drill.run(PG).guest_id or ""
        after = drill.proof()
        assert (after.contents, after.marked, after.blocked) == (before.contents, (), ())
        assert drill.cloud.truth()["vms"][gone]["state"] == "Destroyed"
        drill.apply(PG, again=True)
        assert (drill.run(PG).state, drill.guest(PG)["name"]) == ("holding", f"{GUESTS[PG]}-2")
        drill.end(PG)
        assert {v: drill.proof().places[v] for v in before.places} == before.places


def test_a_name_that_a_guest_in_the_bin_still_holds_makes_the_test_fail_and_nothing_else(tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        person(drill, "deployVirtualMachine", name=GUESTS[PG], startvm=False, **platform(), networkids=TEST_NETWORK)
        (other,) = [i for i, vm in drill.cloud.truth()["vms"].items() if vm["name"] == GUESTS[PG]]
        person(drill, "destroyVirtualMachine", id=other)
        before = drill.proof()
        there_and_back(drill, PG, 10**9, lambda _: None)
        assert (drill.run(PG).failed, drill.proof()) == (True, before), drill.run(PG).reason


TEST_NETWORK = "00000000-0000-4000-8000-0000000000b3"


def platform() -> dict[str, str]:
    zone, offering = "00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000c2"
    return {"zoneid": zone, "templateid": "00000000-0000-4000-8000-0000000000e1", "serviceofferingid": offering}


@pytest.mark.parametrize("at", [3, 7, 9, 10, 12])
def test_a_cloud_that_is_away_for_an_hour_is_waited_for(at: int, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        before = drill.proof()
        drill.approve(drill.plan(PG))
        keys, stop = frozenset({KEYS[PG]}), threading.Event()
        away = None
        for _ in range(3000):
            if away is None and len(drill.mutations()) >= at:
                away = drill.cloud.faults.add("drop", "*", times=10**6), drill.clock.now() + HOUR
            if away is not None and drill.clock.now() >= away[1]:
                drill.cloud.faults.clear()
            try:
                done = drill.engine.round(keys)
            except CloudError:
                drill.advance(timedelta(minutes=2))
                continue
            if drill.runs() and is_over(drill, PG):
                break
            now = drill.clock.now()
            drill.engine.clock.wait(max((done.next_at or now) - now, SECOND), stop)
        assert away is not None
        assert (drill.run(PG).state, drill.proof()) == ("completed", before), drill.run(PG).reason
