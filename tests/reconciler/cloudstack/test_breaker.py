"""The circuit breaker: opens after failures in a row, lets one read through when its pause is over, closes on an answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.cloudstack import breaker
from reconciler.cloudstack.breaker import Breaker, Rules

RULES = Rules(failures=3, pause=5, longest=60)


def failing(times: int, state: Breaker | None = None, at: float = 0.0) -> Breaker:
    state = state or Breaker()
    for _ in range(times):
        state = breaker.failed(state, RULES, at, began=at)
    return state


def read_at(state: Breaker, now: float) -> bool:
    return breaker.admits(state, RULES, now, is_read=True)


def test_it_opens_after_so_many_failures_in_a_row_and_any_answer_starts_the_count_anew():
    assert read_at(failing(2), 0)
    assert not read_at(failing(3), 0)
    assert read_at(failing(2, breaker.answered(failing(2))), 0)


def test_when_its_pause_is_over_one_read_is_let_through_and_never_a_change():
    state = failing(3)
    assert not read_at(state, 4.9)
    assert read_at(state, 5)
    assert not breaker.admits(state, RULES, 5, is_read=False)
    state = breaker.asked(state, 5)
    assert not read_at(state, 6), "one probe is enough"


def test_a_probe_that_is_answered_closes_it_for_all():
    state = breaker.answered(breaker.asked(failing(3), 5))
    assert breaker.admits(state, RULES, 5, is_read=False)


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest():
    state, now, pauses = failing(3), 0.0, []
    for _ in range(8):
        assert state.until is not None
        pauses.append(state.until - now)
        now = state.until
        state = breaker.failed(breaker.asked(state, now), RULES, now, began=now)
    assert pauses == [5, 10, 20, 40, 60, 60, 60, 60]


def test_calls_that_began_before_it_opened_do_not_lengthen_the_pause():
    state = failing(3, at=10)
    assert breaker.failed(state, RULES, 14, began=9) == state


def test_a_probe_that_was_not_sent_after_all_makes_room_for_another():
    state = breaker.unasked(breaker.asked(failing(3), 5), began=5)
    assert read_at(state, 5)


def test_a_probe_that_never_comes_back_does_not_keep_it_open_for_ever():
    state = breaker.asked(failing(3), 5)
    assert read_at(state, 5 + RULES.longest)


@given(st.floats(0, 10**9), st.integers(3, 40))
def test_a_clock_that_is_set_back_keeps_it_open_for_no_longer_than_the_longest_pause(back, failures):
    state = failing(failures, at=10.0**9)
    now = 10.0**9 - back
    assert read_at(state, now) or read_at(state, now + RULES.longest)


class ManyCallers(RuleBasedStateMachine):
    """Whatever callers do, one failing server is asked by one probe at a time, and an answer always opens the way."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.now, self.out = Breaker(), 0.0, list[float]()

    @rule(span=st.floats(0.1, 20))
    def time_passes(self, span: float) -> None:
        self.now += span

    @rule(is_read=st.booleans())
    def somebody_calls(self, is_read: bool) -> None:
        if breaker.admits(self.state, RULES, self.now, is_read=is_read):
            was_open = self.state.until is not None
            assert is_read or not was_open
            self.state = breaker.asked(self.state, self.now)
            self.out.append(self.now)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def one_fails(self, data: st.DataObject) -> None:
        began = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.state = breaker.failed(self.state, RULES, self.now, began=began)

    @precondition(lambda self: self.out)
    @rule()
    def one_is_answered(self) -> None:
        self.out.pop()
        self.state = breaker.answered(self.state)
        assert breaker.admits(self.state, RULES, self.now, is_read=False)

    @invariant()
    def it_is_open_for_no_longer_than_the_longest_pause(self) -> None:
        assert self.state.until is None or self.state.until <= self.now + RULES.longest

    @invariant()
    def what_is_closed_has_seen_fewer_failures_than_it_takes(self) -> None:
        assert self.state.until is not None or self.state.failures < RULES.failures


TestManyCallers = ManyCallers.TestCase
