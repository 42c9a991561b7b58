"""The database and the cloud that a plot begins with: rows of the replication tables, and a furnished simulator.

`stage` asks for both. The tables are made once and copied; only the rows differ from plot to plot.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import Any

import sqlalchemy as sa
import yaml

from reconciler.cli.init import SAMPLE
from reconciler.store import embedded
from reconciler.store.database import Database, upgrade
from simulator import Clock, Cloud, load_estate
from tests.simulation.plots import Plot, Vm

ZONE = "00000000-0000-4000-8000-0000000000a1"
POOL = "00000000-0000-4000-8000-0000000000e9"
TEST_NET = "00000000-0000-4000-8000-0000000000b3"
PRODUCTION_NET = "00000000-0000-4000-8000-0000000000b1"
GIVEN_AT = "2025-08-18 12:00:00"
CHANGE_ID = "52 3c ec 11 9e 2c 4c 3d-87 4a c3 4e 85 f2 ea 95/5"
NETWORK = '{"adapters":[{"network":"LAN"}]}'
DATA_DEVICES = tuple(n for n in range(1, 34) if n != 3)
CONTEXTS = """
create table vm_replication_contexts (
  context_id varchar(64) primary key, vm_name varchar(255), vmware_vm_id varchar(255), vcenter_host varchar(255),
  current_status varchar(64), last_status_change datetime
)"""


def appliance(number: int) -> str:
    """The id of an appliance."""
    return f"a0000000-0000-4000-8000-{number:012d}"


def places(plot: Plot) -> dict[str, tuple[str, int]]:
    """Where every replica hangs when the curtain rises: volume id to appliance and device."""
    found: dict[str, tuple[str, int]] = {}
    for vm in plot.vms:
        taken = sum(1 for home, _ in found.values() if home == appliance(vm.appliance))
        found |= {v: (appliance(vm.appliance), DATA_DEVICES[taken + n]) for n, v in enumerate(vm.volumes)}
    return found


# --- the database -----------------------------------------------------------------------------------------------------


def database_of(plot: Plot, shared: bool = False) -> Database:
    """The database in memory, emptied, with the rows of these VMs. There is one connection, which all lives share.

    Where it is `shared`, threads share it, too: whoever calls sees to it that only one goes, and none within a transaction.

    It is the same for all plots, one after another, so that what is known of its tables need not be worked out again.
    """
    made = _database(shared)
    raw = connection_of(made)
    raw.deserialize(_tables())
    for vm in plot.vms:
        _describe(raw, vm)
    for number in sorted({vm.appliance for vm in plot.vms}):
        row = {**_config(), "id": number + 1, "name": f"site-{number}", "oma_vm_id": appliance(number)}
        insert(raw, "ossea_configs", row)
    return made


def connection_of(database: Database) -> sqlite3.Connection:
    """The one connection under a database in memory, past everything that the product does with it."""
    pooled = database.engine.raw_connection()
    driver: Any = pooled.driver_connection
    pooled.close()
    return driver


@cache
def _database(shared: bool) -> Database:
    made = Database("sqlite://")
    if shared:
        usual: Any = made.engine.pool
        made.engine.pool = sa.pool.StaticPool(usual._creator, _dispatch=usual.dispatch, dialect=usual._dialect)
    return made


@cache
def _tables() -> bytes:
    made = Database("sqlite://")
    with made.begin() as connection:
        embedded.create(connection)
        connection.exec_driver_sql(CONTEXTS)
    upgrade(made)
    return connection_of(made).serialize()


@cache
def _config() -> dict[str, Any]:
    return embedded.sample(SAMPLE)["ossea_configs"][0]


def _describe(raw: sqlite3.Connection, vm: Vm) -> None:
    job = f"job-{vm.number}"
    names = {"source_vm_id": vm.key, "source_vm_name": vm.name, "vcenter_host": "vc"}
    insert(raw, "replication_jobs", {"id": job, **names, "status": "completed", "created_at": GIVEN_AT})
    mapping = {"vm_id": vm.key, "source_network_name": "LAN", "destination_network_name": "net"}
    for network, is_test in ((TEST_NET, 1), (PRODUCTION_NET, 0)):
        insert(raw, "network_mappings", {**mapping, "destination_network_id": network, "is_test_network": is_test})
    context = {"context_id": f"ctx-{vm.number}", "vm_name": vm.name, "vmware_vm_id": vm.key, "vcenter_host": "vc"}
    insert(raw, "vm_replication_contexts", {**context, "current_status": "ready_for_failover"})
    for disk, volume in enumerate(vm.volumes):
        number, key = vm.number * 64 + disk + 1, f"disk-{2000 + disk}"
        insert(raw, "ossea_volumes", {"id": number, "volume_id": volume, "ossea_config_id": vm.appliance + 1})
        told = {"cpu_count": 2, "memory_mb": 2048, "network_config": NETWORK} if disk == 0 else {}
        row = {"id": number, "job_id": job, "disk_id": key, "size_gb": 1, "unit_number": disk, "ossea_volume_id": number}
        insert(raw, "vm_disks", {**row, "created_at": GIVEN_AT, **told})
        good = {"change_id": CHANGE_ID, "sync_success": 1, "created_at": GIVEN_AT}
        insert(raw, "cbt_history", {"id": number, "job_id": job, "disk_id": key, **good})


def insert(raw: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    raw.execute(f"insert into {table} ({', '.join(row)}) values ({', '.join('?' * len(row))})", tuple(row.values()))


# --- the cloud --------------------------------------------------------------------------------------------------------


def cloud_of(plot: Plot, clock: Clock) -> Cloud:
    """The simulated cloud with the appliances and the replicas of these VMs."""
    example = _estate()["vms"][0]
    sites = sorted({vm.appliance for vm in plot.vms})
    common = {"account": "failover", "zone": ZONE, "gib": 1, "pool": POOL}
    roots = [
        {**common, "id": f"d0000000-0000-4000-8000-{n:012d}", "name": f"ROOT-{n}", "vm": appliance(n), "device": 0}
        for n in sites
    ]
    replicas = [
        {**common, "id": volume, "name": f"replica-{volume[:13]}", "vm": home, "device": device}
        for volume, (home, device) in places(plot).items()
    ]
    estate = {
        **_estate(),
        "vms": [{**example, "id": appliance(n), "name": f"appliance-{n}"} for n in sites],
        "volumes": [*roots, *replicas],
        "settings": {**_estate()["settings"], **plot.settings},
    }
    return load_estate(estate, clock, seed=plot.seed, durations=plot.durations)


@cache
def _estate() -> dict[str, Any]:
    text = SAMPLE.with_name("estate.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return found
