"""Virtual machines: deploy, start, stop, reboot, destroy, expunge, recover, update, list."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.clock import stamp
from simulator.commands import common
from simulator.model import GIB, Network, Nic, Plain, Vm, Volume
from simulator.refusals import Refused, refuse
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

HOST_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
JAVA = "org.apache.cloudstack.api.command.user.vm."
VM = Param("id", "VirtualMachine", required=True, owned=True)


# --- deploy -----------------------------------------------------------------------------------------------------------


@command(
    "deployVirtualMachine",
    Param("zoneid", "Zone", required=True),
    Param("serviceofferingid", "ServiceOffering", required=True),
    Param("templateid", "Template"),
    Param("volumeid", "Volume", owned=True),
    Param("snapshotid", "Snapshot", owned=True),
    Param("name"),
    Param("displayname"),
    Param("networkids", "list"),
    Param("startvm", "bool"),
    Param("rootdisksize", "long"),
    java=JAVA + "DeployVMCmd",
    creates=True,
)
def deploy(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Allocate a VM with its NICs and blank root; start it unless told otherwise."""
    _check_sources(cloud, call)
    _check_custom_id(cloud, call)
    boot = _boot(call)
    cpus, memory = _size(cloud, call)
    networks = _networks(cloud, call)
    _check_user_data(call, networks[0])
    vm = _allocated(cloud, call, networks, cpus, memory)
    vm.boot = boot
    starts = call["startvm"] is not False
    return cloud.submit(
        call,
        lambda: _deployed(cloud, call, vm, starts),
        queue=vm.id if starts else None,
        instance=("VirtualMachine", vm.id),
        entity=vm.id,
    )


def _check_sources(cloud: Cloud, call: Call) -> None:
    given = [n for n in ("templateid", "volumeid", "snapshotid") if call.has(n)]
    if common.release(cloud) >= (4, 21) and len(given) != 1:
        raise refuse("CS-DEP-01")
    if common.release(cloud) < (4, 21) and not call.has("templateid"):
        text = "Unable to execute API command deployvirtualmachine due to missing parameter templateid"
        raise Refused(431, text, 9999)
    name = call["name"]
    if name is not None and not HOST_NAME.fullmatch(name):
        raise refuse("CS-DEP-03", command="deployvirtualmachine")


def _check_custom_id(cloud: Cloud, call: Call) -> None:
    wanted = call.raw.get("customid")
    if wanted is None:
        return
    if not call.account.is_root:
        raise refuse("CS-DEP-14")
    if wanted in cloud.vms:
        raise refuse("CS-DEP-14b", id=wanted)


def _boot(call: Call) -> tuple[str, str] | None:
    kind, mode = call.raw.get("boottype"), call.raw.get("bootmode")
    name = call["name"] or ""
    if kind is not None and kind.upper() not in ("UEFI", "BIOS"):
        raise refuse("CS-DEP-09b", value=kind, name=name)
    if kind is not None and mode is None:
        raise refuse("CS-DEP-09" if kind.upper() == "UEFI" else "CS-DEP-17")
    if mode is not None and mode.upper() not in ("LEGACY", "SECURE"):
        raise refuse("CS-DEP-09c", value=mode, name=name)
    return (kind.upper(), (mode or "").upper()) if kind is not None else None


def _size(cloud: Cloud, call: Call) -> tuple[int, int]:
    """CS-DEP-08: processors and memory in MB, from the details for custom offerings and from nowhere else for fixed ones."""
    offering: Plain = call["serviceofferingid"]
    given = {k.lower(): v for row in call.mapped("details") for k, v in row.items()}
    custom = {k: given[k] for k in ("cpunumber", "memory", "cpuspeed") if k in given}
    fields = offering.fields
    if not fields.get("iscustomized"):
        if custom:
            raise refuse("CS-DEP-08c")
        return int(fields.get("cpunumber", 1)), int(fields.get("memory", 512))
    if not custom:
        raise refuse("CS-DEP-08")
    cpus = _within(custom.get("cpunumber"), "CPU cores", int(fields.get("mincpu", 1)), int(fields.get("maxcpu", 64)))
    if "cpuspeed" not in fields and not custom.get("cpuspeed"):
        raise refuse("CS-DEP-08b", what="CPU speed", low=1, high=2147483647)
    memory = _within(custom.get("memory"), "memory", int(fields.get("minmemory", 128)), int(fields.get("maxmemory", 262144)))
    return cpus, memory


def _within(text: str | None, what: str, low: int, high: int) -> int:
    if text is None or not text.isdigit() or not low <= int(text) <= high:
        raise refuse("CS-DEP-08b", what=what, low=low, high=high)
    return int(text)


def _networks(cloud: Cloud, call: Call) -> list[Network]:
    listed = call["networkids"]
    mapped = call.mapped("iptonetworklist")
    if listed and mapped:
        raise refuse("CS-DEP-05")
    ids = listed or [row.get("networkid", "") for row in mapped]
    found = [_network(cloud, call, i) for i in ids] or _default_networks(cloud, call)
    if not found:
        raise refuse("CS-DEP-06")
    return found


def _network(cloud: Cloud, call: Call, network_id: str) -> Network:
    network = cloud.networks.get(network_id)
    if network is None or network.removed:
        raise Refused(431, f"Unable to find network by id {network_id}")
    if network.account != call.account.name and not call.account.is_root:
        raise Refused(531, f"Unable to use network with id= {network.id}, permission denied", 4365)
    return network


def _default_networks(cloud: Cloud, call: Call) -> list[Network]:
    own = [n for n in cloud.networks.values() if n.account == call.account.name and n.kind == "Isolated" and not n.removed]
    if len(own) > 1:
        told = f'Account [{{"accountName":"{call.account.name}","id":{call.account.n},"uuid":"{call.account.id}"}}]'
        text = f"More than 1 default Isolated networks are found for Account {told}; please specify networkIds"
        raise Refused(431, text)
    return own


def _check_user_data(call: Call, default: Network) -> None:
    """CS-DEP-07: networks without services give no password and no user data."""
    if default.has_services:
        return
    template: Plain | None = call["templateid"]
    if template is not None and template.fields.get("passwordenabled"):
        raise refuse("CS-DEP-07", template=template.n, network=default.name)
    if "userdata" in call.raw:
        raise refuse("CS-DEP-07b", network=default.name, id=default.id)


def _allocated(cloud: Cloud, call: Call, networks: list[Network], cpus: int, memory: int) -> Vm:
    vm_id = call.raw.get("customid") or cloud.new_id()
    name = call["name"] or f"VM-{vm_id}"
    _check_name(cloud, name, networks)
    now, template = cloud.clock.now(), call["templateid"]
    vm = Vm(vm_id, cloud.number("VirtualMachine"), call.account.name, now, name=name, zone=call["zoneid"].id)
    vm.display_name = call["displayname"] or name
    vm.template, vm.offering = (template.id if template else None), call["serviceofferingid"].id
    vm.cpus, vm.memory = cpus, memory
    details = {k: v for row in call.mapped("details") for k, v in row.items()}
    vm.details = {**details, "deployvm": "true"}
    vm.nics = [_card(cloud, network, index) for index, network in enumerate(networks)]
    cloud.vms[vm.id] = vm
    _add_root(cloud, call, vm, template)
    return vm


def _check_name(cloud: Cloud, name: str, networks: list[Network]) -> None:
    """CS-DEP-04: a host name is unique in its network until the VM that has it is expunged."""
    for network in networks:
        for other in cloud.vms.values():
            if (
                not other.removed
                and other.name == name
                and any(n.network == network.id for n in other.nics if not n.removed)
            ):
                raise refuse("CS-DEP-04", name=name, domain=network.domain, network=network.name)


def _card(cloud: Cloud, network: Network, index: int) -> Nic:
    number = cloud.number("Nic")
    mac = f"02:01:{number >> 24 & 255:02x}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    address = f"10.1.1.{2 + number % 250}" if network.has_services else None
    return Nic(cloud.new_id(), number, network.id, mac, address, index == 0, index)


def _add_root(cloud: Cloud, call: Call, vm: Vm, template: Plain | None) -> None:
    size = int(template.fields.get("size", 2 * GIB)) if template else 2 * GIB
    asked = call["rootdisksize"]
    root = Volume(cloud.new_id(), cloud.number("Volume"), vm.account, vm.created, name=f"ROOT-{vm.n}", kind="ROOT")
    root.size, root.zone, root.vm, root.device = (asked * GIB if asked else size), vm.zone, vm.id, 0
    root.template, root.offering = vm.template, vm.offering
    cloud.volumes[root.id] = root


def _deployed(cloud: Cloud, call: Call, vm: Vm, starts: bool) -> dict[str, Any]:
    if starts:
        _run(cloud, vm)
    return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}


# --- start, stop, reboot ----------------------------------------------------------------------------------------------


@command("startVirtualMachine", VM, java=JAVA + "StartVMCmd", asynchronous=True)
def start(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Start a VM: its Allocated disks are made, then it runs and writes."""
    vm: Vm = call["id"]

    def check() -> None:
        if vm.state == "Running":
            raise refuse("CS-STA-01", id=vm.id, name=vm.display_name)
        _check_startable(cloud, vm)

    def begin() -> None:
        if vm.state == "Stopped":
            vm.state = "Starting"
            vm.details.pop("deployvm", None)

    def finish() -> dict[str, Any]:
        if vm.state == "Starting":
            _run(cloud, vm)
        elif vm.state != "Running":
            raise refuse("CS-STA-02", instance=vm.instance, id=vm.id)
        return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}

    return cloud.submit(call, finish, check=check, begin=begin, queue=vm.id, instance=("VirtualMachine", vm.id))


def _check_startable(cloud: Cloud, vm: Vm) -> None:
    disks = cloud.attached(vm)
    if vm.state in ("Destroyed", "Expunging", "Stopping"):
        raise refuse("CS-STA-02", instance=vm.instance, id=vm.id)
    if not disks:
        vm.updated, _ = cloud.clock.now(), vm.details.pop("deployvm", None)
        raise refuse("CS-STA-03", id=vm.id)
    if disks[0].device != 0:
        vm.updated, _ = cloud.clock.now(), vm.details.pop("deployvm", None)
        raise refuse("CS-STA-04", id=vm.id)


def _run(cloud: Cloud, vm: Vm) -> None:
    now = cloud.clock.now()
    for disk in cloud.attached(vm):
        if disk.state == "Allocated":  # CS-STA-07
            disk.state, disk.pool, disk.path = "Ready", common.a_pool(cloud), disk.id
    vm.state, vm.updated, vm.running_since, vm.written_until = "Running", now, now, now
    vm.details.pop("deployvm", None)
    cloud.write(vm, f"boot {vm.id} {stamp(now)}")


@command("stopVirtualMachine", VM, Param("forced", "bool"), java=JAVA + "StopVMCmd", asynchronous=True)
def stop(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Stop a VM; one that does not run stays as it is (CS-STP-01)."""
    vm: Vm = call["id"]

    def check() -> None:
        if call["forced"] and not cloud.settings["allow.user.force.stop.vm"] and not call.account.is_root:
            raise refuse("CS-STP-03")

    def begin() -> None:
        if vm.state == "Running":
            vm.state = "Stopping"

    def finish() -> dict[str, Any]:
        if vm.state == "Stopping":
            _halt(cloud, vm)
        return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}

    return cloud.submit(call, finish, check=check, begin=begin, queue=vm.id, instance=("VirtualMachine", vm.id))


def _halt(cloud: Cloud, vm: Vm) -> None:
    cloud.write(vm, "shutdown")
    vm.state, vm.running_since, vm.written_until, vm.updated = "Stopped", None, None, cloud.clock.now()


@command("rebootVirtualMachine", VM, java=JAVA + "RebootVMCmd", asynchronous=True)
def reboot(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Reboot a running VM."""
    vm: Vm = call["id"]

    def check() -> None:
        if vm.state != "Running":
            raise refuse("CS-REB-01", id=vm.id, name=vm.display_name)

    def finish() -> dict[str, Any]:
        cloud.write(vm, "reboot")
        return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}

    return cloud.submit(call, finish, check=check, queue=vm.id, instance=("VirtualMachine", vm.id))


# --- destroy, expunge, recover ----------------------------------------------------------------------------------------


@command("destroyVirtualMachine", VM, Param("expunge", "bool"), java=JAVA + "DestroyVMCmd", asynchronous=True)
def destroy(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Stop, detach every data disk, delete VM snapshots, and (with expunge) delete what sits at device 0."""
    vm: Vm = call["id"]

    def check() -> None:
        if call["expunge"] and not _may_expunge(cloud, call):
            raise refuse("CS-DES-01")
        if vm.protected:
            raise refuse("CS-DES-03", id=vm.id, instance=vm.instance)
        root = next((d for d in cloud.attached(vm) if d.device == 0), None)
        if root is not None and root.state == "Snapshotting":
            raise refuse("CS-DES-04", cloud.wording)

    def finish() -> dict[str, Any]:
        if vm.state not in ("Destroyed", "Expunging"):
            _destroyed(cloud, vm)
        if not call["expunge"]:
            return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}
        _expunged(cloud, vm)
        empty: list[Any] = []
        return {
            "virtualmachine": {
                "securitygroup": empty,
                "nic": empty,
                "affinitygroup": empty,
                "deleteprotection": False,
                "tags": empty,
            }
        }

    return cloud.submit(call, finish, check=check, queue=vm.id, instance=("VirtualMachine", vm.id))


def _may_expunge(cloud: Cloud, call: Call) -> bool:
    return bool(call.account.is_root or cloud.settings["allow.user.expunge.recover.vm"])


def _destroyed(cloud: Cloud, vm: Vm) -> None:
    """CS-DES-05: data disks go free, whatever snapshots there are; the root and the NICs stay with the VM."""
    if vm.state in ("Running", "Stopping", "Starting"):
        _halt(cloud, vm)
    for disk in cloud.attached(vm):
        if disk.device != 0:
            common.detach(disk)
    for row in cloud.snapshot_rows(vm):
        row.removed = True
    vm.state, vm.updated = "Destroyed", cloud.clock.now()


def _expunged(cloud: Cloud, vm: Vm) -> None:
    """CS-DES-06, 11: what sits at device 0 is deleted, delete-protected or not."""
    for disk in cloud.attached(vm):
        common.detach(disk)
        disk.removed, disk.state = True, "Expunged"
    for card in vm.nics:
        card.removed = True
    vm.removed, vm.state = True, "Expunging"


@command("expungeVirtualMachine", VM, java="org.apache.cloudstack.api.command.admin.vm.ExpungeVMCmd", asynchronous=True)
def expunge(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Remove a destroyed VM for good."""
    vm: Vm = call["id"]

    def check() -> None:
        if vm.state not in ("Destroyed", "Expunging", "Error"):
            raise refuse("CS-EXP-01")
        if not _may_expunge(cloud, call):
            raise refuse("CS-EXP-02")

    def finish() -> dict[str, Any]:
        _expunged(cloud, vm)
        return {"success": True}

    return cloud.submit(call, finish, check=check, instance=("VirtualMachine", vm.id))


@command("recoverVirtualMachine", Param("id", "VirtualMachine", required=True, owned=True))
def recover(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Bring a destroyed VM back, stopped; its data disks and snapshots do not come back."""
    vm: Vm = call["id"]
    if not _may_expunge(cloud, call):
        raise refuse("CS-REC-02")
    if vm.state != "Destroyed":
        raise refuse("CS-REC-01", id=vm.id)
    vm.state = "Stopped"
    return {"virtualmachine": views.vm(cloud, vm, call.account)}


# --- list -------------------------------------------------------------------------------------------------------------


@command(
    "listVirtualMachines",
    Param("id", "VirtualMachine"),
    Param("ids", "list"),
    Param("name"),
    Param("state"),
    Param("keyword"),
    Param("zoneid", "Zone"),
    Param("networkid", "Network"),
    roles=READERS,
)
def list_vms(cloud: Cloud, call: Call) -> dict[str, Any]:
    """VMs the caller may see; destroyed ones only for administrators (CS-LST-03)."""
    found = common.chosen(cloud, call, cloud.vms.values(), "VirtualMachine")
    hides = not call.account.is_root and not cloud.settings["allow.user.view.destroyed.vm"]
    gone = ("Destroyed", "Expunging")
    rows = [vm for vm in found if not (vm.state in gone and (hides or call["state"] == "present"))]
    if call.has("name"):
        exact = common.release(cloud) >= (4, 17)  # CS-LST-02
        rows = [vm for vm in rows if vm.name == call["name"] or (not exact and call["name"] in vm.name)]
    if call.has("state") and call["state"] != "present":
        rows = [vm for vm in rows if vm.state.lower() == call["state"].lower()]
    if call.has("keyword"):
        rows = [vm for vm in rows if call["keyword"].lower() in f"{vm.name} {vm.display_name}".lower()]
    if call.has("networkid"):
        rows = [vm for vm in rows if any(n.network == call["networkid"].id for n in vm.nics)]
    return page(call, "virtualmachine", common.Views(rows, lambda vm: views.vm(cloud, vm, call.account)))
