"""When an action is achieved, what it is about, and that its form in the journal stays readable."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plans import actions, effects
from plans.observed import Place, World
from specs.model import Strategy
from tests.plans import middles, worlds
from tests.plans.middles import before, first, in_test, with_guest, with_run, with_snapshots, with_volume, without_volume
from tests.plans.worlds import volume_id

CLONE, VOLUMES, WHOLE = Strategy.CLONE, Strategy.VOLUME_SNAPSHOT, Strategy.VM_SNAPSHOT
R0 = volume_id(0)
NO_RUN = worlds.world(2)
WORDS = (
    *("reserve", "create-guest", "mark-guest", "stop-guest", "revert-guest", "delete-guest-snapshot"),
    *("detach-default-root", "delete-default-root", "detach-replica", "revert-replica", "snapshot-replica"),
    *("attach-replica", "resume", "clone-replica", "attach-clone", "snapshot-guest", "start-guest", "detach-clone"),
    *("destroy-guest", "delete-clone", "delete-snapshot", "delete-leftover", "release"),
)


def done(kind: type[actions.Action], strategy: Strategy = VOLUMES) -> World:
    """The world just after the first step of that kind."""
    return effects.after(first(kind, strategy), before(kind, strategy))


def root(world: World) -> str:
    assert world.run is not None
    assert world.run.default_root_id is not None
    return world.run.default_root_id


def clone(world: World) -> str:
    found = world.clone_of(R0)
    assert found is not None
    return found.id


def cases() -> list[tuple[str, actions.Action, World, bool]]:
    """What is so, an action, the world, and whether the action is achieved there."""
    testing, cloned, whole = in_test(), in_test(CLONE), in_test(WHOLE)
    attached, made = done(actions.AttachReplica), done(actions.CreateGuest)
    off, gone = done(actions.DetachDefaultRoot), done(actions.DeleteDefaultRoot)
    snapped = first(actions.SnapshotReplica)
    attach, attach_clone = first(actions.AttachReplica), first(actions.AttachClone, CLONE)
    clone_it, snapshot_guest = first(actions.CloneReplica, CLONE), first(actions.SnapshotGuest, WHOLE)
    loose = done(actions.DetachReplica)
    create, expunge = first(actions.CreateGuest), actions.DestroyGuest(expunge=True)
    bin_it = actions.DestroyGuest(expunge=False)
    deleted, leftover = actions.DeleteSnapshot(R0, "d"), actions.DeleteLeftover(R0, "d", "s-9")
    kept = next(iter(testing.snapshots.values()))
    return [
        ("no run", actions.Reserve(), NO_RUN, False),
        ("a run that gave it back", actions.Reserve(), with_run(testing, reserved=False), False),
        ("a run that has it", actions.Reserve(), testing, True),
        ("no guest", create, NO_RUN, False),
        ("the run's own", create, made, True),
        ("another", create, with_run(made, guest_id="other"), False),
        ("without a run", create, replace(made, run=None), False),
        ("no guest", actions.MarkGuest(), NO_RUN, False),
        ("not marked", actions.MarkGuest(), made, False),
        ("marked with another run", actions.MarkGuest(), with_guest(made, tags={"failover-run": "x"}), False),
        ("without a run", actions.MarkGuest(), replace(testing, run=None), False),
        ("marked", actions.MarkGuest(), testing, True),
        *((state, actions.StopGuest(), with_guest(testing, state=state), False)
          for state in ("Running", "Stopping", "Starting")),
        *((state, actions.StopGuest(), with_guest(testing, state=state), True)
          for state in ("Stopped", "Destroyed", "Error")),
        ("no guest", actions.StopGuest(), NO_RUN, True),
        ("it hangs", actions.DetachDefaultRoot(), made, False),
        ("it is off", actions.DetachDefaultRoot(), off, True),
        ("it is not known", actions.DetachDefaultRoot(), with_run(off, default_root_id=None), False),
        ("no run", actions.DetachDefaultRoot(), NO_RUN, False),
        ("it is gone", actions.DetachDefaultRoot(), gone, True),
        ("it is off", actions.DeleteDefaultRoot(), off, False),
        ("it is gone", actions.DeleteDefaultRoot(), gone, True),
        ("it is not known", actions.DeleteDefaultRoot(), with_run(gone, default_root_id=None), False),
        ("no run", actions.DeleteDefaultRoot(), NO_RUN, False),
        ("at home", first(actions.DetachReplica), NO_RUN, False),
        ("loose", first(actions.DetachReplica), loose, True),
        ("on the guest", first(actions.DetachReplica), testing, True),
        ("not confirmed", actions.RevertReplica(R0, "d"), testing, False),
        ("confirmed", actions.RevertReplica(R0, "d"), done(actions.RevertReplica), True),
        ("no run", actions.RevertReplica(R0, "d"), NO_RUN, False),
        ("no point", actions.RevertReplica("x", "d"), testing, False),
        ("usable", snapped, testing, True),
        ("in the making", snapped, with_snapshots(testing, state="BackingUp"), False),
        ("gone", snapped, replace(testing, snapshots={}), False),
        ("no run", snapped, NO_RUN, False),
        ("there", attach, attached, True),
        ("elsewhere", attach, with_volume(attached, R0, vm_id="vm-x"), False),
        ("at another device", attach, with_volume(attached, R0, device_id=1), False),
        ("on its way", attach, with_volume(attached, R0, state="Attaching"), False),
        ("not as a root", attach, with_volume(attached, R0, type="DATADISK"), False),
        ("not there at all", attach, without_volume(attached, R0), False),
        ("as a root at a data device", replace(attach, device=1), with_volume(attached, R0, device_id=1), False),
        ("still reserved", actions.Resume(), testing, False),
        ("not reserved", actions.Resume(), cloned, True),
        ("no run", actions.Resume(), NO_RUN, False),
        ("made", clone_it, cloned, True),
        ("in the making", clone_it, with_volume(cloned, clone(cloned), state="Creating"), False),
        ("deleted", clone_it, with_volume(cloned, clone(cloned), state="Expunged"), False),
        ("not made", clone_it, before(actions.CloneReplica, CLONE), False),
        ("there", attach_clone, cloned, True),
        ("not made", attach_clone, before(actions.CloneReplica, CLONE), False),
        ("loose", attach_clone, with_volume(cloned, clone(cloned), vm_id=None), False),
        ("elsewhere", attach_clone, with_volume(cloned, clone(cloned), vm_id="vm-x"), False),
        ("at another device", attach_clone, with_volume(cloned, clone(cloned), device_id=1), False),
        ("on its way", attach_clone, with_volume(cloned, clone(cloned), state="Attaching"), False),
        ("not as a root", attach_clone, with_volume(cloned, clone(cloned), type="DATADISK"), False),
        ("no guest", attach_clone, replace(cloned, guest=None), False),
        ("it hangs", actions.DetachClone(R0, "d"), cloned, False),
        ("it is loose", actions.DetachClone(R0, "d"), with_volume(cloned, clone(cloned), vm_id=None), True),
        ("it is gone", actions.DetachClone(R0, "d"), without_volume(cloned, clone(cloned)), True),
        ("it is there", actions.DeleteClone(R0, "d"), with_volume(cloned, clone(cloned), vm_id=None), False),
        ("it is gone", actions.DeleteClone(R0, "d"), without_volume(cloned, clone(cloned)), True),
        ("usable", snapshot_guest, whole, True),
        ("in the making", snapshot_guest, middles.with_row(whole, state="Creating"), False),
        ("none", snapshot_guest, replace(whole, vm_snapshots={}), False),
        ("not confirmed", actions.RevertGuest(), whole, False),
        ("confirmed", actions.RevertGuest(), done(actions.RevertGuest, WHOLE), True),
        ("no run", actions.RevertGuest(), NO_RUN, False),
        ("no point", actions.RevertGuest(), with_run(whole, guest_point=None), False),
        ("there", actions.DeleteGuestSnapshot(), whole, False),
        ("gone", actions.DeleteGuestSnapshot(), replace(whole, vm_snapshots={}), True),
        ("it runs", actions.StartGuest(), testing, True),
        ("it stands", actions.StartGuest(), made, False),
        ("no guest", actions.StartGuest(), NO_RUN, False),
        ("it stands", expunge, made, False),
        ("in the bin", expunge, with_guest(made, state="Destroyed"), False),
        ("gone", expunge, NO_RUN, True),
        ("it stands", bin_it, made, False),
        ("in the bin", bin_it, with_guest(made, state="Destroyed"), True),
        ("on its way out", bin_it, with_guest(made, state="Expunging"), True),
        ("there", deleted, testing, False),
        ("gone", deleted, replace(testing, snapshots={}), True),
        ("no run", deleted, NO_RUN, True),
        ("there", leftover, replace(testing, snapshots={"s-9": kept}), False),
        ("another", leftover, replace(testing, snapshots={"s-8": kept}), True),
        ("held", actions.Release(), testing, False),
        ("given back", actions.Release(), with_run(testing, reserved=False), True),
        ("no run", actions.Release(), NO_RUN, True),
    ]  # fmt: skip


CASES = cases()


@pytest.mark.parametrize(("action", "world", "yes"), [c[1:] for c in CASES], ids=[f"{c[1].word}: {c[0]}" for c in CASES])
def test_an_action_is_achieved_only_when_the_world_shows_it(action: actions.Action, world: World, yes: bool) -> None:
    assert action.achieved(world) is yes


def test_words_in_journals_and_the_order_within_a_vm_are_for_ever() -> None:
    assert tuple(kind.word for kind in actions.ORDER) == WORDS
    assert tuple(actions.BY_WORD) == WORDS
    together = {kind.word for kind in actions.TOGETHER}
    of_one_disk = ("snapshot-r", "revert-r", "clone", "delete-clone", "delete-s", "delete-l")
    assert together == {word for word in WORDS if word.startswith(of_one_disk)}


SUBJECTS = {
    **dict.fromkeys((actions.Reserve, actions.Resume, actions.Release), "context"),
    **dict.fromkeys((actions.DetachDefaultRoot, actions.DeleteDefaultRoot), "default-root"),
    **dict.fromkeys((actions.CreateGuest, actions.MarkGuest, actions.StopGuest, actions.StartGuest), "guest"),
    **dict.fromkeys((actions.SnapshotGuest, actions.RevertGuest, actions.DeleteGuestSnapshot), "guest"),
    actions.DestroyGuest: "guest",
}
"""What actions that are not on a replica are about."""


def every_kind() -> dict[type[actions.Action], actions.Action]:
    """One action of each kind, out of the three strategies' plans."""
    found: dict[type[actions.Action], actions.Action] = {
        actions.DeleteLeftover: actions.DeleteLeftover(R0, "disk-2000", "s-9")
    }
    for strategy, capabilities in middles.CLOUDS.items():
        plan = middles.plan(strategy, worlds.world(2, capabilities=capabilities))
        for step in (*plan.steps, *plan.way_back):
            found.setdefault(type(step.action), step.action)
    return found


@pytest.mark.parametrize("kind", actions.ORDER)
def test_an_action_names_what_it_is_about_and_survives_the_journal(kind: type[actions.Action]) -> None:
    action = every_kind()[kind]
    assert action.subject == SUBJECTS.get(kind, R0)
    assert action.as_json()["action"] == kind.word
    assert actions.from_json(action.as_json()) == action


def test_an_older_journal_that_lacks_a_field_with_a_default_is_read() -> None:
    assert actions.from_json({"action": "reserve"}) == actions.Reserve(None, VOLUMES)
    assert actions.from_json({"action": "reserve", "strategy": "clone", "boot_disk": "d"}) == actions.Reserve("d", CLONE)
    create = first(actions.CreateGuest)
    assert actions.from_json({k: v for k, v in create.as_json().items() if k != "uefi"}) == create
    moved = {"action": "detach-replica", "volume_id": R0, "disk": "d", "source": "guest"}
    assert actions.from_json(moved) == actions.DetachReplica(R0, "d", Place.GUEST)


@pytest.mark.parametrize("broken", [{}, {"action": "fly"}, {"action": "delete-leftover", "volume_id": R0, "disk": "d"}])
def test_what_is_no_action_is_not_read(broken: dict[str, str]) -> None:
    with pytest.raises((KeyError, TypeError)):
        actions.from_json(broken)
