"""`failover history [VM]`: what ran, when, and how it ended."""

from __future__ import annotations

import click

from reconciler.cli import screen

BENEATH = 1


@click.command("history")
@click.argument("vm", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many runs, newest first.")
@screen.format_option()
@click.pass_obj
def command(shown: screen.Screen, vm: str | None, limit: int, form: str) -> int:
    """Show what ran, when, and how it ended; newest first."""
    from reconciler import operations
    from reconciler.cli import ending, trouble
    from specs.values import format_duration

    connected = shown.connect()
    runs = operations.history(connected, vm, limit)
    troubles = {r.id: trouble.of(r, operations.steps(connected, r), connected.settings) for r in runs if trouble.is_in(r)}
    if form == "json":
        told = [{**ending.run_json(r), "trouble": troubles[r.id].as_json() if r.id in troubles else None} for r in runs]
        shown.as_json({"runs": told})
        return screen.DONE
    if not runs:
        shown.text("nothing ran yet", "history")
    for run in runs:
        ended = run.finished_at or connected.engine.clock.now()
        took = format_duration(ended - run.created_at)
        meaning = {"completed": "verified", "holding": "running", "running": "running"}.get(str(run.state), "broken")
        line = f"{run.created_at:%Y-%m-%d %H:%M:%S}  {run.vm_name}  {run.kind}  {run.state}  {took}"
        beside = len(line) + 2 + len(run.id) <= screen.width()
        shown.text(f"{line}  {run.id}" if beside else line, meaning)
        for text in (*([] if beside else [f"run {run.id}"]), run.reason):
            if text:
                shown.titled("", text, "history", BENEATH)
        if run.id in troubles:
            for title, text, meaning in (t for t in troubles[run.id].rows() if t[0] != "because"):
                shown.titled(title, text, meaning)
    return screen.DONE
