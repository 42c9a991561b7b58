"""Worlds to plan in: the seed's VM, one with three disks, and any number invented by hypothesis."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from plans.observed import (
    Capabilities,
    Disk,
    Machine,
    Network,
    NetworkMapping,
    Nic,
    Platform,
    Source,
    Volume,
    World,
)
from specs.model import Origin, Spec, State
from specs.values import VmRef

GIB = 1024**3
ZONE = "00000000-0000-4000-8000-0000000000a1"
APPLIANCE = "00000000-0000-4000-8000-00000000000a"
TEST_NET = Network("00000000-0000-4000-8000-0000000000b3", "test-network-default", "L2", "Implemented", ZONE)
PRODUCTION = Network("00000000-0000-4000-8000-0000000000b1", "network-production-123", "Isolated", "Implemented", ZONE)
NETWORKS = {n.id: n for n in (TEST_NET, PRODUCTION)}

CAPABLE = Capabilities("4.22.1.0", kvm_snapshot_enabled=False, may_expunge=True)


def spec(**changes: Any) -> Spec:
    wanted = Spec(
        vm=VmRef(name="PGWINTESTBIOS"),
        state=State.TEST_FAILOVER,
        duration=timedelta(minutes=30),
        origin=Origin(file="demo.yaml", line=1),
    )
    return wanted.model_copy(update=changes)


def volume_id(number: int) -> str:
    return f"3d000000-0000-4000-8000-{number:012d}"


def source(disks: int = 1, **changes: Any) -> Source:
    made = tuple(Disk(f"disk-{2000 + n}", 40 + n, n, volume_id(n), change_id=f"52 3c/{n + 1}") for n in range(disks))
    base = Source(
        key="4205a841-0265-f4bd-39a6-39fd92196f53",
        name="PGWINTESTBIOS",
        vcenter="vcenter.example.org",
        cpus=2,
        memory_mb=4096,
        os_type="windows2019srv_64",
        firmware="bios",
        adapters=("VM Network",),
        disks=made,
        last_job_id="job-20250818-153521",
        mappings=(
            NetworkMapping("VM Network", TEST_NET.id, TEST_NET.name, is_test=True),
            NetworkMapping("VM Network", PRODUCTION.id, PRODUCTION.name, is_test=False),
        ),
        platform=Platform(
            "primary-ossea",
            ZONE,
            "00000000-0000-4000-8000-0000000000e1",
            "00000000-0000-4000-8000-0000000000c1",
            APPLIANCE,
        ),
    )
    return replace(base, **changes)


def appliance_devices(count: int) -> list[int]:
    return [n for n in range(1, count + 3) if n != 3][:count]


def world(disks: int = 1, **changes: Any) -> World:
    described = changes.pop("source", None) or source(disks)
    appliance = Machine(APPLIANCE, "oma-appliance", "oma-appliance", "Running", ZONE, started=True)
    root = Volume("00000000-0000-4000-8000-0000000000d0", "ROOT-1", "Ready", "ROOT", 8 * GIB, ZONE, APPLIANCE, 0)
    devices = appliance_devices(len(described.disks))
    replicas = [
        Volume(d.volume_id, f"migration-{d.key}", "Ready", "DATADISK", d.size_gb * GIB, ZONE, APPLIANCE, device)
        for d, device in zip(described.disks, devices, strict=True)
        if d.volume_id
    ]
    base = World(
        source=described,
        capabilities=CAPABLE,
        appliance=appliance,
        guest=None,
        volumes={v.id: v for v in (root, *replicas)},
        snapshots={},
        vm_snapshots={},
        networks=NETWORKS,
        test_networks=frozenset({TEST_NET.id}),
    )
    return replace(base, **changes)


def with_guest(before: World, **changes: Any) -> World:
    guest = Machine(
        "9e000000-0000-4000-8000-000000000001",
        "pgwintestbios-test",
        "PGWINTESTBIOS (Test)",
        "Stopped",
        ZONE,
        started=False,
        nics=(Nic("n1", TEST_NET.id, is_default=True),),
    )
    return replace(before, guest=replace(guest, **changes))


disk_counts = st.integers(min_value=1, max_value=6)
