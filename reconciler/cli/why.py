"""`failover why VM`: the story of one VM backwards: now, what it waits for, what was decided, what comes next, what was.

Reads the database, and looks at the cloud (without changing anything) where something is stuck.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import screen, status, trouble, views
from reconciler.cli.trouble import Told
from reconciler.cloudstack.errors import CloudError
from specs.values import format_duration

if TYPE_CHECKING:
    from plans.observed import World
    from reconciler.operations import Standing, Story
    from reconciler.store.journal import Run, StepRow
    from reconciler.wiring import Connected

PAST = 25


@click.command("why")
@click.argument("vm")
@screen.format_option()
@click.pass_obj
def command(shown: screen.Screen, vm: str, form: str) -> int:
    """Tell the story of a VM backwards: now, waiting for what, last decisions, and what happens next."""
    from reconciler import operations

    connected = shown.connect()
    story = operations.why(connected, vm)
    teller = status.Teller(story.others, connected.settings, connected.engine.clock.now())
    told = list(_Explainer(connected, story, teller).told())
    if form == "json":
        said = [{"title": title, "text": text} for title, text, _ in told]
        events = [e.as_json() for e in story.events]
        ways = _exits_json(connected, story.standing)
        shown.as_json({**teller.as_json(teller.row(story.standing)), "told": said, "exits": ways, "events": events})
        return screen.DONE
    shown.text(story.standing.vm, "strong")
    trouble.tell(shown, told)
    shown.text()
    for event in story.events:
        shown.titled(f"{screen.ago(event.at, teller.at):>14}  {event.kind}", event.text, "history", PAST)
    if not story.events:
        shown.text("  nothing happened to it yet", "history")
    return screen.DONE


def _exits_json(connected: Connected, row: Standing) -> dict[str, Any] | None:
    from reconciler import operations

    if row.run is None or row.run.state != "paused":
        return None
    try:
        found = operations.exits_of(connected, row.source.key)
    except CloudError:
        return None
    return trouble.exits_json(found) if found is not None else None


@dataclass(frozen=True, slots=True)
class _Explainer:
    """Everything that can be said of one VM, in the order in which a person asks."""

    connected: Connected
    story: Story
    teller: status.Teller

    def told(self) -> Iterator[Told]:
        """Titles and texts with their meanings."""
        row, run = self.story.standing, self.story.standing.run
        yield "wanted", self._wanted(row), "plain"
        line = self.teller.row(row)
        if run is None:
            yield "now", line.now, line.meaning
            if row.wanted is not None and line.waits:
                yield "waits for", line.waits, line.meaning
            if row.newest is not None and row.newest.state == "failed" and row.newest.reason:
                yield "because", row.newest.reason, "broken"
            elif row.last is not None and row.last.failed and row.last.reason:
                yield "because", row.last.reason, "waits"
            yield from self._next_without_run(row)
            return
        yield "run", f"{run.id}, {'on its way' if run.direction == 'there' else 'on its way back'}, {run.state}", "plain"
        motion = views.motion(run, row.steps, self.story.plan, self.connected.settings.engine.attempts)
        timing = f", {motion.timing(self.teller.at)}" if motion.since is not None else ""
        yield "now", f"{line.now}{timing}", line.meaning
        if motion.kind in views.NEEDS_A_PERSON:
            yield from _Trouble(self.connected, self.story, run).told()
        else:
            yield "waits for", line.waits, line.meaning
            if motion.kind is views.Kind.MOVES:
                yield "led by", self._led_by(row), "plain"
        yield from self._decided(run)
        yield "next", self._next(run, motion), "plain"

    def _wanted(self, row: Standing) -> str:
        wanted = row.wanted
        if wanted is None:
            return "protected: no spec asks for anything else"
        span = f" for {format_duration(wanted.spec.duration)}" if wanted.spec.duration is not None else ""
        by = f"accepted {screen.ago(wanted.accepted_at, self.teller.at)} by {wanted.accepted_by}"
        return f"{wanted.spec.state}{span}, by {wanted.spec.origin}, {by}"

    def _led_by(self, row: Standing) -> str:
        lease = row.dossier.lease
        if lease is None:
            return "no process yet"
        return lease.owner if self.teller.is_led(row) else f"no process now; the last was {lease.owner}"

    def _decided(self, run: Run) -> Iterator[Told]:
        """The last decision with what it rested on."""
        if run.direction == "back":
            yield "decided", f"to take it back: {run.reason or 'it is no longer wanted'}", "plain"
        plan = self.story.plan
        if plan is None:
            return
        yield "decided", f"{len(plan.steps)} steps, {plan.strategy}: {plan.strategy_reason}", "plain"
        yield from (("decided", f"network {net}", "plain") for net in plan.networks)
        for disk in (f.removesuffix(".volume") for f in plan.facts if f.endswith(".volume")):
            place, device = plan.facts.get(f"{disk}.on"), plan.facts.get(f"{disk}.device")
            yield "decided", f"{disk} was on the {place} at device {device}, {plan.facts.get(f'{disk}.state')}", "plain"
        yield "decided", plan.digest, "history"

    def _next(self, run: Run, motion: views.Motion) -> str:
        """The next moment at which something happens by itself."""
        poll = format_duration(self.connected.settings.engine.poll)
        if motion.kind is views.Kind.PAUSED and run.not_before is not None:
            return f"{run.not_before:%Y-%m-%d %H:%M:%S} UTC: it is taken back, unless you say how it goes on"
        if motion.kind is views.Kind.PAUSED:
            return "nothing happens by itself: it waits for you"
        if motion.kind is views.Kind.TESTS:
            late = run.expires_at is not None and run.expires_at <= self.teller.at
            if run.expires_at is None or (late and not run.spec.auto_cleanup):
                return "nothing happens by itself: it waits for you"
            return (
                f"{run.expires_at:%Y-%m-%d %H:%M:%S} UTC, {screen.left(run.expires_at, self.teller.at)}: {views.then(run)}"
            )
        if run.not_before is not None and run.not_before > self.teller.at:
            return f"{views.clock(run.not_before)} UTC: it looks again, while a daemon, apply or end works on it"
        return f"at once when its job ends; it is looked at every {poll or 'moment'}"

    def _next_without_run(self, row: Standing) -> Iterator[Told]:
        if row.wanted is None:
            yield "next", "nothing happens by itself", "history"


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why a run needs a person: what the journal tells of it, and what the cloud says and a look shows now."""

    connected: Connected
    story: Story
    run: Run

    def told(self) -> Iterator[Told]:
        """Titles and texts with their meanings."""
        if self.run.state == "paused":
            yield from self._paused()
            return
        world, unseen = self._look()
        known = trouble.of(self.run, self.story.standing.steps, self.connected.settings, world)
        yield from known.told()
        if known.step is not None and known.step.started_at is not None:
            yield "answer", self._asked(known.step), "plain"
        if world is None:
            yield "look", f"not possible now: {unseen}", "waits"
        else:
            yield "look", " · ".join(trouble.shown(world)), "plain"
        for command, meaning in known.watched():
            yield "watch", f"{command}   {meaning}", "plain"
        for number, (command, meaning) in enumerate(known.ways_out(), 1):
            yield "ways out", f"{number}. {command}   {meaning}", "strong"

    def _paused(self) -> Iterator[Told]:
        """A run that waits at a safe point: why, and the ways on from there, each with its plan."""
        from reconciler import operations

        yield "because", self.run.reason or "", "broken"
        try:
            found = operations.exits_of(self.connected, self.run.vm_key)
        except CloudError as fault:
            yield "look", f"not possible now: {fault}", "waits"
            return
        if found is not None:
            yield from trouble.exit_rows(found)

    def _asked(self, step: StepRow) -> str:
        try:
            result = self.connected.engine.client.job(step.custom_job_id or "")
        except CloudError as fault:
            return f"asked now: {fault}"
        return f"asked now, the cloud says of that job: {trouble.said(result)}"

    def _look(self) -> tuple[World | None, str]:
        from reconciler import operations

        try:
            found = operations.worlds(self.connected, (self.run,))
        except CloudError as fault:
            return None, str(fault)
        return found.get(self.run.vm_key), "the database no longer lists this VM"
