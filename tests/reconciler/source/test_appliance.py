"""The appliance: what it says is looked at twice, and silence is not death."""

from __future__ import annotations

import socket
import threading
from datetime import timedelta

import pytest

from reconciler.source.appliance import Appliance, Power, PowerState, Tools
from reconciler.source.door import Door
from reconciler.source.errors import BadAnswer, LookFailed, NotKnown, SourceError, Unauthorised, Unreachable
from reconciler.source.outcomes import Done, Refused, Unknown
from simulator.source.estate import OFF, ON, SUSPENDED
from tests.reconciler.source.side import LOGIN, SOURCE, Side


@pytest.mark.parametrize("power", [ON, OFF, SUSPENDED])
@pytest.mark.parametrize("tools", ["toolsOk", "toolsOld", "notRunning", "notInstalled"])
def test_every_power_state_with_every_state_of_the_tools_is_told(side: Side, power: str, tools: str) -> None:
    side.vm.power, side.vm.tools = power, tools
    assert side.appliance.power(SOURCE, LOGIN) == PowerState(Power(power), Tools(tools))


def test_tools_in_a_state_that_is_not_documented_are_not_taken_for_running(side: Side) -> None:
    side.vm.tools = "toolsFine"
    assert side.appliance.power(SOURCE, LOGIN).tools is Tools.UNKNOWN
    assert isinstance(side.appliance.switch_off(SOURCE, LOGIN, force=False), Refused)


@pytest.mark.parametrize(
    ("kind", "more", "fault"),
    [
        ("not-found-200", {}, NotKnown),
        ("other-vm", {}, BadAnswer),
        ("refuse", {"code": 404}, NotKnown),
        ("refuse", {"code": 401}, Unauthorised),
        ("refuse", {"code": 302}, LookFailed),
        ("refuse", {"code": 500}, LookFailed),
        ("drop", {}, Unreachable),
        ("half-answer", {}, Unreachable),
        ("empty-body", {}, BadAnswer),
        ("html", {"code": 200}, BadAnswer),
    ],
)
def test_what_is_no_answer_about_this_vm_is_a_fault_of_its_own_kind(side: Side, kind: str, more: dict, fault: type) -> None:
    side.faults.add(kind, "appliance:power-state", **more)
    with pytest.raises(fault) as told:
        side.appliance.power(SOURCE, LOGIN)
    assert told.value.what
    assert told.value.then


def test_a_power_state_that_is_not_documented_is_none(side: Side) -> None:
    side.vm.power = "poweredSideways"
    with pytest.raises(BadAnswer):
        side.appliance.power(SOURCE, LOGIN)


def test_an_appliance_that_does_not_answer_says_nothing_of_the_vm(side: Side) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = Appliance(Door(f"http://127.0.0.1:{taken.getsockname()[1]}"), side.clock)
        with pytest.raises(Unreachable) as told:
            nobody.switch_off(SOURCE, LOGIN, force=True)
    assert told.value.sent is False


def test_a_guest_that_shuts_down_is_waited_for(side: Side) -> None:
    side.estate.shutdown = 60
    assert isinstance(side.appliance.switch_off(SOURCE, LOGIN, force=False), Done)
    assert side.vm.power == OFF
    assert side.waited() == 60
    assert side.changes(OFF) == 1


def test_a_vm_that_is_off_or_on_already_is_not_switched(side: Side) -> None:
    assert isinstance(side.appliance.switch_on(SOURCE, LOGIN), Done)
    side.vm.power = OFF
    assert isinstance(side.appliance.switch_off(SOURCE, LOGIN, force=True), Done)
    assert side.estate.changes == []


@pytest.mark.parametrize(("power", "tools"), [(ON, "notRunning"), (ON, "notInstalled"), (SUSPENDED, "toolsOk")])
def test_who_cannot_shut_down_by_itself_is_switched_off_only_by_force(side: Side, power: str, tools: str) -> None:
    side.vm.power, side.vm.tools = power, tools
    assert isinstance(side.appliance.switch_off(SOURCE, LOGIN, force=False), Refused)
    assert side.server.calls["appliance:power-off"] == 0
    assert isinstance(side.appliance.switch_off(SOURCE, LOGIN, force=True), Done)
    assert side.server.calls["appliance:power-off"] == 1


def test_a_success_without_effect_is_refused_and_force_follows_only_where_it_is_allowed(side: Side) -> None:
    side.faults.add("no-effect", "appliance:power-off", times=2)
    assert isinstance(side.appliance.switch_off(SOURCE, LOGIN, force=False), Refused)
    assert isinstance(side.appliance.switch_off(SOURCE, LOGIN, force=True), Done)
    assert side.server.calls["appliance:power-off"] == 3


@pytest.mark.parametrize(
    ("kind", "code"),
    [("lose-answer", 0), ("html", 502), ("html", 404), ("html", 200), ("empty-body", 0), ("half-answer", 0)],
)
def test_a_lost_answer_is_settled_by_looking(side: Side, kind: str, code: int) -> None:
    side.faults.add(kind, "appliance:power-off", code=code)
    assert isinstance(side.appliance.switch_off(SOURCE, LOGIN, force=True), Done)
    assert side.server.calls["appliance:power-off"] == 1


@pytest.mark.parametrize(("kind", "code"), [("drop", 0), ("refuse", 500), ("refuse", 503)])
def test_while_it_is_not_known_what_became_of_it_nothing_else_is_sent(side: Side, kind: str, code: int) -> None:
    side.faults.add(kind, "appliance:power-off", code=code)
    assert isinstance(side.appliance.switch_off(SOURCE, LOGIN, force=True), Unknown)
    assert side.server.calls["appliance:power-off"] == 1
    assert side.waited() >= 420, "as long as the appliance itself may try, and the time until a look shows it"


def test_a_plain_no_is_refused(side: Side) -> None:
    side.faults.add("refuse", "appliance:power-on", code=403)
    side.vm.power = OFF
    assert isinstance(side.appliance.switch_on(SOURCE, LOGIN), Refused)
    side.faults.add("refuse", "appliance:power-on", code=409)
    assert isinstance(side.appliance.switch_on(SOURCE, LOGIN), Refused)
    assert side.waited() == 0


def test_where_the_guest_is_refused_force_follows_if_it_is_allowed(side: Side) -> None:
    side.faults.add("refuse", "appliance:power-off", code=409)
    assert isinstance(side.appliance.switch_off(SOURCE, LOGIN, force=True), Done)
    assert side.server.calls["appliance:power-off"] == 2


def test_off_is_believed_only_when_seen_also_where_looks_fail_in_between(side: Side) -> None:
    side.faults.add("drop", "appliance:power-state", nth=2, times=3)
    assert isinstance(side.appliance.switch_off(SOURCE, LOGIN, force=False), Done)
    side.vm.power = ON
    side.faults.add("refuse", "appliance:power-state", nth=2, times=1000)
    assert isinstance(side.appliance.switch_off(SOURCE, LOGIN, force=False), Unknown)


def test_a_vm_that_powers_on_again_by_itself_is_seen_on_at_the_next_look(side: Side) -> None:
    side.faults.add("powers-on-again", "appliance:power-off", seconds=30)
    assert isinstance(side.appliance.switch_off(SOURCE, LOGIN, force=False), Done)
    for _ in range(6):
        side.clock.wait(timedelta(seconds=5), threading.Event())
    assert side.appliance.power(SOURCE, LOGIN).power is Power.ON


def test_a_login_of_somebody_else_is_a_fault_and_changes_nothing(side: Side) -> None:
    side.estate.logins.clear()
    with pytest.raises(SourceError):
        side.appliance.switch_off(SOURCE, LOGIN, force=True)
    assert side.estate.changes == []
