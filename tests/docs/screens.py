"""The screens in README.md, the tutorial and the howtos. `python -m tests.docs.screens` renews all of them.

A page of `NEEDS_MARIADB` is left as it is where MariaDB is not installed.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

from tests import mariadb
from tests.docs import pages, playing, trying
from tests.docs.playing import Exchange

DOCS = pages.ROOT / "docs"
PAGES = (playing.README, DOCS / "tutorial.md", *sorted((DOCS / "howto").glob("*.md")))
NEEDS_MARIADB = (DOCS / "howto" / "mariadb.md",)


def played(page: Path, server: mariadb.Server | None = None) -> list[Exchange]:
    """Every command of a page with what it printed, done in a fresh folder."""
    with tempfile.TemporaryDirectory(prefix="failover-page-") as folder, trying.trial(Path(folder), server) as trial:
        return list(playing.play(page, trial))


def renew(page: Path) -> str:
    """Write what is printed now into a page; says what was done."""
    with contextlib.ExitStack() as stack:
        server = None
        if page in NEEDS_MARIADB:
            if not all(map(mariadb.program, mariadb.PROGRAMS)):
                return f"{pages.name(page)} is left as it is. {mariadb.MISSING}"
            server = stack.enter_context(mariadb.serving())
        page.write_text(playing.renewed(page, played(page, server)), encoding="utf-8")
    return f"{pages.name(page)} shows what is printed now"


if __name__ == "__main__":
    for one in PAGES:
        sys.stdout.write(f"{renew(one)}\n")
