"""Tags: made once, never overwritten, all or none per call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.commands import common
from simulator.model import Entity, Rule
from simulator.refusals import refuse
from simulator.registry import READERS, command
from simulator.views import tags as tag_rows
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user.tag."
KINDS = {
    "uservm": "VirtualMachine",
    "volume": "Volume",
    "snapshot": "Snapshot",
    "vmsnapshot": "VMSnapshot",
    "network": "Network",
    "publicipaddress": "IpAddress",
    "template": "Template",
    "iso": "Iso",
    "project": "Project",
    "loadbalancer": "FirewallRule",
    "firewallrule": "FirewallRule",
    "portforwardingrule": "FirewallRule",
}
SHOWN = {
    "VirtualMachine": "UserVm",
    "Volume": "Volume",
    "Snapshot": "Snapshot",
    "VMSnapshot": "VMSnapshot",
    "Network": "Network",
    "IpAddress": "PublicIpAddress",
    "Template": "Template",
    "Iso": "ISO",
    "Project": "Project",
    "FirewallRule": "FirewallRule",
}
WITHOUT_TAGS = ("zone", "serviceoffering", "diskoffering", "nic")
LONGEST = 255


def _targets(cloud: Cloud, call: Call) -> list[tuple[str, Entity]]:
    kind = call["resourcetype"]
    if kind.lower() in WITHOUT_TAGS:
        raise refuse("CS-TAG-05b", kind=kind)
    table = KINDS.get(kind.lower())
    if table is None:
        raise refuse("CS-TAG-05", kind=kind)
    found = []
    for wanted in call["resourceids"]:
        entity = cloud.table(table).get(wanted)
        if entity is None or entity.removed:
            raise refuse("CS-TAG-06", id=wanted, kind=SHOWN.get(table, kind))
        if not cloud.may_act_on(call.account, entity):
            raise refuse("CS-TAG-06b")
        found.append((_shown(table, entity), entity))
    return found


def _shown(table: str, entity: Entity) -> str:
    return entity.taggable if isinstance(entity, Rule) else SHOWN[table]


@command(
    "createTags",
    Param("resourceids", "list", required=True),
    Param("resourcetype", required=True),
    Param("tags", "map", required=True),
    java=JAVA + "CreateTagsCmd",
    asynchronous=True,
)
def create(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Add tags; a key that is there already fails the whole call."""

    def finish() -> dict[str, Any]:
        targets = _targets(cloud, call)
        pairs = [_pair(tag) for tag in call.mapped("tags")]
        for kind, entity in targets:
            present = {key.lower() for key in entity.tags}
            for key, _ in pairs:
                if key.lower() in present:
                    raise refuse("CS-TAG-01", key=key, kind=kind, id=entity.id)
        for _, entity in targets:
            entity.tags.update(pairs)
        return {"success": True}

    return cloud.submit(call, finish)


def _pair(tag: dict[str, str]) -> tuple[str, str]:
    key, value = tag.get("key", ""), tag.get("value")
    if value is None:
        raise refuse("CS-TAG-02b")
    if value == "":
        raise refuse("CS-TAG-02", key=key)
    return key[:LONGEST], value[:LONGEST]  # CS-TAG-04


@command(
    "deleteTags",
    Param("resourceids", "list", required=True),
    Param("resourcetype", required=True),
    Param("tags", "map"),
    java=JAVA + "DeleteTagsCmd",
    asynchronous=True,
)
def delete(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Remove tags by key (and value, if given), or all."""

    def finish() -> dict[str, Any]:
        wanted = call.mapped("tags")
        gone = 0
        for _, entity in _targets(cloud, call):
            kept = {k: v for k, v in entity.tags.items() if not _matches(k, v, wanted)}
            gone += len(entity.tags) - len(kept)
            entity.tags = kept
        if gone == 0:
            raise refuse("CS-TAG-03")
        return {"success": True}

    return cloud.submit(call, finish)


def _matches(key: str, value: str, wanted: list[dict[str, str]]) -> bool:
    return not wanted or any(t.get("key", "").lower() == key.lower() and t.get("value") in (None, value) for t in wanted)


@command("listTags", Param("resourceid"), Param("resourcetype"), Param("key"), Param("value"), roles=READERS)
def list_tags(cloud: Cloud, call: Call) -> dict[str, Any]:
    """All tags the caller may see: those on its own things, with `listall` on all that it may act on."""
    rows = []
    sees = common.visible(cloud, call)
    for kind in SHOWN:
        for entity in cloud.table(kind).values():
            if not entity.removed and sees(entity):
                rows += tag_rows(cloud, entity, _shown(kind, entity), whole=True)
    wanted = {n: call[n] for n in ("resourceid", "resourcetype", "key", "value") if call.has(n)}
    kept = [r for r in rows if all(str(r[n]).lower() == v.lower() for n, v in wanted.items())]
    return page(call, "tag", kept)
