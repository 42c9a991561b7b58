"""Invented fleets: the rows of the replication database and the estate of the cloud, for any number of VMs and disks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from reconciler.cli.init import SAMPLE
from reconciler.store import embedded

ZONE = "00000000-0000-4000-8000-0000000000a1"
PER_APPLIANCE = 4
TEST_NET = "00000000-0000-4000-8000-0000000000b3"
DATA_DEVICES = [n for n in range(1, 34) if n != 3]


def appliance(number: int) -> str:
    """The id of the nth appliance."""
    return f"a0000000-0000-4000-8000-{number:012d}"


def appliances(vms: int, disks: int, each: int = PER_APPLIANCE) -> int:
    """How many appliances of `each` disks that many VMs need, when no VM's disks are spread over two of them."""
    return -(-vms // _together(disks, each))


def _together(disks: int, each: int = PER_APPLIANCE) -> int:
    return max(each // disks, 1)


def vm_key(number: int) -> str:
    """The VMware uuid of the nth invented VM."""
    return f"42000000-0000-4000-8000-{number:012d}"


def volume_id(number: int, disk: int) -> str:
    """The volume of one invented disk."""
    return f"{disk:08x}-0000-4000-8000-{number:012d}"


def rows(vms: int, disks: int, each: int = PER_APPLIANCE) -> dict[str, list[dict[str, Any]]]:
    """Rows for `embedded.load`: that many VMs with that many disks of 1 GiB, at appliances of `each` disks."""
    example = embedded.sample(SAMPLE)["ossea_configs"][0]
    made: dict[str, list[dict[str, Any]]] = {
        "ossea_configs": [
            {**example, "id": n + 1, "name": f"site-{n}", "oma_vm_id": appliance(n)}
            for n in range(appliances(vms, disks, each))
        ]
    }
    made |= {name: [] for name in ("replication_jobs", "ossea_volumes", "vm_disks", "cbt_history", "network_mappings")}
    for number in range(vms):
        for table, row in _vm(number, disks, each):
            made[table].append(row)
    return made


def _vm(number: int, disks: int, each: int) -> Iterator[tuple[str, dict[str, Any]]]:
    key, job, at = vm_key(number), f"job-{number}", "2025-08-18 12:00:00"
    names = {"source_vm_id": key, "source_vm_name": f"vm-{number:05d}", "vcenter_host": "vc"}
    yield "replication_jobs", {"id": job, **names, "status": "completed", "created_at": at}
    mapping = {"source_network_name": "LAN", "destination_network_id": TEST_NET, "destination_network_name": "test"}
    yield "network_mappings", {"vm_id": key, **mapping, "is_test_network": True}
    for disk in range(disks):
        ident, disk_key = number * 64 + disk + 1, f"disk-{2000 + disk}"
        config = number // _together(disks, each) + 1
        yield "ossea_volumes", {"id": ident, "volume_id": volume_id(number, disk), "ossea_config_id": config}
        described = {"cpu_count": 2, "memory_mb": 2048, "network_config": '{"adapters":[{"network":"LAN"}]}'}
        row = {"id": ident, "job_id": job, "disk_id": disk_key, "size_gb": 1, "unit_number": disk, "ossea_volume_id": ident}
        yield "vm_disks", {**row, "created_at": at, **(described if disk == 0 else {})}
        good = {"change_id": "52/1", "sync_success": True, "created_at": at}
        yield "cbt_history", {"id": ident, "job_id": job, "disk_id": disk_key, **good}


def estate(vms: int, disks: int, seconds: float, slots: int) -> str:
    """The cloud for that fleet as YAML, with as many appliances as it needs."""
    furnished = yaml.load(SAMPLE.with_name("estate.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    furnished |= {"durations": seconds, "slots": slots}
    example, pool = furnished["vms"][0], "00000000-0000-4000-8000-0000000000e9"
    furnished["vms"] = [{**example, "id": appliance(n), "name": f"appliance-{n}"} for n in range(appliances(vms, disks))]
    template = {"account": "failover", "zone": ZONE, "gib": 1, "pool": pool}
    furnished["volumes"] = [
        {**template, "id": f"d0000000-0000-4000-8000-{n:012d}", "name": f"ROOT-{n}", "vm": appliance(n), "device": 0}
        for n in range(appliances(vms, disks))
    ]
    for number in range(vms):
        for disk in range(disks):
            site, place = divmod(number, _together(disks))
            hung = {"vm": appliance(site), "device": DATA_DEVICES[place * disks + disk]}
            furnished["volumes"].append({**template, "id": volume_id(number, disk), "name": f"v{number}-{disk}", **hung})
    return yaml.dump(furnished, Dumper=yaml.CSafeDumper)
