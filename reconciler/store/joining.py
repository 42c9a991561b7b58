"""Rows of the replication tables joined into `Source` records, in memory and by exact identity.

`store.legacy` reads the rows and calls `sources`; nothing here asks a database anything. Uuids are compared in lower case,
names and ids exactly as they are written. What is odd but no obstacle becomes a finding of the VM it concerns; what is
missing stays missing (a disk without volume, a disk without ChangeID) and is judged by `plans.guards`.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeVar

from plans.observed import ActiveJob, Disk, NetworkMapping, PastFailover, Platform, Source
from plans.placing import key_number
from reconciler.store import identity
from reconciler.store.identity import Identities
from reconciler.store.rows import (
    ConfigRow,
    ContextRow,
    DiskRow,
    FailoverRow,
    JobRow,
    MappingRow,
    Rows,
    SyncRow,
    VolumeRow,
    is_true,
    number,
)
from specs.values import is_uuid

TERMINAL = frozenset({"completed", "failed", "cancelled"})
FULL = frozenset({"full", "initial"})
UNREADABLE = (ValueError, TypeError, AttributeError, RecursionError)
"""What comes of reading a description that another program wrote, if it is none."""
UNKNOWN = "unknown"
"""The status of what has none that can be read."""
KEPT = 1 << 14
"""How many VMs are kept as they were made of their rows."""
T = TypeVar("T")


def sources(rows: Rows, own_runs: Collection[str] = ()) -> tuple[Source, ...]:
    """Every replicated VM in the rows of all tables, by key; failover jobs among `own_runs` count as ours."""
    return _Fleet(rows, frozenset(own_runs)).sources()


def face(rows: Rows, vm_key: str) -> dict[str, Any]:
    """What `failover_jobs` tells of a VM: columns to their values, from rows that concern at least this VM."""
    fleet = _Fleet(rows, frozenset())
    jobs = fleet.jobs_of[vm_key]
    disks = _by_age(fleet.disks_of[vm_key], jobs)
    return {
        "vm_context_id": next((c.context_id for c in fleet.contexts_of[vm_key]), None),
        "replication_job_id": _last_success(jobs),
        "source_vm_spec": json.dumps(_description(_source(fleet.facts(vm_key)), disks)),
    }


class _Synced(NamedTuple):
    """What the history tells of one disk."""

    change_id: str
    at: str
    full: str | None
    """The entry of its newest full sync."""


class _Fleet:
    """All rows, indexed by what they concern."""

    def __init__(self, rows: Rows, own: frozenset[str]) -> None:
        self.rows, self.own = rows, own
        self.jobs: dict[str, JobRow] = {j.id: j for j in rows.jobs}
        self.volumes: dict[str, VolumeRow] = {v.id: v for v in rows.volumes}
        self.contexts: dict[str, ContextRow] = {c.context_id: c for c in rows.contexts}
        self.who = Identities(rows.contexts, rows.jobs)
        self.vm_of = {j.id: self.who.job(j) for j in rows.jobs}
        self.jobs_of = _grouped(self.jobs.values(), lambda job: self.vm_of[job.id])
        self.contexts_of = _grouped(self.contexts.values(), lambda context: self.who.contexts[context.context_id])
        self.disks_of = _grouped(rows.disks, self._vm_of)
        self.active = {c.id: c for c in rows.configs if is_true(c.is_active)}

    @cached_property
    def syncs_of(self) -> dict[str, list[SyncRow]]:
        return _grouped(self.rows.syncs, lambda sync: sync.job_id)

    @cached_property
    def mappings_of(self) -> dict[str, list[MappingRow]]:
        return _grouped(self.rows.mappings, lambda row: self.who.vm(row.vm_id, row.vm_context_id))

    @cached_property
    def failovers_of(self) -> dict[str, list[FailoverRow]]:
        return _grouped(self.rows.failovers, lambda row: self.who.vm(row.vm_id, row.vm_context_id))

    @cached_property
    def keys(self) -> frozenset[str]:
        return frozenset(key for key in self.jobs_of.keys() | self.disks_of.keys() | self.contexts_of.keys() if key)

    @cached_property
    def names(self) -> dict[str, str]:
        return {key: self._name(key) for key in self.keys}

    @cached_property
    def bearers(self) -> Counter[str]:
        """How many VMs bear each name."""
        return Counter(self.names.values())

    def sources(self) -> tuple[Source, ...]:
        return tuple(_source(self.facts(key)) for key in sorted(self.keys))

    def _vm_of(self, disk: DiskRow) -> str:
        return self.who.contexts.get(disk.vm_context_id) or self.vm_of.get(disk.job_id) or identity.key(disk.vmware_uuid)

    def _name(self, key: str) -> str:
        newest = _newest(self.jobs_of.get(key, ()))
        if newest is not None and newest.source_vm_name:
            return newest.source_vm_name
        rows = _by_age(self.disks_of.get(key, ()), self.jobs_of.get(key, ()))
        described = _described(rows)
        shown = (row.display_name for row in ((described, *rows) if described else rows))  # a VM only discovered has no job
        return next((name for name in (*(c.vm_name for c in self.contexts_of.get(key, ())), *shown) if name), key)

    # --- one VM -------------------------------------------------------------------------------------------------------

    def facts(self, key: str) -> _Facts:
        """All that is known of a VM."""
        jobs, disks = tuple(self.jobs_of.get(key, ())), tuple(self.disks_of.get(key, ()))
        contexts, name = tuple(sorted(self.contexts_of.get(key, ()))), self.names[key]
        volumes = tuple([self.volumes.get(row.ossea_volume_id) for row in _current(disks, jobs).values()])
        by_name = self.mappings_of.get(name, ()) if name != key else ()
        failovers = self.failovers_of
        return _Facts(
            key=key,
            name=name,
            jobs=jobs,
            disks=disks,
            volumes=volumes,
            syncs=tuple([sync for job in jobs for sync in self.syncs_of.get(job.id, ())]),
            contexts=contexts,
            platform=self._platform(volumes),
            mappings=tuple(sorted(self.mappings_of.get(key, ()), key=lambda row: row.vm_id.lower() != key)),
            by_name=tuple(by_name),
            is_namesake=bool(by_name) and self.bearers[name] > 1,
            failovers=tuple(failovers.get(key, ())),
            others=tuple(
                row
                for alias in dict.fromkeys((key, name))
                for row in failovers.get(alias, ())
                if row.status not in TERMINAL and row.job_id not in self.own
            )
            if failovers
            else (),
        )

    def _platform(self, volumes: Iterable[VolumeRow | None]) -> tuple[Platform | None, str]:
        """Where guests of a VM with these volumes are made, and what is odd about that."""
        active = self.active
        named = {v.ossea_config_id for v in volumes if v is not None} - {""}
        fitting = [i for i in named if i in active] or list(active)
        if len(fitting) != 1:
            names = ", ".join(sorted(active[i].name for i in fitting)) or "none"
            return None, f"exactly one CloudStack configuration must be active in ossea_configs, there are: {names}"
        (only,) = fitting
        odd = "" if named <= {only} else "some volumes belong to another CloudStack configuration"
        return _said_by(active[only]), odd


class _Facts(NamedTuple):
    """The rows that concern one VM, and what the fleet says of it: all that `_source` goes by."""

    key: str
    name: str
    jobs: tuple[JobRow, ...]
    disks: tuple[DiskRow, ...]
    """Every row of every job, in no order."""
    volumes: tuple[VolumeRow | None, ...]
    """Those of the rows that count, as `_current` has them."""
    syncs: tuple[SyncRow, ...]
    contexts: tuple[ContextRow, ...]
    platform: tuple[Platform | None, str]
    mappings: tuple[MappingRow, ...]
    by_name: tuple[MappingRow, ...]
    is_namesake: bool
    failovers: tuple[FailoverRow, ...]
    others: tuple[FailoverRow, ...]
    """Failovers that have not ended and are none of ours."""


@lru_cache(maxsize=KEPT)
def _source(facts: _Facts) -> Source:
    """The VM of these facts. It is kept: between two looks the rows of most VMs stay as they are."""
    key, name, jobs, rows = facts.key, facts.name, facts.jobs, _by_age(facts.disks, facts.jobs)
    context = facts.contexts[0] if facts.contexts else None
    newest, described = _newest(jobs), _described(rows)
    cards, unreadable = _cards(rows)
    disks, unsynced = _disks(facts)
    mappings, misnamed = _mappings(facts)
    platform, misplaced = facts.platform
    return Source(
        key=key,
        name=name,
        vcenter=(newest and (newest.vcenter_host or newest.v_center_host)) or (context and context.vcenter_host) or "",
        cpus=number(described.cpu_count) if described else 0,
        memory_mb=number(described.memory_mb) if described else 0,
        os_type=described.os_type if described else "",
        firmware=_firmware(described.bios_setup) if described else "bios",
        adapters=tuple(name for name, _ in cards),
        disks=disks,
        mappings=mappings,
        active_jobs=_active_jobs(facts),
        context_id=context.context_id if context else None,
        context_status=context.current_status or UNKNOWN if context else None,
        last_job_id=_last_success(jobs),
        platform=platform,
        last_failover=latest_failover(facts.failovers),
        findings=(
            *([misplaced] if misplaced else ()),
            *_several(facts.contexts),
            *_odd_jobs(facts),
            *unreadable,
            *unsynced,
            *misnamed,
        ),
    )


@lru_cache(maxsize=KEPT)
def _said_by(config: ConfigRow) -> Platform:
    return Platform(config.name, config.zone, config.template_id, config.service_offering_id, config.oma_vm_id.lower())


def _current(rows: Sequence[DiskRow], jobs: Iterable[JobRow]) -> dict[str, DiskRow]:
    """The row that counts for every disk: of the newest job that succeeded, else of the newest there is."""
    found = {row.disk_id: row for row in rows if row.disk_id}
    return found if len(found) == len(rows) else {row.disk_id: row for row in _by_age(rows, jobs) if row.disk_id}


def _left_behind(facts: _Facts) -> Collection[str]:
    """Disks that the newest completed job with rows had no more, and no newer job brought back."""
    if len(facts.jobs) < 2:
        return ()
    age = {job.id: (job.created_at, job.id) for job in facts.jobs}
    completed = {job.id for job in facts.jobs if job.status == "completed"}
    last: dict[str, tuple[str, str]] = {}
    for row in facts.disks:
        if row.disk_id and row.job_id in age:
            last[row.disk_id] = max(age[row.job_id], last.get(row.disk_id, ("", "")))
    newest = max((age[row.job_id] for row in facts.disks if row.job_id in completed), default=("", ""))
    return frozenset(disk for disk, at in last.items() if at < newest)


def _disks(facts: _Facts) -> tuple[tuple[Disk, ...], tuple[str, ...]]:
    current, left = _current(facts.disks, facts.jobs), _left_behind(facts)
    synced, failed = _synced(facts, current)
    made = []
    for (key, row), volume in zip(current.items(), facts.volumes, strict=True):
        sync = synced.get(key)
        made.append(
            Disk(
                key=key,
                size_gb=number(row.size_gb),
                unit_number=number(row.unit_number),
                volume_id=volume.volume_id.lower() or None if volume else None,
                change_id=sync.change_id if sync else None,
                label=row.label,
                full_sync=number(sync.full) if sync and sync.full else None,
                synced_at=_moment(sync.at) if sync else None,
                snapshot_id=volume.snapshot_id.lower() or None if volume else None,
                is_left_behind=key in left,
            )
        )
    made.sort(key=lambda d: (key_number(d.key), d.key))
    texts = (f"the last sync of {key} failed; its replica is as of the one before" for key in sorted(failed))
    return tuple(made), tuple(texts)


def _synced(facts: _Facts, current: Mapping[str, DiskRow]) -> tuple[dict[str, _Synced], set[str]]:
    """The newest good sync of each disk's present volume that gave a ChangeID, and disks whose last sync failed since.

    A sync says something of the volume that its job wrote to, and of no other. Where the history names no disk, its
    ChangeID counts for the only one, or for every disk whose own row has a ChangeID.
    """
    wrote = {(row.job_id, row.disk_id): row.ossea_volume_id for row in facts.disks}
    there = {key: row.ossea_volume_id for key, row in current.items()}
    kinds = {job.id: job.replication_type for job in facts.jobs}
    alone = len(current) == 1
    found: dict[str, _Synced] = {}
    failed: set[str] = set()
    for entry in sorted(facts.syncs, key=_in_history):
        is_good = is_true(entry.sync_success)
        for key in (entry.disk_id,) if entry.disk_id else current:
            if not is_good:
                failed.add(key)
                continue
            volume = there.get(key)
            if wrote.get((entry.job_id, key), volume) != volume:
                continue
            change = entry.change_id.strip()
            if change and not alone and not entry.disk_id:
                change = current[key].disk_change_id.strip()
            if change:
                is_full = (entry.sync_type or kinds[entry.job_id]).lower() in FULL
                full = entry.id if is_full else found[key].full if key in found else None
                found[key] = _Synced(change, entry.created_at, full)
                failed.discard(key)
    return found, failed & found.keys()


def _mappings(facts: _Facts) -> tuple[tuple[NetworkMapping, ...], tuple[str, ...]]:
    """Mappings under the VM's uuid, its context or its name, in this order; a name that others bear counts for none."""
    found: dict[tuple[str, bool], NetworkMapping] = {}
    for row in facts.mappings if facts.is_namesake else (*facts.mappings, *facts.by_name):
        source, is_test = row.source_network_name, is_true(row.is_test_network)
        if (source, is_test) not in found:
            destination = (row.destination_network_id, row.destination_network_name)
            found[source, is_test] = NetworkMapping(source, *destination, is_test)
    if facts.is_namesake:
        return tuple(found.values()), (f"network mappings under the name {facts.name} are not used: several VMs bear it",)
    odd = (f"network mappings are stored under the name {facts.name} instead of its uuid",) if facts.by_name else ()
    return tuple(found.values()), odd


def _active_jobs(facts: _Facts) -> tuple[ActiveJob, ...]:
    replication = [
        ActiveJob(j.id, "replication", j.status or UNKNOWN, _percent(j.progress_percent))
        for j in facts.jobs
        if j.status not in TERMINAL
    ]
    others = sorted(facts.others, key=lambda row: (number(row.id), row.job_id))
    return (*replication, *(ActiveJob(f.job_id, "failover", f.status or UNKNOWN) for f in others))


def _percent(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def latest_failover(rows: Sequence[FailoverRow], kind: str | None = None) -> PastFailover | None:
    """The newest failover job among the rows of one VM, of this kind if one is said; of one moment, the highest id (Q9)."""
    fitting = [row for row in rows if kind is None or row.job_type == kind]
    newest = max(fitting, key=lambda row: (row.created_at, number(row.id)), default=None)
    if newest is None:
        return None
    return PastFailover(newest.job_id, newest.job_type, newest.status or UNKNOWN, _moment(newest.created_at))


# --- small things -----------------------------------------------------------------------------------------------------


def _grouped(rows: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _by_age(rows: Sequence[DiskRow], jobs: Iterable[JobRow]) -> list[DiskRow]:
    """Rows of newer jobs come later, those of jobs that succeeded last."""
    if len(rows) < 2:
        return list(rows)
    known = {job.id: (job.status == "completed", job.created_at) for job in jobs}
    return sorted(rows, key=lambda row: (*known.get(row.job_id, (False, "")), number(row.id)))


def _in_history(sync: SyncRow) -> tuple[str, int]:
    return sync.created_at, number(sync.id)


def _moment(stamp: str) -> datetime | None:
    """When a row was made, in UTC as the session reads it; None where that is not known."""
    try:
        return datetime.fromisoformat(f"{stamp}+00:00")
    except ValueError:
        return None


def _newest(jobs: Sequence[JobRow]) -> JobRow | None:
    return max(jobs, key=lambda job: (job.created_at, job.id), default=None) if len(jobs) != 1 else jobs[0]


def _last_success(jobs: Sequence[JobRow]) -> str | None:
    newest = _newest([job for job in jobs if job.status == "completed"])
    return newest.id if newest is not None else None


def _described(rows: Sequence[DiskRow]) -> DiskRow | None:
    """The row that carries the VM's description: the newest, then lowest unit, disk key and id."""
    described = [row for row in rows if row.cpu_count and number(row.cpu_count) > 0]
    if len(described) > 1:
        described.sort(key=lambda row: (number(row.unit_number), key_number(row.disk_id), number(row.id)))
    return max(described, key=lambda row: row.created_at, default=None)


def _several(contexts: Sequence[ContextRow]) -> tuple[str, ...]:
    if len(contexts) < 2:
        return ()
    return (f"several contexts claim this VM: {', '.join(c.context_id for c in contexts)}; the first one is used",)


def _odd_jobs(facts: _Facts) -> Iterator[str]:
    """Replication jobs that belong to the VM by its context, and name it otherwise."""
    for named in sorted({identity.key(job.source_vm_id) for job in facts.jobs} - {facts.key}):
        how = "by another uuid" if is_uuid(named) else "not by its uuid"
        yield f"replication jobs name this VM {how}, {named}; its context counts"


# --- descriptions written by other programs ---------------------------------------------------------------------------


def _cards(rows: Sequence[DiskRow]) -> tuple[Sequence[tuple[str, Mapping[str, Any]]], tuple[str, ...]]:
    """Source network and record of every adapter, of the newest description that names any, and findings."""
    described = [row for row in rows if row.network_config]
    if len(described) > 1:
        described.sort(key=lambda row: (number(row.cpu_count) > 0, row.created_at, -number(row.id)), reverse=True)
    faults: tuple[str, ...] = ()
    for row in described:
        try:
            cards = tuple(_named(row.network_config))
        except UNREADABLE:
            faults = ("network_config of this VM is not readable in vm_disks",)
            continue
        if cards:
            return cards, faults
    return (), faults


def _named(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The adapters in a description, in any of the shapes in which it was ever written."""
    config = json.loads(text)
    adapters = config.get("adapters", config.get("networks")) if isinstance(config, dict) else config
    if isinstance(adapters, str):
        raise TypeError("a text is no list of adapters")
    for adapter in adapters or ():
        card = {"network": adapter} if isinstance(adapter, str) else adapter
        name = card.get("network") or card.get("network_name")
        if name:
            yield str(name), card


def _firmware(text: str) -> str:
    try:
        setup = json.loads(text) if text.strip() else text
    except UNREADABLE:
        setup = text
    word = setup.get("firmware", "") if isinstance(setup, dict) else setup
    return "uefi" if str(word or "").lower() in ("efi", "uefi") else "bios"


def _description(source: Source, rows: Sequence[DiskRow]) -> dict[str, Any]:
    """A VM in the documented form of `failover_jobs.source_vm_spec`."""
    described = _described(rows)
    kinds = {row.disk_id: row.provisioning_type for row in rows}
    return {
        "name": source.name,
        "display_name": (described and described.display_name) or source.name,
        "cpus": source.cpus,
        "memory_mb": source.memory_mb,
        "os_type": source.os_type,
        "power_state": described.power_state if described else "",
        "networks": [_network(name, card) for name, card in _cards(rows)[0]],
        "disks": [{"disk_id": d.key, "size_gb": d.size_gb, "provisioning_type": kinds[d.key]} for d in source.disks],
    }


def _network(name: str, card: Mapping[str, Any]) -> dict[str, Any]:
    kind = card.get("adapter_type") or card.get("type") or ""
    return {"network_name": name, "adapter_type": kind, "connected": card.get("connected") is not False}
