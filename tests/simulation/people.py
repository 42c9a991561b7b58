"""What others do: people with the cloud's own console and the replication system behind the product's back, and operators.

A plot says what is done and when; on which object is drawn from what is there at that moment. What people touch is excused
by `invariants` from the rules about states. The replication system keeps its part of the contract: it works on a VM only
while that VM's context is ready. Operators use the product's own commands, in the midst of a run: they freeze it, let it go
on, roll it back, and say what became of a step that is stuck, rightly or wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from random import Random
from typing import TypeVar

from plans.plan import Plan
from reconciler import operations
from reconciler.verdicts import Verdict
from reconciler.wiring import Connected
from simulator.faults import ConnectionCut
from simulator.model import Snapshot, Vm, Volume
from tests.simulation import furniture, plots
from tests.simulation.invariants import Watch
from tests.simulation.stage import ACCOUNT, Stage

T = TypeVar("T")
TAKES = timedelta(seconds=240)
SLOWEST_ANSWER = 600.0
OPERATOR = "an operator"


class People:
    """Everybody else on this stage."""

    def __init__(self, stage: Stage, watch: Watch) -> None:
        self.stage, self.watch, self.cloud = stage, watch, stage.cloud
        self.luck: Random = stage.luck
        self.by_change: dict[int, list[str]] = {}
        for deed in stage.plot.deeds:
            self.by_change.setdefault(deed.nth, []).append(deed.what)
        self.done: list[str] = []
        self.syncs: dict[str, float] = {}
        self.answers: list[tuple[float, str, plots.Vm]] = []
        self.willing: list[str] = []
        self.begun = 0
        self.next_sync = stage.plot.replication
        stage.people = self.changes

    def changes(self, number: int) -> None:
        """The product is about to make its nth change."""
        for what in self.by_change.pop(number, ()):
            if DEEDS[what](self):
                self.done.append(what)

    def _one(self, found: Sequence[T]) -> T | None:
        return self.luck.choice(found) if found else None

    def call(self, command: str, **given: object) -> bool:
        """A call of a person at the console of the same account; the faults of the plot strike it like any other."""
        try:
            done = self.cloud.as_account(ACCOUNT).call(command, **given).status == 200
        except ConnectionCut:
            done = False
        self.watch.strangers()
        return done

    @property
    def moments(self) -> Iterator[float]:
        """When somebody does something by the clock."""
        yield from self.syncs.values()
        yield from (at for at, _, _ in self.answers)

    # --- whom it can happen to ----------------------------------------------------------------------------------------

    def guest(self, state: str | None = None) -> Vm | None:
        return self._one([vm for vm in self.watch.guests() if state in (None, vm.state) and vm.state != "Destroyed"])

    def replica(self, where: Callable[[Volume], bool]) -> Volume | None:
        return self._one([v for v in map(self.cloud.volumes.__getitem__, self.watch.owner) if where(v)])

    def point(self) -> Snapshot | None:
        return self._one([s for s in self.cloud.snapshots.values() if s.state == "BackedUp" and not s.removed])

    def ours(self) -> Iterator[Volume]:
        """Volumes that runs made."""
        for ident, run in self.watch.made.items():
            volume = self.cloud.volumes.get(ident)
            if volume is not None and not volume.removed and run:
                yield volume

    # --- the replication system ---------------------------------------------------------------------------------------

    def replicate(self) -> bool:
        """A sync begins for a VM whose context is ready."""
        ready = [vm for vm in self.stage.plot.vms if self._is_ready(vm)]
        vm = self._one(ready)
        if vm is None:
            return False
        self.begun += 1
        job = f"sync-{vm.number}-{self.begun}"
        row = {"id": job, "source_vm_id": vm.key, "source_vm_name": vm.name, "vcenter_host": "vc", "status": "replicating"}
        furniture.insert(self.stage.raw, "replication_jobs", {**row, "created_at": self._stamp()})
        self._context(vm, "replicating")
        self.syncs[job] = self.stage.seconds + TAKES.total_seconds()
        self.stage.note(f"{job} begins")
        return True

    def _is_ready(self, vm: plots.Vm) -> bool:
        query = "select current_status from vm_replication_contexts where vmware_vm_id = ?"
        return self.watch.rows(query, vm.key)[0][0] == "ready_for_failover" and not self.watch.replication_goes_on(vm)

    def _context(self, vm: plots.Vm, status: str) -> None:
        query = "update vm_replication_contexts set current_status = ? where vmware_vm_id = ?"
        self.stage.raw.execute(query, (status, vm.key))

    def _stamp(self) -> str:
        return self.stage.now.strftime("%Y-%m-%d %H:%M:%S.%f")

    def time_passes(self) -> None:
        """Syncs begin and end by the clock, and operators answer what asks for a person."""
        interval = self.stage.plot.replication
        if interval and not self.stage.quiet and self.stage.seconds >= self.next_sync:
            self.next_sync = self.stage.seconds + interval
            self.replicate()
        for job in [j for j, until in self.syncs.items() if until <= self.stage.seconds]:
            self._synced(job)
        self._asked()
        for at, what, vm in [answer for answer in self.answers if answer[0] <= self.stage.seconds]:
            self.answers.remove((at, what, vm))
            if ANSWERS[what](self, vm):
                self.done.append(what)

    def _synced(self, job: str) -> None:
        """What is new on the source is on the replicas now."""
        del self.syncs[job]
        vm = next(v for v in self.stage.plot.vms if job.split("-")[1] == str(v.number))
        self.stage.raw.execute("update replication_jobs set status = 'completed' where id = ?", (job,))
        for disk, ident in enumerate(vm.volumes):
            volume = self.cloud.volumes[ident]
            if volume.vm == furniture.appliance(vm.appliance) and not self.watch.is_written(ident):
                volume.content = self.watch.clean[ident] = sha256(f"{volume.content}/{job}".encode()).hexdigest()[:16]
            good = {"job_id": job, "disk_id": f"disk-{2000 + disk}", "change_id": furniture.CHANGE_ID, "sync_success": 1}
            furniture.insert(self.stage.raw, "cbt_history", {**good, "created_at": self._stamp()})
        if (
            self.watch.rows("select current_status from vm_replication_contexts where vmware_vm_id = ?", vm.key)[0][0]
            == "replicating"
        ):
            self._context(vm, "ready_for_failover")
        self.stage.note(f"{job} is done")

    # --- operators ----------------------------------------------------------------------------------------------------

    def later(self, what: str, vm: plots.Vm) -> None:
        """In a while an operator gives that answer."""
        self.answers.append((self.stage.seconds + self.luck.uniform(1, SLOWEST_ANSWER), what, vm))

    def _asked(self) -> None:
        """Whoever is willing to answer does it in a while, once somebody asks."""
        for what in list(self.willing):
            asks = [vm for vm in self.stage.plot.vms if self._asks(what, vm)]
            if asks:
                self.willing.remove(what)
                self.later(what, self.luck.choice(asks))

    def _asks(self, what: str, vm: plots.Vm) -> bool:
        run = self.watch.run_of(vm)
        wanted = {"go-on": "paused", "resolve": "stuck"}[what]
        return run is not None and run["state"] == wanted and run["id"] not in self.watch.frozen


# --- deeds ------------------------------------------------------------------------------------------------------------


def _detach(people: People) -> bool:
    volume = people.replica(lambda v: v.vm is not None)
    return volume is not None and people.call("detachVolume", id=volume.id)


def _attach_home(people: People) -> bool:
    volume = people.replica(lambda v: v.vm is None and not v.removed)
    if volume is None:
        return False
    return people.call("attachVolume", id=volume.id, virtualmachineid=people.stage.places[volume.id][0])


def _delete_point(people: People) -> bool:
    point = people.point()
    return point is not None and people.call("deleteSnapshot", id=point.id)


def _revert_point(people: People) -> bool:
    point = people.point()
    return point is not None and people.call("revertSnapshot", id=point.id)


def _stop_guest(people: People) -> bool:
    guest = people.guest("Running")
    return guest is not None and people.call("stopVirtualMachine", id=guest.id)


def _start_guest(people: People) -> bool:
    guest = people.guest("Stopped")
    return guest is not None and people.call("startVirtualMachine", id=guest.id)


def _power_off(people: People) -> bool:
    guest = people.guest("Running")
    if guest is not None:
        people.cloud.power_off(guest.id)
        people.watch.excused.add(guest.id)
    return guest is not None


def _destroy_guest(people: People) -> bool:
    """Somebody throws the guest away, but nobody is so careless as to do it with a replica on it."""
    guest = people.guest()
    if guest is None or any(v.id in people.watch.owner for v in people.cloud.attached(guest)):
        return False
    return people.call("destroyVirtualMachine", id=guest.id)


def _snapshot_guest(people: People) -> bool:
    guest = people.guest()
    return guest is not None and people.call("createVMSnapshot", virtualmachineid=guest.id, name="somebody's")


def _snapshot_appliance(people: People) -> bool:
    ident = people._one(sorted(people.watch.appliances))
    return people.call("createVMSnapshot", virtualmachineid=ident, name="somebody's", snapshotmemory=True)


def _delete_guest_point(people: People) -> bool:
    row = people._one([s for s in people.cloud.vm_snapshots.values() if not s.removed])
    return row is not None and people.call("deleteVMSnapshot", vmsnapshotid=row.id)


def _production_card(people: People) -> bool:
    guest = people.guest("Stopped")
    if guest is None:
        return False
    return people.call("addNicToVirtualMachine", virtualmachineid=guest.id, networkid=furniture.PRODUCTION_NET)


def _strange_disk(people: People) -> bool:
    guest = people.guest()
    made = people._one([v for v in people.ours() if v.vm is None])
    if guest is None or made is None:
        return False
    return people.call("attachVolume", id=made.id, virtualmachineid=guest.id)


def _delete_clone(people: People) -> bool:
    made = people._one([v for v in people.ours() if v.vm is None])
    return made is not None and people.call("deleteVolume", id=made.id)


def _context(people: People) -> bool:
    """Somebody sets a VM's context by hand, in the replication system's database."""
    vm = people._one(people.stage.plot.vms)
    people._context(vm, people.luck.choice(("replicating", "failed", "discovered")))
    return True


def _untag(people: People) -> bool:
    guest = people.guest()
    return guest is not None and people.call("deleteTags", resourceids=guest.id, resourcetype="UserVm")


def _restart(people: People) -> bool:
    people.cloud.restart()
    return True


# --- commands of the product ------------------------------------------------------------------------------------------


def _freeze(people: People) -> bool:
    """An operator stops a test on its way there, and says in a while how it goes on, or never does."""
    on_the_way = [vm for vm in people.stage.plot.vms if _is_on_its_way(people.watch.run_of(vm))]
    vm = people._one(on_the_way)
    if vm is None:
        return False
    try:
        people.stage.operate(lambda product: operations.freeze(product, vm.key, OPERATOR))
    except operations.NotToFreeze as fault:
        people.stage.note(f"{vm.name} is not frozen: {fault}")
        return False
    people.watch.freeze(vm)
    people.stage.note(f"{vm.name} is frozen")
    answer = people.luck.choice(("go-on", "go-on", "roll-back", ""))
    if answer:
        people.later(answer, vm)
    return True


def _is_on_its_way(run: Mapping[str, object] | None) -> bool:
    return run is not None and run["direction"] == "there" and run["state"] != "holding"


def _roll_back(people: People) -> bool:
    vm = people._one([vm for vm in people.stage.plot.vms if people.watch.run_of(vm) is not None])
    return vm is not None and _rolled_back(people, vm)


def _rolled_back(people: People, vm: plots.Vm) -> bool:
    """An operator ends the test, whatever its run is about."""
    people.stage.note(f"{vm.name} is rolled back")
    people.watch.thaw(vm)
    people.stage.operate(lambda product: operations.end(product, vm.key, OPERATOR))
    return True


def _gone_on(people: People, vm: plots.Vm) -> bool:
    """An operator applies the spec of a run that stands at a safe point once more, as it was or not."""
    found: list[Plan] = []

    def applied(product: Connected) -> None:
        accepted = product.engine.dossier(vm.key).accepted
        plan = operations.plan_all(product, (accepted.spec,))[0] if accepted is not None and accepted.is_active else None
        if isinstance(plan, Plan) and operations.changes_anything(product, plan):
            people.watch.thaw(vm)
            operations.approve(product, plan, by=OPERATOR)
            found.append(plan)

    people.stage.operate(applied)
    people.stage.note(f"{vm.name} is to go on: {f'{len(found[0].steps)} steps' if found else 'not planned'}")
    return bool(found)


def _resolved(people: People, vm: plots.Vm) -> bool:
    """An operator says of a step that is stuck that it is done or undone, without knowing, and insists."""
    query = "select run_id, seq from fr_steps join fr_runs on id = run_id where open_of = ? and fr_steps.state = 'stuck'"
    step = people._one(people.watch.rows(query, vm.key))
    if step is None:
        return False
    verdict = people.luck.choice(tuple(Verdict))
    told: list[str] = []

    def settled(product: Connected) -> None:
        judged = operations.settle(product, step["run_id"], step["seq"], verdict, OPERATOR)
        told.append(judged.against or "a look agrees")

    people.stage.operate(settled)
    people.stage.note(f"{vm.name}: step {step['seq']} is said to be {verdict}: {''.join(told)}")
    agreed = told == ["a look agrees"]
    if not agreed:
        people.later("resolve", vm)
    return agreed


def _willing(what: str) -> Callable[[People], bool]:
    """Somebody is there who answers the next run that asks."""

    def begins(people: People) -> bool:
        people.willing.append(what)
        return False

    return begins


ANSWERS: Mapping[str, Callable[[People, plots.Vm], bool]] = {
    "go-on": _gone_on,
    "roll-back": _rolled_back,
    "resolve": _resolved,
}
DEEDS: Mapping[str, Callable[[People], bool]] = {
    "detach": _detach,
    "attach-home": _attach_home,
    "delete-point": _delete_point,
    "stop-guest": _stop_guest,
    "start-guest": _start_guest,
    "power-off": _power_off,
    "destroy-guest": _destroy_guest,
    "snapshot-guest": _snapshot_guest,
    "snapshot-appliance": _snapshot_appliance,
    "delete-guest-point": _delete_guest_point,
    "revert-point": _revert_point,
    "production-card": _production_card,
    "strange-disk": _strange_disk,
    "delete-clone": _delete_clone,
    "replicate": People.replicate,
    "context": _context,
    "untag": _untag,
    "restart": _restart,
    "freeze": _freeze,
    "roll-back": _roll_back,
    "approve": _willing("go-on"),
    "resolve": _willing("resolve"),
}
