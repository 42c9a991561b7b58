"""Replays one random walk: after every step the same refusal or outcome, and the same state of everything that lists show.

The walks name objects by symbols (`$vm1`, `$v3` …); a symbol is bound when the step that makes it succeeds. Codes, texts and
keys are compared as in scenarios; `state` is read anew after each step with the walker's own keys. What the walker had
before the first step is left out of it: a server has a life of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.conformance.blanking import same_text
from tests.conformance.comparing import Answer, Difference
from tests.conformance.doors import Call, query_of
from tests.conformance.identities import Identities
from tests.conformance.records import Step, Walk
from tests.conformance.replaying import DEADLINE, POLL, Server

GIB = 1024**3
WALKER = "walker"
_TIDIED = re.compile(r"of type \[Snapshot\]|unable to find a snapshot with id")
_SYMBOL = re.compile(r"\$[a-z]+\d*")
_State = Mapping[str, Mapping[str, Mapping[str, Any]]]
_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    step: Step
    found: tuple[Difference, ...]


class Walking:
    """One walk on its way against one server. `symbols` are the ids of `$zone`, `$template` and the like."""

    def __init__(self, walk: Walk, server: Server, symbols: Mapping[str, str]) -> None:
        self._walk, self._server = walk, server
        self._ids = dict(symbols)
        self._nothing = Identities()
        self._before: frozenset[str] = frozenset()

    def verdicts(self) -> Iterator[Verdict]:
        """One verdict a step, in order."""
        self._before = frozenset(row["id"] for place in _SHOWN.values() for row in self._listed(*place[:2]))
        for step in self._walk.steps:
            yield Verdict(step, tuple(self._replayed(step)))

    def _replayed(self, step: Step) -> Iterator[Difference]:
        params = {name: self._value(value) for name, value in step.args.items() if value is not None}
        self._tidied(step, params)
        answer = self._send(step.op, params)
        inner = _inner(answer)
        yield from _refusal(step.sync, answer.status, inner)
        if step.made and "id" in inner:
            self._ids.setdefault(step.made, inner["id"])
        yield from self._outcome(step, inner)
        if step.root:
            self._bind_root(step)
        yield from self._states(step)

    def _tidied(self, step: Step, params: Mapping[str, str]) -> None:
        """Where the recorded server's clean-up had come round to a destroyed snapshot, it comes round here too."""
        if _TIDIED.search(str(step.sync.get("text", ""))):
            self._server.hands.do(f"tidy {params.get('id') or params.get('snapshotid')}", self._nothing)

    def _value(self, value: Any) -> str:
        return _SYMBOL.sub(lambda found: self._ids.get(found[0], found[0]), str(value))

    def _send(self, command: str, params: Mapping[str, str]) -> Answer:
        return self._server.door.send("GET", query_of(Call(command, params), self._server.keys[WALKER]))

    def _outcome(self, step: Step, inner: _Row) -> Iterator[Difference]:
        if step.job is None or "jobid" not in inner:
            return
        job = self._awaited(inner["jobid"])
        result = job.get("jobresult") or {}
        yield from _unequal("job.status", step.job["status"], job.get("jobstatus"))
        yield from _unequal("job.code", step.job["code"], job.get("jobresultcode"))
        yield from _unequal("job.keys", sorted(step.job["result_keys"]), sorted(result))
        if "text" in step.job:
            yield from _text("job.text", step.job["text"], result.get("errortext"))

    def _awaited(self, job_id: str) -> _Row:
        for _ in range(int(DEADLINE / POLL)):
            job = _inner(self._send("queryAsyncJobResult", {"jobid": job_id}))
            if job.get("jobstatus") != 0:
                break
            self._server.hands.pause(POLL)
        return job

    def _bind_root(self, step: Step) -> None:
        machine = self._ids.get(step.made or "")
        roots = [
            row
            for row in self._listed("listVolumes", "volume")
            if row.get("virtualmachineid") == machine and row["type"] == "ROOT"
        ]
        if roots and step.root:
            self._ids.setdefault(step.root, roots[0]["id"])

    def _listed(self, command: str, key: str) -> list[_Row]:
        rows = _inner(self._send(command, {"listall": "true", "pagesize": "-1"})).get(key, [])
        return [row for row in rows if row["id"] not in self._before]

    def _states(self, step: Step) -> Iterator[Difference]:
        names: dict[str, str] = {found: symbol for symbol, found in self._ids.items()}
        for kind, (command, key, show) in _SHOWN.items():
            rows = {str(names.get(row["id"], row["id"])): show(row, names) for row in self._listed(command, key)}
            yield from _unequal_states(kind, step.state.get(kind, {}), rows)


def _inner(answer: Answer) -> dict[str, Any]:
    body = answer.body if isinstance(answer.body, dict) else {}
    value: Any = next(iter(body.values()), {})
    return value if isinstance(value, dict) else {}


def _refusal(sync: _Row, status: int, inner: _Row) -> Iterator[Difference]:
    yield from _unequal("status", sync["status"], status)
    yield from _unequal("errorcode", sync.get("code"), inner.get("errorcode"))
    yield from _unequal("cserrorcode", sync.get("cserror"), inner.get("cserrorcode"))
    if "text" in sync:
        yield from _text("errortext", sync["text"], inner.get("errortext"))


def _text(field: str, recorded: str | None, answered: str | None) -> Iterator[Difference]:
    if not same_text(str(recorded), str(answered)):
        yield Difference(field, repr(recorded), repr(answered))


def _unequal(field: str, recorded: Any, answered: Any) -> Iterator[Difference]:
    if recorded != answered:
        yield Difference(field, repr(recorded), repr(answered))


def _unequal_states(kind: str, recorded: Mapping[str, _Row], answered: Mapping[str, _Row]) -> Iterator[Difference]:
    for symbol in sorted(recorded.keys() | answered.keys()):
        mine, theirs = recorded.get(symbol), answered.get(symbol)
        if mine is None or theirs is None:
            yield Difference(f"state.{kind}", f"{symbol} {_seen(mine)}", f"{symbol} {_seen(theirs)}")
            continue
        for key in mine:
            if mine[key] != theirs.get(key):
                yield Difference(f"state.{kind}.{key}", f"{symbol} {mine[key]!r}", f"{symbol} {theirs.get(key)!r}")


def _seen(row: _Row | None) -> str:
    return "not listed" if row is None else repr(dict(row))


def _machine(row: _Row, names: Mapping[str, str]) -> _Row:
    return {"state": row["state"], "nics": len(row.get("nic", []))}


def _volume(row: _Row, names: Mapping[str, str]) -> _Row:
    machine = row.get("virtualmachineid")
    where = {"vm": names.get(machine, machine) if machine else None, "dev": row.get("deviceid")}
    return {"state": row["state"], "type": row["type"], **where, "gib": row["size"] / GIB}


def _snapshot(row: _Row, names: Mapping[str, str]) -> _Row:
    return {"state": row["state"], "of": names.get(row.get("volumeid", ""), row.get("volumeid"))}


def _vm_snapshot(row: _Row, names: Mapping[str, str]) -> _Row:
    machine = names.get(row["virtualmachineid"], row["virtualmachineid"])
    return {"state": row["state"], "type": row["type"], "of": machine, "current": row.get("current")}


_SHOWN: Mapping[str, tuple[str, str, Callable[[_Row, Mapping[str, str]], _Row]]] = {
    "vm": ("listVirtualMachines", "virtualmachine", _machine),
    "v": ("listVolumes", "volume", _volume),
    "s": ("listSnapshots", "snapshot", _snapshot),
    "ms": ("listVMSnapshot", "vmSnapshot", _vm_snapshot),
}
