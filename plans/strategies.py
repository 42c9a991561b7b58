"""Which rollback point protects the replicas, and why that one.

Called by `plans.guards` for what stands against a strategy and by the planner for the choice. Three ways: the guest gets
clones (`clone`), the replicas themselves with a snapshot of each (`volume-snapshot`), or the replicas under one snapshot of
the whole guest (`vm-snapshot`). What a cloud allows is read from its capabilities, from what the settings declare, and from
the rows that a look shows; a run that began keeps its strategy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from plans.observed import World
from specs.model import Spec, Strategy

GIB = 1024**3
STRATEGIES = (Strategy.CLONE, Strategy.VOLUME_SNAPSHOT, Strategy.VM_SNAPSHOT)
"""What a test can be protected by, the gentlest to replication first."""
FILES = frozenset({"nfs", "local", "shared-mount-point"})
FIRST_FILE_BASED = (4, 22, 0)
"""The first release whose VM snapshots of a stopped guest work and whose rows that failed can be deleted again.

4.21 makes them, too, but a row that failed holds the disks on the guest there, and cannot be deleted.
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """The strategy taken, with the reason for people."""

    strategy: Strategy
    reason: str


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a strategy is not possible here, and what would help."""

    text: str
    fix: str


def choose(spec: Spec, world: World) -> Choice:
    """The strategy for this VM: the run's, else the spec's, else clones where they cost replication nothing."""
    if world.run is not None:
        return Choice(world.run.strategy, _WORDS[world.run.strategy])
    if spec.strategy is not None:
        return Choice(spec.strategy, f"asked for in the spec; {_WORDS[spec.strategy]}")
    against = next((o.text for o in (*objections(Strategy.CLONE, world), *_reluctance(world))), None)
    if against is None:
        return Choice(Strategy.CLONE, _WORDS[Strategy.CLONE])
    return Choice(Strategy.VOLUME_SNAPSHOT, f"{_WORDS[Strategy.VOLUME_SNAPSHOT]}; not clone: {against}")


def objections(strategy: Strategy, world: World) -> tuple[Objection, ...]:
    """Everything that makes a strategy impossible for this VM in this cloud."""
    return tuple(_AGAINST[strategy](world))


def extra_gib(strategy: Strategy, world: World) -> int:
    """How much storage a test takes beside the replicas, in GiB: copies in snapshots, and clones."""
    size = sum(v.size for d in world.source.disks if (v := world.replica(d)) is not None)
    copies = 2 if strategy is Strategy.CLONE else 1 if strategy is Strategy.VOLUME_SNAPSHOT else 0
    return -(-size * copies // GIB)


def snapshots_in_place(world: World) -> bool:
    """Whether a replica can be snapshotted where it hangs: on a running appliance only where the cloud has it enabled."""
    stopped = world.appliance is not None and world.appliance.state == "Stopped"
    return stopped or world.capabilities.kvm_snapshot_enabled


_WORDS: Mapping[Strategy, str] = {
    Strategy.CLONE: "the guest gets a copy of each replica; the replicas are never written, replication goes on meanwhile",
    Strategy.VOLUME_SNAPSHOT: (
        "each replica is snapshotted while detached, lent to the guest and reverted before it goes home"
    ),
    Strategy.VM_SNAPSHOT: (
        "the replicas are lent to the guest under one snapshot of the whole guest, reverted and deleted before they go home"
    ),
    Strategy.NONE: "nothing protects the replicas",
}


def _reluctance(world: World) -> Iterator[Objection]:
    """Why clones are possible, but not taken unasked."""
    if not snapshots_in_place(world):
        text = "a volume of the running appliance cannot be snapshotted (kvm.snapshot.enabled is off)"
        yield Objection(text, "set kvm.snapshot.enabled, or say `strategy: clone`, which detaches each replica for a while")


def _clone(world: World) -> Iterator[Objection]:
    yield from _volume_snapshot(world)
    room, disks = world.capabilities, len(world.source.disks)
    if room.volumes_left is not None and room.volumes_left < disks + 1:
        yield Objection(
            f"{disks} clones and a root are needed, the account may have {room.volumes_left} more volumes", _RAISE
        )
    if room.primary_gib_left is not None and room.primary_gib_left < (size := extra_gib(Strategy.CLONE, world) // 2):
        text = f"clones need {size} GiB of primary storage, the account has {room.primary_gib_left} GiB left"
        yield Objection(text, _RAISE)


_RAISE = "raise the account's limits, or leave `strategy` out"


def _volume_snapshot(world: World) -> Iterator[Objection]:
    room, disks = world.capabilities, len(world.source.disks)
    if room.storage == "managed":
        text = "managed storage lets no root disk be attached or detached"
        yield Objection(text, "this VM cannot be failed over on this storage")
    if room.snapshots_left is not None and room.snapshots_left < disks:
        text = f"{disks} snapshots are needed, the account may have {room.snapshots_left} more"
        yield Objection(text, "raise the account's limits")
    copies = Strategy.VOLUME_SNAPSHOT
    if room.secondary_gib_left is not None and room.secondary_gib_left < (size := extra_gib(copies, world)):
        text = f"snapshots need {size} GiB of secondary storage, the account has {room.secondary_gib_left} GiB left"
        yield Objection(text, "raise the account's limits")


def _vm_snapshot(world: World) -> Iterator[Objection]:
    instead = "say `strategy: volume-snapshot`, which works here"
    if _numbers(world.capabilities.release) < FIRST_FILE_BASED:
        release = world.capabilities.release or "unknown"
        text = f"release {release} cannot snapshot a stopped KVM guest and clean up where that fails; 4.22.0 is the first"
        yield Objection(text, instead)
    if world.capabilities.storage not in FILES:
        declared = world.capabilities.storage or "not declared"
        text = f"it needs storage of files; cloudstack.storage in the settings is {declared}"
        yield Objection(text, f"{instead}, or declare the storage: {', '.join(sorted(FILES))}")
    names = sorted(s.name for s in world.snapshots.values() if s.volume_id in world.replicas and s.state not in GONE)
    if names:
        yield Objection(f"volume snapshot {names[0]} of a replica rules it out", f"delete that snapshot, or {instead}")


def _none(_world: World) -> Iterator[Objection]:
    yield Objection("a test without a rollback point would change the replicas for good", "leave `strategy` out")


GONE = frozenset({"Destroyed", "Error"})
_AGAINST: Mapping[Strategy, Callable[[World], Iterator[Objection]]] = {
    Strategy.CLONE: _clone,
    Strategy.VOLUME_SNAPSHOT: _volume_snapshot,
    Strategy.VM_SNAPSHOT: _vm_snapshot,
    Strategy.NONE: _none,
}


def _numbers(release: str) -> tuple[int, ...]:
    parts = release.split(".")
    return tuple(int(p) for p in parts if p.isdigit()) if release else ()
