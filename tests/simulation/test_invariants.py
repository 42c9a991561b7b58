"""Every rule can fail: a world in good order breaks none, and one thing put wrong in it breaks exactly what it should."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from reconciler.execute import Kind, Outcome
from reconciler.loop import Engine, Pass, Round
from simulator.model import Volume
from tests.simulation import furniture, plots
from tests.simulation.invariants import CALLS, ENDS, ROUNDS, STATES, Sent, Violation, Watch, rule_text
from tests.simulation.plots import Order, Plot, Vm
from tests.simulation.trials import LOOKS, Show

VM = Vm(0, disks=2, strategy="volume-snapshot")
FIRST, SECOND = VM.volumes
APPLIANCE = furniture.appliance(0)
NOBODY = "00000000-0000-4000-8000-00000000dead"
PLOT = Plot(0, (VM, Vm(1, disks=1)), {"kvm.snapshot.enabled": False}, durations=1.0, orders=(Order(0.0, "test", 0, 5),))
Case = tuple[str, Callable[["Scene"], object]]


class Scene:
    """A test that runs, two disks lent to its guest, both written; what the breaches below work on."""

    def __init__(self, state: str = "holding", skips: bool = False) -> None:
        self.show = Show(replace(PLOT, orders=tuple(replace(order, skips=skips) for order in PLOT.orders)))
        self.show.until(state)
        self.watch, self.cloud, self.raw = self.show.watch, self.show.stage.cloud, self.show.stage.raw
        self.run = dict(self.watch.rows("select * from fr_runs")[0])
        self.guest = self.cloud.vms[self.run["guest_id"]]

    def sent(self, word: str, command: str, subject: str | None = None, **given: str) -> Sent:
        """A call of a step that is in the journal, made as if it were on its way now."""
        query = "select * from fr_steps where word = ? and (? is null or subject = ?) order by seq limit 1"
        (row,) = self.watch.rows(query, word, subject, subject)
        return Sent(command, given, {**dict(row), "state": "started"})

    def detach(self, volume: str = FIRST, **more: str) -> Sent:
        return self.sent("detach-replica", "detachVolume", volume, id=volume, **more)

    def attach(self, volume: str, machine: str, device: int) -> Sent:
        place = {"virtualmachineid": machine, "deviceid": str(device)}
        return self.sent("attach-replica", "attachVolume", volume, id=volume, **place)

    def start(self) -> Sent:
        return self.sent("start-guest", "startVirtualMachine", id=self.guest.id)

    def destroy(self) -> Sent:
        step = {"seq": 0, "state": "started", "word": "destroy-guest", "action": "{}", "direction": "back"}
        return Sent("destroyVirtualMachine", {"id": self.guest.id}, {"run_id": self.run["id"], **step})

    def deploy(self, networks: str) -> Sent:
        return self.sent("create-guest", "deployVirtualMachine", networkids=networks)

    def volume(self, ident: str) -> Volume:
        return self.cloud.volumes[ident]

    def point(self, volume: str) -> str:
        return next(s.id for s in self.cloud.snapshots.values() if s.volume == volume)

    def do(self, *statements: str) -> None:
        for statement in statements:
            assert self.raw.execute(statement).rowcount != 0, f"changes nothing: {statement}"


# --- calls ------------------------------------------------------------------------------------------------------------


def _in_doubt(scene: Scene) -> Sent:
    scene.watch.sent.add("first")
    scene.cloud.as_account("failover").call("detachVolume", id=SECOND, customjobid=NOBODY)
    scene.cloud.volumes[SECOND].vm, scene.watch.sent = None, {NOBODY}
    return scene.detach(SECOND)


def _with(change: Callable[[Scene], object], then: Callable[[Scene], Sent]) -> Callable[[Scene], Sent]:
    def made(scene: Scene) -> Sent:
        change(scene)
        return then(scene)

    return made


def _without_points(scene: Scene) -> None:
    scene.cloud.snapshots.clear()


def _production_card(scene: Scene) -> None:
    scene.guest.nics[0].network = furniture.PRODUCTION_NET


def _replicating(scene: Scene) -> None:
    row = {"id": "sync", "source_vm_id": VM.key, "source_vm_name": VM.name, "status": "replicating"}
    furniture.insert(scene.raw, "replication_jobs", row)


def _elsewhere(scene: Scene) -> None:
    scene.volume(SECOND).device = 9


def _not_planned(scene: Scene) -> Sent:
    sent = scene.detach()
    return Sent(sent.command, sent.given, {**dict(sent.step or {}), "action": '{"action":"detach-replica","volume_id":"x"}'})


def _not_begun(scene: Scene) -> Sent:
    sent = scene.detach()
    return Sent(sent.command, sent.given, {**dict(sent.step or {}), "state": "done"})


def _frozen(scene: Scene) -> None:
    """The run was on its way there a moment ago, and a person froze it."""
    scene.watch.freeze(VM)
    scene.do("update fr_runs set running_since = null, not_before = null, state = 'paused'")


CALL_BREACHES: Mapping[str, tuple[Callable[[Scene], Sent], ...]] = {
    "I4": (
        lambda scene: Sent("detachVolume", {"id": FIRST}, None),
        lambda scene: scene.sent("start-guest", "detachVolume", id=FIRST),
        lambda scene: scene.sent("detach-replica", "detachVolume", FIRST, id=SECOND),
        _not_planned,
        _not_begun,
    ),
    "I1": (
        lambda scene: (
            scene.detach(FIRST, virtualmachineid=NOBODY)
            and scene.sent("detach-replica", "detachVolume", FIRST, id=plots.Vm(1, 1).volumes[0])
        ),
        lambda scene: scene.attach(FIRST, NOBODY, 1),
        lambda scene: scene.sent("snapshot-replica", "deleteSnapshot", FIRST, id=NOBODY),
    ),
    "INV-11": (lambda scene: scene.sent("detach-replica", "detachVolume", FIRST, id=NOBODY),),
    "INV-02": (lambda scene: scene.sent("delete-default-root", "deleteVolume", id=FIRST),),
    "INV-03": (Scene.destroy,),
    "INV-04": (
        lambda scene: scene.sent("start-guest", "stopVirtualMachine", id=APPLIANCE),
        lambda scene: scene.attach(FIRST, APPLIANCE, 0),
    ),
    "INV-05": (lambda scene: scene.sent("snapshot-replica", "deleteSnapshot", FIRST, id=scene.point(FIRST)),),
    "INV-06": (_with(_elsewhere, Scene.start),),
    "INV-07 I5": (_with(_without_points, Scene.start),),
    "INV-08": (
        _with(_production_card, Scene.start),
        lambda scene: scene.deploy(furniture.PRODUCTION_NET),
        lambda scene: scene.sent("create-guest", "deployVirtualMachine"),
    ),
    "INV-10": (_with(_replicating, Scene.detach),),
    "INV-12": (_in_doubt,),
    "I2": (lambda scene: scene.attach(FIRST, scene.guest.id, 0),),
    "INV-14 (home)": (lambda scene: scene.attach(FIRST, APPLIANCE, 1),),
    "frozen": (_with(_frozen, Scene.detach),),
}


# --- states, rounds and ends ------------------------------------------------------------------------------------------


def _lost(scene: Scene) -> None:
    scene.volume(FIRST).removed = True


def _nowhere(scene: Scene) -> None:
    scene.do("delete from fr_steps where word = 'detach-replica'")
    scene.cloud.take_off(scene.volume(FIRST))


def _on_a_stranger(scene: Scene) -> None:
    scene.volume(FIRST).vm = NOBODY


def _appliance_off(scene: Scene) -> None:
    scene.cloud.vms[APPLIANCE].state = "Stopped"


def _appliance_without_root(scene: Scene) -> None:
    scene.cloud.take_off(next(v for v in scene.cloud.attached(scene.cloud.vms[APPLIANCE]) if v.device == 0))


def _appliance_recarded(scene: Scene) -> None:
    scene.cloud.vms[APPLIANCE].nics[0].network = furniture.TEST_NET


STATE_BREACHES: Mapping[str, tuple[Callable[[Scene], None], ...]] = {
    "INV-02 (state)": (_lost,),
    "INV-01": (_nowhere, _on_a_stranger, lambda scene: scene.do("update fr_runs set open_of = null")),
    "INV-04 (state)": (_appliance_off, _appliance_without_root, _appliance_recarded),
    "I6": (_production_card,),
    "INV-07 (state)": (_without_points,),
}


def _second_run(scene: Scene) -> None:
    columns = [name for name in scene.run if name not in ("id", "open_of")]
    names = ", ".join(columns)
    scene.do(f"insert into fr_runs (id, open_of, {names}) select 'another', null, {names} from fr_runs")


def _over_and_on(scene: Scene) -> None:
    scene.do("update failover_jobs set completed_at = '2026-01-01 00:00:00'")
    assert list(ROUNDS["INV-13"](scene.watch)) == []
    scene.do("update failover_jobs set status = 'reverting'")


def _going_on_again(scene: Scene) -> None:
    _over_and_on(scene)
    scene.do("update failover_jobs set completed_at = null")


def _too_many(scene: Scene) -> None:
    for number in range(PLOT.max_runs + 1):
        columns = [name for name in scene.run if name not in ("id", "open_of", "state")]
        names = ", ".join(columns)
        chosen = f"select 'run-{number}', null, 'running', {names} from fr_runs where id = '{scene.run['id']}'"
        scene.do(f"insert into fr_runs (id, open_of, state, {names}) {chosen}")


def _set(change: str) -> Callable[[Scene], None]:
    def frozen_then(scene: Scene) -> None:
        _frozen(scene)
        assert list(ROUNDS["frozen (runs)"](scene.watch)) == []
        scene.do(f"update fr_runs set {change}")

    return frozen_then


ROUND_BREACHES: Mapping[str, tuple[Callable[[Scene], None], ...]] = {
    "INV-12 (runs)": (_second_run,),
    "I7": (_too_many,),
    "I3 INV-09": (lambda scene: scene.do("update fr_runs set kind = 'live'"),),
    "INV-13": (_over_and_on, _going_on_again),
    "S-11": (
        lambda scene: scene.do("update fr_runs set progress = progress - 1"),
        lambda scene: scene.do("update fr_runs set progress = 85"),
        lambda scene: scene.do("update fr_runs set progress = 101, state = 'running'"),
    ),
    "S-10": (
        lambda scene: scene.do("update failover_jobs set status = 'creating_vm'"),
        lambda scene: scene.do("update failover_jobs set status = 'unheard of'"),
    ),
    "frozen (runs)": (
        _set("state = 'running'"),
        _set("direction = 'back'"),
        _set("not_before = '2026-01-01 00:00:00'"),
        _set("state = 'rolled-back', open_of = null"),
    ),
    "liveness": (lambda scene: scene.do("update fr_runs set state = 'stuck'"),),
}


def _away(scene: Scene) -> None:
    scene.cloud.take_off(scene.volume(FIRST))


def _left(scene: Scene) -> None:
    snapshot = next(s for s in scene.cloud.snapshots.values() if s.volume == FIRST)
    snapshot.state, snapshot.removed = "BackedUp", False


def _guest_left(scene: Scene) -> None:
    scene.guest.state, scene.guest.removed = "Stopped", False


def _written(scene: Scene) -> None:
    scene.volume(FIRST).content = "something else"


END_BREACHES: Mapping[str, tuple[Callable[[Scene], None], ...]] = {
    "INV-13 (end)": (_away, _left, _guest_left, lambda scene: scene.do("update failover_jobs set status = 'executing'")),
    "INV-14": (_written,),
}


# --- what a trial asks for at its end ---------------------------------------------------------------------------------


def _unnamed(scene: Scene) -> None:
    scene.do("update fr_runs set guest_id = null, guest_name = 'another'")


def _unnamed_point(scene: Scene) -> None:
    scene.do("delete from fr_points")


def _nobody_says(scene: Scene) -> None:
    scene.do("update fr_runs set state = 'completed', open_of = null")


INVENTORY_BREACHES = (
    *(("completed", way) for way in (_away, _left, _guest_left, _written)),
    *(("holding", way) for way in (_unnamed, _unnamed_point, _nobody_says)),
)


def _nothing(*_given: object) -> Round:
    return Round()


def _always_something_else(engine: Engine, *_given: object) -> Round:
    """Rounds in which every VM says something new, and nothing comes of it."""
    why = f"waits since {engine.clock.now()}"
    return Round(tuple(Pass(vm.key, vm.name, Outcome(Kind.WAIT, why)) for vm in PLOT.vms))


# --- the tests --------------------------------------------------------------------------------------------------------


def _cases(breaches: Mapping[str, tuple[Any, ...]]) -> list[Any]:
    named = ((name, number, way) for name, ways in breaches.items() for number, way in enumerate(ways))
    return [pytest.param(name, way, id=f"{name}-{number}") for name, number, way in named]


@pytest.mark.parametrize(("name", "way"), _cases(CALL_BREACHES))
def test_a_call_that_breaks_a_rule_is_seen(name: str, way: Callable[[Scene], Sent]) -> None:
    scene = Scene()
    sent = way(scene)
    assert list(CALLS[name](scene.watch, sent))
    assert not list(CALLS["INV-15"](scene.watch, sent)), "nothing is skipped"


SPENT = [case for case in _cases(CALL_BREACHES) if case.id != "I4-0"]
"""Without a step nobody knows whose call it is."""


@pytest.mark.parametrize(("name", "way"), SPENT)
def test_a_spec_that_leaves_out_checks_leaves_out_no_rule(name: str, way: Callable[[Scene], Sent]) -> None:
    scene = Scene(skips=True)
    found = list(CALLS["INV-15"](scene.watch, way(scene)))
    assert any(text.startswith(f"{name}: ") for text in found)


@pytest.mark.parametrize(("name", "way"), _cases(STATE_BREACHES))
def test_a_state_that_breaks_a_rule_is_seen(name: str, way: Callable[[Scene], None]) -> None:
    scene = Scene()
    assert list(STATES[name](scene.watch)) == []
    way(scene)
    assert list(STATES[name](scene.watch))


@pytest.mark.parametrize(("name", "way"), _cases(ROUND_BREACHES))
def test_a_journal_that_breaks_a_rule_is_seen(name: str, way: Callable[[Scene], None]) -> None:
    scene = Scene()
    assert list(ROUNDS[name](scene.watch)) == []
    way(scene)
    assert list(ROUNDS[name](scene.watch))


@pytest.mark.parametrize(("name", "way"), _cases(END_BREACHES))
def test_an_end_that_breaks_a_rule_is_seen(name: str, way: Callable[[Scene], None]) -> None:
    scene = Scene("completed")
    assert list(ENDS[name](scene.watch, scene.run)) == []
    way(scene)
    assert list(ENDS[name](scene.watch, scene.run))


@pytest.mark.parametrize(("state", "way"), INVENTORY_BREACHES)
def test_what_is_not_as_before_and_named_by_no_open_run_is_seen(state: str, way: Callable[[Scene], None]) -> None:
    scene = Scene(state)
    scene.show.inventory()
    way(scene)
    with pytest.raises(Violation, match="R7 the inventory is not as before"):
        scene.show.inventory()


@pytest.mark.parametrize("rounds", [_nothing, _always_something_else])
def test_a_run_that_comes_to_no_end_and_asks_nobody_is_seen(
    rounds: Callable[..., Round], monkeypatch: pytest.MonkeyPatch
) -> None:
    show = Scene("holding").show
    monkeypatch.setattr(Engine, "round", rounds)
    with pytest.raises(Violation, match="liveness: 600 rounds after tests began"):
        show._settled("tests began")


@pytest.mark.parametrize("state", ["stuck", "paused"])
def test_a_run_that_asks_for_a_person_is_an_end(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene("holding")
    monkeypatch.setattr(Engine, "round", _nothing)
    scene.do(f"update fr_runs set state = '{state}', reason = 'a person is to look'")
    before = scene.show.rounds
    scene.show._settled("tests began")
    assert scene.show.rounds - before == LOOKS


@cache
def _every_rule() -> frozenset[str]:
    return frozenset((*CALLS, *STATES, *ROUNDS, *ENDS))


def test_every_rule_has_a_breach_and_says_what_it_is_about() -> None:
    breaches = ("INV-15", *CALL_BREACHES, *STATE_BREACHES, *ROUND_BREACHES, *END_BREACHES)
    assert sorted(breaches) == sorted(_every_rule())
    assert all(rule_text(name) for name in _every_rule())


@pytest.mark.parametrize("ident", [*(f"INV-{n:02}" for n in range(1, 16)), *(f"I{n}" for n in range(1, 8))])
def test_every_invariant_of_the_contract_has_a_rule(ident: str) -> None:
    assert any(ident in name.split() for name in _every_rule())


def test_a_watch_that_sees_nothing_wrong_says_nothing() -> None:
    scene = Scene("completed")
    assert isinstance(scene.watch, Watch)
    scene.watch.round_over()
    assert scene.watch.judged > 0
