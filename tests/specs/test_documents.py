"""The reference, the schema and the examples say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from specs import errors, explain, load, schema
from specs.fields import FIELDS

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference/specs.md"
KEPT = ROOT / "docs/reference/specs.schema.json"
EXAMPLES = sorted((ROOT / "examples/specs").glob("*.yaml"))
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", REFERENCE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
VALIDATOR = jsonschema.Draft202012Validator(schema.json_schema())


def documents(text: str) -> list:
    """The documents as an editor sees them: the values of these texts are the same in YAML 1.1 and 1.2."""
    return list(yaml.safe_load_all(text))


def clean(found: load.Loaded) -> load.Loaded:
    assert not found.errors, [errors.render(e) for e in found.errors]
    return found


def test_the_kept_schema_is_the_one_that_is_printed() -> None:
    assert json.loads(KEPT.read_text("utf-8")) == schema.json_schema()


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.json_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_an_example_loads_and_its_editor_agrees(path: Path) -> None:
    assert clean(load.load([path])).specs
    for document in documents(path.read_text("utf-8")):
        VALIDATOR.validate(document)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_an_example_names_the_schema_in_its_first_line(path: Path) -> None:
    name = re.fullmatch(r"# yaml-language-server: \$schema=(.+)", path.read_text("utf-8").splitlines()[0])
    assert name
    assert (path.parent / name[1]).resolve() == KEPT


def test_the_examples_can_be_wanted_together() -> None:
    assert clean(load.load([ROOT / "examples/specs"])).files == len(EXAMPLES) >= 4


def test_the_first_example_has_three_lines() -> None:
    text = (ROOT / "examples/specs/pgwintestbios.yaml").read_text("utf-8")
    assert text.splitlines()[1:] == ["vm: PGWINTESTBIOS", "state: test-failover", "for: 30m"]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_text_of_the_reference_loads_and_its_editor_agrees(number: int) -> None:
    assert clean(load.load_text(BLOCKS[number], "specs.md")).specs
    for document in documents(BLOCKS[number]):
        VALIDATOR.validate(document)


@pytest.mark.parametrize("name", ["vm", *FIELDS, "defaults", "groups", "vms", "extends", "group"])
def test_the_reference_describes_every_key(name: str) -> None:
    text = REFERENCE.read_text("utf-8")
    section = re.search(rf"^### `{name}`\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)
    assert section, f"no section for {name}"
    assert "Default" in section[1] or "Required" in section[1]
    assert name not in FIELDS or ("- Type:" in section[1] and f"{name}:" in "".join(BLOCKS))


def test_the_schema_knows_the_fields_of_the_language() -> None:
    defined = schema.json_schema()["$defs"]
    assert set(defined["fields"]["properties"]) == set(FIELDS)
    assert set(defined["single"]["properties"]) == {"vm", *FIELDS}
    assert set(defined["entry"]["properties"]) == {"vm", "group", "groups", *FIELDS}
    assert set(defined["group"]["properties"]) == {"extends", *FIELDS} - {"confirm"}


@pytest.mark.parametrize(
    "document",
    [
        {"vm": "a"},
        {"state": "protected"},
        {"vm": "a", "state": "tested"},
        {"vm": "a", "state": "test-failover"},
        {"vm": "a", "state": "test-failover", "for": "1:30"},
        {"vm": "a", "state": "test-failover", "for": ""},
        {"vm": "a", "state": "protected", "for": "30m"},
        {"vm": "a", "state": "live-failover"},
        {"vm": "a", "state": "protected", "stat": "x"},
        {"vm": {"vcenter": "x"}, "state": "protected"},
        {"vm": "a", "state": "protected", "skip_validation": {}},
        {"vms": [{"vm": "a", "group": "g", "groups": ["g"]}]},
        {"defaults": {"confirm": "a"}},
        [],
        {},
    ],
)
def test_the_editor_marks_what_would_be_refused(document: object) -> None:
    assert not VALIDATOR.is_valid(document)


def test_every_value_is_explained_with_its_place_and_layer() -> None:
    above = "defaults: {for: 1h, custom: {a: 1}}\ngroups: {g: {networks: {A: x}}}\n"
    text = f"{above}vms:\n- vm: v\n  state: test-failover\n  group: g\n"
    (spec,) = clean(load.load_text(text, "f.yaml")).specs
    assert explain.explain(spec) == (
        "vm = v                  f.yaml:4 (vm)",
        "state = test-failover   f.yaml:5 (vm)",
        "for = 1h                f.yaml:1 (defaults)",
        "auto_cleanup = true     (built in)",
        "networks.A = x          f.yaml:2 (group g)",
        "custom.a = 1            f.yaml:1 (defaults)",
    )


def test_an_explained_text_cannot_steer_a_terminal() -> None:
    (spec,) = clean(load.load_text('vm: v\nstate: protected\ncustom: {a: "\\e[2J"}', "f.yaml")).specs
    assert "\x1b" not in "".join(explain.explain(spec))
