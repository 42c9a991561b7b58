"""Load balancers: a port that is shared out, to VMs of its network alone, and to nobody until one is assigned."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.test_networks import acquired, forwarded, rules
from tests.simulator.world import NET, NET_B, No, World

Row = dict[str, Any]


def balancer(world: World, address: str, port: int = 80, **params: Any) -> Any:
    given = {"name": "web", "algorithm": "roundrobin", "publicport": port, "privateport": 8080, **params}
    return world.does("createLoadBalancerRule", publicipid=address, **given)


@pytest.fixture
def vm(world: World) -> str:
    return world.running(networkids=NET)


@pytest.fixture
def address(world: World, vm: str) -> str:
    return acquired(world)


@pytest.fixture
def made(world: World, address: str) -> Row:
    row: Row = balancer(world, address)["loadbalancer"]
    return row


def members(world: World, made: Row, **params: Any) -> list[Row]:
    answer = world.now("listLoadBalancerRuleInstances", id=made["id"], **params)
    rows: list[Row] = next((value for value in answer.values() if isinstance(value, list)), [])
    return rows


def test_a_load_balancer_tells_its_ports_as_text_and_waits_for_a_member(world: World, made: Row) -> None:
    assert (made["publicport"], made["privateport"], made["algorithm"], made["state"]) == ("80", "8080", "roundrobin", "Add")
    assert rules(world, "LoadBalancer") == [made]
    assert [(row["startport"], row["cidrlist"]) for row in rules(world, "Firewall")] == [(80, "0.0.0.0/0")]


def test_a_vm_that_is_assigned_is_a_member_until_it_is_removed(world: World, made: Row, vm: str) -> None:
    world.done("assignToLoadBalancerRule", id=made["id"], virtualmachineids=vm)
    assert rules(world, "LoadBalancer", virtualmachineid=vm)[0]["state"] == "Active"
    assert [row["id"] for row in members(world, made)] == [vm]
    assert [row["lbvmipaddresses"] for row in members(world, made, lbvmips=True)] == [[world.vm(vm)["nic"][0]["ipaddress"]]]
    world.done("removeFromLoadBalancerRule", id=made["id"], virtualmachineids=vm)
    assert (members(world, made), rules(world, "LoadBalancer", virtualmachineid=vm)) == ([], [])


def test_a_vm_that_is_destroyed_and_expunged_is_no_member(world: World, made: Row, vm: str) -> None:
    world.done("assignToLoadBalancerRule", id=made["id"], virtualmachineids=vm)
    world.done("destroyVirtualMachine", "admin", id=vm, expunge=True)
    assert members(world, made) == []


def test_who_is_no_member_of_the_network_or_one_already_is_not_assigned(world: World, made: Row, vm: str) -> None:
    world.done("assignToLoadBalancerRule", id=made["id"], virtualmachineids=vm)
    beside = world.running("beside", networkids=NET_B)
    for wanted, why in ((beside, "Invalid instance id specified"), (vm, "is already mapped to load balancer.")):
        refused = world.does("assignToLoadBalancerRule", id=made["id"], virtualmachineids=wanted)
        assert isinstance(refused, No)
        assert (refused.code, refused.text.startswith("Failed to assign load balancer rule due to: ")) == (530, True)
        assert refused.text.endswith(why)
    assert world.does("removeFromLoadBalancerRule", id=made["id"], virtualmachineids=beside).code == 431


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        ({"algorithm": "luck"}, 431, "Invalid algorithm: luck"),
        ({"privateport": 0}, 431, "privatePort is an invalid value: 0"),
        ({"publicport": 70000}, 431, "publicPort is an invalid value: 70000"),
        ({"publicipid": None}, 431, "Either networkId or zoneId or publicIpId has to be specified"),
    ],
)
def test_what_is_wrong_with_a_load_balancer_is_refused(
    world: World, address: str, params: Row, code: int, text: str
) -> None:
    given = {"name": "web", "algorithm": "source", "publicport": 1, "privateport": 1, "publicipid": address, **params}
    refused = world.now("createLoadBalancerRule", **{key: value for key, value in given.items() if value is not None})
    assert (refused.code, refused.text) == (code, text)


def test_a_port_is_either_shared_out_or_led_on(world: World, made: Row, address: str, vm: str) -> None:
    assert forwarded(world, address, vm, 80).code == 537
    assert balancer(world, address).code == 537
    forwarded(world, address, vm, 81)
    assert balancer(world, address, 81).code == 537


def test_a_load_balancer_is_changed_tagged_and_deleted_with_its_firewall(world: World, made: Row) -> None:
    changed = world.done("updateLoadBalancerRule", id=made["id"], name="site", algorithm="source")["loadbalancer"]
    assert (changed["name"], changed["algorithm"]) == ("site", "source")
    tag = {"tags[0].key": "a", "tags[0].value": "b"}
    world.done("createTags", resourceids=made["id"], resourcetype="LoadBalancer", **tag)
    (row,) = rules(world, "LoadBalancer")
    assert [(t["resourcetype"], t["key"]) for t in row["tags"]] == [("LoadBalancer", "a")]
    world.done("deleteLoadBalancerRule", id=made["id"])
    assert rules(world, "LoadBalancer") == rules(world, "Firewall") == []


def test_another_kind_of_rule_is_no_load_balancer(world: World, address: str, vm: str) -> None:
    port = forwarded(world, address, vm)["portforwardingrule"]["id"]
    assert world.does("deleteLoadBalancerRule", id=port).code == 431
    assert [row["id"] for row in rules(world, "PortForwarding")] == [port]


def test_strangers_see_none_of_it(world: World, made: Row) -> None:
    assert rules(world, "LoadBalancer", by="other") == []
    assert world.now("deleteLoadBalancerRule", "other", id=made["id"]).code == 531
