"""Mappings of networks for which the oldest generation of the replication system's table has no room.

As in the first migration, the statement may find its work done by an earlier try.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"

KEY = sa.String(255)
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
OPTIONS = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    op.create_table(
        "fr_network_mappings",
        sa.Column("vm_id", KEY, nullable=False),
        sa.Column("source_network_name", KEY, nullable=False),
        sa.Column("is_test_network", sa.Boolean(), nullable=False),
        sa.Column("destination_network_id", KEY, nullable=False),
        sa.Column("destination_network_name", KEY, nullable=False),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.Column("made_by", KEY, nullable=False),
        sa.PrimaryKeyConstraint("vm_id", "source_network_name", "is_test_network", name="pk_fr_network_mappings"),
        if_not_exists=True,
        **OPTIONS,
    )


def downgrade() -> None:
    op.drop_table("fr_network_mappings", if_exists=True)
