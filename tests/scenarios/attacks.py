"""What attacks on a run have in common: somebody who acts at a chosen moment, time that passes, and what must hold then.

Used by the `test_review_*` modules. An attack never looks at what the product says of itself, except whether it claims
that a run is over: everything else is read from the simulator's truth.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from reconciler import operations
from reconciler.store.journal import ENDED
from tests.scenarios.house import APPLIANCE, KEYS, Drill, Proof
from tests.scenarios.test_main_job import HOME

Act = Callable[[Drill], object]
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
MOST = 4000


def person(drill: Drill, command: str, **params: object) -> None:
    """An administrator does something in the cloud, and it has happened when this returns."""
    assert drill.cloud.as_account("admin").call(command, **params).status == 200, command
    drill.advance(5 * SECOND)


def guest_of(drill: Drill, vm: str) -> str | None:
    """The id of the guest of this VM's newest run, if the cloud has it."""
    run = next((r for r in drill.runs() if r.vm_key == KEYS[vm]), None)
    known = run.guest_id if run is not None else None
    return known if known in drill.cloud.truth()["vms"] else None


def live_for(drill: Drill, vm: str, span: timedelta, meanwhile: Callable[[], object] = lambda: None) -> None:
    """What a daemon does in that time: rounds when they are due. It ends sooner where nothing moves any more."""
    keys, stop, end = frozenset({KEYS[vm]}), threading.Event(), drill.clock.now() + span
    for _ in range(MOST):
        meanwhile()
        done = drill.engine.round(keys)
        now = drill.clock.now()
        if now >= end or (drill.engine.at_rest(keys) and drill.runs() and drill.run(vm).state != "stuck"):
            return
        drill.engine.clock.wait(max((done.next_at or now) - now, SECOND), stop)
    raise AssertionError(f"still moving after {MOST} rounds: {drill.run(vm)}")


def there_and_back(drill: Drill, vm: str, at: int, act: Act, patience: timedelta = HOUR) -> bool:
    """A test of this VM that is ended as soon as it runs; once the cloud took `at` calls that change something, `act`.

    Returns whether it came to that.
    """
    acted: list[int] = []

    def meanwhile() -> None:
        if not acted and len(drill.mutations()) >= at:
            acted.append(at)
            act(drill)

    drill.approve(drill.plan(vm))
    live_for(drill, vm, patience, meanwhile)
    if guest_of(drill, vm) is not None and drill.guest(vm)["state"] == "Running":
        drill.cloud.guest_writes(drill.guest(vm)["id"], "a person tests")
    operations.end(drill.connected, KEYS[vm], "tests")
    live_for(drill, vm, patience, meanwhile)
    return bool(acted)


def is_over(drill: Drill, vm: str) -> bool:
    """Whether the product says that the run of this VM is over."""
    return drill.run(vm).state in ENDED


def harmed(drill: Drill, vm: str, before: Proof) -> list[str]:
    """Replicas that are lost, or of which it is not said that they are not as they were."""
    after, found = drill.proof(), []
    for volume in HOME[vm].values():
        if volume not in after.places or after.places[volume][3] in ("Destroy", "Expunging", "Expunged"):
            found.append(f"{volume} is lost")
        elif is_over(drill, vm) and after.contents[volume] != before.contents[volume] and volume not in after.dirty:
            found.append(f"{volume} was written and is called clean")
        elif is_over(drill, vm) and after.places[volume][0] != APPLIANCE:
            found.append(f"{volume} is not home and its run is called over")
    return found
