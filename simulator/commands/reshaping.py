"""What of a VM can be changed later: names, details, protection, offering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common, deploying, groups
from simulator.model import Plain, Vm
from simulator.refusals import RUNTIME, Refused, refuse
from simulator.registry import command
from simulator.wire import Call, Param

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user.vm."
READ_ONLY = frozenset({"rootDiskController", "dataDiskController"})
SIZES = ("cpuNumber", "memory", "cpuSpeed")
WIPED = 'Cannot invoke "java.lang.Integer.intValue()" because the return value of "com.cloud.service.ServiceOfferingVO.getCpu()" is null'


@command(
    "updateVirtualMachine",
    Param("id", "VirtualMachine", required=True, owned=True),
    Param("displayname"),
    Param("name"),
    Param("details", "map"),
    Param("cleanupdetails", "bool"),
    Param("deleteprotection", "bool", since="4.20.0"),
    Param("isdynamicallyscalable", "bool"),
    Param("group"),
    Param("customid"),
    Param("userdata", limit=deploying.LONGEST_USER_DATA),
)
def update(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Change names, details or protection at once, in whatever state the VM is."""
    vm: Vm = call["id"]
    name = call["name"]
    if name is not None and not deploying.HOST_NAME.fullmatch(name):
        raise refuse("CS-DEP-03", command="updatevirtualmachine")
    if "customid" in call.raw and not call.account.is_root:
        raise refuse("CS-DEP-14")
    try:
        _check_state(vm)
        details = _details(cloud, call, vm)
        _check_name(cloud, vm, name)
    except Refused as fault:
        raise _wrapped(cloud, fault) from None
    _apply(cloud, call, vm, details)
    return {"virtualmachine": views.vm(cloud, vm, call.account)}


def _wrapped(cloud: Cloud, fault: Refused) -> Refused:
    """CS-UPD-02: from 4.22.1 on every refusal is an internal error, masked; a null pointer is not even wrapped."""
    if fault.text == WIPED or common.release(cloud) < (4, 22, 1):
        return fault
    return Refused(530, f"Failed to update Instance, due to: {fault.text}", RUNTIME, masked=True)


def _check_state(vm: Vm) -> None:
    if vm.state in ("Error", "Expunging"):
        raise Refused(431, f"Vm with id {vm.id} is not in the right state")


def _check_name(cloud: Cloud, vm: Vm, name: str | None) -> None:
    if name is not None:
        networks = [cloud.networks[card.network] for card in vm.nics if not card.removed]
        deploying.check_name(cloud, name, networks, own=vm)


def _details(cloud: Cloud, call: Call, vm: Vm) -> dict[str, str] | None:
    """CS-UPD-01, 03, 04: the details as they will be; None leaves them."""
    if call["cleanupdetails"]:
        return {}
    given = {k: v for row in call.mapped("details") for k, v in row.items()}
    if not given:
        return None
    if "extraconfig" in given:
        raise Refused(431, "'extraconfig' should not be included in details as key")
    if not call.account.is_root:
        wrong = next((key for key in given if key in READ_ONLY), None)
        if wrong is not None:
            raise Refused(431, f"You're not allowed to add or edit the read-only setting: {wrong}")
    _check_sizes(cloud, vm, given)
    hidden = () if call.account.is_root else (*READ_ONLY, views.FREED)
    kept = {k: v for k, v in vm.details.items() if k in hidden}
    plain = {k: v for k, v in given.items() if not k.startswith("extraconfig-")}
    return {**plain, **kept}


def _check_sizes(cloud: Cloud, vm: Vm, given: dict[str, str]) -> None:
    offering = cloud.plain["ServiceOffering"].get(vm.offering or "")
    if offering is None or not offering.fields.get("iscustomized"):
        return
    speed = offering.fields.get("cpuspeed")
    if speed is not None and "cpuSpeed" in given:
        raise Refused(
            431, f"The CPU speed of this offering id:{offering.id} is not customizable. This is predefined as {speed} MHz."
        )
    if vm.is_wiped:
        raise Refused(530, WIPED, 9999, masked=True)
    limits = deploying.bounds(offering)
    for key, what, low, high in (
        ("cpuNumber", "CPU cores", "mincpu", "maxcpu"),
        ("memory", "memory", "minmemory", "maxmemory"),
    ):
        text = given.get(key, "")
        if not text.isdigit() or not limits[low] <= int(text) <= limits[high]:
            raise refuse("CS-DEP-08b", what=what, low=limits[low], high=limits[high])


def _apply(cloud: Cloud, call: Call, vm: Vm, details: dict[str, str] | None) -> None:
    if call["name"] is not None:
        vm.name = vm.display_name = call["name"]  # CS-UPD-05
    if call.has("userdata"):
        vm.user_data = call["userdata"]
    if call.has("group"):
        groups.put_into(cloud, vm, call["group"])
    if call["displayname"] is not None:
        vm.display_name = call["displayname"]
    if call["deleteprotection"] is not None:
        vm.protected = call["deleteprotection"]
    if call["isdynamicallyscalable"] is not None:
        vm.dynamic = call["isdynamicallyscalable"]
    if details is not None:
        vm.details = details
        offering = cloud.plain["ServiceOffering"].get(vm.offering or "")
        if offering is not None and offering.fields.get("iscustomized"):
            vm.cpus, vm.memory = int(details.get("cpuNumber", 0)), int(details.get("memory", 0))


# --- offering ---------------------------------------------------------------------------------------------------------

SCALING = (
    Param("id", "VirtualMachine", required=True, owned=True),
    Param("serviceofferingid", "ServiceOffering", required=True),
    Param("details", "map"),
)


@command("scaleVirtualMachine", *SCALING, java=JAVA + "ScaleVMCmd", asynchronous=True, by_admin=True)
def scale(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Another offering, also for a running VM."""
    vm: Vm = call["id"]

    def finish() -> dict[str, Any]:
        _rescale(call, vm)
        return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}

    return cloud.submit(call, finish, check=lambda: _check_scale(vm), queue=vm.id, instance=("VirtualMachine", vm.id))


@command("changeServiceForVirtualMachine", *SCALING)
def change_service(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Another offering for a stopped VM, at once."""
    vm: Vm = call["id"]
    _check_scale(vm)
    if vm.state != "Stopped":
        raise Refused(
            431,
            f"Unable to upgrade virtual machine {vm.told()} in state {vm.state}; make sure the virtual machine is stopped",
        )
    _rescale(call, vm)
    return {"virtualmachine": views.vm(cloud, vm, call.account)}


def _check_scale(vm: Vm) -> None:
    if vm.is_wiped:
        raise Refused(530, WIPED, 9999, masked=True)


def _rescale(call: Call, vm: Vm) -> None:
    offering: Plain = call["serviceofferingid"]
    vm.cpus, vm.memory, vm.speed = deploying.measured(offering, call)
    vm.offering = offering.id
    given = {k: v for row in call.mapped("details") for k, v in row.items()}
    vm.details = {**{k: v for k, v in vm.details.items() if k not in SIZES}, **given}
