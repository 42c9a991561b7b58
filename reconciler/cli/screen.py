"""What all commands share: where the settings are, how lines get their colour, how faults become sentences and exit codes.

Commands hand over finished lines (`plans.render`) or plain data; nothing here knows what they mean.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datetime import datetime

    from plans.render import Line
    from reconciler.clock import Clock
    from reconciler.wiring import Connected

DONE, ERROR, PENDING, REFUSED = 0, 1, 2, 3

_STYLES: dict[str, dict[str, Any]] = {
    "plain": {},
    "strong": {"bold": True},
    "verified": {"fg": "green"},
    "running": {"fg": "blue"},
    "waits": {"fg": "yellow"},
    "broken": {"fg": "red"},
    "history": {"dim": True},
}


class Complaint(Exception):
    """A fault with everything a person needs in its text; ends a command with `code`."""

    def __init__(self, text: str, code: int = ERROR) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Screen:
    """Where output goes and whether it is coloured; also which settings file the caller named."""

    settings_path: Path | None
    color: bool

    @classmethod
    def of(cls, settings: str | None, color: bool | None) -> Screen:
        """From the global options and the environment."""
        if color is None:
            color = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(Path(settings) if settings else None, color)

    def lines(self, lines: Iterable[Line]) -> None:
        """Print lines of spans."""
        for spans in lines:
            text = "".join(self._styled(s.text, s.meaning) for s in spans)
            click.echo(text.rstrip(), color=self.color)

    def _styled(self, text: str, meaning: str) -> str:
        return click.style(text, **_STYLES[meaning]) if self.color and _STYLES[meaning] else text

    def text(self, text: str = "", meaning: str = "plain") -> None:
        """Print one line."""
        click.echo(self._styled(text, meaning), color=self.color)

    def connect(self, clock: Clock | None = None) -> Connected:
        """Everything connected as the settings say."""
        from reconciler import wiring

        gc.freeze()
        gc.enable()
        return wiring.connect(self.settings_path, clock)


def width() -> int:
    """The columns of the terminal, or a comfortable width in a pipe."""
    return shutil.get_terminal_size((110, 40)).columns


def counted(count: int, noun: str) -> str:
    """A count for people: `1 file`, `2 files`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def as_json(data: object) -> None:
    """Print data as JSON: sorted as given, UTF-8, two blanks deep."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def told(fault: Exception) -> int:
    """Print a fault as a sentence; faults that are not ours keep their type, and a trace only when asked for."""
    if isinstance(fault, Complaint):
        click.echo(str(fault), err=True)
        return fault.code
    if type(fault).__module__.partition(".")[0] in ("reconciler", "plans", "specs"):
        click.echo(f"error: {fault}", err=True)
        return ERROR
    if os.environ.get("FAILOVER_TRACE"):
        raise fault
    click.echo(
        f"error: {type(fault).__name__} in failover itself; FAILOVER_TRACE=1 shows where. Nothing more was done.", err=True
    )
    return ERROR


def ago(moment: datetime | None, now: datetime) -> str:
    """A past moment for people, as `4m 10s ago`."""
    from specs.values import format_duration

    if moment is None:
        return "never"
    seconds = max(0, int((now - moment).total_seconds()))
    return "just now" if seconds == 0 else f"{format_duration(_seconds(seconds))} ago"


def left(moment: datetime | None, now: datetime) -> str:
    """A coming moment for people, as `21m left`."""
    from specs.values import format_duration

    if moment is None:
        return ""
    seconds = int((moment - now).total_seconds())
    return f"{format_duration(_seconds(seconds))} left" if seconds > 0 else "time is up"


def _seconds(count: int) -> Any:
    from datetime import timedelta

    return timedelta(seconds=count)
