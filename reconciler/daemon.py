"""The long-running service: picks up a folder of specs, approves what may run by itself, and runs rounds for ever.

Called by `failover daemon`. It holds nothing that must survive: accepted specs, runs and leases are in the database, so
another daemon, or this one after `kill -9`, goes on where the journal stands. Specs that cannot be read change nothing:
what was accepted before stays accepted. A VM that is no longer mentioned is left as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from plans.plan import Plan, Refusal
from reconciler import operations
from reconciler.cloudstack.errors import CloudError
from reconciler.loop import Pass, Round
from reconciler.store import inventory
from reconciler.store.database import StoreError
from reconciler.wiring import Connected
from specs import load
from specs.load import Bounds
from specs.model import Spec, State

BY_ITSELF = (State.PROTECTED, State.TEST_FAILOVER)
LONGEST = timedelta(seconds=10)
SHORTEST = timedelta(milliseconds=50)


@dataclass
class Daemon:
    """One service over one folder. `tell` gets a line for people whenever something is news."""

    connected: Connected
    folder: Path
    bounds: Bounds
    tell: Callable[[str], None]
    watch: Callable[[Pass], None]
    stop: threading.Event = field(default_factory=threading.Event)
    _told: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Work until `stop` is set; a step that was begun is journaled before it returns."""
        self.tell(f"watching {self.folder}; Ctrl-C or SIGTERM stops at a safe point")
        while not self.stop.is_set():
            done = self.turn()
            self.connected.engine.clock.wait(self._pause(done), self.stop)
        self.tell("stopped; whatever is under way goes on when a daemon runs again")

    def turn(self) -> Round:
        """Pick up the folder and run one round; faults of database or cloud are told and tried again."""
        try:
            self._pick_up()
            done = self.connected.engine.round()
        except (CloudError, StoreError) as fault:
            self._news("fault", f"! {fault}. Trying again; nothing is lost")
            return Round()
        self._news("fault", "")
        for seen in done.passes:
            self.watch(seen)
        return done

    def _pause(self, done: Round) -> timedelta:
        poll = self.connected.settings.engine.poll
        if done.next_at is None:
            return poll
        return min(max(done.next_at - self.connected.engine.clock.now(), SHORTEST), max(poll, min(LONGEST, poll * 5)))

    def _pick_up(self) -> None:
        found = load.load((self.folder,), bounds=self.bounds)
        if found.errors:
            first = found.errors[0]
            count = len(found.errors)
            self._news(
                "specs", f"! {count} error(s) in specs, none of them taken: {first.file}:{first.line} {first.message}"
            )
            return
        self._news("specs", "")
        fresh = [s for s in found.specs if s.state in BY_ITSELF and not self._known(s)]
        if fresh:
            self._accept(fresh)

    def _known(self, spec: Spec) -> bool:
        with self.connected.database.read() as connection:
            return inventory.seen(connection, spec.digest)

    def _accept(self, fresh: list[Spec]) -> None:
        for spec, found in zip(fresh, operations.plan_all(self.connected, fresh), strict=True):
            if isinstance(found, Plan) and not operations.changes_opinion(self.connected, found):
                self._news(spec.digest, f"{found.vm}: as wanted by {spec.origin}")
            elif isinstance(found, Plan):
                accepted = operations.approve(self.connected, found, by="daemon")
                if accepted.new:
                    self.tell(f"{found.vm}: accepted {spec.origin}, {len(found.steps)} steps, {found.digest[:19]}…")
            elif isinstance(found, Refusal):
                why = "; ".join(r.text for r in found.reasons)
                self._news(spec.digest, f"{found.vm}: refused, nothing was sent: {why}")
            else:
                self._news(spec.digest, f"{spec.origin}: {found.fault}")

    def _news(self, subject: str, text: str) -> None:
        if self._told.get(subject, "") != text:
            self._told[subject] = text
            if text:
                self.tell(text)
