"""The first tables: specs, runs, steps, placements, points, dirty replicas, leases, events.

Version 1 is what `reconciler.store.tables` describes at its birth; later versions spell their changes out.
"""

from __future__ import annotations

from alembic import op

from reconciler.store.tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
