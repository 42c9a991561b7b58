"""A test network is a bubble: every path that leads out of it is found and drawn, and what is not shown is said (INV-08)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plans import bubble, guards, planner
from plans.observed import Doors, Network
from plans.plan import Plan, Refusal
from specs.goal import GoalKind
from tests.plans import worlds

CLOSED = Doors((), (), (), (), ())
L2 = replace(worlds.TEST_NET, vlan="vlan://900", physical="p1", services=frozenset())
ISOLATED = replace(
    L2, type="Isolated", services=frozenset({"Dhcp", "SourceNat"}), egress_open=False, gateway="10.1.1.1", doors=CLOSED
)
PRODUCTION = replace(worlds.PRODUCTION, vlan="vlan://112", physical="p1")


def proof(network: Network, *beside: Network) -> bubble.Proof:
    return bubble.prove(network, {n.id: n for n in (network, *beside)}, {network.id})


OPENED: list[tuple[dict[str, Any], str]] = [
    ({"egress_open": True}, "router, whose egress is open by default → outside"),
    ({"routed": True}, "router, which routes without NAT → outside"),
    ({"gateway6": "fd00::1"}, "router, which routes IPv6 by fd00::1 → outside"),
    ({"doors": replace(CLOSED, egress=("tcp 80-80 to everywhere",))}, "egress rules: tcp 80-80 to everywhere → outside"),
    ({"doors": replace(CLOSED, vpns=("at 192.0.2.1",))}, "remote access VPNs: at 192.0.2.1 → outside"),
    ({"doors": replace(CLOSED, static_nats=("192.0.2.1",))}, "static NAT: 192.0.2.1 → outside"),
    ({"doors": replace(CLOSED, forwardings=("tcp 22 of 192.0.2.1",))}, "port forwarding: tcp 22 of 192.0.2.1 → outside"),
    ({"doors": replace(CLOSED, balancers=("web, 80 of 192.0.2.1",))}, "load balancers: web, 80 of 192.0.2.1 → outside"),
    ({"vpc_id": "v1"}, "router of VPC v1 → its other tiers, gateways and static routes"),
    ({"type": "Shared"}, "gateway 10.1.1.1 of a shared network → outside"),
    ({"type": "Layer9"}, "what a network of type Layer9 leads to"),
    ({"system": True}, "Guest traffic of the cloud itself → outside"),
    ({"traffic": "Management"}, "Management traffic of the cloud itself → outside"),
    ({"vlan": "vlan://112"}, "vlan://112 → network-production-123, which is no test network"),
    ({"vlan": "vlan://112", "physical": None}, "vlan://112 → network-production-123, which is no test network"),
]


@pytest.mark.parametrize(("changed", "path"), OPENED, ids=[path for _, path in OPENED])
def test_a_way_out_is_drawn_from_the_adapter_on(changed: dict[str, Any], path: str) -> None:
    found = proof(replace(ISOLATED, **changed), PRODUCTION)
    assert not found.closed
    (drawn,) = found.drawn("VM Network")
    assert drawn.startswith('adapter "VM Network" → test-network-default → ')
    assert drawn.endswith(path)
    assert path in str(found)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (L2, "no path outwards, layer 2 without a router"),
        (ISOLATED, "no path outwards, its router lets nothing out"),
        (replace(ISOLATED, services=frozenset({"Dhcp", "Dns"})), "no path outwards, no service leads out"),
        (replace(L2, vlan="vlan://112", physical="p2"), "no path outwards, layer 2 without a router"),
    ],
)
def test_a_network_without_a_way_out_is_told_why(network: Network, told: str) -> None:
    found = proof(network, PRODUCTION)
    assert found.closed
    assert str(found) == f"test-network-default: {told}"


def test_what_the_account_is_not_shown_is_named() -> None:
    dark = replace(ISOLATED, vlan=None, services=None, egress_open=None, doors=Doors(egress=(), vpns=None))
    unseen = proof(dark, PRODUCTION).unseen
    assert unseen[:3] == ("its VLAN", "its services", "its egress default")
    assert set(unseen[3:]) == {f"its {title}" for name, title in bubble.DOORS.items() if name != "egress"}
    assert "not visible to this account: its VLAN, its services" in str(proof(dark))


def test_another_test_network_on_the_same_wire_is_no_way_out() -> None:
    other = replace(L2, id="another")
    assert bubble.prove(L2, {L2.id: L2, other.id: other}, {L2.id, other.id}).closed
    assert not bubble.prove(L2, {L2.id: L2, other.id: other}, {L2.id}).closed


def test_many_rules_are_counted_and_not_all_drawn() -> None:
    found = proof(replace(ISOLATED, doors=replace(CLOSED, egress=tuple(f"tcp {n}" for n in range(9)))))
    assert len(found.paths) == bubble.MOST + 1
    assert "6 more" in found.paths[-1][0]


# --- whatever a server shows ------------------------------------------------------------------------------------------

rules = st.none() | st.lists(st.sampled_from(["tcp 22", "all"]), max_size=2).map(tuple)
networks = st.builds(
    Network,
    id=st.sampled_from(["a", "b", "c"]),
    name=st.sampled_from(["one", "two"]),
    type=st.sampled_from(["L2", "Isolated", "Shared", ""]),
    state=st.just("Implemented"),
    zone_id=st.just("z"),
    services=st.none() | st.frozensets(st.sampled_from(["Dhcp", "SourceNat", "Vpn"])),
    egress_open=st.none() | st.booleans(),
    gateway=st.none() | st.just("10.1.1.1"),
    gateway6=st.none() | st.just("fd00::1"),
    routed=st.booleans(),
    vpc_id=st.none() | st.just("v"),
    vlan=st.none() | st.sampled_from(["vlan://1", "vlan://2"]),
    physical=st.none() | st.sampled_from(["p1", "p2"]),
    doors=st.none() | st.builds(Doors, **dict.fromkeys((f.name for f in fields(Doors)), rules)),
)
clouds = st.lists(networks, min_size=1, max_size=3, unique_by=lambda n: n.id).map(lambda all_: {n.id: n for n in all_})
WAYS: dict[str, dict[str, Any]] = {
    "vpc": {"vpc_id": "v"},
    "shared": {"type": "Shared"},
    "egress": {"type": "Isolated", "services": None, "egress_open": True},
    "rule": {"type": "Isolated", "services": None, "doors": replace(CLOSED, vpns=("at 192.0.2.1",))},
    "wire": {"vlan": "vlan://112", "physical": None},
}


@given(cloud=clouds, way=st.sampled_from(sorted(WAYS)))
def test_whatever_else_is_so_an_open_way_is_never_passed(cloud: dict[str, Network], way: str) -> None:
    network = replace(cloud[min(cloud)], **WAYS[way])
    assert not bubble.prove(network, {**cloud, network.id: network, PRODUCTION.id: PRODUCTION}, {network.id}).closed


@given(cloud=clouds)
def test_a_network_is_closed_or_drawn_and_an_account_that_sees_less_is_told_so(cloud: dict[str, Network]) -> None:
    network = cloud[min(cloud)]
    found = bubble.prove(network, cloud, {network.id})
    assert found.closed is (not found.drawn("x"))
    assert all(path.startswith(f'adapter "x" → {network.name} → ') for path in found.drawn("x"))
    blind = replace(network, vlan=None, doors=None, egress_open=None)
    less = bubble.prove(blind, {**cloud, network.id: blind}, {network.id})
    assert set(less.paths) <= set(found.paths)
    assert set(found.unseen) <= set(less.unseen)
    assert found.paths == less.paths or set(less.unseen) > set(found.unseen)


@given(cloud=clouds)
def test_to_allow_more_test_networks_never_opens_a_path(cloud: dict[str, Network]) -> None:
    network = cloud[min(cloud)]
    assert set(bubble.prove(network, cloud, set(cloud)).paths) <= set(bubble.prove(network, cloud, {network.id}).paths)


# --- in guards and plans ----------------------------------------------------------------------------------------------


def planned(network: Network) -> Plan | Refusal:
    world = worlds.world(networks={n.id: n for n in (network, PRODUCTION)})
    return planner.plan(worlds.spec(), GoalKind.TESTING, world)


def test_a_test_on_a_network_with_a_way_out_is_refused_with_the_path() -> None:
    found = planned(replace(ISOLATED, egress_open=True))
    assert isinstance(found, Refusal)
    (reason,) = found.reasons
    assert reason.code == "NETWORK_NOT_CLOSED"
    assert 'adapter "VM Network" → test-network-default → router, whose egress is open by default → outside' in reason.text
    assert "layer 2" in reason.fix


def test_a_plan_has_the_proof_of_each_network_in_one_line_and_keeps_it() -> None:
    found = planned(L2)
    assert isinstance(found, Plan)
    assert found.proofs == ("test-network-default: no path outwards, layer 2 without a router",)
    assert Plan.from_json(found.as_json()).proofs == found.proofs


def test_adapters_that_stay_disconnected_need_no_proof() -> None:
    source = worlds.source(adapters=("VM Network", "Other"))
    world = worlds.world(source=source, networks={L2.id: L2})
    spec = worlds.spec(networks={"Other": "disconnected"})
    assert guards.reasons(spec, world) == ()
    found = planner.plan(spec, GoalKind.TESTING, world)
    assert isinstance(found, Plan)
    assert len(found.proofs) == 1
