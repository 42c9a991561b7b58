"""Which jobs are still running: one bulk read for all of them, single questions when they are few or have ended.

`reconciler.loop` hands over the ids of the outstanding jobs and calls `refresh` once a round; a step asks `is_pending`
of its own job and, when that ended and a look does not settle the matter, `settle`. The ids are our own, so a new process
follows the jobs of the one before it by the same calls. Deadlines are the caller's.

The bulk read is evidence for the jobs that it shows and for no others: it is cut short on some servers, and shows the jobs
of one account. What it does not show is asked for by itself. What it has shown for long is doubted: one such job is asked
for now and then, and when the list turns out to be wrong about it, all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler.cloudstack.outcomes import JobPending, JobResult, JobVanished
from reconciler.cloudstack.reads import Reader

FEW = 5
SHORTEST = timedelta(seconds=2)
LONGEST = timedelta(seconds=10)
DOUBT = timedelta(minutes=2)
DOUBLINGS = 10


def next_poll(outstanding: int, polls: int) -> timedelta | None:
    """When to ask again after `polls` times without news, or None when nothing is outstanding.

    Few jobs are asked for one by one, so the wait grows (2, 3, 4.5 ... 10 s); many share one bulk read, every 2 s.
    """
    if outstanding <= 0:
        return None
    if outstanding >= FEW:
        return SHORTEST
    return min(SHORTEST * 1.5 ** min(polls, DOUBLINGS), LONGEST)


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known of one job: when it was asked for by itself (or first watched), how often that brought no news.

    `unlisted` says that it runs although the bulk read did not show it; `result` how it ended.
    """

    asked_at: datetime
    polls: int = 0
    is_pending: bool = False
    unlisted: bool = False
    result: JobResult | None = None

    def heard(self, result: JobResult, now: datetime, *, unlisted: bool) -> Watch:
        """After an answer about this job. One that the server does not know may still arrive there."""
        if isinstance(result, JobPending):
            return Watch(now, self.polls + 1, is_pending=True, unlisted=unlisted)
        return Watch(now, self.polls, result=None if isinstance(result, JobVanished) else result)

    def listed(self, shown: bool) -> Watch:
        """After a bulk read that showed this job as running, or did not."""
        as_before = self.is_pending is shown and not self.unlisted
        if as_before or self.result is not None or (self.unlisted and not shown):
            return self
        return replace(self, is_pending=shown, unlisted=False)

    def is_due(self, outstanding: int, now: datetime) -> bool:
        """Whether to ask for this job by itself: as one of few, or as one that no list shows."""
        if self.result is not None or not (self.unlisted or outstanding < FEW):
            return False
        pause = next_poll(1, self.polls - 1) if self.polls else None
        return pause is None or now >= self.asked_at + pause

    def is_doubtful(self, now: datetime) -> bool:
        """Whether only the list says, and has said for long, that this job runs."""
        return self.is_pending and not self.unlisted and now >= self.asked_at + DOUBT


class JobBoard:
    """What was heard of the outstanding jobs. Safe to use from several threads."""

    def __init__(self, client: Reader, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._watched: dict[str, Watch] = {}
        self._listed: frozenset[str] | None = None
        self._listed_at: datetime | None = None
        self._doubted_at: datetime | None = None

    def refresh(self, outstanding: Iterable[str]) -> frozenset[str]:
        """Bring the board up to date for these jobs, where that is due, and return those that are pending.

        Raises `CloudError`; the board then keeps what it knew.
        """
        wanted, now = frozenset(outstanding), self._clock()
        with self._lock:
            new = wanted - self._watched.keys()
            self._watched = {job: self._watched.get(job, Watch(now)) for job in sorted(wanted)}
        if len(wanted) < FEW:
            self._listed, self._listed_at = None, None
        elif new or self._listed_at is None or not self._listed_at <= now < self._listed_at + SHORTEST:
            self._list(now)
        for job in [job for job, watch in self._watched.items() if watch.is_due(len(wanted), now)]:
            self._ask(job)
        self._doubt(now)
        return frozenset(job for job, watch in self._watched.items() if watch.is_pending)

    def _doubt(self, now: datetime) -> None:
        """Ask for the job that the list has shown longest, and for the next ones as long as it proves wrong."""
        if self._doubted_at is not None and self._doubted_at <= now < self._doubted_at + LONGEST:
            return
        doubtful = [job for job, watch in self._watched.items() if watch.is_doubtful(now)]
        for job in sorted(doubtful, key=lambda j: self._watched[j].asked_at):
            self._doubted_at = now
            if isinstance(self._ask(job), JobPending):
                return

    def _list(self, now: datetime) -> None:
        shown = self._client.pending_jobs()
        with self._lock:
            self._watched = {job: watch.listed(job in shown) for job, watch in self._watched.items()}
            self._listed, self._listed_at = shown, now

    def is_pending(self, job_id: str) -> bool:
        """Whether that job was running when last heard of. A job submitted since then counts as ended: settle asks."""
        with self._lock:
            watch = self._watched.get(job_id)
        return watch is not None and watch.is_pending

    def settle(self, job_id: str) -> JobResult:
        """What became of the job: as it was heard, or asked now. Raises `CloudError`."""
        with self._lock:
            watch = self._watched.get(job_id)
        return watch.result if watch is not None and watch.result is not None else self._ask(job_id)

    def _ask(self, job_id: str) -> JobResult:
        result, now = self._client.job(job_id), self._clock()
        with self._lock:
            watch = self._watched.get(job_id, Watch(now))
            unlisted = self._listed is not None and job_id not in self._listed
            self._watched[job_id] = watch.heard(result, now, unlisted=unlisted)
        return result
