"""`failover init`: a settings file, an embedded database and a first spec in a folder."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from reconciler.cli import screen

ENDPOINT = "http://127.0.0.1:8080/client/api"
SAMPLE = Path(__file__).parents[2] / "examples" / "sample.yaml"
SETTINGS = """\
# Settings of the failover reconciler. Secrets are references: env:NAME or file:PATH (relative to this file).
cloudstack:
  endpoint: {endpoint}
  api_key: file:secrets/api_key
  secret_key: file:secrets/secret_key
  # ca_file: ca.pem

database:
  # the embedded default; beside a replication system: mysql+pymysql://oma_user@host/migratekit_oma
  url: sqlite:///failover.db
  # password: file:secrets/database

test:
  min_duration: 5m
  max_duration: 7d

# networks:
#   test: [test-network-default]     # count as test networks besides those flagged in network_mappings

engine:
  max_runs: 5
  poll: 2s
"""
SPEC = """\
vm: {vm}
state: test-failover
for: 30m
"""


@click.command("init")
@click.argument("folder", required=False, default=".", type=click.Path(path_type=Path))
@click.option("--endpoint", default=ENDPOINT, show_default=True, help="CloudStack's API address.")
@click.option(
    "--example/--empty", default=True, help="Fill the embedded database with the two sample VMs, or leave it empty."
)
@click.pass_obj
def command(shown: screen.Screen, folder: Path, endpoint: str, example: bool) -> int:
    """Make a settings file, an embedded database and a first spec. Never overwrites anything."""
    made = furnish(folder, endpoint, example)
    for path in made:
        shown.text(f"+ {path}", "verified")
    if not made:
        shown.text("everything was there already; nothing was changed")
    _next(shown, folder, example, endpoint)
    return screen.DONE


def furnish(folder: Path, endpoint: str, example: bool) -> list[Path]:
    """Make what is not there yet; returns what was made."""
    made = [
        _write(folder / "failover.yaml", SETTINGS.format(endpoint=endpoint)),
        _write(folder / "secrets" / "api_key", "demo-api-key\n" if example else "", secret=True),
        _write(folder / "secrets" / "secret_key", "demo-secret-key\n" if example else "", secret=True),
        _write(folder / ".gitignore", "secrets/\nfailover.db*\n"),
        _write(folder / "specs" / "pgwintestbios.yaml", SPEC.format(vm="PGWINTESTBIOS")) if example else None,
        _database(folder / "failover.db", example),
    ]
    return [path for path in made if path is not None]


def _write(path: Path, text: str, secret: bool = False) -> Path | None:
    if path.exists():
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if secret else 0o755)
        path.touch(mode=0o600 if secret else 0o644)
        path.write_text(text, encoding="utf-8")
    except OSError as unwritable:
        raise screen.Complaint(f"cannot write {path}: {unwritable.strerror}") from None
    return path


def _database(path: Path, example: bool) -> Path | None:
    from reconciler.store import database, embedded

    if path.exists():
        return None
    store = database.Database(f"sqlite:///{path.absolute()}", create=True)
    with store.begin() as connection:
        embedded.create(connection)
        if example:
            embedded.load(connection, embedded.sample(SAMPLE))
    database.upgrade(store)
    return path


def _next(shown: screen.Screen, folder: Path, example: bool, endpoint: str) -> None:
    shown.text()
    if str(folder) != ".":
        shown.text(f"  cd {shlex.quote(str(folder))}")
    if example:
        if endpoint == ENDPOINT:
            shown.text("  python -m simulator --port 8080     a cloud to try it on, in another terminal")
        shown.text("  failover plan specs/                what would be done")
    else:
        shown.text("  put your keys into secrets/, your first spec into specs/, then:  failover plan specs/")
