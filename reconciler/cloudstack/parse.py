"""CloudStack's plain data → records of `plans.observed`. The one place that knows field names. Pure.

`reads` hands over the rows of lists and the content of single answers. Fields that we do not use are ignored whatever
they hold, unknown states are kept as text, a wrong type in a field that we do use is `BadAnswer`: half-understood facts
about disks are worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints

from plans.observed import (
    Account,
    Capabilities,
    Machine,
    Network,
    Nic,
    Offering,
    Template,
    VmSnapshot,
    Volume,
    VolumeSnapshot,
    Zone,
)
from reconciler.cloudstack.errors import BadAnswer
from reconciler.cloudstack.outcomes import (
    Accepted,
    CallOutcome,
    Done,
    JobFailed,
    JobPending,
    JobResult,
    JobSucceeded,
    JobUnknown,
    Unknown,
    retryable,
)

Record = TypeVar("Record")
REVERTS = {"RevertSnapshotCmd": "snapshot", "RevertToVMSnapshotCmd": "virtualmachine"}
ADMINISTRATORS = frozenset({1, 2, 4})


@dataclass(frozen=True, slots=True)
class PendingJob:
    """A job that has not ended, and the object that it is about, where it names one."""

    id: str
    entity_id: str | None


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a truth value where a number is expected")  # noqa: TRY004 - pydantic wants ValueError
    return value


def _truth(value: object) -> object:
    return value.strip().lower() == "true" if isinstance(value, str) else value


Id = Annotated[str, StringConstraints(pattern=re.compile(r"(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))]
Number = Annotated[int, BeforeValidator(_no_bool)]
Truth = Annotated[bool, BeforeValidator(_truth)]


class _Row(pydantic.BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class _Tag(_Row):
    key: str
    value: str = ""


class _Tagged(_Row):
    id: Id
    tags: tuple[_Tag, ...] = ()

    @property
    def tag_map(self) -> dict[str, str]:
        return {t.key: t.value for t in self.tags}


class _Volume(_Tagged):
    name: str = ""
    state: str
    type: str
    size: Number = 0
    zoneid: Id
    virtualmachineid: Id | None = None
    deviceid: Number | None = None
    path: str | None = None
    jobid: str | None = None
    jobstatus: Number = 0

    def record(self) -> Volume:
        return Volume(
            self.id, self.name, self.state, self.type, self.size, self.zoneid,
            self.virtualmachineid, self.deviceid, self.path, self.tag_map, self.jobid if self.jobstatus == 0 else None,
        )  # fmt: skip


class _Nic(_Row):
    id: Id
    networkid: Id
    isdefault: Truth = False
    ipaddress: str | None = None
    macaddress: str | None = None

    def record(self) -> Nic:
        return Nic(self.id, self.networkid, self.isdefault, self.ipaddress, self.macaddress)


class _Machine(_Tagged):
    name: str
    displayname: str = ""
    state: str
    zoneid: Id
    lastupdated: str | None = None
    details: Mapping[str, Any] = Field(default_factory=dict)
    nic: tuple[_Nic, ...] = ()
    account: str = ""
    domainid: Id | None = None

    def record(self) -> Machine:
        return Machine(
            self.id, self.name, self.displayname, self.state, self.zoneid, self._started(),
            tuple(n.record() for n in self.nic), self.tag_map, self.account, self.domainid or "",
        )  # fmt: skip

    def _started(self) -> bool:
        # The first start, even a failed one, sets the time and removes the detail. Both must say "never".
        never = self.lastupdated is None and str(self.details.get("deployvm", "")).lower() == "true"
        return not never or self.state not in ("Stopped", "Destroyed", "Expunging")


class _VolumeSnapshot(_Tagged):
    name: str = ""
    volumeid: Id
    state: str

    def record(self) -> VolumeSnapshot:
        return VolumeSnapshot(self.id, self.name, self.volumeid, self.state, self.tag_map)


class _VmSnapshot(_Row):
    id: Id
    name: str = ""
    displayname: str | None = None
    virtualmachineid: Id
    state: str

    def record(self) -> VmSnapshot:
        return VmSnapshot(self.id, self.displayname or self.name, self.virtualmachineid, self.state)


class _Policy(_Row):
    id: Id

    def record(self) -> str:
        return self.id


class _Service(_Row):
    name: str


class _Network(_Row):
    id: Id
    name: str = ""
    type: str = ""
    state: str = ""
    zoneid: Id
    service: tuple[_Service, ...] | None = None
    egressdefaultpolicy: Truth | None = None
    gateway: str | None = None
    ip6gateway: str | None = None
    ip4routing: str | None = None
    vpcid: Id | None = None
    broadcasturi: str | None = None
    vlan: str | None = None
    physicalnetworkid: Id | None = None
    traffictype: str = "Guest"
    issystem: Truth = False

    def record(self) -> Network:
        return Network(
            self.id, self.name, self.type, self.state, self.zoneid,
            services=None if self.service is None else frozenset(s.name for s in self.service),
            egress_open=self.egressdefaultpolicy,
            gateway=self.gateway,
            gateway6=self.ip6gateway,
            routed=bool(self.ip4routing),
            vpc_id=self.vpcid,
            vlan=self.broadcasturi or (f"vlan://{self.vlan}" if self.vlan else None),
            physical=self.physicalnetworkid,
            traffic=self.traffictype,
            system=self.issystem,
        )  # fmt: skip


class _Rule(_Row):
    """A rule around a network. What is not there is everything."""

    id: Id
    protocol: str = "all"
    startport: Number | None = None
    endport: Number | None = None
    destcidrlist: str | None = None

    def record(self) -> str:
        ports = "" if self.startport is None else f" {self.startport}-{self.endport or self.startport}"
        return f"{self.protocol}{ports} to {self.destcidrlist or 'everywhere'}"


class _Forwarding(_Row):
    id: Id
    protocol: str = ""
    publicport: str | Number = ""
    ipaddress: str = ""

    def record(self) -> str:
        return f"{self.protocol} {self.publicport} of {self.ipaddress}"


class _Balancer(_Row):
    id: Id
    name: str = ""
    publicport: str | Number = ""
    publicip: str = ""

    def record(self) -> str:
        return f"{self.name}, {self.publicport} of {self.publicip}"


class _Vpn(_Row):
    id: Id
    publicip: str = ""

    def record(self) -> str:
        return f"at {self.publicip}"


class _Address(_Row):
    id: Id
    ipaddress: str = ""
    isstaticnat: Truth = False

    def record(self) -> str | None:
        return self.ipaddress if self.isstaticnat else None


class _Zone(_Row):
    id: Id
    name: str

    def record(self) -> Zone:
        return Zone(self.id, self.name)


class _Template(_Row):
    id: Id
    name: str = ""
    isready: Truth = False
    size: Number = 0

    def record(self) -> Template:
        return Template(self.id, self.name, self.isready, self.size)


class _Offering(_Row):
    id: Id
    name: str = ""
    iscustomized: Truth = False
    cpunumber: Number | None = None
    memory: Number | None = None

    def record(self) -> Offering:
        return Offering(self.id, self.name, self.iscustomized, self.cpunumber or 0, self.memory or 0)


class _Api(_Row):
    name: str


class _Apis(_Row):
    count: Number | None = None
    api: tuple[_Api, ...] = ()


class _Job(_Row):
    jobid: Id
    jobinstanceid: str | None = None

    def record(self) -> PendingJob:
        return PendingJob(self.jobid, self.jobinstanceid)


class _Capability(_Row):
    cloudstackversion: str = ""
    kvmsnapshotenabled: Truth = False
    allowuserexpungerecovervm: Truth = False
    apilimitmax: Number = 0
    apilimitinterval: Number = 0


def _left(value: object) -> int | None:
    """What is left of a limit: a number as text, or `Unlimited`; anything else is not known, which is no limit either."""
    text = str(value).partition(".")[0]
    return max(0, int(text)) if text.lstrip("-").isdigit() else None


Left = Annotated[int | None, BeforeValidator(_left)]


class _Account(_Row):
    name: str = ""
    domainid: Id | None = None
    accounttype: Number = 0
    vmavailable: Left = None
    cpuavailable: Left = None
    memoryavailable: Left = None
    volumeavailable: Left = None
    snapshotavailable: Left = None
    primarystorageavailable: Left = None
    secondarystorageavailable: Left = None


class _Accepted(_Row):
    jobid: Id
    id: Id | None = None


class _JobError(_Row):
    errortext: str | None = None


class _JobAnswer(_Row):
    cmd: str = ""
    jobstatus: Number
    jobresultcode: Number = 0
    jobresult: Mapping[str, Any] | None = None
    jobinstanceid: str | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: the command that lists it, the key of its rows, and how a row becomes a record."""

    command: str
    member: str
    row: type[Any]


VOLUMES = Kind("listVolumes", "volume", _Volume)
MACHINES = Kind("listVirtualMachines", "virtualmachine", _Machine)
SNAPSHOTS = Kind("listSnapshots", "snapshot", _VolumeSnapshot)
POLICIES = Kind("listSnapshotPolicies", "snapshotpolicy", _Policy)
VM_SNAPSHOTS = Kind("listVMSnapshot", "vmsnapshot", _VmSnapshot)
NETWORKS = Kind("listNetworks", "network", _Network)
DOORS: Mapping[str, tuple[Kind, str]] = {
    "egress": (Kind("listEgressFirewallRules", "firewallrule", _Rule), "networkid"),
    "vpns": (Kind("listRemoteAccessVpns", "remoteaccessvpn", _Vpn), "networkid"),
    "static_nats": (Kind("listPublicIpAddresses", "publicipaddress", _Address), "associatednetworkid"),
    "forwardings": (Kind("listPortForwardingRules", "portforwardingrule", _Forwarding), "networkid"),
    "balancers": (Kind("listLoadBalancerRules", "loadbalancerrule", _Balancer), "networkid"),
}
"""What may be open in a network's router: the list that tells, and its filter for one network."""
ZONES = Kind("listZones", "zone", _Zone)
TEMPLATES = Kind("listTemplates", "template", _Template)
OFFERINGS = Kind("listServiceOfferings", "serviceoffering", _Offering)
DISK_OFFERINGS = Kind("listDiskOfferings", "diskoffering", _Offering)
JOBS = Kind("listAsyncJobs", "asyncjobs", _Job)


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one answer to a list command, and the total that the server names, if it does."""

    rows: tuple[Mapping[str, Any], ...]
    count: int | None


def page(kind: Kind, content: Mapping[str, Any], where: str) -> Page:
    """One page of a list. An empty object is an empty list; `vmSnapshot` and `vmsnapshot` are the same."""
    found: Any = next((v for k, v in content.items() if k.lower() == kind.member), [])
    count = content.get("count", None if content else 0)
    counted = count is None or (isinstance(count, int) and not isinstance(count, bool))
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found) or not counted:
        raise BadAnswer(f"{kind.command} answers with something that is not a list of {kind.member}", where)
    return Page(tuple(found), count)


Known = dict[str, tuple[Mapping[str, Any], Any]]
"""Rows of the last answer by key, each with its record: most rows are the same in the next one."""


def records(kind: Kind, rows: Sequence[Mapping[str, Any]], where: str) -> tuple[Any, ...]:
    """The rows as records. Raises `BadAnswer` naming the field, never its content."""
    return tuple(_checked(kind.row, row, where).record() for row in rows)


def remembered(kind: Kind, rows: Mapping[str, Mapping[str, Any]], where: str, last: Known) -> Known:
    """The rows by key, each with its record, taken over from the last answer where the row is exactly the same."""
    return {
        key: last[key] if key in last and last[key][0] == row else (row, _checked(kind.row, row, where).record())
        for key, row in rows.items()
    }


def key_of(kind: Kind, row: Mapping[str, Any], where: str) -> str:
    """What makes a row the same row on another page."""
    key = row.get("jobid" if kind is JOBS else "id")
    if not isinstance(key, str):
        raise BadAnswer(f"{kind.command} lists a {kind.member} without id", where)
    return key


def call_limit(content: Mapping[str, Any], where: str) -> tuple[int, int]:
    """How many calls in how many seconds this cloud says it allows an account (listCapabilities); 0 is no limit."""
    found = _checked(_Capability, content.get("capability"), where)
    return found.apilimitmax, found.apilimitinterval


def commands(content: Mapping[str, Any], where: str) -> tuple[frozenset[str], int | None]:
    """The names of the commands that this account may call, and how many there should be (content of listApis)."""
    found = _checked(_Apis, content, where)
    return frozenset(row.name for row in found.api), found.count


def account(content: Mapping[str, Any], where: str) -> Account | None:
    """The one account that is shown (content of listAccounts), or None: an administrator is shown several."""
    rows = [_checked(_Account, row, where) for row in content.get("account") or []]
    return Account(rows[0].name, rows[0].domainid or "") if len(rows) == 1 else None


def capabilities(content: Mapping[str, Any], accounts: Mapping[str, Any], where: str) -> Capabilities:
    """What this cloud and this account can do (contents of listCapabilities and listAccounts, the latter perhaps empty)."""
    found = _checked(_Capability, content.get("capability"), where)
    rows = [_checked(_Account, row, where) for row in accounts.get("account") or []]
    own = rows[0] if len(rows) == 1 else _Account()
    return Capabilities(
        release=found.cloudstackversion,
        kvm_snapshot_enabled=found.kvmsnapshotenabled,
        may_expunge=found.allowuserexpungerecovervm or any(row.accounttype in ADMINISTRATORS for row in rows),
        volumes_left=own.volumeavailable,
        snapshots_left=own.snapshotavailable,
        primary_gib_left=own.primarystorageavailable,
        secondary_gib_left=own.secondarystorageavailable,
        vms_left=own.vmavailable,
        cpus_left=own.cpuavailable,
        memory_mb_left=own.memoryavailable,
    )


def outcome(content: Mapping[str, Any], where: str) -> CallOutcome:
    """What a mutating call that was not refused came to: a job, a plain success, or nothing one could rely on."""
    if "jobid" in content:
        accepted = _checked(_Accepted, content, where)
        return Accepted(accepted.jobid, accepted.id)
    if _truth(content.get("success")) is True:
        return Done()
    return Unknown(f"{where} answered neither with a job nor with success")


def job(content: Mapping[str, Any], where: str) -> JobResult:
    """What became of a job. One that failed without a result, or with code 0, has no verdict, nor a revert of nothing."""
    found = _checked(_JobAnswer, content, where)
    if found.jobstatus == 0:
        return JobPending()
    if found.jobstatus == 1 and (missing := _unshown(found)):
        return JobUnknown(f"the cloud reports success, but not the {missing} that was reverted", closed=True)
    if found.jobstatus == 1:
        return JobSucceeded(found.jobresult or {}, found.jobinstanceid or None)
    if found.jobstatus != 2 or found.jobresult is None or found.jobresultcode == 0:
        why = f"the job ended without a verdict (status {found.jobstatus}, code {found.jobresultcode})"
        return JobUnknown(why, closed=found.jobstatus == 2 and found.jobresultcode != 0)
    told = _checked(_JobError, found.jobresult, where)
    return JobFailed(found.jobresultcode, told.errortext or "", retryable(found.jobresultcode))


def _unshown(found: _JobAnswer) -> str | None:
    """What a revert that was done always shows and this one does not: no look could tell, its effect is inside a disk."""
    wanted = next((member for command, member in REVERTS.items() if command in found.cmd), None)
    return None if wanted is None or wanted in (found.jobresult or {}) else wanted


def _checked(model: type[Any], data: object, where: str) -> Any:
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as wrong:
        first = wrong.errors(include_input=False, include_url=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"])) or "the answer"
        raise BadAnswer(f"{field} is not as documented: {first['msg']}", where) from None
