"""Sample VMs that are in the middle of something: what is done about it, and what never is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from plans import actions
from plans.plan import Plan, Refusal
from plans.readiness import Kind
from reconciler import operations, readiness
from tests.mariadb import Server
from tests.reconciler.store import vms
from tests.scenarios.house import APPLIANCE, Drill, Proof
from tests.scenarios.sample import cloud, house

NAMES = tuple(house.label(vm) for vm in house.BY_NUMBER.values() if 230 <= vm.number < 240)
HALF_AN_HOUR = timedelta(minutes=30)


def under_test(drill: Drill, *names: str) -> None:
    """Tests of these VMs run."""
    for name in names:
        plan = drill.planned(house.spec(name))
        assert isinstance(plan, Plan), plan.reasons
        drill.approve(plan)
    drill.live(*names)
    for name in names:
        assert drill.run(name).state == "holding", drill.run(name).reason
        drill.cloud.guest_writes(drill.guest(name)["id"], f"a person tests {name}")


# --- 13 test-running, 14 test-overdue ---------------------------------------------------------------------------------


@contextmanager
def a_house(request: pytest.FixtureRequest, generation: str, folder: Path, *numbers: int) -> Iterator[Drill]:
    if generation == "embedded":
        with house.a_house(folder, *numbers) as made:
            yield made
        return
    server: Server = request.getfixturevalue("mariadb")
    with server.fresh() as name, house.a_house_over(server.url(name), generation, folder, *numbers) as made:
        yield made


def context_of(drill: Drill, name: str) -> str | None:
    """The status of a VM's context, where this generation has contexts."""
    if not drill.engine.legacy.has_contexts:
        return None
    (row,) = drill.rows(f"select current_status from vm_replication_contexts where vmware_vm_id = '{drill.keys[name]}'")
    return str(row["current_status"])


@pytest.mark.parametrize("generation", ["embedded", "g3"])
def test_13_test_running_is_left_alone_for_ten_minutes_and_cleaned_when_its_time_is_up(
    request: pytest.FixtureRequest, generation: str, tmp_path: Path
) -> None:
    with a_house(request, generation, tmp_path, 13) as drill:
        before = drill.proof()
        under_test(drill, "test-running")
        drill.advance(timedelta(minutes=20))
        assert context_of(drill, "test-running") in (None, "failed_over_test")
        sent = drill.attempted()
        drill.advance(timedelta(minutes=9))
        drill.live("test-running")
        assert drill.attempted() == sent
        drill.advance(timedelta(minutes=1))
        drill.live("test-running")
        assert (drill.run("test-running").state, drill.run("test-running").failed) == ("completed", False)
        assert drill.proof() == before
        assert context_of(drill, "test-running") in (None, "ready_for_failover")


@pytest.mark.parametrize("generation", ["embedded", "g3"])
def test_14_test_overdue_is_cleaned_as_soon_as_a_process_lives_again(
    request: pytest.FixtureRequest, generation: str, tmp_path: Path
) -> None:
    with a_house(request, generation, tmp_path, 14) as drill:
        before = drill.proof()
        under_test(drill, "test-overdue")
        drill.advance(HALF_AN_HOUR + timedelta(hours=2))
        drill.reborn()
        sent = drill.attempted()
        drill.round()
        assert drill.attempted() == [*sent, "stopVirtualMachine"]
        drill.live("test-overdue")
        assert (drill.run("test-overdue").state, drill.run("test-overdue").failed) == ("completed", False)
        assert drill.proof() == before


def test_13_a_running_test_without_auto_cleanup_stays_until_somebody_ends_it(tmp_path: Path) -> None:
    with house.a_house(tmp_path, 13) as drill:
        before = drill.proof()
        plan = drill.planned(house.spec("test-running", "auto_cleanup: false\n"))
        assert isinstance(plan, Plan)
        drill.approve(plan)
        drill.live("test-running")
        sent = drill.attempted()
        drill.advance(timedelta(hours=5))
        drill.live("test-running")
        assert (drill.run("test-running").state, drill.attempted()) == ("holding", sent)
        drill.end("test-running")
        assert drill.proof() == before


# --- 15 live-done -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", ["embedded", "g3"])
def test_15_live_done_is_refused_and_its_guest_never_touched(
    request: pytest.FixtureRequest, generation: str, tmp_path: Path
) -> None:
    with a_house(request, generation, tmp_path, 15) as drill:
        before = drill.proof()
        found = drill.planned(house.spec("live-done"))
        assert isinstance(found, Refusal)
        texts = " ".join(reason.text for reason in found.reasons)
        assert f"attached to VM {cloud.LIVE_GUEST}" in texts
        codes = {reason.code for reason in found.reasons}
        assert codes == {"VOLUME_NOT_AVAILABLE", *(["FAILED_OVER"] if generation == "g3" else [])}
        assert (drill.attempted(), drill.proof()) == ([], before)


CONTEXTS = {
    "failed_over_test": "FAILED_OVER",
    "failed_over_live": "FAILED_OVER",
    "cleanup_required": "CLEANUP_REQUIRED",
    "replicating": "ACTIVE_JOBS",
    "ready_for_failover": None,
    "discovered": None,
    "completed": None,
    "failed": None,
}


def test_a_plan_is_refused_while_the_context_says_that_something_else_has_the_vm(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with a_house(request, "g3", tmp_path, 13) as drill:
        for status, code in CONTEXTS.items():
            drill.edit(f"update vm_replication_contexts set current_status = '{status}'")
            found = drill.planned(house.spec("test-running"))
            codes = [reason.code for reason in found.reasons] if isinstance(found, Refusal) else [None]
            assert codes == [code], status


# --- 16 half-moved ----------------------------------------------------------------------------------------------------


@contextmanager
def half_moved(folder: Path) -> Iterator[tuple[Drill, Proof]]:
    """A process died when two of three replicas were off, and somebody attached the first one; and what was before."""
    with house.a_house(folder, 16) as drill:
        before = drill.proof()
        plan = drill.planned(house.spec("half-moved"))
        assert isinstance(plan, Plan)
        drill.approve(plan)
        first, second, third = (vms.volume(16, disk) for disk in (2000, 2001, 2002))
        while drill.cloud.truth()["volumes"][second]["vm"] is not None:
            drill.round()
            drill.advance(timedelta(seconds=1))
        guest = drill.run("half-moved").guest_id
        drill.cloud.as_account("failover").call("attachVolume", id=first, virtualmachineid=guest, deviceid="0")
        drill.advance(timedelta(minutes=2))
        places = {v: drill.cloud.truth()["volumes"][v]["vm"] for v in (first, second, third)}
        assert places == {first: guest, second: None, third: APPLIANCE}
        drill.reborn()
        yield drill, before


def test_16_half_moved_is_restored_when_somebody_ends_it(tmp_path: Path) -> None:
    with half_moved(tmp_path) as (drill, before):
        drill.end("half-moved")
        assert drill.proof() == before
        assert drill.run("half-moved").state == "completed"


def test_16_half_moved_stops_and_asks_when_nobody_ends_it(tmp_path: Path) -> None:
    with half_moved(tmp_path) as (drill, before):
        drill.live("half-moved")
        run = drill.run("half-moved")
        assert run.state == "paused"
        assert "the world changed" in (run.reason or "")
        drill.end("half-moved")
        assert drill.proof() == before


# --- 17 snap-left, 18 drifted, 19 dirty-copy --------------------------------------------------------------------------


def test_17_snap_left_goes_there_and_back_and_the_old_snapshot_is_never_reverted_nor_deleted(tmp_path: Path) -> None:
    with house.a_house(tmp_path, 17) as drill:
        before, old = drill.proof(), house.BY_NUMBER[17].snapshot
        assert old in before.snapshots
        under_test(drill, "snap-left")
        drill.end("snap-left")
        assert drill.proof() == before
        assert not [c for c in drill.cloud.trace if old in c.params.values() and not c.command.startswith("list")]
        (row,) = drill.rows(f"select snapshot_id from ossea_volumes where lower(volume_id) = '{vms.volume(17)}'")
        assert row["snapshot_id"] == old


def test_18_drifted_is_never_mended_in_favour_of_the_database(tmp_path: Path) -> None:
    with house.a_house(tmp_path, 18) as drill:
        before = drill.proof()
        assert isinstance(drill.planned(house.spec("drifted")), Refusal)
        for _ in range(5):
            drill.round()
            drill.advance(timedelta(minutes=1))
        assert (drill.attempted(), drill.proof()) == ([], before)


def dirtied(drill: Drill) -> None:
    """A test ended when its rollback point was gone: nobody could revert the replica."""
    under_test(drill, "dirty-copy")
    (snapshot,) = drill.proof().snapshots
    drill.cloud.as_account("failover").call("deleteSnapshot", id=snapshot)
    drill.advance(timedelta(minutes=1))
    drill.end("dirty-copy")


def test_19_dirty_copy_is_home_but_never_called_ready(tmp_path: Path) -> None:
    with house.a_house(tmp_path, 19) as drill:
        home = drill.proof().places
        dirtied(drill)
        assert drill.proof().places == home
        assert drill.proof().dirty == (vms.volume(19),)
        found = drill.planned(house.spec("dirty-copy"), again=True)
        assert isinstance(found, Refusal)
        assert [(r.code, r.fix) for r in found.reasons] == [("REPLICA_DIRTY", "run a full sync of dirty-copy")]
        (row,) = readiness.of(drill.connected, Kind.TEST, [house.KEYS["dirty-copy"]])
        assert not row.readiness.is_ready
        assert "V-03" in {check.id for check in row.readiness.checks if not check.passed}


@pytest.mark.parametrize("generation", ["embedded", "g1", "g3"])
def test_19_dirty_copy_is_clean_again_after_a_full_sync_and_no_other(
    request: pytest.FixtureRequest, generation: str, tmp_path: Path
) -> None:
    with a_house(request, generation, tmp_path, 19) as drill:
        dirtied(drill)
        for kind, success in (("incremental", True), ("initial", False)):
            synced(drill, generation, kind, success)
            assert isinstance(drill.planned(house.spec("dirty-copy"), again=True), Refusal)
        synced(drill, generation, "initial", success=True)
        assert isinstance(drill.planned(house.spec("dirty-copy"), again=True), Plan)


def synced(drill: Drill, generation: str, kind: str, success: bool) -> None:
    """Replication ran once more, and its context is ready again."""
    number = 5000 + len(drill.rows("select id from cbt_history"))
    named = ", disk_id" if generation != "g1" else "", ", 'disk-2000'" if generation != "g1" else ""
    drill.edit(
        "insert into replication_jobs (id, source_vm_id, source_vm_name, replication_type, status, created_at) "
        f"values ('job-{number}', '{vms.uuid(19)}', 'dirty-copy', '{kind}', 'completed', '2026-11-24 16:00:00')",
        f"insert into cbt_history (id, job_id, change_id, sync_success, created_at{named[0]}) "
        f"values ({number}, 'job-{number}', '52 a1/{number}', {int(success)}, '2026-11-24 16:30:00'{named[1]})",
    )
    if context_of(drill, "dirty-copy") is not None:
        drill.edit("update vm_replication_contexts set current_status = 'ready_for_failover'")


def test_19_dirty_copy_is_left_for_replication_to_clean_up_in_its_context(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with a_house(request, "g3", tmp_path, 19) as drill:
        dirtied(drill)
        assert context_of(drill, "dirty-copy") == "cleanup_required"


# --- 20 nvme-boot, 23 names, 28 big -----------------------------------------------------------------------------------


def test_20_nvme_boot_runs_from_the_disk_that_was_declared(tmp_path: Path) -> None:
    with house.a_house(tmp_path, 20) as drill:
        before = drill.proof()
        plan = drill.planned(house.spec("nvme-boot", "boot_disk: disk-31000\n"))
        assert isinstance(plan, Plan)
        drill.approve(plan)
        drill.live("nvme-boot")
        guest = drill.guest("nvme-boot")
        assert drill.disks_of(guest["id"]) == {0: vms.volume(20, 31000), 1: vms.volume(20, 2000)}
        drill.end("nvme-boot")
        assert drill.proof() == before


def test_23_vms_of_any_name_go_there_and_back_side_by_side(tmp_path: Path) -> None:
    with house.a_house(tmp_path, *range(230, 236)) as drill:
        before = drill.proof()
        under_test(drill, *NAMES)
        names = {drill.guest(name)["name"] for name in NAMES}
        assert len(names) == len(NAMES)
        assert all(len(name) <= 63 and name.endswith("-test") for name in names)
        assert {drill.shown(name)[0]["source_vm_name"] for name in NAMES} == set(NAMES)
        drill.advance(HALF_AN_HOUR)
        drill.live(*NAMES)
        assert {drill.run(name).state for name in NAMES} == {"completed"}
        assert drill.proof() == before


def test_28_big_64_gets_its_sixteen_disks_one_after_the_other_and_gives_them_back(tmp_path: Path) -> None:
    with house.a_house(tmp_path, 28) as drill:
        before = drill.proof()
        under_test(drill, "big-64")
        devices = [n for n in range(17) if n != 3]
        disks = {device: vms.volume(28, 2000 + n) for n, device in enumerate(devices)}
        assert drill.disks_of(drill.guest("big-64")["id"]) == disks
        attached = [c.params["deviceid"] for c in drill.cloud.trace if c.command == "attachVolume" and c.status == 200]
        assert attached == [str(n) for n in devices]
        drill.end("big-64")
        assert drill.proof() == before


# --- 24 equal names, 25 prefixes, 26 twins ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "names"),
    [((240, 241), ("WEB.01", "web-01")), ((260, 261), ("twin on vcenter.example.org", "twin on vcenter2.example.org"))],
    ids=["24 equal names", "26 twin"],
)
def test_of_vms_whose_guests_would_have_one_name_the_second_is_refused(
    numbers: tuple[int, int], names: tuple[str, str], tmp_path: Path
) -> None:
    with house.a_house(tmp_path, *numbers) as drill:
        first, second = operations.plan_all(drill.connected, tuple(map(house.spec, names)))
        assert isinstance(first, Plan)
        assert isinstance(second, Refusal)
        assert [reason.code for reason in second.reasons] == ["NAME_TAKEN"]
        drill.approve(first)
        drill.round()
        found = drill.planned(house.spec(names[1]))
        assert isinstance(found, Refusal)
        assert [reason.code for reason in found.reasons] == ["NAME_TAKEN"]


def test_24_of_two_plans_for_one_guest_name_that_were_approved_apart_one_waits_for_the_other(tmp_path: Path) -> None:
    with house.a_house(tmp_path, 240, 241) as drill:
        before = drill.proof()
        for plan in [drill.planned(house.spec(name)) for name in ("WEB.01", "web-01")]:
            assert isinstance(plan, Plan)
            drill.approve(plan)
        drill.live("WEB.01")
        seen = next(p for p in drill.round().passes if p.vm == "web-01")
        assert (seen.outcome.kind, seen.run) == ("wait", None)
        assert "web-01-test" in seen.outcome.why
        drill.end("WEB.01")
        assert drill.proof() == before
        drill.live("web-01")
        assert drill.guest("web-01")["name"] == "web-01-test"
        drill.end("web-01")
        assert drill.proof() == before


def test_25_progress_of_app1_and_app10_is_never_mixed(tmp_path: Path) -> None:
    with house.a_house(tmp_path, 250, 251) as drill:
        under_test(drill, "app1")
        assert drill.shown("app10") == []
        assert operations.history(drill.connected, "app10") == ()
        under_test(drill, "app10")
        drill.end("app1")
        assert [(n, drill.run(n).state, drill.run(n).progress >= 100) for n in ("app1", "app10")] == [
            ("app1", "completed", True),
            ("app10", "holding", False),
        ]
        for name in ("app1", "app10"):
            assert [row["destination_vm_id"] for row in drill.shown(name)] == [drill.run(name).guest_id]
            assert {run.vm_name for run in operations.history(drill.connected, name)} == {name}
            assert {e.run_id for e in operations.why(drill.connected, name).events if e.run_id} == {drill.run(name).id}


def test_27_shared_vol_is_refused_whatever_the_spec_says(tmp_path: Path) -> None:
    with house.a_house(tmp_path, 27) as drill:
        for more in ("", "strategy: clone\n", "skip_validation: {reason: we know}\n"):
            assert isinstance(drill.planned(house.spec("shared-vol", more)), Refusal)
        assert drill.attempted() == []


def test_30_name_keyed_uses_the_networks_stored_under_its_name(tmp_path: Path) -> None:
    with house.a_house(tmp_path, 30) as drill:
        plan = drill.planned(house.spec("name-keyed"))
        assert isinstance(plan, Plan)
        (create,) = (s.action for s in plan.steps if isinstance(s.action, actions.CreateGuest))
        assert create.networks == (vms.TEST[0],)
