"""Offerings that administrators make, and security groups that accounts keep."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import DISK, NOT_YOURS, ZONE, No, World, machine

Row = dict[str, Any]


def compute(world: World, **params: Any) -> Row:
    row: Row = world.now("createServiceOffering", "admin", name="made", displaytext="made", **params)["serviceoffering"]
    return row


def group(world: World) -> str:
    return str(world.now("createSecurityGroup", name="web")["securitygroup"]["id"])


# --- offerings --------------------------------------------------------------------------------------------------------


def test_a_fixed_offering_is_listed_and_deployed(world: World) -> None:
    made = compute(world, cpunumber=2, cpuspeed=500, memory=1024)
    vm = world.deploy(serviceofferingid=made["id"], **{"details[0].cpuNumber": None, "details[0].memory": None})
    assert (made["iscustomized"], world.vm(vm)["cpunumber"], world.vm(vm)["memory"]) == (False, 2, 1024)
    assert "made" in [row["name"] for row in world.now("listServiceOfferings")["serviceoffering"]]


def test_a_custom_offering_keeps_its_vms_within_its_bounds(world: World) -> None:
    made = compute(world, cpuspeed=500, customized=True, mincpunumber=1, maxcpunumber=2, minmemory=128, maxmemory=512)
    given = machine("x") | {"serviceofferingid": made["id"]}
    assert not isinstance(world.now("deployVirtualMachine", **given), No)
    beyond = world.now("deployVirtualMachine", **{**given, "name": "y", "details[0].cpuNumber": 3})
    assert beyond.text == "Invalid CPU cores value, specify a value between 1 and 2"


def test_a_disk_offering_gives_disks_its_size(world: World) -> None:
    made = world.now("createDiskOffering", "admin", name="five", disksize=5)["diskoffering"]
    volume = world.done("createVolume", name="data", zoneid=ZONE, diskofferingid=made["id"])["volume"]
    assert volume["size"] == 5 * 1024**3


@pytest.mark.parametrize(
    ("command", "params"),
    [
        ("createServiceOffering", {"cpunumber": 1}),
        ("createServiceOffering", {"cpunumber": 0, "cpuspeed": 1, "memory": 1}),
        ("createDiskOffering", {}),
        ("createDiskOffering", {"disksize": 0}),
        ("createDiskOffering", {"disksize": 1, "customized": True}),
    ],
)
def test_an_offering_without_a_size_is_refused(world: World, command: str, params: Row) -> None:
    assert world.now(command, "admin", name="x", **params).code == 431
    assert world.now(command, name="x", **params).code == 432


def test_a_deleted_offering_is_not_given_any_more_but_its_vms_stay(world: World) -> None:
    made = compute(world, cpunumber=2, cpuspeed=500, memory=1024)
    sizeless = {"details[0].cpuNumber": None, "details[0].memory": None}
    vm = world.deploy(serviceofferingid=made["id"], **sizeless)
    world.now("deleteServiceOffering", "admin", id=made["id"])
    refused = world.now("deployVirtualMachine", **machine("y", made["id"]))
    assert (refused.code, world.vm(vm)["serviceofferingname"]) == (431, "made")


def test_an_offering_is_renamed(world: World) -> None:
    renamed = world.now("updateDiskOffering", "admin", id=DISK, name="other", displaytext="text")["diskoffering"]
    assert (renamed["name"], renamed["displaytext"]) == ("other", "text")


# --- security groups --------------------------------------------------------------------------------------------------


def test_each_account_has_a_default_group_that_stays(world: World) -> None:
    (own,) = world.now("listSecurityGroups")["securitygroup"]
    (other,) = world.now("listSecurityGroups", "other")["securitygroup"]
    assert (own["name"], own["id"] == other["id"]) == ("default", False)
    assert world.now("deleteSecurityGroup", id=own["id"]).code == 431


@pytest.mark.parametrize("direction", ["Ingress", "Egress"])
def test_rules_of_a_group_are_added_and_revoked(world: World, direction: str) -> None:
    made, key = group(world), f"{direction.lower()}rule"
    given = {"protocol": "tcp", "startport": 80, "endport": 81, "cidrlist": "10.0.0.0/8,192.168.0.0/16"}
    added = world.done(f"authorizeSecurityGroup{direction}", securitygroupid=made, **given)["securitygroup"][key]
    world.done(f"revokeSecurityGroup{direction}", id=added[0]["ruleid"])
    (row,) = world.now("listSecurityGroups", id=made)["securitygroup"]
    assert [(rule["cidr"], rule["startport"]) for rule in row[key]] == [("192.168.0.0/16", 80)]


@pytest.mark.parametrize(
    "params", [{"protocol": "tcp"}, {"protocol": "udp", "startport": 9, "endport": 8}, {"cidrlist": "x"}]
)
def test_a_rule_that_means_nothing_is_refused(world: World, params: Row) -> None:
    assert world.does("authorizeSecurityGroupIngress", securitygroupid=group(world), **params).code == 431


def test_groups_are_their_accounts_own_and_unique_by_name(world: World) -> None:
    made = group(world)
    assert world.now("deleteSecurityGroup", "other", id=made) == No("call", 531, NOT_YOURS)
    assert world.now("createSecurityGroup", name="web").code == 431
    assert world.now("deleteSecurityGroup", name="web") == {"success": True}
    assert world.now("deleteSecurityGroup", name="web").code == 431
