"""Network mappings for people: how they stand, what would fit, and changes that are shown before they are made.

Called by `failover network`. Networks are read from CloudStack, mappings are written by `store.mappings` one row at a time,
all rows of one change in one transaction. What cannot be right is refused with every reason, and nothing is written then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from plans import mapping
from plans.mapping import Site, Standing, Suggestion
from plans.observed import Network, NetworkMapping, Source
from reconciler.loop import Look
from reconciler.store import journal, mappings
from reconciler.store.database import Connection
from reconciler.wiring import Connected

MOST_ASKED = 100
"""Of so many networks with a router it is asked what is open in it, where something is to be suggested."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A VM with both variants of each of its source networks."""

    source: Source
    rows: tuple[Standing, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing stands against any of them."""
        return not any(row.problems for row in self.rows)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be changed of one VM: one variant of one source network; None is no mapping."""

    source: Source
    adapter: str
    is_test: bool
    was: NetworkMapping | None
    wanted: NetworkMapping | None

    @property
    def is_none(self) -> bool:
        """Whether it is so already."""
        return self.was == self.wanted

    @property
    def text(self) -> str:
        """The change in one line."""
        kind = mapping.variant(self.is_test)
        return f'{self.source.name}: "{self.adapter}" for {kind}: {mappings.told(self.was)} → {mappings.told(self.wanted)}'


@dataclass(frozen=True, slots=True)
class Asked:
    """What a change comes to: the rows to be changed, or every reason against it."""

    changes: tuple[Change, ...]
    against: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mappings:
    """One look at all networks and VMs, to ask how mappings stand and what may be changed."""

    connected: Connected
    look: Look
    site: Site

    @classmethod
    def looked(cls, connected: Connected) -> Mappings:
        """From a fresh look. Raises `CloudError`."""
        look = connected.engine.look()
        tests = connected.settings.networks.test
        return cls(connected, look, mapping.site(look.estate.networks, look.fleet.sources.values(), tests))

    def of(self, keys: Iterable[str] | None = None) -> tuple[Mapped, ...]:
        """How the mappings of these VMs (all, if none is named) stand, by name."""
        wanted = set(self.look.fleet.sources if keys is None else keys)
        sources = sorted((s for k, s in self.look.fleet.sources.items() if k in wanted), key=lambda s: (s.name, s.key))
        return tuple(Mapped(s, mapping.standings(s, self._zone(s), self.site)) for s in sources)

    def suggested(self, row: Mapped) -> Iterator[tuple[Standing, tuple[Suggestion, ...]]]:
        """For every variant that is not well, what would fit."""
        opened = self._opened(self.site.networks)
        for standing in row.rows:
            if standing.problems and standing.adapter in row.source.adapters:
                found = mapping.suggestions(standing.adapter, standing.is_test, self._zone(row.source), opened)
                yield standing, found

    def mapped(self, source: Source, adapter: str, to: str, is_test: bool, everywhere: bool = False) -> Asked:
        """Map a source network of a VM; `everywhere` also that of every other VM that has it and no mapping for it."""
        found = self.site.named(to)
        if len(found) != 1:
            ids = ", ".join(n.id for n in found)
            several = f"{len(found)} networks have the name {to}: say the id of one, {ids}"
            none = f"CloudStack shows no network {to}; `failover network suggest {source.name}` names those that fit"
            return Asked((), (several if found else none,))
        wanted = NetworkMapping(adapter, found[0].id, found[0].name, is_test)
        others = (
            s for s in self.look.fleet.sources.values() if everywhere and s.key != source.key and adapter in s.adapters
        )
        meant = (source, *(s for s in others if _standing(s, adapter, is_test) is None))
        changes = tuple(Change(s, adapter, is_test, _standing(s, adapter, is_test), wanted) for s in meant)
        against = [text for s in meant for text in self._against(s, adapter, is_test)]
        opened = self._opened({found[0].id: found[0]})
        network = opened.networks[found[0].id]
        against += mapping.objections(network, is_test, self._zone(source), opened)
        return Asked(changes, tuple(dict.fromkeys(against)))

    def unmapped(self, source: Source, adapter: str, is_test: bool) -> Asked:
        """Take the mapping of a source network of a VM away."""
        was = _standing(source, adapter, is_test)
        against = tuple(self._busy(source, is_test))
        if was is None and adapter not in source.adapters:
            against = (*against, _unknown(source, adapter))
        return Asked((Change(source, adapter, is_test, was, None),), against)

    def carry_out(self, asked: Asked, by: str) -> None:
        """Make the changes, all or none. Raises `MappingChanged` where a row is not as it was a moment ago."""
        legacy, now = self.connected.engine.legacy, self.connected.engine.clock.now()
        names = Counter(s.name for s in self.look.fleet.sources.values())

        def write(connection: Connection) -> None:
            stored = mappings.held(connection, legacy)
            for change in (c for c in asked.changes if not c.is_none):
                alone = names[change.source.name] == 1
                if change.wanted is not None:
                    mappings.put(connection, legacy, stored, change.source, change.wanted, alone=alone, now=now, by=by)
                else:
                    where = (change.source, change.adapter, change.is_test)
                    mappings.take(connection, legacy, stored, *where, alone=alone, now=now, by=by)

        self.connected.database.written(write, looks=True)

    def _zone(self, source: Source) -> str | None:
        """The zone of the VM's appliance, where a guest of it is made."""
        appliance = self.look.estate.machines.get(source.platform.appliance_id) if source.platform else None
        return appliance.zone_id if appliance is not None else None

    def _opened(self, networks: Mapping[str, Network]) -> Site:
        """The site, with what is open in the routers of these networks."""
        asked = [n for n in networks.values() if n.has_router and n.doors is None][:MOST_ASKED]
        doors = {n.id: replace(n, doors=self.connected.engine.client.doors(n.id)) for n in asked}
        return replace(self.site, networks={**self.site.networks, **doors})

    def _against(self, source: Source, adapter: str, is_test: bool) -> Iterator[str]:
        if adapter not in source.adapters:
            yield _unknown(source, adapter)
        yield from self._busy(source, is_test)

    def _busy(self, source: Source, is_test: bool) -> Iterator[str]:
        with self.connected.database.read() as connection:
            run = journal.unfinished_of(connection, source.key) if is_test else None
        if run is not None:
            yield f"run {run.id} of {source.name} is under way: wait until it is over, or failover end {source.name}"


def _standing(source: Source, adapter: str, is_test: bool) -> NetworkMapping | None:
    return next((m for m in source.mappings if m.source == adapter and m.is_test is is_test), None)


def _unknown(source: Source, adapter: str) -> str:
    known = ", ".join(f'"{a}"' for a in dict.fromkeys(source.adapters)) or "none that is recorded"
    return f'{source.name} has no adapter on "{adapter}"; it has: {known}'
