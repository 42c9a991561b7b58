"""What stands under the machines: zones, pods, clusters, hosts, pools, and what is only told about them.

Lists of rows that the estate names are filtered like those of the real server; of lists that nothing here works with the
estate's section `lists` says what they show (command name → rows), else `USUAL`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simulator.commands import common
from simulator.happenings import TOLD as TOLD_OF
from simulator.model import GIB, Account, Plain
from simulator.registry import ADMIN, READERS, command
from simulator.views import vm as vm_view
from simulator.views import volume as volume_view
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

Row = dict[str, Any]
# Columns that only root administrators see.
PRIVILEGED: Mapping[str, frozenset[str]] = {
    "zone": frozenset({"dns1", "dns2", "internaldns1", "internaldns2", "guestcidraddress", "vlan"}),
    "networkacllist": frozenset({"fordisplay"}),
    "template": frozenset({"status", "url", "hostid", "hostname"}),
}


def shown(kind: str, row: Row, viewer: Account) -> Row:
    """A row without the columns that this caller does not see."""
    hidden = PRIVILEGED.get(kind, frozenset())
    return row if viewer.is_root else {key: value for key, value in row.items() if key not in hidden}


def plain(cloud: Cloud, call: Call, kind: str, key: str, *filters: str) -> Row:
    """A list of plain rows, chosen by id, name, keyword and by those parameters that are named as a column."""
    rows = [row for row in cloud.rows_of(kind) if matches(call, row, filters)]
    return page(call, key, [shown(key, {"id": row.id, "name": row.name, **row.fields}, call.account) for row in rows])


def matches(call: Call, row: Plain, filters: Sequence[str]) -> bool:
    """Whether a plain row is what the call asks for."""
    if call["id"] not in (None, row) or call["name"] not in (None, row.name):
        return False
    if call["keyword"] is not None and call["keyword"].lower() not in row.name.lower():
        return False
    return all(_same(call[name], row.fields.get(name)) for name in filters)


def _same(wanted: Any, value: Any) -> bool:
    if wanted is None:
        return True
    told = wanted.id if isinstance(wanted, Plain) else wanted
    return str(told).lower() == str(value).lower()


ID, NAME, ZONE = Param("id", "text"), Param("name"), Param("zoneid", "Zone")


@command("listZones", Param("id", "Zone"), NAME, Param("available", "bool"), Param("networktype"), roles=READERS)
def zones(cloud: Cloud, call: Call) -> Row:
    """Zones."""
    return plain(cloud, call, "Zone", "zone", "networktype")


@command("listPods", Param("id", "Pod"), NAME, ZONE, Param("allocationstate"), roles=ADMIN)
def pods(cloud: Cloud, call: Call) -> Row:
    """Pods."""
    return plain(cloud, call, "Pod", "pod", "zoneid", "allocationstate")


@command(
    "listClusters",
    Param("id", "Cluster"),
    NAME,
    ZONE,
    Param("podid", "Pod"),
    Param("hypervisor"),
    Param("allocationstate"),
    roles=ADMIN,
)
def clusters(cloud: Cloud, call: Call) -> Row:
    """Clusters."""
    return plain(cloud, call, "Cluster", "cluster", "zoneid", "podid", "allocationstate")


KVM_ONLY = ("details", "encryptionsupported", "instanceconversionsupported")
HOST_FILTERS = ("type", "state", "resourcestate", "hypervisor", "zoneid", "podid", "clusterid")


@command(
    "listHosts",
    Param("id", "Host"),
    NAME,
    Param("type"),
    Param("state"),
    Param("resourcestate"),
    Param("hypervisor"),
    ZONE,
    Param("podid", "Pod"),
    Param("clusterid", "Cluster"),
    Param("virtualmachineid", "VirtualMachine"),
    Param("details", "list"),
    roles=ADMIN,
)
def hosts(cloud: Cloud, call: Call) -> Row:
    """Hosts that run guests, and those of the server's own VMs."""
    answer = plain(cloud, call, "Host", "host", *HOST_FILTERS)
    for row in answer.get("host", ()):
        if row.get("hypervisor") != "KVM":
            for column in KVM_ONLY:
                row.pop(column, None)
    return answer


@command(
    "listStoragePools",
    Param("id", "StoragePool"),
    NAME,
    ZONE,
    Param("podid", "Pod"),
    Param("clusterid", "Cluster"),
    Param("scope"),
    Param("path"),
    Param("ipaddress"),
    roles=ADMIN,
)
def storage_pools(cloud: Cloud, call: Call) -> Row:
    """Primary storage pools; `managed` is told from 4.20 on."""
    answer = plain(cloud, call, "StoragePool", "storagepool", "zoneid", "podid", "clusterid", "scope", "path", "ipaddress")
    if common.release(cloud) < (4, 16) and "storagepool" in answer:
        answer["storagepool"] = [{k: v for k, v in row.items() if k != "managed"} for row in answer["storagepool"]]
    return answer


OFFERING = (NAME, ZONE, Param("domainid", "Domain"), Param("state"))


@command(
    "listServiceOfferings",
    Param("id", "ServiceOffering"),
    *OFFERING,
    Param("issystem", "bool"),
    Param("virtualmachineid", "VirtualMachine"),
    roles=READERS,
)
def service_offerings(cloud: Cloud, call: Call) -> Row:
    """Compute offerings."""
    return plain(cloud, call, "ServiceOffering", "serviceoffering", "state")


@command("listDiskOfferings", Param("id", "DiskOffering"), *OFFERING, roles=READERS)
def disk_offerings(cloud: Cloud, call: Call) -> Row:
    """Disk offerings."""
    return plain(cloud, call, "DiskOffering", "diskoffering", "state")


# --- lists that only tell ---------------------------------------------------------------------------------------------

# Command, the key of its rows, who may call it.
TOLD: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("listAlerts", "alert", ADMIN),
    ("listEventTypes", "eventtype", READERS),
    ("listHypervisorCapabilities", "hypervisorCapabilities", ADMIN),
    ("listHypervisors", "hypervisor", READERS),
    ("listImageStores", "imagestore", ADMIN),
    ("listNetworkACLLists", "networkacllist", READERS),
    ("listNetworkOfferings", "networkoffering", READERS),
    ("listOsCategories", "oscategory", READERS),
    ("listOsTypes", "ostype", READERS),
    ("listPhysicalNetworks", "physicalnetwork", ADMIN),
    ("listRouters", "router", ADMIN),
    ("listSystemVms", "systemvm", ADMIN),
    ("listVlanIpRanges", "vlaniprange", ADMIN),
    ("listVpnConnections", "vpnconnection", READERS),
    ("listVpnGateways", "vpngateway", READERS),
    ("listCapacity", "capacity", ADMIN),
    ("listVPCs", "vpc", READERS),
    ("listRemoteAccessVpns", "remoteaccessvpn", READERS),
    ("listVPCOfferings", "vpcoffering", READERS),
    ("listPrivateGateways", "privategateway", READERS),
    ("listStaticRoutes", "staticroute", READERS),
    ("listNetworkACLs", "networkacl", READERS),
    ("listVpnCustomerGateways", "vpncustomergateway", READERS),
    ("listVpnUsers", "vpnuser", READERS),
    ("listRegions", "region", READERS),
    ("listUserData", "userdata", READERS),
    ("listSslCerts", "sslcert", READERS),
    ("listAutoScaleVmGroups", "autoscalevmgroup", READERS),
    ("listProjectInvitations", "projectinvitation", READERS),
    ("listBackupOfferings", "backupoffering", READERS),
    ("listBackups", "backup", READERS),
    ("listStorageTags", "storagetag", ADMIN),
    ("listHostTags", "hosttag", ADMIN),
)
_SYSTEMS = (
    "CentOS 7",
    "Debian GNU/Linux 11 (64-bit)",
    "Other (64-bit)",
    "Other PV (64-bit)",
    "Ubuntu 22.04 LTS",
    "Windows 10 (64-bit)",
    "Windows Server 2019 (64-bit)",
)
_CATEGORIES = ("CentOS", "Debian", "Other", "Ubuntu", "Windows")


def _category(system: str) -> int:
    first = system.split()[0]
    return _CATEGORIES.index(first) if first in _CATEGORIES else _CATEGORIES.index("Other")


def _id(kind: str, number: int) -> str:
    return f"00000000-0000-4000-{kind}-{number:012d}"


USUAL: Mapping[str, Sequence[Row]] = {
    "listEventTypes": [{"name": name} for name in dict.fromkeys(told.kind for told in TOLD_OF.values())],
    "listHypervisors": [{"name": "KVM"}],
    "listHypervisorCapabilities": [
        {
            "id": "1",
            "hypervisorversion": "default",
            "hypervisor": "KVM",
            "maxguestslimit": 50,
            "securitygroupenabled": True,
            "maxdatavolumeslimit": 32,
            "storagemotionenabled": False,
            "vmsnapshotenabled": True,
        }
    ],
    "listRegions": [
        {
            "id": 1,
            "name": "Local",
            "endpoint": "http://localhost:8080/client/",
            "gslbserviceenabled": True,
            "portableipserviceenabled": False,
        }
    ],
    "listVPCOfferings": [
        {
            "id": _id("8a04", n),
            "name": name,
            "displaytext": name,
            "isdefault": n == 0,
            "state": "Enabled",
            "supportsdistributedrouter": False,
            "supportsregionLevelvpc": False,
            "internetprotocol": "IPv4",
        }
        for n, name in enumerate(("Default VPC offering", "Redundant VPC offering"))
    ],
    "listOsCategories": [{"id": _id("8a01", n), "name": name, "isfeatured": True} for n, name in enumerate(_CATEGORIES)],
    "listOsTypes": [
        {
            "id": _id("8a02", n),
            "oscategoryid": _id("8a01", _category(name)),
            "oscategoryname": _CATEGORIES[_category(name)],
            "name": name,
            "description": name,
            "isuserdefined": False,
            "fordisplay": True,
        }
        for n, name in enumerate(_SYSTEMS)
    ],
    "listNetworkOfferings": [
        {"id": _id("8a03", n), "name": name, "traffictype": "Guest", "guestiptype": kind, "state": "Enabled"}
        for n, (name, kind) in enumerate(
            (("DefaultIsolatedNetworkOfferingWithSourceNatService", "Isolated"), ("DefaultL2NetworkOffering", "L2"))
        )
    ],
}
FILTERS = ("id", "name", "description", "oscategoryid", "guestiptype", "state", "zoneid", "networkid", "hypervisor", "type")


def told_of(cloud: Cloud, name: str) -> Sequence[Row]:
    """What the estate says that a list shows, or the usual."""
    return cloud.lists.get(name, USUAL.get(name, ()))


def _telling(name: str, key: str, roles: tuple[str, ...]) -> None:
    @command(name, *(Param(column) for column in FILTERS), roles=roles)
    def told(cloud: Cloud, call: Call) -> Row:
        rows = [shown(key, row, call.account) for row in cloud.lists.get(name, USUAL.get(name, ())) if _told(call, row)]
        return {"count": len(rows), key: rows} if name == "listEventTypes" else page(call, key, rows)


def _told(call: Call, row: Row) -> bool:
    wanted = {column: call[column] for column in FILTERS if call.has(column)}
    if "zoneid" not in row:  # what is of no zone is in every zone
        wanted.pop("zoneid", None)
    if not all(str(row.get(column)).lower() == value.lower() for column, value in wanted.items()):
        return False
    said = " ".join(str(row.get(column, "")) for column in ("name", "description"))
    return call["keyword"] is None or call["keyword"].lower() in said.lower()


for _name, _key, _roles in TOLD:
    _telling(_name, _key, _roles)


@command("listInfrastructure", roles=ADMIN)
def infrastructure(cloud: Cloud, call: Call) -> Row:
    """How many there are of everything."""
    kinds = {"zones": "Zone", "pods": "Pod", "clusters": "Cluster", "storagepools": "StoragePool"}
    counts: Row = {name: len(cloud.rows_of(kind)) for name, kind in kinds.items()}
    counts |= {"hosts": len(common.hosts(cloud)), "managementservers": 1, "systemvms": len(cloud.system_vms)}
    counts |= {"imagestores": len(cloud.lists.get("listImageStores", ())), "alerts": len(cloud.lists.get("listAlerts", ()))}
    counts |= dict.fromkeys(("backuprepositories", "objectstores", "routers", "ilbvms", "cpusockets"), 0)
    return {"infrastructure": counts}


@command("listDbMetrics", roles=ADMIN)
def database(cloud: Cloud, call: Call) -> Row:
    """The database, as the estate tells of it."""
    return {"dbMetrics": next(iter(cloud.lists.get("listDbMetrics", ())), {"collectiontime": cloud.now().isoformat()})}


# --- with measurements ------------------------------------------------------------------------------------------------

_BUSY = {"networkread": "0.00 GB", "networkwrite": "0.00 GB", "diskread": "0.00 GB", "diskwrite": "0.00 GB"}


@command("listVirtualMachinesMetrics", Param("id", "VirtualMachine"), Param("ids", "list"), Param("name"), roles=READERS)
def vm_metrics(cloud: Cloud, call: Call) -> Row:
    """VMs with what they use."""
    rows = [row for row in common.chosen(cloud, call, cloud.vms.values(), "VirtualMachine") if row.state != "Destroyed"]

    def view(row: Any) -> Row:
        size = {"cputotal": f"{row.cpus * row.speed / 1000:.2f} GHz", "memorytotal": f"{row.memory / 1024:.2f} GB"}
        told = {key: value for key, value in vm_view(cloud, row, call.account).items() if key != "domainpath"}
        return {**size, **_BUSY, "diskiopstotal": 0, **told}

    return page(call, "virtualmachine", common.Views(rows, view))


@command(
    "listVolumesMetrics",
    Param("id", "Volume"),
    Param("ids", "list"),
    Param("name"),
    roles=READERS,
    envelope="listvolumesresponse",
)
def volume_metrics(cloud: Cloud, call: Call) -> Row:
    """Volumes with what they use."""
    rows = common.chosen(cloud, call, cloud.volumes.values(), "Volume")

    def view(row: Any) -> Row:
        told = {key: value for key, value in volume_view(cloud, row, call.account).items() if key != "domainpath"}
        return {"sizegb": f"{row.size / GIB:.2f} GiB", "diskiopstotal": 0, **told}

    return page(call, "volume", common.Views(rows, view))
