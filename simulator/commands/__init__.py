"""The commands, by subject. Importing this package registers all of them."""

from __future__ import annotations

from simulator.commands import (
    accounts,
    addresses,
    catalogue,
    configuration,
    events,
    groups,
    images,
    infrastructure,
    jobs,
    keypairs,
    networks,
    nic_addresses,
    nics,
    policies,
    reshaping,
    restoring,
    rules,
    snapshots,
    tags,
    vm_snapshots,
    vms,
    volume_changes,
    volumes,
)

__all__ = [
    "ELSEWHERE",
    "accounts",
    "addresses",
    "catalogue",
    "configuration",
    "events",
    "groups",
    "images",
    "infrastructure",
    "jobs",
    "keypairs",
    "networks",
    "nic_addresses",
    "nics",
    "policies",
    "reshaping",
    "restoring",
    "rules",
    "snapshots",
    "tags",
    "vm_snapshots",
    "vms",
    "volume_changes",
    "volumes",
]

# Commands that the real server has and this one has not: they exist, so that nobody is told that his credentials are wrong.
ELSEWHERE = frozenset({"createZone", "createDomain", "createAccount", "addHost", "addCluster"})
