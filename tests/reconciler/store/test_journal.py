from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from plans.observed import Placement, Point
from reconciler.store import inventory, journal, tables
from reconciler.store.database import Database
from reconciler.store.journal import STEP_MOVES, UNDER_WAY, Direction, Run, RunState, StepRow, StepState
from tests.plans.worlds import volume_id
from tests.reconciler.store.making import KEY, NOW, accepted, opened, plan, step_moved, step_started, taken

LATER = NOW + timedelta(minutes=5)
HOUR = timedelta(hours=1)
PAIRS = tuple(itertools.product(StepState, StepState))


def first_step(connection: sa.Connection, state: StepState) -> StepRow:
    """The first step of a fresh run, put into that state."""
    row = journal.steps(connection, opened(connection), Direction.THERE)[0]
    connection.execute(tables.steps.update().where(tables.steps.c.seq == row.seq).values(state=state))
    return replace(row, state=state)


def texts(connection: sa.Connection, key: str = KEY) -> list[tuple[str, str]]:
    return [(e.kind, e.text) for e in reversed(journal.events(connection, key, 100))]


# --- steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("was", "to"), PAIRS, ids=lambda s: str(s))
def test_a_step_moves_only_as_the_table_says(store: Database, was: StepState, to: StepState) -> None:
    with store.begin() as connection:
        row = first_step(connection, was)
        if (was, to) in STEP_MOVES:
            assert step_moved(connection, row, to, 431, "so it was", NOW).state is to
        else:
            with pytest.raises(journal.IllegalMove, match=f"cannot go from {was} to {to}"):
                step_moved(connection, row, to, None, "", NOW)
        now_is = connection.execute(sa.select(tables.steps.c.state).where(tables.steps.c.seq == row.seq)).scalar_one()
    assert now_is == (to if (was, to) in STEP_MOVES else was)


def test_every_allowed_move_says_when_it_is_made() -> None:
    assert all(STEP_MOVES.values())
    assert {was for was, _ in STEP_MOVES} == set(StepState) - {StepState.DONE, StepState.FAILED}


def test_the_intent_of_a_step_is_all_there_before_it_is_sent(store: Database) -> None:
    with store.begin() as connection:
        row = first_step(connection, StepState.PENDING)
        started = step_started(connection, row, "own-id", LATER, NOW)
    with store.read() as connection:
        (found,) = journal.under_way(connection, journal.run(connection, row.run_id))
        assert journal.jobs_under_way(connection) == ((KEY, row.run_id, "own-id", LATER),)
    assert found == started
    assert (found.state, found.attempts, found.custom_job_id) == (StepState.STARTED, 1, "own-id")
    assert (found.started_at, found.deadline, found.finished_at) == (NOW, LATER, None)


def test_a_step_that_is_tried_again_forgets_its_error_and_counts(store: Database) -> None:
    with store.begin() as connection:
        row = step_started(connection, first_step(connection, StepState.PENDING), "one", LATER, NOW)
        refused = step_moved(connection, row, StepState.PENDING, 431, "not now", NOW)
        again = step_started(connection, refused, "two", LATER, NOW)
    assert (refused.error_code, refused.error) == (431, "not now")
    assert (again.error_code, again.error, again.attempts, again.custom_job_id) == (None, None, 2, "two")


@pytest.mark.parametrize("state", [StepState.DONE, StepState.FAILED])
def test_a_step_that_ended_says_when(store: Database, state: StepState) -> None:
    with store.begin() as connection:
        moved = step_moved(connection, first_step(connection, StepState.WAITING), state, None, "why", LATER)
    assert moved.finished_at == LATER
    assert moved.error == (None if state is StepState.DONE else "why")


def test_legs_follow_each_other_and_the_newest_of_a_direction_counts(store: Database) -> None:
    wanted = plan(disks=2)
    with store.begin() as connection:
        run = opened(connection, wanted)
        journal.add_leg(connection, run, wanted.way_back, Direction.BACK)
        newest = journal.add_leg(connection, run, wanted.way_back[2:], Direction.BACK)
        there, back = (journal.steps(connection, run, d) for d in Direction)
        assert journal.add_leg(connection, run, (), Direction.BACK) == ()
    assert [row.action for row in there] == [step.action for step in wanted.steps]
    assert back == newest
    assert [row.seq for row in there] == list(range(1, len(wanted.steps) + 1))
    assert {row.leg for row in back} == {3}
    assert min(row.seq for row in back) > len(wanted.steps) + len(wanted.way_back)


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_that_was_opened_comes_back_as_it_was(store: Database) -> None:
    wanted = plan(disks=3)
    with store.begin() as connection:
        made = opened(connection, wanted)
    with store.read() as connection:
        assert journal.run(connection, made.id) == made
        assert journal.unfinished(connection) == (made,)
        assert journal.unfinished_of(connection, KEY) == made
        assert journal.latest(connection) == {KEY: made}
        assert [kind for kind, _ in texts(connection)] == ["opened"]
    assert made.id == f"test-failover-{KEY}-{int(NOW.timestamp())}"
    assert (made.state, made.direction, made.attempt) == (RunState.RUNNING, Direction.THERE, 1)
    assert made.spec == wanted.spec


def test_two_runs_within_one_second_have_two_ids(store: Database) -> None:
    with store.begin() as connection:
        first = opened(connection)
        journal.finish(connection, first, {}, NOW)
        second = opened(connection, plan(duration=HOUR))
        assert second.id == f"{first.id}-2"
        assert journal.latest(connection)[KEY].id == second.id
        assert [x.id for x in journal.history(connection, KEY, 10)] == [second.id, first.id]
        assert journal.history(connection, "another", 10) == ()
        assert len(journal.history(connection, None, 1)) == 1


def test_a_vm_never_has_two_runs_at_once(store: Database) -> None:
    with store.begin() as connection:
        first = opened(connection)
        with pytest.raises(journal.Fenced, match="PGWINTESTBIOS has a run that has not ended"):
            opened(connection, plan(duration=HOUR), now=LATER)
        assert journal.unfinished(connection) == (first,)


def test_a_run_that_is_not_there_is_a_lookup_error(store: Database) -> None:
    with store.read() as connection, pytest.raises(LookupError, match="no run test-failover-x-1"):
        journal.run(connection, "test-failover-x-1")


CHANGES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "turn back": (
        lambda c, run: journal.turn_back(c, run, "its 30m are over", LATER, failed=True),
        {"direction": Direction.BACK, "state": RunState.RUNNING, "failed": True, "reason": "its 30m are over"},
        "turned",
    ),
    "hold": (
        lambda c, run: journal.hold(c, run, LATER, NOW),
        {"state": RunState.HOLDING, "expires_at": LATER, "not_before": None},
        "holding",
    ),
    "pause": (
        lambda c, run: journal.pause(c, run, "the world changed", None, NOW),
        {"state": RunState.PAUSED, "reason": "the world changed"},
        "paused",
    ),
    "stuck": (
        lambda c, run: journal.stuck(c, run, "nobody can tell", LATER, NOW),
        {"state": RunState.STUCK, "reason": "nobody can tell", "not_before": LATER},
        "stuck",
    ),
    "finish": (
        lambda c, run: journal.finish(c, run, {}, LATER),
        {"state": RunState.COMPLETED, "finished_at": LATER},
        "finished",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_becomes_of_a_run_is_written_and_told(store: Database, change: str) -> None:
    do, expected, kind = CHANGES[change]
    with store.begin() as connection:
        before = opened(connection)
        after = do(connection, before)
        assert journal.run(connection, before.id) == after == replace(before, **expected)
        assert [k for k, _ in texts(connection)] == ["opened", kind]


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_that_ended_is_never_written_again(store: Database, change: str) -> None:
    do, _, _ = CHANGES[change]
    with store.begin() as connection:
        before = opened(connection)
        ended = journal.finish(connection, before, {}, NOW)
    with store.begin() as connection, pytest.raises(LookupError, match="has ended already"):
        do(connection, before)
    with store.read() as connection:
        assert journal.run(connection, before.id) == ended


@pytest.mark.parametrize("failed", [False, True])
def test_a_run_ends_as_completed_or_rolled_back(store: Database, failed: bool) -> None:
    with store.begin() as connection:
        run = journal.turn_back(connection, opened(connection), "over", NOW, failed=failed)
        ended = journal.finish(connection, run, {}, LATER)
        assert journal.unfinished(connection) == ()
        assert journal.unfinished_of(connection, KEY) is None
    assert ended.state is (RunState.ROLLED_BACK if failed else RunState.COMPLETED)


def test_a_run_that_failed_once_stays_failed(store: Database) -> None:
    with store.begin() as connection:
        run = journal.turn_back(connection, opened(connection), "refused", NOW, failed=True)
        assert journal.turn_back(connection, run, "its time is over", NOW).failed


def test_replicas_left_written_are_dirty_from_then_on(store: Database) -> None:
    with store.begin() as connection:
        journal.finish(connection, opened(connection), {"v1": None, "v2": 7}, NOW)
        second = opened(connection, plan(duration=HOUR))
        journal.finish(connection, second, {"v2": 9}, LATER)
        found = journal.dossiers(connection, [KEY, "another"])
        assert {key: found[key].dirty for key in found} == {KEY: {"v1": None, "v2": 9}, "another": {}}
        rows = {x.volume_id: (x.run_id, x.since) for x in connection.execute(tables.dirty.select())}
    assert rows["v2"] == (second.id, LATER)


def test_holding_on_is_not_news(store: Database) -> None:
    with store.begin() as connection:
        held = journal.hold(connection, opened(connection), LATER, NOW)
        assert journal.hold(connection, held, LATER, NOW) is held
        assert [kind for kind, _ in texts(connection)] == ["opened", "holding"]


def test_the_same_trouble_is_told_once(store: Database) -> None:
    long = "nobody can tell " * 1000
    with store.begin() as connection:
        run = journal.stuck(connection, opened(connection), long, LATER, NOW)
        run = journal.stuck(connection, run, long, LATER + HOUR, NOW)
        assert [kind for kind, _ in texts(connection)] == ["opened", "stuck"]
        journal.stuck(connection, run, "something else", None, NOW)
        assert [kind for kind, _ in texts(connection)] == ["opened", "stuck", "stuck"]


@pytest.mark.parametrize("go_on", [lambda c, r: journal.wake(c, r, NOW), lambda c, r: journal.wait_until(c, r, None)])
def test_a_stuck_run_that_is_woken_is_due_at_once(store: Database, go_on: Any) -> None:
    with store.begin() as connection:
        run = journal.stuck(connection, opened(connection), "nobody can tell", LATER, NOW)
        woken = go_on(connection, run)
        assert journal.run(connection, run.id) == woken
    assert (woken.state, woken.not_before) == (RunState.RUNNING, None)


def test_a_run_may_follow_another_spec_for_the_same_guest(store: Database) -> None:
    longer = plan(duration=HOUR)
    with store.begin() as connection:
        run = opened(connection)
        newer = accepted(connection, longer)
        followed = journal.follow(connection, run, newer, LATER)
        assert journal.run(connection, run.id) == followed
    assert (followed.spec_id, followed.spec) == (newer.id, longer.spec)


def test_progress_never_falls(store: Database) -> None:
    with store.begin() as connection:
        run = opened(connection)
        seen = []
        for percent in (15.0, 70.1, 55.0, 70.1, 84.0):
            journal.progressed(connection, {run.id: percent})
            seen.append(journal.run(connection, run.id).progress)
    assert seen == [15.0, 70.1, 70.1, 70.1, 84.0]


def test_runs_in_brief_are_those_that_have_not_ended(store: Database) -> None:
    with store.begin() as connection:
        journal.finish(connection, opened(connection, plan("vm-a")), {}, NOW)
        held = journal.hold(connection, opened(connection, plan("vm-b")), LATER, NOW)
        (brief,) = journal.briefs(connection)
    assert brief == journal.Brief("vm-b", held.spec_id, Direction.THERE, RunState.HOLDING, None, LATER, False)


# --- what was learned -------------------------------------------------------------------------------------------------

PLACED = (
    Placement(volume_id(0), "disk-2000", 0, 1, 0),
    Placement(volume_id(1), "disk-2001", 1, 2, 1),
)
LEARNED: tuple[dict[str, Any], ...] = (
    {"reserved": True, "placements": PLACED},
    {"guest_id": "9e000000-0000-4000-8000-000000000001", "default_root_id": "9e000000-0000-4000-8000-00000000000r"},
    {"point": (volume_id(1), "point-1")},
    {"point": (volume_id(0), "point-0")},
    {"snapshot_id": (volume_id(0), "5a000000-0000-4000-8000-000000000000")},
    {"start_sent": True, "running_since": NOW},
    {"reverted": volume_id(0)},
)


def test_what_was_learned_comes_back_as_the_facts_of_the_run(store: Database) -> None:
    with store.begin() as connection:
        run = opened(connection, plan(disks=2))
        for learned in LEARNED:
            journal.learn(connection, run, learned, NOW)
    with store.read() as connection:
        facts = journal.run_facts(connection, journal.run(connection, run.id))
    assert facts.placements == PLACED
    assert facts.points == (
        Point(volume_id(0), "point-0", "5a000000-0000-4000-8000-000000000000", reverted=True),
        Point(volume_id(1), "point-1"),
    )
    assert (facts.reserved, facts.start_sent, facts.running_since) == (True, True, NOW)
    assert facts.guest_id == LEARNED[1]["guest_id"]
    assert facts.default_root_id == LEARNED[1]["default_root_id"]


def test_learning_the_same_again_changes_nothing(store: Database) -> None:
    """After a crash a step is done again, by then perhaps from another device: where it hung first is what counts."""
    moved = tuple(replace(p, appliance_device=9) for p in PLACED)
    with store.begin() as connection:
        run = opened(connection, plan(disks=2))
        for learned in (*LEARNED, {"placements": moved}, {"point": (volume_id(0), "another-name")}):
            journal.learn(connection, run, learned, NOW)
        facts = journal.run_facts(connection, run)
    assert facts.placements == PLACED
    assert facts.points[0].name == "point-0"


@pytest.mark.parametrize("learned", [{"snapshot_id": ("v9", "s9")}, {"reverted": "v9"}], ids=str)
def test_facts_about_a_rollback_point_that_nobody_made_are_refused(store: Database, learned: dict[str, Any]) -> None:
    with store.begin() as connection:
        run = opened(connection)
        with pytest.raises(LookupError, match=r"has no row of .*v9"):
            journal.learn(connection, run, learned, NOW)


def test_what_one_run_learned_is_no_fact_of_another(store: Database) -> None:
    with store.begin() as connection:
        first, second = opened(connection, plan("vm-a", disks=2)), opened(connection, plan("vm-b"))
        for learned in LEARNED:
            journal.learn(connection, first, learned, NOW)
        facts = journal.run_facts(connection, journal.run(connection, second.id))
    assert (facts.placements, facts.points, facts.reserved, facts.guest_id) == ((), (), False, None)


# --- dossiers ---------------------------------------------------------------------------------------------------------


def test_a_dossier_holds_lease_spec_run_facts_and_what_is_left_to_do(store: Database) -> None:
    wanted = plan(disks=2)
    with store.begin() as connection:
        lease, run = taken(connection), opened(connection, wanted)
        rows = journal.steps(connection, run, Direction.THERE)
        step_moved(connection, step_started(connection, rows[0], "a", LATER, NOW), StepState.DONE, None, "", NOW)
        step_started(connection, rows[1], "b", LATER, NOW)
        for learned in LEARNED:
            journal.learn(connection, run, learned, NOW)
    with store.read() as connection:
        found = journal.dossiers(connection, [KEY, "unknown"])
        facts = journal.run_facts(connection, journal.run(connection, run.id))
        empty = found["unknown"]
    known = found[KEY]
    assert (known.lease, known.attempt, known.facts) == (lease, 1, facts)
    assert known.run is not None
    assert known.run.id == run.id
    assert known.accepted is not None
    assert known.accepted.spec == wanted.spec
    assert [row.seq for row in known.under_way] == [2]
    assert [row.action for row in known.rest] == [step.action for step in wanted.steps[2:]]
    assert (empty.accepted, empty.lease, empty.run, empty.attempt, empty.rest) == (None, None, None, 1, ())


def test_after_the_turn_only_the_way_back_is_left_to_do(store: Database) -> None:
    wanted = plan()
    with store.begin() as connection:
        run = journal.turn_back(connection, opened(connection, wanted), "over", NOW)
        back = journal.add_leg(connection, run, wanted.way_back, Direction.BACK)
        assert journal.dossiers(connection, [KEY])[KEY].rest == back


def test_a_dossier_after_the_end_has_the_number_of_the_next_run_and_the_dirty_replicas(store: Database) -> None:
    with store.begin() as connection:
        journal.finish(connection, opened(connection), {"v1": None}, NOW)
        found = journal.dossiers(connection, [KEY])[KEY]
    assert (found.run, found.attempt, found.dirty) == (None, 2, {"v1": None})


def test_dossiers_take_as_many_queries_for_many_as_for_one(store: Database) -> None:
    keys = [f"vm-{n}" for n in range(12)]
    with store.begin() as connection:
        for key in keys:
            opened(connection, plan(key))
    counts = []
    for some in (keys[:1], keys):
        statements = list[str]()
        with store.read() as connection:
            note = lambda *args, said=statements: said.append(args[2])  # noqa: E731
            sa.event.listen(connection, "before_cursor_execute", note)
            assert len(journal.dossiers(connection, some)) == len(some)
        counts.append(len(statements))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("state", StepState, ids=str)
def test_steps_under_way_are_those_that_may_be_running(store: Database, state: StepState) -> None:
    with store.begin() as connection:
        row = first_step(connection, state)
        found = journal.under_way(connection, journal.run(connection, row.run_id))
        assert len(journal.jobs_under_way(connection)) == len(found)
    assert bool(found) is (state in UNDER_WAY)


# --- events -----------------------------------------------------------------------------------------------------------


def test_events_come_newest_first_and_no_more_than_asked_for(store: Database) -> None:
    with store.begin() as connection:
        run: Run = opened(connection)
        for n in range(5):
            journal.event(connection, NOW + n * HOUR, run, n, "told", f"number {n}")
        found = journal.events(connection, KEY, 3)
    assert [e.text for e in found] == ["number 4", "number 3", "number 2"]
    assert found[0] == journal.Event(NOW + 4 * HOUR, run.id, 4, "told", "number 4")
    assert found[0].as_json()["at"] == "2026-11-24T18:00:00.000+00:00"


def test_the_same_news_of_a_vm_twice_in_a_row_is_written_once(store: Database) -> None:
    with store.begin() as connection:
        for text in ("a", "a", "b", "a", "x" * 5000, "x" * 5000):
            journal.note(connection, NOW, KEY, "refused", text)
        assert [text[:1] for _, text in texts(connection)] == ["a", "b", "a", "x"]
        assert max(len(text) for _, text in texts(connection)) == 4000


def test_texts_in_any_script_survive(store: Database) -> None:
    text = "Büro-Server 7 → 測試 🖥"
    with store.begin() as connection:
        journal.note(connection, NOW, "büro-server 7", "told", text)
        assert texts(connection, "büro-server 7") == [("told", text)]


# --- all or nothing ---------------------------------------------------------------------------------------------------


def test_a_transaction_that_fails_leaves_nothing_of_a_run(store: Database) -> None:
    def fail(connection: sa.Connection) -> None:
        taken(connection)
        run = opened(connection, plan(disks=2))
        for learned in LEARNED:
            journal.learn(connection, run, learned, NOW)
        journal.finish(connection, run, {"v1": None}, NOW)
        inventory.end(connection, KEY, NOW, "over")
        raise RuntimeError("died")

    with pytest.raises(RuntimeError, match="died"), store.begin() as connection:
        fail(connection)
    with store.read() as connection:
        left = {t.name: connection.execute(t.select()).all() for t in tables.metadata.sorted_tables}
    assert not any(left.values())
