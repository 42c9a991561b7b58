"""How ready a VM is over time: kept when it changes, an event when it gets worse, no news where nothing could be seen."""

from __future__ import annotations

import signal

from tests.cli.world import KEYS, PG, House

DONE, ERROR, REFUSED = 0, 1, 3
KEPT = f"SELECT kind, score, is_ready FROM fr_readiness WHERE vm_key = '{KEYS[PG]}' ORDER BY id"
EVENTS = f"SELECT text FROM fr_events WHERE kind = 'readiness' AND vm_key = '{KEYS[PG]}'"


def test_what_changed_is_kept_and_what_got_worse_is_an_event(home: House) -> None:
    for _ in range(2):
        assert home.run("ready", PG, "--record").code == DONE
    assert home.rows(KEPT) == [("test", 100.0, 1)]
    home.edit("UPDATE replication_jobs SET status = 'replicating'")
    assert home.run("ready", PG, "--record").code == REFUSED
    assert home.rows(KEPT) == [("test", 100.0, 1), ("test", 0.0, 0)]
    ((text,),) = home.rows(EVENTS)
    assert text.startswith("not ready for test, score 0, was ready with 100: V-02 Active Jobs: replication job ")
    told = home.run("ready", PG, "--history")
    assert told.code == REFUSED
    first, second = [line for line in told.out.splitlines() if " UTC " in line]
    assert "!     0  V-02" in first
    assert "=   100  V-11" in second
    home.edit("UPDATE replication_jobs SET status = 'completed'")
    assert home.run("ready", PG, "--record").code == DONE
    assert len(home.rows(EVENTS)) == 1, "getting better is no event"
    rows = home.run("ready", PG, "--history", "--format", "json").json["vms"][0]["history"]
    assert [(row["readiness_score"], row["is_ready"]) for row in rows] == [(100.0, True), (0.0, False), (100.0, True)]


def test_where_cloudstack_does_not_answer_nothing_is_news(home: House) -> None:
    home.run("ready", PG, "--record")
    nowhere = {"FAILOVER_CLOUDSTACK__ENDPOINT": "http://127.0.0.1:9/client/api"}
    told = home.run("ready", PG, "--record", **nowhere)
    assert (told.code, "could not be checked" in told.out) == (REFUSED, True)
    assert home.rows(KEPT) == [("test", 100.0, 1)]


def test_without_record_nothing_is_kept_and_a_history_needs_a_name(house: House) -> None:
    before = house.dump()
    assert house.run("ready").code in (DONE, REFUSED)
    told = house.run("ready", PG, "--history")
    assert (told.code, "nothing was kept yet" in told.out) == (REFUSED, True)
    assert house.run("ready", "--history").code == ERROR
    assert house.run("ready", PG, "--history", "--record").code == ERROR
    assert house.dump() == before


def test_a_daemon_keeps_it_and_tells_what_got_worse(home: House) -> None:
    home.spec.unlink()
    with (home.folder / "failover.yaml").open("a", encoding="utf-8") as opened:
        opened.write("readiness:\n  every: 1s\n")
    with home.start("daemon", "--specs", "specs") as running:
        home.until(KEPT, ("test", 100.0, 1))
        home.edit("UPDATE replication_jobs SET status = 'replicating'")
        running.line(f"{PG}: not ready for test, score 0, was ready with 100")
        assert running.end(signal.SIGTERM).code == DONE
    assert home.rows(KEPT) == [("test", 100.0, 1), ("test", 0.0, 0)]
