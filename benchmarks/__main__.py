"""`make bench`: every figure with its bound, in one table.

It measures and judges nothing: figures of a machine that does other work are worth little, so the exit code is always 0.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import client, failovers, inventory, peer, restart, simulated_cloud
from benchmarks.table import Row, lines

SLOTS = 25
LIBRARIES = """
import gc, sys
gc.disable()
sys.modules["aiohttp"] = sys.modules["pygments"] = None
import click, cs, pydantic_settings, requests, sqlalchemy, stamina, yaml
"""


def main() -> int:
    print(
        *lines(
            [
                *_failovers(),
                *_many(),
                *restart.rows(),
                *_commands(),
                *inventory.rows(),
                *client.rows(),
                *simulated_cloud.rows(),
            ]
        ),
        sep="\n",
    )
    return 0


def _failovers() -> list[Row]:
    return _fleet("", failovers.run(50, 1, 10.0, SLOTS, 2.5), 50, 10.0)


def _many() -> list[Row]:
    """Many VMs of three disks with short jobs, and Ansible beside them."""
    ours = failovers.run(200, 3, 1.0, SLOTS, 0.25)
    theirs = peer.rows(ours, ours.there / _bound(ours.jobs_there, 1.0))
    return [*_fleet("of three disks: ", ours, 200, 1.0), *theirs]


def _fleet(which: str, r: failovers.Result, vms: int, seconds: float) -> list[Row]:
    there, back = r.there / _bound(r.jobs_there, seconds), r.back / _bound(r.jobs_back, seconds)
    return [
        Row(f"{which}makespan there / bound", there, f"{vms} failovers, {r.jobs_there} jobs of {seconds:g} s"),
        Row(f"{which}makespan back / bound", back, f"{vms} taken back, {r.jobs_back} jobs"),
        Row(f"{which}API calls per mutating action", r.calls / r.actions, f"{r.calls} / {r.actions}"),
        Row(f"{which}controller CPU per mutating action", 1000 * r.cpu / r.actions, f"{r.cpu:.1f} s / {r.actions}"),
    ]


def _bound(jobs: int, seconds: float) -> float:
    """What the cloud's slots allow at best, in seconds."""
    return jobs * seconds / SLOTS


def _commands() -> list[Row]:
    """The command line as users have it: compiled."""
    from simulator import RealClock, load_estate, serve

    failover = str(Path(sys.executable).with_name("failover"))
    with tempfile.TemporaryDirectory() as folder, serve(load_estate("examples/estate.yaml", RealClock())) as server:
        subprocess.run([failover, "init", folder, "--endpoint", server.url], check=True, capture_output=True)
        spec = Path(folder) / "specs" / "lnx-db3.yaml"
        spec.write_text("vm: lnx-db3\nstate: test-failover\nfor: 30m\n", encoding="utf-8")
        helping = _median([failover, "--help"], folder)
        planning = _median([failover, "plan", "specs"], folder)
        loading = _median([sys.executable, "-c", LIBRARIES], folder)
    return [
        Row("failover --help", helping, "median of 6"),
        Row("failover plan, 2 VMs", planning, "median of 6"),
        Row("failover plan / loading its libraries", planning / loading, f"{loading:.0f} ms of it"),
    ]


def _median(command: list[str], folder: str, runs: int = 7) -> float:
    users = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, env=users, capture_output=True, check=False)
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[1:])


if __name__ == "__main__":
    sys.exit(main())
