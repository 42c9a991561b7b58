"""The cloud of the sample VMs: the estate of the examples, with every volume that the database of these VMs names.

Rows come from `tests.reconciler.store.vms`, so VMs, database and cloud have one definition. What the documentation of the
replication system says of the cloud itself (a volume that came off, a snapshot that was left) is added here by VM number.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import yaml

from simulator import Clock, Cloud, load_estate
from tests.reconciler.store import vms
from tests.reconciler.store.generations import Rows
from tests.scenarios.house import APPLIANCE, ESTATE

ZONE = "00000000-0000-4000-8000-0000000000a1"
POOL = "00000000-0000-4000-8000-0000000000e9"
CUSTOM_DISK = "00000000-0000-4000-8000-0000000000c3"
CUSTOM_COMPUTE = "00000000-0000-4000-8000-0000000000c1"
FIRST_FREE = 6
LIVE_GUEST = "15000000-0000-4000-8000-000000000001"
ROOMY = 200
"""So many data disks may hang on one VM here: an operator of an appliance with many replicas has raised it."""


def cloud_of(rows: Rows, clock: Clock, **options: Any) -> Cloud:
    """A cloud that holds what these rows speak of; `options` are arguments of `Cloud`."""
    cloud = load_estate(_estate(rows), clock, **options)
    cloud.max_data_disks = ROOMY
    return cloud


def _estate(rows: Rows) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load(ESTATE.read_text(encoding="utf-8"))
    known = {volume["id"] for volume in made["volumes"]}
    named = [row for row in rows["ossea_volumes"] if row["volume_id"].lower() not in known]
    made["volumes"] += _volumes(named)
    made["snapshots"] = [
        {"id": row["snapshot_id"], "volume": row["volume_id"].lower(), "name": "test-snapshot-snap-left-1755000000"}
        for row in named
        if row["snapshot_id"]
    ]
    if any(_number(row["volume_id"]) == 15 for row in named):
        card = {"network": vms.PRODUCTION[0], "mac": "02:00:5e:00:00:15", "ip": "10.1.1.15"}
        guest = {"id": LIVE_GUEST, "name": "live-done", "state": "Running", "nics": [card], "offering": CUSTOM_COMPUTE}
        made["vms"].append({**guest, "account": "failover", "zone": ZONE})
    return made


def _volumes(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    free, lent = count(FIRST_FREE), count()
    for row in rows:
        place = {"vm": APPLIANCE, "device": next(free)}
        if _number(row["volume_id"]) == 15:
            place = {"vm": LIVE_GUEST, "device": next(lent)}
        if _number(row["volume_id"]) == 18:
            place = {}
        whole = {"id": row["volume_id"].lower(), "name": row["volume_name"], "gib": row["size_gb"], **place}
        yield {**whole, "account": "failover", "zone": ZONE, "offering": CUSTOM_DISK, "pool": POOL}


def _number(volume_id: str) -> int:
    """The number of the VM in the id of a volume, see `vms.volume`."""
    return int(volume_id[2:8])
