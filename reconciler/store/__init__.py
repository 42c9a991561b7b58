"""Remembering: our own tables beside those of the replication system, on SQLite or MariaDB.

`database` connects, `tables` describes our side tables, `legacy` reads (and narrowly writes) the replication system's,
`inventory` holds accepted specs, `journal` runs, steps, leases and events.
"""
