"""What a person may have done at the source side by hand, outside any run: switch a VM off or on, sync it once more.

`reconciler.cli.source` calls it. An order says first what it would do, and why not; it is carried out under the VM's lease,
so that no run begins meanwhile, and two events tell of it: what was asked for, and what came of it. Where that is not known
the lease is kept until its time is up: nothing else is begun for this VM before.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from plans.observed import Source
from reconciler.source.appliance import REQUEST, SEEN_WITHIN
from reconciler.source.errors import SourceError
from reconciler.source.outcomes import Outcome, Refused, Unknown
from reconciler.source.reach import SourceSide
from reconciler.store import journal
from reconciler.store.database import Connection
from reconciler.wiring import Connected

LONGEST_SWITCH = 2 * (2 * REQUEST + SEEN_WITHIN)
MARGIN = timedelta(minutes=5)
FAILED_OVER = "failed_over"


class Verb(StrEnum):
    """What is asked for."""

    OFF = "off"
    ON = "on"
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to be done to one source VM; `force` allows a hard power-off where the guest does not shut down."""

    source: Source
    verb: Verb
    force: bool = False

    @property
    def text(self) -> str:
        """The order for people, in one line."""
        on = f"{self.source.name} on {self.source.vcenter}"
        if self.verb is Verb.OFF:
            how = "by its guest, by force where that fails" if self.force else "by its guest; never by force"
            return f"switch {on} off, {how}"
        return (
            f"switch {on} on" if self.verb is Verb.ON else f"one incremental sync of {on}, to a new ChangeID for every disk"
        )


def obstacle(connected: Connected, order: Order) -> str | None:
    """Why this must not be done now, as the database tells; None when nothing there speaks against it."""
    with connected.database.read() as connection:
        return _obstacle(connection, order)


def carry_out(connected: Connected, side: SourceSide, order: Order, by: str) -> Outcome:
    """Do it under the VM's lease. Raises `SourceError` when it failed before anything was sent."""
    engine, key = connected.engine, order.source.key
    within = connected.settings.source.sync_within
    longest = within + MARGIN if order.verb is Verb.SYNC else LONGEST_SWITCH
    act = _prepared(side, order, f"failover-{uuid.uuid4()}", within)

    def reserve(connection: Connection) -> str | None:
        now = engine.clock.now()
        if (why := _obstacle(connection, order)) is not None:
            return why
        if journal.take(connection, key, engine.owner, now, longest) is None:
            return "another process works on this VM, or what was done last there is not known yet; try again later"
        journal.note(connection, now, key, "source", f"{by} asked: {order.text}")
        return None

    if (why := connected.database.written(reserve, looks=True)) is not None:
        return Refused(why)
    try:
        outcome = act()
    except SourceError as unsent:
        _ended(connected, key, f"nothing was sent: {unsent}")
        raise
    if isinstance(outcome, Unknown):
        _noted(connected, key, f"{order.verb}: not known what became of it: {outcome.why}")
    else:
        _ended(connected, key, f"{order.verb}: {outcome.why if isinstance(outcome, Refused) else outcome.how}")
    return outcome


def _prepared(side: SourceSide, order: Order, key: str, within: timedelta) -> Callable[[], Outcome]:
    """What to call. Raises `SourceError` where an address or a credential is missing: nothing is reserved then."""
    if order.verb is Verb.SYNC:
        replication = side.syncs()
        return lambda: replication.sync(order.source, key, within)
    appliance, login = side.power_of(), side.login(order.source)
    if order.verb is Verb.ON:
        return lambda: appliance.switch_on(order.source, login)
    return lambda: appliance.switch_off(order.source, login, force=order.force)


def _obstacle(connection: Connection, order: Order) -> str | None:
    run = journal.unfinished_of(connection, order.source.key)
    if run is not None:
        return (
            f"run {run.id} holds {order.source.name}: what happens to it is in its plan alone (failover why {run.vm_name})"
        )
    status = order.source.context_status or ""
    if order.verb is not Verb.OFF and status.startswith(FAILED_OVER):
        return f"its context is {status}: its copy may be running (INV-09), and its replica must not be written to (INV-10)"
    return None


def _noted(connected: Connected, key: str, text: str) -> None:
    now = connected.engine.clock.now()
    connected.database.written(lambda c: journal.note(c, now, key, "source", text), looks=True)


def _ended(connected: Connected, key: str, text: str) -> None:
    now, owner = connected.engine.clock.now(), connected.engine.owner

    def write(connection: Connection) -> None:
        journal.note(connection, now, key, "source", text)
        journal.give_back(connection, owner, now)

    connected.database.written(write, looks=True)
