"""One request, one answer: `cs`'s client on one shared pool of connections, with what bites taken out.

`servers` calls `send`; it hands back status, type and bytes, or raises `Unreachable`, and knows nothing of
what an answer means. Always POST, signature version 3 with an expiry of ten minutes by the clock handed in, no
redirects (a signed body goes to nobody else), no cookies, no retries, no waiting for jobs, bounded time and size. The
keys leave `SecretStr` only while a request is being made.
"""

from __future__ import annotations

import http.cookiejar
import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NoReturn
from urllib.parse import quote, quote_plus, urlencode

import requests
import requests.adapters
from pydantic import SecretBytes, SecretStr

from reconciler.cloudstack import signing
from reconciler.cloudstack.endpoint import Endpoint
from reconciler.cloudstack.errors import BadAnswer, CloudError, Unreachable
from reconciler.cloudstack.leaving_out import leaving_out

with leaving_out("aiohttp", "pygments"):  # for halves of cs that are not used here: half of its loading time
    import cs

EXPIRES = timedelta(minutes=10)
EXPIRES_FORMAT = "%Y-%m-%dT%H:%M:%S%z"
CHUNK = 64 * 1024
HIDDEN = b"***"
HEADERS = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "failover",
}
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: HTTP status, content type, date header (as sent), the whole body."""

    status: int
    content_type: str
    date: str
    retry_after: str
    body: bytes


def session_for(endpoint: Endpoint) -> requests.Session:
    """A session with a bounded pool, no cookies and no retries of its own."""
    session = requests.Session()
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    pool = requests.adapters.HTTPAdapter(
        pool_connections=1, pool_maxsize=endpoint.connections, max_retries=0, pool_block=True
    )
    session.mount("https://", pool)
    session.mount("http://", pool)
    return session


class _TooLarge(Exception):
    """More than anybody wants to hold."""


class Transport(cs.CloudStack):
    """`cs.CloudStack` for one endpoint; safe to use from several threads."""

    def __init__(self, endpoint: Endpoint, clock: Callable[[], datetime], session: requests.Session | None = None) -> None:
        # cs gets no keys: it would keep them as plain attributes, and its own signing is not used.
        super().__init__(endpoint=endpoint.url, method="post", retry=0, session=session or session_for(endpoint))
        self.verify = str(endpoint.ca_file) if endpoint.ca_file else True
        self._at = endpoint
        self._clock = clock
        # Asked once: requests would read the proxy variables anew for every call.
        self._proxies = dict(requests.utils.get_environ_proxies(endpoint.url))
        self._url = requests.Request("POST", endpoint.url).prepare().url
        self._hidden = tuple(SecretBytes(form) for kept in (endpoint.key, endpoint.secret) for form in _forms(kept))
        if endpoint.exposed:
            log.warning("%s is plain http: the API key and every command travel readable; use https", endpoint.url)

    def __getattr__(self, command: str) -> Callable[..., Any]:
        # In cs any misspelt attribute is an API call.
        raise AttributeError(command)

    def __repr__(self) -> str:
        return f"<Transport {self._at.url}>"

    def where(self, command: str) -> str:
        """How errors name a call: command and address."""
        return f"{command} at {self._at.url}"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a transport holds keys and is not pickled or copied")

    def send(self, command: str, arguments: Mapping[str, signing.Value]) -> Answer:
        """Send one command. Raises `InvariantViolated` (nothing sent), `Unreachable`, or `BadAnswer` when too large."""
        flat = signing.flattened(arguments)
        try:
            return self._exchanged(command, flat)
        except _TooLarge:
            fault: CloudError = BadAnswer(f"the answer is larger than {self._at.max_bytes} bytes", self.where(command))
        except (requests.RequestException, OSError, ValueError) as failed:
            fault = self._lost(command, failed)
        # Raised out here: an error that remembers the failed call would carry the request, its key and its signature along.
        raise fault

    def _exchanged(self, command: str, flat: dict[str, str]) -> Answer:
        prepared, signed = self._prepared(command, flat)
        deadline = time.monotonic() + self._at.timeout_connect + self._at.timeout_read
        # The adapter beneath the session: what the session adds are redirects, cookies and hooks, of which we want none.
        response = self.session.get_adapter(self._at.url).send(
            prepared,
            stream=True,
            timeout=(self._at.timeout_connect, self._at.timeout_read),
            verify=self.verify,
            proxies=self._proxies,
        )
        with response:
            answer = self._answer(response, deadline)
        kind = self._without_secrets(answer.content_type.encode(), signed).decode()
        return replace(answer, content_type=kind, body=self._without_secrets(answer.body, signed))

    def _prepared(self, command: str, flat: dict[str, str]) -> tuple[requests.PreparedRequest, SecretStr]:
        expires = (self._clock() + EXPIRES).strftime(EXPIRES_FORMAT)
        own = {"apiKey": self._at.key.get_secret_value(), "signatureVersion": "3", "expires": expires}
        _, parameters = self._prepare_request(command, **flat, **own)  # type: ignore[no-untyped-call]
        signed = SecretStr(signing.signature(parameters, self._at.secret.get_secret_value()))
        body = urlencode({**parameters, "signature": signed.get_secret_value()}).encode()
        request = requests.PreparedRequest()
        request.method, request.url, request.body = "POST", self._url, body
        request.headers = requests.structures.CaseInsensitiveDict({**HEADERS, "Content-Length": str(len(body))})
        return request, signed

    def _without_secrets(self, body: bytes, signed: SecretStr) -> bytes:
        """What a server or a proxy echoes of our keys goes no further: its texts end in journals and on screens."""
        for form in (*(hidden.get_secret_value() for hidden in self._hidden), *_forms(signed)):
            if form in body:
                body = body.replace(form, HIDDEN)
        return body

    def _answer(self, response: requests.Response, deadline: float) -> Answer:
        body = bytearray()
        for chunk in response.iter_content(CHUNK):
            body += chunk
            if len(body) > self._at.max_bytes:
                raise _TooLarge
            # Real time on purpose: a socket that dribbles does so whatever clock the engine was handed.
            if time.monotonic() > deadline:
                raise requests.ReadTimeout
        headers = response.headers
        return Answer(
            response.status_code,
            headers.get("Content-Type", ""),
            headers.get("Date", ""),
            headers.get("Retry-After", ""),
            bytes(body),
        )

    def _lost(self, command: str, lost: Exception) -> Unreachable:
        causes = tuple(_causes(lost))
        sent = not any(_before_sending(cause) for cause in causes)
        silent = isinstance(lost, requests.Timeout)
        return Unreachable(_told(lost, causes), self.where(command), _advice(causes), sent=sent, silent=silent)


def _forms(kept: SecretStr) -> frozenset[bytes]:
    """A secret as it may stand in an answer: as it is, or escaped for an address or a form."""
    plain = kept.get_secret_value()
    return frozenset(form.encode() for form in (plain, quote(plain, safe=""), quote_plus(plain)))


# Named, not imported: urllib3 is not ours to depend on, and requests does not hand these classes on.
_NO_CONNECTION = frozenset({"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"})


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error with everything it wraps: requests and urllib3 keep the reason in arguments."""
    yield error
    inner = [getattr(error, "reason", None), error.__cause__, error.__context__, *error.args]
    for cause in {id(c): c for c in inner if isinstance(c, BaseException)}.values():
        yield from _causes(cause)


def _before_sending(cause: BaseException) -> bool:
    certificate = isinstance(cause, ssl.SSLCertVerificationError)
    return certificate or isinstance(cause, requests.ConnectTimeout) or type(cause).__name__ in _NO_CONNECTION


def _told(lost: Exception, causes: tuple[BaseException, ...]) -> str:
    if any(isinstance(c, ssl.SSLCertVerificationError) for c in causes):
        return "the server's certificate is not trusted"
    if isinstance(lost, requests.Timeout):
        return "no answer in time"
    if any(_before_sending(c) for c in causes):
        return "no connection"
    return f"the connection broke ({type(lost).__name__})"


def _advice(causes: tuple[BaseException, ...]) -> str:
    if any(isinstance(c, ssl.SSLCertVerificationError) for c in causes):
        return "name the certificate authority's file in the settings (ca_file), or mend the certificate"
    if isinstance(causes[0], OSError) and not isinstance(causes[0], requests.RequestException):
        return "check the file named by ca_file in the settings"
    return "check that the management server runs and that host, port, proxy and firewall let us through"
