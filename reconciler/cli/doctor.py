"""`failover doctor`: is the platform fit for a failover; what is not, why that matters, and how it is mended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import screen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from plans.doctor import Finding, Status
    from reconciler.doctor import Fix, Removal

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

    connected = shown.connect()
    side = wiring.source_side(connected.settings, connected.engine.clock)
    seen = doctor.looked(connected, side)
    wanted = [checks.Category(name) for name in only or CATEGORIES]
    if fix and _mended(shown, connected, doctor.fixes(seen), yes, form):
        seen = doctor.looked(connected, side)
    found, left = checks.examine(seen, wanted), doctor.removals(seen)
    if form == "json":
        shown.as_json(_as_json(found, left, checks.worst(found)))
    else:
        _show(shown, found, left, doctor.fixes(seen), verbose)
    return {"critical": CRITICAL, "warning": WARNINGS}.get(checks.worst(found), FIT)


def _mended(shown: screen.Screen, connected: Any, fixes: Sequence[Fix], yes: bool, form: str) -> bool:
    """Show what would be mended, ask, and do it. Whether anything was done."""
    say = shown.text if form == "text" else lambda text="", _meaning="plain": click.echo(text, err=True)
    for number, one in enumerate(fixes, 1):
        say(f"{number}. {one.text}", "strong")
    if not fixes:
        say("nothing can be mended by itself")
        return False
    if not yes and not sys.stdin.isatty():
        raise screen.Complaint("nobody is there to be asked: say --yes; nothing was changed")
    if not yes and not click.confirm("Do exactly this?", default=False, err=form == "json"):
        say("Nothing was changed.")
        return False
    for one in fixes:
        say(f"   {one.id}: {one.work(connected)}", "verified")
    return True


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


def _as_json(found: Sequence[Finding], left: Sequence[Removal], worst: Status) -> dict[str, Any]:
    bad = [f for f in found if f.status in ("warning", "critical")]
    return {
        "overall_passed": worst == "ok",
        "total_checks": len(found),
        "passed_checks": sum(f.status == "ok" for f in found),
        "failed_checks": len(bad),
        "critical_failures": sum(f.status == "critical" for f in bad),
        "results": [
            {
                "id": f.check.id,
                "category": str(f.check.category),
                "status": str(f.status),
                "severity": str(f.check.severity),
                "message": f.seen,
                "why": f.check.why,
                "fix": f.check.mend,
                "auto_fixable": f.check.id == "database.ours",
            }
            for f in found
        ],
        "left_over": [{"kind": r.kind, "id": r.id, "name": r.name, "run": r.run, "removal": r.text} for r in left],
    }
