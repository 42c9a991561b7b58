"""`failover end VM`: the test is over now; everything is taken back."""

from __future__ import annotations

import click

from reconciler.cli import apply, screen


@click.command("end")
@click.argument("vm")
@screen.format_option()
@click.pass_obj
def command(shown: screen.Screen, vm: str, form: str) -> int:
    """End a test now and take everything back. Also tries again where a way back got stuck.

    Exit code 0: taken back, or nothing was running; 1: not everything could be taken back yet.
    """
    from reconciler import operations
    from reconciler.cli import ending, progress

    connected = shown.connect()
    source = operations.resolve(connected, vm)
    if operations.end(connected, source.key, apply.who()) is None:
        if form == "json":
            shown.as_json({"runs": [], "not_started": [], "not_looked_at": None})
        else:
            shown.text(f"{source.name}: no test is running; nothing to do.", "verified")
        return screen.DONE
    keys = frozenset({source.key})
    with progress.watching(shown, connected, quiet=form == "json") as watcher, watcher.stoppable():
        operations.drive(connected.engine, keys, watcher.seen, watcher.halt, watcher.lost)
    return ending.summary(shown, watcher, keys, form)
