"""Faults by rule, not by luck: what goes wrong, when, and how often; set from Python, a file or the control endpoint.

`cloud.Cloud` asks here before and after every command, when it submits work, and when time passes. A fault strikes a command
(and, if named, an object or an account) from its nth matching call on, a number of times, not before a moment. Where `chance`
is less than 1 a hash of `seed` and the count of calls decides: the same seed and the same calls give the same faults.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from simulator import wire
from simulator.jobs import Lost, Work
from simulator.refusals import Refused
from simulator.wire import Call, Reply

if TYPE_CHECKING:
    from simulator.cloud import Cloud

KINDS = {
    "refuse": "answer at once with `code` and `text`, nothing happens; 401 looks like every 401",
    "drop": "cut the connection before anything happens",
    "human": "somebody else does `do` first: a command with its parameters, `by` an account; or {power-off: VM}",
    "edit": "a hand in the database sets the columns in `do` of the row `id`: a state, a path, a pool",
    "restart": "the management server is killed and started again before the call",
    "clock-ahead": "the server's clock is `seconds` ahead when it looks at `expires`",
    "lose-answer": "do it, then cut the connection",
    "empty-body": "do it, then answer with nothing",
    "html": "do it, then answer with the page of a proxy and `code`",
    "half-answer": "do it, then cut the connection in the middle of the answer",
    "slow-answer": "do it, then answer after `seconds` of real time (only over HTTP)",
    "stale-list": "answer as at the first matching call, which is answered as it is",
    "lost-row": "a row slips to the page before: the page begins one row later",
    "repeated-row": "a row slips to the page behind: the page begins one row earlier",
    "job-fails": "the job ends with `code` and `text`; nothing happens",
    "job-no-result": "the job ends as failed without a result; its effect happens if `effect` is true",
    "job-no-effect": "the job reports success; nothing happens",
    "job-code-0": "the job ends at once as cancelled, status 2 with code 0; its effect happens in its time",
    "job-purged": "the job ends and is forgotten; its effect happens",
    "job-hangs": "the job stays pending for ever",
    "job-stuck": "the job ends without a result and leaves its objects in between",
    "late-duplicate": "the same call arrives once more, `seconds` later",
    "slow": "the job takes `seconds` longer",
    "host-fails": "the host answers with failure; `command` names its work (see HOST_WORK)",
    "host-slow": "the host takes `seconds` longer for that work",
}
HOST_WORK = (
    *("start", "stop", "attach", "detach", "snapshot", "backup"),
    *("revert-snapshot", "vmsnapshot", "revert", "merge", "resize", "plug"),
)
FROM_OUTSIDE = ("human", "restart", "edit")
ALWAYS = 10**9
PROXY = b"<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


class ConnectionCut(Exception):
    """The server closes the connection without an answer."""


@dataclass
class Fault:
    """One rule: `kind` (see KINDS) and what sets it off.

    `command` may be `*`; `object` is an id that must appear in the call; `nth` is the first matching call that is struck and
    `times` how many are; `after` are seconds from the moment the fault is set.
    """

    kind: str
    command: str = "*"
    nth: int = 1
    times: int = 1
    object: str | None = None
    account: str | None = None
    after: float = 0.0
    chance: float = 1.0
    seed: int = 0
    code: int = 530
    text: str = "simulated fault"
    seconds: float = 0.0
    effect: bool = False
    do: Mapping[str, Any] = field(default_factory=dict)
    by: str | None = None
    seen: int = 0
    fired: int = 0
    since: datetime | None = None
    kept: Mapping[str, Any] | None = None

    def matches(self, call: Call, now: datetime) -> bool:
        """Whether this call sets the fault off; counts the calls it has seen."""
        if self.command not in (call.command, "*") or self.account not in (None, call.account.name):
            return False
        if self.object is not None and not any(self.object in value for value in call.raw.values()):
            return False
        return self.strikes(self.command, now)

    def strikes(self, work: str, now: datetime) -> bool:
        """Whether this piece of work sets the fault off."""
        if self.command not in (work, "*") or self.fired >= self.times or (self.since is not None and now < self.since):
            return False
        self.seen += 1
        if self.seen < self.nth or not self._has_luck():
            return False
        self.fired += 1
        return True

    def _has_luck(self) -> bool:
        drawn = hashlib.sha256(f"{self.seed}/{self.kind}/{self.command}/{self.seen}".encode()).digest()
        return self.chance >= 1.0 or int.from_bytes(drawn[:4], "big") / 2**32 < self.chance


KNOWN_FIELDS = frozenset(f.name for f in fields(Fault)) - {"kind", "seen", "fired", "since", "kept"}


class Faults:
    """The faults that are set."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.rules: list[Fault] = []
        self._interfering = False

    def add(self, kind: str, command: str = "*", **more: Any) -> Fault:
        """Set a fault. Raises ValueError for an unknown kind or field."""
        if kind not in KINDS:
            raise ValueError(f"no fault of kind {kind}; there are {', '.join(KINDS)}")
        strange = sorted(more.keys() - KNOWN_FIELDS)
        if strange:
            raise ValueError(f"a fault has no {', '.join(strange)}; it has {', '.join(sorted(KNOWN_FIELDS))}")
        if kind == "edit" and not {"id"} < set(more.get("do", ())):
            raise ValueError("a fault of kind edit needs `do` with the id of a row and at least one column")
        made = Fault(kind, command, **more)
        made.since = self._cloud.now() + timedelta(seconds=made.after)
        self.rules.append(made)
        if kind in FROM_OUTSIDE and command == "*" and made.after > 0:
            self._cloud.jobs.at(made.since, lambda _: self._by_time(made))
        return made

    def load(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Set faults from plain data, as in a file."""
        for row in rows:
            self.add(**row)

    def remove(self, fault: Fault) -> None:
        """Take a fault away again."""
        self.rules.remove(fault)

    def clear(self) -> None:
        """Take all faults away."""
        self.rules.clear()

    # --- time -------------------------------------------------------------------------------------------------------------

    def clock_ahead(self, command: str | None) -> timedelta:
        """How far the clock that looks at `expires` is ahead."""
        now = self._cloud.now()
        struck = [f for f in self.rules if f.kind == "clock-ahead" and f.strikes(command or "", now)]
        return timedelta(seconds=sum(fault.seconds for fault in struck))

    # --- hosts ------------------------------------------------------------------------------------------------------------

    def host_fails(self, work: str) -> bool:
        """Whether the host answers this piece of its work with a failure."""
        now = self._cloud.now()
        struck = [fault.strikes(work, now) for fault in self.rules if fault.kind == "host-fails"]
        return any(struck)

    def host_seconds(self, work: str) -> float:
        """How much longer the host takes for this piece of its work."""
        now = self._cloud.now()
        return sum([fault.seconds for fault in self.rules if fault.kind == "host-slow" and fault.strikes(work, now)])

    # --- calls ------------------------------------------------------------------------------------------------------------

    def before(self, call: Call) -> Reply | None:
        """Faults that strike before a command is run; the answer instead of it, if there is one."""
        for fault in self._of(("refuse", "drop", *FROM_OUTSIDE), call):
            if fault.kind == "drop":
                raise ConnectionCut
            if fault.kind == "refuse":
                return _refusal(fault, call)
            self._interfere(fault)
        return None

    def content(self, call: Call, answered: Mapping[str, Any], again: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """What a list answers, as faults change it; `again` runs the command once more, on a changed call."""
        for fault in self.rules:
            if fault.kind == "stale-list":
                answered = self._stale(fault, call, answered)
        for fault in self._of(("lost-row", "repeated-row"), call):
            answered = _shifted(call, answered, again, 1 if fault.kind == "lost-row" else -1)
        return answered

    def _stale(self, fault: Fault, call: Call, answered: Mapping[str, Any]) -> Mapping[str, Any]:
        if fault.kept is None:
            if replace(fault).matches(call, self._cloud.now()):
                fault.kept = wire.plain(answered)
            return answered
        return fault.kept if fault.matches(call, self._cloud.now()) else answered

    def after(self, call: Call, reply: Reply) -> Reply:
        """Faults that strike when the command was run and its answer is on its way."""
        for fault in self._of(tuple(_ON_THE_WAY), call):
            reply = _ON_THE_WAY[fault.kind](fault, reply)
        return reply

    def shaped(self, call: Call, work: Work) -> Work:
        """The work of a job as faults change it."""
        for fault in self._of(tuple(_JOBS), call):
            _JOBS[fault.kind](self._cloud, fault, work)
        for fault in self._of(("late-duplicate",), call):
            again = {**call.given, "customjobid": self._cloud.new_id()} if "customjobid" in call.raw else call.given
            at = self._cloud.now() + timedelta(seconds=fault.seconds)
            self._cloud.jobs.at(at, lambda _, given=again: self._arrive(call, given))  # type: ignore[misc]
        return work

    def _of(self, kinds: Sequence[str], call: Call) -> list[Fault]:
        if self._interfering or not self.rules:
            return []
        now = self._cloud.now()
        return [f for f in self.rules if f.kind in kinds and f.matches(call, now)]

    # --- others -----------------------------------------------------------------------------------------------------------

    def _by_time(self, fault: Fault) -> None:
        if fault in self.rules and fault.fired < fault.times:
            fault.fired += 1
            self._interfere(fault)

    def _interfere(self, fault: Fault) -> None:
        if fault.kind == "restart":
            self._cloud.restart()
        elif fault.kind == "edit":
            self._edit(fault.do)
        elif "power-off" in fault.do:
            self._cloud.power_off(fault.do["power-off"])
        else:
            given = {k: str(v) for k, v in fault.do.items()}
            root = next(account for account in self._cloud.accounts.values() if account.is_root)
            self._arrive_as(self._cloud.accounts.get(fault.by or "", root).name, given)

    def _edit(self, wanted: Mapping[str, Any]) -> None:
        row = next((rows[wanted["id"]] for rows in self._cloud.entities() if wanted["id"] in rows), None)
        for name, value in wanted.items():
            if row is not None and name != "id":
                setattr(row, name, value)

    def _arrive(self, call: Call, given: Mapping[str, str]) -> None:
        self._arrive_as(call.account.name, given)

    def _arrive_as(self, account: str, given: Mapping[str, str]) -> None:
        """A call of somebody else: no fault strikes it."""
        self._interfering = True
        try:
            rest = {k: v for k, v in given.items() if k.lower() not in ("command", "apikey", "signature")}
            self._cloud.as_account(account).call(next(v for k, v in given.items() if k.lower() == "command"), **rest)
        finally:
            self._interfering = False


# --- answers --------------------------------------------------------------------------------------------------------------


def _refusal(fault: Fault, call: Call) -> Reply:
    if fault.code == 401:
        return wire.unauthorised(call.command, True)
    return wire.refused(call.command, Refused(fault.code, fault.text, 9999), True)


def _lost(fault: Fault, reply: Reply) -> Reply:
    raise ConnectionCut


def _empty(fault: Fault, reply: Reply) -> Reply:
    return replace(reply, body=b"")


def _html(fault: Fault, reply: Reply) -> Reply:
    return Reply(fault.code, {"Content-Type": "text/html"}, PROXY)


def _half(fault: Fault, reply: Reply) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2], cut=True)


def _delayed(fault: Fault, reply: Reply) -> Reply:
    return replace(reply, delay=fault.seconds)


_ON_THE_WAY: Mapping[str, Callable[[Fault, Reply], Reply]] = {
    "lose-answer": _lost,
    "empty-body": _empty,
    "html": _html,
    "half-answer": _half,
    "slow-answer": _delayed,
}


def _shifted(call: Call, answered: Mapping[str, Any], again: Callable[[], Mapping[str, Any]], by: int) -> Mapping[str, Any]:
    """One page of a list, begun a row later or earlier than it should be."""
    number, size = (wire.of_page(call, name) for name in ("page", "pagesize"))
    if number is None or size is None or size < 1:
        return answered
    call.raw = {k: v for k, v in call.raw.items() if k != "page"} | {"pagesize": "-1"}
    whole = wire.plain(again())
    key = next((k for k, v in whole.items() if isinstance(v, list)), None)
    start = (max(1, number) - 1) * size + by
    rows = whole[key][max(0, start) : max(0, start) + size] if key else []
    return {"count": whole["count"], key: rows} if key and rows else {k: v for k, v in whole.items() if k != key}


# --- jobs -----------------------------------------------------------------------------------------------------------------


def _slow(cloud: Cloud, fault: Fault, work: Work) -> None:
    work.extra += fault.seconds


def _hangs(cloud: Cloud, fault: Fault, work: Work) -> None:
    work.extra = ALWAYS


def _fails(cloud: Cloud, fault: Fault, work: Work) -> None:
    def finish() -> Mapping[str, Any]:
        raise Refused(fault.code, fault.text)

    work.begin, work.phases, work.finish = None, (), finish


def _no_effect(cloud: Cloud, fault: Fault, work: Work) -> None:
    work.begin, work.phases, work.finish = None, (), dict


def _no_result(cloud: Cloud, fault: Fault, work: Work) -> None:
    effect = work.finish

    def finish() -> Mapping[str, Any]:
        if fault.effect:
            effect()
        raise Lost(530)

    work.finish = finish
    if not fault.effect:
        work.begin, work.phases = None, ()


def _stuck(cloud: Cloud, fault: Fault, work: Work) -> None:
    def finish() -> Mapping[str, Any]:
        raise Lost(530)

    work.finish, work.phases = finish, ()


def _code_0(cloud: Cloud, fault: Fault, work: Work) -> None:
    work.cancel_after = 0.0


def _purged(cloud: Cloud, fault: Fault, work: Work) -> None:
    effect = work.finish

    def finish() -> Mapping[str, Any] | None:
        cloud.jobs.forget_when_ended(work.job)
        return effect()

    work.finish = finish


_JOBS: Mapping[str, Callable[[Any, Fault, Work], None]] = {
    "slow": _slow,
    "job-hangs": _hangs,
    "job-fails": _fails,
    "job-no-effect": _no_effect,
    "job-no-result": _no_result,
    "job-stuck": _stuck,
    "job-code-0": _code_0,
    "job-purged": _purged,
}
