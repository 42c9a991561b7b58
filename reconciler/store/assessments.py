"""How ready each VM was found, kept whenever that changed.

`reconciler.readiness` adds what it found and asks for what there was; `reconciler.store.retention` removes what is old.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from reconciler.store import tables

t = tables.readiness


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was found of a VM for one kind of failover, and since when: its score and which checks failed, with what."""

    vm_key: str
    kind: str
    at: datetime
    score: float
    is_ready: bool
    failed: tuple[str, ...]

    def is_like(self, other: Assessment) -> bool:
        """Whether the same checks failed: what they say changes from look to look (the age of a sync)."""
        return (self.score, self.is_ready, _ids(self)) == (other.score, other.is_ready, _ids(other))

    def as_json(self) -> dict[str, Any]:
        """The assessment as plain data."""
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "type": self.kind,
            "readiness_score": self.score,
            "is_ready": self.is_ready,
            "failed": list(self.failed),
        }


def _ids(one: Assessment) -> tuple[str, ...]:
    return tuple(text.split(maxsplit=1)[0] for text in one.failed)


def newest(connection: sa.Connection, kind: str) -> dict[str, Assessment]:
    """What was found last of every VM for this kind of failover, by VM key."""
    return {row.vm_key: _assessment(row) for row in connection.execute(_NEWEST, {"kind": kind})}


def of(connection: sa.Connection, vm_key: str, kind: str, limit: int) -> tuple[Assessment, ...]:
    """What was found of a VM, newest first."""
    chosen = (t.c.vm_key == vm_key) & (t.c.kind == kind)
    return tuple(map(_assessment, connection.execute(t.select().where(chosen).order_by(t.c.id.desc()).limit(limit))))


def add(connection: sa.Connection, found: Sequence[Assessment]) -> None:
    """Keep what was found."""
    if found:
        rows = [
            {
                "vm_key": one.vm_key,
                "kind": one.kind,
                "at": one.at,
                "score": one.score,
                "is_ready": one.is_ready,
                "failed": list(one.failed),
            }
            for one in found
        ]
        connection.execute(t.insert(), rows)


def _assessment(row: sa.Row[Any]) -> Assessment:
    return Assessment(row.vm_key, row.kind, row.at, row.score, row.is_ready, tuple(row.failed))


_LAST = sa.select(sa.func.max(t.c.id)).where(t.c.kind == sa.bindparam("kind")).group_by(t.c.vm_key)
_NEWEST = t.select().where(t.c.id.in_(_LAST))
