"""Whether a network is a bubble: nothing on it reaches what is outside, as far as CloudStack's interface shows.

Called by `plans.guards`, which refuses a test on a network that is none (INV-08), and by `plans.planner` and the command
`network check`, which show the proof. That a network is flagged as a test network is judged elsewhere and comes first: here
are the ways that lead out of one that is. Every way is drawn from the adapter on; what the account is not shown is named,
because it proves nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from plans.observed import Doors, Network

ARROW = " → "
OUTSIDE = "outside"
MOST = 3
"""So many rules of a kind are drawn; the rest is counted."""
DOORS: Mapping[str, str] = {
    "egress": "egress rules",
    "vpns": "remote access VPNs",
    "static_nats": "static NAT",
    "forwardings": "port forwarding",
    "balancers": "load balancers",
}
"""What may be open in a router, as people call it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found about one network: `paths` that lead out, each as its hops; `unseen` is not shown to this account."""

    network: Network
    paths: tuple[tuple[str, ...], ...]
    why: str
    unseen: tuple[str, ...]

    @property
    def closed(self) -> bool:
        """Whether no path was found."""
        return not self.paths

    def drawn(self, adapter: str) -> tuple[str, ...]:
        """Every path from that adapter outwards, as text."""
        return tuple(ARROW.join((f'adapter "{adapter}"', self.network.name, *hops)) for hops in self.paths)

    def __str__(self) -> str:
        """The proof in one line."""
        if not self.closed:
            return f"{self.network.name}: open, " + "; ".join(ARROW.join((self.network.name, *hops)) for hops in self.paths)
        unseen = f"; not visible to this account: {', '.join(self.unseen)}" if self.unseen else ""
        return f"{self.network.name}: no path outwards, {self.why}{unseen}"


def prove(network: Network, networks: Mapping[str, Network], test_networks: Collection[str]) -> Proof:
    """All paths from this network outwards; `test_networks` are the ids of those that may be joined with it."""
    beside = [n for n in networks.values() if n.id != network.id and n.id not in test_networks]
    paths = (*_kind(network), *_router(network), *_wire(network, beside))
    return Proof(network, tuple(dict.fromkeys(paths)), _why(network), tuple(_unseen(network)))


def _kind(network: Network) -> Iterator[tuple[str, ...]]:
    """Ways out that lie in what the network is."""
    if network.system or network.traffic != "Guest":
        yield (f"{network.traffic} traffic of the cloud itself", OUTSIDE)
    if network.vpc_id is not None:
        yield (f"router of VPC {network.vpc_id}", "its other tiers, gateways and static routes")
    elif network.type == "Shared":
        yield (f"gateway {network.gateway or 'not shown'} of a shared network", OUTSIDE)
    elif network.type not in ("Isolated", "L2"):
        yield (f"what a network of type {network.type or 'not shown'} leads to",)


def _router(network: Network) -> Iterator[tuple[str, ...]]:
    """Ways out through the network's own router."""
    if not network.has_router or network.vpc_id is not None:
        return
    if network.routed:
        yield ("router, which routes without NAT", OUTSIDE)
    if network.egress_open:
        yield ("router, whose egress is open by default", OUTSIDE)
    if network.gateway6 is not None:
        yield (f"router, which routes IPv6 by {network.gateway6}", OUTSIDE)
    for name, title in DOORS.items():
        rules: tuple[str, ...] = getattr(network.doors or Doors(), name) or ()
        yield from ((f"router, its {title}: {rule}", OUTSIDE) for rule in rules[:MOST])
        if len(rules) > MOST:
            yield (f"router, its {title}: {len(rules) - MOST} more", OUTSIDE)


def _wire(network: Network, beside: Collection[Network]) -> Iterator[tuple[str, ...]]:
    """Other networks that are the same one on the wire."""
    for other in beside:
        if network.vlan is not None and network.vlan == other.vlan and _same(network.physical, other.physical):
            yield (network.vlan, f"{other.name}, which is no test network")


def _same(one: str | None, other: str | None) -> bool:
    """Whether two physical networks may be one: they are where either is not shown."""
    return one is None or other is None or one == other


def _why(network: Network) -> str:
    """What keeps things in, for a network of which no path is known."""
    if network.type == "L2":
        return "layer 2 without a router"
    return "its router lets nothing out" if network.has_router else "no service leads out"


def _unseen(network: Network) -> Iterator[str]:
    if network.vlan is None:
        yield "its VLAN"
    if not network.has_router:
        return
    if network.services is None:
        yield "its services"
    if network.egress_open is None:
        yield "its egress default"
    doors = network.doors or Doors()
    yield from (f"its {title}" for name, title in DOORS.items() if getattr(doors, name) is None)
