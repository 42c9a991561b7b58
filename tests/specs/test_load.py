"""Texts to specs: what is read, what is inherited, what every mistake is answered with."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from specs import errors, load
from specs.limits import Bounds, Limits
from specs.load import load_text
from specs.model import Spec, State, Strategy
from specs.values import VmRef

TEST = "state: test-failover\nfor: 30m\n"


def loaded(text: str | bytes, **more) -> tuple[Spec, ...]:
    found = load_text(text, "a.yaml", **more)
    assert not found.errors, [errors.render(e) for e in found.errors]
    return found.specs


def only(text: str, **more) -> Spec:
    (spec,) = loaded(text, **more)
    return spec


def told(text: str | bytes, **more) -> str:
    return "\n".join(errors.render(e) for e in load_text(text, "a.yaml", **more).errors)


# --- what is read -----------------------------------------------------------------------------------------------------


def test_three_lines_are_a_spec() -> None:
    spec = only("vm: PGWINTESTBIOS\nstate: test-failover\nfor: 30m\n")
    assert (spec.vm, spec.state, spec.duration) == (
        VmRef(name="PGWINTESTBIOS"),
        State.TEST_FAILOVER,
        timedelta(minutes=30),
    )
    assert str(spec.origin) == "a.yaml:1"
    assert {name: str(place) for name, place in spec.where.items()} == {
        "vm": "a.yaml:1",
        "state": "a.yaml:2",
        "for": "a.yaml:3",
    }


def test_every_field_is_read() -> None:
    spec = only(
        """
vm: {uuid: 4205A841-0265-F4BD-39A6-39FD92196F53, name: web-01, vcenter: vc}
state: live-failover
confirm: web-01
networks: {VM Network: net-1, Old: disconnected}
boot_disk: disk-2000
strategy: none
auto_cleanup: false
skip_validation: {reason: source is gone}
notify: {mail: ops@example.org, chat: 'env:HOOK', page: 'file:/run/secrets/page', log: 'https://example.org/x?a=b'}
after: [b, c, b]
custom: {text: no, whole: 017, hex: 0x1F, part: 1.5e3, list: [~, true, {deep: on}]}
"""
    )
    assert spec.vm == VmRef(uuid="4205a841-0265-f4bd-39a6-39fd92196f53", name="web-01", vcenter="vc")
    assert (spec.strategy, spec.auto_cleanup, spec.boot_disk) == (Strategy.NONE, False, "disk-2000")
    assert spec.networks == {"VM Network": "net-1", "Old": "disconnected"}
    assert spec.skip_validation is not None
    assert spec.skip_validation.reason == "source is gone"
    assert spec.after == ("b", "c")
    assert spec.custom == {"text": "no", "whole": 17, "hex": 31, "part": 1500.0, "list": [None, True, {"deep": "on"}]}
    assert len(spec.notify) == 4


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n---\n", "~", "vms:\n", "vms: []", "defaults:\ngroups:\n"])
def test_nothing_is_no_opinion(text: str) -> None:
    assert loaded(text) == ()


@pytest.mark.parametrize("name", ["no", "on", "22:22", "~x", "Büro-Server 7", "My_VM@2025", "名前", "x" * 255, "a  b"])
def test_plain_names_stay_as_they_are(name: str) -> None:
    assert only(f"vm: {name}\n{TEST}").vm.name == name


def test_several_documents_stand_in_one_file() -> None:
    specs = loaded(f"vm: a\n{TEST}---\nvms:\n- vm: b\n  state: protected\n---\n\n---\nvm: c\nstate: rolled-back\n")
    assert [(s.vm.name, s.origin.line) for s in specs] == [("a", 1), ("b", 6), ("c", 11)]


def test_a_byte_order_mark_and_windows_line_ends_change_nothing() -> None:
    (spec,) = loaded(b"\xef\xbb\xbfvm: a\r\nstate: test-failover\r\nfor: 30m\r\n")
    assert spec.where["for"].line == 3


def test_anchors_and_aliases_are_read() -> None:
    specs = loaded(
        f"vms:\n- vm: a\n  networks: &nets {{A: x}}\n  state: protected\n- vm: b\n  networks: *nets\n  {TEST}".replace(
            "\nfor", "\n  for"
        )
    )
    assert [s.networks for s in specs] == [{"A": "x"}, {"A": "x"}]


def test_one_meaning_has_one_digest() -> None:
    one = only("vm: a\nstate: test-failover\nfor: 60m\nnetworks: {A: x, B: y}\n")
    other = only('# a test\n"for": 1h\nnetworks:\n  "B": y\n  A: \'x\'\nstate: "test-failover"\nvm: {name: a}\n')
    assert one.digest == other.digest


def test_bounds_can_be_set() -> None:
    bounds = Bounds(test_min=timedelta(seconds=1), test_max=timedelta(days=30))
    assert only("vm: a\nstate: test-failover\nfor: 8d\n", bounds=bounds).duration == timedelta(days=8)


# --- what is inherited ------------------------------------------------------------------------------------------------

FLEET = """
defaults: {state: test-failover, for: 1h, networks: {A: defaults, B: defaults, C: defaults, D: defaults}}
groups:
  base: {strategy: clone, boot_disk: base, networks: {A: base, B: base, C: base}}
  one: {extends: base, strategy: vm-snapshot, networks: {A: one, B: one}}
  two: {extends: base, custom: {from: two}, boot_disk: two}
vms:
- {vm: v, groups: [one, two], networks: {A: vm}}
- {vm: w, group: base}
- {vm: x, groups: [two, one]}
- {vm: y, groups: [one, base]}
- {vm: z, state: protected}
"""


def test_the_vm_wins_over_groups_over_extended_groups_over_defaults() -> None:
    v, w, x, y, z = loaded(FLEET)
    assert v.networks == {"A": "vm", "B": "one", "C": "base", "D": "defaults"}
    assert (v.strategy, v.boot_disk, v.custom, v.groups) == (Strategy.VM_SNAPSHOT, "two", {"from": "two"}, ("one", "two"))
    assert w.networks == {"A": "base", "B": "base", "C": "base", "D": "defaults"}
    assert (x.strategy, x.boot_disk) == (Strategy.VM_SNAPSHOT, "two")
    assert y.strategy is Strategy.VM_SNAPSHOT  # a group is never covered by one that it extends
    assert (z.duration, "for" in z.where) == (None, False)


def test_every_value_knows_the_layer_it_came_from() -> None:
    v = loaded(FLEET)[0]
    layers = {name: (place.by, place.line) for name, place in v.where.items() if "." in name or name == "for"}
    assert layers == {
        "for": ("defaults", 2),
        "networks.A": ("vm", 8),
        "networks.B": ("group one", 5),
        "networks.C": ("group base", 4),
        "networks.D": ("defaults", 2),
        "custom.from": ("group two", 6),
    }


def test_a_later_group_wins() -> None:
    text = "groups: {a: {strategy: clone}, b: {strategy: vm-snapshot}}\nvms:\n- {vm: x, groups: [%s], state: protected}\n"
    assert [only(text % order).strategy for order in ("a, b", "b, a")] == [Strategy.VM_SNAPSHOT, Strategy.CLONE]


def test_defaults_end_with_their_document() -> None:
    assert '"state" is missing' in told("defaults: {state: protected}\n---\nvms:\n- vm: a\n")


def test_a_chain_of_groups_as_long_as_a_file_is_followed() -> None:
    groups = "".join(f"  g{n}: {{extends: g{n + 1}}}\n" for n in range(2000))
    assert only(f"groups:\n{groups}  g2000: {{state: protected}}\nvms:\n- {{vm: a, group: g0}}\n").state is State.PROTECTED


# --- what every mistake is answered with ------------------------------------------------------------------------------

MISTAKES = [
    # text, position, message, hint
    ("vm: a\nstat: protected", "2:1", 'unknown key "stat"', 'did you mean "state"?'),
    ("vm: a\nstate: protected\nzzz: 1", "3:1", 'unknown key "zzz"', "known here: after, auto_cleanup"),
    ("vm: a\nstate: protected\nduration: 1h", "3:1", 'unknown key "duration"', 'did you mean "for"?'),
    ("vm: a\nstate: protected\nstate: protected", "3:1", 'the key "state" stands here twice', "first in line 2"),
    ("vm: a", "1:5", '"state" is missing', "write one of protected, test-failover"),
    ("state: protected", "1:1", '"vm" is missing', "begin with `vm: NAME`"),
    ("vm:\nstate: protected", "1:1", '"vm" has no value', "write the name"),
    ("vm: ''\nstate: protected", "1:5", "an empty text", "write something"),
    ("vm: 017\nstate: protected", "1:5", '"017" is not text in YAML', "write '017' in quotes"),
    ('vm: "a\\tb"\nstate: protected', "1:5", "a line break or another character", "remove it"),
    (f"vm: {'x' * 256}\nstate: protected", "1:5", "a text of 256 characters", "at most 255"),
    ("vm: [a]\nstate: protected", "1:5", "keys and values are needed here", "{uuid: ...}"),
    ("vm: {}\nstate: protected", "1:5", "a VM is named by its uuid or its name", "{uuid: ...}"),
    ("vm: {uuid: 42}\nstate: protected", "1:12", '"42" is not text in YAML', "in quotes"),
    ("vm: {uuid: abc}\nstate: protected", "1:12", '"abc" is not a uuid', "32 hex digits"),
    ("vm: {nmae: abc}\nstate: protected", "1:6", 'unknown key "nmae"', 'did you mean "name"?'),
    ("vm: a\nstate: test\nfor: 30m", "2:8", 'unknown state "test"', 'did you mean "test-failover"?'),
    ("vm: a\nstate: [protected]", "2:8", "a single value is needed here, not a list", None),
    ("vm: a\nstate:", "2:1", '"state" has no value', "leave the key away"),
    ("vm: a\nstate: test-failover", "2:8", '"for" is missing', "`for: 30m`, anything from 5m to 7d"),
    ("vm: a\nstate: test-failover\nfor: 0", "3:6", '"for" is "0", which is not a duration', "30m, 4h30m, 90s, 7d"),
    ("vm: a\nstate: test-failover\nfor: -1h", "3:6", '"for" is "-1h", which is not', "30m, 4h30m, 90s, 7d"),
    ("vm: a\nstate: test-failover\nfor: abc", "3:6", '"for" is "abc", which is not', "30m, 4h30m, 90s, 7d"),
    ("vm: a\nstate: test-failover\nfor: 30", "3:6", '"for" is "30", which is not', "30m, 4h30m, 90s, 7d"),
    ("vm: a\nstate: test-failover\nfor: 1:30", "3:6", '"for" is "1:30", which is not', "30m, 4h30m, 90s, 7d"),
    ("vm: a\nstate: test-failover\nfor:", "3:1", '"for" has no value', None),
    ("vm: a\nstate: test-failover\nfor: 8d", "3:6", "between 5m and 7d, this is 8d", "allowed maximum: built in"),
    ("vm: a\nstate: test-failover\nfor: 4m59s", "3:6", "this is 4m 59s", "allowed minimum: built in"),
    ("vm: a\nstate: protected\nfor: 30m", "3:1", "only a test failover has an end", "remove `for`"),
    ("vm: a\nstate: live-failover", "2:8", 'a live failover needs "confirm"', "add `confirm: a`"),
    ("vm: a b'c\nstate: live-failover", "2:8", 'needs "confirm"', "add `confirm: 'a b''c'`"),
    ("vm: a\nstate: live-failover\nconfirm: b", "3:10", '"b" does not confirm "a"', "write `confirm: a`"),
    ("vm: a\nstate: protected\nconfirm: b", "3:10", '"b" does not confirm "a"', "write `confirm: a`"),
    ("vm: a\nstate: protected\nstrategy: none", "3:11", 'strategy "none" is for live failovers only', "best"),
    ("vm: a\nstate: protected\nstrategy: cloen", "3:11", 'unknown strategy "cloen"', 'did you mean "clone"?'),
    ("vm: a\nstate: protected\nauto_cleanup: yes", "3:15", '"yes" is neither true nor false', "YAML 1.2"),
    ("vm: a\nstate: protected\nskip_validation: {}", "3:18", '"skip_validation" needs a reason', "{reason: why}"),
    ("vm: a\nstate: protected\nskip_validation: {reason: ' '}", "3:27", "an empty text", None),
    ("vm: a\nstate: protected\nskip_validation: true", "3:18", "keys and values are needed", "{reason: why}"),
    ("vm: a\nstate: protected\nnetworks: [x]", "3:11", "keys and values are needed here", "{VM Network: test-network}"),
    ("vm: a\nstate: protected\nnetworks: {A: }", "3:12", "no value stands here", None),
    ("vm: a\nstate: protected\nnetworks: {A: 5}", "3:15", '"5" is not text', "in quotes"),
    ("vm: a\nstate: protected\nnetworks: {5: A}", "3:12", '"5" is not text', "in quotes"),
    ("vm: a\nstate: protected\nafter: b", "3:8", "a list is needed here", "write [b]"),
    ("vm: a\nstate: protected\nafter: [[b]]", "3:9", "a single value is needed here, not a list", None),
    ("vm: a\nstate: protected\nafter: [a]", "3:9", "in a circle: a → a", "leave one `after` away"),
    ("vm: a\nstate: protected\nnotify: {x: nobody}", "3:13", "neither an address nor a reference", "env:NAME"),
    ("vm: a\nstate: protected\ncustom: {x: .nan}", "3:13", "a number without end", "in quotes"),
    ("vm: a\nstate: protected\ncustom: {x: 1e999}", "3:13", "a number without end", "in quotes"),
    ("vm: a\nstate: protected\ncustom: {x: 9223372036854775808}", "3:13", "beyond 64 bits", "in quotes"),
    ("vm: a\nstate: protected\ngroup: b", "3:8", 'no group "b" in this document', "their own document"),
    ("- vm: a", "1:1", "keys and values are needed here", "`vms:`"),
    ("hello", "1:1", "keys and values are needed here", "`vm: NAME`"),
    # fleets
    ("vms: {vm: a}", "1:6", '"vms" must be a list', "`- vm: NAME`"),
    ("vms: [a]", "1:7", "keys and values are needed here", "`- vm: NAME`"),
    ("vms: []\nvm: a", "2:1", '"vm" beside a list of VMs', "one VM a document"),
    ("vms: []\nfor: 30m", "2:1", '"for" beside a list of VMs', "under `defaults`"),
    ("vms: []\ndefault: {}", "2:1", 'unknown key "default"', 'did you mean "defaults"?'),
    ("defaults: 5", "1:11", "keys and values are needed here", None),
    ("defaults: {vm: a}", "1:12", 'unknown key "vm"', None),
    ("defaults: {confirm: a}", "1:12", '"confirm" cannot be inherited', "not into defaults"),
    ("groups: {g: {confirm: a}}", "1:14", '"confirm" cannot be inherited', "not into group g"),
    ("groups: [a]", "1:9", '"groups" must be a map', "`NAME:`"),
    ("groups: {a: {extends: b}}", "1:23", 'no group "b" in this document', "known here: a"),
    ("groups: {db: {}, b: {extends: bd}}", "1:31", 'no group "bd"', None),
    ("groups: {a: {extends: b}, b: {extends: a}}", "1:40", "in a circle: a → b → a", "leave one `extends` away"),
    ("groups: {a: {extends: a}}", "1:23", "in a circle: a → a", None),
    ("groups: {a: {extends: [b]}}", "1:23", "a single value is needed", None),
    ("groups: {drill: {}}\nvms:\n- {vm: a, state: protected, group: dril}", "3:36", "no group", 'mean "drill"?'),
    ("groups: {g: {}}\nvms:\n- {vm: a, state: protected, group: g, groups: [g]}", "3:36", 'both "group"', "keep one"),
    ("defaults: {strategy: none}\nvms:\n- {vm: a, state: protected}", "3:8", '"none" (from defaults, a.yaml:1)', None),
    ("defaults: {state: live-failover}\nvms:\n- vm: a", "3:7", "a live failover (from defaults", "`confirm: a`"),
    # one VM twice
    ("vms:\n- {vm: a, state: protected}\n- {vm: a, state: protected}", "3:8", '"a" stands here and in a.yaml:2', "keep one"),
    # the text itself
    ("vm: a\nstate: protected\ncustom: {<<: {a: b}}", "3:10", "merge keys (<<) are not read", "`defaults` or `groups`"),
    ("vm: !!str a\nstate: protected", "1:5", 'the tag "!!str" is not read', "leave it away"),
    ("vm: a\nstate: protected\ncustom: !x {}", "3:9", 'the tag "!x" is not read', "leave it away"),
    ("vm: a\nstate: protected\ncustom: {[a]: b}", "3:10", "a key must be one word or text", None),
    ("vm: *a\nstate: protected", "1:5", "*a has no anchor", None),
    ("vm: a\nstate: protected\ncustom: {x: &a [*a]}", "3:17", "*a contains itself", "write the value out"),
    ("%YAML 1.1\n---\nvm: a\nstate: protected", "1:1", "old %YAML directives are not read", "YAML 1.2"),
    ("%TAG ! x\n---\nvm: a\nstate: protected", "1:1", "%TAG", "leave them away"),
    ("vm: a\n\tstate: protected", "2:1", "a tab cannot indent", "indent with spaces"),
    ("vms:\n\t- vm: a", "2:1", "a tab cannot indent", "indent with spaces"),
    ('vm: "a\nstate: protected', "1:5", "a quotation mark that is never closed", "close it"),
    ("vm: a: b", "1:6", 'a ": " that no key can have here', "quote the value"),
    ("vm: @a", "1:5", "no value can begin with @", "in quotes"),
    ("vm: {name: a", "2:1", "a bracket that is not closed", None),
    ("vms:\n  - vm: a\n - vm: b", "3:2", "no key where one is expected", "check indentation"),
    ('vm: "\\q"', "1:6", "an escape that YAML does not know", "double the backslash"),
    ("vm: a\nstat: protected\n...\nvm: b", "4:1", "text after the end of a document", "---"),
    ("vm: a\x00b", "1:6", "the character U+0000", "is this a text file?"),
    ("vm: a\u202eb", None, "another character that cannot be seen", "remove it"),
    ("vm: a\u2028b", "1:6", "the character U+2028", "cannot be seen"),
    ("# x\nvm: \ud800", "2:5", "the byte 0xed is not UTF-8", "save the file as UTF-8"),
    (b"# \xc3\xbc\nvm: \xfc", "2:5", "the byte 0xfc is not UTF-8", "save the file as UTF-8"),
    (b"\xff\xfev\x00m\x00", "1:1", "this text is UTF-16", "save it as UTF-8"),
]


@pytest.mark.parametrize(("text", "place", "message", "hint"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_told_with_place_line_caret_and_hint(text, place, message, hint) -> None:
    found = load_text(text, "a.yaml")
    matching = [e for e in found.errors if message in e.message]
    assert len(matching) == 1, [errors.render(e) for e in found.errors]
    (error,) = matching
    assert place is None or error.place == f"a.yaml:{place}"
    assert (hint or "") in (error.hint or "")
    assert error.excerpt[-1][0] == error.line
    assert "^" in errors.render(error)
    assert not found.specs


@pytest.mark.parametrize(
    "text",
    [
        "vm: a\nstat: protected",
        "vm: a\nstate: test-failover\nfro: 30m",
        "vm: a\n<<: {state: protected}",
        "vm: a\nstate: live-failover\nconfrim: a",
        "vmm: a\nstate: protected",
        "defaults: {stat: protected}\nvms:\n- vm: a",
        "vms:\n- vm: a\n  group: gone",
        "groups: {g: {stat: protected}}\nvms:\n- {vm: a, group: g}",
        "groups: {g: {extends: gone}}\nvms:\n- {vm: a, group: g}",
        "vms:\n- vm: a\n  state: test-failover\n  for: 0",
        "defaults: {for: 0, state: test-failover}\nvms:\n- vm: a\n- vm: b",
    ],
)
def test_one_mistake_is_one_error(text: str) -> None:
    found = load_text(text, "a.yaml")
    assert len(found.errors) == 1, [errors.render(e) for e in found.errors]
    assert not found.specs


TEN = """\
defaults:
  for: 8d
vms:
  - vm: ERP-DB
    stat: test-failover
  - vm: ERP-WEB
    state: test
  - vm: ERP-WEB
    state: protected
    for: 30m
  - state: protected
  - vm: a
    state: live-failover
    auto_cleanup: no
    notify: {chat: nobody}
    after: b
  - vm: b
    state: protected
    group: gone
"""


def test_ten_mistakes_of_one_file_are_told_at_once() -> None:
    found = load_text(TEN, "erp.yaml")
    assert [(e.line, e.message.split(",")[0].split(":")[0]) for e in found.errors] == [
        (2, '"for" must lie between 5m and 7d'),
        (5, 'unknown key "stat"'),
        (7, 'unknown state "test"'),
        (8, '"ERP-WEB" stands here and in erp.yaml'),
        (10, "only a test failover has an end"),
        (11, '"vm" is missing'),
        (13, 'a live failover needs "confirm"'),
        (14, '"no" is neither true nor false'),
        (15, '"nobody" is neither an address nor a reference'),
        (16, "a list is needed here"),
        (19, 'no group "gone" in this document'),
    ]
    assert (found.specs, found.files, found.vms) == ((), 1, 6)


def test_an_error_is_shown_with_its_vm_its_line_and_a_caret() -> None:
    first, second, *_ = load_text(TEN, "erp.yaml").errors
    assert errors.render(second).splitlines() == [
        'erp.yaml:5:5  unknown key "stat"',
        "    4 |   - vm: ERP-DB",
        "    5 |     stat: test-failover",
        '      |     ^^^^ did you mean "state"?',
    ]
    assert errors.render(first).splitlines()[-1] == (
        "      |        ^^ allowed maximum: built in, changed by test.max_duration in the settings file"
    )


def test_a_bound_names_who_set_it() -> None:
    bounds = Bounds(test_max=timedelta(hours=1), max_from="settings file, test.max_duration (failover.yaml:31)")
    assert "between 5m and 1h, this is 2h" in told("vm: a\nstate: test-failover\nfor: 2h", bounds=bounds)
    assert "allowed maximum: settings file, test.max_duration (failover.yaml:31)" in told(
        "vm: a\nstate: test-failover\nfor: 2h", bounds=bounds
    )


def test_the_caret_stands_under_wide_and_combined_characters() -> None:
    *_, line, caret = told("vm: a\nstate: protected\ncustom: {名前e\u0301: x, y: .inf}").splitlines()
    assert line == "    3 | custom: {名前e\u0301: x, y: .inf}"
    assert caret == "      | " + " " * 22 + "^^^^ put it in quotes to keep it as text"


def test_a_long_line_is_cut_around_its_mistake() -> None:
    rendered = told(f"vm: a\nstate: protected\ncustom: {{{', '.join(f'k{n}: v' for n in range(5000))}, x: .inf}}")
    *_, line, caret = rendered.splitlines()
    assert len(line) < 140
    assert line[caret.index("^") :].startswith(".inf")


SECRET = "h0rse-battery"


@pytest.mark.parametrize(
    "url",
    [
        f"https://ops:{SECRET}@chat.example.org/hook",
        f"https://{SECRET}@chat.example.org/hook",
        f"https://chat.example.org/hook?token={SECRET}",
        f"https://chat.example.org/hook?a=b&API_KEY={SECRET}",
        f"https://hooks.slack.com/services/T0/B0/{SECRET}",
    ],
)
@pytest.mark.parametrize("text", ["vm: a\nstate: protected\nnotify: {chat: '%s'}", "vm: a\nstate: '%s'", "vm: a\n? '%s'\n:"])
def test_a_credential_is_refused_and_never_shown(url: str, text: str) -> None:
    rendered = told(text % url)
    assert rendered
    assert SECRET not in rendered
    assert "notify" not in text or "env:NAME or file:PATH" in rendered


def test_a_credential_is_refused_with_the_way_to_refer_to_it() -> None:
    rendered = told(f"vm: a\nstate: protected\nnotify:\n  chat: https://u:{SECRET}@h/x\n")
    assert "carries a credential" in rendered
    assert "env:NAME or file:PATH" in rendered


def test_an_error_cannot_steer_a_terminal() -> None:
    assert "\x1b" not in told("vm: a\nstate: \x1b[2Jprotected") + told('vm: "\\e[2J"\nstate: "\\e[2J"')


# --- limits -----------------------------------------------------------------------------------------------------------

BOMB = "custom:\n  a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"  {b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "limits", "message"),
    [
        (f"vm: a\nstate: protected\n{BOMB}", Limits(), "more than 200000 values"),
        ("vm: a\nstate: protected\ncustom: {x: &a b, y: [*a, *a, *a]}", Limits(aliases=2), "more than 2 aliases"),
        ("vm: a\nstate: protected\ncustom: {x: [[[[b]]]]}", Limits(depth=5), "nested more than 5 levels"),
        ("[" * 900, Limits(), "nested more than 20 levels"),
        ("[" * 1_000_000, Limits(), "nested too deeply"),
        ("{a: " * 200_000, Limits(), "nested more than 20 levels"),
        ("- " * 200_000, Limits(), "nested more than 20 levels"),
        ("x: &a [[[[[b]]]]]\ny: &b [[[[[*a]]]]]", Limits(depth=10), "nested more than 10 levels"),
        ("---\n" * 4, Limits(documents=3), "more than 3 documents"),
        ("[a, b, c, d]", Limits(nodes=4), "more than 4 values"),
        ("vm: a\n" + "x" * 100, Limits(file_bytes=100), "larger than 0 KiB"),
        ("\n".join(f"k{n}: 1" for n in range(9)), Limits(errors=3), "more than 3 errors"),
    ],
    ids=range(12),
)
def test_what_is_past_a_limit_is_an_error(text: str, limits: Limits, message: str) -> None:
    found = load_text(text, "a.yaml", limits=limits)
    assert message in found.errors[-1].message
    assert not found.specs


# --- several files ----------------------------------------------------------------------------------------------------


def test_a_folder_is_read_in_sorted_order_without_what_begins_with_a_dot(tmp_path: Path) -> None:
    for name in ("b/c.yaml", "b/a.yml", "a.yaml", "z.YAML", "read.me", ".git/x.yaml", ".hidden.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"vm: {name}\n{TEST}")
    found = load.load([tmp_path])
    assert [s.vm.name for s in found.specs] == ["a.yaml", "b/a.yml", "b/c.yaml"]
    assert (found.files, found.vms, found.errors) == (3, 3, ())
    assert found.specs[0].origin.file == f"{tmp_path}/a.yaml"


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"vm: a\n{TEST}")
    (tmp_path / "link.yaml").symlink_to("a.yaml")
    assert load.load([tmp_path, tmp_path / "a.yaml", tmp_path / "link.yaml"]).vms == 1


def test_a_named_file_may_be_called_anything(tmp_path: Path) -> None:
    (tmp_path / "spec.txt").write_text(f"vm: a\n{TEST}")
    assert load.load([tmp_path / "spec.txt"]).vms == 1


def test_errors_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("vm: a\nstat: protected\n")
    (tmp_path / "b.yaml").write_text("vm: [\n")
    (tmp_path / "c.yaml").write_text(f"vm: c\n{TEST}")
    found = load.load([tmp_path, tmp_path / "gone.yaml"])
    assert [Path(e.file).name for e in found.errors] == ["gone.yaml", "a.yaml", "b.yaml"]
    assert [s.vm.name for s in found.specs] == ["c"]
    assert found.files == 4


UUID = "4205a841-0265-f4bd-39a6-39fd92196f53"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("a", "{name: a}", True),
        ("a", "{name: a, vcenter: x}", False),
        ("{name: a, vcenter: x}", "{name: a, vcenter: x}", True),
        ("{name: a, vcenter: x}", "{name: a, vcenter: y}", False),
        (f"{{uuid: {UUID}}}", f"{{uuid: {UUID.upper()}, name: b}}", True),
        (f"{{uuid: {UUID}, name: a}}", "a", False),
    ],
)
def test_a_vm_that_two_files_name_is_an_error_in_both_places(tmp_path: Path, one: str, other: str, is_same) -> None:
    (tmp_path / "a.yaml").write_text(f"vm: {one}\n{TEST}")
    (tmp_path / "b.yaml").write_text(f"# again\nvm: {other}\n{TEST}")
    found = load.load([tmp_path])
    assert [e.message.endswith(f"stands here and in {tmp_path}/a.yaml:1") for e in found.errors] == [True] * is_same
    assert [e.place for e in found.errors] == [f"{tmp_path}/b.yaml:2:5"] * is_same
    assert len(found.specs) == (0 if is_same else 2)


def test_vms_of_several_files_that_wait_in_a_circle_are_an_error(tmp_path: Path) -> None:
    for name, after in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("e", "elsewhere")):
        (tmp_path / f"{name}.yaml").write_text(f"vm: {name}\nafter: [{after}]\n{TEST}")
    found = load.load([tmp_path])
    assert [e.message for e in found.errors] == ["VMs wait for each other in a circle: a → b → c → a"]
    assert [s.vm.name for s in found.specs] == ["d", "e"]


def test_a_vm_can_be_waited_for_by_uuid() -> None:
    text = (
        f"vms:\n- {{vm: {{uuid: {UUID}}}, after: [b], state: protected}}\n- {{vm: b, after: [{UUID}], state: protected}}\n"
    )
    assert f"circle: {UUID} → b → {UUID}" in told(text)


def test_a_name_that_two_vms_bear_makes_no_circle_here() -> None:
    twin = "- {{vm: {{name: twin, vcenter: {}}}, after: [{}], state: protected}}\n"
    assert (
        len(loaded("vms:\n" + twin.format("a", "b") + twin.format("b", "b") + "- {vm: b, after: [twin], state: protected}"))
        == 3
    )


def test_an_inherited_after_that_closes_a_circle_is_told_at_the_vm() -> None:
    found = load_text("defaults: {after: [a], state: protected}\nvms:\n- vm: a\n- vm: b\n", "a.yaml")
    assert [(e.place, e.message) for e in found.errors] == [("a.yaml:3:7", "VMs wait for each other in a circle: a → a")]


def test_a_chain_as_long_as_the_fleet_is_no_circle() -> None:
    rows = (f"- {{vm: v{n}, state: protected, after: [v{n + 1}]}}\n" for n in range(5000))
    assert len(loaded("vms:\n" + "".join(rows))) == 5000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file or folder"),
        (lambda path: path.symlink_to(path), "cannot be read: too many levels"),
        (lambda path: path.symlink_to("nowhere"), "no such file or folder"),
        (lambda path: __import__("os").mkfifo(path), "not a regular file"),
        (lambda path: path.write_bytes(b"#" * (1 << 20) + b"#"), "larger than 1024 KiB"),
    ],
    ids=["missing", "link to itself", "dangling link", "pipe", "large"],
)
def test_a_file_that_cannot_be_read_is_an_error_of_its_own(tmp_path: Path, make, message: str) -> None:
    make(tmp_path / "a.yaml")
    (error,) = load.load([tmp_path / "a.yaml"]).errors
    assert (error.place, message in error.message) == (f"{tmp_path}/a.yaml", True)
    assert errors.render(error).startswith(f"{tmp_path}/a.yaml  ")


def test_a_path_that_no_system_can_hold_is_an_error() -> None:
    assert "cannot be read" in load.load([Path("a\0b.yaml")]).errors[0].message


def test_links_in_a_circle_end_and_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "out.yaml").write_text(f"vm: out\n{TEST}")
    inside = tmp_path / "in"
    (inside / "deep").mkdir(parents=True)
    (inside / "deep" / "a.yaml").write_text(f"vm: a\n{TEST}")
    (inside / "deep" / "up").symlink_to("..")
    (inside / "x.yaml").symlink_to("../out.yaml")
    (inside / "y").symlink_to("..")
    found = load.load([inside])
    assert [s.vm.name for s in found.specs] == ["a"]
    assert [(Path(e.file).name, e.message) for e in found.errors] == [
        ("x.yaml", "a link that leads out of its folder"),
        ("y", "a link that leads out of its folder"),
    ]


@pytest.mark.parametrize(
    ("limits", "message"),
    [(Limits(files=2), "more than 2 files"), (Limits(total_bytes=60), "more than 0 MiB of specs")],
)
def test_too_much_in_all_is_an_error(tmp_path: Path, limits: Limits, message: str) -> None:
    for number in range(4):
        (tmp_path / f"{number}.yaml").write_text(f"vm: v{number}\n{TEST}")
    found = load.load([tmp_path], limits=limits)
    assert [e.message for e in found.errors] == [message]


def test_a_file_name_of_odd_bytes_can_be_shown(tmp_path: Path) -> None:
    odd = Path(__import__("os").fsdecode(bytes(tmp_path) + b"/\xff\x1b.yaml"))
    odd.write_text("vm: a\n")
    (error,) = load.load([tmp_path]).errors
    assert error.file == f"{tmp_path}/\ufffd·.yaml"
