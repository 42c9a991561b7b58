"""A dirty replica knows the newest full sync that there was when it was left written: a later one makes it clean.

Of those that were left written before, nobody knows it: for them every sync there is by now is an earlier one. As in the
first migration, each statement may find its work done by an earlier try.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    if "full_sync" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("fr_dirty")}:
        op.add_column("fr_dirty", sa.Column("full_sync", sa.BigInteger().with_variant(sa.Integer, "sqlite")))
    if sa.inspect(op.get_bind()).has_table("cbt_history"):
        op.execute("UPDATE fr_dirty SET full_sync = (SELECT MAX(id) FROM cbt_history) WHERE full_sync IS NULL")


def downgrade() -> None:
    if "full_sync" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("fr_dirty")}:
        op.drop_column("fr_dirty", "full_sync")
