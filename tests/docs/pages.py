"""Reading the documentation: pages, their code blocks, the commands in them, their tables and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "changes").glob("*.md")])
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ +(?P<title>.+?) *$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, first line, the words after the fence, and its text."""

    page: Path
    line: int
    info: tuple[str, ...]
    text: str

    @property
    def where(self) -> str:
        return f"{name(self.page)}:{self.line}"

    @property
    def exchanges(self) -> Iterator[tuple[str, list[str]]]:
        """Every command of a console block (`$ ...`) with the output lines shown beneath it."""
        command, shown = None, list[str]()
        for line in self.text.splitlines():
            if line.startswith("$ "):
                if command is not None:
                    yield command, shown
                command, shown = line[2:], []
            else:
                shown.append(line)
        if command is not None:
            yield command, shown


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str = "") -> list[Block]:
    """The blocks of a page in this language, or all of them."""
    whole = text(page)
    found = [
        Block(page, whole.count("\n", 0, m.start()) + 1, tuple(m["info"].split()), m["text"]) for m in FENCE.finditer(whole)
    ]
    return [b for b in found if not language or b.info[:1] == (language,)]


def prose(page: Path) -> str:
    """A page without its blocks."""
    return FENCE.sub("", text(page))


def words(command: str) -> list[str]:
    """A command line as words, without its comment."""
    return shlex.split(command, comments=True)


def sections(page: Path, level: int = 2) -> dict[str, str]:
    """The text beneath each heading of a level, by title."""
    parts = re.split(rf"^{'#' * level} +(.+?) *$", prose(page), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(section: str) -> list[list[str]]:
    """The cells of every table row in a section, without head and rule."""
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    cells = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [c for n, c in enumerate(cells) if not set(c[0]) <= {"-", " ", ":"} and not _is_head(cells, n)]


def _is_head(cells: list[list[str]], n: int) -> bool:
    return n + 1 < len(cells) and set(cells[n + 1][0]) <= {"-", ":"} and cells[n + 1][0] != ""


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make."""
    titles = [m["title"] for m in HEADING.finditer(prose(page))]
    return {re.sub(r"[^\w\- ]", "", t.lower()).strip().replace(" ", "-") for t in titles}
