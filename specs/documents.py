"""One document to specs: a single VM, or a fleet with defaults, groups and a list of VMs.

Called by `load` with a tree a document; hands back one entry a VM. Layers are laid over each other here, VM over groups
over extended groups over defaults, and the values are checked together. Whether two documents contradict each other is
left to `load`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from specs import fields, tree
from specs.errors import Fault, Findings, Mark, Told, did_you_mean, quoted, starred
from specs.fields import FIELDS, INHERITED, LOST, MERGED, Given, Layer, Reading
from specs.limits import Bounds
from specs.model import Origin, Spec, State, Strategy
from specs.tree import Listing, Node, Scalar, Table
from specs.values import VmRef, format_duration

_FLEET = ("defaults", "groups", "vms")
_OF_VM = ("vm", "group", "groups")


@dataclass(frozen=True, slots=True)
class Entry:
    """One VM of a text: what it is, the place that names it, whom it waits for and, if nothing is wrong, its spec."""

    vm: VmRef | None
    mark: Mark
    head: Mark
    found: Findings
    spec: Spec | None = None
    after: tuple[tuple[str, Mark], ...] = ()


@dataclass(frozen=True, slots=True)
class _Group:
    layer: Layer
    extends: str | None
    mark: Mark


@dataclass(frozen=True, slots=True)
class _Fleet:
    """What a VM can inherit within its document."""

    defaults: Layer = field(default_factory=dict)
    groups: Mapping[str, _Group] = field(default_factory=dict)


def read(document: Node, found: Findings, bounds: Bounds) -> tuple[Entry, ...]:
    """The VMs of a document, in order. An empty document has no opinion."""
    if tree.is_empty(document):
        return ()
    reading = Reading(found, bounds, "vm", document.mark)
    table = reading.tried(fields.table_of, document, "`vm: NAME` and `state: protected`, or a list under `vms:`")
    if table is None:
        return ()
    if any(key.text in _FLEET for key, _ in table.entries):
        return _read_fleet(table, reading)
    return (_entry(table, _Fleet(), reading),)


def _read_fleet(table: Table, reading: Reading) -> tuple[Entry, ...]:
    for key, _ in table.entries:
        if key.text not in _FLEET:
            reading.found.add(key.mark, *_not_of_a_fleet(key.text))
    parts = {key.text: value for key, value in table.entries if not tree.is_empty(value)}
    fleet = _Fleet(_defaults(parts.get("defaults"), reading), _groups(parts.get("groups"), reading))
    return tuple(_listed(item, fleet, reading) for item in _items(parts.get("vms"), reading))


def _not_of_a_fleet(name: str) -> tuple[str, str]:
    if name in FIELDS:
        return f"{quoted(name)} beside a list of VMs", "move it under `defaults`, or onto one VM"
    if name in _OF_VM:
        return f"{quoted(name)} beside a list of VMs", "one VM a document, or all of them under `vms`"
    return f"unknown key {quoted(name)}", did_you_mean(name, _FLEET, f"known here: {', '.join(_FLEET)}")


def _items(node: Node | None, reading: Reading) -> tuple[Node, ...]:
    if isinstance(node, Listing):
        return node.items
    if isinstance(node, Scalar | Table):
        reading.found.add(node.mark, '"vms" must be a list', "begin each VM with `- vm: NAME`")
    return ()


def _listed(node: Node, fleet: _Fleet, reading: Reading) -> Entry:
    table = reading.tried(fields.table_of, node, "`- vm: NAME`")
    return Entry(None, node.mark, node.mark, reading.found) if table is None else _entry(table, fleet, reading)


# --- what is inherited ------------------------------------------------------------------------------------------------


def _defaults(node: Node | None, reading: Reading) -> Layer:
    return {} if node is None else _layer(node, (), replace(reading, by="defaults", head=node.mark))


def _layer(node: Node, structure: tuple[str, ...], reading: Reading) -> Layer:
    table = reading.tried(fields.table_of, node, "`for: 30m`")
    return fields.lost(node, reading) if table is None else fields.read_layer(table, INHERITED, structure, reading)


def _groups(node: Node | None, reading: Reading) -> Mapping[str, _Group]:
    if not isinstance(node, Table):
        if isinstance(node, Scalar | Listing):
            reading.found.add(node.mark, '"groups" must be a map', "write each group as `NAME:` and its fields below")
        return {}
    groups = {key.text: _group(key, body, reading) for key, body in node.entries}
    spoilt = [name for name, group in groups.items() if group.extends is not None and group.extends not in groups]
    for name in spoilt:
        reading.found.add(groups[name].mark, *_no_group(groups[name].extends or "", groups))
    for path, mark in _circles(groups):
        reading.found.add(mark, f"groups extend each other in a circle: {_path(path)}", "leave one `extends` away")
        spoilt += path
    return groups | {name: replace(groups[name], layer=fields.lost(node, reading)) for name in spoilt}


def _path(names: list[str]) -> str:
    """The way round, short enough for a line."""
    return " → ".join(starred(name)[:60] for name in ([*names[:8], "...", names[-1]] if len(names) > 10 else names))


def _group(key: Scalar, body: Node, reading: Reading) -> _Group:
    name = reading.tried(fields.text, key)
    here = replace(reading, by=f"group {name}", head=key.mark)
    if name is None or tree.is_empty(body):
        return _Group({}, None, key.mark)
    above = _value(body, "extends")
    extends = None if above is None else here.tried(fields.text, above)
    return _Group(_layer(body, ("extends",), here), extends, body.mark if above is None else above.mark)


def _value(node: Node, name: str) -> Node | None:
    entries = node.entries if isinstance(node, Table) else ()
    return next((value for key, value in entries if key.text == name), None)


def _no_group(name: str, known: Mapping[str, object]) -> tuple[str, str]:
    otherwise = f"known here: {', '.join(sorted(known))[:200]}" if known else "groups are known in their own document"
    return f"no group {quoted(name)} in this document", did_you_mean(name, known, otherwise)


def _circles(groups: Mapping[str, _Group]) -> Iterator[tuple[list[str], Mark]]:
    """Every circle of groups that extend each other, once, with the place that closes it."""
    settled: set[str] = set()
    for start in groups:
        path: list[str] = []
        seen: set[str] = set()
        name: str | None = start
        while name is not None and name in groups and name not in settled and name not in seen:
            path.append(name)
            seen.add(name)
            name = groups[name].extends
        if name is not None and name in seen:
            circle = path[path.index(name) :]
            yield [*circle, name], groups[circle[-1]].mark
        settled |= seen


def _lineage(listed: tuple[str, ...], groups: Mapping[str, _Group]) -> list[str]:
    """The groups a VM draws on, nearest first: those listed, last one first, then what they extend.

    A group reached on several ways takes its farthest place, so that no group is covered by one that it extends.
    """
    order: dict[str, None] = {}
    ring = list(dict.fromkeys(reversed(listed)))
    for _ in range(len(groups)):  # no chain without a circle is longer
        ring = [name for name in ring if name in groups]
        for name in ring:
            order.pop(name, None)
            order[name] = None
        ring = list(dict.fromkeys(above for name in ring if (above := groups[name].extends) is not None))
    return list(order)


def merged(layers: list[Layer]) -> dict[str, Given]:
    """The layers over each other, nearest first: maps by key, everything else as a whole."""
    result: dict[str, Given] = {}
    for layer in reversed(layers):
        for name, given in layer.items():
            under = result.get(name)
            result[name] = _over(given, under) if under is not None and name in MERGED else given
    return result


def _over(given: Given, under: Given) -> Given:
    if given.broken or under.broken:
        return replace(given, broken=True)
    return replace(given, value={**under.value, **given.value}, parts={**under.parts, **given.parts})


# --- one VM -----------------------------------------------------------------------------------------------------------


def _entry(table: Table, fleet: _Fleet, reading: Reading) -> Entry:
    key, node = next(((k, v) for k, v in table.entries if k.text == "vm"), (table, table))
    reading = replace(reading, head=key.mark)
    own = fields.read_layer(table, FIELDS, _OF_VM, reading)
    vm = reading.tried(_vm, node, table, own, reading)
    groups = reading.tried(_groups_of, table, fleet, reading)
    layers = [own, *(fleet.groups[name].layer for name in _lineage(groups or (), fleet.groups)), fleet.defaults]
    effective = merged(layers if groups is not None else [fields.lost(table, reading), *layers])
    faults = list(_faults(vm, node.mark, own, effective, reading.bounds))
    for fault in faults:
        reading.fault(fault)
    entry = Entry(vm, node.mark, key.mark, reading.found, after=_waits(table, node, effective))
    if vm is None or faults or any(given.broken for given in effective.values()):
        return entry
    return replace(entry, spec=_spec(vm, effective, groups or (), reading.origin(key.mark)))


def _vm(node: Node, table: Table, own: Layer, reading: Reading) -> VmRef:
    if node is table:
        if "vm" in own or LOST in own:
            raise Told  # it was probably meant by something that has been told
        raise Fault(table.mark, '"vm" is missing: which VM is meant?', "begin with `vm: NAME`")
    if tree.is_empty(node):
        raise Fault(node.mark, '"vm" has no value', "write the name of the VM")
    return fields.read_vm(node, reading)


def _groups_of(table: Table, fleet: _Fleet, reading: Reading) -> tuple[str, ...]:
    """The groups a VM lists. Raises Fault or Told if they cannot be used."""
    one, several = _value(table, "group"), _value(table, "groups")
    if one is not None and several is not None:
        raise Fault(one.mark, 'both "group" and "groups"', "keep one of them")
    node = one or several
    if node is None:
        return ()
    names = fields.names(node) if one is None else (fields.text(node),)
    unknown = [name for name in names if name not in fleet.groups]
    for name in unknown:
        reading.found.add(_place(node, name), *_no_group(name, fleet.groups), reading.head)
    if unknown:
        raise Told
    return names


def _place(node: Node, name: str) -> Mark:
    items = node.items if isinstance(node, Listing) else ()
    return next((item.mark for item in items if isinstance(item, Scalar) and item.text == name), node.mark)


def _waits(table: Table, vm: Node, effective: Layer) -> tuple[tuple[str, Mark], ...]:
    given = effective.get("after")
    if given is None or given.broken:
        return ()
    node = _value(table, "after") or vm
    return tuple((name, _place(node, name)) for name in given.value)


# --- values together --------------------------------------------------------------------------------------------------


def _faults(vm: VmRef | None, mark: Mark, own: Layer, effective: Layer, bounds: Bounds) -> Iterator[Fault]:
    """What is wrong with the values of one VM taken together; `mark` is where the VM is named."""
    given = effective.get("state")
    if given is None:
        if LOST not in effective:
            hint = f"write one of {', '.join(map(str, State))}"
            yield Fault(mark, '"state" is missing: what is wanted of this VM?', hint)
    elif not given.broken:
        yield from _duration_faults(given, mark, own, effective, bounds)
        yield from _strategy_faults(given.value, mark, effective)
        if vm is not None:
            yield from _confirm_faults(given, mark, vm, effective)


def _duration_faults(state: Given, mark: Mark, own: Layer, effective: Layer, bounds: Bounds) -> Iterator[Fault]:
    if state.value is State.TEST_FAILOVER:
        if "for" not in effective and LOST not in effective:
            least, most = format_duration(bounds.test_min), format_duration(bounds.test_max)
            hint = f"add for example `for: 30m`, anything from {least} to {most}"
            yield Fault(_seen(state, mark), '"for" is missing: how long shall the test last?', hint)
    elif "for" in own and not own["for"].broken:
        yield Fault(own["for"].key, f'only a test failover has an end, the state is "{state.value}"', "remove `for`")


def _strategy_faults(state: State, mark: Mark, effective: Layer) -> Iterator[Fault]:
    given = effective.get("strategy")
    if given is not None and given.value is Strategy.NONE and state is not State.LIVE_FAILOVER:
        hint = "choose another, or leave `strategy` away to get the best that is possible"
        yield Fault(_seen(given, mark), f'strategy "none"{_inherited(given)} is for live failovers only', hint)


def _confirm_faults(state: Given, mark: Mark, vm: VmRef, effective: Layer) -> Iterator[Fault]:
    given = effective.get("confirm")
    wanted = f"confirm: {fields.as_yaml(vm.label)}"
    if given is None:
        if state.value is State.LIVE_FAILOVER and LOST not in effective:
            yield Fault(_seen(state, mark), f'a live failover{_inherited(state)} needs "confirm"', f"add `{wanted}`")
    elif not given.broken and given.value != vm.label:
        yield Fault(given.mark, f"{quoted(given.value)} does not confirm {quoted(vm.label)}", f"write `{wanted}`")


def _seen(given: Given, mark: Mark) -> Mark:
    """Where a fault of one VM is shown: at the value, or at the VM if the value is inherited."""
    return given.mark if given.origin.by == "vm" else mark


def _inherited(given: Given) -> str:
    return "" if given.origin.by == "vm" else f" (from {given.origin.by}, {given.origin})"


def _spec(vm: VmRef, effective: Layer, groups: tuple[str, ...], origin: Origin) -> Spec:
    is_test = effective["state"].value is State.TEST_FAILOVER
    used = {name: given for name, given in effective.items() if is_test or name != "for"}
    wanted: dict[str, Any] = {"duration" if name == "for" else name: given.value for name, given in used.items()}
    return Spec(vm=vm, groups=groups, origin=origin, where=_where(used, origin), **wanted)


def _where(used: Layer, origin: Origin) -> dict[str, Origin]:
    where = {"vm": origin}
    for name, given in used.items():
        where[name] = given.origin
        if name in MERGED:
            where.update({f"{name}.{key}": place for key, place in given.parts.items()})
    return where
