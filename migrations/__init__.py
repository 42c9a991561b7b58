"""Versions of our own tables. The replication system's tables are never migrated."""
