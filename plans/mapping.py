"""Which network a source network may be mapped to, and which one would fit.

Called by `reconciler.networks` for `failover network`. A mapping for tests makes its network a test network for everybody,
so only a bubble may become one (`plans.bubble`); names never decide that, they only order what is suggested.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from plans import bubble
from plans.observed import Network, NetworkMapping, Source

USABLE = ("Implemented", "Allocated")
ALIKE = 0.6
"""How alike two names are, from 0 to 1, for the one to be suggested for the other."""
MOST = 3


@dataclass(frozen=True, slots=True)
class Site:
    """What is there to map to: all networks by id, and what the mappings of all VMs make of them.

    `tests` and `productions` hold ids and names of networks, as they are written in mappings and settings; `used` maps a
    source network and a variant to the networks that VMs have for it, each as often as there are such VMs.
    """

    networks: Mapping[str, Network]
    tests: frozenset[str] = frozenset()
    productions: frozenset[str] = frozenset()
    used: Mapping[tuple[str, bool], Mapping[str, int]] = field(default_factory=dict)

    def named(self, text: str) -> tuple[Network, ...]:
        """The networks of that id or exact name."""
        return tuple(n for n in self.networks.values() if text in (n.id, n.name))


def site(networks: Mapping[str, Network], sources: Iterable[Source], tests: Collection[str]) -> Site:
    """The site from all networks and VMs; `tests` are flagged by the settings."""
    used: dict[tuple[str, bool], dict[str, int]] = {}
    flagged = {True: set(tests), False: set[str]()}
    for source in sources:
        for m in source.mappings:
            flagged[m.is_test].update((m.network_id,))
            counts = used.setdefault((m.source, m.is_test), {})
            counts[m.network_id] = counts.get(m.network_id, 0) + 1
    return Site(networks, frozenset(flagged[True]), frozenset(flagged[False]), used)


def variant(is_test: bool) -> str:
    """The word for a variant of a mapping."""
    return "test" if is_test else "production"


def objections(network: Network, is_test: bool, zone_id: str | None, known: Site) -> tuple[str, ...]:
    """Everything that stands against mapping to this network, each as a sentence."""
    return tuple(_objections(network, is_test, zone_id, known))


def _objections(network: Network, is_test: bool, zone_id: str | None, known: Site) -> Iterator[str]:
    if network.state not in USABLE:
        yield f"{network.name} is {network.state}, not usable"
    if zone_id is not None and network.zone_id != zone_id:
        yield f"{network.name} is in another zone than the appliance"
    here = {network.id, network.name}
    if is_test:
        if here & known.productions:
            yield f"{network.name} is a production network of some VM, and can be no test network"
        flagged = {n.id for text in known.tests for n in known.named(text)} | {network.id}
        yield from (
            f"a path leads out of {network.name}: {bubble.ARROW.join((network.name, *hops))}"
            for hops in bubble.prove(network, known.networks, flagged).paths
        )
    elif here & known.tests:
        yield f"{network.name} is a test network, and can be no production network"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A network that may be mapped to, and why it would fit."""

    network: Network
    because: str


def suggestions(adapter: str, is_test: bool, zone_id: str | None, known: Site) -> tuple[Suggestion, ...]:
    """At most three networks that would fit, the best first; never one that something stands against."""
    found = [(rank, n) for n in known.networks.values() if (rank := _rank(adapter, is_test, n, known)) is not None]
    allowed = (pair for pair in found if not objections(pair[1], is_test, zone_id, known))
    ordered = sorted(allowed, key=lambda pair: (pair[0][0], pair[0][1], pair[1].name, pair[1].id))
    return tuple(Suggestion(network, because) for (_, _, because), network in ordered[:MOST])


def _rank(adapter: str, is_test: bool, network: Network, known: Site) -> tuple[int, float, str] | None:
    """How well a network fits: a class, how much within it (less is better), and why. None where nothing speaks for it."""
    counts = known.used.get((adapter, is_test), {})
    uses = counts.get(network.id, 0) + counts.get(network.name, 0)
    if uses:
        return 0, -uses, f"{uses} VM{'s' if uses > 1 else ''} with an adapter on {adapter} already use it"
    if _plain(adapter) == _plain(network.name):
        return 1, 0, "it has the same name"
    likeness = difflib.SequenceMatcher(None, _plain(adapter), _plain(network.name)).ratio()
    if is_test and {network.id, network.name} & known.tests:
        return 2, -likeness, "it is a test network already"
    if likeness >= ALIKE:
        return 3, -likeness, "its name is much alike"
    if is_test and network.type == "L2":
        return 4, -likeness, "it is of layer 2, without a router"
    return None


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


@dataclass(frozen=True, slots=True)
class Standing:
    """How one variant of one source network of a VM stands. `network` is what its mapping leads to, where that is clear."""

    adapter: str
    is_test: bool
    mapping: NetworkMapping | None
    network: Network | None
    problems: tuple[str, ...] = ()


def standings(source: Source, zone_id: str | None, known: Site) -> tuple[Standing, ...]:
    """Both variants of every adapter of a VM in its order, then mappings that belong to no adapter."""
    adapters = tuple(dict.fromkeys(source.adapters))
    first = {(m.source, m.is_test): m for m in reversed(source.mappings)}
    rows = [_standing(a, is_test, first.get((a, is_test)), zone_id, known) for a in adapters for is_test in (True, False)]
    strange = (pair for pair in first if pair[0] not in adapters)
    text = "no adapter of the VM is on a network of that name"
    rows += [Standing(name, is_test, first[name, is_test], None, (text,)) for name, is_test in sorted(strange)]
    return tuple(rows)


def _standing(adapter: str, is_test: bool, mapping: NetworkMapping | None, zone_id: str | None, known: Site) -> Standing:
    if mapping is None:
        return Standing(adapter, is_test, None, None, (f"it has no {variant(is_test)} network",))
    found = known.named(mapping.network_id)
    if len(found) != 1:
        what = "several networks have that name" if found else "CloudStack shows no such network"
        return Standing(adapter, is_test, mapping, None, (f"{mapping.network_id}: {what}",))
    return Standing(adapter, is_test, mapping, found[0], objections(found[0], is_test, zone_id, known))
