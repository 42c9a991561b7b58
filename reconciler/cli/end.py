"""`failover end VM`: the test is over now; everything is taken back."""

from __future__ import annotations

import threading

import click

from reconciler.cli import apply, progress, screen


@click.command("end")
@click.argument("vm")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def command(shown: screen.Screen, vm: str, form: str) -> int:
    """End a test now and take everything back. Also tries again where a way back got stuck.

    Exit code 0: taken back, or nothing was running; 1: not everything could be taken back yet.
    """
    from reconciler import operations

    connected = shown.connect()
    source = operations.resolve(connected, vm)
    run = operations.end(connected, source.key, apply.who())
    if run is None:
        if form == "json":
            screen.as_json({"runs": []})
        else:
            shown.text(f"{source.name}: no test is running; nothing to do.", "verified")
        return screen.DONE
    stop = apply.stoppable()
    watcher = progress.Watcher(shown, connected, quiet=form == "json")
    operations.drive(connected.engine, frozenset({source.key}), watcher.seen, stop, watcher.lost)
    return _done(shown, connected, source.key, form, stop)


def _done(shown: screen.Screen, connected, key: str, form: str, stop: threading.Event) -> int:  # type: ignore[no-untyped-def]
    return progress.summary(shown, connected, frozenset({key}), form, stopped=stop.is_set())
