"""Runs that go wrong: what the commands say of them then, and that this is no longer said when all is well."""

from __future__ import annotations

import signal

from tests.cli.world import PG, Cloud, House

DONE, ERROR, PENDING = 0, 1, 2
TRIES = 4


def test_what_a_run_was_stuck_with_is_not_told_when_it_is_over(home: House, cloud: Cloud) -> None:
    before = cloud.proof()
    assert home.run("apply", "--yes", "specs").code == DONE
    cloud.fault("job-fails", "revertSnapshot", times=TRIES, text="no space on secondary storage")
    stuck = home.run("end", PG, "--format", "json")
    assert stuck.code == ERROR
    assert (stuck.json["runs"][0]["state"], stuck.json["runs"][0]["good"]) == ("stuck", False)
    assert "no space on secondary storage" in stuck.json["runs"][0]["reason"]
    assert "no space on secondary storage" in home.run("history").out
    ended = home.run("end", PG)
    assert ended.code == DONE
    (run,) = home.run("history", "--format", "json").json["runs"]
    assert (run["state"], run["reason"]) == ("completed", home.rows("select reason from fr_specs")[0][0])
    assert run["reason"].startswith("ended by ")
    assert "space" not in home.run("history").out
    assert "space" not in home.run("status").out
    assert cloud.proof() == before


def test_a_test_that_fails_is_taken_back_and_says_why_it_failed(home: House, cloud: Cloud) -> None:
    before = cloud.proof()
    cloud.fault("job-fails", "startVirtualMachine", times=TRIES, text="no host has room")
    told = home.run("apply", "--yes", "specs", "--format", "json")
    assert told.code == ERROR
    (run,) = told.json["runs"]
    assert (run["state"], run["good"]) == ("rolled-back", False)
    assert "no host has room" in run["reason"]
    assert cloud.proof() == before
    history = home.run("history")
    assert "rolled-back" in history.out
    assert "no host has room" in history.out


def test_a_test_that_is_interrupted_and_frozen_goes_on_when_its_spec_is_applied(home: House, cloud: Cloud) -> None:
    with home.start("apply", "--yes", "specs") as running:
        running.line("5/9")
        stopped = running.end(signal.SIGINT)
    assert stopped.code == ERROR
    assert "stopping at the next safe point" in stopped.err
    frozen = home.run("freeze", PG, "--format", "json")
    assert (frozen.code, bool(frozen.json["exits"])) == (DONE, True)
    sent = cloud.changes()
    assert home.run("daemon", "--once", "--specs", "specs").code == DONE
    assert cloud.changes() == sent
    planned = home.run("plan", "specs")
    assert planned.code == PENDING
    assert "waits at a safe point" in planned.out
    assert home.run("apply", "--yes", "specs").code == DONE
    assert cloud.changes()["startVirtualMachine"] == 1
