"""The commands that the product sends, read from its source: whoever adds one finds the tests that want to know of it."""

from __future__ import annotations

import re
from pathlib import Path

import reconciler.cloudstack

SOURCE = Path(reconciler.cloudstack.__file__).parent
COMMAND = re.compile(r'"((?:list|query|deploy|start|stop|destroy|attach|detach|create|revert|delete)[A-Z]\w+)"')
SENT = frozenset(name for path in SOURCE.glob("*.py") for name in COMMAND.findall(path.read_text(encoding="utf-8")))
READS = frozenset(name for name in SENT if name.startswith(("list", "query")))
WRITES = SENT - READS
