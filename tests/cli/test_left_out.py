"""A spec that leaves out a check, with a reason: the plan says so, the history tells who accepted it, and all goes back."""

from __future__ import annotations

import pytest

from tests.cli.world import KEYS, PG, Cloud, House

DONE, ERROR, REFUSED = 0, 1, 3
TEST = f"vm: {PG}\nstate: test-failover\nfor: 30m\n"
WHY = "the source is down"


@pytest.fixture
def unsynced(home: House) -> House:
    home.edit("DELETE FROM cbt_history")
    return home


def test_what_is_left_out_is_shown_recorded_and_taken_back(unsynced: House, cloud: Cloud) -> None:
    home, before = unsynced, cloud.proof()
    home.write(TEST)
    assert home.run("apply", "--yes", "specs").code == REFUSED
    home.write(f"{TEST}skip_validation: {{reason: {WHY}}}\n")
    told = " ".join(home.run("plan", "specs").out.split())
    assert "ready 0 of 100 ~ V-03 Sync Status: disk-2000 has no successful sync" in told
    assert f"! skip_validation ({WHY}) leaves out: disk-2000 has no successful sync" in told
    markdown = home.run("plan", "specs", "--format", "markdown").out
    assert "Readiness 0 of 100." in markdown
    assert "- **~** V-03 Sync Status" in markdown
    assert home.run("apply", "--yes", "specs").code == DONE
    ((text,),) = home.rows(f"SELECT text FROM fr_events WHERE kind = 'left-out' AND vm_key = '{KEYS[PG]}'")
    assert f"because {WHY}: V-03 Sync Status: disk-2000 has no successful sync" in text
    assert home.run("end", PG).code == DONE
    assert cloud.proof() == before


def test_nothing_else_is_left_out(unsynced: House, cloud: Cloud) -> None:
    unsynced.edit("UPDATE replication_jobs SET status = 'replicating'")
    unsynced.write(f"{TEST}skip_validation: {{reason: {WHY}}}\n")
    told = unsynced.run("apply", "--yes", "specs")
    assert (told.code, "ACTIVE_JOBS" in told.out, "NEVER_SYNCED" in told.out) == (REFUSED, True, False)
    assert cloud.changes() == {}


def test_a_reason_is_needed(home: House) -> None:
    home.write(f"{TEST}skip_validation: {{}}\n")
    told = home.run("apply", "--yes", "specs")
    assert (told.code, '"skip_validation" needs a reason' in told.err) == (ERROR, True)
