"""Seeds that found something, each with what it found. They are played by `test_seeds` for ever."""

from __future__ import annotations

from collections.abc import Mapping

FOUND: Mapping[int, str] = {}
