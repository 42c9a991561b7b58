"""Whether a VM is ready for a failover: five checks with a score, and further checks that can only take readiness away.

Called by `reconciler.operations` with the worlds of one look, for `failover ready`. It judges nothing a second time: what
stands against a test is what `plans.guards` says, sorted here into the checks that operators know (V-01 to V-12) by the
code of each reason. A check whose facts could not be read has failed, with the reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from plans import drift, guards
from plans.guards import Reason
from plans.observed import World
from specs.model import Spec
from specs.values import format_duration

READY_FROM = 80.0
"""The score, of 100, from which a VM is ready."""


class Kind(StrEnum):
    """What a VM is to be ready for."""

    TEST = "test"
    LIVE = "live"


class Severity(StrEnum):
    """What a failed check means: a critical one makes the score 0."""

    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """A check: which reasons fail it, whether it needs CloudStack, and for what it is asked."""

    id: str
    name: str
    severity: Severity
    codes: frozenset[str]
    needs_cloud: bool = False
    scored: bool = True
    kinds: frozenset[Kind] = frozenset(Kind)


def _rule(
    ident: str, name: str, severity: Severity, codes: str, *, needs_cloud: bool = True, kinds: Iterable[Kind] = Kind
) -> Rule:
    return Rule(ident, name, severity, frozenset(codes.split()), needs_cloud, ident <= "V-05", frozenset(kinds))


NOT_CHECKED = "NOT_CHECKED"
RULES: tuple[Rule, ...] = (
    _rule(
        "V-01",
        "VM Existence",
        Severity.CRITICAL,
        "VM_NOT_IDENTIFIED VM_UNDESCRIBED NO_DISKS NOT_REPLICATED",
        needs_cloud=False,
    ),
    _rule("V-02", "Active Jobs", Severity.CRITICAL, "ACTIVE_JOBS FAILED_OVER CONTEXT_NOT_KNOWN RUN_OPEN", needs_cloud=False),
    _rule("V-03", "Sync Status", Severity.CRITICAL, "NEVER_SYNCED REPLICA_DIRTY CLEANUP_REQUIRED", needs_cloud=False),
    _rule("V-04", "Network Mappings", Severity.WARNING, "NETWORK_MAPPING_MISSING NO_NETWORK UNKNOWN_ADAPTER"),
    _rule(
        "V-05",
        "Volume State",
        Severity.CRITICAL,
        "VOLUME_MISSING VOLUME_NOT_FOUND VOLUME_SHARED VOLUME_NOT_AVAILABLE VOLUME_IS_ROOT VOLUME_TOO_SMALL",
    ),
    _rule("V-06", "Rollback Strategy", Severity.CRITICAL, "STRATEGY_NOT_POSSIBLE", kinds=[Kind.TEST]),
    _rule("V-07", "Destination Name", Severity.WARNING, "NAME_TAKEN"),
    _rule(
        "V-08",
        "Platform",
        Severity.CRITICAL,
        "OSSEA_NOT_CONFIGURED PLATFORM_NOT_VALID APPLIANCE_NOT_FOUND APPLIANCE_NOT_READY APPLIANCE_SNAPSHOT "
        "NETWORK_NOT_CLOSED",
    ),
    _rule(
        "V-09",
        "Firmware and Disks",
        Severity.CRITICAL,
        "DISK_LEFT_BEHIND BOOT_DISK_AMBIGUOUS TOO_MANY_DISKS",
        needs_cloud=False,
    ),
    _rule("V-10", "Source Side", Severity.CRITICAL, "SOURCE_NOT_REACHED", needs_cloud=False, kinds=[Kind.LIVE]),
    _rule("V-11", "Sync Age", Severity.WARNING, "SYNC_OLD", needs_cloud=False),
    _rule("V-12", "Drift", Severity.WARNING, "DRIFT"),
)
OF_TESTS = frozenset({"NETWORK_MAPPING_MISSING", "NO_NETWORK", "UNKNOWN_ADAPTER", "NETWORK_NOT_CLOSED"})
"""Reasons that speak of a test's networks, and say nothing of a live failover."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """How old the newest sync of a disk may be, at which moment."""

    at: datetime
    within: timedelta


@dataclass(frozen=True, slots=True)
class Check:
    """What came of one check: `message` says why it failed or what was seen, `actions` what is to be done."""

    id: str
    name: str
    severity: Severity
    passed: bool
    message: str
    actions: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The check as plain data."""
        return {
            "id": self.id,
            "check": self.name,
            "type": str(self.severity),
            "passed": self.passed,
            "message": self.message,
            "codes": list(dict.fromkeys(r.code for r in self.reasons)),
        }


@dataclass(frozen=True, slots=True)
class Readiness:
    """All checks of one VM for one kind of failover. `findings` are warnings that no check counts."""

    vm: str
    vm_key: str
    kind: Kind
    checks: tuple[Check, ...]
    extended: tuple[Check, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """0 to 100 over the five checks, see `score`."""
        return score(self.checks)

    @property
    def is_ready(self) -> bool:
        """Whether a failover may begin as far as checks tell: the score suffices, and no further critical check failed."""
        return self.score >= READY_FROM and not any(_is_critical_failure(c) for c in self.extended)

    @property
    def errors(self) -> tuple[str, ...]:
        """What failed critical checks say."""
        return tuple(c.message for c in self._all if _is_critical_failure(c))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What other failed checks say, and findings."""
        failed = (c.message for c in self._all if not c.passed and c.severity is Severity.WARNING)
        return (*failed, *self.findings)

    @property
    def required_actions(self) -> tuple[str, ...]:
        """What is to be done, each once, in the order of the checks."""
        return tuple(dict.fromkeys(a for c in self._all if not c.passed for a in c.actions))

    @property
    def failed(self) -> tuple[str, ...]:
        """The checks that failed, each with what it says, in their order."""
        return tuple(f"{c.id} {c.name}: {c.message}" for c in self._all if not c.passed)

    @property
    def _all(self) -> tuple[Check, ...]:
        return (*self.checks, *self.extended)

    def as_json(self) -> dict[str, Any]:
        """The readiness as plain data."""
        return {
            "vm": self.vm,
            "vm_key": self.vm_key,
            "type": str(self.kind),
            "is_ready": self.is_ready,
            "readiness_score": self.score,
            "checks": [c.as_json() for c in self.checks],
            "extended_checks": [c.as_json() for c in self.extended],
            "errors": list(self.errors),
            "warnings": list(self.warnings),
            "required_actions": list(self.required_actions),
        }


def score(checks: Sequence[Check]) -> float:
    """0.0 when a critical check failed or there is none at all, else the share that passed, of 100."""
    if not checks or any(_is_critical_failure(c) for c in checks):
        return 0.0
    return sum(c.passed for c in checks) / len(checks) * 100


def _is_critical_failure(check: Check) -> bool:
    return not check.passed and check.severity is Severity.CRITICAL


def assess(
    spec: Spec,
    kind: Kind,
    world: World,
    *,
    unseen: str | None = None,
    source_side: Sequence[str] = (),
    fresh: Fresh | None = None,
) -> Readiness:
    """The readiness of the VM of this world.

    `unseen` is why CloudStack could not be read: checks that need it fail with that. `source_side` says what of the source
    side cannot be reached. Without `fresh` nobody asks how old the syncs are.
    """
    against = _sorted((*_reasons(spec, kind, world, source_side), *_aged(world, fresh)))
    asked = [rule for rule in RULES if kind in rule.kinds and (fresh is not None or "SYNC_OLD" not in rule.codes)]
    done = [(rule, _checked(rule, against, unseen)) for rule in asked]
    return Readiness(
        vm=world.source.name,
        vm_key=world.source.key,
        kind=kind,
        checks=tuple(check for rule, check in done if rule.scored),
        extended=tuple(check for rule, check in done if not rule.scored),
        findings=world.source.findings,
    )


def _reasons(spec: Spec, kind: Kind, world: World, source_side: Sequence[str]) -> Iterator[Reason]:
    for reason in guards.reasons(spec, world):
        if kind is Kind.TEST or reason.code not in OF_TESTS:
            yield reason
    if world.run is not None:
        fix = f"wait until it is over, or: failover end {world.source.name}"
        yield Reason("RUN_OPEN", f"run {world.run.id} of this VM is under way", fix)
    if kind is Kind.LIVE:
        yield from _live_networks(world)
        for text in source_side:
            yield Reason(
                "SOURCE_NOT_REACHED", text, "set up `source` in the settings; `failover source status` shows what answers"
            )
    yield from drift.sizes(world)


def _live_networks(world: World) -> Iterator[Reason]:
    mapped = {m.source for m in world.source.mappings if not m.is_test}
    for adapter in dict.fromkeys(world.source.adapters):
        if adapter not in mapped:
            fix = f"failover network map {world.source.name!r} {adapter!r} NETWORK --live"
            yield Reason("NETWORK_MAPPING_MISSING", f'adapter "{adapter}" has no production network', fix)
    if not world.source.adapters:
        fix = f"run discovery of {world.source.name}, so that the networks of its adapters are recorded"
        yield Reason("NO_NETWORK", "the database records no adapter", fix)


def _aged(world: World, fresh: Fresh | None) -> Iterator[Reason]:
    """The disk whose newest sync is the oldest, where that is too old; one that was never synced is V-03."""
    synced = [d for d in world.source.disks if d.change_id]
    if fresh is None or not synced:
        return
    fix = f"see why {world.source.name} is not replicated, or sync it once more: failover source sync {world.source.name}"
    oldest = min(synced, key=lambda d: (d.synced_at is not None, d.synced_at or fresh.at))
    if oldest.synced_at is None:
        yield Reason("SYNC_OLD", f"nobody recorded when {oldest.key} was last synced", fix)
    elif fresh.at - oldest.synced_at > fresh.within:
        age, allowed = _rough(fresh.at - oldest.synced_at), format_duration(fresh.within)
        yield Reason("SYNC_OLD", f"the newest sync of {oldest.key} is {age} old, more than {allowed}", fix)


def _rough(span: timedelta) -> str:
    """A duration by its two largest units: how old something is, for people."""
    return " ".join(format_duration(span).split()[:2])


_RULE_OF: Mapping[str, str] = {code: rule.id for rule in RULES for code in rule.codes}


def _sorted(reasons: Iterable[Reason]) -> Mapping[str, list[Reason]]:
    """Reasons by the check that they fail."""
    found: dict[str, list[Reason]] = defaultdict(list)
    for reason in dict.fromkeys(reasons):
        if reason.code in _RULE_OF:
            found[_RULE_OF[reason.code]].append(reason)
    return found


def _checked(rule: Rule, against: Mapping[str, list[Reason]], unseen: str | None) -> Check:
    if rule.needs_cloud and unseen is not None:
        blind = Reason(NOT_CHECKED, f"could not be checked: {unseen}", "make CloudStack answer, then look again")
        return Check(rule.id, rule.name, rule.severity, False, blind.text, (blind.fix,), (blind,))
    if rule.id not in against:
        return _PASSED[rule.id]
    reasons = tuple(against[rule.id])
    text = "; ".join(r.text for r in reasons)
    return Check(rule.id, rule.name, rule.severity, False, text, tuple(r.fix for r in reasons), reasons)


_PASSED: Mapping[str, Check] = {rule.id: Check(rule.id, rule.name, rule.severity, True, "passed") for rule in RULES}
