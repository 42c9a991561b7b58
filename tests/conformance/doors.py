"""Sends a recorded request to a server and brings the answer back: over HTTP, or straight into a simulated cloud.

Requests are signed here, by a second implementation of the signing rule that shares nothing with our client or with the
simulator. What the recordings did wrong on purpose (`Quirk`) is done wrong here as well.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import quote, quote_plus

import requests

from tests.conformance.comparing import Answer

TIMEOUT = (5.0, 90.0)


class Quirk(StrEnum):
    """How a request was made wrong on purpose."""

    NONE = "none"
    WRONG_SIGNATURE = "wrong signature"
    WRONG_SECRET = "wrong secret"
    UNKNOWN_KEY = "unknown key"
    NO_SIGNATURE = "no signature"
    NO_CREDENTIALS = "no credentials"
    BARE_TILDE = "bare tilde"


@dataclass(frozen=True, slots=True)
class Keys:
    key: str
    secret: str


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it is to be sent. `response` None leaves the parameter out, `command` None likewise."""

    command: str | None
    params: Mapping[str, str]
    method: str = "GET"
    response: str | None = "json"
    quirk: Quirk = Quirk.NONE


class Door(Protocol):
    """Whatever answers a query string."""

    def send(self, method: str, query: str) -> Answer: ...


def encoded(value: str) -> str:
    """A value as the signing rule wants it: blanks as %20, `*` bare, `~` escaped."""
    return quote_plus(value, safe="*").replace("+", "%20").replace("~", "%7E")


def signature(params: Mapping[str, str], secret: str, encode: Callable[[str], str] = encoded) -> str:
    joined = "&".join(f"{name}={encode(params[name])}" for name in sorted(params)).lower()
    return base64.b64encode(hmac.new(secret.encode(), joined.encode(), hashlib.sha1).digest()).decode()


def query_of(call: Call, keys: Keys | None) -> str:
    """The query string (or form body) of a call, signed unless it was recorded without."""
    params = dict(call.params)
    if call.command is not None:
        params["command"] = call.command
    if call.response is not None:
        params["response"] = call.response
    if keys is not None and call.quirk is not Quirk.NO_CREDENTIALS:
        params |= _credentials(params, call.quirk, keys)
    return "&".join(f"{quote(name, safe='[]')}={encoded(value)}" for name, value in params.items())


def _credentials(params: Mapping[str, str], quirk: Quirk, keys: Keys) -> dict[str, str]:
    apikey = "no-such-key" if quirk is Quirk.UNKNOWN_KEY else keys.key
    if quirk is Quirk.NO_SIGNATURE:
        return {"apikey": apikey}
    secret = "another-secret" if quirk is Quirk.WRONG_SECRET else keys.secret
    encode = _bare_tilde if quirk is Quirk.BARE_TILDE else encoded
    signed = signature({**params, "apikey": apikey}, secret, encode)
    return {"apikey": apikey, "signature": signed[::-1] if quirk is Quirk.WRONG_SIGNATURE else signed}


def _bare_tilde(value: str) -> str:
    return quote(value, safe="*")


def answer_of(status: int, headers: Mapping[str, str], text: str) -> Answer:
    """An answer as the recordings keep it."""
    lowered = {name.lower(): value for name, value in headers.items()}
    return Answer(status, _parsed(text), lowered.get("content-type", ""), "x-description" in lowered)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"_text": text}


class HttpDoor:
    """A server at an address."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()

    def send(self, method: str, query: str) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if method == "POST" else {}
        where, body = (self._url, query.encode()) if method == "POST" else (f"{self._url}?{query}", None)
        reply = self._session.request(method, where, data=body, headers=headers, timeout=TIMEOUT)
        return answer_of(reply.status_code, reply.headers, reply.text)

    def close(self) -> None:
        self._session.close()
