"""What a spec wants at one moment, as a table and as laws over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from specs.goal import GoalKind, goal_at
from specs.model import Origin, Spec, State, Strategy
from specs.values import VmRef

TWO = datetime(2025, 8, 18, 14, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
PROTECTED, TESTING, LIVE = GoalKind.PROTECTED, GoalKind.TESTING, GoalKind.LIVE


def spec(state: State = State.TEST_FAILOVER, **more) -> Spec:
    if state is State.TEST_FAILOVER:
        more.setdefault("duration", 30 * MINUTE)
    if state is State.LIVE_FAILOVER:
        more.setdefault("confirm", "web-01")
    return Spec(vm=VmRef(name="web-01"), state=state, origin=Origin(file="a.yaml"), **more)


@pytest.mark.parametrize(
    ("wanted", "now", "running_since", "kind", "ends_at", "overdue", "reason"),
    [
        (spec(State.PROTECTED), TWO, None, PROTECTED, None, False, "protected is wanted"),
        (spec(State.ROLLED_BACK), TWO, None, PROTECTED, None, False, "rolled-back is wanted"),
        (spec(State.LIVE_FAILOVER), TWO + 99 * HOUR, None, LIVE, None, False, "live failover is wanted"),
        (spec(), TWO, None, TESTING, None, False, "counts from when the guest runs"),
        (spec(), TWO + 4 * HOUR - MINUTE, None, TESTING, None, False, "counts from"),
        (spec(), TWO + 4 * HOUR, None, PROTECTED, None, False, "did not start within 4h"),
        (spec(), TWO + 5 * MINUTE, TWO + 4 * MINUTE, TESTING, TWO + 34 * MINUTE, False, "a test of 30m"),
        (spec(), TWO + 34 * MINUTE - timedelta(seconds=1), TWO + 4 * MINUTE, TESTING, TWO + 34 * MINUTE, False, "30m"),
        (spec(), TWO + 34 * MINUTE, TWO + 4 * MINUTE, PROTECTED, TWO + 34 * MINUTE, False, "its 30m are over"),
        (spec(), TWO + 99 * HOUR, TWO + 4 * MINUTE, PROTECTED, TWO + 34 * MINUTE, False, "its 30m are over"),
        (spec(), TWO + 4 * HOUR + MINUTE, TWO + 4 * HOUR, TESTING, TWO + 4 * HOUR + 30 * MINUTE, False, "a test"),
        (spec(), TWO + 5 * HOUR, TWO + 4 * HOUR + MINUTE, PROTECTED, None, False, "did not start within 4h"),
        (spec(auto_cleanup=False), TWO + HOUR, TWO, TESTING, TWO + 30 * MINUTE, True, "an operator ends it"),
        (spec(auto_cleanup=False), TWO + 4 * HOUR, None, PROTECTED, None, False, "did not start"),
    ],
)
def test_the_goal_at_one_moment(wanted, now, running_since, kind, ends_at, overdue, reason) -> None:
    goal = goal_at(wanted, TWO, now, running_since)
    assert (goal.kind, goal.ends_at, goal.overdue) == (kind, ends_at, overdue)
    assert reason in goal.reason


def test_how_long_a_test_may_wait_to_begin_is_handed_in() -> None:
    assert goal_at(spec(), TWO, TWO + HOUR, start_within=HOUR).kind is PROTECTED


@pytest.mark.parametrize("moments", [(0,), (1,), (2,)])
def test_a_moment_without_zone_is_refused(moments: tuple[int, ...]) -> None:
    times = [t.replace(tzinfo=None) if n in moments else t for n, t in enumerate((TWO, TWO, TWO))]
    with pytest.raises(ValueError, match="without its time zone"):
        goal_at(spec(), *times)


offsets = st.integers(0, 20 * 86400).map(lambda s: timedelta(seconds=s))
durations = st.integers(300, 7 * 86400).map(lambda s: timedelta(seconds=s))


@given(durations, st.none() | offsets, st.lists(offsets, min_size=2))
def test_a_test_that_ended_stays_ended(duration, started, moments) -> None:
    running_since = None if started is None else TWO + started
    goals = [goal_at(spec(duration=duration), TWO, TWO + m, running_since) for m in sorted(moments)]
    kinds = [g.kind for g in goals]
    assert kinds == sorted(kinds, key=[TESTING, PROTECTED].index)


@given(durations, offsets, offsets)
def test_a_guest_that_comes_up_late_does_not_revive_its_test(duration, started, later) -> None:
    before = goal_at(spec(duration=duration), TWO, TWO + started, None)
    after = goal_at(spec(duration=duration), TWO, TWO + started + later, TWO + started + timedelta(seconds=1))
    assert before.kind is TESTING or after.kind is PROTECTED


@given(durations, offsets)
def test_without_cleanup_a_running_test_never_ends_by_itself(duration, later) -> None:
    goal = goal_at(spec(duration=duration, auto_cleanup=False), TWO, TWO + later, TWO)
    assert goal.kind is TESTING
    assert goal.overdue == (later >= duration)


@pytest.mark.parametrize(
    ("state", "more"),
    [
        (State.TEST_FAILOVER, {"duration": None}),
        (State.TEST_FAILOVER, {"duration": timedelta()}),
        (State.TEST_FAILOVER, {"duration": timedelta(seconds=0.5)}),
        (State.PROTECTED, {"duration": HOUR}),
        (State.LIVE_FAILOVER, {"confirm": None}),
        (State.LIVE_FAILOVER, {"confirm": "web-02"}),
        (State.TEST_FAILOVER, {"strategy": Strategy.NONE}),
        (State.PROTECTED, {"colour": "red"}),
    ],
)
def test_a_spec_that_contradicts_itself_cannot_be_made(state: State, more: dict) -> None:
    with pytest.raises(ValidationError):
        spec(state, **more)


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        spec().state = State.PROTECTED  # type: ignore[misc]


def test_a_spec_reads_back_as_itself_and_can_be_a_key() -> None:
    wanted = spec(custom={"a": [1, None]}, after=("b",), where={"for": Origin(file="a.yaml", line=3)})
    again = Spec.from_json(wanted.as_json())
    assert again == wanted
    assert {wanted: 1}[again] == 1


def test_the_digest_covers_what_is_wanted_and_not_where_it_was_written() -> None:
    moved = spec().model_copy(update={"origin": Origin(file="b.yaml", line=9), "groups": ("g",), "where": {}})
    assert moved.digest == spec().digest
    assert spec(duration=HOUR).digest != spec().digest
