"""Results of pure functions as the documentation of the replication system gives them.

Not here are the readiness score, the name of a device by its volume's uuid, and durations in lists: nothing computes them
yet. Of durations `2d` is refused by the documented REST API only: in a spec days are a unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler import phases
from reconciler.phases import Phase
from reconciler.store import legacy
from reconciler.store.database import Connection, Database, upgrade
from reconciler.store.journal import Direction
from specs import values
from tests.reconciler.store import making
from tests.scenarios.house import KEYS, PG

NAMES = {
    "PGWINTESTBIOS": "pgwintestbios",
    "My_VM@2025": "my-vm-2025",
    "123 Server": "vm-123-server",
    "Finance DB (prod)": "finance-db-prod",
    "Büro-Server 7": "b-ro-server-7",
    "___": "test-vm",
    "WEB.01": "web-01",
}
NOON = datetime(2025, 8, 18, 15, 15, 8, 999_999, tzinfo=UTC)


@pytest.mark.parametrize("name", NAMES)
def test_sanitise(name: str) -> None:
    assert values.host_name(name) == NAMES[name]


@pytest.mark.parametrize("name", ["x" * 70, "a-" * 40, "9" * 70, "Ä" * 70, "a" * 62 + "-" * 8])
def test_sanitise_a_name_of_seventy_characters(name: str) -> None:
    made = values.host_name(name)
    assert 1 <= len(made) <= 63
    assert not made.startswith("-")
    assert not made.endswith("-")


DURATIONS = {"4h30m": 16200, "90m": 5400, "2h": 7200, "30m": 1800}


@pytest.mark.parametrize("text", DURATIONS)
def test_duration(text: str) -> None:
    assert values.parse_duration(text) == timedelta(seconds=DURATIONS[text])


@pytest.mark.parametrize("text", ["0", "0m", "-1h", "abc", "", "1.5h", "30"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        values.parse_duration(text)


@pytest.mark.parametrize(("text", "echo"), [("2h", "2h0s"), ("30m", "30m0s"), ("4h30m", "4h30m0s")])
def test_duration_as_it_is_echoed(text: str, echo: str) -> None:
    assert values.go_duration(values.parse_duration(text)) == echo


STEPS = {
    (Direction.THERE, "snapshot-replica"): Phase("snapshotting", 55),
    (Direction.THERE, "snapshot-guest"): Phase("snapshotting", 66),
    (Direction.THERE, "create-guest"): Phase("creating_vm", 25),
    (Direction.THERE, "detach-default-root"): Phase("switching_volume", 40),
    (Direction.THERE, "start-guest"): Phase("powering_on", 70),
    (Direction.BACK, "stop-guest"): Phase("cleanup", 85),
    (Direction.BACK, "revert-replica"): Phase("reverting", 95),
}


@pytest.mark.parametrize(("direction", "word"), STEPS)
def test_progress(direction: Direction, word: str, tmp_path: Path) -> None:
    with opened(tmp_path) as connection:
        run = replace(making.opened(connection), direction=direction)
    assert phases.of_step(run, word) == STEPS[direction, word]


def test_progress_of_the_ends() -> None:
    ends = (phases.VALIDATING, phases.COMPLETED, phases.FAILED)
    assert ends == (Phase("validating", 8), Phase("completed", 100), Phase("failed", 0))


def test_every_status_that_is_shown_is_a_documented_word() -> None:
    shown = {phase.status for table in (phases._THERE, phases._BACK) for phase in table.values()}
    assert shown | {"validating", "holding", "completed", "failed"} <= legacy.WORDS.keys()


def test_the_id_of_a_job_is_made_once_from_one_reading_of_the_clock(tmp_path: Path) -> None:
    with opened(tmp_path) as connection:
        run = making.opened(connection, making.plan(KEYS[PG]), NOON)
    assert run.id == "test-failover-4205a841-0265-f4bd-39a6-39fd92196f53-1755530108"


@contextmanager
def opened(folder: Path) -> Iterator[Connection]:
    """An embedded database with our tables."""
    database = Database(f"sqlite:///{folder / 'failover.db'}", create=True)
    upgrade(database)
    with database.begin() as connection:
        yield connection
    database.engine.dispose()
