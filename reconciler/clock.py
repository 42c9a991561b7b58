"""The clock that everything else is handed: the only place that asks the operating system for the time.

`wiring` hands a `SystemClock` to the engine; tests and the demo hand in one that they turn. Times are aware and in UTC.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What the engine may ask of time."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""

    def wait(self, span: timedelta, stop: threading.Event) -> None:
        """Let that much time pass, or less when `stop` is set."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC)

    def wait(self, span: timedelta, stop: threading.Event) -> None:
        """Sleep for the span, or until `stop` is set."""
        stop.wait(max(0.0, span.total_seconds()))
