"""The verdict on the tests of `plans`: a tally a module, a table for the screen, a report with everything that survived.

`equivalent.toml` lists mutants that change nothing that anybody could notice, each with its reason; they are left out of the
score. An entry that fits no mutant any more is an error, so the list cannot outlive what it excuses.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutation.hunt import Fate, HuntFailed
from tests.mutation.mutants import Mutant

EQUIVALENT = Path("tests/mutation/equivalent.toml")
ALIVE = (Fate.SURVIVED, Fate.UNSEEN)


@dataclass
class Tally:
    """What became of the mutants of one module; `same` are those that change nothing."""

    module: str
    same: list[Mutant]
    fates: list[tuple[Mutant, Fate]] = field(default_factory=list)

    @property
    def counts(self) -> Counter[Fate]:
        return Counter(fate for _, fate in self.fates)

    @property
    def score(self) -> float:
        """Per cent of the mutants that were noticed; a module without mutants has none to notice."""
        alive = sum(self.counts[fate] for fate in ALIVE)
        return 100.0 * (len(self.fates) - alive) / len(self.fates) if self.fates else 100.0

    def is_enough(self, bound: float) -> bool:
        return self.score >= bound


def equivalents(mutants: Sequence[Mutant], modules: Sequence[str], path: Path) -> frozenset[Mutant]:
    """The mutants of these modules that the list excuses. Raises `HuntFailed` for an entry without mutant or reason."""
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("equivalent", []) if path.exists() else []
    found: set[Mutant] = set()
    for row in rows:
        if row["module"] not in modules:
            continue
        fits = [m for m in mutants if (m.module, m.was, m.becomes) == (row["module"], row["was"], row["becomes"])]
        if not fits or not row["why"].strip():
            raise HuntFailed(
                f"{path.name}: {row['module']}: {row['was']} → {row['becomes']}: fits no mutant, or has no reason"
            )
        found.update(fits)
    return frozenset(found)


def table(tallies: Sequence[Tally], bound: float) -> str:
    """A line a module: score, and what became of how many."""
    rows = [
        f"{'module':<12} {'score':>7}  {'mutants':>7}  {'killed':>6}  {'timeout':>7}  {'alive':>5}  {'unseen':>6}  excused"
    ]
    rows += [_row(t, t.is_enough(bound), bound) for t in tallies]
    whole = Tally("all", [m for t in tallies for m in t.same], [f for t in tallies for f in t.fates])
    return "\n".join((*rows, _row(whole, True, bound)))


def _row(tally: Tally, enough: bool, bound: float) -> str:
    counts = tally.counts
    fates = f"{counts[Fate.KILLED]:>6}  {counts[Fate.TIMEOUT]:>7}  {counts[Fate.SURVIVED]:>5}  {counts[Fate.UNSEEN]:>6}"
    missed = "" if enough else f"  below {bound:g} %"
    return f"{tally.module:<12} {tally.score:>5.1f} %  {len(tally.fates):>7}  {fates}  {len(tally.same):>7}{missed}"


def text(tallies: Sequence[Tally], bound: float) -> str:
    """The whole report."""
    return "\n".join((table(tallies, bound), "", *(row for t in tallies for row in _survivors(t)))) + "\n"


def _survivors(tally: Tally) -> Iterator[str]:
    for mutant, fate in sorted(tally.fates, key=lambda met: (met[0].start, met[0].end, met[0].new)):
        if fate in ALIVE:
            yield f"plans/{mutant.module}.py:{mutant.lines[0]}: {fate}"
            yield f"  - {mutant.was}"
            yield f"  + {mutant.becomes}"
