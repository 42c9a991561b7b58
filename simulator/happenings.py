"""What the server writes down about what it was told to do: events, a trail that outlives jobs.

`cloud.Cloud` calls `scheduled` when it takes a job, `heard` when the job has its turn and when it has ended, and `at_once` for
commands without a job. `commands.events` lists what was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.model import Entity, Event, Job
from simulator.wire import Call

if TYPE_CHECKING:
    from simulator.cloud import Cloud


@dataclass(frozen=True, slots=True)
class Told:
    """The words for one command: its kind of event, which parameter names the object, what is said before and while it is done.

    `{id}` is the object, other names are parameters of the call.
    """

    kind: str
    of: str
    scheduled: str = ""
    doing: str = ""


TOLD: Mapping[str, Told] = {
    "deployVirtualMachine": Told("VM.CREATE", "entity", "deploying Vm. Vm Id: {id}", "deploying Vm. Instance Id: {id}"),
    "startVirtualMachine": Told("VM.START", "id", "Starting User Instance: {id}", "starting Vm. Vm Id: {id}"),
    "stopVirtualMachine": Told("VM.STOP", "id", "Stopping User Instance: {id}", "stopping Vm. Vm Id: {id}"),
    "rebootVirtualMachine": Told("VM.REBOOT", "id", "Rebooting User Instance: {id}", "rebooting Vm. Vm Id: {id}"),
    "destroyVirtualMachine": Told("VM.DESTROY", "id", "destroying Instance: {id}", "destroying Vm. Vm Id: {id}"),
    "expungeVirtualMachine": Told("VM.EXPUNGE", "id", "Expunging Instance: {id}", "expunging Vm. Vm Id: {id}"),
    "recoverVirtualMachine": Told("VM.RECOVER", "id", "", "recovering Vm. Vm Id: {id}"),
    "updateVirtualMachine": Told("VM.UPDATE", "id", "", "updating Vm. Instance Id: {id}"),
    "scaleVirtualMachine": Told(
        "VM.UPGRADE", "id", "Upgrading Instance: {id} to service offering: {serviceofferingid}", "scaling Vm. Vm Id: {id}"
    ),
    "addNicToVirtualMachine": Told(
        "NIC.CREATE", "virtualmachineid", "Adding Network {networkid} to User Instance: {id}", "Creating Nic. Vm Id: {id}"
    ),
    "removeNicFromVirtualMachine": Told(
        "NIC.DELETE", "virtualmachineid", "Removing NIC {nicid} from User Instance: {id}", "Removing Nic. Vm Id: {id}"
    ),
    "updateDefaultNicForVirtualMachine": Told(
        "NIC.UPDATE", "virtualmachineid", "Updating NIC {nicid} on User Instance: {id}", "Creating Nic. Vm Id: {id}"
    ),
    "createVolume": Told("VOLUME.CREATE", "entity", "Creating volume: {id}", "creating volume. Volume Id: {id}"),
    "attachVolume": Told(
        "VOLUME.ATTACH",
        "id",
        "Attaching volume: {id} to Instance: {virtualmachineid}",
        "attaching volume. Volume Id: {id} Instance Id: {virtualmachineid}",
    ),
    "detachVolume": Told(
        "VOLUME.DETACH", "id", "Detaching volume: {id} from Instance: null", "detaching volume. Volume Id: {id}"
    ),
    "deleteVolume": Told("VOLUME.DELETE", "id", "", "deleting volume. Volume Id: {id}"),
    "destroyVolume": Told("VOLUME.DESTROY", "id", "Destroying volume: {id}", "destroying a volume. Volume Id: {id}"),
    "recoverVolume": Told("VOLUME.RECOVER", "id", "", "recovering a volume in Destroy state. Volume Id: {id}"),
    "resizeVolume": Told("VOLUME.RESIZE", "id", "Volume Id: {id} to size {size} GB", "resizing volume. Volume Id: {id}"),
    "migrateVolume": Told(
        "VOLUME.MIGRATE",
        "volumeid",
        "Attempting to migrate volume Id: {id} to storage pool Id: {storageid}",
        "migrating volume. Volume Id: {id}",
    ),
    "createSnapshot": Told(
        "SNAPSHOT.CREATE", "entity", "Creating Snapshot for volume: {volumeid}", "creating snapshot. Id: {id}"
    ),
    "revertSnapshot": Told("SNAPSHOT.REVERT", "id", "reverting Snapshot: {id}", "reverting snapshot. Id: {id}"),
    "deleteSnapshot": Told("SNAPSHOT.DELETE", "id", "Deleting Snapshot: {id}", "deleting snapshot. Id: {id}"),
    "createVMSnapshot": Told(
        "VMSNAPSHOT.CREATE", "virtualmachineid", "Creating Snapshot for Instance: {id}", "creating VM snapshot. Vm Id: {id}"
    ),
    "revertToVMSnapshot": Told(
        "VMSNAPSHOT.REVERTTO",
        "vmsnapshotid",
        "Revert from Instance Snapshot: {vmsnapshotid}",
        "revert to VM snapshot. vmsnapshot id: {vmsnapshotid}",
    ),
    "deleteVMSnapshot": Told(
        "VMSNAPSHOT.DELETE",
        "vmsnapshotid",
        "Delete Instance Snapshot: {vmsnapshotid}",
        "delete Instance Snapshots. vmsnapshot id: {vmsnapshotid}",
    ),
}


class _Words(dict[str, str]):
    """Parameters for a text; what was not given reads null."""

    def __missing__(self, key: str) -> str:
        return "null"


def scheduled(cloud: Cloud, call: Call, job: Job, entity: str | None) -> None:
    """A job was taken."""
    told = TOLD.get(call.command)
    if told is None:
        return
    found = _object(cloud, call, told, entity)
    words = _Words(call.raw, id=found.id if found else "null")
    job.event = _note(cloud, told, call.account.name, "Scheduled", told.scheduled.format_map(words), found)
    job.doing = told.doing.format_map(words)


def heard(cloud: Cloud, job: Job, ended: bool) -> None:
    """A job has its turn, or has ended."""
    first = job.event
    told = TOLD.get(job.command)
    if first is None or told is None or (not ended and job.command == "deployVirtualMachine"):
        return
    found = _row(cloud, first.entity)
    text = _ending(job.doing, job.status == 1) if ended else f"{job.doing[:1].upper()}{job.doing[1:]}"
    made = _note(cloud, told, job.account, "Completed" if ended else "Started", text, found, first.id)
    made.level = "ERROR" if ended and job.status == 2 else "INFO"


def at_once(cloud: Cloud, call: Call, done: bool) -> None:
    """A command without a job was done or refused."""
    told = TOLD.get(call.command)
    if told is None or told.scheduled:
        return
    found = _object(cloud, call, told, None)
    if found is not None:
        text = _ending(told.doing.format_map(_Words(call.raw, id=found.id)), done)
        made = _note(cloud, told, call.account.name, "Completed", text, found)
        made.level = "INFO" if done else "ERROR"


def _ending(doing: str, done: bool) -> str:
    return f"Successfully completed {doing}" if done else f"Error while {doing}"


def _note(
    cloud: Cloud, told: Told, user: str, state: str, text: str, found: Entity | None, parent: str | None = None
) -> Event:
    number = cloud.number("Event")
    owner = found.account if found is not None else user
    made = Event(cloud.new_id("event"), number, owner, cloud.now(), kind=told.kind, state=state, text=text, user=user)
    made.entity, made.parent = found.id if found is not None else None, parent
    cloud.events.append(made)
    return made


def _object(cloud: Cloud, call: Call, told: Told, entity: str | None) -> Entity | None:
    """The object that the event is about; for a VM snapshot its VM."""
    named = entity if told.of == "entity" else getattr(call.values.get(told.of), "id", None)
    row = cloud.vm_snapshots.get(named or "")
    return cloud.vms.get(row.vm) if row is not None else _row(cloud, named)


def _row(cloud: Cloud, entity: str | None) -> Entity | None:
    tables: tuple[Mapping[str, Entity], ...] = (cloud.vms, cloud.volumes, cloud.snapshots)
    return next((rows[entity] for rows in tables if entity in rows), None) if entity is not None else None
