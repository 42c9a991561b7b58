"""The plan that README.md shows, as a terminal of 80 columns shows it. `python -m tests.docs.screens` renews it there."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from tests.docs import pages, trying

README = pages.ROOT / "README.md"
COMMAND = "failover plan specs/pgwintestbios.yaml"
SHOWN = re.compile(rf"(^\$ {re.escape(COMMAND)}\n).*?(^```$)", re.MULTILINE | re.DOTALL)


def plan() -> str:
    """What the command prints for the example world."""
    with tempfile.TemporaryDirectory() as folder, trying.trial(Path(folder)) as url:
        trying.failover("init", "--endpoint", url)
        return trying.failover(*pages.words(COMMAND)[1:]).text


def renewed(readme: str, screen: str) -> str:
    """The README with this screen in its place. Raises LookupError where there is no place for it."""
    done, count = SHOWN.subn(lambda found: f"{found[1]}{screen.rstrip()}\n{found[2]}", readme)
    if count != 1:
        raise LookupError(f"README.md needs one block that begins with `$ {COMMAND}`")
    return done


if __name__ == "__main__":
    README.write_text(renewed(pages.text(README), plan()), encoding="utf-8")
    sys.stdout.write("README.md shows the plan as it is now\n")
