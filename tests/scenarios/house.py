"""A whole house for one test: settings, embedded sample database, simulated cloud, turned clock, connected engine.

`Drill` is what scenario, crash and command-line tests stand on. Everything is real but the cloud and the clock; `proof`
is taken from the simulator's own truth and the database, never from what the product says of itself.
"""

from __future__ import annotations

import io
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import requests
import sqlalchemy as sa
import stamina
import yaml

from plans.actions import MARK
from plans.plan import Plan, Refusal
from reconciler import operations, wiring
from reconciler.cli import init
from reconciler.cloudstack.client import Client
from reconciler.loop import Engine, Round
from reconciler.store import journal, legacy
from reconciler.store.inventory import Accepted
from reconciler.store.journal import Run
from reconciler.wiring import Connected
from simulator import Clock, Cloud, TurnedClock, load_estate, serve
from simulator.faults import ConnectionCut
from specs import load
from specs.model import Spec

ESTATE = Path(__file__).parents[2] / "examples" / "estate.yaml"
START = datetime(2026, 11, 24, 14, 0, tzinfo=UTC)
PG, DB3 = "PGWINTESTBIOS", "lnx-db3"
BOTH = (PG, DB3)
KEYS = {PG: "4205a841-0265-f4bd-39a6-39fd92196f53", DB3: "4205a841-0265-f4bd-39a6-39fd921900d3"}
GUESTS = {PG: "pgwintestbios-test", DB3: "lnx-db3-test"}
APPLIANCE = "00000000-0000-4000-8000-00000000000a"
API_KEY, SECRET_KEY = "demo-api-key", "demo-secret-key"
NOWHERE = "http://127.0.0.1:9/client/api"
MAX_ROUNDS = 2000


class Hand:
    """The engine's clock: waiting turns it, so nobody sleeps."""

    def __init__(self, turned: TurnedClock) -> None:
        self.turned = turned

    def now(self) -> datetime:
        return self.turned.now()

    def wait(self, span: timedelta, stop: threading.Event) -> None:
        self.turned.advance(max(span, timedelta(milliseconds=100)))


class Door(requests.adapters.BaseAdapter):
    """The cloud without a socket: the same signed requests, handed over in this process."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self.cloud = cloud

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        text = request.body if isinstance(request.body, str) else (request.body or b"").decode()
        try:
            reply = self.cloud.call(dict(parse_qsl(text, keep_blank_values=True)), request.method or "")
        except ConnectionCut:
            raise requests.ConnectionError("cut", request=request) from None
        response = requests.Response()
        response.status_code, response.raw, response.request = reply.status, io.BytesIO(reply.body), request
        response.headers.update(reply.headers)
        return response

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class Proof:
    """What must be the same before and after a test failover, and what must not be there at all."""

    places: dict[str, tuple[str | None, int | None, str, str]]
    contents: dict[str, str]
    machines: dict[str, str]
    snapshots: tuple[str, ...]
    vm_snapshots: tuple[str, ...]
    marked: tuple[str, ...]
    pending_jobs: tuple[str, ...]
    blocked: tuple[str, ...]
    dirty: tuple[str, ...]


@dataclass
class Drill:
    """One furnished house. `connected` is the engine in hand; `reborn` makes another one over the same database.

    `keys` are the keys of its VMs by their names; `contents` is its database, as a file.
    """

    folder: Path
    clock: TurnedClock
    cloud: Cloud
    url: str = NOWHERE
    keys: Mapping[str, str] = field(default_factory=lambda: KEYS)
    contents: bytes = b""
    connected: Connected = field(init=False)
    _lives: int = 0
    _open: list[tuple[Any, Client]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "failover.db").write_bytes(self.contents or _sample_database())
        init.furnish(self.folder, self.url, example=True)
        self.reborn()

    # --- lives --------------------------------------------------------------------------------------------------------

    def reborn(self) -> Engine:
        """A new process over the same database: nothing is carried over, and the leases name somebody else."""
        self._lives += 1
        found = wiring.settings(self.settings_path)
        store = wiring.database(found)
        if store.is_sqlite:
            sa.event.listen(store.engine, "connect", _without_fsync)
        client = self._client(found)
        engine = Engine(store, client, Hand(self.clock), found, f"life-{self._lives}", _adopted(store))
        self._open.append((store.engine, client))
        self.connected = Connected(found, store, engine)
        return engine

    def _client(self, found: Any) -> Client:
        made = wiring.client(found, Hand(self.clock))
        if self.url == NOWHERE:
            made._servers.session.mount(self.url, Door(self.cloud))
        return made

    def close(self) -> None:
        for engine, client in self._open:
            engine.dispose()
            client.close()

    @property
    def settings_path(self) -> Path:
        return self.folder / "failover.yaml"

    @property
    def engine(self) -> Engine:
        return self.connected.engine

    # --- what operators do --------------------------------------------------------------------------------------------

    def spec(self, vm: str, span: str = "30m", more: str = "") -> Spec:
        """A spec as a file would give it."""
        text = f"vm: {vm}\nstate: test-failover\nfor: {span}\n{more}"
        found = load.load_text(text, f"specs/{vm}.yaml")
        assert not found.errors, found.errors
        return found.specs[0]

    def plan(self, vm: str, *, again: bool = False, span: str = "30m", more: str = "") -> Plan:
        found = self.planned(self.spec(vm, span, more), again=again)
        assert isinstance(found, Plan), found
        return found

    def planned(self, spec: Spec, *, again: bool = False) -> Plan | Refusal:
        return operations.plan_all(self.connected, (spec,), again)[0]

    def approve(self, plan: Plan, *, again: bool = False) -> Accepted:
        return operations.approve(self.connected, plan, by="tests", again=again)

    def drive(self, *vms: str) -> None:
        """Run rounds until these VMs (all, if none is named) are at rest."""
        keys = frozenset(self.keys[v] for v in vms or self.keys)
        operations.drive(self.engine, keys, lambda _seen: None, operations.Halt())

    def apply(self, *vms: str, again: bool = False, span: str = "30m") -> dict[str, Plan]:
        """Plan, approve and drive until the tests run; the plans by VM."""
        plans = {vm: self.plan(vm, again=again, span=span) for vm in vms}
        for plan in plans.values():
            self.approve(plan, again=again)
        self.drive(*vms)
        return plans

    def declare(self, **cloudstack: str) -> None:
        """Declare something of the cloud in the settings file, and live on as another process that read it."""
        text = self.settings_path.read_text(encoding="utf-8")
        lines = "".join(f"  {name}: {value}\n" for name, value in cloudstack.items())
        self.settings_path.write_text(text.replace("cloudstack:\n", f"cloudstack:\n{lines}"), encoding="utf-8")
        self.reborn()

    def end(self, *vms: str) -> None:
        for vm in vms:
            operations.end(self.connected, self.keys[vm], "tests")
        self.drive(*vms)

    def live(self, *vms: str) -> None:
        """Rounds until these VMs are at rest, without giving anything back: what a killed process leaves stays."""
        keys, stop = frozenset(self.keys[v] for v in vms or self.keys), threading.Event()
        for _ in range(MAX_ROUNDS):
            done = self.engine.round(keys)
            if self.engine.at_rest(keys):
                return
            now = self.clock.now()
            self.engine.clock.wait((done.next_at or now) - now, stop)
        raise AssertionError(f"not at rest after {MAX_ROUNDS} rounds: {self.runs()}")

    def advance(self, span: timedelta) -> None:
        self.clock.advance(span)

    def round(self) -> Round:
        return self.engine.round()

    # --- what is so ---------------------------------------------------------------------------------------------------

    def run(self, vm: str) -> Run:
        """The newest run of a VM."""
        with self.connected.database.read() as connection:
            return journal.latest(connection)[self.keys[vm]]

    def is_wanted(self, vm: str) -> bool:
        """Whether a spec of this VM was ever accepted."""
        return bool(self.rows(f"select id from fr_specs where vm_key = '{self.keys[vm]}'"))

    def runs(self) -> tuple[Run, ...]:
        with self.connected.database.read() as connection:
            return journal.history(connection, None, 100)

    def shown(self, vm: str) -> list[dict[str, Any]]:
        """The rows of `failover_jobs` of a VM, oldest first."""
        return self.rows(f"select * from failover_jobs where vm_id = '{self.keys[vm]}' order by id")

    def rows(self, query: str) -> list[dict[str, Any]]:
        with self.connected.database.read() as connection:
            return [dict(row) for row in connection.execute(sa.text(query)).mappings()]

    def edit(self, *statements: str) -> None:
        """Change the database behind everybody's back."""
        with self.connected.database.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    def guest(self, vm: str) -> dict[str, Any]:
        """The guest of this VM's newest run, as the cloud has it."""
        return self.cloud.truth()["vms"][self.run(vm).guest_id]

    def disks_of(self, machine: str) -> dict[int, str]:
        """Device to volume id of what hangs on a machine."""
        volumes = self.cloud.truth()["volumes"]
        return {v["device"]: i for i, v in volumes.items() if v["vm"] == machine}

    def mutations(self) -> list[str]:
        """The mutating calls that the cloud took, in order."""
        return [c.command for c in self.cloud.trace if c.status == 200 and is_mutating(c.command)]

    def attempted(self) -> list[str]:
        """The mutating calls that were sent, taken or not."""
        return [c.command for c in self.cloud.trace if is_mutating(c.command)]

    def proof(self) -> Proof:
        truth = self.cloud.truth()
        volumes = truth["volumes"]
        ours = [x for kind in ("vms", "volumes", "snapshots") for x in truth[kind].values() if x["state"] != "Destroyed"]
        return Proof(
            places={i: (v["vm"], v["device"], v["kind"], v["state"]) for i, v in volumes.items()},
            contents={i: self.cloud.fingerprint(i) for i, v in volumes.items() if v["device"] != 0},
            machines={i: v["state"] for i, v in truth["vms"].items()},
            snapshots=tuple(sorted(i for i, x in truth["snapshots"].items() if x["state"] != "Destroyed")),
            vm_snapshots=tuple(sorted(truth["vm_snapshots"])),
            marked=tuple(sorted(x["name"] for x in ours if MARK in x["tags"])),
            pending_jobs=tuple(j.command for j in self.cloud.jobs.pending),
            blocked=tuple(
                r["id"] for r in self.rows("select id from fr_runs where state not in ('completed', 'rolled-back')")
            ),
            dirty=tuple(r["volume_id"] for r in self.rows("select volume_id from fr_dirty")),
        )


def is_mutating(command: str) -> bool:
    """Whether a command changes anything."""
    return not command.startswith(("list", "query"))


def _without_fsync(connection: Any, _record: Any) -> None:
    """Tests crash processes, not machines: what was committed need not reach the platter."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=OFF")
    cursor.close()


_ADOPTED: list[legacy.Legacy] = []


def _adopted(store: Any) -> legacy.Legacy:
    """The tables are the same in every drill, so they are looked at once."""
    if not _ADOPTED:
        _ADOPTED.append(legacy.adopt(store))
    return _ADOPTED[0]


@cache
def _sample_database() -> bytes:
    """What `failover init` makes, made once."""
    with tempfile.TemporaryDirectory() as folder:
        init.furnish(Path(folder), NOWHERE, example=True)
        with closing(sqlite3.connect(Path(folder) / "failover.db")) as connection:
            return connection.serialize()


@cache
def _estate() -> dict[str, Any]:
    return yaml.safe_load(ESTATE.read_text(encoding="utf-8"))


def cloud_of(clock: Clock, **options: Any) -> Cloud:
    """The simulated cloud of the examples; `options` are arguments of `Cloud`."""
    return load_estate(_estate(), clock, **options)


@contextmanager
def furnished(
    folder: Path,
    *,
    http: bool = False,
    keys: Mapping[str, str] = KEYS,
    contents: bytes = b"",
    cloud_of: Callable[..., Cloud] = cloud_of,
    **options: Any,
) -> Iterator[Drill]:
    """A house in this folder; `http` puts a socket between engine and cloud, `options` are arguments of `Cloud`."""
    clock = TurnedClock(START)
    cloud = cloud_of(clock, **options)
    with ExitStack() as stack:
        stack.enter_context(stamina.set_testing(True, attempts=1))
        url = stack.enter_context(serve(cloud)).url if http else NOWHERE
        drill = Drill(folder, clock, cloud, url, keys, contents)
        stack.callback(drill.close)
        yield drill
