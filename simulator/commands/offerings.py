"""Compute and disk offerings that administrators make, rename and take off the list. `infrastructure` lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.clock import stamp
from simulator.model import Plain
from simulator.refusals import Refused
from simulator.registry import ADMIN, command
from simulator.wire import Call, Param

if TYPE_CHECKING:
    from simulator.cloud import Cloud

COMPUTE, DISK = "ServiceOffering", "DiskOffering"
FIXED, BOUNDS = ("cpunumber", "cpuspeed", "memory"), ("mincpunumber", "maxcpunumber", "minmemory", "maxmemory")
COMMON = (Param("name", required=True), Param("displaytext"), Param("storagetype"), Param("provisioningtype"), Param("tags"))
Row = dict[str, Any]


def _kept(cloud: Cloud, call: Call, kind: str, **fields: Any) -> Plain:
    made = Plain(cloud.new_id(), cloud.number(kind), "", cloud.now(), name=call["name"])
    made.fields = {
        "state": "Active",
        "displaytext": call["displaytext"] or call["name"],
        "created": stamp(made.created),
        "storagetype": call["storagetype"] or "shared",
        "provisioningtype": call["provisioningtype"] or "thin",
        "storagetags": call["tags"],
        "hasannotations": False,
        **fields,
    }
    cloud.plain.setdefault(kind, {})[made.id] = made
    return made


def _shown(row: Plain) -> Row:
    return {"id": row.id, "name": row.name, **row.fields}


@command(
    "createServiceOffering",
    *COMMON,
    *(Param(name, "int") for name in (*FIXED, *BOUNDS)),
    Param("customized", "bool"),
    Param("offerha", "bool"),
    Param("limitcpuuse", "bool"),
    Param("isvolatile", "bool"),
    Param("issystem", "bool"),
    Param("hosttags"),
    roles=ADMIN,
)
def create_compute(cloud: Cloud, call: Call) -> Row:
    """Of a fixed size, or one in which each VM says its size, within bounds or without."""
    given = [name for name in FIXED if call.has(name)]
    custom = bool(call["customized"]) or not given
    wrong = next((name for name in (*given, *BOUNDS) if call.has(name) and call[name] < 1), None)
    if wrong is not None:
        raise Refused(431, f"Failed to create service offering {call['name']}: specify a positive value for {wrong}")
    if not custom and len(given) < len(FIXED):
        raise Refused(431, "For fixed offerings cpunumber, cpuspeed and memory have to be specified together")
    limits = {name: str(call[name]) for name in BOUNDS if call.has(name)}
    sizes = {name: call[name] for name in given if not custom or name == "cpuspeed"}
    flags = {name: bool(call[name]) for name in ("offerha", "limitcpuuse", "isvolatile", "issystem")}
    told = {"iscustomized": custom, "defaultuse": False, "hosttags": call["hosttags"]}
    details = {"serviceofferingdetails": limits} if limits else {}
    return {"serviceoffering": _shown(_kept(cloud, call, COMPUTE, **sizes, **flags, **told, **details))}


@command(
    "createDiskOffering",
    *COMMON,
    Param("disksize", "long"),
    Param("customized", "bool"),
    Param("displayoffering", "bool"),
    roles=ADMIN,
)
def create_disk(cloud: Cloud, call: Call) -> Row:
    """Of a fixed size in GiB, or one in which each disk says its size."""
    custom, size = bool(call["customized"]), call["disksize"]
    if custom and size is not None:
        raise Refused(431, "Disksize is not allowed for a customized disk offering")
    if not custom and (size is None or size < 1):
        raise Refused(431, "Disksize is required for a non-customized disk offering")
    told = {"disksize": size or 0, "iscustomized": custom, "displayoffering": call["displayoffering"] is not False}
    return {"diskoffering": _shown(_kept(cloud, call, DISK, **told))}


def _changing(name: str, kind: str, key: str) -> None:
    @command(name, Param("id", kind, required=True), Param("name"), Param("displaytext"), roles=ADMIN)
    def change(cloud: Cloud, call: Call) -> Row:
        row: Plain = call["id"]
        row.name = call["name"] or row.name
        row.fields["displaytext"] = call["displaytext"] or row.fields.get("displaytext")
        return {key: _shown(row)}


def _deleting(name: str, kind: str) -> None:
    @command(name, Param("id", kind, required=True), roles=ADMIN)
    def delete(cloud: Cloud, call: Call) -> Row:
        call["id"].removed = True
        return {"success": True}


for _kind in (COMPUTE, DISK):
    _changing(f"update{_kind}", _kind, _kind.lower())
    _deleting(f"delete{_kind}", _kind)
