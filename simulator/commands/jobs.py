"""Jobs as the API shows them: one by its id or by what it works on, or all that have not ended."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common
from simulator.model import Job
from simulator.refusals import Refused, refuse
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page, unknown_entity

if TYPE_CHECKING:
    from simulator.cloud import Cloud

WORKED_ON = {"virtualmachine": "VirtualMachine", "volume": "Volume", "snapshot": "Snapshot", "vmsnapshot": "VMSnapshot"}
WORKED_ON |= {"network": "Network", "template": "Template", "ipaddress": "IpAddress", "host": "Host"}
RESOURCE = (Param("resourceid", since="4.22.1"), Param("resourcetype", since="4.22.1"))


@command("queryAsyncJobResult", Param("jobid", shown="uuid"), *RESOURCE, roles=READERS)
def query(cloud: Cloud, call: Call) -> dict[str, Any]:
    """One job, ended ones too until they are purged (CS-JOB-06, 07, 08)."""
    job = _by_id(cloud, call["jobid"]) if call.has("jobid") else _by_resource(cloud, call)
    if not call.account.is_root and job.account != call.account.name:
        own = call.account
        raise refuse("CS-JOB-08", name=own.name, n=own.n, id=own.id, job=job.n)
    return views.job(cloud, job)


def _by_id(cloud: Cloud, wanted: str) -> Job:
    job: Job | None = cloud.jobs.rows.get(wanted)
    if job is None and wanted.isdigit():
        job = next((row for row in cloud.jobs.rows.values() if row.n == int(wanted)), None)
    if job is None:
        raise unknown_entity("queryAsyncJobResult", "jobid", wanted)
    return job


def _by_resource(cloud: Cloud, call: Call) -> Job:
    """CS-JOB-20: the newest by the second in which it was made, the first of several in one second."""
    if not (call.has("resourceid") and call.has("resourcetype")):
        raise Refused(431, "Expected parameter job id or parameters resource type and resource id")
    _check_resource(cloud, call)
    rows = [job for job in cloud.jobs.rows.values() if job.instance_id == call["resourceid"]]
    if not rows:
        raise Refused(431, "Unable to find a job for this resource")
    return max(rows, key=_second)


def _second(job: Job) -> datetime:
    return job.created.replace(microsecond=0)


def _check_resource(cloud: Cloud, call: Call) -> None:
    kind = WORKED_ON.get(call["resourcetype"].lower())
    if kind is None:
        raise Refused(431, "Invalid resourcetype")
    if cloud.find(kind, call["resourceid"]) is None:
        raise Refused(431, "Invalid resourceid")


@command(
    "listAsyncJobs",
    *RESOURCE,
    Param("startdate", "date"),
    Param("managementserverid", "ManagementServer", since="4.19"),
    roles=READERS,
)
def list_jobs(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Jobs that have not ended (CS-JOB-05)."""
    everything = call.account.is_root and call["listall"]
    rows = [j for j in cloud.jobs.pending if everything or j.account == call.account.name]
    if call.has("resourceid") and call.has("resourcetype"):
        _check_resource(cloud, call)
        rows = [j for j in rows if j.instance_id == call["resourceid"]]
    if call.has("keyword"):
        rows = [j for j in rows if call["keyword"].lower() in j.java.lower()]
    if call.has("startdate"):
        rows = [j for j in rows if j.created >= call["startdate"]]
    return page(call, "asyncjobs", common.Views(rows, lambda j: views.job(cloud, j)))
