"""`failover resolve RUN STEP --as done|undone`: say what became of a step that is stuck; a look must agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import apply, screen, trouble

if TYPE_CHECKING:
    from reconciler.verdicts import Judged


@click.command("resolve")
@click.argument("run")
@click.argument("step", type=click.IntRange(min=1))
@click.option("--as", "verdict", type=click.Choice(["done", "undone"]), required=True, help="What became of the step.")
@screen.format_option()
@click.pass_obj
def command(shown: screen.Screen, run: str, step: int, verdict: str, form: str) -> int:
    """Say of a step that is stuck that it is done, or that it never happened and never will; then its run goes on.

    CloudStack is looked at first. Exit code 0: taken, and everything is as wanted; 1: taken, but not everything is as
    wanted yet, or there is nothing to resolve; 3: the look does not agree, nothing was changed.
    """
    from reconciler import operations
    from reconciler.cli import ending, progress
    from reconciler.verdicts import Verdict

    connected = shown.connect()
    judged = operations.settle(connected, run, step, Verdict(verdict), apply.who())
    if judged.against is not None:
        return _refused(shown, judged, form)
    if form == "text":
        shown.text(f"Step {step} of run {run}, {judged.step.word}, is {verdict}: a look agrees, and it goes on.", "verified")
    keys = frozenset({judged.run.vm_key})
    with progress.watching(shown, connected, quiet=form == "json") as watcher, watcher.stoppable():
        operations.drive(connected.engine, keys, watcher.seen, watcher.halt, watcher.lost)
    return ending.summary(shown, watcher, keys, form)


def _refused(shown: screen.Screen, judged: Judged, form: str) -> int:
    step, run = judged.step, judged.run
    seen, job = tuple(trouble.shown(judged.world)), trouble.said(judged.job)
    if form == "json":
        told: dict[str, Any] = {"run": run.id, "step": step.seq, "said": str(judged.verdict), "against": judged.against}
        shown.as_json({**told, "job": job, "look": list(seen)})
        return screen.REFUSED
    shown.text(f"Not taken; nothing was changed. Step {step.seq}, {step.word}, is still stuck.", "broken")
    shown.titled("because", f"{judged.against}", "broken")
    shown.titled("job", f"{step.custom_job_id} {job}")
    shown.titled("look", " · ".join(seen))
    shown.titled("next", f"failover why {run.vm_name}")
    return screen.REFUSED
