"""`failover doctor`: is the platform fit for a failover; what is not, why that matters, and how it is mended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import screen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from plans.doctor import Finding, Seen, Status
    from reconciler.doctor import Fix, Fixed, Removal

FIT, WARNINGS, CRITICAL = 0, 1, 2
CATEGORIES = (
    *("connectivity", "zone", "template", "network", "service-offering", "disk-offering", "appliance", "limits"),
    *("capabilities", "volumes", "snapshots", "vms", "account", "database", "hygiene", "source"),
)
MARKS = {"ok": ("=", "verified"), "warning": ("~", "waits"), "critical": ("!", "broken"), "not visible": ("·", "history")}
TITLE = 18


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Mend what needs no decision: our own tables. Its plan is shown first.")
@click.option("--only", type=click.Choice(CATEGORIES), multiple=True, help="Only this category; may be said again.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@click.option("-v", "--verbose", is_flag=True, help="Show what is well, too.")
@screen.format_option()
@click.pass_obj
def command(shown: screen.Screen, fix: bool, only: tuple[str, ...], yes: bool, verbose: bool, form: str) -> int:
    """Check whether the platform is fit for a failover. Without --fix nothing is changed.

    Exit code 0: it is, as far as can be seen; 1: warnings, or an error; 2: something critical.
    """
    from plans import doctor as checks
    from reconciler import doctor, wiring
    from reconciler.clock import SystemClock
    from reconciler.store.database import StoreError

    settings, connected = wiring.settings(shown.settings_path), None
    fixed: tuple[doctor.Fixed, ...] = ()
    side = wiring.source_side(settings, clock := SystemClock())
    try:
        connected = shown.connect(clock)
        seen = doctor.looked(connected, side)
    except StoreError as fault:
        seen = doctor.blind(doctor.Platform(settings, clock, wiring.client(settings, clock), side), fault)
    wanted = [checks.Category(name) for name in only or CATEGORIES]
    if fix and (chosen := _confirmed(shown, doctor.fixes(seen), yes, form)) and connected is not None:
        fixed = doctor.carry_out(connected, chosen)
        _mended(shown, fixed, form)
        seen = doctor.looked(connected, side)
    found, left = checks.examine(seen, wanted), doctor.removals(seen)
    if form == "json":
        shown.as_json(_as_json(seen, found, left, fixed if fix else None))
    else:
        _show(shown, found, left, doctor.fixes(seen), verbose)
    if not all(one.done for one in fixed):
        return CRITICAL
    return {"critical": CRITICAL, "warning": WARNINGS}.get(checks.worst(found), FIT)


def _beside(shown: screen.Screen, form: str) -> Callable[..., None]:
    """How one speaks beside the report: where that is JSON, not on its stream."""
    return shown.text if form == "text" else lambda text="", _meaning="plain": click.echo(text, err=True)


def _confirmed(shown: screen.Screen, fixes: Sequence[Fix], yes: bool, form: str) -> Sequence[Fix]:
    """Show what would be mended, and ask. What is to be done."""
    say = _beside(shown, form)
    for number, one in enumerate(fixes, 1):
        say(f"{number}. {one.text}", "strong")
    if not fixes:
        say("nothing can be mended by itself")
        return ()
    if not yes and not sys.stdin.isatty():
        raise screen.Complaint("nobody is there to be asked: say --yes; nothing was changed")
    if not yes and not click.confirm("Do exactly this?", default=False, err=form == "json"):
        say("Nothing was changed.")
        return ()
    return fixes


def _mended(shown: screen.Screen, fixed: Sequence[Fixed], form: str) -> None:
    say = _beside(shown, form)
    for one in fixed:
        say(f"   {one.id}: {one.text}", "verified" if one.done else "broken")


def _show(
    shown: screen.Screen, found: Sequence[Finding], left: Sequence[Removal], fixes: Sequence[Fix], verbose: bool
) -> None:
    """A line for each category that is well, and in full what is not."""
    for category in dict.fromkeys(f.check.category for f in found):
        rows = [f for f in found if f.check.category is category]
        bad = [f for f in rows if f.status in ("warning", "critical")]
        _category(shown, category, rows, bad)
        for one in rows if verbose else bad:
            _finding(shown, one)
    if left:
        shown.text("left over, and what would remove it; look before you do", "strong")
        for removal in left:
            shown.text(f"  - {removal.text}", "waits")
    counts = {status: sum(f.status == status for f in found) for status in MARKS}
    text = ", ".join(f"{number} {status}" for status, number in counts.items() if number or status == "ok")
    shown.text(f"{screen.counted(len(found), 'check')}: {text}", "strong")
    if fixes:
        shown.text("  failover doctor --fix   mends our own tables")
    if counts["critical"]:
        shown.text("  mend what is critical before anything else; then look again")


def _category(shown: screen.Screen, name: str, rows: Sequence[Finding], bad: Sequence[Finding]) -> None:
    hidden = sum(f.status == "not visible" for f in rows)
    well = len(rows) - len(bad) - hidden
    parts = [f"{well} of {len(rows)} ok", *([f"{hidden} not visible"] if hidden else [])]
    mark, meaning = MARKS[_worst(rows)]
    shown.text(f"{mark} {name:<{TITLE - 2}} {', '.join(parts)}", meaning)


def _worst(rows: Iterable[Finding]) -> Status | str:
    found = {f.status for f in rows}
    return next((s for s in ("critical", "warning", "ok") if s in found), "not visible")


def _finding(shown: screen.Screen, one: Finding) -> None:
    mark, meaning = MARKS[one.status]
    shown.titled(f"{mark} {one.check.id.partition('.')[2]}", one.seen, meaning, TITLE - 2)
    if one.status in ("warning", "critical"):
        shown.titled("", f"why: {one.check.why}", "history", TITLE - 2)
        shown.titled("", f"mend: {one.check.mend}", "plain", TITLE - 2)


def _as_json(seen: Seen, found: Sequence[Finding], left: Sequence[Removal], fixed: Sequence[Fixed] | None) -> dict[str, Any]:
    """The report, and with `--fix` what came of it."""
    bad, at = [f for f in found if f.status in ("warning", "critical")], screen.stamp(seen.at)
    report = {
        "timestamp": at,
        "overall_passed": not bad,
        "total_checks": len(found),
        "passed_checks": sum(f.status == "ok" for f in found),
        "failed_checks": len(bad),
        "critical_failures": sum(f.status == "critical" for f in bad),
        "results": [_result(f) for f in found],
        "left_over": [{"kind": r.kind, "id": r.id, "name": r.name, "run": r.run, "removal": r.text} for r in left],
    }
    if fixed is None:
        return report
    done = sum(one.done for one in fixed)
    results = [
        {"fix_name": one.id, "attempted": True, "successful": one.done, "message": one.text, "resource_id": None}
        for one in fixed
    ]
    counts = {"fixes_attempted": len(fixed), "fixes_successful": done, "fixes_failed": len(fixed) - done}
    return {**report, "auto_fix_report": {"timestamp": at, **counts, "results": results}}


def _result(found: Finding) -> dict[str, Any]:
    """One check; what is not visible neither passed nor failed."""
    return {
        "id": found.check.id,
        "category": str(found.check.category),
        "check_name": found.check.id.partition(".")[2],
        "passed": None if found.status == "not visible" else found.status == "ok",
        "status": str(found.status),
        "severity": str(found.check.severity),
        "message": found.seen,
        "details": {"why": found.check.why},
        "fix": found.check.mend,
        "auto_fixable": found.check.id == "database.ours",
    }
