"""Makes a vcrpy cassette out of a recording of a real management server (JSON lines), so that our client can replay it.

    python -m tests.reconciler.cloudstack.make_cassette RECORDING.jsonl cassettes/NAME.yaml

The recordings were made with GET and hold neither keys nor signatures. Written here is what our client would have sent:
POST, the parameters in the body. `match` in `test_recorded` compares command and parameters.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

URL = "http://127.0.0.1:8080/client/api"
SECRETS = {"apikey", "apiKey", "signature", "signatureVersion", "expires", "sessionkey", "userapikey"}


def interaction(exchange: dict[str, Any]) -> dict[str, Any]:
    asked = exchange["request"]
    parameters = {k: v for k, v in asked["params"].items() if k not in SECRETS}
    return {
        "request": {
            "method": "POST",
            "uri": URL,
            "body": urlencode({"command": asked["command"], **parameters}),
            "headers": {"X-Step": [exchange["step"]]},
        },
        "response": {
            "status": {"code": exchange["status"], "message": "recorded"},
            "headers": {"Content-Type": ["application/json;charset=utf-8"]},
            "body": {"string": json.dumps(exchange["body"])},
        },
    }


def main(recording: str, cassette: str) -> None:
    lines = Path(recording).read_text(encoding="utf-8").splitlines()
    interactions = [interaction(json.loads(line)) for line in lines if line.strip()]
    content = {"version": 1, "interactions": interactions}
    Path(cassette).write_text(yaml.safe_dump(content, sort_keys=False, width=10_000), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
