"""The management servers of one cloud: every call goes through here, once, in its turn, to a server that answers.

`reads` and `writer` call `ask`. Each server has a circuit `breaker` and a `budget` of its own, both pure; this module holds
their states behind a lock, lets callers wait in line (through the `wait` that was handed in), tries again what `retries`
allows, and goes to the next server where the first does not answer. The servers share one database: what one was told, all
know, and a job's id is good at each of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import requests
import stamina

from reconciler.cloudstack import answers, breaker, budget, signing
from reconciler.cloudstack.answers import No
from reconciler.cloudstack.breaker import Breaker
from reconciler.cloudstack.budget import Call, Limits, Verdict
from reconciler.cloudstack.endpoint import Endpoint
from reconciler.cloudstack.errors import CloudError, InvariantViolated, NotAsked
from reconciler.cloudstack.retries import CLOSED, TOO_MANY, Patience, Verb, again, elsewhere
from reconciler.cloudstack.transport import Transport, session_for

Said = Mapping[str, Any] | No
SHORTEST = 0.001
REST = 1.0
stamina.instrumentation.set_on_retry_hooks([])  # a try of many is no news, and there are errors for when the last one fails


class _Server:
    """One management server: a transport, its breaker and its budget. Safe to use from several threads."""

    def __init__(
        self, transport: Transport, limits: Limits, clock: Callable[[], float], wait: Callable[[float], None], longest: float
    ) -> None:
        self.transport, self.limits, self.rules = transport, limits, breaker.Rules()
        self._clock, self._wait, self._longest = clock, wait, longest
        self._breaker, self._budget = Breaker(), budget.full(limits)
        self._line = threading.Lock()
        self._ended = threading.Condition()

    def is_open_to(self, verb: Verb) -> bool:
        """Whether a call may be made now, as far as the breaker knows."""
        with self._ended:
            return breaker.admits(self._breaker, self.rules, self._clock(), is_read=verb is Verb.READ)

    def ask(self, command: str, arguments: Mapping[str, signing.Value], until: datetime | None = None) -> Said:
        """One call, when its turn has come. Raises what `transport.send` and `answers.opened` raise, and `NotAsked`.

        From `until` on nothing is sent, however long the call waited for its turn, or the process slept.
        """
        began = self._admitted(command)
        if until is not None and self._clock() >= until.timestamp():
            self._over(command, began, Verdict.SILENT, None)
            then = "whoever leads this VM now goes on; nothing was changed"
            raise NotAsked("not asked: the lease lapsed before its turn came", self.transport.where(command), then)
        try:
            said = answers.opened(self.transport.send(command, arguments), self.transport.where(command))
        except InvariantViolated:
            self._over(command, began, Verdict.SILENT, None)
            raise
        except BaseException:
            self._over(command, began, Verdict.FAILED, None)
            raise
        busy = isinstance(said, No) and said.code in (TOO_MANY, CLOSED)
        rest = (said.retry_after or REST) if isinstance(said, No) and said.code == TOO_MANY else None
        self._over(command, began, Verdict.OVERLOADED if busy else Verdict.WELL, rest)
        return said

    def _admitted(self, command: str) -> float:
        """Wait in line until this call may begin, and say when it began.

        Callers come one after another, so that nobody waits for the same moment. The wait ends by the clock handed in and
        by the machine's own, for the one handed in may stand.
        """
        patient_until = time.monotonic() + self._longest
        if not self._line.acquire(timeout=self._longest):
            raise self._crowded(command)
        try:
            last = self._clock() + self._longest
            while True:
                with self._ended:
                    now = self._clock()
                    pause = self._pause(command, now)
                    if pause == 0:
                        self._breaker = breaker.asked(self._breaker, now)
                        self._budget = budget.begun(self._budget, self.limits, now)
                        return now
                    left = patient_until - time.monotonic()
                    if pause is None and left > 0:
                        self._ended.wait(left)
                if left <= 0 or now + (pause or 0) > last:
                    raise self._crowded(command)
                if pause:
                    self._wait(max(pause, SHORTEST))
        finally:
            self._line.release()

    def _pause(self, command: str, now: float) -> float | None:
        if not breaker.admits(self._breaker, self.rules, now, is_read=Verb.of(command) is Verb.READ):
            raise self._left_alone(command, now)
        return budget.pause(self._budget, self.limits, now)

    def _over(self, command: str, began: float, verdict: Verdict, rest: float | None) -> None:
        with self._ended:
            now = self._clock()
            call = Call(command, began, max(0.0, now - began), verdict, rest)
            self._budget = budget.ended(self._budget, self.limits, call, now)
            if verdict is Verdict.SILENT:
                self._breaker = breaker.unasked(self._breaker, began=began)
            elif verdict is Verdict.FAILED:
                self._breaker = breaker.failed(self._breaker, self.rules, now, began=began)
            else:
                self._breaker = breaker.answered(self._breaker)
            self._ended.notify()

    def lower(self, calls: int, interval: float) -> None:
        """Ask for no more than the server says it allows."""
        with self._ended:
            self.limits = self.limits.lowered(calls, interval)

    def _left_alone(self, command: str, now: float) -> NotAsked:
        left = max(0.0, (self._breaker.until or now) - now)
        what = "not asked: this server did not answer the last calls"
        return NotAsked(what, self.transport.where(command), f"it is tried again in {left:.0f} s; see whether it runs")

    def _crowded(self, command: str) -> NotAsked:
        what = f"not asked: no turn within {self._longest:.0f} s"
        then = "raise cloudstack.calls_per_second or concurrent_calls if the server can take more"
        return NotAsked(what, self.transport.where(command), then)


class Servers:
    """All management servers of one cloud, the first preferred. `session` is theirs together."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        clock: Callable[[], datetime],
        session: requests.Session | None = None,
        patience: Patience | None = None,
        limits: Limits | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.session = session or session_for(endpoints[0])
        self.patience = patience or Patience()
        self._all = tuple(
            _Server(
                Transport(endpoint, clock, self.session),
                limits or Limits(),
                lambda: clock().timestamp(),
                wait,
                self.patience.deadline,
            )
            for endpoint in endpoints
        )

    def __repr__(self) -> str:
        return f"<Servers {', '.join(repr(server.transport) for server in self._all)}>"

    def where(self, command: str) -> str:
        """How errors name a call: command and address of the server that would be asked."""
        return self._open_to(Verb.of(command))[0].transport.where(command)

    def lower(self, calls: int, interval: float) -> None:
        """Ask every server for no more than `calls` in any `interval` seconds."""
        for server in self._all:
            server.lower(calls, interval)

    def ask(self, command: str, arguments: Mapping[str, signing.Value], until: datetime | None = None) -> Said:
        """The content of the answer, or the server's no, after as many tries as the verb allows, none from `until` on.

        Raises `InvariantViolated` (nothing was sent), `Unreachable`, `WrongAddress` or `BadAnswer`.
        """
        verb = Verb.of(command)
        try:
            for attempt in self._attempts(verb):
                with attempt:
                    return self._taken(verb, command, arguments, until)
        except _TurnedAway as last:
            return last.no
        raise AssertionError("stamina ends with a return or an exception")

    def _attempts(self, verb: Verb) -> Iterator[Any]:
        patience = self.patience
        read = verb is Verb.READ
        return iter(
            stamina.retry_context(
                on=lambda fault: _worth(verb, fault),
                attempts=patience.attempts if read else patience.write_attempts,
                timeout=patience.deadline if read else patience.write_deadline,
                wait_initial=patience.first_wait,
                wait_max=patience.longest_wait,
                wait_jitter=patience.first_wait,
            )
        )

    def _taken(self, verb: Verb, command: str, arguments: Mapping[str, signing.Value], until: datetime | None) -> Said:
        """One try. A no that may pass is raised, for stamina tries again what is raised."""
        said = self._of_any(verb, command, arguments, until)
        if isinstance(said, No) and again(verb, said):
            raise _TurnedAway(said)
        return said

    def _of_any(self, verb: Verb, command: str, arguments: Mapping[str, signing.Value], until: datetime | None) -> Said:
        """One try: the first server, and the next ones while this verb may go elsewhere with what came."""
        *first, last = self._open_to(verb)
        for server in first:
            try:
                said = server.ask(command, arguments, until)
            except CloudError as fault:
                if not elsewhere(verb, fault):
                    raise
            else:
                if not (isinstance(said, No) and elsewhere(verb, said)):
                    return said
        return last.ask(command, arguments, until)

    def _open_to(self, verb: Verb) -> tuple[_Server, ...]:
        """The servers that may be asked now, as they were named; when there is none the first one, which will say why."""
        if len(self._all) == 1:
            return self._all
        return tuple(server for server in self._all if server.is_open_to(verb)) or self._all[:1]


class _TurnedAway(Exception):
    """A no that may pass, on its way through stamina."""

    def __init__(self, no: No) -> None:
        super().__init__(no.code)
        self.no = no


def _worth(verb: Verb, fault: Exception) -> bool | float:
    """What stamina asks: whether to try again; not before the budget allows, where the server named a time."""
    if isinstance(fault, _TurnedAway):
        return 0.0 if fault.no.code == TOO_MANY else True
    return isinstance(fault, CloudError) and again(verb, fault)
