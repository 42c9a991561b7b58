"""Deaths by plan: every named point at every passing, deaths during recovery to the third depth, deaths at random instants.

`python -m tests.crashes` (`make crash`) runs a whole campaign, tests run small parts of it. A `Sortie` says where the lives
of one test end; `campaign` leads sorties in homes of their own, side by side, and a `Tally` knows which points were hit.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from reconciler.crashpoints import Point
from tests.crashes.homes import KILLED, Case, Home, Outcome, a_home

ONCE = (Point.ACCEPTED, Point.RUN_OPENED, Point.BEFORE_FINISH, Point.AFTER_FINISH)
AT_STEPS = tuple(point for point in Point if point not in ONCE)
IN_A_STEP = (Point.AFTER_INTENT, Point.AFTER_SEND, Point.AFTER_RECORD, Point.BEFORE_SETTLE)
MOST_PASSINGS = 60
THOROUGH = (
    Case("volume-snapshot", 1),
    Case("clone", 1),
    Case("clone", 1, in_place=True),
    Case("vm-snapshot", 1),
)
WIDE = (
    Case("volume-snapshot", 2),
    Case("vm-snapshot", 3),
    Case("clone", 4, in_place=True),
    Case("volume-snapshot", 4),
)


@dataclass(frozen=True, slots=True)
class Sortie:
    """Where the lives of one test end: points on the way there, on the way back, or seconds.

    With `frozen_at` a person freezes the run after the deaths on the way there, by commands that end at those points.
    `servers` is where the first life of either way has the server of the database die, and lives on.
    """

    at: tuple[str, ...] = ()
    back_at: tuple[str, ...] = ()
    after: tuple[float, ...] = ()
    back_after: tuple[float, ...] = ()
    frozen_at: tuple[str, ...] | None = None
    by: str = "daemon"
    anew: bool = False
    servers: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def __str__(self) -> str:
        servers = tuple(tuple(f"{where} (server)" for where in way) for way in self.servers)
        there = ", ".join((*servers[0], *self.at, *(f"{s:.6f} s" for s in self.after)))
        back = ", ".join((*servers[1], *self.back_at, *(f"{s:.6f} s" for s in self.back_after)))
        frozen = "" if self.frozen_at is None else f"frozen at {', '.join((*self.frozen_at, 'rest'))}"
        return f"dies {' and '.join(filter(None, (there and f'at {there}', frozen, back and f'on the way back at {back}')))}"

    def led(self, home: Home) -> Outcome:
        """What came of it in this home."""
        instants = {"after": self.after, "back_after": self.back_after}
        more = {"frozen_at": self.frozen_at, "anew": self.anew, "by": self.by, "servers": self.servers}
        return home.there_and_back(self.at, self.back_at, **instants, **more)


@dataclass
class Tally:
    """What a campaign came to: which points were hit how often, how many lives ended early, what went wrong."""

    hit: Counter[str] = field(default_factory=Counter)
    sorties: int = 0
    deaths: int = 0
    random_deaths: int = 0
    servers: int = 0
    wrong: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, case: Case, sortie: Sortie, found: Outcome) -> None:
        """One sortie is over."""
        with self._lock:
            self.sorties += 1
            self.deaths += found.deaths
            self.servers += found.servers
            ways = ((sortie.at, found.there), (sortie.frozen_at or (), found.frozen), (sortie.back_at, found.back))
            struck = (pair for points, codes in ways for pair in zip(points, codes, strict=False))
            self.hit.update(point.partition(":")[0] for point, code in struck if code == KILLED)
            if sortie.after or sortie.back_after:
                self.random_deaths += found.deaths
            self.wrong += [f"{case}: {sortie}: {text}" for text in found.wrong]

    def fell_short(self, text: str) -> None:
        """A home was given up before all its sorties were led; the others go on."""
        with self._lock:
            self.wrong.append(text.partition("\n")[0])

    @property
    def share(self) -> float:
        """Points hit of points named."""
        return sum(point in self.hit for point in Point) / len(Point)

    def told(self) -> str:
        """The tally for people."""
        rows = [f"  {point:<14} {self.hit[point]:>5} deaths" for point in Point]
        head = f"{sum(point in self.hit for point in Point)} points hit / {len(Point)} points named: {self.share:.0%}"
        tail = f"{self.sorties} tests, {self.deaths} deaths, {self.random_deaths} of them at random instants"
        tail += f"; {self.servers} deaths of the server" if self.servers else ""
        wrong = [f"  ! {text}" for text in self.wrong] or [
            "  every test ended as if nobody had died: same calls, empty inventory diff"
        ]
        return "\n".join((head, *rows, tail, *wrong))


# --- sorties ----------------------------------------------------------------------------------------------------------


def every_passing(home: Home, point: Point, back: bool) -> Iterator[tuple[Sortie, Outcome]]:
    """Die at the first passing of a point, then at the second, until a life gets through."""
    for nth in range(1, MOST_PASSINGS):
        where = (f"{point}:{nth}",)
        sortie = Sortie(back_at=where) if back else Sortie(at=where, by=("daemon", "apply")[nth % 2])
        found = sortie.led(home)
        if not found.deaths and not found.wrong:
            return
        yield sortie, found


def in_depth(home: Home, depth: int, luck: Random, number: int) -> Iterator[Sortie]:
    """Deaths at steps that touch volumes, and again during recovery: so many sorties, drawn from all there are."""
    usual = home.usual.words
    split = usual.index("start-guest") + 1
    for _ in range(number):
        back = luck.random() < 0.5
        words = usual[split:] if back else usual[:split]
        touching = [n for n, word in enumerate(words, 1) if word.rpartition("-")[2] in ("replica", "clone", "root")]
        first = f"{luck.choice(IN_A_STEP)}:{luck.choice(touching)}"
        rest = tuple(f"{luck.choice(AT_STEPS)}:{luck.choice((1, 1, 2, 3))}" for _ in range(depth - 1))
        yield Sortie(back_at=(first, *rest)) if back else Sortie(at=(first, *rest))


def frozen(home: Home, luck: Random, number: int) -> Iterator[Sortie]:
    """Lives that end in the midst of a step; then the run is frozen, and whoever freezes it is killed, too, or is not."""
    last = home.usual.words.index("start-guest")
    for _ in range(number):
        ends = luck.choice(((), ("before-settle:1",), ("after-settle:1",), ("before-settle:1", "after-settle:1")))
        yield Sortie((f"{luck.choice(IN_A_STEP)}:{luck.randint(1, last)}",), frozen_at=ends)


def at_random(luck: Random, number: int, longest: float) -> Iterator[Sortie]:
    """Lives that end after a random number of microseconds, two on either way; every fifth is a program started anew."""
    for n in range(number):
        there, back = ((_microseconds(luck, longest), _microseconds(luck, longest)) for _ in range(2))
        yield Sortie(after=there, back_after=back, anew=n % 5 == 4, by=luck.choice(("daemon", "apply")))


def without_server(luck: Random, number: int) -> Iterator[Sortie]:
    """The server of the database dies: at every named point either way, half the time before we die, or at any instant."""
    for back in (False, True):
        for n, point in enumerate(Point):
            where = (f"{point}:{luck.randint(1, 4) if point in AT_STEPS else 1}",)
            ours = (f"{luck.choice(AT_STEPS)}:{luck.randint(2, 6)}",) if n % 2 else ()
            yield Sortie(back_at=ours, servers=((), where)) if back else Sortie(at=ours, servers=(where, ()))
    for _ in range(number):
        there, back = (tuple(f"{_microseconds(luck, 1.5):.6f}" for _ in range(2)) for _ in range(2))
        yield Sortie(servers=(there, back), by=luck.choice(("daemon", "apply")))


def _microseconds(luck: Random, longest: float) -> float:
    return luck.randrange(round(longest * 1e6)) / 1e6


# --- a campaign -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a campaign that one home serves: all passings of these points, or these sorties."""

    case: Case
    points: tuple[tuple[Point, bool], ...] = ()
    depths: tuple[tuple[int, int], ...] = ()
    frozen: int = 0
    randoms: int = 0
    seed: int = 0
    servers: int | None = None


def whole(pairs: int, triples: int, freezes: int, randoms: int, seed: int, servers: int | None = None) -> tuple[Share, ...]:
    """The whole campaign: all points in all passings for one disk, samples in depth and at random for one to four.

    Where there is a server it dies at every named point either way, and in so many tests at random instants.
    """
    points = tuple((point, back) for back in (False, True) for point in Point)
    shares = [Share(case, points=points[n::4]) for case in THOROUGH for n in range(4)]
    cases = (*THOROUGH, *WIDE)
    each = -(-pairs // len(cases)), -(-triples // len(cases)), -(-freezes // len(cases))
    shares += [Share(case, depths=((2, each[0]), (3, each[1])), frozen=each[2], seed=seed) for case in cases]
    shares += [Share(case, randoms=-(-randoms // (3 * len(cases))), seed=seed) for case in cases]
    if servers is not None:
        shares += [Share(case, servers=-(-servers // len(THOROUGH)), seed=seed) for case in THOROUGH]
    return tuple(shares)


def campaign(
    shares: Sequence[Share], folder: Path, tell: Callable[[str], None], at_once: int = 2, database: str = "sqlite"
) -> Tally:
    """Lead all shares, so many homes at a time, over either database; what is wrong is told at once."""
    tally = Tally()

    def served(numbered: tuple[int, Share]) -> None:
        number, share = numbered
        with a_home(folder / f"home-{number}", share.case, database) as home:
            try:
                for sortie, found in _sorties(home, share):
                    tally.count(share.case, sortie, found)
                    if found.wrong:
                        tell(f"! {share.case}: {sortie}: {'; '.join(found.wrong)}\n{home.log()}")
            except AssertionError as fault:
                tally.fell_short(str(fault))
                tell(f"! {fault}")
        tell(f"{number + 1} of {len(shares)}  {share.case}: {tally.sorties} tests, {tally.deaths} deaths so far")

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(served, enumerate(shares)))
    return tally


def _sorties(home: Home, share: Share) -> Iterator[tuple[Sortie, Outcome]]:
    for point, back in share.points:
        yield from every_passing(home, point, back)
    luck = Random(f"{share.seed} {share.case}")
    for depth, number in share.depths:
        yield from _each(home, in_depth(home, depth, luck, number))
    if share.frozen:
        yield from _each(home, frozen(home, luck, share.frozen))
    if share.randoms:
        home.usual  # noqa: B018  a test in which nobody dies comes first: it is the measure
        yield from _each(home, at_random(luck, share.randoms, 1.5))
    if share.servers is not None:
        home.usual  # noqa: B018
        yield from _each(home, without_server(luck, share.servers))


def _each(home: Home, sorties: Iterable[Sortie]) -> Iterator[tuple[Sortie, Outcome]]:
    for sortie in sorties:
        yield sortie, sortie.led(home)
