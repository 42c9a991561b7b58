"""Rows of the replication tables joined into `Source` records, in memory and by exact identity.

`store.legacy` reads the rows and calls `sources`; nothing here asks a database anything. Uuids are compared in lower case,
names and ids exactly as they are written. What is odd but no obstacle becomes a finding of the VM it concerns; what is
missing stays missing (a disk without volume, a disk without ChangeID) and is judged by `plans.guards`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from plans.observed import ActiveJob, Disk, NetworkMapping, PastFailover, Platform, Source
from plans.placing import key_number

TERMINAL = frozenset({"completed", "failed", "cancelled"})
FULL = frozenset({"full", "initial"})
Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]
Sync = tuple[str, Row, str]
"""A disk's key, the entry in the history that concerns it, and the ChangeID that it gives it, empty if none."""


def sources(rows: Rows, own_runs: Collection[str] = ()) -> tuple[Source, ...]:
    """Every replicated VM in the rows of all tables, by key; failover jobs among `own_runs` count as ours."""
    return _Fleet(rows, frozenset(own_runs)).sources()


def face(rows: Rows, vm_key: str) -> dict[str, Any]:
    """What `failover_jobs` tells of a VM: columns to their values, from rows that concern at least this VM."""
    fleet = _Fleet(rows, frozenset())
    jobs, disks = fleet.jobs_of[vm_key], fleet.disks_of[vm_key]
    return {
        "vm_context_id": next((c["context_id"] for c in fleet.contexts_of[vm_key]), None),
        "replication_job_id": _last_success(jobs),
        "source_vm_spec": json.dumps(_description(fleet.source(vm_key), disks)),
    }


class _Fleet:
    """All rows, indexed by what they concern."""

    def __init__(self, rows: Rows, own: frozenset[str]) -> None:
        self.rows, self.own = rows, own
        self.jobs: dict[Any, Row] = {j["id"]: j for j in rows.get("replication_jobs", ())}
        self.volumes: dict[Any, Row] = {v["id"]: v for v in rows.get("ossea_volumes", ())}
        self.contexts: dict[Any, Row] = {c["context_id"]: c for c in rows.get("vm_replication_contexts", ())}
        self.jobs_of = _grouped(self.jobs.values(), lambda job: _key(job["source_vm_id"]))
        self.contexts_of = _grouped(self.contexts.values(), lambda context: _key(context["vmware_vm_id"]))
        self.disks_of = _grouped(rows.get("vm_disks", ()), self._vm_of)

    @cached_property
    def cbt(self) -> dict[Any, list[Row]]:
        return _grouped(self.rows.get("cbt_history", ()), lambda row: row["job_id"])

    @cached_property
    def mappings(self) -> dict[Any, list[Row]]:
        return _grouped(self.rows.get("network_mappings", ()), lambda row: self._identity(row["vm_id"]))

    @cached_property
    def failovers(self) -> dict[Any, list[Row]]:
        return _grouped(self.rows.get("failover_jobs", ()), lambda row: self._identity(row["vm_id"]))

    @cached_property
    def configurations(self) -> dict[Any, Row]:
        """The active ones, by id."""
        return {c["id"]: c for c in self.rows.get("ossea_configs", ()) if c["is_active"]}

    @cached_property
    def names(self) -> dict[str, int]:
        """How many VMs bear each name."""
        counts: dict[str, int] = defaultdict(int)
        for key in self.keys:
            counts[self._name(key)] += 1
        return counts

    @cached_property
    def keys(self) -> frozenset[str]:
        return frozenset(key for key in self.jobs_of.keys() | self.disks_of.keys() if key)

    def sources(self) -> tuple[Source, ...]:
        return tuple(self.source(key) for key in sorted(self.keys))

    def _identity(self, vm: object) -> str:
        """What a row calls its VM: a uuid of ours in our form, and anything else (a name, a context) as it stands."""
        return _key(vm) if _key(vm) in self.keys else str(vm)

    def _vm_of(self, disk: Row) -> str:
        job, context = self.jobs.get(disk["job_id"]), self.contexts.get(disk.get("vm_context_id"))
        if job is not None:
            return _key(job["source_vm_id"])
        return _key(context["vmware_vm_id"] if context is not None else disk.get("vmware_uuid"))

    def _name(self, key: str) -> str:
        newest = _newest(self.jobs_of.get(key, ()))
        named = (newest.get("source_vm_name"), *(c.get("vm_name") for c in self.contexts_of.get(key, ())))
        rows = self.disks_of.get(key, ())
        shown = (row.get("display_name") for row in (_described(rows), *rows))  # a VM that was only discovered has no job
        return next((str(name) for name in (*named, *shown) if name), key)

    # --- one VM -------------------------------------------------------------------------------------------------------

    def source(self, key: str) -> Source:
        jobs, rows, contexts = (group.get(key, []) for group in (self.jobs_of, self.disks_of, self.contexts_of))
        newest, described, context = _newest(jobs), _described(rows), (contexts or [{}])[0]
        name = self._name(key)
        cards, unreadable = _cards(rows)
        current = self._current(rows)
        disks, unsynced = self._disks(jobs, rows, current)
        platform, misplaced = self._platform(current.values())
        mappings, misnamed = self._mappings(key, name, context.get("context_id"))
        return Source(
            key=key,
            name=name,
            vcenter=newest.get("vcenter_host") or newest.get("v_center_host") or context.get("vcenter_host") or "",
            cpus=int(described.get("cpu_count") or 0),
            memory_mb=int(described.get("memory_mb") or 0),
            os_type=described.get("os_type") or "",
            firmware=_firmware(described.get("bios_setup")),
            adapters=tuple(name for name, _ in cards),
            disks=disks,
            mappings=mappings,
            active_jobs=self._active(key, name, context.get("context_id"), jobs),
            context_id=context.get("context_id"),
            context_status=context.get("current_status"),
            last_job_id=_last_success(jobs),
            platform=platform,
            last_failover=latest_failover(self.failovers.get(key, ())),
            findings=(*misplaced, *_several(contexts), *unreadable, *unsynced, *misnamed),
        )

    def _current(self, rows: Sequence[Row]) -> dict[str, Row]:
        """The row that counts for every disk: of the newest job that succeeded, else of the newest there is."""

        def age(row: Row) -> tuple[bool, str, Any]:
            job = self.jobs.get(row["job_id"], {})
            return job.get("status") == "completed", _stamp(job), row["id"]

        return {row["disk_id"]: row for row in sorted(rows, key=age) if row["disk_id"]}

    def _disks(
        self, jobs: Sequence[Row], rows: Sequence[Row], current: Mapping[str, Row]
    ) -> tuple[tuple[Disk, ...], tuple[str, ...]]:
        history = self._history(jobs, rows, current)
        changes, findings = _changes(history)
        times = {key: _moment(entry) for key, entry, change in history if entry["sync_success"] and change}
        full = {
            key: entry["id"] for key, entry, change in history if entry["sync_success"] and change and self._is_full(entry)
        }
        disks = (
            Disk(
                key=key,
                size_gb=int(row["size_gb"] or 0),
                unit_number=int(row["unit_number"] or 0),
                volume_id=self._volume_id(row),
                change_id=changes.get(key),
                label=row.get("label") or "",
                full_sync=full.get(key),
                synced_at=times.get(key),
                snapshot_id=self._snapshot_id(row),
            )
            for key, row in current.items()
        )
        return tuple(sorted(disks, key=lambda d: (key_number(d.key), d.key))), findings

    def _volume_id(self, row: Row) -> str | None:
        volume = self.volumes.get(row["ossea_volume_id"]) if row["ossea_volume_id"] else None
        return _key(volume["volume_id"]) or None if volume is not None else None

    def _snapshot_id(self, row: Row) -> str | None:
        volume = self.volumes.get(row["ossea_volume_id"]) if row["ossea_volume_id"] else None
        return _key(volume.get("snapshot_id")) or None if volume is not None else None

    # --- synchronisation ----------------------------------------------------------------------------------------------

    def _history(self, jobs: Sequence[Row], rows: Sequence[Row], current: Mapping[str, Row]) -> tuple[Sync, ...]:
        """Every sync of each disk's present volume, oldest first, and those that failed, of any volume.

        A sync says something of the volume that its job wrote to, and of no other. Where the history names no disk, its
        ChangeID counts for the only one, or for every disk whose own row has a ChangeID.
        """
        wrote = {(row["job_id"], row["disk_id"]): row["ossea_volume_id"] for row in rows}
        there = {key: row.get("ossea_volume_id") for key, row in current.items()}
        entries = sorted((c for j in jobs for c in self.cbt.get(j["id"], ())), key=lambda c: (_stamp(c), c["id"]))
        syncs = ((key, entry) for entry in entries for key in _concerned(entry, current))
        return tuple(
            (key, entry, _change_id(entry, current.get(key, {}), alone=len(current) == 1))
            for key, entry in syncs
            if not entry["sync_success"] or wrote.get((entry["job_id"], key), there.get(key)) == there.get(key)
        )

    def _is_full(self, entry: Row) -> bool:
        """Whether a sync wrote everything; where the history does not say so, its job does."""
        job = self.jobs.get(entry["job_id"], {})
        return str(entry.get("sync_type") or job.get("replication_type") or "").lower() in FULL

    # --- what a VM needs besides --------------------------------------------------------------------------------------

    def _platform(self, disks: Iterable[Row]) -> tuple[Platform | None, tuple[str, ...]]:
        active = self.configurations
        volumes = (self.volumes.get(row["ossea_volume_id"]) for row in disks)
        named = {v["ossea_config_id"] for v in volumes if v is not None} - {None}
        fitting = [active[i] for i in sorted(named & active.keys())] or list(active.values())
        if len(fitting) != 1:
            names = ", ".join(sorted(c["name"] for c in fitting)) or "none"
            return None, (f"exactly one CloudStack configuration must be active in ossea_configs, there are: {names}",)
        only = fitting[0]
        made = Platform(
            config=only["name"],
            zone=only["zone"] or "",
            template_id=only["template_id"] or "",
            service_offering_id=only["service_offering_id"] or "",
            appliance_id=_key(only["oma_vm_id"]),
        )
        return made, () if named <= {only["id"]} else ("some volumes belong to another CloudStack configuration",)

    def _mappings(self, key: str, name: str, context_id: str | None) -> tuple[tuple[NetworkMapping, ...], tuple[str, ...]]:
        """Mappings under the VM's uuid, its context or its name, in this order; a name that others bear counts for none."""
        found: dict[tuple[str, bool], NetworkMapping] = {}
        for row in (*self.mappings.get(key, ()), *self.mappings.get(context_id, ())):
            _keep(found, row)
        by_name = [row for row in self.mappings.get(name, ()) if name != key]
        if not by_name:
            return tuple(found.values()), ()
        if self.names[name] > 1:
            return tuple(found.values()), (f"network mappings under the name {name} are not used: several VMs bear it",)
        for row in by_name:
            _keep(found, row)
        return tuple(found.values()), (f"network mappings are stored under the name {name} instead of its uuid",)

    def _active(self, key: str, name: str, context_id: str | None, jobs: Sequence[Row]) -> tuple[ActiveJob, ...]:
        replication = (
            ActiveJob(j["id"], "replication", j["status"] or "unknown", j.get("progress_percent"))
            for j in jobs
            if j["status"] not in TERMINAL
        )
        failover = (
            ActiveJob(f["job_id"], "failover", f["status"] or "unknown")
            for alias in dict.fromkeys((key, name, context_id))
            for f in self.failovers.get(alias, ())
            if f["status"] not in TERMINAL and f["job_id"] not in self.own
        )
        return (*replication, *failover)


def latest_failover(rows: Sequence[Row], kind: str | None = None) -> PastFailover | None:
    """The newest failover job among the rows of one VM, of this kind if one is said; of one moment, the highest id (Q9)."""
    fitting = [row for row in rows if kind is None or row["job_type"] == kind]
    newest = max(fitting, key=lambda row: (_stamp(row), int(row.get("id") or 0)), default=None)
    if newest is None:
        return None
    return PastFailover(newest["job_id"], newest["job_type"] or "", newest["status"] or "unknown", _moment(newest))


def _changes(history: Iterable[Sync]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The newest good ChangeID of every disk, and disks whose last sync failed since."""
    found: dict[str, str] = {}
    failed: set[str] = set()
    for key, entry, change in history:
        if not entry["sync_success"]:
            failed.add(key)
        elif change:
            found[key] = change
            failed.discard(key)
    texts = (f"the last sync of {key} failed; its replica is as of the one before" for key in sorted(failed & found.keys()))
    return found, tuple(texts)


# --- small things -----------------------------------------------------------------------------------------------------


def _key(uuid: object) -> str:
    return str(uuid or "").lower()


def _grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _stamp(row: Row) -> str:
    """When a row was made, as text that sorts by time; one without a time is the oldest."""
    return str(row.get("created_at") or "")


def _moment(row: Row) -> datetime | None:
    """When a row was made, in UTC as the session reads it; None where that is not known."""
    try:
        made = datetime.fromisoformat(_stamp(row))
    except ValueError:
        return None
    return made.replace(tzinfo=UTC) if made.tzinfo is None else made


def _newest(jobs: Sequence[Row]) -> Row:
    return max(jobs, key=lambda job: (_stamp(job), job["id"]), default={})


def _last_success(jobs: Sequence[Row]) -> str | None:
    found: str | None = _newest([job for job in jobs if job["status"] == "completed"]).get("id")
    return found


def _described(rows: Sequence[Row]) -> Row:
    """The row that carries the VM's description: the newest, then lowest unit, disk key and id."""
    described = [row for row in rows if (row.get("cpu_count") or 0) > 0]
    described.sort(key=lambda row: (row["unit_number"] or 0, key_number(row["disk_id"] or ""), row["id"]))
    return max(described, key=_stamp, default={})


def _several(contexts: Sequence[Row]) -> tuple[str, ...]:
    ids = ", ".join(str(c["context_id"]) for c in contexts)
    return (f"several contexts claim this VM: {ids}; the first one is used",) if len(contexts) > 1 else ()


def _concerned(entry: Row, current: Mapping[str, Row]) -> tuple[str, ...]:
    """The disks that an entry of the sync history tells of."""
    return (str(entry["disk_id"]),) if entry.get("disk_id") else tuple(current)


def _change_id(entry: Row, disk: Row, alone: bool) -> str:
    named = alone or bool(entry.get("disk_id"))
    own = str(disk.get("disk_change_id") or "").strip()
    change = str(entry["change_id"] or "").strip()
    return change if named else own and change and own


def _keep(found: dict[tuple[str, bool], NetworkMapping], row: Row) -> None:
    """Take a mapping in unless there is one for that network already."""
    is_test = bool(row.get("is_test_network"))
    source = row["source_network_name"]
    made = NetworkMapping(source, row["destination_network_id"], row["destination_network_name"], is_test)
    found.setdefault((source, is_test), made)


# --- descriptions written by other programs ---------------------------------------------------------------------------


def _cards(rows: Sequence[Row]) -> tuple[tuple[tuple[str, Row], ...], tuple[str, ...]]:
    """Source network and record of every adapter, of the newest description that names any, and findings."""
    described = sorted(rows, key=lambda row: ((row.get("cpu_count") or 0) > 0, _stamp(row), -row["id"]), reverse=True)
    faults: tuple[str, ...] = ()
    for row in described:
        try:
            cards = tuple(_named(row.get("network_config")))
        except (ValueError, TypeError, AttributeError):
            faults = ("network_config of this VM is not readable in vm_disks",)
            continue
        if cards:
            return cards, faults
    return (), faults


def _named(text: str | None) -> Iterable[tuple[str, Row]]:
    """The adapters in a description, in any of the shapes in which it was ever written."""
    config = json.loads(text) if text else None
    adapters = config.get("adapters", config.get("networks")) if isinstance(config, dict) else config
    for adapter in adapters or ():
        card = {"network": adapter} if isinstance(adapter, str) else adapter
        name = card.get("network") or card.get("network_name")
        if name:
            yield str(name), card


def _firmware(text: Any) -> str:
    try:
        setup = json.loads(text) if isinstance(text, str) and text.strip() else text
    except ValueError:
        setup = text
    word = setup.get("firmware", "") if isinstance(setup, dict) else setup
    return "uefi" if str(word or "").lower() in ("efi", "uefi") else "bios"


def _description(source: Source, rows: Sequence[Row]) -> dict[str, Any]:
    """A VM in the documented form of `failover_jobs.source_vm_spec`."""
    described = _described(rows)
    kinds = {row["disk_id"]: row.get("provisioning_type") or "" for row in rows}
    return {
        "name": source.name,
        "display_name": described.get("display_name") or source.name,
        "cpus": source.cpus,
        "memory_mb": source.memory_mb,
        "os_type": source.os_type,
        "power_state": described.get("power_state") or "",
        "networks": [_network(name, card) for name, card in _cards(rows)[0]],
        "disks": [{"disk_id": d.key, "size_gb": d.size_gb, "provisioning_type": kinds[d.key]} for d in source.disks],
    }


def _network(name: str, card: Row) -> dict[str, Any]:
    kind = card.get("adapter_type") or card.get("type") or ""
    return {"network_name": name, "adapter_type": kind, "connected": card.get("connected") is not False}
