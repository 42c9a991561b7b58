"""The service as an operator runs it: it stops when told, heeds no broken folder, and shares the work with another one."""

from __future__ import annotations

import signal

import pytest

from tests.cli.world import DB3, KEYS, PG, Cloud, House

DAEMON = ("daemon", "--specs", "specs")
STATES = "select vm_name, state from fr_runs order by vm_name"
LED = "select count(*) from fr_leases where expires_at > strftime('%Y-%m-%d %H:%M:%f', 'now')"


def spec(vm: str, span: str = "30m") -> str:
    return f"vm: {vm}\nstate: test-failover\nfor: {span}\n"


def test_a_daemon_that_is_told_to_stop_stops_at_a_safe_point_and_another_goes_on(home: House, cloud: Cloud) -> None:
    before = cloud.proof()
    with home.start(*DAEMON) as running:
        running.line("detach replica")
        told = running.end(signal.SIGTERM)
    assert (told.code, told.err) == (0, "")
    assert told.out.rstrip().endswith("stopped; whatever is under way goes on when a daemon runs again")
    assert home.rows(LED) == [(0,)], "leases are given back"
    assert [state for _, state in home.rows(STATES)] == ["running"]
    assert home.run(*DAEMON, "--once").code == 0
    assert home.rows(STATES) == [(PG, "holding")]
    assert home.run("end", PG).code == 0
    assert cloud.proof() == before
    assert cloud.changes()["detachVolume"] == 3, "the default root, and the replica there and back"
    assert cloud.changes()["startVirtualMachine"] == 1


def test_a_folder_with_a_broken_file_changes_nothing_until_it_is_mended(home: House, cloud: Cloud) -> None:
    with home.start(*DAEMON) as running:
        home.until(STATES, (PG, "holding"))
        sent = cloud.changes()
        home.write("vm: PGWINTESTBIOS\nstate: tested\n")
        home.write(spec(DB3), "lnx-db3.yaml")
        told = running.line("no new spec is taken")
        assert "! 1 error in specs, no new spec is taken: specs/pgwintestbios.yaml:2 unknown state" in told
        assert "`failover validate specs` shows all" in told
        assert cloud.changes() == sent
        assert home.rows("select vm_key, state from fr_specs") == [(KEYS[PG], "active")]
        home.write(spec(PG))
        home.until(STATES, (PG, "holding"), (DB3, "holding"))
        assert running.end(signal.SIGINT).code == 0
    assert cloud.changes()["startVirtualMachine"] == 2


def test_a_test_whose_file_is_gone_goes_on_until_its_time_is_up(home: House, cloud: Cloud) -> None:
    before = cloud.proof()
    home.write(spec(PG, "3s"))
    with home.start(*DAEMON) as running:
        running.line("testing until")
        home.spec.unlink()
        home.until(STATES, (PG, "completed"))
        assert running.end(signal.SIGTERM).code == 0
    (lasted,) = home.rows("select (julianday(finished_at) - julianday(running_since)) * 86400 from fr_runs")[0]
    assert lasted >= 3
    assert home.rows("select reason from fr_runs") == [("its 3s are over",)]
    assert cloud.proof() == before


@pytest.mark.parametrize("state", ["live-failover\nconfirm: PGWINTESTBIOS", "rolled-back"])
def test_what_a_daemon_does_not_begin_is_told_once(state: str, house: House) -> None:
    house.write(f"vm: PGWINTESTBIOS\nstate: {state}\n")
    with house.start(*DAEMON) as running:
        told = running.line("a daemon does not begin")
        assert running.end(signal.SIGTERM).out.count("a daemon does not begin") == 1
    assert "PGWINTESTBIOS: specs/pgwintestbios.yaml:1 wants " in told
    assert "`failover plan specs/pgwintestbios.yaml` says what can be done" in told


SENT = {  # what two tests there and back take: one with one disk, one with three
    **dict.fromkeys(("deployVirtualMachine", "createTags", "deleteVolume", "startVirtualMachine"), 2),
    **dict.fromkeys(("stopVirtualMachine", "destroyVirtualMachine"), 2),
    **dict.fromkeys(("createSnapshot", "revertSnapshot", "deleteSnapshot"), 4),
    "detachVolume": 10,
    "attachVolume": 8,
}


def test_two_daemons_share_the_work_and_send_nothing_twice(home: House, cloud: Cloud) -> None:
    before = cloud.proof()
    home.write(spec(DB3), "lnx-db3.yaml")
    with home.start(*DAEMON) as one, home.start(*DAEMON) as other:
        home.until(STATES, (PG, "holding"), (DB3, "holding"))
        assert home.run("end", PG).code == 0
        one.tell(signal.SIGKILL)
        assert home.run("end", DB3).code == 0
        assert other.end(signal.SIGTERM).code == 0
    assert home.rows(STATES) == [(PG, "completed"), (DB3, "completed")]
    assert home.rows("select vm_name, count(*) from fr_runs group by vm_name order by vm_name") == [(PG, 1), (DB3, 1)]
    assert cloud.proof() == before
    assert cloud.changes() == SENT
