"""Several engines over one database and one cloud, in every order that a seed draws: what two daemons may do to each other.

Each engine runs its rounds in a thread of its own, but only one thread goes at a time: at every call and at every crash
point it may have to stand still, for a moment or beyond its lease, or die, while the others go on. Who goes next is drawn
from the seed, so the same seed is the same trial. `trials` play the plot as always, with the same rules; beside them no
call may be taken twice by the cloud, neither under one job id nor for one step of a run.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

from reconciler import crashpoints
from reconciler.cloudstack.errors import CloudError
from reconciler.crashpoints import Point
from reconciler.execute import job_id
from reconciler.loop import Round
from reconciler.wiring import Connected
from tests.scenarios.house import is_mutating
from tests.simulation.invariants import Violation
from tests.simulation.plots import Plot, plot_of
from tests.simulation.stage import Died, Stage
from tests.simulation.trials import Ending, Show, played_through

BESIDE = "another process works on"
IDLE_LONGEST = timedelta(seconds=60)
NOW = timedelta()


def trial(seed: int, engines: int) -> Ending:
    """Play the plot of a seed, without faults of the cloud, by so many engines. Raises `Failed`."""
    plot = replace(plot_of(seed), faults=(), deaths=(), deeds=(), retries=1)
    return played_through(lambda: Ensemble(plot, engines), plot, f"make simulate ENGINES={engines} SEEDS={seed}")


@dataclass(frozen=True, slots=True)
class Temper:
    """How a seed has engines behave at every place where they may stand still: chances of each."""

    turns: float
    sleeps: float
    dies: float

    @classmethod
    def of(cls, luck: Random) -> Temper:
        return cls(luck.choice((0.1, 0.4, 1.0)), luck.choice((0.0, 0.01, 0.04)), luck.choice((0.0, 0.0, 0.005, 0.02)))


class Actor:
    """One engine in its thread, which goes only between `go` and the next time that it stands still."""

    def __init__(self, troupe: Troupe, number: int) -> None:
        self.troupe, self.number, self.lives = troupe, number, 0
        self.due = troupe.stage.now
        self.done: Round | None = None
        self.fault: BaseException | None = None
        self.leaving = False
        self._mine, self._theirs = threading.Semaphore(0), threading.Semaphore(0)
        self.connected: Connected
        self.reborn()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def reborn(self) -> None:
        """Another process: nothing is carried over, and the leases name somebody else."""
        self.lives += 1
        self.connected = self.troupe.stage._process(f"engine-{self.number}-{self.lives}")

    def go(self) -> Round | None:
        """Let it go on until it stands still; its round, when that is over."""
        self.done = None
        self._mine.release()
        self._theirs.acquire()
        if self.fault is not None:
            raise self.fault
        return self.done

    def stand(self) -> None:
        """Called in its thread: the others go on."""
        self._theirs.release()
        self._mine.acquire()
        if self.leaving:
            raise Died

    def close(self) -> None:
        """Its thread ends."""
        self.leaving = True
        self._mine.release()
        self._thread.join(30)
        if self._thread.is_alive():
            raise AssertionError(f"engine {self.number} does not end")

    def _live(self) -> None:
        self._mine.acquire()
        while not self.leaving:
            try:
                self.done = self._round()
            except BaseException as fault:
                self.fault = fault
            if self.leaving:
                return
            self._theirs.release()
            self._mine.acquire()

    def _round(self) -> Round:
        stage = self.troupe.stage
        try:
            return self.connected.engine.round()
        except CloudError as fault:
            stage.note(f"engine {self.number}: no look: {fault}")
            return Round(next_at=stage.now + self.connected.settings.engine.poll)
        except Died:
            if self.leaving:
                raise
            self.reborn()
            return Round(next_at=stage.now + timedelta(seconds=self.troupe.luck.uniform(0, 120)))


@dataclass
class Troupe:
    """All engines of one stage. `what` counts what they did to each other."""

    stage: Stage
    engines: int
    what: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.luck = Random(f"ensemble {self.stage.plot.seed} {self.engines}")
        self.temper = Temper.of(self.luck)
        self.present: Actor | None = None
        self.actors = [Actor(self, number) for number in range(self.engines)]

    @property
    def lives(self) -> int:
        """As if all engines led the lives of one: one more than there were deaths."""
        return sum(actor.lives - 1 for actor in self.actors) + 1

    def play(self, until: float) -> Round:
        """Until one engine's round is over, or that second has come."""
        crashpoints.on_hit = self.hit
        try:
            while self.stage.seconds < until:
                ready = [actor for actor in self.actors if actor.due <= self.stage.now]
                if not ready:
                    self._wait(until)
                    continue
                done = self._gone(self.luck.choice(ready))
                if done is not None:
                    return done
            return Round()
        finally:
            crashpoints.on_hit = None

    def _wait(self, until: float) -> None:
        soonest = min((actor.due - self.stage.now for actor in self.actors), default=IDLE_LONGEST)
        left = timedelta(seconds=until - self.stage.seconds)
        self.stage.clock.advance(max(timedelta(milliseconds=1), min(soonest, left)))

    def _gone(self, actor: Actor) -> Round | None:
        self.present = actor
        try:
            done = actor.go()
        finally:
            self.present = None
        if done is not None:
            now = self.stage.now
            soonest, latest = now + timedelta(milliseconds=100), now + IDLE_LONGEST
            actor.due = min(max(done.next_at or latest, soonest), latest)
        return done

    def hit(self, _point: Point) -> None:
        """A crash point is passed by whoever goes now."""
        self.pause()

    def pause(self) -> None:
        """A place where whoever goes may die, sleep, or let others go on; in a transaction it can only die."""
        actor = self.present
        if actor is None or threading.current_thread() is not actor._thread:
            return
        drawn = self.luck.random()
        if drawn < self.temper.dies and not self.stage.quiet:
            self.what["deaths"] += 1
            self.stage.note(f"engine {actor.number} dies")
            raise Died
        if self.stage.raw.in_transaction:
            return
        if drawn < self.temper.dies + self.temper.sleeps and not self.stage.quiet:
            self.what["sleeps"] += 1
            span = self.luck.choice((1.0, 30.0, 65.0, 130.0, 400.0))
            self.stage.note(f"engine {actor.number} sleeps for {span:.0f} s")
            actor.due = self.stage.now + timedelta(seconds=span)
        elif drawn >= self.temper.turns:
            return
        self.what["turns"] += 1
        actor.stand()

    def close(self) -> None:
        for actor in self.actors:
            actor.close()


class Ensemble(Show):
    """A plot that several engines play."""

    def __init__(self, plot: Plot, engines: int) -> None:
        super().__init__(plot, shared=True)
        self.patience *= engines * 3
        self.troupe = Troupe(self.stage, engines)
        self.stage.turn = self.troupe.pause

    def played(self) -> Ending:
        try:
            ending = super().played()
            taken = self._once()
        finally:
            self.troupe.close()
        overtaken = self.watch.rows("select coalesce(sum(fence - 1), 0) n from fr_leases")[0]["n"]
        told = {**self.troupe.what, "takeovers": overtaken, "calls taken": taken}
        return replace(ending, lives=self.troupe.lives, together=tuple(sorted(told.items())))

    def _round(self, not_after: float) -> None:
        changes = self.stage.changes
        done = self.troupe.play(max(not_after, self.stage.seconds + 0.1) if self.orders else not_after)
        self.rounds += 1
        told = tuple(one for one in done.passes if not one.outcome.why.startswith(BESIDE))
        self._heard(replace(done, passes=told), changed=self.stage.changes > changes)
        self.people.time_passes()
        self.watch.round_over()

    def _once(self) -> int:
        """Whether the cloud took every change once: under its job id, and for its step of the run; how many it took."""
        steps = self._steps()
        taken = [c for c in self.stage.cloud.trace if is_mutating(c.params.get("command", c.command)) and c.status == 200]
        ours = [c for c in taken if c.params.get("customjobid") in steps or c.command == "deleteVolume"]
        by_id = Counter(c.params.get("customjobid") or c.params["id"] for c in ours)
        for ident, times in by_id.items():
            if times > 1:
                raise Violation(f"once: {times} times {ident}, {steps.get(ident, 'deleteVolume')}")
        by_step = Counter(steps[c.params["customjobid"]] for c in ours if "customjobid" in c.params)
        for step, times in by_step.items():
            if times > 1:
                raise Violation(f"once: the cloud took {times} calls for {step}")
        return len(ours)

    def _steps(self) -> Mapping[str, tuple[str, str, str, str]]:
        """Run, direction, word and subject by every job id that was ever made for them."""
        rows = self.watch.rows("select run_id, seq, attempts, direction, word, subject from fr_steps")
        return {
            job_id(row["run_id"], row["seq"], n): (row["run_id"], row["direction"], row["word"], row["subject"])
            for row in rows
            for n in range(1, row["attempts"] + 1)
        }
