"""Network mappings written: one row put or taken away at a time, in the generation's own columns.

`reconciler.networks` calls it with what a person asked for, after looking at the cloud; `store.legacy` reads what stands
here. Where a key of the replication system's table leaves no room (of G1 for a second variant of a source network, of others
for networks whose names its collation does not tell apart), the mapping goes to a table of ours, and both are read together.
Nobody's key is changed: the replication system would make it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from plans.observed import NetworkMapping, Source
from reconciler.store import journal, tables
from reconciler.store.database import StoreError, inserted
from reconciler.store.legacy import Legacy
from reconciler.store.rows import MappingRow, is_true, number

TABLE = "network_mappings"
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


Held = Mapping[str, Sequence[Stored]]
"""Mappings by what their rows mean: the key of a VM, or a name."""


def held(connection: sa.Connection, legacy: Legacy) -> Held:
    """All mappings there are, those that win first."""
    who, found = legacy.identities(connection), defaultdict[str, list[Stored]](list)
    for row in legacy.read(connection, MappingRow):
        vm = who.vm(row.vm_id, row.vm_context_id)
        found[vm].append(Stored(TABLE, number(row.id), row.vm_id, _mapping(row)))
    for vm, rows in found.items():
        rows.sort(key=lambda s: (s.vm_id.lower() != vm, s.id))
    for row in legacy.overflow(connection):
        found[row.vm_id].append(Stored(t.name, None, row.vm_id, _mapping(row)))
    return found


def of(stored: Held, source: Source, alone: bool) -> tuple[Stored, ...]:
    """The rows that count for a VM, those that win first; rows under its name only if it bears it `alone`."""
    own, by_name = stored.get(source.key, ()), stored.get(source.name, ()) if alone else ()
    theirs, ours = ([s for s in own if (s.table == t.name) is is_ours] for is_ours in (False, True))
    return (*theirs, *by_name, *ours)


def _mapping(row: MappingRow) -> NetworkMapping:
    destination = (row.destination_network_id, row.destination_network_name)
    return NetworkMapping(row.source_network_name, *destination, is_test=is_true(row.is_test_network))


def put(
    connection: sa.Connection,
    legacy: Legacy,
    stored: Held,
    source: Source,
    wanted: NetworkMapping,
    *,
    alone: bool,
    now: datetime,
    by: str,
) -> Stored | None:
    """Map a source network of a VM, in place of what it was mapped to. Returns what stood before; an event tells of it."""
    before = _standing(of(stored, source, alone), wanted.source, wanted.is_test)
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
    stored: Held,
    source: Source,
    network: str,
    is_test: bool,
    *,
    alone: bool,
    now: datetime,
    by: str,
) -> tuple[Stored, ...]:
    """Take away every row that maps this source network of a VM in this variant. Returns them; tells of it in an event."""
    found = _alike(of(stored, source, alone), network, is_test)
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
    made = {"vm_context_id": source.context_id, "vmware_vm_id": source.key, "created_at": now.replace(tzinfo=None)}
    values = {**row, **made, **_judged(wanted, now)}
    told_apart = "is_test_network" in table.c or not wanted.is_test
    if not told_apart or not inserted(connection, table.insert().values({k: v for k, v in values.items() if k in table.c})):
        connection.execute(t.insert().values(**row, made_at=now, made_by=by[:255]))


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
