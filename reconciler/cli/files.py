"""Reading specs for a command: load, show every error at once, stop there.

Used by `validate`, `plan`, `apply` and the daemon. The bounds come from the settings file where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.cli import screen

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    from specs.load import Bounds, Loaded
    from specs.model import Spec


def paths_argument(command: F) -> F:
    """The PATH... argument of commands that read specs."""
    kind = click.Path(exists=False, path_type=Path)
    return click.argument("paths", nargs=-1, required=True, type=kind, metavar="PATH...")(command)


def bounds(shown: screen.Screen) -> Bounds:
    """The bounds from the settings file, or the built-in ones where there is no settings file at all."""
    from reconciler import settings, wiring
    from specs.load import Bounds

    path = shown.settings_path or wiring.settings_path()
    if shown.settings_path is None and not path.exists():
        return Bounds()
    return wiring.bounds(settings.load(path), path)


def loaded(paths: tuple[Path, ...], limits: Bounds) -> Loaded:
    """Everything the paths hold, specs and errors."""
    from specs import load

    return load.load(paths, bounds=limits)


def specs(paths: tuple[Path, ...], limits: Bounds) -> tuple[Spec, ...]:
    """The specs, or a complaint with every error of every file."""
    found = loaded(paths, limits)
    if found.errors:
        raise screen.Complaint(complaint(found))
    if not found.specs:
        raise screen.Complaint(f"no spec in {', '.join(map(str, paths))}: nothing is wanted, so there is nothing to do")
    return found.specs


def complaint(found: Loaded) -> str:
    """All errors, and a last line with counts."""
    from specs import errors

    faulty = len({e.file for e in found.errors})
    told = "\n\n".join(errors.render(e) for e in found.errors)
    count = f"{screen.counted(len(found.errors), 'error')} in {faulty} of {screen.counted(found.files, 'file')}"
    return f"{told}\n\n{count}, {screen.counted(found.vms, 'VM')} read. Nothing was sent anywhere."
