"""The wire: signatures, parameters, envelopes, pages. Between a request as it arrives and a command as it is written.

`cloud.Cloud.call` uses this for every request. Parameters are declared per command (`Param`) and resolved one by one,
in order, as the real server does, so that the first fault reported is the one the real server reports.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from simulator.refusals import API, MASK, PARAM, RUNTIME, Refused, refuse

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
READING = re.compile(r"(get|list|query|find).*")
LEAVES = frozenset((str, int, bool, float))
UNSIGNED = "unable to verify user credentials and/or request signature"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: HTTP status, headers, body. One that is `cut` breaks off after the body; `delay` are seconds before it is sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool = False
    delay: float = 0.0

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Param:
    """A declared parameter. `kind` is text, long, int, bool, date, map, list, or the entity type its uuid names.

    `owned` entities must be the caller's; `field` is the name under which a value that is too long is reported.
    `removed` entities are found too, for commands that speak of them in words of their own. A parameter is not seen at all by
    releases before `since`, nor, when `privileged`, by anybody but root administrators. `shown` is its type in listApis, where
    that is not the kind's.
    """

    name: str
    kind: str = "text"
    required: bool = False
    owned: bool = False
    limit: int = 255
    field: str = ""
    since: str = ""
    removed: bool = False
    privileged: bool = False
    shown: str = ""


@dataclass(slots=True)
class Call:
    """One request, resolved: the caller, the raw parameters (names lower case; `given` keeps their case), the resolved values.

    `most` are the rows of a page at most.
    """

    command: str
    account: Any
    raw: Mapping[str, str]
    user: Any = None
    values: dict[str, Any] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    most: int = 500

    def __getitem__(self, name: str) -> Any:
        """A resolved value; None when the parameter was not given."""
        return self.values.get(name)

    def has(self, name: str) -> bool:
        """Whether the parameter was given."""
        return self.values.get(name) is not None

    def mapped(self, name: str) -> list[dict[str, str]]:
        """A map parameter: `tags[0].key=..` as a list of dictionaries, by index."""
        pattern = re.compile(rf"{re.escape(name)}\[(\d+)\]\.(.+)", re.IGNORECASE)
        rows: dict[int, dict[str, str]] = {}
        for key, value in (self.given or self.raw).items():
            match = pattern.fullmatch(key)
            if match:
                rows.setdefault(int(match[1]), {})[match[2]] = value
        return [rows[index] for index in sorted(rows)]


# --- signatures -------------------------------------------------------------------------------------------------------


def signature(params: Mapping[str, str], secret: str) -> str:
    """The signature CloudStack computes over all parameters but `signature` itself."""
    pairs = sorted((k, v) for k, v in params.items() if k.lower() != "signature")
    text = "&".join(f"{k}={quote(v, safe='*').replace('~', '%7E')}" for k, v in pairs).lower()
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


def expired(params: Mapping[str, str], now: datetime, enforce: bool) -> bool:
    """CS-WIR-03/04: version 3 needs an `expires` that has not passed (and, when enforced, is at most 15 minutes away)."""
    lower = {k.lower(): v for k, v in params.items()}
    if lower.get("signatureversion") != "3":
        return enforce
    try:
        until = datetime.strptime(lower["expires"], "%Y-%m-%dT%H:%M:%S%z")
    except (KeyError, ValueError):
        return True
    return until < now or (enforce and until > now + timedelta(minutes=15))


# --- envelopes --------------------------------------------------------------------------------------------------------


def answer(envelope: str, content: Mapping[str, Any], status: int = 200, described: str | None = None) -> Reply:
    """An answer in its envelope; absent values are left out, never null (CS-WIR-15)."""
    headers = {"Content-Type": "application/json;charset=utf-8"}
    if described is not None:
        headers["X-Description"] = re.sub(r"[^\x20-\x7e]", "?", described)
    return Reply(status, headers, json.dumps({envelope: without_nulls(content)}, separators=(",", ":")).encode())


def as_xml(reply: Reply, release: str) -> Reply:
    """The same answer as XML: what a caller gets that does not ask for JSON."""
    envelope, content = next(iter(reply.json.items()))
    body = f'<?xml version="1.0" encoding="UTF-8"?><{envelope} cloud-stack-version="{release}">{_xml(content)}</{envelope}>'
    return Reply(reply.status, {**reply.headers, "Content-Type": "text/xml;charset=utf-8"}, body.encode())


def _xml(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(_elements(key, inner) for key, inner in value.items())
    if isinstance(value, bool):
        return str(value).lower()
    return escape(str(value))


def _elements(key: str, value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return "".join(f"<{key}>{_xml(inner)}</{key}>" for inner in values if inner not in ({}, []))


def plain(value: Any) -> Any:
    """A copy that holds nothing but dictionaries, lists and values, so that later changes do not show in it."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def without_nulls(value: Any) -> Any:
    """The value without keys that have no value."""
    if isinstance(value, dict):
        return {k: v if type(v) in LEAVES else without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [v if type(v) in LEAVES else without_nulls(v) for v in value]
    return value


def unauthorised(command: str | None, known: bool) -> Reply:
    """CS-WIR-01, 06, 21: any 401 has no class number and no description header."""
    envelope = "null" if command is None else f"{command.lower()}response" if known else "errorresponse"
    return answer(envelope, {"uuidList": [], "errorcode": 401, "errortext": UNSIGNED}, 401)


def refused(command: str, fault: Refused, is_root: bool) -> Reply:
    """A refusal at once; masked texts are only for root administrators (CS-WIR-14)."""
    text = fault.text if is_root or not fault.masked else MASK
    content = {"uuidList": [], "errorcode": fault.code, "cserrorcode": fault.cs, "errortext": text}
    envelope = "errorresponse" if fault.code == 432 else f"{command.lower()}response"
    return answer(envelope, content, fault.code, None if fault.code == 400 else text)


# --- parameters -------------------------------------------------------------------------------------------------------

Find = Callable[[str, str], Any]
Allowed = Callable[[Any, Any], bool]


def resolve(call: Call, declared: Sequence[Param], find: Find, reading: bool, may_act: Allowed) -> None:
    """Resolve the declared parameters one by one. `find(kind, text)` gives a row, removed ones too, or None."""
    for key, value in call.given.items() or call.raw.items():
        if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", value):
            raise Refused(431, f"Received value containing illegal ASCII non-printable characters for parameter {key}", API)
    for param in declared:
        text = _map_given(call, param.name) if param.kind == "map" else call.raw.get(param.name)
        if text is None:
            if param.required:
                raise Refused(
                    431, f"Unable to execute API command {call.command.lower()} due to missing parameter {param.name}", API
                )
            continue
        call.values[param.name] = _value(call, param, text, find, reading, may_act)


def _map_given(call: Call, name: str) -> str | None:
    """Whether any entry of a map was given: maps come as `tags[0].key=..`."""
    return "" if any(key.startswith(f"{name}[") for key in call.raw) else None


def _value(call: Call, param: Param, text: str, find: Find, reading: bool, may_act: Allowed) -> Any:
    simple = _SIMPLE.get(param.kind)
    return simple(call, param, text) if simple else _entity(call, param, text, find, reading, may_act)


def _text(call: Call, param: Param, text: str) -> str:
    if len(text) > param.limit:
        raise _invalid(call, f". Value greater than max allowed length {param.limit} for param: {param.field or param.name}")
    return text


def _boolean(call: Call, param: Param, text: str) -> bool:
    """CS-WIR-26: whatever is not true is false."""
    del call, param
    return text.strip().lower() == "true"


def _listed(call: Call, param: Param, text: str) -> list[str]:
    del call, param
    return [part.strip() for part in text.split(",") if part.strip()]


def _date(call: Call, param: Param, text: str) -> datetime:
    del param
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        told = f"Unable to parse date {text} for command {call.command.lower()}, please pass dates in the format mentioned in the api documentation"
        raise Refused(431, told, API) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


BITS = {"int": 31, "long": 63}


def _number(call: Call, param: Param, text: str) -> int | None:
    """A whole number that fits; a blank one is as good as none where it is short."""
    if param.kind == "int" and not text.strip():
        return None
    return _whole(call, param.name, text, BITS[param.kind])


def _whole(call: Call, name: str, text: str, bits: int) -> int:
    if re.fullmatch(r"[+-]?\d+", text) and -(2**bits) <= int(text) < 2**bits:
        return int(text)
    raise _invalid(call, f" {text} for parameter {name}")


_SIMPLE: Mapping[str, Callable[[Call, Param, str], Any]] = {
    "text": _text,
    "bool": _boolean,
    "long": _number,
    "int": _number,
    "list": _listed,
    "date": _date,
    "map": _text,
}


def _entity(call: Call, param: Param, text: str, find: Find, reading: bool, may_act: Allowed) -> Any:
    if not text:
        raise Refused(431, f"Invalid value provided for API arg: {param.name}", PARAM)
    if param.kind == "Project" and text == "-1":  # all projects
        return -1
    found = find(param.kind, text)
    if found is None:
        if re.fullmatch(r"-?\d+", text):
            raise refuse("CS-WIR-18", n=text, kind=param.kind)
        raise unknown_entity(call.command, param.name, text)
    if getattr(found, "removed", False) and not reading and not param.removed:
        raise refuse("CS-WIR-18", n=found.n, kind=param.kind)
    if param.owned and not may_act(call.account, found):
        raise refuse("CS-WIR-27")
    return found


def unknown_entity(command: str, name: str, text: str) -> Refused:
    """CS-WIR-08: an id that never existed, or text that is no id."""
    said = (
        f"Unable to execute API command {command.lower()} due to invalid value. Invalid parameter {name} value={text} due to incorrect long value "
        "format, or entity does not exist or due to incorrect parameter annotation for the field in api cmd class."
    )
    return Refused(431, said, API)


def _invalid(call: Call, rest: str) -> Refused:
    return Refused(431, f"Unable to execute API command {call.command.lower()} due to invalid value{rest}", API)


# --- lists ------------------------------------------------------------------------------------------------------------


def page(call: Call, key: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """CS-WIR-10, 11, 12, 23: one page of rows with the total count; empty lists are empty objects."""
    chosen = _window(call, rows)
    if not rows:
        return {}
    count = len(rows) + int(call.values.get("surplus", 0))
    return {"count": count, key: list(chosen)} if chosen else {"count": count}


def check_page(call: Call) -> None:
    """Refuse what is wrong with `page` and `pagesize` before anything is listed."""
    number, size = (of_page(call, name) for name in ("page", "pagesize"))
    if size == UNLIMITED:
        if number is not None:
            raise Refused(431, "Can't specify page parameter when pagesize is -1 (Unlimited)")
        return
    if (number is None) != (size is None):
        given, missing = ("page", "pagesize") if size is None else ("pagesize", "page")
        raise Refused(431, f'"{missing}" parameter is required when "{given}" is specified', API)
    if size is not None and size > call.most:
        raise Refused(431, f"Page size can't exceed max allowed page size value: {call.most}")
    if size is not None and size < 0:
        raise Refused(530, "DB Exception on: null", RUNTIME, masked=True)


UNLIMITED = -1


def of_page(call: Call, name: str) -> int | None:
    """The number of a page or its size; a blank one is as good as none."""
    text = call.raw.get(name)
    return _whole(call, name, text, BITS["int"]) if text is not None and text.strip() else None


def _window(call: Call, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    number, size = (of_page(call, name) for name in ("page", "pagesize"))
    if size == UNLIMITED:
        return rows
    if number is None or size is None:
        return rows[: call.most]
    start = (max(1, number) - 1) * size
    return rows[start : start + size]
