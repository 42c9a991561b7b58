"""The rows of the simulated server's database. Mutable on purpose: this is the world, not a view of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

GIB = 1024**3


@dataclass
class Account:
    """An account with its one user. `role` is `admin`, `user` or `viewer`; limits are counts (or GiB) by type."""

    id: str
    n: int
    name: str
    user_id: str
    role: str
    api_key: str
    secret_key: str
    domain_id: str
    enabled: bool = True
    limits: dict[str, int] = field(default_factory=dict)

    @property
    def is_root(self) -> bool:
        """Whether this is a root administrator."""
        return self.role == "admin"


@dataclass
class Entity:
    """What every row has: uuid, internal number, owner, creation, tags, and whether it was removed."""

    id: str
    n: int
    account: str
    created: datetime
    removed: bool = False
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Nic:
    """A network card of a VM."""

    id: str
    n: int
    network: str
    mac: str
    ip: str | None
    is_default: bool
    device: int
    removed: bool = False


@dataclass
class Vm(Entity):
    """A user VM."""

    name: str = ""
    display_name: str = ""
    state: str = "Stopped"
    zone: str = ""
    template: str | None = None
    offering: str | None = None
    cpus: int = 1
    memory: int = 512
    nics: list[Nic] = field(default_factory=list)
    details: dict[str, str] = field(default_factory=dict)
    updated: datetime | None = None
    boot: tuple[str, str] | None = None
    protected: bool = False
    backups: bool = False
    running_since: datetime | None = None
    written_until: datetime | None = None

    @property
    def instance(self) -> str:
        """The internal instance name."""
        return f"i-2-{self.n}-VM"


@dataclass
class Volume(Entity):
    """A volume. `content` is a fingerprint of what is on it; `size` is bytes."""

    name: str = ""
    kind: str = "DATADISK"
    state: str = "Allocated"
    size: int = GIB
    zone: str = ""
    vm: str | None = None
    device: int | None = None
    attached: datetime | None = None
    offering: str | None = None
    template: str | None = None
    snapshot: str | None = None
    pool: str | None = None
    path: str | None = None
    protected: bool = False
    content: str = "blank"


@dataclass
class Snapshot(Entity):
    """A snapshot of one volume."""

    name: str = ""
    volume: str = ""
    state: str = "Allocated"
    content: str = ""
    size: int = 0
    kind: str = "MANUAL"


@dataclass
class VmSnapshot(Entity):
    """A snapshot of a whole VM: `contents` maps its volumes to their fingerprints at that moment."""

    name: str = ""
    display_name: str = ""
    description: str | None = None
    vm: str = ""
    state: str = "Allocated"
    kind: str = "Disk"
    current: bool = False
    parent: str | None = None
    contents: dict[str, str] = field(default_factory=dict)


@dataclass
class Network(Entity):
    """A guest network; L2 networks have no gateway and no services."""

    name: str = ""
    kind: str = "Isolated"
    state: str = "Implemented"
    zone: str = ""
    domain: str = "cs1cloud.internal"

    @property
    def has_services(self) -> bool:
        """Whether the network offers DHCP and user data."""
        return self.kind != "L2"


@dataclass
class Plain(Entity):
    """A row that is only listed: zones, offerings, templates, pools. `fields` are its extra columns."""

    name: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Job:
    """An asynchronous job. `status` is 0 pending, 1 succeeded, 2 failed; `result` None means there is none to show."""

    id: str
    n: int
    account: str
    command: str
    java: str
    created: datetime
    instance_type: str = "None"
    instance_id: str | None = None
    status: int = 0
    code: int = 0
    result: dict[str, Any] | None = None
    completed: datetime | None = None
    lost: bool = False
