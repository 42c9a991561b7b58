"""A smoke of seeds, and proof that the same seed is the same trial.

More seeds: `make simulate SEEDS=300-9999`. What a seed finds goes, made smaller, into `found`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.__main__ import played, seeds_of
from tests.simulation.trials import trial

SMOKE, CHUNK = 300, 10
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("first", range(0, SMOKE, CHUNK))
def test_no_seed_breaks_an_invariant(first: int) -> None:
    part = played(range(first, first + CHUNK))
    assert not part.failed, "\n\n".join(text for _, text in part.failed)


def test_the_same_seed_gives_the_same_trace_in_every_process() -> None:
    script = "from tests.simulation.trials import trial; print(*(trial(seed).trace for seed in (1, 5, 9)))"
    traces = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert traces == {" ".join(trial(seed).trace for seed in (1, 5, 9)) + "\n"}


def test_a_range_of_seeds_is_named_by_its_ends() -> None:
    assert list(seeds_of("17")) == [17]
    assert list(seeds_of("3-5")) == [3, 4, 5]
