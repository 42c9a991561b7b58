"""A folder as `failover init` makes it, a simulated cloud, and `failover` as a person calls it: runs what the pages say."""

from __future__ import annotations

import contextlib
import io
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.cli import main
from simulator import RealClock, load_estate, serve
from tests.docs import pages

COLUMNS = "80"


@dataclass(frozen=True)
class Said:
    """What a command printed, on both streams in order, and its exit code."""

    text: str
    code: int


def failover(*words: str) -> Said:
    """Call `failover` in the working folder."""
    printed = io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            main(words)
    except SystemExit as left:
        code = left.code
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Said(printed.getvalue(), code if isinstance(code, int) else 1)


@contextlib.contextmanager
def trial(folder: Path) -> Iterator[str]:
    """The address of a quick simulated cloud with the example estate; the working folder is `folder` meanwhile."""
    cloud = load_estate(pages.ROOT / "examples" / "estate.yaml", RealClock(1000.0))
    cloud.signing_clock = RealClock()
    with serve(cloud) as server, contextlib.chdir(folder), columns():
        yield server.url


@contextlib.contextmanager
def columns() -> Iterator[None]:
    """A terminal of 80 columns."""
    before = {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR")}
    os.environ.update(COLUMNS=COLUMNS, NO_COLOR="1")
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
