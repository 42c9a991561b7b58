"""Progress of runs while they move: chooses how it is shown, and stays with tests until they are over.

Called by `apply`, `end`, `daemon` and the demo. What came of it all is told by `ending`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from reconciler import operations
from reconciler.cli import screen
from reconciler.cli.watcher import Events, Watcher
from reconciler.store import journal

if TYPE_CHECKING:
    from reconciler.wiring import Connected

LONGEST_WAIT = timedelta(seconds=30)
SHORTEST_WAIT = timedelta(milliseconds=100)


def watching(shown: screen.Screen, connected: Connected, *, quiet: bool = False, service: bool = False) -> Watcher:
    """The watcher that fits where output goes. A `service` runs for ever: what came to rest is told once and let go."""
    if quiet:
        return Watcher(shown, connected)
    if not shown.live:
        return Events(shown, connected)
    from reconciler.cli.live import Live

    return Live(shown, connected, service=service)


def hold(connected: Connected, keys: frozenset[str], watcher: Watcher) -> None:
    """Stay with the tests until they are over and taken back, or a person stops it."""
    while not watcher.halt.asked:
        operations.drive(connected.engine, keys, watcher.seen, watcher.halt, watcher.lost)
        with connected.database.read() as connection:
            runs = [r for r in journal.unfinished(connection) if r.vm_key in keys]
        holding = [r for r in runs if r.state == "holding"]
        if not holding:
            return
        ends = min((r.expires_at for r in holding if r.expires_at), default=None)
        connected.engine.clock.wait(_until(ends, connected.engine.clock.now()), watcher.halt.safely)


def _until(ends: datetime | None, now: datetime) -> timedelta:
    return LONGEST_WAIT if ends is None else min(max(ends - now, SHORTEST_WAIT), LONGEST_WAIT)
