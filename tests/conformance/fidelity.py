"""Prints how faithful the simulated cloud is: recordings, walks and foreign clients, rules and corrections with their tests.

    python -m tests.conformance.fidelity [--no-rules]

`make fidelity` calls it. Exit code 1 when a recording differs in what `known.toml` does not explain, or when a rule
of the contract or a correction of it has no test, or one that fails.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.clients import counting as clients
from tests.conformance import records, replay, rules
from tests.conformance.known import Result
from tests.conformance.replay import Line
from tests.conformance.rules import Rule

COLUMNS = ("file", "replayed", "equal", "known", "different", "skipped")


@dataclass(frozen=True, slots=True)
class Count:
    """One file's row of the table."""

    file: str
    equal: int
    known: int
    different: int
    skipped: int

    @property
    def replayed(self) -> int:
        return self.equal + self.known + self.different


def count(lines: Sequence[Line]) -> Count:
    results = replay.tally(lines)
    kinds = (results[Result.EQUAL], results[Result.KNOWN], results[Result.DIFFERENT], results[Result.SKIPPED])
    return Count(lines[0].file if lines else "", *kinds)


def total(counts: Iterable[Count]) -> Count:
    rows = list(counts)
    sums = (sum(getattr(row, kind) for row in rows) for kind in ("equal", "known", "different", "skipped"))
    return Count("total", *sums)


def counted(name: str) -> Count:
    return count(replay.on_simulator(name))


def table(counts: Sequence[Count]) -> Iterator[str]:
    """The files and their total, as text."""
    width = max(len(row.file) for row in counts)
    head, *numbers = COLUMNS
    yield f"{head:<{width}}  " + "  ".join(f"{name:>9}" for name in numbers)
    for row in counts:
        yield f"{row.file:<{width}}  " + "  ".join(f"{getattr(row, name):>9}" for name in numbers)


def ruled(what: str, found: Sequence[Rule]) -> Iterator[str]:
    """Every rule with its tests and how they ended, then how many are kept."""
    for rule in found:
        first = rule.tests[0].rpartition("/")[2] if rule.tests else "-"
        more = f" and {len(rule.tests) - 1} more" if len(rule.tests) > 1 else ""
        yield f"{rule.id}  {rule.outcome:<7}  {rule.text}  {first}{more}"
    yield f"{what} with passing tests: {sum(rule.outcome == 'passed' for rule in found)}/{len(found)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints both tables and returns the exit code."""
    names = records.scenarios() + records.walks()
    with ProcessPoolExecutor() as pool:
        foreign = pool.submit(clients.rows)
        counts = [*pool.map(counted, names), *(Count(*row) for row in foreign.result())]
    whole = total(counts)
    print(*table([*counts, whole]), sep="\n")  # noqa: T201  a command for people
    if "--no-rules" in (sys.argv[1:] if argv is None else argv):
        return int(whole.different > 0)
    ended = rules.outcomes()
    kept, corrected = rules.joined(ended), rules.corrected(ended)
    print("", *ruled("rules", kept), "", *ruled("corrections", corrected), sep="\n")  # noqa: T201
    return int(whole.different > 0 or any(rule.outcome != "passed" for rule in (*kept, *corrected)))


if __name__ == "__main__":
    sys.exit(main())
