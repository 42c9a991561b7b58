"""JSON over HTTP to one service of the source side: one request, one answer, within a deadline.

`appliance`, `replication` and `daemon` each hold a `Door`. No redirects, no cookies, no repeated sending, bounded time and
size. A login travels in a header or in the body of a POST, never in an address, and is struck out of every answer.
"""

from __future__ import annotations

import base64
import http.cookiejar
import json
import logging
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import requests
import requests.adapters
from pydantic import SecretStr

from reconciler.source.errors import BadAnswer, SourceError, Unauthorised, Unreachable

MAX_BYTES = 4 * 1024 * 1024
CHUNK = 64 * 1024
HIDDEN = b"***"
UNAUTHORISED = frozenset({401, 403})
log = logging.getLogger(__name__)
# Named, not imported: urllib3 is not ours to depend on.
_NO_CONNECTION = frozenset({"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"})


@dataclass(frozen=True, slots=True)
class Login:
    """A user of a vCenter. The password leaves `SecretStr` only while a request is being made."""

    host: str
    username: str
    password: SecretStr

    def __reduce__(self) -> NoReturn:
        raise TypeError("a login holds a password and is not pickled or copied")


@dataclass(frozen=True, slots=True)
class Answer:
    """HTTP status and the JSON object of the body (not printed); `content` is None where the body is none."""

    status: int
    content: Mapping[str, Any] | None = field(repr=False)
    where: str

    @property
    def is_ok(self) -> bool:
        """Whether the status says that the request was understood and taken."""
        return 200 <= self.status < 300

    @property
    def is_refusal(self) -> bool:
        """Whether the service itself said no: the page of somebody in between says nothing of what became of a change."""
        return 400 <= self.status < 500 and self.content is not None

    def known(self) -> Mapping[str, Any]:
        """The object of an answer that was taken. Raises `BadAnswer` where there is none."""
        if self.content is None:
            raise BadAnswer("the answer is no JSON object", self.where)
        return self.content


@dataclass(frozen=True)
class Door:
    """One address, without a slash at its end. Timeouts are seconds of real time, whatever clock the engine was handed."""

    url: str
    token: SecretStr | None = None
    ca_file: Path | None = None
    connect: float = 5.0
    read: float = 30.0
    max_bytes: int = field(default=MAX_BYTES)

    def __post_init__(self) -> None:
        host = urlsplit(self.url).hostname or ""
        if self.url.startswith("http://") and host not in ("localhost", "::1") and host[:4] != "127.":
            log.warning("%s is plain http: logins travel readable; use https", self.url)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a door holds a token and is not pickled or copied")

    def get(self, path: str, query: Mapping[str, str] | None = None, login: Login | None = None) -> Answer:
        """Ask. Raises `Unreachable`, `Unauthorised`, or `BadAnswer` when it is too large."""
        return self._exchanged("GET", path, query or {}, None, login, self.read)

    def post(self, path: str, body: Mapping[str, Any], login: Login | None = None, within: float = 0.0) -> Answer:
        """Send a change; wait `within` seconds longer than for a read. Raises as `get` does."""
        return self._exchanged("POST", path, {}, body, login, self.read + within)

    @cached_property
    def _session(self) -> requests.Session:
        session = requests.Session()
        session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        pool = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=4, max_retries=0, pool_block=True)
        session.mount("https://", pool)
        session.mount("http://", pool)
        return session

    def _exchanged(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        login: Login | None,
        read: float,
    ) -> Answer:
        where = f"{method} {self.url}{path}"
        try:
            status, found = self._sent(method, path, query, body, login, read)
        except _TooLarge:
            fault: SourceError = BadAnswer(f"the answer is larger than {self.max_bytes} bytes", where)
        except (requests.RequestException, OSError, ValueError) as failed:
            fault = _lost(failed, where)
        else:
            if status in UNAUTHORISED:
                raise Unauthorised(where)
            return Answer(status, _object(_struck(found, self._secrets(login))), where)
        # Raised out here: an error that remembers the failed call would carry the request and its login along.
        raise fault

    def _sent(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        login: Login | None,
        read: float,
    ) -> tuple[int, bytes]:
        url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "User-Agent": "failover", **self._authorisation(login, body is not None)}
        if login is not None and body is not None:
            body = {**body, "username": login.username, "password": login.password.get_secret_value()}
        prepared = requests.Request(method, url, headers=headers, json=body).prepare()
        deadline = time.monotonic() + self.connect + read
        # The adapter beneath the session: what the session adds are redirects, cookies, proxies and hooks.
        response = self._session.get_adapter(url).send(
            prepared, stream=True, timeout=(self.connect, read), verify=str(self.ca_file) if self.ca_file else True
        )
        with response:
            return response.status_code, self._body(response, deadline)

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        body = bytearray()
        while chunk := _read(response):
            body += chunk
            if len(body) > self.max_bytes:
                raise _TooLarge
            if time.monotonic() > deadline:
                raise requests.ReadTimeout
        return bytes(body)

    def _authorisation(self, login: Login | None, has_body: bool) -> dict[str, str]:
        if self.token is not None:
            return {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        return {"Authorization": f"Basic {_basic(login)}"} if login is not None and not has_body else {}

    def _secrets(self, login: Login | None) -> Iterator[bytes]:
        if self.token is not None:
            yield from _forms(self.token.get_secret_value())
        if login is not None:
            yield from _forms(login.password.get_secret_value())
            yield from _forms(_basic(login))


def _read(response: requests.Response) -> bytes:
    """What has come by now, as far as it goes: whoever dribbles does not hold us until a chunk is full."""
    try:
        return bytes(response.raw.read1(CHUNK, decode_content=True))
    except Exception as broken:  # of urllib3, which has its own that are no OSError
        lost = requests.ReadTimeout if type(broken).__name__ == "ReadTimeoutError" else requests.ConnectionError
        raise lost(broken) from None


class _TooLarge(Exception):
    """More than anybody wants to hold."""


def segment(text: str) -> str:
    """A name as one segment of a path."""
    return quote(text, safe="")


def _basic(login: Login) -> str:
    return base64.b64encode(f"{login.username}:{login.password.get_secret_value()}".encode()).decode()


def _forms(plain: str) -> set[bytes]:
    """A secret as it may stand in an answer: as it is, escaped for an address, a form or JSON."""
    forms = (
        plain,
        quote(plain, safe=""),
        quote_plus(plain),
        json.dumps(plain)[1:-1],
        json.dumps(plain)[1:-1].replace("/", "\\/"),
    )
    return {form.encode() for form in forms if form}


def _struck(body: bytes, secrets: Iterator[bytes]) -> bytes:
    for form in sorted(secrets, key=len, reverse=True):
        body = body.replace(form, HIDDEN)
    return body


def _object(body: bytes) -> Mapping[str, Any] | None:
    """The body as a JSON object whose texts can be written down again; None where it is none."""
    try:
        found = json.loads(body)
        json.dumps(found, ensure_ascii=False).encode()  # half a character, escaped, can be read but not written
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    yield error
    inner = [getattr(error, "reason", None), error.__cause__, error.__context__, *error.args]
    for cause in {id(c): c for c in inner if isinstance(c, BaseException)}.values():
        yield from _causes(cause)


def _lost(lost: Exception, where: str) -> Unreachable:
    causes = tuple(_causes(lost))
    if any(isinstance(c, ssl.SSLCertVerificationError) for c in causes):
        told, then = "the certificate is not trusted", "name the certificate authority's file in source.ca_file"
        return Unreachable(told, where, then, sent=False)
    unsent = any(isinstance(c, requests.ConnectTimeout) or type(c).__name__ in _NO_CONNECTION for c in causes)
    told = (
        "no connection" if unsent else "no answer in time" if isinstance(lost, requests.Timeout) else "the connection broke"
    )
    return Unreachable(
        told, where, "check that this service runs and that host, port and firewall let us through", sent=not unsent
    )
