"""How rows look in answers: one projection per kind, as a tenant and as a root administrator see it.

The sets of keys are those of recorded answers. A value of None is left out on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simulator.clock import stamp
from simulator.model import Account, Entity, Job, Network, Nic, Plain, Snapshot, Vm, VmSnapshot, Volume

if TYPE_CHECKING:
    from simulator.cloud import Cloud

Row = dict[str, Any]


def owner(cloud: Cloud, entity: Entity) -> Row:
    """Account and domain of a row."""
    account = cloud.accounts.get(entity.account)
    return {
        "account": entity.account,
        "domainid": account.domain_id if account else None,
        "domain": "ROOT",
        "domainpath": "ROOT",
    }


def tags(cloud: Cloud, entity: Entity, kind: str) -> list[Row]:
    """The tags of a row, as objects."""
    told = owner(cloud, entity)
    return [{"key": k, "value": v, "resourcetype": kind, "resourceid": entity.id, **told} for k, v in entity.tags.items()]


def plain_name(cloud: Cloud, kind: str, entity_id: str | None) -> str | None:
    """The name of an offering, template, zone or pool."""
    found = cloud.plain.get(kind, {}).get(entity_id or "")
    return found.name if found else None


def pending_job(cloud: Cloud, entity: Entity) -> Row:
    """The job that works on a row, if one does."""
    job = next((j for j in cloud.jobs.pending if j.instance_id == entity.id), None)
    return {"jobid": job.id, "jobstatus": 0} if job else {}


def nic(cloud: Cloud, card: Nic) -> Row:
    """A network card inside a VM."""
    network = cloud.networks[card.network]
    served = network.has_services
    return {
        "id": card.id,
        "networkid": network.id,
        "networkname": network.name,
        "netmask": "255.255.255.0" if served else None,
        "gateway": "10.1.1.1" if served else None,
        "ipaddress": card.ip,
        "isolationuri": f"vlan://{100 + network.n}",
        "broadcasturi": f"vlan://{100 + network.n}",
        "traffictype": "Guest",
        "type": network.kind,
        "isdefault": card.is_default,
        "macaddress": card.mac,
        "secondaryip": [],
        "extradhcpoption": [],
        "deviceid": str(card.device),
    }


def vm(cloud: Cloud, row: Vm, viewer: Account, job: str | None = None) -> Row:
    """A VM. `job` is the job whose result this is."""
    cards = [nic(cloud, n) for n in row.nics if not n.removed]
    has_root = any(v.device == 0 for v in cloud.attached(row))
    template = cloud.plain.get("Template", {}).get(row.template or "")
    running = row.state == "Running"
    return {
        "id": row.id,
        "name": row.name,
        "displayname": row.display_name,
        **owner(cloud, row),
        "userid": cloud.accounts[row.account].user_id if row.account in cloud.accounts else None,
        "username": row.account,
        "created": stamp(row.created),
        "lastupdated": stamp(row.updated) if row.updated else None,
        "state": row.state,
        "haenable": False,
        "zoneid": row.zone,
        "zonename": plain_name(cloud, "Zone", row.zone),
        "hostid": "00000000-0000-4000-8000-0000000000f1" if running and viewer.is_root else None,
        "hostname": "host-1" if running and viewer.is_root else None,
        "hostcontrolstate": "Enabled" if running else None,
        **_template(template),
        "serviceofferingid": row.offering,
        "serviceofferingname": plain_name(cloud, "ServiceOffering", row.offering),
        "cpunumber": row.cpus,
        "cpuspeed": 1000,
        "memory": row.memory,
        "guestosid": "00000000-0000-4000-8000-0000000000f0",
        "rootdeviceid": 0 if has_root else None,
        "rootdevicetype": "ROOT" if has_root else None,
        "securitygroup": [],
        "nic": cards,
        "hypervisor": "KVM",
        "ipaddress": cards[0]["ipaddress"] if cards else None,
        "instancename": row.instance if viewer.is_root else None,
        "details": dict(row.details),
        "readonlydetails": None if viewer.is_root else "dataDiskController, rootDiskController",
        "affinitygroup": [],
        "displayvm": True if viewer.is_root else None,
        "isdynamicallyscalable": False,
        "deleteprotection": row.protected,
        "ostypeid": "00000000-0000-4000-8000-0000000000f0",
        "osdisplayname": "Other (64-bit)",
        "pooltype": "NetworkFilesystem" if row.updated and has_root else None,
        "boottype": "Uefi" if row.boot and row.boot[0] == "UEFI" else None,
        "bootmode": row.boot[1].lower() if row.boot and row.boot[0] == "UEFI" else None,
        "receivedbytes": 0,
        "sentbytes": 0,
        "tags": tags(cloud, row, "UserVm"),
        "hasannotations": False,
        **({"jobid": job, "jobstatus": 0} if job else pending_job(cloud, row)),
    }


def _template(template: Plain | None) -> Row:
    if template is None:
        return {}
    return {
        "templateid": template.id,
        "templatename": template.name,
        "templatetype": "USER",
        "templateformat": "QCOW2",
        "templatedisplaytext": template.name,
        "passwordenabled": bool(template.fields.get("passwordenabled")),
    }


def volume(cloud: Cloud, row: Volume, viewer: Account, job: str | None = None) -> Row:
    """A volume; the pool and path are only for root administrators (CS-WIR-17)."""
    host = cloud.vms.get(row.vm or "")
    pool = cloud.plain.get("StoragePool", {}).get(row.pool or "")
    return {
        "id": row.id,
        "name": row.name,
        "zoneid": row.zone,
        "zonename": plain_name(cloud, "Zone", row.zone),
        "type": row.kind,
        **(_attachment(row, host) if host is not None else {}),
        "provisioningtype": "thin",
        "size": row.size,
        "created": stamp(row.created),
        "state": row.state,
        **owner(cloud, row),
        **(_pool(row, pool) if viewer.is_root else {}),
        **_offering(cloud, row),
        "snapshotid": row.snapshot,
        "templateid": row.template,
        "templatename": plain_name(cloud, "Template", row.template),
        "templatedisplaytext": plain_name(cloud, "Template", row.template),
        "attached": stamp(row.attached) if row.attached else None,
        "destroyed": row.state == "Destroy",
        "isextractable": True,
        "quiescevm": False,
        "supportsstoragesnapshot": False,
        "deleteprotection": row.protected,
        "tags": tags(cloud, row, "Volume"),
        "hasannotations": False,
        **({"jobid": job, "jobstatus": 0} if job else pending_job(cloud, row)),
    }


def _attachment(row: Volume, host: Vm) -> Row:
    counters = (
        {} if row.state == "Allocated" else dict.fromkeys(("diskkbsread", "diskkbswrite", "diskioread", "diskiowrite"), 0)
    )
    return {
        "deviceid": row.device,
        "virtualmachineid": host.id if row.state != "Destroy" else None,
        "vmname": host.name,
        "vmdisplayname": host.display_name,
        "vmstate": host.state,
        "vmtype": "User",
        **counters,
    }


def _pool(row: Volume, pool: Plain | None) -> Row:
    where = {"storagetype": "shared", "hypervisor": "KVM", "displayvolume": True, "path": row.path}
    return {**where, "storage": pool.name, "storageid": pool.id} if pool else where


def _offering(cloud: Cloud, row: Volume) -> Row:
    if row.offering is None:
        return {}
    disk = cloud.plain.get("DiskOffering", {}).get(row.offering)
    if disk is not None:
        return {"diskofferingid": disk.id, "diskofferingname": disk.name, "diskofferingdisplaytext": disk.name}
    compute = cloud.plain.get("ServiceOffering", {}).get(row.offering)
    if compute is None:
        return {}
    number = str(compute.n)
    return {"serviceofferingid": number, "serviceofferingname": compute.name, "serviceofferingdisplaytext": compute.name}


def snapshot(cloud: Cloud, row: Snapshot, job_result: bool = False) -> Row:
    """A volume snapshot; only a job's result tells its type (CS-SNP-13)."""
    source = cloud.volumes.get(row.volume)
    usable = row.state == "BackedUp"
    return {
        "id": row.id,
        **owner(cloud, row),
        "snapshottype": row.kind if job_result else None,
        "volumeid": row.volume,
        "volumename": source.name if source else None,
        "volumetype": source.kind if source else None,
        "volumestate": source.state if source else None,
        "created": stamp(row.created),
        "name": row.name,
        "intervaltype": row.kind,
        "state": row.state,
        "physicalsize": row.size if usable else 0,
        "zoneid": source.zone if source and usable else None,
        "zonename": plain_name(cloud, "Zone", source.zone) if source and usable else None,
        "revertable": usable,
        "virtualsize": row.size,
        "tags": tags(cloud, row, "Snapshot"),
        "hasannotations": False,
        **({} if job_result else pending_job(cloud, row)),
    }


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
        "hypervisor": "KVM",
        "tags": tags(cloud, row, "VMSnapshot"),
        "hasannotations": False,
    }


def network(cloud: Cloud, row: Network, viewer: Account) -> Row:
    """A guest network."""
    served = row.has_services
    names = ("Dhcp", "Dns", "SourceNat", "UserData") if served else ()
    return {
        "id": row.id,
        "name": row.name,
        "displaytext": row.name,
        "broadcastdomaintype": "Vlan",
        "traffictype": "Guest",
        "gateway": "10.1.1.1" if served else None,
        "netmask": "255.255.255.0" if served else None,
        "cidr": "10.1.1.0/24" if served else None,
        "zoneid": row.zone,
        "zonename": plain_name(cloud, "Zone", row.zone),
        "networkofferingname": "DefaultIsolatedNetworkOfferingWithSourceNatService"
        if served
        else "DefaultL2NetworkOffering",
        "issystem": False,
        "state": row.state,
        "related": row.id,
        "type": row.kind,
        "acltype": "Account",
        **owner(cloud, row),
        "service": [{"name": name} for name in names],
        "networkdomain": row.domain if served else None,
        "restartrequired": False,
        "specifyvlan": False,
        "canusefordeploy": True,
        "ispersistent": False,
        "tags": tags(cloud, row, "Network"),
        "displaynetwork": True if viewer.is_root else None,
        "vlan": str(100 + row.n) if viewer.is_root else None,
        "broadcasturi": f"vlan://{100 + row.n}" if viewer.is_root else None,
        "created": stamp(row.created),
        "hasannotations": False,
    }


def job(cloud: Cloud, row: Job) -> Row:
    """A job as queryAsyncJobResult and listAsyncJobs show it."""
    account = cloud.accounts[row.account]
    pending = row.status == 0
    has_result = row.result is not None and not pending
    return {
        "accountid": account.id,
        "account": account.name,
        "domainid": account.domain_id,
        "domainpath": "ROOT",
        "userid": account.user_id,
        "cmd": row.java,
        "jobprocstatus": 0,
        "jobresultcode": row.code,
        "jobresulttype": "object" if has_result else None,
        "jobresult": row.result if has_result else None,
        "jobinstancetype": row.instance_type,
        "jobinstanceid": row.instance_id,
        "managementserverid": "00000000-0000-4000-8000-0000000000e0" if pending else None,
        "managementservername": "simulator" if pending else None,
        "created": stamp(row.created),
        "completed": stamp(row.completed) if row.completed else None,
        "jobid": row.id,
        "jobstatus": row.status,
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
    told["jobs"] = {j.id: {"command": j.command, "status": j.status, "code": j.code} for j in cloud.jobs.rows.values()}
    return told
