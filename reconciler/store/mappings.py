"""Network mappings written: one row put or taken away at a time, in the generation's own columns.

`reconciler.networks` calls it with what a person asked for, after looking at the cloud; `store.legacy` reads what stands
here. Where the key of the replication system's table allows one mapping a source network only (G1), the second variant goes
to a table of ours, and both are read together. Nobody's key is changed: the replication system would make it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from plans.observed import NetworkMapping, Source
from reconciler.store import journal, tables
from reconciler.store.database import StoreError
from reconciler.store.legacy import Legacy
from reconciler.store.rows import MappingRow, is_true, number

TABLE = "network_mappings"
ONE_A_SOURCE: set[str | None] = {"vm_id", "source_network_name"}
KIND = "mapping"
t = tables.network_mappings


class MappingChanged(StoreError):
    """The row that was to be changed is not as it was a moment ago: nothing was written."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A mapping where it stands: `table`, and the `id` of its row where it is the replication system's."""

    table: str
    id: int | None
    vm_id: str
    mapping: NetworkMapping


def of(connection: sa.Connection, legacy: Legacy, source: Source, alone: bool) -> tuple[Stored, ...]:
    """The rows that count for a VM, those that win first; rows under its name only if it bears it `alone`."""
    theirs = [Stored(TABLE, number(row.id), row.vm_id, _mapping(row)) for row in legacy.read(connection, MappingRow)]
    by_key = (s for s in theirs if s.vm_id.lower() == source.key)
    by_context = (s for s in theirs if s.vm_id == source.context_id)
    by_name = (s for s in theirs if alone and s.vm_id == source.name)
    ours = (Stored(t.name, None, row.vm_id, _mapping(row)) for row in legacy.overflow(connection, source.key))
    return (*by_key, *by_context, *by_name, *ours)


def _mapping(row: MappingRow) -> NetworkMapping:
    destination = (row.destination_network_id, row.destination_network_name)
    return NetworkMapping(row.source_network_name, *destination, is_test=is_true(row.is_test_network))


def put(
    connection: sa.Connection, legacy: Legacy, source: Source, wanted: NetworkMapping, *, alone: bool, now: datetime, by: str
) -> Stored | None:
    """Map a source network of a VM, in place of what it was mapped to. Returns what stood before; an event tells of it."""
    before = _standing(of(connection, legacy, source, alone), wanted.source, wanted.is_test)
    if before is not None and before.mapping == wanted:
        return before
    if before is None:
        _insert(connection, legacy, source, wanted, now, by)
    else:
        _update(connection, legacy, before, wanted, now)
    _tell(connection, source, wanted.source, wanted.is_test, before.mapping if before is not None else None, wanted, now, by)
    return before


def take(
    connection: sa.Connection,
    legacy: Legacy,
    source: Source,
    network: str,
    is_test: bool,
    *,
    alone: bool,
    now: datetime,
    by: str,
) -> tuple[Stored, ...]:
    """Take away every row that maps this source network of a VM in this variant. Returns them; tells of it in an event."""
    found = _alike(of(connection, legacy, source, alone), network, is_test)
    for row in found:
        table = t if row.table == t.name else legacy.tables[TABLE]
        _demand(connection.execute(table.delete().where(_chosen(table, row))).rowcount, row)
    if found:
        _tell(connection, source, network, is_test, found[0].mapping, None, now, by)
    return tuple(found)


def _alike(rows: Iterable[Stored], network: str, is_test: bool) -> list[Stored]:
    return [s for s in rows if s.mapping.source == network and s.mapping.is_test is is_test]


def _standing(rows: Iterable[Stored], network: str, is_test: bool) -> Stored | None:
    """The row that counts for one variant of a source network."""
    return next(iter(_alike(rows, network, is_test)), None)


def _insert(
    connection: sa.Connection, legacy: Legacy, source: Source, wanted: NetworkMapping, now: datetime, by: str
) -> None:
    table = legacy.tables[TABLE]
    destination = {"destination_network_id": wanted.network_id, "destination_network_name": wanted.network_name}
    row = {"vm_id": source.key, "source_network_name": wanted.source, **destination, "is_test_network": wanted.is_test}
    if _is_taken(connection, legacy, source, wanted):
        connection.execute(t.insert().values(**row, made_at=now, made_by=by[:255]))
        return
    made = {"vm_context_id": source.context_id, "vmware_vm_id": source.key, "created_at": now.replace(tzinfo=None)}
    values = {**row, **made, **_judged(wanted, now)}
    connection.execute(table.insert().values({k: v for k, v in values.items() if k in table.c}))


def _is_taken(connection: sa.Connection, legacy: Legacy, source: Source, wanted: NetworkMapping) -> bool:
    """Whether the key of the replication system's table leaves no room for this variant beside the other one."""
    if "is_test_network" in legacy.tables[TABLE].c and not _one_a_source(connection):
        return False
    rows = legacy.read(connection, MappingRow)
    return any(r.vm_id.lower() == source.key and _same_key(r.source_network_name, wanted.source) for r in rows)


def _same_key(one: str, other: str) -> bool:
    """Whether the collations of that table may take two names for one: case and trailing blanks do not count there."""
    return one.rstrip().casefold() == other.rstrip().casefold()


def _one_a_source(connection: sa.Connection) -> bool:
    look = sa.inspect(connection)
    keys: list[set[str | None]] = [set(key["column_names"]) for key in look.get_unique_constraints(TABLE)]
    keys += [set(index["column_names"]) for index in look.get_indexes(TABLE) if index["unique"]]
    return ONE_A_SOURCE in keys


def _update(connection: sa.Connection, legacy: Legacy, before: Stored, wanted: NetworkMapping, now: datetime) -> None:
    table = t if before.table == t.name else legacy.tables[TABLE]
    values = {
        "destination_network_id": wanted.network_id,
        "destination_network_name": wanted.network_name,
        **_judged(wanted, now),
    }
    known = {k: v for k, v in values.items() if k in table.c}
    _demand(connection.execute(table.update().where(_chosen(table, before)).values(known)).rowcount, before)


def _chosen(table: sa.Table, row: Stored) -> sa.ColumnElement[bool]:
    """That row, if its destination is what it was when it was looked at."""
    is_as_it_was = table.c.destination_network_id == row.mapping.network_id
    if row.id is not None:
        return (table.c.id == row.id) & is_as_it_was
    own = (t.c.vm_id == row.vm_id) & (t.c.source_network_name == row.mapping.source)
    return own & (t.c.is_test_network == row.mapping.is_test) & is_as_it_was


def _judged(wanted: NetworkMapping, now: datetime) -> dict[str, Any]:
    """What the newest generation keeps besides: that the network was looked at, and its variant in another word."""
    moment = now.replace(tzinfo=None)
    kind = "test" if wanted.is_test else "live"
    return {"validation_status": "valid", "mapping_type": kind, "last_validated": moment, "updated_at": moment}


def _demand(count: int, row: Stored) -> None:
    if count != 1:
        where = row.table if row.id is None else f"row {row.id} of {row.table}"
        raise MappingChanged(f"{where} was changed by somebody else meanwhile, and nothing was written: look and try again")


def _tell(
    connection: sa.Connection,
    source: Source,
    network: str,
    is_test: bool,
    before: NetworkMapping | None,
    after: NetworkMapping | None,
    now: datetime,
    by: str,
) -> None:
    kind = "test" if is_test else "production"
    text = f'{by} mapped "{network}" for {kind}: {told(before)} → {told(after)}'
    journal.note(connection, now, source.key, KIND, text)


def told(mapping: NetworkMapping | None) -> str:
    """A mapping's destination for people."""
    return "nothing" if mapping is None else f"{mapping.network_name} ({mapping.network_id})"
