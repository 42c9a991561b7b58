"""The command line: `failover`. Each command is a thin way to the engine and back to a person.

Commands are loaded when they are called, so that `failover --help` and completion stay quick. Exit codes, the same for all:
0 nothing to do or done, 1 error, 2 changes pending (`plan`), 3 refused with reasons.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence

import click

from reconciler.cli import screen

COMMANDS: dict[str, str] = {
    "init": "make a settings file, an embedded database and a first spec",
    "validate": "check specs offline; nothing is sent anywhere",
    "schema": "print the JSON Schema of spec files, for editors",
    "plan": "show what would be done, in order, and why (dry run)",
    "apply": "plan, then carry out exactly that",
    "status": "what is wanted, what is so, and what is waited for",
    "end": "end a test now and take everything back",
    "doctor": "whether the platform is fit for a failover, and how to mend what is not",
    "ready": "which VMs are ready for a failover, and what the others need",
    "inventory": "what the database knows of VMs, and where CloudStack says otherwise",
    "history": "what ran, when, and how it ended",
    "why": "the story of a VM backwards: now, waiting for what, last decisions",
    "freeze": "stop a test on its way there until you say how it goes on",
    "resolve": "say what became of a step that is stuck",
    "network": "which network each adapter gets: list, map, unmap, suggest, check",
    "source": "what the source side says; switch a source VM off or on, sync it",
    "hook": "try whether a program that prepares drivers keeps its contract",
    "daemon": "carry out a folder of specs, end tests when their time is up",
    "db": "our own tables: make, upgrade, check or prune them",
    "demo": "the whole story on a simulated cloud, with proof",
}


class _Lazy(click.Group):
    """A group that imports a command's module only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"reconciler.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="failover-reconciler", prog_name="failover")
@click.option("--settings", metavar="FILE", help="Settings file (default: $FAILOVER_SETTINGS, else ./failover.yaml).")
@click.option("--color/--no-color", default=None, help="Force colour on or off (default: on a terminal; NO_COLOR too).")
@click.pass_context
def cli(context: click.Context, settings: str | None, color: bool | None) -> None:
    """Declarative VM failover: specs say what is wanted, plans say how, and every test is taken back.

    Exit codes: 0 nothing to do or done, 1 error, 2 changes pending (plan), 3 refused with reasons.
    """
    context.obj = screen.Screen.of(settings, color, context.obj)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code; usage errors are 1, because 2 means pending changes."""
    gc.disable()  # nothing is garbage while modules load; `Screen.connect` turns it on again
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # no code of others in here; looking for some takes time
    output = screen.Output.opened()
    try:
        code = cli.main(arguments, prog_name="failover", standalone_mode=False, obj=output)
    except click.exceptions.Exit as left:
        code = left.exit_code
    except click.ClickException as wrong:
        wrong.show()
        code = output.failed(wrong.format_message(), screen.ERROR)
    except click.Abort:
        click.echo("stopped", err=True)
        code = output.failed("stopped", screen.ERROR)
    except BrokenPipeError:
        code = output.closed()
    except Exception as fault:
        code = output.told(fault)
    sys.exit(code if isinstance(code, int) else 0)
