"""How ready each VM was, whenever that changed.

As in the first migration, the statement may find its work done by an earlier try.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"

KEY = sa.String(255)
BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
OPTIONS = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    op.create_table(
        "fr_readiness",
        sa.Column("id", BIG, nullable=False, autoincrement=True),
        sa.Column("vm_key", KEY, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("is_ready", sa.Boolean(), nullable=False),
        sa.Column("failed", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fr_readiness"),
        if_not_exists=True,
        **OPTIONS,
    )
    op.create_index("ix_fr_readiness_vm_key", "fr_readiness", ["vm_key"], if_not_exists=True)


def downgrade() -> None:
    op.drop_table("fr_readiness", if_exists=True)
