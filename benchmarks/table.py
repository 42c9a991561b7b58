"""The table of `make bench`: a row is what was measured, the figure, its bound, and whether the bound holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

HEAD = ("what", "measured", "wanted", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure and its bound, both in `unit` and shown with so many `digits`. `least` says that more is better."""

    what: str
    figure: float
    bound: float
    unit: str = ""
    digits: int = 0
    least: bool = False

    @property
    def kept(self) -> bool:
        """Whether the figure keeps its bound."""
        return self.figure >= self.bound if self.least else self.figure <= self.bound

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The row as text, in the order of `HEAD`."""
        bound = f"{'>=' if self.least else '<='} {self.bound:,g} {self.unit}".rstrip()
        measured = f"{self.figure:,.{self.digits}f} {self.unit}".rstrip()
        return self.what, measured, bound, "ok" if self.kept else "missed"


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """The whole table as text."""
    cells = [HEAD, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for what, measured, wanted, verdict in cells:
        yield f"{what:<{widths[0]}}  {measured:>{widths[1]}}  {wanted:>{widths[2]}}  {verdict}".rstrip()
