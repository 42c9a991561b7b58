"""Looking: every read that the product makes, complete or failed.

`reconciler.observe` calls these for a look, `writer` for the fresh looks that its rules want, `jobs` for jobs. A list
is asked for whole; where the server does not allow that, pages are walked and compared with its `count`, because walks
repeat and lose rows. Filters on names and states are applied here again: the server's own are not to be relied upon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from plans.observed import (
    Account,
    Capabilities,
    Doors,
    Machine,
    Network,
    Offering,
    Template,
    VmSnapshot,
    Volume,
    VolumeSnapshot,
    Zone,
)
from reconciler.cloudstack import answers, parse, permit, signing
from reconciler.cloudstack.errors import CloudError, LookFailed, NotAllowed, Unauthorised
from reconciler.cloudstack.outcomes import JobResult, JobUnknown, JobVanished
from reconciler.cloudstack.servers import Servers

GONE = frozenset({"Destroyed", "Expunging"})
PAGE_SIZES = (500, 100, 20)
MAX_PAGES = 2000
PARAM_ERROR = 431
OUR_SHARE = 0.8
"""Of the calls that an account may make: others use the same one."""
FEW = 20
"""Answers of so few rows are not worth remembering."""


@dataclass(frozen=True, slots=True)
class _Walk:
    """Rows by id as far as they are known, and how many there should be."""

    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    count: int | None = None

    @property
    def complete(self) -> bool:
        return self.count is not None and len(self.rows) == self.count

    def joined(self, other: _Walk) -> _Walk:
        """Both together while they speak of the same number; else only the newer."""
        joined = {**self.rows, **other.rows}
        same = self.count == other.count and other.count is not None and len(joined) <= other.count
        return _Walk(joined, other.count) if same else other


class Reader:
    """Reads from one CloudStack. Raises the errors of `errors`; never changes anything."""

    def __init__(self, servers: Servers, clock: Callable[[], datetime]) -> None:
        self._servers = servers
        self._clock = clock
        self._patience = servers.patience
        self._last: dict[str, parse.Known] = {}

    def close(self) -> None:
        """Close the pooled connections."""
        self._servers.session.close()

    # --- lists --------------------------------------------------------------------------------------------------------

    def machines(self) -> tuple[Machine, ...]:
        """All VMs that are not destroyed."""
        found: tuple[Machine, ...] = self._list(parse.MACHINES, details="min,nics", state="present")
        return tuple(m for m in found if m.state not in GONE)

    def machines_named(self, name: str) -> tuple[Machine, ...]:
        """The VMs of exactly this host name, destroyed ones too where the account may see them."""
        found: tuple[Machine, ...] = self._list(parse.MACHINES, details="min,nics", name=name)
        return tuple(m for m in found if m.name == name)

    def volumes(self) -> tuple[Volume, ...]:
        """All volumes, in every state but expunged."""
        return self._list(parse.VOLUMES)

    def volumes_of(self, vm_id: str) -> tuple[Volume, ...]:
        """The volumes attached to that VM, now, as the server tells it: a row too many must stop a caller, not pass."""
        return self._list(parse.VOLUMES, virtualmachineid=permit.uuid("virtualmachineid", vm_id))

    def snapshots(self) -> tuple[VolumeSnapshot, ...]:
        """All volume snapshots that the account may see."""
        return self._list(parse.SNAPSHOTS)

    def snapshots_of(self, volume_id: str) -> tuple[VolumeSnapshot, ...]:
        """The snapshots of that volume; those that belong to a VM snapshot are never shown."""
        found: tuple[VolumeSnapshot, ...] = self._list(parse.SNAPSHOTS, volumeid=permit.uuid("volumeid", volume_id))
        return tuple(s for s in found if s.volume_id == volume_id)

    def policies_of(self, volume_id: str) -> tuple[str, ...]:
        """The ids of the policies that snapshot that volume by themselves, as far as the account's role may see them."""
        try:
            return self._list(parse.POLICIES, volumeid=permit.uuid("volumeid", volume_id))
        except NotAllowed:
            return ()

    def vm_snapshots(self) -> tuple[VmSnapshot, ...]:
        """All VM snapshot rows, in every state; `name` is the name a person gave."""
        return self._list(parse.VM_SNAPSHOTS)

    def vm_snapshots_of(self, vm_id: str) -> tuple[VmSnapshot, ...]:
        """The VM snapshot rows of that VM, in every state that the server shows; hidden ones it never does."""
        found: tuple[VmSnapshot, ...] = self._list(
            parse.VM_SNAPSHOTS, virtualmachineid=permit.uuid("virtualmachineid", vm_id)
        )
        return tuple(s for s in found if s.vm_id == vm_id)

    def networks(self) -> tuple[Network, ...]:
        """All networks that the account may use."""
        return self._list(parse.NETWORKS)

    def doors(self, network_id: str) -> Doors:
        """What is open in the router of that network; what this account's role may not list is None."""
        found: dict[str, tuple[str, ...] | None] = {}
        for name, (kind, parameter) in parse.DOORS.items():
            try:
                rows = self._list(kind, **{parameter: permit.uuid(parameter, network_id)})
            except (NotAllowed, Unauthorised):  # as in `_account`
                found[name] = None
            else:
                found[name] = tuple(row for row in rows if row is not None)
        return Doors(**found)

    def zones(self) -> tuple[Zone, ...]:
        """The zones that the account may use."""
        return self._list(parse.ZONES)

    def templates(self) -> tuple[Template, ...]:
        """The templates that the account may make VMs from."""
        return self._list(parse.TEMPLATES, templatefilter="executable")

    def offerings(self) -> tuple[Offering, ...]:
        """The service offerings that the account may use."""
        return self._list(parse.OFFERINGS)

    def disk_offerings(self) -> tuple[Offering, ...]:
        """The disk offerings that the account may use."""
        return self._list(parse.DISK_OFFERINGS)

    def commands(self) -> frozenset[str]:
        """The names of the commands that the account's role has."""
        content, where = self._read("listApis", {}), self._servers.where("listApis")
        names, count = parse.commands(content, where)
        if count not in (None, len(names)):
            raise LookFailed(f"the list stayed incomplete: {len(names)} of {count}", where)
        return names

    def account(self) -> Account | None:
        """Our own account, or None where it is not told."""
        return parse.account(self._account(), self._servers.where("listAccounts"))

    def pending_jobs(self) -> frozenset[str]:
        """The ids of this account's jobs that one read shows as running. That a job is not among them proves nothing."""
        where = self._servers.where(parse.JOBS.command)
        whole = self._whole(parse.JOBS, {})
        shown = self._walk(parse.JOBS, {}) if whole is None else whole
        return frozenset(job.id for job in parse.records(parse.JOBS, tuple(shown.rows.values()), where))

    def busy(self) -> frozenset[str]:
        """The ids of the objects that this account's unfinished jobs are about."""
        jobs: tuple[parse.PendingJob, ...] = self._list(parse.JOBS, listall=None)
        return frozenset(job.entity_id for job in jobs if job.entity_id)

    # --- single objects -----------------------------------------------------------------------------------------------

    def machine(self, vm_id: str) -> Machine | None:
        """That VM, or None when there is none of this id (destroyed ones are shown)."""
        found: Machine | None = self._one(parse.MACHINES, vm_id, details="min,nics")
        return found

    def volume(self, volume_id: str) -> Volume | None:
        """That volume, or None when there is none of this id."""
        found: Volume | None = self._one(parse.VOLUMES, volume_id)
        return found

    def snapshot(self, snapshot_id: str) -> VolumeSnapshot | None:
        """That volume snapshot, or None when there is none of this id."""
        found: VolumeSnapshot | None = self._one(parse.SNAPSHOTS, snapshot_id)
        return found

    def job(self, job_id: str) -> JobResult:
        """What became of that job. One that the server does not know, or hides from us, has vanished or is unknown."""
        arguments = {"jobid": permit.uuid("jobid", job_id)}
        try:
            content = self._read("queryAsyncJobResult", arguments)
        except LookFailed as refused:
            if refused.code == PARAM_ERROR:
                return JobVanished()
            if refused.code == 531:
                return JobUnknown("the job belongs to another account")
            raise
        return parse.job(content, self._servers.where("queryAsyncJobResult"))

    def capabilities(self) -> Capabilities:
        """What this cloud and this account can do; two calls. From then on no more are made than the cloud allows."""
        content, where = self._read("listCapabilities", {}), self._servers.where("listCapabilities")
        calls, interval = parse.call_limit(content, where)
        self._servers.lower(int(calls * OUR_SHARE), interval)
        return parse.capabilities(content, self._account(), where)

    def _account(self) -> Mapping[str, Any]:
        """Our own account, or nothing where the role may not see it."""
        try:
            return self._read("listAccounts", {})
        except (NotAllowed, Unauthorised):
            # Releases before 4.22.1 answer 401 where the role lacks a command; the signature was good a moment ago.
            return {}

    # --- how a list becomes complete ----------------------------------------------------------------------------------

    def _one(self, kind: parse.Kind, object_id: str, **filters: signing.Value) -> Any:
        arguments = {"id": permit.uuid("id", object_id), "listall": True, **filters}
        where = self._servers.where(kind.command)
        try:
            found = parse.page(kind, self._read(kind.command, arguments), where)
        except LookFailed as refused:
            if refused.code == PARAM_ERROR:
                return None
            raise
        rows = [row for row in found.rows if str(row.get("id")).lower() == object_id.lower()]
        return parse.records(kind, rows[:1], where)[0] if rows else None

    def _list(self, kind: parse.Kind, **filters: signing.Value) -> tuple[Any, ...]:
        arguments: dict[str, signing.Value] = {"listall": True, **filters}
        where = self._servers.where(kind.command)
        whole = self._whole(kind, arguments)
        if whole is None or not whole.complete:
            whole = self._walked(kind, arguments)
        question = f"{kind.command} {sorted(filters.items())}"
        known = parse.remembered(kind, whole.rows, where, self._last.get(question, {}))
        if len(known) > FEW:
            self._last[question] = known
        return tuple(record for _, record in known.values())

    def _whole(self, kind: parse.Kind, arguments: Mapping[str, signing.Value]) -> _Walk | None:
        """The list in one answer, or None where the server does not allow that."""
        try:
            found = self._page(kind, {**arguments, "pagesize": -1})
        except LookFailed as refused:
            if refused.code == PARAM_ERROR:
                return None
            raise
        # Without a count, a list shorter than the silent cut can only be whole.
        short = found.count is None and len(found.rows) < PAGE_SIZES[0]
        return replace(found, count=len(found.rows)) if short else found

    def _walked(self, kind: parse.Kind, arguments: Mapping[str, signing.Value]) -> _Walk:
        known, walks = _Walk(), 0
        last = self._clock() + timedelta(seconds=self._patience.deadline)
        while walks < self._patience.walks and self._clock() <= last:
            walk, walks = self._walk(kind, arguments), walks + 1
            known = walk if walk.complete else known.joined(walk)
            if known.complete:
                return known
        what = f"the list stayed incomplete: {len(known.rows)} of {known.count} after {walks} walks"
        raise LookFailed(what, self._servers.where(kind.command))

    def _walk(self, kind: parse.Kind, arguments: Mapping[str, signing.Value]) -> _Walk:
        """One walk over all pages. A `count` that changes on the way makes the walk worthless: it stays incomplete."""
        size, first = self._first_page(kind, arguments)
        rows, counts, seen = dict(first.rows), {first.count}, len(first.rows)
        number, last = 2, len(first.rows)
        while last and number <= MAX_PAGES and (first.count is None or seen < first.count):
            page = self._page(kind, {**arguments, "page": number, "pagesize": size})
            rows.update(page.rows)
            if page.rows:
                counts.add(page.count)
            last, number = len(page.rows), number + 1
            seen += last
        if counts == {None} and not last:
            return _Walk(rows, len(rows))
        return _Walk(rows, first.count if len(counts) == 1 else None)

    def _first_page(self, kind: parse.Kind, arguments: Mapping[str, signing.Value]) -> tuple[int, _Walk]:
        for size in PAGE_SIZES[:-1]:
            try:
                return size, self._page(kind, {**arguments, "page": 1, "pagesize": size})
            except LookFailed as refused:
                # A server may allow smaller pages only; a filter that it refuses, it refuses at every size.
                if refused.code != PARAM_ERROR:
                    raise
        return PAGE_SIZES[-1], self._page(kind, {**arguments, "page": 1, "pagesize": PAGE_SIZES[-1]})

    def _page(self, kind: parse.Kind, arguments: Mapping[str, signing.Value]) -> _Walk:
        where = self._servers.where(kind.command)
        found = parse.page(kind, self._read(kind.command, arguments), where)
        return _Walk({parse.key_of(kind, row, where): row for row in found.rows}, found.count)

    # --- one read -----------------------------------------------------------------------------------------------------

    def _read(self, command: str, arguments: Mapping[str, signing.Value]) -> Mapping[str, Any]:
        """One read, tried again while that makes sense."""
        content = self._servers.ask(command, arguments)
        if isinstance(content, answers.No):
            raise self._refusal(command, answers.clock_hint(content.date, self._clock()), content)
        return content

    def _refusal(self, command: str, hint: str, no: answers.No) -> CloudError:
        where = self._servers.where(command)
        if no.code == 401:
            return Unauthorised(where, hint)
        if no.code == 432:
            return NotAllowed(command, where)
        return LookFailed(f"{no.code}: {no.text or 'no reason given'}", where, code=no.code, retry_after=no.retry_after)
