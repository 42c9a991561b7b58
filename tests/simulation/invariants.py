"""What must never happen, checked from outside: against the simulator's own truth, and what the journal says beside it.

`trials` hangs a `Watch` on a stage. Every changing call is judged before it arrives (rules about calls), the world after
every call (rules about states), a run when it has ended (rules about ends). Each rule is a function that bears the id of the
seed contract (INV-..) or of the anchors (I..); it yields what is broken. What other people changed behind the product's back
is excused from the rules about states, never from those about what the product itself sends.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from plans.actions import MARK
from simulator.model import Snapshot, Vm, VmSnapshot, Volume
from simulator.wire import Reply
from tests.scenarios.house import is_mutating
from tests.simulation import furniture, plots
from tests.simulation.stage import Stage

ENDED = ("completed", "rolled-back")
GONE = ("Destroyed", "Expunging")
LOST = ("Destroy", "Expunging", "Expunged")
ROOT, FIRST_DATA = 0, (1, 2, 4, 5, 6)
WORDS = (
    ("pending",), ("validating",), ("executing",), ("creating_vm",), ("switching_volume", "snapshotting"), ("powering_on",),
    (), ("cleanup", "reverting"), ("completed", "failed"),
)  # fmt: skip
ORDER: Mapping[str, int] = {word: place for place, words in enumerate(WORDS) for word in words}
TESTING = WORDS.index(())  # a test that runs is `executing` for the second time
TEST_NETS = frozenset({furniture.TEST_NET})
SUBJECTS = ("id", "virtualmachineid", "volumeid", "snapshotid", "vmsnapshotid", "resourceids")
COMMANDS: Mapping[str, str] = {
    "create-guest": "deployVirtualMachine",
    "mark-guest": "createTags",
    "stop-guest": "stopVirtualMachine",
    "detach-default-root": "detachVolume",
    "delete-default-root": "deleteVolume",
    "detach-replica": "detachVolume",
    "revert-replica": "revertSnapshot",
    "snapshot-replica": "createSnapshot",
    "attach-replica": "attachVolume",
    "clone-replica": "createVolume",
    "attach-clone": "attachVolume",
    "detach-clone": "detachVolume",
    "delete-clone": "deleteVolume",
    "snapshot-guest": "createVMSnapshot",
    "revert-guest": "revertToVMSnapshot",
    "delete-guest-snapshot": "deleteVMSnapshot",
    "start-guest": "startVirtualMachine",
    "destroy-guest": "destroyVirtualMachine",
    "delete-snapshot": "deleteSnapshot",
    "delete-leftover": "deleteSnapshot",
}
ON_MACHINES = frozenset(c for c in COMMANDS.values() if c.endswith("VirtualMachine") and c != "deployVirtualMachine")


_NAMED = (
    "select guest_name, guest_id, default_root_id from fr_runs where id = ?",
    "select volume_id from fr_placements where run_id = ?",
    "select name, snapshot_id from fr_points where run_id = ?",
    "select name, clone_id from fr_clones where run_id = ?",
    "select name, snapshot_id from fr_guest_points where run_id = ?",
)


class Violation(AssertionError):
    """An invariant is broken."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A changing call on its way: the command, its plain parameters, and the journal's step behind it, if there is one."""

    command: str
    given: Mapping[str, str]
    step: Mapping[str, object] | None

    @property
    def target(self) -> str:
        """The object that it is about."""
        return next((self.given[name].lower() for name in SUBJECTS if name in self.given), "")

    def __str__(self) -> str:
        step = f"step {self.step['seq']} {self.step['word']} of {self.run}, {self.step['state']}" if self.step else "no step"
        return f"{self.command} {dict(self.given)}: {step}"

    @property
    def run(self) -> str:
        """The run that sends it, as the journal has it."""
        return str(self.step["run_id"]) if self.step else ""


@dataclass
class Watch:
    """The rules over one stage.

    `made` are the objects that runs made, with the run; `excused` what others have touched; `frozen` the runs that a person
    froze, each with the steps (number, attempt) that were under way then.
    """

    stage: Stage
    made: dict[str, str] = field(default_factory=dict)
    excused: set[str] = field(default_factory=set)
    clean: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    terminal: dict[str, tuple[object, ...]] = field(default_factory=dict)
    reached: dict[str, float] = field(default_factory=dict)
    shown: dict[str, tuple[str, int]] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    frozen: dict[str, frozenset[tuple[int, int]]] = field(default_factory=dict)
    judged: int = 0
    _known: set[str] = field(default_factory=set)
    _seen: int = 0

    def __post_init__(self) -> None:
        self.cloud, self.raw = self.stage.cloud, self.stage.raw
        self.vms = {vm.key: vm for vm in self.stage.plot.vms}
        self.owner = {volume: vm for vm in self.vms.values() for volume in vm.volumes}
        self.appliances = {furniture.appliance(vm.appliance) for vm in self.vms.values()}
        self.nics = {a: tuple(n.network for n in self.cloud.vms[a].nics) for a in self.appliances}
        self.clean = {v: self.cloud.volumes[v].content for v in self.owner}
        self._known = {*self.cloud.vms, *self.cloud.volumes, *self.cloud.networks}
        for rows in self.cloud.plain.values():
            self._known |= rows.keys()
        self.stage.arrival, self.stage.departure = self.arriving, self.answered

    # --- what it hears ------------------------------------------------------------------------------------------------

    def arriving(self, command: str, flat: dict[str, str]) -> None:
        """A call is about to arrive. What left in good order and was long on its way is judged by what comes of it."""
        self.strangers()
        if not is_mutating(command) or self.stage.late:
            return
        plain = {k.lower(): v for k, v in flat.items()}
        sent = Sent(command, plain, self._step(command, plain))
        self._judge(CALLS, sent)
        self.sent.add(plain.get("customjobid", ""))

    def answered(self, command: str, flat: dict[str, str], reply: Reply | None) -> None:
        """The call was carried out, or not."""
        self.strangers(command, flat)
        if is_mutating(command):
            plain = {k.lower(): v for k, v in flat.items()}
            step = self._step(command, plain)
            self._note_made(str(step["run_id"]) if step else "")
        self.looked()

    def looked(self) -> None:
        """The world as it is now."""
        self.judged += 1
        for name, rule in STATES.items():
            for broken in rule(self):
                raise self._violation(name, broken)

    def round_over(self) -> None:
        """A round is over: the journal is at rest, and what has ended is looked at for the first time."""
        self.strangers()
        self.looked()
        for name, rule in ROUNDS.items():
            for broken in rule(self):
                raise self._violation(name, broken)
        for row in self.rows("select * from fr_runs where state in ('completed', 'rolled-back')"):
            if row["id"] not in self.ended:
                self.ended.add(str(row["id"]))
                self._judge(ENDS, row)

    def strangers(self, command: str = "", flat: Mapping[str, str] | None = None) -> None:
        """Notice what others did meanwhile: whatever they touched is excused from the rules about states.

        `command` and `flat` are a call of the product itself that has just been answered, and is no stranger's.
        """
        fresh, self._seen = self.cloud.trace[self._seen :], len(self.cloud.trace)
        ours = next((c for c in reversed(fresh) if c.params == {"command": command, **(flat or {})}), None)
        for call in fresh:
            if call is not ours and is_mutating(call.command) and call.status == 200:
                self.excused |= {v.lower() for v in call.params.values()}
                self.stage.note(f"somebody: {call.command} {dict(call.params)}")
                self._note_made("")

    def freeze(self, vm: plots.Vm) -> None:
        """A person has frozen the run of this VM."""
        run = self.run_of(vm)
        if run is not None:
            query = "select seq, attempts from fr_steps where run_id = ? and state in ('started', 'waiting')"
            self.frozen[run["id"]] = frozenset((row["seq"], row["attempts"]) for row in self.rows(query, run["id"]))

    def thaw(self, vm: plots.Vm) -> None:
        """A person is about to say how the run of this VM goes on."""
        run = self.run_of(vm)
        if run is not None:
            self.frozen.pop(run["id"], None)

    def _judge(self, rules: Mapping[str, Callable[..., Iterator[str]]], what: object) -> None:
        for name, rule in rules.items():
            for broken in rule(self, what):
                raise self._violation(name, f"{broken} ({what if isinstance(what, Sent) else dict(what)})")

    def _violation(self, name: str, broken: str) -> Violation:
        return Violation(f"{name} {rule_text(name)}: {broken}")

    # --- what is known ------------------------------------------------------------------------------------------------

    def rows(self, query: str, *given: object) -> list[sqlite3.Row]:
        """Rows of the database, past the product."""
        cursor = self.raw.cursor()
        cursor.row_factory = sqlite3.Row
        return cursor.execute(query, given).fetchall()

    def _step(self, command: str, plain: Mapping[str, str]) -> sqlite3.Row | None:
        """The step in the journal that stands behind a call; only steps whose intent is written count."""
        if "customjobid" in plain:
            found = self.rows("select * from fr_steps where custom_job_id = ?", plain["customjobid"])
        else:
            query = (
                "select s.* from fr_steps s join fr_runs r on r.id = s.run_id "
                "left join fr_clones c on c.run_id = r.id and c.volume_id = s.subject "
                "where s.state = 'started' and s.word in ('delete-default-root', 'delete-clone') "
                "and coalesce(c.clone_id, r.default_root_id) = ?"
            )
            found = self.rows(query, plain.get("id"))
        return found[0] if found else None

    def _note_made(self, run: str) -> None:
        for table in (self.cloud.vms, self.cloud.volumes, self.cloud.snapshots, self.cloud.vm_snapshots):
            for ident in table.keys() - self._known:
                self.made[ident] = run
                self._known.add(ident)
                if not run:
                    self.excused.add(ident)

    def guests(self, run: str | None = None) -> Iterator[Vm]:
        """The guests that runs made and that are still there."""
        for ident, of in self.made.items():
            vm = self.cloud.vms.get(ident)
            if vm is not None and not vm.removed and of and run in (None, of):
                yield vm

    def run_of(self, vm: plots.Vm) -> sqlite3.Row | None:
        """The run of this VM that has not ended."""
        found = self.rows("select * from fr_runs where open_of = ?", vm.key)
        return found[0] if found else None

    def skips_checks(self, run: str) -> bool:
        """Whether the spec of this run asks for checks to be left out."""
        spec = json.loads(self.rows("select spec from fr_runs where id = ?", run)[0]["spec"])
        return spec.get("skip_validation") is not None

    def is_written(self, volume: str) -> bool:
        """Whether the replica holds anything else than what was replicated."""
        return self.cloud.content_of(self.cloud.volumes[volume]) != self.clean[volume]

    def replication_goes_on(self, vm: plots.Vm) -> bool:
        """Whether the replication system works on this VM now."""
        return bool(self.rows("select 1 from replication_jobs where source_vm_id = ? and status = 'replicating'", vm.key))

    def is_marked(self, ident: str, run: str) -> bool:
        """Whether an object bears the mark of that run."""
        tables = (self.cloud.vms, self.cloud.volumes, self.cloud.snapshots)
        return any(table[ident].tags.get(MARK) == run for table in tables if ident in table)

    def left_over(self) -> list[str]:
        """What runs made and is still there."""
        return [ident for ident in self.made if _is_there(self, ident)]

    def names(self, run: str, ident: str) -> bool:
        """Whether the journal of this run names that object, by its id or by its name."""
        tables = (self.cloud.vms, self.cloud.volumes, self.cloud.snapshots, self.cloud.vm_snapshots)
        known = {ident, *(table[ident].name for table in tables if ident in table)}
        return any(cell in known for query in _NAMED for row in self.rows(query, run) for cell in row)

    def pending_on(self, ident: str) -> list[str]:
        """The commands of our own jobs about this object that have not ended."""
        return [j.command for j in self.cloud.jobs.pending if j.id in self.sent and j.instance_id == ident]


# --- rules about calls ------------------------------------------------------------------------------------------------


def journal_first(watch: Watch, sent: Sent) -> Iterator[str]:
    """Executed is a part of approved: no call without a step whose intent is written, and which says just this."""
    if sent.step is None:
        yield f"{sent.command} has no step in the journal"
        return
    if sent.step["state"] != "started":
        yield f"its step is {sent.step['state']}, not started"
    if COMMANDS.get(str(sent.step["word"])) != sent.command:
        yield f"its step is {sent.step['word']}"
    said = json.loads(str(sent.step["action"])).get("volume_id")
    named = {v.lower() for v in sent.given.values()}
    if sent.step["word"] in ("detach-replica", "attach-replica", "snapshot-replica") and said not in named:
        yield f"its step is about {said}"
    if sent.step["direction"] == "there" and not _is_approved(watch, sent.step):
        yield f"{sent.step['word']} {said or ''} is in no approved plan"


def _is_approved(watch: Watch, step: Mapping[str, object]) -> bool:
    query = "select s.plan from fr_specs s join fr_runs r on r.vm_key = s.vm_key where r.id = ?"
    action = json.loads(str(step["action"]))
    plans = (json.loads(str(row["plan"])) for row in watch.rows(query, step["run_id"]))
    return any(_is_in(action, planned) for plan in plans for planned in plan["steps"])


def _is_in(action: Mapping[str, object], planned: Mapping[str, object]) -> bool:
    said = planned.get("action")
    whole = said if isinstance(said, Mapping) else planned
    return all(whole.get(name) == value for name, value in action.items())


def ids_are_known(watch: Watch, sent: Sent) -> Iterator[str]:
    """Every id came from an answer or the database: it is, or was, the id of something."""
    for name in SUBJECTS:
        if name in sent.given and sent.given[name].lower() not in watch._known:
            yield f"{name}={sent.given[name]}"


def only_ours(watch: Watch, sent: Sent) -> Iterator[str]:
    """Nothing is changed that is neither a replica of the run's VM nor made by the run, or at least marked with it."""
    if sent.command == "deployVirtualMachine" or sent.step is None:
        return
    vm = watch.vms[_key_of(watch, sent.run)]
    target, of = sent.target, watch.made.get(sent.target)
    if sent.command in ("revertSnapshot", "deleteSnapshot", "createVolume"):
        snapshot = watch.cloud.snapshots.get(target)
        if snapshot is not None and snapshot.volume not in vm.volumes:
            yield f"{target} is a snapshot of {snapshot.volume}, which is not of {vm.name}"
    if target not in vm.volumes and of != sent.run and not watch.is_marked(target, sent.run):
        yield f"{target} is not of this run, but of {of or 'somebody else'}"
    there = sent.given.get("virtualmachineid", "").lower()
    home = furniture.appliance(vm.appliance)
    if sent.command == "attachVolume" and there != home and watch.made.get(there) != sent.run:
        yield f"it goes to {there}"


def _key_of(watch: Watch, run: str) -> str:
    return str(watch.rows("select vm_key from fr_runs where id = ?", run)[0]["vm_key"])


def replicas_are_kept(watch: Watch, sent: Sent) -> Iterator[str]:
    """No protected volume is ever deleted."""
    if sent.command == "deleteVolume" and sent.target in watch.owner:
        yield f"{sent.target} is a replica"


def nothing_hangs_on_what_goes(watch: Watch, sent: Sent) -> Iterator[str]:
    """No VM goes while a protected volume hangs on it, or is on its way to it."""
    if sent.command != "destroyVirtualMachine":
        return
    vm = watch.cloud.vms.get(sent.target)
    for volume in watch.cloud.attached(vm) if vm is not None else ():
        if volume.id in watch.owner:
            yield f"{volume.id} hangs on {sent.target}"
        elif watch.made.get(volume.id) != sent.run and volume.id not in watch.excused:
            yield f"{volume.id} hangs on {sent.target}, and this run did not make it"
    for job in watch.cloud.jobs.pending:
        if job.command == "attachVolume" and job.id in watch.sent and job.instance_id in watch.owner:
            params = next((c.params for c in reversed(watch.cloud.trace) if c.params.get("customjobid") == job.id), {})
            if params.get("virtualmachineid") == sent.target:
                yield f"{job.instance_id} is on its way to {sent.target}"


def appliances_are_left_alone(watch: Watch, sent: Sent) -> Iterator[str]:
    """Nothing is done to an appliance but hanging replicas on and off, never at device 0."""
    if sent.target in watch.appliances:
        yield f"{sent.command} of an appliance"
    there = sent.given.get("virtualmachineid", "").lower()
    if sent.command == "attachVolume" and there in watch.appliances:
        if sent.given.get("deviceid") in (None, "0"):
            yield f"device {sent.given.get('deviceid')} of an appliance"
        if sent.target not in watch.owner:
            yield f"{sent.target} is no replica"


def points_are_kept(watch: Watch, sent: Sent) -> Iterator[str]:
    """A rollback point goes only when what it protects is clean again."""
    if sent.command == "deleteSnapshot":
        row = watch.cloud.snapshots.get(sent.target)
        if row is not None and row.volume in watch.owner and watch.is_written(row.volume) and row.state == "BackedUp":
            yield f"{row.volume} is written"
    if sent.command == "deleteVMSnapshot":
        kept = watch.cloud.vm_snapshots.get(sent.target)
        written = [v for v in (kept.contents if kept else ()) if v in watch.owner and watch.is_written(v)]
        if kept is not None and kept.state == "Ready" and written:
            yield f"{written[0]} is written"


def whole_before_start(watch: Watch, sent: Sent) -> Iterator[str]:
    """No guest starts before every disk hangs at its place."""
    if sent.command != "startVirtualMachine" or sent.step is None:
        return
    vm = watch.vms[_key_of(watch, sent.run)]
    guest = watch.cloud.vms[sent.target]
    hanging = {v.device: v for v in watch.cloud.attached(guest)}
    for volume, device in zip(vm.volumes, (ROOT, *FIRST_DATA), strict=False):
        found = hanging.get(device)
        if found is None or (found.id != volume and not _is_clone_of(watch, found, volume)):
            yield f"at device {device} is {found.id if found else 'nothing'}, not {volume}"
    if len(hanging) != vm.disks:
        yield f"{len(hanging)} disks hang on it, not {vm.disks}"


def _is_clone_of(watch: Watch, volume: Volume, replica: str) -> bool:
    found = watch.rows("select 1 from fr_clones where clone_id = ? and volume_id = ?", volume.id, replica)
    return bool(found) and volume.id not in watch.owner


def points_before_writes(watch: Watch, sent: Sent) -> Iterator[str]:
    """No replica may be written before its rollback point is ready, and holds what is on it."""
    if sent.command != "startVirtualMachine":
        return
    for volume in watch.cloud.attached(watch.cloud.vms[sent.target]):
        if volume.id in watch.owner and not any(_holds(row, volume) for row in _points(watch, volume)):
            yield f"{volume.id} has no rollback point"


def _points(watch: Watch, volume: Volume) -> Iterator[Snapshot | VmSnapshot]:
    yield from watch.cloud.snapshots_of(volume)
    yield from watch.cloud.snapshot_rows(watch.cloud.vms[volume.vm or ""])


def _holds(point: Snapshot | VmSnapshot, volume: Volume) -> bool:
    if isinstance(point, Snapshot):
        return point.state == "BackedUp" and point.content == volume.content
    return point.state == "Ready" and point.contents.get(volume.id) == volume.content


def only_test_networks(watch: Watch, sent: Sent) -> Iterator[str]:
    """A test guest is made on test networks only, and starts on no other."""
    if sent.command == "deployVirtualMachine":
        wanted = {v.lower() for k, v in sent.given.items() if k.startswith("networkids")}
        if not wanted or not {n for value in wanted for n in value.split(",")} <= TEST_NETS:
            yield f"networks {sorted(wanted)}"
    if sent.command == "startVirtualMachine":
        cards = {n.network for n in watch.cloud.vms[sent.target].nics if not n.removed}
        if not cards <= TEST_NETS:
            yield f"it has cards on {sorted(cards - TEST_NETS)}"


def replication_is_idle(watch: Watch, sent: Sent) -> Iterator[str]:
    """Replicas are not moved, snapshotted or lent while the replication system works on their VM."""
    if sent.step is None or sent.target not in watch.owner or sent.step["direction"] != "there":
        return
    if sent.command in ("detachVolume", "attachVolume") and watch.replication_goes_on(watch.owner[sent.target]):
        yield f"{sent.command} of {sent.target} during replication"


def one_move_at_a_time(watch: Watch, sent: Sent) -> Iterator[str]:
    """Never two moves of one volume outstanding: a late one would take it off the next machine."""
    if sent.command in ("detachVolume", "attachVolume"):
        pending = [c for c in watch.pending_on(sent.target) if c in ("detachVolume", "attachVolume")]
        if pending:
            yield f"{pending[0]} of {sent.target} is still pending"


def one_place(watch: Watch, sent: Sent) -> Iterator[str]:
    """No volume is hung on a second machine."""
    volume = watch.cloud.volumes.get(sent.target)
    if sent.command == "attachVolume" and volume is not None and volume.vm is not None and volume.id not in watch.excused:
        yield f"{volume.id} hangs on {volume.vm}"


def clean_goes_home(watch: Watch, sent: Sent) -> Iterator[str]:
    """A written replica does not go home while it can still be reverted."""
    there = sent.given.get("virtualmachineid", "").lower()
    if sent.command == "attachVolume" and there in watch.appliances and watch.is_written(sent.target):
        volume = watch.cloud.volumes[sent.target]
        points = [s for s in watch.cloud.snapshots_of(volume) if s.state == "BackedUp"]
        if points and watch.made.get(points[0].id) == sent.run:
            yield f"{volume.id} is written, and {points[0].id} could revert it"


def frozen_begins_nothing(watch: Watch, sent: Sent) -> Iterator[str]:
    """A frozen run begins nothing: only what was under way when a person froze it is still on its way."""
    if sent.step is None or not _is_held(watch, sent.run):
        return
    if (sent.step["seq"], sent.step["attempts"]) not in watch.frozen[sent.run]:
        yield f"{sent.step['word']} was begun after a person froze {sent.run}"


def _is_held(watch: Watch, run: str) -> bool:
    """Whether a person froze this run, its test has not begun since, and nobody else has touched its guest."""
    if run not in watch.frozen or watch.rows("select running_since from fr_runs where id = ?", run)[0][0] is not None:
        return False
    return not any(ident in watch.excused for ident in watch.made if watch.made[ident] == run and ident in watch.cloud.vms)


def skipping_spares_no_rule(watch: Watch, sent: Sent) -> Iterator[str]:
    """`skip_validation` leaves out checks, never an invariant: a run whose spec asks for that breaks no rule about calls."""
    if sent.step is None or not watch.skips_checks(sent.run):
        return
    for name, rule in CALLS.items():
        if rule is not skipping_spares_no_rule:
            yield from (f"{name}: {broken}" for broken in rule(watch, sent))


# --- rules about states -----------------------------------------------------------------------------------------------


def replicas_exist(watch: Watch) -> Iterator[str]:
    """No replica is ever lost."""
    for ident in watch.owner:
        volume = watch.cloud.volumes[ident]
        if (volume.removed or volume.state in LOST) and ident not in watch.excused:
            yield f"{ident} is {'removed' if volume.removed else volume.state}"


def replicas_have_a_home(watch: Watch) -> Iterator[str]:
    """A replica hangs on its appliance or on the guest of its run, or the journal says that its move is under way."""
    for ident, vm in watch.owner.items():
        volume = watch.cloud.volumes[ident]
        if volume.vm == furniture.appliance(vm.appliance) or ident in watch.excused or volume.removed:
            continue
        run = watch.run_of(vm)
        if run is None:
            yield f"{ident} is on {volume.vm or 'nothing'}, and no run of {vm.name} is open"
        elif volume.vm is not None and watch.made.get(volume.vm) != run["id"]:
            yield f"{ident} is on {volume.vm}"
        elif volume.vm is None and not _is_moving(watch, str(run["id"]), ident):
            yield f"{ident} is on nothing, and no move of it is written down"


def _is_moving(watch: Watch, run: str, volume: str) -> bool:
    query = "select 1 from fr_steps where run_id = ? and subject = ? and word = 'detach-replica' and state <> 'pending'"
    return bool(watch.rows(query, run, volume)) or bool(
        watch.rows(query.replace("<>", "=") + " and attempts > 0", run, volume)
    )


def appliances_are_whole(watch: Watch) -> Iterator[str]:
    """An appliance runs, with its own root at device 0 and its own cards."""
    for ident in watch.appliances - watch.excused:
        vm = watch.cloud.vms[ident]
        roots = [v.id for v in watch.cloud.attached(vm) if v.device == 0]
        if vm.state != "Running" or vm.removed:
            yield f"{ident} is {vm.state}"
        if roots != [f"d{ident[1:]}"]:
            yield f"{ident} has {roots} at device 0"
        if tuple(n.network for n in vm.nics if not n.removed) != watch.nics[ident]:
            yield f"{ident} has other cards"


def guests_are_apart(watch: Watch) -> Iterator[str]:
    """No guest that a run made has a card on a network that is not a test network."""
    for vm in watch.guests():
        cards = {n.network for n in vm.nics if not n.removed}
        if not cards <= TEST_NETS and vm.id not in watch.excused:
            yield f"{vm.name} has cards on {sorted(cards - TEST_NETS)}"


def what_runs_is_protected(watch: Watch) -> Iterator[str]:
    """While a guest runs, each replica on it has its rollback point."""
    for vm in watch.guests():
        if vm.state != "Running" or vm.id in watch.excused:
            continue
        for volume in watch.cloud.attached(vm):
            if volume.id not in watch.owner or volume.id in watch.excused:
                continue
            points = [p for p in _points(watch, volume) if p.state in ("BackedUp", "Ready")]
            if not points and not any(s in watch.excused for s in watch.made):
                yield f"{volume.id} on {vm.name} has no rollback point"


# --- rules about rounds -----------------------------------------------------------------------------------------------


def one_run_a_vm(watch: Watch) -> Iterator[str]:
    """One run that has not ended, at the most, for every VM."""
    query = "select vm_key, count(*) n from fr_runs where state not in ('completed', 'rolled-back') group by vm_key"
    for row in watch.rows(query):
        if row["n"] > 1:
            yield f"{row['vm_key']} has {row['n']} runs"


def budgets_hold(watch: Watch) -> Iterator[str]:
    """No more runs on their way there than are allowed."""
    query = "select count(*) n from fr_runs where direction = 'there' and state in ('running', 'paused', 'stuck')"
    found = watch.rows(query)[0]["n"]
    if found > watch.stage.plot.max_runs:
        yield f"{found} runs, {watch.stage.plot.max_runs} allowed"


def only_tests(watch: Watch) -> Iterator[str]:
    """A live failover, which would need its source fenced, is not offered: there is none."""
    for row in watch.rows("select id, kind from fr_runs where kind <> 'test'"):
        yield f"{row['id']} is {row['kind']}"


def ended_once(watch: Watch) -> Iterator[str]:
    """What is shown as over stays as it is."""
    rows = watch.rows("select * from failover_jobs where completed_at is not null")
    for row in rows:
        was = watch.terminal.setdefault(row["job_id"], tuple(row))
        if was != tuple(row):
            yield f"{row['job_id']} was {was}, is {tuple(row)}"
    if len(rows) < len(watch.terminal):
        yield "a job that was over is shown as going on"


def progress_only_rises(watch: Watch) -> Iterator[str]:
    """The progress of a run never falls, and stands between 70 and 84 while its test runs.

    A run that is on its way back because it failed keeps what it had reached until the way back has passed that.
    """
    for row in watch.rows("select id, state, direction, progress from fr_runs"):
        before = watch.reached.get(row["id"], 0.0)
        if row["progress"] < before:
            yield f"{row['id']} was at {before}, is at {row['progress']}"
        watch.reached[row["id"]] = row["progress"]
        if row["state"] == "holding" and not 70 <= row["progress"] <= 84:
            yield f"{row['id']} is at {row['progress']} while its test runs"
        if not 0 <= row["progress"] <= 100:
            yield f"{row['id']} is at {row['progress']} of 100"


def statuses_in_their_order(watch: Watch) -> Iterator[str]:
    """What `failover_jobs` shows of a run goes on in the documented order of words, and never back in it."""
    query = "select f.job_id, f.status, r.state from failover_jobs f join fr_runs r on r.id = f.job_id"
    for row in watch.rows(query):
        runs = row["status"] == "executing" and row["state"] == "holding"
        now = row["status"], TESTING if runs else ORDER.get(row["status"], -1)
        was = watch.shown.get(row["job_id"], now)
        if now[1] < was[1] and not (was[1] == TESTING and row["status"] == "executing"):
            yield f"{row['job_id']} was {was[0]}, is {row['status']}"
        watch.shown[row["job_id"]] = now


def frozen_stays(watch: Watch) -> Iterator[str]:
    """A frozen run stays at its safe point until a person says how it goes on, or its test has begun already."""
    for ident in (ident for ident in watch.frozen if _is_held(watch, ident)):
        (run,) = watch.rows("select state, direction, not_before from fr_runs where id = ?", ident)
        if tuple(run) != ("paused", "there", None):
            yield f"{ident} was frozen, is {run['state']} on its way {run['direction']} until {run['not_before']}"


def stopped_with_a_reason(watch: Watch) -> Iterator[str]:
    """No run waits for a person without saying for what."""
    for row in watch.rows("select id, state, reason from fr_runs where state in ('stuck', 'paused')"):
        if not row["reason"]:
            yield f"{row['id']} is {row['state']} without a reason"


# --- rules about ends -------------------------------------------------------------------------------------------------


def done_is_clean(watch: Watch, run: Mapping[str, object]) -> Iterator[str]:
    """A run that has ended left nothing behind, and its replicas hang where they belong."""
    vm = watch.vms[str(run["vm_key"])]
    for ident in vm.volumes:
        volume = watch.cloud.volumes[ident]
        if volume.vm != furniture.appliance(vm.appliance) and ident not in watch.excused:
            yield f"{ident} is on {volume.vm or 'nothing'}"
    for ident, of in watch.made.items():
        if of == run["id"] and ident not in watch.excused and _is_there(watch, ident):
            yield f"{ident} is left over"
    shown = watch.rows("select status from failover_jobs where job_id = ?", run["id"])
    wanted = "failed" if run["failed"] else "completed"
    if [row["status"] for row in shown] != [wanted]:
        yield f"it is shown as {[row['status'] for row in shown]}, not {wanted}"


def _is_there(watch: Watch, ident: str) -> bool:
    cloud = watch.cloud
    vm, volume = cloud.vms.get(ident), cloud.volumes.get(ident)
    snapshot, row = cloud.snapshots.get(ident), cloud.vm_snapshots.get(ident)
    if vm is not None:
        return not vm.removed and vm.state not in GONE
    if volume is not None:
        bin_it_lies_in = cloud.vms.get(volume.vm or "")
        in_bin = bin_it_lies_in is not None and bin_it_lies_in.state in GONE
        return not volume.removed and volume.state not in LOST and not in_bin
    if snapshot is not None:
        return not snapshot.removed and snapshot.state not in ("Destroyed", "Error")
    return row is not None and not row.removed


def dirty_is_told(watch: Watch, run: Mapping[str, object]) -> Iterator[str]:
    """A replica that holds a test's writes is never taken for ready."""
    vm = watch.vms[str(run["vm_key"])]
    written = [v for v in vm.volumes if watch.is_written(v) and not watch.cloud.volumes[v].removed]
    told = {row["volume_id"] for row in watch.rows("select volume_id from fr_dirty where vm_key = ?", vm.key)}
    for volume in written:
        if volume not in told:
            yield f"{volume} is written, and nobody says so"
    status = watch.rows("select current_status from vm_replication_contexts where vmware_vm_id = ?", vm.key)[0][0]
    if written and status == "ready_for_failover":
        yield f"{vm.name} is shown as ready"


# --- the tables -------------------------------------------------------------------------------------------------------

CALLS: Mapping[str, Callable[[Watch, Sent], Iterator[str]]] = {
    "INV-15": skipping_spares_no_rule,
    "I4": journal_first,
    "I1": only_ours,
    "INV-11": ids_are_known,
    "INV-02": replicas_are_kept,
    "INV-03": nothing_hangs_on_what_goes,
    "INV-04": appliances_are_left_alone,
    "INV-05": points_are_kept,
    "INV-06": whole_before_start,
    "INV-07 I5": points_before_writes,
    "INV-08": only_test_networks,
    "INV-10": replication_is_idle,
    "INV-12": one_move_at_a_time,
    "I2": one_place,
    "INV-14 (home)": clean_goes_home,
    "frozen": frozen_begins_nothing,
}
STATES: Mapping[str, Callable[[Watch], Iterator[str]]] = {
    "INV-02 (state)": replicas_exist,
    "INV-01": replicas_have_a_home,
    "INV-04 (state)": appliances_are_whole,
    "I6": guests_are_apart,
    "INV-07 (state)": what_runs_is_protected,
}
ROUNDS: Mapping[str, Callable[[Watch], Iterator[str]]] = {
    "INV-12 (runs)": one_run_a_vm,
    "I7": budgets_hold,
    "I3 INV-09": only_tests,
    "INV-13": ended_once,
    "S-11": progress_only_rises,
    "S-10": statuses_in_their_order,
    "frozen (runs)": frozen_stays,
    "liveness": stopped_with_a_reason,
}
ENDS: Mapping[str, Callable[[Watch, Mapping[str, object]], Iterator[str]]] = {
    "INV-13 (end)": done_is_clean,
    "INV-14": dirty_is_told,
}


@cache
def rule_text(name: str) -> str:
    """What the rule of this name says."""
    every: dict[str, Callable[..., Iterator[str]]] = {**CALLS, **STATES, **ROUNDS, **ENDS}
    return (every[name].__doc__ or "").split(".")[0]
