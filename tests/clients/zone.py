"""The zone in which the clients were recorded, simulated, behind a socket, with an ear at its door.

The clock stands and is turned a little before each request, so that every job has ended when it is first asked after: the
clients wait for nothing, and a run is the same each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from simulator import Cloud, RealClock, Reply, TurnedClock, load_estate, serve
from tests.conformance import setup
from tests.conformance.doors import answer_of
from tests.conformance.records import Exchange, Scenario

BEGAN = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
BETWEEN_REQUESTS, JOB_SECONDS = 10.0, 1.0
UNSAID = frozenset({"apikey", "signature", "expires", "signatureversion", "command", "response"})


class Ear:
    """Stands in a cloud's door: turns the clock, passes the request on, and keeps it with its answer."""

    def __init__(self, cloud: Cloud, clock: TurnedClock) -> None:
        self.heard: list[Exchange] = []
        self._answer, self._clock = cloud.call, clock

    def __call__(self, params: Mapping[str, str], method: str = "POST") -> Reply:
        self._clock.advance(BETWEEN_REQUESTS)
        reply = self._answer(params, method)
        answer = answer_of(reply.status, reply.headers, reply.body.decode())
        said = {name: value for name, value in params.items() if name.lower() not in UNSAID}
        command = next((value for name, value in params.items() if name.lower() == "command"), None)
        self.heard.append(
            Exchange(
                len(self.heard), "", None, command, said, method, answer.status, answer.body, described=answer.described
            )
        )
        return reply


@contextmanager
def opened(world: Mapping[str, Any], **options: Any) -> Iterator[tuple[str, Cloud, Ear]]:
    """A furnished cloud that is served: its address, itself, and what is heard at its door."""
    clock = TurnedClock(BEGAN)
    cloud = load_estate(world, clock, durations=JOB_SECONDS, **options)
    cloud.signing_clock = RealClock()
    ear = Ear(cloud, clock)
    cloud.call = ear  # type: ignore[method-assign]
    with serve(cloud) as server:
        yield server.url, cloud, ear


def of(recording: Scenario) -> dict[str, Any]:
    """The world in which a client was recorded; a network is in the state in which the client found it."""
    world = {"obliging_hosts": True, **setup.estate(recording)}
    found = {row["id"]: row["state"] for row in reversed([*_networks(recording)])}
    world["networks"] = [{**row, "state": found.get(row["id"], row["state"])} for row in world["networks"]]
    return world


def _networks(recording: Scenario) -> Iterator[Mapping[str, Any]]:
    for exchange in recording.exchanges:
        if exchange.command == "listNetworks":
            yield from exchange.body["listnetworksresponse"].get("network", ())
