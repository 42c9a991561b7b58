"""VM snapshots: only their list so far, which every client reads before it attaches or detaches anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud


@command(
    "listVMSnapshot",
    Param("vmsnapshotid", "VMSnapshot"),
    Param("virtualmachineid", "VirtualMachine"),
    Param("name"),
    Param("state"),
    roles=READERS,
)
def list_vm_snapshots(cloud: Cloud, call: Call) -> dict[str, Any]:
    """VM snapshots the caller may see; hidden rows are not shown, though they block (CS-VSL-01)."""
    rows = common.chosen(cloud, call, cloud.vm_snapshots.values(), "VMSnapshot")
    rows = [s for s in rows if s.state != "Hidden"]
    if call.has("vmsnapshotid"):
        rows = [s for s in rows if s.id == call["vmsnapshotid"].id]
    if call.has("virtualmachineid"):
        rows = [s for s in rows if s.vm == call["virtualmachineid"].id]
    if call.has("name"):
        rows = [s for s in rows if s.display_name == call["name"]]
    return page(call, "vmSnapshot", common.Views(rows, lambda s: views.vm_snapshot(cloud, s)))
