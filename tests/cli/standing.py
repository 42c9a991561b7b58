"""`python -m tests.cli.standing POINT:N COMMAND...`: `failover`, but for one thing: at a crash point it stands still.

It stops itself there as `kill -STOP` would, between one instruction and the next, and goes on when it gets SIGCONT. So a
test has a process pause at exactly the place that hurts, which no signal from outside would hit.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter

import reconciler.cli
from reconciler import crashpoints
from reconciler.crashpoints import Point


def main() -> None:
    """Stand still once, then go on as if nothing had been."""
    where, *words = sys.argv[1:]
    name, _, nth = where.partition(":")
    passed = Counter[str]()

    def hit(point: Point) -> None:
        passed[point] += 1
        if point == name and passed[point] == int(nth):
            os.kill(os.getpid(), signal.SIGSTOP)

    crashpoints.on_hit = hit
    reconciler.cli.main(words)


if __name__ == "__main__":
    main()
