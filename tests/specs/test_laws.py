"""Laws of reading, on invented fleets and on texts that nobody would write."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import jsonschema
import yaml
from hypothesis import given
from hypothesis import strategies as st

from specs import errors, explain, schema
from specs.load import load_text
from specs.model import Spec

VALIDATOR = jsonschema.Draft202012Validator(schema.json_schema())

STRUCTURE = ["vm", "vms", "groups", "group", "defaults", "extends", "<<", "a", "b"]
FIELDS = ["state", "for", "after", "custom", "networks", "confirm", "notify"]
VALUES = ["test-failover", "protected", "live-failover", "30m", "8d", "no", "~", "017", "1e999", "0x1F", "''", "!!int"]
words = st.sampled_from([*STRUCTURE, *FIELDS, *VALUES])
marks = st.sampled_from(
    [
        ": ",
        ":\n  ",
        "\n",
        "\n- ",
        "\n  ",
        "\n    ",
        " ",
        ", ",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "---\n",
        "\t",
        "#",
        "'",
        '"',
        "|\n",
        "? ",
    ]
)
yamlish = st.lists(words | marks, max_size=40).map("".join)


@given(st.text() | st.binary() | yamlish)
def test_no_text_makes_reading_fail(text: str | bytes) -> None:
    found = load_text(text, "a.yaml")
    for error in found.errors:
        assert error.message
        assert error.file == "a.yaml"
        assert "\n\n" not in errors.render(error)
    for spec in found.specs:
        assert Spec.from_json(spec.as_json()) == spec
        assert explain.explain(spec)


names = st.sampled_from("abc")
layers = st.fixed_dictionaries(
    {},
    optional={
        "boot_disk": st.sampled_from(["d0", "d1", "d2"]),
        "strategy": st.sampled_from(["clone", "vm-snapshot"]),
        "networks": st.dictionaries(names, st.sampled_from(["x", "y", "disconnected"])),
        "custom": st.dictionaries(names, st.integers(0, 9)),
        "auto_cleanup": st.booleans(),
        "after": st.lists(st.sampled_from(["other", "third"]), unique=True),
    },
)


def over(under: Mapping, upper: Mapping) -> dict:
    """What the reference says: maps by key, everything else as a whole."""
    merged = {**under, **upper}
    for name in ("networks", "custom"):
        if name in under and name in upper:
            merged[name] = {**under[name], **upper[name]}
    return merged


@given(
    defaults=layers, base=layers, one=layers, two=layers, vm=layers, state=st.sampled_from(["protected", "test-failover"])
)
def test_the_nearest_layer_wins(defaults, base, one, two, vm, state) -> None:
    document = {
        "defaults": {**defaults, "state": state, "for": "1h"},
        "groups": {"base": base, "one": {**one, "extends": "base"}, "two": two},
        "vms": [{**vm, "vm": "v", "groups": ["one", "two"]}],
    }
    found = load_text(yaml.safe_dump(document), "a.yaml")
    assert not found.errors
    (spec,) = found.specs
    wanted = reduce(over, (defaults, base, one, two, vm))
    shown = spec.as_json()
    assert {name: shown[name] for name in wanted} == wanted
    assert set(spec.where) >= {"vm", "state", *wanted}


@given(layers, st.randoms(use_true_random=False))
def test_the_order_of_keys_and_the_form_of_the_text_do_not_change_the_digest(fields, order) -> None:
    document = {**fields, "vm": "v", "state": "test-failover", "for": "1h"}
    turned = dict(order.sample(list(document.items()), len(document)))
    texts = [yaml.safe_dump(document), yaml.safe_dump(turned, sort_keys=False, default_flow_style=True, width=20)]
    digests = {spec.digest for text in texts for spec in load_text(text, "a.yaml").specs}
    assert len(digests) == 1


odd = st.sampled_from(
    ["", "30m", "8d", "clone", "none", "protected", "v", True, 3, [], ["v"], {}, {"a": "b"}, {"reason": "r"}]
)
entries = st.dictionaries(st.sampled_from([*schema.FIELDS, "group", "stat"]), odd, max_size=3)
usable = st.builds(lambda fields, more: {"state": "protected", **fields, **more}, layers, entries)
vms = st.builds(lambda fields: {"vm": "v", **fields}, usable)


@given(vms | st.builds(lambda d, g, v: {"defaults": d, "groups": {"v": g}, "vms": [v]}, usable, usable, vms))
def test_the_schema_refuses_nothing_that_is_read(document) -> None:
    if not load_text(yaml.safe_dump(document), "a.yaml").errors:
        VALIDATOR.validate(document)
