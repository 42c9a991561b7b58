"""The management server is killed with one of our jobs in flight: the ten cases of the recording `14-restart`, by its names.

What the server leaves is the simulator's, which is held to that recording: jobs end without a result, a machine that was
starting is stopped, one that was stopping runs, a disk that was going on is off, one that was coming off is on, and rows of
VM snapshots stay in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from plans.plan import Plan
from reconciler import operations
from reconciler.exits import words
from tests.scenarios.attacks import HOUR, MINUTE, SECOND, live_for
from tests.scenarios.house import DB3, KEYS, PG, Drill, Proof, furnished
from tests.scenarios.test_main_job import HOME

CASES: dict[str, tuple[str, str, str]] = {
    "start-slow": ("there", "startVirtualMachine", ""),
    "deploy-start-slow": ("there", "deployVirtualMachine", ""),
    "attach-slow": ("there", "attachVolume", ""),
    "detach-slow": ("there", "detachVolume:2", ""),
    "volume-snapshot-slow": ("there", "createSnapshot", ""),
    "stop-slow": ("back", "stopVirtualMachine", ""),
    "vmsnapshot-delete-slow": ("back", "deleteVMSnapshot", "vm-snapshot"),
}
"""By the name in the recording: on which way the call is made, which one it is, under which strategy."""


@contextmanager
def a_house(folder: Path, strategy: str = "", **options: str) -> Iterator[Drill]:
    with furnished(folder, durations=1.0, **options) as drill:
        if strategy == "vm-snapshot":
            drill.declare(storage="nfs")
        yield drill


def approve(drill: Drill, vm: str, strategy: str) -> None:
    drill.approve(drill.plan(vm, more=f"strategy: {strategy}\n" if strategy else ""))


def killed_at(drill: Drill, vm: str, call: str, after: timedelta = 2 * SECOND) -> None:
    """Rounds until the cloud works on that call, which takes long; then it is killed, and is there again."""
    command, _, nth = call.partition(":")
    drill.cloud.faults.add("slow", command, nth=int(nth or 1), seconds=120)
    fault = drill.cloud.faults.rules[-1]
    for _ in range(500):
        drill.engine.round(frozenset({KEYS[vm]}))
        if fault.fired:
            break
        drill.advance(SECOND)
    drill.advance(after)
    assert drill.cloud.jobs.pending, f"{command} was never under way"
    drill.cloud.restart()
    assert not drill.cloud.jobs.pending


def runs(drill: Drill, vm: str) -> None:
    live_for(drill, vm, HOUR)
    assert drill.run(vm).state == "holding", drill.run(vm).reason
    drill.cloud.guest_writes(drill.guest(vm)["id"], "a person tests")


def ended(drill: Drill, vm: str) -> None:
    operations.end(drill.connected, KEYS[vm], "tests")


def home(drill: Drill, vm: str, before: Proof) -> None:
    live_for(drill, vm, 3 * HOUR)
    assert (drill.run(vm).state, drill.run(vm).failed, drill.proof()) == ("completed", False, before), drill.run(vm).reason


@pytest.mark.parametrize("vm", [PG, DB3])
@pytest.mark.parametrize("case", CASES)
def test_a_call_that_a_restart_cut_off_is_made_once_more_and_the_test_goes_there_and_back(
    case: str, vm: str, tmp_path: Path
) -> None:
    way, call, strategy = CASES[case]
    with a_house(tmp_path / "whole", strategy) as whole:
        approve(whole, vm, strategy)
        runs(whole, vm)
        ended(whole, vm)
        live_for(whole, vm, HOUR)
        usual = whole.mutations()
    with a_house(tmp_path / "cut", strategy) as drill:
        before = drill.proof()
        approve(drill, vm, strategy)
        if way == "there":
            killed_at(drill, vm, call, AT_ONCE if case == "volume-snapshot-slow" else 2 * SECOND)
        runs(drill, vm)
        ended(drill, vm)
        if way == "back":
            killed_at(drill, vm, call)
        home(drill, vm, before)
        command = call.partition(":")[0]
        more = {c: drill.mutations().count(c) - usual.count(c) for c in {*drill.mutations(), *usual}}
        extra = {c: n for c, n in more.items() if n}
        cut_off = len(HOME[vm]) if command == "createSnapshot" else 1  # snapshots are made side by side
        assert extra == ({} if command == "deployVirtualMachine" else {command: cut_off}), "a guest that is there is taken"


AT_ONCE = timedelta()


def test_queued_stop_behind_detach(tmp_path: Path) -> None:
    """Somebody takes a disk of their own off our guest, slowly; our stop waits behind that when the server is killed."""
    with a_house(tmp_path) as drill:
        admin = drill.cloud.as_account("admin")
        before = drill.proof()
        approve(drill, PG, "")
        runs(drill, PG)
        ours = drill.run(PG).guest_id or ""
        foreign = a_volume_of(drill, "failover", ours)
        drill.cloud.faults.add("slow", "detachVolume", seconds=120)
        assert admin.call("detachVolume", id=foreign).status == 200
        drill.advance(2 * SECOND)
        ended(drill, PG)
        wait_for(drill, lambda: "stopVirtualMachine" in drill.mutations())
        assert [j.command for j in drill.cloud.jobs.pending] == ["detachVolume", "stopVirtualMachine"]
        drill.cloud.restart()
        live_for(drill, PG, HOUR)
        assert drill.mutations().count("stopVirtualMachine") == 2
        volumes = drill.proof().places
        assert {v: volumes[v] for v in before.places} == before.places
        assert volumes[foreign][0] is None or foreign not in volumes


def a_volume_of(drill: Drill, account: str, guest: str) -> str:
    """A volume that a person made and hung on this machine."""
    caller = drill.cloud.as_account(account)
    known = set(drill.cloud.truth()["volumes"])
    zone, offering = "00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000c3"
    assert caller.call("createVolume", name="theirs", zoneid=zone, diskofferingid=offering, size=1).status == 200
    drill.advance(5 * SECOND)
    (made,) = set(drill.cloud.truth()["volumes"]) - known
    assert caller.call("attachVolume", id=made, virtualmachineid=guest).status == 200
    drill.advance(5 * SECOND)
    return made


def wait_for(drill: Drill, so: Callable[[], bool]) -> None:
    for _ in range(500):
        if so():
            return
        drill.engine.round()
        drill.advance(timedelta(seconds=0.5))
    raise AssertionError("it never came to that")


@pytest.mark.parametrize("vm", [PG, DB3])
def test_vmsnapshot_revert_slow(vm: str, tmp_path: Path) -> None:
    """The row stays Reverting, and the cloud neither reverts nor deletes that: an operator mends it, and is told which."""
    with a_house(tmp_path, "vm-snapshot") as drill:
        before = drill.proof()
        approve(drill, vm, "vm-snapshot")
        runs(drill, vm)
        ended(drill, vm)
        killed_at(drill, vm, "revertToVMSnapshot")
        ((row_id, row),) = drill.cloud.vm_snapshots.items()
        assert row.state == "Reverting"
        sent = drill.mutations()
        live_for(drill, vm, 2 * HOUR)
        run = drill.run(vm)
        assert (run.state, f"{row_id} is Reverting" in (run.reason or "")) == ("stuck", True), run.reason
        assert drill.mutations() == sent
        row.state = "Ready"
        home(drill, vm, before)


@pytest.mark.parametrize("release", ["4.22.0.0", "4.22.1.0"])
@pytest.mark.parametrize("vm", [PG, DB3])
def test_vmsnapshot_create_slow(vm: str, release: str, tmp_path: Path) -> None:
    """The row is Error: to delete it was no part of the plan, so a person is asked; then it is deleted, and made anew."""
    with a_house(tmp_path, "vm-snapshot", release=release) as drill:
        before = drill.proof()
        approve(drill, vm, "vm-snapshot")
        killed_at(drill, vm, "createVMSnapshot")
        live_for(drill, vm, HOUR)
        found = operations.exits_of(drill.connected, KEYS[vm])
        assert found is not None
        assert drill.run(vm).state == "paused"
        assert isinstance(found.on, Plan)
        assert words(found.on) == ("delete-guest-snapshot", "snapshot-guest", "start-guest")
        approve(drill, vm, "vm-snapshot")
        runs(drill, vm)
        ended(drill, vm)
        home(drill, vm, before)


@pytest.mark.parametrize("vm", [PG, DB3])
def test_vmsnapshot_create_slow_and_the_test_is_ended(vm: str, tmp_path: Path) -> None:
    with a_house(tmp_path, "vm-snapshot") as drill:
        before = drill.proof()
        approve(drill, vm, "vm-snapshot")
        killed_at(drill, vm, "createVMSnapshot")
        live_for(drill, vm, HOUR)
        ended(drill, vm)
        home(drill, vm, before)
        assert "startVirtualMachine" not in drill.mutations()


@pytest.mark.parametrize("fate", ["Ready", "Error"])
def test_a_row_that_nobody_tidies_stays_in_creating_until_an_operator_mends_it(fate: str, tmp_path: Path) -> None:
    """Nothing is sent against it, and the run says which row it is."""
    with a_house(tmp_path, "vm-snapshot") as drill:
        before = drill.proof()
        approve(drill, PG, "vm-snapshot")
        killed_at(drill, PG, "createVMSnapshot")
        ((row_id, row),) = drill.cloud.vm_snapshots.items()
        row.state = "Creating"
        live_for(drill, PG, HOUR)
        ended(drill, PG)
        sent = drill.mutations()
        live_for(drill, PG, HOUR)
        run = drill.run(PG)
        assert (run.state, f"{row_id} is Creating" in (run.reason or "")) == ("stuck", True), run.reason
        assert drill.mutations() == sent
        row.state = fate
        home(drill, PG, before)


def test_a_snapshot_that_stays_in_creating_keeps_no_vm_from_replication_and_is_told_of(tmp_path: Path) -> None:
    with a_house(tmp_path) as drill:
        before = drill.proof()
        approve(drill, PG, "")
        killed_at(drill, PG, "createSnapshot")
        ((left, row),) = drill.cloud.snapshots.items()
        assert row.state == "Creating"
        runs(drill, PG)
        ended(drill, PG)
        live_for(drill, PG, HOUR)
        run, sent = drill.run(PG), drill.mutations()
        assert (run.state, run.reserved, f"{left} is Creating" in (run.reason or "")) == ("stuck", False, True), run.reason
        assert drill.proof().places == before.places
        live_for(drill, PG, HOUR)
        assert drill.mutations() == sent
        row.state = "Error"
        home(drill, PG, before)


def test_the_ten_cases_are_those_of_the_recording() -> None:
    named = {*CASES, "vmsnapshot-create-slow", "vmsnapshot-revert-slow", "queued-stop-behind-detach"}
    assert len(named) == 10


@pytest.mark.parametrize("release", ["4.22.0.0", "4.22.1.0"])
def test_a_restart_while_nothing_is_in_flight_is_not_noticed(release: str, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0, release=release) as drill:
        before = drill.proof()
        drill.apply(PG)
        drill.cloud.restart()
        drill.advance(MINUTE)
        drill.end(PG)
        assert drill.proof() == before
