"""Many test failovers at once: makespan over the lower bound, API calls and controller CPU per mutating action.

The simulated cloud runs in a process of its own; its clock stands while the controller computes and is turned when the
controller waits, so the makespan is that of the schedule and not of this machine. CPU is this process's alone.
"""

from __future__ import annotations

import contextlib
import gc
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import fleet
from plans.plan import Plan
from reconciler import operations, wiring
from reconciler.cli import init
from reconciler.settings import Limits
from reconciler.store import database, embedded
from specs import load

READS = ("list", "query", "get")
_ADDRESS = re.compile(r"http://\S+?(?=:? |$|\n)")
CALLS_PER_SECOND = 200  # more than the slots take, so that the schedule is measured and not the settings' own brake


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark run came to. Times are simulated seconds but `cpu`, which is real."""

    there: float
    back: float
    jobs_there: int
    jobs_back: int
    calls: int
    actions: int
    cpu: float


class RemoteClock:
    """The simulated cloud's clock, turned over its control port. `cpu` are the seconds that turning it took in here."""

    def __init__(self, control: str) -> None:
        self.control, self._now, self.cpu = control, datetime.now(UTC), 0.0
        self._now = datetime.fromisoformat(self._ask("/clock", {"advance": 0})["now"])

    def now(self) -> datetime:
        return self._now

    def wait(self, span: timedelta, stop: threading.Event) -> None:
        del stop
        began = time.thread_time()
        self._now = datetime.fromisoformat(self._ask("/clock", {"advance": max(span.total_seconds(), 0.05)})["now"])
        self.cpu += time.thread_time() - began

    def calls(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.control}/calls", timeout=30) as answer:
            told: dict[str, int] = json.load(answer)
            return told

    def _ask(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.control}{path}", json.dumps(content).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            told: dict[str, Any] = json.load(answer)
            return told


@contextlib.contextmanager
def cloud_of(vms: int, disks: int, seconds: float, slots: int) -> Iterator[tuple[Path, str, RemoteClock]]:
    """A simulated cloud with that fleet in a process of its own: a folder to work in, its address, its clock."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "estate.yaml").write_text(fleet.estate(vms, disks, seconds, slots), encoding="utf-8")
        command = [sys.executable, "-m", "simulator", "--port", "0", "--turned", "--estate", str(folder / "estate.yaml")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as cloud:
            assert cloud.stdout is not None
            try:
                url, control = (_ADDRESS.search(cloud.stdout.readline())[0] for _ in range(2))  # type: ignore[index]
                yield folder, url, RemoteClock(control.rstrip(":"))
            finally:
                cloud.terminate()


def run(vms: int, disks: int, seconds: float, slots: int, poll: float) -> Result:
    """Fail that many VMs over and back. Raises RuntimeError when one does not arrive."""
    gc.collect()
    gc.freeze()  # as the command line does when everything is loaded
    with cloud_of(vms, disks, seconds, slots) as (folder, url, clock):
        return _measured(
            connected(
                folder,
                url,
                clock,
                (vms, disks),
                Limits(max_runs=max(vms, slots), poll=timedelta(seconds=poll), lease=timedelta(days=1)),
            ),
            clock,
            vms,
        )


def _measured(controller: wiring.Connected, clock: RemoteClock, vms: int) -> Result:
    found = planned(controller, vms)
    keys = frozenset(p.vm_key for p in found)
    began, cpu, before = clock.now(), time.process_time() - clock.cpu, clock.calls()
    for plan in found:
        operations.approve(controller, plan, by="benchmark")
    operations.drive(controller.engine, keys, lambda _: None, operations.Halt())
    there = (clock.now() - began).total_seconds()
    cpu_there, between = time.process_time() - clock.cpu - cpu, clock.calls()
    if not all(s.run is not None and s.run.state == "holding" for s in operations.status(controller)):
        raise RuntimeError("not every VM is testing")
    clock.wait(timedelta(hours=25), threading.Event())
    began, cpu, again = clock.now(), time.process_time() - clock.cpu, clock.calls()
    operations.drive(controller.engine, keys, lambda _: None, operations.Halt())
    back = (clock.now() - began).total_seconds()
    cpu_back, after = time.process_time() - clock.cpu - cpu, clock.calls()
    if any(s.run is not None for s in operations.status(controller)):
        left = [(s.vm, str(s.run.state), s.run.reason) for s in operations.status(controller) if s.run]
        raise RuntimeError(f"not every VM is back: {left[:3]}")
    first, second = used(before, between), used(again, after)
    changing = [mutating(calls) for calls in (first, second)]
    jobs = [sum(n for c, n in m.items() if c != "deleteVolume") for m in changing]
    actions = sum(sum(m.values()) for m in changing)
    return Result(there, back, jobs[0], jobs[1], sum(first.values()) + sum(second.values()), actions, cpu_there + cpu_back)


def used(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """The calls between two counts, by command."""
    return {c: n - before.get(c, 0) for c, n in after.items() if n > before.get(c, 0)}


def mutating(calls: dict[str, int]) -> dict[str, int]:
    """Those of them that change something."""
    return {command: n for command, n in calls.items() if not command.startswith(READS)}


def connected(folder: Path, url: str, clock: RemoteClock, size: tuple[int, int], limits: Limits) -> wiring.Connected:
    """A new database with a fleet of so many VMs of so many disks, and everything that works on it."""
    store = database.Database(f"sqlite:///{folder / 'failover.db'}", create=True)
    with store.begin() as connection:
        embedded.create(connection)
        embedded.load(connection, fleet.rows(*size))
    database.upgrade(store)
    init.furnish(folder, url, example=True)
    found = wiring.settings(folder / "failover.yaml")
    cloud = found.cloudstack.model_copy(update={"calls_per_second": CALLS_PER_SECOND})
    return wiring.connected(found.model_copy(update={"engine": limits, "cloudstack": cloud}), clock)


def planned(controller: wiring.Connected, vms: int) -> list[Plan]:
    """A test failover of each VM, planned. Raises RuntimeError when one is refused."""
    text = "".join(f"---\nvm: vm-{n:05d}\nstate: test-failover\nfor: 1d\n" for n in range(vms))
    specs = load.load_text(text, "benchmark.yaml").specs
    found = operations.plan_all(controller, specs)
    there = [f for f in found if isinstance(f, Plan)]
    if len(there) < len(found):
        raise RuntimeError(f"refused: {next(f for f in found if not isinstance(f, Plan))}")
    return there
