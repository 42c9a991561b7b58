"""Accepted specs: what is wanted of each VM, since when, on whose word.

`operations.approve` accepts a spec together with the plan that was shown; `reconciler.loop` reads what is active on every
pass. The same spec accepted twice changes nothing; another one takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from plans.plan import Plan
from reconciler.store import tables
from reconciler.store.database import about, inserted
from specs.model import Spec

t = tables.specs


class SpecState(StrEnum):
    """What became of an accepted spec."""

    ACTIVE = "active"
    ENDED = "ended"
    SUPERSEDED = "superseded"
    FAILED = "failed"


@dataclass(frozen=True)
class AcceptedSpec:
    """A spec as it was accepted. `plan_digest` is the plan that may run, and no other."""

    id: int
    vm_key: str
    digest: str
    state: SpecState
    plan_digest: str
    accepted_at: datetime
    accepted_by: str
    ended_at: datetime | None
    reason: str | None
    raw_spec: Any
    raw_plan: Any

    @property
    def is_active(self) -> bool:
        """Whether this is what is wanted now."""
        return self.state is SpecState.ACTIVE

    @property
    def is_over(self) -> bool:
        """Whether it had its turn; one that could not even begin (`failed`) had none, and may be wanted again."""
        return self.state not in (SpecState.ACTIVE, SpecState.FAILED)

    @cached_property
    def spec(self) -> Spec:
        """The spec itself."""
        return Spec.from_json(self.raw_spec)

    @cached_property
    def plan(self) -> Plan:
        """The approved plan."""
        return Plan.from_json(self.raw_plan)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What `accept` did: the row, and whether it is new."""

    record: AcceptedSpec
    new: bool


def accept(connection: sa.Connection, plan: Plan, *, now: datetime, by: str, again: bool = False) -> Accepted:
    """Take a plan's spec in. One with the same digest that is active stays, and one that had its turn, unless `again`."""
    newest = of(connection, plan.vm_key)
    if newest is not None and newest.digest == plan.spec.digest and (newest.is_active or (newest.is_over and not again)):
        return Accepted(newest, new=False)
    if newest is not None and newest.is_active:  # this one, and none that was accepted since it was read
        superseded = {
            "state": SpecState.SUPERSEDED,
            "active_of": None,
            "ended_at": now,
            "reason": "another spec was accepted",
        }
        connection.execute(t.update().where(t.c.id == newest.id).values(superseded))
    if not inserted(connection, t.insert().values(_fresh(plan, now, by))):
        return accept(connection, plan, now=now, by=by, again=again)  # another process was quicker: look again
    made = of(connection, plan.vm_key)
    if made is None:
        raise LookupError(f"the spec of {plan.vm_key} was not stored")
    return Accepted(made, new=True)


def _fresh(plan: Plan, now: datetime, by: str) -> dict[str, Any]:
    return {
        "vm_key": plan.vm_key,
        "active_of": plan.vm_key,
        "digest": plan.spec.digest,
        "spec": plan.spec.as_json(),
        "origin": str(plan.spec.origin)[:1024],
        "plan": plan.as_json(),
        "plan_digest": plan.digest,
        "state": SpecState.ACTIVE,
        "accepted_at": now,
        "accepted_by": by[:255],
    }


def of(connection: sa.Connection, vm_key: str) -> AcceptedSpec | None:
    """The newest accepted spec of a VM, whatever became of it."""
    rows = connection.execute(t.select().where(t.c.vm_key == vm_key).order_by(t.c.id.desc()).limit(1))
    return next(map(_accepted, rows), None)


def newest(connection: sa.Connection, vm_keys: Sequence[str]) -> dict[str, AcceptedSpec]:
    """The newest accepted spec of each of these VMs, by VM key; without the plan, which is large."""
    return {x.vm_key: _accepted(x) for x in about(connection, _NEWEST, vm_keys).all()}


def wanted(connection: sa.Connection) -> tuple[tuple[str, int], ...]:
    """VM key and id of every active spec, in the order of acceptance."""
    rows = connection.execute(_WANTED).all()
    return tuple((x.vm_key, x.id) for x in rows)


def active(connection: sa.Connection) -> tuple[AcceptedSpec, ...]:
    """What is wanted now, in the order of acceptance."""
    rows = connection.execute(t.select().where(t.c.state == SpecState.ACTIVE).order_by(t.c.id))
    return tuple(map(_accepted, rows))


def seen(connection: sa.Connection, digest: str) -> bool:
    """Whether a spec with this digest is the newest that was accepted of its VM."""
    last = sa.select(sa.func.max(t.c.id)).group_by(t.c.vm_key)
    query = sa.select(t.c.id).where((t.c.digest == digest) & t.c.id.in_(last)).limit(1)
    return connection.execute(query).first() is not None


def replan(connection: sa.Connection, spec_id: int, plan: Plan, now: datetime) -> None:
    """From now on this plan may run for the spec, and no other; the time in which its test must begin counts anew."""
    changed = {"plan": plan.as_json(), "plan_digest": plan.digest, "accepted_at": now}
    connection.execute(t.update().where(t.c.id == spec_id).values(changed))


def plan_of(connection: sa.Connection, vm_key: str, plan_digest: str) -> Plan | None:
    """The plan of this VM that was approved under this digest."""
    chosen = (t.c.vm_key == vm_key) & (t.c.plan_digest == plan_digest)
    found = connection.execute(sa.select(t.c.plan).where(chosen).limit(1)).first()
    return None if found is None else Plan.from_json(found.plan)


def end(connection: sa.Connection, vm_key: str, now: datetime, reason: str, *, spec_id: int | None = None) -> bool:
    """The active spec of this VM (or just that one) is no longer wanted. Returns whether there was one."""
    return _close(connection, vm_key, SpecState.ENDED, now, reason, spec_id)


def fail(connection: sa.Connection, vm_key: str, now: datetime, reason: str) -> bool:
    """The active spec of this VM could not be carried out as approved."""
    return _close(connection, vm_key, SpecState.FAILED, now, reason, None)


def _close(
    connection: sa.Connection, vm_key: str, state: SpecState, now: datetime, reason: str, spec_id: int | None
) -> bool:
    values = {"state": state, "active_of": None, "ended_at": now, "reason": reason[:4000]}
    close = _CLOSE if spec_id is None else _CLOSE_ONE
    done = connection.execute(close, {"of": vm_key, "number": spec_id, **values})
    return done.rowcount > 0


def _accepted(row: sa.Row[Any]) -> AcceptedSpec:
    return AcceptedSpec(
        row.id,
        row.vm_key,
        row.digest,
        SpecState(row.state),
        row.plan_digest,
        row.accepted_at,
        row.accepted_by,
        row.ended_at,
        row.reason,
        row.spec,
        getattr(row, "plan", None),
    )


_CLOSE = t.update().where((t.c.vm_key == sa.bindparam("of")) & (t.c.state == SpecState.ACTIVE))
_CLOSE_ONE = _CLOSE.where(t.c.id == sa.bindparam("number"))
_WITHOUT_PLAN = [c for c in t.c if c.name != "plan"]
_LAST = sa.select(sa.func.max(t.c.id)).where(t.c.vm_key.in_(sa.bindparam("of", expanding=True))).group_by(t.c.vm_key)
_NEWEST = sa.select(*_WITHOUT_PLAN).where(t.c.id.in_(_LAST))
_WANTED = sa.select(t.c.vm_key, t.c.id).where(t.c.state == SpecState.ACTIVE).order_by(t.c.id)
