"""Says in what an answer differs from the recorded one. Used by the replays of scenarios and walks; judges nothing.

Compared are HTTP status, error code, `cserrorcode`, the server's own text, which keys every object has, how many members a
list has, every reference to another object (through `Identities`) and the values named in `VALUES`: states, kinds, names,
sizes, outcomes of jobs. A `Difference` names the place by a path without positions, so that a table can speak of it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.conformance.blanking import UUID, blanked, same_text
from tests.conformance.identities import Identities
from tests.conformance.records import Exchange

_WORDS = """
    account allocationstate bootmode boottype cmd count cpunumber cserrorcode current deleteprotection description
    deviceid diskofferingname displayname domain errorcode format haenable hypervisor intervaltype isasync iscustomized
    isdefault isready jobinstancetype jobprocstatus jobresultcode jobresulttype jobstatus key level memory name
    networkname parentName passwordenabled provisioningtype resourcetype revertable rolename serviceofferingname size
    snapshottype state status success templatename traffictype type username value virtualmachinename vmdisplayname vmname
    vmstate volumename volumetype zonename
"""
VALUES = frozenset(_WORDS.split())
# Which of several hosts or pools something came to lie on: the luck of an allocator.
ALLOTTED = frozenset({"hostid", "hostname", "storageid", "storage"})
# What the server's collector of statistics writes down: present in an answer only once it came round, every minute or so.
_STATISTICS = """
    cpuused networkkbsread networkkbswrite diskkbsread diskkbswrite diskioread diskiowrite memorykbs memoryintfreekbs
    memorytargetkbs physicalsize virtualsize utilization
"""
COLLECTED = frozenset(_STATISTICS.split())


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever it came from. `body` is parsed JSON, or `{"_text": ...}`."""

    status: int
    body: Any
    content_type: str = ""
    described: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    field: str
    recorded: str
    answered: str

    def __str__(self) -> str:
        return f"{self.field}: recorded {self.recorded}, answered {self.answered}"


def differences(exchange: Exchange, answer: Answer, ids: Identities) -> list[Difference]:
    """Everything in which the answer is not the recorded one; learns ids on the way."""
    found = []
    if exchange.status != answer.status:
        found.append(Difference("status", str(exchange.status), str(answer.status)))
    kept = exchange.described is not None and exchange.status != 200 and not exchange.is_final
    if kept and exchange.described != answer.described:
        found.append(Difference("X-Description", _has(bool(exchange.described)), _has(answer.described)))
    recorded, answered = _readable(exchange.body), _readable(answer.body)
    return found + list(_compared("", recorded, answered, ids, exchange.returned))


def _has(present: bool) -> str:
    return "present" if present else "absent"


def _readable(body: Any) -> Any:
    """An XML body as nested dicts, everything else as it is."""
    text = body.get("_text", "") if isinstance(body, dict) else ""
    if not text.lstrip().startswith("<?xml"):
        return body
    root = ElementTree.fromstring(text)
    return {root.tag: _element(root)}


def _element(element: ElementTree.Element) -> Any:
    if len(element) == 0:
        return element.text or ""
    inner: dict[str, Any] = {}
    for child in element:
        inner.setdefault(child.tag, []).append(_element(child))
    return {tag: values[0] if len(values) == 1 else values for tag, values in inner.items()}


def _compared(path: str, recorded: Any, answered: Any, ids: Identities, cut: int | None = None) -> Iterator[Difference]:
    if isinstance(recorded, dict) and isinstance(answered, dict):
        yield from _objects(path, recorded, answered, ids, cut)
    elif isinstance(recorded, list) and isinstance(answered, list):
        yield from _lists(path, recorded, answered, ids, cut)
    elif isinstance(recorded, dict | list) or isinstance(answered, dict | list):
        yield Difference(path, _short(recorded), _short(answered))
    else:
        yield from _scalars(path, recorded, answered, ids)


def _objects(
    path: str, recorded: Mapping[str, Any], answered: Mapping[str, Any], ids: Identities, cut: int | None
) -> Iterator[Difference]:
    for key in recorded:
        here = f"{path}.{key}" if path else key
        if key in answered:
            yield from _compared(here, recorded[key], answered[key], ids, cut)
        elif not _is_collected(path, key):
            yield Difference(here, _short(recorded[key]), "no such key")
    for key in answered:
        if key not in recorded and not _is_collected(path, key):
            yield Difference(f"{path}.{key}" if path else key, "no such key", _short(answered[key]))


def _is_collected(path: str, key: str) -> bool:
    """Whether a key may be there or not: snapshots always show their sizes, VMs and volumes when they were collected."""
    return key in COLLECTED and "snapshot" not in path.lower()


def _lists(path: str, recorded: list[Any], answered: list[Any], ids: Identities, cut: int | None) -> Iterator[Difference]:
    if cut is not None and cut != len(answered):
        yield Difference(f"{path}[]", f"{cut} members", f"{len(answered)} members")
    for mine, theirs in ids.pairs(recorded, answered):
        if mine is not None and theirs is not None:
            yield from _compared(f"{path}[]", mine, theirs, ids)
        elif cut is None:
            yield Difference(f"{path}[]", _member(mine), _member(theirs))


def _member(member: Any) -> str:
    if not isinstance(member, dict):
        return "no such member" if member is None else _short(member)
    return (
        " ".join(f"{key}={member[key]}" for key in ("id", "name", "key", "state", "type", "created") if key in member)
        or "{}"
    )


def _scalars(path: str, recorded: Any, answered: Any, ids: Identities) -> Iterator[Difference]:
    if path.rpartition(".")[2] in ALLOTTED:
        return
    ids.learn(str(recorded), str(answered))
    if _kind(recorded) != _kind(answered) or not _same_scalar(path, str(recorded), str(answered), ids):
        yield Difference(path, _short(recorded), _short(answered))


def _kind(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _same_scalar(path: str, mine: str, theirs: str, ids: Identities) -> bool:
    key = path.rpartition(".")[2].removesuffix("[]")
    if UUID.fullmatch(mine) and UUID.fullmatch(theirs):
        return ids.same(mine, theirs)
    if key == "errortext":
        return same_text(mine, theirs)
    if key in VALUES or "details." in path:
        return blanked(mine) == blanked(theirs)
    return True


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:297]}..."
