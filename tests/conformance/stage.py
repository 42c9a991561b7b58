"""A simulated cloud set up as the world of a recording, with the hands that follow its stage directions."""

from __future__ import annotations

from urllib.parse import parse_qsl

from simulator import Cloud, TurnedClock, load_estate
from tests.conformance import directions, remote, setup
from tests.conformance.comparing import Answer
from tests.conformance.doors import answer_of
from tests.conformance.identities import Identities
from tests.conformance.records import Scenario
from tests.conformance.replaying import Server
from tests.conformance.walking import WALKER

JOB_SECONDS = 2.0


class CloudDoor:
    """A simulated cloud without a socket."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def send(self, method: str, query: str) -> Answer:
        reply = self._cloud.call(dict(parse_qsl(query, keep_blank_values=True)), method)
        return answer_of(reply.status, reply.headers, reply.body.decode())


class CloudHands:
    """What can be done to a simulated cloud off the record."""

    def __init__(self, cloud: Cloud, clock: TurnedClock) -> None:
        self._cloud, self._clock = cloud, clock

    def pause(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def busy(self, open_jobs: set[str]) -> bool:
        self._cloud.jobs.run(self._clock.now())
        return bool(self._cloud.jobs.pending)

    def do(self, direction: str, ids: Identities) -> bool:
        verb, *words = direction.split()
        if verb == "wait":
            self.pause(float(words[0]))
        elif verb == "restart":
            self._cloud.restart()
        elif verb == "set":
            self._cloud.configure(words[0], {"true": True, "false": False}.get(words[1], words[1]))
        else:
            return False
        return True


def walkground() -> tuple[Server, dict[str, str]]:
    """A fresh simulated cloud for a random walk, and the ids of what the walks take for granted."""
    clock = TurnedClock(directions.BEGAN)
    world = setup.common("KVM") | {"settings": {"allow.user.expunge.recover.vm": True}}
    cloud = load_estate(world, clock, durations=JOB_SECONDS)
    keys = setup.keys()["walk"]
    door = CloudDoor(cloud)
    return Server(door, {WALKER: keys}, CloudHands(cloud, clock)), remote.symbols(door, keys)


def simulated(scenario: Scenario) -> Server:
    """A fresh simulated cloud as the world in which the recording began."""
    clock = TurnedClock(directions.of(scenario.name).began)
    cloud = load_estate(setup.estate(scenario), clock, durations=JOB_SECONDS)
    return Server(CloudDoor(cloud), setup.keys(), CloudHands(cloud, clock))
