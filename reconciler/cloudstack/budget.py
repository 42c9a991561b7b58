"""How much one management server is asked for: so many calls a second, so many at once, fewer while it struggles. Pure.

`servers` keeps one `Budget` for each server and asks `pause` before a call, `begun` and `ended` around it. No window of
`interval` seconds ever holds more than `calls` of them. How many may be open at once adapts: each answer in its usual time
adds a little, each sign of overload halves it (once for all calls that began before). Times are seconds of the clock that
was handed in; one that is set back costs no more than an interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

LONGEST_REST = 60.0
SMOOTHING = 0.1
TIMES_USUAL = 4.0
HALF = 0.5


class Verdict(StrEnum):
    """What an answer, or its absence, says about the server."""

    WELL = "well"
    OVERLOADED = "overloaded"
    FAILED = "failed"
    SILENT = "not asked"


@dataclass(frozen=True, slots=True)
class Limits:
    """At most `calls` in any `interval` (seconds), at most `at_once` open; one within `quick` seconds is never slow."""

    calls: int = 25
    interval: float = 1.0
    at_once: int = 8
    quick: float = 1.0

    def lowered(self, calls: int, interval: float) -> Limits:
        """The same, or what the server says it allows if that is less a second."""
        if calls < 1 or interval <= 0 or calls / interval >= self.calls / self.interval:
            return self
        return replace(self, calls=calls, interval=interval)


@dataclass(frozen=True, slots=True)
class Budget:
    """The calls begun in the last interval, those open, how many may be, and how long each command usually takes."""

    window: float
    begun_at: tuple[float, ...] = ()
    open: int = 0
    rests_until: float = 0.0
    halved_at: float = float("-inf")
    usual: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One call that is over: when it began, how many seconds it took, its verdict, the rest that was asked for."""

    command: str
    began: float
    seconds: float
    verdict: Verdict
    rest: float | None = None


def full(limits: Limits) -> Budget:
    """A budget of which nothing is used."""
    return Budget(window=float(limits.at_once))


def pause(budget: Budget, limits: Limits, now: float) -> float | None:
    """Seconds until a call may begin; 0 now, None when first an open one has to end."""
    budget = _steady(budget, now)
    recent = _recent(budget, limits, now)
    wait = max(0.0, budget.rests_until - now)
    if len(recent) >= limits.calls:
        wait = max(wait, recent[-limits.calls] + limits.interval - now)
    if wait <= 0 and budget.open >= max(1, int(budget.window)):
        return None
    return wait


def begun(budget: Budget, limits: Limits, now: float) -> Budget:
    """A call begins now."""
    budget = _steady(budget, now)
    return replace(budget, begun_at=(*_recent(budget, limits, now), now), open=budget.open + 1)


def ended(budget: Budget, limits: Limits, call: Call, now: float) -> Budget:
    """A call is over."""
    budget = replace(_steady(budget, now), open=budget.open - 1)
    if call.verdict is Verdict.SILENT:
        return budget
    if call.rest is not None:
        budget = replace(budget, rests_until=max(budget.rests_until, now + min(call.rest, LONGEST_REST)))
    well = call.verdict is Verdict.WELL
    slow = well and call.seconds > max(limits.quick, TIMES_USUAL * budget.usual.get(call.command, call.seconds))
    if well:
        budget = replace(budget, usual={**budget.usual, call.command: _smoothed(budget.usual, call)})
    if well and not slow:
        return replace(budget, window=min(float(limits.at_once), budget.window + 1 / budget.window))
    if call.began < budget.halved_at:
        return budget
    return replace(budget, window=max(1.0, budget.window * HALF), halved_at=now)


def _recent(budget: Budget, limits: Limits, now: float) -> tuple[float, ...]:
    """The calls that count for a window that ends now. They are in order of time."""
    begun_at, edge = budget.begun_at, now - limits.interval
    old = 0
    while old < len(begun_at) and begun_at[old] <= edge:
        old += 1
    return begun_at[old:]


def _smoothed(usual: Mapping[str, float], call: Call) -> float:
    known = usual.get(call.command, call.seconds)
    return known + SMOOTHING * (call.seconds - known)


def _steady(budget: Budget, now: float) -> Budget:
    """The same after a clock was set back: nothing lies in the future but a rest, and that not far."""
    far = now + LONGEST_REST
    if budget.rests_until <= far and budget.halved_at <= now and not (budget.begun_at and budget.begun_at[-1] > now):
        return budget
    return replace(
        budget,
        begun_at=tuple(min(at, now) for at in budget.begun_at),
        rests_until=min(budget.rests_until, far),
        halved_at=min(budget.halved_at, now),
    )
