"""Named points where a sudden end would hurt most, so that tests can strike exactly there.

`reconciler.execute` and `reconciler.loop` call `hit(name)` as they pass one. In production that does nothing. A test names
a point (and which passing of it) in `FAILOVER_CRASH_AT`, as `after-send:3`, and the process kills itself there as
`kill -9` would; in-process tests set `on_hit`.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from enum import StrEnum

ENVIRONMENT = "FAILOVER_CRASH_AT"


class Point(StrEnum):
    """Every crash point there is."""

    ACCEPTED = "accepted"
    RUN_OPENED = "run-opened"
    BEFORE_INTENT = "before-intent"
    AFTER_INTENT = "after-intent"
    AFTER_SEND = "after-send"
    AFTER_RECORD = "after-record"
    BEFORE_SETTLE = "before-settle"
    AFTER_SETTLE = "after-settle"
    BEFORE_FINISH = "before-finish"
    AFTER_FINISH = "after-finish"


on_hit: Callable[[Point], None] | None = None
_passed: Counter[str] = Counter()


def hit(point: Point) -> None:
    """Pass a crash point."""
    if on_hit is not None:
        on_hit(point)
    wanted = os.environ.get(ENVIRONMENT)
    if wanted is None:
        return
    _passed[point] += 1
    name, _, nth = wanted.partition(":")
    if point == name and _passed[point] == int(nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
