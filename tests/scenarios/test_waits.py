"""How long a step is waited for follows from how long such steps took here; a wait that is over tells what was seen."""

from __future__ import annotations

from datetime import timedelta

from tests.scenarios.attacks import HOUR, MINUTE, live_for
from tests.scenarios.house import DB3, PG, Drill

WORD = "start-guest"


def waits(drill: Drill, vm: str) -> list[timedelta]:
    """How long the starts of this VM's guest were to be waited for, oldest first."""
    rows = drill.rows(
        f"select s.started_at, s.deadline from fr_steps s join fr_runs r on r.id = s.run_id "
        f"where s.word = '{WORD}' and r.vm_key = '{drill.keys[vm]}' order by s.started_at"
    )
    return [drill_moment(r["deadline"]) - drill_moment(r["started_at"]) for r in rows]


def drill_moment(text: str) -> timedelta:
    day, _, clock = text.partition(" ")
    hours, minutes, seconds = clock.split(":")
    return timedelta(days=int(day[-2:]), hours=int(hours), minutes=int(minutes), seconds=float(seconds))


def there_and_back(drill: Drill, vm: str) -> None:
    drill.approve(drill.plan(vm, again=True), again=True)
    live_for(drill, vm, HOUR)
    assert drill.run(vm).state == "holding"
    drill.end(vm)


def test_where_guests_start_slowly_the_next_one_is_given_more_time(drill: Drill) -> None:
    drill.cloud.faults.add("slow", "startVirtualMachine", times=3, seconds=400)
    for vm in (PG, DB3, PG, PG):
        there_and_back(drill, vm)
    first, *_, last = waits(drill, PG)
    assert (first, last > timedelta(seconds=5 * 400)) == (10 * MINUTE, True)


def test_a_wait_that_is_over_says_which_job_and_what_a_look_shows(drill: Drill) -> None:
    drill.cloud.faults.add("job-hangs", "detachVolume", nth=2)
    drill.approve(drill.plan(PG))
    live_for(drill, PG, HOUR / 2)
    run = drill.run(PG)
    (job,) = drill.cloud.jobs.pending
    assert run.state == "stuck"
    assert run.reason is not None
    assert job.id in run.reason
    assert "its volume is on the appliance, Ready" in run.reason
