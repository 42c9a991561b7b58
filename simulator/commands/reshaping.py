"""What of a VM can be changed later: names, details, protection, offering."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
Sizes = tuple[int, int, int]
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


UPWARDS = (
    'While the VM is running, only scalling up it is supported. New service offering {{"memory": {0}, "speed": {1}, "cpu": {2}}} should have at '
    'least one value (ram, speed or cpu) greater than the current values {{"memory": {3}, "speed": {4}, "cpu": {5}}}.'
)
NOT_CUSTOM = (
    'Unable to live scale VM on KVM when current service offering is a "Fixed Offering". KVM needs the tag "maxMemory" to live scale and it is only '
    'configured when VM is deployed with a custom service offering and "Dynamic Scalable" is enabled.'
)


@command("scaleVirtualMachine", *SCALING, java=JAVA + "ScaleVMCmd", asynchronous=True, by_admin=True)
def scale(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Another offering; sizes that are not given stay. A running VM can only grow, and only where it was made for it."""
    vm: Vm = call["id"]

    def check() -> None:
        _check_scale(vm)
        size = _sizes(cloud, call, vm, keeping=True)
        _check_offering(call, vm)
        if vm.state == "Running":
            _check_growing(cloud, vm, size)
        with _as_internal():
            _check_limits(cloud, vm, size)

    def finish() -> dict[str, Any]:
        _rescale(call, vm, _sizes(cloud, call, vm, keeping=True))
        return {"virtualmachine": views.vm(cloud, vm, call.account, job=common.own_job(cloud, vm.id))}

    return cloud.submit(call, finish, check=check, queue=vm.id, instance=("VirtualMachine", vm.id))


@command("changeServiceForVirtualMachine", *SCALING)
def change_service(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Another offering for a stopped VM, at once."""
    vm: Vm = call["id"]
    _check_scale(vm)
    if vm.state != "Stopped":
        what = "Instance" if cloud.wording == "W2" else "virtual machine"
        raise Refused(431, f"Unable to upgrade {what} {vm.told()}  in state {vm.state}; make sure the {what} is stopped")
    size = _sizes(cloud, call, vm, keeping=False)
    _check_limits(cloud, vm, size)
    _check_offering(call, vm)
    _rescale(call, vm, size)
    return {"virtualmachine": views.vm(cloud, vm, call.account)}


def _check_scale(vm: Vm) -> None:
    if vm.is_wiped:
        raise Refused(530, WIPED, 9999, masked=True)


def _sizes(cloud: Cloud, call: Call, vm: Vm, keeping: bool) -> Sizes:
    """Processors, memory in MB and speed in MHz as they will be."""
    now = {"cpuNumber": vm.cpus, "memory": vm.memory, "cpuSpeed": vm.speed} if keeping else {}
    return deploying.measured(call["serviceofferingid"], call, {name: str(value) for name, value in now.items()})


def _check_offering(call: Call, vm: Vm) -> None:
    offering: Plain = call["serviceofferingid"]
    if vm.state not in ("Stopped", "Running"):
        text = f"Unable to upgrade virtual machine {vm.told()}  in state {vm.state}; make sure the virtual machine is stopped/running"
        raise Refused(431, text)
    if not offering.fields.get("iscustomized") and offering.id == vm.offering:
        text = f"Not upgrading vm {vm.told()} since it already has the requested service offering ({offering.name})"
        raise Refused(431, text)


def _check_growing(cloud: Cloud, vm: Vm, size: Sizes) -> None:
    cpus, memory, speed = size
    before, after = (vm.memory, vm.speed, vm.cpus), (memory, speed, cpus)
    if before == after or any(new < old for new, old in zip(after, before, strict=True)):
        raise Refused(431, UPWARDS.format(*after, *before))
    current = cloud.plain["ServiceOffering"].get(vm.offering or "")
    if current is not None and vm.hypervisor == "KVM" and not current.fields.get("iscustomized"):
        raise Refused(431, NOT_CUSTOM)
    if not cloud.in_force["enable.dynamic.scale.vm"]:
        raise Refused(530, "Dynamically scaling Instances is disabled for this zone, please contact your admin.")
    if not vm.dynamic:
        raise Refused(530, f"Unable to scale {vm.told()} as it does not have tools to support dynamic scaling.")


def _check_limits(cloud: Cloud, vm: Vm, size: Sizes) -> None:
    cpus, memory, _ = size
    more = {"cpu": cpus - vm.cpus, "memory": memory - vm.memory}
    common.check_limits(cloud, cloud.accounts[vm.account], {kind: amount for kind, amount in more.items() if amount > 0})


@contextmanager
def _as_internal() -> Iterator[None]:
    """What scaleVirtualMachine does with a limit that is exceeded."""
    try:
        yield
    except Refused as fault:
        raise Refused(530, fault.text) from None


def _rescale(call: Call, vm: Vm, size: Sizes) -> None:
    offering: Plain = call["serviceofferingid"]
    vm.cpus, vm.memory, vm.speed = size
    vm.offering = offering.id
    vm.details = {k: v for k, v in vm.details.items() if k not in SIZES}
    if offering.fields.get("iscustomized"):
        vm.details |= {"cpuNumber": str(vm.cpus), "memory": str(vm.memory)}
        vm.details |= {} if offering.fields.get("cpuspeed") else {"cpuSpeed": str(vm.speed)}
    vm.details |= {k: v for row in call.mapped("details") for k, v in row.items() if k not in SIZES}
