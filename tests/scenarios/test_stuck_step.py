"""A step of which nobody can tell what became of it: a person says so, a look agrees or does not, and the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from plans.plan import Refusal
from reconciler import operations
from reconciler.store import journal
from reconciler.store.journal import StepRow
from reconciler.verdicts import Judged, NotStuck, Verdict
from tests.scenarios.attacks import HOUR, MINUTE, live_for
from tests.scenarios.house import PG, Drill

HALF = timedelta(minutes=30)


def stuck_step(drill: Drill) -> StepRow:
    """The step that is stuck, of which there must be one."""
    (row,) = [s for s in operations.steps(drill.connected, drill.run(PG)) if s.state == "stuck"]
    return row


def say(drill: Drill, verdict: str, step: StepRow | None = None) -> Judged:
    row = step or stuck_step(drill)
    return operations.settle(drill.connected, row.run_id, row.seq, Verdict(verdict), "a person")


def untold(drill: Drill, command: str, nth: int = 1) -> None:
    """The cloud cancels the job of that call and is killed while it still works on it: it never happens, nobody says so."""
    drill.cloud.faults.add("job-code-0", command, nth=nth)
    drill.cloud.faults.add("slow", command, nth=nth, seconds=8 * 3600)
    drill.approve(drill.plan(PG))
    live_for(drill, PG, HALF)
    drill.cloud.restart()


def pending(drill: Drill, command: str) -> None:
    """The job of that call stays pending for ever."""
    drill.cloud.faults.add("job-hangs", command)
    drill.approve(drill.plan(PG))
    live_for(drill, PG, HALF)
    if drill.run(PG).state == "holding":
        operations.end(drill.connected, drill.keys[PG], "tests")
        live_for(drill, PG, 1.5 * HALF)


def home_again(drill: Drill) -> None:
    operations.end(drill.connected, drill.keys[PG], "tests")
    live_for(drill, PG, HOUR)


def test_what_never_happened_is_sent_again_once_a_person_says_so(drill: Drill) -> None:
    before = drill.proof()
    untold(drill, "detachVolume", nth=2)
    live_for(drill, PG, HALF)
    row, sent = stuck_step(drill), drill.attempted().count("detachVolume")
    assert say(drill, "undone").against is None
    live_for(drill, PG, HALF)
    assert (drill.run(PG).state, drill.attempted().count("detachVolume")) == ("holding", sent + 1)
    told = [e for e in operations.why(drill.connected, PG).events if e.seq == row.seq and "a person" in e.text]
    assert [(e.kind, "undone" in e.text) for e in told] == [("retry", True)]
    home_again(drill)
    assert drill.proof() == before


def test_what_a_look_does_not_show_is_not_done_whoever_says_so(drill: Drill) -> None:
    untold(drill, "detachVolume", nth=2)
    row, sent, events = stuck_step(drill), drill.attempted(), drill.rows("select * from fr_events")
    judged = say(drill, "done")
    assert judged.against == "a look does not show its effect"
    live_for(drill, PG, HALF)
    assert (stuck_step(drill).seq, drill.attempted(), drill.rows("select * from fr_events")) == (row.seq, sent, events)


def test_what_may_still_come_is_not_undone(drill: Drill) -> None:
    pending(drill, "detachVolume")
    assert "still pending" in (say(drill, "undone").against or "")
    assert stuck_step(drill).attempts == 1


def test_what_a_look_shows_is_not_undone(drill: Drill) -> None:
    pending(drill, "startVirtualMachine")
    row = stuck_step(drill)
    drill.cloud.jobs.purge(row.custom_job_id or "")
    drill.cloud.vms[drill.run(PG).guest_id or ""].state = "Running"
    assert say(drill, "undone").against == "a look shows its effect"


def test_a_guest_that_runs_is_started_though_its_job_never_ends(drill: Drill) -> None:
    pending(drill, "startVirtualMachine")
    drill.cloud.vms[drill.run(PG).guest_id or ""].state = "Running"
    live_for(drill, PG, MINUTE)
    assert drill.run(PG).state == "stuck"
    assert say(drill, "done").against is None
    live_for(drill, PG, HALF)
    run = drill.run(PG)
    assert (run.state, run.running_since is not None) == ("holding", True)
    assert drill.attempted().count("startVirtualMachine") == 1


def test_a_detach_whose_job_is_pending_is_not_done_though_the_disk_is_off(drill: Drill) -> None:
    pending(drill, "detachVolume")
    row = stuck_step(drill)
    volume = drill.cloud.volumes[drill.run(PG).default_root_id or ""]
    assert row.word == "detach-default-root"
    volume.vm, volume.device = None, None
    assert "once more" in (say(drill, "done").against or "")


def test_nobody_but_its_job_says_that_a_revert_is_done(drill: Drill) -> None:
    pending(drill, "revertSnapshot")
    assert "no look can see what is in a disk" in (say(drill, "done").against or "")
    assert "still pending" in (say(drill, "undone").against or "")


@pytest.mark.parametrize(
    ("named", "told"),
    [
        (lambda row: ("no-such-run", row.seq), "there is no run no-such-run"),
        (lambda row: (row.run_id, 99), "has no step 99"),
        (lambda row: (row.run_id, 1), "is not stuck, it is done"),
    ],
    ids=["no such run", "no such step", "a step that is done"],
)
def test_only_a_step_that_is_stuck_is_asked_about(
    drill: Drill, named: Callable[[StepRow], tuple[str, int]], told: str
) -> None:
    untold(drill, "detachVolume", nth=2)
    run_id, seq = named(stuck_step(drill))
    with pytest.raises(NotStuck, match=told):
        operations.settle(drill.connected, run_id, seq, Verdict.UNDONE, "a person")


def test_a_step_of_a_run_that_is_over_is_not_asked_about(drill: Drill) -> None:
    drill.apply(PG)
    drill.end(PG)
    with pytest.raises(NotStuck, match="its run is completed"):
        operations.settle(drill.connected, drill.run(PG).id, 1, Verdict.DONE, "a person")


def test_it_is_taken_beside_a_process_that_leads_the_vm_which_goes_on(drill: Drill) -> None:
    untold(drill, "detachVolume", nth=2)
    daemon = drill.engine
    daemon.round()
    drill.reborn()
    assert say(drill, "undone").against is None
    leader = drill.rows("select owner from fr_leases")
    daemon.round()
    assert ({r["owner"] for r in leader}, stuck_step_count(drill)) == ({"life-1"}, 0)


def stuck_step_count(drill: Drill) -> int:
    return len(drill.rows("select seq from fr_steps where state = 'stuck'"))


def test_what_was_settled_while_a_person_was_looking_is_not_settled_again(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    untold(drill, "detachVolume", nth=2)
    row, look = stuck_step(drill), drill.engine.look

    def meanwhile() -> object:
        drill.edit(f"update fr_steps set state = 'done' where seq = {row.seq}")
        return look()

    monkeypatch.setattr(drill.engine, "look", meanwhile)
    with pytest.raises(NotStuck, match="settled meanwhile"):
        say(drill, "undone", row)


def test_a_person_may_have_a_step_sent_more_often_than_it_is_tried(drill: Drill) -> None:
    untold(drill, "detachVolume", nth=2)
    drill.edit(f"update fr_steps set attempts = 4 where seq = {stuck_step(drill).seq}")
    assert say(drill, "undone").against is None
    live_for(drill, PG, HALF)
    assert drill.run(PG).state == "holding"


def test_while_a_step_is_stuck_its_vm_is_held_and_no_other_run_begins(drill: Drill) -> None:
    untold(drill, "detachVolume", nth=2)
    other = drill.planned(drill.spec(PG, more="strategy: clone\n"))
    assert isinstance(other, Refusal)
    assert [r.code for r in other.reasons] == ["TESTED_OTHERWISE"]
    drill.end(PG)
    assert [(r.state, r.vm_name) for r in drill.runs()] == [("stuck", PG)]
    with drill.connected.database.read() as connection:
        found = journal.unfinished_of(connection, drill.keys[PG])
    assert found is not None
    assert found.reserved
