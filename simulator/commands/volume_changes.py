"""What of a volume can be changed later: size, name, protection, pool, details."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.commands import common
from simulator.commands.volumes import JAVA, shown
from simulator.model import GIB, Account, Plain, Volume
from simulator.refusals import Refused, refuse
from simulator.registry import ADMIN, READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud


@command(
    "resizeVolume",
    Param("id", "Volume", required=True, owned=True),
    Param("size", "long"),
    Param("shrinkok", "bool"),
    Param("diskofferingid", "DiskOffering"),
    java=JAVA + "ResizeVolumeCmd",
    asynchronous=True,
    by_admin=True,
)
def resize(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Another size, in GiB. An allocated volume is only told; a stored one is resized by a host."""
    volume: Volume = call["id"]
    size = _asked(call, volume)

    def begin() -> None:
        if volume.state == "Ready" and size != volume.size:
            volume.state = "Resizing"

    def finish() -> dict[str, Any]:
        if volume.state == "Resizing":
            volume.state = "Ready"
            if cloud.faults.host_fails("resize") or (size < volume.size and cloud.hypervisor != "KVM"):
                raise refuse("CS-VOL-09b", id=volume.id)
        volume.size = size
        if call["diskofferingid"] is not None:
            volume.offering = call["diskofferingid"].id
        return shown(cloud, volume, call)

    return cloud.submit(
        call,
        finish,
        check=lambda: _check_resize(cloud, call, volume, size),
        begin=begin,
        host="resize",
        queue=volume.vm,
        instance=("Volume", volume.id),
    )


def _asked(call: Call, volume: Volume) -> int:
    """The new size in bytes: that of a fixed offering, or the one asked for, or the old one."""
    offering: Plain | None = call["diskofferingid"]
    fixed = 0 if offering is None or offering.fields.get("iscustomized") else int(offering.fields.get("disksize") or 0)
    size: int = fixed or (volume.size // GIB if call["size"] is None else call["size"])
    return size * GIB


def _check_resize(cloud: Cloud, call: Call, volume: Volume, size: int) -> None:
    if any(s.is_active for s in cloud.snapshots_of(volume)):
        raise refuse("CS-VOL-09c")
    if volume.state not in ("Ready", "Allocated"):
        raise refuse("CS-VOL-09d", id=volume.id, value=volume.state)
    _check_offering(cloud, call, volume)
    if size == volume.size:
        return
    _check_vm_snapshots(cloud, volume)
    if size < volume.size:
        _check_shrink(cloud, call, volume, size)
    else:
        common.check_limits(cloud, cloud.accounts[volume.account], {"primary_storage": size - volume.size})


def _check_offering(cloud: Cloud, call: Call, volume: Volume) -> None:
    """What the offerings say to another size; every word of it is an unsupported action."""
    before, after = cloud.plain.get("DiskOffering", {}).get(volume.offering or ""), call["diskofferingid"]
    if after is None and call["size"] is not None and before is not None:
        if before.fields.get("disksizestrictness"):
            told = "is not allowed, since disk size is strictly fixed as per the disk offering"
            raise Refused(432, f"Resize of volume {volume.id} {told}")
        if before.fields.get("iscustomized"):
            _check_range(cloud, call["size"])
    if after is not None and after.fields.get("iscustomized"):
        if call["size"] is None:
            raise Refused(432, "The new disk offering requires that a size be specified.")
        _check_range(cloud, call["size"])
    elif after is not None and call["size"] is not None and not after.fields.get("disksize"):
        raise Refused(432, "You cannot pass in a custom disk size to a non-custom disk offering.")


def _check_range(cloud: Cloud, size: int) -> None:
    low, high = cloud.in_force["custom.diskoffering.size.min"], cloud.in_force["custom.diskoffering.size.max"]
    if not int(low) <= size <= int(high):
        raise Refused(432, f"Volume size: {size} GB is out of allowed range. Min: {low}. Max: {high}")


def _check_shrink(cloud: Cloud, call: Call, volume: Volume, size: int) -> None:
    """CS-VOL-09."""
    if cloud.hypervisor == "KVM" and volume.format == "QCOW2" and volume.state != "Allocated":
        raise refuse("CS-VOL-09")
    if not call["shrinkok"]:
        raise refuse("CS-VOL-09e", before=volume.size, after=size)


def _check_vm_snapshots(cloud: Cloud, volume: Volume) -> None:
    """CS-VOL-07, 08: only beside VM snapshots that are files without memory."""
    vm = common.vm_of(cloud, volume)
    rows = cloud.snapshot_rows(vm) if vm is not None else []
    if rows and common.release(cloud) < (4, 21):
        raise refuse("CS-VOL-07b", cloud.wording)
    if any(not row.on_files for row in rows):
        raise refuse("CS-VOL-07")


@command(
    "updateVolume",
    Param("id", "Volume"),
    Param("name"),
    Param("deleteprotection", "bool"),
    Param("path"),
    Param("storageid", "StoragePool"),
    Param("customid"),
    roles=ADMIN,
    java=JAVA + "UpdateVolumeCmd",
    asynchronous=True,
    by_admin=True,
)
def update(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Another name, or protection from deletion."""
    volume: Volume = call["id"]

    def finish() -> dict[str, Any]:
        volume.name = call["name"] or volume.name
        volume.path = call["path"] or volume.path
        if call["deleteprotection"] is not None:
            volume.protected = call["deleteprotection"]
        return shown(cloud, volume, call)

    return cloud.submit(call, finish, instance=("Volume", volume.id))


@command(
    "migrateVolume",
    Param("volumeid", "Volume", required=True, owned=True),
    Param("storageid", "StoragePool", required=True),
    java=JAVA + "MigrateVolumeCmd",
    asynchronous=True,
    by_admin=True,
    roles=ADMIN,
)
def migrate(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Another pool."""
    volume: Volume = call["volumeid"]
    pool: Plain = call["storageid"]

    def check() -> None:
        vm = common.vm_of(cloud, volume)
        if vm is not None and cloud.snapshot_rows(vm):
            raise refuse("CS-VOL-11", cloud.wording)
        if volume.state != "Ready":
            raise Refused(431, "Volume must be in ready state")

    def begin() -> None:
        volume.state = "Migrating"

    def finish() -> dict[str, Any]:
        volume.state, volume.pool = "Ready", pool.id
        return shown(cloud, volume, call)

    return cloud.submit(call, finish, check=check, begin=begin, queue=volume.vm, instance=("Volume", volume.id))


# --- owner ------------------------------------------------------------------------------------------------------------


@command(
    "assignVolume",
    Param("volumeid", "Volume", required=True),
    Param("accountid", "Account"),
    Param("projectid", "Project"),
    roles=ADMIN,
    since="4.18",
)
def assign(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Another owner for a volume that hangs nowhere and has no snapshots. Every refusal is an internal error with the reason."""
    volume: Volume = call["volumeid"]
    try:
        _check_assign(cloud, call, volume)
        common.check_limits(cloud, _new_owner(cloud, call), {"volume": 1, "primary_storage": volume.size})
    except Refused as fault:
        raise Refused(530, f"Assign volume command for volume [{volume.id}] failed due to [{fault.text}].", 9999) from None
    volume.account = _new_owner(cloud, call).name
    return shown(cloud, volume, call)


def _check_assign(cloud: Cloud, call: Call, volume: Volume) -> None:
    told = f'{{"id":{volume.n},"name":"{volume.name}","uuid":"{volume.id}"}}'
    vm = common.vm_of(cloud, volume)
    if vm is not None:
        raise Refused(531, f"Volume [{told}] is attached to [{vm.told()}], so it cannot be moved to a different account.")
    if any(row.state != "Error" for row in cloud.snapshots_of(volume)):
        text = f"Volume [{told}] has snapshots. Remove the volume's snapshots before assigning it to another account."
        raise Refused(531, text)
    owner = _new_owner(cloud, call)
    if owner.state != "enabled":
        text = f"Unable to assign volume to destination account [{owner.told()}], as it is in [{owner.state.upper()}] state."
        raise Refused(431, text)
    if owner.name == volume.account:
        raise Refused(431, f"The new account and the old account are the same [{owner.told()}].")


def _new_owner(cloud: Cloud, call: Call) -> Account:
    if isinstance(call["projectid"], Plain) and call.has("accountid"):
        raise Refused(431, "Both 'accountid' and 'projectid' were informed. You must inform only one of them.")
    if isinstance(call["projectid"], Plain):
        return cloud.accounts[call["projectid"].account]
    found: Account | None = call["accountid"]
    if found is None:
        raise Refused(431, "UUID of the destination account is invalid. No account was found with UUID [null].")
    return found


# --- details ----------------------------------------------------------------------------------------------------------

DETAILED = (Param("resourceid", required=True), Param("resourcetype", required=True))


@command(
    "addResourceDetail",
    *DETAILED,
    Param("details", "map"),
    roles=ADMIN,
    java=JAVA + "AddResourceDetailCmd",
    asynchronous=True,
)
def add_detail(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Details of a volume, for administrators."""

    def finish() -> dict[str, Any]:
        _detailed(cloud, call).details |= {
            row["key"]: row.get("value", "") for row in call.mapped("details") if "key" in row
        }
        return {"success": True}

    return cloud.submit(call, finish)


@command(
    "removeResourceDetail",
    *DETAILED,
    Param("key"),
    roles=ADMIN,
    java=JAVA + "RemoveResourceDetailCmd",
    asynchronous=True,
)
def remove_detail(cloud: Cloud, call: Call) -> dict[str, Any]:
    """One detail of a volume is gone, or all are."""

    def finish() -> dict[str, Any]:
        volume = _detailed(cloud, call)
        gone = volume.details.keys() if call["key"] is None else {call["key"]}
        volume.details = {key: value for key, value in volume.details.items() if key not in gone}
        return {"success": True}

    return cloud.submit(call, finish)


def _detailed(cloud: Cloud, call: Call) -> Volume:
    volume = cloud.volumes.get(call["resourceid"])
    if volume is None or call["resourcetype"].lower() != "volume":
        raise Refused(431, f"Unable to find resource by uuid {call['resourceid']} and type {call['resourcetype']}")
    return volume


@command("listResourceDetails", Param("resourceid"), Param("resourcetype", required=True), Param("key"), roles=READERS)
def list_details(cloud: Cloud, call: Call) -> dict[str, Any]:
    """The details of a volume."""
    volume = cloud.volumes.get(call["resourceid"] or "")
    seen = volume is not None and not volume.removed and cloud.may_act_on(call.account, volume)
    rows = (
        [
            {"resourceid": volume.id, "resourcetype": "Volume", "key": k, "value": v, "fordisplay": True}
            for k, v in volume.details.items()
        ]
        if seen and volume
        else []
    )
    return page(call, "resourcedetail", rows)
