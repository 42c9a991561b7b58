"""`failover validate PATH...`: check specs offline. Needs no settings file and no connection."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.cli import files, screen


@click.command("validate")
@files.paths_argument
@click.option("--explain", is_flag=True, help="Show every effective value and the line it came from.")
@screen.format_option()
@click.pass_obj
def command(shown: screen.Screen, paths: tuple[Path, ...], explain: bool, form: str) -> int:
    """Check specs offline: every error of every file at once. Nothing is sent anywhere."""
    found = files.loaded(paths, files.bounds(shown))
    if form == "json":
        shown.as_json(
            {
                "files": found.files,
                "vms": found.vms,
                "errors": [_error(e) for e in found.errors],
                "specs": [{**s.as_json(), "origin": str(s.origin), "digest": s.digest} for s in found.specs],
            }
        )
        return screen.ERROR if found.errors else screen.DONE
    if found.errors:
        raise screen.Complaint(files.complaint(found))
    if explain:
        _explain(shown, found.specs)
    read = f"{screen.counted(found.vms, 'VM')} in {screen.counted(found.files, 'file')}"
    shown.text(f"{read}, no errors. Nothing was sent anywhere.", "verified")
    return screen.DONE


def _error(error) -> dict[str, object]:  # type: ignore[no-untyped-def]
    fields = ("file", "line", "column", "message", "hint")
    return {name: getattr(error, name) for name in fields}


def _explain(shown: screen.Screen, specs) -> None:  # type: ignore[no-untyped-def]
    from specs import explain

    for spec in specs:
        shown.text(str(spec.vm), "strong")
        for told in explain.explain(spec):
            shown.text(f"  {told}")
        shown.text()
