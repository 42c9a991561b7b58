"""From a file or a mapping to a cloud that is furnished: zones, offerings, networks, VMs, volumes, keys.

The mapping's keys are those of `examples/estate.yaml`. Rows of zones, offerings, templates, pools and networks may carry any
further columns that a list of the real server shows; they are listed as they are. An estate that names what it does not
define is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from simulator.clock import Clock
from simulator.cloud import Cloud
from simulator.commands import addresses
from simulator.model import GIB, Account, Network, Nic, Plain, Snapshot, User, Vm, VmSnapshot, Volume

BIRTH = datetime(2025, 1, 1, tzinfo=UTC)
ROOT_DOMAIN = "00000000-0000-4000-8000-0000000000d1"
HOST = "00000000-0000-4000-8000-0000000000f1"
SERVER = "00000000-0000-4000-8000-0000000000e0"
OPTIONS = ("release", "settings", "seed", "durations", "slots", "hypervisor", "obliging_hosts", "wording")
PLAIN = {
    "zones": "Zone",
    "service_offerings": "ServiceOffering",
    "disk_offerings": "DiskOffering",
    "templates": "Template",
    "storage_pools": "StoragePool",
    "hosts": "Host",
    "clusters": "Cluster",
    "pods": "Pod",
    "domains": "Domain",
    "management_servers": "ManagementServer",
}
NETWORK_OWN = frozenset(
    [
        "id",
        "name",
        "type",
        "account",
        "zone",
        "zoneid",
        "zonename",
        "state",
        "related",
        "domainid",
        "domain",
        "domainpath",
        "networkdomain",
        "vlan",
        "broadcasturi",
        "tags",
        "created",
        "hasannotations",
        "displaynetwork",
    ]
)


class BadEstate(ValueError):
    """An estate that cannot be built; the message says which entry and why."""


def load_estate(source: str | Path | Mapping[str, Any], clock: Clock, **overrides: Any) -> Cloud:
    """A cloud furnished as the file or mapping says; `overrides` are arguments of `Cloud`. Raises `BadEstate`."""
    estate = source if isinstance(source, Mapping) else _read(Path(source))
    options = {k: estate[k] for k in OPTIONS if k in estate}
    cloud = Cloud(clock, **{**options, **overrides})
    try:
        _furnish(cloud, estate)
    except (KeyError, TypeError) as missing:
        raise BadEstate(f"the estate lacks or misuses {missing}") from missing
    except ValueError as wrong:
        raise BadEstate(str(wrong)) from wrong
    return cloud


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except yaml.YAMLError as wrong:
        raise BadEstate(f"{path} is no YAML: {wrong}") from wrong
    if not isinstance(content, Mapping):
        raise BadEstate(f"{path} is not a mapping")
    return content


def _furnish(cloud: Cloud, estate: Mapping[str, Any]) -> None:
    for number, row in enumerate(estate["accounts"], 1):
        _add_account(cloud, row, number)
    for section, kind in PLAIN.items():
        cloud.plain[kind] = {r["id"]: _plain(cloud, kind, r) for r in estate.get(section, ())}
    _add_what_must_be(cloud)
    for row in estate.get("networks", ()):
        _add_network(cloud, row)
    for row in estate.get("vms", ()):
        _add_vm(cloud, row)
    for row in estate.get("volumes", ()):
        _add_volume(cloud, row)
    for row in estate.get("snapshots", ()):
        _add_snapshot(cloud, row)
    for row in estate.get("vm_snapshots", ()):
        _add_vm_snapshot(cloud, row)
    cloud.lists = {name: [dict(row) for row in rows] for name, rows in estate.get("lists", {}).items()}
    cloud.faults.load(list(estate.get("faults", ())))


def _add_account(cloud: Cloud, row: Mapping[str, Any], number: int) -> None:
    made = Account(
        id=row.get("id") or cloud.new_id(),
        n=int(row.get("n", number + 1)),
        name=row["name"],
        role=row.get("role", "user"),
        domain_id=row.get("domain_id", ROOT_DOMAIN),
        domain=row.get("domain", "ROOT"),
        limits=dict(row.get("limits", {})),
        created=BIRTH,
    )
    user = User(row.get("user_id") or cloud.new_id(), int(row.get("n", number + 1)), row["name"])
    user.api_key, user.secret_key, user.created = row["api_key"], row["secret_key"], BIRTH
    user.first_name, user.last_name, user.email = row["name"], "x", f"{row['name']}@example.org"
    made.users.append(user)
    cloud.add_account(made)


def _plain(cloud: Cloud, kind: str, row: Mapping[str, Any]) -> Plain:
    fields = {k: v for k, v in row.items() if k not in ("id", "name")}
    return Plain(row["id"], cloud.number(kind), "", BIRTH, name=row["name"], fields=fields)


def _add_what_must_be(cloud: Cloud) -> None:
    """A host, a management server, the domains of the accounts and the server's own VMs, where the estate does not name them."""
    hosts = cloud.plain["Host"]
    if not hosts:
        plain = {
            "state": "Up",
            "resourcestate": "Enabled",
            "type": "Routing",
            "capabilities": "hvm,snapshot",
            "ueficapability": True,
        }
        hosts[HOST] = Plain(
            HOST, cloud.number("Host"), "", BIRTH, name="host-1", fields={**plain, "hypervisor": cloud.hypervisor}
        )
    if not cloud.plain["ManagementServer"]:
        cloud.plain["ManagementServer"][SERVER] = _plain(cloud, "ManagementServer", {"id": SERVER, "name": "simulator"})
    for account in cloud.accounts.values():
        if account.domain_id not in cloud.plain["Domain"]:
            fields = {"path": account.domain, "level": account.domain.count("/"), "state": "Active"}
            name = account.domain.rpartition("/")[2]
            made = Plain(account.domain_id, cloud.number("Domain"), "", BIRTH, name=name, fields=fields)
            cloud.plain["Domain"][account.domain_id] = made
    for name in ("v", "s"):
        number = cloud.number("VirtualMachine")
        system = Vm(cloud.new_id(), number, "system", BIRTH, name=f"{name}-{number}-VM", state="Running")
        cloud.system_vms[system.id] = system


def _add_network(cloud: Cloud, row: Mapping[str, Any]) -> None:
    network = Network(row["id"], cloud.number("Network"), row["account"], _created(row), name=row["name"], kind=row["type"])
    network.state, network.zone = row.get("state", "Implemented"), row["zone"]
    network.domain = row.get("networkdomain") or f"cs{cloud.accounts[row['account']].n}cloud.internal"
    network.fields = {k: v for k, v in row.items() if k not in NETWORK_OWN}
    if network.state == "Implemented":
        network.vlan = int(row.get("vlan") or 100 + network.n)
    cloud.networks[network.id] = network
    if network.state == "Implemented":
        addresses.implement(cloud, network)


def _created(row: Mapping[str, Any], number: int = 0) -> datetime:
    """When a row was made; what the estate does not date gets a second of its own, so that pages hold still."""
    return datetime.fromisoformat(row["created"]) if "created" in row else BIRTH + timedelta(seconds=number)


def _add_vm(cloud: Cloud, row: Mapping[str, Any]) -> None:
    number = cloud.number("VirtualMachine")
    vm = Vm(row["id"], number, row["account"], _created(row, number), name=row["name"], zone=row["zone"])
    vm.owner_n, vm.hypervisor = cloud.accounts[row["account"]].n, cloud.hypervisor
    vm.display_name, vm.state = row.get("display_name", row["name"]), row.get("state", "Stopped")
    vm.offering, vm.template = row.get("offering"), row.get("template")
    vm.details = dict(row.get("details", {}))
    _measure(cloud, vm, row)
    vm.updated = datetime.fromisoformat(row["lastupdated"]) if row.get("lastupdated") else None
    if vm.state == "Running":
        vm.updated = vm.updated or vm.created
        vm.host = vm.last_host = next(iter(cloud.plain["Host"]))
    for index, card in enumerate(row.get("nics", ())):
        if card["network"] not in cloud.networks:
            raise BadEstate(f"VM {vm.name} has a card on unknown network {card['network']}")
        made = Nic(
            card.get("id") or cloud.new_id(),
            cloud.number("Nic"),
            card["network"],
            card["mac"],
            card.get("ip"),
            index == 0,
            index,
        )
        made.vlan = card.get("vlan", cloud.networks[card["network"]].vlan is not None)
        vm.nics.append(made)
    cloud.vms[vm.id] = vm


def _measure(cloud: Cloud, vm: Vm, row: Mapping[str, Any]) -> None:
    offering = cloud.plain["ServiceOffering"].get(vm.offering or "")
    fields = offering.fields if offering else {}
    vm.cpus = int(row.get("cpus", vm.details.get("cpuNumber", fields.get("cpunumber", 1))) or 0)
    vm.memory = int(row.get("memory", vm.details.get("memory", fields.get("memory", 512))) or 0)
    vm.speed = int(fields.get("cpuspeed", 1000))


def _add_volume(cloud: Cloud, row: Mapping[str, Any]) -> None:
    number = cloud.number("Volume")
    volume = Volume(row["id"], number, row["account"], _created(row, number), name=row["name"])
    volume.size = int(row["size"]) if "size" in row else int(row["gib"]) * GIB
    volume.zone, volume.state, volume.kind = row["zone"], row.get("state", "Ready"), row.get("type", "DATADISK")
    volume.offering, volume.template, volume.snapshot = row.get("offering"), row.get("template"), row.get("snapshot")
    if volume.state != "Allocated":
        volume.pool = row.get("pool") or next(iter(cloud.plain["StoragePool"]), None)
        volume.path = volume.id
    volume.content = f"original {volume.id}"
    cloud.volumes[volume.id] = volume
    if row.get("vm") is not None:
        if row["vm"] not in cloud.vms:
            raise BadEstate(f"volume {volume.name} hangs on unknown VM {row['vm']}")
        cloud.hang(volume, cloud.vms[row["vm"]], int(row["device"]))
        when = row.get("attached", BIRTH.isoformat())
        volume.attached = datetime.fromisoformat(when) if when else None
        volume.counted = volume.state != "Allocated"


def _add_snapshot(cloud: Cloud, row: Mapping[str, Any]) -> None:
    source = cloud.volumes[row["volume"]]
    made = Snapshot(row["id"], cloud.number("Snapshot"), source.account, _created(row), name=row["name"], volume=source.id)
    made.state, made.size, made.volume_n, made.content = row.get("state", "BackedUp"), source.size, source.n, source.content
    cloud.snapshots[made.id] = made


def _add_vm_snapshot(cloud: Cloud, row: Mapping[str, Any]) -> None:
    vm = cloud.vms[row.get("vm") or row["virtualmachineid"]]
    made = VmSnapshot(row["id"], cloud.number("VMSnapshot"), vm.account, _created(row), name=row["name"], vm=vm.id)
    made.display_name, made.state = row.get("displayname", row["name"]), row.get("state", "Ready")
    made.kind, made.current, made.vm_n = row.get("type", "Disk"), bool(row.get("current", True)), vm.n
    made.parent, made.on_files = row.get("parent"), made.kind == "Disk"
    made.contents = {v.id: v.content for v in cloud.attached(vm)}
    cloud.vm_snapshots[made.id] = made
