"""Is the platform fit for a failover: every check that is made of it, before disaster makes them.

Called by `reconciler.doctor`, which gathers what is seen. A check is one small function of that and nothing else; each says
why it matters and how to mend it. What an account is not shown is not visible: it is neither well nor wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from plans import bubble, mapping, strategies
from plans.observed import (
    MARK,
    REMOVED,
    Account,
    Estate,
    Machine,
    Network,
    Offering,
    Platform,
    Source,
    Template,
    VmSnapshot,
    Volume,
    VolumeSnapshot,
    World,
    Zone,
)
from specs.model import Strategy

GIB = 1024**3
SLOW = timedelta(seconds=10)
OLDEST = (4, 15)
LARGEST_ROOT = 20 * GIB
"""A template's root is thrown away with every guest; a larger one costs time and room for nothing."""
LEAST_CPUS, LEAST_MEMORY = 2, 4096
LATE = timedelta(minutes=10)
"""How long after its time a test may run before nobody seems to take it back."""
MOST = 5


class Category(StrEnum):
    """What a check is about."""

    CONNECTIVITY = "connectivity"
    ZONE = "zone"
    TEMPLATE = "template"
    NETWORK = "network"
    SERVICE_OFFERING = "service-offering"
    DISK_OFFERING = "disk-offering"
    APPLIANCE = "appliance"
    LIMITS = "limits"
    CAPABILITIES = "capabilities"
    VOLUMES = "volumes"
    SNAPSHOTS = "snapshots"
    VMS = "vms"
    ACCOUNT = "account"
    DATABASE = "database"
    HYGIENE = "hygiene"
    SOURCE = "source"


class Severity(StrEnum):
    """What a failed check means: no failover can be relied upon, or something to be looked after."""

    CRITICAL = "critical"
    WARNING = "warning"


class Status(StrEnum):
    """What came of a check."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    HIDDEN = "not visible"


@dataclass(frozen=True, slots=True)
class RunSeen:
    """What the journal says of a run: is it open, does a test of it run and until when, is it stuck, what did it make.

    `made` are ids of what it made in CloudStack, `named` the names of what bears no mark there: clones and VM snapshots.
    """

    id: str
    vm: str
    is_open: bool
    is_stuck: bool = False
    expires_at: datetime | None = None
    vm_key: str = ""
    made: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Noted:
    """One thing that was looked at in the database: what was seen, and what is wrong with it or odd about it, or None."""

    seen: str
    wrong: str | None = None
    odd: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the source side: None where it is not configured, else whether it answers, and why not."""

    answers: bool | None
    reason: str = ""


@dataclass(frozen=True)
class Seen:
    """All that the checks look at. A part that is None could not be seen; `trouble` says why there is no `estate`."""

    at: datetime
    endpoint: str
    trouble: str | None = None
    refused: bool = False
    took: timedelta | None = None
    estate: Estate | None = None
    zones: tuple[Zone, ...] | None = None
    templates: tuple[Template, ...] | None = None
    offerings: tuple[Offering, ...] | None = None
    disk_offerings: tuple[Offering, ...] | None = None
    commands: frozenset[str] | None = None
    account: Account | None = None
    sources: tuple[Source, ...] | None = None
    tests: frozenset[str] = frozenset()
    database: Mapping[str, Noted] = field(default_factory=dict)
    runs: tuple[RunSeen, ...] | None = None
    led: frozenset[str] = frozenset()
    dirty: Mapping[str, frozenset[str]] = field(default_factory=dict)
    idle_leases: frozenset[str] = frozenset()
    source_side: Mapping[str, Service] = field(default_factory=dict)
    possible: Mapping[Strategy, tuple[int, str]] = field(default_factory=dict)

    @property
    def at_work(self) -> frozenset[str]:
        """The keys of the VMs that an open run has."""
        return frozenset(run.vm_key for run in self.runs or () if run.is_open)

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The configurations that VMs are failed over by, each once."""
        found = (s.platform for s in self.sources or () if s.platform is not None)
        return tuple(dict.fromkeys(found))

    @property
    def appliances(self) -> tuple[Machine, ...]:
        """Those appliances that CloudStack shows."""
        machines = self.estate.machines if self.estate is not None else {}
        return tuple(machines[p.appliance_id] for p in self.platforms if p.appliance_id in machines)

    @property
    def test_networks(self) -> tuple[Network, ...]:
        """The networks that are flagged for tests, by mappings or settings."""
        networks = self.estate.networks.values() if self.estate is not None else ()
        return tuple(n for n in networks if {n.id, n.name} & self.site.tests)

    @property
    def site(self) -> mapping.Site:
        """All networks, and what the mappings make of them."""
        return mapping.site(self.estate.networks if self.estate else {}, self.sources or (), self.tests)


Verdict = tuple[bool | None, str]
"""Whether all is well (None: it cannot be seen), and what was seen."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what it is about, how bad a failure is, why it matters, how it is mended."""

    id: str
    category: Category
    severity: Severity
    why: str
    mend: str
    judge: Callable[[Seen], Verdict]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check."""

    check: Check
    status: Status
    seen: str


CHECKS: list[Check] = []
C, W = Severity.CRITICAL, Severity.WARNING
NO_CLOUD: Verdict = (None, "CloudStack could not be read")
NO_VMS: Verdict = (None, "no VM names a configuration")


def check(ident: str, severity: Severity, why: str, mend: str) -> Callable[[Callable[[Seen], Verdict]], None]:
    """Enter a function as the check of this id, whose part before the point is its category."""
    category = Category(ident.partition(".")[0])

    def enter(judge: Callable[[Seen], Verdict]) -> None:
        CHECKS.append(Check(ident, category, severity, why, mend, judge))

    return enter


def examine(seen: Seen, only: Iterable[Category] = Category) -> tuple[Finding, ...]:
    """What comes of every check of these categories, in their order."""
    wanted = frozenset(only)
    return tuple(_found(one, seen) for one in CHECKS if one.category in wanted)


def _found(one: Check, seen: Seen) -> Finding:
    well, text = one.judge(seen)
    if well is None:
        return Finding(one, Status.HIDDEN, text)
    return Finding(one, Status.OK if well else Status(one.severity), text)


def worst(findings: Iterable[Finding]) -> Status:
    """The worst of what was found; what is not visible is no fault."""
    found = {f.status for f in findings}
    return next((s for s in (Status.CRITICAL, Status.WARNING) if s in found), Status.OK)


def _listed(names: Iterable[str], none: str = "none") -> str:
    """At most a few names, and how many more."""
    rows = sorted(names)
    more = f" and {len(rows) - MOST} more" if len(rows) > MOST else ""
    return f"{', '.join(rows[:MOST])}{more}" if rows else none


# --- connectivity -----------------------------------------------------------------------------------------------------


@check(
    "connectivity.path",
    W,
    "another path answers with a page, not with the API",
    "let cloudstack.endpoint end in /client/api",
)
def _path(seen: Seen) -> Verdict:
    return seen.endpoint.rstrip("/").endswith("/api"), seen.endpoint


@check("connectivity.reachable", C, "nothing can be done without it", "check cloudstack.endpoint, the network and proxies")
def _reachable(seen: Seen) -> Verdict:
    return seen.trouble is None or seen.refused, seen.trouble or "it answers"


@check(
    "connectivity.keys", C, "CloudStack does what its keys' account may", "check cloudstack.api_key, secret_key and clocks"
)
def _keys(seen: Seen) -> Verdict:
    if seen.refused:
        return False, seen.trouble or "refused"
    return NO_CLOUD if seen.trouble is not None else (True, "they are accepted")


@check("connectivity.quick", W, "every step asks many times", "see what the management server is busy with")
def _quick(seen: Seen) -> Verdict:
    return NO_CLOUD if seen.took is None else (seen.took < SLOW, f"answered in {seen.took.total_seconds():.1f} s")


@check("connectivity.release", C, "older releases were never tried", "upgrade CloudStack to 4.15 or newer")
def _release(seen: Seen) -> Verdict:
    if seen.estate is None:
        return NO_CLOUD
    release = seen.estate.capabilities.release
    numbers = tuple(int(n) for n in release.split(".")[:2] if n.isdigit())
    return numbers >= OLDEST, f"release {release or 'not told'}"


# --- where guests are made --------------------------------------------------------------------------------------------


def _every(seen: Seen, value: Callable[[Platform], str], there: Iterable[str] | None) -> Verdict:
    """Whether what every configuration names is `there`."""
    if not seen.platforms:
        return NO_VMS
    if there is None or seen.estate is None:
        return NO_CLOUD
    known = frozenset(there)
    lacking = [f"{p.config}: {value(p) or 'none is named'}" for p in seen.platforms if value(p) not in known]
    return not lacking, _listed(lacking) if lacking else _listed({value(p) for p in seen.platforms})


@check("zone.exists", C, "guests are made in it", "correct `zone` in ossea_configs")
def _zone(seen: Seen) -> Verdict:
    return _every(
        seen, lambda p: p.zone, None if seen.zones is None else (text for z in seen.zones for text in (z.id, z.name))
    )


@check("zone.appliance", C, "a replica cannot leave its zone", "name the appliance's zone in ossea_configs")
def _zone_of_appliance(seen: Seen) -> Verdict:
    if seen.zones is None or not seen.appliances:
        return None, "zone or appliance is not known"
    names = {z.id: z.name for z in seen.zones}
    machines = {m.id: m for m in seen.appliances}
    away = [
        f"{p.config}: the appliance is in {names.get(machines[p.appliance_id].zone_id, 'another zone')}, not in {p.zone}"
        for p in seen.platforms
        if p.appliance_id in machines
        and p.zone not in (machines[p.appliance_id].zone_id, names.get(machines[p.appliance_id].zone_id))
    ]
    return not away, _listed(away, "the appliance is in the zone that is named")


def _templates(seen: Seen) -> tuple[Template, ...]:
    wanted = {p.template_id for p in seen.platforms}
    return tuple(t for t in seen.templates or () if wanted & {t.id, t.name})


@check("template.exists", C, "a guest is deployed from it", "correct `template_id` in ossea_configs")
def _template(seen: Seen) -> Verdict:
    there = None if seen.templates is None else (t.id for t in seen.templates)
    return _every(seen, lambda p: p.template_id, there)


@check(
    "template.ready", C, "a guest cannot be made from one that is not ready", "wait for its download, or name another one"
)
def _template_ready(seen: Seen) -> Verdict:
    found = _templates(seen)
    late = [t.name for t in found if not t.is_ready]
    return (not late, _listed(late, "ready")) if found else (None, "no template that is named was seen")


@check("template.small", W, "its disk is made and thrown away with every guest", "name a template with a root below 20 GiB")
def _template_small(seen: Seen) -> Verdict:
    found = _templates(seen)
    large = [f"{t.name} has {t.size / GIB:.0f} GiB" for t in found if t.size > LARGEST_ROOT]
    return (not large, _listed(large, "small enough")) if found else (None, "no template that is named was seen")


@check("network.tests", C, "without one no test may begin", "map one: failover network suggest")
def _networks(seen: Seen) -> Verdict:
    if seen.estate is None or seen.sources is None:
        return NO_CLOUD
    found = [n.name for n in seen.test_networks]
    return bool(found), _listed(found, "CloudStack shows no network that is flagged for tests")


@check("network.usable", C, "a guest gets no card on it", "mend the network, or map another one")
def _usable(seen: Seen) -> Verdict:
    found = seen.test_networks
    bad = [f"{n.name} is {n.state}" for n in found if n.state not in mapping.USABLE]
    return (not bad, _listed(bad, "all can be used")) if found else (None, "no test network was seen")


@check("network.closed", C, "a test would meet its living twin", "close the path that is drawn, or map a network of layer 2")
def _closed(seen: Seen) -> Verdict:
    found, known = seen.test_networks, seen.estate.networks if seen.estate is not None else {}
    flagged = frozenset(n.id for n in found)
    open_ = [str(proof) for n in found if not (proof := bubble.prove(n, known, flagged)).closed]
    return (not open_, _listed(open_, "no path leads out of any")) if found else (None, "no test network was seen")


@check("network.distinct", C, "what is production for one VM is no test network", "map another one: failover network check")
def _distinct(seen: Seen) -> Verdict:
    both = [n.name for n in seen.test_networks if {n.id, n.name} & seen.site.productions]
    return (not both, _listed(both, "no test network is anybody's production")) if seen.test_networks else NO_CLOUD


@check("network.mapped", W, "its VM cannot be tested, or not failed over", "failover network suggest")
def _mapped(seen: Seen) -> Verdict:
    if seen.sources is None:
        return NO_VMS
    has = {(s.key, m.source, m.is_test) for s in seen.sources for m in s.mappings}
    lacking = {s.name for s in seen.sources for a in s.adapters for t in (True, False) if (s.key, a, t) not in has}
    return not lacking, _listed(lacking, "every adapter has both of its networks")


def _offerings(seen: Seen) -> tuple[Offering, ...]:
    wanted = {p.service_offering_id for p in seen.platforms}
    return tuple(o for o in seen.offerings or () if wanted & {o.id, o.name})


@check("service-offering.exists", C, "a guest is deployed by it", "correct `service_offering_id` in ossea_configs")
def _offering(seen: Seen) -> Verdict:
    there = None if seen.offerings is None else (o.id for o in seen.offerings)
    return _every(seen, lambda p: p.service_offering_id, there)


@check("service-offering.custom", W, "a fixed one cannot give a guest its source's size", "name an offering of custom size")
def _custom(seen: Seen) -> Verdict:
    found = _offerings(seen)
    fixed = [o.name for o in found if not o.is_custom]
    return (not fixed, _listed(fixed, "the size is the caller's")) if found else (None, "no offering that is named was seen")


@check("service-offering.large", W, "most guests need more than that", "name one with 2 CPU and 4 GiB, or of custom size")
def _large(seen: Seen) -> Verdict:
    found = _offerings(seen)
    small = [
        f"{o.name} has {o.cpus} CPU, {o.memory_mb} MiB"
        for o in found
        if not o.is_custom and (o.cpus < LEAST_CPUS or o.memory_mb < LEAST_MEMORY)
    ]
    return (not small, _listed(small, "large enough")) if found else (None, "no offering that is named was seen")


@check("disk-offering.custom", W, "replicas of any size are made by it", "make a disk offering of custom size")
def _disk_offering(seen: Seen) -> Verdict:
    if seen.disk_offerings is None:
        return NO_CLOUD
    custom = [o.name for o in seen.disk_offerings if o.is_custom]
    return bool(custom), _listed(custom, "no disk offering of custom size")


# --- the appliance ----------------------------------------------------------------------------------------------------


@check("appliance.named", C, "replicas hang on it", "leave exactly one configuration active in ossea_configs")
def _named(seen: Seen) -> Verdict:
    if seen.sources is None:
        return NO_VMS
    without = [s.name for s in seen.sources if s.platform is None]
    return not without, _listed(without, f"{len(seen.platforms)} configuration(s) in use")


@check(
    "appliance.exists", C, "nothing can be taken from it or given back", "correct `oma_vm_id`, or use keys of its account"
)
def _exists(seen: Seen) -> Verdict:
    if seen.estate is None:
        return NO_CLOUD
    there = {m.id for m in seen.appliances}
    gone = [f"{p.config}: {p.appliance_id or 'none is named'}" for p in seen.platforms if p.appliance_id not in there]
    return (not gone, _listed(gone, _listed(m.name for m in seen.appliances))) if seen.platforms else NO_VMS


@check("appliance.running", W, "replication stands still", "start the appliance")
def _running(seen: Seen) -> Verdict:
    down = [f"{m.name} is {m.state}" for m in seen.appliances if m.state != "Running"]
    return (not down, _listed(down, "Running")) if seen.appliances else (None, "no appliance was seen")


@check("appliance.snapshots", C, "a VM snapshot on it blocks every detach", "delete the VM snapshots of the appliance")
def _blocked(seen: Seen) -> Verdict:
    if seen.estate is None or not seen.appliances:
        return None, "no appliance was seen"
    rows = [f"{s.name} ({s.state})" for m in seen.appliances for s in seen.estate.vm_snapshots_of.get(m.id, ())]
    return not rows, _listed(rows)


# --- limits and capabilities ------------------------------------------------------------------------------------------


def _room(left: int | None, needed: int, what: str) -> Verdict:
    if left is None:
        return None, "no limit is told"
    return left >= needed, f"{left} {what} left, the largest VM needs {needed}"


def _disks(seen: Seen) -> int:
    return max((len(s.disks) for s in seen.sources or ()), default=0)


def _gib(seen: Seen) -> int:
    return max((sum(d.size_gb for d in s.disks) for s in seen.sources or ()), default=0)


@check("limits.volumes", W, "a guest's own root counts, and so do clones", "raise the account's limit of volumes")
def _volumes_left(seen: Seen) -> Verdict:
    return NO_CLOUD if seen.estate is None else _room(seen.estate.capabilities.volumes_left, 1, "volumes")


@check("limits.snapshots", W, "every disk of a test needs one", "raise the account's limit of snapshots")
def _snapshots_left(seen: Seen) -> Verdict:
    return NO_CLOUD if seen.estate is None else _room(seen.estate.capabilities.snapshots_left, _disks(seen), "snapshots")


@check("limits.vms", W, "a guest is a VM beside the appliance", "raise the account's limit of instances")
def _vms_left(seen: Seen) -> Verdict:
    return NO_CLOUD if seen.estate is None else _room(seen.estate.capabilities.vms_left, 1, "VMs")


@check("limits.cpus", W, "a guest has as many CPUs as its source", "raise the account's limit of CPUs")
def _cpus_left(seen: Seen) -> Verdict:
    needed = max((s.cpus for s in seen.sources or ()), default=0)
    return NO_CLOUD if seen.estate is None else _room(seen.estate.capabilities.cpus_left, needed, "CPUs")


@check("limits.memory", W, "a guest has as much memory as its source", "raise the account's limit of memory")
def _memory_left(seen: Seen) -> Verdict:
    needed = max((s.memory_mb for s in seen.sources or ()), default=0)
    return NO_CLOUD if seen.estate is None else _room(seen.estate.capabilities.memory_mb_left, needed, "MiB")


@check("limits.primary", W, "clones lie on primary storage", "raise the account's limit of primary storage")
def _primary_left(seen: Seen) -> Verdict:
    return NO_CLOUD if seen.estate is None else _room(seen.estate.capabilities.primary_gib_left, _gib(seen), "GiB")


@check("limits.secondary", W, "snapshots lie on secondary storage", "raise the account's limit of secondary storage")
def _secondary_left(seen: Seen) -> Verdict:
    return NO_CLOUD if seen.estate is None else _room(seen.estate.capabilities.secondary_gib_left, _gib(seen), "GiB")


@check("capabilities.jobs", C, "what a job came to is asked for by its id", "let the role use queryAsyncJobResult")
def _jobs(seen: Seen) -> Verdict:
    return _may(seen, "queryAsyncJobResult")


@check("capabilities.strategy", C, "a test without a way back would change the replicas for good", "see what each lacks")
def _strategy(seen: Seen) -> Verdict:
    if not seen.possible:
        return None, "no VM was seen that one could try"
    texts = (f"{s}: {f'possible for {n} VMs' if n else f'not possible, {why}'}" for s, (n, why) in seen.possible.items())
    return any(n for n, _ in seen.possible.values()), "; ".join(texts)


@check(
    "capabilities.in-place",
    W,
    "without it replication pauses while a replica is snapshotted",
    "set kvm.snapshot.enabled, if the storage is fit for it",
)
def _in_place(seen: Seen) -> Verdict:
    if seen.estate is None:
        return NO_CLOUD
    on = seen.estate.capabilities.kvm_snapshot_enabled
    return on, f"kvm.snapshot.enabled is {'on' if on else 'off: volumes of running VMs cannot be snapshotted (error 530)'}"


@check(
    "capabilities.storage", W, "users cannot see it, and vm-snapshot wants to know", "say cloudstack.storage in the settings"
)
def _storage(seen: Seen) -> Verdict:
    if seen.estate is None:
        return NO_CLOUD
    kind = seen.estate.capabilities.storage
    return bool(kind), kind or "not declared; vm-snapshot is not offered"


# --- what the role may do ---------------------------------------------------------------------------------------------


def _may(seen: Seen, *commands: str) -> Verdict:
    if seen.commands is None:
        return None, "listApis is not allowed, so the role's commands are not known"
    lacking = [c for c in commands if c not in seen.commands]
    return not lacking, f"not allowed: {_listed(lacking)}" if lacking else "allowed"


ROLE = "add the commands to the account's role"


@check("volumes.list", C, "where a replica hangs is looked at before and after every step", ROLE)
def _list_volumes(seen: Seen) -> Verdict:
    return _may(seen, "listVolumes")


@check("volumes.move", C, "replicas are lent to the guest and given back", ROLE)
def _move_volumes(seen: Seen) -> Verdict:
    return _may(seen, "attachVolume", "detachVolume")


@check("volumes.delete", C, "a guest's blank root and clones are deleted", ROLE)
def _delete_volumes(seen: Seen) -> Verdict:
    return _may(seen, "deleteVolume")


@check("volumes.clone", W, "the strategy `clone` makes volumes from snapshots", ROLE)
def _clone_volumes(seen: Seen) -> Verdict:
    return _may(seen, "createVolume")


@check("snapshots.make", C, "a rollback point comes before the first write", ROLE)
def _make_snapshots(seen: Seen) -> Verdict:
    return _may(seen, "listSnapshots", "createSnapshot")


@check("snapshots.revert", C, "the way back reverts every replica", ROLE)
def _revert_snapshots(seen: Seen) -> Verdict:
    return _may(seen, "revertSnapshot")


@check("snapshots.delete", C, "a rollback point goes once nothing needs it", ROLE)
def _delete_snapshots(seen: Seen) -> Verdict:
    return _may(seen, "deleteSnapshot")


@check("snapshots.whole", W, "the strategy `vm-snapshot` snapshots the guest as a whole", ROLE)
def _whole_snapshots(seen: Seen) -> Verdict:
    return _may(seen, "listVMSnapshot", "createVMSnapshot", "revertToVMSnapshot", "deleteVMSnapshot")


@check("vms.make", C, "a failover is a new VM", ROLE)
def _make_vms(seen: Seen) -> Verdict:
    return _may(seen, "listVirtualMachines", "deployVirtualMachine", "createTags")


@check("vms.power", C, "a guest is started and stopped", ROLE)
def _power_vms(seen: Seen) -> Verdict:
    return _may(seen, "startVirtualMachine", "stopVirtualMachine")


@check("vms.destroy", C, "a guest is removed after its test", ROLE)
def _destroy_vms(seen: Seen) -> Verdict:
    return _may(seen, "destroyVirtualMachine")


@check("vms.expunge", W, "a name and storage stay taken until the server expunges", "set allow.user.expunge.recover.vm")
def _expunge(seen: Seen) -> Verdict:
    if seen.estate is None:
        return NO_CLOUD
    may = seen.estate.capabilities.may_expunge
    return may, "guests are removed for good" if may else "guests stay destroyed for a while after a test"


@check(
    "account.same", C, "keys of another account list nothing, or fail at the attach", "use keys of the appliance's account"
)
def _same(seen: Seen) -> Verdict:
    ours, others = seen.account, [m for m in seen.appliances if m.account]
    if not others or ours is None:
        return None, "whose keys these are, or whose appliance it is, is not told"
    strange = {m.account for m in others if m.account != ours.name}
    strange |= {f"{m.account} in another domain" for m in others if "" != m.domain_id != ours.domain_id != ""} - strange
    return not strange, f"keys of {ours.name}, appliance of {_listed(strange or {m.account for m in others})}"


# --- the database -----------------------------------------------------------------------------------------------------


def _noted(name: str) -> Callable[[Seen], Verdict]:
    def judge(seen: Seen) -> Verdict:
        noted = seen.database.get(name)
        if noted is None:
            return None, "it could not be looked at, or this kind of database has none"
        return noted.wrong is None and noted.odd is None, noted.wrong or noted.odd or noted.seen

    return judge


for _name, _severity, _why, _mend in (
    ("server", C, "older servers were never tried", "use MariaDB 10.5 or newer"),
    ("tables", C, "what is not recognised is not read", "see which tables and columns differ"),
    ("words", C, "a word that an enumeration lacks is lost", "see which words are missing"),
    (
        "unique",
        W,
        "where a source network has room for one mapping, the other one stands in our table",
        "nothing need be done",
    ),
    ("times", C, "times of two zones would be compared", "none: every session of ours is set to UTC"),
    ("sql_mode", W, "texts that are too long would be cut silently", "set STRICT_TRANS_TABLES"),
    ("collated", W, "names that differ in case alone are one name to the database", "nothing need be done: we compare"),
    ("writable", C, "a run cannot be written down", "name the server that is written"),
    ("rights", C, "a run cannot be written down", "grant what is named (docs/howto/mariadb.md)"),
    ("ours", C, "runs, steps and events are written there", "failover doctor --fix, or failover db upgrade"),
):
    check(f"database.{_name}", _severity, _why, _mend)(_noted(_name))


# --- hygiene ----------------------------------------------------------------------------------------------------------


def _over(seen: Seen) -> frozenset[str]:
    """The runs that are over, as far as the journal knows them."""
    return frozenset(run.id for run in seen.runs or () if not run.is_open)


UNMARKED = ("volume", "vm-snapshot")
"""What cannot be marked in the call that makes it: it is known by the name that the journal gave it, which no other has."""


def orphans(seen: Seen) -> Iterator[tuple[str, str, str, str]]:
    """What is ours, by its mark or by our journal, and of no open run of this database: kind, name, id and run."""
    if seen.estate is None or seen.runs is None:
        return
    open_ = {run.id for run in seen.runs if run.is_open}
    made = {ident: run.id for run in seen.runs for ident in run.made}
    named = {name: run.id for run in seen.runs for name in run.named}
    kinds: tuple[tuple[str, Mapping[str, Machine | Volume | VolumeSnapshot | VmSnapshot]], ...] = (
        ("vm", seen.estate.machines),
        ("volume", seen.estate.volumes),
        ("snapshot", seen.estate.snapshots),
        ("vm-snapshot", seen.estate.vm_snapshots),
    )
    for kind, objects in kinds:
        for one in objects.values():
            run = getattr(one, "tags", {}).get(MARK)
            if run is None and one.state not in REMOVED:
                run = made.get(one.id) or (named.get(one.name) if kind in UNMARKED else None)
            if run is not None and run not in open_:
                yield kind, one.name, one.id, run


def _orphaned(kind: str) -> Callable[[Seen], Verdict]:
    def judge(seen: Seen) -> Verdict:
        if seen.estate is None or seen.runs is None:
            return NO_CLOUD
        over = _over(seen)
        found = [
            f"{name} ({ident}) of run {run}{'' if run in over else ', which this database does not know'}"
            for of, name, ident, run in orphans(seen)
            if of == kind
        ]
        return not found, _listed(found)

    return judge


for _kind, _why in (
    ("vm", "it holds its name, and may hold a replica"),
    ("volume", "it takes storage"),
    ("snapshot", "it takes storage, and rules out vm-snapshot"),
    ("vm-snapshot", "it blocks every detach of its VM"),
):
    check(f"hygiene.{_kind}s", W, f"left over from a run: {_why}", "see the removal that is shown, and failover why VM")(
        _orphaned(_kind)
    )


@check("hygiene.replicas", C, "a replica that hangs nowhere is not replicated to", "attach it to the appliance again")
def _nowhere(seen: Seen) -> Verdict:
    if seen.estate is None or seen.sources is None:
        return NO_CLOUD
    volumes, open_ = seen.estate.volumes, seen.at_work
    lost = [
        f"{s.name} {d.key}"
        for s in seen.sources
        for d in s.disks
        if (volume := volumes.get(d.volume_id or "")) is not None and volume.vm_id is None and s.key not in open_
    ]
    return not lost, _listed(lost, "every replica hangs on something")


@check("hygiene.lost", C, "a replica that is not there cannot be failed over", "see who deleted it, and run a full sync")
def _lost(seen: Seen) -> Verdict:
    if seen.estate is None or seen.sources is None:
        return NO_CLOUD
    there = {v.id for v in seen.estate.volumes.values() if v.state not in REMOVED}
    gone = [f"{s.name} {d.key}" for s in seen.sources for d in s.disks if d.volume_id and d.volume_id not in there]
    return not gone, _listed(gone, "every replica is there")


@check(
    "hygiene.remembered",
    W,
    "a snapshot from an earlier failover; to go back to it would lose every sync since",
    "see whose it is; if nobody needs it, delete it and empty snapshot_id in ossea_volumes",
)
def _remembered(seen: Seen) -> Verdict:
    if seen.sources is None:
        return NO_VMS
    there, open_ = seen.estate.snapshots if seen.estate is not None else {}, seen.at_work
    found = [
        f"{s.name} {d.key}: {d.snapshot_id}{'' if d.snapshot_id in there else ', which is not there'}"
        for s in seen.sources
        for d in s.disks
        if d.snapshot_id and s.key not in open_
    ]
    return not found, _listed(found, "the database remembers no snapshot of a replica")


@check("hygiene.dirty", W, "a test wrote to these replicas, and nothing reverted them", "run full syncs of these VMs")
def _dirty(seen: Seen) -> Verdict:
    if seen.sources is None or seen.runs is None:
        return None, "the journal could not be read"
    names = [s.name for s in seen.sources if seen.dirty.get(s.key)]
    return not names, _listed(names)


@check(
    "hygiene.leases", W, "while it lasts, no other process may work on its VM", "see which process it is, or let it lapse"
)
def _idle_leases(seen: Seen) -> Verdict:
    if seen.runs is None:
        return None, "the journal could not be read"
    names = {s.key: s.name for s in seen.sources or ()}
    return not seen.idle_leases, _listed(names.get(key, key) for key in seen.idle_leases)


@check(
    "hygiene.configurations",
    W,
    "a VM whose volumes name none of several has none",
    "leave one row of ossea_configs active, or let every volume name its own",
)
def _configurations(seen: Seen) -> Verdict:
    noted = seen.database.get("configurations")
    return (None, "the database could not be read") if noted is None else (noted.odd is None, noted.odd or noted.seen)


@check("hygiene.overdue", C, "nobody takes it back", "run failover daemon, or failover end VM")
def _overdue(seen: Seen) -> Verdict:
    if seen.runs is None:
        return None, "the journal could not be read"
    late = [r.vm for r in seen.runs if r.is_open and r.expires_at is not None and seen.at - r.expires_at > LATE]
    return not late, _listed(late)


@check("hygiene.stuck", C, "it waits for a person", "failover status shows it; failover why VM says what to do")
def _stuck(seen: Seen) -> Verdict:
    if seen.runs is None:
        return None, "the journal could not be read"
    return not (found := [r.vm for r in seen.runs if r.is_stuck]), _listed(found)


@check("hygiene.led", W, "a run is under way and no process leads it", "run failover daemon")
def _led(seen: Seen) -> Verdict:
    if seen.runs is None:
        return None, "the journal could not be read"
    alone = [r.vm for r in seen.runs if r.is_open and r.expires_at is None and r.vm_key not in seen.led and not r.is_stuck]
    return not alone, _listed(alone)


UNTOLD = ("unknown", "cleanup_required")


@check("hygiene.contexts", W, "the replication system holds it for something that is not there", "correct its context")
def _contexts(seen: Seen) -> Verdict:
    if seen.sources is None:
        return NO_VMS
    open_ = seen.at_work
    odd = [
        f"{s.name} is {s.context_status}"
        for s in seen.sources
        if (s.context_status == "failed_over_test" and s.key not in open_)
        or s.context_status in UNTOLD
        or (s.context_status == "replicating" and not s.active_jobs)
    ]
    return not odd, _listed(odd)


@check("hygiene.jobs", W, "a job that never ends blocks its VM for ever", "see whether it lives; if not, mark it as failed")
def _pending(seen: Seen) -> Verdict:
    if seen.sources is None:
        return NO_VMS
    found = [f"{s.name}: {j.id} is {j.status}" for s in seen.sources for j in s.active_jobs if j.kind == "failover"]
    return not found, _listed(found)


@check("hygiene.findings", W, "the database says something odd of these VMs", "failover inventory VM shows what")
def _odd(seen: Seen) -> Verdict:
    if seen.sources is None:
        return NO_VMS
    found = [f"{s.name}: {text}" for s in seen.sources for text in s.findings]
    return not found, _listed(found)


@check("hygiene.shared", C, "one of the two was overwritten", "repair vm_disks.ossea_volume_id, and run a full sync")
def _shared(seen: Seen) -> Verdict:
    if seen.sources is None:
        return NO_VMS
    claims = Counter(d.volume_id for s in seen.sources for d in s.disks if d.volume_id)
    twice = [volume for volume, count in claims.items() if count > 1]
    return not twice, _listed(twice, "no volume belongs to two disks")


# --- the source side --------------------------------------------------------------------------------------------------


def _answers(name: str) -> Callable[[Seen], Verdict]:
    def judge(seen: Seen) -> Verdict:
        service = seen.source_side.get(name)
        if service is None or service.answers is None:
            return None, "not configured"
        return service.answers, service.reason or "answers"

    return judge


for _name, _why in (
    ("appliance", "a source VM is switched off by it"),
    ("replication", "a last sync is asked of it"),
    ("daemon", "it keeps its own book of where replicas hang"),
):
    check(f"source.{_name}", W, _why, "see `source` in the settings; failover source status")(_answers(_name))


# --- which strategies this cloud allows -------------------------------------------------------------------------------


def probe(worlds: Iterable[World]) -> Mapping[Strategy, tuple[int, str]]:
    """For how many of these VMs each strategy is possible, and what first stands against it."""
    seen = tuple(worlds)
    against = {s: [strategies.objections(s, world) for world in seen] for s in strategies.STRATEGIES}
    return {
        s: (sum(not found for found in rows), next((found[0].text for found in rows if found), ""))
        for s, rows in against.items()
        if rows
    }
