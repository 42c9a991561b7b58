"""How each action is carried out: one small function an action type, one call to the cloud at the most.

Called by `reconciler.execute` after the intent is journaled, with the world of this pass and a writer that refuses what
the run may not do. It hands back the outcome of the call and what the call itself taught (an id, the reservation);
waiting, looking again, retrying and writing down are `execute`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

from plans import actions
from plans.observed import Place, World
from reconciler.cloudstack.outcomes import Accepted, CallOutcome, Done
from reconciler.cloudstack.writer import Writer


@dataclass(frozen=True, slots=True)
class Performed:
    """The outcome of the call, and facts learned from it for the journal (names of `Run` columns to values)."""

    outcome: CallOutcome
    learned: Mapping[str, Any] = field(default_factory=dict)


@singledispatch
def perform(action: actions.Action, world: World, writer: Writer, job_id: str) -> Performed:
    """Carry the action out once, under our own job id. Raises `InvariantViolated` before anything is sent."""
    raise NotImplementedError(type(action).__name__)


@perform.register
def _(action: actions.Reserve, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(Done(None), {"reserved": True})


@perform.register
def _(action: actions.Release, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(Done(None), {"reserved": False})


@perform.register
def _(action: actions.CreateGuest, world: World, writer: Writer, job_id: str) -> Performed:
    outcome = writer.deploy(
        name=action.name,
        display_name=action.display_name,
        zone_id=action.zone,
        template_id=action.template_id,
        service_offering_id=action.service_offering_id,
        networks=action.networks,
        cpus=action.cpus,
        memory_mb=action.memory_mb,
        uefi=action.uefi,
        job_id=job_id,
    )
    made = outcome.entity_id if isinstance(outcome, Accepted) else None
    return Performed(outcome, {"guest_id": made} if made else {})


@perform.register
def _(action: actions.MarkGuest, world: World, writer: Writer, job_id: str) -> Performed:
    run = world.run
    return Performed(writer.tag("UserVm", _guest(world), {actions.MARK: run.id if run else ""}, job_id=job_id))


@perform.register
def _(action: actions.StopGuest, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.stop(_guest(world), forced=False, job_id=job_id))


@perform.register
def _(action: actions.DetachDefaultRoot, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.detach(_root(world), job_id=job_id))


@perform.register
def _(action: actions.DeleteDefaultRoot, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.delete_volume(_root(world)))


@perform.register
def _(action: actions.DetachReplica, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.detach(action.volume_id, job_id=job_id))


@perform.register
def _(action: actions.RevertReplica, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.revert_snapshot(_snapshot(action.volume_id, world), job_id=job_id))


@perform.register
def _(action: actions.SnapshotReplica, world: World, writer: Writer, job_id: str) -> Performed:
    tags = {actions.MARK: world.run.id if world.run else ""}
    outcome = writer.create_snapshot(action.volume_id, action.name, tags, job_id=job_id)
    made = outcome.entity_id if isinstance(outcome, Accepted) else None
    return Performed(outcome, {"snapshot_id": (action.volume_id, made)} if made else {})


@perform.register
def _(action: actions.AttachReplica, world: World, writer: Writer, job_id: str) -> Performed:
    target = _guest(world) if action.target is Place.GUEST else _appliance(world)
    return Performed(writer.attach(action.volume_id, target, action.device, job_id=job_id))


@perform.register
def _(action: actions.Resume, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(Done(None), {"reserved": False})


@perform.register
def _(action: actions.CloneReplica, world: World, writer: Writer, job_id: str) -> Performed:
    replica = world.volumes[action.volume_id]
    outcome = writer.clone(_snapshot(action.volume_id, world), action.name, replica.zone_id, job_id=job_id)
    made = outcome.entity_id if isinstance(outcome, Accepted) else None
    return Performed(outcome, {"clone_id": (action.volume_id, made)} if made else {})


@perform.register
def _(action: actions.AttachClone, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.attach(_clone(action.volume_id, world), _guest(world), action.device, job_id=job_id))


@perform.register
def _(action: actions.DetachClone, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.detach(_clone(action.volume_id, world), job_id=job_id))


@perform.register
def _(action: actions.DeleteClone, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.delete_volume(_clone(action.volume_id, world)))


@perform.register
def _(action: actions.SnapshotGuest, world: World, writer: Writer, job_id: str) -> Performed:
    outcome = writer.snapshot_guest(_guest(world), action.name, job_id=job_id)
    made = outcome.entity_id if isinstance(outcome, Accepted) else None
    return Performed(outcome, {"guest_point_id": made} if made else {})


@perform.register
def _(action: actions.RevertGuest, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.revert_guest(_guest_snapshot(world), job_id=job_id))


@perform.register
def _(action: actions.DeleteGuestSnapshot, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.delete_guest_snapshot(_guest_snapshot(world), job_id=job_id))


@perform.register
def _(action: actions.StartGuest, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.start(_guest(world), job_id=job_id))


@perform.register
def _(action: actions.DestroyGuest, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.destroy(_guest(world), expunge=action.expunge, job_id=job_id))


@perform.register
def _(action: actions.DeleteLeftover, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.delete_snapshot(action.snapshot_id, job_id=job_id))


@perform.register
def _(action: actions.DeleteSnapshot, world: World, writer: Writer, job_id: str) -> Performed:
    return Performed(writer.delete_snapshot(_snapshot(action.volume_id, world), job_id=job_id))


def _guest(world: World) -> str:
    if world.guest is None:
        raise LookupError("no guest in this world")
    return world.guest.id


def _appliance(world: World) -> str:
    if world.appliance is None:
        raise LookupError("no appliance in this world")
    return world.appliance.id


def _root(world: World) -> str:
    if world.run is None or world.run.default_root_id is None:
        raise LookupError("the default root is not known")
    return world.run.default_root_id


def _snapshot(volume_id: str, world: World) -> str:
    found = world.snapshot_of(world.run.point(volume_id) if world.run else None)
    if found is None:
        raise LookupError(f"no rollback point of {volume_id} in this world")
    return found.id


def _clone(volume_id: str, world: World) -> str:
    found = world.clone_of(volume_id)
    if found is None:
        raise LookupError(f"no clone of {volume_id} in this world")
    return found.id


def _guest_snapshot(world: World) -> str:
    if world.guest_snapshot is None:
        raise LookupError("no VM snapshot of the guest in this world")
    return world.guest_snapshot.id
