"""A whole test, there and back, under each strategy and in each cloud that allows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from plans.plan import Plan, Refusal
from specs.model import Strategy
from tests.scenarios.house import BOTH, DB3, PG, Drill, furnished

CASES = {
    "volume-snapshot": ("", False, "", Strategy.VOLUME_SNAPSHOT),
    "clone, snapshots in place": ("", True, "", Strategy.CLONE),
    "clone, replicas come off": ("strategy: clone\n", False, "", Strategy.CLONE),
    "vm-snapshot": ("strategy: vm-snapshot\n", False, "nfs", Strategy.VM_SNAPSHOT),
}


@contextmanager
def a_house(case: str, folder: Path) -> Iterator[Drill]:
    _, in_place, storage, _ = CASES[case]
    with furnished(folder, durations=1.0) as drill:
        drill.cloud.settings["kvm.snapshot.enabled"] = in_place
        drill.cloud.restart()
        if storage:
            drill.declare(storage=storage)
        yield drill


@pytest.mark.parametrize("vm", BOTH)
@pytest.mark.parametrize("case", CASES)
def test_a_test_goes_there_and_back(case: str, vm: str, tmp_path: Path) -> None:
    more, _, _, strategy = CASES[case]
    with a_house(case, tmp_path) as drill:
        before = drill.proof()
        plan = drill.plan(vm, more=more)
        assert plan.strategy is strategy
        drill.approve(plan)
        drill.drive(vm)
        assert drill.run(vm).state == "holding", drill.run(vm).reason
        assert drill.guest(vm)["state"] == "Running"
        drill.cloud.guest_writes(drill.guest(vm)["id"], "a person tests")
        drill.advance(timedelta(minutes=31))
        drill.drive(vm)
        assert drill.run(vm).state == "completed", drill.run(vm).reason
        assert drill.proof() == before


@pytest.mark.parametrize("case", [c for c in CASES if CASES[c][3] is Strategy.CLONE])
def test_the_guest_runs_on_clones_while_its_replicas_stay_home(case: str, tmp_path: Path) -> None:
    with a_house(case, tmp_path) as drill:
        before = drill.proof()
        drill.approve(drill.plan(DB3, more=CASES[case][0]))
        drill.drive(DB3)
        during = drill.proof()
        assert {v: during.places[v] for v in before.places} == before.places
        assert {v: during.contents[v] for v in before.contents} == before.contents
        assert len(drill.disks_of(drill.guest(DB3)["id"])) == 3
        (shown,) = drill.shown(DB3)
        assert shown["status"] in ("executing", "powering_on")


def test_a_vm_snapshot_is_refused_with_what_works_instead(tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        found = drill.planned(drill.spec(PG, more="strategy: vm-snapshot\n"))
        assert isinstance(found, Refusal)
        (reason,) = found.reasons
        assert reason.code == "STRATEGY_NOT_POSSIBLE"
        assert "volume-snapshot" in reason.fix


@pytest.mark.parametrize("release", ["4.15.2.0", "4.20.3.0", "4.21.0.0"])
def test_releases_that_cannot_snapshot_a_stopped_guest_are_refused(release: str, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0, release=release) as drill:
        drill.declare(storage="nfs")
        assert isinstance(drill.planned(drill.spec(PG, more="strategy: vm-snapshot\n")), Refusal)
        assert isinstance(drill.planned(drill.spec(PG)), Plan)
