"""A simulated cloud without sockets, one client on it, and how to bring it to where each of the product's commands is legal.

`Stage` is a furnished world with a clock that only waiting turns; `WRITES` and `READS` have a row for every command that the
product sends: what leads up to it, the call through the client's own methods, and how a look or the cloud's truth shows its
effect.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import requests
import requests.adapters
import yaml

from reconciler.cloudstack.client import Client, Endpoint, Limits, Writer
from reconciler.cloudstack.outcomes import Accepted, CallOutcome, Done, JobPending, JobResult, JobSucceeded
from reconciler.cloudstack.permit import Permit
from simulator import Cloud, TurnedClock, load_estate
from simulator.faults import ConnectionCut
from tests.reconciler.cloudstack.conftest import NOW

URL = "http://127.0.0.1:9/client/api"
KEYS = {"key": "demo-api-key", "secret": "demo-secret-key"}
READ_TIMEOUT = 5.0


def made(tail: str) -> str:
    return f"00000000-0000-4000-8000-{tail:0>12}"


ZONE, APPLIANCE, TEMPLATE, OFFERING = made("a1"), made("a"), made("e1"), made("c1")
TEST_NET, LAN = made("b3"), made("b1")
DB3 = tuple(f"3d000000-0000-4000-8000-00000000200{n}" for n in range(3))
ROUTED = "00000000-0000-4000-8000-0000000000b1"
ALIEN = "e915ef05-ddf5-48d5-8352-a01300609717"
DEVICES = {DB3[0]: 0, DB3[1]: 1, DB3[2]: 2}
HOME = {DB3[0]: 2, DB3[1]: 4, DB3[2]: 5}
GUEST_NAME = "lnx-db3-test-1"


class _Half(io.BytesIO):
    """A body that breaks off."""

    def read(self, size: int | None = -1) -> bytes:
        part = super().read(size)
        if not part:
            raise requests.exceptions.ChunkedEncodingError("cut in the middle")
        return part


class Door(requests.adapters.BaseAdapter):
    """The cloud without a socket. `sent` are the commands that reached it, with their parameters."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self.cloud = cloud
        self.sent: list[Mapping[str, str]] = []

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        text = request.body if isinstance(request.body, str) else (request.body or b"").decode()
        self.sent.append(dict(parse_qsl(text, keep_blank_values=True)))
        try:
            reply = self.cloud.call(self.sent[-1], request.method or "")
        except ConnectionCut:
            raise requests.ConnectionError("cut", request=request) from None
        if reply.delay > READ_TIMEOUT:
            raise requests.ReadTimeout("silence", request=request)
        response = requests.Response()
        response.status_code, response.request = reply.status, request
        response.raw = _Half(reply.body) if reply.cut else io.BytesIO(reply.body)
        response.headers.update(reply.headers)
        return response

    def close(self) -> None:
        """Nothing is open."""


@cache
def _estate() -> dict[str, Any]:
    return yaml.safe_load((Path(__file__).parents[3] / "examples" / "estate.yaml").read_text(encoding="utf-8"))


@dataclass
class Stage:
    """One world. `guest`, `root`, `points`, `clone` and `whole` are what the steps so far have made."""

    limits: Limits = field(default_factory=lambda: Limits(calls=10_000))
    guest: str | None = None
    root: str | None = None
    points: dict[str, str] = field(default_factory=dict)
    clone: str | None = None
    whole: str | None = None
    clean: str = ""

    def __post_init__(self) -> None:
        self.clock = TurnedClock(NOW)
        self.cloud = load_estate(_estate(), self.clock)
        self.door = Door(self.cloud)
        self.client = Client(
            Endpoint(url=URL, timeout_read=READ_TIMEOUT, **KEYS), self.clock.now, limits=self.limits, wait=self.clock.advance
        )
        self.client._servers.session.mount(URL, self.door)
        self._ids = count(1)

    def job_id(self) -> str:
        return made(f"f{next(self._ids)}")

    def permit(self) -> Permit:
        """What a run at this point may do."""
        return Permit(
            run_id="run-1",
            kind="test",
            replicas=frozenset(DB3),
            protected=frozenset({*DB3, ALIEN}),
            appliances=frozenset({APPLIANCE}),
            guest_id=self.guest,
            guest_name=GUEST_NAME,
            default_root_id=self.root,
            allowed_networks=frozenset({TEST_NET}),
            guest_devices=DEVICES,
            snapshots=dict.fromkeys(self.points.values(), True),
            points_ready=True,
            replication_idle=True,
            clones=frozenset({self.clone} if self.clone else ()),
            guest_snapshot_id=self.whole,
            guest_snapshot_releasable=True,
        )

    def writer(self, **changes: Any) -> Writer:
        return self.client.writer(replace(self.permit(), **changes))

    def settled(self, job_id: str, polls: int = 60) -> JobResult:
        """What became of a job, or that it still runs after ten minutes."""
        for _ in range(polls):
            result = self.client.job(job_id)
            if not isinstance(result, JobPending):
                return result
            self.clock.advance(10)
        return JobPending()

    def done(self, outcome: CallOutcome) -> str | None:
        """Carry a call through; the id of what it made."""
        if isinstance(outcome, Done):
            return None
        assert isinstance(outcome, Accepted), outcome
        self.clock.advance(10)
        result = self.settled(outcome.job_id)
        assert isinstance(result, JobSucceeded), result
        return outcome.entity_id

    # --- steps that lead somewhere ------------------------------------------------------------------------------------

    def deploy(self) -> None:
        self.guest = self.done(deploy(self, self.job_id()))
        assert self.guest is not None
        self.root = self.client.volumes_of(self.guest)[0].id

    def free_root(self) -> None:
        self.deploy()
        assert self.root is not None
        self.done(self.writer().detach(self.root, self.job_id()))

    def free_replica(self) -> None:
        self.done(self.writer().detach(DB3[0], self.job_id()))

    def make_point(self) -> None:
        self.free_replica()
        made_id = self.done(self.writer().create_snapshot(DB3[0], "point", {"k": "v"}, self.job_id()))
        assert made_id is not None
        self.points[DB3[0]] = made_id

    def dirty_replica(self) -> None:
        """The disk is not what it was when its point was made: a revert has something to do."""
        self.make_point()
        self.clean = self.cloud.fingerprint(DB3[0])
        self.cloud.volumes[DB3[0]].content = "written"

    def fill_guest(self) -> None:
        self.free_root()
        assert self.guest is not None
        for volume in DB3:
            self.done(self.writer().detach(volume, self.job_id()))
            self.done(self.writer().attach(volume, self.guest, DEVICES[volume], self.job_id()))

    def run_guest(self) -> None:
        self.fill_guest()
        assert self.guest is not None
        self.done(self.writer().start(self.guest, self.job_id()))

    def snap_guest(self) -> None:
        self.fill_guest()
        assert self.guest is not None
        self.whole = self.done(self.writer().snapshot_guest(self.guest, "whole", self.job_id()))

    def dirty_guest(self) -> None:
        self.snap_guest()
        self.clean = self.cloud.fingerprint(DB3[0])
        for volume in DB3:
            self.cloud.volumes[volume].content = "written"

    def is_clean(self) -> bool:
        return self.cloud.fingerprint(DB3[0]) == self.clean

    def close(self) -> None:
        self.client.close()

    # --- what a look shows --------------------------------------------------------------------------------------------

    def state(self) -> str | None:
        """The guest's state."""
        machine = self.client.machine(self.guest) if self.guest else None
        return machine.state if machine else None

    def hangs(self, volume_id: str) -> tuple[str | None, int | None]:
        """The VM and the device of a volume."""
        volume = self.client.volume(volume_id)
        assert volume is not None
        return volume.vm_id, volume.device_id


def deploy(stage: Stage, job_id: str) -> CallOutcome:
    return stage.writer().deploy(GUEST_NAME, "db3", ZONE, TEMPLATE, OFFERING, (TEST_NET,), 2, 512, uefi=False, job_id=job_id)


@dataclass(frozen=True)
class Write:
    """One mutating command: what leads up to it, the call under a job id, and whether its effect is there.

    `creates` says that the request itself makes a row, whatever becomes of its job; `is_hidden` that no look can tell the
    effect, only the cloud's own truth.
    """

    lead: Callable[[Stage], None]
    call: Callable[[Stage, str], CallOutcome]
    effect: Callable[[Stage], bool]
    creates: bool = False
    is_hidden: bool = False


def _nothing(_: Stage) -> None:
    """Everything is at home."""


WRITES: Mapping[str, Write] = {
    "deployVirtualMachine": Write(
        _nothing, deploy, lambda s: [m.state for m in s.client.machines_named(GUEST_NAME)] == ["Stopped"], creates=True
    ),
    "startVirtualMachine": Write(
        Stage.fill_guest, lambda s, j: s.writer().start(s.guest or "", j), lambda s: s.state() == "Running"
    ),
    "stopVirtualMachine": Write(
        Stage.run_guest, lambda s, j: s.writer().stop(s.guest or "", False, j), lambda s: s.state() == "Stopped"
    ),
    "destroyVirtualMachine": Write(
        Stage.deploy,
        lambda s, j: s.writer().destroy(s.guest or "", True, j),
        lambda s: s.state() in (None, "Destroyed", "Expunging"),
    ),
    "attachVolume": Write(
        Stage.free_replica,
        lambda s, j: s.writer().attach(DB3[0], APPLIANCE, 2, j),
        lambda s: s.hangs(DB3[0]) == (APPLIANCE, 2),
    ),
    "detachVolume": Write(_nothing, lambda s, j: s.writer().detach(DB3[0], j), lambda s: s.hangs(DB3[0]) == (None, None)),
    "deleteVolume": Write(
        Stage.free_root,
        lambda s, _: s.writer().delete_volume(s.root or ""),
        lambda s: s.root not in {v.id for v in s.client.volumes() if v.state in ("Ready", "Allocated")},
    ),
    "createSnapshot": Write(
        Stage.free_replica,
        lambda s, j: s.writer().create_snapshot(DB3[0], "point", {"k": "v"}, j),
        lambda s: "BackedUp" in [p.state for p in s.client.snapshots()],
        creates=True,
    ),
    "revertSnapshot": Write(
        Stage.dirty_replica,
        lambda s, j: s.writer().revert_snapshot(s.points[DB3[0]], j),
        Stage.is_clean,
        is_hidden=True,
    ),
    "deleteSnapshot": Write(
        Stage.make_point,
        lambda s, j: s.writer().delete_snapshot(s.points[DB3[0]], j),
        lambda s: s.client.snapshots() == (),
    ),
    "createVolume": Write(
        Stage.make_point,
        lambda s, j: s.writer().clone(s.points[DB3[0]], "clone", ZONE, j),
        lambda s: "Ready" in [v.state for v in s.client.volumes() if v.name == "clone"],
        creates=True,
    ),
    "createVMSnapshot": Write(
        Stage.fill_guest,
        lambda s, j: s.writer().snapshot_guest(s.guest or "", "whole", j),
        lambda s: "Ready" in [r.state for r in s.client.vm_snapshots_of(s.guest or "") if r.name == "whole"],
        creates=True,
    ),
    "revertToVMSnapshot": Write(
        Stage.dirty_guest, lambda s, j: s.writer().revert_guest(s.whole or "", j), Stage.is_clean, is_hidden=True
    ),
    "deleteVMSnapshot": Write(
        Stage.snap_guest,
        lambda s, j: s.writer().delete_guest_snapshot(s.whole or "", j),
        lambda s: s.client.vm_snapshots() == (),
    ),
    "createTags": Write(
        Stage.deploy,
        lambda s, j: s.writer().tag("UserVm", s.guest or "", {"run": "1"}, j),
        lambda s: [m.tags for m in s.client.machines_named(GUEST_NAME)] == [{"run": "1"}],
    ),
}

READS: Mapping[str, Callable[[Stage], Any]] = {
    "listVolumes": lambda s: s.client.volumes(),
    "listVirtualMachines": lambda s: s.client.machines(),
    "listSnapshots": lambda s: s.client.snapshots(),
    "listVMSnapshot": lambda s: s.client.vm_snapshots(),
    "listSnapshotPolicies": lambda s: s.client.policies_of(DB3[0]),
    "listNetworks": lambda s: s.client.networks(),
    "listEgressFirewallRules": lambda s: s.client.doors(ROUTED).egress,
    "listRemoteAccessVpns": lambda s: s.client.doors(ROUTED).vpns,
    "listPublicIpAddresses": lambda s: s.client.doors(ROUTED).static_nats,
    "listPortForwardingRules": lambda s: s.client.doors(ROUTED).forwardings,
    "listLoadBalancerRules": lambda s: s.client.doors(ROUTED).balancers,
    "listZones": lambda s: s.client.zones(),
    "listTemplates": lambda s: s.client.templates(),
    "listServiceOfferings": lambda s: s.client.offerings(),
    "listDiskOfferings": lambda s: s.client.disk_offerings(),
    "listApis": lambda s: s.client.commands(),
    "listAsyncJobs": lambda s: s.client.busy(),
    "queryAsyncJobResult": lambda s: s.client.job(made("f1")),
    "listCapabilities": lambda s: s.client.capabilities(),
    "listAccounts": lambda s: s.client.capabilities(),
}
