"""The volume daemon: whether it answers, and what it believes is attached where. Read only.

`reach.SourceSide` holds one. What it believes is what stands in `device_mappings`, and is compared with the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.source.door import Door, segment
from reconciler.source.errors import BadAnswer, LookFailed

MOST_VOLUMES = 100_000


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon behind its door."""

    door: Door

    def health(self) -> None:
        """Whether it answers. Raises what `Door.get` raises, or `LookFailed`."""
        answer = self.door.get("/health")
        if not answer.is_ok:
            raise LookFailed(answer.status, answer.where)
        answer.known()

    def volumes(self, vm_id: str) -> Mapping[str, str]:
        """The volumes (ids, lower case) that it believes are attached to this CloudStack VM, with their device paths.

        A VM that it does not know has none: it knows only what it attached. Raises `SourceError`.
        """
        answer = self.door.get(f"/vms/{segment(vm_id)}/volumes")
        if answer.status == 404:
            return {}
        if not answer.is_ok:
            raise LookFailed(answer.status, answer.where)
        rows = answer.known().get("volumes")
        if not isinstance(rows, list) or len(rows) > MOST_VOLUMES:
            raise BadAnswer("the answer has no list `volumes`", answer.where)
        found: dict[str, str] = {}
        for row in rows:
            if not isinstance(row, dict) or not isinstance(row.get("volume_id"), str):
                raise BadAnswer("a volume has no volume_id", answer.where)
            if str(row.get("vm_id", "")).lower() != vm_id.lower():
                raise BadAnswer(f"a volume is not about {vm_id}", answer.where)
            found[row["volume_id"].lower()] = str(row.get("device_path") or "")
        return found
