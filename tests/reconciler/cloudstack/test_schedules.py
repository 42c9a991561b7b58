"""Random faults on a whole failover, there and back: at the end the client's view is the cloud's truth, or it says so.

`Careful` does what every user of the client must do: look, send once under a new job id, follow that job, look again; and
stop when it cannot know. It stands here so that the client is tried by itself, without the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import stamina
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from reconciler.cloudstack.errors import CloudError
from reconciler.cloudstack.outcomes import (
    CallOutcome,
    Done,
    JobFailed,
    JobPending,
    JobResult,
    JobSucceeded,
    JobUnknown,
    JobVanished,
    Refused,
)
from tests.reconciler.cloudstack import stage
from tests.reconciler.cloudstack.stage import APPLIANCE, DB3, GUEST_NAME, OFFERING, TEMPLATE, TEST_NET, ZONE, Stage

DISK = DB3[0]
TRIES, LOOKS, POLLS = 4, 20, 40
GRACE, POLL = 60, 15


class GaveUp(Exception):
    """It cannot be known, or was refused: a person is asked."""


@dataclass
class Careful:
    """One replica goes to a guest and home again, by `volume-snapshot`."""

    world: Stage

    def __post_init__(self) -> None:
        self.point = ""
        self.reverted = False

    def writer(self) -> Any:
        points = {self.point: True} if self.point else {}
        ours = {"replicas": frozenset({DISK}), "guest_devices": {DISK: 0}, "snapshots": points}
        return self.world.writer(**ours)

    # --- one step -----------------------------------------------------------------------------------------------------

    def looked(self, question: Callable[[], Any]) -> Any:
        """A look that is possible some time, or none."""
        for _ in range(LOOKS):
            try:
                return question()
            except CloudError:
                self.world.clock.advance(POLL)
        raise GaveUp("no look")

    def step(self, call: Callable[[str], CallOutcome], achieved: Callable[[], bool]) -> None:
        for _ in range(TRIES):
            if self.looked(achieved):
                return
            own = self.world.job_id()
            outcome = self.sent(lambda job=own: call(job))
            if isinstance(outcome, Refused):
                if not outcome.retryable:
                    raise GaveUp(outcome.text)
                self.world.clock.advance(POLL * 2)
            elif not isinstance(outcome, Done):
                self.follow(own, achieved)
        if not self.looked(achieved):
            raise GaveUp("tried too often")

    def sent(self, call: Callable[[], CallOutcome]) -> CallOutcome:
        try:
            return call()
        except CloudError as unseen:
            return Refused(0, str(unseen), retryable=True)

    def follow(self, own: str, achieved: Callable[[], bool]) -> None:
        """Until nothing is done for this job any more."""
        result = self.ended(own)
        if isinstance(result, JobVanished):
            self.world.clock.advance(GRACE)
            result = self.ended(own)
        if isinstance(result, JobSucceeded):
            self.learn(result)
        if isinstance(result, JobFailed) and not result.retryable:
            raise GaveUp(result.text)
        if isinstance(result, JobPending):
            raise GaveUp("it is under way for ever")
        if isinstance(result, JobUnknown) and not result.closed and not self.looked(achieved):
            raise GaveUp("nobody knows")

    def ended(self, own: str) -> JobResult:
        for _ in range(POLLS):
            result = self.looked(lambda: self.world.client.job(own))
            if not isinstance(result, JobPending):
                return result
            self.world.clock.advance(POLL)
        return JobPending()

    def learn(self, result: JobSucceeded) -> None:
        """Only a job's result tells of a revert, for its effect is inside the disk."""
        self.reverted = self.reverted or "snapshot" in result.result

    # --- there and back -----------------------------------------------------------------------------------------------

    def machine(self) -> Any:
        return next((m for m in self.world.client.machines() if m.name == GUEST_NAME), None)

    def root(self) -> bool:
        """Whether the blank root hangs on the guest; the first time it is written down."""
        guest = self.world.guest or ""
        roots = [v for v in self.world.client.volumes_of(guest) if v.id != DISK]
        self.world.root = self.world.root or (roots[0].id if roots else None)
        return bool(roots)

    def hangs(self, vm: str | None, device: int | None) -> bool:
        return self.world.hangs(DISK) == (vm, device)

    def there(self) -> None:
        client = self.world.client
        networks = (TEST_NET,)
        self.step(
            lambda j: self.writer().deploy(GUEST_NAME, "x", ZONE, TEMPLATE, OFFERING, networks, 2, 512, False, j),
            lambda: self.machine() is not None and self.machine().state == "Stopped",
        )
        self.world.guest = self.looked(self.machine).id
        self.looked(self.root)
        guest = self.world.guest or ""
        self.step(lambda j: self.writer().tag("UserVm", guest, {"run": "1"}, j), lambda: self.machine().tags == {"run": "1"})
        root = self.world.root or ""
        self.step(lambda j: self.writer().detach(root, j), lambda: not self.root())
        gone = {"Destroy", "Expunging", "Expunged"}
        self.step(
            lambda _: self.writer().delete_volume(root),
            lambda: root not in {v.id for v in client.volumes() if v.state not in gone},
        )
        self.step(lambda j: self.writer().detach(DISK, j), lambda: self.hangs(None, None))
        self.step(
            lambda j: self.writer().create_snapshot(DISK, "point", {}, j),
            lambda: "BackedUp" in [s.state for s in client.snapshots_of(DISK) if s.name == "point"],
        )
        self.point = self.looked(lambda: next(s.id for s in client.snapshots_of(DISK) if s.state == "BackedUp"))
        self.step(lambda j: self.writer().attach(DISK, guest, 0, j), lambda: self.hangs(guest, 0))
        self.step(lambda j: self.writer().start(guest, j), lambda: self.machine().state == "Running")

    def back(self) -> None:
        client, guest = self.world.client, self.world.guest or ""
        self.step(lambda j: self.writer().stop(guest, False, j), lambda: self.machine().state == "Stopped")
        self.step(lambda j: self.writer().detach(DISK, j), lambda: self.hangs(None, None))
        self.reverted = False
        self.step(lambda j: self.writer().revert_snapshot(self.point, j), lambda: self.reverted)
        self.step(lambda j: self.writer().attach(DISK, APPLIANCE, 2, j), lambda: self.hangs(APPLIANCE, 2))
        self.step(lambda j: self.writer().delete_snapshot(self.point, j), lambda: self.looked_for_point())
        self.step(lambda j: self.writer().destroy(guest, True, j), lambda: client.machine(guest) is None)

    def looked_for_point(self) -> bool:
        return self.point not in {s.id for s in self.world.client.snapshots() if s.state != "Destroyed"}


# --- schedules --------------------------------------------------------------------------------------------------------

ANSWERS = ("drop", "lose-answer", "empty-body", "html", "half-answer", "slow-answer")
WORK = ("job-fails", "job-no-result", "job-no-effect", "job-code-0", "job-purged", "job-hangs", "job-stuck", "slow")
LISTS = ("listVolumes", "listVirtualMachines", "listSnapshots", "listVMSnapshot", "listAsyncJobs", "queryAsyncJobResult")


def faults() -> st.SearchStrategy[dict[str, Any]]:
    """One fault: of an answer, of a job's work, a refusal, a restart; where it strikes, from which call on, how often."""
    when = {"nth": st.integers(1, 3), "times": st.integers(1, 3)}
    anything, changes = st.sampled_from((*stage.WRITES, *LISTS)), st.sampled_from(tuple(stage.WRITES))
    return st.one_of(
        st.fixed_dictionaries({"kind": st.sampled_from(ANSWERS), "command": anything, "seconds": st.just(60), **when}),
        st.fixed_dictionaries(
            {"kind": st.sampled_from(WORK), "command": changes, "effect": st.booleans(), "seconds": st.just(40), **when}
        ),
        st.fixed_dictionaries(
            {"kind": st.just("refuse"), "command": anything, "code": st.sampled_from((401, 429, 503, 530, 533)), **when}
        ),
        st.fixed_dictionaries({"kind": st.just("restart"), "command": anything, "nth": st.integers(1, 3)}),
    )


@contextmanager
def watched(world: Stage) -> Iterator[list[str]]:
    """Every change that is sent while a job of ours is still under way."""
    overlaps: list[str] = []
    send = world.door.send

    def noting(request: Any, **kwargs: Any) -> Any:
        pending = [job.command for job in world.cloud.jobs.pending]
        reply = send(request, **kwargs)
        command = world.door.sent[-1]["command"]
        if command in stage.WRITES and pending:
            overlaps.append(f"{command} while {pending}")
        return reply

    world.door.send = noting  # type: ignore[method-assign]
    yield overlaps


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(faults(), min_size=1, max_size=8))
def test_whatever_goes_wrong_the_clients_view_is_the_clouds_truth_at_the_end(schedule):
    with stamina.set_testing(True, attempts=3):
        world = Stage()
        try:
            event("it came home" if check(world, schedule) else "it gave up")
        finally:
            world.close()


def check(world: Stage, schedule: list[dict[str, Any]]) -> bool:
    """Whether it came home, or gave up; anything else is an error."""
    before = {v: world.cloud.fingerprint(v) for v in (*DB3, stage.ALIEN)}
    home = {v: (row["vm"], row["device"]) for v, row in world.cloud.truth()["volumes"].items()}
    for fault in schedule:
        world.cloud.faults.add(**fault)
    knows = True
    with watched(world) as overlaps:
        careful = Careful(world)
        try:
            careful.there()
            world.cloud.guest_writes(world.guest or "", "test")
            careful.back()
        except GaveUp:
            knows = False
    world.cloud.faults.clear()
    world.clock.advance(86400)
    assert overlaps == []
    same_as_the_truth(world)
    truth = world.cloud.truth()
    assert set(home) <= set(truth["volumes"]), "no volume of the house is ever lost"
    others = [v for v in home if v != DISK]
    assert {v: (truth["volumes"][v]["vm"], truth["volumes"][v]["device"]) for v in others} == {v: home[v] for v in others}
    assert {v: world.cloud.fingerprint(v) for v in before if v != DISK} == {v: c for v, c in before.items() if v != DISK}
    if knows:
        assert world.cloud.fingerprint(DISK) == before[DISK]
        assert (truth["volumes"][DISK]["vm"], truth["volumes"][DISK]["device"]) == home[DISK]
        assert world.guest not in truth["vms"]
        assert careful.point not in {i for i, s in truth["snapshots"].items() if s["state"] != "Destroyed"}
    return knows


def same_as_the_truth(world: Stage) -> None:
    truth, client = world.cloud.truth(), world.client
    volumes = {v.id: (v.state, v.vm_id, v.device_id) for v in client.volumes()}
    assert volumes == {i: (v["state"], v["vm"], v["device"]) for i, v in truth["volumes"].items() if i in volumes}
    lost = {i: v["state"] for i, v in truth["volumes"].items() if i not in volumes}
    assert set(lost.values()) <= {"Expunged", "Destroy", "Expunging"}
    machines = {m.id: m.state for m in client.machines()}
    gone = {"Destroyed", "Expunging"}
    assert machines == {i: m["state"] for i, m in truth["vms"].items() if m["state"] not in gone}


def test_without_faults_it_goes_there_and_back():
    with stamina.set_testing(True, attempts=3):
        world = Stage()
        assert check(world, [])
        assert world.cloud.calls["startVirtualMachine"] == world.cloud.calls["destroyVirtualMachine"] == 1
        world.close()


def test_an_outcome_of_a_lost_answer_is_found_by_our_own_id():
    with stamina.set_testing(True, attempts=3):
        world = Stage()
        world.cloud.faults.add("lose-answer", "attachVolume")
        assert check(world, [])
        assert world.cloud.calls["attachVolume"] == 2
        world.close()
