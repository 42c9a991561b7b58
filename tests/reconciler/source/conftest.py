from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.reconciler.source.side import Side, simulated


@pytest.fixture
def side() -> Iterator[Side]:
    """A source side of the test's own."""
    with simulated() as made:
        yield made
