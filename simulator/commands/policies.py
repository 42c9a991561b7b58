"""Recurring snapshots of volumes: policies, and what they do when their time comes round.

A policy that fires is a createSnapshot of the volume's owner that nobody here asked for; afterwards the oldest ones beyond
`maxsnaps` go. One that cannot be taken then is skipped without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from simulator.model import Policy, Volume
from simulator.refusals import Refused
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

INTERVALS = ("HOURLY", "DAILY", "WEEKLY", "MONTHLY")
MOST = 8
STEP: Mapping[str, timedelta] = {
    "HOURLY": timedelta(hours=1),
    "DAILY": timedelta(days=1),
    "WEEKLY": timedelta(days=7),
    "MONTHLY": timedelta(days=30),
}


@command(
    "createSnapshotPolicy",
    Param("volumeid", "Volume", required=True, owned=True),
    Param("intervaltype", required=True),
    Param("maxsnaps", "int", required=True),
    Param("schedule", required=True),
    Param("timezone", required=True),
    Param("fordisplay", "bool"),
)
def create(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Have snapshots taken from now on; a second policy of one interval changes the first."""
    volume: Volume = call["volumeid"]
    interval = call["intervaltype"].upper()
    if interval not in INTERVALS:
        raise Refused(431, f"Unsupported interval type {call['intervaltype']}")
    if volume.state != "Ready":
        raise Refused(431, f"VolumeId: {volume.n} is not in Ready state but {volume.state}. Cannot take snapshot.")
    if not 1 <= call["maxsnaps"] <= MOST:
        told = f"maxSnaps exceeds limit: {MOST} for interval type: {call['intervaltype']}"
        raise Refused(431, told if call["maxsnaps"] > MOST else "maxSnaps cannot be less than 1")
    _parts(interval, call["schedule"])
    kept = next((p for p in _alive(cloud) if p.volume == volume.id and p.interval == interval), None)
    policy = kept or Policy(
        cloud.new_id(), cloud.number("SnapshotPolicy"), volume.account, cloud.now(), volume=volume.id, interval=interval
    )
    policy.schedule, policy.most, policy.zone = call["schedule"], call["maxsnaps"], call["timezone"]
    cloud.policies[policy.id] = policy
    if kept is None:
        _schedule(cloud, policy, cloud.now())
    return {"snapshotpolicy": _row(policy)}


def _alive(cloud: Cloud) -> list[Policy]:
    return [policy for policy in cloud.policies.values() if not policy.removed]


def _parts(interval: str, schedule: str) -> list[int]:
    """Minute, hour and day of a schedule such as `MM:HH:DD`; as many as the interval has."""
    words = schedule.split(":")
    expected = {"HOURLY": 1, "DAILY": 2, "WEEKLY": 3, "MONTHLY": 3}[interval]
    if len(words) != expected or not all(word.isdigit() for word in words):
        raise Refused(431, f"Invalid schedule: {schedule} for interval type: {interval}")
    return [int(word) for word in words]


def _row(policy: Policy) -> dict[str, Any]:
    return {
        "id": policy.id,
        "volumeid": policy.volume,
        "schedule": policy.schedule,
        "intervaltype": INTERVALS.index(policy.interval),
        "maxsnaps": policy.most,
        "timezone": policy.zone,
        "fordisplay": True,
        "tags": [],
    }


@command("listSnapshotPolicies", Param("volumeid", "Volume"), Param("id", "SnapshotPolicy"), roles=READERS)
def list_policies(cloud: Cloud, call: Call) -> dict[str, Any]:
    """The policies of a volume, or one by its id; without either nothing."""
    wanted, volume = call["id"], call["volumeid"]
    if volume is not None and not cloud.may_act_on(call.account, volume):
        raise Refused(531, "Caller does not have permission to operate with provided resource.", 4365)
    rows = [p for p in _alive(cloud) if cloud.may_act_on(call.account, p) and (volume is not None or wanted is not None)]
    rows = [p for p in rows if wanted in (None, p) and (volume is None or p.volume == volume.id)]
    return page(call, "snapshotpolicy", [_row(policy) for policy in rows])


@command("deleteSnapshotPolicies", Param("id", "SnapshotPolicy"), Param("ids", "list"))
def delete(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Take no more snapshots; those that were taken stay."""
    wanted = [call["id"].id] if call.has("id") else list(call["ids"] or ())
    if not wanted:
        raise Refused(431, "Please specify policy id(s) to be deleted.")
    rows = [policy for policy in _alive(cloud) if policy.id in wanted]
    if len(rows) != len(set(wanted)):
        raise Refused(431, "Policy id given does not exist")
    if not all(cloud.may_act_on(call.account, row) for row in rows):
        raise Refused(531, "Caller does not have permission to operate with provided resource.", 4365)
    for row in rows:
        row.removed = True
    return {"success": True}


# --- when the time comes round ----------------------------------------------------------------------------------------


def _schedule(cloud: Cloud, policy: Policy, now: datetime) -> None:
    cloud.jobs.at(_next(policy, now), lambda moment: _fire(cloud, policy, moment))


def _next(policy: Policy, now: datetime) -> datetime:
    """The next moment after this one; days of weeks and months count from the moment of the policy."""
    minute, *rest = _parts(policy.interval, policy.schedule)
    first = policy.created.replace(minute=minute % 60, second=0, microsecond=0)
    if rest:
        first = first.replace(hour=rest[0] % 24)
    step = STEP[policy.interval]
    while first <= now:
        first += step
    return first


def _fire(cloud: Cloud, policy: Policy, moment: datetime) -> None:
    volume = cloud.volumes[policy.volume]
    if policy.removed or volume.removed:
        return
    _schedule(cloud, policy, moment)
    cloud.as_account(policy.account).call("createSnapshot", volumeid=volume.id, policyid=policy.id)
    taken = [s for s in cloud.snapshots_of(volume) if s.kind == policy.interval and s.state == "BackedUp"]
    for old in taken[: max(0, len(taken) + 1 - policy.most)]:
        cloud.as_account(policy.account).call("deleteSnapshot", id=old.id)
