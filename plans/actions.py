"""The actions: one thing to do each, typed and frozen.

An action says what is to be so and can tell from a world whether it is (`achieved`). How it is carried out stands in
`reconciler.perform`, what the world is afterwards and what must hold before in `plans.effects`, how it is shown in
`plans.render`. Actions name objects by the role they play (the guest, the default root), never by an id that only a
later step will know, so a plan made before the run and one made in its middle name the same thing alike.

`ORDER` is the whole ordering rule inside one VM. It serves both directions: the way there and the way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, ClassVar

from plans.observed import MARK as MARK
from plans.observed import Place, World
from specs.model import Strategy


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do. `word` is the stable name in journals, plan files and JSON."""

    word: ClassVar[str] = ""

    def achieved(self, world: World) -> bool:
        """Whether the world already is as this action wants it."""
        raise NotImplementedError

    @property
    def subject(self) -> str:
        """The object this action is about: a volume id, or the role of what it touches."""
        return "guest"

    def as_json(self) -> dict[str, Any]:
        """The action as plain data: its word and its fields; `from_json` reads it back."""
        return {"action": self.word, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Reserve(Action):
    """Keep replication out of this VM and write down where every replica hangs; `boot_disk` if the spec names one."""

    word = "reserve"
    boot_disk: str | None = None
    strategy: Strategy = Strategy.VOLUME_SNAPSHOT

    def achieved(self, world: World) -> bool:
        return world.run is not None and world.run.reserved

    @property
    def subject(self) -> str:
        return "context"


@dataclass(frozen=True, slots=True)
class CreateGuest(Action):
    """Deploy the guest, stopped, on its networks and nothing else. `networks` are CloudStack ids, default first."""

    word = "create-guest"
    name: str
    display_name: str
    cpus: int
    memory_mb: int
    networks: tuple[str, ...]
    zone: str
    template_id: str
    service_offering_id: str
    uefi: bool = False

    def achieved(self, world: World) -> bool:
        return world.guest is not None and world.run is not None and world.run.guest_id == world.guest.id


@dataclass(frozen=True, slots=True)
class MarkGuest(Action):
    """Tag the guest with the run, so that it is known as ours even without our database."""

    word = "mark-guest"

    def achieved(self, world: World) -> bool:
        return world.guest is not None and world.run is not None and world.guest.tags.get(MARK) == world.run.id


@dataclass(frozen=True, slots=True)
class StopGuest(Action):
    """Stop the guest, asking its operating system first."""

    word = "stop-guest"

    def achieved(self, world: World) -> bool:
        return world.guest is None or world.guest.state in ("Stopped", "Destroyed", "Error")


@dataclass(frozen=True, slots=True)
class DetachDefaultRoot(Action):
    """Take the blank disk that came with the guest off device 0."""

    word = "detach-default-root"

    def achieved(self, world: World) -> bool:
        knows = world.run is not None and world.run.default_root_id is not None
        return knows and (world.default_root is None or world.default_root.vm_id is None)

    @property
    def subject(self) -> str:
        return "default-root"


@dataclass(frozen=True, slots=True)
class DeleteDefaultRoot(Action):
    """Delete the blank disk, by the id recorded when the guest was created."""

    word = "delete-default-root"

    def achieved(self, world: World) -> bool:
        knows = world.run is not None and world.run.default_root_id is not None
        return knows and world.default_root is None

    @property
    def subject(self) -> str:
        return "default-root"


@dataclass(frozen=True, slots=True)
class _OnReplica(Action):
    """An action on one replica; `disk` is its VMware key, for people."""

    volume_id: str
    disk: str

    @property
    def subject(self) -> str:
        return self.volume_id


@dataclass(frozen=True, slots=True)
class DetachReplica(_OnReplica):
    """Take a replica off the machine it hangs on."""

    word = "detach-replica"
    source: Place

    def achieved(self, world: World) -> bool:
        return world.place(self.volume_id) is not self.source


@dataclass(frozen=True, slots=True)
class RevertReplica(_OnReplica):
    """Return a replica to its rollback point. No look can see content, so the journal's confirmation decides."""

    word = "revert-replica"

    def achieved(self, world: World) -> bool:
        point = world.run.point(self.volume_id) if world.run else None
        return point is not None and point.reverted


@dataclass(frozen=True, slots=True)
class SnapshotReplica(_OnReplica):
    """Make the rollback point of a replica."""

    word = "snapshot-replica"
    name: str

    def achieved(self, world: World) -> bool:
        point = world.run.point(self.volume_id) if world.run else None
        snapshot = world.snapshot_of(point)
        return snapshot is not None and snapshot.state == "BackedUp"


@dataclass(frozen=True, slots=True)
class AttachReplica(_OnReplica):
    """Hang a replica on the guest or back on the appliance, at exactly this device."""

    word = "attach-replica"
    target: Place
    device: int

    def achieved(self, world: World) -> bool:
        volume = world.volumes.get(self.volume_id)
        if volume is None or world.place(self.volume_id) is not self.target or volume.state != "Ready":
            return False
        return volume.device_id == self.device and (volume.type == "ROOT") == (self.device == 0)


@dataclass(frozen=True, slots=True)
class Resume(Action):
    """Let replication go on during the test: its guest runs on clones, and the replicas are home."""

    word = "resume"

    def achieved(self, world: World) -> bool:
        return world.run is not None and not world.run.reserved

    @property
    def subject(self) -> str:
        return "context"


@dataclass(frozen=True, slots=True)
class CloneReplica(_OnReplica):
    """Make a volume of the guest's own from a replica's snapshot."""

    word = "clone-replica"
    name: str

    def achieved(self, world: World) -> bool:
        clone = world.clone_of(self.volume_id)
        return clone is not None and clone.state == "Ready"


@dataclass(frozen=True, slots=True)
class AttachClone(_OnReplica):
    """Hang a replica's clone on the guest, at exactly this device."""

    word = "attach-clone"
    device: int

    def achieved(self, world: World) -> bool:
        clone = world.clone_of(self.volume_id)
        if clone is None or world.guest is None or clone.vm_id != world.guest.id or clone.state != "Ready":
            return False
        return clone.device_id == self.device and (clone.type == "ROOT") == (self.device == 0)


@dataclass(frozen=True, slots=True)
class DetachClone(_OnReplica):
    """Take a clone off the guest, so that it does not go with it unasked."""

    word = "detach-clone"

    def achieved(self, world: World) -> bool:
        clone = world.clone_of(self.volume_id)
        return clone is None or clone.vm_id is None


@dataclass(frozen=True, slots=True)
class DeleteClone(_OnReplica):
    """Delete a clone, by the id recorded when it was made."""

    word = "delete-clone"

    def achieved(self, world: World) -> bool:
        return world.clone_of(self.volume_id) is None


@dataclass(frozen=True, slots=True)
class SnapshotGuest(Action):
    """Make the rollback point of the whole guest: a VM snapshot of the stopped guest with all its disks."""

    word = "snapshot-guest"
    name: str

    def achieved(self, world: World) -> bool:
        return world.guest_snapshot is not None and world.guest_snapshot.state == "Ready"


@dataclass(frozen=True, slots=True)
class RevertGuest(Action):
    """Return all disks of the guest to its VM snapshot. The journal's confirmation decides, as for a replica."""

    word = "revert-guest"

    def achieved(self, world: World) -> bool:
        point = world.run.guest_point if world.run is not None else None
        return point is not None and point.reverted


@dataclass(frozen=True, slots=True)
class DeleteGuestSnapshot(Action):
    """Delete the guest's VM snapshot, which holds its disks fast. What was not reverted before stays in the disks."""

    word = "delete-guest-snapshot"

    def achieved(self, world: World) -> bool:
        return world.guest_snapshot is None


@dataclass(frozen=True, slots=True)
class StartGuest(Action):
    """Start the guest; from here on it writes to its disks."""

    word = "start-guest"

    def achieved(self, world: World) -> bool:
        return world.guest is not None and world.guest.state == "Running"


@dataclass(frozen=True, slots=True)
class DestroyGuest(Action):
    """Remove the guest. Without the right to expunge it stays in the cloud's bin until the cloud empties it."""

    word = "destroy-guest"
    expunge: bool

    def achieved(self, world: World) -> bool:
        return world.guest is None or (not self.expunge and world.guest.state in GONE)


@dataclass(frozen=True, slots=True)
class DeleteSnapshot(_OnReplica):
    """Delete the rollback point of a replica that is home and clean again."""

    word = "delete-snapshot"

    def achieved(self, world: World) -> bool:
        return world.snapshot_of(world.run.point(self.volume_id) if world.run else None) is None


@dataclass(frozen=True, slots=True)
class DeleteLeftover(_OnReplica):
    """Delete a snapshot that a try before the last one left of a replica; `snapshot_id` is the one that a look found."""

    word = "delete-leftover"
    snapshot_id: str

    def achieved(self, world: World) -> bool:
        return self.snapshot_id not in world.snapshots


@dataclass(frozen=True, slots=True)
class Release(Action):
    """Let replication have the VM again."""

    word = "release"

    def achieved(self, world: World) -> bool:
        return world.run is None or not world.run.reserved

    @property
    def subject(self) -> str:
        return "context"


GONE = ("Destroyed", "Expunging")

ORDER: tuple[type[Action], ...] = (
    Reserve,
    CreateGuest,
    MarkGuest,
    StopGuest,
    RevertGuest,
    DeleteGuestSnapshot,
    DetachDefaultRoot,
    DeleteDefaultRoot,
    DetachReplica,
    RevertReplica,
    SnapshotReplica,
    AttachReplica,
    Resume,
    CloneReplica,
    AttachClone,
    SnapshotGuest,
    StartGuest,
    DetachClone,
    DestroyGuest,
    DeleteClone,
    DeleteSnapshot,
    DeleteLeftover,
    Release,
)

TOGETHER: tuple[type[Action], ...] = (
    SnapshotReplica,
    RevertReplica,
    CloneReplica,
    DeleteClone,
    DeleteSnapshot,
    DeleteLeftover,
)
"""Kinds whose steps run side by side when they follow each other: the cloud does not queue them behind one VM."""

BY_WORD: Mapping[str, type[Action]] = {kind.word: kind for kind in ORDER}


def from_json(data: Mapping[str, Any]) -> Action:
    """Read back what `Action.as_json` wrote. Raises KeyError or TypeError for anything else."""
    kind = BY_WORD[data["action"]]
    values = {f.name: data[f.name] for f in fields(kind) if f.name in data or f.default is MISSING}
    if "strategy" in values:
        values["strategy"] = Strategy(values["strategy"])
    for name in ("source", "target"):
        if name in values:
            values[name] = Place(values[name])
    if "networks" in values:
        values["networks"] = tuple(values["networks"])
    return kind(**values)
