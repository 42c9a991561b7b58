"""The circuit breaker of one management server: one that does not answer is left alone for a while. Pure.

`servers` keeps one `Breaker` for each server. It opens after some failures in a row; when its pause is over, one read is
let through as a probe, and only its success closes it again: a change is never the probe, for its outcome would be in doubt.
A refusal is an answer: it closes the breaker like any other. Times are seconds of the clock that was handed in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class Rules:
    """Open after `failures` in a row, for `pause` seconds, doubled after each probe that fails, up to `longest`."""

    failures: int = 5
    pause: float = 5.0
    longest: float = 60.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """Failures in a row, until when it is open (None: closed), failed probes, and since when a probe is out."""

    failures: int = 0
    until: float | None = None
    trips: int = 0
    probe_since: float | None = None


def admits(breaker: Breaker, rules: Rules, now: float, *, is_read: bool) -> bool:
    """Whether a call may be made now: any while closed, none while open, one read when the pause is over."""
    if breaker.until is None:
        return True
    # A clock that was set back must not keep the breaker open for longer than it ever is.
    if breaker.until - rules.longest <= now < breaker.until or not is_read:
        return False
    return breaker.probe_since is None or not 0 <= now - breaker.probe_since < rules.longest


def asked(breaker: Breaker, now: float) -> Breaker:
    """A call that was admitted begins; while the breaker is open it is the probe."""
    return breaker if breaker.until is None else replace(breaker, probe_since=now)


def answered(_: Breaker) -> Breaker:
    """The server answered, whatever it said."""
    return Breaker()


def failed(breaker: Breaker, rules: Rules, now: float, *, began: float) -> Breaker:
    """No usable answer came to a call that began then. What began before the breaker opened says nothing new."""
    if breaker.until is None:
        failures = breaker.failures + 1
        opens = failures >= rules.failures
        return replace(breaker, failures=failures, until=now + rules.pause if opens else None)
    if breaker.probe_since is None or began < breaker.probe_since:
        return breaker
    trips = breaker.trips + 1
    pause = min(rules.longest, rules.pause * 2 ** min(trips, DOUBLINGS))
    return Breaker(breaker.failures, now + pause, trips)


def unasked(breaker: Breaker, *, began: float) -> Breaker:
    """A call that was admitted was not sent after all: a probe is free again."""
    return replace(breaker, probe_since=None) if breaker.probe_since == began else breaker
