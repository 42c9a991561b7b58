"""What an operator changes under the machines: zones, pods, clusters, hosts and pools that are there. `infrastructure` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simulator.commands.infrastructure import told_of
from simulator.model import Plain
from simulator.refusals import Refused
from simulator.registry import ADMIN, command
from simulator.wire import Call, Param

if TYPE_CHECKING:
    from simulator.cloud import Cloud

Row = dict[str, Any]
STATE = Param("allocationstate")
STATES = ("Enabled", "Disabled")
HOST_STATES: Mapping[str, str] = {"enable": "Enabled", "disable": "Disabled"}


def _changed(call: Call, row: Plain, columns: Mapping[str, str]) -> Plain:
    """The row with those columns that the call names; parameter → column."""
    for name, column in columns.items():
        if call.has(name) and column == "name":
            row.name = call[name]
        elif call.has(name):
            row.fields[column] = call[name]
    return row


def _shown(key: str, row: Plain) -> Row:
    return {key: {"id": row.id, "name": row.name, **row.fields}}


def _check_state(call: Call) -> None:
    wanted = call["allocationstate"]
    if wanted is not None and wanted not in STATES:
        raise Refused(431, f"Unable to resolve Allocation State '{wanted}' to a supported state")


def _refuse_a_second(cloud: Cloud, call: Call, kind: str, row: Plain, text: str) -> None:
    if any(other.name == call["name"] and other is not row for other in cloud.rows_of(kind)):
        raise Refused(431, text)


@command(
    "updateHypervisorCapabilities",
    Param("id"),
    Param("hypervisor"),
    Param("maxdatavolumeslimit", "int"),
    Param("maxguestslimit", "long"),
    Param("vmsnapshotenabled", "bool"),
    roles=ADMIN,
)
def capabilities(cloud: Cloud, call: Call) -> Row:
    """How many data disks a VM may have (CS-ATT-09), and what else is told of a hypervisor."""
    rows = told_of(cloud, "listHypervisorCapabilities")
    row = next((r for r in rows if call["id"] == r["id"] or call["hypervisor"] == r["hypervisor"]), None)
    if row is None:
        raise Refused(431, "Unable to find the hypervisor capabilities for the given id or hypervisor and version")
    names = ("maxdatavolumeslimit", "maxguestslimit", "vmsnapshotenabled")
    made = {**row, **{name: call[name] for name in names if call.has(name)}}
    cloud.lists["listHypervisorCapabilities"] = [made if r is row else dict(r) for r in rows]
    if call.has("maxdatavolumeslimit") and row["hypervisor"] == cloud.hypervisor:
        cloud.max_data_disks = call["maxdatavolumeslimit"]
    return {"hypervisorcapabilities": made}


ZONE = ("name", "dns1", "dns2", "internaldns1", "internaldns2", "guestcidraddress", "domain", "dhcpprovider")


@command(
    "updateZone",
    Param("id", "Zone", required=True),
    *(Param(name) for name in ZONE),
    Param("localstorageenabled", "bool"),
    STATE,
    roles=ADMIN,
)
def zone(cloud: Cloud, call: Call) -> Row:
    """Other columns of a zone. In a disabled one only root administrators make anything."""
    row: Plain = call["id"]
    _check_state(call)
    _refuse_a_second(cloud, call, "Zone", row, f"A zone with ID: {row.n} already exists")
    columns = (*ZONE, "localstorageenabled", "allocationstate")
    return _shown("zone", _changed(call, row, {name: name for name in columns}))


@command(
    "updatePod", Param("id", "Pod", required=True), Param("name"), STATE, Param("gateway"), Param("netmask"), roles=ADMIN
)
def pod(cloud: Cloud, call: Call) -> Row:
    """Other columns of a pod."""
    _check_state(call)
    return _shown(
        "pod", _changed(call, call["id"], {name: name for name in ("name", "gateway", "netmask", "allocationstate")})
    )


@command(
    "updateCluster",
    Param("id", "Cluster", required=True),
    Param("clustername"),
    STATE,
    Param("clustertype"),
    Param("hypervisor"),
    Param("managedstate"),
    roles=ADMIN,
)
def cluster(cloud: Cloud, call: Call) -> Row:
    """Other columns of a cluster."""
    _check_state(call)
    columns = {"clustername": "name", "allocationstate": "allocationstate", "clustertype": "clustertype"}
    return _shown("cluster", _changed(call, call["id"], {**columns, "managedstate": "managedstate"}))


@command("updateHost", Param("id", "Host", required=True), STATE, Param("hosttags", "list"), Param("name"), roles=ADMIN)
def host(cloud: Cloud, call: Call) -> Row:
    """A host is enabled or disabled, gets other tags. On a disabled one nothing starts."""
    row: Plain = call["id"]
    wanted = call["allocationstate"]
    if wanted is not None and wanted.lower() not in HOST_STATES:
        raise Refused(530, f"Invalid allocation state: {wanted}, only Enable/Disable are allowed", masked=True)
    if wanted is not None:
        row.fields["resourcestate"] = HOST_STATES[wanted.lower()]
    if call.has("hosttags"):
        row.fields["hosttags"] = ",".join(call["hosttags"]) or None
    return _shown("host", _changed(call, row, {"name": "name"}))


@command(
    "updateStoragePool",
    Param("id", "StoragePool", required=True),
    Param("name"),
    Param("tags", "list"),
    Param("enabled", "bool"),
    Param("capacitybytes", "long"),
    Param("capacityiops", "long"),
    roles=ADMIN,
)
def storage_pool(cloud: Cloud, call: Call) -> Row:
    """Other columns of a pool. Nothing new is put on a disabled one."""
    row: Plain = call["id"]
    if call.has("enabled"):
        row.fields["state"] = "Up" if call["enabled"] else "Disabled"
    if call.has("tags"):
        row.fields["tags"] = ",".join(call["tags"]) or None
    return _shown("storagepool", _changed(call, row, {n: n for n in ("name", "capacitybytes", "capacityiops")}))
