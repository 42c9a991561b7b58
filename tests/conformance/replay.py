"""Replays recordings of a real management server and prints what differs.

    python -m tests.conformance.replay [FILE ...]                                      a fresh simulated cloud for each file
    python -m tests.conformance.replay --url URL --key KEY --secret SECRET [FILE ...]  a server, real or simulated, over HTTP

FILE is a name (`02-async`, `walk-101`) or the path of another recording; none means all. `--account NAME KEY SECRET` gives
the keys of a further caller of the recordings (admin, dr, other, viewer, domadmin); requests of callers without keys are
skipped, and so is what needs a hand on the server. Exit code 1 when something differs that `known.toml` does not explain.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.conformance import directions, known, records, remote, stage
from tests.conformance.comparing import Difference
from tests.conformance.doors import HttpDoor, Keys
from tests.conformance.identities import Identities
from tests.conformance.known import Result, Row
from tests.conformance.replaying import Replay, Server
from tests.conformance.walking import WALKER, Walking

DEFAULT_CALLER = "dr"
Place = tuple[str, tuple[Difference, ...], str]


@dataclass(frozen=True, slots=True)
class Line:
    """One exchange or step with what it came to. `skipped` says why it was not replayed."""

    file: str
    step: str
    result: Result
    differences: tuple[Difference, ...] = ()
    used: frozenset[Row] = frozenset()
    skipped: str = ""


def is_walk(name: str) -> bool:
    return records.stem(Path(name)).startswith("walk-")


def judged(file: str, places: Iterable[Place], table: Sequence[Row]) -> Iterator[Line]:
    """The verdicts of one file, sorted by the table of known differences."""
    for step, found, skipped in places:
        if skipped:
            yield Line(file, step, Result.SKIPPED, skipped=skipped)
            continue
        judgement = known.judge(file, step, found, table)
        yield Line(file, step, judgement.result, judgement.unexplained, judgement.used)


def on_simulator(name: str, table: Sequence[Row] | None = None) -> list[Line]:
    """One file against a fresh simulated cloud."""
    rows = known.load() if table is None else table
    if is_walk(name):
        walk = records.walk(name)
        server, symbols = stage.walkground()
        return list(judged(walk.name, walked(Walking(walk, server, symbols)), rows))
    scenario = records.scenario(name)
    return list(judged(scenario.name, replayed(Replay(scenario, *stage.simulated(scenario))), rows))


def replayed(replay: Replay) -> Iterator[Place]:
    return ((v.exchange.step, v.found, v.skipped) for v in replay.verdicts())


def walked(walking: Walking) -> Iterator[Place]:
    return ((f"{v.step.index:03} {v.step.op}", v.found, "") for v in walking.verdicts())


def on_server(name: str, url: str, keys: Mapping[str, Keys], pause: Callable[[float], None], now: datetime) -> list[Line]:
    """One file against a server; the ids of its world are found there by the names that they had."""
    door, rows = HttpDoor(url), known.load()
    try:
        if is_walk(name):
            walk = records.walk(name)
            server = Server(door, {WALKER: keys[DEFAULT_CALLER]}, remote.Hands(pause))
            return list(judged(walk.name, walked(Walking(walk, server, remote.symbols(door, keys[DEFAULT_CALLER]))), rows))
        scenario = records.scenario(name)
        server = Server(door, keys, remote.Hands(pause), now - directions.of(scenario.name).began)
        ids = Identities(remote.counterparts(door, keys[DEFAULT_CALLER]))
        return list(judged(scenario.name, replayed(Replay(scenario, server, ids)), rows))
    finally:
        door.close()


def told(lines: Iterable[Line]) -> Iterator[str]:
    """What differs or was skipped, as text."""
    for line in lines:
        if line.result is Result.DIFFERENT:
            yield f"{line.file}:{line.step}"
            yield from (f"    {difference}" for difference in line.differences)
        elif line.result is Result.SKIPPED and line.skipped != "not a request":
            yield f"{line.file}:{line.step} skipped, {line.skipped}"


def tally(lines: Iterable[Line]) -> dict[Result, int]:
    results = [line.result for line in lines]
    return {result: results.count(result) for result in Result}


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance.replay", description="Replay recordings of a real server."
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="a recording's name or path; none means all of the project's"
    )
    parser.add_argument("--url", help="API address of a server; without it a simulated cloud is made for each file")
    parser.add_argument("--key", default=os.environ.get("CLOUDSTACK_KEY"), help=f"key of the caller {DEFAULT_CALLER}")
    parser.add_argument("--secret", default=os.environ.get("CLOUDSTACK_SECRET"), help="its secret")
    parser.add_argument(
        "--account", nargs=3, action="append", default=[], metavar=("NAME", "KEY", "SECRET"), help="another caller"
    )
    given = parser.parse_args(argv)
    if given.url and not (given.key and given.secret):
        parser.error("--url needs --key and --secret (or CLOUDSTACK_KEY and CLOUDSTACK_SECRET)")
    return given


def main(argv: Sequence[str] | None = None) -> int:
    """Replays, prints, and returns the exit code."""
    given = arguments(argv)
    keys = {DEFAULT_CALLER: Keys(given.key, given.secret)} | {name: Keys(key, secret) for name, key, secret in given.account}
    worst = 0
    for name in given.files or records.scenarios() + records.walks():
        lines = on_server(name, given.url, keys, time.sleep, datetime.now(UTC)) if given.url else on_simulator(name)
        counts = tally(lines)
        for said in told(lines):
            print(said)  # noqa: T201  a command for people
        print(f"{name}: " + ", ".join(f"{count} {result}" for result, count in counts.items() if count))  # noqa: T201
        worst |= counts[Result.DIFFERENT] > 0
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
