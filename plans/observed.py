"""What one look found, as frozen records.

`reconciler.cloudstack.parse` and `reconciler.store.legacy` make these records, `reconciler.observe` joins them into an
`Estate`, and everything in `plans` reads them. Nothing here asks anybody anything: an absent object is `None`, a state
that we do not know is kept as the text CloudStack sent. Sizes are bytes unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import TypeVar

from specs.model import Strategy

REMOVED = frozenset({"Destroy", "Destroyed", "Expunging", "Expunged"})
"""States of a volume that was deleted and is still listed."""
T = TypeVar("T")
K = TypeVar("K")
MARK = "failover-run"
"""The key of the tag that names the run to which an object in the cloud belongs."""


class Place(StrEnum):
    """Where a replica hangs."""

    APPLIANCE = "appliance"
    GUEST = "guest"
    NOWHERE = "nowhere"
    ELSEWHERE = "elsewhere"


# --- CloudStack -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Volume:
    """A CloudStack volume. `vm_id` and `device_id` are None while it is detached; `job_id` is the job under way on it."""

    id: str
    name: str
    state: str
    type: str
    size: int
    zone_id: str
    vm_id: str | None = None
    device_id: int | None = None
    path: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Nic:
    """One network card of a machine."""

    id: str
    network_id: str
    is_default: bool
    ip: str | None = None
    mac: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """A CloudStack VM. `started` is False only when the cloud shows that it was never started."""

    id: str
    name: str
    display_name: str
    state: str
    zone_id: str
    started: bool
    nics: tuple[Nic, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    account: str = ""
    domain_id: str = ""


@dataclass(frozen=True, slots=True)
class VolumeSnapshot:
    """A snapshot of one volume; usable when `state` is `BackedUp`."""

    id: str
    name: str
    volume_id: str
    state: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VmSnapshot:
    """A snapshot row of a whole VM; every row, in every state, blocks attach and detach on that VM."""

    id: str
    name: str
    vm_id: str
    state: str


LEADING = frozenset({"SourceNat", "StaticNat", "PortForwarding", "Lb", "Vpn", "Firewall", "Gateway", "NetworkACL"})
"""Services that only a router gives; with DHCP, DNS and user data alone nothing leads out."""


@dataclass(frozen=True, slots=True)
class Doors:
    """What is open in a network's router, each rule in words; None where that is not shown to this account."""

    egress: tuple[str, ...] | None = None
    vpns: tuple[str, ...] | None = None
    static_nats: tuple[str, ...] | None = None
    forwardings: tuple[str, ...] | None = None
    balancers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """A guest network; `state` is `Implemented`, `Allocated`, `Setup` ...

    What is not shown to this account is None: its services, whether its egress is open by default, and its VLAN and the
    physical network that carries it. `routed` says that its router does no NAT; `doors` is asked for test networks only.
    """

    id: str
    name: str
    type: str
    state: str
    zone_id: str
    services: frozenset[str] | None = None
    egress_open: bool | None = None
    gateway: str | None = None
    gateway6: str | None = None
    routed: bool = False
    vpc_id: str | None = None
    vlan: str | None = None
    physical: str | None = None
    traffic: str = "Guest"
    system: bool = False
    doors: Doors | None = None

    @property
    def has_router(self) -> bool:
        """Whether a router of its own serves it, or may do so: on layer 2 there is none, elsewhere its services tell."""
        if self.services is None:
            return self.type != "L2"
        return not LEADING.isdisjoint(self.services)


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone: where things are made."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Template:
    """A template that a guest may be made from; `size` in bytes, 0 where it is not told."""

    id: str
    name: str
    is_ready: bool
    size: int = 0


@dataclass(frozen=True, slots=True)
class Offering:
    """A service offering; `cpus` and `memory_mb` are 0 where the caller says them (`is_custom`)."""

    id: str
    name: str
    is_custom: bool
    cpus: int = 0
    memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class Catalog:
    """What guests can be made of, as the account is shown it; a list that its role does not have is None."""

    zones: tuple[Zone, ...] | None
    templates: tuple[Template, ...] | None
    offerings: tuple[Offering, ...] | None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this cloud and this account can do.

    `release` and `kvm_snapshot_enabled` are from `listCapabilities`; `may_expunge` and what is left of the account's limits
    (counts, GiB and MiB, None where there is none) from `listAccounts`; `storage` is the kind of primary storage that the
    settings declare (`nfs`, `local`, `shared-mount-point`, `ceph`, `managed`), empty where they do not: users cannot see it.
    """

    release: str = ""
    kvm_snapshot_enabled: bool = False
    may_expunge: bool = False
    storage: str = ""
    volumes_left: int | None = None
    snapshots_left: int | None = None
    primary_gib_left: int | None = None
    secondary_gib_left: int | None = None
    vms_left: int | None = None
    cpus_left: int | None = None
    memory_mb_left: int | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """Whose keys we have; `domain_id` is empty where it is not told."""

    name: str
    domain_id: str = ""


# --- The replication system's database --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Disk:
    """One replicated disk. `key` is VMware's device key (`disk-2000`); `change_id` is the newest good sync's cursor.

    `full_sync` numbers the newest full sync that succeeded: a later one has a higher number. `synced_at` is when the newest
    good sync was recorded, None where that is not; `snapshot_id` the snapshot of its volume that the database remembers. A
    disk is left behind when the last replication that was completed had it no more.
    """

    key: str
    size_gb: int
    unit_number: int
    volume_id: str | None
    change_id: str | None = None
    label: str = ""
    full_sync: int | None = None
    is_left_behind: bool = False
    synced_at: datetime | None = None
    snapshot_id: str | None = None


@dataclass(frozen=True, slots=True)
class NetworkMapping:
    """Source network name to CloudStack network; `network_id` may be a name when the row was written that way."""

    source: str
    network_id: str
    network_name: str
    is_test: bool


@dataclass(frozen=True, slots=True)
class ActiveJob:
    """A job of the replication system (or a failover job not of ours) that has not ended."""

    id: str
    kind: str
    status: str
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class PastFailover:
    """The newest row of `failover_jobs` of a VM: a failover of ours or of another tool."""

    id: str
    kind: str
    status: str
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Platform:
    """The active `ossea_configs` row: where guests are made. Values are CloudStack ids; `zone` may be a name."""

    config: str
    zone: str
    template_id: str
    service_offering_id: str
    appliance_id: str
    account: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A replicated VM as the database describes it. `key` identifies it in all our tables (the VMware uuid)."""

    key: str
    name: str
    vcenter: str
    cpus: int
    memory_mb: int
    os_type: str
    firmware: str
    adapters: tuple[str, ...]
    disks: tuple[Disk, ...]
    mappings: tuple[NetworkMapping, ...] = ()
    active_jobs: tuple[ActiveJob, ...] = ()
    context_id: str | None = None
    context_status: str | None = None
    last_job_id: str | None = None
    platform: Platform | None = None
    last_failover: PastFailover | None = None
    findings: tuple[str, ...] = ()

    def unsynced_since(self, marks: Mapping[str, int | None]) -> frozenset[str]:
        """Those of these volumes of which no full sync succeeded since; `marks` has the newest one there was then."""
        newest = {d.volume_id: d.full_sync or 0 for d in self.disks}
        return frozenset(volume for volume, mark in marks.items() if newest.get(volume, 0) <= (mark or 0))


# --- Our own journal --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a replica hung on the appliance when the run reserved it, and where the guest gets it."""

    volume_id: str
    disk_key: str
    order: int
    appliance_device: int
    guest_device: int


@dataclass(frozen=True, slots=True)
class Point:
    """The rollback point of one replica: `snapshot_id` once known; `reverted` once a revert is confirmed."""

    volume_id: str
    name: str
    snapshot_id: str | None = None
    reverted: bool = False


@dataclass(frozen=True, slots=True)
class Clone:
    """The copy of a replica that the guest gets in its place: `volume_id` is the replica's, `clone_id` its own if known."""

    volume_id: str
    name: str
    clone_id: str | None = None


@dataclass(frozen=True, slots=True)
class GuestPoint:
    """The VM snapshot of the whole guest: `snapshot_id` once known; `reverted` once a revert is confirmed."""

    name: str
    snapshot_id: str | None = None
    reverted: bool = False


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the journal knows of the run in hand and no look could tell.

    `start_sent` is true from the moment a start of the guest was journaled: from then on the replicas count as written
    until their revert is confirmed. `running_since` is when the guest was first seen Running.
    """

    id: str
    guest_name: str
    reserved: bool = False
    guest_id: str | None = None
    default_root_id: str | None = None
    placements: tuple[Placement, ...] = ()
    points: tuple[Point, ...] = ()
    start_sent: bool = False
    running_since: datetime | None = None
    strategy: Strategy = Strategy.VOLUME_SNAPSHOT
    clones: tuple[Clone, ...] = ()
    guest_point: GuestPoint | None = None

    def clone(self, volume_id: str) -> Clone | None:
        """The clone of that replica, if the run made one."""
        return next((c for c in self.clones if c.volume_id == volume_id), None)

    def point(self, volume_id: str) -> Point | None:
        """The rollback point of that replica, if the run made one."""
        return next((p for p in self.points if p.volume_id == volume_id), None)

    def placement(self, volume_id: str) -> Placement | None:
        """Where that replica belongs, if the run recorded it."""
        return next((p for p in self.placements if p.volume_id == volume_id), None)


# --- Joined -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estate:
    """Everything one look found, by id. A look that is not complete is no estate at all.

    What hangs on one VM, and what was made of one volume, is found without going through everything. There is a `catalog`
    where somebody is about to plan; it is not looked at again while runs are under way.
    """

    looked_at: datetime
    capabilities: Capabilities
    machines: Mapping[str, Machine]
    volumes: Mapping[str, Volume]
    snapshots: Mapping[str, VolumeSnapshot]
    vm_snapshots: Mapping[str, VmSnapshot]
    networks: Mapping[str, Network]
    catalog: Catalog | None = None

    @cached_property
    def volumes_on(self) -> Mapping[str | None, Sequence[Volume]]:
        """The volumes of each VM; under None those that hang on nothing."""
        return _grouped(self.volumes.values(), lambda volume: volume.vm_id)

    @cached_property
    def snapshots_of(self) -> Mapping[str, Sequence[VolumeSnapshot]]:
        """The snapshots of each volume."""
        return _grouped(self.snapshots.values(), lambda snapshot: snapshot.volume_id)

    @cached_property
    def vm_snapshots_of(self) -> Mapping[str, Sequence[VmSnapshot]]:
        """The VM snapshots of each VM."""
        return _grouped(self.vm_snapshots.values(), lambda snapshot: snapshot.vm_id)

    @cached_property
    def named(self) -> Mapping[str, Sequence[Machine]]:
        """The machines of each host name."""
        return _grouped(self.machines.values(), lambda machine: machine.name)

    @cached_property
    def names(self) -> frozenset[str]:
        """The host names of all machines."""
        return frozenset(self.named)


def _grouped(all_of_them: Iterable[T], key: Callable[[T], K]) -> Mapping[K, Sequence[T]]:
    found: dict[K, list[T]] = {}
    for one in all_of_them:
        found.setdefault(key(one), []).append(one)
    return found


@dataclass(frozen=True, slots=True)
class World:
    """The part of the estate that concerns one VM, with the journal's facts about the run in hand.

    `volumes` holds the replicas and whatever else hangs on guest or appliance; `attempt` is the number of the next (or
    present) run of this VM and makes names unique; `dirty` lists replicas that an earlier run left written;
    `names_taken` are the host names of other machines and of other runs; `claimed_volumes` maps volumes that other
    replicated VMs claim to those VMs' names; `test_networks` are the ids flagged as test networks, and no others ever
    count as one.
    """

    source: Source
    capabilities: Capabilities
    appliance: Machine | None
    guest: Machine | None
    volumes: Mapping[str, Volume]
    snapshots: Mapping[str, VolumeSnapshot]
    vm_snapshots: Mapping[str, VmSnapshot]
    networks: Mapping[str, Network]
    run: RunFacts | None = None
    attempt: int = 1
    dirty: frozenset[str] = frozenset()
    names_taken: frozenset[str] = frozenset()
    claimed_volumes: Mapping[str, str] = field(default_factory=dict)
    test_networks: frozenset[str] = frozenset()
    catalog: Catalog | None = None

    def replica(self, disk: Disk) -> Volume | None:
        """The volume that holds this disk, or None when the database names none or the cloud lacks it."""
        return self.volumes.get(disk.volume_id) if disk.volume_id else None

    def place(self, volume_id: str) -> Place:
        """Where that replica hangs now."""
        volume = self.volumes.get(volume_id)
        if volume is None or volume.vm_id is None:
            return Place.NOWHERE
        if self.appliance is not None and volume.vm_id == self.appliance.id:
            return Place.APPLIANCE
        if volume.vm_id == (self.guest.id if self.guest is not None else self._guest_id):
            return Place.GUEST
        return Place.ELSEWHERE

    def on(self, machine_id: str) -> tuple[Volume, ...]:
        """The volumes attached to that machine, by device."""
        found = (v for v in self.volumes.values() if v.vm_id == machine_id)
        return tuple(sorted(found, key=lambda v: (v.device_id if v.device_id is not None else -1, v.id)))

    @property
    def replicas(self) -> frozenset[str]:
        """The volume ids of this VM's replicated disks: those of the database, and those that the run took with it."""
        taken = (p.volume_id for p in self.run.placements) if self.run is not None else ()
        return frozenset((*(d.volume_id for d in self.source.disks if d.volume_id), *taken))

    @property
    def _guest_id(self) -> str | None:
        return self.run.guest_id if self.run is not None else None

    @property
    def guest_vanished(self) -> bool:
        """Whether the guest is gone or in the cloud's bin though replicas that it may have had are not home yet.

        This system removes a guest only when they are: somebody else did, and may have started it before.
        """
        if self.run is None or self.guest is not None or self.run.guest_id is None:
            return False
        away = any(self.place(p.volume_id) is not Place.APPLIANCE for p in self.run.placements)
        return away and all(self.run.point(p.volume_id) is not None for p in self.run.placements)

    @property
    def guest_ran(self) -> bool:
        """Whether the guest was ever started with a disk that it got from the run."""
        if self.guest is None or not self.guest.started or self.run is None:
            return False
        return any(v.id != self.run.default_root_id for v in self.on(self.guest.id))

    def written(self, volume_id: str) -> bool:
        """Whether the guest of this run may have written to the replica since it was last clean."""
        run = self.run
        if run is None or not run.start_sent or run.strategy is Strategy.CLONE or run.placement(volume_id) is None:
            return False
        point = run.guest_point if run.strategy is Strategy.VM_SNAPSHOT else run.point(volume_id)
        return point is None or not point.reverted

    def clone_of(self, volume_id: str) -> Volume | None:
        """The clone of a replica, by its recorded id; None when it is not made, or gone."""
        clone = self.run.clone(volume_id) if self.run is not None else None
        found = self.volumes.get(clone.clone_id) if clone is not None and clone.clone_id is not None else None
        return None if found is None or found.state in REMOVED else found

    @property
    def guest_snapshot(self) -> VmSnapshot | None:
        """The VM snapshot behind the guest's rollback point: by recorded id, else by its name on the guest.

        The name is the run's, and the guest is, too: a row of that name is another try at the same snapshot.
        """
        point = self.run.guest_point if self.run is not None else None
        if point is None or self.guest is None:
            return None
        known = self.vm_snapshots.get(point.snapshot_id or "")
        if known is not None:
            return known
        named = (s for s in self.vm_snapshots.values() if s.vm_id == self.guest.id and s.name == point.name)
        return next(named, None)

    @property
    def default_root(self) -> Volume | None:
        """The blank root that came with the guest, by its recorded id; None when removed or not known."""
        if self.run is None or self.run.default_root_id is None:
            return None
        return self.volumes.get(self.run.default_root_id)

    def snapshot_of(self, point: Point | None) -> VolumeSnapshot | None:
        """The snapshot behind a rollback point: by recorded id, else by its name on that volume and the mark of the run.

        A snapshot of that name without the mark is another run's: to revert to it would be to lose what came after.
        """
        if point is None or self.run is None:
            return None
        if point.snapshot_id is not None:
            return self.snapshots.get(point.snapshot_id)
        ours = (s for s in self.snapshots.values() if s.tags.get(MARK) == self.run.id)
        return next((s for s in ours if s.volume_id == point.volume_id and s.name == point.name), None)

    def leftovers_of(self, point: Point) -> tuple[VolumeSnapshot, ...]:
        """Snapshots of this run and that replica beside its rollback point: what tries before the last one left."""
        kept = self.snapshot_of(point)
        named = (s for s in self.snapshots.values() if s.volume_id == point.volume_id and s.name == point.name)
        return tuple(sorted((s for s in named if s is not kept and self._is_left(s)), key=lambda s: s.id))

    def _is_left(self, snapshot: VolumeSnapshot) -> bool:
        """Whether it bears our mark, or failed before it could: then there is nothing in it."""
        mark = snapshot.tags.get(MARK)
        return self.run is not None and (mark == self.run.id or (mark is None and snapshot.state == "Error"))
