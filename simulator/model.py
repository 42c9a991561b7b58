"""The rows of the simulated server's database. Mutable on purpose: this is the world, not a view of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

GIB = 1024**3


@dataclass
class User:
    """Somebody with keys who calls for an account. `state` is `enabled`, `disabled` or `locked`."""

    id: str
    n: int
    name: str
    api_key: str | None = None
    secret_key: str | None = None
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    timezone: str | None = None
    state: str = "enabled"
    created: datetime | None = None
    removed: bool = False


@dataclass
class Account:
    """An account with its users. `role` is `admin`, `domainadmin`, `user` or `viewer`; limits by type, storage in GiB.

    That of a `project` (its id) has no user, and the role `project`.
    """

    id: str
    n: int
    name: str
    role: str
    domain_id: str
    users: list[User] = field(default_factory=list)
    state: str = "enabled"
    domain: str = "ROOT"
    limits: dict[str, int] = field(default_factory=dict)
    created: datetime | None = None
    project: str | None = None
    network_domain: str | None = None
    removed: bool = False

    @property
    def user_id(self) -> str | None:
        """Its first user, who is shown as the one who made what it has."""
        return self.users[0].id if self.users else None

    def told(self) -> str:
        """The account as texts of the server name it."""
        return f'Account [{{"accountName":"{self.name}","id":{self.n},"uuid":"{self.id}"}}]'

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
    """A network card of a VM. `further` are its secondary addresses by their own ids."""

    id: str
    n: int
    network: str
    mac: str
    ip: str | None
    is_default: bool
    device: int
    removed: bool = False
    vlan: bool = False
    further: dict[str, str] = field(default_factory=dict)


@dataclass
class Vm(Entity):
    """A user VM. `groups` are its affinity groups, `group` is its instance group, by id."""

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
    owner_n: int = 2
    speed: int = 1000
    host: str | None = None
    last_host: str | None = None
    guest_agent: bool = False
    hypervisor: str = "KVM"
    user_data: str | None = None
    dynamic: bool = False
    groups: list[str] = field(default_factory=list)
    group: str | None = None
    iso: str | None = None
    disks: set[str] = field(default_factory=set)

    @property
    def instance(self) -> str:
        """The internal instance name."""
        return f"i-{self.owner_n}-{self.n}-VM"

    @property
    def is_wiped(self) -> bool:
        """Whether cleanupdetails took the sizes of a custom offering away (CS-UPD-04)."""
        return self.cpus == 0

    def told(self) -> str:
        """The VM as texts of the server name it."""
        plain = f'"id":{self.n},"instanceName":"{self.instance}","state":"{self.state}","type":"User","uuid":"{self.id}"'
        return f"VM instance {{{plain}}}"


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
    format: str = "QCOW2"
    vm_n: int | None = None
    destroyed: datetime | None = None
    counted: bool = False
    details: dict[str, str] = field(default_factory=dict)

    def told(self) -> str:
        """The volume as texts of the server name it."""
        on = "null" if self.vm_n is None else self.vm_n
        return (
            f'Volume {{"id":{self.n},"instanceId":{on},"name":"{self.name}","uuid":"{self.id}","volumeType":"{self.kind}"}}'
        )


@dataclass
class Snapshot(Entity):
    """A snapshot of one volume."""

    name: str = ""
    volume: str = ""
    state: str = "Allocated"
    content: str = ""
    size: int = 0
    kind: str = "MANUAL"
    volume_n: int = 0
    of_kind: str = "DATADISK"

    @property
    def is_active(self) -> bool:
        """Whether a host or the secondary storage is at work on it; one that waits for its turn (Allocated) blocks nobody."""
        return self.state in ("Creating", "CreatedOnPrimary", "BackingUp")

    def told(self) -> str:
        """The snapshot as texts of the server name it."""
        plain = f'"id":{self.n},"name":"{self.name}","state":"{self.state}","uuid":"{self.id}","version":"2.2","volumeId":{self.volume_n}'
        return f"Snapshot {{{plain}}}"


@dataclass
class Policy(Entity):
    """Snapshots of a volume that are taken again and again. `most` are kept."""

    volume: str = ""
    interval: str = "DAILY"
    schedule: str = "00:00"
    most: int = 1
    zone: str = "UTC"


@dataclass
class VmSnapshot(Entity):
    """A snapshot of a whole VM: what its volumes held, how big they were, under which paths; its offering and size."""

    name: str = ""
    display_name: str = ""
    description: str | None = None
    vm: str = ""
    state: str = "Allocated"
    kind: str = "Disk"
    current: bool | None = None
    parent: str | None = None
    contents: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    machine: tuple[str | None, int, int] = (None, 1, 512)
    on_files: bool = False
    vm_n: int = 0

    @property
    def is_active(self) -> bool:
        """Whether a task is under way or stuck, which blocks other tasks on that VM."""
        return self.state in ("Allocated", "Creating", "Reverting", "Expunging")

    def told(self) -> str:
        """The row as texts of the server name it."""
        return f'VMSnapshot {{"id":{self.n},"name":"{self.name}","uuid":"{self.id}","vmId":{self.vm_n}}}'


@dataclass
class Network(Entity):
    """A guest network; L2 networks have no gateway and no services."""

    name: str = ""
    kind: str = "Isolated"
    state: str = "Implemented"
    zone: str = ""
    domain: str = "cs1cloud.internal"
    fields: dict[str, Any] = field(default_factory=dict)
    vlan: int | None = None

    @property
    def has_services(self) -> bool:
        """Whether the network offers DHCP and user data."""
        return self.kind != "L2"


@dataclass
class PublicAddress(Entity):
    """A public IPv4 address that an account holds for a network; with static NAT it leads to a VM's address there."""

    ip: str = ""
    zone: str = ""
    network: str = ""
    source_nat: bool = False
    vm: str | None = None
    vm_ip: str | None = None
    state: str = "Allocated"


@dataclass
class Rule(Entity):
    """A rule around a network. `purpose` is egress, firewall, forwarding, static or balancing; ports are None where all are meant.

    `related` is the rule that had this one made with it and takes it along. A load balancer has a name, an `algorithm`, and
    `members`: VM → its address.
    """

    purpose: str = "firewall"
    network: str = ""
    address: str | None = None
    protocol: str = "tcp"
    ports: tuple[int, int] | None = None
    private: tuple[int, int] | None = None
    icmp: tuple[int, int] | None = None
    cidrs: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    vm: str | None = None
    vm_ip: str | None = None
    related: str | None = None
    name: str = ""
    description: str | None = None
    algorithm: str = ""
    members: dict[str, str] = field(default_factory=dict)

    @property
    def taggable(self) -> str:
        """What kind of resource its tags call it."""
        return {"forwarding": "PortForwardingRule", "balancing": "LoadBalancer"}.get(self.purpose, "FirewallRule")

    def told(self) -> str:
        """The rule as texts of the server name it."""
        kinds = {"forwarding": "PortForwarding", "static": "StaticNat", "balancing": "LoadBalancing"}
        return f'FirewallRule {{"id":{self.n},"networkId":null,"purpose":"{kinds.get(self.purpose, "Firewall")}","state":"Active","uuid":"{self.id}"}}'


@dataclass
class Plain(Entity):
    """A row that is only listed: zones, offerings, templates, pools. `fields` are its extra columns."""

    name: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Event(Entity):
    """Something that was written down: of which `kind`, in which `state`, by which `user`, about which row, after which event."""

    kind: str = ""
    state: str = "Completed"
    text: str = ""
    level: str = "INFO"
    entity: str | None = None
    user: str = ""
    parent: str | None = None


@dataclass
class Job:
    """An asynchronous job. `status` is 0 pending, 1 succeeded, 2 failed; `result` None means there is none to show.

    One that is `lost` was ended by the server's next start, and still shows on which server it ran. `event`
    is what was written down when it was taken, `doing` are the words for what it does.
    """

    id: str
    n: int
    account: str
    command: str
    java: str
    created: datetime
    instance_type: str | None = None
    instance_id: str | None = None
    status: int = 0
    code: int = 0
    result: dict[str, Any] | None = None
    completed: datetime | None = None
    lost: bool = False
    event: Event | None = None
    doing: str = ""
    user: str | None = None
