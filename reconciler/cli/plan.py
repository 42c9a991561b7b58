"""`failover plan PATH...`: the dry run. Looks, plans, shows; changes nothing anywhere."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import files, screen, trouble

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.exits import Exits
    from reconciler.operations import Found
    from reconciler.wiring import Connected


@click.command("plan")
@files.paths_argument
@screen.format_option("markdown")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the plans in this file, for `apply --plan`.")
@click.option("--again", is_flag=True, help="Plan a test that was carried out before as if it were new.")
@click.option("-v", "--verbose", is_flag=True, help="Show precondition, effect and risk beneath every step.")
@click.pass_obj
def command(shown: screen.Screen, paths: tuple[Path, ...], form: str, out: Path | None, again: bool, verbose: bool) -> int:
    """Show what would be done, in order, and why. Changes nothing.

    Exit code 0: nothing to do; 2: changes pending; 3: refused with reasons.
    """
    from reconciler import operations

    specs, connected = files.specs(paths, files.bounds(shown)), shown.connect()
    found = operations.plan_all(connected, specs, again)
    show(shown, found, form, verbose, _paused(connected, found))
    code = exit_code(found)
    if out is not None:
        keep(out, found, connected.engine.clock.now())
    if form == "text":
        _next(shown, code, paths, out)
    return code


def _paused(connected: Connected, found: Sequence[Found]) -> list[Exits]:
    """The ways on for those of these VMs whose run waits at a safe point."""
    from plans.plan import Plan
    from reconciler import operations

    waiting = operations.paused(connected)
    ways = [operations.exits_of(connected, f.vm_key) for f in found if isinstance(f, Plan) and f.vm_key in waiting]
    return [one for one in ways if one is not None]


def show(
    shown: screen.Screen,
    found: Sequence[Found],
    form: str = "text",
    verbose: bool = False,
    paused: Sequence[Exits] = (),
) -> None:
    """Print plans and refusals in one of the three forms, and the ways on for runs that wait at a safe point."""
    from plans import render
    from plans.plan import Plan

    if form == "json":
        ways = [trouble.exits_json(one) for one in paused]
        shown.as_json({"plans": [render.as_json(f) for f in found], **({"exits": ways} if ways else {})})
    elif form == "markdown":
        click.echo(render.markdown(found), nl=False)
    else:
        width = screen.width()
        for one in found:
            shown.lines(
                render.plan_lines(one, verbose, width) if isinstance(one, Plan) else render.refusal_lines(one, width)
            )
            shown.text()
        for ways_on in paused:
            shown.text(f"{ways_on.run.vm_name} waits at a safe point: {ways_on.run.reason}", "broken")
            trouble.tell(shown, trouble.exit_rows(ways_on))
            shown.text()


def exit_code(found: Sequence[Found]) -> int:
    """3 when anything is refused, else 2 when anything is to be done or amended, else 0."""
    from plans.plan import Plan

    if not all(isinstance(f, Plan) for f in found):
        return screen.REFUSED
    return screen.PENDING if any(isinstance(f, Plan) and not f.is_empty for f in found) else screen.DONE


def keep(out: Path, found: Sequence[Found], now: datetime) -> None:
    """Write the plans to a file that `apply --plan` takes for a while from now; refusals are not kept."""
    import json

    from plans.plan import Plan

    data = {"planned_at": now.isoformat(), "plans": [f.as_json() for f in found if isinstance(f, Plan)]}
    try:
        out.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    except OSError as unwritable:
        raise screen.Complaint(f"cannot write {out}: {unwritable.strerror}") from None


def _next(shown: screen.Screen, code: int, paths: tuple[Path, ...], out: Path | None) -> None:
    """What to type next, as it can be copied."""
    if code != screen.PENDING:
        return
    named = shlex.join(map(str, paths))
    kept = (f"failover plan --out plan.json {named}", "keep it")
    if out is not None:
        kept = (f"failover apply --plan {shlex.quote(str(out))}", "run exactly this")
    rows = ((f"failover apply {named}", "run it"), kept)
    room = max(len(words) for words, _ in rows)
    for words, then in rows:
        shown.text(f"  {words:<{room}}   {then}")
