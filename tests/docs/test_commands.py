"""What the documentation says of commands and options is so, and all of it is said."""

from __future__ import annotations

import argparse
import importlib.util
import re
from collections.abc import Iterator

import click
import pytest

from reconciler.cli import cli
from reconciler.cli.screen import Screen
from simulator.__main__ import arguments as simulator_arguments
from tests.docs import pages

REFERENCE = pages.ROOT / "docs" / "reference" / "commands.md"
SECTIONS = pages.sections(REFERENCE)
OPTION = re.compile(r"`(-{1,2}[a-z][a-z-]*)")
# Programs that are not ours, as far as the documentation needs them.
OTHERS = {".", ".ci/run", "cat", "cd", "cp", "curl", "export", "git", "ls", "mkdir", "towncrier", "unset"}
CONSOLES = [block for page in pages.PAGES for block in pages.blocks(page, "console")]
COMMANDS = [(block.where, command) for block in CONSOLES for command, _ in block.exchanges]


def commands(group: click.Group = cli, path: tuple[str, ...] = ("failover",)) -> Iterator[tuple[str, click.Command]]:
    """Every command and group below `failover`, by its full name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


EXISTING = dict(commands())


def options(command: click.Command) -> set[str]:
    named = [p for p in command.params if isinstance(p, click.Option)]
    return {name for p in named for name in (*p.opts, *p.secondary_opts)}


def told(section: str) -> set[str]:
    """The options in the first column of a section's tables."""
    return {name for row in pages.rows(section) for name in OPTION.findall(row[0])}


@pytest.mark.parametrize("name", EXISTING)
def test_every_command_and_option_is_documented(name: str) -> None:
    assert name in SECTIONS, f"{pages.name(REFERENCE)} needs `## {name}`"
    assert told(SECTIONS[name]) == options(EXISTING[name])


def test_every_documented_command_exists() -> None:
    assert {title for title in SECTIONS if title.startswith("failover ")} == set(EXISTING)


def test_every_global_option_is_documented() -> None:
    assert told(SECTIONS["Global options"]) == options(cli) | {"-h", "--help"}


def test_every_option_of_the_simulator_is_documented() -> None:
    known = {name for action in simulator_arguments()._actions for name in action.option_strings}
    assert told(SECTIONS["python -m simulator"]) == known


@pytest.mark.parametrize("name", EXISTING)
def test_documented_defaults_and_choices_are_the_code_s(name: str) -> None:
    cells = {option: row for row in pages.rows(SECTIONS[name]) for option in OPTION.findall(row[0])}
    for option in (p for p in EXISTING[name].params if isinstance(p, click.Option)):
        row = cells[option.opts[0]]
        if isinstance(option.type, click.Choice):
            assert "\\|".join(option.type.choices) in row[0]
        if option.required:
            assert row[1] == "required"
        elif option.is_flag:
            assert row[1] in ("off", f"`{option.opts[0]}`")
        else:
            assert row[1].strip("`") == str(option.to_info_dict()["default"] or "")


@pytest.mark.parametrize("name", EXISTING)
def test_the_help_of_a_command_says_what_it_does(name: str) -> None:
    assert EXISTING[name].help


@pytest.mark.parametrize(("where", "command"), COMMANDS)
def test_a_command_in_the_documentation_parses(where: str, command: str) -> None:
    words = pages.words(command)
    if words[0] == "failover":
        parse(cli, "failover", words[1:])
    elif words[:3] == ["python", "-m", "simulator"]:
        simulator_arguments().parse_args(words[3:])
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]), f"{where}: there is no module {words[2]}"
    elif words[0] == "make":
        wanted = {word for word in words[1:] if "=" not in word}  # the others are variables
        assert wanted <= targets(), f"{where}: no such target of make"
    else:
        assert words[0] in OTHERS, f"{where}: {words[0]} is not known here"


@pytest.mark.parametrize("wrong", [["plan", "--frmat", "json", "x"], ["plans", "x"], ["end"], ["--no-such", "status"]])
def test_a_command_that_is_wrong_does_not_parse(wrong: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parse(cli, "failover", wrong)


def test_options_in_prose_exist_somewhere() -> None:
    known = options(cli) | {"--help", "-h", *SIMULATED}.union(*map(options, EXISTING.values()))
    for page in pages.PAGES:
        for found in re.findall(r"(?<![\w-])--[a-z][a-z-]+", pages.prose(page)):
            assert found in known or found in FOREIGN, f"{pages.name(page)}: there is no {found}"


SIMULATED = {name for action in simulator_arguments()._actions for name in action.option_strings}
FOREIGN = {"--server", "--delay", "--draft", "--account"}  # of the benchmarks, of towncrier, of the replay tool


def targets() -> set[str]:
    makefile = (pages.ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))


def parse(command: click.Command, name: str, words: list[str], parent: click.Context | None = None) -> None:
    """Parse a command line as `failover` would, without doing anything."""
    context = command.make_context(name, list(words), parent=parent, obj=parent.obj if parent else Screen(None, False))
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        chosen, found, left = command.resolve_command(context, rest)
        assert found is not None
        parse(found, str(chosen), left, context)


def test_the_simulator_refuses_unknown_options() -> None:
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        simulator_arguments().parse_args(["--prt", "1"])
