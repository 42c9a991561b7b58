"""What a recording found already there: rows of its lists that nothing in the recording had made.

`found(scenario)` is the part of a world that `setup` must add to the common estate before that scenario is replayed. The
rows are those of the first list that showed them, so their state is that of the beginning unless the recording changed it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.conformance import hidden
from tests.conformance.blanking import UUID
from tests.conformance.records import Exchange, Scenario

KINDS = {"virtualmachine": "vm", "volume": "volume", "snapshot": "snapshot", "vmSnapshot": "vmsnapshot"}
MAKERS = {"deployVirtualMachine", "createVolume", "createSnapshot", "createVMSnapshot"}
OWNERS = ("virtualmachineid", "volumeid")

Row = Mapping[str, Any]


def found(scenario: Scenario) -> dict[str, list[Row]]:
    """Kind → rows, in the order in which they were first seen."""
    made: set[str] = set(hidden.roots(scenario))
    names: set[str] = set()
    left: dict[str, dict[str, Row]] = {kind: {} for kind in KINDS.values()}
    for exchange in scenario.exchanges:
        made |= set(_made(exchange))
        if exchange.command in MAKERS:
            names.add(exchange.params.get("name", ""))
        for kind, row in _rows(exchange):
            if not _explained(row, made, names):
                left[kind].setdefault(row["id"], row)
    for row in left["volume"].values():
        if "virtualmachineid" in row:
            left["vm"].setdefault(row["virtualmachineid"], _host(row))
    return {kind: list(rows.values()) for kind, rows in left.items() if rows}


def idle(scenario: Scenario) -> set[str]:
    """Networks that had no guest yet: a card of a machine that was never started shows no address of isolation there."""
    found: dict[str, bool] = {}
    for exchange in scenario.exchanges:
        for row in hidden.objects(exchange.body):
            cards = row.get("nic")
            if isinstance(cards, list) and row.get("state") == "Stopped" and "lastupdated" not in row:
                for card in cards:
                    found.setdefault(card["networkid"], "isolationuri" not in card)
    return {network for network, is_idle in found.items() if is_idle}


CAPABILITIES = {
    "allowuserexpungerecovervm": "allow.user.expunge.recover.vm",
    "allowuserexpungerecovervolume": "allow.user.expunge.recover.volume",
    "allowuserviewdestroyedvm": "allow.user.view.destroyed.vm",
    "apilimitinterval": "api.throttling.interval",
    "apilimitmax": "api.throttling.max",
}


def settings(scenario: Scenario) -> dict[str, Any]:
    """Settings of the recorded server that show: what it says of itself to users, and that it counts their calls."""
    users = [e for e in scenario.exchanges if e.caller != "admin"]
    rows = [_inner(e.body).get("capability", {}) for e in users if e.command == "listCapabilities" and e.status == 200]
    told = {CAPABILITIES[key]: value for row in rows[:1] for key, value in row.items() if key in CAPABILITIES}
    return told | ({"api.throttling.enabled": True} if any(e.status == 429 for e in users) else {})


def label(scenario: Scenario) -> str:
    """The hypervisor that the rows of this recording carried: what its machines show, else what its name says."""
    rows = (row for exchange in scenario.exchanges for row in hidden.objects(exchange.body) if "guestosid" in row)
    shown = (row["hypervisor"] for row in rows if row.get("hypervisor") in ("KVM", "Simulator"))
    return next(shown, "KVM" if scenario.name.startswith("kvm-") else "Simulator")


def mentioned(scenario: Scenario) -> list[str]:
    """Ids of volumes that a list was asked for and had, though the recording does not show them all."""
    asked = (e.params.get("ids", "") for e in scenario.exchanges if e.command == "listVolumes" and e.status == 200)
    return list(dict.fromkeys(found[0] for text in asked for found in UUID.finditer(text)))


def servers(scenario: Scenario) -> list[dict[str, Any]]:
    """The management server as the recording shows it first, without what the simulated one counts itself."""
    rows = (row for e in scenario.exchanges for row in _inner(e.body).get("managementserver", ()))
    return [{key: value for key, value in row.items() if key not in ("state", "pendingjobscount")} for row in rows][:1]


def began(scenario: Scenario) -> str:
    """The earliest moment that any job of the recording tells of."""
    rows = (row for exchange in scenario.exchanges for row in hidden.objects(exchange.body) if "jobprocstatus" in row)
    return min((row["created"] for row in rows), default="9999")


def _host(volume: Row) -> Row:
    """The machine that a volume hangs on, as far as the volume tells."""
    told = {
        "id": volume["virtualmachineid"],
        "name": volume["vmname"],
        "displayname": volume["vmdisplayname"],
        "state": volume["vmstate"],
    }
    return told | {key: volume[key] for key in ("account", "zoneid", "created")}


def _made(exchange: Exchange) -> Iterator[str]:
    answer = _inner(exchange.body)
    if exchange.command in MAKERS and isinstance(answer.get("id"), str):
        yield answer["id"]


def _inner(body: Any) -> Row:
    values = [value for value in body.values() if isinstance(value, dict)] if isinstance(body, dict) else []
    return values[0] if len(values) == 1 else {}


def _rows(exchange: Exchange) -> Iterator[tuple[str, Row]]:
    for key, kind in KINDS.items():
        members = _inner(exchange.body).get(key)
        for row in members if isinstance(members, list) else []:
            if "id" in row:
                yield kind, row


def _explained(row: Row, made: set[str], names: set[str]) -> bool:
    owned = any(row.get(owner) in made for owner in OWNERS)
    return row["id"] in made or owned or row.get("name") in names
