"""What our client asks of a management server, and what a call costs it.

    python -m benchmarks.client

Reads are counted by the simulated cloud: of a full look at two sizes of fleet, once where lists are given whole and once
where they come in pages only; and of a thousand jobs that are followed to their end. What a signed call costs is measured
beside the same call through bare `requests`, to the same server process, in turns; the middle of several rounds counts.
"""

from __future__ import annotations

import contextlib
import math
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks import simulated_cloud
from benchmarks.table import Row, lines
from reconciler import observe
from reconciler.cloudstack.client import Client, Endpoint, Limits
from reconciler.cloudstack.jobs import SHORTEST, JobBoard
from reconciler.cloudstack.servers import Servers
from reconciler.cloudstack.signing import flattened, signature
from reconciler.cloudstack.transport import session_for
from simulator import Cloud, TurnedClock, load_estate, serve
from simulator.refusals import Refused
from simulator.wire import Reply, refused

SIZES, DISKS, PAGE = (500, 2000), 3, 500
JOBS, SLOTS, JOB_SECONDS = 1000, 25, 10.0
ROUNDS, CALLS = 9, 150
COMMAND, ARGUMENTS = "listVolumes", {"listall": "true", "pagesize": "-1"}
FREE = Limits(calls=10**6, at_once=64)
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def rows() -> list[Row]:
    """The client's rows of the table."""
    return [*_looks(), _jobs(), _signed()]


@contextlib.contextmanager
def _client(cloud: Cloud, clock: TurnedClock) -> Iterator[Client]:
    with serve(cloud) as server:
        endpoint = Endpoint(url=server.url, key="key", secret="secret")
        client = Client(endpoint, clock.now, limits=FREE, wait=clock.advance)
        try:
            yield client
        finally:
            client.close()


# --- a look -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Looked:
    """Calls of one full look by command, and how many pages each command's list fills."""

    calls: Mapping[str, int]
    pages: Mapping[str, int]

    @property
    def beyond(self) -> tuple[int, ...]:
        """How many calls each command needed beyond its pages."""
        return tuple(count - self.pages[command] for command, count in self.calls.items())


def _looks() -> Iterator[Row]:
    sizes = " and ".join(f"{vms:,}" for vms in SIZES) + f" VMs x {DISKS} disks"
    few, many = (look(vms) for vms in SIZES)
    reads = [sum(seen.calls.values()) for seen in (few, many)]
    yield Row("reads of a look, growth with VMs", reads[1] - reads[0], f"{sizes}, lists whole: {reads[0]} and {reads[1]}")
    few, many = (look(vms, whole=False) for vms in SIZES)
    beyond, note = [seen.beyond for seen in (few, many)], f"{sizes}, lists in pages of {PAGE}"
    yield Row("reads of a look beyond its pages, worst type", max(*beyond[0], *beyond[1]), note)
    yield Row("reads of a look beyond its pages, growth with VMs", sum(beyond[1]) - sum(beyond[0]), note)


def look(vms: int, *, whole: bool = True) -> Looked:
    """One full look, as the engine takes it, at that many VMs; `whole` False is a server that gives lists in pages only."""
    clock = TurnedClock(START)
    cloud = load_estate(simulated_cloud.estate(vms, DISKS), clock)
    if not whole:
        cloud.call = _paged(cloud.call)  # type: ignore[method-assign]
    with _client(cloud, clock) as client:
        known = observe.standing(client, clock.now(), storage=None)
        seen = observe.estate(client, clock.now(), known)
    assert (len(seen.machines), len(seen.volumes)) == (vms, vms * DISKS)
    filled = {"listVirtualMachines": vms, "listVolumes": vms * DISKS}
    return Looked(dict(cloud.calls), {command: math.ceil(filled.get(command, 1) / PAGE) for command in cloud.calls})


def _paged(call: Callable[[Mapping[str, str], str], Reply]) -> Callable[[Mapping[str, str], str], Reply]:
    def paged(params: Mapping[str, str], method: str = "POST") -> Reply:
        answer = call(params, method)
        everything = params.get("pagesize") == "-1"
        return refused(params["command"], Refused(431, "no more than a page at once"), False) if everything else answer

    return paged


# --- jobs -------------------------------------------------------------------------------------------------------------


def _jobs() -> Row:
    used = followed()
    note = f"{JOBS:,} at once, {SLOTS} run, {JOB_SECONDS:g} s each; {used['listAsyncJobs']} reads of all"
    return Row("calls per job in flight", sum(used.values()) / JOBS, note)


def followed() -> Counter[str]:
    """The calls by command that it takes to hear of the end of every job, with a look at the board every two seconds."""
    clock = TurnedClock(START)
    cloud = load_estate(simulated_cloud.estate(JOBS, 1), clock, durations=JOB_SECONDS, slots=SLOTS)
    user = cloud.as_account("dr")
    pending = {user.call("startVirtualMachine", id=vm).json["startvirtualmachineresponse"]["jobid"] for vm in cloud.vms}
    cloud.calls.clear()
    with _client(cloud, clock) as client:
        board = JobBoard(client, clock.now)
        while pending:
            under_way = board.refresh(pending)
            ended = [board.settle(job) for job in pending - under_way]
            assert all(cloud.jobs.rows[job].status != 0 for job in pending - under_way), "heard of an end that is none"
            assert len(ended) == len(pending) - len(under_way)
            pending = set(under_way)
            clock.advance(SHORTEST.total_seconds())
    return cloud.calls


# --- signed calls -----------------------------------------------------------------------------------------------------


def _signed() -> Row:
    with _sample() as url:
        ours, bare = _ours(url), _bare(url)
        rounds = [(_cpu(ours), _cpu(bare)) for _ in range(ROUNDS)]
    ratio = statistics.median(alone / signed for signed, alone in rounds)
    note = f"{COMMAND}, bare requests beside it, {ROUNDS} rounds of {CALLS}"
    return Row("signed calls per CPU second / bare calls", ratio, note)


def _cpu(call: Callable[[], object]) -> float:
    """CPU seconds of this process for so many calls."""
    began = time.process_time()
    for _ in range(CALLS):
        call()
    return time.process_time() - began


def _endpoint(url: str) -> Endpoint:
    return Endpoint(url=url, key="demo-api-key", secret="demo-secret-key")


def _ours(url: str) -> Callable[[], object]:
    servers = Servers((_endpoint(url),), lambda: datetime.now(UTC), limits=FREE)

    def call() -> None:
        said = servers.ask(COMMAND, ARGUMENTS)
        assert isinstance(said, Mapping)
        assert said["volume"]

    return call


def _bare(url: str) -> Callable[[], object]:
    """The library alone: the same form, signed once before, over a session of the same kind."""
    endpoint = _endpoint(url)
    session = session_for(endpoint)
    form = {"command": COMMAND, "response": "json", "apiKey": endpoint.key.get_secret_value(), **flattened(ARGUMENTS)}
    form["signature"] = signature(form, endpoint.secret.get_secret_value())

    def call() -> None:
        assert session.post(url, data=form, timeout=30).json()["listvolumesresponse"]["volume"]

    return call


@contextlib.contextmanager
def _sample() -> Iterator[str]:
    """The sample estate in a process of its own: the address of its API."""
    command = [sys.executable, "-m", "simulator", "--port", "0", "--turned"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as cloud:
        assert cloud.stdout is not None
        found = re.search(r"http://\S+", cloud.stdout.readline())
        try:
            assert found is not None, "the simulated cloud did not start"
            yield found[0]
        finally:
            cloud.terminate()


if __name__ == "__main__":
    print(*lines(rows()), sep="\n")
