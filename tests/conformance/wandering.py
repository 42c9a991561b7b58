"""Random walks of our own: sequences of legal and illegal commands over everything that one account may do.

The recorded walks say what the server does along six paths; these go along others, with those words and more, and say
of each step only what must hold on every path (`complaints`). A walk is its seed: the same seed gives the same steps.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from simulator.refusals import ROWS
from tests.conformance import hidden, records, stage
from tests.conformance.blanking import blanked
from tests.conformance.doors import Call, query_of
from tests.conformance.walking import WALKER

Row = dict[str, Any]
MASK = "Internal error executing command, please contact your system administrator"
DEADLINE = 4000
VM_STATES = {"Stopped", "Running", "Error"}  # what an ordinary account sees when every job has ended
VOLUME_STATES = {"Allocated", "Ready", "Destroy"}
SNAPSHOT_STATES = {"BackedUp"}
VM_SNAPSHOT_STATES = {"Ready", "Error", "Expunging"}


@dataclass
class Wanderer:
    """One account on its way through a fresh simulated cloud. It remembers every id that it ever saw, gone ones too."""

    seed: int
    known: dict[str, list[str]] = field(default_factory=lambda: {"vm": [], "v": [], "s": [], "ms": [], "nic": []})

    def __post_init__(self) -> None:
        self._server, self._symbols = stage.walkground()
        self._luck = random.Random(self.seed)
        self._count = 0

    def some(self, kind: str) -> str | None:
        """Any object of a kind, more often one of the last."""
        ids = self.known[kind]
        if not ids:
            return None
        return self._luck.choice(ids[-4:] if self._luck.random() < 0.6 else ids)

    def chance(self, share: float) -> bool:
        return self._luck.random() < share

    def pick(self, *choices: Any) -> Any:
        return self._luck.choice(choices)

    def symbol(self, name: str) -> str:
        return self._symbols[name]

    def name(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._count}"

    def send(self, command: str, params: Mapping[str, Any]) -> tuple[int, Row]:
        """The status and the inner object of an answer."""
        given = {key: str(value) for key, value in params.items() if value is not None}
        answer = self._server.door.send("GET", query_of(Call(command, given), self._server.keys[WALKER]))
        return answer.status, next(iter(answer.body.values()))

    def listed(self, command: str, key: str) -> list[Row]:
        _, inner = self.send(command, {"listall": "true", "pagesize": "-1"})
        rows: list[Row] = inner.get(key, [])
        assert inner.get("count", 0) == len(rows)
        return rows

    def step(self) -> tuple[str, Row, Row | None]:
        """One command with its answer and, where it made a job, the job's end."""
        moves = list(MOVES)
        while True:
            move = self._luck.choices(moves, [WEIGHTS.get(name, 1) for name in moves])[0]
            params = MOVES[move](self)
            if params is not None:
                break
        _, inner = self.send(move, params)
        job = self._ended(inner["jobid"]) if "jobid" in inner else None
        self._remember()
        return move, inner, job

    def _ended(self, job_id: str) -> Row:
        for _ in range(DEADLINE):
            _, job = self.send("queryAsyncJobResult", {"jobid": job_id})
            if job["jobstatus"] != 0:
                return job
            self._server.hands.pause(0.5)
        raise AssertionError(f"job {job_id} does not end")

    def _remember(self) -> None:
        for kind, (command, key) in SEEN.items():
            for row in self.listed(command, key):
                if row["id"] not in self.known[kind]:
                    self.known[kind].append(row["id"])
                for card in row.get("nic", ()):
                    if card["id"] not in self.known["nic"]:
                        self.known["nic"].append(card["id"])


SEEN = {
    "vm": ("listVirtualMachines", "virtualmachine"),
    "v": ("listVolumes", "volume"),
    "s": ("listSnapshots", "snapshot"),
    "ms": ("listVMSnapshot", "vmSnapshot"),
}

# --- the vocabulary: a command and its parameters, or None when there is nothing to do it with -----------------------------

Move = Callable[[Wanderer], "dict[str, Any] | None"]


def _on(kind: str, parameter: str = "id", **more: Callable[[Wanderer], Any]) -> Move:
    def move(w: Wanderer) -> dict[str, Any] | None:
        found = w.some(kind)
        return None if found is None else {parameter: found, **{key: value(w) for key, value in more.items()}}

    return move


def _deploy(w: Wanderer) -> dict[str, Any]:
    plain = {"zoneid": "$zone", "serviceofferingid": "$compute", "templateid": "$template"}
    given = {key: w.symbol(value) for key, value in plain.items()}
    size = {"details[0].cpuNumber": "1", "details[0].memory": "256", "startvm": w.pick("true", "false")}
    return {**given, **size, "name": w.name("w"), "networkids": w.symbol(w.pick("$net1", "$net2"))}


def _create_volume(w: Wanderer) -> dict[str, Any]:
    snapshot = w.some("s") if w.chance(0.3) else None
    if snapshot is not None:
        return {"name": w.name("d"), "zoneid": w.symbol("$zone"), "snapshotid": snapshot}
    plain = {"name": w.name("d"), "zoneid": w.symbol("$zone"), "diskofferingid": w.symbol("$disk")}
    return {**plain, "size": w.pick(1, 2, 3)}


def _attach(w: Wanderer) -> dict[str, Any] | None:
    volume, vm = w.some("v"), w.some("vm")
    if volume is None or vm is None:
        return None
    return {"id": volume, "virtualmachineid": vm, "deviceid": w.pick("0", "0", None, None, "1", "2", "3", "5", "34")}


def _detach(w: Wanderer) -> dict[str, Any] | None:
    if w.chance(0.1):
        vm = w.some("vm")
        return None if vm is None else {"virtualmachineid": vm, "deviceid": w.pick(0, 1, 2)}
    volume = w.some("v")
    return None if volume is None else {"id": volume}


def _add_nic(w: Wanderer) -> dict[str, Any] | None:
    vm = w.some("vm")
    return None if vm is None else {"virtualmachineid": vm, "networkid": w.symbol(w.pick("$net1", "$net2"))}


def _with_nic(w: Wanderer) -> dict[str, Any] | None:
    vm, card = w.some("vm"), w.some("nic")
    return None if vm is None or card is None else {"virtualmachineid": vm, "nicid": card}


def _tags(w: Wanderer) -> dict[str, Any] | None:
    volume = w.some("v")
    if volume is None:
        return None
    key = {"tags[0].key": w.pick("k0", "k1", "k2"), "tags[0].value": "x"}
    return {"resourceids": volume, "resourcetype": "Volume", **key}


def _sometimes(*choices: Any) -> Callable[[Wanderer], Any]:
    return lambda w: w.pick(*choices)


MOVES: Mapping[str, Move] = {
    "deployVirtualMachine": _deploy,
    "startVirtualMachine": _on("vm"),
    "stopVirtualMachine": _on("vm", forced=_sometimes(None, "true")),
    "rebootVirtualMachine": _on("vm"),
    "destroyVirtualMachine": _on("vm", expunge=_sometimes(None, "true")),
    "expungeVirtualMachine": _on("vm"),
    "recoverVirtualMachine": _on("vm"),
    "updateVirtualMachine": _on("vm", displayname=lambda w: w.name("u")),
    "createVolume": _create_volume,
    "attachVolume": _attach,
    "detachVolume": _detach,
    "deleteVolume": _on("v"),
    "destroyVolume": _on("v", expunge=_sometimes(None, "true")),
    "recoverVolume": _on("v"),
    "resizeVolume": _on("v", size=_sometimes(1, 4), shrinkok=_sometimes(None, "true")),
    "createSnapshot": _on("v", "volumeid", name=lambda w: w.name("s")),
    "revertSnapshot": _on("s"),
    "deleteSnapshot": _on("s"),
    "createVMSnapshot": _on("vm", "virtualmachineid", snapshotmemory=_sometimes(None, None, "true")),
    "revertToVMSnapshot": _on("ms", "vmsnapshotid"),
    "deleteVMSnapshot": _on("ms", "vmsnapshotid"),
    "addNicToVirtualMachine": _add_nic,
    "removeNicFromVirtualMachine": _with_nic,
    "updateDefaultNicForVirtualMachine": _with_nic,
    "listNics": _on("vm", "virtualmachineid"),
    "createTags": _tags,
    "deleteTags": _tags,
}
WEIGHTS = {"attachVolume": 10, "detachVolume": 5, "createVolume": 4, "createSnapshot": 4, "createVMSnapshot": 4}
WEIGHTS |= {"startVirtualMachine": 4, "stopVirtualMachine": 4, "deployVirtualMachine": 3, "revertToVMSnapshot": 3}


# --- what must hold --------------------------------------------------------------------------------------------------------


def complaints(w: Wanderer, move: str, inner: Row, job: Row | None) -> Iterator[str]:
    """What is wrong after a step; nothing when all is well."""
    text = inner.get("errortext") if job is None else (job.get("jobresult") or {}).get("errortext")
    if text is not None and not is_known(text):
        yield f"{move} says what no rule and no recording knows: {text}"
    if job is not None and "jobresult" not in job:
        yield f"{move} ended without a result"
    yield from _inconsistencies(w)


def _inconsistencies(w: Wanderer) -> Iterator[str]:
    vms = {row["id"]: row for row in w.listed(*SEEN["vm"])}
    volumes, snapshots, rows = (w.listed(*SEEN[kind]) for kind in ("v", "s", "ms"))
    for kind, found, allowed in (
        ("VM", vms.values(), VM_STATES),
        ("volume", volumes, VOLUME_STATES),
        ("snapshot", snapshots, SNAPSHOT_STATES),
        ("VM snapshot", rows, VM_SNAPSHOT_STATES),
    ):
        yield from (f"{kind} {row['id']} is {row['state']}" for row in found if row["state"] not in allowed)
    places = [(row["virtualmachineid"], row["deviceid"]) for row in volumes if "virtualmachineid" in row]
    if len(places) != len(set(places)):
        yield f"two volumes at one place: {places}"
    for row in volumes:
        if ("virtualmachineid" in row and row["deviceid"] == 0) != (row["type"] == "ROOT"):
            yield f"volume {row['id']} at {row.get('deviceid')} is {row['type']}"
    for vm in {row["virtualmachineid"] for row in rows}:
        if sum(row.get("current") is True for row in rows if row["virtualmachineid"] == vm) > 1:
            yield f"two current snapshots of {vm}"
    for row in vms.values():
        if len([card for card in row["nic"] if card["isdefault"]]) != 1 and row["state"] != "Error":
            yield f"VM {row['id']} has not one default card"


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """The texts of the table of refusals as patterns."""
    texts = {text for row in ROWS.values() for text in (row.text, row.new) if text is not None}
    return tuple(
        re.compile(re.sub(r"\\\{\w+\\\}", ".*", re.escape(text.replace("{{", "{").replace("}}", "}")))) for text in texts
    )


@cache
def _recorded() -> frozenset[str]:
    """Every error text of the recordings, blanked."""
    texts = (
        row["errortext"]
        for name in records.scenarios()
        for exchange in records.scenario(name).exchanges
        for row in hidden.objects(exchange.body)
        if isinstance(row.get("errortext"), str)
    )
    walked = (
        text
        for name in records.walks()
        for step in records.walk(name).steps
        for text in (step.sync.get("text"), (step.job or {}).get("text"))
        if text
    )
    return frozenset(blanked(text) for text in (*texts, *walked))


def is_known(text: str) -> bool:
    """Whether a rule's row or a recording says this. The prefixes of VM snapshots come before a row's own text."""
    plain = re.sub(r"^Failed to create Instance Snapshot: (\[VMSnapshot \{[^}]*\}\] due to: )?", "", text)
    return text == MASK or blanked(text) in _recorded() or any(p.fullmatch(t) for p in _patterns() for t in (text, plain))
