"""A dirty replica knows the newest full sync that there was when it was left written: a later one makes it clean.

As in the first migration, the statement may find its work done by an earlier try.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    if "full_sync" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("fr_dirty")}:
        op.add_column("fr_dirty", sa.Column("full_sync", sa.BigInteger().with_variant(sa.Integer, "sqlite")))


def downgrade() -> None:
    if "full_sync" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("fr_dirty")}:
        op.drop_column("fr_dirty", "full_sync")
