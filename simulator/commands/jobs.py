"""Jobs as the API shows them: one by its id, or all that have not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common
from simulator.refusals import Refused, refuse
from simulator.registry import READERS, command
from simulator.wire import Call, page, unknown_entity

if TYPE_CHECKING:
    from simulator.cloud import Cloud


@command("queryAsyncJobResult", roles=READERS)
def query(cloud: Cloud, call: Call) -> dict[str, Any]:
    """One job, ended ones too until they are purged (CS-JOB-06, 07, 08)."""
    wanted = call.raw.get("jobid")
    if wanted is None:
        raise Refused(431, "Expected parameter job id or parameters resource type and resource id")
    job = cloud.jobs.rows.get(wanted)
    if job is None:
        raise unknown_entity("queryAsyncJobResult", "jobid", wanted)
    if not call.account.is_root and job.account != call.account.name:
        own = call.account
        raise refuse("CS-JOB-08", name=own.name, n=own.n, id=own.id, job=job.n)
    return views.job(cloud, job)


@command("listAsyncJobs", roles=READERS)
def list_jobs(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Jobs that have not ended (CS-JOB-05)."""
    everything = call.account.is_root and call.raw.get("listall", "").lower() == "true"
    rows = [j for j in cloud.jobs.pending if everything or j.account == call.account.name]
    return page(call, "asyncjobs", common.Views(rows, lambda j: views.job(cloud, j)))
