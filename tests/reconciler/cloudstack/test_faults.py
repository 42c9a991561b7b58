"""Every fault of the simulator against every command that the product sends.

Whatever the cloud does, the client says one of its own words or raises one of its own errors; it never waits for ever; it
never sends a change again while nobody knows what became of the first; and what it says is so, or it says that it does not
know.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import stamina

from reconciler.cloudstack import errors
from reconciler.cloudstack.outcomes import (
    Accepted,
    Done,
    JobFailed,
    JobPending,
    JobSucceeded,
    JobUnknown,
    JobVanished,
    Refused,
    Unknown,
)
from simulator.faults import ALWAYS, KINDS
from tests.reconciler.cloudstack import product, stage
from tests.reconciler.cloudstack.stage import READS, WRITES, Stage

MORE: dict[str, dict[str, Any]] = {
    "human": {"do": {"command": "stopVirtualMachine", "id": stage.APPLIANCE}},
    "edit": {"do": {"id": stage.ALIEN, "path": "elsewhere"}},
    "clock-ahead": {"seconds": 3600},
    "html": {"code": 502},
    "slow-answer": {"seconds": 60},
    "late-duplicate": {"seconds": 30},
    "slow": {"seconds": 120},
    "host-slow": {"seconds": 120},
}
CODES = (400, 401, 429, 430, 431, 432, 503, 530, 531, 533, 534, 535)
HOSTS = {
    "startVirtualMachine": "start",
    "stopVirtualMachine": "stop",
    "attachVolume": "attach",
    "detachVolume": "detach",
    "createSnapshot": "backup",
    "revertSnapshot": "revert-snapshot",
    "createVMSnapshot": "vmsnapshot",
    "revertToVMSnapshot": "revert",
    "deleteVMSnapshot": "merge",
}
LIES = {"job-no-effect"}
UNTIL_IT_ENDS = {
    "refuse",
    "drop",
    "lose-answer",
    "empty-body",
    "html",
    "half-answer",
    "stale-list",
    "lost-row",
    "clock-ahead",
}


@pytest.fixture(autouse=True)
def nobody_sleeps() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
def world() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def faults_for(command: str) -> Iterator[Any]:
    """Each kind once and for good; refusals by each code, hosts' faults by the work that this command wants of them."""
    for kind in KINDS:
        if kind.startswith("host-"):
            if command in HOSTS:
                yield pytest.param({"kind": kind, "command": HOSTS[command], **MORE.get(kind, {})}, id=kind)
            continue
        wanted = [{"code": code} for code in CODES] if kind == "refuse" else [MORE.get(kind, {})]
        for more in wanted:
            for times in (1, ALWAYS) if kind in UNTIL_IT_ENDS else (1,):
                name = f"{kind}{more.get('code', '')}-{'once' if times == 1 else 'always'}"
                yield pytest.param({"kind": kind, "command": command, "times": times, **more}, id=name)


def cases(commands: Any) -> list[Any]:
    return [pytest.param(c, *f.values, id=f"{c}-{f.id}") for c in commands for f in faults_for(c)]


def test_every_command_that_the_product_sends_is_tried_here():
    assert set(WRITES) == product.WRITES
    assert set(READS) == product.READS


@pytest.mark.parametrize(("command", "fault"), cases(WRITES))
def test_a_change_comes_to_one_typed_outcome_that_is_so_or_is_not_known(world, command, fault):
    write = WRITES[command]
    write.lead(world)
    assert not write.effect(world)
    own, fired = world.job_id(), world.cloud.faults.add(**fault)
    world.door.sent.clear()
    outcome = called(world, write, own)
    assert isinstance(outcome, Accepted | Done | Refused | Unknown)
    sent = [p for p in world.door.sent if p["command"] == command]
    tries = 3 if isinstance(outcome, Refused) and outcome.code == 429 else 1
    assert len(sent) <= tries or fault.get("code") == 429
    if isinstance(outcome, Unknown):
        assert len(sent) == 1
    assert len({p.get("customjobid") for p in sent}) <= 1
    result = None
    if isinstance(outcome, Accepted | Unknown) and command != "deleteVolume":
        result = settled(world, own)
    world.cloud.faults.clear()
    world.clock.advance(60)
    check_truth(world, write, outcome, result, fired)


def called(world: Stage, write: Any, own: str) -> Any:
    """The call. Only a look that the writer wants first may fail with an error: then nothing was sent."""
    try:
        return write.call(world, own)
    except errors.InvariantViolated:
        raise
    except errors.CloudError as unseen:
        return Refused(0, str(unseen), retryable=True)


def settled(world: Stage, own: str) -> Any:
    """What became of the job, with a fault that strikes jobs being asked for, too."""
    result = world.settled(own)
    assert isinstance(result, JobPending | JobSucceeded | JobFailed | JobVanished | JobUnknown)
    return result


def check_truth(world: Stage, write: Any, outcome: Any, result: Any, fired: Any) -> None:
    is_there = write.effect(world)
    if isinstance(outcome, Done) or isinstance(result, JobSucceeded):
        # Where a look can tell, a success that is a lie is found by it; where none can, it is not called a success.
        assert is_there or (fired.kind in LIES and not write.is_hidden)
    if isinstance(outcome, Refused) or isinstance(result, JobFailed | JobVanished):
        # A job that was purged did its work, and a row that the request made stays though its job fails.
        assert not is_there or fired.kind == "job-purged" or write.creates
    if isinstance(result, JobPending):
        assert fired.kind in ("job-hangs", "slow", "host-slow")


@pytest.mark.parametrize(("command", "fault"), cases(READS))
def test_a_read_is_right_or_fails_with_one_of_our_errors(world, command, fault):
    world.make_point()
    world.deploy()
    world.writer().detach(stage.DB3[1], world.job_id())
    world.cloud.faults.add(**fault)
    world.door.sent.clear()
    try:
        read = READS[command](world)
    except errors.CloudError:
        return
    finally:
        assert len(world.door.sent) < 100
    world.cloud.faults.clear()
    if fault["kind"] == "restart":
        return  # it changed what there is to see
    if read is None:  # what is open in a router is not known where the role may not list it
        assert fault.get("code") in (401, 432) or fault["kind"] == "clock-ahead"
        return
    assert told(read) == told(READS[command](world)) or isinstance(read, JobVanished | JobUnknown)


def told(read: Any) -> Any:
    """Pages come in another order than a whole list."""
    return sorted(read, key=lambda record: getattr(record, "id", record)) if isinstance(read, tuple) else read


@pytest.mark.parametrize("command", [c for c in READS if c.startswith("list")])
def test_pages_that_lose_and_repeat_rows_are_read_until_they_agree_with_the_count(world, command):
    world.make_point()
    whole = READS[command](world)
    world.cloud.in_force["default.page.size"] = 3
    for kind in ("lost-row", "repeated-row"):
        world.cloud.faults.add(kind, command, nth=2, times=2)
    with contextlib.suppress(errors.LookFailed):
        assert told(READS[command](world)) == told(whole)
