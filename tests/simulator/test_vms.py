"""The life of a VM, rule by rule (CS-DEP, CS-STA, CS-STP, CS-DES, CS-EXP, CS-REC, CS-UPD)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import (
    CUSTOM,
    FIXED,
    FOR_DR,
    FREE,
    L2,
    MASKED,
    NET,
    NET_B,
    POOL,
    TEMPLATE,
    WITH_PASSWORD,
    ZONE,
    No,
    World,
    machine,
    network,
)

NAME_RULE = (
    "Unable to execute API command deployvirtualmachine due to invalid value. Invalid value "
    "provided for API arg: name - it can contain "
    "ASCII letters 'a' through 'z', the digits '0' through '9', and the hyphen ('-'), must be "
    "between 1 and 63 characters long, "
    "and can't start or end with \"-\" and can't start with digit"
)
ONE_SOURCE = "Please provide only one of the following parameters - template ID, volume ID or snapshot ID"
EXPUNGE = "Expunging a vm can only be done by an Admin. Or when the allow.user.expunge.recover.vm key is set."
RECOVER = "Recovering a vm can only be done by an Admin. Or when the allow.user.expunge.recover.vm key is set."
NOT_RECOVERABLE = "Vm with id {} is not in the right state"
UPDATE = "Failed to update Instance, due to: "


def refused(world: World, by: str = "dr", **params: Any) -> Any:
    """What deployVirtualMachine says to an ordinary request that differs in this; None leaves a parameter out."""
    given = {**machine("guest"), **params}
    return world.now("deployVirtualMachine", by, **{k: v for k, v in given.items() if v is not None})


def names(world: World) -> dict[str, str]:
    """Name → state of every VM that a root administrator sees."""
    rows = world.now("listVirtualMachines", "admin", listall=True).get("virtualmachine", [])
    return {row["name"]: row["state"] for row in rows}


# --- deploy -----------------------------------------------------------------------------------------------------------


def test_CS_DEP_01_exactly_one_of_template_volume_and_snapshot(world: World) -> None:
    assert refused(world, templateid=None) == No("call", 530, MASKED)
    assert refused(world, "admin", templateid=None, **FOR_DR) == No("call", 530, ONE_SOURCE)
    assert refused(world, "admin", volumeid=world.ready(), **FOR_DR) == No("call", 530, ONE_SOURCE)


def test_CS_DEP_02_up_to_4_20_a_missing_template_is_a_missing_parameter() -> None:
    said = "Unable to execute API command deployvirtualmachine due to missing parameter templateid"
    assert refused(World(release="4.20.3.0"), templateid=None) == No("call", 431, said)


@pytest.mark.parametrize("name", ["1abc", "a_b", "a" * 64, "abc-", "-abc", "a.b", "a b"], ids=lambda n: f"CS-DEP-03-{n[:4]}")
def test_a_bad_host_name_is_refused(world: World, name: str) -> None:
    assert refused(world, name=name) == No("call", 431, NAME_RULE)


def test_CS_DEP_04_a_host_name_is_taken_until_its_vm_is_expunged(world: World) -> None:
    vm = world.deploy("guest")
    domain = world.cloud.networks[NET].domain
    said = f"The vm with hostName guest already exists in the network domain: {domain}; network=net"
    assert refused(world) == No("call", 431, said)
    world.done("destroyVirtualMachine", id=vm)
    assert refused(world) == No("call", 431, said)
    assert "id" in refused(world, networkids=NET_B)
    assert "id" in refused(world, name="GUEST")
    world.done("expungeVirtualMachine", "admin", id=vm)
    assert "id" in refused(world)


def test_CS_DEP_05_networkids_and_iptonetworklist_exclude_each_other(world: World) -> None:
    said = "ipToNetworkMap can't be specified along with networkIds or ipAddress"
    assert refused(world, **{"iptonetworklist[0].networkid": NET_B}) == No("call", 431, said)


def test_CS_DEP_06_without_any_network_to_be_found_there_is_no_vm() -> None:
    world = World(sections={"networks": [network(L2, "lan", "L2")]})
    assert refused(world, networkids=None) == No("call", 431, "At least 1 default network has to be specified for the vm")


def test_CS_DEP_07_a_password_needs_a_default_network_with_user_data(world: World) -> None:
    answer = refused(world, networkids=L2, templateid=WITH_PASSWORD)
    assert answer.code == 431
    assert answer.text.endswith(
        "is password enabled, but there is no support for UserData service in the default network lan"
    )
    assert "id" in refused(world, networkids=L2)


def test_CS_DEP_07_user_data_needs_it_too(world: World) -> None:
    answer = refused(world, networkids=L2, userdata="aGVsbG8=")
    said = (
        "Unable to deploy VM as UserData is provided while deploying the VM, "
        f"but there is no support for UserData service in the default network lan/{L2}."
    )
    assert answer == No("call", 431, said)


@pytest.mark.parametrize(
    ("offering", "details", "said"),
    [
        pytest.param(
            CUSTOM,
            {},
            "Need to specify custom parameter values cpu, cpu speed and memory when using custom offering",
            id="CS-DEP-08-none",
        ),
        pytest.param(
            CUSTOM, {"cpuNumber": 2}, "Invalid memory value, specify a value between 128 and 16384", id="CS-DEP-08-no-memory"
        ),
        pytest.param(
            CUSTOM,
            {"cpuNumber": 99, "memory": 512},
            "Invalid CPU cores value, specify a value between 1 and 8",
            id="CS-DEP-08-cpus",
        ),
        pytest.param(
            CUSTOM,
            {"cpuNumber": "two", "memory": 512},
            "Invalid CPU cores value, specify a value between 1 and 8",
            id="CS-DEP-08-word",
        ),
        pytest.param(
            CUSTOM,
            {"cpuNumber": 1, "memory": 16},
            "Invalid memory value, specify a value between 128 and 16384",
            id="CS-DEP-08-memory",
        ),
        pytest.param(
            FREE,
            {"cpuNumber": 1, "memory": 512},
            "Invalid CPU speed value, specify a value between 1 and 2147483647",
            id="CS-DEP-08-speed",
        ),
        pytest.param(
            FIXED,
            {"cpuNumber": 1},
            "cpuNumber or cpuSpeed or memory should not be specified for static service offering",
            id="CS-DEP-08-fixed",
        ),
    ],
)
def test_custom_offerings_want_their_sizes_and_fixed_ones_none(
    world: World, offering: str, details: dict[str, Any], said: str
) -> None:
    given = {**machine("guest", "none"), "serviceofferingid": offering, **{f"details[0].{k}": v for k, v in details.items()}}
    assert world.now("deployVirtualMachine", **given) == No("call", 431, said)


@pytest.mark.parametrize(
    ("boot", "said"),
    [
        pytest.param(
            {"boottype": "UEFI"},
            "bootmode must be specified for the VM with boot type: UEFI. Valid values are: [LEGACY, SECURE]",
            id="CS-DEP-09-no-mode",
        ),
        pytest.param(
            {"boottype": "EFI", "bootmode": "LEGACY"},
            "Invalid bootType EFISpecified for vm guest Valid values are: [UEFI, BIOS]",
            id="CS-DEP-09-type",
        ),
        pytest.param(
            {"boottype": "UEFI", "bootmode": "FOO"},
            "Invalid bootmode: FOO specified for VM: guest. Valid values are: [LEGACY, SECURE]",
            id="CS-DEP-09-mode",
        ),
    ],
)
def test_boot_type_and_mode_are_known_words(world: World, boot: dict[str, str], said: str) -> None:
    assert refused(world, **boot) == No("call", 431, said)


@pytest.mark.parametrize(
    ("kind", "limit"),
    [("user_vm", 0), ("cpu", 0), ("memory", 100), ("volume", 0), ("primary_storage", 1)],
    ids=lambda v: f"CS-DEP-10-{v}",
)
def test_a_limit_is_535(world: World, kind: str, limit: int) -> None:
    world.cloud.accounts["dr"].limits[kind] = limit
    answer = refused(world)
    assert answer.code == 535
    assert f"Type = '{kind}', tag = 'null'" in answer.text
    assert names(world) == {}


def test_CS_DEP_11_a_disabled_zone_is_531_for_users(world: World) -> None:
    world.cloud.plain["Zone"][ZONE].fields["allocationstate"] = "Disabled"
    assert refused(world).code == 531
    assert "id" in refused(world, "admin", **FOR_DR)


def test_CS_DEP_12_without_a_pool_that_is_up_it_is_534(world: World) -> None:
    world.pools(state="Maintenance")
    assert refused(world) == No("call", 534, MASKED)
    said = "There are no available pools in the UP state for vm deployment"
    assert refused(world, "admin", **FOR_DR) == No("call", 534, said)


def test_CS_DEP_13_startvm_false_leaves_a_stopped_vm_with_an_allocated_root_and_addresses(world: World) -> None:
    vm = world.deploy()
    row, root = world.vm(vm), world.disk(world.root(vm))
    assert (row["state"], "hostid" in row, root["type"], root["state"], root["deviceid"]) == (
        "Stopped",
        False,
        "ROOT",
        "Allocated",
        0,
    )
    card = row["nic"][0]
    assert (card["networkid"], card["isdefault"], bool(card["ipaddress"]), bool(card["macaddress"])) == (
        NET,
        True,
        True,
        True,
    )


def test_CS_DEP_14_customid_is_for_root_administrators_and_once(world: World) -> None:
    wanted = "abcdefab-0000-4000-8000-000000000001"
    said = "Please check your permissions, you are not allowed to create/update custom id"
    assert refused(world, customid=wanted) == No("call", 531, said)
    assert names(world) == {}
    assert refused(world, "admin", customid=wanted, **FOR_DR)["id"] == wanted
    again = f"UUID: {wanted} already exists so can't create/update with custom id"
    assert refused(world, "admin", name="second", customid=wanted, **FOR_DR) == No("call", 431, again)


def test_CS_DEP_14_so_it_is_for_volumes(world: World) -> None:
    said = "Please check your permissions, you are not allowed to create/update custom id"
    wanted = {"name": "x", "zoneid": ZONE, "diskofferingid": "40000000-0000-4000-8000-000000000002", "customid": "a" * 8}
    assert world.now("createVolume", **wanted) == No("call", 531, said)
    assert world.now("listVolumes") == {}


def _from_volume(world: World, volume: str) -> Any:
    return refused(world, templateid=None, volumeid=volume)


def test_CS_DEP_15_from_a_volume_zone_wide_then_template_then_attached(world: World) -> None:
    vm = world.running()
    replica, root = world.ready(), world.root(vm)
    scope = "Deployment of virtual machine is supported only for Zone-wide storage pools"
    assert _from_volume(world, replica) == No("call", 431, scope)
    world.pools(scope="ZONE")
    template = "The provided volume/snapshot doesn't have a template to deploy a VM"
    assert _from_volume(world, replica) == No("call", 431, template)
    assert _from_volume(world, root).text.startswith("The volume ")
    world.done("stopVirtualMachine", id=vm)
    world.done("detachVolume", id=root)
    made = _from_volume(world, root)
    world.ended(made["jobid"])
    assert world.root(made["id"]) == root
    assert world.disk(root)["type"] == "ROOT"


def test_CS_DEP_16_no_capacity_at_the_first_start_leaves_an_error_without_volumes(world: World) -> None:
    world.host(resourcestate="Disabled")
    answer = refused(world, startvm=True)
    job = world.ended(answer["jobid"])
    assert job["jobresultcode"] == 533
    assert job["jobresult"]["errortext"].startswith("No destination found for a deployment for VM instance {")
    assert names(world) == {"guest": "Error"}
    assert world.now("listVolumes", "admin", virtualmachineid=answer["id"], listall=True) == {}
    assert world.does("startVirtualMachine", id=answer["id"]).text.startswith(
        "Unable to create deployment, no usable volumes found"
    )


def test_CS_DEP_17_bios_without_boot_mode_is_530(world: World) -> None:
    assert refused(world, boottype="BIOS") == No("call", 530, MASKED)
    assert refused(world, "admin", boottype="BIOS", **FOR_DR).text.startswith("Cannot invoke ")


@pytest.mark.parametrize("mode", ["LEGACY", "SECURE", "secure"], ids=lambda m: f"CS-DEP-18-{m}")
def test_how_uefi_is_shown(world: World, mode: str) -> None:
    row = world.vm(world.deploy(boottype="uefi", bootmode=mode))
    assert (row["boottype"], row["bootmode"], row["details"]["UEFI"]) == ("Uefi", mode.lower(), mode.upper())


def test_CS_DEP_18_a_vm_shows_bios_only_while_it_has_no_details_at_all_hidden_ones_included(world: World) -> None:
    vm = world.deploy(serviceofferingid=FIXED, **{"details[0].cpuNumber": None, "details[0].memory": None})
    shown = {"before": world.vm(vm, "dr").get("boottype")}
    world.done("startVirtualMachine", id=vm)
    shown["running"] = world.vm(vm, "dr").get("boottype")
    world.done("stopVirtualMachine", id=vm)
    shown["stopped once"] = world.vm(vm, "dr").get("boottype")
    assert shown == {"before": None, "running": "Bios", "stopped once": None}


def test_CS_DEP_18_bios_is_not_shown(world: World) -> None:
    row = world.vm(world.deploy(boottype="BIOS", bootmode="LEGACY"))
    assert not {"boottype", "bootmode"} & row.keys()


@pytest.mark.parametrize("address", ["taken", "10.9.9.9"], ids=["CS-DEP-19-taken", "CS-DEP-19-outside"])
def test_an_address_that_cannot_be_had_leaves_a_vm_in_error(world: World, address: str) -> None:
    taken = world.vm(world.deploy("first"))["nic"][0]["ipaddress"]
    wanted = taken if address == "taken" else address
    assert refused(world, ipaddress=wanted) == No("call", 530, MASKED)
    assert names(world)["guest"] == "Error"
    told = refused(world, "admin", name="guest2", ipaddress=wanted, **FOR_DR)
    assert told.text.startswith("Unable to acquire Guest IP address for network ")


def test_CS_DEP_20_the_same_network_twice_is_accepted(world: World) -> None:
    assert "id" in refused(world, networkids=f"{NET},{NET}")


def test_CS_DEP_21_a_vm_that_was_never_started_can_be_told(world: World) -> None:
    vm = world.deploy()
    row = world.vm(vm)
    assert ("lastupdated" in row, row["details"]["deployvm"]) == (False, "true")
    world.cloud.faults.add("host-fails", "start")
    world.does("startVirtualMachine", id=vm)
    row = world.vm(vm)
    assert ("lastupdated" in row, "deployvm" in row["details"], row["state"]) == (True, False, "Stopped")


# --- start ------------------------------------------------------------------------------------------------------------


def test_CS_STA_01_what_runs_already_is_431(world: World) -> None:
    vm = world.running("guest")
    assert world.does("startVirtualMachine", id=vm) == No("job", 431, f"The virtual machine {vm} (guest) is already running")


@pytest.mark.parametrize("state", ["Destroyed", "Stopping"], ids=lambda s: f"CS-STA-02-{s}")
def test_what_is_destroyed_or_stopping_cannot_start(world: World, state: str) -> None:
    vm = world.running()
    if state == "Destroyed":
        world.done("destroyVirtualMachine", id=vm)
    else:
        world.cloud.faults.add("host-fails", "stop")
        world.does("stopVirtualMachine", id=vm, forced=True)
    answer = world.does("startVirtualMachine", id=vm)
    said = (
        f'Unable to orchestrate the start of VM instance {{"instanceName":"{world.cloud.vms[vm].instance}","uuid":"{vm}"}}.'
    )
    assert answer == No("job", 530, said)


def test_CS_STA_03_without_volumes_there_is_no_start(world: World) -> None:
    vm = world.rootless()
    said = f"Unable to create deployment, no usable volumes found for the VM: {vm}"
    assert world.does("startVirtualMachine", id=vm) == No("job", 530, said)


def test_CS_STA_04_without_a_root_there_is_no_start(world: World) -> None:
    vm = world.rootless()
    world.done("attachVolume", id=world.ready(), virtualmachineid=vm)
    said = f"Unable to deploy VM [{vm}] because the ROOT volume is missing."
    assert world.does("startVirtualMachine", id=vm) == No("job", 530, said)
    assert world.vm(vm)["state"] == "Stopped"


def test_CS_STA_05_no_capacity_with_an_allocated_root_is_533(world: World) -> None:
    vm = world.deploy()
    world.host(resourcestate="Disabled")
    answer = world.does("startVirtualMachine", id=vm)
    assert (answer.at, answer.code) == ("job", 533)
    assert answer.text.startswith("No destination found for a deployment for VM instance {")
    assert world.vm(vm)["state"] == "Stopped"


def test_CS_STA_05_with_a_ready_root_it_is_530_and_administrators_are_told_more(world: World) -> None:
    vm = world.running()
    world.done("stopVirtualMachine", id=vm)
    world.host(resourcestate="Disabled")
    said = f"Unable to start a VM [{vm}] due to insufficient capacity."
    assert world.does("startVirtualMachine", id=vm) == No("job", 530, said)
    told = world.does("startVirtualMachine", "admin", id=vm)
    assert (told.code, told.text.startswith(f"Unable to start a VM [{vm}] due to ["), told.text == said) == (
        530,
        True,
        False,
    )


def test_CS_STA_06_an_allocated_root_needs_its_template(world: World) -> None:
    fresh, old = world.deploy("fresh"), world.running("old")
    world.done("stopVirtualMachine", id=old)
    world.cloud.plain["Template"][TEMPLATE].removed = True
    said = "Template for the VM instance can not be found, VM instance configuration needs to be updated"
    assert world.does("startVirtualMachine", id=fresh) == No("job", 530, said)
    world.done("startVirtualMachine", id=old)


def test_CS_STA_07_allocated_volumes_become_ready_at_start(world: World) -> None:
    vm, data = world.deploy(), world.volume()
    world.done("attachVolume", id=data, virtualmachineid=vm)
    world.done("startVirtualMachine", id=vm)
    assert [world.disk(v)["state"] for v in (world.root(vm), data)] == ["Ready", "Ready"]
    assert world.disk(data)["storageid"] == POOL


def test_CS_STA_08_uefi_needs_a_host_that_can(world: World) -> None:
    vm = world.deploy(boottype="UEFI", bootmode="LEGACY")
    world.host(ueficapability=False)
    assert world.does("startVirtualMachine", id=vm).code == 533
    world.host(ueficapability=True)
    world.done("startVirtualMachine", id=vm)


def test_a_host_is_for_root_administrators_to_choose(world: World) -> None:
    said = "Parameter hostid can only be specified by a Root Admin, permission denied"
    vm = world.deploy()
    assert world.does("startVirtualMachine", id=vm, hostid="70000000-0000-4000-8000-000000000001") == No("job", 530, said)


# --- stop -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forced", [False, True], ids=["CS-STP-01", "CS-STP-01-forced"])
def test_stopping_what_does_not_run_succeeds(world: World, forced: bool) -> None:
    vm = world.deploy()
    assert world.done("stopVirtualMachine", id=vm, forced=forced)["virtualmachine"]["state"] == "Stopped"
    world.done("destroyVirtualMachine", id=vm)
    assert world.done("stopVirtualMachine", id=vm, forced=forced)["virtualmachine"]["state"] == "Destroyed"


def test_CS_STP_02_a_host_that_fails_a_graceful_stop_leaves_it_running(world: World) -> None:
    vm = world.running()
    world.cloud.faults.add("host-fails", "stop")
    answer = world.does("stopVirtualMachine", id=vm)
    assert (answer.at, answer.code, answer.text.startswith("Unable to stop VM instance {")) == ("job", 530, True)
    assert world.vm(vm)["state"] == "Running"


def test_CS_STP_03_a_forced_stop_needs_its_permission(world: World) -> None:
    vm = world.running()
    world.cloud.configure("allow.user.force.stop.vm", False)
    said = "Account does not have the permission to force stop the vm."
    assert world.does("stopVirtualMachine", id=vm, forced=True) == No("job", 530, said)
    world.done("stopVirtualMachine", "admin", id=vm, forced=True)


def test_CS_STP_04_a_host_that_fails_a_forced_stop_leaves_it_stopping_until_a_later_stop(world: World) -> None:
    vm = world.running()
    world.cloud.faults.add("host-fails", "stop")
    answer = world.does("stopVirtualMachine", id=vm, forced=True)
    assert (answer.code, answer.text.startswith("Unable to stop the Instance due to ")) == (530, True)
    assert world.vm(vm)["state"] == "Stopping"
    assert world.does("startVirtualMachine", id=vm).code == 530
    assert world.done("stopVirtualMachine", id=vm)["virtualmachine"]["state"] == "Stopped"


# --- destroy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "said"),
    [
        pytest.param(
            "4.19.3.0",
            "Parameter expunge can be passed by Admin only. Or when the allow.user.expunge.recover.vm key is set.",
            id="CS-DES-01-4.19",
        ),
        pytest.param("4.22.1.0", "Account does not have permission for expunging.", id="CS-DES-01"),
    ],
)
def test_expunging_needs_permission(release: str, said: str) -> None:
    world = World(release=release)
    vm = world.deploy()
    assert world.does("destroyVirtualMachine", id=vm, expunge=True) == No("job", 530, said)
    assert world.vm(vm)["state"] == "Stopped"


def test_CS_DES_02_destroying_what_is_destroyed_succeeds(world: World) -> None:
    vm = world.deploy()
    for _ in range(2):
        assert world.done("destroyVirtualMachine", id=vm)["virtualmachine"]["state"] == "Destroyed"


def test_CS_DES_03_delete_protection_is_431(world: World) -> None:
    vm = world.deploy()
    world.now("updateVirtualMachine", id=vm, deleteprotection=True)
    instance = world.cloud.vms[vm].instance
    said = f"Instance [id = {vm}, name = {instance}] has delete protection enabled and cannot be deleted."
    assert world.does("destroyVirtualMachine", id=vm) == No("job", 431, said)


@pytest.mark.parametrize(
    ("wording", "said"),
    [
        pytest.param(
            "W1",
            "There is/are unbacked up snapshot(s) on ROOT volume, vm destroy is not permitted, please try again later.",
            id="CS-DES-04-W1",
        ),
        pytest.param(
            "W2",
            "There is/are unbacked up Snapshot(s) on ROOT volume, Instance destroy is not permitted, please "
            "try again later.",
            id="CS-DES-04-W2",
        ),
    ],
)
def test_a_snapshot_of_the_root_being_made_forbids_it(wording: str, said: str) -> None:
    world = World(wording=wording)
    vm = world.running()
    world.now("createSnapshot", volumeid=world.root(vm))
    world.clock.advance(0.95)
    assert world.does("destroyVirtualMachine", id=vm) == No("job", 530, said)


def test_CS_DES_05_data_disks_go_free_and_root_and_nics_stay(world: World) -> None:
    vm, data = world.running(), world.ready()
    root = world.root(vm)
    world.done("attachVolume", id=data, virtualmachineid=vm)
    world.vm_snapshot(vm)
    world.done("destroyVirtualMachine", id=vm)
    row = world.vm(vm)
    assert (row["state"], len(row["nic"])) == ("Destroyed", 1)
    assert ("virtualmachineid" in world.disk(data), world.disk(root)["virtualmachineid"]) == (False, vm)
    assert world.now("listVMSnapshot", "admin", virtualmachineid=vm, listall=True) == {}


@pytest.mark.parametrize(
    "by", ["destroyVirtualMachine", "expungeVirtualMachine"], ids=["CS-DES-06-destroy", "CS-DES-06-expunge"]
)
def test_expunging_deletes_the_root_and_removes_the_vm(world: World, by: str) -> None:
    vm = world.running()
    root = world.root(vm)
    if by == "expungeVirtualMachine":
        world.done("destroyVirtualMachine", id=vm)
        assert world.done(by, "admin", id=vm) == {"success": True}
    else:
        world.done(by, "admin", id=vm, expunge=True)
    assert world.now("listVirtualMachines", "admin", id=vm) == {}
    assert world.now("listVolumes", "admin", id=root) == {}
    assert "id" in refused(world, name="vm")


def test_CS_DES_07_vm_snapshots_that_cannot_be_deleted_stop_it_halfway(world: World) -> None:
    vm, data = world.running(), world.ready()
    world.done("attachVolume", id=data, virtualmachineid=vm)
    world.vm_snapshot(vm)
    world.cloud.faults.add("host-fails", "merge")
    assert (world.does("destroyVirtualMachine", id=vm).code, world.vm(vm)["state"]) == (530, "Stopped")
    assert "virtualmachineid" not in world.disk(data)


def test_CS_DES_08_in_4_15_expunging_what_is_destroyed_does_nothing() -> None:
    world = World(release="4.15.2.0", settings={"allow.user.expunge.recover.vm": True})
    vm = world.deploy()
    world.done("destroyVirtualMachine", id=vm)
    world.done("destroyVirtualMachine", id=vm, expunge=True)
    assert world.vm(vm)["state"] == "Destroyed"


def test_CS_DES_09_a_snapshot_of_the_root_that_is_only_queued_does_not_forbid_it(world: World) -> None:
    vm = world.running()
    world.submit("rebootVirtualMachine", id=vm)
    snapshot = world.now("createSnapshot", volumeid=world.root(vm))
    destroyed = world.submit("destroyVirtualMachine", id=vm)
    assert world.ended(snapshot["jobid"])["jobstatus"] == 1
    assert world.ended(destroyed)["jobstatus"] == 1


def test_CS_DES_10_during_a_start_it_waits_and_succeeds(world: World) -> None:
    vm = world.deploy()
    start = world.submit("startVirtualMachine", id=vm)
    world.clock.advance(1)
    assert world.vm(vm)["state"] == "Starting"
    assert world.done("destroyVirtualMachine", id=vm)["virtualmachine"]["state"] == "Destroyed"
    assert world.job(start)["jobstatus"] == 1


def test_CS_DES_11_a_delete_protected_root_is_deleted_all_the_same(world: World) -> None:
    vm, replica = world.rootless(), world.ready("replica")
    world.done("attachVolume", id=replica, virtualmachineid=vm, deviceid=0)
    world.done("updateVolume", "admin", id=replica, deleteprotection=True)
    world.done("destroyVirtualMachine", "admin", id=vm, expunge=True)
    assert world.now("listVolumes", "admin", id=replica) == {}


def test_CS_DES_12_a_data_disk_keeps_its_overlay_and_the_root_returns_to_its_base(world: World) -> None:
    vm, data = world.running(), world.ready()
    root = world.root(vm)
    world.done("attachVolume", id=data, virtualmachineid=vm)
    base = world.disk(root)["path"]
    world.vm_snapshot(vm)
    overlay = world.disk(data)["path"]
    world.done("destroyVirtualMachine", id=vm)
    assert (world.disk(data)["path"], world.disk(root)["path"]) == (overlay, base)
    assert overlay != data


# --- expunge, recover -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["dr", "admin"], ids=["CS-EXP-01-user", "CS-EXP-01-admin"])
def test_only_what_is_destroyed_is_expunged_and_that_is_said_first(world: World, by: str) -> None:
    said = "Please destroy vm with specified vmId before expunge"
    assert world.does("expungeVirtualMachine", by, id=world.deploy()) == No("job", 530, said)


def test_CS_EXP_02_users_need_the_setting_to_expunge(world: World) -> None:
    vm = world.deploy()
    world.done("destroyVirtualMachine", id=vm)
    assert world.does("expungeVirtualMachine", id=vm) == No("job", 530, EXPUNGE)
    world.cloud.configure("allow.user.expunge.recover.vm", True)
    assert world.done("expungeVirtualMachine", id=vm) == {"success": True}


def test_CS_REC_01_only_what_is_destroyed_is_recovered(world: World) -> None:
    vm = world.deploy()
    assert world.now("recoverVirtualMachine", "admin", id=vm) == No("call", 431, NOT_RECOVERABLE.format(vm))
    world.done("destroyVirtualMachine", id=vm)
    assert world.now("recoverVirtualMachine", "admin", id=vm)["virtualmachine"]["state"] == "Stopped"
    assert world.root(vm)


def test_CS_REC_02_users_need_the_setting_and_that_is_said_first(world: World) -> None:
    vm = world.deploy()
    assert world.now("recoverVirtualMachine", id=vm) == No("call", 531, RECOVER)
    world.cloud.configure("allow.user.expunge.recover.vm", True)
    assert world.now("recoverVirtualMachine", id=vm) == No("call", 431, NOT_RECOVERABLE.format(vm))


# --- update -----------------------------------------------------------------------------------------------------------


def update(world: World, vm: str, by: str = "dr", **details: Any) -> Any:
    """updateVirtualMachine with details, sizes included."""
    given = {"cpuNumber": 1, "memory": 256, **details}
    return world.now("updateVirtualMachine", by, id=vm, **{f"details[0].{k}": v for k, v in given.items() if v is not None})


def test_CS_UPD_01_details_replace_all_visible_ones(world: World) -> None:
    vm = world.deploy()
    update(world, vm, foo="bar")
    update(world, vm, baz="x")
    assert world.vm(vm)["details"] == {"cpuNumber": "1", "memory": "256", "baz": "x"}


def test_CS_UPD_01_read_only_keys_of_an_administrator_survive_a_user_and_not_himself(world: World) -> None:
    vm = world.deploy()
    update(world, vm, "admin", rootDiskController="virtio")
    update(world, vm, foo="bar")
    assert world.vm(vm)["details"]["rootDiskController"] == "virtio"
    update(world, vm, "admin", foo="bar")
    assert "rootDiskController" not in world.vm(vm)["details"]


@pytest.mark.parametrize(
    ("details", "said"),
    [
        pytest.param(
            {"extraconfig": "x"}, "'extraconfig' should not be included in details as key", id="CS-UPD-02-extraconfig"
        ),
        pytest.param({"cpuNumber": 99}, "Invalid CPU cores value, specify a value between 1 and 8", id="CS-UPD-02-size"),
    ],
)
def test_refusals_of_an_update_are_530_and_masked(world: World, details: dict[str, Any], said: str) -> None:
    vm = world.deploy()
    assert update(world, vm, **details) == No("call", 530, MASKED)
    assert update(world, vm, "admin", **details) == No("call", 530, UPDATE + said)


def test_CS_UPD_02_a_read_only_key_is_refused_to_users(world: World) -> None:
    vm = world.deploy()
    assert update(world, vm, rootDiskController="virtio") == No("call", 530, MASKED)


def test_CS_UPD_02_a_name_that_is_taken_is_530_and_its_syntax_431(world: World) -> None:
    vm = world.deploy("first")
    world.deploy("second")
    assert world.now("updateVirtualMachine", id=vm, name="second") == No("call", 530, MASKED)
    assert world.now("updateVirtualMachine", "admin", id=vm, name="second").text.startswith(UPDATE)
    assert world.now("updateVirtualMachine", id=vm, name="1bad").code == 431


def test_CS_UPD_03_on_a_custom_offering_details_without_sizes_are_530(world: World) -> None:
    vm = world.deploy()
    assert update(world, vm, cpuNumber=None, memory=None, foo="x") == No("call", 530, MASKED)
    said = UPDATE + "Invalid CPU cores value, specify a value between 1 and 8"
    assert update(world, vm, "admin", cpuNumber=None, memory=None, foo="x") == No("call", 530, said)


def test_CS_UPD_04_cleanupdetails_on_a_custom_offering_makes_it_useless_for_ever(world: World) -> None:
    vm = world.deploy()
    row = world.now("updateVirtualMachine", id=vm, cleanupdetails=True)["virtualmachine"]
    assert (row["details"], row["cpunumber"], row["memory"]) == ({}, 0, 0)
    started = world.does("startVirtualMachine", id=vm)
    assert (started.code, started.text.startswith("Cannot invoke ")) == (530, True)
    assert update(world, vm).code == 530
    for by in ("dr", "admin"):
        assert world.does("destroyVirtualMachine", by, id=vm) == No("job", 530, "Failed to destroy vm with specified vmId")


@pytest.mark.parametrize("running", [False, True], ids=["CS-UPD-05-stopped", "CS-UPD-05-running"])
def test_a_new_name_is_the_new_display_name_too(world: World, running: bool) -> None:
    vm = world.running("old", displayname="shown") if running else world.deploy("old", displayname="shown")
    row = world.now("updateVirtualMachine", id=vm, name="fresh")["virtualmachine"]
    assert (row["name"], row["displayname"]) == ("fresh", "fresh")
    row = world.now("updateVirtualMachine", id=vm, name="fresher", displayname="shown")["virtualmachine"]
    assert (row["name"], row["displayname"]) == ("fresher", "shown")
