"""VM snapshots: create, revert, delete, list. Which strategy takes one, `strategies` says.

A file-based snapshot turns the file under each disk into the snapshot and puts an overlay above it (`Volume.path` changes);
deleting it merges the overlay back, so what the guest wrote is kept. The rows of a VM form a tree: `parent`, and one is `current`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simulator import states, strategies, views
from simulator.commands import common
from simulator.model import Vm, VmSnapshot, Volume
from simulator.refusals import Refused, refuse
from simulator.registry import READERS, command
from simulator.strategies import Strategy
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user.vmsnapshot."
ROW = Param("vmsnapshotid", "VMSnapshot", required=True, owned=True)
USABLE = ("Running", "Stopped")


# --- create -----------------------------------------------------------------------------------------------------------


@command(
    "createVMSnapshot",
    Param("virtualmachineid", "VirtualMachine", required=True, owned=True),
    Param("name", field="displayName"),
    Param("description"),
    Param("snapshotmemory", "bool"),
    Param("quiescevm", "bool"),
    java=JAVA + "CreateVMSnapshotCmd",
    creates=True,
    since="4.2.0",
)
def create(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Snapshot a VM. Everything that can be refused is refused at once, with one code and a prefix (CS-VSC-01)."""
    vm: Vm = call["virtualmachineid"]
    memory = call["snapshotmemory"] is True
    try:
        _check_create(cloud, vm, memory)
    except Refused as fault:
        raise _prefixed(cloud, fault) from None
    row = _allocated(cloud, call, vm, memory)
    chosen: list[Strategy] = []

    def begin() -> None:
        chosen.append(_begun(cloud, vm, row))

    def finish() -> dict[str, Any]:
        try:
            _taken(cloud, vm, row, chosen[0])
        except Refused as fault:
            _failed(cloud, vm, row)
            told = f"Failed to create {_words(cloud)}: [{row.told()}] due to: {fault.text}"
            raise Refused(fault.code, told) from None
        return {"vmsnapshot": views.vm_snapshot(cloud, row)}

    return cloud.submit(
        call, finish, begin=begin, host="vmsnapshot", queue=vm.id, instance=("VmSnapshot", None), entity=row.id
    )


def _check_create(cloud: Cloud, vm: Vm, memory: bool) -> None:
    """What the create phase looks at, in its order."""
    said, release = cloud.wording, common.release(cloud)
    if vm.state not in USABLE:
        raise refuse("CS-VSC-03", said, n=vm.n)
    if memory and vm.state != "Running":
        raise refuse("CS-VSC-04", said)
    if release < (4, 17) and vm.hypervisor == "KVM" and vm.state == "Running" and not memory:
        raise refuse("CS-VSC-02", said)
    if release >= (4, 16) and not any(d.kind == "ROOT" and d.state == "Ready" for d in cloud.attached(vm)):
        raise refuse("CS-VSC-05", said, id=vm.id)
    if release >= (4, 17) and strategies.for_vm(cloud, vm, memory) is None:
        raise strategies.no_strategy(cloud, vm, memory)
    _check_tasks(cloud, vm)


def _check_tasks(cloud: Cloud, vm: Vm) -> None:
    said, rows = cloud.wording, cloud.snapshot_rows(vm)
    most = int(cloud.in_force.get("vmsnapshot.max", 10))
    if len(rows) >= most:
        raise refuse("CS-VSC-07", said, n=most)
    disks = cloud.attached(vm)
    if any(s.is_active for d in disks if d.state == "Ready" for s in cloud.snapshots_of(d) if s.state != "Allocated"):
        raise refuse("CS-VSC-08", said)
    if common.release(cloud) < (4, 16) and any(d.format != "QCOW2" for d in disks):
        raise refuse("CS-VSC-02b", said)
    if any(row.is_active for row in rows):
        raise refuse("CS-VSC-09", said)


def _prefixed(cloud: Cloud, fault: Refused) -> Refused:
    """CS-VSC-01, 02: from 4.17 every refusal is 530 with a prefix and unmasked, but null pointers are what they are."""
    if common.release(cloud) < (4, 17) or fault.masked:
        return Refused(fault.code, fault.text, fault.cs, fault.masked or fault.code == 530)
    return Refused(530, f"Failed to create {_words(cloud)}: {fault.text}", fault.cs)


def _words(cloud: Cloud) -> str:
    return "Instance Snapshot" if cloud.wording == "W2" else "vm snapshot"


def _allocated(cloud: Cloud, call: Call, vm: Vm, memory: bool) -> VmSnapshot:
    now = cloud.now()
    row = VmSnapshot(cloud.new_id(), cloud.number("VMSnapshot"), vm.account, now, vm=vm.id, vm_n=vm.n, current=None)
    row.name = f"{vm.instance}_VS_{now:%Y%m%d%H%M%S}"
    row.display_name, row.description = call["name"] or row.name, call["description"]
    row.kind = "DiskAndMemory" if memory else "Disk"
    cloud.vm_snapshots[row.id] = row
    return row


def _begun(cloud: Cloud, vm: Vm, row: VmSnapshot) -> Strategy:
    """The job has its turn: the strategy is chosen once more; a file-based one holds the volumes (CS-VSC-15)."""
    strategy = strategies.for_row(cloud, vm, row)
    states.move(row, states.VM_SNAPSHOT, "CreateRequested")
    row.on_files = strategy is Strategy.FILES
    if row.on_files:
        for disk in cloud.attached(vm):
            states.move(disk, states.VOLUME, "SnapshotRequested")
    return strategy


def _taken(cloud: Cloud, vm: Vm, row: VmSnapshot, strategy: Strategy) -> None:
    _TAKE[strategy](cloud, vm, row)
    disks, before = cloud.attached(vm), _current(cloud, vm)
    row.contents = {d.id: cloud.content_of(d) for d in disks}
    row.sizes = {d.id: d.size for d in disks}
    row.machine = (vm.offering, vm.cpus, vm.memory)
    if row.on_files:
        for disk in disks:
            states.move(disk, states.VOLUME, "OperationSucceeded")
            row.files[disk.id], disk.path = disk.path or disk.id, cloud.new_id()
    if before is not None:
        before.current, row.parent = False, before.id
    states.move(row, states.VM_SNAPSHOT, "OperationSucceeded")
    row.current = True


def _by_files(cloud: Cloud, vm: Vm, row: VmSnapshot) -> None:
    if common.release(cloud) >= (4, 22, 2) and "UEFI" in vm.details and vm.state == "Stopped" and vm.last_host is None:
        raise refuse("CS-VSC-16", cloud.wording, id=vm.id)
    if cloud.faults.host_fails("vmsnapshot"):
        raise Refused(530, f"Disk-only VM snapshot for VM [{vm.id}] failed.")


def _by_storage(cloud: Cloud, vm: Vm, row: VmSnapshot) -> None:
    """CS-VSC-13: the guest is frozen first, which needs an agent inside it, and a guest."""
    if not vm.guest_agent or vm.state != "Running":
        raise refuse("CS-VSC-13", cloud.wording, instance=vm.instance)


def _by_default(cloud: Cloud, vm: Vm, row: VmSnapshot) -> None:
    """CS-VSC-11: the host looks for a running domain; one that is stopped has none."""
    fails = cloud.faults.host_fails("vmsnapshot")
    if fails or (vm.hypervisor == "KVM" and vm.state != "Running" and not cloud.obliging_hosts):
        raise refuse("CS-VSC-11", cloud.wording, name=row.name, instance=vm.instance)


def _by_plugin(cloud: Cloud, vm: Vm, row: VmSnapshot) -> None:
    if cloud.faults.host_fails("vmsnapshot"):
        raise Refused(530, f"Could not create VM snapshot of VM [{vm.id}].")


_TAKE = {
    Strategy.FILES: _by_files,
    Strategy.STORAGE: _by_storage,
    Strategy.DEFAULT: _by_default,
    Strategy.PLUGIN: _by_plugin,
}


def _failed(cloud: Cloud, vm: Vm, row: VmSnapshot) -> None:
    """The row stays, in Error, and blocks until somebody deletes it."""
    for disk in cloud.attached(vm):
        if disk.state == "Snapshotting" and row.on_files:
            states.move(disk, states.VOLUME, "OperationFailed")
    states.move(row, states.VM_SNAPSHOT, "OperationFailed")
    row.on_files = False


# --- revert -----------------------------------------------------------------------------------------------------------


@command("revertToVMSnapshot", ROW, java=JAVA + "RevertToVMSnapshotCmd", asynchronous=True, by_admin=True)
def revert(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Put a VM's disks (and its memory, if that was kept) back to what they were (CS-VSR-04)."""
    row: VmSnapshot = call["vmsnapshotid"]
    vm = cloud.vms[row.vm]

    def begin() -> None:
        if any(r.is_active for r in cloud.snapshot_rows(vm)):
            raise refuse("CS-VSR-03b", cloud.wording)
        _check_revert(cloud, vm, row)
        states.move(row, states.VM_SNAPSHOT, "RevertRequested")

    def finish() -> dict[str, Any]:
        if cloud.faults.host_fails("revert"):  # CS-VSR-05
            states.move(row, states.VM_SNAPSHOT, "OperationFailed")
            rule = "CS-VSR-05" if row.on_files else "CS-VSR-05b"
            raise refuse(rule, cloud.wording, id=row.id, instance=vm.instance, name=row.name)
        _reverted(cloud, vm, row)
        return {"virtualmachine": views.vm(cloud, vm, call.account)}

    return cloud.submit(
        call,
        finish,
        check=lambda: _check_revert(cloud, vm, row),
        begin=begin,
        host="revert",
        queue=vm.id,
        instance=("VmSnapshot", None),
    )


def _check_revert(cloud: Cloud, vm: Vm, row: VmSnapshot) -> None:
    said = cloud.wording
    if any(r.is_active for r in cloud.snapshot_rows(vm)):
        raise refuse("CS-VSR-03", said)
    if vm.state not in USABLE:
        raise refuse("CS-VSR-02b", said)
    if vm.state == "Running" and row.kind == "Disk":
        raise refuse("CS-VSR-01", said)
    if vm.state == "Stopped" and row.kind == "DiskAndMemory":
        raise refuse("CS-VSR-01b", said)
    if row.state != "Ready":
        raise refuse("CS-VSR-02", said)


def _reverted(cloud: Cloud, vm: Vm, row: VmSnapshot) -> None:
    for disk in cloud.attached(vm):
        if disk.id in row.contents:
            disk.content, disk.size = row.contents[disk.id], row.sizes[disk.id]
        if row.on_files:
            disk.path = cloud.new_id()
    vm.offering, vm.cpus, vm.memory = row.machine
    before = _current(cloud, vm)
    if before is not None:
        before.current = False
    states.move(row, states.VM_SNAPSHOT, "OperationSucceeded")
    row.current = True
    if before is not None and row.on_files:
        _sweep(cloud, vm, before)


# --- delete -----------------------------------------------------------------------------------------------------------


@command("deleteVMSnapshot", ROW, java=JAVA + "DeleteVMSnapshotCmd", asynchronous=True)
def delete(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Forget a snapshot; what the disks hold now is kept (CS-VSD-02)."""
    row: VmSnapshot = call["vmsnapshotid"]
    vm = cloud.vms[row.vm]

    def begin() -> None:
        states.move(row, states.VM_SNAPSHOT, "ExpungeRequested")

    def finish() -> dict[str, Any]:
        if not expunge(cloud, vm, row):
            raise refuse("CS-VSD-03", cloud.wording)
        return {"success": True}

    return cloud.submit(
        call,
        finish,
        check=lambda: _check_delete(cloud, vm, row),
        begin=begin,
        host="merge",
        queue=vm.id,
        instance=("VmSnapshot", None),
    )


def _check_delete(cloud: Cloud, vm: Vm, row: VmSnapshot) -> None:
    if row.state not in ("Ready", "Error", "Expunging"):
        raise refuse("CS-VSD-01", cloud.wording, row=row.told())
    others = [r for r in cloud.snapshot_rows(vm) if r.is_active and r is not row]
    if others or (row.is_active and row.state != "Expunging"):
        raise refuse("CS-VSR-03", cloud.wording)


def delete_all(cloud: Cloud, vm: Vm) -> bool:
    """All rows of a VM that is being destroyed, oldest first; False when a host fails (CS-DES-07)."""
    for row in cloud.snapshot_rows(vm):
        if (row.state, "ExpungeRequested") not in states.VM_SNAPSHOT:
            return False
        states.move(row, states.VM_SNAPSHOT, "ExpungeRequested")
        if not expunge(cloud, vm, row):
            return False
    return True


def expunge(cloud: Cloud, vm: Vm, row: VmSnapshot) -> bool:
    """Take an Expunging row away; False when the host fails: then it is Error, or Expunging for ever if file-based (CS-VSD-03)."""
    failed = cloud.faults.host_fails("merge")
    if failed or _is_undeletable(cloud, vm, row):
        unreadable = (
            failed and cloud.obliging_hosts
        )  # the agent of CloudStack's own simulator says no in a way nobody understands
        if not row.on_files and not unreadable:
            states.move(row, states.VM_SNAPSHOT, "OperationFailed")
        return False
    if row.on_files:
        _merged(cloud, vm, row)
    else:
        _untied(cloud, row)
        _gone(row)
    return True


def _is_undeletable(cloud: Cloud, vm: Vm, row: VmSnapshot) -> bool:
    """CS-VSD-04: rows that failed inside the file, while the VM is stopped, in releases that misread `no such snapshot`."""
    if row.contents or row.on_files:
        return False
    if cloud.obliging_hosts:
        return vm.last_host is None  # that agent knows no VM that it never ran
    if vm.state == "Running" or vm.hypervisor != "KVM":
        return False
    root = next((d for d in cloud.attached(vm) if d.device == 0), None)
    if root is not None and root.format != "QCOW2":
        return True
    told = common.release(cloud)
    return (4, 18, 2) <= told < (4, 19, 0) or (4, 19, 1) <= told < (4, 20, 2) or (4, 21) <= told < (4, 22)


def _merged(cloud: Cloud, vm: Vm, row: VmSnapshot) -> None:
    """File-based: the overlay, or the next snapshot, is merged into this one's files; where others depend on it, it hides."""
    children = _children(cloud, row)
    was_current = row.current is True
    if was_current and not children:
        _merge_overlay(cloud, vm, row)
    elif not children:
        _sweep(cloud, vm, cloud.vm_snapshots.get(row.parent or ""))
    elif not was_current and len(children) == 1:
        _merge_into(row, children[0])
    if len(children) > 1 or (was_current and children):
        states.move(row, states.VM_SNAPSHOT, "Hide")
        return
    _gone(row)


def _merge_overlay(cloud: Cloud, vm: Vm, row: VmSnapshot) -> None:
    for disk in cloud.attached(vm):
        disk.path = row.files.get(disk.id, disk.path)
    row.current = False
    parent = cloud.vm_snapshots.get(row.parent or "")
    if parent is not None:
        parent.current = True


def _merge_into(row: VmSnapshot, child: VmSnapshot) -> None:
    child.files.update(row.files)
    child.parent = row.parent


def _sweep(cloud: Cloud, vm: Vm, hidden: VmSnapshot | None) -> None:
    """A hidden row goes as soon as at most one thing depends on it."""
    if hidden is None or hidden.removed or hidden.state != "Hidden":
        return
    children = [r for r in _children(cloud, hidden) if not r.removed]
    if hidden.current:
        _merge_overlay(cloud, vm, hidden)
    elif len(children) == 1:
        _merge_into(hidden, children[0])
    else:
        return
    states.move(hidden, states.VM_SNAPSHOT, "ExpungeRequested")
    _gone(hidden)


def _untied(cloud: Cloud, row: VmSnapshot) -> None:
    """Inside one file there is no chain: children get the row's parent, and the parent becomes current."""
    for child in cloud.vm_snapshots.values():
        if child.parent == row.id:
            child.parent = row.parent
    parent = cloud.vm_snapshots.get(row.parent or "")
    if row.current and parent is not None:
        parent.current = True
    row.current = False


def _gone(row: VmSnapshot) -> None:
    states.move(row, states.VM_SNAPSHOT, "OperationSucceeded")
    row.removed = True


def _children(cloud: Cloud, row: VmSnapshot) -> list[VmSnapshot]:
    rows = cloud.snapshot_rows(cloud.vms[row.vm])
    return [r for r in rows if r.parent == row.id and r.state in ("Ready", "Hidden")]


def _current(cloud: Cloud, vm: Vm) -> VmSnapshot | None:
    return next((r for r in cloud.snapshot_rows(vm) if r.current), None)


def keeps_on_files(cloud: Cloud, volume: Volume) -> bool:
    """Whether a file-based snapshot of its VM exists, which leaves no strategy for a volume snapshot (CS-SNP-05)."""
    vm = common.vm_of(cloud, volume)
    return vm is not None and any(row.on_files for row in cloud.snapshot_rows(vm))


# --- list -------------------------------------------------------------------------------------------------------------


@command(
    "listVMSnapshot",
    Param("vmsnapshotid", "VMSnapshot"),
    Param("vmsnapshotids", "list"),
    Param("virtualmachineid", "VirtualMachine"),
    Param("name"),
    Param("state"),
    Param("keyword"),
    roles=READERS,
)
def list_vm_snapshots(cloud: Cloud, call: Call) -> dict[str, Any]:
    """VM snapshots the caller may see, newest first; hidden rows are not shown, though they block (CS-VSL-01)."""
    rows = common.chosen(cloud, call, cloud.vm_snapshots.values(), "VMSnapshot")
    rows = [row for row in reversed(rows) if row.state != "Hidden" and _matches(call, row)]
    rows = common.by_keyword(call, common.in_state(call, rows), lambda row: row.display_name)
    return page(call, "vmSnapshot", common.Views(rows, lambda row: views.vm_snapshot(cloud, row)))


def _matches(call: Call, row: VmSnapshot) -> bool:
    wanted: Mapping[str, bool] = {
        "vmsnapshotid": call.has("vmsnapshotid") and row.id == call["vmsnapshotid"].id,
        "vmsnapshotids": call.has("vmsnapshotids") and row.id in call["vmsnapshotids"],
        "virtualmachineid": call.has("virtualmachineid") and row.vm == call["virtualmachineid"].id,
        "name": call.has("name") and row.display_name == call["name"],
    }
    return all(matches for name, matches in wanted.items() if call.has(name))
