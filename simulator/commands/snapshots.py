"""Volume snapshots: create, revert, delete, list. They copy, restore and forget content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common
from simulator.model import Snapshot, Volume
from simulator.refusals import Refused, refuse
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user.snapshot."


@command(
    "createSnapshot",
    Param("volumeid", "Volume", required=True, owned=True),
    Param("name"),
    java=JAVA + "CreateSnapshotCmd",
    creates=True,
)
def create(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Snapshot a volume: its content at this moment, usable once BackedUp."""
    volume: Volume = call["volumeid"]
    _check_create(cloud, volume)
    snapshot = _allocated(cloud, call, volume)

    def begin() -> None:
        volume.state, snapshot.state, snapshot.content = "Snapshotting", "Creating", volume.content

    def finish() -> dict[str, Any]:
        volume.state, snapshot.state = "Ready", "BackedUp"
        return {"snapshot": views.snapshot(cloud, snapshot, job_result=True)}

    queue = volume.vm
    return cloud.submit(call, finish, begin=begin, queue=queue, instance=("Snapshot", snapshot.id), entity=snapshot.id)


def _check_create(cloud: Cloud, volume: Volume) -> None:
    if volume.state != "Ready":
        told = f'Volume {{"id":{volume.n},"instanceId":null,"name":"{volume.name}","uuid":"{volume.id}","volumeType":"{volume.kind}"}}'
        raise refuse("CS-SNP-02", volume=told, value=volume.state)
    vm = cloud.vms.get(volume.vm or "")
    if vm is not None and vm.state not in ("Stopped", "Destroyed") and not cloud.in_force["kvm.snapshot.enabled"]:
        raise refuse("CS-SNP-01")


def _allocated(cloud: Cloud, call: Call, volume: Volume) -> Snapshot:
    made = Snapshot(cloud.new_id(), cloud.number("Snapshot"), call.account.name, cloud.clock.now(), volume=volume.id)
    host = cloud.vms.get(volume.vm or "")
    default = f"{host.name if host else 'detached'}_{volume.name}_{cloud.clock.now():%Y%m%d%H%M%S}"
    made.name, made.size = call["name"] or default, volume.size
    made.tags = {t["key"][:255]: t["value"][:255] for t in call.mapped("tags") if "key" in t and "value" in t}
    cloud.snapshots[made.id] = made
    return made


@command(
    "revertSnapshot", Param("id", "Snapshot", required=True, owned=True), java=JAVA + "RevertSnapshotCmd", asynchronous=True
)
def revert(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Put a volume's content back to the snapshot; id, path and attachment stay (CS-SNP-09)."""
    snapshot: Snapshot = call["id"]
    volume = cloud.volumes[snapshot.volume]

    def check() -> None:
        if volume.removed:
            raise Refused(530, 'Cannot invoke "com.cloud.storage.VolumeVO.getState()" because "volume" is null')
        if volume.state != "Ready":
            raise refuse("CS-SNP-09")
        vm = cloud.vms.get(volume.vm or "")
        if vm is not None and vm.state not in ("Stopped", "Shutdown"):
            raise refuse("CS-SNP-06", cloud.wording)
        if snapshot.state != "BackedUp":
            raise refuse("CS-SNP-10", snapshot=_told(snapshot))

    def begin() -> None:
        volume.state = "RevertSnapshotting"

    def finish() -> dict[str, Any]:
        volume.state, volume.content = "Ready", snapshot.content
        return {"snapshot": views.snapshot(cloud, snapshot, job_result=True)}

    return cloud.submit(call, finish, check=check, begin=begin, instance=("Snapshot", snapshot.id))


@command(
    "deleteSnapshot", Param("id", "Snapshot", required=True, owned=True), java=JAVA + "DeleteSnapshotCmd", asynchronous=True
)
def delete(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Delete a snapshot; it disappears from lists."""
    snapshot: Snapshot = call["id"]

    def check() -> None:
        if snapshot.state == "Destroyed":
            raise refuse("CS-SNP-11", snapshot=_told(snapshot))
        if snapshot.state in ("Allocated", "Creating", "BackingUp"):
            raise refuse("CS-SNP-12", snapshot=_told(snapshot))

    def finish() -> dict[str, Any]:
        snapshot.state = "Destroyed"
        return {"success": True}

    return cloud.submit(call, finish, check=check, instance=("Snapshot", snapshot.id))


@command(
    "listSnapshots",
    Param("id", "Snapshot"),
    Param("ids", "list"),
    Param("volumeid", "Volume"),
    Param("name"),
    Param("keyword"),
    Param("zoneid", "Zone"),
    roles=READERS,
)
def list_snapshots(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Snapshots the caller may see; never the members of VM snapshots, never destroyed ones."""
    shown = (s for s in cloud.snapshots.values() if s.state != "Destroyed" and s.kind != "GROUP")
    rows = common.chosen(cloud, call, shown, "Snapshot")
    if call.has("volumeid"):
        rows = [s for s in rows if s.volume == call["volumeid"].id]
    if call.has("name"):
        rows = [s for s in rows if s.name == call["name"]]
    if call.has("keyword"):
        rows = [s for s in rows if call["keyword"].lower() in s.name.lower()]
    return page(call, "snapshot", common.Views(rows, lambda s: views.snapshot(cloud, s)))


def _told(snapshot: Snapshot) -> str:
    return f'Snapshot {{"id":{snapshot.n},"name":"{snapshot.name}","state":"{snapshot.state}","uuid":"{snapshot.id}"}}'
