"""`make mutation`: how many small faults in `plans` the tests of `plans` notice. Exit code 1 below the bound.

Writes a report (what survived, with its place and its change) and prints a line a module. Our own and not a library: those
there are leave out decorated functions, which are half of what decides here, or start Python anew for thousands of mutants.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from tests.mutation import hunt, report
from tests.mutation.mutants import Mutant, mutants_of

MODULES = ("planner", "guards", "compare", "strategies", "placing", "actions", "observed", "effects", "plan", "estimates")
BOUND = 85.0


def main() -> int:
    """Hunt in the modules that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", default=MODULES, help=f"of plans, if not all of {', '.join(MODULES)}")
    parser.add_argument("--report", type=Path, default=Path("mutation.txt"), help="the file that is written")
    parser.add_argument("--bound", type=float, default=BOUND, help="per cent of each module's mutants that must be noticed")
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="how many processes")
    parser.add_argument("--root", type=Path, default=hunt.ROOT, help="the tree with plans and tests")
    given = parser.parse_args()
    unknown = [m for m in given.modules if not (given.root / "plans" / f"{m}.py").is_file()]
    if unknown:
        parser.error(f"plans has no module {', '.join(unknown)}")
    target, root, began = given.report.absolute(), given.root.resolve(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        folder = Path(name).resolve()
        with hunt.ground(root, folder):
            tallies = _tallies(folder, given.modules, root / report.EQUIVALENT, given.at_once)
    target.write_text(report.text(tallies, given.bound), encoding="utf-8")
    _tell(report.table(tallies, given.bound))
    _tell(f"{time.monotonic() - began:.0f} s; what survived: {given.report}")
    return 0 if all(t.is_enough(given.bound) for t in tallies) else 1


def _tallies(folder: Path, modules: Sequence[str], excused: Path, at_once: int) -> list[report.Tally]:
    sources = {m: (folder / "plans" / f"{m}.py").read_text(encoding="utf-8") for m in modules}
    mutants = [mutant for module, source in sources.items() for mutant in mutants_of(module, source)]
    same = report.equivalents(mutants, modules, excused)
    wanted = [m for m in mutants if m not in same]
    _tell(f"{len(wanted)} mutants, {len(same)} more that change nothing")
    tallies = {module: report.Tally(module, [m for m in same if m.module == module]) for module in modules}
    number = count(1)

    def met(mutant: Mutant, fate: hunt.Fate) -> None:
        tallies[mutant.module].fates.append((mutant, fate))
        if (n := next(number)) % 250 == 0:
            _tell(f"  {n} of {len(wanted)}")

    code = hunt.in_pytest(hunt.Hunt(folder, wanted, met, at_once))
    if code or sum(len(t.fates) for t in tallies.values()) != len(wanted):
        raise hunt.HuntFailed(f"pytest ended with {code}")
    return list(tallies.values())


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
