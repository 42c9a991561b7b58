"""A VM snapshot of the stopped guest fails and leaves a row in Error: the way out, by release.

Before 4.21 a stopped guest cannot be snapshotted, and 4.21 cannot delete such a row: there the strategy is refused before
anything is sent. From 4.22 on the row can be deleted, and the snapshot made anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from plans.plan import Plan, Refusal
from reconciler import operations
from reconciler.cli import trouble
from reconciler.exits import words
from tests.scenarios.attacks import HOUR, SECOND, live_for
from tests.scenarios.house import DB3, KEYS, PG, Drill, furnished

RELEASES = ("4.22.0.0", "4.22.1.0")
REFUSED = ("4.18.2.5", "4.19.0.0", "4.19.3.0", "4.20.1.0", "4.20.3.0", "4.21.0.0")
MORE = "strategy: vm-snapshot\n"


@contextmanager
def failed(folder: Path, release: str, vm: str = PG, settings: str = "") -> Iterator[Drill]:
    """A test whose VM snapshot the host failed to make: the row is there, in Error."""
    with furnished(folder, durations=1.0, release=release) as drill:
        path = drill.settings_path
        path.write_text(path.read_text(encoding="utf-8") + settings, encoding="utf-8")
        drill.declare(storage="nfs")
        drill.cloud.faults.add("host-fails", "vmsnapshot")
        drill.approve(drill.plan(vm, more=MORE))
        live_for(drill, vm, HOUR)
        yield drill


@pytest.mark.parametrize("release", REFUSED)
def test_where_there_is_no_way_out_it_is_not_begun_and_a_strategy_that_works_is_named(release: str, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0, release=release) as drill:
        drill.declare(storage="nfs")
        found = drill.planned(drill.spec(PG, more=MORE))
        assert isinstance(found, Refusal)
        assert [(r.code, "volume-snapshot" in r.fix) for r in found.reasons] == [("STRATEGY_NOT_POSSIBLE", True)]
        assert drill.attempted() == []


def end(drill: Drill, vm: str = PG) -> None:
    operations.end(drill.connected, KEYS[vm], "tests")
    live_for(drill, vm, HOUR)


@pytest.mark.parametrize("vm", [PG, DB3])
@pytest.mark.parametrize("release", RELEASES)
def test_it_asks_and_then_deletes_the_row_and_makes_the_snapshot_anew(release: str, vm: str, tmp_path: Path) -> None:
    with failed(tmp_path, release, vm) as drill:
        assert [row.state for row in drill.cloud.vm_snapshots.values() if not row.removed] == ["Error"]
        found = operations.exits_of(drill.connected, KEYS[vm])
        assert found is not None
        assert isinstance(found.on, Plan)
        assert (drill.run(vm).state, words(found.on)[:2]) == ("paused", ("delete-guest-snapshot", "snapshot-guest"))
        drill.approve(drill.plan(vm, more=MORE))
        live_for(drill, vm, HOUR)
        assert drill.run(vm).state == "holding", drill.run(vm).reason
        drill.cloud.guest_writes(drill.guest(vm)["id"], "a person tests")
        clean = drill.proof().places
        end(drill, vm)
        after = drill.proof()
        assert (drill.run(vm).state, after.vm_snapshots, after.marked, after.dirty) == ("completed", (), (), ())
        assert after.places != clean


@pytest.mark.parametrize("release", RELEASES)
def test_it_is_taken_back_when_the_test_is_ended(release: str, tmp_path: Path) -> None:
    with furnished(tmp_path / "untouched", durations=1.0, release=release) as untouched:
        before = untouched.proof()
    with failed(tmp_path / "failed", release) as drill:
        end(drill)
        assert (drill.run(PG).state, drill.proof()) == ("completed", before)
        assert "startVirtualMachine" not in drill.mutations()


@pytest.mark.parametrize("release", RELEASES)
def test_it_goes_on_by_itself_where_settings_allow_to_repeat_what_was_approved(release: str, tmp_path: Path) -> None:
    with failed(tmp_path, release, settings="\nengine:\n  repeat_approved: true\n") as drill:
        assert drill.run(PG).state == "holding", drill.run(PG).reason
        assert drill.mutations().count("createVMSnapshot") == 2


def until_stuck(drill: Drill) -> None:
    for _ in range(500):
        drill.engine.round()
        if drill.run(PG).state == "stuck":
            return
        drill.advance(SECOND)
    raise AssertionError(drill.run(PG))


@pytest.mark.parametrize("release", RELEASES)
def test_a_row_that_the_host_does_not_delete_is_stuck_with_the_exact_command_and_every_disk_where_it_was(
    release: str, tmp_path: Path
) -> None:
    with failed(tmp_path, release) as drill:
        guest = drill.run(PG).guest_id or ""
        fault = drill.cloud.faults.add("job-fails", "deleteVMSnapshot", code=530, times=10**6)
        operations.end(drill.connected, KEYS[PG], "tests")
        until_stuck(drill)
        run = drill.run(PG)
        world = operations.worlds(drill.connected, (run,))[run.vm_key]
        told = trouble.of(run, operations.steps(drill.connected, run), drill.connected.settings, world)
        (row,) = drill.cloud.vm_snapshots
        assert f"cmk delete vmsnapshot vmsnapshotid={row}" in dict(told.ways_out())
        assert set(drill.disks_of(guest).values()) == {"e915ef05-ddf5-48d5-8352-a01300609717"}
        drill.cloud.faults.remove(fault)
        drill.advance(timedelta(minutes=10))
        live_for(drill, PG, HOUR)
        assert (drill.run(PG).state, drill.proof().vm_snapshots) == ("completed", ())
