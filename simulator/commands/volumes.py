"""Volumes: create, attach, detach, delete, list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common
from simulator.model import GIB, Plain, Snapshot, Vm, Volume
from simulator.refusals import Refused, refuse
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user.volume."
MAX_DATA_DISKS = 32
CD_ROM = 3


# --- create, delete ---------------------------------------------------------------------------------------------------


@command(
    "createVolume",
    Param("name"),
    Param("zoneid", "Zone"),
    Param("diskofferingid", "DiskOffering"),
    Param("size", "long"),
    Param("snapshotid", "Snapshot", owned=True),
    java=JAVA + "CreateVolumeCmd",
    creates=True,
)
def create(cloud: Cloud, call: Call) -> dict[str, Any]:
    """From an offering: Allocated, without storage. From a snapshot: Ready, with its content (CS-VOL-04, 05)."""
    snapshot: Snapshot | None = call["snapshotid"]
    offering: Plain | None = call["diskofferingid"]
    if snapshot is None and offering is None:
        raise refuse("CS-VOL-01")
    if "customid" in call.raw and not call.account.is_root:
        raise refuse("CS-DEP-14")
    volume = _from_snapshot(cloud, call, snapshot) if snapshot is not None else _from_offering(cloud, call, offering)
    cloud.volumes[volume.id] = volume

    def finish() -> dict[str, Any]:
        if snapshot is not None:
            volume.state, volume.content = "Ready", snapshot.content
            volume.pool, volume.path = common.a_pool(cloud), volume.id
        return {"volume": views.volume(cloud, volume, call.account, job=common.own_job(cloud, volume.id))}

    return cloud.submit(call, finish, instance=("Volume", volume.id), entity=volume.id)


def _from_offering(cloud: Cloud, call: Call, offering: Plain | None) -> Volume:
    fields = offering.fields if offering is not None else {}
    size = call["size"]
    if fields.get("iscustomized"):
        if size is None:
            raise refuse("CS-VOL-02")
        if size <= 0:
            raise refuse("CS-VOL-02c")
    elif size is not None:
        raise refuse("CS-VOL-02b")
    zone = call["zoneid"]
    if zone is None:
        raise Refused(431, "Unable to find zone by id null")
    made = _new(cloud, call, zone.id)
    made.size = (size or int(fields.get("disksize", 1))) * GIB
    made.offering = offering.id if offering is not None else None
    return made


def _from_snapshot(cloud: Cloud, call: Call, snapshot: Snapshot) -> Volume:
    source = cloud.volumes[snapshot.volume]
    if call.has("diskofferingid") and source.kind != "ROOT":
        raise refuse("CS-VOL-02d")
    if snapshot.state != "BackedUp":
        raise refuse("CS-VOL-03", id=snapshot.n)
    made = _new(cloud, call, source.zone)
    made.size, made.snapshot, made.state = source.size, snapshot.id, "Creating"
    made.offering, made.template = source.offering, source.template
    return made


def _new(cloud: Cloud, call: Call, zone: str) -> Volume:
    made = Volume(call.raw.get("customid") or cloud.new_id(), cloud.number("Volume"), call.account.name, cloud.clock.now())
    made.name, made.zone = call["name"] or made.id, zone
    return made


@command("deleteVolume", Param("id", "Volume", required=True, owned=True))
def delete(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Delete a volume at once."""
    volume: Volume = call["id"]
    _check_deletable(cloud, volume)
    if not call.account.is_root and not cloud.settings["allow.user.expunge.recover.volume"]:
        text = "Expunging a volume can only be done by an Admin. Or when the allow.user.expunge.recover.volume key is set."
        raise Refused(531, text, 4365)
    volume.removed, volume.state = True, "Expunged"
    return {"success": True}


def _check_deletable(cloud: Cloud, volume: Volume) -> None:
    if volume.state == "Attaching":
        raise refuse("CS-DEL-06")
    if any(
        s.volume == volume.id and s.state in ("Allocated", "Creating", "BackingUp") and not s.removed
        for s in cloud.snapshots.values()
    ):
        raise refuse("CS-DEL-02")
    if volume.vm is not None:
        raise refuse("CS-DEL-01")
    if volume.protected:
        raise refuse("CS-DEL-03", id=volume.id, name=volume.name)


# --- attach -----------------------------------------------------------------------------------------------------------


@command(
    "attachVolume",
    Param("id", "Volume", required=True, owned=True),
    Param("virtualmachineid", "VirtualMachine", required=True, owned=True),
    Param("deviceid", "long"),
    java=JAVA + "AttachVolumeCmd",
    asynchronous=True,
)
def attach(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Hang a volume on a VM. Checks come in the server's order, all in the job; device 0 is the only thing that makes a root."""
    volume: Volume = call["id"]
    vm: Vm = call["virtualmachineid"]
    device: int | None = call["deviceid"]

    def begin() -> None:
        if volume.vm is not None or volume.state == "Attaching":
            raise refuse("CS-ATT-19")
        if volume.state not in ("Allocated", "Ready"):
            raise refuse("CS-ATT-22", volume=_told(volume), value=volume.state)
        volume.device = _device(cloud, vm, device)
        if volume.state == "Ready":
            volume.state = "Attaching"

    def finish() -> dict[str, Any]:
        volume.state = "Ready" if volume.state == "Attaching" else volume.state
        _hang(cloud, volume, vm)
        return {"volume": views.volume(cloud, volume, call.account, job=common.own_job(cloud, volume.id))}

    return cloud.submit(
        call,
        finish,
        check=lambda: _check_attach(cloud, volume, vm, device),
        begin=begin,
        queue=vm.id,
        instance=("Volume", volume.id),
    )


def _check_attach(cloud: Cloud, volume: Volume, vm: Vm, device: int | None) -> None:
    if volume.kind not in ("ROOT", "DATADISK"):
        raise refuse("CS-ATT-00")
    if volume.vm is not None:
        raise refuse("CS-ATT-01")
    if volume.state == "Destroy":
        raise refuse("CS-ATT-02")
    if volume.state == "Attaching":
        raise refuse("CS-ATT-22", volume=_told(volume), value="Attaching")
    if volume.state not in ("Allocated", "Ready", "Uploaded"):
        raise refuse("CS-ATT-03")
    if vm.state not in ("Running", "Stopped"):
        raise refuse("CS-ATT-04")
    if vm.zone != volume.zone:
        raise refuse("CS-ATT-05")
    _check_device(cloud, volume, vm, device)
    if cloud.snapshot_rows(vm):
        raise refuse("CS-ATT-10", cloud.wording, instance=vm.instance, id=vm.id)
    if vm.backups:
        raise refuse("CS-ATT-11")


def _check_device(cloud: Cloud, volume: Volume, vm: Vm, device: int | None) -> None:
    disks = cloud.attached(vm)
    if device == 0:
        if vm.state != "Stopped":
            raise refuse("CS-ATT-06")
        if _managed(cloud, volume):
            raise refuse("CS-ATT-07")
        if any(d.device == 0 for d in disks):
            raise refuse("CS-ATT-08")
    elif sum(d.device != 0 for d in disks) >= MAX_DATA_DISKS:
        raise refuse("CS-ATT-09", n=MAX_DATA_DISKS)
    pool = cloud.plain.get("StoragePool", {}).get(volume.pool or "")
    if pool is not None and pool.fields.get("hypervisor", "KVM") != "KVM":
        raise refuse("CS-ATT-12", value=pool.fields["hypervisor"])


def _device(cloud: Cloud, vm: Vm, wanted: int | None) -> int:
    """CS-ATT-13, 14, 16: the device asked for, or the lowest free one of 1, 2, 4, 5 ...; never 0 by itself."""
    highest = MAX_DATA_DISKS + 1
    legal = [n for n in range(highest + 1) if n != CD_ROM]
    taken = {d.device: d for d in cloud.attached(vm)}
    if wanted is None:
        return next(n for n in legal if n > 0 and n not in taken)
    if wanted not in legal:
        raise refuse("CS-ATT-13", n=highest)
    if wanted in taken:
        raise refuse("CS-ATT-14", n=wanted, volume=_told(taken[wanted]), vm=_told_vm(vm))
    return wanted


def _hang(cloud: Cloud, volume: Volume, vm: Vm) -> None:
    volume.vm, volume.attached = vm.id, cloud.clock.now()
    volume.kind = "ROOT" if volume.device == 0 else "DATADISK"
    made = [d for d in cloud.attached(vm) if d.state == "Ready" and d.id != volume.id]
    if volume.state == "Allocated" and made:  # CS-ATT-17
        volume.state, volume.pool, volume.path = "Ready", made[0].pool, volume.id


def _managed(cloud: Cloud, volume: Volume) -> bool:
    pool = cloud.plain.get("StoragePool", {}).get(volume.pool or "")
    return bool(pool is not None and pool.fields.get("managed"))


# --- detach -----------------------------------------------------------------------------------------------------------


@command(
    "detachVolume",
    Param("id", "Volume"),
    Param("virtualmachineid", "VirtualMachine"),
    Param("deviceid", "long"),
    java=JAVA + "DetachVolumeCmd",
    asynchronous=True,
)
def detach(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Take a volume off. Once queued nothing is looked at again: a late one clears a newer attachment (CS-JOB-16)."""
    volume: Volume | None = call["id"]
    host = cloud.vms.get(volume.vm) if volume is not None and volume.vm else call["virtualmachineid"]

    def finish() -> dict[str, Any]:
        if volume is None:
            raise refuse("CS-DET-08")
        common.detach(volume)
        return {"volume": views.volume(cloud, volume, call.account, job=common.own_job(cloud, volume.id))}

    return cloud.submit(
        call,
        finish,
        check=lambda: _check_detach(cloud, call, volume),
        queue=host.id if host is not None else None,
        instance=("Volume", volume.id) if volume is not None else ("None", None),
    )


def _check_detach(cloud: Cloud, call: Call, volume: Volume | None) -> None:
    pair = call.has("virtualmachineid") and call.has("deviceid")
    if (volume is None) != pair or (volume is not None and (call.has("virtualmachineid") or call.has("deviceid"))):
        raise refuse("CS-DET-01")
    if volume is None:
        on = any(d.device == call["deviceid"] for d in cloud.attached(call["virtualmachineid"]))
        raise refuse("CS-DET-08" if on else "CS-DET-08b")
    if not call.account.is_root and volume.account != call.account.name:
        raise refuse("CS-DET-12")
    if volume.vm is None:
        raise refuse("CS-DET-02")
    vm = cloud.vms[volume.vm]
    if vm.state not in ("Running", "Stopped", "Destroyed"):
        raise refuse("CS-DET-03")
    if volume.kind == "ROOT" and vm.state != "Stopped":
        raise refuse("CS-DET-04")
    if volume.kind == "ROOT" and _managed(cloud, volume):
        raise refuse("CS-DET-05")
    if cloud.snapshot_rows(vm):
        raise refuse("CS-DET-06", cloud.wording)
    if vm.backups:
        raise refuse("CS-DET-07")


# --- list -------------------------------------------------------------------------------------------------------------


@command(
    "listVolumes",
    Param("id", "Volume"),
    Param("ids", "list"),
    Param("virtualmachineid", "VirtualMachine"),
    Param("name"),
    Param("type"),
    Param("state"),
    Param("keyword"),
    Param("zoneid", "Zone"),
    roles=READERS,
)
def list_volumes(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Volumes the caller may see, in every state but Expunged (CS-LST-01)."""
    rows = common.chosen(cloud, call, cloud.volumes.values(), "Volume")
    if call.has("virtualmachineid"):
        rows = [v for v in rows if v.vm == call["virtualmachineid"].id]
    if call.has("name"):
        rows = [v for v in rows if v.name == call["name"]]
    if call.has("type"):
        rows = [v for v in rows if call["type"].lower() in v.kind.lower()]
    if call.has("state"):
        rows = [v for v in rows if v.state.lower() == call["state"].lower()]
    if call.has("keyword"):
        rows = [v for v in rows if call["keyword"].lower() in f"{v.name} {v.kind} {v.state}".lower()]
    return page(call, "volume", common.Views(rows, lambda v: views.volume(cloud, v, call.account)))


def _told(volume: Volume) -> str:
    return f'Volume {{"id":{volume.n},"name":"{volume.name}","uuid":"{volume.id}","volumeType":"{volume.kind}"}}'


def _told_vm(vm: Vm) -> str:
    return f'VM instance {{"id":{vm.n},"instanceName":"{vm.instance}","state":"{vm.state}","type":"User","uuid":"{vm.id}"}}'
