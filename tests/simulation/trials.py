"""One trial: a plot is played to its end, and what must be so at the end is so.

Called by the tests, by `make simulate` and by whoever reduces a seed. A trial has three acts. In the first, operators order
tests while faults strike, processes die and people interfere. Then it is quiet: faults stop, and within a bounded number of
rounds every VM is where it is wanted, or says what it waits for. In the third an operator ends everything: what is not
clean then is held by a run that names it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import stamina

from plans.plan import Plan
from reconciler import operations
from reconciler.cloudstack.errors import CloudError
from reconciler.loop import Round
from specs import load
from specs.model import Spec
from tests.simulation import furniture, plots
from tests.simulation.invariants import Violation, Watch
from tests.simulation.people import People
from tests.simulation.plots import Order, Plot, plot_of
from tests.simulation.stage import START, Stage

MOST_ROUNDS = 1500
QUIET_ROUNDS = 600
LOOKS = 6
SAME, OFTEN = timedelta(minutes=30), 10
IDLE, SLOWEST = 4, timedelta(seconds=60)
SHORTEST, LONGEST = timedelta(milliseconds=100), timedelta(seconds=300)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a trial ended: the digest of its trace, rounds, calls, lives, runs by state, and what is held with its reasons.

    `together` counts what several engines did to each other, where there were several.
    """

    seed: int
    trace: str
    rounds: int
    calls: int
    lives: int
    runs: tuple[tuple[str, str], ...]
    held: tuple[str, ...]
    deeds: tuple[str, ...]
    fired: tuple[str, ...]
    together: tuple[tuple[str, int], ...] = ()


class Failed(AssertionError):
    """A trial failed: what was broken, one line that repeats it, the plot, and what happened on the way."""


def trial(seed: int) -> Ending:
    """Play the plot of a seed. Raises `Failed`."""
    return play(plot_of(seed))


def play(plot: Plot, repeat: str = "") -> Ending:
    """Play a plot. Raises `Failed`."""
    return played_through(lambda: Show(plot), plot, repeat or f"make simulate SEEDS={plot.seed}")


def played_through(made: Callable[[], Show], plot: Plot, repeat: str) -> Ending:
    """Make a show of a plot and play it; `repeat` is the line that does it again. Raises `Failed`."""
    with stamina.set_testing(True, attempts=plot.retries), uncollected():
        show = made()
        try:
            return show.played()
        except Exception as fault:
            name = "" if isinstance(fault, Violation) else f"{type(fault).__name__}: "
            told = "\n".join(f"  {line}" for line in show.stage.told[-40:])
            raise Failed(f"{name}{fault}\nrepeat with: {repeat}\n{plot.told()}\n{told}") from fault


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the garbage collector, which takes a tenth of the time and finds little within one trial."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Show:
    """A plot that is being played: its stage, who watches, who interferes, and what operators have yet to say."""

    def __init__(self, plot: Plot, shared: bool = False) -> None:
        self.plot = plot
        self.stage = Stage(plot, shared)
        self.watch = Watch(self.stage)
        self.people = People(self.stage, self.watch)
        self.orders = list(plot.orders)
        self.rounds = 0
        self.says: dict[str, tuple[str, datetime, int]] = {}
        self.idle = 0
        self.patience = QUIET_ROUNDS
        self.fired: tuple[str, ...] = ()

    def played(self) -> Ending:
        self._first_act()
        self._quiet()
        self._settled("faults have stopped")
        self._last_orders()
        self._settled("everything was ended")
        self.inventory()
        return self._ending()

    def until(self, state: str) -> None:
        """Play on until the first run is in that state."""
        for _ in range(MOST_ROUNDS):
            self.ordered()
            self._round(self.stage.seconds + LONGEST.total_seconds())
            if any(run["state"] == state for run in self.watch.rows("select state from fr_runs")):
                return
        raise AssertionError(f"no run is ever {state}")

    def ordered(self) -> None:
        """Operators say what it is time to say."""
        while self.orders and self.orders[0].at <= self.stage.seconds:
            self._order(self.orders.pop(0))

    # --- acts ---------------------------------------------------------------------------------------------------------

    def _first_act(self) -> None:
        while self.stage.seconds < self.plot.quiet and self.rounds < MOST_ROUNDS:
            self.ordered()
            self._round(self.orders[0].at if self.orders else self.plot.quiet)
            if not self.orders and not self._moving():
                break

    def _moving(self) -> bool:
        """Whether anything can still happen by itself."""
        return bool(self.watch.rows("select 1 from fr_runs where state not in ('completed', 'rolled-back')")) or bool(
            self.watch.rows("select 1 from fr_specs where state = 'active'")
        )

    def _quiet(self) -> None:
        self.stage.quiet = True
        self.fired = tuple(f"{rule.kind} {rule.command}" for rule in self.stage.cloud.faults.rules if rule.fired)
        self.stage.cloud.faults.clear()
        self.stage.note("it is quiet")

    def _settled(self, since: str) -> None:
        """Rounds until nothing moves by itself, and every run that is left says what it waits for."""
        explained, last = 0, self._last_event()
        for _ in range(self.patience):
            self._round(self.stage.seconds + LONGEST.total_seconds())
            held = (self._is_explained(run) or self._is_stuck_often(run, last) for run in self._open_runs())
            explained = explained + 1 if all(held) else 0
            if not self._moving() or explained >= LOOKS:
                return
        rows = [(r["id"], r["state"], r["direction"], r["reason"], r["not_before"]) for r in self._open_runs()]
        raise Violation(f"liveness: {self.patience} rounds after {since}: {rows}")

    def _is_explained(self, run: dict[str, object]) -> bool:
        """Whether a run says what it waits for: a person (stuck, paused, kept beyond its time), or what it always says."""
        waits = run["state"] in ("stuck", "paused") or (run["state"] == "holding" and run["not_before"] is not None)
        _, since, times = self.says.get(str(run["vm_key"]), ("", self.stage.now, 0))
        return waits or (times >= OFTEN and self.stage.now - since >= SAME)

    def _last_event(self) -> int:
        return int(self.watch.rows("select coalesce(max(id), 0) n from fr_events")[0]["n"])

    def _is_stuck_often(self, run: dict[str, object], since: int) -> bool:
        """Whether a run was stuck again and again since that event, for nothing that passes by itself."""
        query = "select count(*) n from fr_events where id > ? and run_id = ? and kind = 'stuck'"
        return int(self.watch.rows(query, since, run["id"])[0]["n"]) >= LOOKS

    def _last_orders(self) -> None:
        self.stage.cloud.restart()
        self.stage.note("an operator restarts the cloud and ends everything")
        for vm in self.plot.vms:
            self.watch.thaw(vm)
            operations.end(self.stage.connected, vm.key, "trial")

    def _open_runs(self) -> list[dict[str, object]]:
        query = "select * from fr_runs where state not in ('completed', 'rolled-back')"
        return [dict(row) for row in self.watch.rows(query)]

    # --- rounds -------------------------------------------------------------------------------------------------------

    def _round(self, not_after: float) -> None:
        changes = self.stage.changes
        done = self.stage.round()
        self.rounds += 1
        self._heard(done, changed=self.stage.changes > changes)
        self.people.time_passes()
        self.watch.round_over()
        self._wait(done, not_after)

    def _heard(self, done: Round, changed: bool) -> None:
        """What the passes of a round said, since when they say just that, and how often."""
        news = changed
        for one in done.passes:
            said, since, times = self.says.get(one.vm_key, ("", self.stage.now, 0))
            same = not changed and said == one.outcome.why != ""
            news = news or not same
            self.says[one.vm_key] = (one.outcome.why, since if same else self.stage.now, times + 1 if same else 0)
        self.idle = 0 if news else self.idle + 1

    def _wait(self, done: Round, not_after: float) -> None:
        """Time passes until the engine wants to look again; it dawdles where its looks have brought nothing new for long."""
        now = self.stage.now
        moments = [START + timedelta(seconds=s) for s in (not_after, *self.people.moments)]
        soonest = min((m for m in (done.next_at, now + LONGEST, *moments) if m is not None), default=now)
        dawdles = min(SLOWEST, (soonest - now) * 2 ** min(self.idle - IDLE, 10)) if self.idle > IDLE else SHORTEST
        self.stage.clock.advance(max(SHORTEST, soonest - now, dawdles))

    def _order(self, order: Order) -> None:
        vm = self.plot.vms[order.vm]
        self.stage.note(f"{vm.name}: {order.what} {order.minutes or ''}")
        if order.what == "end":
            self.watch.thaw(vm)
            self.stage.act(lambda: operations.end(self.stage.connected, vm.key, "trial"))
            return
        spec = spec_of(vm, order)
        try:
            self.stage.act(lambda: self._approve(spec))
        except CloudError as fault:
            self.stage.note(f"not planned: {fault}")

    def _approve(self, spec: Spec) -> None:
        (found,) = operations.plan_all(self.stage.connected, (spec,), True)
        if isinstance(found, Plan):
            self.watch.thaw(next(vm for vm in self.plot.vms if vm.key == found.vm_key))
            operations.approve(self.stage.connected, found, by="trial", again=True)
        else:
            self.stage.note(f"refused: {'; '.join(r.text for r in found.reasons)}")

    # --- the end ------------------------------------------------------------------------------------------------------

    def inventory(self) -> None:
        """What is there now and was not there before, or is elsewhere: nothing, or held by an open run that names it."""
        held = {str(run["vm_key"]): str(run["id"]) for run in self._open_runs()}
        for difference, vm, ident in self._differences():
            run = held.get(vm.key) if vm is not None else None
            if ident not in self.watch.excused and (run is None or not self.watch.names(run, ident)):
                raise Violation(f"R7 the inventory is not as before, and no open run names it: {difference}")

    def _differences(self) -> Iterator[tuple[str, plots.Vm | None, str]]:
        for ident, vm in self.watch.owner.items():
            volume = self.stage.cloud.volumes[ident]
            if volume.vm != furniture.appliance(vm.appliance):
                yield f"{ident} is on {volume.vm or 'nothing'}", vm, ident
            if self.watch.is_written(ident) and not self.watch.rows("select 1 from fr_dirty where volume_id = ?", ident):
                yield f"{ident} is written", vm, ident
        for left in self.watch.left_over():
            run = self.watch.made[left]
            key = self.watch.rows("select vm_key from fr_runs where id = ?", run)[0][0] if run else None
            yield f"{left} of {run or 'somebody'} is left", self.watch.vms.get(key or ""), left

    def _ending(self) -> Ending:
        runs = self.watch.rows("select state, failed, strategy, reason from fr_runs order by created_at, id")
        return Ending(
            seed=self.plot.seed,
            trace=self.stage.trace(),
            rounds=self.rounds,
            calls=self.stage.calls,
            lives=self.stage.lives,
            runs=tuple((str(r["state"]), str(r["strategy"])) for r in runs),
            held=tuple(str(run["reason"]) for run in self._open_runs()),
            deeds=tuple(self.people.done),
            fired=self.fired,
        )


def spec_of(vm: plots.Vm, order: Order) -> Spec:
    """The spec that an order stands for, as a file would give it."""
    if order.what == "protect":
        text = f"vm: {vm.name}\nstate: protected\n"
    else:
        text = f"vm: {vm.name}\nstate: test-failover\nfor: {order.minutes}m\nauto_cleanup: {str(order.cleanup).lower()}\n"
        text += f"strategy: {vm.strategy}\n" if vm.strategy else ""
        text += "skip_validation: {reason: a trial}\n" if order.skips else ""
    found = load.load_text(text, f"specs/{vm.name}.yaml")
    if found.errors:
        raise ValueError(f"{text}: {found.errors}")
    return found.specs[0]
