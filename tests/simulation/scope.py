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
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import stamina

from reconciler.crashpoints import Point
from tests.scenarios.house import is_mutating
from tests.simulation.plots import Death, Order, Plot, Vm
from tests.simulation.trials import Show

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
    path: list[Move] = field(default_factory=list)

    def explore(self) -> None:
        """Try every move from this state, each in a process of its own, one after another."""
        for move in self._moves():
            if len(os.listdir(self.folder / "states")) >= self.most:
                (self.folder / "cut").touch()
                return
            child = os.fork()
            if child == 0:
                os._exit(self._go(move))
            os.waitpid(child, 0)

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

    def _go(self, move: Move) -> int:
        """The child: make the move, and go on if this is news. Never comes back to the parent's code."""
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
            return 1
        return 0

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
        """What journal and cloud hold, without moments and ids of jobs."""
        rows, cloud = self.show.watch.rows, self.show.stage.cloud
        told = [
            *(tuple(r) for r in rows("select run_id, seq, leg, state, attempts from fr_steps order by run_id, seq")),
            *(tuple(r) for r in rows("select id, direction, state, failed, start_sent from fr_runs order by id")),
            *(tuple(r) for r in rows("select volume_id, reverted_at is null from fr_points order by volume_id")),
            *((v.id, v.vm, v.device, v.state, v.removed) for v in cloud.volumes.values()),
            *((vm.id, vm.state, vm.removed) for vm in cloud.vms.values()),
            *((s.id, s.state, s.removed) for s in cloud.snapshots.values()),
            sorted(job.command for job in cloud.jobs.pending),
            (any(m.fault for m in self.path), any(m.death for m in self.path)),
        ]
        return hashlib.sha256(repr(told).encode()).hexdigest()


def plot(strategy: str) -> Plot:
    """The small scope: two VMs of two disks on one appliance, wanted at once, for five minutes."""
    vms = tuple(Vm(number, disks=2, strategy=strategy) for number in range(2))
    orders = tuple(Order(0.0, "test", vm.number, 5) for vm in vms)
    return Plot(0, vms, {"kvm.snapshot.enabled": False}, durations=0.2, poll=1.0, grace=5.0, orders=orders)


def explored(strategy: str, most: int) -> Found:
    """Everything that can be reached, or the first `most` states of it."""
    with tempfile.TemporaryDirectory(prefix="scope-") as name, stamina.set_testing(True, attempts=1):
        folder = Path(name)
        for kind in ("states", "moves", "ends", "broken"):
            (folder / kind).mkdir()
        show = Show(plot(strategy))
        show.ordered()
        _Explorer(show, folder, most).explore()
        broken = sorted(path.read_text(encoding="utf-8") for path in (folder / "broken").iterdir())
        counts = [len(os.listdir(folder / kind)) for kind in ("states", "moves", "ends")]
        return Found(counts[0], counts[1], counts[2], not (folder / "cut").exists(), tuple(broken))


def main() -> int:
    """Explore, and say how much there was."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.scope", description=__doc__)
    parser.add_argument("--strategy", default="volume-snapshot")
    parser.add_argument("--most", type=int, default=1_000_000, help="states at the most")
    given = parser.parse_args()
    began = time.monotonic()
    found = explored(given.strategy, given.most)
    told = {"states": found.states, "moves": found.moves, "ends": found.ends, "whole": found.whole}
    sys.stdout.write(f"{json.dumps(told)} in {time.monotonic() - began:.0f} s\n")
    sys.stdout.write("".join(f"! {text}\n" for text in found.broken) or "no rule was broken in any of them\n")
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
