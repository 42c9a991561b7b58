"""The one way to the source side: VMware's appliance, the replication system's API and the volume daemon.

`wiring.source_side` makes a `reach.SourceSide`; `reconciler.cli.source` asks it. `door` speaks HTTP, `appliance`,
`replication` and `daemon` know one protocol each (docs/reference/source-protocol.md), `logins` chooses credentials.
"""
