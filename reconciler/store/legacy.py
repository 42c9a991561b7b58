"""The replication system's tables: read as they are found, written only where the contract says so.

`adopt` looks once at the tables and their columns (several generations exist in the wild) and hands back a `Legacy` that
`reconciler.loop` asks for the fleet and tells of the progress of runs. Nothing here migrates anything. Identity is compared
in Python, exactly, because collations are not to be trusted with it.
"""

from __future__ import annotations

import difflib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from plans.observed import ActiveJob, Disk, NetworkMapping, Platform, Source
from plans.placing import key_number
from reconciler.store.database import Database, DatabaseMissing, SchemaUnknown
from reconciler.store.journal import Run

TERMINAL = frozenset({"completed", "failed", "cancelled"})
MAX_ERROR = 60_000
CONTEXT_RESERVED, CONTEXT_READY, CONTEXT_CLEANUP = "failed_over_test", "ready_for_failover", "cleanup_required"

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "replication_jobs": ("id", "source_vm_id", "source_vm_name", "status", "created_at"),
    "vm_disks": ("id", "job_id", "disk_id", "size_gb", "unit_number", "ossea_volume_id", "cpu_count", "memory_mb"),
    "ossea_volumes": ("id", "volume_id", "volume_name", "ossea_config_id"),
    "ossea_configs": ("id", "name", "zone", "template_id", "service_offering_id", "oma_vm_id", "is_active"),
    "cbt_history": ("id", "job_id", "change_id", "sync_success", "created_at"),
    "network_mappings": ("vm_id", "source_network_name", "destination_network_id", "destination_network_name"),
    "failover_jobs": ("job_id", "vm_id", "job_type", "status", "source_vm_name"),
}
ALTERNATIVES: Mapping[str, tuple[tuple[str, ...], ...]] = {"replication_jobs": (("vcenter_host", "v_center_host"),)}
FALLBACKS: Mapping[str, Mapping[str, str]] = {
    "G3": {"executing": "validating"},
}


class UnknownVm(LookupError):
    """No replicated VM of that name or uuid."""


class AmbiguousVm(LookupError):
    """Several replicated VMs of that name."""


def find(
    sources: Iterable[Source], *, name: str | None = None, uuid: str | None = None, vcenter: str | None = None
) -> Source:
    """The one VM that is meant. Raises `UnknownVm` with close names, or `AmbiguousVm` naming every candidate."""
    pool = list(sources)
    if uuid is not None:
        found = [v for v in pool if v.key == uuid.lower()]
    else:
        found = [v for v in pool if v.name == name and vcenter in (None, v.vcenter)]
    if len(found) == 1:
        return found[0]
    if found:
        where = ", ".join(f"{v.key} on {v.vcenter or 'unknown vCenter'}" for v in found)
        raise AmbiguousVm(
            f'"{name}" is not one VM but {len(found)}: {where}; say `vm: {{name: {name}, vcenter: …}}` or a uuid'
        )
    close = difflib.get_close_matches(name or uuid or "", [v.name for v in pool], n=3)
    hint = f"; did you mean {', '.join(close)}?" if close else "; `failover status` lists the replicated VMs"
    on = f" on {vcenter}" if vcenter else ""
    raise UnknownVm(f'no replicated VM "{uuid or name}"{on} in the database{hint}')


@dataclass(frozen=True)
class Legacy:
    """The replication tables of one database: which columns they have, and what may be written to them."""

    tables: Mapping[str, sa.Table]
    statuses: frozenset[str] = field(default_factory=frozenset)

    @property
    def has_contexts(self) -> bool:
        """Whether this generation has VM contexts."""
        return "vm_replication_contexts" in self.tables

    # --- reading ------------------------------------------------------------------------------------------------------

    def sources(self, connection: sa.Connection) -> tuple[Source, ...]:
        """Every replicated VM, in a fixed number of queries."""
        return _Reading(self, connection).sources()

    def fetch(self, connection: sa.Connection, table: str) -> list[dict[str, Any]]:
        """All rows of a table as dictionaries; absent tables are empty."""
        if table not in self.tables:
            return []
        return [dict(row) for row in connection.execute(self.tables[table].select()).mappings()]

    # --- writing ------------------------------------------------------------------------------------------------------

    def project(self, connection: sa.Connection, run: Run, status: str, now: datetime, ended: bool = False) -> None:
        """Show a run in `failover_jobs`, in the documented words; made on the first call."""
        table = self.tables["failover_jobs"]
        word = self._word(status)
        values = {
            "status": word,
            "destination_vm_id": run.guest_id,
            "error_message": (run.reason or "")[:MAX_ERROR] if run.failed else None,
            "started_at": run.created_at.replace(tzinfo=None),
            "completed_at": now.replace(tzinfo=None) if ended else None,
            "updated_at": now.replace(tzinfo=None),
        }
        known = {k: v for k, v in values.items() if k in table.c}
        done = connection.execute(table.update().where(table.c.job_id == run.id).values(known))
        if done.rowcount == 0 and not self._shown(connection, table, run):
            first = {"job_id": run.id, "vm_id": run.vm_key, "job_type": run.kind, "source_vm_name": run.vm_name}
            created = {"created_at": now.replace(tzinfo=None)} if "created_at" in table.c else {}
            connection.execute(table.insert().values({**first, **created, **known}))

    @staticmethod
    def _shown(connection: sa.Connection, table: sa.Table, run: Run) -> bool:
        return connection.execute(sa.select(table.c.job_id).where(table.c.job_id == run.id)).first() is not None

    def _word(self, status: str) -> str:
        """The status in a word this database knows: enumerated columns of the later generation lack `executing`."""
        if not self.statuses or status in self.statuses:
            return status
        return "powering_on" if status == "holding" else "validating"

    def set_context(self, connection: sa.Connection, run: Run, status: str, now: datetime) -> bool:
        """Move the VM's context to a status, where there are contexts. False when there is none to move."""
        if not self.has_contexts:
            return True
        table = self.tables["vm_replication_contexts"]
        chosen = sa.func.lower(table.c.vmware_vm_id) == run.vm_key
        values = {"current_status": status, "last_status_change": now.replace(tzinfo=None)}
        known = {k: v for k, v in values.items() if k in table.c}
        return connection.execute(table.update().where(chosen).values(known)).rowcount > 0


def adopt(database: Database) -> Legacy:
    """Look at the tables that are there. Raises `DatabaseMissing` or `SchemaUnknown` with what differs."""
    wanted = [*REQUIRED, "vm_replication_contexts"]
    with database.read() as connection:
        inspector = sa.inspect(connection)
        present = set(inspector.get_table_names())
        missing = [name for name in REQUIRED if name not in present]
        if len(missing) == len(REQUIRED):
            raise DatabaseMissing(
                f"the database {database.shown} holds no replication tables: "
                "point `database.url` at the replication system's database, or run `failover init` for an embedded one"
            )
        if missing:
            raise SchemaUnknown(f"the database {database.shown} lacks tables: {', '.join(missing)}")
        metadata = sa.MetaData()
        tables = {n: sa.Table(n, metadata, autoload_with=connection) for n in wanted if n in present}
    _refuse_unknown(database, tables)
    status = tables["failover_jobs"].c.status.type
    return Legacy(tables, frozenset(status.enums) if isinstance(status, sa.Enum) else frozenset())


def _refuse_unknown(database: Database, tables: Mapping[str, sa.Table]) -> None:
    lacking = [f"{n}.{c}" for n, columns in REQUIRED.items() for c in columns if c not in tables[n].c]
    lacking += [
        f"{n}.{' or '.join(names)}"
        for n, groups in ALTERNATIVES.items()
        for names in groups
        if not any(c in tables[n].c for c in names)
    ]
    if lacking:
        text = ", ".join(lacking)
        raise SchemaUnknown(f"the replication tables of {database.shown} are of an unknown shape; missing: {text}")


# --- reading the fleet ------------------------------------------------------------------------------------------------


class _Reading:
    """One reading of all tables, joined in memory by exact identity."""

    def __init__(self, legacy: Legacy, connection: sa.Connection) -> None:
        self.legacy = legacy
        fetch = legacy.fetch
        self.jobs = {j["id"]: j for j in fetch(connection, "replication_jobs")}
        self.disks = fetch(connection, "vm_disks")
        self.volumes = {v["id"]: v for v in fetch(connection, "ossea_volumes")}
        self.configs = {c["id"]: c for c in fetch(connection, "ossea_configs")}
        self.contexts = {c["context_id"]: c for c in fetch(connection, "vm_replication_contexts")}
        self.cbt = _grouped(fetch(connection, "cbt_history"), "job_id")
        self.mappings = fetch(connection, "network_mappings")
        self.failovers = fetch(connection, "failover_jobs")
        self.own = self._own_runs(connection)

    @staticmethod
    def _own_runs(connection: sa.Connection) -> frozenset[str]:
        from reconciler.store import tables

        if not sa.inspect(connection).has_table(tables.runs.name):
            return frozenset()
        return frozenset(connection.execute(sa.select(tables.runs.c.id)).scalars())

    def sources(self) -> tuple[Source, ...]:
        jobs_by_vm: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for job in self.jobs.values():
            if job["source_vm_id"]:
                jobs_by_vm[str(job["source_vm_id"]).lower()].append(job)
        rows_by_vm = self._disk_rows()
        keys = sorted(jobs_by_vm.keys() | rows_by_vm.keys())
        return tuple(self._source(key, jobs_by_vm[key], rows_by_vm[key]) for key in keys)

    def _disk_rows(self) -> dict[str, list[dict[str, Any]]]:
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in self.disks:
            job = self.jobs.get(row["job_id"])
            context = self.contexts.get(row.get("vm_context_id"))
            key = job["source_vm_id"] if job else context["vmware_vm_id"] if context else row.get("vmware_uuid")
            if key:
                rows[str(key).lower()].append(row)
        return rows

    def _source(self, key: str, jobs: list[dict[str, Any]], rows: list[dict[str, Any]]) -> Source:
        newest = max(jobs, key=lambda j: (_stamp(j), j["id"]), default={})
        done = [j for j in jobs if j["status"] == "completed"]
        context = next((c for c in self.contexts.values() if str(c["vmware_vm_id"]).lower() == key), {})
        described = _spec_row(rows)
        adapters, found = _adapters(rows)
        name = newest.get("source_vm_name") or context.get("vm_name") or described.get("display_name") or key
        disks = self._disks(jobs, rows)
        platform, faults = self._platform(disks, rows)
        return Source(
            key=key,
            name=name,
            vcenter=_vcenter(newest) or context.get("vcenter_host") or "",
            cpus=int(described.get("cpu_count") or 0),
            memory_mb=int(described.get("memory_mb") or 0),
            os_type=described.get("os_type") or "",
            firmware=_firmware(described.get("bios_setup")),
            adapters=adapters,
            disks=disks,
            mappings=self._mappings(key, name, context.get("context_id")),
            active_jobs=self._active(key, name, context.get("context_id"), jobs),
            context_id=context.get("context_id"),
            context_status=context.get("current_status"),
            last_job_id=max(done, key=_stamp)["id"] if done else None,
            platform=platform,
            findings=(*found, *faults),
        )

    def _disks(self, jobs: list[dict[str, Any]], rows: list[dict[str, Any]]) -> tuple[Disk, ...]:
        newest: dict[str, dict[str, Any]] = {}
        for row in sorted(rows, key=lambda x: (self._job_stamp(x), x["id"])):
            if row["disk_id"]:
                newest[row["disk_id"]] = row
        changes = self._changes(jobs, newest)
        return tuple(
            Disk(
                key=key,
                size_gb=int(row["size_gb"] or 0),
                unit_number=int(row["unit_number"] or 0),
                volume_id=self._volume_id(row),
                change_id=changes.get(key),
                label=row.get("label") or "",
            )
            for key, row in sorted(newest.items(), key=lambda item: (key_number(item[0]), item[0]))
        )

    def _job_stamp(self, row: Mapping[str, Any]) -> str:
        job = self.jobs.get(row["job_id"])
        return _stamp(job) if job else ""

    def _volume_id(self, row: Mapping[str, Any]) -> str | None:
        volume = self.volumes.get(row["ossea_volume_id"]) if row["ossea_volume_id"] else None
        return str(volume["volume_id"]).lower() if volume and volume["volume_id"] else None

    def _changes(self, jobs: list[dict[str, Any]], disks: Mapping[str, Any]) -> dict[str, str]:
        """The newest good ChangeID of every disk; rows without a disk count for the only disk there is."""
        good = [c for j in jobs for c in self.cbt.get(j["id"], ()) if c["sync_success"] and (c["change_id"] or "").strip()]
        found: dict[str, str] = {}
        for row in sorted(good, key=lambda c: (_stamp(c), c["id"])):
            key = row.get("disk_id") or (next(iter(disks)) if len(disks) == 1 else None)
            if key:
                found[key] = row["change_id"]
        return found

    def _platform(self, disks: Sequence[Disk], rows: list[dict[str, Any]]) -> tuple[Platform | None, tuple[str, ...]]:
        active = [c for c in self.configs.values() if c["is_active"]]
        named = {self.volumes[r["ossea_volume_id"]]["ossea_config_id"] for r in rows if r["ossea_volume_id"] in self.volumes}
        fitting = [c for c in active if c["id"] in named] or active
        if len(fitting) != 1:
            names = ", ".join(sorted(c["name"] for c in fitting)) or "none"
            return None, (f"exactly one CloudStack configuration must be active in ossea_configs, there are: {names}",)
        only = fitting[0]
        faults = () if not disks or named <= {only["id"], None} else ("some volumes belong to another configuration",)
        made = Platform(
            config=only["name"],
            zone=only["zone"] or "",
            template_id=only["template_id"] or "",
            service_offering_id=only["service_offering_id"] or "",
            appliance_id=(only["oma_vm_id"] or "").lower(),
        )
        return made, faults

    def _mappings(self, key: str, name: str, context_id: str | None) -> tuple[NetworkMapping, ...]:
        own = [m for m in self.mappings if str(m["vm_id"]).lower() == key]
        own = own or [m for m in self.mappings if m["vm_id"] == name or (context_id and m["vm_id"] == context_id)]
        return tuple(
            NetworkMapping(
                m["source_network_name"],
                m["destination_network_id"],
                m["destination_network_name"],
                bool(m.get("is_test_network")),
            )
            for m in own
        )

    def _active(self, key: str, name: str, context_id: str | None, jobs: list[dict[str, Any]]) -> tuple[ActiveJob, ...]:
        replication = [
            ActiveJob(j["id"], "replication", j["status"] or "unknown", j.get("progress_percent"))
            for j in jobs
            if j["status"] not in TERMINAL
        ]
        ours = {key, name.lower(), (context_id or "").lower()} - {""}
        failover = [
            ActiveJob(f["job_id"], "failover", f["status"] or "unknown")
            for f in self.failovers
            if f["status"] not in TERMINAL and f["job_id"] not in self.own and str(f["vm_id"]).lower() in ours
        ]
        return (*replication, *failover)


def _grouped(rows: list[dict[str, Any]], column: str) -> dict[Any, list[dict[str, Any]]]:
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row[column]].append(row)
    return groups


def _stamp(row: Mapping[str, Any]) -> str:
    return str(row.get("created_at") or "")


def _vcenter(job: Mapping[str, Any]) -> str | None:
    return job.get("vcenter_host") or job.get("v_center_host")


def _spec_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row that carries the VM's description: newest, then lowest unit, disk key and id."""
    described = [row for row in rows if (row.get("cpu_count") or 0) > 0]
    described.sort(key=lambda x: (x["unit_number"] or 0, key_number(x["disk_id"] or ""), x["id"]))
    return max(described, key=_stamp, default={}) if described else {}


def _adapters(rows: list[dict[str, Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Source network names in adapter order, from the newest readable record, and findings."""
    faults: list[str] = []
    described = sorted(rows, key=lambda x: ((x.get("cpu_count") or 0) > 0, _stamp(x), -(x["id"] or 0)), reverse=True)
    for row in described:
        text = row.get("network_config")
        if not text:
            continue
        try:
            return tuple(_names(json.loads(text))), tuple(faults)
        except (ValueError, TypeError, AttributeError):
            faults.append("network_config of the VM is not readable")
    return (), tuple(dict.fromkeys(faults))


def _names(config: Any) -> Iterable[str]:
    adapters = config.get("adapters", config.get("networks", [])) if isinstance(config, dict) else config
    for adapter in adapters or []:
        name = adapter if isinstance(adapter, str) else adapter.get("network") or adapter.get("network_name")
        if name:
            yield str(name)


def _firmware(text: Any) -> str:
    try:
        setup = json.loads(text) if isinstance(text, str) and text.strip() else text
    except ValueError:
        setup = text
    word = setup.get("firmware", "") if isinstance(setup, dict) else setup
    return "uefi" if str(word or "").lower() in ("efi", "uefi") else "bios"
