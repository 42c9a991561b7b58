"""The replication system's API: which jobs of a VM are under way, and one incremental sync of our own.

`reach.SourceSide` holds one. A sync is started once, with a key of ours by which it is found again where the answer was
lost; it is done when every disk has a ChangeID that it did not have before, whatever its status says.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from plans.observed import Source
from reconciler.clock import Clock
from reconciler.source.door import Door, segment
from reconciler.source.errors import BadAnswer, LookFailed, NotKnown, SourceError, Unreachable
from reconciler.source.outcomes import Done, Outcome, Refused, Unknown

ENDED = frozenset({"completed", "failed", "cancelled"})
"""The words for a job that is over; any other word, known or not, is a job under way."""
COMPLETED = "completed"
POLL = timedelta(seconds=2)
MOST_JOBS = 10_000
MOST_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class SyncJob:
    """One replication job: `key` is the one it was started with, `change_ids` by disk, `percent` 0 to 100 or None."""

    id: str
    status: str
    key: str | None
    percent: float | None
    change_ids: Mapping[str, str]

    @property
    def is_over(self) -> bool:
        """Whether nothing is done for it any more."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class Replication:
    """The API behind its door."""

    door: Door
    clock: Clock

    def health(self) -> None:
        """Whether it answers. Raises what `Door.get` raises, or `LookFailed`."""
        answer = self.door.get("/health")
        if not answer.is_ok:
            raise LookFailed(answer.status, answer.where)
        answer.known()

    def jobs(self, source: Source) -> tuple[SyncJob, ...]:
        """Every job of this VM that the API tells of. Raises `SourceError`; a list with a strange row is none."""
        answer = self.door.get("/replications", {"vm_id": source.key})
        if not answer.is_ok:
            raise LookFailed(answer.status, answer.where)
        rows = answer.known().get("replications")
        if not isinstance(rows, list) or len(rows) > MOST_JOBS:
            raise BadAnswer("the answer has no list `replications`", answer.where)
        return tuple(_job(row, source, answer.where) for row in rows)

    def job(self, source: Source, job_id: str) -> SyncJob:
        """One job of this VM. Raises `SourceError`."""
        answer = self.door.get(f"/replications/{segment(job_id)}")
        if answer.status == 404:
            raise NotKnown(f"job {job_id}", answer.where)
        if not answer.is_ok:
            raise LookFailed(answer.status, answer.where)
        found = _job(answer.known(), source, answer.where)
        if found.id != job_id:
            raise BadAnswer(f"the answer is not about job {job_id}", answer.where)
        return found

    def sync(self, source: Source, key: str, within: timedelta) -> Outcome:
        """One incremental sync under this key, followed until it is over. Done only with a new ChangeID for every disk.

        A sync with this key that is there already is followed, not started again. Raises `SourceError` when the look
        before it fails: then nothing was sent.
        """
        known = self.jobs(source)
        mine = next((job for job in known if job.key == key), None)
        if mine is None:
            other = next((job for job in known if not job.is_over), None)
            if other is not None:
                return Refused(f"replication job {other.id} of {source.name} is under way ({other.status})")
            begun = self._begun(source, key)
            if not isinstance(begun, str):
                return begun
        else:
            begun = mine.id
        return self._followed(source, begun, within)

    def _begun(self, source: Source, key: str) -> str | Outcome:
        """The id of the job that was started, also where the answer was lost and the job is found by its key."""
        body = {"vm_id": source.key, "replication_type": "incremental", "idempotency_key": key}
        try:
            answer = self.door.post("/replications", body)
        except Unreachable as lost:
            return self._found(source, key, str(lost)) if lost.sent else Refused(str(lost))
        except BadAnswer as odd:
            return self._found(source, key, str(odd))
        except SourceError as no:
            return Refused(str(no))
        if answer.is_refusal:
            return Refused(f"the sync was refused with HTTP status {answer.status}")
        try:
            if answer.is_ok:
                return _job(answer.known(), source, answer.where).id
        except BadAnswer as odd:
            return self._found(source, key, str(odd))
        return self._found(source, key, f"the sync was answered with HTTP status {answer.status}")

    def _found(self, source: Source, key: str, why: str) -> str | Outcome:
        try:
            mine = next((job for job in self.jobs(source) if job.key == key), None)
        except SourceError as unseen:
            return Unknown(f"{why}; and it could not be looked for: {unseen}")
        return mine.id if mine else Unknown(f"{why}; no job with our key {key} is there yet: look again before another one")

    def _followed(self, source: Source, job_id: str, within: timedelta) -> Outcome:
        until = self.clock.now() + within
        why = "not looked at yet"
        while True:
            try:
                job = self.job(source, job_id)
            except SourceError as unseen:
                why = str(unseen)
            else:
                if job.is_over:
                    return _judged(source, job)
                why = f"{job.status}, {job.percent:g} %" if job.percent is not None else job.status
            if self.clock.now() >= until:
                return Unknown(f"job {job_id} was not over after {int(within.total_seconds())} s: {why}")
            self.clock.wait(POLL, threading.Event())


def _judged(source: Source, job: SyncJob) -> Outcome:
    """What a job that is over proves: a ChangeID for each disk that differs from the one before."""
    if job.status != COMPLETED:
        return Refused(f"job {job.id} ended as {job.status}")
    old = [d.key for d in source.disks if job.change_ids.get(d.key, "") in ("", d.change_id)]
    if old or not source.disks:
        return Refused(f"job {job.id} says completed, but there is no new ChangeID for {', '.join(old) or 'any disk'}")
    return Done(f"job {job.id} completed", {d.key: job.change_ids[d.key] for d in source.disks})


def _job(row: object, source: Source, where: str) -> SyncJob:
    if not isinstance(row, dict) or not all(_is_name(row.get(name)) for name in ("id", "status", "vm_id")):
        raise BadAnswer("a job lacks id, status or vm_id", where)
    if row["vm_id"].lower() != source.key:
        raise BadAnswer(f"job {row['id']} is not about {source.name} ({source.key})", where)
    percent = row.get("progress_percent")
    return SyncJob(
        row["id"],
        row["status"],
        row["idempotency_key"] if _is_name(row.get("idempotency_key")) else None,
        float(percent) if isinstance(percent, int | float) and 0 <= percent <= 100 else None,
        _change_ids(row.get("disks", []), where),
    )


def _is_name(value: object) -> bool:
    """Whether this can be an id or a word: a text that fits into a line of the journal."""
    return isinstance(value, str) and 0 < len(value) <= MOST_CHARACTERS and value.isprintable()


def _change_ids(rows: object, where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows if isinstance(rows, Sequence) and not isinstance(rows, str) else ():
        disk: Any = row.get("disk_id") if isinstance(row, dict) else None
        if not _is_name(disk) or disk in found:
            raise BadAnswer("a disk of a job has no id, or is there twice", where)
        change_id = row.get("change_id")
        found[disk] = change_id if _is_name(change_id) else ""
    return found
