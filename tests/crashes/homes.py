"""A home for lives that are cut short: a simulated cloud and `failover` as processes, with a quick clock, over a database.

`Home.there_and_back` leads one test from its spec to an empty inventory diff through as many lives as it takes, and says
what came of it. Whoever calls it chooses where the lives end: at named points (`FAILOVER_CRASH_AT`), one for each life, or
after so many seconds. On MariaDB the server of the database may be killed, too; it comes back. What is so is read from the
cloud's control port and from the database, never from what is printed.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks import fleet
from reconciler import crashpoints
from tests.cli.world import LONGEST, PROGRAM, ROOT, Cloud, House, filled, inventory
from tests.crashes import nursery
from tests.mariadb import Server, serving

VM, KEY = "vm-00000", fleet.vm_key(0)
KILLED = -9
MOST_LIVES = 30
A_WHILE = 0.05
ENDED = ("completed", "rolled-back")
FAST = ("--speed", "25", "--durations", "1")


@dataclass(frozen=True, slots=True)
class Case:
    """What is tested: a strategy, and how many disks the VM has. `in_place` is whether snapshots need no detach."""

    strategy: str
    disks: int
    in_place: bool = False

    def __str__(self) -> str:
        return f"{self.strategy}{' in place' if self.in_place else ''}, {self.disks} disk{'s' * (self.disks > 1)}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test there and back: the run's last state, how the lives of either way ended, what the cloud took, what is wrong.

    `words` are the steps of the run as the journal has them; `frozen` tells of the lives while the run was frozen, and
    `servers` how often the server of the database died.
    """

    state: str
    there: tuple[int, ...]
    back: tuple[int, ...]
    sent: Mapping[str, int]
    words: tuple[str, ...]
    wrong: tuple[str, ...] = ()
    frozen: tuple[int, ...] = ()
    servers: int = 0

    @property
    def lives(self) -> tuple[int, ...]:
        """How all lives ended."""
        return (*self.there, *self.frozen, *self.back)

    @property
    def deaths(self) -> int:
        """How many lives were cut short."""
        return self.lives.count(KILLED)


class Lives:
    """A process that leads lives; see `nursery`."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.crashes.nursery"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, env=_environment(), **pipes)

    def lead(self, folder: Path, arguments: Iterable[str], kill_after: float | None, env: Mapping[str, str]) -> int:
        """One life; how it ended, as `subprocess` tells it."""
        env = {"FAILOVER_SETTINGS": str(folder / "failover.yaml"), **env}
        wanted = {"arguments": list(arguments), "env": env, "folder": str(folder), "kill_after": kill_after}
        told = json.dumps({**wanted, "out": str(folder / "lives.log"), "timeout": LONGEST})
        self.process.stdin.write(told + "\n")
        self.process.stdin.flush()
        return int(json.loads(self.process.stdout.readline())["code"])

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(LONGEST)
        self.process.stdout.close()


@dataclass
class Home:
    """One furnished home: a cloud, a folder, and a process that leads lives; with a server, its database is there."""

    folder: Path
    case: Case
    server: Server | None = None
    cloud: Cloud = field(init=False)
    house: House = field(init=False)
    lives: Lives = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.lives = Lives()  # it imports while the cloud starts
        estate = yaml.safe_load(fleet.estate(1, self.case.disks, 1.0, 25))
        estate["settings"]["kvm.snapshot.enabled"] = self.case.in_place
        del estate["slots"]
        (self.folder / "estate.yaml").write_text(yaml.dump(estate), encoding="utf-8")
        self.cloud = Cloud("--estate", str(self.folder / "estate.yaml"), *FAST)
        database = self.server.url(self.server.database()) if self.server is not None else None
        self.house = House(self.folder / "home", self.cloud.url, database=database)
        quick = {
            "poll: 0.2\n": "poll: 0.05\n",
            "lease: 1\n": "lease: 0.5\n" if self.server is None else "lease: 1.5\n",  # a server needs a moment to come back
            "cloudstack:\n": "cloudstack:\n  storage: nfs\n",
        }
        self.house.set(quick)
        (self.folder / "home" / "specs" / "pgwintestbios.yaml").unlink()
        self._fill()
        self._numbers = itertools.count(5)
        self._kept = ExitStack()
        self.backs = self._kept.enter_context(self.server.kept_up()) if self.server is not None else Counter[str]()
        self._usual: Outcome | None = None

    def _fill(self) -> None:
        path = self.house.folder / "failover.db"
        path.unlink(missing_ok=True)
        filled(self.house.database or f"sqlite:///{path}", fleet.rows(1, self.case.disks))

    def close(self) -> None:
        self._kept.close()
        self.lives.close()
        self.cloud.close()

    # --- a test, there and back ---------------------------------------------------------------------------------------

    @property
    def usual(self) -> Outcome:
        """A test in which nobody dies."""
        if self._usual is None:
            self._usual = self.there_and_back()
            if self._usual.wrong or self._usual.deaths:
                raise AssertionError(f"{self.case}: not even the undisturbed test goes well: {self._usual}\n{self.log()}")
        return self._usual

    def there_and_back(
        self,
        at: Iterable[str] = (),
        back_at: Iterable[str] = (),
        *,
        after: Iterable[float] = (),
        back_after: Iterable[float] = (),
        frozen_at: Iterable[str] | None = None,
        anew: bool = False,
        by: str = "daemon",
        servers: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
    ) -> Outcome:
        """A test and its end. Each life ends at the next point of `at`, or `after` so many seconds; so on the way back.

        `anew` starts every life as a program of its own. `by` is who starts the test: `daemon` or `apply`. With `frozen_at`
        the run is frozen after the lives of `at`, by commands that end at these points, and goes on when it is applied. The
        first life of either way kills the server at each point of `servers`, or after so many seconds, and lives on.
        """
        before, sent, runs = inventory(self.cloud.truth()), self.cloud.taken(), self._runs()
        backs = self.backs["back"]
        self.house.write(f"vm: {VM}\nstate: test-failover\nfor: {next(self._numbers)}m\nstrategy: {self.case.strategy}\n")
        there, frozen, moved = (), (), []
        if frozen_at is not None:
            there = tuple(self._life(_begin(by), point, None, anew) for point in at)
            frozen, by, at = tuple(self._frozen(frozen_at, moved)), "apply", ()
        holds, over = lambda: self._state() == "holding", lambda: self._state() in ENDED
        there += tuple(self._led(_begin(by), _fates(at, after), anew, holds, servers[0]))
        self._somebody_tests()
        back = tuple(self._led(("end", VM), _fates(back_at, back_after), anew, over, servers[1]))
        made = Counter(self.cloud.taken())
        made.subtract(sent)
        words = self.house.rows(
            "select word from fr_steps where run_id = (select id from fr_runs order by attempt desc limit 1) order by seq"
        )
        changes = {command: number for command, number in made.items() if number}
        steps, state = tuple(str(word) for (word,) in words), str(self._state())
        found = Outcome(state, there, back, changes, steps, frozen=frozen, servers=self.backs["back"] - backs)
        return replace(found, wrong=(*moved, *self._wrong(before, runs, found)))

    def _frozen(self, points: Iterable[str], moved: list[str]) -> Iterator[int]:
        """A person freezes the run; then a daemon comes and is killed, and another: all the while nothing has `moved`."""
        for point in (*points, None):
            yield self._life(("freeze", VM), point, None, anew=False)
        stood = self._standing()
        if self._state() != "paused" or stood[-1]:
            moved.append(f"frozen, it is {stood}")
        for instant in (A_WHILE, None):
            yield self._life(_begin("daemon"), None, instant, anew=False)
            if self._standing() != stood:
                moved.append(f"frozen, it moved: {_difference(stood, self._standing())}")

    def _standing(self) -> tuple[Any, ...]:
        """The state of the run, the calls that the cloud took so far, and the steps that are under way."""
        under_way = self.house.rows("select run_id, seq, state from fr_steps where state in ('started', 'waiting')")
        return self._state(), sorted(self.cloud.taken().items()), under_way

    def _led(
        self, first: tuple[str, ...], fates: Iterator[Any], anew: bool, is_over: Any, servers: tuple[str, ...]
    ) -> Iterator[int]:
        """Lives until it is over: the first as it was asked for, then the daemon's; asked again where nobody heard it."""
        asked = False
        for number in range(MOST_LIVES):
            arguments = first if number == 0 or not asked else _begin("daemon")
            code = self._life(arguments, *next(fates), anew, servers if number == 0 else ())
            yield code
            if is_over():
                return
            asked = (code == KILLED) and not (first[0] == "end" and self._state() == "holding")
        raise AssertionError(f"{self.case}: not over after {MOST_LIVES} lives: {self._state()}\n{self.log()}")

    def _life(
        self,
        arguments: tuple[str, ...],
        crash_at: str | None,
        kill_after: float | None,
        anew: bool,
        servers: tuple[str, ...] = (),
    ) -> int:
        more = {crashpoints.ENVIRONMENT: crash_at} if crash_at else {}
        if servers and self.server is not None:
            more[nursery.SERVER] = " ".join((str(self.server.folder / "pid"), *servers))
        if not anew:
            return self.lives.lead(self.house.folder, arguments, kill_after, more)
        env = self.house.environment(more)
        command, limit = [str(PROGRAM), *arguments], kill_after or LONGEST
        with (
            (self.house.folder / "lives.log").open("a") as log,
            subprocess.Popen(
                command, cwd=self.house.folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            ) as life,
        ):
            try:
                return life.wait(limit)
            except subprocess.TimeoutExpired:
                life.kill()
                life.wait()
                return KILLED if kill_after is not None else -14

    def _somebody_tests(self) -> None:
        guest = self.house.rows("select guest_id from fr_runs order by attempt desc limit 1")[0][0]
        self.cloud._ask("/guest-writes", vm=guest, what="a person tests")

    def _state(self) -> str | None:
        found = self.house.rows("select state from fr_runs order by attempt desc limit 1")
        return str(found[0][0]) if found else None

    def _runs(self) -> int:
        return int(self.house.rows("select count(*) from fr_runs")[0][0])

    def _wrong(self, before: dict[str, Any], runs: int, found: Outcome) -> Iterator[str]:
        """What is not as it must be."""
        after = inventory(self.cloud.truth())
        for kind in before:
            if after[kind] != before[kind]:
                yield f"{kind} differ: {_difference(before[kind], after[kind])}"
        if self._runs() != runs + 1:
            yield f"{self._runs() - runs} runs"
        for row in self.house.rows("select volume_id from fr_dirty"):
            yield f"{row[0]} is dirty"
        usual = self._usual
        if usual is not None and dict(found.sent) != dict(usual.sent):
            yield f"sent {_difference(dict(usual.sent), dict(found.sent))}"
        # without its database a command that was asked for may say so and leave; it is asked again
        if not {0, KILLED, *((1,) if found.servers else ())}.issuperset(found.lives):
            yield f"lives ended with {found.there}, {found.frozen} and {found.back}"

    def log(self) -> str:
        """What the last lives said."""
        path = self.house.folder / "lives.log"
        return path.read_text(encoding="utf-8")[-4000:] if path.exists() else ""


def _fates(points: Iterable[str], instants: Iterable[float]) -> Iterator[tuple[str | None, float | None]]:
    """Where each life ends, one after the other; in the end lives are left alone."""
    return zip(
        itertools.chain(points, itertools.repeat(None)), itertools.chain(instants, itertools.repeat(None)), strict=False
    )


def _begin(by: str) -> tuple[str, ...]:
    return ("apply", "--yes", "specs") if by == "apply" else ("daemon", "--once", "--specs", "specs")


def _difference(was: Any, now: Any) -> str:
    if isinstance(was, dict) and isinstance(now, dict):
        changed = {k: (was.get(k), now.get(k)) for k in was.keys() | now.keys() if was.get(k) != now.get(k)}
        return str(dict(sorted(changed.items())))[:800]
    return f"{was} → {now}"[:800]


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FAILOVER_")}
    return {**kept, "COLUMNS": "80"}


@contextmanager
def a_home(folder: Path, case: Case, database: str = "sqlite") -> Iterator[Home]:
    """A home for this case in an empty folder, over SQLite or a MariaDB server of its own."""
    with ExitStack() as kept:
        server = kept.enter_context(serving(lasting=True)) if database == "mariadb" else None
        home = Home(folder, case, server)
        kept.callback(home.close)
        yield home
