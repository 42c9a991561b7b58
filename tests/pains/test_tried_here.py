"""Pains of the old failover, tried here; those that have a test elsewhere stand in `pains.toml` alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from plans import actions
from plans.plan import Plan, Refusal
from reconciler.execute import Kind
from reconciler.loop import Pass
from tests.reconciler.store import vms
from tests.scenarios.house import APPLIANCE, BOTH, DB3, GUESTS, KEYS, PG, Drill, is_mutating
from tests.scenarios.sample import house

ROOT = Path(__file__).parents[2]
HALF_AN_HOUR = timedelta(minutes=30)
ACCOUNT = "failover"


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    with house.furnished(tmp_path, durations=1.0) as made:
        yield made


def under_test(drill: Drill, vm: str) -> None:
    drill.approve(drill.plan(vm))
    drill.live(vm)
    assert drill.run(vm).state == "holding", drill.run(vm).reason
    drill.cloud.guest_writes(drill.guest(vm)["id"], "a person tests")


def by_hand(drill: Drill, command: str, **given: str) -> None:
    """Somebody does this in the cloud, and it takes its time."""
    drill.cloud.as_account(ACCOUNT).call(command, **given)
    drill.advance(timedelta(minutes=1))


# --- volumes ----------------------------------------------------------------------------------------------------------

REFUSED = {"refused at once": "refuse", "its job fails": "job-fails"}


@pytest.mark.parametrize("how", REFUSED)
@pytest.mark.parametrize("disk", [1, 2, 3])
@pytest.mark.parametrize("command", ["detachVolume", "createSnapshot", "attachVolume"])
def test_a_step_that_fails_for_one_disk_is_undone_for_all_of_them(drill: Drill, command: str, disk: int, how: str) -> None:
    before = drill.proof()
    nth = disk + (command == "detachVolume")  # the first that comes off is the blank root
    drill.approve(drill.plan(DB3))
    drill.cloud.faults.add(REFUSED[how], command, nth=nth, code=431)
    drill.live(DB3)
    run = drill.run(DB3)
    assert (run.state, run.failed) == ("rolled-back", True)
    assert "431" in (run.reason or "")
    assert drill.proof() == before
    assert "startVirtualMachine" not in drill.attempted()
    assert [row["status"] for row in drill.shown(DB3)] == ["failed"]


def test_what_somebody_took_off_the_guest_already_is_no_error(drill: Drill) -> None:
    before = drill.proof()
    under_test(drill, DB3)
    by_hand(drill, "stopVirtualMachine", id=drill.guest(DB3)["id"])
    by_hand(drill, "detachVolume", id=vms_of(drill, DB3)[1])
    drill.end(DB3)
    assert (drill.run(DB3).state, drill.run(DB3).failed) == ("completed", False)
    assert drill.proof() == before


def vms_of(drill: Drill, vm: str) -> list[str]:
    """The volumes on the guest of a VM, by device."""
    return [volume for _, volume in sorted(drill.disks_of(drill.guest(vm)["id"]).items())]


def test_a_written_replica_that_somebody_gave_back_unreverted_is_taken_off_once_more_and_reverted(drill: Drill) -> None:
    before = drill.proof()
    under_test(drill, PG)
    (replica,) = vms_of(drill, PG)
    by_hand(drill, "stopVirtualMachine", id=drill.guest(PG)["id"])
    by_hand(drill, "detachVolume", id=replica)
    by_hand(drill, "attachVolume", id=replica, virtualmachineid=APPLIANCE)
    drill.end(PG)
    assert drill.run(PG).state == "completed"
    assert drill.proof() == before


@pytest.mark.parametrize("vm", BOTH)
def test_while_a_revert_fails_its_snapshot_is_kept_and_replication_kept_out(drill: Drill, vm: str) -> None:
    before = drill.proof()
    under_test(drill, vm)
    points = drill.proof().snapshots
    fault = drill.cloud.faults.add("job-fails", "revertSnapshot", times=10**6, code=530)
    drill.advance(HALF_AN_HOUR)
    drill.live(vm)
    run = drill.run(vm)
    assert (run.state, run.reserved) == ("stuck", True)
    assert "530" in (run.reason or "")
    assert drill.proof().snapshots == points
    assert "deleteSnapshot" not in drill.attempted()
    drill.cloud.faults.remove(fault)
    drill.advance(timedelta(minutes=6))
    drill.live(vm)
    assert drill.proof() == before
    assert drill.run(vm).state == "completed"


# --- identity ---------------------------------------------------------------------------------------------------------


def deployed(drill: Drill, name: str) -> str:
    """A VM that somebody makes by hand, running."""
    given = {
        "name": name,
        "zoneid": "00000000-0000-4000-8000-0000000000a1",
        "serviceofferingid": "00000000-0000-4000-8000-0000000000c2",
        "templateid": "00000000-0000-4000-8000-0000000000e1",
        "networkids": vms.PRODUCTION[0],
    }
    by_hand(drill, "deployVirtualMachine", **given)
    return next(vm["id"] for vm in drill.cloud.truth()["vms"].values() if vm["name"] == name)


@pytest.mark.parametrize("name", ["pgwintestbios-test-2", "pgwintestbios", "a-pgwintestbios-test", "PGWINTESTBIOS-test-old"])
def test_vms_whose_names_are_like_the_guest_s_are_never_taken_for_it(drill: Drill, name: str) -> None:
    foreign = deployed(drill, name)
    before = drill.proof()
    under_test(drill, PG)
    assert drill.guest(PG)["id"] != foreign
    drill.advance(HALF_AN_HOUR)
    drill.live(PG)
    assert drill.proof() == before
    assert foreign not in {c.params.get("id") for c in drill.cloud.trace if is_mutating(c.command)}


def test_a_guest_s_name_that_another_vm_has_is_refused_in_the_plan(drill: Drill) -> None:
    deployed(drill, GUESTS[PG])
    found = drill.planned(drill.spec(PG))
    assert isinstance(found, Refusal)
    assert [reason.code for reason in found.reasons] == ["NAME_TAKEN"]


# --- state ------------------------------------------------------------------------------------------------------------


def test_no_fault_is_swallowed_whatever_it_is() -> None:
    """Where everything is caught, it is raised again, or the program ends with it."""
    for path in (p for package in ("specs", "plans", "reconciler") for p in (ROOT / package).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for handler in (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)):
            if catches_all(handler):
                last = handler.body[-1]
                ends = isinstance(last, ast.Raise) or path.parts[-2:] == ("cli", "__init__.py")
                assert ends, f"{path}:{handler.lineno}"


def catches_all(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or getattr(kind, "id", "") in ("Exception", "BaseException") for kind in kinds)


def test_a_job_that_never_ends_is_waited_for_until_its_deadline_and_then_shown_with_its_id(drill: Drill) -> None:
    drill.approve(drill.plan(PG))
    drill.cloud.faults.add("job-hangs", "createSnapshot")
    seen: list[Pass] = []
    until = drill.clock.now() + timedelta(hours=3)
    while drill.clock.now() < until and (not drill.runs() or drill.run(PG).state != "stuck"):
        seen += drill.round().passes
        drill.advance(timedelta(minutes=1))
    run = drill.run(PG)
    assert run.state == "stuck"
    assert "cloud job" in (run.reason or "")
    assert seen[-1].outcome.kind is Kind.STUCK
    assert drill.attempted().count("createSnapshot") == 1


# --- what the database says of the platform -----------------------------------------------------------------------------


def guest_of(plan: Plan) -> actions.CreateGuest:
    return next(s.action for s in plan.steps if isinstance(s.action, actions.CreateGuest))


def test_a_zone_that_the_database_calls_by_its_name_is_no_obstacle(drill: Drill) -> None:
    drill.edit("update ossea_configs set zone = 'zone1', api_url = 'http://127.0.0.1:8080'")
    before = drill.proof()
    assert guest_of(drill.plan(PG)).zone == "00000000-0000-4000-8000-0000000000a1"
    under_test(drill, PG)
    drill.end(PG)
    assert drill.proof() == before


CONFIGS = {
    "two active rows": "insert into ossea_configs (id, name, is_active) values (2, 'second-ossea', 1)",
    "no active row": "update ossea_configs set is_active = 0",
    "no row": "delete from ossea_configs",
}


@pytest.mark.parametrize("case", CONFIGS)
def test_without_one_active_configuration_nothing_is_guessed(drill: Drill, case: str) -> None:
    drill.edit("update ossea_volumes set ossea_config_id = null", CONFIGS[case])
    found = drill.planned(drill.spec(PG))
    assert isinstance(found, Refusal)
    assert "OSSEA_NOT_CONFIGURED" in {reason.code for reason in found.reasons}


def test_keys_in_the_database_are_neither_read_nor_needed(drill: Drill) -> None:
    drill.edit("update ossea_configs set api_key = 'nFh3c2VjcmV0LWNhbmFyeQ==', secret_key = 'bm90LWEta2V5'")
    assert isinstance(drill.planned(drill.spec(PG)), Plan)
    assert "nFh3c2VjcmV0" not in str(drill.plan(PG).as_json())


def test_an_account_that_does_not_see_the_appliance_is_refused_before_anything_is_sent(drill: Drill) -> None:
    for volume in drill.cloud.volumes.values():
        volume.account = "admin"
    drill.cloud.vms[APPLIANCE].account = "admin"
    found = drill.planned(drill.spec(PG))
    assert isinstance(found, Refusal)
    assert {"APPLIANCE_NOT_FOUND", "VOLUME_NOT_FOUND"} <= {reason.code for reason in found.reasons}
    assert drill.attempted() == []


def test_an_offering_of_one_fixed_size_makes_no_smaller_guest_and_leaves_everything_as_it_was(drill: Drill) -> None:
    drill.edit("update ossea_configs set service_offering_id = '00000000-0000-4000-8000-0000000000c2'")
    before = drill.proof()
    drill.approve(drill.plan(PG))
    drill.live(PG)
    run = drill.run(PG)
    assert (run.state, run.failed) == ("rolled-back", True)
    assert "431" in (run.reason or "")
    assert drill.proof() == before


def test_a_vm_without_disks_is_refused_whichever_is_to_boot(drill: Drill) -> None:
    drill.edit("update vm_disks set disk_id = '' where id = 1")
    for more in ("", "boot_disk: disk-2000\n"):
        found = drill.planned(drill.spec(PG, more=more))
        assert isinstance(found, Refusal)
        assert "NO_DISKS" in {reason.code for reason in found.reasons}


# --- networks ---------------------------------------------------------------------------------------------------------


def cards(drill: Drill, names: tuple[str, ...], mapped: dict[str, str]) -> None:
    """The VM has adapters on these networks, mapped to these test networks."""
    adapters = ",".join(f'{{"network":"{name}"}}' for name in names)
    drill.edit(f"update vm_disks set network_config = '{{\"adapters\":[{adapters}]}}' where id = 1")
    drill.edit("delete from network_mappings where source_network_name = 'VM Network'")
    for name, network in mapped.items():
        drill.edit(
            "insert into network_mappings (vm_id, source_network_name, destination_network_id, destination_network_name, "
            f"is_test_network) values ('{KEYS[PG]}', '{name}', '{network}', '{network}', 1)"
        )


LAN, DB, DMZ = vms.TEST[0], "00000000-0000-4000-8000-0000000000b5", "00000000-0000-4000-8000-0000000000b2"


def test_every_adapter_gets_its_card_in_its_order(drill: Drill) -> None:
    cards(drill, ("A", "B"), {"B": LAN, "A": DB})
    assert guest_of(drill.plan(PG)).networks == (DB, LAN)


def test_adapters_that_would_share_a_card_are_told_in_the_plan(drill: Drill) -> None:
    """CloudStack gives a VM one card a network."""
    cards(drill, ("A", "B", "C"), {"A": LAN, "B": DB, "C": LAN})
    plan = drill.plan(PG)
    assert guest_of(plan).networks == (LAN, DB)
    assert any('"A" and "C" share one card on test-network-default' in warning for warning in plan.warnings)


def test_one_adapter_without_a_test_network_is_never_given_another_s(drill: Drill) -> None:
    cards(drill, ("A", "B"), {"A": LAN})
    found = drill.planned(drill.spec(PG))
    assert isinstance(found, Refusal)
    assert [reason.code for reason in found.reasons] == ["NETWORK_MAPPING_MISSING"]


def test_a_network_that_is_mapped_for_tests_and_for_production_counts_as_production(drill: Drill) -> None:
    drill.edit(f"update network_mappings set destination_network_id = '{LAN}' where not is_test_network")
    found = drill.planned(drill.spec(PG))
    assert isinstance(found, Refusal)
    assert any("not flagged as a test network" in reason.text for reason in found.reasons)


# --- what others delete -----------------------------------------------------------------------------------------------


def test_history_outlives_the_replication_job_it_was_about(drill: Drill) -> None:
    under_test(drill, PG)
    drill.end(PG)
    ended = drill.run(PG)
    drill.edit(
        "delete from cbt_history where job_id = 'job-20250818-153521'",
        "delete from vm_disks where job_id = 'job-20250818-153521'",
        "delete from replication_jobs where id = 'job-20250818-153521'",
    )
    assert drill.run(PG) == ended
    assert drill.shown(PG)[0]["status"] == "completed"
