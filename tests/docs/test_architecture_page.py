"""What the pages say of modules, packages and invariants is so."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

from reconciler.cloudstack import permit
from tests.docs import pages

PAGE = pages.ROOT / "docs" / "explanation" / "architecture.md"
ROOTS = ("specs", "plans", "reconciler", "simulator", "migrations")
NAMED = re.compile(rf"`((?:{'|'.join(ROOTS)})(?:\.\w+)+)`")
MODELS = pages.ROOT / "docs" / "decisions" / "0003-model-codebases.md"  # names tests of other projects
DOTTED = sorted({(pages.name(p), n) for p in pages.PAGES for n in NAMED.findall(pages.prose(p)) if not n.endswith(".json")})
TESTS = sorted(
    {(pages.name(p), t) for p in pages.PAGES if p != MODELS for t in re.findall(r"`(tests/[\w./]+)`", pages.prose(p))}
)
# Other tables of the same page have other columns.
INVARIANTS = {row[0]: row for row in pages.rows(pages.sections(PAGE)["What must never happen"])}
FUNCTIONS = [(inv, f) for inv, row in INVARIANTS.items() for f in re.findall(r"`permit\.(\w+)`", row[2])]


def resolved(name: str) -> object:
    """The module, or the thing in a module, with this dotted name. Raises AttributeError or ImportError."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for part in parts[n:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


def packages() -> set[str]:
    """Every package of ours, as a path."""
    found = {f"{root}/" for root in ROOTS}
    for root in ROOTS:
        folder = [str(pages.ROOT / root)]
        found |= {f"{m.name.replace('.', '/')}/" for m in pkgutil.walk_packages(folder, f"{root}.") if m.ispkg}
    versions = pages.ROOT / "migrations" / "versions"
    return found | {f"{versions.relative_to(pages.ROOT)}/"}


def tree() -> set[str]:
    """The folders in the page's tree."""
    (block,) = pages.blocks(PAGE, "text")
    found, above = set[str](), ""
    for line in block.text.splitlines():
        name = line.split()[0]
        above = above if line.startswith(" ") else name
        found.add(f"{above}{name}" if line.startswith(" ") else name)
    return found


@pytest.mark.parametrize(("page", "name"), DOTTED)
def test_what_a_page_names_exists(page: str, name: str) -> None:
    assert resolved(name) is not None, page


@pytest.mark.parametrize("name", ["reconciler.recover", "plans.planner.nothing", "nowhere"])
def test_what_does_not_exist_is_noticed(name: str) -> None:
    with pytest.raises((ImportError, AttributeError)):
        resolved(name)


@pytest.mark.parametrize(("page", "path"), TESTS)
def test_a_test_that_a_page_names_exists(page: str, path: str) -> None:
    assert (pages.ROOT / path).exists(), page


def test_the_tree_names_every_package_and_nothing_that_is_not_there() -> None:
    named = tree()
    assert packages() <= named
    assert all((pages.ROOT / Path(name)).is_dir() for name in named)


def test_every_invariant_is_in_the_table() -> None:
    assert list(INVARIANTS) == [f"INV-{n:02}" for n in range(1, 16)]


@pytest.mark.parametrize(("invariant", "function"), FUNCTIONS)
def test_an_invariant_is_kept_where_the_page_says(invariant: str, function: str) -> None:
    source = inspect.getsource(getattr(permit, function))
    assert f'"{invariant}"' in source or "_replica(" in source


def test_the_page_names_every_place_in_the_lowest_layer_that_keeps_an_invariant() -> None:
    kept = {
        (invariant, name)
        for name, function in inspect.getmembers(permit, inspect.isfunction)
        for invariant in re.findall(r'_demand\("(INV-\d\d)"', inspect.getsource(function))
        if not name.startswith("_")
    }
    assert kept <= set(FUNCTIONS)
