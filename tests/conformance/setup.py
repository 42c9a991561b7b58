"""The world in which a recording began, as an estate that `simulator.load_estate` understands.

The common part (zone, hosts, pools, offerings, templates, networks, accounts) is read from the lists in `21-catalogue`,
with the recorded ids, so that a simulated cloud answers under the very ids that the requests name. `estate(scenario)`
adds what that recording found left over. Keys are made up: the recordings hold none.

    python -m tests.conformance.setup > ground.yaml    the world of the walks, for `python -m simulator --estate ground.yaml`
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import yaml

from tests.conformance import directions, leftovers, records
from tests.conformance.doors import Keys
from tests.conformance.records import Scenario

Row = Mapping[str, Any]
CATALOGUE, NETWORKS = "21-catalogue", "21-catalogue"
ROOT, SUB = "0b57d7ab-e73e-11f1-8ad9-02fc00000001", "c51c52fd-0104-49c7-a811-3f8244d77ebe"
TEMPLATE = "19808dc1-e73e-11f1-8ad9-02fc00000001"
LAST_PAGE = datetime(2026, 11, 23, 13, 35, 30, tzinfo=UTC)
TEMPLATE_SIZE = 2 * 1024**3
ACCOUNTS: tuple[Row, ...] = (
    {
        "name": "admin",
        "id": "0b58063a-e73e-11f1-8ad9-02fc00000001",
        "user_id": "0b582f38-e73e-11f1-8ad9-02fc00000001",
        "role": "admin",
    },
    {
        "name": "dr",
        "id": "09d7aace-39c9-4fb7-aa48-c57cb8ed8d1c",
        "user_id": "65d5e411-5153-45e6-8b60-ccb74d745905",
        "role": "user",
    },
    {
        "name": "other",
        "id": "7f8adff6-89d1-4b53-a941-074f268b13dd",
        "user_id": "b4f1a6b6-7581-4688-bb96-1f1a962f07b4",
        "role": "user",
    },
    {"name": "viewer", "user_id": "6d98f717-ae59-456d-9f36-796c0f80ee76", "role": "viewer"},
    {"name": "domadmin", "role": "domainadmin", "domain_id": SUB, "domain": "ROOT/sub"},
    {"name": "walk", "role": "user"},
)
LISTS = {
    "zones": ("listZones-admin", "zone"),
    "service_offerings": ("listServiceOfferings-admin", "serviceoffering"),
    "disk_offerings": ("listDiskOfferings-admin", "diskoffering"),
    "templates": ("listTemplates-admin", "template"),
    "storage_pools": ("listStoragePools-admin", "storagepool"),
    "hosts": ("listHosts-admin", "host"),
    "clusters": ("listClusters-admin", "cluster"),
    "pods": ("listPods-admin", "pod"),
    "management_servers": ("listManagementServers-admin", "managementserver"),
}
# Lists that only tell: the simulated cloud does nothing with their rows.
TOLD = {
    "listAlerts": "alert",
    "listCapacity": "capacity",
    "listEventTypes": "eventtype",
    "listHypervisorCapabilities": "hypervisorCapabilities",
    "listHypervisors": "hypervisor",
    "listImageStores": "imagestore",
    "listNetworkACLLists": "networkacllist",
    "listNetworkOfferings": "networkoffering",
    "listOsCategories": "oscategory",
    "listPhysicalNetworks": "physicalnetwork",
    "listRoles": "role",
    "listSystemVms": "systemvm",
    "listVlanIpRanges": "vlaniprange",
}


def keys() -> dict[str, Keys]:
    """The keys of every account of the world."""
    return {row["name"]: Keys(f"key-of-{row['name']}", f"secret-of-{row['name']}") for row in ACCOUNTS}


@cache
def answers(name: str) -> Mapping[str, Any]:
    """Step → the inner object of its answer, of one recording."""
    exchanges = records.scenario(name).exchanges
    return {e.step: next(iter(e.body.values())) for e in exchanges if isinstance(e.body, dict) and len(e.body) == 1}


def listed(step: str, key: str) -> list[Row]:
    return list(answers(CATALOGUE)[step].get(key, ()))


def estate(scenario: Scenario) -> dict[str, Any]:
    """The world at the beginning of a recording."""
    there = directions.of(scenario.name)
    left = leftovers.found(records.scenario(there.world) if there.world != scenario.name else scenario)
    world = common(leftovers.label(scenario)) | {"settings": leftovers.settings(scenario)}
    world["networks"] = list(networks(scenario, world["networks"]))
    world["management_servers"] = leftovers.servers(scenario) or world["management_servers"]
    world["vms"] = [machine(row) for row in left.get("vm", ())] + [namesake(name) for name in there.names]
    world["volumes"] = [volume(row) for row in left.get("volume", ())]
    world["volumes"] += list(rootless(world))
    world["volumes"] += list(fillers(world["volumes"], directions.of(there.world).fill, leftovers.mentioned(scenario)))
    world["vm_snapshots"] = [dict(row) for row in left.get("vmsnapshot", ())]
    return world


def networks(scenario: Scenario, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """The networks that were there when the recording began, in the state that they had then."""
    idle, began = leftovers.idle(scenario), leftovers.began(scenario)
    for row in rows:
        if row["created"] <= began:
            yield {**row, "state": "Allocated"} if row["id"] in idle else dict(row)


def rootless(world: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A root for every machine of which the recording showed none."""
    rooted = {row["vm"] for row in world["volumes"] if row.get("device") == 0}
    for number, row in enumerate(vm for vm in world["vms"] if vm["id"] not in rooted):
        state = "Ready" if row["state"] == "Running" or row.get("lastupdated") else "Allocated"
        yield made(f"ROOT-{number}", 900_000 + number, state) | {
            "zone": row["zone"],
            "vm": row["id"],
            "device": 0,
            "type": "ROOT",
            "offering": row["offering"],
            "attached": None,
        }


def fillers(volumes: list[dict[str, Any]], wanted: Mapping[str, int], ids: Iterable[str]) -> Iterator[dict[str, Any]]:
    """As many nameless volumes of dr as are missing to the numbers wanted; first those of the pages, under the ids given."""
    known = iter([volume_id for volume_id in ids if volume_id not in {row["id"] for row in volumes}])
    named = {row["name"] for row in volumes}
    pages = (name for name in (f"page-{i:04}" for i in range(620)) if name not in named)
    for state, number in wanted.items():
        there = sum(row["state"] == state and row["account"] == "dr" for row in volumes)
        for i in range(number - there):
            name = next(pages, f"filler-{state}-{i}") if state == "Allocated" else f"filler-{state}-{i}"
            row = made(name, i + (500_000 if state == "Ready" else 0), state)
            yield row | {"id": next(known, row["id"]), "zone": listed("listZones-admin", "zone")[0]["id"]}


def made(name: str, number: int, state: str) -> dict[str, Any]:
    """A made-up volume of dr; several share each second of creation, as the recorded ones did."""
    offering = next(row["id"] for row in listed("listDiskOfferings-admin", "diskoffering") if row["name"] == "fixed-1g")
    plain = {
        "id": f"00000000-0000-4000-9000-{number:012d}",
        "name": name,
        "account": "dr",
        "state": state,
        "offering": offering,
    }
    size = {"gib": 1, "size": 1024**3, "type": "DATADISK", "created": _created(number)}
    return plain | size | {"template": None, "snapshot": None}


def _created(number: int) -> str:
    """Volumes of pages share their seconds, as the recorded ones did, the last at 13:35:30; others are older."""
    moment = LAST_PAGE - timedelta(seconds=(619 - number) // 8) if number < 620 else LAST_PAGE - timedelta(hours=1)
    return f"{moment:%Y-%m-%dT%H:%M:%S+0000}"


def common(hypervisor: str) -> dict[str, Any]:
    """What every recording has in common."""
    world: dict[str, Any] = {section: [dict(row) for row in listed(*place)] for section, place in LISTS.items()}
    guest = [row for row in world["templates"] if row["id"] == TEMPLATE]
    for row in [*world["hosts"], *world["storage_pools"], *guest]:
        if "hypervisor" in row:
            row["hypervisor"] = hypervisor
    for row in guest:
        row["format"] = "QCOW2" if hypervisor == "KVM" else "VHD"
    for row in world["clusters"]:
        row["hypervisortype"] = hypervisor
    world["accounts"] = list(accounts())
    world["networks"] = [{**row, "zone": row["zoneid"]} for row in listed("listNetworks-admin", "network")]
    world["lists"] = {name: listed(f"{name}-admin", key) for name, key in TOLD.items()}
    world["lists"]["listOsTypes"] = answers("01-protocol")["listOsTypes-first"]["ostype"]
    world["lists"]["listDbMetrics"] = [answers(CATALOGUE)["listDbMetrics-admin"]["dbMetrics"]]
    return world | {"hypervisor": hypervisor, "release": "4.22.1.0"}


def walkground() -> dict[str, Any]:
    """The world of the random walks: the walker may expunge, no clean-up comes round, hosts obey."""
    settings = {"allow.user.expunge.recover.vm": True, "storage.cleanup.interval": 10**9}
    return common("KVM") | {"settings": settings, "obliging_hosts": True}


def accounts() -> Iterator[dict[str, Any]]:
    known = keys()
    for row in ACCOUNTS:
        mine = known[row["name"]]
        yield {"domain_id": ROOT, **row, "api_key": mine.key, "secret_key": mine.secret}


def machine(row: Row) -> dict[str, Any]:
    """A machine that was left over, from a row of listVirtualMachines."""
    cards = [
        {
            "id": n["id"],
            "network": n["networkid"],
            "mac": n["macaddress"],
            "ip": n.get("ipaddress"),
            "vlan": "isolationuri" in n,
        }
        for n in row.get("nic", ())
    ]
    plain = {
        "id": row["id"],
        "name": row["name"],
        "display_name": row["displayname"],
        "account": row["account"],
        "state": row["state"],
    }
    kind = {
        "zone": row["zoneid"],
        "offering": row.get("serviceofferingid", compute()),
        "template": row.get("templateid", TEMPLATE),
    }
    size = {"cpus": row.get("cpunumber"), "memory": row.get("memory"), "details": row.get("details", {})}
    return plain | kind | size | {"nics": cards, "created": row["created"], "lastupdated": row.get("lastupdated")}


def namesake(name: str) -> dict[str, Any]:
    """A machine of dr of which only the name is known, and that the name is taken in the network "test"."""
    zone, network = listed("listZones-admin", "zone")[0]["id"], answers(CATALOGUE)["network-test"]["network"][0]["id"]
    card = {"network": network, "mac": f"02:02:00:d1:ff:{len(name):02x}", "ip": f"10.1.1.{200 + len(name)}"}
    plain = {"id": f"00000000-0000-4000-8000-{sum(name.encode()):012d}", "name": name, "display_name": name, "account": "dr"}
    return plain | {"state": "Stopped", "zone": zone, "offering": compute(), "template": TEMPLATE, "nics": [card]}


def compute() -> str:
    """The offering that the recordings' own machines have."""
    rows = listed("listServiceOfferings-admin", "serviceoffering")
    return next(str(row["id"]) for row in rows if row["name"] == "custom-constrained")


def volume(row: Row) -> dict[str, Any]:
    """A volume that was left over, from a row of listVolumes."""
    plain = {"id": row["id"], "name": row["name"], "account": row["account"], "state": row["state"], "zone": row["zoneid"]}
    kind = {
        "size": row["size"],
        "offering": row.get("diskofferingid") or _compute_of(row),
        "template": row.get("templateid"),
        "type": row["type"],
    }
    place = {"vm": row["virtualmachineid"], "device": row["deviceid"]} if "virtualmachineid" in row else {}
    return (
        plain | kind | place | {"gib": row["size"] // 1024**3, "created": row["created"], "snapshot": row.get("snapshotid")}
    ) | {"attached": row.get("attached")}


def _compute_of(row: Row) -> str | None:
    """The compute offering that a root was made from; the row tells its name, and a number for an id."""
    rows = listed("listServiceOfferings-admin", "serviceoffering")
    return next((str(one["id"]) for one in rows if one["name"] == row.get("serviceofferingname")), None)


if __name__ == "__main__":
    sys.stdout.write(yaml.safe_dump(walkground(), sort_keys=False, allow_unicode=True))
