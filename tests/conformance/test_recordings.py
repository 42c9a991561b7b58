"""Every recording of the real server replays equal on a simulated cloud, but for the known differences."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from tests.conformance import known, records, replay
from tests.conformance.known import Result

FILES = records.scenarios() + records.walks()


def test_all_recordings_are_there() -> None:
    assert (len(records.scenarios()), len(records.walks())) == (26, 6)


@pytest.mark.parametrize("name", FILES)
def test_a_recording_replays_equal(name: str) -> None:
    lines = replay.on_simulator(name)
    assert list(replay.told(line for line in lines if line.result is Result.DIFFERENT)) == []
    assert sum(line.result is Result.EQUAL for line in lines) > len(lines) / 2


def test_what_is_skipped_was_no_request() -> None:
    skipped = {line.skipped for name in ("06-vm-snapshots", "14-restart") for line in replay.on_simulator(name)} - {""}
    assert skipped == {"not a request"}


def test_every_known_difference_still_explains_one() -> None:
    table = known.load()
    patterns = {row.file for row in table if row.file != "*"} | {"01-protocol"}
    files = [name for name in FILES if any(fnmatchcase(name, pattern) for pattern in patterns)]
    used = {row for name in files for line in replay.on_simulator(name, table) for row in line.used}
    assert set(table) - used == set()
