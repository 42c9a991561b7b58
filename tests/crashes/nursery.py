"""Lives by the hundred: a process that has everything imported, and forks a child for each life that it is asked for.

Run as `python -m tests.crashes.nursery`; `homes` talks to it in JSON lines, and so does `world` of the command line's tests.
A child is a real process with a process id of its own: it runs the command line as a person would, and may be killed by
`FAILOVER_CRASH_AT` or, after so many seconds, from here. With `CRASHES_SERVER` it kills the server of its database and
lives on. Starting the program anew for every life would be the same, and ten times slower; some lives are led so, too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

# What the commands import only when they run.
import reconciler.cli
import reconciler.cli.apply
import reconciler.cli.end
import reconciler.cli.ending
import reconciler.cli.history
import reconciler.cli.plan
import reconciler.cli.progress
import reconciler.cli.status
import reconciler.cli.validate
import reconciler.cli.why
import reconciler.daemon
import reconciler.operations
import reconciler.wiring
from reconciler import crashpoints
from reconciler.crashpoints import Point

GLANCE = 0.0005
SERVER = "CRASHES_SERVER"
"""A file with a server's process id, and where it is killed: points as in `FAILOVER_CRASH_AT`, or seconds."""


def main() -> None:
    """Serve until standard input ends."""
    for line in sys.stdin:
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _live(wanted)
        code = _waited(pid, wanted.get("kill_after"), wanted["timeout"])
        sys.stdout.write(json.dumps({"code": code}) + "\n")
        sys.stdout.flush()


def _live(wanted: dict[str, Any]) -> None:
    """The child: never comes back."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, path in ((1, wanted["out"]), (2, wanted.get("err", wanted["out"]))):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), stream)
    os.environ.update(wanted["env"])
    os.chdir(Path(wanted["folder"]))
    if SERVER in os.environ:
        _without_server(os.environ[SERVER])
    code = 1
    try:
        reconciler.cli.main(wanted["arguments"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _without_server(told: str) -> None:
    """Have the server die where it is told to, once at each place."""
    path, *places = told.split()
    passed = Counter[str]()

    def die() -> None:
        with suppress(ProcessLookupError):
            os.kill(int(Path(path).read_text(encoding="utf-8")), signal.SIGKILL)

    def hit(point: Point) -> None:
        passed[point] += 1
        if f"{point}:{passed[point]}" in places:
            die()

    crashpoints.on_hit = hit
    for place in places:
        if ":" not in place:
            timer = threading.Timer(float(place), die)
            timer.daemon = True
            timer.start()


def _waited(pid: int, kill_after: float | None, timeout: float) -> int:
    """How the child ended, as `subprocess` tells it: an exit code, or minus a signal; what hangs is killed."""
    began = time.monotonic()
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        lived = time.monotonic() - began
        if lived > timeout or (kill_after is not None and lived >= kill_after):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return -signal.SIGKILL if lived <= timeout else -signal.SIGALRM
        time.sleep(min(GLANCE, max(0.0, (kill_after or GLANCE) - lived)))


if __name__ == "__main__":
    main()
