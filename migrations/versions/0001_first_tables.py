"""The first tables: specs, runs, steps, placements, points, dirty replicas, leases, events.

MariaDB commits every statement of a migration by itself, so each one may find its work done by an earlier try.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

KEY = sa.String(255)
UUID = sa.String(36)
WORD = sa.String(32)
DIGEST = sa.String(80)
BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
INDEXED = {
    "fr_specs": ("vm_key", "digest", "state"),
    "fr_runs": ("vm_key", "state"),
    "fr_steps": ("state",),
    "fr_dirty": ("vm_key",),
    "fr_events": ("vm_key",),
}

TABLES = ("fr_events", "fr_leases", "fr_dirty", "fr_points", "fr_placements", "fr_steps", "fr_runs", "fr_specs")


def upgrade() -> None:
    _specs()
    _runs()
    _steps()
    _rollback()
    _others()
    for table, columns in INDEXED.items():
        for column in columns:
            op.create_index(f"ix_{table}_{column}", table, [column], if_not_exists=True)


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table, if_exists=True)


def _table(name: str, *columns: sa.schema.SchemaItem, key: tuple[str, ...] = ("id",)) -> None:
    options = {
        f"{dialect}_{option}": value
        for dialect in ("mysql", "mariadb")
        for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
    }
    op.create_table(name, *columns, sa.PrimaryKeyConstraint(*key, name=f"pk_{name}"), if_not_exists=True, **options)


def _specs() -> None:
    _table(
        "fr_specs",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("vm_key", KEY, nullable=False),
        sa.Column("active_of", KEY),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("origin", sa.String(1024), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("plan_digest", DIGEST, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("accepted_at", MOMENT, nullable=False),
        sa.Column("accepted_by", sa.String(255), nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("reason", sa.Text),
        sa.UniqueConstraint("active_of", name="uq_fr_specs_active_of"),
    )


def _runs() -> None:
    _table(
        "fr_runs",
        sa.Column("id", KEY, nullable=False),
        sa.Column("vm_key", KEY, nullable=False),
        sa.Column("open_of", KEY),
        sa.Column("vm_name", KEY, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("spec_id", BIG, nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("plan_digest", DIGEST, nullable=False),
        sa.Column("direction", WORD, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("failed", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("guest_name", KEY, nullable=False),
        sa.Column("guest_id", UUID),
        sa.Column("default_root_id", UUID),
        sa.Column("reserved", sa.Boolean, nullable=False),
        sa.Column("start_sent", sa.Boolean, nullable=False),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("not_before", MOMENT),
        sa.Column("running_since", MOMENT),
        sa.Column("expires_at", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.UniqueConstraint("open_of", name="uq_fr_runs_open_of"),
    )


def _steps() -> None:
    _table(
        "fr_steps",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("leg", sa.Integer, nullable=False),
        sa.Column("direction", WORD, nullable=False),
        sa.Column("word", WORD, nullable=False),
        sa.Column("subject", KEY, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("custom_job_id", UUID),
        sa.Column("error_code", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("started_at", MOMENT),
        sa.Column("deadline", MOMENT),
        sa.Column("finished_at", MOMENT),
        key=("run_id", "seq"),
    )


def _rollback() -> None:
    _table(
        "fr_placements",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("volume_id", UUID, nullable=False),
        sa.Column("disk_key", KEY, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("appliance_device", sa.Integer, nullable=False),
        sa.Column("guest_device", sa.Integer, nullable=False),
        key=("run_id", "volume_id"),
    )
    _table(
        "fr_points",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("volume_id", UUID, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("snapshot_id", UUID),
        sa.Column("reverted_at", MOMENT),
        key=("run_id", "volume_id"),
    )
    _table(
        "fr_dirty",
        sa.Column("volume_id", UUID, nullable=False),
        sa.Column("vm_key", KEY, nullable=False),
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        key=("volume_id",),
    )


def _others() -> None:
    _table(
        "fr_leases",
        sa.Column("vm_key", KEY, nullable=False),
        sa.Column("owner", KEY, nullable=False),
        sa.Column("fence", BIG, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        key=("vm_key",),
    )
    _table(
        "fr_events",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("vm_key", KEY, nullable=False),
        sa.Column("run_id", KEY),
        sa.Column("seq", sa.Integer),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
