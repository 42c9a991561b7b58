"""Where every effective value of a spec came from, for `failover validate --explain`. Called by the command line only."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import JsonValue

from specs import values
from specs.model import Spec


def explain(spec: Spec) -> tuple[str, ...]:
    """Lines `field = value   file:line (vm|group NAME|defaults)`, aligned; `(built in)` for what nobody wrote."""
    rows = [(f"{name} = {_shown(value)}", _source(spec, name)) for name, value in _effective(spec)]
    width = max(len(told) for told, _ in rows)
    return tuple(f"{told:<{min(width, 60)}}   {source}" for told, source in rows)


def _effective(spec: Spec) -> Iterator[tuple[str, JsonValue]]:
    """Every value that has an effect, under its key in the language; the entries of merged maps one by one."""
    yield "vm", str(spec.vm)
    yield "state", str(spec.state)
    if spec.duration is not None:
        yield "for", values.format_duration(spec.duration).replace(" ", "")
    yield "auto_cleanup", spec.auto_cleanup
    for name in ("boot_disk", "strategy", "confirm"):
        if getattr(spec, name) is not None:
            yield name, str(getattr(spec, name))
    if spec.skip_validation is not None:
        yield "skip_validation", f"because {spec.skip_validation.reason}"
    if spec.after:
        yield "after", ", ".join(spec.after)
    for name in ("networks", "notify", "custom"):
        for key, value in getattr(spec, name).items():
            yield f"{name}.{key}", value


def _shown(value: JsonValue) -> str:
    is_readable = isinstance(value, str) and not any(map(values.is_control, value))
    return str(value) if is_readable else json.dumps(value)


def _source(spec: Spec, name: str) -> str:
    origin = spec.where.get(name)
    return f"{origin} ({origin.by})" if origin else "(built in)"
