"""The settings reference names every setting with its default, and no other."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pydantic
import pytest
from pydantic_core import PydanticUndefined

from reconciler.settings import Settings, load
from specs.values import format_duration
from tests.docs import pages

REFERENCE = pages.ROOT / "docs" / "reference" / "settings.md"
SOURCES = ("specs", "plans", "reconciler", "simulator", "migrations")
INTERNAL = {"base"}  # the folder of the settings file: found, not set


def fields() -> dict[str, Any]:
    """Every setting, as `section.name`, with its field."""
    found = {}
    for section, field in Settings.model_fields.items():
        kind = field.annotation
        if section not in INTERNAL and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
            found |= {f"{section}.{name}": inner for name, inner in kind.model_fields.items()}
    return found


FIELDS = fields()
TOLD = {row[0].strip("`"): row[1:] for section in pages.sections(REFERENCE).values() for row in pages.rows(section)}


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    assert {name for name in TOLD if "." in name} == set(FIELDS)
    assert {name.partition(".")[0] for name in FIELDS} | INTERNAL == set(Settings.model_fields)


@pytest.mark.parametrize("name", FIELDS)
def test_the_documented_default_is_the_code_s(name: str) -> None:
    default, said = FIELDS[name].default, TOLD[name][0].strip("`")
    if default is PydanticUndefined:
        assert said == "required"
    elif isinstance(default, timedelta):
        assert said in (format_duration(default), f"{default.total_seconds():g}s")
    elif default in (None, ()):
        assert said in ("none", "the system's certificates")
    else:
        assert said == str(default)


@pytest.mark.parametrize("name", [n for n, f in FIELDS.items() if f.metadata])
def test_bounds_of_numbers_are_documented(name: str) -> None:
    bounds = [getattr(m, kind) for m in FIELDS[name].metadata for kind in ("ge", "le") if getattr(m, kind, None) is not None]
    if bounds:
        assert f"{min(bounds)} to {max(bounds)}" in TOLD[name][1]


def test_every_environment_variable_of_ours_is_documented() -> None:
    code = "".join(path.read_text(encoding="utf-8") for part in SOURCES for path in (pages.ROOT / part).rglob("*.py"))
    used = {name for name in re.findall(r"\b(?:FAILOVER_[A-Z][A-Z_]*[A-Z]|NO_COLOR)\b", code) if "__" not in name}
    assert used == {name for name in TOLD if name.isupper()}


@pytest.mark.parametrize("said", ["null", "0", "0s"])
@pytest.mark.parametrize("name", ["tests", "live"])
def test_for_ever_is_said_in_the_environment_too(
    said: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "failover.yaml"
    cloud = "cloudstack: {endpoint: 'https://x/api', api_key: env:A, secret_key: env:B}"
    path.write_text(f"database: {{url: 'sqlite:///x'}}\n{cloud}\n")
    monkeypatch.setenv(f"FAILOVER_RETENTION__{name.upper()}", said)
    assert getattr(load(path).retention, name) is None
    monkeypatch.setenv(f"FAILOVER_RETENTION__{name.upper()}", "7d")
    assert getattr(load(path).retention, name) == timedelta(days=7)
    monkeypatch.delenv(f"FAILOVER_RETENTION__{name.upper()}")
    path.write_text(f"{path.read_text()}retention: {{{name}: {said}}}\n")
    assert getattr(load(path).retention, name) is None
