"""A part of the small scope at every run; `python -m tests.simulation.scope` explores all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation import invariants
from tests.simulation.invariants import Watch
from tests.simulation.scope import Move, _Explorer, explored, plot
from tests.simulation.trials import Show

STATES = 100


@pytest.mark.parametrize("strategy", ["volume-snapshot", "clone"])
def test_no_order_of_passes_with_a_fault_and_a_death_breaks_a_rule(strategy: str) -> None:
    found = explored(strategy, STATES, at_once=2)
    assert not found.broken, "\n".join(found.broken)
    assert found.states >= STATES
    assert found.moves > found.states
    assert found.ends > 0


def test_a_rule_that_some_order_breaks_is_told_with_the_moves_that_led_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody_is_made(watch: Watch) -> Iterator[str]:
        yield from (vm.name for vm in watch.guests())

    monkeypatch.setattr(invariants, "STATES", {"INV-01": nobody_is_made})
    found = explored("clone", 8)
    assert found.broken
    assert all("Violation: INV-01" in text and "after vm-" in text for text in found.broken)


def test_a_state_and_its_mirror_image_are_one() -> None:
    seen = set()
    for first in (0, 1):
        show = Show(plot("clone"))
        show.ordered()
        search = _Explorer(show, Path("nowhere"), 1)
        search._make(Move(first))
        seen.add(search._state())
    assert len(seen) == 1
