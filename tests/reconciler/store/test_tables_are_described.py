from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from migrations.run import VERSION_TABLE
from reconciler.store import legacy, tables
from reconciler.store.generation import Generation
from reconciler.store.inventory import SpecState
from reconciler.store.journal import RunState, StepState

TEXT = (Path(__file__).parents[3] / "docs" / "reference" / "tables.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL))
STATES = {"fr_specs": SpecState, "fr_runs": RunState, "fr_steps": StepState}


def rows(section: str) -> dict[str, str]:
    """First column, without its quotes, to the rest of each row of a table."""
    found = re.findall(r"^\| `(\w+)`[^|]*\|(.*)\|$", section, re.MULTILINE)
    return dict(found)


def test_every_table_of_ours_is_described_and_no_other() -> None:
    assert {name for name in SECTIONS if name.startswith("fr_")} == set(tables.metadata.tables)
    assert VERSION_TABLE in TEXT


@pytest.mark.parametrize("table", tables.metadata.sorted_tables, ids=lambda t: t.name)
def test_every_column_is_described_in_its_order_and_no_other(table: sa.Table) -> None:
    described = rows(SECTIONS[table.name])
    assert list(described) == list(table.c.keys())
    assert all(text.strip() for text in described.values())


@pytest.mark.parametrize("table", STATES)
def test_every_state_is_described(table: str) -> None:
    assert {str(state) for state in STATES[table]} <= set(re.findall(r"`([\w-]+)`", rows(SECTIONS[table])["state"]))


@pytest.mark.parametrize("table", legacy.READ)
def test_every_column_that_is_read_of_the_replication_system_is_described(table: str) -> None:
    described = set(re.findall(r"`(\w+)`", rows(TEXT)[table]))
    assert described == {column for part in legacy.READ[table] for column in part}


@pytest.mark.parametrize("status", legacy.WORDS)
def test_every_word_of_a_status_is_described_for_both_kinds_of_columns(status: str) -> None:
    g3 = frozenset(word for words in legacy.WORDS.values() for word in words) - {"executing"}
    spoken = {legacy.Legacy(Generation.EMBEDDED, {}, known)._word(status) for known in (frozenset[str](), g3)}
    pairs = {frozenset(pair) for pair in re.findall(r"\| `(\w+)` \| `(\w+)` \|", TEXT)}
    assert frozenset(spoken) in pairs


@pytest.mark.parametrize("status", legacy.EXPECTED)
def test_every_move_of_a_context_is_described(status: str) -> None:
    found = re.search(rf"^\| `{status}` \|[^|]*\|(.*)\|$", TEXT, re.MULTILINE)
    assert found is not None
    if "all but" in found[1]:
        everything = set(re.findall(r"'(\w+)'", _statuses()))
        assert legacy.EXPECTED[status] == everything - set(re.findall(r"`(\w+)`", found[1]))
    else:
        assert legacy.EXPECTED[status] == set(re.findall(r"`(\w+)`", found[1]))


def _statuses() -> str:
    text = (Path(__file__).parent / "generations" / "g3.sql").read_text(encoding="utf-8")
    return text.partition("current_status ENUM(")[2].partition(")")[0]
