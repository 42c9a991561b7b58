"""Hooks for tests: small programs that keep the contract or break it."""

from __future__ import annotations

import sys
from pathlib import Path

FRAME = """
import json, os, sys, time
asked = json.load(sys.stdin)
verb, disk = asked["verb"], asked["disk"]["path"]
def answer(result, text="", **more):
    print(json.dumps({{"protocol": 1, "verb": verb, "result": result, "text": text, **more}}))
{body}
"""
WORKING = """
if asked["protocol"] != 1 or verb not in ("plan", "do", "undo", "check") or sys.argv[1] != verb:
    sys.exit(2)
if not os.path.exists(disk):
    answer("failed" if verb in ("do", "undo") else "impossible" if verb == "plan" else "unprepared", "no disk")
    sys.exit()
with open(disk, "r+b") as image:
    image.seek(4096)
    done = image.read(4) == b"done"
    if verb in ("do", "undo"):
        image.seek(4096)
        image.write(b"done" if verb == "do" else bytes(4))
answer({"plan": "needed", "do": "done", "undo": "done", "check": "prepared" if done else "unprepared"}[verb], "tried")
"""


def hook(folder: Path, body: str) -> tuple[str, ...]:
    """The command of a hook with this body; `asked`, `verb`, `disk` and `answer` are there."""
    path = folder / "hook.py"
    path.write_text(FRAME.format(body=body), encoding="utf-8")
    return sys.executable, str(path)
