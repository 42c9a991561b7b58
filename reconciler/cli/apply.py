"""`failover apply PATH...`: plan, show, and carry out exactly that, with live progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import files, screen
from reconciler.cli import plan as plan_command
from specs.values import format_duration

if TYPE_CHECKING:
    from plans.plan import Plan
    from reconciler.cli.watcher import Watcher
    from reconciler.wiring import Connected

MAX_PLAN_BYTES = 16 * 1024 * 1024


@click.command("apply")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH...]")
@click.option("--plan", "plan_file", type=click.Path(path_type=Path), help="Carry out exactly the plans in this file.")
@click.option("--yes", is_flag=True, help="Do not ask on a terminal.")
@click.option("--again", is_flag=True, help="Run a test once more whose spec was carried out before.")
@click.option("--wait", is_flag=True, help="Stay until the tests are over and taken back.")
@screen.format_option()
@click.pass_obj
def command(
    shown: screen.Screen, paths: tuple[Path, ...], plan_file: Path | None, yes: bool, again: bool, wait: bool, form: str
) -> int:
    """Plan, then carry out exactly that. Ends when every test runs (or, with --wait, when all is taken back).

    Exit code 0: nothing to do, or done; 1: an error, or not everything is as wanted; 3: refused, nothing was sent.
    """
    if bool(paths) == (plan_file is not None):
        raise screen.Complaint("say either PATH... or --plan FILE")
    from reconciler import operations

    connected = shown.connect()
    plans = _kept(shown, connected, plan_file, form) if plan_file else _planned(shown, connected, paths, form, again)
    if not any(operations.changes_anything(connected, p) for p in plans):
        return _nothing(shown, form)
    if form == "text" and not _agreed(yes):
        shown.text("Nothing was done.")
        return screen.DONE
    return carry_out(shown, connected, plans, again=again, wait=wait, form=form)


def _planned(
    shown: screen.Screen, connected: Connected, paths: tuple[Path, ...], form: str, again: bool
) -> tuple[Plan, ...]:
    from plans.plan import Plan
    from reconciler import operations

    specs = files.specs(paths, files.bounds(shown))
    found = operations.plan_all(connected, specs, again)
    refused = plan_command.exit_code(found) == screen.REFUSED
    if form == "text" or refused:
        plan_command.show(shown, found, form)
    if refused:
        raise screen.Complaint(
            "Refused as a whole; nothing was sent. Mend the reasons above, or leave those VMs out.", screen.REFUSED
        )
    return tuple(f for f in found if isinstance(f, Plan))


def _kept(shown: screen.Screen, connected: Connected, path: Path, form: str) -> tuple[Plan, ...]:
    """The plans of a file, after a fresh look that agrees with every one of them."""
    from plans import render
    from reconciler import operations

    plans = _read(path, connected.engine.clock.now(), connected.settings.engine.plans_valid_for)
    changed = {plan.vm: rows for plan in plans if (rows := operations.stale(connected, plan))}
    if not changed:
        return plans
    if form == "json":
        shown.as_json({"changed": {vm: [row.as_json() for row in rows] for vm, rows in changed.items()}})
    else:
        for vm, rows in changed.items():
            shown.lines(render.difference_lines(vm, rows))
            shown.text()
    raise screen.Complaint("The world is not as the plan saw it; nothing was sent.", screen.REFUSED)


def _read(path: Path, now: datetime, valid_for: timedelta) -> tuple[Plan, ...]:
    """The plans of a file that is not older than plans are valid."""
    from plans.plan import NotAPlan, Plan

    try:
        if path.stat().st_size > MAX_PLAN_BYTES:
            raise screen.Complaint(f"{path} is larger than any plan file")
        data = json.loads(path.read_text(encoding="utf-8"))
        plans, age = tuple(map(Plan.from_json, data["plans"])), now - datetime.fromisoformat(data["planned_at"])
    except OSError as unreadable:
        raise screen.Complaint(f"cannot read {path}: {unreadable.strerror}") from None
    except NotAPlan as wrong:
        raise screen.Complaint(f"{path}: {wrong}. Plan again with `failover plan --out`.") from None
    except (ValueError, KeyError, TypeError):
        raise screen.Complaint(f"{path} is not a file that `failover plan --out` wrote") from None
    if abs(age) > valid_for:
        when = f"{format_duration(abs(age))} {'ago' if age > timedelta() else 'from now'}"
        text = f"{path} was planned {when}, and a plan is valid for {format_duration(valid_for)}"
        raise screen.Complaint(f"{text} (`engine.plans_valid_for`); nothing was sent. Plan again.", screen.REFUSED)
    return plans


def _agreed(yes: bool) -> bool:
    return yes or not sys.stdin.isatty() or click.confirm("Carry out exactly this?", default=False)


def _nothing(shown: screen.Screen, form: str) -> int:
    if form == "json":
        shown.as_json({"runs": [], "not_started": [], "not_looked_at": None})
    else:
        shown.text("Everything is as wanted; nothing to do.", "verified")
    return screen.DONE


def carry_out(
    shown: screen.Screen, connected: Connected, plans: Sequence[Plan], *, again: bool, wait: bool, form: str
) -> int:
    """Approve the plans and drive them to where nothing moves by itself. Returns the exit code."""
    from reconciler import operations
    from reconciler.cli import ending, progress

    changed = [p for p in plans if operations.changes_anything(connected, p)]
    accepted = {p.vm_key: operations.approve(connected, p, by=who(), again=again).record for p in changed}
    keys = frozenset(k for k, record in accepted.items() if record.is_active)
    for plan in (p for p in changed if p.vm_key not in keys and form == "text"):
        shown.text(f"{plan.vm}: this spec was carried out before; --again runs it once more", "waits")
    if not keys:
        return _nothing(shown, form) if form == "json" else screen.DONE
    with progress.watching(shown, connected, quiet=form == "json") as watcher, watcher.stoppable():
        _drive(connected, keys, watcher, wait)
    return ending.summary(shown, watcher, keys, form)


def _drive(connected: Connected, keys: frozenset[str], watcher: Watcher, wait: bool) -> None:
    from reconciler import operations
    from reconciler.cli import progress

    operations.drive(connected.engine, keys, watcher.seen, watcher.halt, watcher.lost)
    if wait:
        progress.hold(connected, keys, watcher)


def who() -> str:
    """The name of the person at the keyboard, for the audit trail."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
