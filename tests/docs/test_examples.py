"""Every example spec is checked, planned and, where this version offers it, carried out and taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.store import database, embedded
from reconciler.store.database import Database
from tests.docs import pages, trying
from tests.docs.trying import Trial
from tests.reconciler.store import vms
from tests.reconciler.store.vms import Vm

SPECS = pages.ROOT / "examples" / "specs"
NAMES = sorted(path.name for path in SPECS.glob("*.yaml"))
REFUSED = {"live.yaml": "NOT_OFFERED"}
WEB = int("39fd92196f54", 16)


def volume(number: int) -> str:
    return f"3d000000-0000-4000-8000-{number:012d}"


def adapters(*networks: str) -> tuple[str]:
    return (json.dumps({"adapters": [{"network": n, "type": "vmxnet3"} for n in networks]}),)


def vm(number: int, name: str, *networks: str, vcenter: str = "vcenter.example.org") -> Vm:
    """A VM with one disk that the examples name and the sample does not have."""
    return Vm(number, name, volumes={2000: volume(number % 10**6)}, adapters=adapters(*networks), vcenter=vcenter)


VMS = (
    vm(501, "ERP-DB", "VM Network", "DB Net"),
    vm(WEB, "ERP-WEB", "VM Network"),
    vm(503, "twin", "VM Network", "Backup Net", vcenter="vcenter-b.example.org"),
    vm(504, "twin", "VM Network"),
    vm(505, "ERP-ARCHIVE", "VM Network"),
    vm(506, "web-01", "VM Network"),
)


def known(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row without columns that only other generations of a table have."""
    return {column: value for column, value in row.items() if column in embedded.metadata.tables[table].c}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Trial]:
    """A furnished folder whose database and cloud have all VMs that the examples name."""
    volumes = [one.volumes[2000] for one in VMS]
    hung = {"account": "failover", "zone": "00000000-0000-4000-8000-0000000000a1", "gib": 40}
    hung["vm"] = "00000000-0000-4000-8000-00000000000a"
    rows = [{"id": v, "name": f"replica-{n}", "device": 6 + n, **hung} for n, v in enumerate(volumes)]
    with trying.trial(tmp_path) as trial:
        trial.serve("--durations", "1", volumes=rows)
        trial.say("failover init")
        Path("failover.db").unlink()
        store = Database("sqlite:///failover.db", create=True)
        with store.begin() as connection:
            embedded.create(connection)
            embedded.load(connection, {table: [known(table, r) for r in rows] for table, rows in vms.rows(*VMS).items()})
        database.upgrade(store)
        store.engine.dispose()
        yield trial


def places(house: Trial) -> dict[str, tuple[str | None, int | None, str]]:
    """Where every volume hangs, and what is on it."""
    volumes = house.cloud.truth()["volumes"]
    return {v: (row["vm"], row["device"], house.cloud.fingerprint(v)) for v, row in volumes.items()}


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_valid(house: Trial, name: str) -> None:
    said = house.say(f"failover validate {SPECS / name}")
    assert (said.code, "no errors" in said.text) == (0, True), said.text


@pytest.mark.parametrize("name", sorted({*NAMES} - {*REFUSED}))
def test_an_example_is_planned_carried_out_and_taken_back(house: Trial, name: str) -> None:
    before = places(house)
    planned = house.say(f"failover plan {SPECS / name}")
    assert planned.code == 2, planned.text
    done = house.say(f"failover apply {SPECS / name} --yes --wait --format json")
    assert done.code == 0, done.text
    runs = json.loads(done.text)["runs"]
    assert {run["state"] for run in runs} == {"completed"}
    assert places(house) == before


@pytest.mark.parametrize(("name", "code"), REFUSED.items())
def test_what_is_not_offered_yet_is_refused_with_its_reason_first(house: Trial, name: str, code: str) -> None:
    said = house.say(f"failover plan {SPECS / name} --format json")
    (plan,) = json.loads(said.text)["plans"]
    assert (said.code, plan["refused"][0]["code"]) == (3, code)
    assert house.say(f"failover apply {SPECS / name} --yes").code == 3
    assert all(call.command.startswith(("list", "query")) for call in house.cloud.trace)
