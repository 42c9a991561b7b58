"""Small scope, completely: two VMs of two disks, one fault, one death, and every order in which their passes can come.

The production engine stands on a `stage`. A move is one VM going on until something is so that was not so before, either
undisturbed, or with a fault at its first change, or with a death at a crash point. From every state every move is tried. A
state is what the journal and the cloud hold, without moments; one that was seen before is not gone into again. A stage is
never copied: each move is made in a forked process, and what was seen is a folder of empty files that all of them share.

`python -m tests.simulation.scope` explores until nothing new is found, tests explore a part.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import permutations
from pathlib import Path

import stamina

from reconciler.crashpoints import Point
from tests.scenarios.house import is_mutating
from tests.simulation.plots import Death, Order, Plot, Vm
from tests.simulation.trials import Show, uncollected

FAULTS = ("drop", "lose-answer", "job-fails", "job-no-result", "restart")
DEATHS = (Point.AFTER_INTENT, Point.AFTER_SEND, Point.AFTER_RECORD)
PATIENCE = 80


@dataclass(frozen=True, slots=True)
class Move:
    """One round of one VM (by its number), with a fault or a death in it, or neither."""

    vm: int
    fault: str = ""
    death: str = ""

    def __str__(self) -> str:
        return f"vm-{self.vm}{f' + {self.fault}' if self.fault else ''}{f' + dies {self.death}' if self.death else ''}"


@dataclass(frozen=True, slots=True)
class Found:
    """What was explored: how many states, how many moves, how many ends, whether all of it; and what was broken."""

    states: int
    moves: int
    ends: int
    whole: bool
    broken: tuple[str, ...]


@dataclass
class _Explorer:
    """One process of the search, at one state; children go on from here."""

    show: Show
    folder: Path
    most: int
    backwards: bool = False
    path: list[Move] = field(default_factory=list)

    def explore(self) -> None:
        """Try every move from this state, each in a process of its own, one after another."""
        moves = list(self._moves())
        for move in reversed(moves) if self.backwards else moves:
            if len(os.listdir(self.folder / "states")) >= self.most:
                (self.folder / "cut").touch()
                return
            os.waitpid(_child(lambda move=move: self._go(move)), 0)

    def _moves(self) -> Iterator[Move]:
        used_fault, used_death = any(m.fault for m in self.path), any(m.death for m in self.path)
        for vm in self.show.plot.vms:
            if not self._is_over(vm):
                yield Move(vm.number)
                yield from (Move(vm.number, fault=kind) for kind in FAULTS if not used_fault)
                yield from (Move(vm.number, death=str(point)) for point in DEATHS if not used_death)

    def _is_over(self, vm: Vm) -> bool:
        query = "select 1 from fr_specs where active_of = ? union select 1 from fr_runs where open_of = ?"
        return not self.show.watch.rows(query, vm.key, vm.key)

    def _go(self, move: Move) -> None:
        """In a child: make the move, and go on if this is news."""
        self.path.append(move)
        try:
            self._make(move)
            (self.folder / "moves" / str(os.getpid())).touch()
            if self._is_news():
                if all(map(self._is_over, self.show.plot.vms)):
                    self.show.inventory()
                    (self.folder / "ends" / str(os.getpid())).touch()
                else:
                    self.explore()
        except Exception as broken:
            text = f"{type(broken).__name__}: {broken}\n  after {', '.join(map(str, self.path))}"
            (self.folder / "broken" / str(os.getpid())).write_text(text, encoding="utf-8")

    def _make(self, move: Move) -> None:
        stage = self.show.stage
        if move.fault:
            self._strike_first_change(move.fault)
        if move.death:
            stage.deaths = [Death(move.death, stage._passed.get(move.death, 0) + 1)]
        before = self._state()
        for _ in range(PATIENCE):
            done = stage.round(frozenset({self.show.plot.vms[move.vm].key}))
            self.show.watch.round_over()
            later = done.next_at - stage.now if done.next_at is not None else timedelta(seconds=stage.plot.poll)
            stage.clock.advance(max(timedelta(milliseconds=100), later))
            if self._state() != before:
                break
        else:
            self._explained(move.vm)
        stage.deaths = []
        stage.cloud.faults.clear()

    def _explained(self, number: int) -> None:
        """A VM of which nothing moves any more says what it waits for."""
        run = self.show.watch.run_of(self.show.plot.vms[number])
        if run is None or run["state"] not in ("stuck", "paused"):
            raise AssertionError(f"vm-{number} does not move: {dict(run) if run else 'no run'}")

    def _strike_first_change(self, kind: str) -> None:
        stage, usual = self.show.stage, self.show.stage.arrival

        def arriving(command: str, flat: dict[str, str]) -> None:
            usual(command, flat)
            if is_mutating(command):
                stage.arrival = usual
                stage.cloud.faults.add(kind, command, effect=True)

        stage.arrival = arriving

    def _is_news(self) -> bool:
        try:
            os.close(os.open(self.folder / "states" / self._state(), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        return True

    def _state(self) -> str:
        """What journal and cloud hold, without moments, and with names for ids, so that who came first makes no difference.

        The VMs are alike, so a state and its mirror image are one.
        """
        numbers = [vm.number for vm in self.show.plot.vms]
        told = min(repr(self._told(dict(zip(numbers, order, strict=True)))) for order in permutations(numbers))
        return hashlib.sha256(told.encode()).hexdigest()

    def _told(self, number: Mapping[int, int]) -> list[object]:
        rows, cloud, name = self.show.watch.rows, self.show.stage.cloud, self._names(number)
        homes = self.show.stage.places
        tried = "case state when 'done' then 0 else attempts end"  # how often what is done was tried matters to nobody
        steps = rows(f"select run_id, seq, leg, state, {tried} from fr_steps")
        runs = rows("select id, direction, state, failed, start_sent from fr_runs")
        points = rows("select volume_id, reverted_at is null from fr_points")
        at = {
            v.id: "home" if (v.vm, v.device) == homes.get(v.id) else (name(v.vm), v.device) for v in cloud.volumes.values()
        }
        return [
            *(sorted((name(row[0]), *row[1:]) for row in found) for found in (steps, runs, points)),
            sorted((name(v.id), str(at[v.id]), v.state, v.removed) for v in cloud.volumes.values()),
            sorted((name(vm.id), vm.state, vm.removed) for vm in cloud.vms.values()),
            sorted((name(s.id), s.state, s.removed) for s in cloud.snapshots.values()),
            sorted((name(s.id), s.state, s.removed) for s in cloud.vm_snapshots.values()),
            sorted((job.command, name(job.instance_id)) for job in cloud.jobs.pending),
            (any(m.fault for m in self.path), any(m.death for m in self.path)),
        ]

    def _names(self, number: Mapping[int, int]) -> Callable[[str | None], str]:
        """A name for every id: of a replica by VM and disk, of what a run made by the order in which it made it."""
        vms = self.show.plot.vms
        known = {ident: f"replica {number[vm.number]} {disk}" for vm in vms for disk, ident in enumerate(vm.volumes)}
        keys = {vm.key: number[vm.number] for vm in vms}
        known |= {
            row[0]: f"run {keys[row[1]]} {row[2]}" for row in self.show.watch.rows("select id, vm_key, attempt from fr_runs")
        }
        made: Counter[str] = Counter()
        for ident, run in self.show.watch.made.items():
            made[run] += 1
            known[ident] = f"{known.get(run, run)} made {made[run]}"
        return lambda ident: known.get(ident or "", ident or "")


def plot(strategy: str) -> Plot:
    """The small scope: two VMs of two disks on one appliance, wanted at once, for five minutes."""
    vms = tuple(Vm(number, disks=2, strategy=strategy) for number in range(2))
    orders = tuple(Order(0.0, "test", vm.number, 5) for vm in vms)
    return Plot(0, vms, {"kvm.snapshot.enabled": False}, durations=0.2, poll=1.0, grace=5.0, orders=orders)


def _child(work: Callable[[], object]) -> int:
    """The process id of a child that does this and ends."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def explored(strategy: str, most: int, at_once: int = 1) -> Found:
    """Everything that can be reached, or the first `most` states of it.

    Two searches `at_once` begin at opposite ends; neither goes into a state that the other has seen.
    """
    with tempfile.TemporaryDirectory(prefix="scope-") as name, stamina.set_testing(True, attempts=1), uncollected():
        folder = Path(name)
        for kind in ("states", "moves", "ends", "broken"):
            (folder / kind).mkdir()
        show = Show(plot(strategy))
        show.ordered()
        searches = [_Explorer(show, folder, most, backwards) for backwards in (False, True)[:at_once]]
        for search in [_child(search.explore) for search in searches]:
            os.waitpid(search, 0)
        broken = sorted(path.read_text(encoding="utf-8") for path in (folder / "broken").iterdir())
        counts = [len(os.listdir(folder / kind)) for kind in ("states", "moves", "ends")]
        return Found(counts[0], counts[1], counts[2], not (folder / "cut").exists(), tuple(broken))


def main() -> int:
    """Explore, and say how much there was."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.scope", description=__doc__)
    parser.add_argument("--strategy", default="volume-snapshot")
    parser.add_argument("--most", type=int, default=1_000_000, help="states at the most")
    parser.add_argument("--at-once", type=int, choices=(1, 2), default=min(2, os.cpu_count() or 1), help="searches")
    given = parser.parse_args()
    began = time.monotonic()
    found = explored(given.strategy, given.most, given.at_once)
    told = {"states": found.states, "moves": found.moves, "ends": found.ends, "whole": found.whole}
    sys.stdout.write(f"{json.dumps(told)} in {time.monotonic() - began:.0f} s\n")
    sys.stdout.write("".join(f"! {text}\n" for text in found.broken) or "no rule was broken in any of them\n")
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
