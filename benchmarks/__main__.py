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

from benchmarks import client, failovers, simulated_cloud
from benchmarks.table import Row, lines

VMS, SECONDS, SLOTS, POLL = 50, 10.0, 25, 2.5


def main() -> int:
    print(*lines([*_failovers(), *_commands(), *client.rows(), *simulated_cloud.rows()]), sep="\n")
    return 0


def _failovers() -> list[Row]:
    r = failovers.run(VMS, 1, SECONDS, SLOTS, POLL)
    bound_there, bound_back = r.jobs_there * SECONDS / SLOTS, r.jobs_back * SECONDS / SLOTS
    return [
        Row("makespan there / bound", r.there / bound_there, f"{VMS} failovers, {r.jobs_there} jobs"),
        Row("makespan back / bound", r.back / bound_back, f"{VMS} taken back, {r.jobs_back} jobs"),
        Row("API calls per mutating action", r.calls / r.actions, f"{r.calls} / {r.actions}"),
        Row("controller CPU per mutating action", 1000 * r.cpu / r.actions, f"{r.cpu:.1f} s / {r.actions}"),
    ]


def _commands() -> list[Row]:
    """The command line as users have it: compiled, and without the libraries that only developers install."""
    from simulator import RealClock, load_estate, serve

    failover = str(Path(sys.executable).with_name("failover"))
    with tempfile.TemporaryDirectory() as folder, serve(load_estate("examples/estate.yaml", RealClock())) as server:
        subprocess.run([failover, "init", folder, "--endpoint", server.url], check=True, capture_output=True)
        spec = Path(folder) / "specs" / "lnx-db3.yaml"
        spec.write_text("vm: lnx-db3\nstate: test-failover\nfor: 30m\n", encoding="utf-8")
        helping = _median([failover, "--help"], folder)
        planning = _median([failover, "plan", "specs"], folder)
    return [
        Row("failover --help", helping, "median of 6"),
        Row("failover plan, 2 VMs", planning, "median of 6"),
    ]


def _median(command: list[str], folder: str, runs: int = 7) -> float:
    absent = Path(folder) / "absent"
    absent.mkdir(exist_ok=True)
    (absent / "aiohttp.py").write_text("raise ImportError\n", encoding="utf-8")
    users = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPATH": str(absent)}
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, env=users, capture_output=True, check=False)
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[1:])


if __name__ == "__main__":
    sys.exit(main())
