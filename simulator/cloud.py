"""The management server: takes a request, finds the caller, resolves parameters, runs the command, answers.

`server` puts it behind HTTP, tests call it directly. It owns the rows (`model`), the jobs (`jobs`), the clock and the
faults; what a command does stands in `commands`, what it says no to in `refusals`, how a row looks in `views`.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from simulator import commands, faults, happenings, housekeeping, settings, views, wire
from simulator.clock import Clock
from simulator.jobs import Effect, Jobs, Phase, Work
from simulator.model import (
    Account,
    Entity,
    Event,
    Job,
    Network,
    Plain,
    Policy,
    PublicAddress,
    Rule,
    Snapshot,
    User,
    Vm,
    VmSnapshot,
    Volume,
)
from simulator.refusals import Refused, refuse
from simulator.registry import COMMANDS, Command, parameters
from simulator.settings import numbers, wording_of
from simulator.wire import Call, Reply

CUSTOM_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
UNTOLD = ("apikey", "signature", "secretkey", "userapikey", "usersecretkey", "password", "currentpassword")
DISABLED_JOBS = "Maintenance or Shutdown has been initiated on this management server. Can not accept new jobs"
__all__ = ["Caller", "Cloud", "Received", "wording_of"]


@dataclass(frozen=True, slots=True)
class Received:
    """One call as it was received and answered, without secrets."""

    at: datetime
    account: str
    command: str
    params: Mapping[str, str]
    status: int
    code: int


class Cloud:
    """One simulated management server with its zone. All state is in plain attributes; nothing runs by itself.

    `hypervisor` is the label of hosts, pools and VMs. `obliging_hosts` answer every host command, even those that a KVM
    host cannot obey (as the agent of CloudStack's own simulator does).
    """

    def __init__(
        self,
        clock: Clock,
        release: str = "4.22.1.0",
        wording: str | None = None,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        durations: Mapping[str, float] | float | None = None,
        slots: int | None = None,
        hypervisor: str = "KVM",
        obliging_hosts: bool = False,
    ) -> None:
        self.clock, self.release, self.seed = clock, release, seed
        self.signing_clock = clock
        self.hypervisor, self.obliging_hosts = hypervisor, obliging_hosts
        self.wording = wording or wording_of(release)
        self.settings = {**_defaults(release), **(settings or {})}
        self.in_force = dict(self.settings)
        self.durations = _durations(durations)
        self.jobs = Jobs(slots, lambda job, ended: happenings.heard(self, job, ended))
        self.accounts: dict[str, Account] = {}
        self.vms: dict[str, Vm] = {}
        self.system_vms: dict[str, Vm] = {}
        self.volumes: dict[str, Volume] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.vm_snapshots: dict[str, VmSnapshot] = {}
        self.networks: dict[str, Network] = {}
        self.policies: dict[str, Policy] = {}
        self.plain: dict[str, dict[str, Plain]] = {}
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.addresses: dict[str, PublicAddress] = {}
        self.rules: dict[str, Rule] = {}
        self.events: list[Event] = []
        self.faults = faults.Faults(self)
        self.calls: Counter[str] = Counter()
        self.trace: list[Received] = []
        self.maintenance = False
        self.max_data_disks = 32 if hypervisor == "KVM" else 6
        self._numbers: Counter[str] = Counter()
        self._recent: dict[str, deque[datetime]] = defaultdict(deque)
        self.jobs.threshold = 60.0 * float(self.in_force["job.cancel.threshold.minutes"])
        housekeeping.begin(self)

    def now(self) -> datetime:
        """The moment that is being worked on: that of an event while it happens, else the clock's."""
        return self.jobs.moment or self.clock.now()

    # --- calls --------------------------------------------------------------------------------------------------------

    def call(self, params: Mapping[str, str], method: str = "POST") -> Reply:
        """Answer one signed request. Never raises for anything the caller did."""
        lowered = {k.lower(): v for k, v in params.items()}
        reply = self._authenticated(params, lowered, method)
        return reply if lowered.get("response", "").lower() == "json" else wire.as_xml(reply, self.release)

    def _authenticated(self, params: Mapping[str, str], lowered: Mapping[str, str], method: str) -> Reply:
        name = lowered.get("command")
        self.jobs.run(self.clock.now())
        account, user = self._who(lowered.get("apikey"))
        if account is None or user is None or not self._signed(params, user):
            return self._noted("", name, params, wire.unauthorised(name, name in COMMANDS))
        if self.in_force["enforce.post.requests.and.timestamps"] and self._must_post(name, method):
            text = f"State changing command {name} needs to be sent using POST request"
            return self._noted(account.name, name, params, wire.refused(name or "", Refused(400, text, 9999), True))
        return self._answered(account, user, name, params)

    def _who(self, key: str | None) -> tuple[Account, User] | tuple[None, None]:
        """Whose key this is, if he may call at all (CS-WIR-01)."""
        everybody = ((account, user) for account in self.accounts.values() for user in account.users)
        found = next(((a, u) for a, u in everybody if key and u.api_key == key), None)
        return found if found and found[0].state == found[1].state == "enabled" else (None, None)

    def as_account(self, name: str) -> Caller:
        """A caller that is that account, without signatures: for tests and scripts."""
        return Caller(self, self.accounts[name])

    def _signed(self, params: Mapping[str, str], user: User) -> bool:
        enforce = bool(self.in_force["enforce.post.requests.and.timestamps"])
        given = next((v for k, v in params.items() if k.lower() == "signature"), "")
        name = next((v for k, v in params.items() if k.lower() == "command"), None)
        lapsed = wire.expired(params, self.signing_clock.now() + self.faults.clock_ahead(name), enforce)
        return not lapsed and wire.signature(params, user.secret_key or "") == given

    @staticmethod
    def _must_post(name: str | None, method: str) -> bool:
        return method.upper() != "POST" and name is not None and not wire.READING.fullmatch(name)

    def _answered(self, account: Account, user: User | None, name: str | None, params: Mapping[str, str]) -> Reply:
        if name is None or not self._has(name):
            return self._noted(account.name, name, params, wire.unauthorised(name, False))
        raw = {k.lower(): v for k, v in params.items()}
        call = Call(name, account, raw, user=user, given=params, most=int(self.in_force["default.page.size"]))
        try:
            reply = self.faults.before(call) or self._performed(call)
        except Refused as fault:
            reply = wire.refused(name, fault, account.is_root)
        return self.faults.after(call, self._noted(account.name, name, params, reply))

    def _has(self, name: str) -> bool:
        """Whether this release has the command."""
        since = COMMANDS[name].since if name in COMMANDS else None
        return name in commands.ELSEWHERE if since is None else not since or numbers(since) <= numbers(self.release)

    def _performed(self, call: Call) -> Reply:
        known = COMMANDS.get(call.command)
        self._throttle(call.account)
        content = self._run(known, call)
        self.jobs.run(self.clock.now())
        if known is not None and known.reads:
            content = self.faults.content(call, content, lambda: known.handler(self, call))
        return wire.answer(known.envelope if known else "", content)

    def _run(self, known: Command | None, call: Call) -> Mapping[str, Any]:
        if known is None or call.account.role not in known.roles:
            raise refuse("CS-WIR-02", command=call.command, user=call.user.id if call.user else None)
        if known.asynchronous and self.maintenance and settings.numbers(self.release) >= (4, 21):
            raise refuse("CS-JOB-17")
        if known.name.startswith("list"):
            wire.check_page(call)
        declared = parameters(known.name, self.release, call.account.is_root)
        wire.resolve(call, declared, self.find, known.reads, self.may_act_on)
        if known.asynchronous and not known.creates:
            self._check_custom_job(call)
        if known.asynchronous or known.reads:
            return known.handler(self, call)
        return self._at_once(known, call)

    def _at_once(self, known: Command, call: Call) -> Mapping[str, Any]:
        """A command that changes something without a job; what came of it is written down."""
        done = False
        try:
            content = known.handler(self, call)
            done = True
        finally:
            happenings.at_once(self, call, done)
        return content

    def _throttle(self, account: Account) -> None:
        """CS-WIR-13: so many calls an interval and account, root administrators exempt."""
        if not self.in_force["api.throttling.enabled"] or account.is_root:
            return
        now, recent = self.clock.now(), self._recent[account.id]
        window = timedelta(seconds=float(self.in_force["api.throttling.interval"]))
        while recent and recent[0] <= now - window:
            recent.popleft()
        if len(recent) >= int(self.in_force["api.throttling.max"]):
            left = (recent[0] + window - now) / timedelta(milliseconds=1)
            raise refuse("CS-WIR-13", n=round(left))
        recent.append(now)

    def _noted(self, account: str, name: str | None, params: Mapping[str, str], reply: Reply) -> Reply:
        self.calls[name or ""] += 1
        shown = {k: v for k, v in params.items() if k.lower() not in UNTOLD}
        code = 0 if reply.status == 200 else reply.status
        self.trace.append(Received(self.clock.now(), account, name or "", shown, reply.status, code))
        return reply

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def submit(
        self,
        call: Call,
        finish: Effect,
        *,
        check: Callable[[], None] | None = None,
        begin: Callable[[], None] | None = None,
        phases: Sequence[Phase] = (),
        host: str = "",
        queue: str | None = None,
        instance: tuple[str | None, str | None] = (None, None),
        entity: str | None = None,
        joins: str | None = None,
    ) -> dict[str, Any]:
        """Turn a call into a job. `check` is what the job thread looks at first, before it waits for its turn.

        `host` names what a host has to do for it: its faults make the work slower. `phases` come between `begin` and
        `finish`, each a host's work with what is done when it is over. `joins` names work that two calls do together.
        """
        if entity is not None:
            self._check_custom_job(call)
            self._check_shutdown()
        now = self.now()
        java = COMMANDS[call.command].java_for(call.account.is_root)
        job_id = call.raw.get("customjobid") or self.new_id()
        job = Job(job_id, self.number("Job"), call.account.name, call.command, java, now, *instance)
        job.user = call.user.id if call.user else None
        fault = _failing(check)
        if fault is not None:
            work = Work(job, 0.0, _raising(fault))
        else:
            seconds = self.durations.get(call.command, settings.DEFAULT_SECONDS)
            work = Work(job, seconds, finish, begin, queue, tuple(phases), lambda: self.faults.host_seconds(host))
            work.joins = joins
        happenings.scheduled(self, call, job, entity)
        self.jobs.submit(self.faults.shaped(call, work), now)
        expiry = timedelta(minutes=float(self.in_force["job.expire.minutes"]))
        self.jobs.at(now + expiry, lambda _: self.jobs.purge(job.id))
        return {"jobid": job.id} if entity is None else {"id": entity, "jobid": job.id}

    def _check_custom_job(self, call: Call) -> None:
        """CS-JOB-09, 10, 11: an id of the caller's own must be well formed and not be in use."""
        wanted = call.raw.get("customjobid")
        if wanted is None:
            return
        if not CUSTOM_ID.fullmatch(wanted):
            raise refuse("CS-JOB-09", id=wanted)
        taken = self.jobs.rows.get(wanted)
        if taken is not None:
            raise refuse("CS-JOB-10" if taken.status == 0 else "CS-JOB-11", id=wanted)

    def _check_shutdown(self) -> None:
        """CS-JOB-17 of older releases: said only when the job is taken, after the entity was made."""
        if self.maintenance:
            raise refuse("CS-JOB-17b")

    # --- rows ---------------------------------------------------------------------------------------------------------

    def new_id(self, kind: str = "id") -> str:
        """The next id: the same for the same seed and the same calls before it. Another `kind` is a row of ids of its own."""
        self._numbers[kind] += 1
        where = f"simulator/{self.seed}" if kind == "id" else f"simulator/{self.seed}/{kind}"
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{where}/{self._numbers[kind]}"))

    def number(self, kind: str) -> int:
        """The next internal number of that kind of row."""
        self._numbers[kind] += 1
        return self._numbers[kind]

    def table(self, kind: str) -> Mapping[str, Entity]:
        """All rows of a kind, by uuid."""
        tables: dict[str, Mapping[str, Entity]] = {
            "VirtualMachine": self.vms,
            "Volume": self.volumes,
            "Snapshot": self.snapshots,
            "VMSnapshot": self.vm_snapshots,
            "Network": self.networks,
            "SnapshotPolicy": self.policies,
            "IpAddress": self.addresses,
            "FirewallRule": self.rules,
        }
        return tables.get(kind) or self.plain.get(kind, {})

    def everything(self) -> Iterator[Entity]:
        """Every row that somebody owns."""
        tables = (*self.entities(), self.policies, self.addresses, self.rules, *self.plain.values())
        return (row for table in tables for row in table.values())

    def entities(self) -> tuple[Mapping[str, Any], ...]:
        """The tables of what commands work on."""
        return self.vms, self.volumes, self.snapshots, self.vm_snapshots, self.networks

    def find(self, kind: str, text: str) -> Any:
        """A row by uuid, or by internal number (CS-WIR-18); removed rows and system VMs too."""
        if kind == "Nic":
            return next((card for vm in self.vms.values() for card in vm.nics if text in (card.id, str(card.n))), None)
        if kind == "Job":
            return self.jobs.rows.get(text)
        if kind == "Account":
            return next((row for row in self.accounts.values() if text in (row.id, str(row.n))), None)
        if kind == "User":
            everybody = (user for account in self.accounts.values() for user in account.users)
            return next((user for user in everybody if text in (user.id, str(user.n))), None)
        rows = self.table(kind)
        found = rows.get(text.lower()) or rows.get(text)
        if found is None and text.isdigit():
            everything = (*rows.values(), *(self.system_vms.values() if kind == "VirtualMachine" else ()))
            found = next((row for row in everything if row.n == int(text)), None)
        return found

    def server(self) -> Plain | None:
        """The row of this management server."""
        return next(iter(self.rows_of("ManagementServer")), None)

    def add_account(self, account: Account) -> None:
        """Make an account known with its users and their keys."""
        self.accounts[account.name] = account

    def rows_of(self, kind: str) -> list[Plain]:
        """The plain rows of a kind that are not removed."""
        return [row for row in self.plain.get(kind, {}).values() if not row.removed]

    def attached(self, vm: Vm) -> list[Volume]:
        """The volumes on a VM, by device."""
        hung = (self.volumes[i] for i in vm.disks)
        found = [v for v in hung if v.vm == vm.id and not v.removed]
        return sorted(found, key=lambda v: v.device if v.device is not None else -1)

    def hang(self, volume: Volume, vm: Vm, device: int) -> None:
        """A volume hangs on a VM; what sits at device 0 is its root."""
        self.settle(vm)
        volume.vm, volume.vm_n, volume.device = vm.id, vm.n, device
        volume.kind = "ROOT" if device == 0 else "DATADISK"
        vm.disks.add(volume.id)

    def take_off(self, volume: Volume) -> None:
        """A volume hangs on nothing any more; whatever it was, it is a data disk now (CS-DET-10)."""
        vm = self.vms.get(volume.vm or "")
        if vm is not None:
            self.settle(vm)
            vm.disks.discard(volume.id)
        volume.vm, volume.vm_n, volume.device, volume.attached, volume.counted = None, None, None, None, False
        volume.kind = "DATADISK"

    def snapshot_rows(self, vm: Vm) -> list[VmSnapshot]:
        """Every VM-snapshot row of a VM that is not removed, in every state."""
        return [s for s in self.vm_snapshots.values() if s.vm == vm.id and not s.removed]

    def snapshots_of(self, volume: Volume) -> list[Snapshot]:
        """The snapshots of a volume that exist or are being made."""
        return [s for s in self.snapshots.values() if s.volume == volume.id and not s.removed and s.state != "Destroyed"]

    def may_act_on(self, account: Account, entity: Entity) -> bool:
        """Whether an account may work with a row: its own, its domain's, one of its projects', or everything."""
        if account.is_root or entity.account == account.name:
            return True
        owner = self.accounts.get(entity.account)
        if owner is not None and owner.project is not None:
            return account.name in self.plain["Project"][owner.project].fields["members"]
        return account.role == "domainadmin" and owner is not None and owner.domain_id == account.domain_id

    # --- content ------------------------------------------------------------------------------------------------------

    def fingerprint(self, volume_id: str) -> str:
        """What is on a volume, as a fingerprint; a running guest keeps writing while time passes."""
        self.jobs.run(self.clock.now())
        return self.content_of(self.volumes[volume_id])

    def content_of(self, volume: Volume) -> str:
        """What is on a volume at this moment, writes of a running guest included. Looking changes nothing."""
        vm = self.vms.get(volume.vm or "")
        if vm is None or vm.written_until is None or vm.written_until == self.now():
            return volume.content
        return _written(volume.content, f"until {self.now().isoformat()}")

    def guest_writes(self, vm_id: str, what: str = "guest") -> None:
        """The guest system writes to all its disks."""
        self.write(self.vms[vm_id], what)

    def write(self, vm: Vm, what: str) -> None:
        """Change the content of every disk of a VM."""
        self.settle(vm)
        for volume in self.attached(vm):
            volume.content = _written(volume.content, what)

    def settle(self, vm: Vm) -> None:
        """What a running guest has written up to now is on its disks, whatever happens to them next."""
        for volume in self.attached(vm):
            volume.content = self.content_of(volume)
        vm.written_until = None if vm.written_until is None else self.now()

    # --- from outside -------------------------------------------------------------------------------------------------

    def truth(self) -> dict[str, Any]:
        """Everything as it is, for tests: rows by kind and uuid, without what was removed."""
        self.jobs.run(self.clock.now())
        return views.truth(self)

    def spread_created(self) -> None:
        """Give every volume a second of creation of its own, as a hand in the database would."""
        rows = list(self.volumes.values())
        first = min((row.created for row in rows), default=self.now())
        for index, volume in enumerate(rows):
            volume.created = first + timedelta(seconds=index)

    def configure(self, name: str, value: Any) -> None:
        """Change a setting; those that are not dynamic have no effect before a restart (CS-SNP-14)."""
        self.settings[name] = value
        if name not in settings.NOT_DYNAMIC:
            self.in_force[name] = value
            self.jobs.threshold = 60.0 * float(self.in_force["job.cancel.threshold.minutes"])

    def restart(self) -> None:
        """CS-JOB-12: the management server is killed and started again."""
        housekeeping.restart(self)

    def power_off(self, vm_id: str) -> None:
        """The guest turns itself off: the VM is found Stopped, without any job."""
        if self.vms[vm_id].state == "Running":
            commands.vms.halt(self, self.vms[vm_id])

    def expunge(self, vm: Vm) -> None:
        """Remove a destroyed VM for good, as the server's own thread does."""
        commands.vms.expunged(self, vm)


@dataclass(frozen=True, slots=True)
class Caller:
    """An account at the door, past signatures."""

    cloud: Cloud
    account: Account

    def call(self, command: str, **params: object) -> Reply:
        """Call a command with plain values; booleans and numbers become text as on the wire."""
        text = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in params.items()}
        self.cloud.jobs.run(self.cloud.clock.now())
        user = next(iter(self.account.users), None)
        return self.cloud._answered(self.account, user, command, {"command": command, **text})


def _written(content: str, what: str) -> str:
    return hashlib.sha256(f"{content}/{what}".encode()).hexdigest()[:16]


def _defaults(release: str) -> dict[str, Any]:
    return settings.defaults(release)


def _durations(given: Mapping[str, float] | float | None) -> dict[str, float]:
    if isinstance(given, int | float):
        return dict.fromkeys(COMMANDS, float(given))
    return {**settings.SECONDS, **(given or {})}


def _failing(check: Callable[[], None] | None) -> Refused | None:
    if check is None:
        return None
    try:
        check()
    except Refused as fault:
        return fault
    return None


def _raising(fault: Refused) -> Effect:
    def effect() -> Mapping[str, Any] | None:
        raise fault

    return effect
