"""Runs the tests against mutants, inside a running pytest: every test is collected once, every mutant gets a forked process.

`Hunt` is a plugin that takes the place of pytest's own loop. It first runs all tests in a child without a fault, which
measures which test passes over which line and how long it takes. A mutant then meets only the tests that pass over its
lines, the quickest first, until one fails. In its child, the function that it changes gets the mutant's code; where it
changes what runs at import, the child imports the mutated module and the tests anew. CPU time and memory of a child are
limited: a mutant that never ends is caught as well.

Sources and tests are copied first, so whoever goes on editing meanwhile disturbs nothing.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import math
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType

import coverage
import hypothesis
import pytest

from tests.mutation.mutants import Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("plans", "specs", "tests/__init__.py", "tests/conftest.py", "tests/mariadb.py", "tests/plans", "pyproject.toml")
TESTS = "tests/plans"
EXAMPLES = 25
"""How many examples a property gets; the same ones every time."""
MOST_MEMORY = 2 * 1024**3
MOST_WAITING = 600
ALWAYS = ("-x", "-o", "addopts=", "-o", "filterwarnings=", "--hypothesis-profile=mutation")
WITHOUT = ("terminal", "randomly", "xdist", "pytest_cov", "timeout", "cacheprovider", "socket")
SURVIVED, KILLED, BROKEN = 0, 1, 70


Functions = Mapping[tuple[str, str, int], list[FunctionType]]
"""The functions of `plans` that are alive, by file, name and line."""


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMEOUT = "timeout"
    SURVIVED = "survived"
    UNSEEN = "no test passes here"


FATES = {
    SURVIVED: Fate.SURVIVED,
    KILLED: Fate.KILLED,
    **dict.fromkeys((-signal.SIGXCPU, -signal.SIGALRM, -signal.SIGKILL), Fate.TIMEOUT),
}
"""How a child ended."""


class HuntFailed(Exception):
    """The hunt itself is broken: tests that fail without a fault, or that cannot be run."""


@dataclass(frozen=True, slots=True)
class Passed:
    """The run without a fault: CPU seconds of every test, and by module and line the tests that passed over it."""

    seconds: Mapping[str, float]
    over: Mapping[str, Mapping[int, frozenset[str]]]

    def tests(self, mutant: Mutant) -> tuple[str, ...]:
        """The tests that can notice this mutant, the quickest first; all of them where its line runs at import."""
        lines = self.over.get(mutant.module, {})
        first, last = mutant.lines
        seen = {t for n in range(first, last + 1) for t in lines.get(n, ())} if mutant.inside else self.seconds
        return tuple(sorted(seen, key=lambda test: (self.seconds[test], test)))


# --- the ground -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def ground(root: Path, folder: Path) -> Iterator[None]:
    """A copy of a tree's sources and tests in this empty folder; within, they and nothing else are imported."""
    for name in COPIED:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (root / name).is_dir():
            shutil.copytree(root / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif (root / name).exists():
            shutil.copy(root / name, target)
    hypothesis.settings.register_profile("mutation", _examples())
    here, path = Path.cwd(), list(sys.path)
    os.chdir(folder)
    sys.path[:] = [str(folder), *(p for p in path if Path(p or here).resolve() != ROOT)]
    _forget("tests", "plans", "specs")
    try:
        yield
    finally:
        os.chdir(here)
        sys.path[:] = path


def _examples() -> hypothesis.settings:
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    checks = list(hypothesis.HealthCheck)
    chosen = {"max_examples": EXAMPLES, "derandomize": True, "database": None, "deadline": None}
    return hypothesis.settings(phases=phases, suppress_health_check=checks, **chosen)


def _forget(*packages: str) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] in packages]:
        del sys.modules[name]


def in_pytest(plugin: object, tests: Iterable[str] = (TESTS,)) -> int:
    """Pytest's exit code with this plugin."""
    return int(pytest.main([*tests, *ALWAYS, *(f"-pno:{name}" for name in WITHOUT)], [plugin]))


# --- the hunt ---------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Hunt:
    """The plugin. Once it has run, `passed` is the run without a fault, and `meet` has been called with every fate."""

    folder: Path
    mutants: Sequence[Mutant]
    meet: Callable[[Mutant, Fate], None]
    at_once: int = 2
    passed: Passed | None = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            sys.stderr.write(f"{report.nodeid}\n{report.longreprtext}\n")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of running the tests once."""
        if session.testsfailed or not session.items:
            raise HuntFailed("the tests cannot be collected without a fault")
        modules = sorted({m.module for m in self.mutants})
        passed = self.passed = _measured(self.folder, modules, session)
        functions = _functions(self.folder)
        gc.freeze()  # what is frozen is not listed any more
        running: dict[int, Mutant] = {}
        for mutant in self.mutants:
            if not (tests := passed.tests(mutant)):
                self.meet(mutant, Fate.UNSEEN)
                continue
            running[self._begun(mutant, tests, session, functions)] = mutant
            if len(running) >= self.at_once:
                self._ended(running)
        while running:
            self._ended(running)
        return True

    def _begun(self, mutant: Mutant, tests: tuple[str, ...], session: pytest.Session, functions: Functions) -> int:
        """A child that meets these tests with that fault; its process id."""
        assert self.passed is not None
        child = os.fork()
        if child == 0:
            with _at_the_end() as ended:
                resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
                signal.alarm(MOST_WAITING)
                ended.code = _met(self, mutant, tests, session, functions)
        return child

    def _ended(self, running: dict[int, Mutant]) -> None:
        """Wait for the next child that ends; each has its limits."""
        child, status = os.wait()
        mutant, code = running.pop(child), os.waitstatus_to_exitcode(status)
        if code not in FATES:
            raise HuntFailed(f"{mutant}: its process ended with {code}")
        self.meet(mutant, FATES[code])


class _Watch:
    """A plugin: tells the coverage which test runs, takes its time, and tells what failed."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured, self.seconds = measured, dict[str, float]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            sys.stderr.write(f"{report.nodeid}\n{report.longreprtext}\n")

    def ran(self, item: pytest.Item) -> None:
        self.measured.switch_context(item.nodeid)
        began = time.process_time()
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        self.seconds[item.nodeid] = time.process_time() - began


def _measured(folder: Path, modules: Sequence[str], session: pytest.Session) -> Passed:
    """Run all tests once in a child. Raises `HuntFailed` when one fails."""
    told = folder / "measured.json"
    child = os.fork()
    if child == 0:
        with _at_the_end() as ended:
            watched = coverage.Coverage(data_file=None, source=[str(folder / "plans")], messages=False, config_file=False)
            watch = _Watch(watched)
            session.config.pluginmanager.register(watch)
            watched.start()
            for item in session.items:
                watch.ran(item)
            watched.stop()
            data = watched.get_data()
            over = {m: data.contexts_by_lineno(str(folder / "plans" / f"{m}.py")) for m in modules}
            told.write_text(json.dumps({"seconds": watch.seconds, "over": over}), encoding="utf-8")
            ended.code = KILLED if session.testsfailed else SURVIVED
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != SURVIVED:
        raise HuntFailed("the tests fail without a fault, see above")
    found = json.loads(told.read_text(encoding="utf-8"))
    over = {module: {int(n): frozenset(tests) - {""} for n, tests in rows.items()} for module, rows in found["over"].items()}
    return Passed(found["seconds"], over)


# --- a mutant ---------------------------------------------------------------------------------------------------------


def _within(seconds: float) -> None:
    """So much CPU time from now on, twice and a little more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(used.ru_utime + used.ru_stime + 2 + 2 * seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _met(hunt: Hunt, mutant: Mutant, tests: tuple[str, ...], session: pytest.Session, functions: Functions) -> int:
    """In a child: whether one of the tests notices."""
    assert hunt.passed is not None
    path, seconds = hunt.folder / "plans" / f"{mutant.module}.py", hunt.passed.seconds
    source = path.read_text(encoding="utf-8")
    changed = _exchanged(functions, str(path), source, mutant.text(source)) if mutant.inside else None
    if not changed:
        _within(sum(seconds[t] for t in tests))
        return _anew(mutant, path, mutant.text(source), tests)
    items = {item.nodeid: item for item in session.items}
    for test in tests:
        _within(seconds[test])
        items[test].ihook.pytest_runtest_protocol(item=items[test], nextitem=None)
        if session.testsfailed:
            return KILLED
    return SURVIVED


def _functions(folder: Path) -> Functions:
    """The functions of `plans` that are alive, by file, name and line."""
    found: dict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename.startswith(str(folder / "plans")):
            code = thing.__code__
            found[code.co_filename, code.co_qualname, code.co_firstlineno].append(thing)
    return found


def _exchanged(functions: Functions, path: str, source: str, mutated: str) -> bool:
    """Give the living function the mutant's code; False when none fits, so that the module has to be imported anew."""
    before, after = (compile(text, path, "exec", dont_inherit=True) for text in (source, mutated))
    pairs = zip(_outermost(before), _outermost(after), strict=True)
    old, new = next((old, new) for old, new in pairs if _does(old) != _does(new))
    alive = functions.get((path, old.co_qualname, old.co_firstlineno), [])
    for function in alive:
        if function.__code__.co_freevars != new.co_freevars:
            return False
        function.__code__ = new
    return bool(alive)


def _does(code: CodeType) -> tuple[object, ...]:
    """What a function does; where only another name is called, its instructions are the same."""
    return code.co_code, code.co_consts, code.co_names


def _outermost(code: CodeType) -> Iterator[CodeType]:
    """The code of functions and methods of a module, without what is inside them."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_flags & 0x02:  # a function has local variables of its own, the body of a class has not
                yield inner
            else:
                yield from _outermost(inner)


class _Mutated(SourceFileLoader):
    """Loads a module from the text it is given."""

    text: str

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)


@dataclass(frozen=True, slots=True)
class _Instead:
    """Finds the mutated module before anything else finds the real one."""

    name: str
    path: str
    text: str

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        loader = _Mutated(name, self.path)
        loader.text = self.text
        return spec_from_file_location(name, self.path, loader=loader)


@dataclass(frozen=True, slots=True)
class _Only:
    """A plugin: these tests in this order, and no others."""

    tests: tuple[str, ...]

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        place = {test: n for n, test in enumerate(self.tests)}
        items[:] = sorted((i for i in items if i.nodeid in place), key=lambda i: place[i.nodeid])


def _anew(mutant: Mutant, path: Path, text: str, tests: tuple[str, ...]) -> int:
    """In a child: import everything anew, with the mutated module, and run these tests."""
    _forget("tests", "plans")
    name = f"plans.{mutant.module}"
    sys.meta_path.insert(0, _Instead(name, str(path), text))  # type: ignore[arg-type]
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        importlib.import_module(name)
    except Exception:
        return KILLED
    code = in_pytest(_Only(tests), sorted({test.partition("::")[0] for test in tests}))
    return {2: KILLED}.get(code, code)  # a file that cannot be collected any more has noticed


@dataclass
class _Ended:
    code: int = BROKEN


@contextlib.contextmanager
def _at_the_end() -> Iterator[_Ended]:
    """A child never comes back to its parent's code."""
    ended = _Ended()
    try:
        yield ended
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code)
