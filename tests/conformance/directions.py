"""Stage directions as records: what was done off the record, read from `directions.toml` (its head explains the words)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.conformance.doors import Quirk

TABLE = Path(__file__).parent / "directions.toml"
BEGAN = datetime(2026, 11, 23, 13, 7, 20, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Directions:
    """The directions of one recording. `names` and `wiped` are machines of dr that must be there at the beginning."""

    before: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    quirk: Mapping[str, Quirk] = field(default_factory=dict)
    response: Mapping[str, str | None] = field(default_factory=dict)
    roots: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    wiped: tuple[str, ...] = ()
    fill: Mapping[str, int] = field(default_factory=dict)
    world: str = ""
    began: datetime = BEGAN


def of(name: str) -> Directions:
    """The directions of a recording; none where the table says nothing."""
    table = tomllib.loads(TABLE.read_text())
    entry: dict[str, Any] = table.get(name, {})
    entry = table[entry["like"]] if "like" in entry else entry
    return Directions(
        before={step: tuple(done) for step, done in entry.get("before", {}).items()},
        quirk={step: Quirk(quirk) for step, quirk in entry.get("quirk", {}).items()},
        response={step: None if kind == "none" else kind for step, kind in entry.get("response", {}).items()},
        roots=entry.get("roots", {}),
        names=tuple(entry.get("names", ())),
        fill=entry.get("fill", {}),
        wiped=tuple(entry.get("wiped", ())),
        world=entry.get("world", name),
        began=datetime.fromisoformat(entry["began"]) if "began" in entry else BEGAN,
    )
