"""`failover source`: what the source side says, and the few things a person may have done there outside any run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import screen

if TYPE_CHECKING:
    from plans.observed import Source
    from reconciler.at_source import Order
    from reconciler.source.outcomes import Outcome
    from reconciler.source.reach import Reached, Said

TITLE = 12


@click.group("source")
def command() -> None:
    """The source side: VMware's appliance, the replication system's API, the volume daemon."""


@command.command("status")
@click.argument("vm", required=False)
@screen.format_option()
@click.pass_obj
def status(shown: screen.Screen, vm: str | None, form: str) -> int:
    """Ask each service whether it answers and, with a VM, what it says of it. Nothing is changed.

    Exit code 0: all that is configured answers; 1: something does not, or could not be told.
    """
    from reconciler import operations, wiring
    from reconciler.source import reach
    from reconciler.source.errors import NotConfigured, SourceError

    connected = shown.connect()
    side = wiring.source_side(connected.settings, connected.engine.clock)
    source = operations.resolve(connected, vm) if vm is not None else None
    reached = reach.reachable(side)
    said = reach.said_of(side, source) if source is not None else None
    if form == "json":
        told = _said_json(source, said) if source is not None and said is not None else None
        shown.as_json({"services": [_reached_json(row) for row in reached], "vm": told})
    else:
        for row in reached:
            meaning = {"answers": "verified", "fails": "broken"}.get(row.reach, "history")
            shown.titled(row.service, row.reason or row.reach, meaning, TITLE)
        if source is not None and said is not None:
            shown.text(f"{source.name} on {source.vcenter}", "strong")
            for title, text, meaning in _said(source, said):
                shown.titled(title, text, meaning, TITLE)
    parts = (said.power, said.jobs, said.mappings) if said is not None else ()
    untold = [p for p in parts if isinstance(p, SourceError) and not isinstance(p, NotConfigured)]
    return screen.ERROR if untold or any(row.reach is reach.Reach.FAILS for row in reached) else screen.DONE


@command.command("power")
@click.argument("vm")
@click.option("--on", "wanted", flag_value="on", help="Switch it on.")
@click.option("--off", "wanted", flag_value="off", help="Switch it off by its guest.")
@click.option("--force", is_flag=True, help="With --off: by force where the guest does not shut down.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@screen.format_option()
@click.pass_obj
def power(shown: screen.Screen, vm: str, wanted: str | None, force: bool, yes: bool, form: str) -> int:
    """Switch a source VM on or off, and look until it is so. Refused while a run holds the VM.

    Exit code 0: it is so, or you said no; 1: it is not known what became of it, or an error; 3: refused.
    """
    from reconciler.at_source import Verb

    if wanted is None:
        raise screen.Complaint("say either --on or --off")
    if force and wanted == "on":
        raise screen.Complaint("--force goes with --off only")
    return _carried_out(shown, vm, Verb(wanted), force=force, yes=yes, form=form)


@command.command("sync")
@click.argument("vm")
@click.option("--yes", is_flag=True, help="Do not ask.")
@screen.format_option()
@click.pass_obj
def sync(shown: screen.Screen, vm: str, yes: bool, form: str) -> int:
    """Sync a VM once more, and follow it until every disk has a new ChangeID. Refused while a run holds the VM.

    Exit code 0: every disk has one, or you said no; 1: it is not known what became of it, or an error; 3: refused.
    """
    from reconciler.at_source import Verb

    return _carried_out(shown, vm, Verb.SYNC, force=False, yes=yes, form=form)


def _carried_out(shown: screen.Screen, vm: str, verb: Any, *, force: bool, yes: bool, form: str) -> int:
    from reconciler import at_source, operations, wiring
    from reconciler.cli import apply
    from reconciler.source import reach

    connected = shown.connect()
    order = at_source.Order(operations.resolve(connected, vm), verb, force)
    if form == "text":
        shown.text(f"1. {order.text}", "strong")
    if (why := at_source.obstacle(connected, order)) is not None:
        raise screen.Complaint(f"Refused, nothing was sent: {why}", screen.REFUSED)
    side = wiring.source_side(connected.settings, connected.engine.clock)
    if form == "text":
        for title, text, meaning in _said(order.source, reach.said_of(side, order.source)):
            shown.titled(title, text, meaning, TITLE)
    if not yes and not sys.stdin.isatty():
        raise screen.Complaint("nobody is there to be asked: say --yes", screen.REFUSED)
    if not yes and not click.confirm("Carry out exactly this?", default=False, err=form == "json"):
        shown.text("Nothing was done.") if form == "text" else shown.as_json({"order": order.text, "outcome": "not wanted"})
        return screen.DONE
    return _ended(shown, order, at_source.carry_out(connected, side, order, apply.who()), form)


def _ended(shown: screen.Screen, order: Order, outcome: Outcome, form: str) -> int:
    from reconciler.source.outcomes import Done, Refused

    if isinstance(outcome, Done):
        word, text, code, meaning = "done", outcome.how, screen.DONE, "verified"
    elif isinstance(outcome, Refused):
        word, text, code, meaning = "refused", outcome.why, screen.REFUSED, "broken"
    else:
        word, text, code, meaning = "unknown", outcome.why, screen.ERROR, "waits"
    if form == "json":
        proof = dict(outcome.proof) if isinstance(outcome, Done) else {}
        shown.as_json({"order": order.text, "outcome": word, "text": text, "change_ids": proof})
        return code
    shown.titled(word, text, meaning, TITLE)
    for disk, change_id in outcome.proof.items() if isinstance(outcome, Done) else ():
        shown.titled(disk, change_id, "history", TITLE)
    if word == "unknown":
        shown.titled("next", f"look before anything else: failover source status {order.source.name}", "strong", TITLE)
    return code


def _said(source: Source, said: Said) -> list[tuple[str, str, str]]:
    """What each service says of a VM, as titles, texts and meanings."""
    from reconciler.source.errors import NotConfigured, SourceError

    def untold(fault: SourceError) -> tuple[str, str]:
        return ("not configured", "history") if isinstance(fault, NotConfigured) else (f"not told: {fault}", "waits")

    rows: list[tuple[str, str, str]] = []
    if isinstance(said.power, SourceError):
        rows.append(("power", *untold(said.power)))
    else:
        rows.append(("power", f"{said.power.power}, {said.power.tools}", "plain"))
    if isinstance(said.jobs, SourceError):
        rows.append(("replication", *untold(said.jobs)))
    else:
        busy = [f"job {job.id} is {job.status}" for job in said.jobs if not job.is_over]
        rows.append(("replication", ", ".join(busy) or "no job under way", "running" if busy else "plain"))
    if isinstance(said.mappings, SourceError):
        rows.append(("mappings", *untold(said.mappings)))
    else:
        away = [d.key for d in source.disks if (d.volume_id or "").lower() not in said.mappings]
        text = f"the daemon does not have {', '.join(away)} on the appliance" if away else "every disk is on the appliance"
        rows.append(("mappings", text, "waits" if away else "plain"))
    return rows


def _reached_json(row: Reached) -> dict[str, Any]:
    return {"service": row.service, "reach": row.reach, "reason": row.reason or None}


def _said_json(source: Source, said: Said) -> dict[str, Any]:
    from reconciler.source.errors import SourceError

    told = {
        "power": said.power
        if isinstance(said.power, SourceError)
        else {"state": said.power.power, "tools": said.power.tools},
        "jobs": said.jobs if isinstance(said.jobs, SourceError) else [{"id": j.id, "status": j.status} for j in said.jobs],
        "mappings": said.mappings if isinstance(said.mappings, SourceError) else dict(said.mappings),
    }
    parts = {name: {"not_told": str(part)} if isinstance(part, SourceError) else part for name, part in told.items()}
    return {"name": source.name, "uuid": source.key, "vcenter": source.vcenter, **parts}
