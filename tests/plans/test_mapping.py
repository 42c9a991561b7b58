"""Which networks may be mapped to and which are suggested: never one with a way out for tests, whatever its name says."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from plans import mapping
from plans.mapping import MOST, Site
from plans.observed import Network, NetworkMapping
from tests.plans import worlds

ZONE = "zone-1"
NAMES = st.sampled_from(["VM Network", "vm-network", "test-lab", "dev", "prod", "App Net"])
NETWORKS = st.builds(
    Network,
    id=st.uuids().map(str),
    name=NAMES,
    type=st.sampled_from(["L2", "Isolated", "Shared"]),
    state=st.sampled_from(["Implemented", "Allocated", "Destroy"]),
    zone_id=st.sampled_from([ZONE, "zone-2"]),
    services=st.sampled_from([None, frozenset(), frozenset({"SourceNat"})]),
    egress_open=st.sampled_from([None, False, True]),
)


def a_site(networks: list[Network], tests: frozenset[str] = frozenset(), productions: frozenset[str] = frozenset()) -> Site:
    return Site({n.id: n for n in networks}, tests, productions)


@st.composite
def sites(draw: st.DrawFn) -> Site:
    networks = draw(st.lists(NETWORKS, max_size=8, unique_by=lambda n: n.id))
    some = st.frozensets(st.sampled_from([n.id for n in networks]), max_size=3) if networks else st.just(frozenset())
    used = {
        (name, is_test): {n.id: draw(st.integers(1, 4))}
        for name in ("VM Network", "App Net")
        for is_test in (True, False)
        for n in networks[:1]
    }
    return replace(a_site(networks, draw(some), draw(some)), used=used)


@given(sites(), NAMES, st.booleans())
def test_what_is_suggested_may_be_mapped_to_and_is_not_much(known: Site, adapter: str, is_test: bool) -> None:
    found = mapping.suggestions(adapter, is_test, ZONE, known)
    assert len(found) <= MOST
    assert len({s.network.id for s in found}) == len(found)
    for one in found:
        assert one.because
        assert mapping.objections(one.network, is_test, ZONE, known) == ()
        assert one.network.state in mapping.USABLE
        assert one.network.zone_id == ZONE
        if is_test:
            assert one.network.type != "Shared"
            assert not one.network.egress_open or not one.network.has_router
            assert one.network.id not in known.productions
        else:
            assert one.network.id not in known.tests


@given(sites(), NAMES, st.booleans())
def test_the_order_of_networks_does_not_matter(known: Site, adapter: str, is_test: bool) -> None:
    other = replace(known, networks=dict(reversed(known.networks.items())))
    assert mapping.suggestions(adapter, is_test, ZONE, other) == mapping.suggestions(adapter, is_test, ZONE, known)


def net(ident: str, name: str, kind: str = "L2") -> Network:
    return Network(ident, name, kind, "Implemented", ZONE, services=frozenset())


def test_what_others_use_comes_before_a_name_and_a_name_before_a_likeness() -> None:
    networks = [net("a", "lab"), net("b", "vm_network"), net("c", "VM Network 2"), net("d", "used")]
    known = replace(a_site(networks), used={("VM Network", True): {"d": 2}})
    found = mapping.suggestions("VM Network", True, ZONE, known)
    assert [(s.network.id, s.because) for s in found] == [
        ("d", "2 VMs with an adapter on VM Network already use it"),
        ("b", "it has the same name"),
        ("c", "its name is much alike"),
    ]
    assert [s.network.id for s in mapping.suggestions("VM Network", False, ZONE, known)] == ["b", "c"]


def test_both_variants_of_every_adapter_stand_in_its_order_and_strangers_last() -> None:
    maps = (NetworkMapping("LAN", "a", "lab", is_test=True), NetworkMapping("ghost", "a", "lab", is_test=False))
    source = replace(worlds.source(), adapters=("WAN", "LAN", "WAN"), mappings=maps)
    known = mapping.site({"a": net("a", "lab")}, [source], ())
    rows = mapping.standings(source, ZONE, known)
    assert [(r.adapter, r.is_test, bool(r.problems)) for r in rows] == [
        ("WAN", True, True),
        ("WAN", False, True),
        ("LAN", True, True),  # "lab" is somebody's production network, too
        ("LAN", False, True),
        ("ghost", False, True),
    ]
    assert rows[2].problems == ("lab is a production network of some VM, and can be no test network",)
    alone = mapping.site({"a": net("a", "lab")}, [replace(source, mappings=maps[:1])], ())
    assert mapping.standings(replace(source, mappings=maps[:1]), ZONE, alone)[2].problems == ()


def test_a_name_that_several_networks_have_leads_nowhere() -> None:
    source = replace(worlds.source(), mappings=(NetworkMapping("VM Network", "lab", "lab", is_test=True),))
    known = mapping.site({"a": net("a", "lab"), "b": net("b", "lab")}, [source], ())
    assert mapping.standings(source, ZONE, known)[0].problems == ("lab: several networks have that name",)


def test_what_stands_against_a_network_is_all_told() -> None:
    shared = replace(net("a", "lab", "Shared"), state="Destroy", zone_id="zone-2")
    told = mapping.objections(shared, True, ZONE, a_site([shared], productions=frozenset({"lab"})))
    assert len(told) == 4
    assert told[-1].startswith("a path leads out of lab: lab → gateway")
    assert mapping.objections(net("a", "lab"), False, None, a_site([], tests=frozenset({"lab"})))
