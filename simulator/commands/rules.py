"""Rules around a network: what may leave it, and what is let in and led on at its public addresses.

Four purposes, one table: `egress` belongs to a network; `firewall`, `forwarding` and `static` to a public address of it. Each
is made in the request and applied by its job.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from simulator.commands import addresses, common
from simulator.model import Network, PublicAddress, Rule, Vm
from simulator.refusals import Refused
from simulator.registry import READERS, command
from simulator.views import tags
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user."
CONFLICT, FORMAT = 537, 9999
EVERYWHERE = ("0.0.0.0/0",)
HIGHEST_PORT = 65535
LEADING = {"forwarding", "balancing"}
SPOKEN = {"egress": ("tcp", "udp", "icmp", "all"), "firewall": ("tcp", "udp", "icmp"), "forwarding": ("tcp", "udp")}
SPOKEN |= {"static": ("tcp", "udp")}
PROTOCOL = Param("protocol", required=True)
PORTS = (Param("startport", "int"), Param("endport", "int"))
ICMP = (Param("icmptype", "int"), Param("icmpcode", "int"))
RULE = Param("id", "FirewallRule", required=True, owned=True)
Row = dict[str, Any]


# --- what is asked for ------------------------------------------------------------------------------------------------


def ports_of(first: int | None, last: int | None) -> tuple[int, int] | None:
    """A range of ports; one port is a range of one."""
    if first is None:
        return None
    last = first if last is None else last
    if not 1 <= first <= HIGHEST_PORT:
        raise Refused(431, f"publicPort is an invalid value: {first}")
    if not 1 <= last <= HIGHEST_PORT:
        raise Refused(431, f"Public port range is an invalid value: {last}")
    if first > last:
        raise Refused(431, "Start port can't be bigger than end port")
    return first, last


def _protocol(call: Call, purpose: str, network: Network) -> str:
    wanted = str(call["protocol"]).lower()
    if wanted not in SPOKEN[purpose]:
        raise Refused(431, f"Protocol {call['protocol']} is not supported in zone {network.zone}")
    return wanted


def _icmp(call: Call, protocol: str) -> tuple[int, int] | None:
    given = call["icmptype"] is not None or call["icmpcode"] is not None
    if protocol != "icmp" and given:
        raise Refused(431, "Can specify icmpCode and icmpType for ICMP protocol only")
    if protocol == "icmp" and call["startport"] is not None:
        raise Refused(431, "Can't specify start/end port when protocol is ICMP")
    if protocol != "icmp":
        return None
    kind, code = call["icmptype"], call["icmpcode"]
    return (-1 if kind is None else kind), (-1 if code is None else code)


def _cidrs(call: Call, name: str, otherwise: tuple[str, ...], within: str | None = None) -> tuple[str, ...]:
    given = tuple(call[name] or ())
    for cidr in given:
        _check_cidr(cidr, within)
    return given or otherwise


def _check_cidr(cidr: str, within: str | None) -> None:
    try:
        told = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        raise Refused(431, f"Source cidrs formatting error {cidr}", FORMAT) from None
    outer = ipaddress.ip_network(within) if within else told
    inside = told.version == outer.version and told.subnet_of(outer)  # type: ignore[arg-type]
    if not inside:
        raise Refused(431, f"{cidr} is not within the guest cidr {within}", FORMAT)


# --- conflicts --------------------------------------------------------------------------------------------------------


def check_conflicts(cloud: Cloud, made: Rule) -> None:
    """Two rules of one purpose must not be about the same: protocol, ports and, for firewalls, where from.

    Nor can a port be led on to one VM and shared out among several.
    """
    for rule in _beside(cloud, made):
        if _is_twin(made, rule):
            raise Refused(
                CONFLICT, f"There is already a firewall rule specified with protocol = {made.protocol} and no ports", FORMAT
            )
        if _overlap(made, rule):
            (first, last), (low, high) = made.ports or (0, 0), rule.ports or (0, 0)
            said = f"The range specified, {first}-{last}, conflicts with rule {rule.told()} which has {low}-{high}"
            raise Refused(CONFLICT, said, FORMAT)


def _beside(cloud: Cloud, made: Rule) -> Iterator[Rule]:
    for rule in cloud.rules.values():
        here = rule.address == made.address and rule.network == made.network
        if here and not rule.removed and (rule.purpose == made.purpose or {rule.purpose, made.purpose} == LEADING):
            yield rule


def _is_twin(made: Rule, rule: Rule) -> bool:
    bare = made.ports is None and rule.ports is None and made.protocol == rule.protocol and made.icmp == rule.icmp
    return bare and bool(set(made.cidrs) & set(rule.cidrs)) and _share_destinations(made, rule)


def _share_destinations(made: Rule, rule: Rule) -> bool:
    return made.destinations == rule.destinations or bool(set(made.destinations) & set(rule.destinations))


def _overlap(made: Rule, rule: Rule) -> bool:
    if made.ports is None or rule.ports is None or made.protocol != rule.protocol:
        return False
    firewalls = made.purpose in ("firewall", "egress")
    if firewalls and not (set(made.cidrs) & set(rule.cidrs) and _share_destinations(made, rule)):
        return False
    return made.ports[0] <= rule.ports[1] and rule.ports[0] <= made.ports[1]


# --- making and removing ----------------------------------------------------------------------------------------------


def new(cloud: Cloud, network: Network, purpose: str, address: PublicAddress | None = None) -> Rule:
    """A rule of that purpose, not written down yet."""
    made = Rule(cloud.new_id(), cloud.number("FirewallRule"), network.account, cloud.now(), purpose=purpose)
    made.network, made.address = network.id, address.id if address else None
    return made


def kept(cloud: Cloud, call: Call, made: Rule, key: str, view: Callable[[Cloud, Rule], Row] | None = None) -> Row:
    """The rule is written down; its job applies it and shows it."""
    check_conflicts(cloud, made)
    cloud.rules[made.id] = made

    def finish() -> Row:
        return {key: (view or shown)(cloud, made)}

    return cloud.submit(call, finish, instance=("FirewallRule", made.id), entity=made.id)


def opened(cloud: Cloud, made: Rule) -> None:
    """The firewall is opened for a rule, as far as it is not yet."""
    network = cloud.networks[made.network]
    opening = new(cloud, network, "firewall", cloud.addresses[made.address or ""])
    opening.protocol, opening.ports, opening.cidrs, opening.related = made.protocol, made.ports, EVERYWHERE, made.id
    check_conflicts(cloud, opening)
    cloud.rules[opening.id] = opening


def _network_of(cloud: Cloud, address: PublicAddress) -> Network:
    return cloud.networks[address.network]


@command(
    "createEgressFirewallRule",
    Param("networkid", "Network", required=True, owned=True),
    PROTOCOL,
    *PORTS,
    *ICMP,
    Param("cidrlist", "list"),
    Param("destcidrlist", "list"),
    java=JAVA + "firewall.CreateEgressFirewallRuleCmd",
    creates=True,
)
def let_out(cloud: Cloud, call: Call) -> Row:
    """Let some traffic out of a network."""
    network: Network = call["networkid"]
    if not network.has_services:
        raise Refused(431, f"Unable to apply egress rules: network {network.id} has no firewall", FORMAT)
    guests = str(network.fields.get("cidr", "10.1.1.0/24"))
    made = new(cloud, network, "egress")
    made.protocol = _protocol(call, "egress", network)
    made.icmp = _icmp(call, made.protocol)
    made.ports = ports_of(call["startport"], call["endport"])
    made.cidrs = _cidrs(call, "cidrlist", (guests,), guests)
    made.destinations = _cidrs(call, "destcidrlist", ())
    return kept(cloud, call, made, "firewallrule")


@command(
    "createFirewallRule",
    addresses.ADDRESS,
    PROTOCOL,
    *PORTS,
    *ICMP,
    Param("cidrlist", "list"),
    java=JAVA + "firewall.CreateFirewallRuleCmd",
    creates=True,
)
def let_in(cloud: Cloud, call: Call) -> Row:
    """Open a public address for some traffic."""
    address: PublicAddress = call["ipaddressid"]
    network = _network_of(cloud, address)
    made = new(cloud, network, "firewall", address)
    made.protocol = _protocol(call, "firewall", network)
    made.icmp = _icmp(call, made.protocol)
    made.ports = ports_of(call["startport"], call["endport"])
    made.cidrs = _cidrs(call, "cidrlist", EVERYWHERE)
    return kept(cloud, call, made, "firewallrule")


@command(
    "createPortForwardingRule",
    addresses.ADDRESS,
    PROTOCOL,
    Param("privateport", "int", required=True),
    Param("publicport", "int", required=True),
    Param("privateendport", "int"),
    Param("publicendport", "int"),
    Param("virtualmachineid", "VirtualMachine", required=True, owned=True),
    Param("vmguestip"),
    Param("openfirewall", "bool"),
    Param("networkid", "Network"),
    Param("cidrlist", "list"),
    java=JAVA + "firewall.CreatePortForwardingRuleCmd",
    creates=True,
)
def forward(cloud: Cloud, call: Call) -> Row:
    """Lead ports of a public address on to a VM; the firewall is opened with it unless told otherwise."""
    address: PublicAddress = call["ipaddressid"]
    vm: Vm = call["virtualmachineid"]
    network = _network_of(cloud, address)
    if address.vm is not None:
        n = address.n
        raise Refused(431, f"Unable to create port forwarding rule; ip id={n} has static nat enabled")
    made = new(cloud, network, "forwarding", address)
    made.protocol = _protocol(call, "forwarding", network)
    made.ports, made.private = _both(call)
    made.vm, made.vm_ip = vm.id, _inside(vm, network, call["vmguestip"])
    made.cidrs = _cidrs(call, "cidrlist", ())
    check_conflicts(cloud, made)
    if call["openfirewall"] is not False:
        opened(cloud, made)
    return kept(cloud, call, made, "portforwardingrule")


def _both(call: Call) -> tuple[tuple[int, int], tuple[int, int]]:
    """Public and private ports: as many of the one as of the other, and ranges are the same range."""
    public = ports_of(call["publicport"], call["publicendport"]) or (0, 0)
    private = ports_of(call["privateport"], call["privateendport"]) or (0, 0)
    if public[1] - public[0] != private[1] - private[0]:
        raise Refused(431, "Source port and destination port ranges should be of equal sizes.")
    if public[0] != public[1] and public != private:
        raise Refused(431, "Private port start should be equal to public port start")
    return public, private


def _inside(vm: Vm, network: Network, wanted: str | None) -> str:
    if vm.state in ("Destroyed", "Expunging"):
        raise Refused(431, f"Invalid user vm: {vm.n}")
    return addresses.guest_address(vm, network.id, wanted, "Vm doesn't belong to network associated with ipAddress")


@command(
    "updatePortForwardingRule",
    RULE,
    Param("privateport", "int"),
    Param("privateendport", "int"),
    Param("virtualmachineid", "VirtualMachine", owned=True),
    Param("vmguestip"),
    java=JAVA + "firewall.UpdatePortForwardingRuleCmd",
    asynchronous=True,
)
def lead_elsewhere(cloud: Cloud, call: Call) -> Row:
    """Lead the same public ports on to other ports or another VM."""
    rule: Rule = call["id"]
    vm: Vm | None = call["virtualmachineid"]

    def finish() -> Row:
        rule.private = ports_of(call["privateport"], call["privateendport"]) or rule.private
        if vm is not None:
            rule.vm, rule.vm_ip = vm.id, _inside(vm, cloud.networks[rule.network], call["vmguestip"])
        return {"portforwardingrule": shown(cloud, rule)}

    return cloud.submit(call, finish, instance=("FirewallRule", rule.id))


@command(
    "createIpForwardingRule",
    addresses.ADDRESS,
    PROTOCOL,
    Param("startport", "int", required=True),
    Param("endport", "int"),
    Param("openfirewall", "bool"),
    java=JAVA + "nat.CreateIpForwardingRuleCmd",
    creates=True,
)
def forward_static(cloud: Cloud, call: Call) -> Row:
    """Open ports of an address that leads to one VM by static NAT."""
    address: PublicAddress = call["ipaddressid"]
    network = _network_of(cloud, address)
    if address.source_nat or address.vm is None:
        raise Refused(CONFLICT, f"Can't do static nat on ip address: {address.ip}", FORMAT)
    made = new(cloud, network, "static", address)
    made.protocol = _protocol(call, "static", network)
    made.ports = ports_of(call["startport"], call["endport"])
    made.vm, made.vm_ip = address.vm, address.vm_ip
    check_conflicts(cloud, made)
    if call["openfirewall"] is not False:
        opened(cloud, made)
    return kept(cloud, call, made, "ipforwardingrule")


# Command, the purpose of its rules, its class.
REMOVERS = (
    ("deleteEgressFirewallRule", "egress", "firewall.DeleteEgressFirewallRuleCmd"),
    ("deleteFirewallRule", "firewall", "firewall.DeleteFirewallRuleCmd"),
    ("deletePortForwardingRule", "forwarding", "firewall.DeletePortForwardingRuleCmd"),
    ("deleteIpForwardingRule", "static", "nat.DeleteIpForwardingRuleCmd"),
)


def _removing(name: str, purpose: str, java: str) -> None:
    @command(name, RULE, java=JAVA + java, asynchronous=True)
    def remove(cloud: Cloud, call: Call) -> Row:
        rule: Rule = call["id"]

        def check() -> None:
            if rule.purpose != purpose:
                raise Refused(431, f"Unable to find rule by id {rule.id} with purpose {purpose}")

        def finish() -> Row:
            addresses.withdraw(cloud, rule)
            return {"success": True}

        return cloud.submit(call, finish, check=check)


for _name, _purpose, _java in REMOVERS:
    _removing(_name, _purpose, _java)


# --- list -------------------------------------------------------------------------------------------------------------

# Command, the purpose of its rules, the key of its rows.
LISTS = (
    ("listEgressFirewallRules", "egress", "firewallrule"),
    ("listFirewallRules", "firewall", "firewallrule"),
    ("listPortForwardingRules", "forwarding", "portforwardingrule"),
    ("listIpForwardingRules", "static", "ipforwardingrule"),
)


def _listing(name: str, purpose: str, key: str) -> None:
    @command(
        name,
        Param("id", "FirewallRule"),
        Param("ipaddressid", "IpAddress"),
        Param("networkid", "Network"),
        Param("virtualmachineid", "VirtualMachine"),
        Param("tags", "map"),
        roles=READERS,
    )
    def listed(cloud: Cloud, call: Call) -> Row:
        rows = common.chosen(cloud, call, cloud.rules.values(), "FirewallRule")
        rows = [row for row in rows if row.purpose == purpose and _matches(call, row)]
        return page(call, key, common.Views(rows, lambda row: shown(cloud, row)))


def _matches(call: Call, row: Rule) -> bool:
    wanted = {"ipaddressid": row.address, "networkid": row.network, "virtualmachineid": row.vm}
    return all(not call.has(name) or call[name].id == value for name, value in wanted.items())


for _name, _purpose, _key in LISTS:
    _listing(_name, _purpose, _key)


def shown(cloud: Cloud, row: Rule) -> Row:
    """A rule as lists and jobs show it; each purpose has keys of its own."""
    address = cloud.addresses.get(row.address or "")
    at = {"ipaddressid": address.id, "ipaddress": address.ip} if address else {}
    plain = {"id": row.id, "protocol": row.protocol, **at, "state": "Active", "tags": tags(cloud, row, row.taggable)}
    return plain | _KEYS[row.purpose](cloud, row)


def _firewall(cloud: Cloud, row: Rule) -> Row:
    """Of both directions."""
    first, last = row.ports or (None, None)
    kind, code = row.icmp or (None, None)
    direction = "Egress" if row.purpose == "egress" else "Ingress"
    lists = {"cidrlist": ",".join(row.cidrs), "destcidrlist": ",".join(row.destinations), "traffictype": direction}
    return {"startport": first, "endport": last, "icmptype": kind, "icmpcode": code, "networkid": row.network, **lists}


def _forwarding(cloud: Cloud, row: Rule) -> Row:
    public, private = row.ports or (0, 0), row.private or (0, 0)
    return {
        "privateport": str(private[0]),
        "privateendport": str(private[1]),
        "publicport": str(public[0]),
        "publicendport": str(public[1]),
        **_vm(cloud, row),
        "vmguestip": row.vm_ip,
        "networkid": row.network,
        "cidrlist": ",".join(row.cidrs),
    }


def _static(cloud: Cloud, row: Rule) -> Row:
    first, last = row.ports or (0, 0)
    return {"startport": str(first), "endport": str(last), **_vm(cloud, row)}


def _vm(cloud: Cloud, row: Rule) -> Row:
    vm = cloud.vms[row.vm or ""]
    return {"virtualmachineid": vm.id, "virtualmachinename": vm.name, "virtualmachinedisplayname": vm.display_name}


_KEYS: Mapping[str, Callable[[Cloud, Rule], Row]] = {
    "egress": _firewall,
    "firewall": _firewall,
    "forwarding": _forwarding,
    "static": _static,
}
