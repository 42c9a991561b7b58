"""`failover network`: how networks of VMs are mapped, what would fit, and changes that are shown before they are made."""

from __future__ import annotations

import shlex
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import screen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from plans.mapping import Standing, Suggestion
    from reconciler.networks import Asked, Mapped, Mappings

TITLE = 11
NOBODY = "no replicated VM in the database"


@click.group("network")
def command() -> None:
    """Which CloudStack network each adapter of a VM gets, for tests and for live failovers."""


def variant_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--test` and `--live`: which of the two mappings of a source network is meant, handed on as `is_test`."""

    @click.option("--test", is_flag=True, help="The test network, a closed one.")
    @click.option("--live", is_flag=True, help="The production network, for a live failover.")
    @wraps(function)
    def told(*args: Any, test: bool, live: bool, **options: Any) -> Any:
        if test is live:
            why = "each adapter has a network for tests and one for live failovers"
            raise screen.Complaint(f"say either --test or --live: {why}")
        return function(*args, is_test=test, **options)

    return told


def changing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What commands that write have in common."""
    function = click.option("--yes", is_flag=True, help="Do not ask.")(function)
    return click.option("--dry-run", is_flag=True, help="Show what would be changed, and leave it at that.")(function)


@command.command("list")
@click.argument("vm", required=False)
@screen.format_option()
@click.pass_obj
def list_(shown: screen.Screen, vm: str | None, form: str) -> int:
    """Show both mappings of every adapter, and what is wrong with them."""
    _show(shown, _of(*_looked(shown, vm)), form)
    return screen.DONE


@command.command("check")
@click.argument("vm", required=False)
@screen.format_option()
@click.pass_obj
def check(shown: screen.Screen, vm: str | None, form: str) -> int:
    """Check every mapping: it is there, leads to one usable network of the right zone, and out of no test network.

    Exit code 0: nothing is wrong; 1: an error; 3: something is, or there is no VM.
    """
    rows = _of(*_looked(shown, vm))
    _show(shown, rows if form == "json" else [row for row in rows if not row.is_well], form)
    bad = sum(not row.is_well for row in rows)
    is_well = bool(rows) and not bad
    if form == "text":
        vms = screen.counted(len(rows), "VM")
        what = f"all is well with {vms}" if rows else NOBODY
        if bad:
            what = f"{bad} of {vms} with something wrong; `failover network suggest` says what would fit"
        shown.text(what, "verified" if is_well else "broken")
    return screen.DONE if is_well else screen.REFUSED


@command.command("suggest")
@click.argument("vm", required=False)
@screen.format_option()
@click.pass_obj
def suggest(shown: screen.Screen, vm: str | None, form: str) -> int:
    """For every mapping that is missing or wrong, say which networks would fit, and why. Changes nothing."""
    known, key = _looked(shown, vm)
    found = [(row, list(known.suggested(row))) for row in _of(known, key)]
    if form == "json":
        shown.as_json({"vms": [_suggested(row, offers) for row, offers in found]})
        return screen.DONE
    for row, offers in ((row, offers) for row, offers in found if offers):
        shown.text(row.source.name, "strong")
        for standing, fitting in offers:
            _offer(shown, row, standing, fitting)
    if not any(offers for _, offers in found):
        shown.text("every adapter has both of its networks, and nothing is wrong with them", "verified")
    return screen.DONE


@command.command("map")
@click.argument("vm")
@click.argument("adapter")
@click.argument("network")
@variant_options
@click.option("--everywhere", is_flag=True, help="Also for every other VM with such an adapter and no such mapping.")
@changing_options
@screen.format_option()
@click.pass_obj
def map_(
    shown: screen.Screen,
    vm: str,
    adapter: str,
    network: str,
    is_test: bool,
    everywhere: bool,
    dry_run: bool,
    yes: bool,
    form: str,
) -> int:
    """Map an adapter, by the name of its source network, to a NETWORK of CloudStack, its id or exact name.

    Exit code 0: it is so, only shown, or you said no; 1: an error; 3: refused, nothing was written.
    """
    known, source = _meant(shown, vm)
    asked = known.mapped(source, adapter, network, is_test, everywhere)
    return _changed(shown, known, asked, dry_run=dry_run, yes=yes, form=form)


@command.command("unmap")
@click.argument("vm")
@click.argument("adapter")
@variant_options
@changing_options
@screen.format_option()
@click.pass_obj
def unmap(shown: screen.Screen, vm: str, adapter: str, is_test: bool, dry_run: bool, yes: bool, form: str) -> int:
    """Take one mapping of an adapter away; the other one stays.

    Exit code 0: it is so, only shown, or you said no; 1: an error; 3: refused, nothing was written.
    """
    known, source = _meant(shown, vm)
    return _changed(shown, known, known.unmapped(source, adapter, is_test), dry_run=dry_run, yes=yes, form=form)


def _looked(shown: screen.Screen, vm: str | None) -> tuple[Mappings, str | None]:
    from reconciler import networks, operations

    connected = shown.connect()
    key = operations.resolve(connected, vm).key if vm is not None else None
    return networks.Mappings.looked(connected), key


def _meant(shown: screen.Screen, vm: str) -> tuple[Mappings, Any]:
    known, key = _looked(shown, vm)
    return known, known.look.fleet.sources[key or ""]


def _of(known: Mappings, key: str | None) -> tuple[Mapped, ...]:
    return known.of([key] if key is not None else None)


def _show(shown: screen.Screen, rows: Sequence[Mapped], form: str) -> None:
    if form == "json":
        shown.as_json({"vms": [{"vm": r.source.name, "vm_key": r.source.key, "mappings": _json(r.rows)} for r in rows]})
        return
    for row in rows:
        shown.text(row.source.name, "strong")
        for one in row.rows:
            shown.titled(_word(one), f'"{one.adapter}" → {_leads_to(one)}', "broken" if one.problems else "plain", TITLE)
            for text in one.problems if one.mapping is not None else ():
                shown.titled("", f"✗ {text}", "broken", TITLE)
        if not row.rows:
            shown.titled("", "no adapter of it is recorded: run discovery", "waits", TITLE)


def _word(one: Standing) -> str:
    from plans import mapping

    return mapping.variant(one.is_test)


def _leads_to(one: Standing) -> str:
    if one.mapping is None:
        return "nothing"
    if one.network is None:
        return one.mapping.network_name or one.mapping.network_id
    return f"{one.network.name} ({one.network.type}, {one.network.id})"


def _json(rows: Iterable[Standing]) -> list[dict[str, Any]]:
    return [
        {
            "source_network_name": one.adapter,
            "is_test_network": one.is_test,
            "destination_network_id": one.mapping.network_id if one.mapping else None,
            "destination_network_name": one.mapping.network_name if one.mapping else None,
            "problems": list(one.problems),
        }
        for one in rows
    ]


def _suggested(row: Mapped, offers: Iterable[tuple[Standing, tuple[Suggestion, ...]]]) -> dict[str, Any]:
    return {
        "vm": row.source.name,
        "vm_key": row.source.key,
        "suggestions": [
            {
                "source_network_name": one.adapter,
                "is_test_network": one.is_test,
                "problems": list(one.problems),
                "networks": [{"id": s.network.id, "name": s.network.name, "because": s.because} for s in fitting],
            }
            for one, fitting in offers
        ],
    }


def _offer(shown: screen.Screen, row: Mapped, one: Standing, fitting: Sequence[Suggestion]) -> None:
    """What would fit for one variant, and what to type."""
    shown.titled(_word(one), f'"{one.adapter}": {"; ".join(one.problems)}', "broken", TITLE)
    for offer in fitting:
        words = ("failover", "network", "map", row.source.name, one.adapter, offer.network.name)
        shown.titled("", f"{shlex.join(words)} --{'test' if one.is_test else 'live'}", "plain", TITLE)
        shown.titled("", f"  {offer.network.type}; {offer.because}", "history", TITLE)
    if not fitting:
        shown.titled(
            "", "no network fits: make a closed one, of layer 2" if one.is_test else "no network fits", "waits", TITLE
        )


def _changed(shown: screen.Screen, known: Mappings, asked: Asked, *, dry_run: bool, yes: bool, form: str) -> int:
    """Show a change, ask, and make it; or say every reason against it."""
    from reconciler.cli import apply

    if form == "text":
        for change in asked.changes:
            shown.text(f"{'=' if change.is_none else '~'} {change.text}", "verified" if change.is_none else "strong")
    if asked.against:
        raise screen.Complaint(f"Refused, nothing was written: {'; '.join(asked.against)}", screen.REFUSED)
    changes, done = [c for c in asked.changes if not c.is_none], False
    if changes and not dry_run:
        if not yes and not sys.stdin.isatty():
            raise screen.Complaint("nobody is there to be asked: say --yes or --dry-run", screen.REFUSED)
        if done := yes or click.confirm("Change exactly this?", default=False, err=form == "json"):
            known.carry_out(asked, apply.who())
    if form == "json":
        shown.as_json({"changes": [c.text for c in changes], "done": done})
    elif done:
        shown.text("written; plans are made with it from now on", "verified")
    else:
        shown.text("Nothing was changed." if changes else "it is so already")
    return screen.DONE
