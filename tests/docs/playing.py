"""Pages played from top to bottom: every command is done, every file is written, and what is shown is what is printed.

- A `console` block holds commands (`$ ...`), each with what it prints. A line `…` stands for any lines. A command that is
  shown with `^C` is interrupted when it falls silent. `exit=N` after `console` is the exit code of the block's last command
  (without it: 0, or 2 of a `plan`).
- An `sql` block is executed on the trial's database.
- Any other block with a path after its language (`yaml specs/db.yaml`) is a file that is written.
- `meanwhile=NAME` after any of these: what `MEANWHILE` says of that name happens first.
- In README.md only commands that are shown with output are played.

What differs from reader to reader is blanked before the two are compared: moments, the spans next to "ago", "left" and
"took", uuids (whole, or their first eight digits), MAC addresses, digests, the number at the end of a run's id, and how many
blanks stand in a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.docs import pages
from tests.docs.pages import Block
from tests.docs.trying import Said, Trial

ELLIPSIS = "…"
README = pages.ROOT / "README.md"
_BLANKED = tuple(
    (re.compile(pattern), blank)
    for pattern, blank in (
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
        (r"(<id>)-\d{10}\b", r"\1-<moment>"),
        (r"sha256:[0-9a-f]+", "sha256:<digest>"),
        (r"\b(?=[a-f]*\d)[0-9a-f]{8}\b", "<id>"),
        (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<mac>"),
        (r"(\d{4}-\d\d-\d\d[T ])?(?<!\d)\d\d:\d\d(:\d\d)?(Z|\+00:00)?", "<moment>"),
        (r"(\d+[dhms] ?)+(?=ago|left)|just now", "<span> "),
        (r"(?<=took )[ \d]+[dhms]( \d+[dhms])*|(?<=  )\d+[dhms]( \d+[dhms])*(?=  test-failover)", "<span>"),
        (r" +", " "),
    )
)


@dataclass(frozen=True)
class Exchange:
    """One command of a page, what the page shows beneath it, and what it printed."""

    block: Block
    place: int
    command: str
    shown: tuple[str, ...]
    said: Said
    code: int | None

    @property
    def told(self) -> bool:
        """Whether the page shows what was printed."""
        return agrees(self.shown, self.said.lines)

    @property
    def expected(self) -> tuple[int, ...]:
        """The exit codes that the page allows."""
        if self.code is not None:
            return (self.code,)
        return (0, 2) if self.command.startswith("failover plan") else (0,)

    @property
    def renewed(self) -> list[str]:
        """What the page should show: all that was printed, but for what it leaves out."""
        if ELLIPSIS not in self.shown:
            return self.said.lines
        head = self.shown.index(ELLIPSIS)
        tail = len(self.shown) - head - 1
        return [*self.said.lines[:head], ELLIPSIS, *(self.said.lines[-tail:] if tail else [])]


def blanked(line: str) -> str:
    """A line without what differs from reader to reader."""
    for pattern, blank in _BLANKED:
        line = pattern.sub(blank, line)
    return line.strip()


def agrees(shown: tuple[str, ...], said: list[str]) -> bool:
    """Whether what a page shows is what was printed, `…` standing for any lines."""
    wanted, found = [blanked(line) for line in shown], [blanked(line) for line in said]
    if ELLIPSIS not in wanted:
        return wanted == found
    head = wanted.index(ELLIPSIS)
    tail = len(wanted) - head - 1
    enough = len(found) > head + tail
    return enough and wanted[:head] == found[:head] and (tail == 0 or wanted[-tail:] == found[-tail:])


def play(page: Path, trial: Trial) -> Iterator[Exchange]:
    """Do what a page says, command by command. What came before the page (`BEFORE`) is done first, and must succeed."""
    BEFORE.get(pages.name(page), _nothing)(trial)
    for block in pages.blocks(page):
        language, named = block.info[0] if block.info else "", [w for w in block.info[1:] if "=" not in w]
        for name in _values(block, "meanwhile"):
            MEANWHILE[name](trial)
        if language == "console":
            yield from _typed(block, trial)
        elif language == "sql":
            trial.execute(block.text)
        elif named:
            trial.write(Path(named[0]), block.text)


def _typed(block: Block, trial: Trial) -> Iterator[Exchange]:
    typed = [(n, *e) for n, e in enumerate(block.exchanges) if e[1] or block.page != README]
    code = next(map(int, _values(block, "exit")), None)
    for place, command, lines in typed:
        shown = tuple(_trimmed(lines))
        said = trial.say(command, impatient=any("^C" in line for line in shown))
        yield Exchange(block, place, command, shown, said, code if place == typed[-1][0] else None)


def _values(block: Block, key: str) -> list[str]:
    return [word.removeprefix(f"{key}=") for word in block.info[1:] if word.startswith(f"{key}=")]


def _trimmed(lines: list[str]) -> list[str]:
    return "\n".join(line.rstrip() for line in lines).strip("\n").splitlines()


def renewed(page: Path, exchanges: list[Exchange]) -> str:
    """The page with what its commands print now."""
    text = pages.text(page)
    for block in {e.block.line: e.block for e in exchanges}.values():
        now = {e.place: e for e in exchanges if e.block == block}
        screens = [(command, _now(now.get(n), lines)) for n, (command, lines) in enumerate(block.exchanges)]
        typed = "".join(f"{line}\n" for command, lines in screens for line in (f"$ {command}", *lines))
        fence = f"```{' '.join(block.info)}\n"
        text = text.replace(f"{fence}{block.text}```", f"{fence}{typed}```", 1)
    return text


def _now(exchange: Exchange | None, lines: list[str]) -> list[str]:
    """What stands beneath a command; one blank line goes before the next command where one did."""
    if exchange is None:
        return lines
    return [*exchange.renewed, ""] if lines and not lines[-1] else exchange.renewed


# --- what came before a page -------------------------------------------------------------------------------------------


def _nothing(_trial: Trial) -> None:
    """The page begins in an empty folder."""


def _do(trial: Trial, *commands: str) -> None:
    for command in commands:
        done = trial.say(command)
        if done.code not in (0, 2):
            raise RuntimeError(f"before the page: {command} ended with {done.code}:\n{done.text}")


def _furnished(trial: Trial) -> None:
    trial.serve("--durations", "1")
    _do(trial, "failover init")


def _testing(trial: Trial) -> None:
    _furnished(trial)
    _do(trial, "failover apply specs/pgwintestbios.yaml --yes")


def _stuck(trial: Trial) -> None:
    """A test is over, and the storage does not answer the four tries to revert its replica."""
    _testing(trial)
    words = "Failed to revert snapshot, the storage does not answer"
    trial.cloud.faults.add("job-fails", "revertSnapshot", times=4, text=words)
    trial.say("failover end PGWINTESTBIOS")


def _untold(trial: Trial) -> None:
    """The cloud cancels the job of a detach, and is killed while it still works on it."""
    _furnished(trial)
    for kind, seconds in (("job-code-0", 0), ("slow", 8 * 3600)):
        trial.cloud.faults.add(kind, "detachVolume", nth=2, seconds=seconds)
    trial.say("failover apply specs/pgwintestbios.yaml --yes")
    trial.cloud.restart()


def _slow(trial: Trial) -> None:
    """The storage takes twenty minutes for a snapshot."""
    _furnished(trial)
    trial.cloud.faults.add("slow", "createSnapshot", seconds=1200)


def _replicated(trial: Trial) -> None:
    """A replication system keeps its tables on MariaDB, and the cloud is there."""
    trial.serve("--durations", "1")
    trial.replicate("migratekit_oma")
    Path("ca.pem").write_bytes(Path(requests.certs.where()).read_bytes())


BEFORE: Mapping[str, Callable[[Trial], None]] = {
    "README.md": _furnished,
    "docs/howto/end-a-test.md": _testing,
    "docs/howto/mariadb.md": _replicated,
    "docs/howto/networks.md": _furnished,
    "docs/howto/safe-point.md": _slow,
    "docs/howto/settings.md": _furnished,
    "docs/howto/stuck-run.md": _stuck,
    "docs/howto/stuck-step.md": _untold,
}


# --- what happens in the middle of one ---------------------------------------------------------------------------------


def _snapshot_deleted(trial: Trial) -> None:
    """A test runs, and somebody deletes its rollback point by hand."""
    _do(trial, "failover apply specs/ --again --yes")
    for name, snapshot in trial.cloud.truth()["snapshots"].items():
        if snapshot["state"] != "Destroyed":
            trial.cloud.faults.add(
                "human", "stopVirtualMachine", do={"command": "deleteSnapshot", "id": name}, by="failover"
            )
    trial.say("failover end PGWINTESTBIOS")


MEANWHILE: Mapping[str, Callable[[Trial], None]] = {"snapshot-deleted": _snapshot_deleted}
