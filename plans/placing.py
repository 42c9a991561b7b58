"""Where disks and network cards go on the guest: order, device ids, networks, names.

Called by `plans.guards` (to say what is ambiguous or missing), `plans.compare` and `plans.effects` (to use the result).
Device ids are CloudStack's: 0 is the root, 3 belongs to the CD-ROM, data disks take 1, 2, 4, 5 and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

from plans.observed import Disk, Network, Placement, World
from specs.model import Spec
from specs.values import test_host_name

DISCONNECTED = "disconnected"
MAX_DATA_DISKS = 32
CDROM_DEVICE = 3
_CONTROLLERS = ((31000, "NVMe"), (16000, "SATA"), (15000, "SATA"), (3000, "IDE"), (2000, "SCSI"))


class Ambiguous(ValueError):
    """The boot disk cannot be told from the disks alone; the message names the candidates."""


def controller(disk: Disk) -> str:
    """The kind of controller behind a VMware device key, as `SCSI`, `NVMe`, `SATA`, `IDE` or `?`."""
    number = key_number(disk.key)
    return next((kind for base, kind in _CONTROLLERS if base <= number < base + 1000), "?")


@lru_cache(maxsize=4096)
def key_number(key: str) -> int:
    """The number in a VMware device key (`disk-2000` gives 2000), or a very large one when there is none."""
    digits = key.rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else 1 << 31


def in_order(disks: tuple[Disk, ...], boot_disk: str | None) -> tuple[Disk, ...]:
    """The disks with the boot disk first, then by device key.

    The boot disk is the declared one, else the lowest on the only kind of controller there is. Raises `Ambiguous` when
    it is declared but unknown, or when disks hang on several kinds of controller.
    """
    by_key = sorted(disks, key=lambda d: (key_number(d.key), d.key))
    if not by_key:
        return ()
    boot = _boot(by_key, boot_disk)
    return (boot, *(d for d in by_key if d is not boot))


def _boot(by_key: list[Disk], boot_disk: str | None) -> Disk:
    if boot_disk is not None:
        declared = [d for d in by_key if d.key == boot_disk]
        if not declared:
            raise Ambiguous(f"boot_disk {boot_disk} is none of {', '.join(d.key for d in by_key)}")
        return declared[0]
    kinds = {controller(d) for d in by_key}
    if len(kinds) > 1:
        raise Ambiguous(", ".join(f"{d.key} ({controller(d)})" for d in by_key))
    return by_key[0]


def guest_devices() -> Iterator[int]:
    """Device ids in the order in which disks get them: 0, 1, 2, 4, 5 and on."""
    return (n for n in count() if n != CDROM_DEVICE)


def placements(world: World, boot_disk: str | None = None) -> tuple[Placement, ...]:
    """Where every replica hangs on the appliance now and where the guest gets it. Skips disks without a volume."""
    ordered = in_order(world.source.disks, boot_disk)
    pairs = zip(ordered, guest_devices(), strict=False)
    return tuple(
        Placement(disk.volume_id, disk.key, order, _device_now(world, disk), device)
        for order, (disk, device) in enumerate(pairs)
        if disk.volume_id
    )


def _device_now(world: World, disk: Disk) -> int:
    volume = world.replica(disk)
    return volume.device_id if volume is not None and volume.device_id is not None else -1


def home_device(world: World, placement: Placement) -> int:
    """The device on the appliance to give a replica back: its recorded one if free, else the next free one."""
    appliance = world.appliance
    taken = {v.device_id for v in world.on(appliance.id) if v.id != placement.volume_id} if appliance else set()
    if placement.appliance_device > 0 and placement.appliance_device not in taken:
        return placement.appliance_device
    promised = {p.appliance_device for p in world.run.placements} if world.run else set()
    return next(n for n in guest_devices() if n > 0 and n not in taken | promised)


@dataclass(frozen=True, slots=True)
class Card:
    """One adapter of the source and where the guest's card for it goes; `network` is None when it goes nowhere."""

    adapter: str
    network: Network | None
    chosen_by: str
    problem: str | None = None


def cards(spec: Spec, world: World) -> tuple[Card, ...]:
    """One card for every adapter of the source, in order; `problem` says what is wrong with its network."""
    return tuple(_card(name, spec, world) for name in world.source.adapters)


def _card(adapter: str, spec: Spec, world: World) -> Card:
    override = spec.networks.get(adapter)
    if override == DISCONNECTED:
        return Card(adapter, None, "spec")
    if override is not None:
        return _resolved(adapter, override, "spec", world)
    mapped = [m for m in world.source.mappings if m.source == adapter and m.is_test]
    if not mapped:
        return Card(adapter, None, "none", f'adapter "{adapter}" has no test network')
    return _resolved(adapter, mapped[0].network_id, "network_mappings", world)


def _resolved(adapter: str, wanted: str, chosen_by: str, world: World) -> Card:
    found = [n for n in world.networks.values() if wanted in (n.id, n.name)]
    if len(found) != 1:
        many = "several networks have that name" if found else "CloudStack shows no such network"
        return Card(adapter, None, chosen_by, f'network "{wanted}" for adapter "{adapter}": {many}')
    network = found[0]
    if network.id not in world.test_networks:
        return Card(adapter, network, chosen_by, f'network "{network.name}" is not flagged as a test network')
    if network.state not in ("Implemented", "Allocated"):
        return Card(adapter, network, chosen_by, f'network "{network.name}" is {network.state}, not usable')
    return Card(adapter, network, chosen_by)


def guest_name(world: World) -> str:
    """The host name of the test guest: the run's, once there is a run, else one that no earlier run of this VM used."""
    if world.run is not None and world.run.guest_name:
        return world.run.guest_name
    base = test_host_name(world.source.name)
    if world.attempt <= 1:
        return base
    suffix = f"-{world.attempt}"
    return f"{base[: 63 - len(suffix)].rstrip('-')}{suffix}"


def point_name(world: World, disk_key: str) -> str:
    """The name of a replica's rollback point, the same in every pass of a run."""
    return f"test-failover-{guest_name(world)}-{disk_key}"


def clone_name(world: World, disk_key: str) -> str:
    """The name of a replica's clone, the same in every pass of a run."""
    return f"{point_name(world, disk_key)}-clone"


def guest_point_name(world: World) -> str:
    """The name of the guest's VM snapshot, the same in every pass of a run."""
    return f"test-failover-{guest_name(world)}"
