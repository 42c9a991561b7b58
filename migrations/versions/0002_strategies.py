"""A run knows its strategy, the clones it made, and the VM snapshot of its guest.

Runs that are under way keep the only strategy there was before. As in the first migration, each statement may find its work
done by an earlier try.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

KEY = sa.String(255)
UUID = sa.String(36)
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
OPTIONS = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    if "strategy" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("fr_runs")}:
        op.add_column("fr_runs", sa.Column("strategy", sa.String(32), nullable=False, server_default="volume-snapshot"))
    op.create_table(
        "fr_clones",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("volume_id", UUID, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("clone_id", UUID),
        sa.PrimaryKeyConstraint("run_id", "volume_id", name="pk_fr_clones"),
        if_not_exists=True,
        **OPTIONS,
    )
    op.create_table(
        "fr_guest_points",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("snapshot_id", UUID),
        sa.Column("reverted_at", MOMENT),
        sa.PrimaryKeyConstraint("run_id", name="pk_fr_guest_points"),
        if_not_exists=True,
        **OPTIONS,
    )


def downgrade() -> None:
    for table in ("fr_guest_points", "fr_clones"):
        op.drop_table(table, if_exists=True)
    if "strategy" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("fr_runs")}:
        op.drop_column("fr_runs", "strategy")
