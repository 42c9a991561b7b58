"""The table of `make bench`: what was measured, the figure, its bound, whether that holds, and under what circumstances.

Every row stands in `BOUNDS`; docs/reference/benchmarks.md explains them one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

HEAD = ("what", "measured", "wanted", "", "")


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound in `unit`; figures are shown with so many `digits`. `least` says that more is better."""

    limit: float
    unit: str = ""
    digits: int = 0
    least: bool = False

    def __str__(self) -> str:
        return f"{'>=' if self.least else '<='} {self.limit:,g} {self.unit}".rstrip()


BOUNDS: Mapping[str, Bound] = {
    "makespan there / bound": Bound(1.15, digits=3),
    "makespan back / bound": Bound(1.15, digits=3),
    "API calls per mutating action": Bound(1.6, digits=2),
    "controller CPU per mutating action": Bound(5, "ms", 1),
    "of three disks: makespan there / bound": Bound(1.08, digits=3),
    "of three disks: makespan back / bound": Bound(1.08, digits=3),
    "of three disks: API calls per mutating action": Bound(1.3, digits=2),
    "of three disks: controller CPU per mutating action": Bound(3, "ms", 1),
    "Ansible's makespan over its bound / ours": Bound(6, digits=1, least=True),
    "Ansible's API calls per mutating action / ours": Bound(4, digits=1, least=True),
    "Ansible's CPU per mutating action / ours": Bound(50, least=True),
    "restart with 1,000 actions in flight": Bound(5, "s", 1),
    "calls made twice after a restart": Bound(0),
    "failover --help": Bound(150, "ms"),
    "failover plan, 2 VMs": Bound(500, "ms"),
    "failover plan / loading its libraries": Bound(2, digits=2),
    "inventory, one look": Bound(1, "s", 2),
    "inventory, the first look of a process": Bound(3, "s", 2),
    "inventory, memory of the process": Bound(220, "MiB"),
    "inventory / bare cursor": Bound(1.6, digits=2),
    "readiness of all": Bound(2, "s", 2),
    "the slower database / the other, one look": Bound(1.5, digits=2),
    "reads of a look, growth with VMs": Bound(0),
    "reads of a look beyond its pages, worst type": Bound(2),
    "reads of a look beyond its pages, growth with VMs": Bound(0),
    "calls per job in flight": Bound(1.25, digits=2),
    "signed calls per CPU second / bare calls": Bound(0.6, digits=2, least=True),
    "simulated cloud, loading": Bound(5, "s", 1),
    "simulated cloud, a page of 500": Bound(250, "ms"),
    "simulated cloud, turned clock / real time": Bound(1000, least=True),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of `BOUNDS`, in the unit of its bound, and under what circumstances it was measured."""

    what: str
    figure: float
    note: str = ""

    @property
    def bound(self) -> Bound:
        """What is wanted. Raises KeyError for a row that has no bound."""
        return BOUNDS[self.what]

    @property
    def kept(self) -> bool:
        """Whether the figure keeps its bound."""
        return self.figure >= self.bound.limit if self.bound.least else self.figure <= self.bound.limit

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `HEAD`."""
        measured = f"{self.figure:,.{self.bound.digits}f} {self.bound.unit}".rstrip()
        return self.what, measured, str(self.bound), "ok" if self.kept else "missed", self.note


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """The whole table as text."""
    cells = [HEAD, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for what, measured, wanted, verdict, note in cells:
        yield f"{what:<{widths[0]}}  {measured:>{widths[1]}}  {wanted:>{widths[2]}}  {verdict:<{widths[3]}}  {note}".rstrip()
