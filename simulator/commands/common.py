"""What several subjects need: whose rows a caller sees, filters, pools, detaching."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from simulator.model import Entity, Volume
from simulator.refusals import refuse
from simulator.wire import UUID, Call, unknown_entity

if TYPE_CHECKING:
    from simulator.cloud import Cloud

E = TypeVar("E", bound=Entity)
Row = dict[str, Any]


class Views(Sequence[Row]):
    """Rows that are rendered only when a page shows them."""

    def __init__(self, rows: Sequence[Any], view: Callable[[Any], Row]) -> None:
        self._rows, self._view = rows, view

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return map(self._view, self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return Views(self._rows[index], self._view)
        return self._view(self._rows[index])


def release(cloud: Cloud) -> tuple[int, ...]:
    """The release as numbers."""
    return tuple(int(part) for part in cloud.release.split("."))


def chosen(cloud: Cloud, call: Call, rows: Iterable[E], kind: str) -> list[E]:
    """The rows that the caller sees and that `id`, `ids`, `tags` and `zoneid` let through, in order of creation."""
    if call.has("id") and call.has("ids"):
        raise refuse("CS-WIR-25")
    everything = call.account.is_root and call.raw.get("listall", "").lower() == "true"
    found: Iterable[E] = (
        r for r in rows if not r.removed and (everything or r.account == call.account.name or _by_id(call))
    )
    if call.has("id"):
        found = (r for r in found if r.id == call["id"].id)
    if call.has("ids"):
        wanted = _ids(cloud, call, kind)
        found = (r for r in found if r.id in wanted)
    if call.has("zoneid"):
        found = (r for r in found if getattr(r, "zone", None) == call["zoneid"].id)
    return _tagged(call, list(found))


def _by_id(call: Call) -> bool:
    return bool(call.account.is_root and (call.has("id") or call.has("ids")))


def _ids(cloud: Cloud, call: Call, kind: str) -> set[str]:
    """CS-WIR-25: an unknown uuid fails the call, a malformed one is dropped without a word."""
    well_formed = [i for i in call["ids"] if UUID.fullmatch(i)]
    for wanted in well_formed:
        if cloud.find(kind, wanted) is None:
            raise unknown_entity(call.command, "ids", wanted)
    return {i.lower() for i in well_formed}


def _tagged(call: Call, rows: list[E]) -> list[E]:
    """CS-LST-04, 05: several tags are OR-ed."""
    wanted = call.mapped("tags")
    if not wanted:
        return rows
    for tag in wanted:
        if "value" not in tag:
            raise refuse("CS-LST-05", key=tag.get("key", ""))
    pairs = {(t["key"], t["value"]) for t in wanted if "key" in t}
    return [r for r in rows if pairs & set(r.tags.items())]


def own_job(cloud: Cloud, entity_id: str) -> str | None:
    """The id of the oldest pending job of an object: answers of a job still show it as pending."""
    return next((j.id for j in cloud.jobs.pending if j.instance_id == entity_id), None)


def a_pool(cloud: Cloud) -> str | None:
    """The pool on which new disks are made."""
    return next(iter(cloud.plain.get("StoragePool", {})), None)


def detach(volume: Volume) -> None:
    """A volume hangs on nothing any more; whatever it was, it is a data disk now (CS-DET-10)."""
    volume.vm, volume.device, volume.attached, volume.kind = None, None, None, "DATADISK"
