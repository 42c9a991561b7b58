"""Lists beside VMs and volumes: settings, accounts, limits, infrastructure, events; who sees what of them."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.commands.accounts import LIMITED
from simulator.estate import ROOT_DOMAIN
from tests.simulator.world import (
    DISK,
    FOR_DR,
    HOST,
    NET,
    POOL,
    POOL_B,
    SUB_DOMAIN,
    TEMPLATE,
    WITH_PASSWORD,
    ZONE,
    No,
    World,
    machine,
    pool,
    template,
)


def names(answer: dict[str, Any], key: str) -> list[str]:
    return [row["name"] for row in answer.get(key, ())]


# --- settings ---------------------------------------------------------------------------------------------------------


def test_a_setting_is_told_with_its_default_and_whether_it_is_dynamic(world: World) -> None:
    world.now("updateConfiguration", "admin", name="vmsnapshot.max", value=3)
    (row,) = world.now("listConfigurations", "admin", name="vmsnapshot.max")["configuration"]
    assert (row["value"], row["defaultvalue"], row["isdynamic"], row["type"]) == ("3", "10", True, "Number")
    (row,) = world.now("listConfigurations", "admin", name="kvm.snapshot.enabled")["configuration"]
    assert (row["value"], row["isdynamic"]) == ("true", False)


def test_a_dynamic_setting_works_at_once(world: World) -> None:
    world.now("updateConfiguration", "admin", name="vmsnapshot.max", value=1)
    vm = world.running()
    world.vm_snapshot(vm)
    assert isinstance(world.now("createVMSnapshot", virtualmachineid=vm), No)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("no.such.setting", "1", "Config parameter with name no.such.setting doesn't exist"),
        ("kvm.snapshot.enabled", "perhaps", "Please enter either 'true' or 'false'."),
        ("vmsnapshot.max", "many", "There was an error trying to parse the integer value for: many"),
    ],
)
def test_a_setting_takes_only_what_it_is(world: World, name: str, value: str, text: str) -> None:
    assert world.now("updateConfiguration", "admin", name=name, value=value) == No("call", 431, text)


def test_settings_of_a_scope_are_fewer(world: World) -> None:
    all_of_them = world.now("listConfigurations", "admin")["count"]
    of_pools = world.now("listConfigurations", "admin", storageid=POOL)["configuration"]
    assert 0 < len(of_pools) < all_of_them
    assert {row["scope"] for row in of_pools} == {"storagepool"}


def test_the_size_of_pages_is_read_at_the_start(world: World) -> None:
    world.now("updateConfiguration", "admin", name="default.page.size", value=2)
    for number in range(3):
        world.volume(f"v{number}")
    assert len(world.now("listVolumes")["volume"]) == 3
    world.cloud.restart()
    assert len(world.now("listVolumes")["volume"]) == 2
    told = "Page size can't exceed max allowed page size value: 2"
    assert world.now("listVolumes", page=1, pagesize=3) == No("call", 431, told)


# --- accounts and limits ----------------------------------------------------------------------------------------------


def test_an_account_shows_what_it_has_and_may_have(world: World) -> None:
    world.cloud.accounts["dr"].limits["volume"] = 5
    world.running()
    world.volume()
    (row,) = world.now("listAccounts")["account"]
    assert (row["name"], row["vmrunning"], row["volumetotal"], row["volumeavailable"]) == ("dr", 1, 2, "3")
    assert (row["cpulimit"], row["primarystoragetotal"], row["user"][0]["username"]) == ("Unlimited", 3, "dr")


def test_accounts_of_others_are_for_those_who_may_act_for_them(world: World) -> None:
    assert names(world.now("listAccounts", listall=True), "account") == ["dr"]
    assert set(names(world.now("listAccounts", "admin", listall=True), "account")) >= {"dr", "other", "admin"}
    assert names(world.now("listAccounts", "domadmin", listall=True), "account") == ["domadmin"]
    assert names(world.now("listAccounts", "admin", name="other"), "account") == ["other"]


@pytest.mark.parametrize(
    ("who", "asked", "expected"),
    [
        ("admin", {"domainid": ROOT_DOMAIN}, {"of-dr", "of-other"}),
        ("admin", {"domainid": SUB_DOMAIN}, {"of-domadmin"}),
        ("admin", {"domainid": ROOT_DOMAIN, "isrecursive": "true"}, {"of-dr", "of-other", "of-domadmin"}),
        ("admin", {"domainid": ROOT_DOMAIN, "account": "other"}, {"of-other"}),
        ("domadmin", {"domainid": SUB_DOMAIN}, {"of-domadmin"}),
        ("dr", {"domainid": ROOT_DOMAIN}, {"of-dr"}),
    ],
)
def test_a_list_of_a_domain_holds_what_its_accounts_have(
    world: World, who: str, asked: dict[str, str], expected: set[str]
) -> None:
    for account in ("dr", "other", "domadmin"):
        world.done("createVolume", account, name=f"of-{account}", zoneid=ZONE, diskofferingid=DISK, size=1)
    assert {row["name"] for row in world.now("listVolumes", who, **asked).get("volume", [])} == expected


@pytest.mark.parametrize(
    ("who", "asked", "code", "said"),
    [
        ("domadmin", {"domainid": ROOT_DOMAIN}, 531, "does not have permission to operate within domain"),
        ("dr", {"domainid": SUB_DOMAIN}, 531, "does not have permission to operate within domain"),
        ("dr", {"domainid": ROOT_DOMAIN, "account": "other"}, 531, "Caller does not have permission"),
        ("admin", {"domainid": SUB_DOMAIN, "account": "other"}, 431, "could not find account other in domain"),
        ("admin", {"account": "domadmin"}, 431, "could not find account domadmin in domain"),
    ],
)
def test_a_list_of_a_domain_is_for_those_who_may_look_there(
    world: World, who: str, asked: dict[str, str], code: int, said: str
) -> None:
    refused = world.now("listVolumes", who, **asked)
    assert isinstance(refused, No)
    assert (refused.code, said in (refused.text or "")) == (code, True), refused


@pytest.mark.parametrize(
    ("who", "asked", "code", "said"),
    [
        ("admin", {"account": "dr"}, 431, "Account must be specified with domainId parameter"),
        ("admin", {"account": "dr", "domainid": SUB_DOMAIN}, 431, "Unable to find account by name dr in domain"),
        ("domadmin", FOR_DR, 531, "Caller does not have permission"),
        ("other", FOR_DR, 531, "Caller does not have permission"),
    ],
)
def test_nothing_is_made_for_an_account_that_is_not_there_or_not_the_caller_s(
    world: World, who: str, asked: dict[str, str], code: int, said: str
) -> None:
    refused = world.now("deployVirtualMachine", who, **machine("for-dr"), **asked)
    assert isinstance(refused, No)
    assert (refused.code, said in (refused.text or "")) == (code, True), refused


def test_a_limit_is_told_set_and_kept(world: World) -> None:
    world.now("updateResourceLimit", "admin", **FOR_DR, resourcetype=2, max=1)
    (row,) = world.now("listResourceLimits", resourcetype=2)["resourcelimit"]
    assert (row["resourcetypename"], row["max"]) == ("volume", 1)
    world.volume()
    refused = world.now("createVolume", name="two", diskofferingid=DISK, size=1, zoneid=ZONE)
    assert (refused.code, "Account Resource Limit = 1," in refused.text) == (535, True)


@pytest.mark.parametrize("number", range(len(LIMITED)))
def test_limits_have_their_numbers(world: World, number: int) -> None:
    (row,) = world.now("listResourceLimits", resourcetype=number)["resourcelimit"]
    assert row["resourcetypename"] == LIMITED[number][0]


def test_only_kinds_that_there_are_have_limits(world: World) -> None:
    assert world.now("updateResourceLimit", "admin", resourcetype=99).code == 431
    assert world.now("updateResourceLimit", resourcetype=2, max=9).code == 432


def test_a_user_is_found_by_its_key(world: World) -> None:
    assert world.now("getUser", "admin", userapikey="dr-key")["user"]["username"] == "dr"
    assert world.now("getUser", "admin", userapikey="nobody") == No("call", 431, "User not found for API key")


def test_domains_are_a_tree(world: World) -> None:
    rows = {row["name"]: row for row in world.now("listDomains", "admin")["domain"]}
    assert (rows["ROOT"]["haschild"], rows["sub"]["parentdomainname"], rows["sub"]["path"]) == (True, "ROOT", "ROOT/sub")
    assert names(world.now("listDomains", "domadmin"), "domain") == ["sub"]


# --- infrastructure ---------------------------------------------------------------------------------------------------


def test_pools_and_hosts_are_filtered_by_their_columns() -> None:
    ceph = pool(POOL_B, "ceph", type="RBD", scope="ZONE", zoneid=ZONE)
    world = World(sections={"storage_pools": [pool(POOL, "nfs", zoneid=ZONE), ceph]})
    assert names(world.now("listStoragePools", "admin", scope="ZONE"), "storagepool") == ["ceph"]
    assert len(world.now("listStoragePools", "admin", zoneid=ZONE)["storagepool"]) == 2
    assert names(world.now("listHosts", "admin", type="Routing"), "host") == ["host-a"]
    assert world.now("listHosts", "admin", type="SecondaryStorageVM") == {}
    assert world.now("listHosts", "admin", id=HOST)["count"] == 1


@pytest.mark.parametrize(("release", "told"), [("4.15.2.0", False), ("4.22.1.0", True)])
def test_whether_a_pool_is_managed_is_told_by_later_releases(release: str, told: bool) -> None:
    rows = World(release=release).now("listStoragePools", "admin")["storagepool"]
    assert {"managed" in row for row in rows} == {told}


def test_templates_are_chosen_by_their_filter(world: World) -> None:
    world.cloud.plain["Template"][WITH_PASSWORD].fields |= {"ispublic": False, "account": "other"}
    for chosen, found in (("featured", ["tiny"]), ("executable", ["tiny"]), ("self", []), ("community", [])):
        assert names(world.now("listTemplates", templatefilter=chosen), "template") == found
    assert names(world.now("listTemplates", "other", templatefilter="self"), "template") == ["with-password"]
    assert len(world.now("listTemplates", "admin", templatefilter="all")["template"]) == 2
    assert world.now("listTemplates", templatefilter="all").code == 431
    assert world.now("listTemplates", templatefilter="best").code == 431


def test_templates_of_hypervisors_without_hosts_are_not_shown() -> None:
    foreign = template(WITH_PASSWORD, "foreign", hypervisor="VMware")
    world = World(sections={"templates": [template(TEMPLATE, "tiny"), foreign]})
    assert names(world.now("listTemplates", templatefilter="executable"), "template") == ["tiny"]


def test_what_a_server_only_tells_is_told(world: World) -> None:
    assert names(world.now("listHypervisors"), "hypervisor") == ["KVM"]
    assert {"name": "VM.START"} in world.now("listEventTypes")["eventtype"]
    assert world.now("listOsTypes", description="CentOS 7")["count"] == 1
    assert world.now("listRouters", "admin") == {}
    assert world.now("listInfrastructure", "admin")["infrastructure"]["hosts"] == 1


def test_a_list_that_only_tells_says_what_the_estate_says() -> None:
    world = World(sections={"lists": {"listRouters": [{"id": "r1", "name": "r-1-VM"}]}})
    assert names(world.now("listRouters", "admin"), "router") == ["r-1-VM"]
    assert world.now("listRouters").code == 432


def test_machines_and_volumes_are_listed_with_what_they_use(world: World) -> None:
    vm = world.running()
    (row,) = world.now("listVirtualMachinesMetrics", id=vm)["virtualmachine"]
    assert (row["cputotal"], row["memorytotal"]) == ("0.50 GHz", "0.25 GB")
    assert world.now("listVolumesMetrics")["volume"][0]["sizegb"] == "2.00 GiB"


# --- maintenance, by the API ------------------------------------------------------------------------------------------


def test_a_server_that_prepares_for_shutdown_takes_no_jobs_until_that_is_taken_back(world: World) -> None:
    vm = world.deploy()
    (server,) = world.now("listManagementServers", "admin")["managementserver"]
    world.submit("startVirtualMachine", id=vm)
    told = world.now("prepareForShutdown", "admin", managementserverid=server["id"])["prepareforshutdown"]
    assert (told["state"], told["pendingjobscount"], told["readyforshutdown"]) == ("PreparingForShutDown", 1, False)
    assert world.now("stopVirtualMachine", id=vm).code == 503
    world.clock.advance(60)
    ready = world.now("readyForShutdown", "admin", managementserverid=server["id"])["readyforshutdown"]
    assert ready["readyforshutdown"] is True
    assert world.now("prepareForShutdown", "admin", managementserverid=server["id"]).code == 530
    world.now("cancelShutdown", "admin", managementserverid=server["id"])
    world.done("stopVirtualMachine", id=vm)
    assert world.now("cancelShutdown", "admin", managementserverid=server["id"]).code == 530


# --- events -----------------------------------------------------------------------------------------------------------


def test_a_job_leaves_three_events_that_belong_together(world: World) -> None:
    vm = world.deploy()
    world.done("startVirtualMachine", id=vm)
    rows = world.now("listEvents", type="VM.START")["event"]
    by_state = {row["state"]: row for row in rows}
    first = by_state["Scheduled"]["id"]
    assert by_state["Started"]["parentid"] == by_state["Completed"]["parentid"] == first
    assert by_state["Completed"]["description"] == f"Successfully completed starting Vm. Vm Id: {vm}"
    assert (by_state["Scheduled"]["resourceid"], by_state["Scheduled"]["resourcetype"]) == (vm, "VirtualMachine")
    assert world.now("listEvents", startid=first)["count"] == 3


def test_what_fails_leaves_an_error(world: World) -> None:
    vm, volume = world.rootless(), world.ready()
    world.does("attachVolume", id=volume, virtualmachineid=vm, deviceid=3)
    (row,) = world.now("listEvents", type="VOLUME.ATTACH", level="ERROR")["event"]
    assert row["description"].startswith(f"Error while attaching volume. Volume Id: {volume}")


def test_a_command_without_job_is_written_down_too(world: World) -> None:
    volume = world.volume()
    world.now("deleteVolume", id=volume)
    (row,) = world.now("listEvents", type="VOLUME.DELETE")["event"]
    assert (row["state"], row["resourceid"], row["resourcename"]) == ("Completed", volume, "data")


def test_events_outlive_the_job_and_a_lost_job_has_no_end(world: World) -> None:
    vm = world.deploy()
    job = world.submit("startVirtualMachine", id=vm)
    world.clock.advance(1)
    world.cloud.restart()
    world.cloud.jobs.purge(job)
    assert {row["state"] for row in world.now("listEvents", type="VM.START")["event"]} == {"Scheduled", "Started"}


def test_events_are_those_of_ones_own_things_newest_first_and_of_a_time(world: World) -> None:
    world.deploy("first")
    world.clock.advance(100)
    since = world.clock.now().isoformat()
    world.clock.advance(1)
    world.deploy("second")
    rows = world.now("listEvents", type="VM.CREATE", state="Scheduled")["event"]
    assert [row["resourcename"] for row in rows] == ["second", "first"]
    assert world.now("listEvents", type="VM.CREATE", state="Scheduled", startdate=since)["count"] == 1
    assert world.now("listEvents", type="VM.CREATE", state="Scheduled", enddate=since)["count"] == 1
    assert world.now("listEvents", "other") == {}
    assert world.now("listEvents", "admin", listall=True)["count"] >= 4


# --- recurring snapshots ----------------------------------------------------------------------------------------------


def policy(world: World, volume: str, **changes: Any) -> Any:
    plain = {"intervaltype": "HOURLY", "maxsnaps": 2, "schedule": "15", "timezone": "UTC", **changes}
    return world.now("createSnapshotPolicy", volumeid=volume, **plain)


def test_a_policy_fires_when_its_time_comes_and_keeps_so_many(world: World) -> None:
    volume = world.ready()
    told = policy(world, volume)["snapshotpolicy"]
    assert (told["intervaltype"], told["volumeid"]) == (0, volume)
    world.clock.advance(16 * 60)
    (row,) = world.now("listSnapshots", volumeid=volume)["snapshot"]
    assert (row["intervaltype"], row["state"]) == ("HOURLY", "BackedUp")
    world.clock.advance(4 * 3600)
    assert len(world.now("listSnapshots", volumeid=volume)["snapshot"]) == 2


def test_a_policy_that_is_deleted_fires_no_more(world: World) -> None:
    volume = world.ready()
    told = policy(world, volume, intervaltype="DAILY", schedule="0:13")["snapshotpolicy"]
    assert world.now("listSnapshotPolicies", volumeid=volume)["count"] == 1
    world.now("deleteSnapshotPolicies", id=told["id"])
    assert world.now("listSnapshotPolicies", volumeid=volume) == {}
    world.clock.advance(2 * 86400)
    assert world.now("listSnapshots", volumeid=volume) == {}


def test_a_second_policy_of_one_interval_changes_the_first(world: World) -> None:
    volume = world.ready()
    first = policy(world, volume)["snapshotpolicy"]["id"]
    second = policy(world, volume, maxsnaps=5)["snapshotpolicy"]
    assert (second["id"], second["maxsnaps"]) == (first, 5)


@pytest.mark.parametrize(
    "changes",
    [{"intervaltype": "YEARLY"}, {"maxsnaps": 9}, {"maxsnaps": 0}, {"schedule": "15:3"}, {"schedule": "soon"}],
    ids=str,
)
def test_a_policy_must_make_sense(world: World, changes: dict[str, Any]) -> None:
    assert policy(world, world.ready(), **changes).code == 431


def test_policies_of_others_are_not_touched(world: World) -> None:
    volume = world.ready()
    told = policy(world, volume)["snapshotpolicy"]["id"]
    assert world.now("deleteSnapshotPolicies", "other", id=told).code == 531
    assert world.now("listSnapshotPolicies", "other", volumeid=volume).code == 531
    assert world.now("deleteSnapshotPolicies").code == 431
    assert world.now("deleteSnapshotPolicies", ids="11111111-1111-4111-8111-111111111111").code == 431


def test_a_recurring_snapshot_takes_the_way_of_files_from_vm_snapshots(world: World) -> None:
    vm = world.running()
    policy(world, world.root(vm))
    world.done("stopVirtualMachine", id=vm)
    world.clock.advance(3600)
    row = world.vm_snapshot(vm)
    states = {one["id"]: one["state"] for one in world.now("listVMSnapshot")["vmSnapshot"]}
    assert states[row] == "Error"


# --- networks ---------------------------------------------------------------------------------------------------------


def test_a_network_in_use_is_not_deleted(world: World) -> None:
    vm = world.deploy()
    assert world.does("deleteNetwork", id=NET) == No("job", 530, "Failed to delete network")
    world.done("destroyVirtualMachine", "admin", id=vm, expunge=True)
    world.done("deleteNetwork", id=NET)
    assert NET not in {row["id"] for row in world.now("listNetworks")["network"]}
