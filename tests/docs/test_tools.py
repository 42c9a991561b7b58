"""What the reference says of the simulated cloud and of the benchmarks is so, and all of it is said."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest
import yaml

from benchmarks.table import BOUNDS, Row, lines
from simulator import TurnedClock, load_estate, serve
from simulator.__main__ import EXAMPLE
from simulator.faults import HOST_WORK, KINDS, KNOWN_FIELDS, Fault
from simulator.server import ROUTES
from tests.docs import pages
from tests.docs.trying import START

SIMULATOR, BENCHMARKS = (pages.ROOT / "docs" / "reference" / f"{name}.md" for name in ("simulator", "benchmarks"))
SECTIONS = pages.sections(SIMULATOR)
QUOTED = re.compile(r"`([^`]+)`")


def test_every_row_of_the_bench_is_explained_with_its_bound() -> None:
    told = {row[0].strip("`"): row[1] for row in pages.rows(pages.prose(BENCHMARKS))}
    assert told == {what: str(bound) for what, bound in BOUNDS.items()}


@pytest.mark.parametrize(("figure", "verdict"), [(1.25, "ok"), (1.26, "missed")])
def test_a_figure_beyond_its_bound_is_said_to_have_missed_it(figure: float, verdict: str) -> None:
    assert list(lines([Row("calls per job in flight", figure)]))[1].split()[-1] == verdict


@pytest.mark.parametrize(("figure", "verdict"), [(0.6, "ok"), (0.59, "missed")])
def test_where_more_is_better_less_than_the_bound_misses_it(figure: float, verdict: str) -> None:
    assert list(lines([Row("signed calls per CPU second / bare calls", figure)]))[1].split()[-1] == verdict


def test_every_request_of_the_control_port_is_documented() -> None:
    told = {row[0].strip("`") for row in pages.rows(SECTIONS["Control port"])}
    known = {
        f"{method} {path}" for method, *paths in (re.split(r",? ", part) for part in ROUTES.split("; ")) for path in paths
    }
    assert told == known


@pytest.mark.parametrize("request_line", [row[0].strip("`") for row in pages.rows(SECTIONS["Control port"])])
def test_every_documented_request_is_known(request_line: str) -> None:
    with serve(load_estate(EXAMPLE, TurnedClock(START)), control_port=0) as server:
        method, path = request_line.split()
        assert b"there are" not in server.answer_control(path, method, "{}").body


def test_every_kind_of_fault_is_documented() -> None:
    assert {row[0].strip("`"): row[1] for row in pages.rows(SECTIONS["Kinds of fault"])} == dict(KINDS)


def test_every_field_of_a_fault_is_documented_with_its_default() -> None:
    told = {name: row[1] for row in pages.rows(SECTIONS["Fields of a fault"]) for name in QUOTED.findall(row[0])}
    assert set(told) == KNOWN_FIELDS - {"kind"}
    defaults = {f.name: f.default for f in fields(Fault)}
    plain = {name: said for name, said in told.items() if name not in ("code", "text", "do") and said != "none"}
    assert plain == {name: said for name, said in plain.items() if said.strip("`") == _written(defaults[name])}
    assert [QUOTED.sub(r"\1", said) for said in told["code"].split(", ")] == [str(defaults["code"]), defaults["text"]]


def _written(default: object) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default).lower()


def test_all_work_of_hosts_is_documented() -> None:
    assert set(HOST_WORK) <= set(QUOTED.findall(SECTIONS["Fields of a fault"]))


def test_the_documented_faults_can_be_set() -> None:
    (block,) = pages.blocks(SIMULATOR, "yaml")
    cloud = load_estate(EXAMPLE, TurnedClock(START))
    for row in yaml.safe_load(block.text)["faults"]:
        cloud.faults.add(**row)
    assert [rule.kind for rule in cloud.faults.rules] == ["job-fails", "human"]
