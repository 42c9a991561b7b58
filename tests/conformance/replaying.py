"""Replays one recording, exchange by exchange, against one server, and says where the answers differ.

In order; ids are mapped as they appear in answers (`identities`), jobs are awaited where the recording awaited them, and
where the recording looked at something in motion the replay looks again until the picture is the recorded one or `PATIENCE`
is over: the recordings keep the order of events, not their times. What a difference means, `known` and `replay` say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from tests.conformance import directions, hidden, records
from tests.conformance.comparing import Answer, Difference, differences
from tests.conformance.directions import Directions
from tests.conformance.doors import Call, Door, Keys, Quirk, query_of
from tests.conformance.identities import Identities
from tests.conformance.records import Exchange, Scenario

POLL, PATIENCE, DEADLINE = 0.25, 12.0, 300.0  # seconds
READING = ("list", "query", "get")
MOST_PAGES = 100


class Hands(Protocol):
    """What can be done to the server off the record."""

    def do(self, direction: str, ids: Identities) -> bool:
        """Follows a stage direction; False when that cannot be done here."""

    def pause(self, seconds: float) -> None:
        """Lets time pass."""

    def took(self, seconds: float) -> None:
        """The recorded request took so long."""

    def busy(self, open_jobs: set[str]) -> bool:
        """Whether waiting can change anything."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one exchange. `skipped` says why it was not replayed."""

    exchange: Exchange
    found: tuple[Difference, ...] = ()
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """The server under test: how it is reached, whose keys are there, what can be done to it, how far its clock is off."""

    door: Door
    keys: Mapping[str, Keys]
    hands: Hands
    offset: timedelta = timedelta()


class Replay:
    """One recording on its way against one server."""

    def __init__(self, scenario: Scenario, server: Server, ids: Identities | None = None) -> None:
        self._scenario, self._server = scenario, server
        self._directions: Directions = directions.of(scenario.name)
        self._roots = hidden.roots(scenario) | hidden.named(scenario, self._directions.roots)
        self._ids = ids or Identities()
        self._open: set[str] = set()
        self._entered: Counter[str] = Counter()

    def verdicts(self) -> Iterator[Verdict]:
        """One verdict an exchange, in order; nothing is sent before it is asked for."""
        for exchange in self._scenario.exchanges:
            undone = [done for done in self._due(exchange.step) if not self._server.hands.do(done, self._ids)]
            reason = f"needs a hand on the server: {', '.join(undone)}" if undone else self._impossible(exchange)
            self._server.hands.took(exchange.elapsed)
            yield Verdict(exchange, skipped=reason) if reason else Verdict(exchange, tuple(self._replayed(exchange)))

    def _due(self, step: str) -> Iterable[str]:
        self._entered[step] += 1
        times = self._entered[step]
        return self._directions.before.get(step if times == 1 else f"{step}#{times}", ())

    def _impossible(self, exchange: Exchange) -> str:
        if not exchange.was_sent and not exchange.is_page_walk:
            return "not a request"
        if exchange.caller is not None and exchange.caller not in self._server.keys:
            return f"no keys of {exchange.caller}"
        return ""

    def _replayed(self, exchange: Exchange) -> list[Difference]:
        self._look_up_roots(exchange)
        if exchange.is_page_walk:
            return walked(exchange, lambda page: self._send(exchange, {"page": str(page)}))
        if exchange.is_final:
            return self._ended(exchange)
        found, answer = self._tried(exchange)
        if found and self._is_moving(exchange):
            return self._patiently(exchange, found)
        self._open |= {row["jobid"] for row in hidden.objects(answer.body) if exchange.status == 200 and "jobid" in row}
        return found

    def _is_moving(self, exchange: Exchange) -> bool:
        looks = (exchange.command or "").startswith(READING) and not exchange.step.endswith(records.PENDING)
        return looks and self._server.hands.busy(self._open)

    def _patiently(self, exchange: Exchange, first: list[Difference]) -> list[Difference]:
        for _ in range(int(PATIENCE / POLL)):
            self._server.hands.pause(POLL)
            found, _answer = self._tried(exchange)
            if not found:
                return []
            if not self._server.hands.busy(self._open):
                break
        return first

    def _tried(self, exchange: Exchange) -> tuple[list[Difference], Answer]:
        """One attempt. What a look in the wrong moment taught about ids is forgotten again."""
        trial = self._ids.copy()
        answer = self._send(exchange)
        found = differences(exchange, answer, trial)
        if not found or not self._is_moving(exchange):
            self._ids = trial
        return found, answer

    def _ended(self, exchange: Exchange) -> list[Difference]:
        answer = self._send(exchange)
        for _ in range(int(DEADLINE / POLL)):
            if not is_pending(answer):
                break
            self._server.hands.pause(POLL)
            answer = self._send(exchange)
        self._open.discard(self._ids.translate(exchange.params.get("jobid", "")))
        return differences(exchange, answer, self._ids)

    def _look_up_roots(self, exchange: Exchange) -> None:
        for volume in (value for value in exchange.params.values() if value in self._roots and value not in self._ids):
            machine = self._ids.translate(self._roots[volume])
            look = Call("listVolumes", {"virtualmachineid": machine, "type": "ROOT", "listall": "true"})
            answer = self._server.door.send("GET", query_of(look, self._server.keys.get("admin") or self._keys_of(exchange)))
            rows = [row for row in hidden.objects(answer.body) if "id" in row]
            if rows:
                self._ids.learn(volume, rows[0]["id"])

    def _keys_of(self, exchange: Exchange) -> Keys | None:
        return self._server.keys.get(exchange.caller or "dr")

    def _send(self, exchange: Exchange, changed: Mapping[str, str] | None = None) -> Answer:
        params = {name: self._value(name, value) for name, value in {**exchange.params, **(changed or {})}.items()}
        quirk = self._directions.quirk.get(exchange.step, Quirk.NONE)
        response = self._directions.response.get(exchange.step, "json")
        call = Call(exchange.command, params, exchange.method, response, quirk)
        return self._server.door.send(exchange.method, query_of(call, self._keys_of(exchange)))

    def _value(self, name: str, value: str) -> str:
        if name == "expires":
            return shifted(value, self._server.offset)
        return self._ids.number(value) if name == "id" and value.isdigit() else self._ids.translate(value)


def shifted(moment: str, offset: timedelta) -> str:
    """A recorded `expires` on the clock of the server under test; what is no date stays."""
    try:
        there = datetime.fromisoformat(moment) + offset
    except ValueError:
        return moment
    return there.strftime("%Y-%m-%dT%H:%M:%S%z") if not moment.endswith("Z") else there.strftime("%Y-%m-%dT%H:%M:%SZ")


def is_pending(answer: Answer) -> bool:
    return any(row.get("jobstatus") == 0 and "cmd" in row for row in hidden.objects(answer.body))


def walked(exchange: Exchange, turn: Any) -> list[Difference]:
    """A whole page walk against the recorded summary of one: all rows counted, and repeated rows where there were some."""
    seen: list[str] = []
    count = None
    for page in range(1, MOST_PAGES):
        inner: dict[str, Any] = next(iter(turn(page).body.values()), {})
        rows = [row["id"] for row in inner.get("volume", ())]
        count = inner.get("count", count)
        if not rows:
            break
        seen += rows
    got = {"rows": len(seen), "repeats": len(seen) > len(set(seen)), "count_field": count}
    wanted = {
        "rows": exchange.body["rows"],
        "repeats": exchange.body["duplicates"] > 0,
        "count_field": exchange.body["count_field"],
    }
    return [Difference(f"walk.{key}", str(wanted[key]), str(got[key])) for key in wanted if wanted[key] != got[key]]
