"""A small cloud with everything that the rules speak of, and short words to work with it.

`World.now` calls and expects an answer at once; `World.does` and `World.done` let the job end by turning the clock. What is
refused comes back as `No`, at once (`at == "call"`) or in the job (`at == "job"`), so that a rule is one comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from simulator import Cloud, TurnedClock, load_estate
from simulator.estate import ROOT_DOMAIN

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
GIB = 1024**3
MASKED = "Internal error executing command, please contact your system administrator"
NOT_YOURS = "Caller does not have permission to operate with provided resource."

ZONE, OTHER_ZONE = "10000000-0000-4000-8000-000000000001", "10000000-0000-4000-8000-000000000002"
POOL, POOL_B = "20000000-0000-4000-8000-000000000001", "20000000-0000-4000-8000-000000000002"
CUSTOM, FIXED, FREE = (f"30000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
DISK, DISK_FIXED = "40000000-0000-4000-8000-000000000001", "40000000-0000-4000-8000-000000000002"
TEMPLATE, WITH_PASSWORD = "50000000-0000-4000-8000-000000000001", "50000000-0000-4000-8000-000000000002"
NET, L2, NET_B, FOREIGN = (f"60000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3, 4))
HOST = "70000000-0000-4000-8000-000000000001"
NOBODY = "00000000-0000-4000-8000-00000000dead"
SUB_DOMAIN = "80000000-0000-4000-8000-000000000002"
FOR_DR = {"account": "dr", "domainid": ROOT_DOMAIN}


def estate(**more: Any) -> dict[str, Any]:
    """The estate of all tests here; keywords replace or add sections."""
    return {
        "accounts": [
            {"name": "admin", "role": "admin", "api_key": "admin-key", "secret_key": "admin-secret"},
            {"name": "dr", "role": "user", "api_key": "dr-key", "secret_key": "dr-secret"},
            {"name": "other", "role": "user", "api_key": "other-key", "secret_key": "other-secret"},
            {"name": "viewer", "role": "viewer", "api_key": "viewer-key", "secret_key": "viewer-secret"},
            {
                "name": "domadmin",
                "role": "domainadmin",
                "api_key": "dom-key",
                "secret_key": "dom-secret",
                "domain_id": SUB_DOMAIN,
                "domain": "ROOT/sub",
            },
        ],
        "zones": [
            {"id": ZONE, "name": "zone-a", "networktype": "Advanced", "allocationstate": "Enabled"},
            {"id": OTHER_ZONE, "name": "zone-b", "networktype": "Advanced", "allocationstate": "Enabled"},
        ],
        "storage_pools": [pool(POOL, "nfs-a"), pool(POOL_B, "nfs-b")],
        "service_offerings": [
            {
                "id": CUSTOM,
                "name": "custom",
                "iscustomized": True,
                "cpuspeed": 500,
                "serviceofferingdetails": {
                    "mincpunumber": "1",
                    "maxcpunumber": "8",
                    "minmemory": "128",
                    "maxmemory": "16384",
                },
            },
            {"id": FIXED, "name": "fixed", "iscustomized": False, "cpunumber": 1, "cpuspeed": 500, "memory": 512},
            {"id": FREE, "name": "free", "iscustomized": True},
        ],
        "disk_offerings": [
            {"id": DISK, "name": "disk", "iscustomized": True, "disksize": 0},
            {"id": DISK_FIXED, "name": "disk-1g", "iscustomized": False, "disksize": 1},
        ],
        "templates": [
            template(TEMPLATE, "tiny", passwordenabled=False),
            template(WITH_PASSWORD, "with-password", passwordenabled=True),
        ],
        "hosts": [
            {
                "id": HOST,
                "name": "host-a",
                "type": "Routing",
                "state": "Up",
                "resourcestate": "Enabled",
                "hypervisor": "KVM",
                "capabilities": "hvm,snapshot",
                "ueficapability": True,
            }
        ],
        "networks": [
            network(NET, "net", "Isolated"),
            network(L2, "lan", "L2"),
            network(NET_B, "net-b", "Isolated"),
            network(FOREIGN, "foreign", "Isolated", account="other"),
        ],
        **more,
    }


def pool(pool_id: str, name: str, **more: Any) -> dict[str, Any]:
    """A cluster-wide NFS pool, or what the keywords make of it."""
    plain = {"type": "NetworkFilesystem", "scope": "CLUSTER", "managed": False, "hypervisor": "KVM", "state": "Up"}
    return {"id": pool_id, "name": name, **plain, **more}


def template(template_id: str, name: str, **more: Any) -> dict[str, Any]:
    """A ready QCOW2 template of 2 GiB."""
    return {
        "id": template_id,
        "name": name,
        "isready": True,
        "hypervisor": "KVM",
        "format": "QCOW2",
        "size": 2 * GIB,
        **more,
    }


def network(network_id: str, name: str, kind: str, account: str = "dr") -> dict[str, Any]:
    """A guest network of an account."""
    return {"id": network_id, "name": name, "type": kind, "account": account, "zone": ZONE, "state": "Implemented"}


@dataclass(frozen=True, slots=True)
class No:
    """A refusal: where it was said (`call` or `job`), its code and its text."""

    at: str
    code: int
    text: str | None


class World:
    """A cloud on a clock that a test turns. Calls are made as the account `dr` unless another is named."""

    def __init__(self, *, sections: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.clock = TurnedClock(START)
        self.cloud: Cloud = load_estate(estate(**(sections or {})), self.clock, **{"durations": 2.0, **options})

    def raw(self, command: str, by: str = "dr", **params: Any) -> dict[str, Any]:
        """The answer's whole envelope."""
        return dict(self.cloud.as_account(by).call(command, **params).json)

    def now(self, command: str, by: str = "dr", **params: Any) -> Any:
        """The inner object of an answer, or `No`."""
        reply = self.cloud.as_account(by).call(command, **params)
        inner = next(iter(reply.json.values()))
        return inner if reply.status == 200 else No("call", inner["errorcode"], inner["errortext"])

    def submit(self, command: str, by: str = "dr", **params: Any) -> str:
        """Submit a job and give its id."""
        answer = self.now(command, by, **params)
        assert not isinstance(answer, No), answer
        return str(answer["jobid"])

    def job(self, job_id: str, by: str = "admin") -> dict[str, Any]:
        """A job as it is now."""
        answer: dict[str, Any] = self.now("queryAsyncJobResult", by, jobid=job_id)
        return answer

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job, when the clock was turned until it ended."""
        for _ in range(2000):
            job = self.job(job_id)
            if job["jobstatus"] != 0:
                return job
            self.clock.advance(1)
        raise AssertionError(f"job {job_id} does not end")

    def does(self, command: str, by: str = "dr", **params: Any) -> Any:
        """The job's result, or `No`, whether it was refused at once or in the job."""
        answer = self.now(command, by, **params)
        if isinstance(answer, No):
            return answer
        job = self.ended(answer["jobid"])
        if job["jobstatus"] == 2:
            result = job.get("jobresult", {})
            return No("job", job["jobresultcode"], result.get("errortext"))
        return job["jobresult"]

    def done(self, command: str, by: str = "dr", **params: Any) -> Any:
        """The job's result; the test fails when it is refused."""
        result = self.does(command, by, **params)
        assert not isinstance(result, No), result
        return result

    # --- what tests need at hand --------------------------------------------------------------------------------------

    def deploy(self, name: str = "vm", by: str = "dr", **params: Any) -> str:
        """A VM, stopped unless `startvm` says otherwise; its id."""
        given = {**machine(name), **params}
        answer = self.now("deployVirtualMachine", by, **{k: v for k, v in given.items() if v is not None})
        assert not isinstance(answer, No), answer
        self.ended(answer["jobid"])
        return str(answer["id"])

    def running(self, name: str = "vm", **params: Any) -> str:
        """A VM that runs; its id."""
        return self.deploy(name, startvm=True, **params)

    def volume(self, name: str = "data", gib: int = 1, by: str = "dr", **params: Any) -> str:
        """An Allocated data disk; its id."""
        answer = self.now("createVolume", by, name=name, diskofferingid=DISK, size=gib, zoneid=ZONE, **params)
        assert not isinstance(answer, No), answer
        self.ended(answer["jobid"])
        return str(answer["id"])

    def ready(self, name: str = "data", gib: int = 1) -> str:
        """A Ready data disk that hangs nowhere; its id."""
        volume = self.volume(name, gib)
        stored = self.cloud.volumes[volume]
        stored.state, stored.pool, stored.path = "Ready", POOL, volume
        return volume

    def snapshot(self, volume: str, name: str = "snap") -> str:
        """A volume snapshot that is backed up; its id."""
        answer = self.now("createSnapshot", volumeid=volume, name=name)
        assert not isinstance(answer, No), answer
        self.ended(answer["jobid"])
        return str(answer["id"])

    def vm_snapshot(self, vm: str, **params: Any) -> str:
        """A VM snapshot, in whatever state its job left it; its id."""
        answer = self.now("createVMSnapshot", virtualmachineid=vm, **params)
        assert not isinstance(answer, No), answer
        self.ended(answer["jobid"])
        return str(answer["id"])

    def root(self, vm: str) -> str:
        """The id of the volume at device 0."""
        return next(v.id for v in self.cloud.attached(self.cloud.vms[vm]) if v.device == 0)

    def rootless(self, name: str = "bare") -> str:
        """A stopped VM without any volume."""
        vm = self.deploy(name)
        root = self.root(vm)
        self.done("detachVolume", id=root)
        self.now("deleteVolume", id=root)
        return vm

    def vm(self, vm: str, by: str = "admin") -> dict[str, Any]:
        """A VM as a list shows it."""
        row: dict[str, Any] = self.now("listVirtualMachines", by, id=vm)["virtualmachine"][0]
        return row

    def disk(self, volume: str, by: str = "admin") -> dict[str, Any]:
        """A volume as a list shows it."""
        row: dict[str, Any] = self.now("listVolumes", by, id=volume)["volume"][0]
        return row

    def pools(self, **fields: Any) -> None:
        """Change all pools, as a hand in the database would."""
        for row in self.cloud.plain["StoragePool"].values():
            row.fields.update(fields)

    def host(self, **fields: Any) -> None:
        """Change the host."""
        self.cloud.plain["Host"][HOST].fields.update(fields)


def machine(name: str, offering: str = CUSTOM) -> dict[str, Any]:
    """The parameters of an ordinary deployment."""
    plain: dict[str, Any] = {"name": name, "zoneid": ZONE, "serviceofferingid": offering, "templateid": TEMPLATE}
    sizes = {"details[0].cpuNumber": 1, "details[0].memory": 256} if offering == CUSTOM else {}
    return {**plain, "networkids": NET, "startvm": False, **sizes}
