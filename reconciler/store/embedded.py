"""The replication tables of an embedded database, in their documented form, and the sample rows to try the tool on.

Called by `failover init` and by tests; a database beside a replication system has these tables already.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml
from sqlalchemy.dialects import mysql

metadata = sa.MetaData()
TEXT, NAME = sa.Text(), sa.String(255)
NOW = sa.func.current_timestamp()
STAMP = sa.DateTime().with_variant(mysql.DATETIME(fsp=3), "mysql", "mariadb")


def _table(name: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(name, metadata, *columns, mysql_engine="InnoDB", mariadb_engine="InnoDB")


_table(
    "ossea_configs",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", NAME, nullable=False, unique=True),
    *(sa.Column(c, sa.String(512)) for c in ("api_url", "api_key", "secret_key", "domain", "zone")),
    *(sa.Column(c, NAME) for c in ("template_id", "network_id", "service_offering_id", "disk_offering_id", "oma_vm_id")),
    sa.Column("is_active", sa.Boolean, server_default="1"),
)
_table(
    "replication_jobs",
    sa.Column("id", sa.String(191), primary_key=True),
    sa.Column("source_vm_id", NAME, nullable=False),
    sa.Column("source_vm_name", NAME, nullable=False),
    sa.Column("source_vm_path", NAME, server_default=""),
    *(sa.Column(c, NAME, server_default="") for c in ("vcenter_host", "datacenter", "replication_type")),
    sa.Column("status", sa.String(191), server_default="pending"),
    sa.Column("progress_percent", sa.Float, server_default="0"),
    *(sa.Column(c, TEXT) for c in ("change_id", "previous_change_id", "snapshot_id")),
    sa.Column("ossea_config_id", sa.Integer),
    *(sa.Column(c, STAMP) for c in ("created_at", "updated_at", "started_at", "completed_at")),
)
_table(
    "ossea_volumes",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("volume_id", sa.String(191), unique=True),
    sa.Column("volume_name", NAME),
    sa.Column("size_gb", sa.BigInteger),
    sa.Column("ossea_config_id", sa.Integer),
    *(sa.Column(c, sa.String(191)) for c in ("volume_type", "device_path", "mount_point", "status", "snapshot_id")),
    sa.Column("snapshot_created_at", STAMP),
    sa.Column("snapshot_status", sa.String(50)),
)
_table(
    "vm_disks",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.String(191)),
    sa.Column("disk_id", NAME),
    sa.Column("vmdk_path", TEXT),
    sa.Column("size_gb", sa.BigInteger),
    sa.Column("datastore", NAME),
    sa.Column("unit_number", sa.BigInteger, server_default="0"),
    sa.Column("label", NAME),
    sa.Column("ossea_volume_id", sa.BigInteger),
    sa.Column("sync_status", sa.String(191)),
    sa.Column("cpu_count", sa.Integer, server_default="0"),
    sa.Column("memory_mb", sa.Integer, server_default="0"),
    *(sa.Column(c, NAME, server_default="") for c in ("os_type", "vm_tools_version", "display_name", "vmware_uuid")),
    *(sa.Column(c, TEXT) for c in ("network_config", "annotation", "bios_setup")),
    sa.Column("power_state", sa.String(50), server_default=""),
    *(sa.Column(c, STAMP) for c in ("created_at", "updated_at")),
)
_table(
    "cbt_history",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.String(191)),
    sa.Column("disk_id", NAME),
    sa.Column("change_id", TEXT),
    sa.Column("sync_type", sa.String(50)),
    sa.Column("sync_success", sa.Boolean),
    sa.Column("bytes_synced", sa.BigInteger),
    sa.Column("created_at", STAMP),
)
_table(
    "network_mappings",
    sa.Column("id", sa.Integer, primary_key=True),
    *(
        sa.Column(c, NAME, nullable=False)
        for c in ("vm_id", "source_network_name", "destination_network_id", "destination_network_name")
    ),
    sa.Column("is_test_network", sa.Boolean, server_default="0"),
    *(sa.Column(c, STAMP) for c in ("created_at", "updated_at")),
    sa.UniqueConstraint("vm_id", "source_network_name", "is_test_network", name="unique_vm_network_kind"),
)
_table(
    "failover_jobs",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", NAME, nullable=False, unique=True),
    sa.Column("vm_id", NAME, nullable=False, index=True),
    sa.Column("replication_job_id", NAME),
    sa.Column("job_type", sa.String(50), nullable=False),
    sa.Column("status", sa.String(50), server_default="pending", index=True),
    sa.Column("source_vm_name", NAME, nullable=False),
    sa.Column("source_vm_spec", TEXT),
    *(sa.Column(c, NAME) for c in ("destination_vm_id", "ossea_snapshot_id")),
    *(sa.Column(c, TEXT) for c in ("network_mappings", "error_message")),
    *(sa.Column(c, STAMP) for c in ("created_at", "updated_at", "started_at", "completed_at")),
)


def create(connection: sa.Connection) -> None:
    """Make the replication tables where they are not there yet."""
    metadata.create_all(connection)


def load(connection: sa.Connection, rows: Mapping[str, list[dict[str, Any]]]) -> None:
    """Insert rows, table by table, in the order given; rows of the same columns at once."""
    for name, entries in rows.items():
        table = metadata.tables[name]
        for _, alike in groupby(entries, key=_columns):
            connection.execute(table.insert(), [{k: _value(table, k, v) for k, v in entry.items()} for entry in alike])


def _columns(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(entry)


def _value(table: sa.Table, column: str, value: Any) -> Any:
    is_time = isinstance(table.c[column].type, sa.DateTime)
    return datetime.fromisoformat(value) if is_time and isinstance(value, str) else value


def sample(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of a sample file."""
    rows: dict[str, list[dict[str, Any]]] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return rows
