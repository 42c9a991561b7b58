"""How rows look in answers: one projection per kind, as a tenant and as a root administrator see it.

The sets of keys are those of recorded answers. A value of None is left out on the wire.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from simulator.clock import stamp
from simulator.model import Account, Entity, Event, Job, Network, Nic, Plain, Snapshot, Vm, VmSnapshot, Volume

if TYPE_CHECKING:
    from simulator.cloud import Cloud

Row = dict[str, Any]
FREED = "Message.ReservedCapacityFreed.Flag"  # a detail of every VM that was stopped once, for root administrators' eyes
READ_ONLY_DETAILS = "dataDiskController, rootDiskController"
GROUPS = (
    "group",
    "nics",
    "stats",
    "secgrp",
    "tmpl",
    "servoff",
    "diskoff",
    "backoff",
    "iso",
    "volume",
    "min",
    "affgrp",
    "vnfnics",
)
EVERYTHING = frozenset(GROUPS)


def owner(cloud: Cloud, entity: Entity) -> Row:
    """Account and domain of a row, or project and domain."""
    account = cloud.accounts.get(entity.account)
    path = account.domain if account else "ROOT"
    project = account.project if account else None
    held = (
        {"projectid": project, "project": plain_name(cloud, "Project", project)} if project else {"account": entity.account}
    )
    return {
        **held,
        "domainid": account.domain_id if account else None,
        "domain": path.rpartition("/")[2],
        "domainpath": path,
    }


def tags(cloud: Cloud, entity: Entity, kind: str, whole: bool = False) -> list[Row]:
    """The tags of a row, as objects; listTags shows them `whole`."""
    told = {k: v for k, v in owner(cloud, entity).items() if whole or k != "domainpath"}
    return [{"key": k, "value": v, "resourcetype": kind, "resourceid": entity.id, **told} for k, v in entity.tags.items()]


def plain_name(cloud: Cloud, kind: str, entity_id: str | None) -> str | None:
    """The name of an offering, template, zone or pool."""
    found = cloud.plain.get(kind, {}).get(entity_id or "")
    return found.name if found else None


def pending_job(cloud: Cloud, entity: Entity) -> Row:
    """The job that works on a row, if one does."""
    job = cloud.jobs.working_on(entity.id)
    return {"jobid": job.id, "jobstatus": 0} if job else {}


def nic(cloud: Cloud, card: Nic) -> Row:
    """A network card inside a VM."""
    network = cloud.networks[card.network]
    served = network.has_services
    uri = f"vlan://{network.vlan}" if card.vlan else None
    return {
        "id": card.id,
        "networkid": network.id,
        "networkname": network.name,
        "netmask": network.fields.get("netmask", "255.255.255.0") if served else None,
        "gateway": network.fields.get("gateway", "10.1.1.1") if served else None,
        "ipaddress": card.ip,
        "isolationuri": uri,
        "broadcasturi": uri,
        "traffictype": "Guest",
        "type": network.kind,
        "isdefault": card.is_default,
        "macaddress": card.mac,
        "secondaryip": [{"id": i, "ipaddress": ip} for i, ip in card.further.items()],
        "extradhcpoption": [],
        "deviceid": str(card.device),
    }


def vm(cloud: Cloud, row: Vm, viewer: Account, job: str | None = None, wanted: Collection[str] = EVERYTHING) -> Row:
    """A VM. `job` is the job whose result this is, `wanted` are the groups of keys asked for."""
    cards = [nic(cloud, n) for n in _cards(cloud, row, wanted)]
    owned = cloud.accounts.get(row.account)
    template = cloud.plain.get("Template", {}).get(row.template or "")
    kind = template.fields if template else {}
    return {
        "id": row.id,
        "name": row.name,
        "displayname": row.display_name,
        **owner(cloud, row),
        "userid": owned.user_id if owned else None,
        "username": row.account,
        "created": stamp(row.created),
        "lastupdated": stamp(row.updated) if row.updated else None,
        "state": row.state,
        "haenable": False,
        "zoneid": row.zone,
        "zonename": plain_name(cloud, "Zone", row.zone),
        **_host(cloud, row, viewer),
        **(_template(template) if "tmpl" in wanted else {}),
        **(_size(cloud, row, wanted)),
        "guestosid": kind.get("ostypeid", "00000000-0000-4000-8000-0000000000f0"),
        **(_disks(cloud, row, wanted)),
        **_iso(cloud, row),
        "securitygroup": [],
        "nic": cards,
        "hypervisor": row.hypervisor,
        "ipaddress": cards[0]["ipaddress"] if cards else None,
        "details": {k: v for k, v in row.details.items() if viewer.is_root or k != FREED},
        "keypairs": row.details.get("SSH.KeyPairNames"),
        **_admin_only(row, viewer),
        "affinitygroup": _groups(cloud, row),
        "groupid": row.group,
        "group": plain_name(cloud, "InstanceGroup", row.group),
        "isdynamicallyscalable": row.dynamic,
        "deleteprotection": row.protected,
        "ostypeid": kind.get("ostypeid", "00000000-0000-4000-8000-0000000000f0"),
        "osdisplayname": kind.get("ostypename", "Other (64-bit)"),
        **_boot(row),
        "receivedbytes": 0,
        "sentbytes": 0,
        "tags": tags(cloud, row, "UserVm"),
        "hasannotations": False,
        **({"jobid": job, "jobstatus": 0} if job else pending_job(cloud, row)),
    }


def _cards(cloud: Cloud, row: Vm, wanted: Collection[str]) -> list[Nic]:
    """The cards that are shown. The real server reads a VM as a join: each combination of card, disk and tag is a row of it.

    Only for the first row it looks at what was asked for, so that others bring their cards along.
    """
    cards = [card for card in row.nics if not card.removed]
    if "nics" in wanted:
        return cards
    return cards if _joined(cloud, row) > 1 else cards[1:]


def _joined(cloud: Cloud, row: Vm) -> int:
    """How many combinations of disk and tag there are."""
    return max(1, len(row.tags)) * max(1, len(cloud.attached(row)))


def _iso(cloud: Cloud, row: Vm) -> Row:
    """What is in the drive of a VM."""
    iso = cloud.plain.get("Iso", {}).get(row.iso or "")
    return {"isoid": iso.id, "isoname": iso.name, "isodisplaytext": iso.fields["displaytext"]} if iso else {}


def _groups(cloud: Cloud, row: Vm) -> list[Row]:
    """The affinity groups of a VM."""
    groups = (cloud.plain["AffinityGroup"][group] for group in row.groups)
    return [{"id": group.id, "name": group.name, **group.fields} for group in groups]


def _host(cloud: Cloud, row: Vm, viewer: Account) -> Row:
    host = cloud.plain.get("Host", {}).get(row.host or "")
    if host is None:
        return {}
    told = {"hostid": host.id, "hostname": host.name} if viewer.is_root else {}
    return {**told, "hostcontrolstate": "Enabled"}


def _admin_only(row: Vm, viewer: Account) -> Row:
    if not viewer.is_root:
        return {"readonlydetails": READ_ONLY_DETAILS}
    return {"instancename": row.instance, "displayvm": True, "arch": "x86_64"}


def _size(cloud: Cloud, row: Vm, wanted: Collection[str]) -> Row:
    offering = {"serviceofferingid": row.offering, "serviceofferingname": plain_name(cloud, "ServiceOffering", row.offering)}
    told = offering if "servoff" in wanted else {}
    sizes = {"cpunumber": row.cpus, "cpuspeed": row.speed, "memory": row.memory}
    return {**told, **(sizes if {"servoff", "stats"} & set(wanted) else {})}


def _disks(cloud: Cloud, row: Vm, wanted: Collection[str]) -> Row:
    disks = cloud.attached(row)
    root = next((d for d in disks if d.device == 0), None)
    rows = (cloud.volumes[i] for i in row.disks)  # a root that a failed deployment threw away still counts
    rooted = any(disk.vm == row.id and disk.device == 0 for disk in rows)
    told: Row = {"rootdeviceid": 0, "rootdevicetype": "ROOT"} if rooted and "volume" in wanted else {}
    if root is not None and root.pool is not None:
        pool = cloud.plain.get("StoragePool", {}).get(root.pool)
        told["pooltype"] = pool.fields.get("type", "NetworkFilesystem") if pool else None
    offered = next((d.offering for d in disks if d.offering in cloud.plain.get("DiskOffering", {})), None)
    if offered is not None and ("diskoff" in wanted or _joined(cloud, row) > 1):
        told |= {"diskofferingid": offered, "diskofferingname": plain_name(cloud, "DiskOffering", offered)}
    return told


def _boot(row: Vm) -> Row:
    """CS-DEP-18: a VM without details shows BIOS, one with the detail UEFI shows that, all others nothing."""
    if "UEFI" in row.details:
        return {"boottype": "Uefi", "bootmode": row.details["UEFI"].lower()}
    return {} if row.details else {"boottype": "Bios", "bootmode": "legacy"}


def _template(template: Plain | None) -> Row:
    if template is None:
        return {}
    return {
        "templateid": template.id,
        "templatename": template.name,
        "templatetype": template.fields.get("templatetype", "USER"),
        "templateformat": template.fields.get("format", "QCOW2"),
        "templatedisplaytext": template.fields.get("displaytext", template.name),
        "passwordenabled": bool(template.fields.get("passwordenabled")),
    }


def volume(cloud: Cloud, row: Volume, viewer: Account, job: str | None = None, whole: bool = False) -> Row:
    """A volume; the pool and path are only for root administrators (CS-WIR-17), or where the answer is `whole`."""
    host = cloud.vms.get(row.vm or "")
    return {
        "id": row.id,
        "name": row.name,
        "zoneid": row.zone,
        "zonename": plain_name(cloud, "Zone", row.zone),
        "type": row.kind,
        **(_attachment(row, host) if host is not None and row.state != "Destroy" else {}),
        "provisioningtype": "thin",
        "size": row.size,
        "created": stamp(row.created),
        "state": row.state,
        **owner(cloud, row),
        **(_pool(cloud, row) if viewer.is_root or whole else {}),
        "displayvolume": True if viewer.is_root else None,
        **_offering(cloud, row),
        **_origin(cloud, row),
        "attached": stamp(row.attached) if row.attached else None,
        "destroyed": row.state == "Destroy",
        "isextractable": not (row.kind == "ROOT" and row.template is not None),
        "quiescevm": False,
        "supportsstoragesnapshot": False,
        "deleteprotection": row.protected,
        "tags": tags(cloud, row, "Volume"),
        "hasannotations": False,
        **({"jobid": job, "jobstatus": 0} if job else pending_job(cloud, row)),
    }


def _attachment(row: Volume, host: Vm) -> Row:
    counters = dict.fromkeys(("diskkbsread", "diskkbswrite", "diskioread", "diskiowrite"), 0) if row.counted else {}
    return {
        "deviceid": row.device,
        "virtualmachineid": host.id,
        "vmname": host.name,
        "vmdisplayname": host.display_name,
        "vmstate": host.state,
        "vmtype": "User",
        **counters,
    }


def _origin(cloud: Cloud, row: Volume) -> Row:
    template = cloud.plain.get("Template", {}).get(row.template or "")
    if template is None:
        return {"templateid": row.template}
    text = template.fields.get("displaytext", template.name)
    return {"templateid": template.id, "templatename": template.name, "templatedisplaytext": text}


def _pool(cloud: Cloud, row: Volume) -> Row:
    pool = cloud.plain.get("StoragePool", {}).get(row.pool or "")
    if pool is None:
        template = cloud.plain.get("Template", {}).get(row.template or "")
        known = cloud.hypervisor == "KVM" and template is not None and template.fields.get("format") == "QCOW2"
        return {"storagetype": "shared", "hypervisor": "KVM" if known else "None", "path": row.path}
    where = {key: pool.fields.get(key) for key in ("clusterid", "clustername", "podid", "podname")}
    said = pool.fields.get("hypervisor") if pool.fields.get("scope") == "ZONE" else None
    kind = {"storagetype": "shared", "hypervisor": said or cloud.hypervisor}
    return {**kind, "storage": pool.name, "storageid": pool.id, "path": row.path, **where}


def _offering(cloud: Cloud, row: Volume) -> Row:
    disk = cloud.plain.get("DiskOffering", {}).get(row.offering or "")
    if disk is not None:
        text = disk.fields.get("displaytext", disk.name)
        return {"diskofferingid": disk.id, "diskofferingname": disk.name, "diskofferingdisplaytext": text}
    compute = cloud.plain.get("ServiceOffering", {}).get(row.offering or "")
    if compute is None:
        return {}
    text = compute.fields.get("displaytext", compute.name)
    return {"serviceofferingid": str(compute.n), "serviceofferingname": compute.name, "serviceofferingdisplaytext": text}


def snapshot(cloud: Cloud, row: Snapshot, job_result: bool = False, state: str | None = None) -> Row:
    """A volume snapshot; only a job's result tells its type (CS-SNP-13). `state` is what the server still believes."""
    source = cloud.volumes.get(row.volume)
    placed = row.state not in ("Allocated", "Error") or job_result
    gone = source is None or source.removed
    return {
        "id": row.id,
        **owner(cloud, row),
        "snapshottype": row.kind if job_result else None,
        "volumeid": row.volume,
        "volumename": source.name if source else None,
        "volumetype": source.kind if source else None,
        "volumestate": ("Expunged" if gone else source.state) if source else None,
        "created": stamp(row.created),
        "name": row.name,
        "intervaltype": row.kind,
        "state": state or row.state,
        "physicalsize": 0,
        "zoneid": source.zone if source and placed else None,
        "zonename": plain_name(cloud, "Zone", source.zone) if source and placed else None,
        "revertable": row.state == "BackedUp" and cloud.hypervisor == "KVM" and not gone,
        **_system(cloud, source, job_result),
        "virtualsize": row.size,
        "tags": tags(cloud, row, "Snapshot"),
        "hasannotations": False,
        **({} if job_result else pending_job(cloud, row)),
    }


def _system(cloud: Cloud, volume: Volume | None, job_result: bool) -> Row:
    """The guest system of a VM, in snapshots of its root."""
    host = cloud.vms.get(volume.vm or "") if volume is not None and volume.kind == "ROOT" else None
    template = cloud.plain.get("Template", {}).get(host.template or "") if host else None
    fields = template.fields if template else {}
    return {"ostypeid": fields.get("ostypeid"), "osdisplayname": fields.get("ostypename") if job_result else None}


def vm_snapshot(cloud: Cloud, row: VmSnapshot) -> Row:
    """A VM snapshot; `virtualmachinename` is the VM's display name (CS-VSL-02)."""
    of = cloud.vms[row.vm]
    parent = cloud.vm_snapshots.get(row.parent or "")
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state,
        "description": row.description,
        "displayname": row.display_name,
        "zoneid": of.zone,
        "zonename": plain_name(cloud, "Zone", of.zone),
        "virtualmachineid": of.id,
        "virtualmachinename": of.display_name,
        "parent": parent.id if parent else None,
        "parentName": parent.display_name if parent else None,
        "current": row.current,
        "type": row.kind,
        "created": stamp(row.created),
        **owner(cloud, row),
        "hypervisor": of.hypervisor,
        "tags": tags(cloud, row, "VMSnapshot"),
        "hasannotations": False,
    }


def network(cloud: Cloud, row: Network, viewer: Account) -> Row:
    """A guest network. What the estate said about it beyond the usual is told too."""
    served = row.has_services
    services = ("Dhcp", "Dns", "SourceNat", "UserData", "Firewall", "PortForwarding", "StaticNat", "Lb", "Vpn")
    offering = "DefaultIsolatedNetworkOfferingWithSourceNatService" if served else "DefaultL2NetworkOffering"
    shown: Row = {
        "displaytext": row.name,
        "broadcastdomaintype": "Vlan",
        "traffictype": "Guest",
        "gateway": "10.1.1.1" if served else None,
        "netmask": "255.255.255.0" if served else None,
        "cidr": "10.1.1.0/24" if served else None,
        "networkofferingname": offering,
        "issystem": False,
        "acltype": "Account",
        "service": [{"name": name} for name in (services if served else ())],
        "restartrequired": False,
        "specifyvlan": False,
        "canusefordeploy": True,
        "ispersistent": False,
        "egressdefaultpolicy": False if served else None,
        **row.fields,
    }
    if not viewer.is_root:
        shown = {key: value for key, value in shown.items() if key not in ("displaynetwork", "details")}
    else:
        shown |= {"displaynetwork": True, "details": row.fields.get("details")}
    return {
        "id": row.id,
        "name": row.name,
        **shown,
        "zoneid": row.zone,
        "zonename": plain_name(cloud, "Zone", row.zone),
        "state": row.state,
        "related": row.id,
        "type": row.kind,
        **owner(cloud, row),
        "networkdomain": row.domain if served else None,
        "vlan": str(row.vlan) if viewer.is_root and row.vlan else None,
        "broadcasturi": f"vlan://{row.vlan}" if viewer.is_root and row.vlan else None,
        "tags": tags(cloud, row, "Network"),
        "created": stamp(row.created),
        "hasannotations": False,
    }


def job(cloud: Cloud, row: Job) -> Row:
    """A job as queryAsyncJobResult and listAsyncJobs show it."""
    account = cloud.accounts[row.account]
    pending = row.status == 0
    server = cloud.server() if pending or row.lost else None
    has_result = row.result is not None and not pending
    return {
        "accountid": account.id,
        "account": account.name,
        "domainid": account.domain_id,
        "domainpath": account.domain,
        "userid": row.user,
        "cmd": row.java,
        "jobprocstatus": 0,
        "jobresultcode": row.code,
        "jobresulttype": "object" if has_result else None,
        "jobresult": row.result if has_result else None,
        "jobinstancetype": row.instance_type,
        "jobinstanceid": row.instance_id,
        "managementserverid": server.id if server else None,
        "managementservername": server.name if server else None,
        "created": stamp(row.created),
        "completed": stamp(row.completed) if row.completed else None,
        "jobid": row.id,
        "jobstatus": row.status,
    }


def event(cloud: Cloud, row: Event) -> Row:
    """Something that happened; the object is told while it is there."""
    kinds: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("VirtualMachine", cloud.vms),
        ("Volume", cloud.volumes),
        ("Snapshot", cloud.snapshots),
    )
    kind, about = next(((k, rows[row.entity]) for k, rows in kinds if row.entity and row.entity in rows), (None, None))
    return {
        "id": row.id,
        "username": row.user,
        "type": row.kind,
        "level": row.level,
        "description": row.text,
        **owner(cloud, row),
        "resourceid": row.entity,
        "resourcetype": kind,
        "resourcename": about.name if about is not None else None,
        "created": stamp(row.created),
        "state": row.state,
        "parentid": row.parent,
    }


def truth(cloud: Cloud) -> dict[str, Any]:
    """Every row that is not removed, as plain data by kind and uuid."""
    kinds: dict[str, Mapping[str, Entity]] = {
        "vms": cloud.vms,
        "volumes": cloud.volumes,
        "snapshots": cloud.snapshots,
        "vm_snapshots": cloud.vm_snapshots,
        "networks": cloud.networks,
    }
    told: dict[str, Any] = {
        name: {row.id: dict(vars(row)) for row in rows.values() if not row.removed} for name, rows in kinds.items()
    }
    for volume_id, told_volume in told["volumes"].items():
        told_volume["content"] = cloud.content_of(cloud.volumes[volume_id])
    told["jobs"] = {j.id: {"command": j.command, "status": j.status, "code": j.code} for j in cloud.jobs.rows.values()}
    return told
