"""How long a test may last, and how much text is read: the numbers, and where they can be changed.

Filled from the settings by `reconciler.wiring`, applied by `fields` (bounds) and by `files` and `tree` (limits).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Bounds:
    """The shortest and the longest test, each with the words that say who set it."""

    test_min: timedelta = timedelta(minutes=5)
    test_max: timedelta = timedelta(days=7)
    min_from: str = "built in, changed by test.min_duration in the settings file"
    max_from: str = "built in, changed by test.max_duration in the settings file"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read before an error ends it; `nodes` counts what aliases unfold to, `errors` counts per file."""

    file_bytes: int = 1 << 20
    total_bytes: int = 64 << 20
    files: int = 10_000
    documents: int = 1_000
    depth: int = 20
    nodes: int = 200_000
    aliases: int = 100
    errors: int = 200
