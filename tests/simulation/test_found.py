"""What seeds found stays mended: the plots of `found`, and what no rule can tell but a count."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.simulation.found import IN_PLACE, KEPT, found
from tests.simulation.plots import Deed, Order, Plot, Vm
from tests.simulation.trials import Show, play

PLOTS = dict(found())
TAGGED = 2
"""The change before which the guest has been made and is about to be marked."""


@pytest.mark.parametrize("what", PLOTS)
def test_what_was_found_stays_mended(what: str) -> None:
    play(PLOTS[what], repeat=f"pytest -k {what!r}")


def test_a_test_that_is_kept_beyond_its_time_names_a_moment_that_is_still_to_come() -> None:
    show = Show(Plot(0, (Vm(0, 1),), durations=1.0, orders=KEPT))
    show.until("holding")
    show.stage.clock.advance(timedelta(minutes=6))
    show.stage.round()
    done = show.stage.round()
    assert done.resting
    assert done.next_at is not None
    assert done.next_at - show.stage.now > timedelta(minutes=9)


def test_a_run_that_asks_is_taken_back_when_its_test_can_no_longer_begin() -> None:
    orders = (Order(0.0, "test", 0, 5),)
    show = Show(Plot(0, (Vm(0, 1, strategy="volume-snapshot"),), durations=1.0, orders=orders, deeds=(Deed("untag", 5),)))
    show.until("paused")
    done = show.stage.round()
    assert done.next_at is not None
    assert done.next_at - show.stage.now > timedelta(hours=3)
    show.stage.clock.advance(timedelta(hours=4))
    show.until("completed")
    show.inventory()


@pytest.mark.parametrize(("later", "durations"), [(1.0, 4.0), (3.0, 4.0), (5.0, 12.0), (20.0, 12.0)])
def test_two_tests_on_one_appliance_take_turns_with_their_snapshots_and_both_come_to_run(
    later: float, durations: float
) -> None:
    vms = tuple(Vm(number, 2, strategy="clone") for number in range(2))
    orders = (Order(0.0, "test", 0, 5), Order(later, "test", 1, 5))
    ending = play(Plot(0, vms, IN_PLACE, durations=durations, poll=2.0, orders=orders))
    assert ending.runs == (("completed", "clone"), ("completed", "clone"))
