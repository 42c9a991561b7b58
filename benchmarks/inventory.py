"""The replication system's database with 10,000 VMs of three disks: one look at it, and the readiness of all of them.

    python -m benchmarks.inventory

Each database is measured in a process of its own, whose memory counts: its first look, and the best of those after it,
between which the replication system writes to a hundredth of its jobs; beside them the bare driver that fetches the same
columns of the same tables. Readiness is judged from such a look and an estate with every volume where it belongs.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from benchmarks import fleet
from benchmarks.table import Row, lines
from plans.observed import Capabilities, Estate, Machine, Network, Volume
from plans.readiness import Fresh, Kind, assess
from reconciler import observe, readiness
from reconciler.clock import SystemClock
from reconciler.settings import ReadinessSection
from reconciler.store import embedded, legacy
from reconciler.store.database import Database, upgrade
from tests import mariadb

VMS, DISKS, BEST_OF = 10_000, 3, 3
MIB = 1024
GIB = 1024**3


def rows() -> list[Row]:
    """The rows of the table; those of MariaDB only where it is installed."""
    note = f"{VMS:,} VMs of {DISKS} disks"
    with tempfile.TemporaryDirectory(prefix="failover-bench-") as folder:
        small = _apart(f"sqlite:///{folder}/replication.db")
        if mariadb.program("mariadbd") is None:
            return _rows(small, f"{note}, SQLite; MariaDB is not installed")
        with _server() as url:
            large = _apart(url)
    slower = max(small["look"], large["look"]) / min(small["look"], large["look"])
    ratio = Row(
        "the slower database / the other, one look", slower, f"SQLite {small['look']:.2f} s, MariaDB {large['look']:.2f} s"
    )
    return [*_rows(large, f"{note}, MariaDB"), ratio]


def _rows(found: dict[str, float], note: str) -> list[Row]:
    return [
        Row("inventory, one look", found["look"], note),
        Row("inventory, the first look of a process", found["first"], note),
        Row("inventory, memory of the process", found["rss"], note),
        Row("inventory / bare cursor", found["look"] / found["bare"], f"{found['bare']:.2f} s for the same columns"),
        Row("readiness of all", found["readiness"], note),
    ]


@contextmanager
def _server() -> Iterator[str]:
    with mariadb.serving() as server:
        yield server.url(server.database())


def _apart(url: str) -> dict[str, float]:
    """What a process of its own measured on this database, after another one filled it."""
    for what in ("fill", "measure"):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.inventory", what, url], check=True, capture_output=True, text=True
        )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _fill(url: str) -> None:
    database = Database(url, create=True)
    with database.begin() as connection:
        embedded.create(connection)
        embedded.load(connection, fleet.rows(VMS, DISKS, len(fleet.DATA_DEVICES)))
    upgrade(database)


def _measure(url: str) -> dict[str, float]:
    database = Database(url)
    adopted = legacy.adopt(database)
    first = _took(lambda: _look(database, adopted))
    look = _best(lambda: _look(database, adopted), lambda: _replicate(database))
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
    return {
        "first": first,
        "look": look,
        "rss": rss,
        "bare": _best(lambda: _bare(database, adopted)),
        "readiness": _readiness(database, adopted),
    }


def _best(work: Callable[[], Any], between: Callable[[], Any] = lambda: None) -> float:
    """The quickest of some times, in seconds, without what was left over of the ones before."""
    times = []
    for _ in range(BEST_OF):
        between()
        times.append(_took(work))
    return min(times)


def _took(work: Callable[[], Any]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _replicate(database: Database) -> None:
    """What replication does all the while: some jobs, here and there, get on."""
    on = sa.text("UPDATE replication_jobs SET progress_percent = COALESCE(progress_percent, 0) + 1 WHERE id LIKE '%7_7'")
    with database.begin() as connection:
        if connection.execute(on).rowcount != VMS // 100:
            raise RuntimeError("not a hundredth of the jobs")


def _look(database: Database, adopted: legacy.Legacy) -> observe.Fleet:
    with database.read() as connection:
        return observe.fleet(adopted.sources(connection))


def _bare(database: Database, adopted: legacy.Legacy) -> int:
    """The same columns of the same tables through the driver alone, as it hands them over."""
    count = 0
    raw = database.engine.raw_connection()
    try:
        cursor = raw.cursor()
        for table in adopted.tables.values():
            names = [c for part in legacy.READ[table.name] for c in part if c in table.c]
            cursor.execute(f"SELECT {', '.join(names)} FROM {table.name}")
            count += len(cursor.fetchall())
    finally:
        raw.close()
    return count


def _readiness(database: Database, adopted: legacy.Legacy) -> float:
    known, now = _look(database, adopted), SystemClock().now()
    estate = _estate(known)
    fresh = Fresh(now, ReadinessSection().sync_age)

    def judged() -> int:
        worlds = ((s, observe.world(estate, known, s, observe.Memory())) for s in known.sources.values())
        return sum(assess(readiness.asked(s), Kind.TEST, world, fresh=fresh).is_ready for s, world in worlds)

    if judged() != VMS:
        raise RuntimeError("not every VM of the fleet is ready")
    return _best(judged)


def _estate(known: observe.Fleet) -> Estate:
    """A cloud that has everything where it belongs."""
    zone, machines, volumes = fleet.ZONE, dict[str, Machine](), dict[str, Volume]()
    hung: dict[str, int] = defaultdict(int)
    for source in known.sources.values():
        appliance = source.platform.appliance_id if source.platform is not None else ""
        machines[appliance] = Machine(appliance, appliance, appliance, "Running", zone, started=True)
        for disk in source.disks:
            ident, device = disk.volume_id or "", fleet.DATA_DEVICES[hung[appliance]]
            hung[appliance] += 1
            volumes[ident] = Volume(ident, ident, "Ready", "DATADISK", disk.size_gb * GIB, zone, appliance, device)
    network = Network(fleet.TEST_NET, "test", "L2", "Implemented", zone)
    able = Capabilities("4.22.1.0", kvm_snapshot_enabled=True, may_expunge=True)
    return Estate(SystemClock().now(), able, machines, volumes, {}, {}, {network.id: network})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work = {"fill": _fill, "measure": lambda url: print(json.dumps(_measure(url)))}[sys.argv[1]]
        work(sys.argv[2])
    else:
        print(*lines(rows()), sep="\n")
