"""From bytes to plain data: is this CloudStack's, is it whole, and is it a yes or a no. Pure.

`reads` and `writer` hand every `transport.Answer` to `opened`; nothing else looks into a body. What the data mean is
`parse`'s business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from reconciler.cloudstack.errors import BadAnswer, Unreachable, WrongAddress
from reconciler.cloudstack.transport import Answer

MAX_TEXT = 1000
MAX_DELAY = 60.0
PROXY_STATUSES = frozenset({500, 502, 503, 504})
_MILLISECONDS = re.compile(r"\[(\d{1,9})\]\s*ms")


@dataclass(frozen=True, slots=True)
class No:
    """CloudStack said no: code, its text (for people only), how many seconds it asked us to stay away, its `Date`."""

    code: int
    text: str
    retry_after: float | None = None
    date: str = ""


def opened(answer: Answer, where: str) -> Mapping[str, Any] | No:
    """The content of the one envelope, or the server's no.

    Raises `WrongAddress` when this is not CloudStack, `Unreachable` when a proxy speaks in its place, `BadAnswer` when
    the body is empty, cut off, or no envelope.
    """
    if not answer.content_type.startswith(("application/json", "text/javascript")):
        return _foreign(answer, where)
    content = _envelope(answer, where)
    if answer.status == 200 and "errorcode" not in content:
        return content
    return _no(answer, content)


def _foreign(answer: Answer, where: str) -> No:
    kind = answer.content_type.partition(";")[0] or "no content type"
    if answer.status == 401:
        return No(401, "", date=answer.date)
    if answer.status in PROXY_STATUSES:
        what, then = (
            f"HTTP {answer.status} ({kind}), not from CloudStack itself",
            "see whether CloudStack runs behind it",
        )
        raise Unreachable(what, where, then, sent=True)
    if answer.status == 200 and not answer.body.strip():
        raise BadAnswer("the answer is empty", where)
    raise WrongAddress(f"HTTP {answer.status} with {kind} instead of JSON", where)


def _envelope(answer: Answer, where: str) -> Mapping[str, Any]:
    if not answer.body.strip():
        raise BadAnswer(f"HTTP {answer.status} with an empty body", where)
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise BadAnswer(f"HTTP {answer.status} with JSON that is cut off or broken", where) from None
    content = next(iter(data.values())) if isinstance(data, dict) and len(data) == 1 else None
    if not isinstance(content, dict):
        if answer.status == 404:
            raise WrongAddress("HTTP 404 with JSON that is not CloudStack's", where)
        raise BadAnswer("JSON without CloudStack's one envelope", where)
    return content


def _no(answer: Answer, content: Mapping[str, Any]) -> No:
    code = content.get("errorcode")
    text = str(content.get("errortext") or "")[:MAX_TEXT]
    number = code if isinstance(code, int) and not isinstance(code, bool) else answer.status
    return No(number, text, _delay(answer, text) if number in (429, 503) else None, answer.date)


def _delay(answer: Answer, text: str) -> float | None:
    named = _MILLISECONDS.search(text)
    if named:
        return min(int(named.group(1)) / 1000, MAX_DELAY)
    return min(float(answer.retry_after), MAX_DELAY) if answer.retry_after.isdigit() else None


def clock_hint(date: str, now: datetime) -> str:
    """How far the server's clock (its `Date`) is from ours, in words."""
    try:
        theirs = parsedate_to_datetime(date).astimezone(UTC)
    except ValueError:
        return f"ours says {now:%Y-%m-%d %H:%M:%S}Z"
    return f"ours says {now:%Y-%m-%d %H:%M:%S}Z, the server's {theirs:%Y-%m-%d %H:%M:%S}Z"
