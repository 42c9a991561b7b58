"""What seeds found stays mended: the plots of `found`, and what no rule can tell but a count."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.simulation.found import APART, IN_PLACE, KEPT, TEST, found
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


def test_what_a_person_says_of_a_stuck_step_is_taken_once_a_look_agrees_and_the_run_goes_on() -> None:
    hangs = {"kind": "job-hangs", "command": "detachVolume", "nth": 2, "times": 1, "seconds": 700.0, "effect": False}
    plot = Plot(3, (Vm(0, 1, strategy="volume-snapshot"),), APART, durations=1.0, orders=TEST, faults=(hangs,))
    held = play(plot)
    assert held.held
    assert not held.deeds
    said = play(replace(plot, deeds=(Deed("resolve", 1),)))
    assert (said.deeds, said.held, said.runs) == (("resolve",), (), (("completed", "volume-snapshot"),))


def test_a_run_that_asks_because_the_world_changed_goes_on_when_its_new_plan_is_approved() -> None:
    deeds = (Deed("attach-home", 6), Deed("approve", 1))
    refused = {"kind": "refuse", "command": "createSnapshot", "nth": 1, "times": 1, "code": 530}
    plot = Plot(4, (Vm(0, 1, strategy="volume-snapshot"),), APART, durations=1.0, orders=TEST, faults=(refused,))
    ending = play(replace(plot, deeds=deeds))
    assert (ending.deeds, ending.held) == (("attach-home", "go-on"), ())
