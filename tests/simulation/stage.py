"""A plot on stage: the production engine over a database in memory and a simulated cloud, one clock, no sockets, no threads.

`trials` leads it: `round` is one round of the engine's present life, with deaths, pauses and other people's deeds where
the plot has them. Only three things are not the product's: the clock (`Hand` turns it), the wire (`Wire` hands each call to
the simulator in this process) and the way a process dies (an exception that nothing catches).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random

from pydantic import SecretStr

from reconciler import crashpoints
from reconciler.cloudstack import signing
from reconciler.cloudstack.client import Client
from reconciler.cloudstack.endpoint import Endpoint
from reconciler.cloudstack.errors import CloudError, Unreachable
from reconciler.cloudstack.transport import EXPIRES, Answer
from reconciler.crashpoints import Point
from reconciler.loop import Engine, Round
from reconciler.settings import Limits, Settings
from reconciler.store import legacy
from reconciler.wiring import Connected
from simulator import TurnedClock, wire
from simulator.faults import ConnectionCut
from simulator.wire import Reply
from tests.scenarios.house import is_mutating
from tests.simulation import furniture
from tests.simulation.plots import Death, Plot

START = datetime(2026, 11, 24, 14, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)
ACCOUNT = "failover"
URL = "http://127.0.0.1:9/client/api"


class Died(BaseException):
    """The process is gone: nothing in it may catch this."""


class Hand:
    """The engine's clock: waiting turns it."""

    def __init__(self, turned: TurnedClock) -> None:
        self.turned = turned

    def now(self) -> datetime:
        return self.turned.now()

    def wait(self, span: timedelta, stop: threading.Event) -> None:
        self.turned.advance(max(span, timedelta(milliseconds=1)))


class Wire:
    """What stands where the transport is: each call goes to the simulator at once, in this process."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def where(self, command: str) -> str:
        return f"{command} on stage"

    def send(self, command: str, arguments: Mapping[str, signing.Value]) -> Answer:
        flat = signing.flattened(arguments)
        self.stage.arriving(command, flat)
        reply = self._answered(command, flat)
        self.stage.answered(command, flat, reply)
        if reply is None or reply.cut:
            raise Unreachable("the connection broke", self.where(command), "look", sent=True)
        headers = reply.headers
        return Answer(
            reply.status,
            headers.get("Content-Type", ""),
            headers.get("Date", ""),
            headers.get("Retry-After", ""),
            reply.body,
        )

    def _answered(self, command: str, flat: dict[str, str]) -> Reply | None:
        cloud = self.stage.cloud
        if cloud.faults.rules and cloud.faults.clock_ahead(command) > EXPIRES:
            return wire.unauthorised(command, True)
        try:
            return cloud.as_account(ACCOUNT).call(command, **flat)
        except ConnectionCut:
            return None


@dataclass
class Stage:
    """One plot being played. `watch` hears of every call before it arrives and after it was answered.

    `shared` is whether threads share the database; `turn` is called where an engine may have to stand still.
    """

    plot: Plot
    shared: bool = False
    clock: TurnedClock = field(init=False)
    connected: Connected = field(init=False)
    lives: int = 0
    calls: int = 0
    changes: int = 0
    quiet: bool = False
    late: bool = False
    told: list[str] = field(default_factory=list)
    _passed: dict[str, int] = field(default_factory=dict)
    _within: int = 0

    def __post_init__(self) -> None:
        self.clock = TurnedClock(START)
        self.cloud = furniture.cloud_of(self.plot, self.clock)
        self.database = furniture.database_of(self.plot, self.shared)
        self.raw = furniture.connection_of(self.database)
        self.adopted = _adopted(self)
        self.luck = Random(f"people {self.plot.seed}")
        self.places = furniture.places(self.plot)
        self.deaths: list[Death] = list(self.plot.deaths)
        self.arrival: Callable[[str, dict[str, str]], None] = lambda _command, _flat: None
        self.departure: Callable[[str, dict[str, str], Reply | None], None] = lambda _command, _flat, _reply: None
        self.people: Callable[[int], None] = lambda _changes: None
        self.turn: Callable[[], None] = lambda: None
        self.cloud.faults.load(self.plot.faults)
        self.reborn()

    # --- lives --------------------------------------------------------------------------------------------------------

    def reborn(self) -> Engine:
        """Another process over the same database: nothing is carried over, and the leases name somebody else."""
        self.lives += 1
        self.connected = self._process(f"life-{self.lives}")
        return self.engine

    def _process(self, owner: str) -> Connected:
        settings = _settings(self.plot)
        client = Client(_endpoint(), self.clock.now, session=_NO_SESSION, wait=self._wait)
        for server in client._servers._all:
            server.transport = Wire(self)  # type: ignore[assignment]
            server._admitted = self._in_turn(server._admitted)  # type: ignore[method-assign]
        engine = Engine(self.database, client, Hand(self.clock), settings, owner, self.adopted)
        return Connected(settings, self.database, engine)

    def _in_turn(self, admitted: Callable[[str], float]) -> Callable[[str], float]:
        """A call's turn comes: before it is looked at once more whether it may be sent, others may have theirs."""

        def wait(command: str) -> float:
            began = admitted(command)
            self.turn()
            return began

        return wait

    def _wait(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    @property
    def engine(self) -> Engine:
        return self.connected.engine

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @property
    def seconds(self) -> float:
        """Since the curtain rose."""
        return (self.now - START).total_seconds()

    def note(self, text: str) -> None:
        """Something worth telling when this trial fails."""
        self.told.append(f"{self.seconds:9.1f}s {text}")

    # --- a round ------------------------------------------------------------------------------------------------------

    def round(self, only: frozenset[str] | None = None) -> Round:
        """One round of the present life (of these VMs). A death is noticed when its leases have lapsed, by the next life."""
        crashpoints.on_hit = self._hit
        try:
            return self.engine.round(only)
        except CloudError as fault:
            self.note(f"no look: {fault}")
            return Round(next_at=self.now + self.engine.settings.engine.poll)
        except Died:
            self.clock.advance(LEASE + timedelta(seconds=1))
            self.reborn()
            return Round(next_at=self.now)
        finally:
            crashpoints.on_hit = None

    def act(self, deed: Callable[[], object]) -> None:
        """Something an operator does through the product; it may die, too, and is then done again by the next life."""
        crashpoints.on_hit = self._hit
        try:
            deed()
        except Died:
            self.clock.advance(LEASE + timedelta(seconds=1))
            self.reborn()
            deed()
        finally:
            crashpoints.on_hit = None

    def operate(self, deed: Callable[[Connected], object]) -> None:
        """A command of an operator at any moment: a process of its own beside the one that runs, which may die, too."""
        usual, crashpoints.on_hit = crashpoints.on_hit, self._hit
        self._within += 1
        try:
            deed(self._process(f"operator-{self.calls}"))
        except (CloudError, Died) as fault:
            self.note(f"an operator's command ends: {fault!r}")
        finally:
            self._within -= 1
            crashpoints.on_hit = usual

    def _hit(self, point: Point) -> None:
        self._passed[point] = self._passed.get(point, 0) + 1
        self._strike(str(point), self._passed[point])

    def _strike(self, where: str, passed: int) -> None:
        for death in self.deaths:
            due = passed >= death.nth if death.where == "pause" else passed == death.nth
            if self.quiet or death.where != where or not due:
                continue
            self.deaths.remove(death)
            if death.pause:
                self._sleeps(death.pause)
                self.late = where == "late"
                return
            self.note(f"dies at {where}:{passed}")
            raise Died

    def _sleeps(self, seconds: float) -> None:
        """The process sleeps on its way to the cloud; meanwhile another one, which may take over when the lease is old."""
        if self._within:
            return
        self.note(f"sleeps for {seconds:.0f} s before call {self.calls}")
        sleeper, until = self.connected, self.now + timedelta(seconds=seconds)
        self._within += 1
        try:
            self.reborn()
            while self.now < until:
                done = self.engine.round()
                self.clock.advance(max(timedelta(milliseconds=100), min(done.next_at or until, until) - self.now))
        except (CloudError, Died) as fault:
            self.note(f"the other one: {fault!r}")
            self.clock.advance(max(timedelta(), until - self.now))
        finally:
            self._within -= 1
            self.connected = sleeper
        self.note("wakes up")

    # --- calls --------------------------------------------------------------------------------------------------------

    def arriving(self, command: str, flat: dict[str, str]) -> None:
        """A call of the product is on its way."""
        self.calls += 1
        self.late = False
        if is_mutating(command):
            self.changes += 1
            if not self.quiet:
                self.people(self.changes)
            self._strike("late", self.changes)
        else:
            self._strike("pause", self.calls)
        self._strike("before-call", self.calls)
        self.arrival(command, flat)

    def answered(self, command: str, flat: dict[str, str], reply: Reply | None) -> None:
        """It was carried out, or not, and the answer is on its way back."""
        self.departure(command, flat, reply)
        self._strike("after-call", self.calls)

    def trace(self) -> str:
        """Everything that was said to the cloud, as a digest: the same seed gives the same one."""
        found = hashlib.sha256()
        for row in self.cloud.trace:
            found.update(repr((row.at, row.account, row.command, sorted(row.params.items()), row.status)).encode())
        return found.hexdigest()


_NO_SESSION: object = object()
_LEGACY: list[legacy.Legacy] = []


def _adopted(stage: Stage) -> legacy.Legacy:
    """The tables are the same in every trial, so they are looked at once."""
    if not _LEGACY:
        _LEGACY.append(legacy.adopt(stage.database))
    return _LEGACY[0]


@cache
def _endpoint() -> Endpoint:
    return Endpoint(url=URL, key=SecretStr("demo-api-key"), secret=SecretStr("demo-secret-key"))


def _settings(plot: Plot) -> Settings:
    limits = Limits(
        max_runs=plot.max_runs,
        poll=timedelta(seconds=plot.poll),
        lease=LEASE,
        grace=timedelta(seconds=plot.grace),
        attempts=plot.tries,
        threads=1,
    )
    given = _plain_settings()
    cloudstack = given.cloudstack.model_copy(update={"storage": plot.declared})
    return given.model_copy(update={"engine": limits, "cloudstack": cloudstack})


@cache
def _plain_settings() -> Settings:
    return Settings(cloudstack={"endpoint": URL, "api_key": "env:NONE", "secret_key": "env:NONE"})  # type: ignore[arg-type]
