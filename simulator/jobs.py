"""Jobs as events in time: each starts when its turn comes, takes its duration, and has its effect at its end.

`cloud.Cloud` submits work here and runs everything that is due before each call. Per VM one piece of work at a time
(CS-JOB-14); `slots` bounds how many run at once. No threads: time moves only through the clock.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from simulator.model import Job
from simulator.refusals import Refused

Effect = Callable[[], Mapping[str, Any] | None]


@dataclass
class Work:
    """What a job does: an optional beginning (transitional state), then its effect when the time is over."""

    job: Job
    seconds: float
    finish: Effect
    begin: Callable[[], None] | None = None
    queue: str | None = None
    submitted: datetime = field(default_factory=datetime.now)


class Jobs:
    """All jobs of the server, and the work that is under way."""

    def __init__(self, slots: int | None = None) -> None:
        self.rows: dict[str, Job] = {}
        self.slots = slots
        self._waiting: deque[Work] = deque()
        self._running: list[tuple[datetime, int, Work]] = []
        self._busy: dict[str, int] = {}
        self._count = 0

    @property
    def pending(self) -> list[Job]:
        """Jobs that have not ended, oldest first."""
        return [j for j in self.rows.values() if j.status == 0]

    def submit(self, work: Work, now: datetime) -> None:
        """Take work in; it begins at once if its queue and a slot are free."""
        work.submitted = now
        self.rows[work.job.id] = work.job
        self._waiting.append(work)
        self._begin_what_may(now)

    def run(self, now: datetime) -> None:
        """Everything that ends up to this moment, in order of time."""
        while self._running and self._running[0][0] <= now:
            ended, _, work = heapq.heappop(self._running)
            if work.queue is not None:
                self._busy[work.queue] -= 1
            if not work.job.lost:
                self._end(work, ended)
            self._begin_what_may(ended)

    def drop_all(self) -> list[Work]:
        """Forget all work under way (the server was killed); the caller says what becomes of it."""
        dropped = [w for _, _, w in self._running] + list(self._waiting)
        self._running, self._busy = [], {}
        self._waiting.clear()
        return dropped

    def _begin_what_may(self, now: datetime) -> None:
        skipped: deque[Work] = deque()
        while self._waiting and (self.slots is None or len(self._running) < self.slots):
            work = self._waiting.popleft()
            if work.queue is not None and self._busy.get(work.queue, 0) > 0:
                skipped.append(work)
                continue
            self._begin(work, max(now, work.submitted))
        self._waiting.extendleft(reversed(skipped))

    def _begin(self, work: Work, now: datetime) -> None:
        if work.queue is not None:
            self._busy[work.queue] = self._busy.get(work.queue, 0) + 1
        self._count += 1
        seconds = work.seconds
        if work.begin is not None:
            try:
                work.begin()
            except Refused as fault:
                work.finish, seconds = _raiser(fault), 0.0
        heapq.heappush(self._running, (now + timedelta(seconds=seconds), self._count, work))

    def _end(self, work: Work, moment: datetime) -> None:
        job = work.job
        try:
            job.result = dict(work.finish() or {"success": True})
            job.status = 1
        except Refused as fault:
            job.status, job.code = 2, fault.code
            job.result = None if fault.text is None else {"errorcode": fault.code, "errortext": fault.text}
        job.completed = moment


def _raiser(fault: Refused) -> Effect:
    def effect() -> Mapping[str, Any] | None:
        raise fault

    return effect
