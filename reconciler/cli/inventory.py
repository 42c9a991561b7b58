"""`failover inventory [VM]`: what the database knows of replicated VMs, where CloudStack says otherwise, what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import screen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from plans.drift import Drift
    from plans.guest_os import Drivers
    from plans.observed import Disk, World
    from reconciler.known import Known

TITLE = 9
GIB = 1024**3


@click.command("inventory")
@click.argument("vm", required=False)
@screen.format_option()
@click.pass_obj
def command(shown: screen.Screen, vm: str | None, form: str) -> int:
    """Show what the database knows of VMs, where CloudStack says otherwise, and what is missing. Changes nothing.

    Exit code 0: both agree and nothing is missing; 1: an error, or CloudStack does not answer; 3: something is to be mended.
    """
    from reconciler import known, operations

    connected = shown.connect()
    keys = [operations.resolve(connected, vm).key] if vm is not None else None
    found = known.of(connected, keys)
    unseen = next((row.unseen for row in found if row.unseen is not None), None)
    if form == "json":
        shown.as_json({"cloudstack": unseen or "answers", "vms": [_as_json(row) for row in found]})
    else:
        _table(shown, found) if vm is None else _whole(shown, found[0])
        if unseen is not None:
            shown.text(f"! what CloudStack has is not known: {unseen}", "broken")
    if unseen is not None:
        return screen.ERROR
    return screen.REFUSED if any(row.drifts for row in found) else screen.DONE


def _table(shown: screen.Screen, found: Sequence[Known]) -> None:
    """A line for every VM, with the first thing that is to be mended."""
    names = max((len("VM"), *(len(row.world.source.name) for row in found)))
    shown.text(f"  {'VM'.ljust(names)}  disks    GiB  last sync         to be mended", "history")
    for row in found:
        source = row.world.source
        synced = min((d.synced_at for d in source.disks if d.synced_at is not None), default=None)
        when = f"{synced:%Y-%m-%d %H:%M}" if synced is not None else "never"
        mark, first = ("!", row.drifts[0].text) if row.drifts else ("=", "")
        more = f" (and {len(row.drifts) - 1} more)" if len(row.drifts) > 1 else ""
        text = f"{mark} {source.name.ljust(names)}  {len(source.disks):>5}  {row.gib:>5}  {when:<16}  {first}{more}"
        shown.text(text.rstrip(), "broken" if row.drifts else "plain")
    bad = sum(bool(row.drifts) for row in found)
    shown.text(
        f"{bad} of {screen.counted(len(found), 'VM')} to be mended; `failover inventory VM` shows all of one", "strong"
    )


def _whole(shown: screen.Screen, row: Known) -> None:
    """Everything that is known of one VM."""
    shown.text(f"{row.world.source.name}  {row.world.source.key}", "strong")
    for title, text in _described(row.world):
        shown.titled(title, text, "plain", TITLE)
    for text in row.world.source.findings:
        shown.titled("~", text, "waits", TITLE)
    for one in row.drifts:
        shown.titled(one.kind, f"{one.text}  [{one.code}]", "broken", TITLE)
        shown.titled("", one.fix, "history", TITLE)
    if not row.drifts and row.unseen is None:
        shown.titled("agrees", "the database and CloudStack say the same, and nothing is missing", "verified", TITLE)


def _described(world: World) -> Iterator[tuple[str, str]]:
    source = world.source
    yield "at", source.vcenter or "no vCenter is recorded"
    kind = (
        f"{source.cpus} CPU, {source.memory_mb / 1024:g} GiB, {source.os_type or 'no guest id'}, {source.firmware.upper()}"
    )
    yield "is", kind if source.cpus else "not described"
    drivers = _drivers(source.os_type)
    yield "drivers", f"{drivers.need}: {drivers.why}"
    if source.context_id is not None:
        yield "context", f"{source.context_id}, {source.context_status}"
    for disk in source.disks:
        yield "disk", _disk(disk, world)
    for adapter in source.adapters:
        to = ", ".join(
            f"{'test' if m.is_test else 'production'} {m.network_name}" for m in source.mappings if m.source == adapter
        )
        yield "adapter", f'"{adapter}": {to or "mapped to nothing"}'
    for job in source.active_jobs:
        progress = f", {job.progress:.0f} %" if job.progress is not None else ""
        yield "job", f"{job.kind} {job.id} is {job.status}{progress}"
    if source.last_failover is not None:
        last = source.last_failover
        yield "failover", f"{last.kind} {last.id}, {last.status}"
    if world.run is not None:
        yield "run", f"{world.run.id} has it now"


def _disk(disk: Disk, world: World) -> str:
    volume = world.replica(disk)
    synced = f"synced {disk.synced_at:%Y-%m-%d %H:%M} UTC" if disk.synced_at is not None else "never synced"
    if volume is None:
        return f"{disk.key} {disk.size_gb} GiB, volume {disk.volume_id or 'none'}, {synced}"
    device = f" at device {volume.device_id}" if volume.device_id is not None else ""
    place = f"on the {world.place(volume.id)}{device}" if volume.vm_id is not None else "attached to nothing"
    return f"{disk.key} {disk.size_gb} GiB, volume {volume.name} ({volume.id}) {volume.state}, {place}, {synced}"


def _drivers(guest_id: str) -> Drivers:
    from plans import guest_os

    return guest_os.drivers(guest_id)


def _as_json(row: Known) -> dict[str, Any]:
    source = row.world.source
    drivers = _drivers(source.os_type)
    return {
        "vm": source.name,
        "vm_key": source.key,
        "vcenter": source.vcenter,
        "cpus": source.cpus,
        "memory_mb": source.memory_mb,
        "os_type": source.os_type,
        "drivers": {"need": drivers.need, "why": drivers.why},
        "firmware": source.firmware,
        "context": {"id": source.context_id, "status": source.context_status} if source.context_id else None,
        "disks": [_disk_json(disk, row) for disk in source.disks],
        "adapters": list(source.adapters),
        "mappings": [
            {"source": m.source, "network_id": m.network_id, "network_name": m.network_name, "is_test": m.is_test}
            for m in source.mappings
        ],
        "active_jobs": [
            {"id": j.id, "kind": j.kind, "status": j.status, "progress": j.progress} for j in source.active_jobs
        ],
        "last_failover": source.last_failover.id if source.last_failover is not None else None,
        "run": row.world.run.id if row.world.run is not None else None,
        "findings": list(source.findings),
        "drifts": [_drift_json(one) for one in row.drifts],
    }


def _disk_json(disk: Disk, row: Known) -> dict[str, Any]:
    volume = row.world.replica(disk)
    seen = None
    if volume is not None:
        place = str(row.world.place(volume.id))
        seen = {
            "name": volume.name,
            "state": volume.state,
            "gib": volume.size / GIB,
            "place": place,
            "device": volume.device_id,
        }
    return {
        "key": disk.key,
        "size_gb": disk.size_gb,
        "volume_id": disk.volume_id,
        "change_id": disk.change_id,
        "synced_at": screen.stamp(disk.synced_at),
        "cloudstack": seen,
    }


def _drift_json(one: Drift) -> dict[str, str]:
    return {"kind": str(one.kind), "code": one.code, "text": one.text, "fix": one.fix}
