from __future__ import annotations

import pytest

from tests.simulator.world import World


@pytest.fixture
def world() -> World:
    return World()
