"""One look: both sources joined into an estate and a fleet, and the part of them that concerns one VM.

Called by `reconciler.loop` at the start of every round; the result is shared by all VMs of that round. A look that is not
complete raises (`LookFailed` from the client): there are no half estates. Lists that nothing of ours can have changed since
the last look are taken over from it for a few seconds. CloudStack and database are never reconciled
with each other here; where they differ, the guards say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from plans import actions
from plans.observed import Capabilities, Catalog, Estate, Machine, Network, RunFacts, Source, World
from reconciler.cloudstack.client import Client
from reconciler.cloudstack.errors import NotAllowed, Unauthorised

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the database says of all replicated VMs.

    `protected` maps every replica's volume id to the key of the VM it belongs to, `shared` the volumes that more than one
    VM claims to those VMs' names; `flagged` and `unflagged` are the networks mapped as test and as production networks.
    """

    sources: Mapping[str, Source]
    protected: Mapping[str, str]
    shared: Mapping[str, frozenset[str]]
    flagged: frozenset[str]
    unflagged: frozenset[str]

    @property
    def appliances(self) -> frozenset[str]:
        """The ids of all appliances: machines that are never stopped, destroyed or reconfigured."""
        return frozenset(s.platform.appliance_id for s in self.sources.values() if s.platform)


def fleet(sources: Iterable[Source], test_networks: Iterable[str] = ()) -> Fleet:
    """The fleet from its VMs; `test_networks` are flagged by the settings besides those in `network_mappings`."""
    by_key = {s.key: s for s in sources}
    claims: dict[str, set[str]] = {}
    for source in by_key.values():
        for disk in source.disks:
            if disk.volume_id:
                claims.setdefault(disk.volume_id, set()).add(source.key)
    mappings = [m for s in by_key.values() for m in s.mappings]
    return Fleet(
        sources=by_key,
        protected={volume: min(keys) for volume, keys in claims.items()},
        shared={v: frozenset(by_key[k].name for k in keys) for v, keys in claims.items() if len(keys) > 1},
        flagged=frozenset(m.network_id for m in mappings if m.is_test) | frozenset(test_networks),
        unflagged=frozenset(m.network_id for m in mappings if not m.is_test),
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """What hardly ever changes while runs are under way: what the account may do, and its networks; read at `since`."""

    since: datetime
    capabilities: Capabilities
    networks: Mapping[str, Network]


def standing(client: Client, now: datetime, storage: str | None, flagged: frozenset[str] = frozenset()) -> Standing:
    """Read what hardly ever changes; the kind of storage is what the settings declare.

    Of networks `flagged` as test networks, by id or name, what is open in their routers is read too.
    """
    capable = replace(client.capabilities(), storage=storage or "")
    return Standing(now, capable, {n.id: _with_doors(client, n, flagged) for n in client.networks()})


def _with_doors(client: Client, network: Network, flagged: frozenset[str]) -> Network:
    asked = network.has_router and not flagged.isdisjoint((network.id, network.name))
    return replace(network, doors=client.doors(network.id)) if asked else network


class Kind(StrEnum):
    """The lists that a look may take over from the last one. Volumes are always read: attachment has to be fresh."""

    MACHINES = "machines"
    SNAPSHOTS = "snapshots"
    VM_SNAPSHOTS = "vm-snapshots"


EVERYTHING = frozenset(Kind)
CHANGES: Mapping[type[actions.Action], frozenset[Kind]] = {
    actions.CreateGuest: frozenset({Kind.MACHINES}),
    actions.MarkGuest: frozenset({Kind.MACHINES}),
    actions.StopGuest: frozenset({Kind.MACHINES}),
    actions.StartGuest: frozenset({Kind.MACHINES}),
    actions.DestroyGuest: EVERYTHING,
    actions.SnapshotReplica: frozenset({Kind.SNAPSHOTS}),
    actions.DeleteSnapshot: frozenset({Kind.SNAPSHOTS}),
    actions.DeleteLeftover: frozenset({Kind.SNAPSHOTS}),
    actions.SnapshotGuest: frozenset({Kind.VM_SNAPSHOTS, Kind.SNAPSHOTS}),
    actions.RevertGuest: frozenset({Kind.VM_SNAPSHOTS, Kind.MACHINES}),
    actions.DeleteGuestSnapshot: frozenset({Kind.VM_SNAPSHOTS, Kind.SNAPSHOTS}),
}
"""Which lists, besides the volumes, look different after an action."""


def changed_by(done: Iterable[actions.Action]) -> frozenset[Kind]:
    """The lists that these actions may have changed."""
    return frozenset().union(*(CHANGES.get(type(action), frozenset()) for action in done))


def estate(
    client: Client, now: datetime, known: Standing, last: Estate | None = None, read: Iterable[Kind] = Kind
) -> Estate:
    """Everything CloudStack shows to this account, complete, or an exception.

    Of the last look only those lists are read anew that are named. Volumes are read after machines and snapshots, because
    attachment is the fact that most depends on being fresh.
    """
    wanted = EVERYTHING if last is None else frozenset(read)
    before = last or Estate(now, known.capabilities, {}, {}, {}, {}, {})
    machines, vm_snapshots, snapshots = before.machines, before.vm_snapshots, before.snapshots
    if Kind.MACHINES in wanted:
        machines = {m.id: m for m in client.machines()}
    if Kind.VM_SNAPSHOTS in wanted:
        vm_snapshots = {s.id: s for s in client.vm_snapshots()}
    if Kind.SNAPSHOTS in wanted:
        snapshots = {s.id: s for s in client.snapshots()}
    return Estate(
        looked_at=now,
        capabilities=known.capabilities,
        machines=machines,
        volumes={v.id: v for v in client.volumes()},
        snapshots=snapshots,
        vm_snapshots=vm_snapshots,
        networks=known.networks,
    )


def catalog(client: Client) -> Catalog:
    """What guests can be made of. Raises `CloudError` unless it is the account's role that lacks a list."""
    return Catalog(_shown(client.zones), _shown(client.templates), _shown(client.offerings))


def _shown(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (NotAllowed, Unauthorised):  # of a command that the role lacks, too; the rest of the look shows which it is
        return None


@dataclass(frozen=True, slots=True)
class Memory:
    """What our own journal adds to a look at one VM: the run in hand, how many came before, dirty replicas."""

    run: RunFacts | None = None
    attempt: int = 1
    dirty: frozenset[str] = frozenset()


def world(looked: Estate, all_vms: Fleet, source: Source, memory: Memory) -> World:
    """The part of the estate that concerns this VM."""
    guest = looked.machines.get(memory.run.guest_id) if memory.run and memory.run.guest_id else None
    appliance = looked.machines.get(source.platform.appliance_id) if source.platform else None
    near = list(dict.fromkeys(m.id for m in (guest, appliance) if m is not None))
    ours = {d.volume_id for d in source.disks if d.volume_id}
    if memory.run is not None:
        ours |= {p.volume_id for p in memory.run.placements} | {memory.run.default_root_id or ""}
        ours |= {c.clone_id for c in memory.run.clones if c.clone_id}
    return World(
        source=source,
        capabilities=looked.capabilities,
        appliance=appliance,
        guest=guest,
        volumes={v: looked.volumes[v] for v in sorted(ours) if v in looked.volumes}
        | {v.id: v for vm_id in near for v in looked.volumes_on.get(vm_id, ())},
        snapshots={s.id: s for v in sorted(ours) for s in looked.snapshots_of.get(v, ())},
        vm_snapshots={s.id: s for vm_id in near for s in looked.vm_snapshots_of.get(vm_id, ())},
        networks=looked.networks,
        run=memory.run,
        attempt=memory.attempt,
        dirty=memory.dirty,
        names_taken=_names(looked, guest),
        claimed_volumes={v: _others(names, source) for v, names in all_vms.shared.items() if v in ours},
        test_networks=test_networks(looked, all_vms),
        catalog=looked.catalog,
    )


def test_networks(looked: Estate, all_vms: Fleet) -> frozenset[str]:
    """The ids of networks flagged as test networks and nowhere mapped as production networks."""
    names = (
        n.id for n in looked.networks.values() if {n.id, n.name} & all_vms.flagged and not {n.id, n.name} & all_vms.unflagged
    )
    return frozenset(names)


def _names(looked: Estate, guest: Machine | None) -> frozenset[str]:
    """The host names of all other machines."""
    alone = guest is not None and all(m.id == guest.id for m in looked.named[guest.name])
    return looked.names - {guest.name} if guest is not None and alone else looked.names


def _others(names: frozenset[str], source: Source) -> str:
    return ", ".join(sorted(names - {source.name})) or source.name
