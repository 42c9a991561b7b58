"""Guest networks: create, change, restart, delete. They are listed in `catalogue`."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import addresses, common, infrastructure
from simulator.model import Account, Network
from simulator.refusals import Refused
from simulator.registry import command
from simulator.wire import Call, Param, unknown_entity

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user.network."
GATEWAY, NETMASK = "10.1.1.1", "255.255.255.0"
OWN = Param("id", "Network", required=True, owned=True)
Row = dict[str, Any]


# --- create -----------------------------------------------------------------------------------------------------------


@command(
    "createNetwork",
    Param("name", required=True),
    Param("displaytext"),
    Param("networkofferingid", required=True),
    Param("zoneid", "Zone", required=True),
    Param("gateway"),
    Param("netmask"),
    Param("networkdomain"),
    Param("vlan", privileged=True),
    Param("vpcid"),
    *common.FOR,
)
def create(cloud: Cloud, call: Call) -> Row:
    """A new network, Allocated until its first guest starts; isolated ones and those of layer 2 anybody may make."""
    account = common.acting_for(cloud, call)
    offering = _offering(cloud, call)
    if common.zone_is_disabled(cloud, call, call["zoneid"].id):
        raise Refused(531, f"Cannot perform this operation, Zone is currently disabled: {call['zoneid'].name}", 4365)
    common.check_limits(cloud, account, {"network": 1})
    made = _row(cloud, call, account, offering)
    cloud.networks[made.id] = made
    return {"network": views.network(cloud, made, call.account)}


def _offering(cloud: Cloud, call: Call) -> Row:
    rows = infrastructure.told_of(cloud, "listNetworkOfferings")
    offering = next((row for row in rows if row["id"] == call["networkofferingid"]), None)
    if offering is None:
        raise unknown_entity(call.command, "networkofferingid", call["networkofferingid"])
    if offering.get("forvpc") or call.has("vpcid"):
        raise Refused(431, "Network offering can be used for VPC networks only")
    if offering["guestiptype"] == "Shared" and not call.account.is_root:
        raise Refused(531, "Only Root Admin is allowed to create Shared networks", 4365)
    if offering.get("specifyvlan") and not call.has("vlan"):
        raise Refused(431, "VLAN is required to create networks of this offering")
    if call.has("vlan") and not offering.get("specifyvlan"):
        raise Refused(431, f"Can't specify VLAN because network offering {offering['name']} doesn't support it")
    return offering


def _row(cloud: Cloud, call: Call, account: Account, offering: Row) -> Network:
    kind, zone = str(offering["guestiptype"]), call["zoneid"].id
    made = Network(cloud.new_id(), cloud.number("Network"), account.name, cloud.now(), name=call["name"], kind=kind)
    made.state, made.zone = "Allocated", zone
    made.domain = call["networkdomain"] or f"cs{account.n}cloud.internal"
    made.vlan = int(call["vlan"]) if call.has("vlan") else None
    alike = next((row.fields for row in cloud.networks.values() if row.kind == kind), {})
    told = {
        f"networkoffering{key}": offering.get(key) for key in ("id", "name", "displaytext", "conservemode", "availability")
    }
    made.fields = {**alike, **told, **_range(call, made), "displaytext": call["displaytext"] or call["name"]}
    return made


def _range(call: Call, network: Network) -> Row:
    """The addresses of its guests: those asked for by gateway and netmask, or the usual ones; none on layer 2."""
    gateway, netmask = call["gateway"], call["netmask"]
    if not network.has_services:
        if gateway is not None or netmask is not None:
            raise Refused(431, "StartIp/endIp/gateway/netmask should not be specified for L2 networks")
        return {}
    if (gateway is None) != (netmask is None):
        raise Refused(431, "gateway and netmask must be specified together")
    try:
        inside = ipaddress.ip_interface(f"{gateway or GATEWAY}/{netmask or NETMASK}")
    except ValueError:
        raise Refused(431, f"Invalid gateway {gateway} or netmask {netmask}") from None
    return {"gateway": str(inside.ip), "netmask": str(inside.netmask), "cidr": str(inside.network)}


# --- change, restart, delete ------------------------------------------------------------------------------------------


@command(
    "updateNetwork",
    OWN,
    Param("name"),
    Param("displaytext"),
    Param("networkdomain"),
    java=JAVA + "UpdateNetworkCmd",
    asynchronous=True,
    by_admin=True,
)
def update(cloud: Cloud, call: Call) -> Row:
    """Other names."""
    network: Network = call["id"]

    def check() -> None:
        if call.has("networkdomain") and any(True for _ in common.guests(cloud, network)):
            told = "Cannot perform this operation, there are guests in the network whose names end in its domain"
            raise Refused(431, told)

    def finish() -> Row:
        network.name = call["name"] or network.name
        network.domain = call["networkdomain"] or network.domain
        if call.has("displaytext"):
            network.fields["displaytext"] = call["displaytext"]
        return {"network": views.network(cloud, network, call.account)}

    return cloud.submit(call, finish, check=check, instance=("Network", network.id))


@command("restartNetwork", OWN, Param("cleanup", "bool"), java=JAVA + "RestartNetworkCmd", asynchronous=True)
def restart(cloud: Cloud, call: Call) -> Row:
    """What serves a network is made anew; its guests notice nothing here."""
    network: Network = call["id"]

    def check() -> None:
        if network.state not in ("Implemented", "Setup"):
            text = "Network is not in the right state to be restarted. Correct states are: Implemented, Setup"
            raise Refused(431, text)

    def finish() -> Row:
        return {"success": True}

    return cloud.submit(call, finish, check=check, instance=("Network", network.id))


@command("deleteNetwork", OWN, Param("forced", "bool"), java=JAVA + "DeleteNetworkCmd", asynchronous=True)
def delete(cloud: Cloud, call: Call) -> Row:
    """Delete a network that no VM has a card in any more; of one that is in use the server says only that it failed."""
    network: Network = call["id"]

    def finish() -> Row:
        if any(True for _ in common.guests(cloud, network)):
            raise Refused(530, "Failed to delete network")
        network.removed, network.state = True, "Destroy"
        addresses.forget_network(cloud, network)
        return {"success": True}

    return cloud.submit(call, finish, instance=("Network", network.id))
