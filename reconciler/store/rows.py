"""The rows of the replication system's tables: what is read of each, and how a whole table comes over quickly.

`store.legacy` reads with `Reading`, `store.joining` joins what it got. A driver written in Python takes most of its time for
one field after the other, so some hundred rows are asked for as one text, a page, with separators between fields and behind
rows, and taken apart here. A page that reads as one did before is not taken apart again: between two looks most rows stay
as they are. All fields are text therefore, empty where the database has NULL or the generation no such column. A table in
which some text holds a separator itself, or of which a page came over cut, is read once more, field by field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

SEPARATOR = "\x1f"
"""What stands between the fields of a row."""
END = "\x1e"
"""What stands behind every row."""
LAST = 2
"""By so many characters of the first column, its last ones, rows come together on a page."""
PAGES = 1 << 12
"""How many pages are kept as they were taken apart."""
FALSE = frozenset({"", "0", "0.0", "\x00"})


class JobRow(NamedTuple):
    """A row of `replication_jobs`."""

    id: str
    source_vm_id: str
    source_vm_name: str
    status: str
    created_at: str
    vcenter_host: str = ""
    v_center_host: str = ""
    progress_percent: str = ""
    replication_type: str = ""
    vm_context_id: str = ""


class DiskRow(NamedTuple):
    """A row of `vm_disks`: one disk of one job; some carry the description of the whole VM."""

    id: str
    job_id: str
    disk_id: str
    size_gb: str
    unit_number: str
    ossea_volume_id: str
    cpu_count: str
    memory_mb: str
    vm_context_id: str = ""
    vmware_uuid: str = ""
    display_name: str = ""
    label: str = ""
    os_type: str = ""
    power_state: str = ""
    provisioning_type: str = ""
    network_config: str = ""
    bios_setup: str = ""
    disk_change_id: str = ""
    created_at: str = ""


class VolumeRow(NamedTuple):
    """A row of `ossea_volumes`: a CloudStack volume."""

    id: str
    volume_id: str
    ossea_config_id: str
    snapshot_id: str = ""


class ConfigRow(NamedTuple):
    """A row of `ossea_configs`: a CloudStack and what is used there."""

    id: str
    name: str
    zone: str
    template_id: str
    service_offering_id: str
    oma_vm_id: str
    is_active: str


class SyncRow(NamedTuple):
    """A row of `cbt_history`: one sync, of one disk where it says so."""

    id: str
    job_id: str
    change_id: str
    sync_success: str
    created_at: str
    disk_id: str = ""
    sync_type: str = ""


class MappingRow(NamedTuple):
    """A row of `network_mappings`, or of our own table for those that it has no room for."""

    id: str
    vm_id: str
    source_network_name: str
    destination_network_id: str
    destination_network_name: str
    is_test_network: str = ""
    vm_context_id: str = ""


class FailoverRow(NamedTuple):
    """A row of `failover_jobs`."""

    job_id: str
    vm_id: str
    job_type: str
    status: str
    source_vm_name: str
    id: str = ""
    created_at: str = ""
    vm_context_id: str = ""


class ContextRow(NamedTuple):
    """A row of `vm_replication_contexts`: what the replication system says of a VM as a whole."""

    context_id: str
    vm_name: str
    vmware_vm_id: str
    current_status: str
    vcenter_host: str = ""


Row = TypeVar("Row", JobRow, DiskRow, VolumeRow, ConfigRow, SyncRow, MappingRow, FailoverRow, ContextRow)
TABLES: Mapping[str, type[NamedTuple]] = {
    "replication_jobs": JobRow,
    "vm_disks": DiskRow,
    "ossea_volumes": VolumeRow,
    "ossea_configs": ConfigRow,
    "cbt_history": SyncRow,
    "network_mappings": MappingRow,
    "failover_jobs": FailoverRow,
    "vm_replication_contexts": ContextRow,
}
NAMES: Mapping[type[NamedTuple], str] = {row: name for name, row in TABLES.items()}


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows that are joined, or those that concern some VMs."""

    jobs: Sequence[JobRow] = ()
    disks: Sequence[DiskRow] = ()
    volumes: Sequence[VolumeRow] = ()
    configs: Sequence[ConfigRow] = ()
    syncs: Sequence[SyncRow] = ()
    mappings: Sequence[MappingRow] = ()
    failovers: Sequence[FailoverRow] = ()
    contexts: Sequence[ContextRow] = ()


def required(row: type[NamedTuple]) -> tuple[str, ...]:
    """The columns that a table must have."""
    return tuple(name for name in row._fields if name not in row._field_defaults)


def is_true(text: str) -> bool:
    """Whether a field of a column that is true or false says true; NULL does not."""
    return text not in FALSE


def number(text: str) -> int:
    """A field of a column of numbers, 0 where it is NULL, or holds what no number is: SQLite lets anything in."""
    try:
        return int(text)
    except ValueError:
        with suppress(ValueError, OverflowError):
            return int(float(text))
        return 0


class _Page(FunctionElement[str]):
    """All rows of a group as one text: the first argument stands between fields, the second behind each row."""

    name = "page"
    type = sa.Text()
    inherit_cache = True


@compiles(_Page)
def _concatenated(element: _Page, compiler: SQLCompiler, **options: Any) -> str:
    """Columns of tables that others made may have any character sets, and those of two do not go together."""
    apart, end, *texts = (compiler.process(text, **options) for text in element.clauses)
    alike = ", ".join(f"CONVERT({text} USING utf8mb4)" for text in texts)
    return f"group_concat(concat_ws({apart}, {alike}), {end} SEPARATOR '')"


@compiles(_Page, "sqlite")
def _chained(element: _Page, compiler: SQLCompiler, **options: Any) -> str:
    """SQLite learnt `concat_ws` only lately."""
    apart, end, *texts = (compiler.process(text, **options) for text in element.clauses)
    return f"group_concat({f' || {apart} || '.join(texts)} || {end}, '')"


class Reading(Generic[Row]):
    """How rows of one kind are read from a table, all of them or those that a condition chooses."""

    def __init__(self, table: sa.Table, row: type[Row], where: sa.ColumnElement[bool] | None = None) -> None:
        self._row: type[Row] = row
        columns = [table.c[name].label(name) if name in table.c else sa.literal("").label(name) for name in row._fields]
        texts = [sa.func.coalesce(sa.type_coerce(column.element, sa.Text), "") for column in columns]
        chosen = () if where is None else (where,)
        page = _Page(sa.literal_column(f"'{SEPARATOR}'"), sa.literal_column(f"'{END}'"), *texts)
        together = sa.func.substr(columns[0].element, -LAST)
        self._pages = sa.select(sa.func.count(), page).select_from(table).where(*chosen).group_by(together)
        self._plain = sa.select(*columns).select_from(table).where(*chosen)

    def rows(self, connection: sa.Connection, of: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows, in no order; `of` gives the condition its values."""
        found: list[Row] = []
        width = len(self._row._fields)
        for count, text in connection.execute(self._pages, of or {}):
            page = _apart(self._row._make, width, text)
            if len(page) != count:
                return [self._row._make(map(_text, values)) for values in connection.execute(self._plain, of or {})]
            found += page
        return found


@lru_cache(maxsize=PAGES)
def _apart(make: Callable[[Iterable[str]], Any], width: int, page: str) -> tuple[Any, ...]:
    """The rows of a page; none, where something in it is not as it was put together."""
    *texts, rest = page.split(END)
    found = [text.split(SEPARATOR) for text in texts]
    return () if rest or any(len(fields) != width for fields in found) else tuple(map(make, found))


def _text(value: Any) -> str:
    return "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)
