"""The client against the simulated cloud over HTTP: a whole test failover by hand, and what goes wrong on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from plans.observed import Nic
from reconciler.cloudstack import errors
from reconciler.cloudstack.client import Client, Writer
from reconciler.cloudstack.jobs import JobBoard
from reconciler.cloudstack.outcomes import (
    Accepted,
    CallOutcome,
    Done,
    JobFailed,
    JobPending,
    JobResult,
    JobSucceeded,
    JobUnknown,
    JobVanished,
    Refused,
    Unknown,
)
from reconciler.cloudstack.permit import Permit
from simulator import Cloud, TurnedClock, load_estate, serve
from tests.reconciler.cloudstack.conftest import NOW


def made(tail: str) -> str:
    return f"00000000-0000-4000-8000-{tail:0>12}"


KEYS = {"key": "demo-api-key", "secret": "demo-secret-key"}
ZONE, APPLIANCE, TEMPLATE, OFFERING = made("a1"), made("a"), made("e1"), made("c1")
APPLIANCE_ROOT, TEST_NET, LAN = made("d0"), made("b3"), made("b1")
DB3 = tuple(f"3d000000-0000-4000-8000-00000000200{n}" for n in range(3))
REPLICA = "e915ef05-ddf5-48d5-8352-a01300609717"
DEVICES = {DB3[0]: 0, DB3[1]: 1, DB3[2]: 2}
HOME = {DB3[0]: 2, DB3[1]: 4, DB3[2]: 5}

PERMIT = Permit(
    run_id="run-1",
    kind="test",
    replicas=frozenset(DB3),
    protected=frozenset({*DB3, REPLICA}),
    appliances=frozenset({APPLIANCE}),
    guest_id=None,
    guest_name="lnx-db3-test-1",
    default_root_id=None,
    allowed_networks=frozenset({TEST_NET}),
    guest_devices=DEVICES,
    points_ready=True,
    replication_idle=True,
)


class World:
    """A simulated cloud with its client, and a hand that turns the clock until a job has ended."""

    def __init__(self, cloud: Cloud, clock: TurnedClock, client: Client) -> None:
        self.cloud, self.clock, self.client = cloud, clock, client
        self._numbers = count(1)

    def job_id(self) -> str:
        return made(f"f{next(self._numbers)}")

    def writer(self, **changes: Any) -> Writer:
        return self.client.writer(replace(PERMIT, **changes))

    def ended(self, outcome: CallOutcome) -> JobResult:
        assert isinstance(outcome, Accepted), outcome
        for _ in range(100):
            result = self.client.job(outcome.job_id)
            if not isinstance(result, JobPending):
                return result
            self.clock.advance(5)
        raise AssertionError("the job never ended")

    def mutations(self) -> list[str]:
        return [c.command for c in self.cloud.trace if not c.command.startswith(("list", "query"))]


@pytest.fixture
def world(client_for) -> Iterator[World]:
    clock = TurnedClock(NOW)
    cloud = load_estate("examples/estate.yaml", clock)
    with serve(cloud) as server:
        yield World(cloud, clock, client_for(server.url, clock=clock.now, wait=clock.advance, **KEYS))


def deployed(world: World) -> tuple[str, str]:
    """A guest and its blank root."""
    outcome = world.writer().deploy(
        PERMIT.guest_name, "lnx-db3 (test)", ZONE, TEMPLATE, OFFERING, (TEST_NET,), 2, 512, False, world.job_id()
    )
    assert isinstance(outcome, Accepted)
    result = world.ended(outcome)
    assert isinstance(result, JobSucceeded)
    assert outcome.entity_id is not None
    assert result.entity_id == outcome.entity_id
    (root,) = world.client.volumes_of(outcome.entity_id)
    return outcome.entity_id, root.id


def test_a_look_shows_the_estate(world):
    client = world.client
    (appliance,) = client.machines()
    assert (appliance.id, appliance.state, appliance.started) == (APPLIANCE, "Running", True)
    assert [isinstance(n, Nic) and n.network_id for n in appliance.nics] == [LAN]
    assert {v.id: v.device_id for v in client.volumes_of(APPLIANCE)} == {APPLIANCE_ROOT: 0, REPLICA: 1, **HOME}
    assert len(client.volumes()) == 5
    assert {n.name for n in client.networks()} >= {"test-network-default", "network-production-123"}
    assert [(z.id, z.name) for z in client.zones()] == [(ZONE, "zone1")]
    assert (client.snapshots(), client.vm_snapshots(), client.pending_jobs()) == ((), (), frozenset())
    assert client.machines_named("oma-appliance") == (appliance,)
    assert client.machines_named("oma") == ()
    assert client.capabilities().release == "4.22.1.0"
    assert client.capabilities().may_expunge is True
    assert (client.machine(made("999")), client.volume(made("999"))) == (None, None)


def test_an_ordinary_account_may_not_expunge_where_the_cloud_does_not_allow_it(world):
    world.cloud.configure("allow.user.expunge.recover.vm", False)
    assert world.client.capabilities().may_expunge is False


def test_a_test_failover_goes_there_and_back(world):
    before = {v: world.cloud.fingerprint(v) for v in DB3}
    guest, root = deployed(world)
    assert world.client.machine(guest).started is False
    ours = {"guest_id": guest, "default_root_id": root}
    writer = world.writer(**ours)

    def ends_well(outcome: CallOutcome) -> str | None:
        assert isinstance(world.ended(outcome), JobSucceeded)
        assert isinstance(outcome, Accepted)
        return outcome.entity_id

    ends_well(writer.tag("UserVm", guest, {"failover-run": "run ~ 1 · ä"}, world.job_id()))
    assert world.client.machine(guest).tags == {"failover-run": "run ~ 1 · ä"}
    ends_well(writer.detach(root, world.job_id()))
    assert writer.delete_volume(root) == Done()
    assert world.client.volume(root) is None
    points = {}
    for volume in DB3:
        ends_well(writer.detach(volume, world.job_id()))
        points[volume] = ends_well(writer.create_snapshot(volume, f"point-{volume[-1]}", {"k": "v"}, world.job_id()))
        ends_well(writer.attach(volume, guest, DEVICES[volume], world.job_id()))
    assert {s.volume_id: s.id for s in world.client.snapshots()} == points
    assert {s.tags["k"] for s in world.client.snapshots()} == {"v"}
    ends_well(writer.start(guest, world.job_id()))
    assert world.client.machine(guest).started is True
    world.cloud.guest_writes(guest, "test")
    ends_well(writer.stop(guest, False, world.job_id()))
    back = world.writer(**ours, snapshots=dict.fromkeys(points.values(), True))
    for volume in DB3:
        ends_well(back.detach(volume, world.job_id()))
        ends_well(back.revert_snapshot(points[volume], world.job_id()))
        ends_well(back.attach(volume, APPLIANCE, HOME[volume], world.job_id()))
        ends_well(back.delete_snapshot(points[volume], world.job_id()))
    ends_well(back.destroy(guest, True, world.job_id()))
    assert {v.id: v.device_id for v in world.client.volumes_of(APPLIANCE)} == {APPLIANCE_ROOT: 0, REPLICA: 1, **HOME}
    assert {v: world.cloud.fingerprint(v) for v in DB3} == before
    assert (world.client.snapshots(), [m.id for m in world.client.machines()]) == ((), [APPLIANCE])


@pytest.mark.parametrize(
    "call",
    [
        lambda w: w.delete_volume(REPLICA),
        lambda w: w.detach(APPLIANCE_ROOT, made("f0")),
        lambda w: w.stop(APPLIANCE, True, made("f0")),
        lambda w: w.destroy(APPLIANCE, True, made("f0")),
        lambda w: w.attach(DB3[0], APPLIANCE, 0, made("f0")),
        lambda w: w.deploy("lnx-db3-test-1", "", ZONE, TEMPLATE, OFFERING, (LAN,), 1, 512, False, made("f0")),
    ],
)
def test_the_server_hears_nothing_of_a_forbidden_change(world, call):
    with pytest.raises(errors.InvariantViolated):
        call(world.writer())
    assert world.mutations() == []


def test_a_guest_with_a_replica_on_it_is_not_destroyed_whatever_the_plan_says(world):
    guest, root = deployed(world)
    writer = world.writer(guest_id=guest, default_root_id=root)
    world.ended(writer.detach(DB3[1], world.job_id()))
    world.ended(writer.attach(DB3[1], guest, 1, world.job_id()))
    with pytest.raises(errors.InvariantViolated, match="INV-03"):
        writer.destroy(guest, True, world.job_id())
    assert "destroyVirtualMachine" not in world.mutations()


def test_a_detach_under_way_holds_a_destroy_back(world):
    guest, root = deployed(world)
    writer = world.writer(guest_id=guest, default_root_id=root)
    assert isinstance(writer.detach(DB3[0], world.job_id()), Accepted)
    held = writer.destroy(guest, True, world.job_id())
    assert isinstance(held, Refused)
    assert held.retryable
    assert "destroyVirtualMachine" not in world.mutations()


def test_a_job_is_found_again_by_our_own_id_after_its_answer_was_lost(world):
    own = world.job_id()
    world.cloud.faults.add("lose-answer", "detachVolume")
    assert isinstance(world.writer().detach(DB3[0], own), Unknown)
    assert world.cloud.faults.rules[0].seen == 1
    assert isinstance(world.ended(Accepted(own)), JobSucceeded)
    assert world.client.volume(DB3[0]).vm_id is None


def test_a_change_cut_off_before_it_happened_is_unknown_and_its_job_vanished(world):
    own = world.job_id()
    world.cloud.faults.add("drop", "detachVolume")
    assert isinstance(world.writer().detach(DB3[0], own), Unknown)
    assert world.client.job(own) == JobVanished()
    assert world.client.volume(DB3[0]).vm_id == APPLIANCE


@pytest.mark.parametrize(
    ("code", "retryable"), [(431, False), (432, False), (531, False), (535, False), (530, True), (533, True), (503, True)]
)
def test_a_refusal_carries_the_servers_code(world, code, retryable):
    world.cloud.faults.add("refuse", "detachVolume", code=code, text="no")
    refused = world.writer().detach(DB3[0], world.job_id())
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retryable) == (code, retryable)


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        ({"kind": "job-fails", "code": 431, "text": "no"}, JobFailed(431, "no", retryable=False)),
        ({"kind": "job-fails", "code": 530, "text": "no"}, JobFailed(530, "no", retryable=True)),
        ({"kind": "job-hangs"}, JobPending()),
    ],
)
def test_a_job_ends_as_the_server_says(world, fault, result):
    world.cloud.faults.add(command="detachVolume", **fault)
    outcome = world.writer().detach(DB3[0], world.job_id())
    assert isinstance(outcome, Accepted)
    world.clock.advance(60)
    assert world.client.job(outcome.job_id) == result


def test_a_job_that_a_restart_swallowed_has_no_verdict(world):
    outcome = world.writer().detach(DB3[0], world.job_id())
    assert isinstance(outcome, Accepted)
    world.cloud.restart()
    assert isinstance(world.client.job(outcome.job_id), JobUnknown)


def test_a_read_outlives_a_burst_of_refusals(world):
    for code in (429, 503):
        world.cloud.faults.add("refuse", "listVolumes", code=code, text="please retry after [5] ms.")
    assert len(world.client.volumes()) == 5


def test_the_job_board_follows_jobs_on_the_simulated_cloud(world):
    outcome = world.writer().detach(DB3[0], world.job_id())
    assert isinstance(outcome, Accepted)
    board = JobBoard(world.client, world.clock.now)
    crowd = [made(f"dead{n}") for n in range(6)]
    assert board.refresh([outcome.job_id, *crowd]) == {outcome.job_id}
    world.clock.advance(30)
    assert board.refresh([outcome.job_id, *crowd]) == frozenset()
    assert isinstance(board.settle(outcome.job_id), JobSucceeded)
    assert board.settle(crowd[0]) == JobVanished()


@pytest.mark.parametrize(
    ("changes", "path", "error"),
    [
        ({"secret": "wrong"}, "", errors.Unauthorised),
        ({"key": "wrong"}, "", errors.Unauthorised),
        ({}, "/v2", errors.WrongAddress),
    ],
)
def test_wrong_keys_and_paths_are_told_apart(client_for, changes, path, error):
    clock = TurnedClock(NOW)
    with serve(load_estate("examples/estate.yaml", clock)) as server:
        keys = {**KEYS, **changes}
        with pytest.raises(error):
            client_for(server.url + path, clock=clock.now, **keys).volumes()


def test_a_clock_that_is_off_is_unauthorised_and_the_hint_says_so(client_for):
    clock = TurnedClock(NOW)
    with serve(load_estate("examples/estate.yaml", clock)) as server:
        clock.advance(3600)
        client = client_for(server.url, **KEYS)
        with pytest.raises(errors.Unauthorised, match="ours says 2026-11-23 14:00:00Z"):
            client.volumes()


def test_more_than_a_page_of_volumes_is_read_whole(client_for):
    clock = TurnedClock(NOW)
    cloud = load_estate("examples/estate.yaml", clock)
    template = cloud.volumes[REPLICA]
    for n in range(644):
        cloud.volumes[made(f"7{n:06}")] = replace(template, id=made(f"7{n:06}"), n=1000 + n, vm=None, device=None)
    with serve(cloud) as server:
        found = client_for(server.url, clock=clock.now, wait=clock.advance, **KEYS).volumes()
    assert len({v.id for v in found}) == len(found) == 649
