"""The process dies at every named point, at every passing of it, on the way there and on the way back.

The next life has another name and comes when the lease has lapsed. It must carry on to the same end, and the cloud must
have seen exactly the calls of a run in which nobody died.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from reconciler import crashpoints
from reconciler.crashpoints import Point
from tests.scenarios.house import BOTH, DB3, PG, Drill, furnished

AFTER_THE_LEASE = timedelta(seconds=61)
EVERY = 4
ONCE = (Point.ACCEPTED, Point.RUN_OPENED, Point.BEFORE_FINISH, Point.AFTER_FINISH)


class Died(BaseException):
    """The process is gone: nothing in it may catch this."""


@dataclass
class Reaper:
    """Strikes at the nth passing of a point, and then, if `every` is set, at each `every`th passing after it."""

    point: Point | None = None
    next: int | None = None
    every: int | None = None
    passed: int = 0
    struck: list[str] = field(default_factory=list)

    def arm(self, point: Point, nth: int, every: int | None = None) -> None:
        self.point, self.next, self.every, self.passed = point, nth, every, 0

    def disarm(self) -> int:
        """No more strikes; how often the point was passed."""
        self.point = None
        return self.passed

    def __call__(self, point: Point) -> None:
        if point is not self.point:
            return
        self.passed += 1
        if self.passed == self.next:
            self.next = None if self.every is None else self.next + self.every
            self.struck.append(f"{point}:{self.passed}")
            raise Died


@pytest.fixture
def reaper(monkeypatch: pytest.MonkeyPatch) -> Reaper:
    made = Reaper()
    monkeypatch.setattr(crashpoints, "on_hit", made)
    return made


def surviving(drill: Drill, *vms: str, act: Callable[[], object]) -> None:
    """Act, then live until all is at rest; after a death another process goes on."""
    while True:
        try:
            act()
            drill.live(*vms)
        except Died:
            drill.advance(AFTER_THE_LEASE)
            drill.reborn()
        else:
            return


def approved(drill: Drill, vms: tuple[str, ...]) -> None:
    """Every VM's test is approved; what an earlier life approved stays as it is."""
    for vm in vms:
        if not drill.is_wanted(vm):
            drill.approve(drill.plan(vm))


def there_and_back(drill: Drill, reaper: Reaper, point: Point, nth: int, *vms: str, every: int | None = None) -> int:
    """A test failover of these VMs with deaths on either way; how often the reaper struck."""
    before, struck = drill.proof(), len(reaper.struck)
    reaper.arm(point, nth, every)
    surviving(drill, *vms, act=lambda: approved(drill, vms))
    reaper.disarm()
    for vm in vms:
        assert drill.run(vm).state == "holding", (reaper.struck, drill.run(vm).reason)
        assert drill.guest(vm)["state"] == "Running"
        drill.cloud.guest_writes(drill.guest(vm)["id"], "a person tests")
    drill.advance(timedelta(hours=1))
    reaper.arm(point, nth, every)
    surviving(drill, *vms, act=lambda: None)
    reaper.disarm()
    assert drill.proof() == before, reaper.struck
    assert all(drill.run(vm).state == "completed" for vm in vms), reaper.struck
    assert len(drill.runs()) == len(vms), "a death made another run"
    return len(reaper.struck) - struck


@cache
def undisturbed(vm: str) -> tuple[str, ...]:
    """The mutating calls of a run of this VM in which nobody dies."""
    with tempfile.TemporaryDirectory() as folder, furnished(Path(folder), durations=1.0) as drill:
        drill.apply(vm)
        drill.advance(timedelta(hours=1))
        drill.drive(vm)
        return tuple(drill.mutations())


@pytest.mark.parametrize("point", Point)
def test_a_death_at_any_passing_changes_neither_the_end_nor_the_calls(point: Point, tmp_path: Path, reaper: Reaper) -> None:
    for nth in count(1):
        with furnished(tmp_path / str(nth), durations=1.0) as drill:
            struck = there_and_back(drill, reaper, point, nth, PG)
            assert tuple(drill.mutations()) == undisturbed(PG), reaper.struck
        if not struck:
            break
    assert reaper.struck, f"{point} is never passed"


@pytest.mark.parametrize(("point", "nth"), [(p, n) for p in Point for n in range(1, 2 if p in ONCE else EVERY + 1)])
def test_death_after_death_changes_neither_the_end_nor_the_calls(
    point: Point, nth: int, tmp_path: Path, reaper: Reaper
) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        there_and_back(drill, reaper, point, nth, DB3, every=EVERY)
        assert tuple(drill.mutations()) == undisturbed(DB3), reaper.struck


@pytest.mark.parametrize("point", Point)
def test_a_death_with_two_vms_in_flight_hurts_neither(point: Point, tmp_path: Path, reaper: Reaper) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        there_and_back(drill, reaper, point, 2, *BOTH, every=15)
        assert Counter(drill.mutations()) == Counter(undisturbed(PG) + undisturbed(DB3)), reaper.struck
