"""The trail of what was done: listEvents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud
    from simulator.model import Event


@command(
    "listEvents",
    Param("id", "Event"),
    Param("type"),
    Param("level"),
    Param("state"),
    Param("startdate", "date"),
    Param("enddate", "date"),
    Param("resourceid"),
    Param("resourcetype"),
    Param("startid"),
    roles=READERS,
)
def list_events(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Events, newest first; those of one second in the order in which they were written."""
    rows = [row for row in common.chosen(cloud, call, cloud.events, "Event") if _matches(call, row)]
    rows = common.by_keyword(call, rows, lambda row: f"{row.kind} {row.text} {row.level}")
    rows.sort(key=lambda row: row.created.replace(microsecond=0), reverse=True)
    return page(call, "event", common.Views(rows, lambda row: views.event(cloud, row)))


def _matches(call: Call, row: Event) -> bool:
    wanted = {"type": row.kind, "level": row.level, "state": row.state, "resourceid": row.entity}
    same = all(call[name] is None or str(value).lower() == call[name].lower() for name, value in wanted.items())
    after, before = call["startdate"], call["enddate"]
    family = call["startid"] in (None, row.id, row.parent)
    return same and family and (after is None or row.created >= after) and (before is None or row.created <= before)
