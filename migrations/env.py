"""Alembic's entry: migrates our own tables on the connection that `migrations.run` hands over."""

from __future__ import annotations

from alembic import context

from migrations.run import VERSION_TABLE
from reconciler.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    transaction_per_migration=False,
    transactional_ddl=False,
    include_name=lambda name, kind, _parents: kind != "table" or (name or "").startswith("fr_"),
)
context.run_migrations()
