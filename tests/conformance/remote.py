"""A server that is only reached by its address: counterparts of the recorded world there, and what a hand can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.conformance import hidden, setup
from tests.conformance.doors import Call, Door, Keys, query_of
from tests.conformance.identities import Identities

COMMON: tuple[tuple[str, Mapping[str, str], str, str], ...] = (
    ("listZones", {}, "listZones-admin", "zone"),
    ("listServiceOfferings", {}, "listServiceOfferings-admin", "serviceoffering"),
    ("listDiskOfferings", {}, "listDiskOfferings-admin", "diskoffering"),
    ("listTemplates", {"templatefilter": "executable"}, "listTemplates-self", "template"),
    ("listNetworks", {"listall": "true"}, "listNetworks-admin", "network"),
)
WALKGROUND = {
    "$zone": ("listZones", "zone", {}, "recording-zone"),
    "$compute": ("listServiceOfferings", "serviceoffering", {}, "custom-constrained"),
    "$disk": ("listDiskOfferings", "diskoffering", {}, "custom-disk"),
    "$template": ("listTemplates", "template", {"templatefilter": "executable"}, "CentOS 5.6 (64-bit) no GUI (Simulator)"),
    "$net1": ("listNetworks", "network", {"listall": "true", "type": "Isolated"}, "walknet"),
    "$net2": ("listNetworks", "network", {"listall": "true", "type": "L2"}, "walknet2"),
}


class Unsuitable(Exception):
    """The server lacks something that the recordings take for granted; the message names it."""


class Hands:
    """At a server that is only reached by its address nothing can be done but wait."""

    def __init__(self, pause: Callable[[float], None]) -> None:
        self._pause = pause

    def do(self, direction: str, ids: Identities) -> bool:
        verb, *words = direction.split()
        if verb == "wait":
            self._pause(float(words[0]))
        return verb in ("wait", "well")

    def pause(self, seconds: float) -> None:
        self._pause(seconds)

    def took(self, seconds: float) -> None:
        """A real server takes its own time."""

    def busy(self, open_jobs: set[str]) -> bool:
        return bool(open_jobs)


def listed(door: Door, keys: Keys, command: str, params: Mapping[str, str], key: str) -> list[dict[str, Any]]:
    answer = door.send("GET", query_of(Call(command, params), keys))
    return [row for inner in hidden.objects(answer.body) for row in inner.get(key, ()) if isinstance(inner.get(key), list)]


def counterparts(door: Door, keys: Keys) -> dict[str, str]:
    """Recorded id → id on this server, of everything that has the same name on both."""
    return dict(_pairs(door, keys))


def _pairs(door: Door, keys: Keys) -> Iterator[tuple[str, str]]:
    for command, params, step, key in COMMON:
        there = {row["name"]: row["id"] for row in listed(door, keys, command, params, key)}
        for row in setup.listed(step, key):
            if row["name"] in there:
                yield row["id"], there[row["name"]]


def symbols(door: Door, keys: Keys) -> dict[str, str]:
    """The ids behind `$zone`, `$net1` and so on. The recorded name is preferred, else the first one is taken."""
    return {symbol: _found(door, keys, symbol, *place) for symbol, place in WALKGROUND.items()}


def _found(door: Door, keys: Keys, symbol: str, command: str, key: str, params: Mapping[str, str], name: str) -> str:
    rows = listed(door, keys, command, params, key)
    if not rows:
        raise Unsuitable(f"{command} shows nothing that {symbol} could be; make one like {name!r} for this account first")
    return str(next((row["id"] for row in rows if row["name"] == name), rows[0]["id"]))
