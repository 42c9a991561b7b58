"""`failover demo`: the whole story on a simulated cloud, with proof. The only command that may reach the simulator.

Everything but the cloud and the clock is what operators use: settings file, embedded database, signed requests over HTTP,
the engine, the same screens. The clock is turned by the demo, and it says so.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import init, screen
from reconciler.cli import plan as plan_command

if TYPE_CHECKING:
    from plans.plan import Plan
    from reconciler.store.journal import Run
    from reconciler.wiring import Connected
    from simulator import Cloud, TurnedClock

PACE = 0.02
ESTATE = Path(__file__).parents[2] / "examples" / "estate.yaml"


@click.command("demo")
@click.option("--vm", type=click.Choice(["PGWINTESTBIOS", "lnx-db3"]), default="PGWINTESTBIOS", show_default=True)
@click.option("--keep", is_flag=True, help="Keep the demo's folder (settings, database, spec) and say where it is.")
@click.pass_obj
def command(shown: screen.Screen, vm: str, keep: bool) -> int:
    """Play the whole story on a simulated cloud: spec, plan, run, guest, thirty minutes, everything taken back, proof.

    Exit code 1 if anything is not as it was before.
    """
    folder = Path(tempfile.mkdtemp(prefix="failover-demo-"))
    try:
        return _play(shown, folder, vm)
    finally:
        if keep:
            shown.text(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Pace:
    """The demo's clock: waiting turns it, and takes a moment so that a person can follow."""

    turned: TurnedClock

    def now(self) -> datetime:
        """The turned moment."""
        return self.turned.now()

    def wait(self, span: timedelta, stop: threading.Event) -> None:
        """Turn the clock on by the span."""
        self.turned.advance(max(span, timedelta(milliseconds=100)))
        if not stop.is_set():
            time.sleep(PACE)


def _play(shown: screen.Screen, folder: Path, vm: str) -> int:
    from simulator import TurnedClock, load_estate, serve

    clock = TurnedClock(datetime.now(UTC).replace(microsecond=0))
    cloud = load_estate(ESTATE, clock)
    with serve(cloud) as server:
        return _Story(shown, folder, vm, _Pace(clock), cloud, server.url).tell()


@dataclass
class _Story:
    """The demo in six acts."""

    shown: screen.Screen
    folder: Path
    vm: str
    clock: _Pace
    cloud: Cloud
    url: str

    def tell(self) -> int:
        """Play all acts; the exit code is the proof's."""
        connected = self._furnish()
        before = Proof.of(self.cloud, connected)
        self._act(1, "The spec: three lines in Git")
        spec_file = self._write_spec()
        self._act(2, "The plan: a dry run, nothing is changed")
        plan = self._plan(connected, spec_file)
        if plan is None:
            return screen.ERROR
        self._act(3, "The run: exactly that plan, step by step")
        run = self._run(connected, plan)
        if run is None:
            return screen.ERROR
        self._act(4, "Thirty minutes pass: the demo turns the clock")
        self._hold(run)
        self._act(5, "The time is up: everything is taken back")
        self._drive(connected, plan)
        self._act(6, "The proof")
        return self._prove(before, Proof.of(self.cloud, connected), plan)

    def _furnish(self) -> Connected:
        from reconciler import settings, wiring

        init.furnish(self.folder, self.url, example=True)
        found = settings.load(self.folder / "failover.yaml", environment=False)  # whatever that says, this is a demo
        return wiring.connected(found, self.clock)

    def _act(self, number: int, title: str) -> None:
        self.shown.text()
        self.shown.text(f"{number}. {title}", "strong")

    def _write_spec(self) -> Path:
        path = self.folder / "specs" / "demo.yaml"
        path.write_text(f"vm: {self.vm}\nstate: test-failover\nfor: 30m\n", encoding="utf-8")
        for row in path.read_text(encoding="utf-8").splitlines():
            self.shown.text(f"   {row}", "running")
        return path

    def _plan(self, connected: Connected, spec_file: Path) -> Plan | None:
        from plans.plan import Plan
        from reconciler import operations
        from specs import load

        specs = load.load_text(spec_file.read_text(encoding="utf-8"), "specs/demo.yaml").specs
        found = operations.plan_all(connected, specs)
        plan_command.show(self.shown, found)
        return found[0] if isinstance(found[0], Plan) else None

    def _run(self, connected: Connected, plan: Plan) -> Run | None:
        from reconciler import operations
        from reconciler.store import journal

        operations.approve(connected, plan, by="demo")
        self._drive(connected, plan)
        with connected.database.read() as connection:
            run = journal.unfinished_of(connection, plan.vm_key)
        if run is None or run.state != "holding":
            self.shown.text("the guest does not run; see above", "broken")
            return None
        self.shown.text(f"{run.guest_name} runs, every disk verified, rollback points in place", "verified")
        return run

    def _drive(self, connected: Connected, plan: Plan) -> None:
        from reconciler import operations
        from reconciler.cli import progress

        with progress.watching(self.shown, connected) as watcher:
            operations.drive(connected.engine, frozenset({plan.vm_key}), watcher.seen, watcher.halt)

    def _hold(self, run: Run) -> None:
        ends = run.expires_at or self.clock.now()
        for minutes in (25, 15, 5, 1):
            self.clock.turned.advance(max(timedelta(), ends - timedelta(minutes=minutes) - self.clock.now()))
            if run.guest_id is not None:
                self.cloud.guest_writes(run.guest_id, f"a person tests, {minutes} minutes left")
            self.shown.text(f"   {self.clock.now():%H:%M:%S}  {run.guest_name} is running and writing, {minutes}m left")
        self.clock.turned.advance(timedelta(minutes=1, seconds=1))
        self.shown.text(f"   {self.clock.now():%H:%M:%S}  its time is up")

    def _prove(self, before: Proof, after: Proof, plan: Plan) -> int:
        faults = after.differs_from(before)
        for line in faults:
            self.shown.text(f"   ! {line}", "broken")
        if faults:
            return screen.ERROR
        disks = [f for f in plan.facts if f.endswith(".volume")]
        self.shown.text(
            f"   = {len(disks)} replica(s) of {self.vm} back on the appliance, each at its recorded device", "verified"
        )
        self.shown.text(
            "   = their content is the same, bit for bit by fingerprint, although the guest wrote to it", "verified"
        )
        self.shown.text(f"   = no VM, volume or snapshot is left that is marked {after.mark}", "verified")
        self.shown.text("   = replication is idle and allowed again", "verified")
        return screen.DONE


@dataclass(frozen=True)
class Proof:
    """What must be the same before and after: places and content of all volumes, and nothing of ours anywhere."""

    mark: str
    places: dict[str, tuple[str | None, int | None]]
    contents: dict[str, str]
    ours: tuple[str, ...]
    blocked: tuple[str, ...]

    @classmethod
    def of(cls, cloud: Cloud, connected: Connected) -> Proof:
        """Taken from the simulator's own truth, not from anything the product says."""
        from plans.actions import MARK
        from reconciler.store import journal

        truth = cloud.truth()
        volumes = truth["volumes"]
        marked = (*truth["vms"].values(), *volumes.values(), *truth["snapshots"].values())
        with connected.database.read() as connection:
            blocked = tuple(r.id for r in journal.unfinished(connection))
        return cls(
            MARK,
            {v["name"]: (v["vm"], v["device"]) for v in volumes.values()},
            {v["name"]: cloud.fingerprint(i) for i, v in volumes.items() if v["kind"] == "DATADISK"},
            tuple(sorted(x["name"] for x in marked if MARK in x["tags"] and x["state"] != "Destroyed")),
            blocked,
        )

    def differs_from(self, before: Proof) -> list[str]:
        """One line for everything that is not as before, or should not be there."""
        moved = [n for n, place in before.places.items() if self.places.get(n) != place]
        told = [f"{name}: was at {before.places[name]}, is at {self.places.get(name)}" for name in moved]
        told += [f"{name} is new and still there" for name in self.places if name not in before.places]
        changed = [n for n, was in before.contents.items() if self.contents.get(n) != was]
        told += [f"{name}: its content is not as before" for name in changed]
        told += [f"{name} is marked {self.mark} and still there" for name in self.ours]
        told += [f"{run} has not ended; replication is blocked" for run in self.blocked]
        return told
