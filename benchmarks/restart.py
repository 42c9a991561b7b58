"""A controller that dies with a thousand actions in flight, and the next one that takes them over.

    python -m benchmarks.restart

Each VM's first action is sent, then that controller is never heard of again. Measured is what the next one needs, from
its settings on, until every job of the one before is followed by it; then its jobs end, and a call that was made before
and is made again counts as a duplicate.
"""

from __future__ import annotations

import time
from datetime import timedelta
from threading import Event

from benchmarks import failovers
from benchmarks.table import Row, lines
from reconciler import operations, wiring
from reconciler.loop import UnderWay
from reconciler.settings import Limits
from reconciler.store import journal

ACTIONS, SECONDS, SLOTS, POLL, ROUNDS = 1000, 10.0, 100, timedelta(seconds=2.5), 200


def rows() -> list[Row]:
    """The restart's rows of the table."""
    with failovers.cloud_of(ACTIONS, 1, SECONDS, SLOTS) as (folder, url, clock):
        limits = Limits(max_runs=ACTIONS, poll=POLL)
        first = failovers.connected(folder, url, clock, (ACTIONS, 1), limits)
        for plan in failovers.planned(first, ACTIONS):
            operations.approve(first, plan, by="benchmark")
        before = clock.calls()
        _send(first)
        sent = failovers.mutating(failovers.used(before, clock.calls()))

        began = time.perf_counter()
        second = wiring.connected(first.settings, clock)
        second.engine.owner = "the next controller"
        second.engine.round()
        took = time.perf_counter() - began
        followed = len(_under_way(second))
        _settle(second, clock)
        again = failovers.mutating(failovers.used(before, clock.calls()))
    note = f"{sum(sent.values())} sent, {followed} followed on"
    twice = sum(again.values()) - sum(sent.values())
    return [Row("restart with 1,000 actions in flight", took, note), Row("calls made twice after a restart", twice, note)]


def _under_way(controller: wiring.Connected) -> UnderWay:
    with controller.database.read() as connection:
        return journal.jobs_under_way(connection)


def _send(controller: wiring.Connected) -> None:
    """The first steps change no more than the database; go on until each VM has a job in the cloud."""
    for _ in range(ROUNDS):
        if len(_under_way(controller)) == ACTIONS:
            return
        controller.engine.round()
    raise RuntimeError(f"not sent within {ROUNDS} rounds")


def _settle(controller: wiring.Connected, clock: failovers.RemoteClock) -> None:
    """Follow everything to its end without beginning anything else; the dead controller's leases end meanwhile."""
    for _ in range(ROUNDS):
        if not _under_way(controller):
            return
        clock.wait(POLL, Event())
        controller.engine.round(begin=False)
    raise RuntimeError(f"not settled within {ROUNDS} rounds")


if __name__ == "__main__":
    print(*lines(rows()), sep="\n")
