"""The plan as a value: ordered steps from one world to one goal, with everything a person or a machine needs to judge it.

Made by `plans.planner`, shown by `plans.render`, approved by digest, carried out by `reconciler.execute`. The digest covers
the spec, the facts the plan relied on and the steps of both directions, and nothing that changes by itself: the same
question asked twice has the same digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import groupby
from typing import Any

from plans import actions
from plans.guards import Reason
from specs import values
from specs.goal import GoalKind
from specs.model import Spec, Strategy

FORMAT = 1
TEST_ENDS = "test.ends_at"
Fact = str | int | bool | None


class NotAPlan(ValueError):
    """A plan file that cannot be read or does not match its own digest."""


@dataclass(frozen=True, slots=True)
class Step:
    """An action in its place: its number (from 1), the object for people, why, and how long it should take."""

    number: int
    action: actions.Action
    on: str
    because: str
    takes: timedelta

    def as_json(self) -> dict[str, Any]:
        """The step as plain data; times are whole seconds."""
        takes = int(self.takes.total_seconds())
        return {"number": self.number, **self.action.as_json(), "on": self.on, "because": self.because, "takes": takes}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Step:
        """Read back what `as_json` wrote."""
        takes = timedelta(seconds=data["takes"])
        return cls(data["number"], actions.from_json(data), data["on"], data["because"], takes)


@dataclass(frozen=True, slots=True)
class Offer:
    """Another way to protect the replicas: why it is not possible, or its price (times, GiB beside the replicas)."""

    strategy: Strategy
    against: str | None
    takes_there: timedelta = timedelta()
    pause: timedelta = timedelta()
    extra_gib: int = 0

    def as_json(self) -> dict[str, Any]:
        """The offer as plain data; times are whole seconds."""
        if self.against is not None:
            return {"strategy": str(self.strategy), "possible": False, "reason": self.against}
        times = {name: int(getattr(self, name).total_seconds()) for name in ("takes_there", "pause")}
        return {"strategy": str(self.strategy), "possible": True, **times, "extra_gib": self.extra_gib}


@dataclass(frozen=True, slots=True)
class Terms:
    """Until when a test lasts, as far as that is known, and whether everything is taken back then."""

    duration: timedelta
    ends_at: datetime | None
    auto_cleanup: bool

    @classmethod
    def of(cls, spec: Spec, running_since: datetime | None) -> Terms:
        """What a spec says of a test whose guest runs since then, or does not run yet."""
        duration = spec.duration or timedelta()
        return cls(duration, running_since + duration if running_since is not None else None, spec.auto_cleanup)

    def as_json(self) -> dict[str, Any]:
        """The terms as plain data; the duration in whole seconds, the moment as RFC 3339."""
        ends_at = self.ends_at.isoformat(timespec="seconds") if self.ends_at is not None else None
        return {"for": int(self.duration.total_seconds()), "ends_at": ends_at, "auto_cleanup": self.auto_cleanup}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Terms:
        """Read back what `as_json` wrote."""
        ends_at = datetime.fromisoformat(data["ends_at"]) if data["ends_at"] is not None else None
        return cls(timedelta(seconds=data["for"]), ends_at, data["auto_cleanup"])


@dataclass(frozen=True, slots=True)
class Amendment:
    """What a newer spec changes of a test that is under way, without a step: its terms before and after."""

    was: Terms
    now: Terms

    def as_json(self) -> dict[str, Any]:
        """Both terms as plain data."""
        return {"was": self.was.as_json(), "now": self.now.as_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Amendment:
        """Read back what `as_json` wrote."""
        return cls(Terms.from_json(data["was"]), Terms.from_json(data["now"]))


@dataclass(frozen=True, slots=True)
class ReadinessScore:
    """What the checks of readiness said of the VM when the plan was made: a score of 100, and which failed with what."""

    score: float
    failed: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The score and the failed checks as plain data."""
        return {"score": self.score, "failed": list(self.failed)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReadinessScore:
        """Read back what `as_json` wrote."""
        return cls(data["score"], tuple(data["failed"]))


@dataclass(frozen=True)
class Plan:
    """Steps from a world to a goal.

    `facts` are flat (`disk-2000.device` to 1) so that two looks can be compared row by row; `way_back` is the plan that
    takes the goal back, planned from the world these steps lead to. `extra_gib` is the storage it takes beside the replicas;
    `offers` are the other strategies with their price, for whoever reviews it; `proofs` say of each network why nothing
    leads out of it; `readiness` is what its checks say of a VM whose test has not begun. `amends` is what the spec changes
    of a test that is under way. Without either `steps` or that, nothing is to be done, unless it is `held_up`: nothing is
    possible yet then, as `warnings` say, and the steps are planned as soon as that is over.
    """

    spec: Spec
    vm: str
    vm_key: str
    goal: GoalKind
    strategy: Strategy
    strategy_reason: str
    networks: tuple[str, ...]
    facts: Mapping[str, Fact]
    steps: tuple[Step, ...]
    way_back: tuple[Step, ...]
    extra_gib: int = 0
    warnings: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()
    amends: Amendment | None = None
    held_up: bool = False
    proofs: tuple[str, ...] = ()
    readiness: ReadinessScore | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be done."""
        return not self.steps and self.amends is None and not self.held_up

    @cached_property
    def digest(self) -> str:
        """`sha256:...` over the spec, the facts and the steps there and back."""
        return values.digest(
            {
                "spec": self.spec.digest,
                "vm": self.vm_key,
                "goal": str(self.goal),
                "facts": dict(self.facts),
                "steps": [s.action.as_json() for s in self.steps],
                "way_back": [s.action.as_json() for s in self.way_back],
            }
        )

    @property
    def takes_there(self) -> timedelta:
        """Expected time until the goal is reached."""
        return _elapsed(self.steps)

    @property
    def takes_back(self) -> timedelta:
        """Expected time to take everything back."""
        return _elapsed(self.way_back)

    @property
    def pause(self) -> timedelta:
        """How long replication of this VM stands still: there, the hold, and back."""
        if not self.steps:
            return timedelta()
        resumed = next((n for n, s in enumerate(self.steps, 1) if isinstance(s.action, actions.Resume)), None)
        if resumed is not None:
            return _elapsed(self.steps[:resumed])
        return self.takes_there + (self.spec.duration or timedelta()) + self.takes_back

    def as_json(self) -> dict[str, Any]:
        """The whole plan as plain data, with its digest."""
        return {
            "format": FORMAT,
            "digest": self.digest,
            "vm": self.vm,
            "vm_key": self.vm_key,
            "goal": str(self.goal),
            "strategy": str(self.strategy),
            "strategy_reason": self.strategy_reason,
            "networks": list(self.networks),
            "proofs": list(self.proofs),
            "readiness": self.readiness.as_json() if self.readiness is not None else None,
            "takes_there": int(self.takes_there.total_seconds()),
            "takes_back": int(self.takes_back.total_seconds()),
            "replication_pause": int(self.pause.total_seconds()),
            "extra_gib": self.extra_gib,
            "warnings": list(self.warnings),
            "amends": self.amends.as_json() if self.amends is not None else None,
            "held_up": self.held_up,
            "offers": [o.as_json() for o in self.offers],
            "facts": dict(self.facts),
            "steps": [s.as_json() for s in self.steps],
            "way_back": [s.as_json() for s in self.way_back],
            "spec": self.spec.as_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Read back a plan and check it against its digest. Raises `NotAPlan` with what is wrong."""
        try:
            plan = cls._read(data)
        except (KeyError, TypeError, ValueError) as broken:
            raise NotAPlan(f"not a plan of format {FORMAT}: {type(broken).__name__} {broken}") from broken
        if plan.digest != data.get("digest"):
            raise NotAPlan(f"its content does not match its digest {data.get('digest')}: it was changed after planning")
        return plan

    @classmethod
    def _read(cls, data: Mapping[str, Any]) -> Plan:
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']}")
        return cls(
            spec=Spec.from_json(data["spec"]),
            vm=data["vm"],
            vm_key=data["vm_key"],
            goal=GoalKind(data["goal"]),
            strategy=Strategy(data["strategy"]),
            strategy_reason=data["strategy_reason"],
            networks=tuple(data["networks"]),
            facts=data["facts"],
            steps=tuple(map(Step.from_json, data["steps"])),
            way_back=tuple(map(Step.from_json, data["way_back"])),
            extra_gib=data["extra_gib"],
            warnings=tuple(data["warnings"]),
            amends=Amendment.from_json(data["amends"]) if data.get("amends") else None,
            held_up=data.get("held_up", False),
            proofs=tuple(data.get("proofs", ())),
            readiness=ReadinessScore.from_json(data["readiness"]) if data.get("readiness") else None,
        )


def _elapsed(steps: tuple[Step, ...]) -> timedelta:
    """How long steps take: those that run side by side count once, with the longest."""
    total = timedelta()
    for kind, group in groupby(steps, key=lambda s: type(s.action)):
        times = [s.takes for s in group]
        total += max(times) if issubclass(kind, actions.TOGETHER) else sum(times, timedelta())
    return total


@dataclass(frozen=True, slots=True)
class Refusal:
    """No plan, and why: reasons with what to do about each."""

    spec: Spec
    vm: str
    goal: GoalKind
    reasons: tuple[Reason, ...]

    def as_json(self) -> dict[str, Any]:
        """The refusal as plain data."""
        rows = [{"code": r.code, "text": r.text, "fix": r.fix} for r in self.reasons]
        return {"vm": self.vm, "goal": str(self.goal), "refused": rows}


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that is no longer as the plan saw it."""

    fact: str
    spec_said: str
    plan_saw: Fact
    now_is: Fact

    def as_json(self) -> dict[str, Any]:
        """The fact with its three columns as plain data."""
        return {"fact": self.fact, "spec_said": self.spec_said, "plan_saw": self.plan_saw, "now_is": self.now_is}


def differences(planned: Plan, now: Plan | Refusal) -> tuple[Difference, ...]:
    """Facts and steps of an approved plan that a fresh look contradicts; empty when it may run as it is."""
    if isinstance(now, Refusal):
        return tuple(Difference(r.code, "", "allowed", r.text) for r in now.reasons)
    names = sorted(planned.facts.keys() | now.facts.keys())
    rows = [
        Difference(name, _said(planned.spec, name), planned.facts.get(name), now.facts.get(name))
        for name in names
        if planned.facts.get(name) != now.facts.get(name)
    ]
    if not rows and planned.digest != now.digest:
        rows.append(Difference("steps", "", _words(planned), _words(now)))
    return tuple(rows)


def _said(spec: Spec, fact: str) -> str:
    if fact == TEST_ENDS:
        return f"for: {values.format_duration(spec.duration)}" if spec.duration is not None else ""
    adapter = fact.removeprefix("network.")
    return spec.networks.get(adapter, "") if adapter != fact else ""


def _words(plan: Plan) -> str:
    return ", ".join(s.action.word for s in plan.steps) or "nothing to do"
