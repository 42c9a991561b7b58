"""The rules of the tree: who may import whom, where the time comes from, and that every module says where it stands."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("specs", "plans", "reconciler", "simulator", "migrations")
MODULES = sorted(path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TIMES_OF_DAY = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "time": {"time", "time_ns", "localtime", "gmtime"},
}
CLOCKS = {
    "reconciler/clock.py": "the clock that everything else is handed",
    "simulator/clock.py": "the simulator's own",
    "simulator/__main__.py": "the moment at which a turned clock begins",
    "reconciler/cli/demo.py": "the moment at which the demo's turned clock begins",
}
# One import for each contract that it breaks.
FAULTS = {
    "storeys": ("specs/values.py", "import plans.wording"),
    "inside-specs": ("specs/errors.py", "import specs.load"),
    "inside-plans": ("plans/observed.py", "import plans.planner"),
    "inside-reconciler": ("reconciler/cloudstack/client.py", "import reconciler.store.database"),
    "inside-cloudstack": ("reconciler/cloudstack/errors.py", "import reconciler.cloudstack.client"),
    "inside-source": ("reconciler/source/errors.py", "import reconciler.source.reach"),
    "inside-hooks": ("reconciler/hooks/protocol.py", "import reconciler.hooks.kit"),
    "inside-store": ("reconciler/store/tables.py", "import reconciler.store.journal"),
    "inside-cli": ("reconciler/cli/screen.py", "import reconciler.cli.demo"),
    "stranger": ("simulator/model.py", "import specs.values"),
    "no-simulator": ("reconciler/wiring.py", "import simulator"),
    "pure": ("plans/planner.py", "import time"),
    "door-cloud": ("reconciler/loop.py", "import requests"),
    "door-database": ("reconciler/operations.py", "import sqlalchemy"),
    "door-terminal": ("reconciler/daemon.py", "import click"),
    "door-text": ("specs/load.py", "import yaml"),
    "acyclic": ("simulator/clock.py", "import simulator.server"),
}


def linted(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter import cli; cli.lint_imports_command()", "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=root, check=False, capture_output=True, text=True, timeout=100)


def test_the_tree_keeps_every_import_contract() -> None:
    done = linted(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_import_contract_would_notice_its_fault(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    config = (ROOT / ".importlinter").read_text(encoding="utf-8")
    (tmp_path / ".importlinter").write_text(config, encoding="utf-8")
    assert config.count("[importlinter:contract:") == len(FAULTS)
    for name, (module, fault) in FAULTS.items():
        assert f"[importlinter:contract:{name}]" in config
        with (tmp_path / module).open("a", encoding="utf-8") as opened:
            opened.write(f"\n{fault}\n")
    done = linted(tmp_path)
    assert f"Contracts: 0 kept, {len(FAULTS)} broken." in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_in_its_docstring_where_it_stands(module: str) -> None:
    assert ast.get_docstring(parsed(module)), f"{module} needs a docstring: who calls it, what it hands on"


@pytest.mark.parametrize("module", MODULES)
def test_the_time_of_day_is_asked_for_only_by_a_clock(module: str) -> None:
    lines = [node.lineno for node in ast.walk(parsed(module)) if asks_the_time(node)]
    if module in CLOCKS:
        assert lines, f"{module} does not ask for the time any more: take it out of CLOCKS"
    else:
        assert not lines, f"{module}:{lines[0]} asks for the time; let a clock be handed in"


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("simulator/")])
def test_the_simulated_cloud_is_only_an_annotation_below_it(module: str) -> None:
    above = ("simulator/__init__.py", "simulator/estate.py", "simulator/server.py")
    found = [node.lineno for node in run_time(parsed(module)) if names_the_cloud(node)]
    assert module in above or not found, f"{module}:{found[0]} imports simulator.cloud at run time: a cycle"


def parsed(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def asks_the_time(node: ast.AST) -> bool:
    """Whether this is `datetime.now`, `time.time` and so on; a stopwatch (`time.monotonic`) is none."""
    if isinstance(node, ast.ImportFrom) and node.module == "time":
        return any(name.name in TIMES_OF_DAY["time"] for name in node.names)
    if not isinstance(node, ast.Attribute):
        return False
    owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
    return node.attr in TIMES_OF_DAY.get(owner, ())


def run_time(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that is executed: all but what stands below `if TYPE_CHECKING`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"):
            yield from run_time(child)


def names_the_cloud(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(name.name == "simulator.cloud" for name in node.names)
    return isinstance(node, ast.ImportFrom) and node.module == "simulator.cloud"
