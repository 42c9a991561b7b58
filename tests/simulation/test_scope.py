"""A part of the small scope at every run; `python -m tests.simulation.scope` explores all of it."""

from __future__ import annotations

import pytest

from tests.simulation.scope import explored

STATES = 150


@pytest.mark.parametrize("strategy", ["volume-snapshot", "clone"])
def test_no_order_of_passes_with_a_fault_and_a_death_breaks_a_rule(strategy: str) -> None:
    found = explored(strategy, STATES)
    assert not found.broken, "\n".join(found.broken)
    assert found.states >= STATES
    assert found.moves > found.states
    assert found.ends > 0
