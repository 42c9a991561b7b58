"""Load balancers: ports of a public address that are shared out among VMs. Rules like those of `rules`, with members."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import addresses, common, rules
from simulator.model import Network, PublicAddress, Rule, Vm
from simulator.refusals import Refused
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page, unknown_entity

if TYPE_CHECKING:
    from simulator.cloud import Cloud

Row = dict[str, Any]
JAVA = "org.apache.cloudstack.api.command.user.loadbalancer."
ALGORITHMS = ("source", "roundrobin", "leastconn")
PURPOSE, HIGHEST_PORT = "balancing", 65535
RULE = Param("id", "FirewallRule", required=True, owned=True)
MEMBERS = (Param("virtualmachineids", "list"), Param("vmidipmap", "map"))
ABOUT = (Param("description", limit=4096), Param("protocol"), Param("cidrlist", "list", since="4.18"))


def _algorithm(call: Call) -> str:
    if call["algorithm"] not in ALGORITHMS:
        raise Refused(431, f"Invalid algorithm: {call['algorithm']}", 9999)
    return str(call["algorithm"])


@command(
    "createLoadBalancerRule",
    Param("algorithm", required=True),
    Param("name", required=True),
    Param("privateport", "int", required=True),
    Param("publicport", "int", required=True),
    Param("publicipid", "IpAddress", owned=True),
    Param("zoneid", "Zone"),
    Param("networkid", "Network"),
    Param("openfirewall", "bool"),
    *ABOUT,
    *common.FOR[:2],
    java=JAVA + "CreateLoadBalancerRuleCmd",
    creates=True,
)
def create(cloud: Cloud, call: Call) -> Row:
    """Share out a port; nobody gets anything until a VM is assigned. The firewall is opened with it unless told otherwise."""
    address: PublicAddress | None = call["publicipid"]
    if address is None:
        raise Refused(431, "Either networkId or zoneId or publicIpId has to be specified")
    if not 1 <= call["privateport"] <= HIGHEST_PORT:
        raise Refused(431, f"privatePort is an invalid value: {call['privateport']}", 9999)
    made = rules.new(cloud, cloud.networks[address.network], PURPOSE, address)
    made.name, made.algorithm, made.description = call["name"], _algorithm(call), call["description"]
    made.ports = rules.ports_of(call["publicport"], None)
    made.private = (call["privateport"], call["privateport"])
    made.protocol, made.cidrs = (call["protocol"] or "tcp").lower(), tuple(call["cidrlist"] or ())
    rules.check_conflicts(cloud, made)
    if call["openfirewall"] is not False:
        rules.opened(cloud, made)
    return rules.kept(cloud, call, made, "loadbalancer", shown)


def shown(cloud: Cloud, row: Rule) -> Row:
    """A load balancer as lists and jobs show it."""
    address = cloud.addresses[row.address or ""]
    (public, _), (private, _) = row.ports or (0, 0), row.private or (0, 0)
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "publicipid": address.id,
        "publicip": address.ip,
        "publicport": str(public),
        "privateport": str(private),
        "algorithm": row.algorithm,
        "networkid": row.network,
        "cidrlist": ",".join(row.cidrs),
        **views.owner(cloud, row),
        "state": "Active" if row.members else "Add",
        "zoneid": address.zone,
        "zonename": views.plain_name(cloud, "Zone", address.zone),
        "protocol": row.protocol,
        "tags": views.tags(cloud, row, row.taggable),
    }


@command(
    "listLoadBalancerRules",
    Param("id", "FirewallRule"),
    Param("name"),
    Param("publicipid", "IpAddress"),
    Param("virtualmachineid", "VirtualMachine"),
    Param("zoneid", "Zone"),
    Param("networkid", "Network"),
    Param("tags", "map"),
    roles=READERS,
)
def listed(cloud: Cloud, call: Call) -> Row:
    """Load balancers, by address, VM, network or name."""
    zone = call.values.pop("zoneid", None)
    rows = [row for row in common.chosen(cloud, call, cloud.rules.values(), "FirewallRule") if row.purpose == PURPOSE]
    rows = [row for row in rows if zone is None or cloud.addresses[row.address or ""].zone == zone.id]
    rows = [row for row in rows if call["name"] in (None, row.name) and _matches(call, row)]
    rows = common.by_keyword(call, rows, lambda row: row.name)
    return page(call, "loadbalancerrule", common.Views(rows, lambda row: shown(cloud, row)))


def _matches(call: Call, row: Rule) -> bool:
    address, network, vm = call["publicipid"], call["networkid"], call["virtualmachineid"]
    here = (address is None or address.id == row.address) and (network is None or network.id == row.network)
    return here and (vm is None or vm.id in row.members)


@command(
    "updateLoadBalancerRule",
    RULE,
    Param("algorithm"),
    Param("name"),
    *ABOUT,
    java=JAVA + "UpdateLoadBalancerRuleCmd",
    asynchronous=True,
)
def update(cloud: Cloud, call: Call) -> Row:
    """Another name, text, algorithm or protocol."""
    row: Rule = call["id"]

    def finish() -> Row:
        if call.has("algorithm"):
            row.algorithm = _algorithm(call)
        row.name, row.description = call["name"] or row.name, call["description"] or row.description
        row.protocol = (call["protocol"] or row.protocol).lower()
        return {"loadbalancer": shown(cloud, row)}

    return cloud.submit(call, finish, check=lambda: _check(row))


def _check(row: Rule) -> None:
    if row.purpose != PURPOSE:
        raise Refused(431, f"Unable to find load balancer rule: {row.n}")


@command("deleteLoadBalancerRule", RULE, java=JAVA + "DeleteLoadBalancerRuleCmd", asynchronous=True)
def delete(cloud: Cloud, call: Call) -> Row:
    """The port is shared out no more, and the firewall closed that was opened with it."""
    row: Rule = call["id"]

    def finish() -> Row:
        addresses.withdraw(cloud, row)
        return {"success": True}

    return cloud.submit(call, finish, check=lambda: _check(row), instance=("FirewallRule", row.id))


# --- members ----------------------------------------------------------------------------------------------------------


def _named(cloud: Cloud, call: Call) -> list[tuple[Vm, str | None]]:
    """The VMs that a call names, each with the address that it is to be reached at, if one was said."""
    said = [(one.get("vmid", ""), one.get("vmip")) for one in call.mapped("vmidipmap")]
    said += [(vm_id, None) for vm_id in call["virtualmachineids"] or []]
    found = [(cloud.vms.get(vm_id), ip) for vm_id, ip in said]
    for (vm, _), (vm_id, _) in zip(found, said, strict=True):
        if vm is None or vm.removed:
            raise unknown_entity(call.command, "virtualmachineids", vm_id)
    return [(vm, ip) for vm, ip in found if vm is not None]


@command("assignToLoadBalancerRule", RULE, *MEMBERS, java=JAVA + "AssignToLoadBalancerRuleCmd", asynchronous=True)
def assign(cloud: Cloud, call: Call) -> Row:
    """VMs get their share: they must be in the network of the load balancer."""
    row: Rule = call["id"]
    wanted = _named(cloud, call)

    def check() -> None:
        _check(row)
        if not wanted:
            raise _failed("Both instanceids and vmidipmap  can't be null")

    def finish() -> Row:
        row.members.update({vm.id: _address(cloud, row, vm, ip) for vm, ip in wanted})
        return {"success": True}

    return cloud.submit(call, finish, check=check, instance=("FirewallRule", row.id))


def _address(cloud: Cloud, row: Rule, vm: Vm, ip: str | None) -> str:
    network: Network = cloud.networks[row.network]
    card = next((card for card in vm.nics if card.network == network.id and not card.removed), None)
    if card is None or not cloud.may_act_on(cloud.accounts[row.account], vm):
        raise _failed("Invalid instance id specified")
    if ip is not None and ip not in (card.ip, *card.further.values()):
        raise _failed(f"Instance IP {ip} specified does not belong to NIC in Network {network.name}")
    if row.members.get(vm.id) == (ip or card.ip):
        raise _failed(f"VM {vm.n} with {ip or card.ip} is already mapped to load balancer.")
    return str(ip or card.ip)


def _failed(why: str) -> Refused:
    return Refused(530, f"Failed to assign load balancer rule due to: {why}", 9999)


@command("removeFromLoadBalancerRule", RULE, *MEMBERS, java=JAVA + "RemoveFromLoadBalancerRuleCmd", asynchronous=True)
def remove(cloud: Cloud, call: Call) -> Row:
    """VMs get no share any more."""
    row: Rule = call["id"]
    wanted = _named(cloud, call)

    def finish() -> Row:
        for vm, _ in wanted:
            if vm.id not in row.members:
                raise Refused(431, "Failed to remove Instance from load balancer rule", 9999)
            del row.members[vm.id]
        return {"success": True}

    return cloud.submit(call, finish, check=lambda: _check(row), instance=("FirewallRule", row.id))


@command(
    "listLoadBalancerRuleInstances",
    RULE,
    Param("applied", "bool"),
    Param("lbvmips", "bool"),
    roles=READERS,
)
def members(cloud: Cloud, call: Call) -> Row:
    """The VMs that have a share, with `lbvmips` each with the addresses that it is reached at."""
    row: Rule = call["id"]
    found = [cloud.vms[vm_id] for vm_id in row.members] if call["applied"] is not False else []
    if not call["lbvmips"]:
        return page(call, "loadbalancerruleinstance", [views.vm(cloud, vm, call.account) for vm in found])
    shares = [
        {"loadbalancerruleinstance": views.vm(cloud, vm, call.account), "lbvmipaddresses": [row.members[vm.id]]}
        for vm in found
    ]
    return page(call, "lbrulevmidip", shares)
