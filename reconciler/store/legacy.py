"""The replication system's tables: read as they are found, written only where the contract says so.

`adopt` looks once at the tables and their columns (several generations exist in the wild) and hands back a `Legacy` that
`reconciler.loop` asks for the fleet and tells of the progress of runs. Rows are joined by `store.joining`. Nothing here
migrates anything, and nothing is joined or compared by the database, whose collations are not to be trusted with identity.
"""

from __future__ import annotations

import difflib
import gc
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import ReflectedColumn

from plans.observed import Source
from reconciler.store import joining, journal, tables
from reconciler.store.database import Database, DatabaseMissing, SchemaUnknown, refuse_newer, refuse_old
from reconciler.store.generation import Generation, recognise
from reconciler.store.identity import Identities
from reconciler.store.journal import Run
from reconciler.store.rows import (
    NAMES,
    TABLES,
    ConfigRow,
    ContextRow,
    DiskRow,
    FailoverRow,
    JobRow,
    MappingRow,
    Reading,
    Row,
    Rows,
    SyncRow,
    VolumeRow,
    is_true,
    number,
    required,
)
from specs.values import is_uuid

MAX_ERROR = 60_000
CONTEXT_RESERVED, CONTEXT_READY, CONTEXT_CLEANUP = "failed_over_test", "ready_for_failover", "cleanup_required"
CONTEXTS = "vm_replication_contexts"
DISCONNECTED = "disconnected"
UUID = "-".join("_" * digits for digits in (8, 4, 4, 4, 12))
"""A uuid as a pattern of LIKE."""

# what is read of each table: the columns that must be there, and those that are used where they are there
READ: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    name: (required(row), tuple(row._field_defaults)) for name, row in TABLES.items()
}
ALTERNATIVES: Mapping[str, tuple[str, ...]] = {"replication_jobs": ("vcenter_host", "v_center_host")}
# a status and the words it is stored as, the first that the database knows: enumerations lack some
WORDS: Mapping[str, tuple[str, ...]] = {
    "validating": ("validating",),
    "executing": ("executing", "validating"),
    "creating_vm": ("creating_vm",),
    "switching_volume": ("switching_volume",),
    "snapshotting": ("snapshotting",),
    "powering_on": ("powering_on",),
    "holding": ("executing", "powering_on"),
    "cleanup": ("cleanup",),
    "reverting": ("reverting",),
    "completed": ("completed",),
    "failed": ("failed",),
}
# a context is moved only from where it is expected to be: the replication system moves it, too
EXPECTED: Mapping[str, frozenset[str]] = {
    CONTEXT_RESERVED: frozenset({"discovered", "ready_for_failover", "completed", "failed", "failed_over_test"}),
    CONTEXT_READY: frozenset({"failed_over_test", "ready_for_failover"}),
    CONTEXT_CLEANUP: frozenset(
        {"discovered", "replicating", "ready_for_failover", "completed", "failed", "failed_over_test", "cleanup_required"}
    ),
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
        apart = len({v.vcenter for v in found}) == len(found)
        also = f", or in a spec `vm: {{name: {name}, vcenter: …}}`" if apart else ""
        raise AmbiguousVm(f'"{name}" is not one VM but {len(found)}: {where}; say its uuid{also}')
    close = difflib.get_close_matches(name or uuid or "", [v.name for v in pool], n=3)
    hint = f"; did you mean {', '.join(close)}?" if close else "; `failover status` lists the replicated VMs"
    on = f" on {vcenter}" if vcenter else ""
    raise UnknownVm(f'no replicated VM "{uuid or name}"{on} in the database{hint}')


@dataclass(frozen=True)
class Legacy:
    """The replication tables of one database: which columns they have, and which words their enumerations know."""

    generation: Generation
    tables: Mapping[str, sa.Table]
    statuses: frozenset[str] = field(default_factory=frozenset)

    @property
    def has_contexts(self) -> bool:
        """Whether this generation has VM contexts."""
        return CONTEXTS in self.tables

    # --- reading ------------------------------------------------------------------------------------------------------

    def sources(self, connection: sa.Connection) -> tuple[Source, ...]:
        """Every replicated VM, in a fixed number of queries."""
        with _uncollected():
            return joining.sources(self.rows(connection), _own_runs(connection))

    def rows(self, connection: sa.Connection) -> Rows:
        """Everything that is read of the replication system."""
        return Rows(
            jobs=self.read(connection, JobRow),
            disks=self.read(connection, DiskRow),
            volumes=self.read(connection, VolumeRow),
            configs=self.read(connection, ConfigRow),
            syncs=self.read(connection, SyncRow),
            mappings=(*sorted(self.read(connection, MappingRow), key=_by_id), *self.overflow(connection)),
            failovers=self.read(connection, FailoverRow),
            contexts=self.read(connection, ContextRow),
        )

    def active_configurations(self, connection: sa.Connection) -> tuple[str, ...]:
        """The names of the CloudStack configurations that are active."""
        return tuple(sorted(row.name for row in self.read(connection, ConfigRow) if is_true(row.is_active)))

    def read(self, connection: sa.Connection, row: type[Row]) -> list[Row]:
        """All rows of a table; one that is absent is empty."""
        table = self.tables.get(NAMES[row])
        return Reading(table, row).rows(connection) if table is not None else []

    def overflow(self, connection: sa.Connection) -> list[MappingRow]:
        """The mappings for which the replication system's table has no room; they stand in ours."""
        own = tables.network_mappings
        return Reading(own, MappingRow).rows(connection) if sa.inspect(connection).has_table(own.name) else []

    def _rows_of(self, connection: sa.Connection, vm_key: str) -> Rows:
        """The rows that describe one VM, and perhaps some that do not."""
        of = {"of": vm_key, "contexts": [c.context_id for c in self._contexts(connection, vm_key)]}
        jobs = self._jobs_of.rows(connection, of)
        of |= {"jobs": [job.id for job in jobs], "contexts": [*of["contexts"], *{j.vm_context_id for j in jobs} - {""}]}
        contexts = self._contexts_named.rows(connection, of) if self.has_contexts else []
        return Rows(jobs=jobs, disks=self._disks_of.rows(connection, of), contexts=contexts)

    @cached_property
    def _jobs_of(self) -> Reading[JobRow]:
        table = self.tables["replication_jobs"]
        chosen = [_is(table.c.source_vm_id), table.c.source_vm_id.in_(_CONTEXTS)]
        if "vm_context_id" in table.c:
            chosen.append(table.c.vm_context_id.in_(_CONTEXTS))
        return Reading(table, JobRow, sa.or_(*chosen))

    @cached_property
    def _disks_of(self) -> Reading[DiskRow]:
        disk = self.tables["vm_disks"].c
        chosen: list[sa.ColumnElement[bool]] = [disk.job_id.in_(sa.bindparam("jobs", expanding=True))]
        if "vmware_uuid" in disk:
            chosen.append(_is(disk.vmware_uuid))
        if "vm_context_id" in disk:
            chosen.append(disk.vm_context_id.in_(_CONTEXTS))
        return Reading(self.tables["vm_disks"], DiskRow, sa.or_(*chosen))

    @cached_property
    def _contexts_named(self) -> Reading[ContextRow]:
        table = self.tables[CONTEXTS]
        return Reading(table, ContextRow, table.c.context_id.in_(_CONTEXTS))

    @cached_property
    def _contexts_of(self) -> Reading[ContextRow]:
        """The contexts of some VMs, and those that name no uuid: whose they are, their jobs tell."""
        table = self.tables[CONTEXTS]
        named = sa.func.lower(table.c.vmware_vm_id).in_(sa.bindparam("of", expanding=True))
        return Reading(table, ContextRow, named | table.c.vmware_vm_id.not_like(UUID))

    @cached_property
    def _jobs_in(self) -> Reading[JobRow]:
        table = self.tables["replication_jobs"]
        return Reading(table, JobRow, table.c.vm_context_id.in_(_CONTEXTS))

    def _contexts(self, connection: sa.Connection, vm_key: str) -> list[ContextRow]:
        return [row for row, _ in self._whose(connection, [vm_key])]

    def _whose(self, connection: sa.Connection, vm_keys: Collection[str]) -> list[tuple[ContextRow, str]]:
        """The contexts of these VMs, each with the key of its VM."""
        if not self.has_contexts or not vm_keys:
            return []
        rows = self._contexts_of.rows(connection, {"of": [key.lower() for key in vm_keys]})
        key_of, wanted = self._identities(connection, rows).contexts, frozenset(vm_keys)
        return [(row, key_of[row.context_id]) for row in rows if key_of[row.context_id] in wanted]

    def identities(self, connection: sa.Connection) -> Identities:
        """Which VM every context means."""
        return self._identities(connection, self.read(connection, ContextRow))

    def _identities(self, connection: sa.Connection, contexts: Sequence[ContextRow]) -> Identities:
        unstated = [row.context_id for row in contexts if not is_uuid(row.vmware_vm_id)]
        has_jobs = unstated and "vm_context_id" in self.tables["replication_jobs"].c
        return Identities(contexts, self._jobs_in.rows(connection, {"contexts": unstated}) if has_jobs else ())

    # --- writing ------------------------------------------------------------------------------------------------------

    def project(
        self, connection: sa.Connection, shown: Sequence[tuple[Run, str]], now: datetime, ended: bool = False
    ) -> None:
        """Show runs, each in a status, in `failover_jobs`, in the documented words; made on the first call."""
        rows = [{"of": run.id, **self._state(run, status, now, ended)} for run, status in shown]
        if not rows or connection.execute(self._shown, rows).rowcount == len(rows):
            return
        table = self.tables["failover_jobs"]
        for (run, _), values in zip(shown, rows, strict=True):
            if len(rows) == 1 or connection.execute(self._shown, values).rowcount == 0:
                row = {**self._face(connection, run), "created_at": run.created_at.replace(tzinfo=None), **values}
                connection.execute(table.insert().values({k: v for k, v in row.items() if k in table.c}))

    def _state(self, run: Run, status: str, now: datetime, ended: bool) -> dict[str, Any]:
        values = {
            "status": self._word(status),
            "destination_vm_id": run.guest_id,
            "error_message": _fitting(run.reason or "") if run.failed else None,
            "started_at": run.created_at.replace(tzinfo=None),
            "completed_at": now.replace(tzinfo=None) if ended else None,
            "updated_at": now.replace(tzinfo=None),
        }
        return {k: v for k, v in values.items() if k in self.tables["failover_jobs"].c}

    @cached_property
    def _shown(self) -> sa.Update:
        """The row of a run; its snapshot is that of the first disk: all of them are in our own table."""
        table = self.tables["failover_jobs"]
        update = table.update().where(table.c.job_id == sa.bindparam("of"))
        return update.values(ossea_snapshot_id=_first_snapshot()) if "ossea_snapshot_id" in table.c else update

    def _face(self, connection: sa.Connection, run: Run) -> dict[str, Any]:
        """What stays the same as long as the run is shown."""
        described = joining.face(self._rows_of(connection, run.vm_key), run.vm_key)
        return {
            "job_id": run.id,
            "vm_id": run.vm_key,
            "job_type": run.kind,
            "source_vm_name": run.vm_name,
            "network_mappings": json.dumps(_networks(connection, run)),
            **described,
        }

    def _word(self, status: str) -> str:
        """The status in a word that this database knows. Raises KeyError for a status that is not documented."""
        return next(word for word in WORDS[status] if not self.statuses or word in self.statuses)

    def set_context(self, connection: sa.Connection, run: Run, status: str, now: datetime) -> bool:
        """Move the VM's context, where there is one, to a status. False when it stands otherwise than expected.

        Then it is left alone, and an event tells of it. Raises `Fenced` when it cannot be reserved: the replication
        system may be working on this VM.
        """
        moved = [self._move(connection, row, status, now) for row in self._contexts(connection, run.vm_key)]
        odd = [was for was in moved if was is not None]
        if odd and status == CONTEXT_RESERVED:
            raise journal.Fenced(f"the context of {run.vm_name} is {odd[0]}: the replication system may be working on it")
        if odd:
            text = f"the context of {run.vm_name} is {odd[0]}, and was left so instead of {status}"
            journal.event(connection, now, run, None, "context", text)
        return not odd

    def overwritten(self, connection: sa.Connection, vm_keys: Collection[str]) -> frozenset[str]:
        """Those of these VMs, all reserved by a run, whose context says otherwise by now: somebody wrote into it."""
        found = self._whose(connection, vm_keys)
        return frozenset(key for row, key in found if row.current_status != CONTEXT_RESERVED)

    def reserve_again(self, connection: sa.Connection, run: Run, now: datetime) -> None:
        """Put the context of a VM that is reserved back where it was, if somebody overwrote it, and tell of it.

        A context that says that replication works is left so: the replica is not there, and whoever wrote it has to know.
        """
        for row in self._contexts(connection, run.vm_key):
            was = row.current_status
            if was == CONTEXT_RESERVED:
                continue
            if self._move(connection, row, CONTEXT_RESERVED, now) is None:
                text = f"somebody wrote {was} into the context of {run.vm_name}; reserved, it is {CONTEXT_RESERVED} again"
                journal.event(connection, now, run, None, "context", text)
            else:
                text = f"somebody wrote {was} into the context of {run.vm_name}, which is reserved; left so, look into it"
                journal.note(connection, now, run.vm_key, "context", text)

    def _move(self, connection: sa.Connection, row: ContextRow, status: str, now: datetime) -> str | None:
        """Compare and set; what the context is instead, if it is not as expected."""
        was = row.current_status or joining.UNKNOWN
        if was not in EXPECTED[status]:
            return was
        table = self.tables[CONTEXTS]
        chosen = (table.c.context_id == row.context_id) & (table.c.current_status == was)
        values = {"current_status": status, "last_status_change": now.replace(tzinfo=None)}
        known = {k: v for k, v in values.items() if k in table.c}
        done = connection.execute(table.update().where(chosen).values(known))
        return None if done.rowcount == 1 else "being changed"


def _by_id(row: MappingRow) -> int:
    return number(row.id)


_CONTEXTS: sa.BindParameter[Any] = sa.bindparam("contexts", expanding=True)


def _is(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    return sa.func.lower(column) == sa.bindparam("of")


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for garbage meanwhile: a look makes many small records and not one cycle, and each search walks them all."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _own_runs(connection: sa.Connection) -> frozenset[str]:
    if not sa.inspect(connection).has_table(tables.runs.name):
        return frozenset()
    return frozenset(connection.execute(sa.select(tables.runs.c.id)).scalars())


def _first_snapshot() -> sa.ScalarSelect[Any]:
    point, place = tables.points.c, tables.placements.c
    joined = tables.points.join(tables.placements, (point.run_id == place.run_id) & (point.volume_id == place.volume_id))
    chosen = (point.run_id == sa.bindparam("of")) & point.snapshot_id.is_not(None)
    query = sa.select(point.snapshot_id).select_from(joined).where(chosen).order_by(place.position).limit(1)
    return query.scalar_subquery()


_PLAN = sa.select(tables.specs.c.plan).where(tables.specs.c.id == sa.bindparam("of"))


def _networks(connection: sa.Connection, run: Run) -> dict[str, Any]:
    """Source network to CloudStack network, as the approved plan has it; what stays disconnected is left out."""
    plan = connection.execute(_PLAN, {"of": run.spec_id}).scalar() or {}
    facts = {name: fact for name, fact in plan.get("facts", {}).items() if name.startswith("network.")}
    return {name.removeprefix("network."): fact for name, fact in facts.items() if fact != DISCONNECTED}


def _fitting(text: str) -> str:
    """As much of a text as a TEXT column holds, which counts bytes."""
    return text.encode()[:MAX_ERROR].decode(errors="ignore")


# --- adopting ---------------------------------------------------------------------------------------------------------


def adopt(database: Database) -> Legacy:
    """Look at the server and the tables that are there. Raises `ServerTooOld`, `ProgramTooOld`, or as `recognised` does."""
    with database.read() as connection:
        refuse_old(database, connection)
        refuse_newer(database, connection)
    return recognised(database)


def recognised(database: Database) -> Legacy:
    """Look at the tables that are there. Raises `DatabaseMissing` or `SchemaUnknown` with what differs."""
    with database.read() as connection:
        seen = sa.inspect(connection)
        present = set(seen.get_table_names())
        missing = [name for name in READ if name not in present and name != CONTEXTS]
        if len(missing) == len(READ) - 1:
            raise DatabaseMissing(
                f"the database {database.shown} holds no replication tables: "
                "point `database.url` at the replication system's database, or run `failover init` for an embedded one"
            )
        _refuse(database, [f"table {name} is missing" for name in missing])
        columns = seen.get_multi_columns(filter_names=[name for name in READ if name in present])
    metadata = sa.MetaData()
    found = {name: _table(metadata, name, columns[None, name]) for name in READ if name in present}
    _refuse(database, [*_lacking(found), *_wordless(found)])
    generation = recognise(found)
    if not isinstance(generation, Generation):
        raise _unknown(database, generation)
    return Legacy(generation, found, _words(found, "failover_jobs", "status"))


def _table(metadata: sa.MetaData, name: str, columns: Iterable[ReflectedColumn]) -> sa.Table:
    """A table as far as it is read and written: its columns with their types, and no keys."""
    return sa.Table(name, metadata, *(sa.Column(column["name"], column["type"]) for column in columns))


def _refuse(database: Database, differences: Sequence[str]) -> None:
    if differences:
        raise _unknown(database, differences)


def _unknown(database: Database, differences: Sequence[str]) -> SchemaUnknown:
    text = "; ".join(differences)
    return SchemaUnknown(
        f"the replication tables of {database.shown} are of a shape that is not known, and nothing was written: {text}. "
        "Point `database.url` at the replication system's own database, or report this list"
    )


def _lacking(found: Mapping[str, sa.Table]) -> Iterable[str]:
    for name, table in found.items():
        absent = [column for column in READ[name][0] if column not in table.c]
        either = ALTERNATIVES.get(name, ())
        if either and not any(column in table.c for column in either):
            absent.append(" or ".join(either))
        yield from (f"{name} has no column {column}" for column in absent)


def _wordless(found: Mapping[str, sa.Table]) -> Iterable[str]:
    """Words that we would have to write and that an enumeration does not know."""
    needed: dict[tuple[str, str], Sequence[tuple[str, ...]]] = {
        ("failover_jobs", "job_type"): [("test",)],
        ("failover_jobs", "status"): list(WORDS.values()),
    }
    if CONTEXTS in found:
        needed[CONTEXTS, "current_status"] = [(word,) for word in EXPECTED]
    for (table, column), choices in needed.items():
        words = _words(found, table, column)
        unknown = [choice[0] for choice in choices if words and words.isdisjoint(choice)]
        if unknown:
            yield f"{table}.{column} knows no {', '.join(unknown)}"


def _words(found: Mapping[str, sa.Table], table: str, column: str) -> frozenset[str]:
    """The words of an enumerated column; none where it takes any, or is not there."""
    kind = found[table].c[column].type if column in found[table].c else None
    return frozenset(map(str, kind.enums)) if isinstance(kind, sa.Enum) else frozenset()
