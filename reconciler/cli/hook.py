"""`failover hook check COMMAND...`: whether a hook that prepares drivers keeps its contract."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import click

from reconciler.cli import screen


@click.group("hook")
def command() -> None:
    """Programs that prepare the drivers of guests, as yours: try whether one keeps the contract."""


@command.command("check", context_settings={"allow_interspersed_args": False})
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--image",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="Try it on a copy of this disk image instead of an empty disk.",
)
@click.option(
    "--time", "seconds", type=click.FloatRange(0.1, 86400), default=60, show_default=True, help="Seconds a verb may take."
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("hook.log"),
    show_default=True,
    help="Where what it writes to standard error is kept.",
)
@screen.format_option()
@click.pass_obj
def check(shown: screen.Screen, program: tuple[str, ...], image: Path | None, seconds: float, log: Path, form: str) -> int:
    """Try every verb of PROGRAM on a disk of the kit's own: what it promises, and what it must not do.

    Exit code 0: it keeps the contract; 1: an error; 3: it does not.
    """
    from reconciler.hooks import kit
    from reconciler.hooks.process import Limits

    if image is not None and not image.is_file():
        raise screen.Complaint(f"error: {image} is no plain file: copy the image of a disk into one and name that")
    if shutil.which(program[0]) is None:
        raise screen.Complaint(f"error: {program[0]} is no program that can be run: correct its path, or make it executable")
    program = (str(Path(program[0]).absolute()) if Path(program[0]).is_file() else program[0], *program[1:])
    try:
        log.open("ab").close()
        trials = list(kit.examine(program, log.absolute(), Limits(timedelta(seconds=seconds)), image))
    except OSError as fault:
        raise screen.Complaint(f"error: {fault.filename or log}: {fault.strerror}") from None
    kept = all(trial.kept for trial in trials)
    if form == "json":
        rows = [{"promise": t.promise, "kept": t.kept, "seen": t.seen} for t in trials]
        shown.as_json({"kept": kept, "trials": rows, "log": str(log)})
        return screen.DONE if kept else screen.REFUSED
    for trial in trials:
        text = f"{'=' if trial.kept else '!'} {trial.promise.ljust(max(len(t.promise) for t in trials))}  {trial.seen}"
        shown.text(text, "plain" if trial.kept else "broken")
    broken = sum(not trial.kept for trial in trials)
    verdict = "keeps the contract" if kept else f"breaks {broken} of {len(trials)} promises"
    shown.text(f"{Path(program[0]).name} {verdict}; what it wrote besides is in {log}", "strong")
    return screen.DONE if kept else screen.REFUSED
