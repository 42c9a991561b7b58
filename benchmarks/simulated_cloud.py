"""Speed of the simulated cloud: how fast it is furnished and listed, and how much faster than real time it runs when turned.

    python -m benchmarks.simulated_cloud

`make bench` shows its rows. Times are those of the wall clock: repeat on a quiet machine.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from benchmarks.table import Row, lines
from simulator import Cloud, TurnedClock, load_estate

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
VMS, DISKS, BUSY = 10_000, 3, 20
HOUR, POLL = 3600.0, 2.0
ZONE, POOL, NETWORK, OFFERING, TEMPLATE = (f"00000000-0000-4000-8000-00000000000{n}" for n in range(1, 6))


def rows() -> list[Row]:
    """The simulated cloud's rows of the table."""
    began = time.perf_counter()
    cloud = load_estate(estate(VMS, DISKS), TurnedClock(START))
    loaded = time.perf_counter() - began
    page = max(_page(cloud, command) for command in ("listVirtualMachines", "listVolumes"))
    return [
        Row("simulated cloud, loading", loaded, f"{VMS:,} VMs x {DISKS} volumes"),
        Row("simulated cloud, a page of 500", 1000 * page, "the slower of VMs and volumes"),
        Row("simulated cloud, turned clock / real time", hour(), f"an hour of {BUSY} busy VMs, polled every {POLL:g} s"),
    ]


def _page(cloud: Cloud, command: str) -> float:
    """Seconds for one page in the middle, the best of three."""
    spans = []
    for page in (7, 8, 9):
        began = time.perf_counter()
        reply = cloud.as_account("dr").call(command, page=page, pagesize=500)
        spans.append(time.perf_counter() - began)
        assert reply.status == 200
    return min(spans)


def hour() -> float:
    """How many times faster than real time an hour goes by in which VMs start and stop without a pause."""
    clock = TurnedClock(START)
    cloud = load_estate(estate(BUSY, 1), clock)
    user, began = cloud.as_account("dr"), time.perf_counter()
    todo = {vm: cycle(("startVirtualMachine", "stopVirtualMachine")) for vm in cloud.vms}
    pending: dict[str, str] = {}
    while (clock.now() - START).total_seconds() < HOUR:
        for vm, commands in todo.items():
            if vm not in pending:
                pending[vm] = user.call(next(commands), id=vm).json.popitem()[1]["jobid"]
        clock.advance(POLL)
        listed = user.call("listAsyncJobs", listall=True).json["listasyncjobsresponse"].get("asyncjobs", ())
        under_way = {row["jobid"] for row in listed}
        pending = {vm: job for vm, job in pending.items() if job in under_way}
    return HOUR / (time.perf_counter() - began)


def estate(vms: int, disks: int) -> dict[str, Any]:
    """A cloud of one account with so many VMs, each with so many volumes."""
    world: dict[str, Any] = {
        "accounts": [{"name": "dr", "role": "user", "api_key": "key", "secret_key": "secret"}],
        "zones": [{"id": ZONE, "name": "zone"}],
        "storage_pools": [{"id": POOL, "name": "pool", "type": "NetworkFilesystem", "scope": "CLUSTER"}],
        "networks": [{"id": NETWORK, "name": "net", "type": "L2", "account": "dr", "zone": ZONE}],
        "service_offerings": [{"id": OFFERING, "name": "small", "cpunumber": 1, "memory": 512, "cpuspeed": 1000}],
        "templates": [{"id": TEMPLATE, "name": "tiny", "format": "QCOW2"}],
        "vms": [],
        "volumes": [],
    }
    for number in range(vms):
        vm = f"10000000-0000-4000-8000-{number:012d}"
        card = {"network": NETWORK, "mac": f"02:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}:00:01"}
        row = {"id": vm, "name": f"vm-{number}", "account": "dr", "zone": ZONE, "offering": OFFERING, "template": TEMPLATE}
        world["vms"].append({**row, "nics": [card]})
        for device in range(disks):
            disk = {
                "id": f"2000000{device}-0000-4000-8000-{number:012d}",
                "name": f"disk-{number}-{device}",
                "account": "dr",
            }
            world["volumes"].append({**disk, "zone": ZONE, "gib": 10, "vm": vm, "device": device})
    return world


if __name__ == "__main__":
    print(*lines(rows()), sep="\n")
