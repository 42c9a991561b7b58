"""`failover why VM`: the story of one VM backwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli import screen, status

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.operations import Standing, Story


@click.command("why")
@click.argument("vm")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(shown: screen.Screen, vm: str, form: str) -> int:
    """Tell the story of a VM backwards: now, waiting for what, last decisions, and what happens next."""
    from reconciler import operations

    connected = shown.connect()
    story = operations.why(connected, vm)
    if form == "json":
        screen.as_json({**status.as_json(story.standing), "events": [e.as_json() for e in story.events]})
        return screen.DONE
    now = connected.engine.clock.now()
    _now(shown, story.standing, now)
    _jobs(shown, story)
    _past(shown, story, now)
    return screen.DONE


def _now(shown: screen.Screen, row: Standing, now: datetime) -> None:
    shown.text(row.vm, "strong")
    shown.text(f"  wanted   {status.goal(row, now)}" + (f", by {row.wanted.spec.origin}" if row.wanted else ""))
    run = row.run
    if run is None:
        shown.text("  now      no run; the replicas are with replication")
        return
    shown.text(f"  run      {run.id}, {run.direction}, {run.state}")
    for step in row.steps:
        if step.state not in ("done", "pending") or (step.state == "pending" and step.error):
            _step(shown, step)
    if run.state in ("stuck", "paused"):
        shown.text(f"  ! {run.reason}", "broken")
        shown.text(f"  ways out failover end {row.vm}     take everything back (safe to repeat)")
        shown.text("           failover apply SPEC       approve what is left to do, after a look at `failover plan SPEC`")
    elif run.state == "holding":
        shown.text(f"  waits    for {status.ending(run, now)}")


def _step(shown: screen.Screen, step) -> None:  # type: ignore[no-untyped-def]
    job = f", cloud job {step.custom_job_id[:8]}" if step.custom_job_id else ""
    deadline = f", gives up at {step.deadline:%H:%M:%S}" if step.deadline else ""
    shown.text(
        f"  step {step.seq}   {step.word} {step.subject[:8]}: {step.state}{job}, try {step.attempts}{deadline}", "waits"
    )
    if step.error:
        shown.text(f"           {step.error}")


def _jobs(shown: screen.Screen, story: Story) -> None:
    for job in story.source.active_jobs:
        done = f" ({job.progress:.0f} %)" if job.progress is not None else ""
        shown.text(f"  waits    {job.kind} job {job.id} is {job.status}{done}", "waits")


def _past(shown: screen.Screen, story: Story, now: datetime) -> None:
    shown.text()
    for event in story.events:
        shown.text(f"  {screen.ago(event.at, now):>14}  {event.kind:<9} {event.text}", "history")
    if not story.events:
        shown.text("  nothing happened to it yet", "history")
