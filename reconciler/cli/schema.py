"""`failover schema`: the JSON Schema of spec files, for editors."""

from __future__ import annotations

import click

from reconciler.cli import screen


@click.command("schema")
@click.pass_obj
def command(shown: screen.Screen) -> int:
    """Print the JSON Schema of spec files, for editors."""
    from specs import schema

    shown.as_json(schema.json_schema())
    return screen.DONE
