"""What all commands share: where the settings are, how lines get their colour, how faults become sentences and exit codes.

Commands hand over finished lines (`plans.render`) or plain data; nothing here knows what they mean.
"""

from __future__ import annotations

import gc
import io
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from datetime import datetime

    from plans.render import Line
    from reconciler.clock import Clock
    from reconciler.wiring import Connected

DONE, ERROR, PENDING, REFUSED = 0, 1, 2, 3
TITLE = 9
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")

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


@dataclass(slots=True)
class Output:
    """What is known of standard output while a command runs: whether it is to be JSON, and whether that was printed."""

    json: bool = False
    printed: bool = False

    @classmethod
    def opened(cls) -> Output:
        """Standard output, made to survive a character that its encoding lacks."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
                stream.reconfigure(errors="replace")
        return cls()

    def told(self, fault: Exception) -> int:
        """Print a fault as a sentence, and as JSON where that is wanted; the exit code."""
        text, code = sentence(fault)
        click.echo(harmless(text), err=True)
        return self.failed(text, code)

    def failed(self, text: str, code: int) -> int:
        """Print why a command failed as JSON, where that is wanted and nothing was printed yet; the exit code."""
        if self.json and not self.printed:
            click.echo(json.dumps({"error": text, "exit_code": code}, indent=2, ensure_ascii=False))
        return code

    def closed(self) -> int:
        """Nobody reads any more; nothing else may be written, not even at the very end."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return ERROR


@dataclass(frozen=True, slots=True)
class Screen:
    """Where output goes and whether it is coloured; also which settings file the caller named."""

    settings_path: Path | None
    color: bool
    output: Output = field(default_factory=Output)

    @classmethod
    def of(cls, settings: str | None, color: bool | None, output: Output | None) -> Screen:
        """From the global options and the environment."""
        if color is None:
            color = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(Path(settings) if settings else None, color, output or Output())

    def lines(self, lines: Iterable[Line]) -> None:
        """Print lines of spans."""
        for spans in lines:
            text = "".join(self._styled(s.text, s.meaning) for s in spans)
            click.echo(text.rstrip(), color=self.color)

    @property
    def live(self) -> bool:
        """Whether lines can be rewritten: output goes to a terminal that can move its cursor."""
        return sys.stdout.isatty() and os.environ.get("TERM") not in (None, "", "dumb")

    def _styled(self, text: str, meaning: str) -> str:
        text = harmless(text)
        return click.style(text, **_STYLES[meaning]) if self.color and _STYLES[meaning] else text

    def text(self, text: str = "", meaning: str = "plain") -> None:
        """Print one line."""
        click.echo(self._styled(text, meaning), color=self.color)

    def titled(self, title: str, text: str, meaning: str = "plain", column: int = TITLE) -> None:
        """Print a text beside its title, which has a column of this width, on as many lines as it needs."""
        room = max(20, width() - column - 3)
        rows = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
        for number, row in enumerate(rows):
            self.text(f"  {title if number == 0 else '':<{column}} {row}".rstrip(), meaning)

    def as_json(self, data: object) -> None:
        """Print data as JSON: sorted as given, UTF-8, two blanks deep."""
        self.output.printed = True
        click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))

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


def harmless(text: str) -> str:
    """The text without what would move a terminal's cursor or hide: names come from outside."""
    return _CONTROL.sub("·", text)


def stamp(moment: datetime | None) -> str | None:
    """A moment as RFC 3339 with offset, or None."""
    return moment.isoformat(timespec="seconds") if moment else None


F = TypeVar("F", bound=Callable[..., Any])


def format_option(*more: str) -> Callable[[F], F]:
    """The `--format` option: `text`, `json`, and what else the command has."""

    def wanted(context: click.Context, _parameter: click.Parameter, value: str) -> str:
        context.obj.output.json = value == "json"
        return value

    kinds = click.Choice(["text", "json", *more])
    return click.option("--format", "form", type=kinds, default="text", show_default=True, callback=wanted, is_eager=True)


def sentence(fault: Exception) -> tuple[str, int]:
    """A fault as text with its exit code; faults that are not ours keep their type, and a trace only when asked for."""
    if isinstance(fault, Complaint):
        return str(fault), fault.code
    if type(fault).__module__.partition(".")[0] in ("reconciler", "plans", "specs"):
        return f"error: {fault}", ERROR
    if os.environ.get("FAILOVER_TRACE"):
        raise fault
    name = type(fault).__name__
    return f"error: {name} in failover itself; FAILOVER_TRACE=1 shows where. Nothing more was done.", ERROR


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
