"""What a client reads before it does anything: capabilities, commands, zones, offerings, templates, networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common
from simulator.refusals import Refused
from simulator.registry import COMMANDS, READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

GUEST_TYPES = ("isolated", "shared", "l2")
TEMPLATE_FILTERS = ("featured", "self", "selfexecutable", "sharedexecutable", "executable", "community", "all")


# Capability, the setting that it tells, whether root administrators have it anyway.
CAPABILITIES = (
    ("allowuserexpungerecovervm", "allow.user.expunge.recover.vm", True),
    ("allowuserexpungerecovervolume", "allow.user.expunge.recover.volume", True),
    ("allowuserviewdestroyedvm", "allow.user.view.destroyed.vm", True),
    ("allowuserforcestopvm", "allow.user.force.stop.vm", True),
    ("customdiskofferingminsize", "custom.diskoffering.size.min", False),
    ("customdiskofferingmaxsize", "custom.diskoffering.size.max", False),
    ("dynamicscalingenabled", "enable.dynamic.scale.vm", False),
)
FIXED_CAPABILITIES: Mapping[str, Any] = {
    "securitygroupsenabled": False,
    "dynamicrolesenabled": True,
    "userpublictemplateenabled": True,
    "supportELB": "false",
    "projectinviterequired": False,
    "allowusercreateprojects": True,
    "regionsecondaryenabled": False,
    "snapshotshowchainsize": False,
    "allowuserviewalldomainaccounts": False,
    "kubernetesserviceenabled": False,
    "kubernetesclusterexperimentalfeaturesenabled": False,
    "customhypervisordisplayname": "Custom",
    "defaultuipagesize": 20,
    "instancesstatsretentiontime": 720,
    "instancesstatsuseronly": False,
    "instancesdisksstatsretentionenabled": False,
    "instancesdisksstatsretentiontime": 720,
    "sharedfsvmmincpucount": 2,
    "sharedfsvmminramsize": 1024,
    "instanceleaseenabled": False,
    "additionalconfigenabled": False,
}


@command("listCapabilities", roles=READERS)
def capabilities(cloud: Cloud, call: Call) -> dict[str, Any]:
    """What this server and this account can do; snapshots of running VMs as in force since the start (CS-SNP-14)."""
    told: dict[str, Any] = {
        "cloudstackversion": cloud.release,
        "kvmsnapshotenabled": bool(cloud.in_force["kvm.snapshot.enabled"]),
    }
    for key, setting, privileged in CAPABILITIES:
        told[key] = (privileged and call.account.is_root) or cloud.settings[setting]
    shown = {**FIXED_CAPABILITIES, **told, "extensionspath": "/usr/share/cloudstack-management/extensions"}
    return {"capability": {key: value for key, value in shown.items() if key != "extensionspath" or call.account.is_root}}


@command("listApis", Param("name"), roles=READERS)
def apis(cloud: Cloud, call: Call) -> dict[str, Any]:
    """The commands this account may call, with their parameters."""
    del cloud
    rows = [
        {"name": c.name, "isasync": c.asynchronous, "params": [{"name": p.name, "required": p.required} for p in c.params]}
        for c in sorted(COMMANDS.values(), key=lambda c: c.name)
        if call.account.role in c.roles and call["name"] in (None, c.name)
    ]
    if not rows:
        raise Refused(530, "Api Discovery plugin was unable to find an api by that name or process any apis", 9999)
    return page(call, "api", rows)


def _plain(cloud: Cloud, call: Call, kind: str, key: str) -> dict[str, Any]:
    rows = [p for p in cloud.plain.get(kind, {}).values() if not p.removed]
    if call.has("id"):
        rows = [p for p in rows if p.id == call["id"].id]
    if call.has("name"):
        rows = [p for p in rows if p.name == call["name"]]
    if call.has("keyword"):
        rows = [p for p in rows if call["keyword"].lower() in p.name.lower()]
    return page(call, key, [{"id": p.id, "name": p.name, **p.fields} for p in rows])


@command("listZones", Param("id", "Zone"), Param("name"), Param("keyword"), roles=READERS)
def zones(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Zones."""
    return _plain(cloud, call, "Zone", "zone")


@command("listServiceOfferings", Param("id", "ServiceOffering"), Param("name"), Param("keyword"), roles=READERS)
def service_offerings(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Compute offerings."""
    return _plain(cloud, call, "ServiceOffering", "serviceoffering")


@command("listDiskOfferings", Param("id", "DiskOffering"), Param("name"), Param("keyword"), roles=READERS)
def disk_offerings(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Disk offerings."""
    return _plain(cloud, call, "DiskOffering", "diskoffering")


@command("listTemplates", Param("templatefilter", required=True), Param("id", "Template"), Param("name"), roles=READERS)
def templates(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Templates; the filter is a must."""
    wanted = call["templatefilter"]
    if wanted not in TEMPLATE_FILTERS:
        raise Refused(431, f"No enum constant com.cloud.template.VirtualMachineTemplate.TemplateFilter.{wanted}", 9999)
    if wanted == "all" and not call.account.is_root:
        raise Refused(431, "Filter all can be specified by admin only")
    return _plain(cloud, call, "Template", "template")


@command("listStoragePools", Param("id", "StoragePool"), Param("name"), roles=("admin",))
def storage_pools(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Storage pools, for root administrators."""
    return _plain(cloud, call, "StoragePool", "storagepool")


@command("listNetworks", Param("id", "Network"), Param("zoneid", "Zone"), Param("type"), Param("keyword"), roles=READERS)
def networks(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Guest networks the caller may use."""
    rows = common.chosen(cloud, call, cloud.networks.values(), "Network")
    if call.has("type"):
        if call["type"].lower() not in GUEST_TYPES:
            raise Refused(431, f"Unexpected Guest type : {call['type']}")
        rows = [n for n in rows if n.kind.lower() == call["type"].lower()]
    if call.has("keyword"):
        rows = [n for n in rows if call["keyword"].lower() in n.name.lower()]
    return page(call, "network", common.Views(rows, lambda n: views.network(cloud, n, call.account)))
