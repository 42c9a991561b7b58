"""Networks and what is around them: addresses, rules, further addresses of cards. Shapes stand in the recordings."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import FOREIGN, L2, NET, NET_B, NOT_YOURS, ZONE, No, World

ISOLATED, LAYER_2 = "00000000-0000-4000-8a03-000000000000", "00000000-0000-4000-8a03-000000000001"
Row = dict[str, Any]


def addresses(world: World, **params: Any) -> list[Row]:
    rows: list[Row] = world.now("listPublicIpAddresses", **params).get("publicipaddress", [])
    return rows


def acquired(world: World, network: str = NET) -> str:
    return str(world.done("associateIpAddress", networkid=network)["ipaddress"]["id"])


def forwarded(world: World, address: str, vm: str, port: int = 22, **params: Any) -> Any:
    given = {"protocol": "tcp", "publicport": port, "privateport": port, "virtualmachineid": vm, **params}
    return world.does("createPortForwardingRule", ipaddressid=address, **given)


def rules(world: World, kind: str, **params: Any) -> list[Row]:
    answer = world.now(f"list{kind}Rules", **params)
    rows: list[Row] = next((value for value in answer.values() if isinstance(value, list)), [])
    return rows


# --- networks ---------------------------------------------------------------------------------------------------------


def test_a_network_is_made_and_comes_to_life_with_its_first_guest(world: World) -> None:
    made = world.now("createNetwork", name="new", networkofferingid=ISOLATED, zoneid=ZONE)["network"]
    before = addresses(world, associatednetworkid=made["id"])
    world.running(networkids=made["id"])
    (network,) = world.now("listNetworks", id=made["id"])["network"]
    assert (made["type"], made["state"], before, network["state"]) == ("Isolated", "Allocated", [], "Implemented")
    assert [row["issourcenat"] for row in addresses(world, associatednetworkid=made["id"])] == [True]


def test_guests_have_addresses_of_their_networks_range(world: World) -> None:
    given = {"gateway": "172.16.5.1", "netmask": "255.255.255.128"}
    made = world.now("createNetwork", name="new", networkofferingid=ISOLATED, zoneid=ZONE, **given)["network"]
    (card,) = world.vm(world.deploy(networkids=made["id"]))["nic"]
    assert made["cidr"] == "172.16.5.0/25"
    assert (card["ipaddress"], card["gateway"], card["netmask"]) == ("172.16.5.2", "172.16.5.1", "255.255.255.128")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"networkofferingid": "nonsense"}, 431),
        ({"networkofferingid": ISOLATED, "gateway": "10.0.0.1"}, 431),
        ({"networkofferingid": ISOLATED, "gateway": "10.0.0.1", "netmask": "nonsense"}, 431),
        ({"networkofferingid": LAYER_2, "gateway": "10.0.0.1", "netmask": "255.0.0.0"}, 431),
        ({"networkofferingid": ISOLATED, "vpcid": "1"}, 431),
        ({"networkofferingid": ISOLATED, "account": "other", "domainid": "x"}, 431),
    ],
)
def test_a_network_that_cannot_be_is_refused_and_leaves_nothing(world: World, params: Row, code: int) -> None:
    before = len(world.cloud.networks)
    assert world.now("createNetwork", name="new", zoneid=ZONE, **params).code == code
    assert len(world.cloud.networks) == before


def test_more_networks_than_the_limit_are_refused() -> None:
    world = World()
    world.cloud.accounts["dr"].limits["network"] = 3
    assert world.now("createNetwork", name="new", zoneid=ZONE, networkofferingid=LAYER_2).code == 535


def test_a_network_is_renamed_restarted_and_deleted_with_what_it_holds(world: World) -> None:
    acquired(world, NET_B)
    assert world.done("updateNetwork", id=NET_B, name="b2", displaytext="two")["network"]["name"] == "b2"
    assert world.done("restartNetwork", id=NET_B) == {"success": True}
    assert len(addresses(world, associatednetworkid=NET_B)) == 2
    assert world.done("deleteNetwork", id=NET_B) == {"success": True}
    assert [row["associatednetworkname"] for row in addresses(world)] == ["net"]


def test_a_network_in_use_is_not_deleted_and_one_that_sleeps_not_restarted(world: World) -> None:
    world.deploy()
    asleep = world.now("createNetwork", name="new", networkofferingid=LAYER_2, zoneid=ZONE)["network"]["id"]
    assert world.does("deleteNetwork", id=NET) == No("job", 530, "Failed to delete network")
    assert world.does("restartNetwork", id=asleep).code == 431


# --- addresses --------------------------------------------------------------------------------------------------------


def test_an_address_is_acquired_and_given_back_but_not_that_of_source_nat(world: World) -> None:
    made = acquired(world)
    (own,) = addresses(world, issourcenat=True, associatednetworkid=NET)
    assert addresses(world, id=made)[0]["state"] == "Allocated"
    assert world.does("disassociateIpAddress", id=own["id"]).code == 530
    assert world.done("disassociateIpAddress", id=made) == {"success": True}
    assert addresses(world, id=made) == []


@pytest.mark.parametrize(
    ("by", "params", "code"),
    [
        ("dr", {"networkid": L2}, 431),
        ("dr", {"networkid": FOREIGN}, 531),
        ("dr", {"zoneid": ZONE}, 431),
        ("dr", {}, 431),
    ],
    ids=["no services", "foreign", "two networks", "nowhere"],
)
def test_an_address_for_no_network_is_refused(world: World, by: str, params: Row, code: int) -> None:
    assert world.now("associateIpAddress", by, **params).code == code


def test_the_only_isolated_network_of_an_account_is_meant_by_its_zone(world: World) -> None:
    answer = world.done("associateIpAddress", "other", zoneid=ZONE)
    assert answer["ipaddress"]["associatednetworkid"] == FOREIGN


def test_an_accounts_limit_counts_its_addresses(world: World) -> None:
    world.cloud.accounts["dr"].limits["public_ip"] = 3
    acquired(world)
    assert world.now("associateIpAddress", networkid=NET).code == 535


def test_addresses_are_their_accounts_own(world: World) -> None:
    made = acquired(world)
    assert world.now("disassociateIpAddress", "other", id=made) == No("call", 531, NOT_YOURS)
    assert made not in [row["id"] for row in addresses(world, by="other")]


def test_static_nat_leads_to_one_vm_until_it_is_disabled(world: World) -> None:
    address, vm = acquired(world), world.deploy()
    assert world.now("enableStaticNat", ipaddressid=address, virtualmachineid=vm) == {"success": True}
    (row,) = addresses(world, isstaticnat=True)
    assert (row["id"], row["virtualmachineid"], row["vmipaddress"]) == (address, vm, world.vm(vm)["nic"][0]["ipaddress"])
    second = world.now("enableStaticNat", ipaddressid=acquired(world), virtualmachineid=vm)
    assert "is already associated with another public ip" in second.text
    assert world.done("disableStaticNat", ipaddressid=address) == {"success": True}
    assert addresses(world, isstaticnat=True) == []
    again = world.does("disableStaticNat", ipaddressid=address)
    assert again == No("job", 431, "Specified IP address id is not associated with any vm Id")


def test_static_nat_is_refused_on_source_nat_beside_forwarding_and_off_its_network(world: World) -> None:
    vm, elsewhere = world.deploy(), world.deploy("far", networkids=NET_B)
    (own,) = addresses(world, issourcenat=True, associatednetworkid=NET)
    forwarding, bare = acquired(world), acquired(world)
    forwarded(world, forwarding, vm)
    codes = [
        world.now("enableStaticNat", ipaddressid=address, virtualmachineid=to).code
        for address, to in ((own["id"], vm), (forwarding, vm), (bare, elsewhere))
    ]
    assert codes == [431, 537, 431]


# --- rules ------------------------------------------------------------------------------------------------------------


def test_what_may_leave_a_network_is_made_listed_and_deleted(world: World) -> None:
    made = world.done("createEgressFirewallRule", networkid=NET, protocol="all")["firewallrule"]
    assert (made["cidrlist"], made["traffictype"]) == ("10.1.1.0/24", "Egress")
    assert rules(world, "EgressFirewall", networkid=NET) == [made]
    twin = world.does("createEgressFirewallRule", networkid=NET, protocol="all")
    assert twin == No("call", 537, "There is already a firewall rule specified with protocol = all and no ports")
    assert world.done("deleteEgressFirewallRule", id=made["id"]) == {"success": True}
    assert rules(world, "EgressFirewall") == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"protocol": "gre"}, 431),
        ({"protocol": "tcp", "startport": 0}, 431),
        ({"protocol": "tcp", "startport": 1, "endport": 65536}, 431),
        ({"protocol": "tcp", "startport": 9, "endport": 8}, 431),
        ({"protocol": "tcp", "icmptype": 8}, 431),
        ({"protocol": "icmp", "startport": 8}, 431),
        ({"protocol": "tcp", "cidrlist": "nonsense"}, 431),
        ({"protocol": "tcp", "cidrlist": "192.168.0.0/24"}, 431),
    ],
)
def test_an_egress_rule_that_means_nothing_is_refused(world: World, params: Row, code: int) -> None:
    assert world.does("createEgressFirewallRule", networkid=NET, **params).code == code
    assert rules(world, "EgressFirewall") == []


def test_the_same_ports_conflict_only_from_the_same_places(world: World) -> None:
    address = acquired(world)
    given = {"ipaddressid": address, "protocol": "tcp", "startport": 20, "endport": 30}
    world.done("createFirewallRule", cidrlist="198.51.100.0/24", **given)
    world.done("createFirewallRule", cidrlist="203.0.113.0/24", **given)
    clash = world.does("createFirewallRule", **{**given, "startport": 30, "endport": 40}, cidrlist="203.0.113.0/24")
    assert (clash.code, clash.text.startswith("The range specified, 30-40, conflicts with rule ")) == (537, True)
    assert len(rules(world, "Firewall", ipaddressid=address)) == 2


def test_forwarding_opens_the_firewall_and_closes_it_when_it_goes(world: World) -> None:
    address, vm = acquired(world), world.deploy()
    made = forwarded(world, address, vm)["portforwardingrule"]
    (opened,) = rules(world, "Firewall", ipaddressid=address)
    assert (opened["startport"], opened["cidrlist"]) == (22, "0.0.0.0/0")
    assert forwarded(world, address, vm).code == 537
    world.done("deletePortForwardingRule", id=made["id"])
    assert rules(world, "Firewall") == rules(world, "PortForwarding") == []


def test_forwarding_without_opening_and_leading_elsewhere(world: World) -> None:
    address, vm, other = acquired(world), world.deploy(), world.deploy("other")
    made = forwarded(world, address, vm, openfirewall=False)["portforwardingrule"]
    assert rules(world, "Firewall") == []
    changed = world.done("updatePortForwardingRule", id=made["id"], privateport=2222, virtualmachineid=other)
    rule = changed["portforwardingrule"]
    assert (rule["virtualmachineid"], rule["privateport"], rule["publicport"]) == (other, "2222", "22")


@pytest.mark.parametrize(
    "params",
    [
        {"publicendport": 30},
        {"publicendport": 24, "privateport": 40, "privateendport": 42},
        {"vmguestip": "10.1.1.250"},
        {"protocol": "icmp"},
    ],
)
def test_forwarding_that_does_not_fit_is_refused(world: World, params: Row) -> None:
    address, vm = acquired(world), world.deploy()
    assert forwarded(world, address, vm, **params).code == 431


def test_rules_of_static_nat_need_static_nat(world: World) -> None:
    address, vm = acquired(world), world.deploy()
    given = {"ipaddressid": address, "protocol": "tcp", "startport": 80}
    refused = world.does("createIpForwardingRule", **given)
    assert (refused.code, refused.text.startswith("Can't do static nat on ip address: ")) == (537, True)
    world.now("enableStaticNat", ipaddressid=address, virtualmachineid=vm)
    made = world.done("createIpForwardingRule", **given)["ipforwardingrule"]
    assert (made["startport"], made["virtualmachineid"]) == ("80", vm)
    world.done("deleteIpForwardingRule", id=made["id"])
    assert rules(world, "IpForwarding") == []


def test_disabled_static_nat_takes_its_own_rules_along_and_leaves_the_firewalls(world: World) -> None:
    address, vm = acquired(world), world.deploy()
    world.now("enableStaticNat", ipaddressid=address, virtualmachineid=vm)
    world.done("createIpForwardingRule", ipaddressid=address, protocol="tcp", startport=80)
    world.done("createFirewallRule", ipaddressid=address, protocol="tcp", startport=443)
    world.done("disableStaticNat", ipaddressid=address)
    assert rules(world, "IpForwarding") == []
    assert [rule["startport"] for rule in rules(world, "Firewall")] == [443]


def test_a_rule_is_not_deleted_as_one_of_another_kind(world: World) -> None:
    made = world.done("createEgressFirewallRule", networkid=NET, protocol="all")["firewallrule"]
    assert world.does("deletePortForwardingRule", id=made["id"]).code == 431
    assert len(rules(world, "EgressFirewall")) == 1


def test_an_expunged_vm_takes_its_rules_and_static_nat_along(world: World) -> None:
    address, leading = acquired(world), acquired(world)
    vm = world.deploy()
    forwarded(world, address, vm)
    world.now("enableStaticNat", ipaddressid=leading, virtualmachineid=vm)
    world.done("destroyVirtualMachine", "admin", id=vm, expunge=True)
    assert (rules(world, "PortForwarding"), addresses(world, isstaticnat=True)) == ([], [])
    assert rules(world, "Firewall") == []


# --- further addresses of a card --------------------------------------------------------------------------------------


def card_of(world: World, vm: str) -> Row:
    row: Row = world.now("listNics", virtualmachineid=vm)["nic"][0]
    return row


def test_a_card_has_further_addresses_that_nobody_else_gets(world: World) -> None:
    vm = world.deploy()
    card = card_of(world, vm)
    made = world.done("addIpToNic", nicid=card["id"], ipaddress="10.1.1.77")["nicsecondaryip"]
    assert card_of(world, vm)["secondaryip"] == [{"id": made["id"], "ipaddress": "10.1.1.77"}]
    assert world.does("addIpToNic", nicid=card["id"], ipaddress="10.1.1.77").code == 431
    assert world.done("removeIpFromNic", id=made["id"]) == {"success": True}
    assert "secondaryip" not in card_of(world, vm)


def test_a_further_address_that_something_leads_to_stays(world: World) -> None:
    vm, address = world.deploy(), acquired(world)
    made = world.done("addIpToNic", nicid=card_of(world, vm)["id"])["nicsecondaryip"]
    forwarded(world, address, vm, vmguestip=made["ipaddress"])
    assert world.does("removeIpFromNic", id=made["id"]).code == 431


def test_a_foreign_or_bare_card_gets_no_address(world: World) -> None:
    vm, bare = world.deploy(), world.deploy("bare", networkids=L2)
    assert world.does("addIpToNic", "other", nicid=card_of(world, vm)["id"]) == No("call", 531, NOT_YOURS)
    assert world.does("addIpToNic", nicid=card_of(world, bare)["id"]).code == 431


def test_the_own_address_of_a_card_changes_while_its_vm_is_stopped(world: World) -> None:
    vm = world.deploy()
    world.done("updateVmNicIp", nicid=card_of(world, vm)["id"], ipaddress="10.1.1.88")
    assert card_of(world, vm)["ipaddress"] == "10.1.1.88"
    world.done("startVirtualMachine", id=vm)
    assert world.does("updateVmNicIp", nicid=card_of(world, vm)["id"], ipaddress="10.1.1.89").code == 431
