"""Where the database and CloudStack disagree about a VM, and what is missing of it.

Called by `plans.readiness` for V-12 and by `reconciler.known` for `failover inventory`. It judges nothing a second time:
what stands against a test is what `plans.guards` says; here those reasons are told apart by what they are about, and what
stands against nothing is added.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from plans import guards
from plans.guards import Reason
from plans.observed import World
from specs.model import Spec


class Kind(StrEnum):
    """Whether both sides say something, and not the same, or one side lacks it."""

    DIFFERS = "differs"
    MISSING = "missing"


KINDS = {
    **dict.fromkeys(
        (
            *("VOLUME_NOT_FOUND", "VOLUME_NOT_AVAILABLE", "VOLUME_SHARED", "VOLUME_IS_ROOT", "VOLUME_TOO_SMALL", "DRIFT"),
            *(
                "FAILED_OVER",
                "CLEANUP_REQUIRED",
                "CONTEXT_NOT_KNOWN",
                "DISK_LEFT_BEHIND",
                "PLATFORM_NOT_VALID",
                "REPLICA_DIRTY",
                "APPLIANCE_NOT_FOUND",
                "APPLIANCE_NOT_READY",
                "SNAPSHOT_GONE",
            ),
            *("NETWORK_NOT_CLOSED", "APPLIANCE_SNAPSHOT"),
        ),
        Kind.DIFFERS,
    ),
    **dict.fromkeys(
        (
            *("VM_UNDESCRIBED", "NO_DISKS", "VOLUME_MISSING", "NEVER_SYNCED", "NETWORK_MAPPING_MISSING", "NO_NETWORK"),
            *("OSSEA_NOT_CONFIGURED", "BOOT_DISK_AMBIGUOUS", "VM_NOT_IDENTIFIED", "NOT_REPLICATED"),
        ),
        Kind.MISSING,
    ),
}
"""What each code of a reason is about; those of other rules are about neither side."""
LENT = frozenset({"VOLUME_NOT_AVAILABLE", "VOLUME_IS_ROOT", "FAILED_OVER"})
"""What is as it should be while a run of ours has the VM."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing on which both sides do not agree, or that is missing, and what to do about it."""

    kind: Kind
    code: str
    text: str
    fix: str


def drifts(spec: Spec, world: World) -> tuple[Drift, ...]:
    """Everything on which the database and CloudStack disagree about this VM, and what is missing of it."""
    found = dict.fromkeys((*guards.reasons(spec, world), *sizes(world), *_snapshots(world)))
    usual = LENT if world.run is not None else frozenset()
    return tuple(Drift(KINDS[r.code], r.code, r.text, r.fix) for r in found if r.code in KINDS and r.code not in usual)


def sizes(world: World) -> Iterator[Reason]:
    """Disks whose volume is larger than the database says."""
    for disk in world.source.disks:
        volume = world.replica(disk)
        if volume is not None and volume.size > (disk.size_gb + 1) * guards.GIB:
            text = f"the database says {disk.size_gb} GiB of {disk.key}, CloudStack {volume.size / guards.GIB:.0f} GiB"
            yield Reason("DRIFT", text, f"run discovery of {world.source.name}, so that the size is recorded anew")


def _snapshots(world: World) -> Iterator[Reason]:
    """Snapshots that the database remembers of a replica and CloudStack does not show."""
    for disk in world.source.disks:
        if disk.snapshot_id is not None and disk.snapshot_id not in world.snapshots:
            text = f"the database remembers snapshot {disk.snapshot_id} of {disk.key}, CloudStack shows none"
            yield Reason("SNAPSHOT_GONE", text, "nothing of ours needs it; the tool that made it may clear the entry")
