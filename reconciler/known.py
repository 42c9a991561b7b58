"""What is known of replicated VMs: what the database describes, where it disagrees with CloudStack, and what is missing.

Called by `failover inventory`. One look at both sources, in a fixed number of statements and lists whatever the number of
VMs; it reads only. When CloudStack does not answer, the database's half is told, and that the other one is not known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from plans import drift
from plans.drift import Drift, Kind
from plans.observed import World
from reconciler import readiness
from reconciler.store import journal
from reconciler.wiring import Connected


@dataclass(frozen=True, slots=True)
class Known:
    """One VM. `unseen` is why CloudStack could not be read; then only what is `missing` in the database is known."""

    world: World
    drifts: tuple[Drift, ...]
    unseen: str | None = None

    def of(self, kind: Kind) -> tuple[Drift, ...]:
        """What differs, or what is missing."""
        return tuple(d for d in self.drifts if d.kind is kind)

    @property
    def gib(self) -> int:
        """The size of all its disks, in GiB, as the database has it."""
        return sum(disk.size_gb for disk in self.world.source.disks)


def of(connected: Connected, keys: Iterable[str] | None = None) -> tuple[Known, ...]:
    """What is known of these VMs (all, if none is named), by name."""
    look, unseen = readiness.looked(connected)
    wanted = set(look.fleet.sources if keys is None else keys)
    sources = sorted((s for s in look.fleet.sources.values() if s.key in wanted), key=lambda s: (s.name.lower(), s.key))
    with connected.database.read() as connection:
        dossiers = journal.dossiers(connection, [s.key for s in sources])
    return tuple(_known(connected.engine.world(s, look, dossiers[s.key]), unseen) for s in sources)


def _known(world: World, unseen: str | None) -> Known:
    found = drift.drifts(readiness.asked(world.source), world)
    return Known(world, tuple(d for d in found if unseen is None or d.code in OF_THE_DATABASE), unseen)


OF_THE_DATABASE = frozenset(
    {
        *("VM_NOT_IDENTIFIED", "VM_UNDESCRIBED", "NO_DISKS", "NOT_REPLICATED", "DISK_LEFT_BEHIND", "BOOT_DISK_AMBIGUOUS"),
        *("VOLUME_MISSING", "VOLUME_SHARED", "NEVER_SYNCED", "REPLICA_DIRTY"),
        *("OSSEA_NOT_CONFIGURED", "FAILED_OVER", "CLEANUP_REQUIRED", "CONTEXT_NOT_KNOWN"),
    }
)
"""What the database tells by itself."""
