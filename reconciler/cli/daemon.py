"""`failover daemon --specs DIR`: the service in the foreground, as systemd or a container runs it."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from reconciler.cli import files, screen


@click.command("daemon")
@click.option("--specs", "folder", required=True, type=click.Path(path_type=Path), help="The folder of specs to carry out.")
@click.option("--once", is_flag=True, help="Pick up the folder, run until nothing moves by itself, and leave.")
@click.pass_obj
def command(shown: screen.Screen, folder: Path, once: bool) -> int:
    """Carry out a folder of specs, and end tests when their time is up. Survives being killed at any moment."""
    from reconciler import operations
    from reconciler.cli import progress
    from reconciler.daemon import Daemon

    if not folder.is_dir():
        raise screen.Complaint(f"{folder} is not a folder of specs: make it, or name another one")
    connected = shown.connect()
    with progress.watching(shown, connected, service=True) as watcher:
        service = Daemon(connected, folder, files.bounds(shown), watcher.told, watcher.seen)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: service.stop.set())
        if not once:
            service.run()
            return screen.DONE
        service.turn()
        halt = operations.Halt(safely=service.stop)
        keys = frozenset(s.source.key for s in operations.status(connected) if s.run or s.wanted)
        operations.drive(connected.engine, keys, watcher.seen, halt, watcher.lost)
    return screen.DONE
