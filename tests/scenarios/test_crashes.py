"""The process dies at every named point, at every passing of it, on the way there and on the way back.

The next life has another name and comes when the lease has lapsed. It must carry on to the same end, and the cloud must
have seen exactly the calls of a run in which nobody died.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from reconciler import crashpoints
from reconciler.crashpoints import Point
from tests.scenarios.house import BOTH, DB3, PG, Drill, furnished

AFTER_THE_LEASE = timedelta(seconds=61)


class Died(BaseException):
    """The process is gone: nothing in it may catch this."""


@dataclass
class Reaper:
    """Strikes at the nth passing of a point, once."""

    point: Point | None = None
    nth: int = 0
    struck: list[str] = field(default_factory=list)
    passed: int = 0

    def arm(self, point: Point, nth: int) -> None:
        self.point, self.nth, self.passed = point, nth, 0

    def disarm(self) -> None:
        self.point = None

    def __call__(self, point: Point) -> None:
        if point is not self.point:
            return
        self.passed += 1
        if self.passed == self.nth:
            self.disarm()
            self.struck.append(f"{point}:{self.nth}")
            raise Died


@pytest.fixture
def reaper(monkeypatch: pytest.MonkeyPatch) -> Reaper:
    made = Reaper()
    monkeypatch.setattr(crashpoints, "on_hit", made)
    return made


def surviving(drill: Drill, *vms: str, act: Callable[[], object]) -> None:
    """Act, then live until all is at rest; after a death another process goes on."""
    try:
        act()
        drill.live(*vms)
    except Died:
        drill.advance(AFTER_THE_LEASE)
        drill.reborn()
        drill.live(*vms)


def there_and_back(drill: Drill, reaper: Reaper, point: Point, nth: int, *vms: str) -> int:
    """A test failover of these VMs with a death on either way; how often the reaper struck."""
    before, struck = drill.proof(), len(reaper.struck)
    reaper.arm(point, nth)
    plans = [drill.plan(vm) for vm in vms]
    surviving(drill, *vms, act=lambda: [drill.approve(p) for p in plans])
    for vm in vms:
        if drill.run_of(vm) is None:  # died between the first approval and the second
            drill.approve(drill.plan(vm))
    drill.live(*vms)
    reaper.disarm()
    for vm in vms:
        assert drill.run(vm).state == "holding", (reaper.struck, drill.run(vm).reason)
        assert drill.guest(vm)["state"] == "Running"
        drill.cloud.guest_writes(drill.guest(vm)["id"], "a person tests")
    reaper.arm(point, nth)
    surviving(drill, *vms, act=lambda: drill.advance(timedelta(minutes=32)))
    reaper.disarm()
    assert drill.proof() == before, reaper.struck
    assert all(drill.run(vm).state == "completed" for vm in vms), reaper.struck
    return len(reaper.struck) - struck


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The mutating calls of runs in which nobody died, by VM."""
    calls = {}
    for vm in BOTH:
        with furnished(tmp_path_factory.mktemp("undisturbed"), durations=1.0) as drill:
            drill.apply(vm)
            drill.advance(timedelta(minutes=32))
            drill.drive(vm)
            calls[vm] = drill.mutations()
    return calls


@pytest.mark.parametrize("vm", BOTH)
@pytest.mark.parametrize("point", Point)
def test_a_death_at_any_passing_changes_neither_the_end_nor_the_calls(
    point: Point, vm: str, tmp_path: Path, reaper: Reaper, undisturbed: dict[str, list[str]]
) -> None:
    for nth in count(1):
        with furnished(tmp_path / str(nth), durations=1.0) as drill:
            struck = there_and_back(drill, reaper, point, nth, vm)
            assert drill.mutations() == undisturbed[vm], reaper.struck
        if not struck:
            break
    assert reaper.struck, f"{point} is never passed"
