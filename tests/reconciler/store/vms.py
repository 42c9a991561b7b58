"""The sample VMs of the replication system, numbered as its documentation numbers them, as rows of the documented tables.

Numbers 1 and 2 are the product's own sample; the others are built here. What one number stands for that are several VMs,
is numbered 230 and on. `tests.scenarios.sample` gives the same VMs a cloud.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.store import embedded
from tests.reconciler.store.generations import Row, Rows

SAMPLE = Path(__file__).parents[3] / "examples" / "sample.yaml"
TEST = ("00000000-0000-4000-8000-0000000000b3", "test-network-default")
PRODUCTION = ("00000000-0000-4000-8000-0000000000b1", "network-production-123")
FIRST = datetime.fromisoformat("2025-08-01 12:00:00")
GOOD = "52 a1 00 11 9e 2c 4c 3d-87 4a c3 4e 85 f2 ea 95/3"
ADAPTERS = '{"adapters":[{"network":"VM Network","type":"vmxnet3"}]}'


def uuid(number: int) -> str:
    return f"4205a841-0265-f4bd-39a6-{number:012x}"


def volume(number: int, disk: int = 2000, generation: int = 0) -> str:
    return f"3d{number:06d}-0000-4000-8000-{generation:04d}{disk:08d}"


def job(number: int, which: int = 0) -> str:
    return f"job-{number:04d}-{which}"


@dataclass
class Vm:
    """One VM. `jobs` are statuses, oldest first; `synced` are (job, disk, ChangeID, success), oldest first.

    `rows` says which jobs wrote disk rows; each job's volumes are its own, unless `volumes` says otherwise. A VM without
    jobs was only discovered. `snapshot` is the snapshot that the database remembers of every volume, `context` the status
    that a context has, where there are any.
    """

    number: int
    name: str
    disks: Sequence[int] = (2000,)
    cpus: int = 2
    os_type: str = "ubuntu64"
    vcenter: str = "vcenter.example.org"
    jobs: Sequence[str] = ("completed",)
    rows: Sequence[int] = (0,)
    volumes: dict[int, str | None] = field(default_factory=dict)
    synced: Sequence[tuple[int, int, str | None, bool | None]] | None = None
    adapters: Sequence[str | None] = (ADAPTERS,)
    mapped_as: str | None = None
    mapped: Sequence[bool] = (True, False)
    progress: float = 0
    firmware: str = "bios"
    snapshot: str | None = None
    context: str = "ready_for_failover"

    def at(self, which: int) -> datetime:
        return FIRST + timedelta(days=which)

    def job_rows(self) -> Iterable[Row]:
        for which, status in enumerate(self.jobs):
            yield {
                "id": job(self.number, which),
                "source_vm_id": uuid(self.number).upper() if which % 2 else uuid(self.number),
                "source_vm_name": self.name,
                "vcenter_host": self.vcenter,
                "status": status,
                "replication_type": "incremental" if which else "initial",
                "progress_percent": 100 if status == "completed" else self.progress,
                "context_status": self.context,
                "ossea_config_id": 1,
                "created_at": self.at(which),
            }

    def volume_of(self, which: int, disk: int) -> str | None:
        return self.volumes.get(disk, volume(self.number, disk, which))

    def gib(self, disk: int) -> int:
        return 40 + self.disks.index(disk)

    def disk_rows(self, ids: dict[str, int]) -> Iterable[Row]:
        for which in self.rows:
            for place, disk in enumerate(self.disks):
                named = self.volume_of(which, disk)
                yield {
                    "job_id": job(self.number, which) if self.jobs else None,
                    "disk_id": f"disk-{disk}",
                    "size_gb": self.gib(disk),
                    "unit_number": place,
                    "ossea_volume_id": ids[named] if named else None,
                    "cpu_count": self.cpus if place == 0 else 0,
                    "memory_mb": self.cpus * 2048 if place == 0 else 0,
                    "os_type": self.os_type,
                    "display_name": self.name,
                    "vmware_uuid": uuid(self.number),
                    "power_state": "poweredOn",
                    "network_config": self.adapters[min(which, len(self.adapters) - 1)] if place == 0 else None,
                    "bios_setup": json.dumps({"firmware": self.firmware}) if place == 0 else None,
                    "created_at": self.at(which),
                }

    def cbt_rows(self) -> Iterable[Row]:
        entries = self.synced if self.synced is not None else [(self.rows[-1], disk, GOOD, True) for disk in self.disks]
        for place, (which, disk, change, success) in enumerate(entries):
            yield {
                "job_id": job(self.number, which),
                "disk_id": f"disk-{disk}",
                "change_id": change,
                "sync_success": success,
                "created_at": self.at(which) + timedelta(hours=1, minutes=place),
            }

    def mapping_rows(self) -> Iterable[Row]:
        for is_test in self.mapped:
            network = TEST if is_test else PRODUCTION
            yield {
                "vm_id": self.mapped_as or uuid(self.number),
                "source_network_name": "VM Network",
                "destination_network_id": network[0],
                "destination_network_name": network[1],
                "is_test_network": is_test,
            }


VMS: tuple[Vm, ...] = (
    Vm(3, "lnx-db3-gap", disks=(2000, 2001, 2002), volumes={2001: None}),
    Vm(
        4,
        "web-multi-job",
        jobs=("completed", "completed", "failed", "cancelled"),
        rows=(0, 1, 2),
        synced=((0, 2000, "52 a1/1", True), (1, 2000, "52 a1/2", True), (2, 2000, "52 a1/3", False)),
    ),
    Vm(5, "no-changeid", synced=((0, 2000, "", True), (0, 2000, None, False))),
    Vm(6, "short-changeid", synced=((0, 2000, "5/1", True),)),
    Vm(7, "partial-cbt", disks=(2000, 2001), synced=((0, 2000, GOOD, True),), os_type="windows9Server64"),
    Vm(8, "legacy-net", adapters=('{"adapters":[{"network":"VM Network"},{"network":"Legacy Network"}]}',)),
    Vm(9, "no-testnet", mapped=(False,)),
    Vm(10, "busy-sync", jobs=("completed", "replicating"), progress=42),
    Vm(11, "odd-state", jobs=("completed", "ready_for_sync")),
    Vm(12, "stuck-pending"),
    Vm(13, "test-running"),
    Vm(14, "test-overdue", disks=(2000, 2001), os_type="windows2022srv_64"),
    Vm(15, "live-done", disks=(2000, 2001), os_type="windows2019srv_64", context="failed_over_live"),
    Vm(16, "half-moved", disks=(2000, 2001, 2002)),
    Vm(17, "snap-left", snapshot="17000000-0000-4000-8000-000000000001"),
    Vm(18, "drifted"),
    Vm(19, "dirty-copy"),
    Vm(20, "nvme-boot", disks=(31000, 2000), os_type="windows2022srv_64", firmware="efi"),
    Vm(21, "discovered-only", jobs=(), cpus=0, os_type="", volumes={2000: None}, synced=(), adapters=(None,), mapped=()),
    Vm(22, "spec-zero", cpus=0, os_type=""),
    Vm(230, "My_VM@2025"),
    Vm(231, "123 Server", os_type="windows2019srv_64"),
    Vm(232, "Finance DB (prod)"),
    Vm(233, "Büro-Server 7", os_type="windows2016srv_64"),
    Vm(234, "___"),
    Vm(235, f"{'a-very-long-name-' * 4}of-a-server"),
    Vm(240, "WEB.01"),
    Vm(241, "web-01"),
    Vm(250, "app1"),
    Vm(251, "app10"),
    Vm(260, "twin"),
    Vm(261, "twin", vcenter="vcenter2.example.org"),
    Vm(27, "shared-vol", disks=(2000, 2001), volumes={2000: volume(27), 2001: volume(27)}),
    Vm(28, "big-64", disks=range(2000, 2016), os_type="rhel8_64"),
    Vm(29, "bad-json", jobs=("completed", "completed"), rows=(0, 1), adapters=("null", '{"adapters":[{')),
    Vm(30, "name-keyed", mapped_as="name-keyed"),
    # traps beside the numbered ones
    Vm(101, "WEB01", mapped_as="WEB01"),
    Vm(102, "web01", vcenter="vcenter2.example.org", mapped=()),
    Vm(103, "null-adapters", adapters=('{"adapters":null}',)),
    Vm(106, "null-success", synced=((0, 2000, GOOD, None),)),
    Vm(107, "empty-newest-job", jobs=("completed", "completed")),
)
# these are told by one row for each job, which not every generation has
JOBS = (
    Vm(104, "older-adapters", jobs=("completed", "completed"), rows=(0, 1), adapters=(ADAPTERS, "null")),
    Vm(105, "replaced-volume", jobs=("completed", "completed"), rows=(0, 1), synced=((0, 2000, GOOD, True),)),
)
FAILOVERS: tuple[Row, ...] = (
    {
        "job_id": "stuck-1",
        "vm_id": uuid(12).upper(),
        "job_type": "test",
        "status": "pending",
        "source_vm_name": "stuck-pending",
    },
    {
        "job_id": "live-15",
        "vm_id": uuid(15),
        "job_type": "live",
        "status": "completed",
        "source_vm_name": "live-done",
        "destination_vm_id": "15000000-0000-4000-8000-000000000001",
    },
    {"job_id": "done-1", "vm_id": uuid(6), "job_type": "live", "status": "completed", "source_vm_name": "short-changeid"},
    {"job_id": "web-1", "vm_id": "WEB01", "job_type": "test", "status": "cleanup", "source_vm_name": "WEB01"},
)


def rows(*vms: Vm) -> Rows:
    """The rows of the product's own sample and of these VMs (all, when none is named)."""
    made: Rows = {name: list(found) for name, found in embedded.sample(SAMPLE).items()}
    chosen = vms or VMS
    ids: dict[str, int] = {}
    numbers = itertools.count(1000)
    for vm in chosen:
        for which, disk in itertools.product(vm.rows, vm.disks):
            named = vm.volume_of(which, disk)
            if named and named not in ids:
                ids[named] = next(numbers)
                made["ossea_volumes"].append(
                    {
                        "id": ids[named],
                        "volume_id": named.upper(),
                        "volume_name": f"migration-{vm.name}-{vm.name}-disk-{vm.disks.index(disk)}",
                        "size_gb": max(vm.gib(d) for d in vm.disks if vm.volume_of(which, d) == named),
                        "ossea_config_id": 1,
                        "snapshot_id": vm.snapshot,
                        "status": "attached",
                    }
                )
        made["replication_jobs"] += vm.job_rows()
        made["vm_disks"] += _numbered(vm.disk_rows(ids), numbers)
        made["cbt_history"] += _numbered(vm.cbt_rows(), numbers)
        made["network_mappings"] += vm.mapping_rows()
    shown = {uuid(vm.number) for vm in vms}
    made["failover_jobs"] = [dict(row) for row in FAILOVERS if not vms or row["vm_id"].lower() in shown]
    return made


def _numbered(found: Iterable[Row], numbers: Iterable[int]) -> list[Row]:
    return [{"id": number, **row} for row, number in zip(found, numbers, strict=False)]


def changed(made: Rows, table: str, where: dict[str, Any], **values: Any) -> Rows:
    """The same rows, with some columns of some of them changed."""
    fits = [all(row.get(c) == v for c, v in where.items()) for row in made[table]]
    assert any(fits), (table, where)
    return {**made, table: [{**row, **values} if fit else row for row, fit in zip(made[table], fits, strict=True)]}
