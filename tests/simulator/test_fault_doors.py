"""Every kind of fault by each of its three doors: set from Python, read from a YAML file, sent to the control port.

One story is told to a cloud in which the fault was set by that door; what a client is told and what is true at the end must
be the same, and must not be what a cloud without the fault tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from simulator import Cloud, TurnedClock, load_estate, serve
from simulator.faults import KINDS, ConnectionCut
from tests.simulator.signing import expiring, signed
from tests.simulator.world import CUSTOM, NET, POOL, START, TEMPLATE, ZONE, estate

VM, ROOT, DATA, SPARE = (f"90000000-0000-4000-8000-00000000000{n}" for n in range(1, 5))
WAIT = 10.0
STRUCK: Mapping[str, dict[str, Any]] = {
    "refuse": {"command": "listVolumes", "code": 503, "text": "busy"},
    "drop": {"command": "attachVolume"},
    "human": {"command": "listVolumes", "do": {"command": "startVirtualMachine", "id": VM}},
    "edit": {"command": "listVolumes", "do": {"id": DATA, "path": "elsewhere", "state": "Attaching"}},
    "restart": {"command": "listVirtualMachines"},
    "clock-ahead": {"command": "listVolumes", "seconds": 3600},
    "lose-answer": {"command": "attachVolume"},
    "empty-body": {"command": "attachVolume"},
    "html": {"command": "attachVolume", "code": 502},
    "half-answer": {"command": "attachVolume"},
    "slow-answer": {"command": "attachVolume", "seconds": 0.05},
    "stale-list": {"command": "listVolumes"},
    "lost-row": {"command": "listVolumes", "nth": 2},
    "repeated-row": {"command": "listVolumes", "nth": 2},
    "job-fails": {"command": "attachVolume", "code": 530, "text": "out of luck"},
    "job-no-result": {"command": "attachVolume"},
    "job-no-effect": {"command": "attachVolume"},
    "job-code-0": {"command": "attachVolume"},
    "job-purged": {"command": "attachVolume"},
    "job-hangs": {"command": "attachVolume"},
    "job-stuck": {"command": "attachVolume"},
    "late-duplicate": {"command": "detachVolume", "seconds": 12},
    "slow": {"command": "attachVolume", "seconds": 60},
    "host-fails": {"command": "start"},
    "host-slow": {"command": "start", "seconds": 60},
}


def world() -> dict[str, Any]:
    """An estate with one stopped VM with its root, and two data disks that hang nowhere."""
    vm = {
        "id": VM,
        "name": "guest",
        "account": "dr",
        "zone": ZONE,
        "offering": CUSTOM,
        "template": TEMPLATE,
        "state": "Stopped",
    }
    vm["nics"] = [{"network": NET, "mac": "02:00:00:00:00:01", "ip": "10.1.1.9"}]
    disks = [
        {"id": i, "name": name, "account": "dr", "zone": ZONE, "gib": 1, "pool": POOL}
        for i, name in ((ROOT, "root"), (DATA, "data"), (SPARE, "spare"))
    ]
    disks[0] |= {"vm": VM, "device": 0, "type": "ROOT"}
    return estate(vms=[vm], volumes=disks)


def asked(cloud: Cloud, command: str, **params: Any) -> Any:
    """One signed call: status and body, or what became of the connection."""
    try:
        reply = cloud.call(
            signed(command, **expiring(START, minutes=10), **{key: str(value) for key, value in params.items()})
        )
    except ConnectionCut:
        return "cut"
    return reply.status, reply.body, reply.cut, reply.delay


def story(cloud: Cloud, clock: TurnedClock) -> list[Any]:
    """What a client is told, and the truth at the end."""
    told = [asked(cloud, "listVolumes", page=1, pagesize=2), asked(cloud, "attachVolume", id=DATA, virtualmachineid=VM)]
    clock.advance(1)
    told += [asked(cloud, "listVirtualMachines"), asked(cloud, "listAsyncJobs")]
    clock.advance(10)
    told += [asked(cloud, "listVolumes", page=2, pagesize=2), asked(cloud, "detachVolume", id=DATA)]
    clock.advance(10)
    told += [asked(cloud, "attachVolume", id=DATA, virtualmachineid=VM), asked(cloud, "startVirtualMachine", id=VM)]
    clock.advance(20)
    told += [asked(cloud, "listVolumes"), asked(cloud, "listVirtualMachines"), asked(cloud, "listAsyncJobs")]
    return [*told, cloud.truth()]


def by_python(row: dict[str, Any], folder: Path) -> list[Any]:
    clock = TurnedClock(START)
    cloud = load_estate(world(), clock, durations=2.0)
    cloud.faults.add(**row)
    return story(cloud, clock)


def by_yaml(row: dict[str, Any], folder: Path) -> list[Any]:
    path, clock = folder / "estate.yaml", TurnedClock(START)
    path.write_text(yaml.safe_dump({**world(), "faults": [row]}), encoding="utf-8")
    return story(load_estate(path, clock, durations=2.0), clock)


def by_control_port(row: dict[str, Any], folder: Path) -> list[Any]:
    clock = TurnedClock(START)
    cloud = load_estate(world(), clock, durations=2.0)
    with serve(cloud, control_port=0) as server:
        assert requests.post(f"{server.control_url}/faults", json=row, timeout=WAIT).status_code == 200
    return story(cloud, clock)


DOORS = {"python": by_python, "yaml": by_yaml, "control-port": by_control_port}


def test_every_kind_has_its_sample() -> None:
    assert set(STRUCK) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_the_same_by_every_door_and_is_felt(kind: str, tmp_path: Path) -> None:
    row = {"kind": kind, **STRUCK[kind]}
    told = {name: door(dict(row), tmp_path) for name, door in DOORS.items()}
    assert told["python"] == told["yaml"] == told["control-port"]
    clock = TurnedClock(START)
    assert told["python"] != story(load_estate(world(), clock, durations=2.0), clock)


def test_the_control_port_tells_what_is_set_and_takes_it_away() -> None:
    cloud = load_estate(world(), TurnedClock(START))
    with serve(cloud, control_port=0) as server:
        url = f"{server.control_url}/faults"
        requests.post(url, json={"kind": "refuse", "command": "listZones"}, timeout=WAIT)
        assert requests.get(url, timeout=WAIT).json()["rules"] == [
            {"kind": "refuse", "command": "listZones", "seen": 0, "fired": 0}
        ]
        assert requests.delete(url, timeout=WAIT).json()["faults"] == 0
    assert cloud.faults.rules == []


def test_the_same_seed_strikes_the_same_calls_byte_for_byte(tmp_path: Path) -> None:
    def told(seed: int) -> str:
        clock = TurnedClock(START)
        cloud = load_estate(world(), clock, durations=2.0)
        for kind in ("refuse", "lose-answer", "job-no-result", "slow"):
            cloud.faults.add(kind, chance=0.4, times=100, seed=seed, seconds=3)
        return repr(story(cloud, clock))

    assert len({told(1) for _ in range(100)}) == 1
    assert told(1) != told(2)
