"""A detach that comes once more, late: the cloud takes the disk off wherever it hangs by then (recorded as `kvm-12-races`).

The recording: a detach that takes long, the same detach once more behind it in the queue of the machine, the volume attached
to another machine as soon as the first is over; then the second takes it off there, and reports success.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler import operations
from simulator.faults import Fault
from tests.scenarios.attacks import HOUR, SECOND, harmed, live_for
from tests.scenarios.house import APPLIANCE, DB3, KEYS, PG, Drill, furnished
from tests.scenarios.test_main_job import HOME

VOLUME = HOME[PG][1]
BEFORE_THE_START, DURING_THE_TEST = (4, 6), (60, 900)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Drill]:
    """A house in which a job takes three seconds, so that something can come in between."""
    with furnished(tmp_path, durations=3.0) as made:
        yield made


def comes_again(drill: Drill, nth: int, seconds: float) -> Fault:
    """A detach of ours is delivered once more by the network, so many seconds later."""
    drill.cloud.faults.add("late-duplicate", "detachVolume", nth=nth, seconds=seconds)
    return drill.cloud.faults.rules[-1]


def there(drill: Drill, vm: str) -> None:
    drill.approve(drill.plan(vm))
    live_for(drill, vm, HOUR)


def back(drill: Drill, vm: str) -> None:
    operations.end(drill.connected, KEYS[vm], "tests")
    live_for(drill, vm, HOUR)


def outstanding(drill: Drill) -> list[tuple[str, str]]:
    """Detaches that the product sent while another one of the same volume was under way: volume and job."""
    ours = {r["custom_job_id"] for r in drill.rows("select custom_job_id from fr_steps")}
    sent = [c for c in drill.cloud.trace if c.command == "detachVolume" and c.params.get("customjobid") in ours]
    jobs = drill.cloud.jobs.rows
    found = []
    for n, later in enumerate(sent):
        for earlier in sent[:n]:
            job = jobs.get(earlier.params["customjobid"])  # one that was forgotten had ended
            pending = job is not None and (job.completed is None or job.completed > later.at)
            if pending and earlier.params["id"] == later.params["id"]:
                found.append((later.params["id"], later.params["customjobid"]))
    return found


@pytest.mark.parametrize("seconds", [*BEFORE_THE_START, *DURING_THE_TEST])
def test_a_detach_from_the_appliance_that_comes_again_takes_the_disk_off_the_guest_and_no_replica_is_harmed(
    seconds: float, slow: Drill
) -> None:
    before = slow.proof()
    fault = comes_again(slow, 2, seconds)
    there(slow, PG)
    if slow.run(PG).state == "holding":
        slow.cloud.guest_writes(slow.guest(PG)["id"], "a person tests")
    slow.advance(timedelta(minutes=20))
    live_for(slow, PG, HOUR)
    back(slow, PG)
    assert fault.fired
    assert (harmed(slow, PG, before), outstanding(slow)) == ([], [])
    assert (slow.proof().places[VOLUME], slow.proof().contents) == (before.places[VOLUME], before.contents)


@pytest.mark.parametrize("seconds", [1, 4, 7])
def test_a_detach_from_the_guest_that_comes_again_takes_the_disk_off_the_appliance_and_it_goes_home_once_more(
    seconds: float, slow: Drill
) -> None:
    before = slow.proof()
    there(slow, PG)
    comes_again(slow, 3 - slow.attempted().count("detachVolume"), seconds)
    back(slow, PG)
    slow.advance(timedelta(minutes=5))
    live_for(slow, PG, HOUR)
    assert (harmed(slow, PG, before), outstanding(slow)) == ([], [])
    assert slow.proof().places[VOLUME] == (APPLIANCE, 1, "DATADISK", "Ready")


@pytest.mark.parametrize("vm", [PG, DB3])
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("kind", ["slow", "lose-answer", "job-code-0", "job-no-result", "job-purged", "job-hangs"])
def test_no_second_detach_of_a_volume_is_sent_while_the_first_may_be_under_way(
    kind: str, nth: int, vm: str, tmp_path: Path
) -> None:
    with furnished(tmp_path, durations=3.0) as drill:
        drill.cloud.faults.add(kind, "detachVolume", nth=nth, **({"seconds": 1500} if kind == "slow" else {}))
        drill.approve(drill.plan(vm))
        live_for(drill, vm, HOUR / 2)
        operations.end(drill.connected, KEYS[vm], "tests")
        live_for(drill, vm, HOUR / 2)
        assert outstanding(drill) == []


def test_two_detaches_that_are_outstanding_would_be_noticed(slow: Drill) -> None:
    """The check above can fail: two detaches that the product did send, told as sent at one moment."""
    there(slow, PG)
    back(slow, PG)
    mine = [c for c in slow.cloud.trace if c.command == "detachVolume" and c.params.get("id") == VOLUME]
    assert len(mine) == 2
    assert outstanding(slow) == []
    slow.cloud.jobs.rows[mine[0].params["customjobid"]].completed = mine[1].at + SECOND
    assert outstanding(slow) == [(VOLUME, mine[1].params["customjobid"])]
