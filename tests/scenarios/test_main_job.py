"""The main job: a VM goes into a test failover and comes back, by time or because somebody ends it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from plans import actions
from plans.plan import Plan, Refusal
from specs import load
from specs.goal import GoalKind
from tests.scenarios.house import APPLIANCE, BOTH, DB3, GUESTS, KEYS, PG, Drill, is_mutating

HOME = {
    PG: {1: "e915ef05-ddf5-48d5-8352-a01300609717"},
    DB3: {n: f"3d000000-0000-4000-8000-00000000200{i}" for i, n in enumerate((2, 4, 5))},
}
ON_THE_GUEST = {vm: dict(enumerate(HOME[vm].values())) for vm in BOTH}
TEST_NETWORKS = {PG: ["test-network-default"], DB3: ["test-network-default", "test-network-db"]}
COMMANDS = {
    "reserve": None,
    "create-guest": "deployVirtualMachine",
    "mark-guest": "createTags",
    "stop-guest": "stopVirtualMachine",
    "detach-default-root": "detachVolume",
    "delete-default-root": "deleteVolume",
    "detach-replica": "detachVolume",
    "revert-replica": "revertSnapshot",
    "snapshot-replica": "createSnapshot",
    "attach-replica": "attachVolume",
    "start-guest": "startVirtualMachine",
    "destroy-guest": "destroyVirtualMachine",
    "delete-snapshot": "deleteSnapshot",
    "release": None,
}
HALF_AN_HOUR = timedelta(minutes=30)


def as_calls(steps: Any) -> list[tuple[str, str | None, str | None]]:
    """The calls that these steps should make: command, the volume concerned, the device."""
    return [
        (command, getattr(s.action, "volume_id", None), _device(s.action))
        for s in steps
        if (command := COMMANDS[s.action.word]) is not None
    ]


def _device(action: actions.Action) -> str | None:
    return str(action.device) if isinstance(action, actions.AttachReplica) else None


def calls_made(drill: Drill, since: int = 0) -> list[tuple[str, str | None, str | None]]:
    """The calls that the cloud took, with the replica concerned, in the same form."""
    replicas = {v for vm in BOTH for v in HOME[vm].values()}
    snapshots = {s["id"]: s["volume"] for s in drill.cloud.truth()["snapshots"].values()}

    def subject(params: Any) -> str | None:
        named = params.get("volumeid") or snapshots.get(params.get("id", "")) or params.get("id")
        return named if named in replicas else None

    made = [c for c in drill.cloud.trace[since:] if is_mutating(c.command)]
    assert all(c.status == 200 for c in made), [c for c in made if c.status != 200]
    lowered = [(c.command, {k.lower(): v for k, v in c.params.items()}) for c in made]
    return [(command, subject(params), params.get("deviceid")) for command, params in lowered]


# --- there ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vm", BOTH)
def test_a_plan_changes_nothing(drill: Drill, vm: str) -> None:
    before = drill.proof()
    drill.plan(vm)
    assert drill.attempted() == []
    assert drill.rows("select id from fr_specs union all select id from fr_runs") == []
    assert drill.proof() == before


def test_rounds_without_an_approved_plan_do_nothing(drill: Drill) -> None:
    drill.plan(PG)
    for _ in range(5):
        assert drill.round().passes == ()
        drill.advance(timedelta(minutes=1))
    assert drill.attempted() == []


@pytest.mark.parametrize("vm", BOTH)
def test_the_way_there_makes_exactly_the_calls_of_the_plan(drill: Drill, vm: str) -> None:
    plan = drill.apply(vm)[vm]
    assert calls_made(drill) == as_calls(plan.steps)


@pytest.mark.parametrize("vm", BOTH)
def test_the_guest_runs_with_every_replica_at_its_device(drill: Drill, vm: str) -> None:
    drill.apply(vm)
    guest = drill.guest(vm)
    assert (guest["name"], guest["state"]) == (GUESTS[vm], "Running")
    assert drill.disks_of(guest["id"]) == ON_THE_GUEST[vm]
    assert not set(ON_THE_GUEST[vm].values()) & set(drill.disks_of(APPLIANCE).values())


@pytest.mark.parametrize("vm", BOTH)
def test_the_guest_is_on_its_test_networks_and_no_other(drill: Drill, vm: str) -> None:
    drill.apply(vm)
    networks = drill.cloud.truth()["networks"]
    assert [networks[n.network]["name"] for n in drill.guest(vm)["nics"]] == TEST_NETWORKS[vm]


@pytest.mark.parametrize("vm", BOTH)
def test_every_replica_has_a_rollback_point_before_the_guest_starts(drill: Drill, vm: str) -> None:
    drill.apply(vm)
    ready = {s["volume"]: s["state"] for s in drill.cloud.truth()["snapshots"].values()}
    assert ready == dict.fromkeys(HOME[vm].values(), "BackedUp")
    order = drill.mutations()
    assert order.index("startVirtualMachine") > max(
        n for n, c in enumerate(order) if c in ("createSnapshot", "attachVolume")
    )


@pytest.mark.parametrize("vm", BOTH)
def test_everything_made_is_marked_with_the_run(drill: Drill, vm: str) -> None:
    drill.apply(vm)
    run = drill.run(vm).id
    made = [drill.guest(vm), *drill.cloud.truth()["snapshots"].values()]
    assert [x["tags"].get(actions.MARK) for x in made] == [run] * len(made)


def test_the_default_root_of_the_guest_is_gone(drill: Drill) -> None:
    before = set(drill.cloud.truth()["volumes"])
    drill.apply(PG)
    assert set(drill.cloud.truth()["volumes"]) == before


def test_the_other_vm_is_not_touched(drill: Drill) -> None:
    before = drill.proof()
    drill.apply(PG)
    after = drill.proof()
    others = set(HOME[DB3].values())
    assert {v: after.places[v] for v in others} == {v: before.places[v] for v in others}
    assert {v: after.contents[v] for v in others} == {v: before.contents[v] for v in others}


@pytest.mark.parametrize("vm", BOTH)
def test_a_held_test_is_left_alone_until_its_time(drill: Drill, vm: str) -> None:
    drill.apply(vm)
    sent = len(drill.cloud.trace)
    for _ in range(29):
        assert drill.round().next_at == drill.run(vm).expires_at
        drill.advance(timedelta(minutes=1))
    assert len(drill.cloud.trace) == sent
    assert drill.run(vm).state == "holding"


def test_the_time_of_a_test_counts_from_when_its_guest_runs(drill: Drill) -> None:
    drill.apply(PG)
    run = drill.run(PG)
    started = next(c.at for c in drill.cloud.trace if c.command == "startVirtualMachine")
    assert run.running_since is not None
    assert started <= run.running_since <= started + timedelta(seconds=10)
    assert run.expires_at == run.running_since + HALF_AN_HOUR


# --- back -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vm", BOTH)
def test_when_the_time_is_up_everything_is_as_before(drill: Drill, vm: str) -> None:
    before = drill.proof()
    plan = drill.apply(vm)[vm]
    sent = len(drill.cloud.trace)
    drill.cloud.guest_writes(drill.guest(vm)["id"], "a person tests")
    assert drill.proof().contents != before.contents
    drill.advance(HALF_AN_HOUR)
    drill.drive(vm)
    assert drill.proof() == before
    assert calls_made(drill, sent) == as_calls(plan.way_back)
    assert drill.run(vm).state == "completed"


@pytest.mark.parametrize("vm", BOTH)
def test_a_test_that_somebody_ends_is_taken_back_at_once(drill: Drill, vm: str) -> None:
    before = drill.proof()
    plan = drill.apply(vm)[vm]
    sent = len(drill.cloud.trace)
    drill.advance(timedelta(minutes=2))
    drill.end(vm)
    assert drill.proof() == before
    assert calls_made(drill, sent) == as_calls(plan.way_back)
    assert (drill.run(vm).state, drill.run(vm).reason) == ("completed", "ended by tests")


def test_two_vms_go_there_and_back_side_by_side(drill: Drill) -> None:
    before = drill.proof()
    drill.apply(*BOTH)
    assert {drill.guest(vm)["state"] for vm in BOTH} == {"Running"}
    assert {vm: drill.disks_of(drill.guest(vm)["id"]) for vm in BOTH} == ON_THE_GUEST
    drill.advance(timedelta(hours=1))
    drill.drive(*BOTH)
    assert drill.proof() == before


@pytest.mark.parametrize("passed", range(1, 9))
def test_a_test_ended_on_its_way_there_goes_back_from_where_it_is(drill: Drill, passed: int) -> None:
    before = drill.proof()
    drill.approve(drill.plan(DB3))
    while len(drill.mutations()) < passed:
        drill.round()
        drill.advance(timedelta(seconds=2))
    drill.end(DB3)
    assert drill.proof() == before
    assert "startVirtualMachine" not in drill.mutations()


@pytest.mark.parametrize("vm", BOTH)
def test_ending_what_does_not_run_sends_nothing(drill: Drill, vm: str) -> None:
    drill.end(vm)
    assert drill.attempted() == []


# --- once more --------------------------------------------------------------------------------------------------------


def test_applying_a_running_test_again_is_nothing_to_do(drill: Drill) -> None:
    drill.apply(PG)
    again = drill.plan(PG)
    assert again.steps == ()
    assert not drill.approve(again).new


def test_applying_a_test_that_was_carried_out_is_nothing_to_do(drill: Drill) -> None:
    drill.apply(PG)
    drill.end(PG)
    sent = drill.attempted()
    again = drill.plan(PG)
    assert (again.steps, again.goal) == ((), GoalKind.PROTECTED)
    assert any("--again" in w for w in again.warnings)
    drill.approve(again)
    drill.drive(PG)
    assert drill.attempted() == sent


def test_again_runs_it_once_more_under_a_new_name(drill: Drill) -> None:
    before = drill.proof()
    drill.apply(PG)
    drill.end(PG)
    drill.apply(PG, again=True)
    assert drill.guest(PG)["name"] == f"{GUESTS[PG]}-2"
    assert len(drill.runs()) == 2
    drill.end(PG)
    assert drill.proof() == before


def test_a_running_test_that_is_to_be_protected_goes_back_and_stays_there(drill: Drill) -> None:
    before = drill.proof()
    drill.apply(PG)
    back = drill.planned(load.load_text(f"vm: {PG}\nstate: protected\n", "back.yaml").specs[0])
    assert isinstance(back, Plan)
    drill.approve(back)
    drill.live(PG)
    assert drill.proof() == before


# --- what others read -------------------------------------------------------------------------------------------------

WORDS = (
    "validating",
    "executing",
    "creating_vm",
    "switching_volume",
    "snapshotting",
    "powering_on",
    "holding",
    "cleanup",
    "reverting",
    "completed",
)


@pytest.mark.parametrize("vm", BOTH)
def test_failover_jobs_tells_the_story_and_its_progress_never_falls(drill: Drill, vm: str) -> None:
    seen: list[tuple[str, float]] = []

    def note() -> None:
        if drill.shown(vm):
            seen.append((drill.shown(vm)[0]["status"], drill.run(vm).progress))

    drill.approve(drill.plan(vm))
    for _ in range(2):
        while True:
            drill.round()
            note()
            if drill.run(vm).state in ("holding", "completed"):
                break
            drill.advance(timedelta(seconds=2))
        drill.advance(HALF_AN_HOUR)
    percents = [percent for _, percent in seen]
    assert percents == sorted(percents)
    assert (percents[-1], seen[-1][0]) == (100.0, "completed")
    told = list(dict.fromkeys(word for word, _ in seen))
    assert {*told} <= {*WORDS}
    assert told[-1] == "completed"


@pytest.mark.parametrize("vm", BOTH)
def test_failover_jobs_has_one_row_in_the_documented_form(drill: Drill, vm: str) -> None:
    drill.apply(vm)
    (running,) = drill.shown(vm)
    assert (running["job_type"], running["source_vm_name"], running["vm_id"]) == ("test", vm, KEYS[vm])
    assert running["job_id"].startswith(f"test-failover-{KEYS[vm]}-")
    assert running["destination_vm_id"] == drill.guest(vm)["id"]
    assert running["completed_at"] is None
    drill.end(vm)
    (ended,) = drill.shown(vm)
    assert (ended["status"], ended["error_message"]) == ("completed", None)
    assert ended["completed_at"] is not None


@pytest.mark.parametrize(
    "table", ["replication_jobs", "vm_disks", "ossea_volumes", "cbt_history", "network_mappings", "ossea_configs"]
)
def test_a_test_failover_writes_nothing_into_the_tables_of_replication(drill: Drill, table: str) -> None:
    before = drill.rows(f"select * from {table}")
    drill.apply(*BOTH)
    assert drill.rows(f"select * from {table}") == before
    drill.end(*BOTH)
    assert drill.rows(f"select * from {table}") == before


BUSY = "update replication_jobs set status = 'running' where source_vm_name = 'PGWINTESTBIOS'"
IDLE = "update replication_jobs set status = 'completed' where source_vm_name = 'PGWINTESTBIOS'"

# --- the world changes ------------------------------------------------------------------------------------------------


def test_a_replication_that_began_after_the_approval_is_waited_for(drill: Drill) -> None:
    drill.approve(drill.plan(PG))
    drill.edit(BUSY)
    (seen,) = drill.engine.round().passes
    assert (seen.outcome.kind, drill.attempted(), drill.runs()) == ("wait", [], ())
    assert "replication job" in seen.outcome.why
    assert isinstance(drill.planned(drill.spec(PG)), Refusal)


def test_a_test_that_waited_for_replication_begins_when_that_is_over(drill: Drill) -> None:
    drill.approve(drill.plan(PG))
    drill.edit(BUSY)
    drill.engine.round()
    drill.edit(IDLE)
    drill.advance(timedelta(seconds=3))
    drill.drive(PG)
    assert drill.run(PG).state == "holding"


def test_a_test_that_could_not_begin_may_be_applied_again(drill: Drill) -> None:
    drill.approve(drill.plan(PG))
    drill.edit("update vm_disks set memory_mb = 8192 where id = 1")
    drill.drive(PG)
    drill.apply(PG)
    assert drill.run(PG).state == "holding"


def test_an_approved_plan_of_other_facts_is_not_begun(drill: Drill) -> None:
    drill.approve(drill.plan(PG))
    drill.edit("update vm_disks set memory_mb = 8192 where id = 1")
    drill.drive(PG)
    assert drill.attempted() == []
    (told,) = drill.rows("select state, reason from fr_specs")
    assert told["state"] == "failed"
    assert "plan again" in told["reason"]


def test_a_test_that_cannot_start_in_time_never_starts(drill: Drill) -> None:
    drill.approve(drill.plan(PG))
    drill.advance(timedelta(hours=5))
    drill.drive(PG)
    assert drill.attempted() == []


@pytest.mark.parametrize("vm", BOTH)
def test_the_same_question_has_the_same_digest(drill: Drill, vm: str) -> None:
    first: Plan = drill.plan(vm)
    drill.advance(timedelta(minutes=3))
    assert drill.plan(vm).digest == first.digest
