"""Ansible's CloudStack collection beside the engine: the same simulated cloud, slots and job times, five actions a VM.

Tuned as its manual says: 50 forks, no barrier between tasks. It waits by its own clock, so the cloud's is the real one.
Without the collection (`make clients`) there are no rows.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks import failovers, fleet
from benchmarks.table import Row
from reconciler.cli.init import SAMPLE
from simulator import RealClock, load_estate, serve

PLACE = Path(__file__).parents[1] / ".venv-clients"
VMS, SECONDS, SLOTS, FORKS, PATIENCE = 20, 1.0, 25, 50, 600.0
SNAPSHOT, MACHINE = "ngine_io.cloudstack.cs_vmsnapshot", "ngine_io.cloudstack.cs_instance"
ACTIONS: tuple[tuple[str, str, dict[str, str]], ...] = (
    (SNAPSHOT, "vm", {"name": "before"}),
    (MACHINE, "name", {"state": "started"}),
    (MACHINE, "name", {"state": "stopped"}),
    (SNAPSHOT, "vm", {"name": "before", "state": "revert"}),
    (SNAPSHOT, "vm", {"name": "before", "state": "absent"}),
)


def rows(ours: failovers.Result, bound: float) -> list[Row]:
    """Its figures over those of a run of ours, which took so long over its bound."""
    if not (PLACE / "made").exists():
        return []
    with tempfile.TemporaryDirectory() as name:
        makespan, calls, cpu = _played(Path(name))
    actions = VMS * len(ACTIONS)
    theirs = makespan / (actions * SECONDS / SLOTS)
    note = f"{VMS} VMs, {FORKS} forks, free: {makespan:.0f} s = {theirs:.1f} x its bound, "
    note += f"{calls / actions:.1f} calls, {1000 * cpu / actions:.0f} ms CPU per action"
    return [
        Row("Ansible's makespan over its bound / ours", theirs / bound, note),
        Row("Ansible's API calls per mutating action / ours", calls / actions / (ours.calls / ours.actions)),
        Row("Ansible's CPU per mutating action / ours", cpu / actions / (ours.cpu / ours.actions)),
    ]


def _played(folder: Path) -> tuple[float, int, float]:
    """Seconds, API calls and CPU seconds of one play. Raises RuntimeError when a task of it fails."""
    names = [f"vm-{n:05d}" for n in range(VMS)]
    cloud = load_estate(_estate(names), RealClock())
    (folder / "play.yml").write_text(yaml.safe_dump(_play()), encoding="utf-8")
    (folder / "inventory").write_text("".join(f"{n} ansible_connection=local\n" for n in names), encoding="utf-8")
    with serve(cloud) as server:
        cpu, began = _children(), time.perf_counter()
        done = subprocess.run(
            [
                PLACE / "bin" / "ansible-playbook",
                "-i",
                "inventory",
                "-f",
                str(FORKS),
                "-e",
                f"api_url={server.url}",
                "play.yml",
            ],
            cwd=folder,
            env=_environment(folder),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"Ansible's play ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return took, cloud.calls.total(), _children() - cpu


def _estate(names: list[str]) -> dict[str, Any]:
    """The sample cloud with that many stopped VMs of one disk instead of its own."""
    made: dict[str, Any] = yaml.safe_load(SAMPLE.with_name("estate.yaml").read_text(encoding="utf-8"))
    machine, root = made["vms"][0], made["volumes"][0]
    made |= {"durations": SECONDS, "slots": SLOTS}
    ids = [fleet.appliance(n) for n in range(len(names))]
    made["vms"] = [
        {**machine, "id": i, "name": name, "state": "Stopped", "nics": [{"network": fleet.TEST_NET, "mac": _mac(n)}]}
        for n, (i, name) in enumerate(zip(ids, names, strict=True))
    ]
    made["volumes"] = [{**root, "id": fleet.volume_id(n, 0), "name": f"ROOT-{n}", "vm": i} for n, i in enumerate(ids)]
    return made


def _mac(number: int) -> str:
    return f"02:00:5e:01:{number // 256:02x}:{number % 256:02x}"


def _play() -> list[dict[str, Any]]:
    where = "{{ inventory_hostname }}"
    keys = {"api_url": "{{ api_url }}", "api_key": "demo-api-key", "api_secret": "demo-secret-key"}
    tasks = [{module: {**keys, **arguments, of: where, "zone": "zone1"}} for module, of, arguments in ACTIONS]
    return [{"hosts": "all", "gather_facts": False, "strategy": "free", "tasks": tasks}]


def _children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _environment(folder: Path) -> dict[str, str]:
    plain = {"PATH": f"{PLACE / 'bin'}:{os.defpath}", "HOME": str(folder), "LC_ALL": "C.UTF-8", "PYTHONNOUSERSITE": "1"}
    return plain | {
        "ANSIBLE_COLLECTIONS_PATH": str(PLACE / "collections"),
        "ANSIBLE_PYTHON_INTERPRETER": str(PLACE / "bin" / "python"),
        "ANSIBLE_PIPELINING": "1",
    }
