"""Signed requests, made by the letter of the rule, so that the simulator has something to be held against."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import quote

from simulator import Reply
from tests.simulator.world import START, World


def signature(params: Mapping[str, str], secret: str) -> str:
    text = "&".join(f"{k}={quote(params[k], safe='*').replace('~', '%7E')}" for k in sorted(params)).lower()
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


def signed(command: str | None, by: str = "dr", **params: str) -> dict[str, str]:
    """The parameters of a request with its signature."""
    named = {} if command is None else {"command": command}
    whole = {**named, "response": "json", "apikey": f"{by}-key", **params}
    return {**whole, "signature": signature(whole, f"{by}-secret")}


def expiring(moment: datetime = START, **span: float) -> dict[str, str]:
    """Signature version 3 with an `expires` so far from a moment."""
    return {"signatureversion": "3", "expires": (moment + timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%S%z")}


def send(world: World, params: Mapping[str, str], method: str = "GET") -> Reply:
    return world.cloud.call(params, method)
