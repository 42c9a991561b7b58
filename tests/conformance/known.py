"""The table of known differences (`known.toml`): what a simulated cloud cannot or should not do, each with its reason.

`judge` sorts what a replay found into equal, known and different. `test_known_table.py` keeps the table from growing and
throws out rows that explain nothing any more.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

from tests.conformance.comparing import Difference

TABLE = Path(__file__).parent / "known.toml"


class Result(StrEnum):
    EQUAL = "equal"
    KNOWN = "known"
    DIFFERENT = "different"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Row:
    """One known difference. `file`, `step` and `field` are patterns with `*`; square brackets mean themselves."""

    file: str
    step: str
    field: str
    reason: str

    def explains(self, file: str, step: str, difference: Difference) -> bool:
        places = ((file, self.file), (step, self.step), (difference.field, self.field))
        return all(fnmatchcase(place, pattern.replace("[", "[[]")) for place, pattern in places)


@dataclass(frozen=True, slots=True)
class Judgement:
    """`unexplained` are the differences that no row explains; `used` the rows that explained one."""

    result: Result
    unexplained: tuple[Difference, ...] = ()
    used: frozenset[Row] = frozenset()


def load(path: Path = TABLE) -> tuple[Row, ...]:
    return tuple(Row(**row) for row in tomllib.loads(path.read_text()).get("known", []))


def most(path: Path = TABLE) -> int:
    """How many rows the table may have; this number only goes down."""
    return int(tomllib.loads(path.read_text())["most"])


def judge(file: str, step: str, found: Iterable[Difference], table: Iterable[Row]) -> Judgement:
    """What the differences of one exchange or step come to."""
    differences, rows = tuple(found), tuple(table)
    used = frozenset(row for row in rows if any(row.explains(file, step, difference) for difference in differences))
    unexplained = tuple(d for d in differences if not any(row.explains(file, step, d) for row in used))
    result = Result.DIFFERENT if unexplained else Result.KNOWN if differences else Result.EQUAL
    return Judgement(result, unexplained, used)
