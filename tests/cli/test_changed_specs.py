"""A spec that is changed while its test runs: the plan shows what that changes, and `apply` does just that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from tests.cli.conftest import QUICK_JOBS
from tests.cli.world import PG, Cloud, House

DONE, PENDING = 0, 2
RUNNING_SINCE = "select running_since from fr_runs"


def spec(span: str, more: str = "") -> str:
    return f"vm: {PG}\nstate: test-failover\nfor: {span}\n{more}"


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house in which a test of 30 minutes runs; nothing is changed in it but spec files."""
    cloud = Cloud(*QUICK_JOBS)
    house = House(tmp_path_factory.mktemp("tested") / "house", cloud.url)
    house.write(spec("30m"))
    assert house.run("apply", "--yes", "specs").code == DONE
    before = house.dump(), cloud.changes()
    yield house
    assert (house.dump(), cloud.changes()) == before, "a plan changed something"
    cloud.close()


def end(house: House, after: timedelta) -> datetime:
    (since,) = house.rows(RUNNING_SINCE)[0]
    return datetime.fromisoformat(f"{since}+00:00").replace(microsecond=0) + after


def test_the_same_spec_wants_nothing_more(tested: House) -> None:
    tested.write(spec("30m"))
    told = tested.run("plan", "specs")
    assert (told.code, told.out.splitlines()[0]) == (DONE, f"{PG}  testing   = nothing to do")
    assert tested.run("plan", "specs", "--format", "json").json["plans"][0]["amends"] is None


def test_a_longer_test_is_planned_with_its_old_and_its_new_end(tested: House) -> None:
    tested.write(spec("1h"))
    told = tested.run("plan", "specs")
    assert told.code == PENDING
    was, now = (f"{end(tested, timedelta(minutes=m)):%Y-%m-%d %H:%M:%S} UTC" for m in (30, 60))
    text = " ".join(told.out.split())
    assert text.startswith(f"{PG} testing → testing for 1h at once; nothing is sent to CloudStack")
    assert f"~ end {was} → {now}, 30m later" in text
    assert "nothing to do" not in text
    assert "failover apply specs run it" in text


def test_a_shorter_test_is_planned_as_one_that_ends_sooner(tested: House) -> None:
    tested.write(spec("20m"))
    told = tested.run("plan", "specs")
    assert told.code == PENDING
    assert ", 10m sooner" in " ".join(told.out.split())


def test_json_and_markdown_show_the_same_change(tested: House) -> None:
    tested.write(spec("1h", "auto_cleanup: false\n"))
    told = tested.run("plan", "specs", "--format", "json")
    was, now = (end(tested, timedelta(minutes=m)).isoformat(timespec="seconds") for m in (30, 60))
    assert told.code == PENDING
    (plan,) = told.json["plans"]
    assert plan["amends"] == {
        "was": {"for": 1800, "ends_at": was, "auto_cleanup": True},
        "now": {"for": 3600, "ends_at": now, "auto_cleanup": False},
    }
    assert plan["steps"] == []
    shown = tested.run("plan", "specs", "--format", "markdown")
    assert shown.code == PENDING
    assert f"- end: {was:.10} " in shown.out
    assert "30m later" in shown.out
    assert f"- then: it is taken back → it waits for you: failover end {PG}" in shown.out


def test_what_changes_neither_the_end_nor_what_then_says_so(tested: House) -> None:
    tested.write(spec("30m", "custom: {ticket: 4711}\n"))
    told = tested.run("plan", "specs")
    assert told.code == PENDING
    assert "the test follows this version of it; its end stays as it is" in " ".join(told.out.split())


def test_a_time_that_is_over_already_is_planned_as_the_way_back(tested: House) -> None:
    tested.write(spec("1s"))
    plans = (tested.run("plan", "specs") for _ in range(20))  # the test may have run for less than a second so far
    told = next(told for told in plans if "testing for 1s" not in told.out)
    assert (told.code, told.out.splitlines()[0]) == (PENDING, f"{PG}  back to protected")


def test_apply_moves_the_end_and_then_nothing_is_left_to_do(home: House, cloud: Cloud) -> None:
    home.write(spec("30m"))
    assert home.run("apply", "--yes", "specs").code == DONE
    sent = cloud.changes()
    home.write(spec("1h"))
    assert home.run("plan", "specs", "--out", "longer.json").code == PENDING
    told = home.run("apply", "--yes", "specs")
    assert told.code == DONE
    assert "30m later" in told.out
    until = end(home, timedelta(hours=1))
    assert f"{PG}: testing until {until:%H:%M:%S} UTC" in told.out
    (ends,) = home.rows("select expires_at from fr_runs")[0]
    assert datetime.fromisoformat(f"{ends}+00:00").replace(microsecond=0) == until
    assert cloud.changes() == sent
    assert home.run("plan", "specs").code == DONE
    late = home.run("apply", "--plan", "longer.json")
    assert late.code == 3
    said = ("for: 1h", *(f"{until - timedelta(minutes=m):%Y-%m-%dT%H:%M:%S}+00:00" for m in (30, 0)))
    assert f"test.ends_at   {'   '.join(f'{cell:<9}' for cell in said)}" in late.out
