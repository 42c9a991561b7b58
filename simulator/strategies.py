"""Who takes a VM snapshot: the server asks each strategy whether it can, and the one that claims most does it.

`commands.vm_snapshots` asks twice, as the server does: `for_vm` before it makes the row, `for_row` when the job has its turn.
The three strategies are rows of a table; storage that snapshots by its own means (StorPool, Linstor, PowerFlex) is a fourth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from simulator.commands import common
from simulator.model import Vm, VmSnapshot, Volume
from simulator.refusals import Refused, refuse

if TYPE_CHECKING:
    from simulator.cloud import Cloud

FILES = ("NetworkFilesystem", "Filesystem", "SharedMountPoint")
OWN_MEANS: Mapping[str, tuple[int, ...]] = {"StorPool": (4, 17), "Linstor": (4, 19, 3), "PowerFlex": (4, 16)}


class Strategy(StrEnum):
    """The strategies, least claim first."""

    DEFAULT = "default"
    STORAGE = "storage"
    PLUGIN = "plugin"
    FILES = "files"


Claim = Callable[["Cloud", Vm, bool], bool]


def for_vm(cloud: Cloud, vm: Vm, memory: bool) -> Strategy | None:
    """The strategy that would take a snapshot of this VM as it is now; None when none can (CS-VSC-06)."""
    return next((name for name, claims in _CLAIMS if claims(cloud, vm, memory)), None)


def for_row(cloud: Cloud, vm: Vm, row: VmSnapshot) -> Strategy:
    """The strategy once more, for a row: storage no longer asks whether the VM runs (CS-VSC-13)."""
    memory = row.kind == "DiskAndMemory"
    if _by_files(cloud, vm, memory):
        return Strategy.FILES
    if _by_plugin(cloud, vm, memory):
        return Strategy.PLUGIN
    return Strategy.STORAGE if _is_kvm(cloud, vm) and not memory and _storage_is_on(cloud) else Strategy.DEFAULT


def _by_files(cloud: Cloud, vm: Vm, memory: bool) -> bool:
    """CS-VSC-12: overlays beside the files; no memory, no volume snapshots, no backups. A disk without pool is a null pointer."""
    if common.release(cloud) < (4, 21) or memory or not _is_kvm(cloud, vm) or _rows(cloud, vm, "DiskAndMemory"):
        return False
    for volume in cloud.attached(vm):
        kind = _pool_kind(cloud, volume)
        if kind is None:
            raise refuse("CS-VSC-14")
        if kind not in FILES or cloud.snapshots_of(volume):
            return False
    return not vm.backups


def _by_plugin(cloud: Cloud, vm: Vm, memory: bool) -> bool:
    kinds = {_pool_kind(cloud, volume) for volume in cloud.attached(vm)}
    own = kinds.pop() if len(kinds) == 1 else None
    since = OWN_MEANS.get(own or "")
    return not memory and since is not None and common.release(cloud) >= since


def _by_storage(cloud: Cloud, vm: Vm, memory: bool) -> bool:
    if not _is_kvm(cloud, vm) or memory or vm.state != "Running" or not _storage_is_on(cloud):
        return False
    return common.release(cloud) < (4, 21) or not _rows(cloud, vm, "DiskAndMemory")


def _by_default(cloud: Cloud, vm: Vm, memory: bool) -> bool:
    """Snapshots inside the QCOW2 file, with memory; up to 4.16 nobody asked whether it can."""
    if not _is_kvm(cloud, vm):
        return True
    if common.release(cloud) < (4, 17):
        return True
    if vm.state == "Running" and not memory:
        return False
    if common.release(cloud) >= (4, 21) and any(row.on_files for row in cloud.snapshot_rows(vm)):
        return False
    return all(volume.format == "QCOW2" for volume in cloud.attached(vm))


_CLAIMS: Sequence[tuple[Strategy, Claim]] = (
    (Strategy.FILES, _by_files),
    (Strategy.PLUGIN, _by_plugin),
    (Strategy.STORAGE, _by_storage),
    (Strategy.DEFAULT, _by_default),
)


def no_strategy(cloud: Cloud, vm: Vm, memory: bool) -> Refused:
    """CS-VSC-06: what is said when none can, which every release says otherwise."""
    told = common.release(cloud)
    if told >= (4, 21):
        return refuse("CS-VSC-06", cloud.wording, id=vm.id)
    if told >= (4, 20, 1) and not memory and not _storage_is_on(cloud):
        return refuse("CS-VSC-06b", cloud.wording)
    return refuse("CS-VSC-06c", cloud.wording)


def _is_kvm(cloud: Cloud, vm: Vm) -> bool:
    return vm.hypervisor == "KVM"


def _storage_is_on(cloud: Cloud) -> bool:
    return common.release(cloud) >= (4, 17) and bool(cloud.in_force["kvm.vmstoragesnapshot.enabled"])


def _rows(cloud: Cloud, vm: Vm, kind: str) -> list[VmSnapshot]:
    return [row for row in cloud.snapshot_rows(vm) if row.kind == kind]


def _pool_kind(cloud: Cloud, volume: Volume) -> str | None:
    pool = common.pool_of(cloud, volume)
    return None if pool is None else str(pool.fields.get("type", "NetworkFilesystem"))
