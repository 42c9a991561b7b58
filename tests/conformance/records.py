"""The recordings as frozen records. Everything else in this folder reads them through here.

`scenario("02-async")` gives the exchanges of one file in order, `walk("walk-101")` one random walk. A file elsewhere can be
given by its path (`.jsonl` or `.jsonl.xz`), so that recordings which are not in the project are replayed the same way.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "recordings"
JOB, PENDING = "/job", "/pending"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what the real server answered. `index` counts the lines of the file from 0, `elapsed` are seconds."""

    index: int
    step: str
    caller: str | None
    command: str | None
    params: Mapping[str, str]
    method: str
    status: int
    body: Any
    note: str = ""
    waited: float = 0.0
    elapsed: float = 0.0
    described: bool | None = False
    returned: int | None = None

    @property
    def is_final(self) -> bool:
        """The last query of the job of an earlier step."""
        return self.step.endswith(JOB)

    @property
    def was_sent(self) -> bool:
        """False for lines that sum up a walk or a look into the database."""
        return self.status != 0 and not self.is_page_walk

    @property
    def is_page_walk(self) -> bool:
        """A line that sums up a walk over all pages."""
        return self.params.get("page", "").endswith("..")


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a random walk; ids in `args`, `made`, `root` and `state` are symbols such as `$vm1`."""

    index: int
    op: str
    args: Mapping[str, Any]
    sync: Mapping[str, Any]
    state: Mapping[str, Mapping[str, Mapping[str, Any]]]
    job: Mapping[str, Any] | None = None
    made: str | None = None
    root: str | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    name: str
    seed: int
    hypervisor: str
    steps: tuple[Step, ...]


def lines(source: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a `.jsonl` file, packed or not."""
    content = source.read_bytes()
    text = (lzma.decompress(content) if source.suffix == ".xz" else content).decode()
    return (json.loads(line) for line in text.splitlines() if line.strip())


def text(name: str) -> str:
    """A packed text file, for example `clients/play.yml`."""
    return lzma.decompress((HERE / f"{name}.xz").read_bytes()).decode()


def exchange(index: int, line: Mapping[str, Any]) -> Exchange:
    request = line["request"]
    return Exchange(
        index=index,
        step=line["step"],
        caller=line.get("caller"),
        command=request.get("command"),
        params={key: str(value) for key, value in request.get("params", {}).items()},
        method=request.get("method", "GET"),
        status=line["status"],
        body=line["body"],
        note=line.get("note", ""),
        waited=line.get("waited_ms", 0) / 1000,
        elapsed=line.get("elapsed_ms", 0) / 1000,
        described=None if line.get("note", "").startswith("body cut") else "x_description" in line,
        returned=line.get("members_returned"),
    )


def path_of(name: str) -> Path:
    """Where a recording lies: a path as it is, a bare name in the packed copy."""
    return Path(name) if "." in name else HERE / f"{name}.jsonl.xz"


def stem(source: Path) -> str:
    return source.name.removesuffix(".xz").removesuffix(".jsonl")


def scenario(name: str) -> Scenario:
    source = path_of(name)
    return Scenario(stem(source), tuple(exchange(i, line) for i, line in enumerate(lines(source))))


def walk(name: str) -> Walk:
    source = path_of(name if "." in name else f"walks/{name}")
    head, *rest = lines(source)
    steps = (Step(i, **{key: line[key] for key in line}) for i, line in enumerate(rest))
    return Walk(head["walk"], head["seed"], head["hypervisor"], tuple(steps))


def scenarios() -> list[str]:
    return sorted(stem(path) for path in HERE.glob("*.jsonl.xz"))


def walks() -> list[str]:
    return sorted(stem(path) for path in (HERE / "walks").glob("*.jsonl.xz"))
