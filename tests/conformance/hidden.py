"""Volumes that a recording uses before any answer shows them: roots whose ids were looked up off the record.

`roots(scenario)` says which machine each of them belonged to, read from what later answers say about it; `replay` then makes
the same look-up on the server under test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.conformance.blanking import UUID
from tests.conformance.records import Exchange, Scenario

PARAMETERS = ("id", "volumeid", "volumeids")


def roots(scenario: Scenario) -> dict[str, str]:
    """Id of a root volume → id of the machine that it was made with."""
    everything = json.dumps([exchange.body for exchange in scenario.exchanges]).replace("\\", "")
    found = {}
    for index, volume in _unseen(scenario.exchanges):
        machine = _owner(scenario.exchanges, index, volume) or _numbered(everything, volume)
        found[volume] = machine or _last_named(scenario.exchanges, index)
    return {volume: machine for volume, machine in found.items() if machine}


def named(scenario: Scenario, names: Mapping[str, str]) -> dict[str, str]:
    """The same, where only a stage direction knows the name of the machine."""
    deployed = [
        exchange for exchange in scenario.exchanges if exchange.command == "deployVirtualMachine" and exchange.status == 200
    ]
    machines = {
        exchange.params.get("name"): row["id"] for exchange in deployed for row in objects(exchange.body) if "jobid" in row
    }
    return {volume: machines[name] for volume, name in names.items()}


def _unseen(exchanges: tuple[Exchange, ...]) -> Iterator[tuple[int, str]]:
    seen = ""
    for exchange in exchanges:
        for name in PARAMETERS:
            value = exchange.params.get(name, "")
            if UUID.fullmatch(value) and _is_about_volumes(exchange) and _exists(exchange) and value not in seen:
                seen += value
                yield exchange.index, value
        seen += json.dumps(exchange.body)


def _exists(exchange: Exchange) -> bool:
    return "entity does not exist" not in json.dumps(exchange.body) and exchange.status not in (401, 432)


def _is_about_volumes(exchange: Exchange) -> bool:
    return "Volume" in (exchange.command or "") or "volumeid" in exchange.params or "volumeids" in exchange.params


def _owner(exchanges: tuple[Exchange, ...], index: int, volume: str) -> str | None:
    if exchanges[index].params.get("volumeids") == volume:
        return exchanges[index].params["id"]
    rows = (row for exchange in exchanges for row in objects(exchange.body))
    about = (row for row in rows if volume in (row.get("id"), row.get("volumeid")))
    return next((row["virtualmachineid"] for row in about if "virtualmachineid" in row), None)


def _numbered(everything: str, volume: str) -> str | None:
    """Through the internal number that the names of a machine and of its root share."""
    number = re.search(rf'"ROOT-(\d+)"[^}}]*"{volume}"|"{volume}"[^}}]*?"ROOT-(\d+)"', everything)
    if not number:
        return None
    machine = re.search(rf'"i-\d+-{number[1] or number[2]}-VM"[^}}]*?"uuid": ?"({UUID.pattern})"', everything)
    return machine[1] if machine else None


def objects(body: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a body, outer ones first."""
    if isinstance(body, dict):
        yield body
    for inner in body.values() if isinstance(body, dict) else body if isinstance(body, list) else ():
        yield from objects(inner)


def _last_named(exchanges: tuple[Exchange, ...], index: int) -> str | None:
    """The machine that the same caller deployed or named last."""
    machines: set[str] = set()
    last = None
    for exchange in exchanges[:index]:
        deployed = [
            row["id"] for row in objects(exchange.body) if "jobid" in row and exchange.command == "deployVirtualMachine"
        ]
        machines.update(deployed)
        named = exchange.params.get("id")
        if exchange.caller == exchanges[index].caller:
            last = deployed[0] if deployed else named if named in machines else last
    return last
