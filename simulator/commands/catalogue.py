"""What a client reads before it does anything: capabilities, commands, templates, networks. The rest: `infrastructure`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common, infrastructure
from simulator.model import Plain
from simulator.refusals import Refused
from simulator.registry import COMMANDS, READERS, Command, command, parameters
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

GUEST_TYPES = ("isolated", "shared", "l2")


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
        told[key] = (privileged and call.account.is_root) or cloud.in_force[setting]
    if cloud.in_force["api.throttling.enabled"]:
        told |= {"apilimitinterval": int(cloud.in_force["api.throttling.interval"])}
        told |= {"apilimitmax": int(cloud.in_force["api.throttling.max"])}
    shown = {**FIXED_CAPABILITIES, **told, "extensionspath": "/usr/share/cloudstack-management/extensions"}
    return {"capability": {key: value for key, value in shown.items() if key != "extensionspath" or call.account.is_root}}


@command("quotaIsEnabled", roles=READERS)
def quota(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Whether what is used is charged for: never here."""
    return {"isenabled": {"isenabled": False}}


@command("cloudianIsEnabled", roles=READERS)
def cloudian(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Whether Cloudian's object storage is connected: never here."""
    return {"cloudianisenabled": {"enabled": False, "url": "https://:8443/Cloudian/"}}


KINDS = {"text": "string", "long": "long", "int": "integer", "bool": "boolean", "list": "list", "map": "map", "date": "date"}


@command("listApis", Param("name"), roles=READERS)
def apis(cloud: Cloud, call: Call) -> dict[str, Any]:
    """The commands this account may call, with the parameters that this release has for it."""
    rows = [
        _documented(cloud, call, c)
        for c in sorted(COMMANDS.values(), key=lambda c: c.name)
        if call.account.role in c.roles and call["name"] in (None, c.name)
    ]
    if not rows:
        raise Refused(530, "Api Discovery plugin was unable to find an api by that name or process any apis", 9999)
    return page(call, "api", rows)


def _documented(cloud: Cloud, call: Call, known: Command) -> dict[str, Any]:
    """A command as listApis shows it. Its description is ours: the first line of its docstring."""
    return {
        "name": known.name,
        "description": (known.handler.__doc__ or "").partition("\n")[0],
        "since": known.since or None,
        "isasync": known.asynchronous,
        "related": "",
        "params": [_parameter(p) for p in parameters(known.name, cloud.release, call.account.is_root)],
        "response": [],
    }


NAMING = ("networkids", "affinitygroupids", "affinitygroupnames", "securitygroupids", "securitygroupnames")


def _parameter(param: Param) -> dict[str, Any]:
    kind = param.shown or KINDS.get(param.kind, "uuid")
    about = {"related": ""} if kind == "uuid" or param.name in NAMING else {}
    told = {"name": param.name, "description": "", "type": kind, "length": param.limit, "required": param.required}
    return {**told, "since": param.since or None, **about}


# --- templates, networks ----------------------------------------------------------------------------------------------

TemplateFilter = Callable[[Plain, str], bool]


def _public(row: Plain, caller: str) -> bool:
    return bool(row.fields.get("ispublic", True))


def _own(row: Plain, caller: str) -> bool:
    return row.fields.get("account") == caller


def _featured(row: Plain, caller: str) -> bool:
    return _public(row, caller) and bool(row.fields.get("isfeatured", True))


def _community(row: Plain, caller: str) -> bool:
    return _public(row, caller) and not row.fields.get("isfeatured", True)


def _executable(row: Plain, caller: str) -> bool:
    return _public(row, caller) or _own(row, caller)


def _nothing(row: Plain, caller: str) -> bool:
    return False


def _everything(row: Plain, caller: str) -> bool:
    return True


TEMPLATE_FILTERS: Mapping[str, TemplateFilter] = {
    "featured": _featured,
    "self": _own,
    "selfexecutable": _own,
    "sharedexecutable": _nothing,
    "executable": _executable,
    "community": _community,
    "all": _everything,
}


@command(
    "listTemplates",
    Param("templatefilter", required=True),
    Param("id", "Template"),
    Param("ids", "list"),
    Param("name"),
    Param("zoneid", "Zone"),
    Param("hypervisor"),
    roles=READERS,
)
def templates(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Templates; the filter is a must. Templates of the server's own VMs are only in `all`."""
    wanted = call["templatefilter"]
    if wanted not in TEMPLATE_FILTERS:
        raise Refused(431, f"No enum constant com.cloud.template.VirtualMachineTemplate.TemplateFilter.{wanted}", 9999)
    if wanted == "all" and not call.account.is_root:
        raise Refused(431, "Filter all can be specified by admin only")
    chosen = TEMPLATE_FILTERS[wanted]
    rows = [row for row in cloud.rows_of("Template") if chosen(row, call.account.name)]
    rows = [row for row in rows if wanted == "all" or row.fields.get("templatetype") != "SYSTEM"]
    there = {host.fields.get("hypervisor", cloud.hypervisor) for host in common.hosts(cloud)}
    rows = [row for row in rows if row.fields.get("hypervisor", cloud.hypervisor) in there]
    rows = [row for row in rows if call["ids"] is None or row.id in call["ids"]]
    rows = [row for row in rows if infrastructure.matches(call, row, ("zoneid", "hypervisor"))]
    return page(call, "template", [_template(row, call) for row in rows])


def _template(row: Plain, call: Call) -> dict[str, Any]:
    told = infrastructure.shown("template", {"id": row.id, "name": row.name, **row.fields}, call.account)
    if not call.account.is_root and "downloaddetails" in told:
        hidden = ("datastoreRole", "datastoreId")
        told["downloaddetails"] = [{k: v for k, v in one.items() if k not in hidden} for one in told["downloaddetails"]]
    return told


@command(
    "listNetworks",
    Param("id", "Network"),
    Param("zoneid", "Zone"),
    Param("type"),
    Param("traffictype"),
    Param("canusefordeploy", "bool"),
    Param("issystem", "bool"),
    Param("name"),
    Param("projectid", "Project"),
    roles=READERS,
)
def networks(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Guest networks the caller may use; administrators see all that they may act on, without asking for it."""
    everything = call.account.role in ("admin", "domainadmin") and not call.has("account")
    if everything and not call.has("projectid"):
        call.values["listall"] = True
    rows = common.chosen(cloud, call, cloud.networks.values(), "Network")
    if call.has("type"):
        if call["type"].lower() not in GUEST_TYPES:
            raise Refused(431, f"Unexpected Guest type : {call['type']}")
        rows = [n for n in rows if n.kind.lower() == call["type"].lower()]
    rows = [n for n in rows if call["name"] in (None, n.name) and call["traffictype"] in (None, "Guest")]
    rows = [] if call["issystem"] else common.by_keyword(call, rows, lambda n: n.name)
    return page(call, "network", common.Views(rows, lambda n: views.network(cloud, n, call.account)))
