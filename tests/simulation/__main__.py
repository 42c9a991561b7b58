"""`make simulate SEEDS=a-b`: play the plots of these seeds, in as many processes as there are processors.

With `ENGINES=2` (or 3) so many engines play each plot on one database; see `ensemble`.
Prints every seed that fails with the line that repeats it, and a summary. Exit code 1 when one failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from tests.simulation import ensemble
from tests.simulation.trials import Ending, Failed, trial

CHUNK = 20
HOUR = 3600


@dataclass(frozen=True, slots=True)
class Played:
    """What became of some seeds: endings, failures as text by seed, seconds of CPU."""

    endings: tuple[Ending, ...]
    failed: tuple[tuple[int, str], ...]
    seconds: float


def played(seeds: Iterable[int], engines: int = 1) -> Played:
    """Play these seeds in this process, by so many engines."""
    began, endings, failed = time.process_time(), [], []
    for seed in seeds:
        try:
            endings.append(trial(seed) if engines == 1 else ensemble.trial(seed, engines))
        except Failed as wrong:
            failed.append((seed, str(wrong)))
    return Played(tuple(endings), tuple(failed), time.process_time() - began)


def seeds_of(text: str) -> range:
    """`17` or `0-299`."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def summary(all_played: Iterable[Played]) -> Iterator[str]:
    """What came of them, for people."""
    parts = list(all_played)
    endings = [ending for part in parts for ending in part.endings]
    failed = [seed for part in parts for seed, _ in part.failed]
    seconds, number = sum(part.seconds for part in parts), len(endings) + len(failed)
    states = Counter(f"{state} ({strategy})" for ending in endings for state, strategy in ending.runs)
    deeds = Counter(deed for ending in endings for deed in ending.deeds)
    struck = Counter(fault for ending in endings for fault in ending.fired)
    yield f"{number} trials, {seconds:.0f} s of CPU, {HOUR * number / max(seconds, 0.001):.0f} trials a CPU-hour"
    yield f"  rounds {sum(e.rounds for e in endings)}, calls {sum(e.calls for e in endings)}, runs " + _counted(states)
    yield f"  struck by a fault {sum(bool(e.fired) for e in endings)}, by several {sum(len(e.fired) > 1 for e in endings)}"
    yield f"  {len(struck)} kinds of fault by command; what people did: {_counted(deeds) or 'nothing'}"
    yield f"  died {sum(e.lives - 1 for e in endings)} times; held for a person {sum(bool(e.held) for e in endings)}"
    together = Counter[str]()
    for ending in endings:
        together.update(dict(ending.together))
    if together:
        yield f"  several engines: {_counted(together)}"
    yield f"  failed: {', '.join(map(str, failed)) or 'none'}"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))


def main() -> int:
    """Play the seeds that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", type=seeds_of, help="a seed, or a range as 0-299")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many at once")
    parser.add_argument("--engines", type=int, default=1, help="how many engines share the database")
    given = parser.parse_args()
    chunks = [given.seeds[n : n + CHUNK] for n in range(0, len(given.seeds), CHUNK)]
    parts: list[Played] = []
    with ProcessPoolExecutor(min(given.processes, len(chunks))) as pool:
        for part in pool.map(partial(played, engines=given.engines), chunks):
            parts.append(part)
            for seed, text in part.failed:
                _tell(f"seed {seed}: {text}\n")
    for line in summary(parts):
        _tell(line)
    return 1 if any(part.failed for part in parts) else 0


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
