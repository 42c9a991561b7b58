"""Random walks of our own: whatever is done in whatever order, the simulated cloud stays whole and speaks as known."""

from __future__ import annotations

import pytest

from tests.conformance import wandering
from tests.conformance.wandering import MOVES, Wanderer

STEPS = 110


@pytest.mark.parametrize("seed", range(12))
def test_a_walk_of_our_own_stays_in_one_piece(seed: int) -> None:
    wanderer = Wanderer(seed)
    for number in range(STEPS):
        move, inner, job = wanderer.step()
        assert list(wandering.complaints(wanderer, move, inner, job)) == [], f"step {number}"


def test_the_same_seed_walks_the_same_way() -> None:
    first, second = Wanderer(5), Wanderer(5)
    assert [first.step() for _ in range(60)] == [second.step() for _ in range(60)]


def test_a_text_that_nobody_ever_said_is_found() -> None:
    assert not wandering.is_known("The volume is tired")
    assert wandering.is_known("Please specify a volume that is not attached to any VM.")


def test_every_word_is_used() -> None:
    used = {wanderer.step()[0] for wanderer in map(Wanderer, range(6)) for _ in range(60)}
    assert set(MOVES) - used == set()
