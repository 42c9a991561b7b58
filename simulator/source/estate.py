"""What is so at the simulated source side: VMs with power and disks, sync jobs, mappings of volumes. `services` changes it.

Time is the clock's: a guest takes `shutdown` seconds to shut down, a sync `syncing` seconds.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from simulator.clock import Clock

ON, OFF, SUSPENDED = "poweredOn", "poweredOff", "suspended"


@dataclass
class SourceVm:
    """A VM in a vCenter; `turns` are the states still to come with their moments, `change_ids` the cursor of each disk."""

    uuid: str
    name: str
    vcenter: str
    power: str = ON
    tools: str = "toolsOk"
    change_ids: dict[str, str] = field(default_factory=dict)
    writes: int = 0
    turns: list[tuple[datetime, str]] = field(default_factory=list)


@dataclass
class SyncJob:
    """One incremental sync: under way until `ends_at`, then `outcome`."""

    id: str
    vm: str
    key: str
    started_at: datetime
    ends_at: datetime
    outcome: str = "completed"
    renews: bool = True
    change_ids: dict[str, str] | None = None


@dataclass
class SourceEstate:
    """Everything at the source side; `logins` are passwords by vCenter and user, `changes` what was taken, in order."""

    clock: Clock
    vms: dict[str, SourceVm] = field(default_factory=dict)
    logins: dict[tuple[str, str], str] = field(default_factory=dict)
    token: str | None = None
    mappings: dict[str, dict[str, str]] = field(default_factory=dict)
    jobs: dict[str, SyncJob] = field(default_factory=dict)
    changes: list[tuple[str, str]] = field(default_factory=list)
    shutdown: float = 20.0
    syncing: float = 30.0

    def add(self, vm: SourceVm) -> SourceVm:
        """Put a VM into its vCenter."""
        self.vms[vm.uuid] = vm
        return vm

    def settle(self) -> None:
        """Let everything happen whose moment has come."""
        now = self.clock.now()
        for vm in self.vms.values():
            for moment, power in [turn for turn in vm.turns if turn[0] <= now]:
                vm.power = power
                vm.turns.remove((moment, power))
        for job in self.jobs.values():
            if job.change_ids is None and job.ends_at <= now:
                self._end(job)

    def power(self, vm: SourceVm, wanted: str, seconds: float) -> None:
        """Let a VM be on or off after some seconds."""
        self.changes.append((wanted, vm.uuid))
        vm.turns.append((self.clock.now() + timedelta(seconds=seconds), wanted))
        self.settle()

    def sync(self, vm: SourceVm, key: str) -> SyncJob:
        """The sync with this key: the one that is there, or a new one."""
        same = next((job for job in self.jobs.values() if job.key == key), None)
        if same is not None:
            return same
        self.changes.append(("sync", vm.uuid))
        now = self.clock.now()
        job = SyncJob(f"job-{len(self.jobs) + 1}", vm.uuid, key, now, now + timedelta(seconds=self.syncing))
        self.jobs[job.id] = job
        return job

    def _end(self, job: SyncJob) -> None:
        vm = self.vms[job.vm]
        if job.outcome == "completed" and job.renews:
            vm.writes += 1
            vm.change_ids = {disk: _cursor(vm, disk) for disk in vm.change_ids}
        job.change_ids = dict(vm.change_ids)


def _cursor(vm: SourceVm, disk: str) -> str:
    drawn = hashlib.sha256(f"{vm.uuid}/{disk}".encode()).hexdigest()
    return f"{drawn[:32]}/{vm.writes}"
