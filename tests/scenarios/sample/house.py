"""A house of sample VMs: their rows in a database of any generation, their cloud, and the engine between them.

`a_house` holds some of them over the embedded database, `a_house_over` all of them over another one.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import stamina

from reconciler.store.database import Database, upgrade
from simulator import TurnedClock
from specs import load
from specs.model import Spec
from tests.reconciler.store import generations, vms
from tests.reconciler.store.test_a_run_in_each_generation import Elsewhere
from tests.reconciler.store.vms import Vm
from tests.scenarios import house
from tests.scenarios.house import START, Drill, furnished
from tests.scenarios.sample import cloud

BY_NUMBER = {vm.number: vm for vm in vms.VMS if vm.number < 100 or vm.number >= 200}
OTHER = "vcenter2.example.org"


def label(vm: Vm) -> str:
    """What tests call a VM: its name, with its vCenter where it is not the usual one."""
    return f"{vm.name} on {vm.vcenter}" if vm.vcenter == OTHER else vm.name


KEYS = {**house.KEYS, **{label(vm): vms.uuid(vm.number) for vm in BY_NUMBER.values()}}


def spec(name: str, more: str = "", span: str = "30m") -> Spec:
    """A spec of a test of this VM."""
    text = f"vm: {reference(name)}\nstate: test-failover\nfor: {span}\n{more}"
    found = load.load_text(text, f"specs/{name}.yaml")
    assert not found.errors, found.errors
    return found.specs[0]


def reference(name: str) -> str:
    """How a spec calls a VM."""
    name, _, vcenter = name.partition(" on ")
    return json.dumps({"name": name, "vcenter": vcenter} if vcenter else name, ensure_ascii=False)


def a_house(folder: Path, *numbers: int, **options: object) -> AbstractContextManager[Drill]:
    """A house of the VMs with these numbers (all, if none is named), and of numbers 1 and 2."""
    keys = {name: key for name, key in KEYS.items() if key in {vms.uuid(n) for n in numbers or BY_NUMBER}}
    made = partial(cloud.cloud_of, rows(*numbers))
    usual = {"durations": 1.0, **options}
    return furnished(folder, keys={**house.KEYS, **keys}, contents=_contents(numbers), cloud_of=made, **usual)


def rows(*numbers: int) -> generations.Rows:
    """The rows of the VMs with these numbers (all, if none is named), and of numbers 1 and 2."""
    return vms.rows(*(replace(BY_NUMBER[n]) for n in numbers or BY_NUMBER))


@cache
def _contents(numbers: tuple[int, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "failover.db"
        generations.fill(f"sqlite:///{path}", "embedded", rows(*numbers))
        database = Database(f"sqlite:///{path}")
        upgrade(database)
        database.engine.dispose()
        with closing(sqlite3.connect(path)) as connection:
            return connection.serialize()


@contextmanager
def a_house_over(url: str, generation: str, folder: Path, *numbers: int) -> Iterator[Elsewhere]:
    """A house of these VMs (all, if none is named) over an empty database, which gets the tables of a generation."""
    generations.fill(url, generation, rows(*numbers))
    store = Database(url)
    upgrade(store)
    clock = TurnedClock(START)
    with stamina.set_testing(True, attempts=1):
        made = Elsewhere(folder, clock, cloud.cloud_of(rows(*numbers), clock, durations=1.0), keys=KEYS, store=store)
        yield made
        made.close()
