"""Our side tables: prefix `fr_`, ids of our own, no foreign key into anybody else's tables.

Described here once for SQLite and MariaDB; `migrations` creates them. Times are UTC with microseconds; a naive time is
refused. JSON columns hold what `as_json` methods write.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = sa.MetaData(naming_convention=NAMES)
VERSION_TABLE, VERSION = "fr_schema_version", "0005"
"""Where the version of these tables stands, and that which is described here: the newest in `migrations`."""

KEY = sa.String(255)
UUID = sa.String(36)
WORD = sa.String(32)
BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_OPTIONS = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
# exact comparison, whatever the database's default is; both names of the dialect are asked
EXACT: dict[str, Any] = {f"{dialect}_{name}": value for dialect in ("mysql", "mariadb") for name, value in _OPTIONS.items()}


class Moment(sa.types.TypeDecorator[datetime]):
    """A moment in UTC with microseconds; naive values are refused instead of guessed."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Microseconds on MariaDB too."""
        if dialect.name in ("mysql", "mariadb"):
            from sqlalchemy.dialects import mysql  # it takes long to load, and the embedded database has no use for it

            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """Aware time in, naive UTC to the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone cannot be stored")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """Naive UTC from the database, aware time out."""
        return None if value is None else value.replace(tzinfo=UTC)


def _table(name: str, *columns: sa.Column[Any]) -> sa.Table:
    return sa.Table(name, metadata, *columns, **EXACT)


specs = _table(
    "fr_specs",
    sa.Column("id", BIG, primary_key=True, autoincrement=True),
    sa.Column("vm_key", KEY, nullable=False, index=True),
    sa.Column("active_of", KEY, unique=True),
    sa.Column("digest", sa.String(80), nullable=False, index=True),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("origin", sa.String(1024), nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("plan_digest", sa.String(80), nullable=False),
    sa.Column("state", WORD, nullable=False, index=True),
    sa.Column("accepted_at", Moment, nullable=False),
    sa.Column("accepted_by", sa.String(255), nullable=False),
    sa.Column("ended_at", Moment),
    sa.Column("reason", sa.Text),
)

runs = _table(
    "fr_runs",
    sa.Column("id", KEY, primary_key=True),
    sa.Column("vm_key", KEY, nullable=False, index=True),
    sa.Column("open_of", KEY, unique=True),
    sa.Column("vm_name", KEY, nullable=False),
    sa.Column("kind", WORD, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("spec_id", BIG, nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("plan_digest", sa.String(80), nullable=False),
    sa.Column("direction", WORD, nullable=False),
    sa.Column("state", WORD, nullable=False, index=True),
    sa.Column("failed", sa.Boolean(name="failed"), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("guest_name", KEY, nullable=False),
    sa.Column("guest_id", UUID),
    sa.Column("default_root_id", UUID),
    sa.Column("reserved", sa.Boolean(name="reserved"), nullable=False),
    sa.Column("start_sent", sa.Boolean(name="start_sent"), nullable=False),
    sa.Column("progress", sa.Double, nullable=False),
    sa.Column("not_before", Moment),
    sa.Column("running_since", Moment),
    sa.Column("expires_at", Moment),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Column("strategy", WORD, nullable=False, server_default="volume-snapshot"),
)

steps = _table(
    "fr_steps",
    sa.Column("run_id", KEY, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("leg", sa.Integer, nullable=False),
    sa.Column("direction", WORD, nullable=False),
    sa.Column("word", WORD, nullable=False),
    sa.Column("subject", KEY, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("state", WORD, nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("custom_job_id", UUID),
    sa.Column("error_code", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("started_at", Moment),
    sa.Column("deadline", Moment),
    sa.Column("finished_at", Moment),
)

placements = _table(
    "fr_placements",
    sa.Column("run_id", KEY, primary_key=True),
    sa.Column("volume_id", UUID, primary_key=True),
    sa.Column("disk_key", KEY, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("appliance_device", sa.Integer, nullable=False),
    sa.Column("guest_device", sa.Integer, nullable=False),
)

points = _table(
    "fr_points",
    sa.Column("run_id", KEY, primary_key=True),
    sa.Column("volume_id", UUID, primary_key=True),
    sa.Column("name", KEY, nullable=False),
    sa.Column("snapshot_id", UUID),
    sa.Column("reverted_at", Moment),
)

clones = _table(
    "fr_clones",
    sa.Column("run_id", KEY, primary_key=True),
    sa.Column("volume_id", UUID, primary_key=True),
    sa.Column("name", KEY, nullable=False),
    sa.Column("clone_id", UUID),
)

guest_points = _table(
    "fr_guest_points",
    sa.Column("run_id", KEY, primary_key=True),
    sa.Column("name", KEY, nullable=False),
    sa.Column("snapshot_id", UUID),
    sa.Column("reverted_at", Moment),
)

dirty = _table(
    "fr_dirty",
    sa.Column("volume_id", UUID, primary_key=True),
    sa.Column("vm_key", KEY, nullable=False, index=True),
    sa.Column("run_id", KEY, nullable=False),
    sa.Column("since", Moment, nullable=False),
    sa.Column("full_sync", BIG),
)

leases = _table(
    "fr_leases",
    sa.Column("vm_key", KEY, primary_key=True),
    sa.Column("owner", KEY, nullable=False),
    sa.Column("fence", BIG, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
)

events = _table(
    "fr_events",
    sa.Column("id", BIG, primary_key=True, autoincrement=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("vm_key", KEY, nullable=False, index=True),
    sa.Column("run_id", KEY),
    sa.Column("seq", sa.Integer),
    sa.Column("kind", WORD, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)

network_mappings = _table(
    "fr_network_mappings",
    sa.Column("vm_id", KEY, primary_key=True),
    sa.Column("source_network_name", KEY, primary_key=True),
    sa.Column("is_test_network", sa.Boolean(name="is_test_network"), primary_key=True),
    sa.Column("destination_network_id", KEY, nullable=False),
    sa.Column("destination_network_name", KEY, nullable=False),
    sa.Column("made_at", Moment, nullable=False),
    sa.Column("made_by", KEY, nullable=False),
)

readiness = _table(
    "fr_readiness",
    sa.Column("id", BIG, primary_key=True, autoincrement=True),
    sa.Column("vm_key", KEY, nullable=False, index=True),
    sa.Column("kind", WORD, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("is_ready", sa.Boolean(name="is_ready"), nullable=False),
    sa.Column("failed", sa.JSON, nullable=False),
)
