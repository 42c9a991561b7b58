"""Virtual machines: deploy, start, stop, reboot, destroy, expunge, recover, list. Their details and offering: `reshaping`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import settings, views
from simulator.clock import stamp
from simulator.commands import addresses, common, deploying, vm_snapshots
from simulator.jobs import Phase
from simulator.model import Plain, Vm
from simulator.refusals import Refused, refuse
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user.vm."
VM = Param("id", "VirtualMachine", required=True, owned=True)
GONE = ("Destroyed", "Expunging")
PREPARED = 0.1  # seconds after which a VM that starts has a host
TRIES = 2  # once beside the root's pool, once anywhere


def shown(cloud: Cloud, vm: Vm, call: Call) -> dict[str, Any]:
    """A VM as the result of a job that works on it."""
    return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}


# --- deploy -----------------------------------------------------------------------------------------------------------


@command("deployVirtualMachine", *deploying.PARAMS, java=JAVA + "DeployVMCmd", creates=True, by_admin=True)
def deploy(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Allocate a VM with its NICs and blank root; start it unless told otherwise."""
    vm = deploying.allocate(cloud, call)
    starts = call["startvm"] is not False

    def begin() -> None:
        if starts and vm.state == "Stopped":
            _check_first_place(cloud, vm)
            vm.state, vm.updated = "Starting", cloud.now()

    def finish() -> dict[str, Any]:
        if starts:
            launch(cloud, call, vm)
        return shown(cloud, vm, call)

    return cloud.submit(
        call,
        finish,
        begin=begin,
        phases=_start_phases(cloud, call, vm) if starts else (),
        queue=vm.id if starts else None,
        joins=f"start {vm.id}" if starts else None,
        instance=("VirtualMachine", vm.id),
        entity=vm.id,
    )


def _check_first_place(cloud: Cloud, vm: Vm) -> None:
    """CS-DEP-16: a deploy that finds no host leaves a VM in Error, without volumes."""
    if _candidates(cloud, vm):
        return
    told = refuse("CS-STA-05", vm=vm.told())
    vm.state = "Error"
    for disk in cloud.attached(vm):
        disk.removed, disk.state = True, "Expunged"
    vm.updated = cloud.now()
    raise told


# --- start ------------------------------------------------------------------------------------------------------------


@command(
    "startVirtualMachine",
    VM,
    Param("hostid", "text"),
    Param("podid", "text"),
    Param("clusterid", "text"),
    java=JAVA + "StartVMCmd",
    asynchronous=True,
    by_admin=True,
)
def start(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Start a VM: its Allocated disks are made, then it runs and writes."""
    vm: Vm = call["id"]

    def check() -> None:
        _check_start(cloud, call, vm)

    def begin() -> None:
        if vm.state == "Stopped":
            _check_place(cloud, call, vm)
            vm.state, vm.updated = "Starting", cloud.now()

    def finish() -> dict[str, Any]:
        if vm.state == "Starting":
            launch(cloud, call, vm)
        elif vm.state != "Running":
            raise refuse("CS-STA-02", instance=vm.instance, id=vm.id)
        return shown(cloud, vm, call)

    phases = _start_phases(cloud, call, vm)
    return cloud.submit(
        call,
        finish,
        check=check,
        begin=begin,
        phases=phases,
        queue=vm.id,
        instance=("VirtualMachine", vm.id),
        joins=f"start {vm.id}",
    )


def _check_start(cloud: Cloud, call: Call, vm: Vm) -> None:
    for name in ("hostid", "podid", "clusterid"):
        if name in call.raw and not call.account.is_root:
            raise Refused(530, f"Parameter {name} can only be specified by a Root Admin, permission denied")
    if vm.state == "Running":
        raise refuse("CS-STA-01", id=vm.id, name=vm.display_name)
    owner = cloud.accounts.get(vm.account)
    if owner is not None and owner.state != "enabled":
        raise Refused(530, f"The owner of {vm.told()} is disabled: {owner.told()}")
    if vm.state in ("Stopped", "Error"):
        _check_disks(cloud, vm)


def _check_disks(cloud: Cloud, vm: Vm) -> None:
    disks = cloud.attached(vm)
    if vm.is_wiped:
        raise refuse("CS-UPD-04")
    if not disks:
        raise refuse("CS-STA-03", id=vm.id)
    if disks[0].device != 0:
        raise refuse("CS-STA-04", id=vm.id)
    template = cloud.plain.get("Template", {}).get(vm.template or "")
    if disks[0].state == "Allocated" and (template is None or template.removed) and disks[0].template is not None:
        raise refuse("CS-STA-06")


def _check_place(cloud: Cloud, call: Call, vm: Vm) -> None:
    """CS-STA-05, 08: a host that is up, and that can UEFI where the VM wants it."""
    fresh = any(d.device == 0 and d.state == "Allocated" for d in cloud.attached(vm))
    disabled = common.zone_is_disabled(cloud, call, vm.zone)
    if _candidates(cloud, vm) and disabled is None:
        return
    if fresh:
        raise refuse("CS-STA-05", vm=vm.told())
    _was_tried(cloud, vm)
    raise _no_capacity(cloud, call, vm)


def _no_capacity(cloud: Cloud, call: Call, vm: Vm) -> Refused:
    if not call.account.is_root:
        return refuse("CS-STA-05b", id=vm.id)
    said = vm.told().replace('"Stopped"', '"Starting"')
    return refuse("CS-STA-05c", id=vm.id, vm=said, n=TRIES)


def _candidates(cloud: Cloud, vm: Vm) -> list[Plain]:
    wants_uefi = "UEFI" in vm.details
    up = [
        h
        for h in common.hosts(cloud)
        if h.fields.get("state", "Up") == "Up" and h.fields.get("resourcestate", "Enabled") == "Enabled"
    ]
    return [h for h in up if not wants_uefi or h.fields.get("ueficapability", True)]


def _was_tried(cloud: Cloud, vm: Vm) -> None:
    """CS-DEP-21: the first attempt to start leaves its mark, also when it fails."""
    vm.updated = cloud.now()
    vm.details.pop("deployvm", None)


def _start_phases(cloud: Cloud, call: Call, vm: Vm) -> list[Phase]:
    """First a host and networks are prepared, which shows in lists, then the host works."""
    seconds = cloud.durations.get(call.command, settings.DEFAULT_SECONDS)
    early = min(PREPARED, seconds / 2)

    def prepare() -> None:
        if vm.state == "Starting":
            _prepare(cloud, vm)

    return [
        (lambda: early, prepare),
        (lambda: seconds - early + cloud.faults.host_seconds("start"), lambda: None),
    ]


def _prepare(cloud: Cloud, vm: Vm) -> None:
    """The VM gets its host, its cards their networks, and its Allocated disks are made (CS-STA-07)."""
    vm.host = next(h.id for h in _candidates(cloud, vm))
    for card in vm.nics:
        addresses.implement(cloud, cloud.networks[card.network])
        card.vlan = True
    for disk in cloud.attached(vm):
        if disk.state == "Allocated":
            common.place(cloud, disk)


def launch(cloud: Cloud, call: Call, vm: Vm) -> None:
    """The host is told to run the VM; a host that does not leaves it Stopped."""
    _was_tried(cloud, vm)
    _prepare(cloud, vm)
    if cloud.faults.host_fails("start"):
        vm.state, vm.details[views.FREED], vm.host = "Stopped", "false", None
        for card in vm.nics:
            card.vlan = False
        raise _no_capacity(cloud, call, vm)
    now = cloud.now()
    for disk in cloud.attached(vm):
        disk.counted = True
    vm.last_host = vm.host
    vm.state, vm.updated, vm.running_since, vm.written_until = "Running", now, now, now
    cloud.write(vm, f"boot {vm.id} {stamp(now)}")


# --- stop, reboot -----------------------------------------------------------------------------------------------------


@command("stopVirtualMachine", VM, Param("forced", "bool"), java=JAVA + "StopVMCmd", asynchronous=True, by_admin=True)
def stop(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Stop a VM; one that does not run stays as it is (CS-STP-01)."""
    vm: Vm = call["id"]

    def check() -> None:
        if call["forced"] and not cloud.in_force["allow.user.force.stop.vm"] and not call.account.is_root:
            raise refuse("CS-STP-03")

    def begin() -> None:
        if vm.state == "Running":
            vm.state = "Stopping"

    def finish() -> dict[str, Any]:
        if vm.state == "Stopping":
            _stop(cloud, vm, bool(call["forced"]))
        return shown(cloud, vm, call)

    return cloud.submit(
        call,
        finish,
        check=check,
        begin=begin,
        host="stop",
        queue=vm.id,
        instance=("VirtualMachine", vm.id),
        joins=f"stop {vm.id}",
    )


def _stop(cloud: Cloud, vm: Vm, forced: bool) -> None:
    """CS-STP-02, 04: what a host that fails does to a graceful and to a forced stop."""
    if not cloud.faults.host_fails("stop"):
        halt(cloud, vm)
    elif forced:
        raise refuse("CS-STP-04", cloud.wording)
    else:
        vm.state = "Running"
        raise refuse("CS-STP-02", vm=vm.told())


def halt(cloud: Cloud, vm: Vm) -> None:
    """The VM does not run any more."""
    cloud.write(vm, "shutdown")
    vm.state, vm.host = "Stopped", None
    vm.running_since, vm.written_until, vm.updated = None, None, cloud.now()
    vm.details[views.FREED] = "false"
    for card in vm.nics:
        card.vlan = False


@command("rebootVirtualMachine", VM, java=JAVA + "RebootVMCmd", asynchronous=True, by_admin=True)
def reboot(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Reboot a running VM."""
    vm: Vm = call["id"]

    def check() -> None:
        if vm.state != "Running":
            raise refuse("CS-REB-01", cloud.wording, id=vm.id, name=vm.display_name)

    def finish() -> dict[str, Any]:
        cloud.write(vm, "reboot")
        return shown(cloud, vm, call)

    return cloud.submit(call, finish, check=check, queue=vm.id, instance=("VirtualMachine", vm.id))


# --- destroy, expunge, recover ----------------------------------------------------------------------------------------


@command(
    "destroyVirtualMachine",
    VM,
    Param("expunge", "bool"),
    Param("volumeids", "list"),
    java=JAVA + "DestroyVMCmd",
    asynchronous=True,
    by_admin=True,
)
def destroy(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Stop, detach every data disk, delete VM snapshots, and (with expunge) delete what sits at device 0."""
    vm: Vm = call["id"]

    def finish() -> dict[str, Any]:
        if vm.state not in GONE:
            _destroyed(cloud, call, vm)
        if not call["expunge"] or _expunges_nothing(cloud, vm):
            return shown(cloud, vm, call)
        expunged(cloud, vm)
        nothing: list[Any] = []
        lists = dict.fromkeys(("securitygroup", "nic", "affinitygroup", "tags"), nothing)
        return {"virtualmachine": {**lists, "deleteprotection": False}}

    return cloud.submit(
        call,
        finish,
        check=lambda: _check_destroy(cloud, call, vm),
        host="stop" if vm.state == "Running" else "",
        queue=vm.id,
        instance=("VirtualMachine", vm.id),
    )


def _expunges_nothing(cloud: Cloud, vm: Vm) -> bool:
    """CS-DES-08: 4.15 takes a destroyed VM for done."""
    return common.release(cloud) < (4, 16) and vm.state == "Destroyed"


def _check_destroy(cloud: Cloud, call: Call, vm: Vm) -> None:
    if vm.state in GONE and not call["expunge"]:  # CS-DES-02
        return
    if call["expunge"] and not _may_expunge(cloud, call):
        raise refuse("CS-DES-01" if common.release(cloud) >= (4, 20) else "CS-DES-01b")
    if vm.protected:
        raise refuse("CS-DES-03", id=vm.id, instance=vm.instance)
    disks = cloud.attached(vm)
    root = next((d for d in disks if d.device == 0), None)
    if root is not None and any(s.state in ("Creating", "BackingUp") for s in cloud.snapshots_of(root)):
        raise refuse("CS-DES-04", cloud.wording)
    wrong = [cloud.find("Volume", i) for i in call["volumeids"] or () if i not in {d.id for d in disks if d.device != 0}]
    if wrong:
        told = "".join(f"{volume.told()}; " for volume in wrong if volume is not None)
        raise Refused(431, f"The following supplied volumes are not DATADISK attached to the VM: {told}")
    for disk in disks:
        if disk.id in (call["volumeids"] or ()) and disk.protected:
            told = f"Volume [id = {disk.id}, name = {disk.name}] has delete protection enabled and cannot be deleted"
            raise Refused(431, told)


def _may_expunge(cloud: Cloud, call: Call) -> bool:
    return bool(call.account.is_root or cloud.in_force["allow.user.expunge.recover.vm"])


def _destroyed(cloud: Cloud, call: Call, vm: Vm) -> None:
    """CS-DES-05: data disks go free, whatever snapshots there are; the root and the NICs stay with the VM."""
    if vm.state in ("Running", "Stopping", "Starting"):
        halt(cloud, vm)
    if vm.is_wiped:
        raise refuse("CS-DES-07")
    for disk in cloud.attached(vm):
        if disk.device != 0:
            cloud.take_off(disk)
            if disk.id in (call["volumeids"] or ()):
                disk.state, disk.destroyed = "Destroy", cloud.now()
    _forget_snapshots(cloud, vm)
    vm.state, vm.updated = "Expunging" if vm.state == "Error" else "Destroyed", cloud.now()
    for disk in cloud.attached(vm):
        if cloud.in_force["destroy.root.volume.on.vm.destruction"]:
            disk.state, disk.destroyed = "Destroy", cloud.now()


def _forget_snapshots(cloud: Cloud, vm: Vm) -> None:
    """CS-DES-07, 12: VM snapshots go with the VM; the root returns to its base, data disks have gone as they were."""
    had_any = bool(cloud.snapshot_rows(vm))
    if not vm_snapshots.delete_all(cloud, vm):
        raise refuse("CS-DES-07" if common.release(cloud) >= (4, 20) else "CS-DES-07b", vm=vm.told())
    for disk in cloud.attached(vm):
        if had_any and disk.path is not None:
            disk.path = disk.id


def expunged(cloud: Cloud, vm: Vm) -> None:
    """CS-DES-06, 11: what sits at device 0 is deleted, delete-protected or not."""
    for disk in cloud.attached(vm):
        cloud.take_off(disk)
        disk.removed, disk.state = True, "Expunged"
    for card in vm.nics:
        card.removed = True
    addresses.forget_vm(cloud, vm)
    vm.removed, vm.state = True, "Expunging"


@command("expungeVirtualMachine", VM, java="org.apache.cloudstack.api.command.admin.vm.ExpungeVMCmd", asynchronous=True)
def expunge(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Remove a destroyed VM for good."""
    vm: Vm = call["id"]

    def check() -> None:
        if vm.state not in (*GONE, "Error"):
            raise refuse("CS-EXP-01")
        if not _may_expunge(cloud, call):
            raise refuse("CS-EXP-02")

    def finish() -> dict[str, Any]:
        expunged(cloud, vm)
        return {"success": True}

    return cloud.submit(call, finish, check=check, instance=("VirtualMachine", vm.id))


@command("recoverVirtualMachine", Param("id", "VirtualMachine", required=True, owned=True, removed=True))
def recover(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Bring a destroyed VM back, stopped; its data disks and snapshots do not come back."""
    vm: Vm = call["id"]
    if vm.removed:
        raise Refused(431, f"Unable to find an Instance with id {vm.n}")
    if not _may_expunge(cloud, call):
        raise refuse("CS-REC-02")
    if vm.state != "Destroyed":
        raise refuse("CS-REC-01", id=vm.id)
    common.check_limits(cloud, cloud.accounts[vm.account], {"user_vm": 1, "cpu": vm.cpus, "memory": vm.memory})
    vm.state, vm.details[views.FREED] = "Stopped", "false"
    return {"virtualmachine": views.vm(cloud, vm, call.account)}


# --- list -------------------------------------------------------------------------------------------------------------

FILTERS = (
    Param("id", "VirtualMachine"),
    Param("ids", "list"),
    Param("name"),
    Param("state"),
    Param("zoneid", "Zone"),
    Param("networkid", "Network"),
    Param("templateid", "Template"),
    Param("hostid", "Host"),
    Param("details", "list"),
    Param("hypervisor"),
)


@command("listVirtualMachines", *FILTERS, roles=READERS)
def list_vms(cloud: Cloud, call: Call) -> dict[str, Any]:
    """VMs the caller may see; destroyed ones only for administrators (CS-LST-03)."""
    wanted = _groups(call)
    rows = _found(cloud, call)
    return page(call, "virtualmachine", common.Views(rows, lambda vm: views.vm(cloud, vm, call.account, wanted=wanted)))


def _groups(call: Call) -> frozenset[str]:
    asked = call["details"] or ["all"]
    strange = [group for group in asked if group not in (*views.GROUPS, "all")]
    if strange:
        known = ", ".join(["all", *views.GROUPS])
        raise Refused(431, f"The details parameter contains a non permitted value. The allowed values are [{known}]")
    return views.EVERYTHING if "all" in asked else frozenset(asked)


def _found(cloud: Cloud, call: Call) -> list[Vm]:
    found = common.chosen(cloud, call, cloud.vms.values(), "VirtualMachine")
    hides = not call.account.is_root and not cloud.in_force["allow.user.view.destroyed.vm"]
    rows = [vm for vm in found if not (vm.state in GONE and (hides or call["state"] == "present"))]
    rows = rows if call["state"] == "present" else common.in_state(call, rows)
    rows = common.by_keyword(call, rows, lambda vm: f"{vm.name} {vm.display_name} {vm.state}")
    return [vm for vm in rows if _named(cloud, call, vm) and _elsewhere(call, vm)]


def _named(cloud: Cloud, call: Call, vm: Vm) -> bool:
    """CS-LST-02: the whole host name, or part of it up to 4.16."""
    wanted = call["name"]
    return wanted is None or vm.name == wanted or (common.release(cloud) < (4, 17) and wanted in vm.name)


def _elsewhere(call: Call, vm: Vm) -> bool:
    on = call["networkid"] is None or any(n.network == call["networkid"].id for n in vm.nics if not n.removed)
    of = call["templateid"] is None or vm.template == call["templateid"].id
    at = call["hostid"] is None or vm.host == call["hostid"].id
    return on and of and at
