"""What each service of the source side answers to a request. `server` calls `answered`, which changes the estate.

The documented shapes (docs/reference/source-protocol.md); a request that is not documented is 404.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from simulator.source.estate import OFF, ON, SourceEstate, SourceVm, SyncJob
from simulator.source.faults import Rule

Told = tuple[int, dict[str, Any]]
NEVER = timedelta(days=36500)
OTHER = "ffffffff-ffff-4fff-8fff-ffffffffffff"
MISSING: Told = (404, {"error": "not found"})


@dataclass(frozen=True)
class Asked:
    """A request: its name (`appliance:power-state`), the id in its path, query, body, login (user, password) and token."""

    name: str
    id: str
    query: Mapping[str, str]
    body: Mapping[str, Any]
    login: tuple[str, str] | None
    token: str | None


ROUTES: tuple[tuple[str, str, str], ...] = (
    ("appliance:health", "GET", r"/appliance/health"),
    ("appliance:power-state", "GET", r"/appliance/vm/([^/]+)/power-state"),
    ("appliance:power-off", "POST", r"/appliance/vm/([^/]+)/power-off"),
    ("appliance:power-on", "POST", r"/appliance/vm/([^/]+)/power-on"),
    ("replication:health", "GET", r"/replication/health"),
    ("replication:jobs", "GET", r"/replication/replications"),
    ("replication:start", "POST", r"/replication/replications"),
    ("replication:job", "GET", r"/replication/replications/([^/]+)"),
    ("daemon:health", "GET", r"/daemon/health"),
    ("daemon:volumes", "GET", r"/daemon/vms/([^/]+)/volumes"),
)


def routed(method: str, path: str) -> tuple[str, str] | None:
    """The name of a request and the id in its path, or None where there is no such request."""
    for name, wanted, pattern in ROUTES:
        found = re.fullmatch(pattern, path)
        if found and wanted == method:
            return name, found[1] if found.groups() else ""
    return None


def answered(estate: SourceEstate, asked: Asked, struck: list[Rule]) -> Told:
    """Status and content for a request that no fault stops."""
    kinds = {rule.kind: rule for rule in struck}
    service, _, _ = asked.name.partition(":")
    if service != "appliance" and estate.token not in (None, asked.token):
        return 401, {"error": "token"}
    estate.settle()
    return _ANSWERS[asked.name](estate, asked, kinds)


def _health(estate: SourceEstate, asked: Asked, kinds: Mapping[str, Rule]) -> Told:
    return 200, {"status": "healthy"}


def _vm(estate: SourceEstate, asked: Asked, vcenter: object) -> SourceVm | Told:
    vm = estate.vms.get(asked.id)
    if vm is None or vm.vcenter != vcenter:
        return MISSING
    user, password = asked.login or ("", "")
    return vm if estate.logins.get((vm.vcenter, user), "") == password != "" else (401, {"error": "login"})


def _power_state(estate: SourceEstate, asked: Asked, kinds: Mapping[str, Rule]) -> Told:
    if "not-found-200" in kinds:
        return 200, {"success": False, "error": "VM not found"}
    vm = _vm(estate, asked, asked.query.get("vcenter"))
    if not isinstance(vm, SourceVm):
        return vm
    about = OTHER if "other-vm" in kinds else vm.uuid
    return 200, {"vm_id": about, "power_state": vm.power, "tools_status": vm.tools}


def _power_off(estate: SourceEstate, asked: Asked, kinds: Mapping[str, Rule]) -> Told:
    vm = _vm(estate, asked, asked.body.get("vcenter"))
    if not isinstance(vm, SourceVm):
        return vm
    force, off = asked.body.get("force") is True, vm.power == OFF
    if not force and not off and vm.tools not in ("toolsOk", "toolsOld"):
        return 409, {"error": "tools do not run"}
    if "no-effect" not in kinds and not off:
        estate.power(vm, OFF, 0 if force else estate.shutdown)
        if "powers-on-again" in kinds:
            again = (0 if force else estate.shutdown) + kinds["powers-on-again"].seconds
            vm.turns.append((estate.clock.now() + timedelta(seconds=again), ON))
    how = "already-off" if off else "forced" if force else "graceful"
    return 200, {"success": True, "vm_id": vm.uuid, "new_state": OFF, "shutdown_method": how}


def _power_on(estate: SourceEstate, asked: Asked, kinds: Mapping[str, Rule]) -> Told:
    vm = _vm(estate, asked, asked.body.get("vcenter"))
    if not isinstance(vm, SourceVm):
        return vm
    if "no-effect" not in kinds and vm.power != ON:
        estate.power(vm, ON, 0)
    return 200, {"success": True, "vm_id": vm.uuid, "new_state": ON}


def _start(estate: SourceEstate, asked: Asked, kinds: Mapping[str, Rule]) -> Told:
    vm = estate.vms.get(str(asked.body.get("vm_id")))
    if vm is None:
        return MISSING
    key = str(asked.body.get("idempotency_key"))
    if any(job.vm == vm.uuid and job.change_ids is None and job.key != key for job in estate.jobs.values()):
        return 409, {"error": "a job is active"}
    job = estate.sync(vm, key)
    if "job-fails" in kinds:
        job.outcome = "failed"
    job.renews = job.renews and "job-same-change-id" not in kinds
    if "job-hangs" in kinds:
        job.ends_at = job.started_at + NEVER
    return 201, _shown(estate, job, kinds)


def _jobs(estate: SourceEstate, asked: Asked, kinds: Mapping[str, Rule]) -> Told:
    rows = [_shown(estate, job, kinds) for job in estate.jobs.values() if job.vm == asked.query.get("vm_id")]
    return 200, {"replications": rows}


def _job(estate: SourceEstate, asked: Asked, kinds: Mapping[str, Rule]) -> Told:
    job = estate.jobs.get(asked.id)
    return (200, _shown(estate, job, kinds)) if job else MISSING


def _shown(estate: SourceEstate, job: SyncJob, kinds: Mapping[str, Rule]) -> dict[str, Any]:
    done = job.change_ids
    part = (estate.clock.now() - job.started_at) / max(job.ends_at - job.started_at, timedelta(microseconds=1))
    return {
        "id": job.id,
        "vm_id": OTHER if "other-vm" in kinds else job.vm,
        "status": job.outcome if done is not None else "replicating",
        "progress_percent": 100.0 if done is not None else round(100 * min(part, 0.99), 1),
        "idempotency_key": job.key,
        "disks": [{"disk_id": disk, "change_id": change_id} for disk, change_id in (done or {}).items()],
    }


def _volumes(estate: SourceEstate, asked: Asked, kinds: Mapping[str, Rule]) -> Told:
    if asked.id not in estate.mappings:
        return MISSING
    about = OTHER if "other-vm" in kinds else asked.id
    rows = [{"volume_id": v, "vm_id": about, "device_path": path} for v, path in estate.mappings[asked.id].items()]
    return 200, {"volumes": rows}


_ANSWERS: Mapping[str, Callable[[SourceEstate, Asked, Mapping[str, Rule]], Told]] = {
    "appliance:health": _health,
    "appliance:power-state": _power_state,
    "appliance:power-off": _power_off,
    "appliance:power-on": _power_on,
    "replication:health": _health,
    "replication:jobs": _jobs,
    "replication:start": _start,
    "replication:job": _job,
    "daemon:health": _health,
    "daemon:volumes": _volumes,
}
