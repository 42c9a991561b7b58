"""The scenarios of the replication system's documentation, by number and name. Its numbers 3, 4 and 10 are not here: they
need a live failover, or stand with the generations of the tables (`tests.reconciler.store.test_a_run_in_each_generation`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from plans.actions import MARK
from plans.plan import Plan, Refusal
from reconciler import crashpoints, operations
from reconciler.crashpoints import Point
from reconciler.daemon import Daemon
from reconciler.loop import Pass
from specs.load import Bounds
from specs.model import Strategy
from tests.mariadb import Server
from tests.reconciler.store import vms
from tests.scenarios.house import DB3, KEYS, PG, Drill, furnished
from tests.scenarios.sample import house
from tests.scenarios.test_crashes import AFTER_THE_LEASE, Died, Reaper, undisturbed

SPEC = "vm: {vm}\nstate: test-failover\nfor: 30m\n"
HALF_AN_HOUR = timedelta(minutes=30)
MANY_TURNS = 4000


@dataclass
class Service:
    """The daemon over a folder of specs, turn by turn; `lines` is what it told."""

    drill: Drill
    folder: Path = field(init=False)
    lines: list[str] = field(default_factory=list)
    passes: list[Pass] = field(default_factory=list)
    daemon: Daemon = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.drill.folder / "watched"
        self.folder.mkdir(exist_ok=True)
        self.begin()

    def begin(self) -> None:
        self.daemon = Daemon(self.drill.connected, self.folder, Bounds(), self.lines.append, self.passes.append)

    def commit(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def revert(self, name: str) -> None:
        (self.folder / name).unlink()

    def turn(self) -> None:
        """One turn, and the time until the next one: a minute at the most, and some time where VMs only wait to begin."""
        done, now = self.daemon.turn(), self.drill.clock.now()
        rest = (done.next_at or now + timedelta(seconds=10)) - now
        waiting = bool(done.passes) and all(seen.run is None for seen in done.passes)
        least = timedelta(seconds=30 if waiting else 1)
        self.drill.advance(min(max(rest, least), timedelta(minutes=1)))

    def until(self, reached: Callable[[], bool]) -> None:
        """Turns until this is so."""
        for _ in range(MANY_TURNS):
            if reached():
                return
            self.turn()
        raise AssertionError(f"not within {MANY_TURNS} turns: {self.lines[-5:]}, {self.drill.runs()}")

    def live_for(self, span: timedelta) -> None:
        until = self.drill.clock.now() + span
        self.until(lambda: self.drill.clock.now() >= until)

    def is_(self, state: str, *names: str) -> bool:
        """Whether the newest runs of these VMs are in a state."""
        found = {run.vm_name: run.state for run in reversed(self.drill.runs())}
        return all(found.get(name) == state for name in names)


@pytest.fixture
def service(drill: Drill) -> Service:
    return Service(drill)


def told(drill: Drill, kind: str) -> list[str]:
    return [row["text"] for row in drill.rows(f"select text from fr_events where kind = '{kind}' order by id")]


# --- 1, 2: the seed's own test ----------------------------------------------------------------------------------------


def test_1_the_seed_s_test_of_30_minutes_runs_to_completion(service: Service) -> None:
    drill, before = service.drill, service.drill.proof()
    service.commit("pg.yaml", SPEC.format(vm=PG))
    service.until(lambda: service.is_("holding", PG))
    drill.cloud.guest_writes(drill.guest(PG)["id"], "a person tests")
    started = drill.run(PG).running_since
    service.until(lambda: service.is_("completed", PG))
    stopped = next(c.at for c in drill.cloud.trace if c.command == "stopVirtualMachine")
    assert started is not None
    assert HALF_AN_HOUR <= stopped - started <= HALF_AN_HOUR + timedelta(seconds=10)
    assert drill.proof() == before
    (row,) = drill.shown(PG)
    assert (row["status"], row["job_type"], row["error_message"]) == ("completed", "test", None)


@pytest.fixture
def reaper(monkeypatch: pytest.MonkeyPatch) -> Reaper:
    made = Reaper()
    monkeypatch.setattr(crashpoints, "on_hit", made)
    return made


@pytest.mark.parametrize("point", [Point.AFTER_INTENT, Point.AFTER_SEND])
def test_2_the_same_with_the_daemon_killed_at_each_action(point: Point, tmp_path: Path, reaper: Reaper) -> None:
    """Killed at its first action, then in another test at its second, and so on, until there is none left."""
    for nth in count(1):
        with furnished(tmp_path / str(nth), durations=1.0) as drill:
            before = drill.proof()
            reaper.arm(point, nth)
            died = killed_once(Service(drill))
            assert drill.proof() == before, reaper.struck
            assert tuple(drill.mutations()) == undisturbed(PG), reaper.struck
        if not died:
            break
    assert len(reaper.struck) >= len(undisturbed(PG))


def killed_once(service: Service) -> bool:
    """The seed's test to its end, by another process if the first one dies; whether it died."""
    service.commit("pg.yaml", SPEC.format(vm=PG))
    try:
        service.until(lambda: service.is_("completed", PG))
    except Died:
        service.drill.advance(AFTER_THE_LEASE)
        service.drill.reborn()
        service.begin()
        service.until(lambda: service.is_("completed", PG))
        return True
    return False


# --- 5: plan, world changes, apply refused ----------------------------------------------------------------------------

CHANGES = {
    "more memory": ("update vm_disks set memory_mb = 8192 where id = 1", "vm.memory_mb"),
    "a replication began": (
        "update replication_jobs set status = 'running' where source_vm_name = 'PGWINTESTBIOS'",
        "ACTIVE",
    ),
    "another test network": (
        "update network_mappings set destination_network_id = '00000000-0000-4000-8000-0000000000b5' "
        "where source_network_name = 'VM Network' and is_test_network",
        "network.VM Network",
    ),
    "a disk more": (
        "insert into vm_disks (id, job_id, disk_id, size_gb, unit_number) "
        "values (99, 'job-20250818-153521', 'disk-2001', 10, 1)",
        "VOLUME_MISSING",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_5_a_plan_is_not_applied_to_a_world_that_changed_since(drill: Drill, change: str) -> None:
    statement, fact = CHANGES[change]
    plan = drill.plan(PG)
    assert operations.stale(drill.connected, plan) == ()
    drill.edit(statement)
    assert any(fact in found.fact for found in operations.stale(drill.connected, plan))


def test_5_a_replica_that_somebody_moved_since_makes_a_plan_stale(drill: Drill) -> None:
    plan = drill.plan(PG)
    drill.cloud.as_account("failover").call("detachVolume", id="e915ef05-ddf5-48d5-8352-a01300609717")
    drill.advance(timedelta(minutes=1))
    (found,) = operations.stale(drill.connected, plan)
    assert (found.fact, found.plan_saw) == ("VOLUME_NOT_AVAILABLE", "allowed")
    drill.approve(plan)
    sent = drill.attempted()
    drill.drive(PG)
    assert (drill.attempted(), drill.runs()) == (sent, ())


# --- 6: a commit removes an entry -------------------------------------------------------------------------------------


def test_6_a_commit_that_removes_an_entry_destroys_nothing_and_the_test_ends_in_its_time(service: Service) -> None:
    drill, before = service.drill, service.drill.proof()
    service.commit(
        "fleet.yaml", "defaults: {state: test-failover, for: 30m}\nvms:\n  - vm: PGWINTESTBIOS\n  - vm: lnx-db3\n"
    )
    service.until(lambda: service.is_("holding", PG, DB3))
    sent = drill.attempted()
    service.commit("fleet.yaml", "defaults: {state: test-failover, for: 30m}\nvms:\n  - vm: lnx-db3\n")
    service.live_for(timedelta(minutes=10))
    assert drill.attempted() == sent
    assert drill.guest(PG)["state"] == "Running"
    service.revert("fleet.yaml")
    service.live_for(timedelta(minutes=10))
    assert drill.attempted() == sent
    service.until(lambda: service.is_("completed", PG, DB3))
    assert drill.proof() == before


@pytest.mark.parametrize("text", ["", "vms: []\n", "vm: [\n"], ids=["empty", "no entry", "broken"])
def test_6_a_folder_without_a_readable_entry_has_no_opinion(service: Service, text: str) -> None:
    service.commit("pg.yaml", SPEC.format(vm=PG))
    service.until(lambda: service.is_("holding", PG))
    sent = service.drill.attempted()
    service.commit("pg.yaml", text)
    service.live_for(timedelta(minutes=10))
    assert (service.drill.attempted(), service.is_("holding", PG)) == (sent, True)


# --- 7: two operators, different states -------------------------------------------------------------------------------

ONE = SPEC.format(vm=PG)
OTHERS = {
    "by the same name": f"vm: {PG}\nstate: protected\n",
    "by its uuid": f"vm: {{uuid: {KEYS[PG]}}}\nstate: protected\n",
    "by its name and vCenter": f"vm: {{name: {PG}, vcenter: vcenter.example.org}}\nstate: test-failover\nfor: 1h\n",
}


@pytest.mark.parametrize("other", OTHERS)
def test_7_what_two_operators_want_of_one_vm_is_refused_and_both_places_are_told(service: Service, other: str) -> None:
    service.commit("alice.yaml", ONE)
    service.commit("bob.yaml", OTHERS[other])
    service.live_for(timedelta(minutes=5))
    assert service.drill.attempted() == []
    assert service.drill.rows("select id from fr_specs") == []
    assert any("alice.yaml" in line and "bob.yaml" in line for line in service.lines), service.lines


def test_7_a_second_opinion_leaves_a_running_test_as_it_is(service: Service) -> None:
    service.commit("alice.yaml", ONE)
    service.until(lambda: service.is_("holding", PG))
    sent = service.drill.attempted()
    service.commit("bob.yaml", OTHERS["by its uuid"])
    service.live_for(timedelta(minutes=10))
    assert (service.drill.attempted(), service.is_("holding", PG)) == (sent, True)


# --- 8: CloudStack away for ten minutes -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop", "lose-answer", "html"])
@pytest.mark.parametrize("after", [1, 4, 6, 8, 11, 14])
def test_8_cloudstack_away_for_ten_minutes_in_the_middle_changes_neither_the_end_nor_the_calls(
    service: Service, kind: str, after: int
) -> None:
    drill, before = service.drill, service.drill.proof()
    service.commit("pg.yaml", SPEC.format(vm=PG))
    service.until(lambda: len(drill.mutations()) >= after)
    away = drill.cloud.faults.add(kind, "*", times=10**6, code=502)
    service.live_for(timedelta(minutes=10))
    drill.cloud.faults.remove(away)
    service.until(lambda: service.is_("completed", PG))
    assert drill.proof() == before
    assert tuple(drill.mutations()) == undisturbed(PG)
    assert any("Trying again; nothing is lost" in line for line in service.lines)


# --- 9: error 530 on a snapshot in place ------------------------------------------------------------------------------

SAYS_IT_CAN = {"refused at once": "refuse", "its job fails": "job-fails"}


@pytest.fixture
def obliging(drill: Drill) -> Drill:
    """A house whose cloud says that volumes of running VMs can be snapshotted."""
    drill.cloud.settings["kvm.snapshot.enabled"] = True
    drill.cloud.restart()
    drill.reborn()
    return drill


@pytest.mark.parametrize("how", SAYS_IT_CAN)
def test_9_error_530_on_a_snapshot_in_place_takes_everything_back(obliging: Drill, how: str) -> None:
    drill, before = obliging, obliging.proof()
    plan = drill.plan(DB3, more="strategy: clone\n")
    assert plan.strategy is Strategy.CLONE
    drill.cloud.faults.add(SAYS_IT_CAN[how], "createSnapshot", nth=2, times=10**6, code=530)
    drill.approve(plan)
    drill.live(DB3)
    run = drill.run(DB3)
    assert (run.state, run.failed) == ("rolled-back", True)
    assert "530" in (run.reason or "")
    assert run.progress < 100
    drill.cloud.faults.clear()
    assert drill.proof() == before
    (row,) = drill.shown(DB3)
    assert (row["status"], "530" in row["error_message"]) == ("failed", True)
    assert isinstance(drill.planned(drill.spec(DB3)), Plan)


def test_9_without_the_setting_a_forced_clone_takes_its_snapshots_while_the_replicas_are_off(drill: Drill) -> None:
    before = drill.proof()
    plan = drill.plan(DB3, more="strategy: clone\n")
    drill.approve(plan)
    drill.live(DB3)
    assert drill.run(DB3).state == "holding"
    drill.end(DB3)
    assert drill.proof() == before
    assert not [c for c in drill.cloud.trace if c.command == "createSnapshot" and c.status != 200]


# --- 11: the old daemon writes in between -----------------------------------------------------------------------------


@pytest.fixture
def beside_replication(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Drill]:
    """A house beside a replication system of the newest generation, which has contexts."""
    server: Server = request.getfixturevalue("mariadb")
    with server.fresh() as name, house.a_house_over(server.url(name), "g3", tmp_path / "house", 13) as made:
        yield made


def context(drill: Drill) -> str:
    (row,) = drill.rows(f"select current_status from vm_replication_contexts where vmware_vm_id = '{vms.uuid(13)}'")
    return str(row["current_status"])


def written(drill: Drill, status: str) -> None:
    """The old daemon writes a status into the context of the VM."""
    drill.edit(f"update vm_replication_contexts set current_status = '{status}' where vmware_vm_id = '{vms.uuid(13)}'")


def held(drill: Drill) -> None:
    plan = drill.planned(house.spec("test-running"))
    assert isinstance(plan, Plan)
    drill.approve(plan)
    drill.live("test-running")
    assert context(drill) == "failed_over_test"


def test_11_a_status_that_the_old_daemon_overwrote_during_a_test_is_put_right_and_told(beside_replication: Drill) -> None:
    drill = beside_replication
    before = drill.proof()
    held(drill)
    for _ in range(2):
        written(drill, "ready_for_failover")
        drill.advance(timedelta(minutes=2))
        drill.round()
        assert context(drill) == "failed_over_test"
    assert len([text for text in told(drill, "context") if "ready_for_failover" in text]) == 2
    assert drill.run("test-running").state == "holding"
    drill.advance(HALF_AN_HOUR)
    drill.live("test-running")
    assert drill.proof() == before
    assert context(drill) == "ready_for_failover"


def test_11_a_status_that_says_replication_works_is_told_once_and_left(beside_replication: Drill) -> None:
    drill = beside_replication
    held(drill)
    written(drill, "replicating")
    for _ in range(3):
        drill.advance(timedelta(minutes=2))
        drill.round()
    assert context(drill) == "replicating"
    assert len([text for text in told(drill, "context") if "replicating" in text]) == 1


@pytest.mark.parametrize("fails", ["createSnapshot", "createVolume", "startVirtualMachine", None])
def test_9_replication_may_have_the_vm_again_wherever_a_test_on_clones_failed(
    beside_replication: Drill, fails: str | None
) -> None:
    drill = beside_replication
    before = drill.proof()
    plan = drill.planned(house.spec("test-running", "strategy: clone\n"))
    assert isinstance(plan, Plan)
    if fails is not None:
        drill.cloud.faults.add("refuse", fails, times=10**6, code=431)
    drill.approve(plan)
    drill.live("test-running")
    drill.advance(HALF_AN_HOUR)
    drill.live("test-running")
    assert drill.run("test-running").state == ("completed" if fails is None else "rolled-back")
    assert drill.proof() == before
    assert context(drill) == "ready_for_failover"


def test_11_a_status_overwritten_at_the_end_leaves_the_replica_to_replication(beside_replication: Drill) -> None:
    drill = beside_replication
    before = drill.proof()
    held(drill)
    written(drill, "ready_for_failover")
    drill.end("test-running")
    assert drill.proof() == before
    assert context(drill) == "ready_for_failover"


# --- 12: thirty VMs in one commit -------------------------------------------------------------------------------------

ANY = tuple(name for name in house.KEYS if name not in ("twin on vcenter.example.org",))
REFUSED = {
    *("lnx-db3-gap", "no-changeid", "partial-cbt", "legacy-net", "no-testnet", "busy-sync", "odd-state", "stuck-pending"),
    *("live-done", "drifted", "nvme-boot", "discovered-only", "spec-zero", "shared-vol", "bad-json", "twin", "web-01"),
}


def fleet(names: tuple[str, ...]) -> str:
    entries = "".join(f"  - vm: {house.reference(name)}\n" for name in names)
    return f"defaults: {{state: test-failover, for: 5m}}\nvms:\n{entries}"


def test_12_all_sample_vms_declared_in_one_commit_with_five_at_a_time(tmp_path: Path) -> None:
    with house.a_house(tmp_path) as drill:
        service, before = Service(drill), drill.proof()
        service.commit("fleet.yaml", fleet(ANY))
        most = 0

        def going() -> int:
            """How many are on their way there; the way back waits for nobody."""
            (row,) = drill.rows("select count(*) n from fr_runs where direction = 'there' and state = 'running'")
            return int(row["n"])

        service.turn()
        refused = {line.partition(":")[0] for line in service.lines if "is refused, nothing was sent" in line}
        assert refused == REFUSED
        tested = {name.partition(" on ")[0] for name in ANY if name not in REFUSED} | {"web-01"}  # once WEB.01 is through
        while not service.is_("completed", *tested):
            service.turn()
            most = max(most, going())
            assert len(service.passes) < 10_000
        assert most == 5
        assert drill.proof() == before
        assert sorted(run.vm_name for run in drill.runs()) == sorted(tested)
        assert not any(MARK in vm["tags"] for vm in drill.cloud.truth()["vms"].values())


def test_12_vms_that_wait_take_nobody_s_place(tmp_path: Path) -> None:
    """Five wait for a sixth that was accepted after them, and five runs are all that may move at once."""
    with house.a_house(tmp_path, *range(230, 236)) as drill:
        waiting, sixth = ("My_VM@2025", "123 Server", "Finance DB (prod)", "Büro-Server 7", "___"), "a-very-long-name"
        sixth = next(name for name in drill.keys if name.startswith(sixth))
        specs = [*(house.spec(name, f"after: [{sixth}]\n") for name in waiting), house.spec(sixth)]
        for plan in operations.plan_all(drill.connected, specs):
            assert isinstance(plan, Plan)
            drill.approve(plan)
        drill.live(*waiting, sixth)
        assert {drill.run(name).state for name in (*waiting, sixth)} == {"holding"}


def test_12_a_refusal_of_one_holds_up_none_of_the_others(tmp_path: Path) -> None:
    with house.a_house(tmp_path, 5, 6) as drill:
        found = operations.plan_all(drill.connected, [house.spec("no-changeid"), house.spec("short-changeid")])
        assert [type(one) for one in found] == [Refusal, Plan]
