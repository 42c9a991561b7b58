"""`failover daemon --specs DIR`: the service in the foreground, as systemd or a container runs it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import files, progress, screen

if TYPE_CHECKING:
    from reconciler.wiring import Connected


@click.command("daemon")
@click.option("--specs", "folder", required=True, type=click.Path(path_type=Path), help="The folder of specs to carry out.")
@click.option("--once", is_flag=True, help="Pick up the folder, run until nothing moves by itself, and leave.")
@click.pass_obj
def command(shown: screen.Screen, folder: Path, once: bool) -> int:
    """Carry out a folder of specs, and end tests when their time is up. Survives being killed at any moment."""
    from reconciler import operations
    from reconciler.daemon import Daemon

    if not folder.is_dir():
        raise screen.Complaint(f"{folder} is not a folder of specs")
    connected = shown.connect()
    watcher = progress.Watcher(shown, connected)
    service = Daemon(connected, folder, files.bounds(shown), _teller(connected), watcher.seen)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: service.stop.set())
    if not once:
        service.run()
        return screen.DONE
    service.turn()
    keys = frozenset(s.vm_key for s in operations.status(connected) if s.run or s.wanted)
    operations.drive(connected.engine, keys, watcher.seen, service.stop, watcher.lost)
    return screen.DONE


def _teller(connected: Connected) -> Callable[[str], None]:
    def tell(text: str) -> None:
        click.echo(f"{connected.engine.clock.now():%H:%M:%S}  {text}")

    return tell
