"""The VMware appliance: whether a source VM is on, and switching it off and on.

`reach.SourceSide` holds one. A change is sent once; whatever is answered, a later look says what is so. An appliance that
does not answer says nothing of the VM: it is never taken for off.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from plans.observed import Source
from reconciler.clock import Clock
from reconciler.source.door import Answer, Door, Login, segment
from reconciler.source.errors import BadAnswer, LookFailed, NotKnown, SourceError, Unreachable
from reconciler.source.outcomes import Done, Outcome, Refused, Unknown

REQUEST = timedelta(seconds=300)
"""How long the appliance itself tries to switch a VM off or on."""
SEEN_WITHIN = timedelta(seconds=120)
"""How long a VM may take after the answer until a look shows it; a lost answer adds the request's own time."""
OFF_POLL = timedelta(seconds=5)
ON_POLL = timedelta(seconds=10)


class Power(StrEnum):
    """Whether a VM runs."""

    ON = "poweredOn"
    OFF = "poweredOff"
    SUSPENDED = "suspended"


class Tools(StrEnum):
    """VMware Tools in the guest; only a guest whose tools run can be asked to shut down."""

    OK = "toolsOk"
    OLD = "toolsOld"
    NOT_RUNNING = "notRunning"
    NOT_INSTALLED = "notInstalled"
    UNKNOWN = "unknown"

    @property
    def can_shut_down(self) -> bool:
        """Whether the guest can be asked to shut down by itself."""
        return self in (Tools.OK, Tools.OLD)


@dataclass(frozen=True, slots=True)
class PowerState:
    """What the appliance says of one VM."""

    power: Power
    tools: Tools


@dataclass(frozen=True, slots=True)
class Appliance:
    """One appliance behind its door."""

    door: Door
    clock: Clock

    def health(self) -> None:
        """Whether it answers. Raises what `Door.get` raises, or `LookFailed`."""
        answer = self.door.get("/health")
        if not answer.is_ok:
            raise LookFailed(answer.status, answer.where)
        answer.known()

    def power(self, source: Source, login: Login) -> PowerState:
        """Look at one VM. Raises `SourceError`; an answer about another VM is none."""
        answer = self.door.get(f"/vm/{segment(source.key)}/power-state", {"vcenter": login.host}, login)
        return _state(answer, source)

    def switch_off(self, source: Source, login: Login, *, force: bool) -> Outcome:
        """Switch a VM off: by its guest; by force if that fails and `force` allows it. Done only when seen off."""
        found = self.power(source, login)
        if found.power is Power.OFF:
            return Done("it was off already")
        graceful = found.power is Power.ON and found.tools.can_shut_down
        if not graceful and not force:
            why = "it is suspended" if found.power is Power.SUSPENDED else f"its tools are {found.tools}"
            return Refused(f"{source.name} cannot shut down by itself: {why}; it has to be forced")
        if graceful:
            first = self._changed(source, login, "power-off", {"force": False}, Power.OFF, OFF_POLL)
            if not isinstance(first, Refused) or not force:
                return first
        return self._changed(source, login, "power-off", {"force": True}, Power.OFF, OFF_POLL)

    def switch_on(self, source: Source, login: Login) -> Outcome:
        """Switch a VM on. Done only when seen on."""
        if self.power(source, login).power is Power.ON:
            return Done("it was on already")
        return self._changed(source, login, "power-on", {"wait_for_tools": False}, Power.ON, ON_POLL)

    def _changed(
        self, source: Source, login: Login, verb: str, how: Mapping[str, Any], wanted: Power, poll: timedelta
    ) -> Outcome:
        """Send once, then look until it is so. A second change is for the caller, and only after a `Refused`."""
        limit = int(REQUEST.total_seconds())
        body = {"vm_id": source.key, "vcenter": login.host, "timeout": limit, **how}
        try:
            answer = self.door.post(f"/vm/{segment(source.key)}/{verb}", body, login, within=limit)
        except Unreachable as lost:
            if not lost.sent:
                return Refused(str(lost))
            said, span = str(lost), REQUEST + SEEN_WITHIN
        except BadAnswer as odd:
            said, span = str(odd), REQUEST + SEEN_WITHIN
        except SourceError as no:
            return Refused(str(no))
        else:
            if answer.is_refusal:
                return Refused(f"{verb} was refused with HTTP status {answer.status}")
            told = answer.is_ok and answer.content is not None
            said = f"{verb} was answered with HTTP status {answer.status}"
            span = SEEN_WITHIN if told else REQUEST + SEEN_WITHIN
        seen = self._seen(source, login, wanted, span, poll)
        if seen is wanted:
            return Done(f"seen {wanted} after {verb}, {'by force' if how.get('force') else 'as asked'}")
        ended = span == SEEN_WITHIN and seen is not None
        text = f"{said}, and {source.name} is {seen or 'not to be seen'} {int(span.total_seconds())} s later"
        return Refused(text) if ended else Unknown(text)

    def _seen(self, source: Source, login: Login, wanted: Power, span: timedelta, poll: timedelta) -> Power | None:
        """The last state seen until it is as wanted or time is up; None when the last look failed."""
        until = self.clock.now() + span
        while True:
            try:
                seen: Power | None = self.power(source, login).power
            except SourceError:
                seen = None
            if seen is wanted or self.clock.now() >= until:
                return seen
            self.clock.wait(poll, threading.Event())


def _state(answer: Answer, source: Source) -> PowerState:
    if answer.status == 404:
        raise NotKnown(source.name, answer.where)
    if not answer.is_ok:
        raise LookFailed(answer.status, answer.where)
    content = answer.known()
    if "power_state" not in content:  # some appliances say "not found" so, with status 200
        raise NotKnown(source.name, answer.where)
    about = [str(content[name]).lower() for name in ("vm_id", "uuid") if content.get(name) is not None]
    if not about or any(other != source.key for other in about):
        raise BadAnswer(f"the answer is not about {source.name} ({source.key})", answer.where)
    try:
        return PowerState(Power(content["power_state"]), _tools(content.get("tools_status")))
    except ValueError:
        raise BadAnswer("the power state is none of the documented ones", answer.where) from None


def _tools(text: object) -> Tools:
    return next((tools for tools in Tools if tools == text), Tools.UNKNOWN)
