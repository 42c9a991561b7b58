"""`make crash`: the whole campaign, then points hit / points named. Exit code 1 below 100 %, or when a test went wrong."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.crashes.campaign import campaign, whole


def main() -> int:
    """Run the campaign that the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m tests.crashes", description=__doc__)
    parser.add_argument("--pairs", type=int, default=80, help="tests with a death and one during its recovery")
    parser.add_argument("--triples", type=int, default=80, help="tests with two deaths during recovery")
    parser.add_argument("--freezes", type=int, default=40, help="tests that are frozen after a death, and go on")
    parser.add_argument("--randoms", type=int, default=300, help="deaths at random instants")
    parser.add_argument("--seed", type=int, default=1, help="what is drawn is drawn from this number")
    parser.add_argument("--database", choices=("sqlite", "mariadb"), default="sqlite", help="what the journal is kept in")
    parser.add_argument("--servers", type=int, default=40, help="tests in which MariaDB is killed at random instants")
    parser.add_argument("--at-once", type=int, default=2, help="homes side by side")
    parser.add_argument("--only", type=_part, default=slice(None), help="a part of the shares, as 1-16 or 33-36")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        servers = given.servers if given.database == "mariadb" else None
        shares = whole(given.pairs, given.triples, given.freezes, given.randoms, given.seed, servers)[given.only]
        tally = campaign(shares, Path(folder), _tell, given.at_once, given.database)
    _tell(f"{tally.told()}\n{time.monotonic() - began:.0f} s")
    return 0 if tally.share == 1.0 and not tally.wrong else 1


def _part(text: str) -> slice:
    first, _, last = text.partition("-")
    return slice(int(first) - 1, int(last))


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
