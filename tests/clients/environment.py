"""The environment of the foreign clients, and how a program is run in it.

`make` puts Ansible's collection, Libcloud and `cs` into `.venv-clients`, which no other program sees. `why_not()` says why
nothing can be run here; `run` runs one program against an address, with keys, in a folder of its own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.doors import Keys

PLACE = Path(__file__).parents[2] / ".venv-clients"
CALLBACK = Path(__file__).parent / "callback"
# For Ansible: modules run in the process that it forks for a task; a play takes a sixth of the time.
INSIDE = {"ANSIBLE_ACTION_PLUGINS": str(Path(__file__).parent / "inside"), "CLIENTS_LOADED": "cs ansible.module_utils.basic"}
PLAYBOOK = ("ansible-playbook", "--inventory", "localhost,", "--connection", "local")
PATIENCE = 240.0  # seconds


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it printed."""

    code: int
    printed: str
    complained: str


def why_not() -> str:
    """Why the foreign clients cannot be run here; empty where they can."""
    return "" if (PLACE / "made").exists() else f"no foreign clients in {PLACE.name}: make {PLACE.name}/made"


def run(program: Sequence[str], url: str, keys: Keys, folder: Path, more: Mapping[str, str] | None = None) -> Ended:
    """Runs a program of the environment with the address and keys where all three clients look for them."""
    done = subprocess.run(
        program,
        cwd=folder,
        env={**_variables(folder), **_cloud(url, keys), **(more or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def _cloud(url: str, keys: Keys) -> dict[str, str]:
    return {"CLOUDSTACK_ENDPOINT": url, "CLOUDSTACK_KEY": keys.key, "CLOUDSTACK_SECRET": keys.secret}


def _variables(folder: Path) -> dict[str, str]:
    """Nothing of whoever runs the tests but the system's programs: no settings, no proxies, no home."""
    plain = {"PATH": f"{PLACE / 'bin'}:{os.defpath}", "HOME": str(folder), "LC_ALL": "C.UTF-8", "PYTHONNOUSERSITE": "1"}
    return plain | {
        "ANSIBLE_COLLECTIONS_PATH": str(PLACE / "collections"),
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACK),
        "ANSIBLE_CALLBACKS_ENABLED": "told",
        "ANSIBLE_PYTHON_INTERPRETER": str(PLACE / "bin" / "python"),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "CLIENTS_TOLD": str(folder / "told.jsonl"),
    }
