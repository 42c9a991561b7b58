#!/usr/bin/env python3
"""A hook that prepares nothing and keeps the contract: the frame for one that does. See docs/reference/hooks.md."""

import json
import os
import sys

RESULTS = {"plan": "not-needed", "do": "done", "undo": "done", "check": "prepared"}


def answer(asked: dict) -> dict:
    """The answer to one question; what is not understood raises, and nothing was touched by then."""
    verb = asked["verb"]
    if asked["protocol"] != 1 or verb != sys.argv[1]:
        raise ValueError("only protocol 1 is spoken here")
    result, text = RESULTS[verb], "nothing is prepared by this example"
    if not os.path.exists(asked["disk"]["path"]):
        result, text = {"plan": "impossible", "check": "unprepared"}.get(verb, "failed"), "the disk is not there"
    return {"protocol": 1, "verb": verb, "result": result, "text": text}


try:
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
except (ValueError, LookupError, TypeError) as fault:
    sys.exit(f"refused: {fault}")
