"""The management server: takes a request, finds the caller, resolves parameters, runs the command, answers.

`server` puts it behind HTTP, tests call it directly. It owns the rows (`model`), the jobs (`jobs`), the clock and the
faults; what a command does stands in `commands`, what it says no to in `refusals`, how a row looks in `views`.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from simulator import commands, faults, views, wire
from simulator.clock import Clock
from simulator.jobs import Effect, Jobs, Work
from simulator.model import Account, Entity, Job, Network, Plain, Snapshot, Vm, VmSnapshot, Volume
from simulator.refusals import Refused, refuse
from simulator.registry import COMMANDS, Command
from simulator.wire import Call, Reply

SECONDS: Mapping[str, float] = {
    "deployVirtualMachine": 4,
    "startVirtualMachine": 20,
    "stopVirtualMachine": 15,
    "rebootVirtualMachine": 20,
    "destroyVirtualMachine": 6,
    "expungeVirtualMachine": 6,
    "attachVolume": 4,
    "detachVolume": 5,
    "createVolume": 3,
    "createSnapshot": 30,
    "revertSnapshot": 30,
    "deleteSnapshot": 4,
    "createVMSnapshot": 6,
    "revertToVMSnapshot": 6,
    "deleteVMSnapshot": 6,
    "createTags": 1,
    "deleteTags": 1,
}
DEFAULT_SECONDS = 3.0
DEFAULT_SETTINGS: Mapping[str, Any] = {
    "kvm.snapshot.enabled": True,
    "kvm.vmstoragesnapshot.enabled": True,
    "allow.user.expunge.recover.vm": False,
    "allow.user.expunge.recover.volume": True,
    "allow.user.view.destroyed.vm": False,
    "allow.user.force.stop.vm": True,
    "enforce.post.requests.and.timestamps": False,
}
CUSTOM_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
E = TypeVar("E", bound=Entity)
Kinds = {"VirtualMachine": Vm, "Volume": Volume, "Snapshot": Snapshot, "VMSnapshot": VmSnapshot, "Network": Network}


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
    """One simulated management server with its zone. All state is in plain attributes; nothing runs by itself."""

    def __init__(
        self,
        clock: Clock,
        release: str = "4.22.1.0",
        wording: str | None = None,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        durations: Mapping[str, float] | float | None = None,
        slots: int | None = None,
    ) -> None:
        self.clock, self.release, self.seed = clock, release, seed
        self.signing_clock = clock
        self.wording = wording or wording_of(release)
        self.settings = {**DEFAULT_SETTINGS, **(settings or {})}
        self.in_force = dict(self.settings)
        self.durations = _durations(durations)
        self.jobs = Jobs(slots)
        self.accounts: dict[str, Account] = {}
        self.vms: dict[str, Vm] = {}
        self.volumes: dict[str, Volume] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.vm_snapshots: dict[str, VmSnapshot] = {}
        self.networks: dict[str, Network] = {}
        self.plain: dict[str, dict[str, Plain]] = {}
        self.faults = faults.Faults(self)
        self.calls: Counter[str] = Counter()
        self.trace: list[Received] = []
        self.maintenance = False
        self._numbers: Counter[str] = Counter()
        self._by_key: dict[str, Account] = {}

    # --- calls --------------------------------------------------------------------------------------------------------

    def call(self, params: Mapping[str, str], method: str = "POST") -> Reply:
        """Answer one signed request. Never raises for anything the caller did."""
        name = next((v for k, v in params.items() if k.lower() == "command"), None)
        key = next((v for k, v in params.items() if k.lower() == "apikey"), "")
        account = self._by_key.get(key)
        self.jobs.run(self.clock.now())
        if account is None or not account.enabled or not self._signed(params, account):
            return self._noted("", name, params, wire.unauthorised(name, name in COMMANDS))
        if self.settings["enforce.post.requests.and.timestamps"] and self._must_post(name, method):
            text = f"State changing command {name} needs to be sent using POST request"
            return self._noted(account.name, name, params, wire.refused(name or "", Refused(400, text, 9999), True))
        return self._answered(account, name, params)

    def as_account(self, name: str) -> Caller:
        """A caller that is that account, without signatures: for tests and scripts."""
        return Caller(self, self.accounts[name])

    def _signed(self, params: Mapping[str, str], account: Account) -> bool:
        enforce = bool(self.settings["enforce.post.requests.and.timestamps"])
        given = next((v for k, v in params.items() if k.lower() == "signature"), "")
        lapsed = wire.expired(params, self.signing_clock.now(), enforce)
        return not lapsed and wire.signature(params, account.secret_key) == given

    @staticmethod
    def _must_post(name: str | None, method: str) -> bool:
        return method.upper() != "POST" and name is not None and not wire.READING.fullmatch(name)

    def _answered(self, account: Account, name: str | None, params: Mapping[str, str]) -> Reply:
        known = COMMANDS.get(name or "")
        if known is None or name is None:
            return self._noted(account.name, name, params, wire.unauthorised(name, False))
        call = Call(name, account, {k.lower(): v for k, v in params.items()})
        try:
            self.faults.before(call)
            content = self._run(known, call)
            self.jobs.run(self.clock.now())
            reply = wire.answer(f"{name.lower()}response", content)
            self.faults.after(call, content)
        except Refused as fault:
            reply = wire.refused(name, fault, account.is_root)
        return self._noted(account.name, name, params, reply)

    def _run(self, known: Command, call: Call) -> Mapping[str, Any]:
        if call.account.role not in known.roles:
            text = f"The API [{call.command}] does not exist or is not available for the account for user id [{call.account.user_id}]."
            raise Refused(432, text, 9999)
        if known.asynchronous and self.maintenance:
            raise refuse("CS-JOB-17")
        if known.name.startswith("list"):
            wire.check_page(call)
        wire.resolve(call, known.params, self.find, known.reads)
        if known.asynchronous and not known.creates:
            self._check_custom_job(call)
        return known.handler(self, call)

    def _noted(self, account: str, name: str | None, params: Mapping[str, str], reply: Reply) -> Reply:
        self.calls[name or ""] += 1
        shown = {k: v for k, v in params.items() if k.lower() not in ("apikey", "signature", "secretkey")}
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
        queue: str | None = None,
        instance: tuple[str, str | None] = ("None", None),
        entity: str | None = None,
    ) -> dict[str, Any]:
        """Turn a call into a job. `check` is what the job thread looks at first, before it waits for its turn."""
        if entity is not None:
            self._check_custom_job(call)
        known = COMMANDS[call.command]
        now = self.clock.now()
        java = known.java + ("ByAdmin" if call.account.is_root and "vm." in known.java else "")
        job_id = call.raw.get("customjobid") or self.new_id()
        job = Job(job_id, self.number("Job"), call.account.name, call.command, java, now, *instance)
        fault = _failing(check)
        seconds = 0.0 if fault else self.durations.get(call.command, DEFAULT_SECONDS)
        work = Work(job, seconds, finish, begin, queue)
        if fault is not None:
            work = Work(job, 0.0, _raising(fault))
        self.jobs.submit(self.faults.shaped(call, work), now)
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

    # --- rows ---------------------------------------------------------------------------------------------------------

    def new_id(self) -> str:
        """The next id: the same for the same seed and the same calls before it."""
        self._numbers["id"] += 1
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"simulator/{self.seed}/{self._numbers['id']}"))

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
        }
        return tables.get(kind) or self.plain.get(kind, {})

    def find(self, kind: str, text: str) -> Entity | None:
        """A row by uuid, or by internal number (CS-WIR-18); removed rows too."""
        rows = self.table(kind)
        found = rows.get(text.lower()) or rows.get(text)
        if found is None and text.isdigit():
            found = next((row for row in rows.values() if row.n == int(text)), None)
        return found

    def add_account(self, account: Account) -> None:
        """Make an account known with its keys."""
        self.accounts[account.name] = account
        self._by_key[account.api_key] = account

    def attached(self, vm: Vm) -> list[Volume]:
        """The volumes on a VM, by device."""
        found = [v for v in self.volumes.values() if v.vm == vm.id and not v.removed]
        return sorted(found, key=lambda v: v.device if v.device is not None else -1)

    def snapshot_rows(self, vm: Vm) -> list[VmSnapshot]:
        """Every VM-snapshot row of a VM that is not removed, in every state."""
        return [s for s in self.vm_snapshots.values() if s.vm == vm.id and not s.removed]

    # --- content ------------------------------------------------------------------------------------------------------

    def fingerprint(self, volume_id: str) -> str:
        """What is on a volume, as a fingerprint; a running guest keeps writing while time passes."""
        self.jobs.run(self.clock.now())
        volume = self.volumes[volume_id]
        vm = self.vms.get(volume.vm or "")
        if vm is not None and vm.state == "Running" and volume.state == "Ready" and vm.written_until is not None:
            if vm.written_until != self.clock.now():
                self.write(vm, f"until {self.clock.now().isoformat()}")
            vm.written_until = self.clock.now()
        return volume.content

    def guest_writes(self, vm_id: str, what: str = "guest") -> None:
        """The guest system writes to all its disks."""
        self.write(self.vms[vm_id], what)

    def write(self, vm: Vm, what: str) -> None:
        """Change the content of every disk of a VM."""
        for volume in self.attached(vm):
            volume.content = hashlib.sha256(f"{volume.content}/{what}".encode()).hexdigest()[:16]

    # --- from outside -------------------------------------------------------------------------------------------------

    def truth(self) -> dict[str, Any]:
        """Everything as it is, for tests: rows by kind and uuid, without what was removed."""
        self.jobs.run(self.clock.now())
        return views.truth(self)

    def configure(self, name: str, value: Any) -> None:
        """Change a setting; `kvm.snapshot.enabled` has no effect before a restart (CS-SNP-14)."""
        self.settings[name] = value
        if name != "kvm.snapshot.enabled":
            self.in_force[name] = value

    def restart(self) -> None:
        """CS-JOB-12: the management server is killed and started again."""
        commands.restart(self)


@dataclass(frozen=True, slots=True)
class Caller:
    """An account at the door, past signatures."""

    cloud: Cloud
    account: Account

    def call(self, command: str, **params: object) -> Reply:
        """Call a command with plain values; booleans and numbers become text as on the wire."""
        text = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in params.items()}
        self.cloud.jobs.run(self.cloud.clock.now())
        return self.cloud._answered(self.account, command, {"command": command, **text})


def wording_of(release: str) -> str:
    """Which wording generation a release speaks: 4.20.3 and 4.22.1 on say Instance (W2)."""
    major = tuple(int(part) for part in release.split(".")[:3])
    return "W2" if major >= (4, 22, 1) or (4, 20, 3) <= major < (4, 21, 0) else "W1"


def _durations(given: Mapping[str, float] | float | None) -> dict[str, float]:
    if isinstance(given, int | float):
        return dict.fromkeys(COMMANDS, float(given))
    return {**SECONDS, **(given or {})}


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
