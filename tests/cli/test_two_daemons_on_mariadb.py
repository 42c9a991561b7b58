"""Two daemons, as processes on two machines would be, over one MariaDB and one cloud: who may write, and what is sent twice.

Each daemon logs in as a user of its own, and triggers of the database take down who wrote what under whose lease: what is
told here comes from the server and from the cloud's trace, never from the daemons.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.crashpoints import Point
from reconciler.execute import job_id
from tests.cli.test_daemons import DAEMON, SENT, STATES, spec
from tests.cli.world import DB3, PG, Cloud, House, filled
from tests.mariadb import PASSWORD, Server

ONE, OTHER, PERSON = "one", "other", "person"
OF_A_RUN = ("fr_steps", "fr_placements", "fr_points", "fr_clones", "fr_guest_points")
AT_LEAST = 10
"""So many changes of a test there and back go by job ids of ours."""
OVERTAKEN = "another process works on"


@dataclass
class Shared:
    """One database and one cloud, and the folders of three users: two daemons and a person."""

    cloud: Cloud
    one: House
    other: House
    person: House

    def witnessed(self, what: str) -> list[tuple[str, ...]]:
        """What the triggers took down, in its order."""
        return self.person.rows(f"select {what} from witness order by id")

    def leaders(self) -> dict[str, str]:
        """Which user is behind which owner of a lease; an owner is one process, so it has one user."""
        found = set(self.person.rows("select distinct owner, by_whom from witness where tab = 'fr_leases' and taken"))
        assert len({owner for owner, _ in found}) == len(found), found
        return dict(found)

    def check(self) -> None:
        """One holder a VM at a time under a fence that only rises, and nothing written of a run but under its lease."""
        leaders = self.leaders()
        fences: dict[str, tuple[int, str]] = {}
        for vm, owner, fence, late in self.witnessed("vm_key, owner, fence, late"):
            before, holder = fences.setdefault(vm, (int(fence), owner))
            assert int(fence) >= before, f"{vm}: the fence falls from {before} to {fence}"
            assert (int(fence) == before) == (owner == holder), f"{vm}: fence {fence} is of {owner} and of {holder}"
            assert not late, f"{vm}: {owner} took a lease that was in force"
            fences[vm] = int(fence), owner
        written = self.person.rows("select tab, by_whom, vm_key, owner, fence from witness where tab <> 'fr_leases'")
        assert {tab for tab, *_ in written} >= {"fr_runs", "fr_steps", "fr_points", "fr_placements"}
        for tab, by, vm, owner, fence in written:
            sooner = (by, tab) == (PERSON, "fr_runs")  # `end` has a run looked at, whoever leads it
            assert sooner or leaders[owner] == by, f"{by} wrote {tab} of {vm} under the lease {fence} of {owner}"

    def kept(self) -> dict[str, list[tuple[object, ...]]]:
        """All that is written down of runs."""
        return {table: sorted(self.person.rows(f"select * from {table}"), key=repr) for table in ("fr_runs", *OF_A_RUN)}

    def sent_once(self) -> None:
        """No change was taken twice by the cloud: neither under one job id, nor for one step of a run."""
        rows = self.person.rows("select run_id, seq, attempts, direction, word, subject from fr_steps")
        steps = {job_id(row[0], row[1], n): (row[0], *row[3:]) for row in rows for n in range(1, row[2] + 1)}
        calls = [call["params"] for call in self.cloud.trace()]
        ids = [ident for call in calls if (ident := call.get("customjobid")) in steps]
        volumes = [call["id"] for call in calls if call["command"] == "deleteVolume"]
        twice = [what for what, n in Counter((*ids, *(steps[ident] for ident in ids), *volumes)).items() if n > 1]
        assert (len(ids) >= AT_LEAST, twice) == (True, [])


@pytest.fixture
def shared(tmp_path: Path, cloud: Cloud, mariadb: Server) -> Iterator[Shared]:
    with mariadb.fresh() as name:
        filled(mariadb.url(name))
        for user in (ONE, OTHER, PERSON):
            mariadb.say(f"CREATE OR REPLACE USER {user} IDENTIFIED BY '{PASSWORD}'", f"GRANT ALL ON {name}.* TO {user}")
        mariadb.say(*witnesses(name))
        houses = [House(tmp_path / user, cloud.url, database=mariadb.url(name, user=user)) for user in (ONE, OTHER, PERSON)]
        yield Shared(cloud, *houses)


def witnesses(database: str) -> Iterator[str]:
    """Statements that have every write of leases and runs taken down: by whom, and under which lease."""
    yield f"""CREATE TABLE {database}.witness (id BIGINT PRIMARY KEY AUTO_INCREMENT, tab VARCHAR(64), by_whom VARCHAR(64),
        vm_key VARCHAR(255), owner VARCHAR(255), fence BIGINT, taken BOOLEAN, late BOOLEAN)"""
    into = f"INSERT INTO {database}.witness (tab, by_whom, vm_key, owner, fence, taken, late)"
    user = "SUBSTRING_INDEX(USER(), '@', 1)"
    early = "NEW.owner <> OLD.owner AND OLD.expires_at > UTC_TIMESTAMP(6)"
    lease = f"{into} VALUES ('fr_leases', {user}, NEW.vm_key, NEW.owner, NEW.fence,"
    yield f"CREATE TRIGGER {database}.w_0 AFTER INSERT ON {database}.fr_leases FOR EACH ROW {lease} TRUE, FALSE)"
    yield f"CREATE TRIGGER {database}.w_1 AFTER UPDATE ON {database}.fr_leases FOR EACH ROW {lease} TRUE, {early})"
    number = 2
    for table in ("fr_runs", *OF_A_RUN):
        for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            run = f"{row}.id" if table == "fr_runs" else f"{row}.run_id"
            vm = f"{row}.vm_key" if table == "fr_runs" else f"(SELECT vm_key FROM {database}.fr_runs WHERE id = {run})"
            found = f"FROM (SELECT 1) x LEFT JOIN {database}.fr_leases l ON l.vm_key = {vm}"
            what = f"SELECT '{table}', {user}, {vm}, l.owner, l.fence, FALSE, FALSE {found}"
            yield f"CREATE TRIGGER {database}.w_{number} AFTER {event} ON {database}.{table} FOR EACH ROW {into} {what}"
            number += 1


def test_two_daemons_on_one_mariadb_have_one_holder_a_vm_and_send_nothing_twice(shared: Shared) -> None:
    before = shared.cloud.proof()
    for house in (shared.one, shared.other):
        house.write(spec(DB3), "lnx-db3.yaml")
    with shared.one.start(*DAEMON) as one, shared.other.start(*DAEMON) as other:
        shared.person.until(STATES, (PG, "holding"), (DB3, "holding"))
        for vm in (PG, DB3):
            assert shared.person.run("end", vm).code == 0
        shared.person.until(STATES, (PG, "completed"), (DB3, "completed"))
        assert [running.end(signal.SIGTERM).code for running in (one, other)] == [0, 0]
    assert shared.cloud.proof() == before
    assert shared.cloud.changes() == SENT
    shared.check()
    shared.sent_once()


@pytest.mark.parametrize("point", [Point.AFTER_INTENT, Point.AFTER_SEND, Point.BEFORE_SETTLE])
def test_what_a_daemon_that_is_killed_left_the_other_takes_over_when_the_lease_has_ended(
    point: Point, shared: Shared
) -> None:
    before = shared.cloud.proof()
    with shared.one.start(*DAEMON, FAILOVER_CRASH_AT=f"{point}:4") as one:
        assert one.end().code == -signal.SIGKILL
    with shared.other.start(*DAEMON) as other:
        shared.person.until(STATES, (PG, "holding"))
        assert shared.person.run("end", PG).code == 0
        shared.person.until(STATES, (PG, "completed"))
        assert other.end(signal.SIGTERM).code == 0
    holders = [(by, int(fence)) for tab, by, fence in shared.witnessed("tab, by_whom, fence") if tab == "fr_leases"]
    assert (ONE, 1) in holders
    assert (OTHER, 2) in holders
    assert shared.cloud.proof() == before
    shared.check()


@pytest.mark.parametrize("point", [Point.AFTER_INTENT, Point.AFTER_SEND, Point.BEFORE_SETTLE, Point.AFTER_SETTLE])
def test_a_daemon_that_stood_still_beyond_its_lease_writes_nothing_more_and_sends_nothing_again(
    point: Point, shared: Shared
) -> None:
    before = shared.cloud.proof()
    with shared.one.standing(f"{point}:4", *DAEMON) as one:
        one.stands()
        with shared.other.start(*DAEMON) as other:
            shared.person.until(STATES, (PG, "holding"))
            kept, sent = shared.kept(), shared.cloud.taken()
            one.tell(signal.SIGCONT)
            one.line(OVERTAKEN)
            assert (shared.kept(), shared.cloud.taken()) == (kept, sent)
            assert shared.person.run("end", PG).code == 0
            shared.person.until(STATES, (PG, "completed"))
            assert [running.end(signal.SIGTERM).code for running in (one, other)] == [0, 0]
    assert shared.cloud.proof() == before
    shared.check()
    shared.sent_once()


def test_a_daemon_that_stands_still_in_the_midst_of_a_write_loses_it_with_its_connection(
    shared: Shared, mariadb: Server
) -> None:
    """The server ends a transaction in which nothing comes for long; here it is made to do so at once."""
    before = shared.cloud.proof()
    with shared.one.standing(f"{Point.BEFORE_INTENT}:4", *DAEMON) as one:
        one.stands()
        mariadb.say(f"KILL USER {ONE}")
        with shared.other.start(*DAEMON) as other:
            shared.person.until(STATES, (PG, "holding"))
            kept, sent = shared.kept(), shared.cloud.taken()
            one.tell(signal.SIGCONT)
            one.line(OVERTAKEN)
            assert (shared.kept(), shared.cloud.taken()) == (kept, sent)
            assert shared.person.run("end", PG).code == 0
            assert [running.end(signal.SIGTERM).code for running in (one, other)] == [0, 0]
    assert shared.cloud.proof() == before
    shared.check()
    shared.sent_once()
