"""What one call came to, and what one job came to, as frozen records.

`writer.Writer` returns a `CallOutcome` for every mutating call, `reads.Reader.job` a `JobResult`. `reconciler.execute`
branches on the type and on `retryable`, never on a text. Only a look at the world says whether a thing is so; these
records say what the server said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NOT_SENT = 0
TRANSIENT = frozenset({NOT_SENT, 401, 429, 503, 530, 533, 534})


@dataclass(frozen=True, slots=True)
class Done:
    """The call is over and succeeded; `record` is what it returned, if anything."""

    record: Any = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job took it, under our own id. `entity_id` is the object made at once by a deploy or a snapshot."""

    job_id: str
    entity_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The server said no, or was not reached (`code` 0). `retry_after` is in seconds, where it named a time."""

    code: int
    text: str
    retryable: bool
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request may have had its effect or not: look. It is never sent again here."""

    why: str


CallOutcome = Done | Accepted | Refused | Unknown


@dataclass(frozen=True, slots=True)
class JobPending:
    """The job has not ended."""


@dataclass(frozen=True, slots=True)
class JobSucceeded:
    """The job ended well. `result` is its plain result, `entity_id` the object it was about, if it named one."""

    result: Mapping[str, Any] = field(default_factory=dict)
    entity_id: str | None = None


@dataclass(frozen=True, slots=True)
class JobFailed:
    """The job ended with an error that the server described."""

    code: int
    text: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class JobVanished:
    """The server knows no such job: never submitted, or purged."""


@dataclass(frozen=True, slots=True)
class JobUnknown:
    """The job ended without a verdict: only a look tells what it did.

    `closed` says that nothing is done for it any more: a restart of the server ended it, or it did not do what it reports.
    One that was cancelled because others waited for it may still be worked on.
    """

    why: str
    closed: bool = False


JobResult = JobPending | JobSucceeded | JobFailed | JobVanished | JobUnknown


def retryable(code: int) -> bool:
    """Whether trying again after a look makes sense: busy, no room now, or an internal error; not a plain no."""
    return code in TRANSIENT
