"""The programs that were recorded, as they are run, and what they tell as plain rows that can be compared.

A `Program` is one packed text with its arguments in the recorded zone; `played` runs it and gives its rows, `expected` the
rows that the real server brought about. Times are blanked, nothing else is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients import environment
from tests.clients.environment import Ended
from tests.conformance import records, setup
from tests.conformance.blanking import UUID, blanked
from tests.conformance.doors import Keys
from tests.conformance.records import Scenario

CALLER = "dr"
ZONE, TEMPLATE, NETWORK, SECOND_NETWORK = "recording-zone", "CentOS 5.6 (64-bit) no GUI (Simulator)", "test", "l2test"
COMPUTE, FIXED, DISK = "custom-constrained", "fixed-small", "custom-disk"
NUMBER = re.compile(r"\[\d+\]")  # blanked like ids in what was kept of the walk with Libcloud
SHOWN = ("state", "hypervisor", "attached", "size", "type")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Program:
    """One program. `name` is that of its recording, `text` and `told` are packed files, `call` makes its command line."""

    name: str
    text: str
    told: str
    call: Callable[[Path], Sequence[str]]
    rows: Callable[[Ended, Path], list[Row]]

    @property
    def recording(self) -> Scenario:
        """What crossed the wire when the program ran against the real server."""
        return records.scenario(str(records.HERE / "clients" / f"{self.name}-exchanges.jsonl.xz"))

    @property
    def expected(self) -> list[Row]:
        """The rows of the real server."""
        text = records.text(f"clients/{self.told}")
        if self.told.endswith(".txt"):
            return lines(text)
        return blank(json.loads(text)) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]

    def played(self, url: str, keys: Keys, folder: Path, more: Mapping[str, str] | None = None) -> list[Row]:
        """Runs the program, unchanged, in an empty folder; `more` are variables of its environment."""
        script = folder / self.text
        script.write_text(records.text(f"clients/{self.text}"))
        return self.rows(environment.run(self.call(script), url, keys, folder, more), folder)


def id_of(step: str, key: str, name: str) -> str:
    """The id of a row of the recorded zone."""
    return next(str(row["id"]) for row in setup.listed(step, key) if row["name"] == name)


def blank(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows without times and internal numbers."""
    return [{key: blanked(value) if isinstance(value, str) else value for key, value in row.items()} for row in rows]


def lines(text: str) -> list[Row]:
    return [{"line": line} for line in text.splitlines()]


# --- Ansible ----------------------------------------------------------------------------------------------------------

PLAYED_VM = "play-vm-3"
VARIABLES = {"vm": PLAYED_VM, "zone": ZONE, "template": TEMPLATE, "network": NETWORK, "network2": SECOND_NETWORK}
VARIABLES |= {"compute": COMPUTE, "disk": DISK, "hypervisor": "KVM"}


def playbook(script: Path, variables: Mapping[str, str] = VARIABLES) -> list[str]:
    """The command line of a play."""
    return [*environment.PLAYBOOK, "--extra-vars", json.dumps(variables), str(script)]


def tasks(ended: Ended, folder: Path) -> list[Row]:
    """What the tasks of a play came to; a play that breaks off says why."""
    told = folder / "told.jsonl"
    if not told.exists():
        raise RuntimeError(f"the play did not begin:\n{ended.printed}\n{ended.complained}")
    return [json.loads(line) for line in told.read_text().splitlines()]


def outcomes(ended: Ended, folder: Path) -> list[Row]:
    """What was kept of the tasks when they were recorded."""
    return blank([_outcome(row) for row in tasks(ended, folder)])


def _outcome(row: Row) -> Row:
    result = row.pop("result")
    shown = {key: result[key] for key in SHOWN if key in result}
    said = {"msg": result["msg"].replace(PLAYED_VM, "VM")} if row["failed"] else {}
    return {**row, **shown, **said}


# --- Libcloud, cs -----------------------------------------------------------------------------------------------------


def walk(script: Path) -> list[str]:
    """The command line of the walk with Libcloud."""
    fixed = id_of("listServiceOfferings-admin", "serviceoffering", FIXED)
    return ["python", str(script), "lc-3", ZONE, TEMPLATE, NETWORK, fixed, DISK]


def steps(ended: Ended, folder: Path) -> list[Row]:
    """One row a step; a walk that breaks off says why."""
    if ended.code != 0:
        raise RuntimeError(f"the walk broke off:\n{ended.printed}\n{ended.complained}")
    return [json.loads(NUMBER.sub("[N]", UUID.sub("UUID", line))) for line in ended.printed.splitlines()]


def commands(script: Path) -> list[str]:
    """The command line of the walk with `cs`."""
    places = (
        ("listZones-admin", "zone", ZONE),
        ("listTemplates-admin", "template", TEMPLATE),
        ("listNetworks-admin", "network", NETWORK),
        ("listServiceOfferings-admin", "serviceoffering", COMPUTE),
        ("listDiskOfferings-admin", "diskoffering", DISK),
    )
    return ["bash", str(script), "csw-3", *(id_of(*place) for place in places)]


def printed(ended: Ended, folder: Path) -> list[Row]:
    return lines(ended.printed)


PROGRAMS = (
    Program("ansible-play", "play.yml", "ansible-expected.json", playbook, outcomes),
    Program("libcloud", "libcloud_walk.py", "libcloud-expected.jsonl", walk, steps),
    Program("cs", "cs_walk.sh", "cs-expected.txt", commands, printed),
)
