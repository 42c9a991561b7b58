"""From a file or a mapping to a cloud that is furnished: zones, offerings, networks, VMs, volumes, keys.

The mapping's keys are those of `examples/estate.yaml`. Everything is checked while it is read; an estate that names what
it does not define is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from simulator.clock import Clock
from simulator.cloud import Cloud
from simulator.model import GIB, Account, Network, Nic, Plain, Vm, Volume

BIRTH = datetime(2025, 1, 1, tzinfo=UTC)
PLAIN = {
    "zones": "Zone",
    "service_offerings": "ServiceOffering",
    "disk_offerings": "DiskOffering",
    "templates": "Template",
    "storage_pools": "StoragePool",
}


class BadEstate(ValueError):
    """An estate that cannot be built; the message says which entry and why."""


def load_estate(source: str | Path | Mapping[str, Any], clock: Clock, **overrides: Any) -> Cloud:
    """A cloud furnished as the file or mapping says; `overrides` are arguments of `Cloud`. Raises `BadEstate`."""
    estate = source if isinstance(source, Mapping) else _read(Path(source))
    options = {k: estate[k] for k in ("release", "settings", "seed", "durations", "slots") if k in estate}
    cloud = Cloud(clock, **{**options, **overrides})
    try:
        _furnish(cloud, estate)
    except (KeyError, TypeError) as missing:
        raise BadEstate(f"the estate lacks or misuses {missing}") from missing
    return cloud


def _read(path: Path) -> Mapping[str, Any]:
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    if not isinstance(content, Mapping):
        raise BadEstate(f"{path} is not a mapping")
    return content


def _furnish(cloud: Cloud, estate: Mapping[str, Any]) -> None:
    for number, row in enumerate(estate["accounts"], 1):
        _add_account(cloud, row, number)
    for section, kind in PLAIN.items():
        cloud.plain[kind] = {r["id"]: _plain(cloud, kind, r) for r in estate.get(section, ())}
    for row in estate.get("networks", ()):
        network = Network(row["id"], cloud.number("Network"), row["account"], BIRTH, name=row["name"], kind=row["type"])
        network.state, network.zone = row.get("state", "Implemented"), row["zone"]
        cloud.networks[network.id] = network
    for row in estate.get("vms", ()):
        _add_vm(cloud, row)
    for row in estate.get("volumes", ()):
        _add_volume(cloud, row)
    cloud.faults.load(list(estate.get("faults", ())))


def _add_account(cloud: Cloud, row: Mapping[str, Any], number: int) -> None:
    made = Account(
        id=row.get("id", cloud.new_id()),
        n=number + 1,
        name=row["name"],
        user_id=row.get("user_id", cloud.new_id()),
        role=row.get("role", "user"),
        api_key=row["api_key"],
        secret_key=row["secret_key"],
        domain_id=row.get("domain_id", "00000000-0000-4000-8000-0000000000d1"),
    )
    cloud.add_account(made)


def _plain(cloud: Cloud, kind: str, row: Mapping[str, Any]) -> Plain:
    fields = {k: v for k, v in row.items() if k not in ("id", "name")}
    return Plain(row["id"], cloud.number(kind), "", BIRTH, name=row["name"], fields=fields)


def _add_vm(cloud: Cloud, row: Mapping[str, Any]) -> None:
    vm = Vm(row["id"], cloud.number("VirtualMachine"), row["account"], BIRTH, name=row["name"], zone=row["zone"])
    vm.display_name, vm.state = row.get("display_name", row["name"]), row.get("state", "Stopped")
    vm.updated = BIRTH if vm.state == "Running" else None
    vm.offering, vm.template = row.get("offering"), row.get("template")
    for index, card in enumerate(row.get("nics", ())):
        if card["network"] not in cloud.networks:
            raise BadEstate(f"VM {vm.name} has a card on unknown network {card['network']}")
        ip = card.get("ip")
        vm.nics.append(Nic(cloud.new_id(), cloud.number("Nic"), card["network"], card["mac"], ip, index == 0, index))
    cloud.vms[vm.id] = vm


def _add_volume(cloud: Cloud, row: Mapping[str, Any]) -> None:
    volume = Volume(row["id"], cloud.number("Volume"), row["account"], BIRTH, name=row["name"])
    volume.size, volume.zone, volume.state = int(row["gib"]) * GIB, row["zone"], row.get("state", "Ready")
    volume.offering, volume.pool, volume.path = row.get("offering"), row.get("pool"), row["id"]
    volume.content = f"original {volume.id}"
    if "vm" in row:
        if row["vm"] not in cloud.vms:
            raise BadEstate(f"volume {volume.name} hangs on unknown VM {row['vm']}")
        volume.vm, volume.device, volume.attached = row["vm"], int(row["device"]), BIRTH
        volume.kind = "ROOT" if volume.device == 0 else "DATADISK"
    cloud.volumes[volume.id] = volume
