"""Where a CloudStack is and how we prove who we are. Made by `wiring` from the settings, held by the transport."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pydantic
from pydantic import ConfigDict, Field, SecretStr

MIB = 1024 * 1024


class Endpoint(pydantic.BaseModel):
    """One API address with its keys, which are never printed. Timeouts are seconds, `max_bytes` bounds one answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str = Field(pattern=r"^https?://[^\s@?#/][^\s@?#]*$", max_length=2048)
    key: SecretStr = Field(min_length=1, max_length=512)
    secret: SecretStr = Field(min_length=1, max_length=512)
    ca_file: Path | None = None
    timeout_connect: float = Field(default=5.0, gt=0, le=300)
    timeout_read: float = Field(default=30.0, gt=0, le=3600)
    max_bytes: int = Field(default=64 * MIB, ge=1024, le=1024 * MIB)
    connections: int = Field(default=16, ge=1, le=256)

    @pydantic.field_validator("url")
    @classmethod
    def _parsed(cls, url: str) -> str:
        if not urlsplit(url).hostname or urlsplit(url).port == 0:
            raise ValueError("no host, or port 0")
        return url

    def __reduce__(self) -> NoReturn:
        raise TypeError("an endpoint holds keys and is not pickled")

    @property
    def host(self) -> str:
        """The host name of the address, without port."""
        return urlsplit(self.url).hostname or ""

    @property
    def exposed(self) -> bool:
        """Whether requests would travel readable over a network: plain http to another machine."""
        return self.url.startswith("http://") and self.host not in ("localhost", "::1") and self.host[:4] != "127."
