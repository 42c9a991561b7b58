"""What several subjects need: whose rows a caller sees, on whose behalf it acts, filters, hosts, pools, limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from simulator import settings
from simulator.model import GIB, Account, Entity, Network, Nic, Plain, Vm, Volume
from simulator.refusals import Refused, refuse
from simulator.wire import UUID, Call, Param, unknown_entity

if TYPE_CHECKING:
    from simulator.cloud import Cloud

E = TypeVar("E", bound=Entity)
Row = dict[str, Any]
FOR = (Param("account"), Param("domainid", "Domain"), Param("projectid", "Project"))
STORAGE = ("primary_storage", "secondary_storage")


class Views(Sequence[Row]):
    """Rows that are rendered only when a page shows them."""

    def __init__(self, rows: Sequence[Any], view: Callable[[Any], Row]) -> None:
        self._rows, self._view = rows, view

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return map(self._view, self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return Views(self._rows[index], self._view)
        return self._view(self._rows[index])


def release(cloud: Cloud) -> tuple[int, ...]:
    """The release as numbers."""
    return settings.numbers(cloud.release)


# --- whose rows -------------------------------------------------------------------------------------------------------


def chosen(cloud: Cloud, call: Call, rows: Iterable[E], kind: str) -> list[E]:
    """The rows that the caller sees and that `id`, `ids`, `tags` and `zoneid` let through, in order of creation."""
    if call.has("id") and call.has("ids"):
        raise refuse("CS-WIR-25")
    sees = visible(cloud, call)
    found: Iterable[E] = (r for r in rows if not r.removed and sees(r))
    if call.has("id"):
        found = (r for r in found if r.id == call["id"].id)
    if call.has("ids"):
        wanted = _ids(cloud, call, kind)
        found = (r for r in found if r.id in wanted)
    if call.has("zoneid"):
        found = (r for r in found if getattr(r, "zone", None) == call["zoneid"].id)
    return _tagged(call, list(found))


def visible(cloud: Cloud, call: Call) -> Callable[[Entity], bool]:
    """Who sees what: the own rows; with `listall` or an id all that one may act on; those of a named account or project."""
    viewer: Account = call.account
    if isinstance(call["projectid"], Plain):
        held = acting_for(cloud, call)
        return lambda row: row.account == held.name
    if "projectid" in call.raw and not call["listall"]:  # CS-WIR-24
        return _nothing
    if call.has("domainid"):
        _check_domain(viewer, call["domainid"])
    if call.has("account"):
        named = _named(cloud, call)
        return lambda row: row.account == named.name
    if call.has("domainid") and viewer.role in ("admin", "domainadmin"):
        return _of_domain(cloud, call["domainid"], bool(call["isrecursive"]))
    if call["listall"] or (viewer.role in ("admin", "domainadmin") and (call.has("id") or call.has("ids"))):
        projects_too = call.has("id") or call.has("ids") or "projectid" in call.raw
        return lambda row: cloud.may_act_on(viewer, row) and (projects_too or not _of_a_project(cloud, row))
    return lambda row: row.account == viewer.name


def _of_domain(cloud: Cloud, domain: Plain, recursive: bool) -> Callable[[Entity], bool]:
    """The rows of the accounts of a domain, or of those beneath it too."""
    path = str(domain.fields.get("path", domain.name))
    inside = {
        account.name
        for account in cloud.accounts.values()
        if account.domain_id == domain.id or (recursive and account.domain.startswith(f"{path}/"))
    }
    return lambda row: row.account in inside and not _of_a_project(cloud, row)


def _check_domain(viewer: Account, domain: Plain) -> None:
    if domain.id != viewer.domain_id and (viewer.role not in ("admin", "domainadmin") or not _is_beneath(viewer, domain)):
        text = f"Account {viewer.told()} does not have permission to operate within domain id={domain.id}"
        raise Refused(531, text, 4365)


def _is_beneath(viewer: Account, domain: Plain) -> bool:
    """Whether a domain is the viewer's own or one under it."""
    return f"{domain.fields.get('path', domain.name)}/".startswith(f"{viewer.domain}/")


def _named(cloud: Cloud, call: Call) -> Account:
    """The account whose rows are asked for: in the domain named, else in the caller's."""
    viewer, domain = call.account, call["domainid"]
    named = cloud.accounts.get(call["account"])
    place = domain or cloud.plain["Domain"][viewer.domain_id]
    if named is None or named.removed or named.domain_id != place.id:
        raise Refused(431, f"could not find account {call['account']} in domain {domain_told(place)}")
    if named is not viewer and viewer.role not in ("admin", "domainadmin"):
        raise refuse("CS-WIR-27")
    return named


def domain_told(domain: Plain | None) -> str:
    """A domain as texts of the server name it."""
    if domain is None:
        return "null"
    return (
        f'Domain {{"id":{domain.n},"name":"{domain.name}","path":"{domain.fields.get("path", "/")}","uuid":"{domain.id}"}}'
    )


def _of_a_project(cloud: Cloud, row: Entity) -> bool:
    owner = cloud.accounts.get(row.account)
    return owner is not None and owner.project is not None


def _nothing(row: Entity) -> bool:
    return False


def acting_for(cloud: Cloud, call: Call) -> Account:
    """For whom something is made: the account named by `account` and `domainid`, or that of a project, or the caller.

    Somebody else's is 531 for those who may not, and so is a project that is suspended for all but lists.
    """
    caller: Account = call.account
    project = call["projectid"]
    if isinstance(project, Plain):
        return _held_by(cloud, call, project)
    name, domain = call.raw.get("account"), call["domainid"]
    if name is None:
        return caller
    if domain is None:
        raise Refused(431, "Account must be specified with domainId parameter")
    named = cloud.accounts.get(name)
    if named is None or named.removed or named.domain_id != domain.id:
        raise Refused(431, f"Unable to find account by name {name} in domain with specified id")
    if named is not caller and (caller.role not in ("admin", "domainadmin") or not _is_beneath(caller, domain)):
        raise refuse("CS-WIR-27")
    return named


def _held_by(cloud: Cloud, call: Call, project: Plain) -> Account:
    if not cloud.may_act_on(call.account, project):
        raise refuse("CS-WIR-27")
    state = project.fields["state"]
    if state != "Active" and not call.command.startswith("list"):
        text = f"Can't add resources to the project id={project.n} in state={state} as it's no longer active"
        raise Refused(531, text, 4365)
    return cloud.accounts[project.account]


def _ids(cloud: Cloud, call: Call, kind: str) -> set[str]:
    """CS-WIR-25: an unknown uuid fails the call, a malformed one is dropped without a word."""
    well_formed = [i for i in call["ids"] if UUID.fullmatch(i)]
    for wanted in well_formed:
        if cloud.find(kind, wanted) is None:
            raise unknown_entity(call.command, "ids", wanted)
    return {i.lower() for i in well_formed}


def _tagged(call: Call, rows: list[E]) -> list[E]:
    """CS-LST-04, 05: several tags are OR-ed, and the count counts matches."""
    wanted = call.mapped("tags")
    if not wanted:
        return rows
    for tag in wanted:
        if "value" not in tag:
            raise refuse("CS-LST-05", key=tag.get("key", ""))
    pairs = {(t["key"], t["value"]) for t in wanted if "key" in t}
    found = [r for r in rows if pairs & set(r.tags.items())]
    call.values["surplus"] = sum(len(pairs & set(r.tags.items())) - 1 for r in found)
    return found


def by_keyword(call: Call, rows: list[E], text: Callable[[E], str]) -> list[E]:
    """The rows whose text contains the keyword, whatever its case."""
    if not call.has("keyword"):
        return rows
    wanted = call["keyword"].lower()
    return [row for row in rows if wanted in text(row).lower()]


def in_state(call: Call, rows: list[E]) -> list[E]:
    """The rows in the state asked for; a state that does not exist is in none (CS-WIR-26)."""
    wanted = call["state"]
    return rows if wanted is None else [r for r in rows if str(getattr(r, "state", "")).lower() == wanted.lower()]


# --- jobs, hosts, pools -----------------------------------------------------------------------------------------------


def own_job(cloud: Cloud, entity_id: str) -> str | None:
    """The id of the oldest pending job of an object: answers of a job still show it as pending."""
    job = cloud.jobs.working_on(entity_id)
    return job.id if job else None


def hosts(cloud: Cloud) -> list[Plain]:
    """The hosts that run guests."""
    return [row for row in cloud.rows_of("Host") if row.fields.get("type", "Routing") == "Routing"]


def pools(cloud: Cloud) -> list[Plain]:
    """The primary pools that are up."""
    return [row for row in cloud.rows_of("StoragePool") if row.fields.get("state", "Up") == "Up"]


def a_pool(cloud: Cloud) -> str | None:
    """The pool on which new disks are made."""
    return next((row.id for row in pools(cloud)), None)


def pool_of(cloud: Cloud, volume: Volume) -> Plain | None:
    """The pool that a volume lies on."""
    return cloud.plain.get("StoragePool", {}).get(volume.pool or "")


def place(cloud: Cloud, volume: Volume, pool: str | None = None) -> None:
    """A volume is made on a pool, under its own id."""
    volume.state, volume.pool = "Ready", pool or volume.pool or a_pool(cloud)
    volume.path = volume.path or volume.id


def is_managed(cloud: Cloud, volume: Volume) -> bool:
    """Whether the volume lies on managed storage."""
    pool = pool_of(cloud, volume)
    return pool is not None and bool(pool.fields.get("managed"))


def on_files(cloud: Cloud, volume: Volume) -> bool:
    """Whether the volume is a file."""
    pool = pool_of(cloud, volume)
    return pool is not None and pool.fields.get("type", "NetworkFilesystem") in (
        "NetworkFilesystem",
        "Filesystem",
        "SharedMountPoint",
    )


def zone_is_disabled(cloud: Cloud, call: Call, zone_id: str) -> Plain | None:
    """The zone, when it is disabled for this caller; root administrators are exempt."""
    zone = cloud.plain.get("Zone", {}).get(zone_id)
    disabled = zone is not None and zone.fields.get("allocationstate", "Enabled") == "Disabled"
    return zone if disabled and not call.account.is_root else None


def guests(cloud: Cloud, network: Network) -> Iterator[Nic]:
    """The cards that VMs have in a network."""
    cards = (card for vm in cloud.vms.values() for card in vm.nics)
    return (card for card in cards if card.network == network.id and not card.removed)


def vm_of(cloud: Cloud, volume: Volume) -> Vm | None:
    """The VM that a volume hangs on."""
    return cloud.vms.get(volume.vm or "")


# --- limits -----------------------------------------------------------------------------------------------------------


def used(cloud: Cloud, account: Account) -> dict[str, int]:
    """How much of everything an account has; storage in bytes."""
    gone = ("Destroyed", "Expunging")
    vms = [v for v in cloud.vms.values() if v.account == account.name and not v.removed and v.state not in gone]
    volumes = [v for v in cloud.volumes.values() if v.account == account.name and not v.removed and v.state != "Destroy"]
    snapshots = [
        s for s in cloud.snapshots.values() if s.account == account.name and not s.removed and s.state != "Destroyed"
    ]
    return {
        "user_vm": len(vms),
        "cpu": sum(v.cpus for v in vms),
        "memory": sum(v.memory for v in vms),
        "volume": len(volumes),
        "primary_storage": sum(v.size for v in volumes),
        "snapshot": len(snapshots),
        "secondary_storage": sum(s.size for s in snapshots),
        "public_ip": sum(a.account == account.name and not a.removed for a in cloud.addresses.values()),
        "network": sum(n.account == account.name and not n.removed for n in cloud.networks.values()),
    }


def check_limits(cloud: Cloud, account: Account, wanted: dict[str, int], cs: int = 4370) -> None:
    """CS-VOL-06, CS-DEP-10: what an account asks for must fit its limits; root administrators have none."""
    if account.is_root or not account.limits:
        return
    has = used(cloud, account)
    for kind, amount in wanted.items():
        limit = account.limits.get(kind, -1)
        most = limit * GIB if kind in STORAGE else limit
        if limit >= 0 and has.get(kind, 0) + amount > most:
            numbers = [_amount(kind, n) for n in (most, has.get(kind, 0), 0, amount)]
            raise refuse_limit(kind, account, numbers, cs)


def refuse_limit(kind: str, account: Account, numbers: Sequence[str], cs: int) -> Refused:
    """CS-VOL-06: the text of a limit that is exceeded."""
    limit, has, reserved, asked = numbers
    return Refused(
        535,
        f"Maximum amount of resources of Type = '{kind}', tag = 'null' for Account Name = {account.name} in Domain Id = 1 is exceeded: "
        f"Account Resource Limit = {limit}, Current Account Resource Amount = {has}, Current Account Resource Reservation = {reserved}, "
        f"Requested Resource Amount = {asked}.",
        cs,
    )


def _amount(kind: str, number: int) -> str:
    if kind not in STORAGE:
        return str(number)
    return f"({number / GIB:.2f} GB) {number}" if number else "(0 bytes) 0"
