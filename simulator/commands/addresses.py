"""Public addresses of isolated networks: acquire, release, static NAT, list.

A network that has come to life holds one address for its source NAT; others are acquired one by one. `rules` has what is
opened on them. What a network or a VM takes along when it goes, `forget_network` and `forget_vm` say.
"""

from __future__ import annotations

import ipaddress
import uuid
from typing import TYPE_CHECKING, Any

from simulator.clock import stamp
from simulator.commands import common
from simulator.model import Network, PublicAddress, Rule, Vm
from simulator.refusals import RUNTIME, Refused
from simulator.registry import READERS, command
from simulator.views import owner, plain_name, tags
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user."
PUBLIC = ipaddress.ip_network("192.168.2.0/24")
FIRST_FREE = 4  # the system VMs have the addresses before it
PUBLIC_NETWORK, PHYSICAL_NETWORK = "00000000-0000-4000-8000-0000000000b1", "00000000-0000-4000-8000-0000000000b2"
ADDRESS = Param("ipaddressid", "IpAddress", required=True, owned=True)


# --- those of networks ------------------------------------------------------------------------------------------------


def implement(cloud: Cloud, network: Network) -> None:
    """A network comes to life, with its first guest or address: it has a VLAN, and an address for what its guests send out."""
    network.state = "Implemented" if network.state == "Allocated" else network.state
    network.vlan = network.vlan or 100 + network.n
    if network.has_services and not any(row.source_nat for row in of_network(cloud, network)):
        made = _new(cloud, network, str(uuid.uuid5(uuid.NAMESPACE_OID, f"source-nat/{network.id}")))
        made.source_nat, made.created = True, network.created


def of_network(cloud: Cloud, network: Network) -> list[PublicAddress]:
    """The addresses that a network holds."""
    return [row for row in cloud.addresses.values() if row.network == network.id and not row.removed]


def rules_of(cloud: Cloud, address: PublicAddress) -> list[Rule]:
    """What is opened on an address."""
    return [row for row in cloud.rules.values() if row.address == address.id and not row.removed]


def forget_network(cloud: Cloud, network: Network) -> None:
    """A network goes, with its addresses and rules."""
    for row in of_network(cloud, network):
        _released(cloud, row)
    for rule in cloud.rules.values():
        rule.removed = rule.removed or rule.network == network.id


def forget_vm(cloud: Cloud, vm: Vm) -> None:
    """A VM goes: nothing leads to it any more."""
    for rule in [rule for rule in cloud.rules.values() if rule.vm == vm.id]:
        withdraw(cloud, rule)
    for rule in cloud.rules.values():
        rule.members.pop(vm.id, None)
    for row in cloud.addresses.values():
        if row.vm == vm.id:
            _disconnected(cloud, row)


def _new(cloud: Cloud, network: Network, wanted: str) -> PublicAddress:
    taken = {row.ip for row in cloud.addresses.values() if not row.removed}
    free = next((str(a) for a in list(PUBLIC.hosts())[FIRST_FREE - 1 :] if str(a) not in taken), None)
    if free is None:
        raise Refused(533, "Insufficient address capacity", RUNTIME, masked=True)
    made = PublicAddress(wanted, cloud.number("IpAddress"), network.account, cloud.now(), ip=free, network=network.id)
    made.zone = network.zone
    cloud.addresses[made.id] = made
    return made


def _released(cloud: Cloud, row: PublicAddress) -> None:
    for rule in rules_of(cloud, row):
        rule.removed = True
    row.removed, row.vm, row.vm_ip = True, None, None


def _disconnected(cloud: Cloud, row: PublicAddress) -> None:
    """Static NAT ends, and with it the rules that lead through it; what else the firewall lets in stays."""
    row.vm, row.vm_ip = None, None
    for rule in rules_of(cloud, row):
        if rule.purpose == "static":
            withdraw(cloud, rule)


def withdraw(cloud: Cloud, rule: Rule) -> None:
    """A rule goes, and with it those that were made for it."""
    for other in cloud.rules.values():
        other.removed = other.removed or rule.id in (other.id, other.related)


# --- acquire, release -------------------------------------------------------------------------------------------------


@command(
    "associateIpAddress",
    Param("networkid", "Network", owned=True),
    Param("zoneid", "Zone"),
    Param("vpcid"),
    Param("isportable", "bool"),
    *common.FOR,
    java=JAVA + "address.AssociateIPAddrCmd",
    creates=True,
    by_admin=True,
)
def acquire(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Acquire one more address for a network."""
    network = _network(cloud, call)
    if not network.has_services:
        raise Refused(431, f"Unable to associate IP address with network {network.id}: it has no public addresses")
    common.check_limits(cloud, cloud.accounts[network.account], {"public_ip": 1})
    implement(cloud, network)
    made = _new(cloud, network, cloud.new_id())
    made.state = "Allocating"

    def finish() -> dict[str, Any]:
        told = {"ipaddress": shown(cloud, made)}
        made.state = "Allocated"
        return told

    return cloud.submit(call, finish, instance=("IpAddress", made.id), entity=made.id)


def _network(cloud: Cloud, call: Call) -> Network:
    """The network that is named, or the only isolated one that the account has in the zone."""
    if call.has("networkid"):
        named: Network = call["networkid"]
        return named
    if not call.has("zoneid"):
        raise Refused(431, "Unable to figure out zone to assign ip to")
    account = common.acting_for(cloud, call)
    rows = [n for n in cloud.networks.values() if n.account == account.name and n.kind == "Isolated" and not n.removed]
    rows = [n for n in rows if n.zone == call["zoneid"].id]
    if len(rows) > 1:
        raise Refused(431, "Account has more than one isolated network in the zone")
    if not rows:
        raise Refused(431, "Account doesn't have any isolated networks in the zone")
    return rows[0]


@command(
    "disassociateIpAddress",
    Param("id", "IpAddress", owned=True),
    Param("ipaddress"),
    java=JAVA + "address.DisassociateIPAddrCmd",
    asynchronous=True,
)
def release(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Give an address back, with all that is opened on it; not the one of source NAT."""
    row = call["id"] or _by_text(cloud, call)

    def check() -> None:
        if row.source_nat:
            raise Refused(530, "ip address is used for source nat purposes and can not be disassociated.")

    def finish() -> dict[str, Any]:
        _released(cloud, row)
        return {"success": True}

    return cloud.submit(call, finish, check=check, instance=("IpAddress", row.id))


def _by_text(cloud: Cloud, call: Call) -> PublicAddress:
    wanted = call["ipaddress"]
    if wanted is None:
        raise Refused(431, "At least one of id and ipaddress must be specified")
    rows = (row for row in cloud.addresses.values() if row.ip == wanted and not row.removed)
    found = next((row for row in rows if cloud.may_act_on(call.account, row)), None)
    if found is None:
        raise Refused(431, f"Unable to find IP address {wanted}")
    return found


# --- static NAT -------------------------------------------------------------------------------------------------------


@command(
    "enableStaticNat",
    ADDRESS,
    Param("virtualmachineid", "VirtualMachine", required=True, owned=True),
    Param("networkid", "Network"),
    Param("vmguestip"),
)
def connect(cloud: Cloud, call: Call) -> dict[str, Any]:
    """An address leads to one VM, whole, at once."""
    row: PublicAddress = call["ipaddressid"]
    vm: Vm = call["virtualmachineid"]
    if call.has("networkid") and call["networkid"].id != row.network:
        n = call["networkid"].n
        raise Refused(431, f"Invalid network Id={n}. IP is associated with a different network than passed network id")
    inside = guest_address(vm, row.network, call["vmguestip"], "Vm doesn't belong to the network with specified id")
    _check_free(cloud, row, vm, inside)
    row.vm, row.vm_ip = vm.id, inside
    return {"success": True}


def guest_address(vm: Vm, network: str, wanted: str | None, otherwise: str) -> str:
    """The VM's address in a network: that of its card, or the one of its further ones that is asked for."""
    card = next((card for card in vm.nics if card.network == network and not card.removed), None)
    if card is None or card.ip is None:
        raise Refused(431, otherwise)
    if wanted is not None and wanted not in (card.ip, *card.further.values()):
        raise Refused(431, f"VM ip {wanted} address not belongs to the vm")
    return wanted or card.ip


def _check_free(cloud: Cloud, row: PublicAddress, vm: Vm, inside: str) -> None:
    if row.source_nat:
        raise Refused(431, f"Can't enable static, ip address {told(row)} is a sourceNat ip address")
    if row.vm is None and any(rule.purpose == "forwarding" for rule in rules_of(cloud, row)):
        text = f"Failed to enable static nat for the ip address {told(row)} as it already has PortForwarding rules assigned"
        raise Refused(537, text, 9999)
    if row.vm not in (None, vm.id):
        text = (
            f"Failed to enable static for the ip address {told(row)} and vm id={vm.n} as it's already assigned to antoher vm"
        )
        raise Refused(537, text, 9999)
    others = (other for other in cloud.addresses.values() if other.vm == vm.id and other.vm_ip == inside)
    other = next(others, None)
    if other is not None:
        said = f"as the vm {vm.instance} with Id {vm.id} is already associated with another public ip {other.ip} with id {other.id}"
        raise Refused(431, f"Failed to enable static nat on the  ip {row.ip} with Id {row.id} {said}")


def told(row: PublicAddress) -> str:
    """The address as texts of the server name it."""
    return f'IPAddress {{"address":"{row.ip}","id":{row.n},"uuid":"{row.id}"}}'


@command("disableStaticNat", ADDRESS, java=JAVA + "nat.DisableStaticNatCmd", asynchronous=True)
def disconnect(cloud: Cloud, call: Call) -> dict[str, Any]:
    """An address leads to no VM any more."""
    row: PublicAddress = call["ipaddressid"]

    def check() -> None:
        if row.vm is None:
            raise Refused(431, "Specified IP address id is not associated with any vm Id")

    def finish() -> dict[str, Any]:
        _disconnected(cloud, row)
        return {"success": True}

    return cloud.submit(call, finish, check=check)


# --- list -------------------------------------------------------------------------------------------------------------

FILTERS = ("ipaddress", "issourcenat", "isstaticnat", "associatednetworkid", "state")


@command(
    "listPublicIpAddresses",
    Param("id", "IpAddress"),
    Param("ipaddress"),
    Param("issourcenat", "bool"),
    Param("isstaticnat", "bool"),
    Param("associatednetworkid", "Network"),
    Param("zoneid", "Zone"),
    Param("vpcid"),
    Param("state"),
    Param("allocatedonly", "bool"),
    Param("forvirtualnetwork", "bool"),
    Param("tags", "map"),
    roles=READERS,
)
def list_addresses(cloud: Cloud, call: Call) -> dict[str, Any]:
    """The addresses that the caller's networks hold."""
    rows = common.chosen(cloud, call, cloud.addresses.values(), "IpAddress")
    rows = common.in_state(call, [row for row in rows if _matches(call, row)])
    return page(call, "publicipaddress", common.Views(rows, lambda row: shown(cloud, row)))


def _matches(call: Call, row: PublicAddress) -> bool:
    network = call["associatednetworkid"]
    return (
        call["vpcid"] is None
        and call["forvirtualnetwork"] is not False
        and call["ipaddress"] in (None, row.ip)
        and call["issourcenat"] in (None, row.source_nat)
        and call["isstaticnat"] in (None, row.vm is not None)
        and (network is None or network.id == row.network)
    )


def _public_network(cloud: Cloud) -> str:
    """The network behind the public range, as the estate names it."""
    told = next(iter(cloud.lists.get("listVlanIpRanges", ())), {})
    return str(told.get("networkid", PUBLIC_NETWORK))


def shown(cloud: Cloud, row: PublicAddress) -> dict[str, Any]:
    """An address as lists and jobs show it."""
    network = cloud.networks[row.network]
    return {
        "id": row.id,
        "ipaddress": row.ip,
        "allocated": stamp(row.created),
        "zoneid": row.zone,
        "zonename": plain_name(cloud, "Zone", row.zone),
        "issourcenat": row.source_nat,
        **owner(cloud, row),
        "forvirtualnetwork": True,
        "isstaticnat": row.vm is not None,
        "issystem": False,
        **_vm(cloud, row),
        "associatednetworkid": network.id,
        "associatednetworkname": network.name,
        "networkid": _public_network(cloud),
        "state": row.state,
        "physicalnetworkid": _physical(cloud),
        "tags": tags(cloud, row, "PublicIpAddress"),
        "isportable": False,
        "hasrules": bool(rules_of(cloud, row)),
        "forsystemvms": False,
        "forprovider": False,
        "hasannotations": False,
    }


def _physical(cloud: Cloud) -> str:
    """The network that public traffic takes: the first that the estate tells of."""
    return str(next((row["id"] for row in cloud.lists.get("listPhysicalNetworks", ())), PHYSICAL_NETWORK))


def _vm(cloud: Cloud, row: PublicAddress) -> dict[str, Any]:
    vm = cloud.vms.get(row.vm or "")
    if vm is None:
        return {}
    names = {"virtualmachinename": vm.name, "virtualmachinedisplayname": vm.display_name}
    return {"virtualmachineid": vm.id, "virtualmachinetype": "User", "vmipaddress": row.vm_ip, **names}
