"""`failover history [VM]`: what ran, when, and how it ended."""

from __future__ import annotations

import click

from reconciler.cli import screen


@click.command("history")
@click.argument("vm", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many runs, newest first.")
@screen.format_option()
@click.pass_obj
def command(shown: screen.Screen, vm: str | None, limit: int, form: str) -> int:
    """Show what ran, when, and how it ended; newest first."""
    from reconciler import operations
    from reconciler.cli import ending
    from specs.values import format_duration

    connected = shown.connect()
    runs = operations.history(connected, vm, limit)
    if form == "json":
        shown.as_json({"runs": [ending.run_json(r) for r in runs]})
        return screen.DONE
    if not runs:
        shown.text("nothing ran yet", "history")
    for run in runs:
        ended = run.finished_at or connected.engine.clock.now()
        took = format_duration(ended - run.created_at)
        meaning = {"completed": "verified", "holding": "running", "running": "running"}.get(str(run.state), "broken")
        shown.text(f"{run.created_at:%Y-%m-%d %H:%M:%S}  {run.vm_name}  {run.kind}  {run.state}  {took}  {run.id}", meaning)
        if run.reason:
            shown.text(f"    {run.reason}", "history")
    return screen.DONE
