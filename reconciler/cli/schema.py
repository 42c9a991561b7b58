"""`failover schema`: the JSON Schema of spec files, for editors."""

from __future__ import annotations

import click

from reconciler.cli import screen


@click.command("schema")
def command() -> int:
    """Print the JSON Schema of spec files, for editors."""
    from specs import schema

    screen.as_json(schema.json_schema())
    return screen.DONE
