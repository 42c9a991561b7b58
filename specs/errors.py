"""What is wrong with a text, where, and what to do: collected while a text is read, rendered by whoever shows it.

`tree`, `fields` and `documents` add to the `Findings` of one text; `load` hands out the `SpecError`s of all of them.
Colour is left to the command line. Whatever looks like a credential is starred out before it leaves this module.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from specs import values

WIDEST = 120
_AROUND = 1024
_LONGEST_WORD = 64
_SECRETS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"""(?<=//)[^\s/@"']{1,256}(?=@)""",
        r"""(?<=[?&;#])[\w.-]{0,32}(?:token|key|secret|pass|pwd|auth|sig)[\w.-]{0,32}=[^\s&"']{1,512}""",
        r"""(?<=hooks\.slack\.com/)[^\s"']{1,512}""",
        r"""(?<=webhook\.office\.com/)[^\s"']{1,512}""",
        r"""(?<=/api/webhooks/)[^\s"']{1,512}""",
        r"""(?<=api\.telegram\.org/bot)[^\s"']{1,512}""",
    )
)
BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a text: line and column count from 1, `width` is how many characters are meant."""

    line: int
    column: int
    width: int = 1


@dataclass(frozen=True, slots=True)
class SpecError:
    """One fault. Line 0 means the file as a whole; then there is no excerpt.

    `excerpt` holds pairs of line number and text, the offending line last; `caret` is the offset in that text, and how
    many characters from there on are meant.
    """

    file: str
    line: int
    column: int
    message: str
    hint: str | None = None
    excerpt: tuple[tuple[int, str], ...] = ()
    caret: tuple[int, int] = (0, 0)

    @property
    def place(self) -> str:
        """`file:line:column`, or the file alone."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Fault(Exception):
    """One value cannot be used. Raised where it is read, caught where the fields of a VM are gathered."""

    def __init__(self, mark: Mark, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.mark, self.message, self.hint = mark, message, hint


class Told(Exception):
    """A value cannot be used, and why has been added to the findings already."""


class Enough(Exception):
    """Reading this text ends here: it is past a limit, and the findings say which."""


@dataclass(slots=True)
class Findings:
    """The faults of one text, in the order they are found; more than `limit` end the reading with `Enough`."""

    file: str
    text: str
    limit: int
    errors: list[SpecError] = field(default_factory=list)
    _lines: list[str] = field(default_factory=list)

    def add(self, mark: Mark, message: str, hint: str | None = None, head: Mark | None = None) -> None:
        """Record a fault; `head` is the place that names what it belongs to, shown above when it is another line."""
        excerpt, caret = self._excerpt(mark, head)
        found = SpecError(self.file, mark.line, mark.column, message, hint, excerpt, caret)
        if found in self.errors:
            return
        if len(self.errors) == self.limit:
            self.errors.append(SpecError(self.file, 0, 0, f"more than {self.limit} errors; the rest is not shown"))
        if len(self.errors) > self.limit:
            raise Enough
        self.errors.append(found)

    def add_fault(self, fault: Fault, head: Mark | None = None) -> None:
        """Record a fault that was raised."""
        self.add(fault.mark, fault.message, fault.hint, head)

    def ordered(self) -> list[SpecError]:
        """The faults as they stand in the text, those of the whole file last."""
        return sorted(self.errors, key=lambda e: (e.line == 0, e.line, e.column))

    def _excerpt(self, mark: Mark, head: Mark | None) -> tuple[tuple[tuple[int, str], ...], tuple[int, int]]:
        line = self._line(mark.line)
        start = max(0, mark.column - 1 - WIDEST // 2) if len(line) > WIDEST else 0
        offset = mark.column - 1 - start
        text = _readable(line, start)
        caret = (offset, max(1, min(mark.width, len(text) - offset)))
        above = ((head.line, _readable(self._line(head.line), 0)),) if head and head.line < mark.line else ()
        return (*above, (mark.line, text)), caret

    def _line(self, number: int) -> str:
        if not self._lines:
            self._lines = BREAK.split(self.text)
        return self._lines[number - 1] if number <= len(self._lines) else ""


def render(error: SpecError) -> str:
    """The fault as text: place and message, the lines it is about, a caret, and the hint."""
    lines = [f"{error.place}  {error.message}"]
    if not error.excerpt:
        return "\n".join([*lines, *([f"      {error.hint}"] if error.hint else [])])
    digits = max(5, len(str(error.line)))
    lines += [f"{number:>{digits}} | {text}".rstrip() for number, text in error.excerpt]
    offset, width = error.caret
    text = error.excerpt[-1][1]
    carets = " " * _cells(text[:offset]) + "^" * _cells(text[offset : offset + width] or "^")
    lines.append(f"{'':>{digits}} | {carets} {error.hint or ''}".rstrip())
    return "\n".join(lines)


def quoted(text: str) -> str:
    """A value as messages show it: in quotes, one line, short, without credentials."""
    short = text if len(text) <= _LONGEST_WORD else f"{text[: _LONGEST_WORD - 3]}..."
    return f'"{_plain(starred(short))}"'


def starred(text: str) -> str:
    """The text with everything that looks like a credential in a URL replaced by stars, of the same length."""
    for pattern in _SECRETS:
        text = pattern.sub(lambda found: "*" * len(found[0]), text)
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, if any is near enough."""
    choices, lowered = list(known), word.lower()
    if not 0 < len(word) <= _LONGEST_WORD:
        return None
    begun = [c for c in choices if len(word) > 2 and (c.lower().startswith(lowered) or lowered.startswith(c.lower()))]
    folded = {c.lower(): c for c in choices}
    return begun[0] if begun else next((folded[c] for c in difflib.get_close_matches(lowered, folded, 1)), None)


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """A hint with the known word that was probably meant, else the given one."""
    found = nearest(word, known)
    return f'did you mean "{found}"?' if found else otherwise


def _readable(line: str, start: int) -> str:
    """Part of a line, harmless on a terminal. Stars are set in a wider part, so that no cut hides a credential."""
    wide = max(0, start - _AROUND)
    text = starred(line[wide : start + WIDEST + _AROUND])
    return _plain(text[start - wide : start - wide + WIDEST])


def _plain(text: str) -> str:
    return "".join(" " if c == "\t" else "·" if values.is_control(c) else c for c in text)


def _cells(text: str) -> int:
    return sum(_cell(c) for c in text)


def _cell(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
