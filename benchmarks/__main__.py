"""`make bench`: every figure with its bound, in one table."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import failovers, simulated_cloud

VMS, SECONDS, SLOTS, POLL = 50, 10.0, 25, 2.5


def main() -> int:
    rows = [*_failovers(), *_commands(), *simulated_cloud.rows()]
    print(f"{'what':<58} {'measured':>12} {'wanted':>10}")
    for what, measured, wanted in rows:
        print(f"{what:<58} {measured:>12} {wanted:>10}")
    return 0


def _failovers() -> list[tuple[str, str, str]]:
    r = failovers.run(VMS, 1, SECONDS, SLOTS, POLL)
    bound_there, bound_back = r.jobs_there * SECONDS / SLOTS, r.jobs_back * SECONDS / SLOTS
    return [
        (f"makespan / bound, {VMS} failovers, {r.jobs_there} jobs there", f"{r.there / bound_there:.3f}", "<= 1.15"),
        (f"makespan / bound, {VMS} taken back, {r.jobs_back} jobs", f"{r.back / bound_back:.3f}", "<= 1.15"),
        (f"API calls per mutating action ({r.calls} / {r.actions})", f"{r.calls / r.actions:.2f}", "<= 1.6"),
        ("controller CPU per mutating action", f"{1000 * r.cpu / r.actions:.1f} ms", "<= 5 ms"),
    ]


def _commands() -> list[tuple[str, str, str]]:
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
        ("failover --help", f"{helping:.0f} ms", "<= 150 ms"),
        ("failover plan, 2 VMs", f"{planning:.0f} ms", "<= 500 ms"),
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
