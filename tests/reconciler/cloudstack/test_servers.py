"""Calls in their turn, over real sockets: retries by verb, budgets that hold, servers that others stand in for."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.cloudstack import errors
from reconciler.cloudstack.answers import No
from reconciler.cloudstack.client import Limits, Patience
from reconciler.cloudstack.errors import BadAnswer, NotAsked, Unreachable, WrongAddress
from reconciler.cloudstack.outcomes import Accepted, Refused, Unknown
from reconciler.cloudstack.permit import Permit
from reconciler.cloudstack.retries import Verb, again, elsewhere
from tests.reconciler.cloudstack.conftest import Hand
from tests.reconciler.cloudstack.odd_server import Reply, envelope, error, odd_server

VM, JOB = "00000000-0000-4000-8000-0000000000aa", "00000000-0000-4000-8000-0000000000bb"
PERMIT = Permit("run", "test", frozenset(), frozenset(), frozenset(), VM, "guest", None, frozenset(), {})
CUT = Reply(b'{"x":{}}', cut=0)
TAKEN = envelope({"jobid": JOB})


def stop(client):
    return client.writer(PERMIT).stop(VM, forced=False, job_id=JOB)


# --- retries by verb and class ----------------------------------------------------------------------------------------

LEFT = Unreachable("cut", "w", "t", sent=True)
NEVER_LEFT = Unreachable("refused", "w", "t", sent=False)
SILENT = Unreachable("silent", "w", "t", sent=True, silent=True)


@pytest.mark.parametrize(
    ("came", "read", "write"),
    [
        (LEFT, True, False),
        (NEVER_LEFT, True, True),
        (SILENT, False, False),
        (NotAsked("open", "w", "t"), False, False),
        (BadAnswer("half", "w"), True, False),
        (WrongAddress("404", "w"), False, False),
        (No(429, "slower"), True, True),
        *((No(code, "later"), True, False) for code in (500, 502, 503, 504, 530, 533, 534)),
        *((No(code, "no"), False, False) for code in (400, 401, 405, 430, 431, 432, 531, 532, 535, 536, 537)),
    ],
    ids=str,
)
def test_a_read_is_tried_again_where_that_helps_and_a_change_only_when_it_certainly_did_nothing(came, read, write):
    assert (again(Verb.READ, came), again(Verb.WRITE, came)) == (read, write)


@pytest.mark.parametrize(
    ("came", "read", "write"),
    [
        (LEFT, True, False),
        (NEVER_LEFT, True, True),
        (SILENT, True, False),
        (NotAsked("open", "w", "t"), True, True),
        (BadAnswer("half", "w"), False, False),
        (No(503, "maintenance"), True, True),
        (No(429, "slower"), False, False),
        (No(530, "oops"), False, False),
    ],
    ids=str,
)
def test_another_server_is_asked_where_this_one_certainly_did_nothing_or_it_was_a_read(came, read, write):
    assert (elsewhere(Verb.READ, came), elsewhere(Verb.WRITE, came)) == (read, write)


# --- the breaker ------------------------------------------------------------------------------------------------------


def test_a_server_that_does_not_answer_is_left_alone_until_one_read_finds_it_well(client_for):
    hand, replies = Hand(), deque([CUT] * 6)
    with odd_server(lambda _: replies.popleft() if replies else TAKEN) as server:
        client = client_for(server.url, clock=hand.now, wait=hand.wait)
        for _ in range(2):
            with pytest.raises(Unreachable):
                client.volumes()
        heard = len(server.received)
        with pytest.raises(NotAsked, match="tried again in 5 s"):
            client.volumes()
        held = stop(client)
        assert isinstance(held, Refused)
        assert (held.code, held.retryable, len(server.received)) == (0, True, heard)
        hand.wait(5)
        assert isinstance(stop(client), Refused), "a change is never the probe"
        assert len(server.received) == heard
        with pytest.raises(Unreachable):
            client.volumes()
        hand.wait(10)
        client.volumes()
        assert stop(client) == Accepted(JOB)


def test_refusals_never_open_the_breaker(client_for):
    with odd_server(error(530)) as server:
        client = client_for(server.url)
        for _ in range(10):
            with pytest.raises(errors.LookFailed):
                client.volumes()
    assert len(server.received) == 30


# --- the budget -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lasts", "sent"), [(0.9, 0), (1.1, 1)])
def test_a_change_whose_turn_comes_when_the_lease_has_lapsed_is_not_sent(client_for, lasts, sent):
    hand = Hand()
    with odd_server(lambda _: TAKEN) as server:
        client = client_for(server.url, clock=hand.now, wait=hand.wait, limits=Limits(calls=1, interval=1.0))
        assert stop(client) == Accepted(JOB)
        leased = replace(PERMIT, until=hand.now() + timedelta(seconds=lasts))
        told = client.writer(leased).stop(VM, forced=False, job_id=JOB)
    assert len(server.received) == 1 + sent
    assert isinstance(told, Accepted if sent else Refused)


def test_no_second_holds_more_calls_than_allowed_whoever_calls_from_however_many_threads(client_for):
    hand, arrived, lock = Hand(), list[float](), threading.Lock()

    def answer(_: dict[str, str]) -> Reply:
        with lock:
            arrived.append(hand.now().timestamp())
        return envelope({})

    with odd_server(answer) as server, ThreadPoolExecutor(12) as pool:
        client = client_for(server.url, clock=hand.now, wait=hand.wait, limits=Limits(calls=10, at_once=12))
        list(pool.map(lambda _: client.volumes(), range(60)))
    # A call that had its turn may still be on its way when the clock is turned for the next one: it arrives no earlier.
    assert len(arrived) == 60
    assert hand.now().timestamp() - min(arrived) >= 5 - 0.01
    assert sum(hand.waits) == pytest.approx(5, abs=0.1)


def test_no_more_calls_are_open_at_once_than_allowed(client_for):
    now_open, most, lock, release = 0, 0, threading.Lock(), threading.Event()

    def answer(_: dict[str, str]) -> Reply:
        nonlocal now_open, most
        with lock:
            now_open += 1
            most = max(most, now_open)
        release.wait(0.02)
        with lock:
            now_open -= 1
        return envelope({})

    with odd_server(answer) as server, ThreadPoolExecutor(12) as pool:
        client = client_for(server.url, limits=Limits(calls=10_000, at_once=3))
        list(pool.map(lambda _: client.volumes(), range(30)))
    assert most == 3


def test_under_a_burst_of_refusals_fewer_calls_are_open_at_once(client_for):
    burst = deque([error(503)] * 20)
    with odd_server(lambda _: burst.popleft() if burst else envelope({})) as server:
        client = client_for(server.url, limits=Limits(calls=10_000, at_once=8))
        for _ in range(3):
            with pytest.raises(errors.LookFailed):
                client.volumes()
        (server_state,) = client._servers._all
        assert server_state._budget.window == 1
        assert server_state._budget.open == 0


def test_who_waits_too_long_for_a_turn_is_told_and_nothing_is_sent(client_for):
    hand = Hand()
    with odd_server(envelope({})) as server:
        limits = Limits(calls=1, interval=100.0)
        client = client_for(
            server.url, clock=hand.now, wait=hand.wait, limits=limits, patience=Patience(deadline=30, first_wait=0)
        )
        client.volumes()
        with pytest.raises(NotAsked, match="no turn within 30 s"):
            client.volumes()
    assert len(server.received) == 1


def test_a_clock_that_stands_lets_nobody_wait_for_ever(client_for):
    with odd_server(envelope({})) as server:
        client = client_for(server.url, wait=lambda _: None, limits=Limits(calls=1), patience=Patience(deadline=0.2))
        client.volumes()
        with pytest.raises(NotAsked):
            client.volumes()


def test_the_limit_that_the_cloud_names_is_kept_to_with_room_for_others(client_for):
    told = {"capability": {"cloudstackversion": "4.22.1.0", "apilimitinterval": 1, "apilimitmax": 10}}
    with odd_server(lambda asked: envelope(told if asked["command"] == "listCapabilities" else {})) as server:
        client = client_for(server.url)
        client.capabilities()
    assert client._servers._all[0].limits.calls == 8


# --- several servers --------------------------------------------------------------------------------------------------


def test_while_the_first_server_is_down_the_next_one_is_asked_and_a_change_too_if_it_never_left(client_for, nobody):
    with odd_server(TAKEN) as second:
        client = client_for(nobody, second.url)
        assert stop(client) == Accepted(JOB)
        assert client.volumes() == ()
    assert second.commands() == ["stopVirtualMachine", "listVolumes"]


def test_a_change_whose_answer_the_first_server_lost_is_sent_to_nobody_else(client_for):
    with odd_server(CUT) as first, odd_server(TAKEN) as second:
        assert isinstance(stop(client_for(first.url, second.url)), Unknown)
    assert (first.commands(), second.received) == (["stopVirtualMachine"], [])


def test_a_server_in_maintenance_is_stood_in_for_by_the_next_one(client_for):
    with odd_server(error(503)) as first, odd_server(TAKEN) as second:
        assert stop(client_for(first.url, second.url)) == Accepted(JOB)
    assert len(first.received) == len(second.received) == 1


def test_a_server_that_stays_away_is_not_asked_first_for_ever_and_is_found_again(client_for):
    hand, broken = Hand(), True
    with odd_server(lambda _: CUT if broken else TAKEN) as first, odd_server(TAKEN) as second:
        client = client_for(first.url, second.url, clock=hand.now, wait=hand.wait)
        for _ in range(20):
            client.volumes()
        assert (len(first.received), len(second.received)) == (5, 20)
        broken = False
        hand.wait(5)
        client.volumes()
        assert stop(client) == Accepted(JOB)
    assert (len(first.received), len(second.received)) == (7, 20)


def test_when_no_server_answers_the_last_one_asked_says_so(client_for, nobody):
    with odd_server(CUT) as second, pytest.raises(Unreachable) as failed:
        client_for(nobody, second.url).volumes()
    assert second.url in failed.value.where


def test_each_server_has_a_budget_of_its_own(client_for):
    hand = Hand()
    with odd_server(error(503)) as first, odd_server(TAKEN) as second:
        client = client_for(first.url, second.url, clock=hand.now, wait=hand.wait, limits=Limits(calls=1))
        assert client.volumes() == ()
    assert hand.waits == []
    assert len(first.received) == len(second.received) == 1
