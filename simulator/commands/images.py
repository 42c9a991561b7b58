"""Images: templates that are made or registered, ISOs, and volumes and templates that are offered for download.

`catalogue` lists templates. What is registered is ready when its download would be over; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.clock import stamp
from simulator.commands import common, infrastructure
from simulator.model import Account, Plain, Snapshot, Vm, Volume
from simulator.refusals import Refused
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page, unknown_entity

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user."
FORMATS = ("QCOW2", "RAW", "VHD", "VHDX", "OVA", "VMDK", "TAR", "VDI")
MODES, DOWNLOAD_SECONDS = ("HTTP_DOWNLOAD", "FTP_UPLOAD"), 30.0
SYSTEM = Param("ostypeid")
TEXTS = (Param("name", required=True), Param("displaytext"))
FLAGS = (Param("ispublic", "bool"), Param("isextractable", "bool"), Param("isfeatured", "bool"))
Row = dict[str, Any]


def _new(cloud: Cloud, call: Call, kind: str, account: Account, zone: str, **fields: Any) -> Plain:
    """An image of an account. It is known to that account, and to everybody when it is public."""
    made = Plain(cloud.new_id(), cloud.number("Template"), account.name, cloud.now(), name=call["name"])
    made.fields = {
        "displaytext": call["displaytext"] or call["name"],
        "ispublic": bool(call["ispublic"]),
        "created": stamp(made.created),
        "isready": False,
        "isextractable": bool(call["isextractable"]),
        "isfeatured": bool(call["isfeatured"]),
        **_system(cloud, call),
        "account": account.name,
        "domainid": account.domain_id,
        "domain": account.domain,
        "zoneid": zone,
        "zonename": views.plain_name(cloud, "Zone", zone),
        "crossZones": False,
        **fields,
    }
    cloud.plain.setdefault(kind, {})[made.id] = made
    return made


def _system(cloud: Cloud, call: Call) -> Row:
    """The guest system that is said to be on an image."""
    wanted = call["ostypeid"]
    if wanted is None:
        return {}
    row = next((row for row in infrastructure.told_of(cloud, "listOsTypes") if row["id"] == wanted), None)
    if row is None:
        raise unknown_entity(call.command, "ostypeid", wanted)
    return {"ostypeid": wanted, "ostypename": row["description"]}


def shown(row: Plain) -> Row:
    """An image as its commands show it."""
    return {"id": row.id, "name": row.name, **row.fields}


# --- templates --------------------------------------------------------------------------------------------------------


@command(
    "createTemplate",
    *TEXTS,
    *FLAGS,
    SYSTEM,
    Param("snapshotid", "Snapshot", owned=True),
    Param("volumeid", "Volume", owned=True),
    Param("passwordenabled", "bool"),
    Param("requireshvm", "bool"),
    Param("isdynamicallyscalable", "bool"),
    *common.FOR,
    java=JAVA + "template.CreateTemplateCmd",
    creates=True,
    by_admin=True,
)
def create(cloud: Cloud, call: Call) -> Row:
    """A template with what is on a snapshot, or on a volume that no running guest writes to."""
    volume, size = _source(cloud, call)
    account = cloud.accounts[volume.account]
    common.check_limits(cloud, account, {"secondary_storage": size})
    kind = {"format": volume.format, "hypervisor": cloud.hypervisor, "templatetype": "USER", "size": size}
    made = _new(cloud, call, "Template", account, volume.zone, **kind, passwordenabled=bool(call["passwordenabled"]))

    def finish() -> Row:
        made.fields["isready"] = True
        return {"template": shown(made)}

    return cloud.submit(call, finish, instance=("Template", made.id), entity=made.id)


def _source(cloud: Cloud, call: Call) -> tuple[Volume, int]:
    snapshot: Snapshot | None = call["snapshotid"]
    volume: Volume | None = call["volumeid"]
    if snapshot is None and volume is None:
        raise Refused(431, "Failed to create private template record, neither volume ID nor snapshot ID were specified.")
    if snapshot is not None and volume is not None:
        told = "Failed to create private template record, please specify only one of volume ID and snapshot ID"
        raise Refused(431, told)
    if snapshot is not None:
        if snapshot.state != "BackedUp":
            said = f"Snapshot id={snapshot.n} is not in BackedUp state yet and can't be used for template creation"
            raise Refused(431, said)
        return cloud.volumes[snapshot.volume], snapshot.size
    return _resting(cloud, volume)


def _resting(cloud: Cloud, volume: Volume | None) -> tuple[Volume, int]:
    if volume is None or volume.state != "Ready":
        raise Refused(431, "The volume must be in Ready state to create a template from it")
    vm = common.vm_of(cloud, volume)
    if vm is not None and vm.state != "Stopped":
        raise Refused(431, f"Unable to create template from volume {volume.id}: {vm.told()} must be stopped")
    return volume, volume.size


@command(
    "registerTemplate",
    *TEXTS,
    *FLAGS,
    SYSTEM,
    Param("url", required=True, limit=2048),
    Param("format", required=True),
    Param("hypervisor", required=True),
    Param("zoneid", "Zone"),
    Param("zoneids", "list"),
    Param("passwordenabled", "bool"),
    Param("checksum"),
    *common.FOR,
)
def register(cloud: Cloud, call: Call) -> Row:
    """A template that is to be downloaded from somewhere."""
    wanted = call["format"].upper()
    if wanted not in FORMATS:
        raise Refused(431, f"Please specify a valid format. Format {call['format']} is not supported")
    if call["hypervisor"].lower() != cloud.hypervisor.lower():
        raise Refused(
            431, f"Hypervisor Type: {call['hypervisor']} is invalid. Supported Hypervisor types are {cloud.hypervisor}"
        )
    kind = {"format": wanted, "hypervisor": cloud.hypervisor, "templatetype": "USER"}
    return {
        "count": 1,
        "template": [_registered(cloud, call, "Template", **kind, passwordenabled=bool(call["passwordenabled"]))],
    }


def _registered(cloud: Cloud, call: Call, kind: str, **fields: Any) -> Row:
    """The image as it is before anything was downloaded."""
    if not call["url"].lower().startswith(("http://", "https://", "ftp://", "nfs://")):
        raise Refused(431, f"Invalid URL: {call['url']}")
    zone = call["zoneid"].id if call.has("zoneid") else (call["zoneids"] or [""])[0]
    if zone not in cloud.plain["Zone"]:
        raise Refused(431, "Please specify a valid zone ID.")
    account = common.acting_for(cloud, call)
    made = _new(cloud, call, kind, account, zone, **fields, url=call["url"])
    told = shown(made)

    def downloaded(_: datetime) -> None:
        made.fields |= {"isready": True, "status": "Download Complete", "size": made.fields.get("size", 2 * 1024**3)}

    cloud.jobs.at(cloud.now() + timedelta(seconds=DOWNLOAD_SECONDS), downloaded)
    return told


def _changing(name: str, kind: str, key: str) -> None:
    @command(
        name,
        Param("id", kind, required=True, owned=True),
        Param("name"),
        Param("displaytext"),
        SYSTEM,
        Param("passwordenabled", "bool"),
        Param("isdynamicallyscalable", "bool"),
    )
    def change(cloud: Cloud, call: Call) -> Row:
        row: Plain = call["id"]
        row.name = call["name"] or row.name
        given = ("displaytext", "passwordenabled", "isdynamicallyscalable")
        row.fields |= {column: call[column] for column in given if call.has(column)} | _system(cloud, call)
        return {key: shown(row)}


def _sharing(name: str, kind: str) -> None:
    @command(name, Param("id", kind, required=True, owned=True), *FLAGS)
    def share(cloud: Cloud, call: Call) -> Row:
        row: Plain = call["id"]
        given = ("ispublic", "isextractable", "isfeatured")
        row.fields |= {column: call[column] for column in given if call.has(column)}
        return {"success": True}


def _deleting(name: str, kind: str, java: str) -> None:
    @command(
        name,
        Param("id", kind, required=True, owned=True),
        Param("zoneid", "Zone"),
        Param("forced", "bool"),
        java=JAVA + java,
        asynchronous=True,
    )
    def delete(cloud: Cloud, call: Call) -> Row:
        row: Plain = call["id"]

        def check() -> None:
            if kind == "Iso" and any(vm.iso == row.id for vm in cloud.vms.values()):
                raise Refused(431, "Unable to delete iso, as it's used by other vms")

        def finish() -> Row:
            row.removed = True
            return {"success": True}

        return cloud.submit(call, finish, check=check, instance=(kind, row.id))


for _one, _kind, _key in (("Template", "Template", "template"), ("Iso", "Iso", "iso")):
    _changing(f"update{_one}", _kind, _key)
    _sharing(f"update{_one}Permissions", _kind)
    _deleting(f"delete{_one}", _kind, f"{_key}.Delete{_one}Cmd")


# --- ISOs -------------------------------------------------------------------------------------------------------------


@command(
    "registerIso",
    *TEXTS,
    *FLAGS,
    SYSTEM,
    Param("url", required=True, limit=2048),
    Param("zoneid", "Zone", required=True),
    Param("bootable", "bool"),
    Param("checksum"),
    *common.FOR,
)
def register_iso(cloud: Cloud, call: Call) -> Row:
    """An ISO that is to be downloaded from somewhere."""
    bootable = call["bootable"] is not False
    if bootable and call["ostypeid"] is None:
        raise Refused(431, "Please pass a valid GuestOS Id")
    return {"count": 1, "iso": [_registered(cloud, call, "Iso", bootable=bootable)]}


ISO_FILTERS = ("featured", "self", "selfexecutable", "sharedexecutable", "executable", "community", "all")


def _fits(row: Plain, wanted: str, caller: str) -> bool:
    """Whether a filter of `ISO_FILTERS` lets an ISO through."""
    own, public, featured = row.account == caller, row.fields["ispublic"], row.fields["isfeatured"]
    chosen = {"featured": public and featured, "community": public and not featured, "executable": own or public}
    chosen |= {"self": own, "selfexecutable": own, "all": True}
    return bool(chosen.get(wanted))


@command(
    "listIsos",
    Param("id", "Iso"),
    Param("isofilter"),
    Param("name"),
    Param("zoneid", "Zone"),
    Param("bootable", "bool"),
    Param("isready", "bool"),
    roles=READERS,
)
def list_isos(cloud: Cloud, call: Call) -> Row:
    """ISOs; the caller's own unless a filter says otherwise."""
    wanted = call["isofilter"] or "selfexecutable"
    if wanted not in ISO_FILTERS:
        raise Refused(431, f"No enum constant com.cloud.template.VirtualMachineTemplate.TemplateFilter.{wanted}", 9999)
    if wanted == "all" and not call.account.is_root:
        raise Refused(431, "Filter all can be specified by admin only")
    rows = [row for row in cloud.rows_of("Iso") if _fits(row, wanted, call.account.name)]
    rows = [row for row in rows if call["id"] in (None, row) and call["name"] in (None, row.name)]
    rows = [row for row in rows if call["bootable"] in (None, row.fields["bootable"])]
    rows = [row for row in rows if row.fields["isready"] or not call["isready"]]
    rows = [row for row in rows if call["zoneid"] is None or row.fields["zoneid"] == call["zoneid"].id]
    return page(call, "iso", common.Views(common.by_keyword(call, rows, lambda row: row.name), shown))


@command(
    "attachIso",
    Param("id", "Iso", required=True),
    Param("virtualmachineid", "VirtualMachine", required=True, owned=True),
    java=JAVA + "iso.AttachIsoCmd",
    asynchronous=True,
    by_admin=True,
)
def attach(cloud: Cloud, call: Call) -> Row:
    """An ISO comes into the drive of a VM."""
    vm: Vm = call["virtualmachineid"]
    iso: Plain = call["id"]

    def check() -> None:
        _check_state(vm, "attach")
        if not (iso.fields["isready"] and (iso.fields["ispublic"] or iso.account == vm.account or call.account.is_root)):
            raise Refused(431, f"Unable to use ISO {iso.id}, permission denied or not ready")

    return _loaded(cloud, call, vm, iso.id, check)


@command(
    "detachIso",
    Param("virtualmachineid", "VirtualMachine", required=True, owned=True),
    java=JAVA + "iso.DetachIsoCmd",
    asynchronous=True,
    by_admin=True,
)
def detach(cloud: Cloud, call: Call) -> Row:
    """The drive of a VM is emptied."""
    vm: Vm = call["virtualmachineid"]

    def check() -> None:
        if vm.iso is None:
            raise Refused(431, "The specified VM has no ISO attached to it.")
        _check_state(vm, "detach")

    return _loaded(cloud, call, vm, None, check)


def _check_state(vm: Vm, what: str) -> None:
    if vm.state not in ("Running", "Stopped"):
        raise Refused(431, f"Please specify a VM that is either Stopped or Running to {what} an ISO.")


def _loaded(cloud: Cloud, call: Call, vm: Vm, iso: str | None, check: Callable[[], None]) -> Row:
    def finish() -> Row:
        vm.iso = iso
        return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}

    return cloud.submit(call, finish, check=check, queue=vm.id, instance=("VirtualMachine", vm.id))


# --- downloads --------------------------------------------------------------------------------------------------------


@command(
    "extractVolume",
    Param("id", "Volume", required=True, owned=True),
    Param("mode", required=True),
    Param("zoneid", "Zone", required=True),
    Param("url"),
    java=JAVA + "volume.ExtractVolumeCmd",
    asynchronous=True,
)
def extract_volume(cloud: Cloud, call: Call) -> Row:
    """Offer a volume that rests for download."""
    volume: Volume = call["id"]

    def check() -> None:
        vm = common.vm_of(cloud, volume)
        if volume.pool is None:
            raise Refused(431, "The volume doesn't belong to a storage pool so can't extract it")
        if vm is not None and vm.state != "Stopped":
            said = "It should be either detached or the VM should be in stopped state."
            raise Refused(530, f"Invalid state of the volume with specified ID. {said}")
        if volume.kind == "ROOT" and not _may_leave(cloud, call, volume.template):
            raise Refused(530, "The volume with specified volumeId is not allowed to be extracted")
        if call["mode"] not in MODES:
            raise Refused(431, "Please specify a valid extract Mode ")

    def finish() -> Row:
        return {"volume": _offered(cloud, call, volume.id, volume.name, "Volume", volume.format)}

    return cloud.submit(call, finish, check=check, instance=("Volume", volume.id))


def _may_leave(cloud: Cloud, call: Call, template: str | None) -> bool:
    """Whether an image may leave the house; nothing holds back root administrators, nor what comes of no image."""
    row = cloud.plain.get("Template", {}).get(template or "")
    return row is None or call.account.is_root or bool(row.fields.get("isextractable"))


def _extracting(name: str, kind: str, key: str, java: str) -> None:
    @command(
        name,
        Param("id", kind, required=True),
        Param("mode", required=True),
        Param("zoneid", "Zone"),
        Param("url"),
        java=JAVA + java,
        asynchronous=True,
    )
    def extract(cloud: Cloud, call: Call) -> Row:
        row: Plain = call["id"]
        suffix = str(row.fields.get("format") or ("ISO" if kind == "Iso" else "QCOW2"))

        def check() -> None:
            if not (call.account.is_root or row.fields.get("isextractable")):
                told = f'Template {{"format":"{suffix}","id":{row.n},"name":"{row.name}","uuid":"{row.id}"}}'
                raise Refused(431, f"Unable to extract Template {told} as it's not extractable")
            if not row.fields.get("isready", True):
                raise Refused(431, f"The {kind.upper()} has not been downloaded ")

        def finish() -> Row:
            return {key: _offered(cloud, call, row.id, row.name, kind.upper(), suffix)}

        return cloud.submit(call, finish, check=check, instance=(kind, row.id))


_extracting("extractTemplate", "Template", "template", "template.ExtractTemplateCmd")
_extracting("extractIso", "Iso", "iso", "iso.ExtractIsoCmd")


def _offered(cloud: Cloud, call: Call, row_id: str, name: str, kind: str, suffix: str) -> Row:
    zone = call["zoneid"].id if call.has("zoneid") else next(iter(cloud.plain["Zone"]))
    made = cloud.new_id()
    return {
        "id": row_id,
        "name": name,
        "extractId": made,
        "accountid": call.account.id,
        "state": "DOWNLOAD_URL_CREATED",
        "storagetype": kind.lower(),
        "zoneid": zone,
        "zonename": views.plain_name(cloud, "Zone", zone),
        "extractMode": "FTP_UPLOAD" if call["mode"] == "FTP_UPLOAD" else "HTTP_DOWNLOAD",
        "url": f"https://127.0.0.1/userdata/{made}.{suffix.lower()}",
    }
