"""`failover freeze VM`: stop a test on its way there at its next safe point, until a person says how it goes on."""

from __future__ import annotations

import click

from reconciler.cli import apply, screen, trouble


@click.command("freeze")
@click.argument("vm")
@screen.format_option()
@click.pass_obj
def command(shown: screen.Screen, vm: str, form: str) -> int:
    """Stop a test on its way there at its next safe point; it stays there until you apply its spec, or end it.

    The step under way is waited for, and no other is begun, by whatever process. Exit code 0: it stands at a safe point;
    1: nothing could be frozen, or a step is still under way.
    """
    from reconciler import operations
    from reconciler.cli import progress

    connected = shown.connect()
    source = operations.resolve(connected, vm)
    operations.freeze(connected, source.key, apply.who())
    with progress.watching(shown, connected, quiet=form == "json") as watcher, watcher.stoppable():
        watcher.halt.safely.set()
        operations.drive(connected.engine, frozenset({source.key}), watcher.seen, watcher.halt, watcher.lost)
    found = operations.exits_of(connected, source.key)
    if form == "json":
        shown.as_json({"exits": trouble.exits_json(found) if found is not None else None})
    elif found is not None:
        shown.text(f"{source.name} is frozen.", "waits")
        trouble.tell(shown, trouble.exit_rows(found))
    else:
        shown.text(f"{source.name} is not on its way there any more: failover why {source.name}", "waits")
    return screen.DONE if found is not None else screen.ERROR
