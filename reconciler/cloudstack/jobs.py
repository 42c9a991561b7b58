"""Which jobs are still running: one bulk read for all of them, single questions when they are few or have ended.

`reconciler.loop` hands over the ids of the outstanding jobs and calls `refresh` once a round; a step asks `is_pending`
of its own job and, when that ended and a look does not settle the matter, `settle`. Deadlines are the caller's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from reconciler.cloudstack.outcomes import JobPending, JobResult, JobVanished
from reconciler.cloudstack.reads import Reader

FEW = 5
SHORTEST = timedelta(seconds=2)
LONGEST = timedelta(seconds=10)


def next_poll(outstanding: int, polls: int) -> timedelta | None:
    """When to ask again after `polls` times without news, or None when nothing is outstanding.

    Few jobs are asked for one by one, so the wait grows (2, 3, 4.5 ... 10 s); many share one bulk read, every 2 s.
    """
    if outstanding <= 0:
        return None
    if outstanding >= FEW:
        return SHORTEST
    return min(SHORTEST * 1.5 ** min(polls, 10), LONGEST)


class JobBoard:
    """What the last refresh knew about the outstanding jobs. Safe to use from several threads."""

    def __init__(self, client: Reader, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: frozenset[str] = frozenset()
        self._ended: dict[str, JobResult] = {}
        self._refreshed_at: datetime | None = None

    @property
    def refreshed_at(self) -> datetime | None:
        """When the board was last brought up to date."""
        return self._refreshed_at

    def refresh(self, outstanding: Iterable[str]) -> frozenset[str]:
        """Bring the board up to date for these jobs and return those that are pending.

        One bulk read, or a single question each when they are few. Raises `CloudError`; the board then keeps what it
        knew.
        """
        wanted = frozenset(outstanding)
        ended: dict[str, JobResult] = {}
        if 0 < len(wanted) < FEW:
            asked = {job_id: self._client.job(job_id) for job_id in sorted(wanted)}
            pending = frozenset(j for j, r in asked.items() if isinstance(r, JobPending))
            ended = {j: r for j, r in asked.items() if j not in pending}
        else:
            pending = wanted & self._client.pending_jobs() if wanted else frozenset()
        with self._lock:
            known = {j: r for j, r in self._ended.items() if j in wanted}
            self._pending, self._ended, self._refreshed_at = pending, {**known, **ended}, self._clock()
        return pending

    def is_pending(self, job_id: str) -> bool:
        """Whether that job was running at the last refresh. A job submitted since then counts as ended: settle asks."""
        with self._lock:
            return job_id in self._pending

    def settle(self, job_id: str) -> JobResult:
        """What became of the job: as the last refresh heard, or asked now. Raises `CloudError`."""
        with self._lock:
            known = self._ended.get(job_id)
        if known is not None and not isinstance(known, JobVanished):
            return known
        return self._client.job(job_id)
