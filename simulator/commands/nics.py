"""Network cards of VMs: their list so far; the product fixes cards at deployment and never changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.model import Vm
from simulator.refusals import refuse
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud


@command("listNics", Param("virtualmachineid", "VirtualMachine", required=True), roles=READERS)
def list_nics(cloud: Cloud, call: Call) -> dict[str, Any]:
    """The cards of one VM."""
    vm: Vm = call["virtualmachineid"]
    if not call.account.is_root and vm.account != call.account.name:
        raise refuse("CS-WIR-28")
    rows = [views.nic(cloud, n) for n in vm.nics if not n.removed]
    return page(call, "nic", [{**row, "virtualmachineid": vm.id} for row in rows])
