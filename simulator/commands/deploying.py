"""The create phase of deployVirtualMachine: everything that is looked at in the request itself, then the rows that are made.

`vms.deploy` calls `allocate` and turns the VM into a job. What is refused here leaves nothing behind, except an address that
cannot be had (CS-DEP-19).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from simulator.commands import common, groups, keypairs
from simulator.model import GIB, Account, Network, Nic, Plain, Snapshot, Vm, Volume
from simulator.refusals import OTHER, RUNTIME, Refused, refuse
from simulator.wire import Call, Param, unknown_entity

if TYPE_CHECKING:
    from simulator.cloud import Cloud

HOST_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
SUBNET, GATEWAY = "10.1.1.0/24", "10.1.1.1"
LONGEST_USER_DATA = 1024 * 1024
# Known to the server, but without consequence for anything that is simulated.
IGNORED = (
    Param("bootintosetup", "bool", since="4.15.0.0"),
    Param("clusterid", "Cluster", since="4.13"),
    Param("copyimagetags", "bool", since="4.13"),
    Param("datadiskofferinglist", "map", since="4.11"),
    Param("datadisksdetails", "map", since="4.21.0"),
    Param("deploymentplanner", since="4.4", privileged=True),
    Param("dhcpoptionsnetworklist", "map"),
    Param("displayvm", "bool", since="4.2", privileged=True),
    Param("externaldetails", "map", since="4.21.0"),
    Param("extraconfig", limit=5120, since="4.12"),
    Param("iodriverpolicy"),
    Param("iothreadsenabled", "bool"),
    Param("ip6address"),
    Param("keyboard"),
    Param("leaseduration", "int", since="4.21.0"),
    Param("leaseexpiryaction", since="4.21.0"),
    Param("nicmultiqueuenumber", "int", since="4.18"),
    Param("nicnetworklist", "map", since="4.15"),
    Param("nicpackedvirtqueuesenabled", "bool", since="4.18"),
    Param("overridediskofferingid", "DiskOffering", since="4.17"),
    Param("password", since="4.19.0.0"),
    Param("podid", "Pod", since="4.13"),
    Param("properties", "map", since="4.15"),
    Param("securitygroupids", "list"),
    Param("securitygroupnames", "list"),
    Param("userdatadetails", "map", since="4.18"),
    Param("userdataid", since="4.18", shown="uuid"),
)
PARAMS = (
    Param("zoneid", "Zone", required=True),
    Param("serviceofferingid", "ServiceOffering", required=True),
    Param("templateid", "Template"),
    Param("volumeid", "Volume", owned=True, since="4.21"),
    Param("snapshotid", "Snapshot", owned=True, since="4.21"),
    Param("name"),
    Param("displayname"),
    Param("networkids", "list"),
    Param("iptonetworklist", "map"),
    Param("ipaddress"),
    Param("macaddress"),
    Param("startvm", "bool"),
    Param("rootdisksize", "long", since="4.4"),
    Param("details", "map", since="4.3"),
    Param("boottype", since="4.14.0.0"),
    Param("bootmode", since="4.14.0.0"),
    Param("hypervisor"),
    Param("diskofferingid", "DiskOffering"),
    Param("size", "long"),
    Param("group"),
    Param("customid"),
    Param("userdata", limit=LONGEST_USER_DATA),
    Param("keypair"),
    Param("keypairs", "list", since="4.17"),
    Param("affinitygroupids", "list"),
    Param("affinitygroupnames", "list"),
    Param("hostid", "Host"),
    Param("dynamicscalingenabled", "bool", since="4.16"),
    *common.FOR,
    *IGNORED,
)


def allocate(cloud: Cloud, call: Call) -> Vm:
    """A new VM: Stopped, with addresses, with an Allocated root. Raises what the server refuses, in its order."""
    owner = common.acting_for(cloud, call)
    _check_sources(cloud, call)
    _check_custom_id(cloud, call)
    _check_zone(cloud, call)
    boot = _boot(call)
    cpus, memory, speed = measured(call["serviceofferingid"], call)
    template = _template(cloud, call)
    root_size = _root_size(call, template)
    networks = _networks(cloud, call, owner)
    _check_user_data(call, networks[0][0], template)
    pairs, beside = keypairs.asked_for(cloud, call, owner), groups.chosen(cloud, call, owner)
    data_size = _data_size(call)
    _check_limits(cloud, owner, cpus, memory, [root_size, data_size] if data_size else [root_size])
    vm = _row(cloud, call, owner, [network for network, _ in networks])
    vm.cpus, vm.memory, vm.speed, vm.boot = cpus, memory, speed, boot
    vm.template = template.id if template else None
    vm.details = {**_details(call), "deployvm": "true"}
    if boot is not None and boot[0] == "UEFI":
        vm.details["UEFI"] = boot[1]
    if pairs:
        vm.details[keypairs.NAMES] = ",".join(pairs)
    vm.groups = beside
    vm.user_data = call["userdata"]
    if call.has("group"):
        groups.put_into(cloud, vm, call["group"])
    cloud.vms[vm.id] = vm
    _add_cards(cloud, call, vm, networks)
    _add_disks(cloud, call, vm, root_size, data_size)
    return vm


# --- what is asked for ------------------------------------------------------------------------------------------------


def _check_sources(cloud: Cloud, call: Call) -> None:
    name = call["name"]
    if name is not None and not HOST_NAME.fullmatch(name):
        raise refuse("CS-DEP-03", command="deployvirtualmachine")
    given = [n for n in ("templateid", "volumeid", "snapshotid") if call.has(n)]
    if common.release(cloud) >= (4, 21) and len(given) != 1:
        raise refuse("CS-DEP-01")
    if common.release(cloud) < (4, 21) and not call.has("templateid"):
        text = "Unable to execute API command deployvirtualmachine due to missing parameter templateid"
        raise Refused(431, text, 9999)


def _check_custom_id(cloud: Cloud, call: Call) -> None:
    wanted = call.raw.get("customid")
    if wanted is None:
        return
    if not call.account.is_root:
        raise refuse("CS-DEP-14")
    if wanted in cloud.vms:
        raise refuse("CS-DEP-14b", id=wanted)


def _check_zone(cloud: Cloud, call: Call) -> None:
    zone = common.zone_is_disabled(cloud, call, call["zoneid"].id)
    if zone is not None:
        told = f'Zone {{"id": "{zone.n}", "name": "{zone.name}", "uuid": "{zone.id}"}}'
        raise Refused(531, f"Cannot perform this operation, Zone is currently disabled: {told}", 4365)
    if not common.pools(cloud):
        raise refuse("CS-DEP-12")


def _boot(call: Call) -> tuple[str, str] | None:
    kind, mode = call["boottype"], call["bootmode"]
    name = call["name"] or ""
    if kind is not None and kind.upper() not in ("UEFI", "BIOS"):
        raise refuse("CS-DEP-09b", value=kind, name=name)
    if kind is not None and mode is None:
        raise refuse("CS-DEP-09" if kind.upper() == "UEFI" else "CS-DEP-17")
    if mode is not None and mode.upper() not in ("LEGACY", "SECURE"):
        raise refuse("CS-DEP-09c", value=mode, name=name)
    return (kind.upper(), (mode or "").upper()) if kind is not None else None


def bounds(offering: Plain) -> Mapping[str, int]:
    """The limits of a custom offering."""
    told = {**offering.fields, **offering.fields.get("serviceofferingdetails", {})}
    return {
        "mincpu": int(told.get("mincpunumber", told.get("mincpu", 1))),
        "maxcpu": int(told.get("maxcpunumber", told.get("maxcpu", 2147483647))),
        "minmemory": int(told.get("minmemory", 32)),
        "maxmemory": int(told.get("maxmemory", 2147483647)),
    }


def measured(offering: Plain, call: Call, otherwise: Mapping[str, str] | None = None) -> tuple[int, int, int]:
    """CS-DEP-08: processors, memory in MB and speed in MHz, from the details for custom offerings, from nowhere else for others.

    `otherwise` are details for what the call leaves open.
    """
    given = {k.lower(): v for k, v in _details(call).items()}
    custom: dict[str, str] = {k: given[k] for k in ("cpunumber", "memory", "cpuspeed") if k in given}
    if offering.fields.get("iscustomized") and otherwise:
        custom = {k.lower(): v for k, v in otherwise.items()} | custom
    fields, limits = offering.fields, bounds(offering)
    if not fields.get("iscustomized"):
        if custom:
            raise refuse("CS-DEP-08c")
        return int(fields.get("cpunumber", 1)), int(fields.get("memory", 512)), int(fields.get("cpuspeed", 1000))
    if not custom:
        raise refuse("CS-DEP-08")
    cpus = _within(custom.get("cpunumber"), "CPU cores", limits["mincpu"], limits["maxcpu"])
    speed = int(fields.get("cpuspeed") or _within(custom.get("cpuspeed"), "CPU speed", 1, 2147483647))
    return cpus, _within(custom.get("memory"), "memory", limits["minmemory"], limits["maxmemory"]), speed


def _within(text: str | None, what: str, low: int, high: int) -> int:
    if text is None or not text.isdigit() or not low <= int(text) <= high:
        raise refuse("CS-DEP-08b", what=what, low=low, high=high)
    return int(text)


def _details(call: Call) -> dict[str, str]:
    return {k: v for row in call.mapped("details") for k, v in row.items()}


def _template(cloud: Cloud, call: Call) -> Plain | None:
    """The template, given or inherited from the volume or snapshot that becomes the root."""
    if call.has("volumeid") or call.has("snapshotid"):
        return _inherited(cloud, call)
    template: Plain = call["templateid"]
    if template.fields.get("isready") is False:
        raise Refused(431, f"The template {template.n} is not available for use")
    return template


def _inherited(cloud: Cloud, call: Call) -> Plain | None:
    """CS-DEP-15: a zone-wide pool, a template, not attached, in this order."""
    snapshot: Snapshot | None = call["snapshotid"]
    volume: Volume = call["volumeid"] if snapshot is None else cloud.volumes[snapshot.volume]
    pool = common.pool_of(cloud, volume)
    scopes = {row.fields.get("scope", "CLUSTER") for row in ([pool] if pool else common.pools(cloud))}
    if scopes != {"ZONE"}:
        raise Refused(431, "Deployment of virtual machine is supported only for Zone-wide storage pools")
    template = cloud.plain.get("Template", {}).get(volume.template or "")
    if template is None:
        raise Refused(431, "The provided volume/snapshot doesn't have a template to deploy a VM")
    if snapshot is None and volume.vm is not None:
        raise Refused(431, f"The volume {volume.told()} is already attached to a VM {volume.vm_n}")
    if cloud.hypervisor != "KVM" and call["hypervisor"] != "KVM":
        raise Refused(
            431, "Deploying a virtual machine with existing volume/snapshot is supported only from KVM hypervisors"
        )
    return template


def _root_size(call: Call, template: Plain | None) -> int:
    size = int(template.fields.get("size", 2 * GIB)) if template else 2 * GIB
    text = _details(call).get("rootdisksize", call.raw.get("rootdisksize"))
    if text is None:
        return size
    if not text.isdigit() or int(text) == 0:
        raise Refused(431, "Root disk size should be a positive number.")
    if int(text) * GIB < size:
        shown = f"{size / GIB:.2f} GB"
        raise Refused(431, f"Unsupported: rootdisksize override ({text} GB) is smaller than template size ({shown}) {size}")
    return int(text) * GIB


def _data_size(call: Call) -> int | None:
    offering: Plain | None = call["diskofferingid"]
    if offering is None:
        return None
    return int(call["size"] or offering.fields.get("disksize") or 1) * GIB


def _check_limits(cloud: Cloud, owner: Account, cpus: int, memory: int, disks: list[int]) -> None:
    """CS-DEP-10."""
    common.check_limits(cloud, owner, {"user_vm": 1, "cpu": cpus, "memory": memory}, 9999)
    common.check_limits(cloud, owner, {"volume": len(disks), "primary_storage": sum(disks)}, 9999)


# --- networks ---------------------------------------------------------------------------------------------------------

Asked = list[tuple[Network, Mapping[str, str]]]


def _networks(cloud: Cloud, call: Call, owner: Account) -> Asked:
    listed, mapped = call["networkids"], call.mapped("iptonetworklist")
    if mapped and (listed or call.has("ipaddress")):
        raise refuse("CS-DEP-05")
    _check_address(call.raw.get("ipaddress"), call.raw.get("macaddress"))
    for row in mapped:
        _check_address(row.get("ip"), row.get("mac"))
    if mapped:
        return [(_network(cloud, call, owner, row.get("networkid", "")), row) for row in mapped]
    found = [_network(cloud, call, owner, i) for i in listed or ()] or [_default_network(cloud, call, owner)]
    first = {name: call.raw[key] for name, key in (("ip", "ipaddress"), ("mac", "macaddress")) if key in call.raw}
    return [(network, first if index == 0 else {}) for index, network in enumerate(found)]


def _check_address(ip: str | None, mac: str | None) -> None:
    if ip is not None:
        try:
            ipaddress.ip_address(ip)
        except ValueError:
            raise Refused(431, f"Invalid specified IPv4 address {ip}") from None
    check_mac(mac)


def check_mac(mac: str | None) -> None:
    """CS-NIC-06: a MAC address is one, and of one card."""
    if mac is None:
        return
    if not MAC.fullmatch(mac):
        raise Refused(431, f"Mac address is not valid: {mac}")
    if int(mac[:2], 16) & 1:
        raise Refused(431, f"Mac address is not unicast: {mac}")


def _network(cloud: Cloud, call: Call, owner: Account, network_id: str) -> Network:
    network = cloud.networks.get(network_id)
    if network is None or network.removed:
        raise unknown_entity(call.command, "networkids", network_id)
    if network.account != owner.name and not call.account.is_root:
        raise Refused(531, f"Unable to use network with id= {network.id}, permission denied", 4365)
    return network


def _default_network(cloud: Cloud, call: Call, owner: Account) -> Network:
    """The account's only isolated network; one is made for an account that has none."""
    zone = call["zoneid"].id
    own = [
        n
        for n in cloud.networks.values()
        if n.account == owner.name and n.kind == "Isolated" and n.zone == zone and not n.removed
    ]
    if len(own) > 1:
        text = f"More than 1 default Isolated networks are found for Account {owner.told()}; please specify networkIds"
        raise Refused(431, text)
    if own:
        return own[0]
    usual = next((n.fields for n in cloud.networks.values() if n.kind == "Isolated"), None)
    if usual is None:
        raise refuse("CS-DEP-06")
    name = f"{owner.name}-network"
    made = Network(cloud.new_id(), cloud.number("Network"), owner.name, cloud.now(), name=name, state="Allocated", zone=zone)
    made.domain, made.fields = f"cs{owner.n}cloud.internal", {**usual, "displaytext": name}
    cloud.networks[made.id] = made
    return made


def _check_user_data(call: Call, default: Network, template: Plain | None) -> None:
    """CS-DEP-07: networks without services give no password, no key and no user data."""
    if default.has_services:
        return
    if template is not None and template.fields.get("passwordenabled"):
        raise refuse("CS-DEP-07", template=template.n, network=default.name)
    if "userdata" in call.raw:
        raise refuse("CS-DEP-07b", network=default.name, id=default.id)
    if "keypair" in call.raw:
        raise refuse("CS-DEP-07c", network=default.name)


# --- the rows ---------------------------------------------------------------------------------------------------------


def _row(cloud: Cloud, call: Call, owner: Account, networks: list[Network]) -> Vm:
    vm_id = call.raw.get("customid") or cloud.new_id()
    name = call["name"] or f"VM-{vm_id}"
    check_name(cloud, name, networks)
    vm = Vm(vm_id, cloud.number("VirtualMachine"), owner.name, cloud.now(), name=name, zone=call["zoneid"].id)
    vm.owner_n, vm.hypervisor, vm.offering = owner.n, cloud.hypervisor, call["serviceofferingid"].id
    vm.display_name = call["displayname"] or name
    vm.dynamic = bool(call["dynamicscalingenabled"])
    return vm


def check_name(cloud: Cloud, name: str, networks: list[Network], own: Vm | None = None) -> None:
    """CS-DEP-04: a host name is unique in its network until the VM that has it is expunged."""
    wanted = {network.id: network for network in networks}
    for other in cloud.vms.values():
        if other is own or other.removed or other.name != name:
            continue
        shared = next((n.network for n in other.nics if not n.removed and n.network in wanted), None)
        if shared is not None:
            network = wanted[shared]
            raise refuse("CS-DEP-04", name=name, domain=network.domain, network=network.name)


def _add_cards(cloud: Cloud, call: Call, vm: Vm, networks: Asked) -> None:
    for index, (network, asked) in enumerate(networks):
        try:
            vm.nics.append(card(cloud, network, index, asked.get("ip"), asked.get("mac")))
        except Refused:
            vm.state, vm.updated = "Error", cloud.now()
            raise


def card(cloud: Cloud, network: Network, device: int, ip: str | None = None, mac: str | None = None) -> Nic:
    """A new card in a network, with the address asked for or the next one (CS-DEP-19)."""
    number = cloud.number("Nic")
    own = f"02:01:{number >> 24 & 255:02x}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    address = free_address(cloud, network, ip) if network.has_services else None
    made = Nic(cloud.new_id(), number, network.id, mac or own, address, device == 0, device)
    made.vlan = network.vlan is not None
    return made


def free_address(cloud: Cloud, network: Network, wanted: str | None) -> str:
    """The address asked for, or the next one that no card of the network has."""
    cards = [c for vm in cloud.vms.values() for c in vm.nics if c.network == network.id and not c.removed]
    taken = {address for card in cards for address in (card.ip, *card.further.values())}
    inside = ipaddress.ip_network(network.fields.get("cidr", SUBNET))
    taken.add(network.fields.get("gateway", GATEWAY))
    if wanted is not None:
        if wanted in taken or ipaddress.ip_address(wanted) not in inside:
            told = (
                f'Network {{"id": {network.n}, "name": "{network.name}", "uuid": "{network.id}", "networkofferingid": 10}}'
            )
            raise Refused(530, f"Unable to acquire Guest IP address for network {told}", OTHER, masked=True)
        return wanted
    free = next((str(a) for a in inside.hosts() if str(a) not in taken), None)
    if free is None:
        raise Refused(533, f"Unable to acquire Guest IP address for network {network.name}", RUNTIME, masked=True)
    return free


def _add_disks(cloud: Cloud, call: Call, vm: Vm, root_size: int, data_size: int | None) -> None:
    given: Volume | None = call["volumeid"]
    root = given or disk(cloud, vm, f"ROOT-{vm.n}", root_size)
    if given is None:
        root.template, root.offering = vm.template, vm.offering
        _fill_from_snapshot(cloud, call, root)
    cloud.hang(root, vm, 0)
    if data_size is not None:
        data = disk(cloud, vm, f"DATA-{vm.n}", data_size)
        data.offering = call["diskofferingid"].id
        cloud.hang(data, vm, 1)


def _fill_from_snapshot(cloud: Cloud, call: Call, root: Volume) -> None:
    snapshot: Snapshot | None = call["snapshotid"]
    if snapshot is not None:
        root.snapshot, root.content, root.size = snapshot.id, snapshot.content, snapshot.size
        common.place(cloud, root)


def disk(cloud: Cloud, vm: Vm, name: str, size: int) -> Volume:
    """A new disk of a VM's owner, Allocated, that hangs nowhere yet."""
    made = Volume(cloud.new_id(), cloud.number("Volume"), vm.account, vm.created, name=name)
    made.size, made.zone = size, vm.zone
    cloud.volumes[made.id] = made
    return made
