"""The long-running service: picks up a folder of specs, approves what may run by itself, and runs rounds for ever.

Called by `failover daemon`. It holds nothing that must survive: accepted specs, runs and leases are in the database, so
another daemon, or this one after `kill -9`, goes on where the journal stands. Specs that cannot be read change nothing:
what was accepted before stays accepted. A VM that is no longer mentioned is left as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from plans.plan import Refusal
from plans.readiness import Kind
from reconciler import operations, readiness
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
LOOK_AGAIN = timedelta(seconds=30)
TOLD = 500
"""So much is told of a fault that nobody foresaw."""
EVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Daemon:
    """One service over one folder. `tell` gets a line for people whenever something is news."""

    connected: Connected
    folder: Path
    bounds: Bounds
    tell: Callable[[str], None]
    watch: Callable[[Pass], None]
    stop: threading.Event = field(default_factory=threading.Event)
    _judge_at: datetime = EVER
    _told: dict[str, str] = field(default_factory=dict)
    _again: dict[str, datetime] = field(default_factory=dict)

    def run(self) -> None:
        """Work until `stop` is set; a step that was begun is journaled before it returns. Leases are given back."""
        self.tell(f"watching {self.folder}; Ctrl-C or SIGTERM stops at a safe point")
        try:
            while not self.stop.is_set():
                done = self.turn()
                self._judge()
                self.connected.engine.clock.wait(self._pause(done), self.stop)
        finally:
            self.connected.engine.let_go()
        self.tell("stopped; whatever is under way goes on when a daemon runs again")

    def turn(self) -> Round:
        """Pick up the folder and run one round; faults of database or cloud are told and tried again."""
        try:
            self._pick_up()
            done = self.connected.engine.round()
            for seen in done.passes:
                self.watch(seen)
        except (CloudError, StoreError) as fault:
            self._news("fault", f"! {fault}. Trying again; nothing is lost")
            return Round()
        self._news("fault", "")
        return done

    def _judge(self) -> None:
        """Now and then judge how ready all VMs are, keep what changed, and tell what got worse."""
        now = self.connected.engine.clock.now()
        if now < self._judge_at:
            return
        self._judge_at = now + self.connected.settings.readiness.every
        try:
            for change in readiness.record(self.connected, Kind.TEST, readiness.of(self.connected, Kind.TEST)):
                if change.is_worse:
                    self.tell(f"{change.vm}: {change.text}")
        except (CloudError, StoreError):
            return  # the next round meets the same fault, and tells it
        except ValueError as fault:  # rows of others that nobody foresaw: tests that run must be taken back all the same
            self._news("readiness", f"! readiness could not be judged, report this: {str(fault)[:TOLD]}. The rest goes on")
            return
        self._news("readiness", "")

    def _pause(self, done: Round) -> timedelta:
        poll = self.connected.settings.engine.poll
        if done.next_at is None:
            return poll
        return min(max(done.next_at - self.connected.engine.clock.now(), SHORTEST), max(poll, min(LONGEST, poll * 5)))

    def _pick_up(self) -> None:
        found = load.load((self.folder,), bounds=self.bounds)
        if found.errors:
            first = found.errors[0]
            place = f"{first.file}:{first.line}" if first.line else first.file
            count = f"{len(found.errors)} error{'s' if len(found.errors) > 1 else ''}"
            what = f"{place} {first.message}: {first.hint}"
            self._news(
                "specs", f"! {count} in specs, no new spec is taken: {what}; `failover validate {self.folder}` shows all"
            )
            return
        self._news("specs", "")
        self._forget(found.specs)
        for spec in (s for s in found.specs if s.state not in BY_ITSELF):
            says = f"`failover plan {spec.origin.file}` says what can be done"
            self._news(spec.digest, f"{spec.vm}: {spec.origin} wants {spec.state}, which a daemon does not begin; {says}")
        fresh = [s for s in found.specs if s.state in BY_ITSELF and self._is_due(s)]
        if fresh:
            self._accept(fresh, found.specs)

    def _is_due(self, spec: Spec) -> bool:
        """Whether this spec is news, and it is not a moment ago that it was refused, or found to be as wanted."""
        if self.connected.engine.clock.now() < self._again.get(spec.digest, EVER):
            return False
        with self.connected.database.read() as connection:
            return not inventory.seen(connection, spec.digest)

    def _accept(self, fresh: Sequence[Spec], every: Sequence[Spec]) -> None:
        again = self.connected.engine.clock.now() + min(LOOK_AGAIN, self.connected.settings.engine.poll * 15)
        for spec, found in zip(fresh, operations.plan_all(self.connected, fresh, beside=every), strict=True):
            if isinstance(found, Refusal):
                self._again[spec.digest] = again
                why = "; ".join(f"{r.text} ({r.fix})" for r in found.reasons)
                self._news(spec.digest, f"{found.vm}: {spec.origin} is refused, nothing was sent: {why}")
            elif not operations.changes_anything(self.connected, found):
                self._again[spec.digest] = again
                self._news(spec.digest, f"{found.vm}: as wanted by {spec.origin}")
            elif operations.approve(self.connected, found, by="daemon").new:
                self._news(spec.digest, "")
                self.tell(f"{found.vm}: accepted {spec.origin}, {len(found.steps)} steps, {found.digest[:19]}…")

    def _forget(self, specs: Sequence[Spec]) -> None:
        """Keep nothing of specs that are no longer in the folder."""
        kept = {s.digest for s in specs}
        self._again = {k: v for k, v in self._again.items() if k in kept}
        self._told = {k: v for k, v in self._told.items() if k in kept or k in ("fault", "specs", "readiness")}

    def _news(self, subject: str, text: str) -> None:
        if self._told.get(subject, "") != text:
            self._told[subject] = text
            if text:
                self.tell(text)
