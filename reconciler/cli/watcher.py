"""Watching VMs move: what each is about, news of it, and being stopped by a person. In a pipe, one line an event.

Fed by `operations.drive` and the daemon with every pass; it reads the journal for the steps and writes nothing. What is
told is worked out by `views`; `live` rewrites a terminal instead; `progress` chooses between them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import click

from reconciler import operations
from reconciler.cli import screen, views
from reconciler.cli.views import Kind, Motion

if TYPE_CHECKING:
    from plans.plan import Plan
    from reconciler.cloudstack.errors import CloudError
    from reconciler.loop import Pass
    from reconciler.operations import Halt
    from reconciler.store.database import StoreError
    from reconciler.store.journal import Run
    from reconciler.wiring import Connected


@dataclass
class Watcher:
    """Keeps what every VM is about, from the passes it is shown. By itself it prints nothing: output as JSON wants that."""

    shown: screen.Screen
    connected: Connected
    halt: Halt = field(default_factory=operations.Halt)
    motions: dict[str, Motion] = field(default_factory=dict)
    _told: dict[str, Motion] = field(default_factory=dict)
    _plans: dict[str, Plan | None] = field(default_factory=dict)
    _lost: str = ""

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put back."""

    def seen(self, seen: Pass) -> None:
        """Take in what a pass came to; it is told if it is news."""
        self._lost = ""
        told = self._motion(seen)
        if self._told.get(seen.vm_key) != told:
            self.motions[seen.vm_key] = self._told[seen.vm_key] = told
            self.news(seen.vm_key, told)

    def lost(self, fault: CloudError | StoreError) -> None:
        """Say once that CloudStack or the database cannot be read, and that this goes on by itself."""
        if str(fault) != self._lost:
            self._lost = str(fault)
            self.note(f"! {fault}. Trying again; nothing is lost.")

    def told(self, text: str) -> None:
        """Tell, with its time, what somebody else says."""
        self.note(f"{self.now():{views.STAMP}}  {text}")

    def news(self, vm_key: str, told: Motion) -> None:
        """Tell that a VM moved on."""

    def note(self, text: str) -> None:
        """Tell what concerns no single VM."""

    def now(self) -> datetime:
        """The engine's moment."""
        return self.connected.engine.clock.now()

    def _motion(self, seen: Pass) -> Motion:
        run = seen.run
        if run is None:
            kind = Kind.WAITS if seen.until is not None else Kind.DONE if seen.outcome.kind == "done" else Kind.STUCK
            return Motion(seen.vm, kind, f"{_NOT_BEGUN[kind]}{seen.outcome.why or seen.outcome.kind}")
        state = seen.outcome.why if seen.outcome.kind == "wait" else ""
        tries = self.connected.settings.engine.attempts
        return views.motion(run, operations.steps(self.connected, run), self._plan(run), tries, state)

    def _plan(self, run: Run) -> Plan | None:
        if run.plan_digest not in self._plans:
            self._plans[run.plan_digest] = operations.approved_plan(self.connected, run)
        return self._plans[run.plan_digest]

    # --- being stopped ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def stoppable(self) -> Iterator[None]:
        """SIGINT or SIGTERM stops at the next safe point, once more leaves at once, a third time ends the process."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        if self.halt.safely.is_set():
            self.halt.at_once.set()
            self.told_to_stop(LEAVING)
            signal.signal(number, signal.SIG_DFL)
            return
        self.halt.safely.set()
        self.told_to_stop(self.stopping)

    def told_to_stop(self, text: str) -> None:
        """Answer a signal. Called inside a signal handler: no lock may be taken here, no stream be written."""
        os.write(2, f"{text}\n".encode())

    @property
    def stopping(self) -> str:
        """What the first Ctrl-C brings about."""
        under_way = [m for m in self.motions.values() if m.kind is Kind.MOVES and m.since is not None]
        if not under_way:
            return "stopping: nothing is under way"
        where = (
            f"after step {under_way[0].number}, {under_way[0].step}" if len(under_way) == 1 else f"{len(under_way)} steps"
        )
        return f"stopping at the next safe point ({where}); again to leave it to the daemon"


LEAVING = "leaving at once; what is under way is in the journal, and a daemon, `failover apply` or `failover end` goes on"
_NOT_BEGUN = {Kind.WAITS: "waits: ", Kind.STUCK: "not begun: ", Kind.DONE: ""}


class Events(Watcher):
    """One line an event, with its time: for pipes and logs."""

    def news(self, vm_key: str, told: Motion) -> None:  # noqa: ARG002  all watchers are told alike
        """Print a line."""
        self.shown.text(views.event(told, self.now()))

    def told(self, text: str) -> None:
        """A line among the events."""
        self.shown.text(f"{self.now():{views.STAMP}}  {text}")

    def note(self, text: str) -> None:
        """A line beside the events."""
        click.echo(screen.harmless(text), err=True)
