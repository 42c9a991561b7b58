"""What one run may do to the cloud: the invariants, in the lowest layer, where no plan can talk its way around them.

`reconciler.loop` makes a `Permit` from the journal and the fleet and gets a `writer.Writer` for it. The functions here are
pure: they look at the permit, the arguments, and where a rule wants it at a fresh look handed in by the writer. They
return nothing or raise `InvariantViolated`. The ids are those of the seed contract (INV-..) and of CloudStack's rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from plans.observed import Machine, Volume
from reconciler.cloudstack.errors import InvariantViolated

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
HOST_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
MAX_TAG = 255
CD_ROM = 3
MAX_DEVICE = 33


@dataclass(frozen=True, slots=True)
class Permit:
    """What a run may touch. Everything that is not named is forbidden.

    `kind` is "test" or "live"; `replicas` are this VM's, `protected` those of the whole fleet; `appliances` are never
    touched but for hanging replicas on and off; `guest_devices` maps each replica to its device on the guest;
    `snapshots` maps each rollback point of this run to whether it may be deleted; `points_ready` says that every
    rollback point is ready (or waived by an operator, live only); `replication_idle` that no replication job runs.
    """

    run_id: str
    kind: str
    replicas: frozenset[str]
    protected: frozenset[str]
    appliances: frozenset[str]
    guest_id: str | None
    guest_name: str
    default_root_id: str | None
    allowed_networks: frozenset[str]
    guest_devices: Mapping[str, int]
    snapshots: Mapping[str, bool] = field(default_factory=dict)
    points_ready: bool = False
    replication_idle: bool = False
