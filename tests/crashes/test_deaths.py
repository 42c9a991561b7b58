"""Real processes are killed as `kill -9` kills: at every named point, during recovery, and at any instant.

What is done here in small is done by `make crash` at every passing of every point, in depth and by the hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from random import Random

import pytest

from reconciler.crashpoints import Point
from tests.crashes.campaign import Share, Sortie, Tally, at_random, campaign, whole
from tests.crashes.homes import KILLED, Case, Home, Outcome, a_home
from tests.mariadb import MISSING, PROGRAMS, program

TEN = Sortie(
    ("accepted:1", "run-opened:1", "before-intent:2", "after-intent:2", "after-send:2", "after-record:2"),
    ("before-settle:1", "after-settle:1", "before-finish:1", "after-finish:1"),
)
CASES = (Case("volume-snapshot", 2), Case("clone", 2, in_place=True), Case("vm-snapshot", 3))
DIED = Outcome("completed", (KILLED, 0), (0,), {}, ())


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Case], Home]]:
    """Homes by case, each made once; a test without a death comes first there: it is the measure."""
    with ExitStack() as kept:

        @cache
        def home_of(case: Case) -> Home:
            home = kept.enter_context(a_home(tmp_path_factory.mktemp("crashes") / "home", case))
            assert not home.usual.wrong
            return home

        yield home_of


@pytest.mark.parametrize("case", CASES, ids=str)
def test_lives_that_end_at_every_named_point_come_to_the_same_end(case: Case, homes: Callable[[Case], Home]) -> None:
    tally, home = Tally(), homes(case)
    found = TEN.led(home)
    tally.count(case, TEN, found)
    assert not found.wrong, home.log()
    assert tally.share == 1.0, tally.told()


def test_a_frozen_run_neither_goes_on_nor_is_lost_whoever_is_killed(homes: Callable[[Case], Home]) -> None:
    sortie, home = Sortie(("after-send:6",), frozen_at=("before-settle:1", "after-settle:1")), homes(CASES[0])
    assert not (found := sortie.led(home)).wrong, (found, home.log())
    assert found.frozen[:3] == (KILLED, KILLED, 0)


@pytest.mark.parametrize(
    "sortie",
    [Sortie(("after-send:6",), ("after-intent:3",), by="apply", anew=True), *at_random(Random(2), 1, 1.2)],
    ids=["anew", "at any instant"],
)
def test_programs_that_are_killed_anew_and_at_any_instant_come_to_the_same_end(
    sortie: Sortie, homes: Callable[[Case], Home]
) -> None:
    home = homes(CASES[0])
    assert not (found := sortie.led(home)).wrong, (found, home.log())


@pytest.fixture(scope="module")
def home_on_mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    if not all(map(program, PROGRAMS)):
        pytest.skip(MISSING)
    with a_home(tmp_path_factory.mktemp("crashes") / "home", Case("volume-snapshot", 1), "mariadb") as home:
        assert not home.usual.wrong
        yield home


def test_lives_that_end_at_every_named_point_come_to_the_same_end_on_mariadb(home_on_mariadb: Home) -> None:
    tally = Tally()
    tally.count(home_on_mariadb.case, TEN, found := TEN.led(home_on_mariadb))
    assert not found.wrong, home_on_mariadb.log()
    assert tally.share == 1.0, tally.told()


AT_STEPS = ("before-intent:2", "after-intent:3", "after-send:4", "after-record:5", "before-settle:6", "after-settle:7")


@pytest.mark.parametrize("sortie", [
    Sortie(servers=(("accepted:1", "run-opened:1", *AT_STEPS), (*AT_STEPS, "before-finish:1", "after-finish:1"))),
    Sortie(("after-send:5",), ("after-record:3",), servers=(("after-intent:5",), ("after-intent:3",)), by="apply"),
    Sortie(servers=(("0.3", "0.9"), ("0.2", "1.1"))),
], ids=["at every named point", "and we with it", "at any instant"])  # fmt: skip
def test_a_server_that_is_killed_in_the_midst_of_a_run_and_comes_back_changes_nothing(
    sortie: Sortie, home_on_mariadb: Home
) -> None:
    found = sortie.led(home_on_mariadb)
    assert not found.wrong, (found, home_on_mariadb.log())
    assert found.servers >= 2, found


def test_a_campaign_counts_what_it_hits_and_tells_what_went_wrong(tmp_path: Path) -> None:
    told: list[str] = []
    share = Share(Case("volume-snapshot", 1), points=((Point.BEFORE_FINISH, True),))
    tally = campaign((share,), tmp_path, told.append)
    assert tally.hit == {"before-finish": 1}
    assert (tally.deaths, tally.sorties, tally.wrong) == (1, 1, [])
    assert tally.told().startswith(f"1 points hit / {len(Point)} points named: 10%")


def test_what_differs_from_a_test_in_which_nobody_dies_is_told() -> None:
    tally = Tally()
    sortie = Sortie(("after-send:1",))
    tally.count(CASES[0], sortie, Outcome(DIED.state, DIED.there, DIED.back, {}, (), ("1 volume is on nothing",)))
    assert tally.wrong == ["volume-snapshot, 2 disks: dies at after-send:1: 1 volume is on nothing"]


def test_a_home_that_is_given_up_is_told_and_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def given_up(home: Home) -> Outcome:
        raise AssertionError(f"{home.case}: not over after 30 lives")

    monkeypatch.setattr(Home, "usual", property(given_up))
    monkeypatch.setattr(Home, "__post_init__", lambda home: home.folder.mkdir())
    monkeypatch.setattr(Home, "close", lambda home: home.folder.rmdir())
    share = Share(Case("volume-snapshot", 1), randoms=1)
    told: list[str] = []
    tally = campaign((share, share), tmp_path, told.append)
    assert tally.wrong == ["volume-snapshot, 1 disk: not over after 30 lives"] * 2
    assert sum(line.startswith("! ") for line in told) == 2
    assert not list(tmp_path.iterdir())


def test_the_whole_campaign_dies_at_every_point_in_either_direction_under_every_strategy() -> None:
    shares = whole(pairs=8, triples=8, freezes=8, randoms=24, seed=1)
    aimed = {(share.case.strategy, point, back) for share in shares for point, back in share.points}
    strategies = ("clone", "vm-snapshot", "volume-snapshot")
    assert aimed == {(s, point, back) for s in strategies for point in Point for back in (False, True)}
    assert {share.case.disks for share in shares} == {1, 2, 3, 4}
