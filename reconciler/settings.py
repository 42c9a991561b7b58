"""The settings file: where the database and CloudStack are, the bounds of tests, the limits of the engine.

Read by `wiring` before anything is connected. A YAML file, overridden by `FAILOVER_...` environment variables
(`FAILOVER_CLOUDSTACK__ENDPOINT`). Secrets are references, `env:NAME` or `file:PATH`; the text itself is refused here, is
read at the moment of use and never printed.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pydantic_settings
import yaml
from pydantic import BeforeValidator, ConfigDict, Field

from specs.values import parse_duration

FILE_NAME = "failover.yaml"
MAX_BYTES = 256 * 1024
MAX_SECRET_BYTES = 64 * 1024


class SettingsError(ValueError):
    """The settings cannot be used: what is wrong, where, and what to do."""


def _reference(text: object) -> str:
    kind, _, rest = str(text).partition(":")
    if kind not in ("env", "file") or not rest:
        raise ValueError("a secret is never written here: say env:NAME or file:PATH")
    return str(text)


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _age(value: object) -> object:
    """For ever is null; 0 says it, too, and in the environment the word."""
    return None if str(value) in FOR_EVER else _duration(value)


FOR_EVER = ("0", "0s", "null")
Reference = Annotated[str, BeforeValidator(_reference)]
Address = Annotated[str, Field(pattern=r"^https?://[^@\s]+$", max_length=2048)]
Base = Annotated[str, Field(pattern=r"^https?://[^@\s?#/][^@\s?#]*$", max_length=2048)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Age = Annotated[timedelta | None, BeforeValidator(_age)]


class _Section(pydantic.BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class CloudStack(_Section):
    """How CloudStack is reached, and which kind of primary storage the replicas lie on, which users cannot see.

    `standby` are further management servers of the same cloud; the calls allowed hold for each of them.
    """

    endpoint: Address
    standby: tuple[Address, ...] = Field(default=(), max_length=16)
    api_key: Reference
    secret_key: Reference
    ca_file: Path | None = None
    connect_timeout: Duration = timedelta(seconds=5)
    read_timeout: Duration = timedelta(seconds=30)
    calls_per_second: int = Field(default=25, ge=1, le=1000)
    concurrent_calls: int = Field(default=8, ge=1, le=64)
    storage: Literal["nfs", "local", "shared-mount-point", "ceph", "managed"] | None = None


class DatabaseSection(_Section):
    """The replication system's database, or an embedded one; a password is a reference, never part of the URL."""

    url: str = Field(default="sqlite:///failover.db", pattern=r"^(sqlite|mysql\+pymysql|mariadb\+pymysql)://")
    password: Reference | None = None
    ca_file: Path | None = None

    @pydantic.field_validator("url")
    @classmethod
    def _no_password(cls, url: str) -> str:
        login = url.partition("://")[2].partition("@")[0]
        if "@" in url and ":" in login:
            raise ValueError("leave the password out of the URL and say `password: env:NAME` or `file:PATH`")
        return url


class TestBounds(_Section):
    """Bounds of a test's duration, and how long an accepted test may wait before it must have started."""

    __test__ = False
    min_duration: Duration = timedelta(minutes=5)
    max_duration: Duration = timedelta(days=7)
    start_within: Duration = timedelta(hours=4)


class Networks(_Section):
    """Networks (names or ids) that count as test networks besides those flagged in `network_mappings`."""

    test: tuple[str, ...] = ()


class Limits(_Section):
    """How much the engine does at once, how often it looks, how often it tries, and how long in between.

    A plan in a file may be carried out for as long as `plans_valid_for` after it was made.

    `grace` is how long a call whose answer was lost may still be under way before it counts as never arrived. With
    `repeat_approved` a run whose world changed goes on by itself where all that is left to do was approved for it before.
    A wait is set by size and by how long such steps took here, between `wait_at_least` and `wait_at_most`.
    """

    max_runs: int = Field(default=5, ge=1, le=10_000)
    poll: Duration = timedelta(seconds=2)
    lease: Duration = timedelta(seconds=60)
    grace: Duration = timedelta(seconds=30)
    backoff: Duration = timedelta(seconds=5)
    attempts: int = Field(default=4, ge=1, le=20)
    threads: int = Field(default=8, ge=1, le=64)
    repeat_approved: bool = False
    plans_valid_for: Duration = timedelta(hours=24)
    wait_at_least: Duration = timedelta(minutes=5)
    wait_at_most: Duration = timedelta(days=1)


class ReadinessSection(_Section):
    """How old a sync may be before V-11 warns, and how often a daemon judges all VMs and keeps what changed."""

    sync_age: Duration = timedelta(hours=24)
    every: Duration = timedelta(hours=1)


class Retention(_Section):
    """How old history gets before `failover db prune` removes it: null or 0 is never. Failed runs are asked for."""

    tests: Age = timedelta(days=30)
    live: Age = timedelta(days=365)
    events: Duration = timedelta(days=90)


class VCenterLogin(_Section):
    """A user of one vCenter; with `vms` (uuids) it is the own credential of these VMs and used for no others."""

    host: str = Field(min_length=1, max_length=255)
    username: str = Field(min_length=1, max_length=255)
    password: Reference
    vms: tuple[str, ...] = Field(default=(), max_length=10_000)


class SourceSection(_Section):
    """The source side: the VMware appliance, the replication system's API, the volume daemon; without address unused."""

    appliance: Base | None = None
    replication: Base | None = None
    daemon: Base | None = None
    token: Reference | None = None
    credentials: tuple[VCenterLogin, ...] = Field(default=(), max_length=1000)
    ca_file: Path | None = None
    connect_timeout: Duration = timedelta(seconds=5)
    read_timeout: Duration = timedelta(seconds=30)
    sync_within: Duration = timedelta(minutes=30)


class _Source(pydantic_settings.PydanticBaseSettingsSource):
    """The settings file as a source beneath the environment."""

    def __init__(self, cls: type[pydantic_settings.BaseSettings], content: dict[str, Any]) -> None:
        super().__init__(cls)
        self.content = content

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Not used: the whole content is handed over at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return self.content


class Settings(pydantic_settings.BaseSettings):
    """All settings, validated; `base` is the folder that relative paths start from."""

    model_config = pydantic_settings.SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="FAILOVER_", env_nested_delimiter="__", hide_input_in_errors=True
    )

    base: Path = Path()
    cloudstack: CloudStack
    database: DatabaseSection = DatabaseSection()
    test: TestBounds = TestBounds()
    networks: Networks = Networks()
    engine: Limits = Limits()
    readiness: ReadinessSection = ReadinessSection()
    retention: Retention = Retention()
    source: SourceSection = SourceSection()

    @property
    def database_url(self) -> str:
        """The database URL with a relative SQLite path anchored at the settings file's folder."""
        prefix, relative = "sqlite:///", self.database.url.removeprefix("sqlite:///")
        if not self.database.url.startswith(prefix) or relative.startswith("/"):
            return self.database.url
        return f"{prefix}{(self.base / relative).absolute()}"

    def secret(self, reference: str) -> str:
        """What a reference stands for. Raises `SettingsError` naming the reference, never the value."""
        kind, _, rest = reference.partition(":")
        if kind == "env":
            value = os.environ.get(rest)
            if value is None:
                raise SettingsError(f"environment variable {rest} is not set (wanted by {reference})")
            return value
        return _secret_file(self.base / rest, reference)


def _secret_file(path: Path, reference: str) -> str:
    try:
        with path.open("rb") as opened:
            return opened.read(MAX_SECRET_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as unreadable:
        cause = getattr(unreadable, "strerror", None) or "not text"
        raise SettingsError(f"cannot read the secret {reference} ({path}): {cause}") from None


def load(path: Path, *, environment: bool = True) -> Settings:
    """Read and validate a settings file. Raises `SettingsError` with every fault at once.

    Without `environment` no variable overrides what the file says.
    """
    content = _content(path)

    class _FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[pydantic_settings.BaseSettings],
            init_settings: pydantic_settings.PydanticBaseSettingsSource,
            env_settings: pydantic_settings.PydanticBaseSettingsSource,
            dotenv_settings: pydantic_settings.PydanticBaseSettingsSource,  # noqa: ARG003  the library hands them over
            file_secret_settings: pydantic_settings.PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[pydantic_settings.PydanticBaseSettingsSource, ...]:
            return init_settings, *([env_settings] if environment else []), _Source(settings_cls, content)

    try:
        return _FromFile(base=path.absolute().parent)
    except pydantic.ValidationError as faulty:
        raise SettingsError(_told(path, faulty)) from None


def _content(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SettingsError(f"{path} is larger than {MAX_BYTES // 1024} KiB: that is no settings file")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"there is no settings file {path}: run `failover init`, or name one by --settings") from None
    except OSError as unreadable:
        raise SettingsError(f"cannot read {path}: {unreadable.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as broken:
        mark = getattr(broken, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SettingsError(f"{where}: not readable as YAML") from None
    if content is not None and not isinstance(content, dict):
        raise SettingsError(f"{path}: expected `key: value` lines at the top")
    return content or {}


def _told(path: Path, faulty: pydantic.ValidationError) -> str:
    lines = [f"{path}: {len(faulty.errors())} setting(s) cannot be used"]
    for error in faulty.errors(include_input=False, include_url=False):
        lines.append(f"  {'.'.join(map(str, error['loc']))}: {error['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)
