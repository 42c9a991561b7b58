"""A simulated cloud set up as the world of a recording, with the hands that follow its stage directions."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

from simulator import Cloud, TurnedClock, housekeeping, load_estate
from simulator.faults import ALWAYS
from tests.conformance import directions, remote, setup
from tests.conformance.blanking import UUID
from tests.conformance.comparing import Answer
from tests.conformance.doors import answer_of
from tests.conformance.identities import Identities
from tests.conformance.records import Scenario
from tests.conformance.replaying import Server
from tests.conformance.walking import WALKER

JOB_SECONDS, WALK_SECONDS = 2.0, 1.0
WORDS = {"true": True, "false": False}


class CloudDoor:
    """A simulated cloud without a socket."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def send(self, method: str, query: str) -> Answer:
        reply = self._cloud.call(dict(parse_qsl(query, keep_blank_values=True)), method)
        return answer_of(reply.status, reply.headers, reply.body.decode())


class CloudHands:
    """What can be done to a simulated cloud off the record. `jobs`: step → the id, as recorded, of the job it submitted."""

    def __init__(self, cloud: Cloud, clock: TurnedClock, jobs: dict[str, str] | None = None) -> None:
        self._cloud, self._clock, self._jobs = cloud, clock, jobs or {}

    def pause(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def took(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def busy(self, open_jobs: set[str]) -> bool:
        self._cloud.jobs.run(self._clock.now())
        return bool(self._cloud.jobs.pending)

    def do(self, direction: str, ids: Identities) -> bool:
        verb, *words = direction.split()
        if verb in ("lose-job", "break-job"):
            return self._touch_job(verb, words[0], ids)
        act = _VERBS.get(verb)
        if act is None:
            return False
        act(self._cloud, self._clock, *words)
        return True

    def _touch_job(self, verb: str, step: str, ids: Identities) -> bool:
        job = self._cloud.jobs.rows.get(ids.translate(self._jobs.get(step, "")))
        if job is None:
            return False
        if verb == "lose-job":
            self._cloud.jobs.purge(job.id)
        else:
            job.status, job.code, job.result = 2, 530, None
        return True


def _wait(cloud: Cloud, clock: TurnedClock, seconds: str) -> None:
    clock.advance(float(seconds))


def _restart(cloud: Cloud, clock: TurnedClock) -> None:
    cloud.restart()


def _set(cloud: Cloud, clock: TurnedClock, name: str, value: str) -> None:
    cloud.configure(name, WORDS.get(value, value))


def _slow(cloud: Cloud, clock: TurnedClock, work: str, seconds: str) -> None:
    cloud.faults.add("host-slow", work, seconds=float(seconds), times=ALWAYS)


def _fail(cloud: Cloud, clock: TurnedClock, work: str) -> None:
    cloud.faults.add("host-fails", work, times=ALWAYS)


def _well(cloud: Cloud, clock: TurnedClock) -> None:
    cloud.faults.clear()


def _limit(cloud: Cloud, clock: TurnedClock, account: str, kind: str, most: str) -> None:
    cloud.accounts[account].limits[kind] = int(most)


def _account(cloud: Cloud, clock: TurnedClock, name: str, state: str) -> None:
    cloud.accounts[name].state = state


def _user(cloud: Cloud, clock: TurnedClock, name: str, state: str) -> None:
    cloud.accounts[name].users[0].state = state


def _zone(cloud: Cloud, clock: TurnedClock, state: str) -> None:
    _fields(cloud, "Zone", "allocationstate", state)


def _hosts(cloud: Cloud, clock: TurnedClock, state: str) -> None:
    _fields(cloud, "Host", "resourcestate", state)


def _edit(cloud: Cloud, clock: TurnedClock, kind: str, field: str, value: str) -> None:
    """A column of every row of a kind, changed in the database."""
    if (kind, field) == ("hypervisor", "max"):
        cloud.max_data_disks = int(value)
    elif kind == "volume":
        for row in cloud.volumes.values():
            setattr(row, field, value)
    else:
        table = {"host": "Host", "pool": "StoragePool"}[kind]
        _fields(cloud, table, {"uefi": "ueficapability"}.get(field, field), WORDS.get(value, value))
        if field == "uefi":
            for host in cloud.plain[table].values():
                host.fields["details"] = {**host.fields.get("details", {}), "host.uefi.enable": value}


def _fields(cloud: Cloud, kind: str, field: str, value: Any) -> None:
    for row in cloud.plain[kind].values():
        row.fields[field] = value


def _tidy(cloud: Cloud, clock: TurnedClock, snapshot: str = "") -> None:
    """The server's own clean-up has come round, to a destroyed volume snapshot or to all that is left over."""
    if not snapshot:
        housekeeping.tidy_storage(cloud, clock.now())
    row = cloud.snapshots.get(snapshot)
    if row is not None and row.state == "Destroyed":
        row.removed = True


def _heartbeat(cloud: Cloud, clock: TurnedClock, seconds: str) -> None:
    """How long what waits for a VM's queue waited there, between 0 and 2 seconds: the luck of that recording."""
    cloud.jobs.heartbeat = timedelta(seconds=float(seconds))


def _spread(cloud: Cloud, clock: TurnedClock, kind: str) -> None:
    """Every volume gets a second of its own."""
    cloud.spread_created()


_VERBS: dict[str, Callable[..., None]] = {
    "wait": _wait,
    "restart": _restart,
    "set": _set,
    "slow": _slow,
    "fail": _fail,
    "well": _well,
    "limit": _limit,
    "account": _account,
    "user": _user,
    "zone": _zone,
    "hosts": _hosts,
    "edit": _edit,
    "spread": _spread,
    "tidy": _tidy,
    "heartbeat": _heartbeat,
}


def walkground() -> tuple[Server, dict[str, str]]:
    """A fresh simulated cloud for a random walk, and the ids of what the walks take for granted."""
    clock = TurnedClock(directions.BEGAN)
    cloud = load_estate(setup.walkground(), clock, durations=WALK_SECONDS)
    keys = setup.keys()["walk"]
    door = CloudDoor(cloud)
    return Server(door, {WALKER: keys}, CloudHands(cloud, clock)), remote.symbols(door, keys)


def simulated(scenario: Scenario) -> tuple[Server, Identities]:
    """A fresh simulated cloud as the world in which the recording began, and the ids that both have from the beginning."""
    clock = TurnedClock(directions.of(scenario.name).began)
    world = {"obliging_hosts": True, **setup.estate(scenario)}
    cloud = load_estate(world, clock, durations=JOB_SECONDS)
    same = {found: found for found in UUID.findall(json.dumps(world))}
    server = Server(CloudDoor(cloud), setup.keys(), CloudHands(cloud, clock, submitted(scenario)))
    return server, Identities(same)


def submitted(scenario: Scenario) -> dict[str, str]:
    """Step → the id of the job that it submitted, as recorded."""
    inner = {e.step: next(iter(e.body.values()), None) for e in scenario.exchanges if isinstance(e.body, dict)}
    return {step: row["jobid"] for step, row in inner.items() if isinstance(row, dict) and "jobid" in row}
