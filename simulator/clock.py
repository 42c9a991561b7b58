"""The simulator's clock: one that runs with real time (at any speed), or one that stands until it is turned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What the simulator asks of time."""

    def now(self) -> datetime:
        """The present moment of the simulated world, aware, in UTC."""


class TurnedClock:
    """Stands still until somebody turns it. It never goes back."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """The moment it was last turned to."""
        return self._now

    def advance(self, span: timedelta | float) -> None:
        """Turn it on by a span, or by seconds."""
        step = span if isinstance(span, timedelta) else timedelta(seconds=span)
        if step < timedelta():
            raise ValueError("a clock is not turned back")
        self._now += step


class RealClock:
    """Runs with the machine's clock, `speed` times as fast."""

    def __init__(self, speed: float = 1.0) -> None:
        self._start, self._speed = datetime.now(UTC), speed

    def now(self) -> datetime:
        """The simulated moment."""
        return self._start + (datetime.now(UTC) - self._start) * self._speed


def stamp(moment: datetime) -> str:
    """A moment as CloudStack writes it: seconds, numeric zone without colon."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S+0000")
