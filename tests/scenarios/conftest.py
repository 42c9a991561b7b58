from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.house import Drill, furnished


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    """A house whose cloud takes a second for every job."""
    with furnished(tmp_path, durations=1.0) as made:
        yield made
