"""Jobs as events in time: each starts when its turn comes, takes its duration, and has its effect at its end.

`cloud.Cloud` submits work here and runs everything that is due before each call. A job begins a moment after it was submitted
(`DISPATCH`, or `HEARTBEAT` for what a VM's queue holds), per VM one piece of work at a time (CS-JOB-14); `slots` bounds how many run at once. No threads: time moves only
through the clock, and an effect sees the moment at which it happens (`Jobs.moment`), however late somebody looks.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from simulator.model import Job
from simulator.refusals import Refused

Effect = Callable[[], Mapping[str, Any] | None]
Outcome = tuple[int, int, dict[str, Any] | None]
Phase = tuple[Callable[[], float], Callable[[], None]]
DISPATCH, HEARTBEAT = timedelta(milliseconds=100), timedelta(milliseconds=900)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Lost(Exception):
    """A job's end that leaves a code and no result; what happened is for a second look to find out."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Work:
    """What a job does: an optional beginning (transitional state), then its effect when the time is over.

    `phases` come first: each takes so many seconds and then has an effect of its own; one that fails fails the job. `due` is
    when the phase at hand is over. Work that `joins` under a name for which other work is there already does nothing of its
    own: it ends with that work, alike (CS-JOB-15).
    `slower` are the seconds that the host adds, asked when the work begins, `extra` what a fault adds. After `cancel_after` seconds the job is closed as
    blocking, while the work goes on (CS-JOB-13).
    """

    job: Job
    seconds: float
    finish: Effect
    begin: Callable[[], None] | None = None
    queue: str | None = None
    phases: tuple[Phase, ...] = ()
    slower: Callable[[], float] | None = None
    submitted: datetime = NEVER
    began: datetime = NEVER
    has_begun: bool = False
    cancel_after: float | None = None
    extra: float = 0.0
    due: datetime = NEVER
    joins: str | None = None
    followers: list[Work] = field(default_factory=list, compare=False)
    holds_queue: bool = field(default=False, compare=False)


Step = Callable[[datetime], None]


class Jobs:
    """All jobs of the server, and the work that is under way. `heard` is told when a job begins and (True) when it has ended."""

    def __init__(self, slots: int | None = None, heard: Callable[[Job, bool], None] | None = None) -> None:
        self._heard = heard or _nobody
        self.rows: dict[str, Job] = {}
        self.slots = slots
        self.moment: datetime | None = None
        self.threshold = 3600.0
        self.heartbeat: timedelta | None = None
        self._open: dict[str, Job] = {}
        self._by_instance: dict[str, list[Job]] = {}
        self._waiting: deque[Work] = deque()
        self._events: list[tuple[datetime, int, Work | None, Step]] = []
        self._busy: dict[str, int] = {}
        self._forgotten: set[str] = set()
        self._joinable: dict[str, Work] = {}
        self._running = 0
        self._count = 0

    @property
    def pending(self) -> list[Job]:
        """Jobs that have not ended, oldest first."""
        return [job for job in self._open.values() if job.status == 0]

    def working_on(self, entity_id: str) -> Job | None:
        """The oldest job under way that names this row."""
        return next((job for job in self._by_instance.get(entity_id, ()) if job.status == 0), None)

    def close(self, job: Job, moment: datetime) -> None:
        """A job has ended, whoever says so."""
        job.completed = moment
        self._open.pop(job.id, None)
        if job.instance_id is not None and job in self._by_instance.get(job.instance_id, ()):
            self._by_instance[job.instance_id].remove(job)
        if job.id in self._forgotten:
            self.rows.pop(job.id, None)

    def submit(self, work: Work, now: datetime) -> None:
        """Take work in; it begins a moment later if its queue and a slot are free. What takes no time ends at once."""
        work.submitted = now
        job = work.job
        self.rows[job.id] = self._open[job.id] = job
        if job.instance_id is not None:
            self._by_instance.setdefault(job.instance_id, []).append(job)
        leader = self._joinable.get(work.joins or "")
        if leader is not None:
            leader.followers.append(work)
            return
        if work.joins is not None:
            self._joinable[work.joins] = work
        self._waiting.append(work)
        self._take_up(now)

    def run(self, now: datetime) -> None:
        """Everything that happens up to this moment, in order of time; while something happens nothing else is begun."""
        if self.moment is not None:
            return
        while self._events and self._events[0][0] <= now:
            moment, _, _, step = heapq.heappop(self._events)
            self.moment = moment
            try:
                step(moment)
            finally:
                self.moment = None

    def drop_all(self) -> list[Work]:
        """Forget all work under way (the server was killed); the caller says what becomes of it."""
        dropped = [work for _, _, work, _ in self._events if work is not None] + list(self._waiting)
        self._events = [event for event in self._events if event[2] is None]
        heapq.heapify(self._events)
        self._busy, self._running = {}, 0
        self._waiting.clear()
        self._joinable.clear()
        return dropped

    def purge(self, job_id: str) -> None:
        """Forget a job, as the server does when it is old (CS-JOB-07)."""
        job = self.rows.pop(job_id, None)
        if job is not None:
            self.close(job, job.completed or job.created)

    def forget_when_ended(self, job: Job) -> None:
        """Forget a job as soon as it has ended."""
        self._forgotten.add(job.id)

    def at(self, moment: datetime, step: Step, work: Work | None = None) -> None:
        """Have something happen at a moment; what stands at one moment happens in the order in which it was said."""
        self._count += 1
        heapq.heappush(self._events, (moment, self._count, work, step))

    # --- the life of a piece of work --------------------------------------------------------------------------------------

    def _take_up(self, now: datetime) -> None:
        """Give every piece of work its turn that may have one."""
        skipped: deque[Work] = deque()
        while self._waiting and (self.slots is None or self._running < self.slots):
            work = self._waiting.popleft()
            if work.queue is not None and self._busy.get(work.queue, 0) > 0:
                skipped.append(work)
                continue
            self._start(work, max(now, work.submitted))
        self._waiting.extendleft(reversed(skipped))

    def _start(self, work: Work, now: datetime) -> None:
        self._running += 1
        if work.queue is not None:
            self._busy[work.queue] = self._busy.get(work.queue, 0) + 1
            work.holds_queue = True
        work.began = now
        if work.seconds + work.extra <= 0 and work.begin is None and not work.phases:
            self._heard(work.job, False)
            self.at(now, lambda moment: self._end(work, moment), work)
            return
        self.at(max(now, work.submitted + self._latency(work)), lambda moment: self._begin(work, moment), work)

    def _latency(self, work: Work) -> timedelta:
        """What waits for a queue is picked up at a heartbeat only, on average a second later; quick work in half its time."""
        if work.queue is None:
            return DISPATCH
        return self.heartbeat or min(HEARTBEAT, max(DISPATCH, timedelta(seconds=work.seconds / 2)))

    def _begin(self, work: Work, moment: datetime) -> None:
        work.has_begun = True
        self._heard(work.job, False)
        if work.begin is not None:
            try:
                work.begin()
            except (Refused, Lost) as fault:
                work.finish, work.phases, work.seconds, work.slower, work.extra = _raiser(fault), (), 0.0, None, 0.0
        seconds = work.phases[0][0]() if work.phases else work.seconds
        seconds += work.extra + (work.slower() if work.slower and seconds else 0.0)
        work.due = work.began + timedelta(seconds=seconds)
        limit = self.threshold if work.cancel_after is None else work.cancel_after
        if (work.queue is not None and seconds > limit) or work.cancel_after is not None:
            self.at(max(moment, work.began + timedelta(seconds=limit)), lambda at: self._cancel(work, at), work)
        step = self._phase if work.phases else self._end
        soonest = moment + min(DISPATCH, timedelta(seconds=seconds)) if work.phases else moment
        self.at(max(soonest, work.due), lambda at: step(work, at), work)

    def _phase(self, work: Work, moment: datetime) -> None:
        """A phase is over; the next one, or the end, follows."""
        _, effect = work.phases[0]
        work.phases = work.phases[1:]
        try:
            effect()
        except (Refused, Lost) as fault:
            work.finish, work.phases = _raiser(fault), ()
        if not work.phases:
            self._end(work, moment)
            return
        work.due += timedelta(seconds=work.phases[0][0]())
        self.at(max(moment, work.due), lambda at: self._phase(work, at), work)

    def _end(self, work: Work, moment: datetime) -> None:
        self._running -= 1
        self._free(work)
        outcome = _outcome(work.finish)
        if work.joins is not None:
            self._joinable.pop(work.joins, None)
        followed = [(one, _outcome(one.finish) if outcome[0] == 1 else outcome) for one in work.followers]
        for one, told in [(work, outcome), *followed]:
            self._settle(one.job, told, moment)
        self._take_up(moment)

    def _settle(self, job: Job, outcome: Outcome, moment: datetime) -> None:
        if job.status == 0 and not job.lost:
            job.status, job.code, job.result = outcome
            self._heard(job, True)
            self.close(job, moment)

    def _cancel(self, work: Work, moment: datetime) -> None:
        """CS-JOB-13: the job has blocked others for too long; its work goes on."""
        job = work.job
        if job.status != 0:
            return
        job.status, job.code, job.result = 2, 0, None
        self.close(job, moment)
        self._free(work)
        self._take_up(moment)

    def _free(self, work: Work) -> None:
        if work.queue is not None and work.holds_queue:
            self._busy[work.queue] -= 1
            work.holds_queue = False


def _outcome(finish: Effect) -> Outcome:
    """What a job's effect comes to: status, code, result. A lack of permission is 530 there."""
    try:
        return 1, 0, dict(finish() or {"success": True})
    except Refused as fault:
        code = 530 if fault.code == 531 else fault.code
        return 2, code, {"errorcode": code, "errortext": fault.text}
    except Lost as lost:
        return 2, lost.code, None


def _nobody(job: Job, ended: bool) -> None:
    """Nobody listens."""


def _raiser(fault: Refused | Lost) -> Effect:
    def effect() -> Mapping[str, Any] | None:
        raise fault

    return effect
