"""Whatever goes wrong at whatever request: an outcome of a known type, in bounded time, and true where it says done.

While it is not known what became of a change no second one is sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.source.errors import SourceError
from reconciler.source.outcomes import Done, Outcome, Refused, Unknown
from reconciler.source.reach import reachable, said_of
from simulator.source.estate import OFF, ON, SUSPENDED
from simulator.source.faults import KINDS
from tests.reconciler.source.side import APPLIANCE, DISKS, KEY, LOGIN, SOURCE, Side, simulated

IN_REAL_TIME = {"slow-answer"}
LEAVES_OPEN = {"drop", "lose-answer", "half-answer", "empty-body", "html"}
ANSWERS_AT_ALL = {200, 400, 401, 404, 409, 429}
A_PAGE_AFTER_THE_DEED = {"kind": "html", "nth": 1, "times": 1, "code": 404, "seconds": 0.0}
REQUESTS = (
    *("appliance:power-state", "appliance:power-off", "appliance:power-on"),
    *("replication:start", "replication:jobs", "replication:job"),
)
FAULTS = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(sorted(KINDS.keys() - IN_REAL_TIME - {"says"})),
            "request": st.sampled_from(("*", *REQUESTS)),
            "nth": st.integers(1, 4),
            "times": st.sampled_from((1, 2, 1000)),
            "code": st.sampled_from((200, 302, 400, 401, 404, 409, 429, 500, 502, 503)),
            "seconds": st.sampled_from((0.0, 10.0)),
        }
    ),
    max_size=4,
)
STATES = st.tuples(st.sampled_from((ON, OFF, SUSPENDED)), st.sampled_from(("toolsOk", "notRunning", "?")))


def ended(ask: Callable[[], Outcome]) -> Outcome | SourceError:
    try:
        return ask()
    except SourceError as unsent:
        return unsent


def with_faults(side: Side, faults: list[dict[str, Any]]) -> None:
    for fault in faults:
        side.faults.add(**fault)


def left_open(side: Side, request: str) -> bool:
    """Whether the first of these changes was struck so that nobody knows what became of it."""
    first = next((kinds for name, kinds in side.server.struck if name == request), ())
    return any(
        (kind in LEAVES_OPEN and (kind, code) != ("html", 401)) or (kind == "refuse" and code not in ANSWERS_AT_ALL)
        for kind, code in first[:1]
    )


@settings(max_examples=80, deadline=None)
@given(faults=FAULTS, state=STATES, force=st.booleans(), wanted=st.sampled_from((ON, OFF)))
@example([{**A_PAGE_AFTER_THE_DEED, "request": "appliance:power-off"}], (ON, "toolsOk"), True, OFF)
@example([{**A_PAGE_AFTER_THE_DEED, "request": "appliance:power-off", "kind": "drop"}], (ON, "toolsOk"), True, OFF)
@example([{**A_PAGE_AFTER_THE_DEED, "request": "appliance:power-off", "kind": "no-effect"}], (ON, "toolsOk"), False, OFF)
def test_power(faults: list[dict[str, Any]], state: tuple[str, str], force: bool, wanted: str) -> None:
    with simulated() as side:
        side.vm.power, side.vm.tools = state
        with_faults(side, faults)
        appliance, verb = side.appliance, "appliance:power-off" if wanted == OFF else "appliance:power-on"
        if wanted == OFF:
            outcome = ended(lambda: appliance.switch_off(SOURCE, LOGIN, force=force))
        else:
            outcome = ended(lambda: appliance.switch_on(SOURCE, LOGIN))
        side.estate.settle()
        assert isinstance(outcome, Done | Refused | Unknown | SourceError)
        sent = side.server.calls[verb]
        assert sent <= (2 if wanted == OFF and force else 1)
        if isinstance(outcome, Done):
            assert side.vm.power == wanted
        if isinstance(outcome, SourceError):
            assert sent == 0
        if left_open(side, verb):
            assert sent == 1
            assert not isinstance(outcome, Refused)
        assert side.waited() <= timedelta(minutes=30).total_seconds()


@settings(max_examples=80, deadline=None)
@given(faults=FAULTS, scheduled=st.booleans())
@example([{**A_PAGE_AFTER_THE_DEED, "request": "replication:start"}], False)
@example([{**A_PAGE_AFTER_THE_DEED, "request": "replication:start", "kind": "job-same-change-id"}], False)
def test_sync(faults: list[dict[str, Any]], scheduled: bool) -> None:
    with simulated() as side:
        side.estate.syncing = 4
        if scheduled:
            side.estate.sync(side.vm, "the scheduler's")
        with_faults(side, faults)
        outcome = ended(lambda: side.replication.sync(SOURCE, "ours", timedelta(seconds=60)))
        assert isinstance(outcome, Done | Refused | Unknown | SourceError)
        assert side.server.calls["replication:start"] <= 1
        assert side.changes("sync") <= 1 + scheduled
        if isinstance(outcome, Done):
            assert outcome.proof == side.vm.change_ids
            assert all(outcome.proof[d.key] not in ("", d.change_id) for d in DISKS)
        if isinstance(outcome, SourceError) or scheduled:
            assert side.server.calls["replication:start"] == 0
        if left_open(side, "replication:start") and not side.changes("sync"):
            assert isinstance(outcome, Unknown)


@settings(max_examples=40, deadline=None)
@given(faults=FAULTS)
def test_looks(faults: list[dict[str, Any]]) -> None:
    with simulated() as side:
        with_faults(side, faults)
        reachable(side.side)
        said_of(side.side, SOURCE)
        assert side.estate.changes == []
        assert side.waited() == 0


# what a service might say: documented words and ids among anything else that JSON can hold
WORDS = st.sampled_from(
    (KEY, APPLIANCE, "poweredOn", "poweredOff", "completed", "disk-2000", "new/9", "", "\ud800", "x" * 5000)
)
NAMES = ("vm_id", "uuid", "power_state", "tools_status", "id", "status", "disks", "disk_id", "change_id", "progress_percent")
LEAVES = WORDS | st.none() | st.booleans() | st.integers() | st.floats()
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from((*NAMES, "idempotency_key", "volume_id")), inner, max_size=5)
    ),
    max_leaves=12,
)
ANSWERS = st.dictionaries(st.sampled_from((*NAMES, "replications", "volumes")), VALUES, max_size=6)


@settings(max_examples=80, deadline=None)
@given(answers=st.lists(ANSWERS, min_size=1, max_size=4), request=st.sampled_from(("*", *REQUESTS)))
@example([{"id": "\ud800", "status": "pending", "vm_id": KEY}], "replication:start")
@example([{"id": "x" * 5000, "status": "pending", "vm_id": KEY}], "replication:start")
@example([{"power_state": [], "vm_id": KEY}], "appliance:power-state")
@example([{"vm_id": KEY, "power_state": "poweredOff", "uuid": "another"}], "appliance:power-state")
def test_answers_of_any_content(answers: list[dict[str, Any]], request: str) -> None:
    with simulated() as side:
        for nth, answer in enumerate(answers, 1):
            side.faults.add("says", request, nth=nth, times=100, code=200, text=json.dumps(answer))
        said = said_of(side.side, SOURCE)
        off = ended(lambda: side.appliance.switch_off(SOURCE, LOGIN, force=False))
        synced = ended(lambda: side.replication.sync(SOURCE, "ours", timedelta(seconds=20)))
        for outcome in (off, synced):
            assert isinstance(outcome, Done | Refused | Unknown | SourceError)
            told = str(outcome)
            assert len(told) < 2000
            told.encode()
        assert side.server.calls["replication:start"] <= 1
        assert side.server.calls["appliance:power-off"] <= 1
        assert said is not None
