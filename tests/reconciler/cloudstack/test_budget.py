"""The call budget: never more calls in any window than allowed, never more open, fewer while the server struggles."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cloudstack import budget
from reconciler.cloudstack.budget import LONGEST_REST, Budget, Call, Limits, Verdict

SPANS = st.floats(0, 3, allow_nan=False)
LIMITS = st.builds(
    Limits,
    calls=st.integers(1, 8),
    interval=st.sampled_from([0.5, 1.0, 5.0]),
    at_once=st.integers(1, 6),
)


@dataclass
class Played:
    """A budget in use: calls begin when it allows, and end when the script says."""

    limits: Limits
    budget: Budget
    now: float = 1000.0

    def begin(self) -> bool:
        if budget.pause(self.budget, self.limits, self.now) != 0:
            return False
        self.budget = budget.begun(self.budget, self.limits, self.now)
        return True

    def end(self, verdict: Verdict, seconds: float = 0.0, rest: float | None = None, began: float | None = None) -> None:
        since = self.now - seconds if began is None else began
        call = Call("listVolumes", since, seconds, verdict, rest)
        self.budget = budget.ended(self.budget, self.limits, call, self.now)


def play(limits: Limits) -> Played:
    return Played(limits, budget.full(limits))


@given(LIMITS, st.lists(st.tuples(SPANS, st.booleans(), st.sampled_from(Verdict)), max_size=60))
def test_no_window_ever_holds_more_calls_than_allowed_and_no_moment_more_open_ones(limits, script):
    played, begun_at, open_now = play(limits), [], 0
    for span, ends, verdict in script:
        played.now += span
        if ends and open_now:
            played.end(verdict)
            open_now -= 1
        elif played.begin():
            begun_at.append(played.now)
            open_now += 1
        assert open_now == played.budget.open <= limits.at_once
        assert 1 <= played.budget.window <= limits.at_once
    check_windows(begun_at, limits)


def check_windows(begun_at: list[float], limits: Limits) -> None:
    for at in begun_at:
        assert len([b for b in begun_at if at <= b < at + limits.interval - 1e-6]) <= limits.calls


@given(LIMITS, st.lists(st.floats(0, 0.3), min_size=1, max_size=60))
def test_callers_that_come_as_soon_as_they_may_fill_every_window_and_overfill_none(limits, hurry):
    played, begun_at = play(limits), list[float]()
    for span in hurry:
        played.now += span
        while not played.begin():
            pause = budget.pause(played.budget, limits, played.now)
            assert pause is not None
            played.now += pause
        begun_at.append(played.now)
        played.end(Verdict.WELL)
    check_windows(begun_at, limits)
    assert begun_at[-1] - begun_at[0] <= sum(hurry) + limits.interval * (len(hurry) // limits.calls + 1)


@given(LIMITS, st.integers(1, 40), st.one_of(st.none(), st.floats(0, 500)))
def test_who_waits_as_long_as_it_is_told_may_begin(limits, calls, rest):
    played = play(limits)
    for _ in range(calls):
        while not played.begin():
            pause = budget.pause(played.budget, limits, played.now)
            assert pause is not None
            assert pause <= max(limits.interval, LONGEST_REST)
            played.now += max(pause, 0.001)
        played.end(Verdict.OVERLOADED if rest is not None else Verdict.WELL, rest=rest)


def test_a_full_window_waits_for_an_end_and_not_for_a_moment():
    played = play(Limits(calls=100, at_once=2))
    assert played.begin()
    assert played.begin()
    assert budget.pause(played.budget, played.limits, played.now) is None
    played.end(Verdict.WELL)
    assert played.begin()


def test_milliseconds_that_the_server_names_are_kept_to_by_every_call():
    played = play(Limits())
    played.begin()
    played.end(Verdict.OVERLOADED, rest=0.25)
    assert budget.pause(played.budget, played.limits, played.now) == 0.25
    played.now += 0.25
    assert played.begin()


def test_overload_halves_what_may_be_open_once_for_all_calls_under_way_and_well_answered_calls_win_it_back():
    played = play(Limits(calls=10_000, at_once=8))
    began = played.now
    for _ in range(8):
        assert played.begin()
    for _ in range(8):
        played.now += 0.01
        played.end(Verdict.FAILED, began=began)
    assert played.budget.window == 4
    played.now += 1
    played.begin()
    played.end(Verdict.OVERLOADED)
    assert played.budget.window == 2
    widths = []
    for _ in range(40):
        played.begin()
        played.end(Verdict.WELL)
        widths.append(played.budget.window)
    assert widths == sorted(widths)
    assert widths[-1] == 8
    assert widths[3] < 4, "it grows a little at a time"


def test_an_answer_far_slower_than_usual_counts_as_overload_and_one_of_a_command_that_is_always_slow_does_not():
    played = play(Limits(calls=10_000, at_once=8))
    for _ in range(50):
        played.begin()
        played.now += 1.5
        played.end(Verdict.WELL, seconds=1.5)
    assert played.budget.window == 8
    played.begin()
    played.now += 9
    played.end(Verdict.WELL, seconds=9)
    assert played.budget.window == 4


def test_a_call_that_was_not_sent_teaches_nothing():
    played = play(Limits())
    played.begin()
    played.end(Verdict.SILENT, seconds=500)
    assert (played.budget.window, played.budget.open, dict(played.budget.usual)) == (8, 0, {})


@given(LIMITS, st.floats(0, 10**9))
def test_a_clock_that_is_set_back_costs_no_more_than_an_interval_and_a_rest(limits, back):
    played = play(limits)
    for _ in range(limits.calls):
        played.begin()
        played.end(Verdict.OVERLOADED, rest=30)
        played.now += 30
    played.now -= back
    pause = budget.pause(played.budget, limits, played.now)
    assert pause is not None
    assert pause <= max(limits.interval, LONGEST_REST)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ((10, 1.0), (10, 1.0)),
        ((100, 1.0), (25, 1.0)),
        ((100, 10.0), (100, 10.0)),
        ((0, 1.0), (25, 1.0)),
        ((5, 0.0), (25, 1.0)),
    ],
)
def test_a_limit_that_the_server_names_holds_where_it_is_lower(told, kept):
    lowered = Limits(calls=25).lowered(*told)
    assert (lowered.calls, lowered.interval) == kept
