"""Volumes: create, attach, detach, delete, destroy, recover, list. Their size, name and pool: `volume_changes`."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common
from simulator.model import GIB, Account, Plain, Snapshot, Vm, Volume
from simulator.refusals import Refused, refuse
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user.volume."
CD_ROM = 3
EXPUNGING = "Expunging a volume can only be done by an Admin. Or when the allow.user.expunge.recover.volume key is set."
RECOVERING = EXPUNGING.replace("Expunging", "Recovering")


def shown(cloud: Cloud, volume: Volume, call: Call) -> dict[str, Any]:
    """A volume as the result of a job that works on it."""
    return {"volume": views.volume(cloud, volume, call.account, job=common.own_job(cloud, volume.id))}


# --- create -----------------------------------------------------------------------------------------------------------


@command(
    "createVolume",
    Param("name", field="volumeName"),
    Param("zoneid", "Zone"),
    Param("diskofferingid", "DiskOffering"),
    Param("size", "long"),
    Param("snapshotid", "Snapshot", owned=True, removed=True),
    Param("storageid", "StoragePool", since="4.22.1", privileged=True),
    Param("miniops", "long"),
    Param("maxiops", "long"),
    Param("customid"),
    Param("virtualmachineid", "VirtualMachine", owned=True),
    *common.FOR,
    java=JAVA + "CreateVolumeCmd",
    creates=True,
    by_admin=True,
)
def create(cloud: Cloud, call: Call) -> dict[str, Any]:
    """From an offering: Allocated, without storage. From a snapshot: Ready, with its content (CS-VOL-04, 05)."""
    snapshot: Snapshot | None = call["snapshotid"]
    offering: Plain | None = call["diskofferingid"]
    owner = common.acting_for(cloud, call)
    if "customid" in call.raw and not call.account.is_root:
        raise refuse("CS-DEP-14")
    if "customid" in call.raw and call.raw["customid"] in cloud.volumes:
        raise refuse("CS-DEP-14b", id=call.raw["customid"])
    if snapshot is None and offering is None:
        raise refuse("CS-VOL-01")
    if snapshot is not None:
        volume = _from_snapshot(cloud, call, owner, snapshot)
    else:
        volume = _from_offering(cloud, call, owner, offering)
    cloud.volumes[volume.id] = volume
    pool: Plain | None = call["storageid"]

    def finish() -> dict[str, Any]:
        if snapshot is not None or pool is not None:
            common.place(cloud, volume, pool.id if pool else None)
        result = shown(cloud, volume, call)
        result["volume"]["snapshotid"] = volume.snapshot  # nowhere else is it told
        return result

    return cloud.submit(call, finish, instance=("Volume", volume.id), entity=volume.id)


def _from_offering(cloud: Cloud, call: Call, owner: Account, offering: Plain | None) -> Volume:
    fields = offering.fields if offering is not None else {}
    size = _asked_size(cloud, call, bool(fields.get("iscustomized")))
    zone: Plain | None = call["zoneid"]
    if zone is None:
        raise Refused(431, "Unable to find zone by id null")
    if common.zone_is_disabled(cloud, call, zone.id):
        raise refuse("CS-VOL-10", n=zone.n, name=zone.name, id=zone.id)
    amount = (size or int(fields.get("disksize") or 1)) * GIB
    common.check_limits(cloud, owner, {"volume": 1, "primary_storage": amount})
    made = _new(cloud, call, owner, zone.id)
    made.size, made.offering = amount, offering.id if offering is not None else None
    return made


def _asked_size(cloud: Cloud, call: Call, custom: bool) -> int | None:
    """CS-VOL-02: a size for custom offerings, in range, and none for fixed ones."""
    size: int | None = call["size"]
    if not custom:
        if size is not None:
            raise refuse("CS-VOL-02b")
        return None
    if size is None:
        raise refuse("CS-VOL-02")
    if size <= 0:
        raise refuse("CS-VOL-02c")
    low, high = cloud.in_force["custom.diskoffering.size.min"], cloud.settings["custom.diskoffering.size.max"]
    if not int(low) <= size <= int(high):
        raise Refused(431, f"Volume size: {size} GB is out of allowed range. Min: {low}. Max: {high}")
    return size


def _from_snapshot(cloud: Cloud, call: Call, owner: Account, snapshot: Snapshot) -> Volume:
    source = cloud.volumes[snapshot.volume]
    if snapshot.removed:
        raise Refused(431, f"unable to find a snapshot with id {snapshot.n}")
    if snapshot.state != "BackedUp":
        raise refuse("CS-VOL-03", id=snapshot.told() if common.release(cloud) >= (4, 20, 1) else f"id={snapshot.n}")
    if call.has("diskofferingid") and snapshot.of_kind != "ROOT":
        raise refuse("CS-VOL-02d")
    asked = (call["size"] or 0) * GIB
    if 0 < asked < snapshot.size:
        told = f"{call['size']}GB, snapshot size is: {snapshot.size // GIB}GB"
        raise Refused(431, f"Invalid size for volume creation: {told}")
    common.check_limits(cloud, owner, {"volume": 1, "primary_storage": max(asked, snapshot.size)})
    made = _new(cloud, call, owner, source.zone)
    made.size, made.snapshot, made.state, made.content = max(asked, snapshot.size), snapshot.id, "Creating", snapshot.content
    made.offering, made.template, made.format = source.offering, source.template, source.format
    return made


def _new(cloud: Cloud, call: Call, owner: Account, zone: str) -> Volume:
    made = Volume(call.raw.get("customid") or cloud.new_id(), cloud.number("Volume"), owner.name, cloud.now())
    made.name, made.zone = call["name"] or made.id, zone
    return made


# --- delete, destroy, recover -----------------------------------------------------------------------------------------


@command("deleteVolume", Param("id", "Volume", required=True, owned=True))
def delete(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Delete a volume at once."""
    volume: Volume = call["id"]
    check_deletable(cloud, volume)
    if not _may_expunge(cloud, call):
        raise Refused(531, EXPUNGING, 4365)
    volume.removed, volume.state = True, "Expunged"
    return {"success": True}


def _may_expunge(cloud: Cloud, call: Call) -> bool:
    return bool(call.account.is_root or cloud.in_force["allow.user.expunge.recover.volume"])


def check_deletable(cloud: Cloud, volume: Volume) -> None:
    """CS-DEL-01, 02, 03, 06: what forbids to delete or destroy a volume."""
    if volume.state == "Attaching":
        raise refuse("CS-DEL-06")
    if any(s.is_active for s in cloud.snapshots_of(volume)):
        raise refuse("CS-DEL-02")
    if volume.vm is not None:
        raise refuse("CS-DEL-01")
    if volume.protected:
        raise refuse("CS-DEL-03", id=volume.id, name=volume.name)


@command(
    "destroyVolume",
    Param("id", "Volume", required=True, owned=True),
    Param("expunge", "bool"),
    java=JAVA + "DestroyVolumeCmd",
    asynchronous=True,
    by_admin=True,
)
def destroy(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Put a volume away, or (with expunge) delete it."""
    volume: Volume = call["id"]

    def check() -> None:
        if call["expunge"] and not _may_expunge(cloud, call):
            raise Refused(530, EXPUNGING)
        check_deletable(cloud, volume)
        if not call["expunge"] and volume.state in ("Allocated", "Uploaded"):
            raise refuse("CS-DEL-05")

    def finish() -> dict[str, Any]:
        volume.state, volume.destroyed = "Expunged" if call["expunge"] else "Destroy", cloud.now()
        volume.removed = bool(call["expunge"])
        return shown(cloud, volume, call)

    return cloud.submit(call, finish, check=check, instance=("Volume", volume.id))


@command("recoverVolume", Param("id", "Volume", required=True, owned=True))
def recover(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Bring a volume back that was put away; the answer shows all of it, to everybody."""
    volume: Volume = call["id"]
    if not _may_expunge(cloud, call):
        raise Refused(531, RECOVERING, 4365)
    if volume.state != "Destroy":
        raise Refused(431, "Please specify a volume in Destroy state.")
    try:
        common.check_limits(cloud, cloud.accounts[volume.account], {"volume": 1, "primary_storage": volume.size})
    except Refused as fault:
        raise Refused(431, fault.text) from None
    volume.state, volume.kind = "Ready", "DATADISK"
    return {"volume": views.volume(cloud, volume, call.account, whole=True)}


# --- attach -----------------------------------------------------------------------------------------------------------


@command(
    "attachVolume",
    Param("deviceid", "long"),
    Param("id", "Volume", required=True, owned=True),
    Param("virtualmachineid", "VirtualMachine", required=True, owned=True),
    java=JAVA + "AttachVolumeCmd",
    asynchronous=True,
    by_admin=True,
)
def attach(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Hang a volume on a VM. Checks come in the server's order, all in the job; device 0 is the only thing that makes a root."""
    volume: Volume = call["id"]
    vm: Vm = call["virtualmachineid"]
    device: int | None = call["deviceid"]

    def begin() -> None:
        _take_turn(cloud, volume, vm, device)

    def finish() -> dict[str, Any]:
        place = _ready_to_hang(cloud, volume, vm, device)
        cloud.hang(volume, vm, place)
        volume.attached, volume.counted = cloud.now(), True
        return shown(cloud, volume, call)

    return cloud.submit(
        call,
        finish,
        check=lambda: _check_attach(cloud, volume, vm, device),
        begin=begin,
        host="attach",
        queue=vm.id,
        instance=("Volume", volume.id),
    )


def _check_attach(cloud: Cloud, volume: Volume, vm: Vm, device: int | None) -> None:
    _check_volume(volume)
    if vm.state not in ("Running", "Stopped"):
        raise refuse("CS-ATT-04")
    if vm.zone != volume.zone:
        raise refuse("CS-ATT-05")
    _check_device(cloud, volume, vm, device)
    if cloud.snapshot_rows(vm):
        raise refuse("CS-ATT-10", cloud.wording, instance=vm.instance, id=vm.id)
    if vm.backups:
        raise refuse("CS-ATT-11")
    if vm.account != volume.account:
        raise refuse("CS-ATT-21", vm=vm.told(), volume=_object(cloud, volume))
    label = _label(cloud, volume) or vm.hypervisor
    if label not in (vm.hypervisor, "None"):
        raise refuse("CS-ATT-12", value=label, mine=vm.hypervisor)


def _label(cloud: Cloud, volume: Volume) -> str | None:
    """The hypervisor that a volume was made by: its pool's where that is zone-wide, else the cluster's."""
    pool = common.pool_of(cloud, volume)
    if pool is None or pool.fields.get("managed"):
        return None
    if pool.fields.get("scope") == "ZONE":
        return str(pool.fields.get("hypervisor", cloud.hypervisor))
    cluster = cloud.plain.get("Cluster", {}).get(pool.fields.get("clusterid", ""))
    return str(cluster.fields.get("hypervisortype", cloud.hypervisor)) if cluster else None


def _check_volume(volume: Volume) -> None:
    if volume.kind not in ("ROOT", "DATADISK"):
        raise refuse("CS-ATT-00")
    if volume.vm is not None:
        raise refuse("CS-ATT-01")
    if volume.state == "Destroy":
        raise refuse("CS-ATT-02")
    if volume.state not in ("Allocated", "Ready", "Uploaded", "Attaching", "Creating"):
        raise refuse("CS-ATT-03")


def _check_device(cloud: Cloud, volume: Volume, vm: Vm, device: int | None) -> None:
    disks = cloud.attached(vm)
    if device != 0:
        if sum(d.device != 0 for d in disks) >= cloud.max_data_disks:
            raise refuse("CS-ATT-09", n=cloud.max_data_disks)
        return
    if vm.state != "Stopped":
        raise refuse("CS-ATT-06")
    if common.is_managed(cloud, volume):
        raise refuse("CS-ATT-07")
    if any(d.device == 0 for d in disks):
        raise refuse("CS-ATT-08")


def _take_turn(cloud: Cloud, volume: Volume, vm: Vm, device: int | None) -> None:
    """The VM's queue has come to this attach: CS-ATT-19, 22, then the disk is made where there is a place for it."""
    if volume.vm is not None:
        raise refuse("CS-ATT-19")
    if volume.state not in ("Allocated", "Ready"):
        raise refuse("CS-ATT-22", volume=_object(cloud, volume), value=volume.state)
    place = _place_beside(cloud, vm)
    if volume.state == "Allocated" and place is not None:  # CS-ATT-17
        if volume.pool is not None:
            told = json.dumps({"name": volume.name, "uuid": volume.id}, separators=(",", ":"))
            raise Refused(530, f"Unable to find suitable primary storage when creating volume [{told}].")
        volume.state, volume.pool = "Creating", place
    elif volume.state == "Ready":
        _device(cloud, vm, device)
        volume.state = "Attaching"


def _place_beside(cloud: Cloud, vm: Vm) -> str | None:
    """The pool of the VM's first disk that exists; else one near its last host; else one that serves the whole zone."""
    made = next((d.pool for d in cloud.attached(vm) if d.state == "Ready" and d.pool is not None), None)
    near = common.a_pool(cloud) if vm.last_host is not None else None
    return made or near or next((p.id for p in common.pools(cloud) if p.fields.get("scope") == "ZONE"), None)


def _ready_to_hang(cloud: Cloud, volume: Volume, vm: Vm, device: int | None) -> int:
    """The disk is there; now the device, and the host of a VM that runs (CS-ATT-20)."""
    if volume.state == "Creating":
        common.place(cloud, volume)
    volume.state = "Ready" if volume.state == "Attaching" else volume.state
    place = _device(cloud, vm, device)
    if vm.state == "Running" and cloud.faults.host_fails("attach"):
        raise refuse("CS-ATT-20", volume=volume.name, vm=vm.name)
    return place


def _device(cloud: Cloud, vm: Vm, wanted: int | None) -> int:
    """CS-ATT-13, 14, 16: the device asked for, or the lowest free one of 1, 2, 4, 5 ...; never 0 by itself."""
    highest = max(cloud.max_data_disks + 1, 2)
    legal = [n for n in range(highest + 1) if n != CD_ROM]
    taken = {d.device: d for d in cloud.attached(vm)}
    if wanted is None:
        free = next((n for n in legal if n > 0 and n not in taken), None)
        if free is None:
            raise Refused(530, f"All device Ids are used by vm {vm.told()}")
        return free
    if wanted not in legal:
        raise refuse("CS-ATT-13", n=highest)
    if wanted in taken:
        raise refuse("CS-ATT-14", n=wanted, volume=taken[wanted].told(), vm=vm.told())
    return wanted


def _object(cloud: Cloud, volume: Volume) -> str:
    """A volume with its pool, as texts of the server name it."""
    pool = common.pool_of(cloud, volume)
    kind = pool.fields.get("type", "NetworkFilesystem") if pool else ""
    store = f'StoragePool {{"id":{pool.n},"name":"{pool.name}","poolType":"{kind}","uuid":"{pool.id}"}}' if pool else None
    return "VolumeObject " + json.dumps({"dataStore": store, "volumeVO": volume.told()}, separators=(",", ":"))


# --- detach -----------------------------------------------------------------------------------------------------------


@command(
    "detachVolume",
    Param("deviceid", "long"),
    Param("id", "Volume"),
    Param("virtualmachineid", "VirtualMachine"),
    java=JAVA + "DetachVolumeCmd",
    asynchronous=True,
    by_admin=True,
)
def detach(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Take a volume off. Once queued nothing is looked at again: a late one clears a newer attachment (CS-JOB-16)."""
    volume: Volume | None = call["id"]
    host = cloud.vms.get(volume.vm) if volume is not None and volume.vm else call["virtualmachineid"]

    def finish() -> dict[str, Any]:
        if volume is None:
            raise refuse("CS-DET-08")
        if host is not None and host.state == "Running" and cloud.faults.host_fails("detach"):
            raise refuse("CS-DET-09", volume=volume.name, vm=host.name)
        cloud.take_off(volume)
        return shown(cloud, volume, call)

    return cloud.submit(
        call,
        finish,
        check=lambda: _check_detach(cloud, call, volume),
        host="detach",
        queue=host.id if host is not None else None,
        instance=("Volume", volume.id) if volume is not None else (None, None),
    )


def _check_detach(cloud: Cloud, call: Call, volume: Volume | None) -> None:
    pair = call.has("virtualmachineid") and call.has("deviceid")
    if (volume is None) != pair or (volume is not None and (call.has("virtualmachineid") or call.has("deviceid"))):
        raise refuse("CS-DET-01")
    if volume is None:
        on = any(d.device == call["deviceid"] for d in cloud.attached(call["virtualmachineid"]))
        raise refuse("CS-DET-08" if on else "CS-DET-08b")
    if not cloud.may_act_on(call.account, volume):
        raise refuse("CS-DET-12")
    vm = cloud.vms.get(volume.vm or "")
    if vm is None:
        raise refuse("CS-DET-02")
    if vm.state not in ("Running", "Stopped", "Destroyed"):
        raise refuse("CS-DET-03")
    if volume.kind == "ROOT" and vm.state != "Stopped":
        raise refuse("CS-DET-04")
    if volume.kind == "ROOT" and common.is_managed(cloud, volume):
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
    Param("zoneid", "Zone"),
    Param("diskofferingid", "DiskOffering"),
    Param("storageid", "StoragePool", privileged=True),
    roles=READERS,
)
def list_volumes(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Volumes the caller may see, in every state but Expunged (CS-LST-01)."""
    rows = found(cloud, call)
    return page(call, "volume", common.Views(rows, lambda v: views.volume(cloud, v, call.account)))


def found(cloud: Cloud, call: Call) -> list[Volume]:
    """The volumes that the filters let through, in the order in which pages take them."""
    rows = common.in_state(call, common.chosen(cloud, call, cloud.volumes.values(), "Volume"))
    rows = common.by_keyword(call, rows, lambda v: f"{v.name} {v.kind} {v.state}")
    return _paged(call, [v for v in rows if _matches(call, v)])


def _matches(call: Call, volume: Volume) -> bool:
    on, kind, name = call["virtualmachineid"], call["type"], call["name"]
    offered, pool = call["diskofferingid"], call["storageid"]
    return (
        (on is None or volume.vm == on.id)
        and (kind is None or kind.lower() in volume.kind.lower())
        and (name is None or volume.name == name)
        and (offered is None or volume.offering == offered.id)
        and (pool is None or volume.pool == pool.id)
    )


def _paged(call: Call, rows: list[Volume]) -> list[Volume]:
    """CS-WIR-22: newest first by the second of creation; within one second every page has an order of its own."""
    number, size = call["page"], call["pagesize"]
    if number is None or size is None or size < 1:
        return rows
    ordered = sorted(rows, key=_second, reverse=True)
    first = min((max(1, number) - 1) * size, len(ordered))
    last = min(first + size, len(ordered))
    if first == last:
        return ordered
    while first > 0 and _second(ordered[first - 1]) == _second(ordered[first]):
        first -= 1
    while last < len(ordered) and _second(ordered[last]) == _second(ordered[last - 1]):
        last += 1

    def place(volume: Volume) -> tuple[float, bytes]:
        return -_second(volume), sha256(f"{volume.id}/{number}/{size}".encode()).digest()

    return [*ordered[:first], *sorted(ordered[first:last], key=place), *ordered[last:]]


def _second(volume: Volume) -> float:
    return volume.created.timestamp() // 1
