"""Which rollback point protects the replicas, and why that one.

Called by the planner once the guards found nothing. This version carries out one strategy, `volume-snapshot` in place:
detach, snapshot, lend to the guest; afterwards revert and hand back. It needs no setting of the cloud, because the
replicas are detached when they are snapshotted.
"""

from __future__ import annotations

from dataclasses import dataclass

from plans.observed import World
from specs.model import Spec, Strategy


@dataclass(frozen=True, slots=True)
class Choice:
    """The strategy taken, with the reason for people."""

    strategy: Strategy
    reason: str


def choose(spec: Spec, world: World) -> Choice:
    """The strategy for this VM. The guards have already refused what is not offered."""
    asked = "asked for in the spec; " if spec.strategy is not None else ""
    setting = "on" if world.capabilities.kvm_snapshot_enabled else "off"
    reason = (
        f"{asked}each replica is snapshotted while detached, lent to the guest and reverted before it goes home; "
        f"works whatever kvm.snapshot.enabled says (it is {setting} here)"
    )
    return Choice(Strategy.VOLUME_SNAPSHOT, reason)
